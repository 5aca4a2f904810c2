"""What a trader can do about each failure, in the words of IB's own windows.

Menus as in IB Gateway 10.x: Configure > Settings > API; in TWS: File > Global Configuration > API.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

API_SETTINGS: Final = "Configure > Settings > API > Settings"

PAPER_PORTS: Final[Mapping[int, str]] = MappingProxyType({4002: "IB Gateway", 7497: "TWS"})
LIVE_PORTS: Final[Mapping[int, str]] = MappingProxyType({4001: "IB Gateway", 7496: "TWS"})

UNKNOWN_HOST: Final = (
    "the name does not resolve: correct gateway.host (or --host), or use the address of the computer"
)
UNREACHABLE: Final = (
    "no answer from that computer: check that it is on and in this network, its address, and that a"
    " firewall on either side lets the port through"
)
NOTHING_LISTENS: Final = (
    "start IB Gateway or TWS and log in; then compare gateway.port (or --port) with its"
    f" 'Socket port' under {API_SETTINGS}"
)
API_DISABLED: Final = (
    "the socket was accepted and closed without a word: the API is disabled there, or this computer"
    f" is not trusted. Under {API_SETTINGS} enable socket clients (TWS: 'Enable ActiveX and Socket"
    " Clients'), and add this computer to 'Trusted IPs' or untick 'Allow connections from localhost"
    " only'"
)
API_SILENT: Final = (
    "the socket is open but the API does not speak: look at the gateway's window for a dialog that"
    " waits for an answer, for an unfinished login or for a nightly restart; else restart the gateway"
)
NOT_IB: Final = "another program listens on this port: correct gateway.port (or --port)"
UPGRADE: Final = "install IB Gateway or TWS 10.19 or newer"
DAILY_RESTART: Final = (
    "IB Gateway and TWS restart or log off once a day (Configure > Settings > Lock and Exit): set"
    " AUTO_RESTART_TIME, or gateway_restart in [connection.maintenance], to that time"
)
LOG_IN: Final = (
    "finish the login in the gateway's window, two-factor confirmation and disclaimer included; a"
    " session of the same user elsewhere may have taken the login over"
)
CLIENT_ID: Final = (
    "end the other program that uses this client id (its session may take a minute to die), or set"
    " another gateway.client_id; orders belong to the client id that placed them"
)
PAPER_PORT: Final = (
    "this is a port for live trading, which is blocked here: log in to the paper account and use its"
    " port (IB Gateway 4002, TWS 7497); only --mode dry_run may read a live account"
)
PAPER_ACCOUNT: Final = (
    "log the gateway in to the paper account (its code begins with D); only --mode dry_run may read"
    " a live account"
)
PINNED_ACCOUNT: Final = (
    "log the gateway in to the account that this state_dir trades; to trade another one, stop the process, then:"
    " python -m supervision account switch"
)
CHOOSE_ACCOUNT: Final = "set general.account in config.toml to one of the accounts of this login"
NO_ROUND_TRIP: Final = (
    "the session is open but the gateway does not answer: it may have lost IB's servers or hang;"
    " look at its window, then restart it"
)
CLOCK: Final = "set the clocks of both computers by a time server (NTP)"
READ_ONLY_API: Final = (
    f"untick 'Read-Only API' under {API_SETTINGS}, since orders would be refused; or set"
    " gateway.readonly = true"
)
NO_STATE: Final = (
    "positions, orders or the account were not answered: the gateway may still be loading them or"
    " have lost IB's servers; look at its window, and try again in a minute"
)
SUBSCRIBE: Final = (
    "subscribe to the market data of this exchange in IB's Client Portal (Settings > Market Data"
    " Subscriptions), and share it with the paper account (Settings > Paper Trading Account); it"
    " takes effect after the next login"
)
COMPETING: Final = (
    "end the other session of the same user that receives the data (TWS, mobile app, Client Portal)"
)
DELAYED: Final = f"delayed data opens no position here; to get live data, {SUBSCRIBE}"
UNKNOWN_SYMBOL: Final = "correct general.symbols in config.toml, or name another one with --symbol"
NO_PRICE: Final = (
    "the market may be closed or the symbol halted; else look at the data farms in the gateway's window"
)
HALTED: Final = "nothing to mend: trading of this symbol is halted"
LOST_UPSTREAM: Final = (
    "the gateway itself has lost IB's servers (code 1100): check its computer's internet connection,"
    " and IB's system status page"
)
