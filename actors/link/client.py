"""ib_insync's client as codec and connection, without the rest of it (D8).

What is different from the library: frames have a limit, what cannot be decoded is reported, a message costs less to
write, nothing is throttled or logged, and an end is an abort. One client serves one session.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from ib_insync.client import Client
from ib_insync.contract import Contract
from ib_insync.util import UNSET_DOUBLE, UNSET_INTEGER

from actors.errors import GatewayConnectionError, GatewayError, IncompatibleVersionError
from actors.link.decoder import StrictDecoder
from actors.link.frames import FrameBuffer, FrameError, prefix
from actors.link.memory import plausible_order_id

_NEXT_VALID_ID: Final = 9
_MANAGED_ACCOUNTS: Final = 15
NULS_IN_CONTRACT: Final = 11


class ClientOwner(Protocol):
    """Who takes what happens on the connection; each call comes on the loop."""

    def on_ready(self) -> None:
        """Managed accounts and the next order id are known."""

    def on_broken(self, error: Exception) -> None:
        """The connection is of no use any more; said once."""

    def on_undecodable(self, fields: list[str], error: Exception) -> None:
        """A message that carries no order could not be decoded."""


LOWEST_VERSION: Final = 163
"""Gateways that speak less tell whole units only: 57.68 arrives as 58."""
HIGHEST_VERSION: Final = Client.MaxClientVersion


def _version_fault(version: int) -> str:
    """Say which side is the older one, and what to do."""
    speaks = f"the gateway's protocol version must be {LOWEST_VERSION} to {HIGHEST_VERSION} (was {version})"
    if version < LOWEST_VERSION:
        return f"{speaks}: it is too old; install TWS or IB Gateway 10.19 or newer"
    return f"{speaks}: it is too new for this version; install a TWS or IB Gateway of a year earlier, or upgrade this"


class SessionClient(Client):
    """One connection to the gateway."""

    decoder: StrictDecoder
    MinClientVersion = LOWEST_VERSION
    MaxRequests = 0  # the token bucket before the gate does that (D9)

    def __init__(
        self, wrapper: Any, owner: ClientOwner, *, max_frame_bytes: int, max_unsent_bytes: int
    ) -> None:
        """Make an unconnected client."""
        super().__init__(wrapper)
        self._owner = owner
        self._logger = _silent_logger()
        self.decoder = StrictDecoder(wrapper)
        self._frames = FrameBuffer(max_frame_bytes)
        self._max_unsent_bytes = max_unsent_bytes
        self._broken = False
        self._next_valid_id: int | None = None

    # --- the socket -----------------------------------------------------------------------------------------------

    async def open(self, host: str, port: int, client_id: int) -> None:
        """Connect the socket and say hello; `on_ready` or `on_broken` follows. Raises OSError."""
        self.host, self.port, self.clientId = host, port, client_id
        self.connState = Client.CONNECTING
        await self.conn.connectAsync(host, port)
        if self._broken:
            self.abort()
            return
        hello = b"v%d..%d" % (self.MinClientVersion, self.MaxClientVersion)
        self.conn.sendMsg(b"API\0" + prefix(hello))

    def abort(self) -> None:
        """Close the socket at once; nothing that comes later is read."""
        self._broken = True
        self.connState = Client.DISCONNECTED
        transport = self.transport
        if transport is not None:
            transport.abort()

    def cut(self) -> None:
        """Shut the socket down from another thread, while the loop may hang."""
        self._broken = True
        transport = self.transport
        connection = None if transport is None else transport.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)

    def close_in_order(self) -> None:
        """Send what was written, then close; nothing that comes later is read."""
        self._broken = True
        self.connState = Client.DISCONNECTED
        transport = self.transport
        if transport is not None:
            transport.close()

    @property
    def transport(self) -> asyncio.Transport | None:
        """The open transport."""
        return cast("asyncio.Transport | None", self.conn.transport)

    def is_alive(self) -> bool:
        """Whether what the gateway says is still read."""
        return not self._broken

    @property
    def can_write(self) -> bool:
        """Whether bytes that are written now have a socket to go to."""
        transport = self.transport
        return (
            not self._broken
            and transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() <= self._max_unsent_bytes
        )

    @property
    def next_valid_id(self) -> int:
        """The gateway's own floor for order ids."""
        return self._next_valid_id or 1

    @property
    def accounts(self) -> tuple[str, ...]:
        """The managed accounts."""
        return tuple(self._accounts)

    # --- reading --------------------------------------------------------------------------------------------------

    def _onSocketHasData(self, data: bytes) -> None:  # noqa: N802 - the library's name
        """Take bytes in. Raises nothing: the library's event would swallow it."""
        if not self.is_alive():
            return
        self._frames.feed(data)
        try:
            self.wrapper.tcpDataArrived()
            for fields in self._frames.messages():
                self._take(fields)
                if not self.is_alive():
                    return
            self.wrapper.tcpDataProcessed()
        except Exception as error:  # noqa: BLE001 - whatever it is, the session has to end with it
            self._break(error)

    def _take(self, fields: list[str]) -> None:
        if not self._serverVersion:
            self._greet(fields)
            return
        try:
            number = int(fields[0])
        except ValueError:
            raise FrameError(
                f"a message must begin with its number (was {fields[0]!r:.40})"
            ) from None
        try:
            self.decoder.interpret(fields)
        except Exception as error:
            if number in (_NEXT_VALID_ID, _MANAGED_ACCOUNTS):
                raise  # without these there is no session
            self._owner.on_undecodable(fields, error)
            return
        if not self._apiReady and number in (_NEXT_VALID_ID, _MANAGED_ACCOUNTS):
            self._look_whether_ready(number, fields)

    def _greet(self, fields: list[str]) -> None:
        if len(fields) != 2 or not fields[0].isdigit():
            raise FrameError("the other side does not speak IB's protocol")
        version = int(fields[0][:9])
        if not self.MinClientVersion <= version <= self.MaxClientVersion:
            raise IncompatibleVersionError(_version_fault(version))
        self._serverVersion = version
        self.decoder.serverVersion = version
        self.connState = Client.CONNECTED
        self.startApi()

    def _look_whether_ready(self, number: int, fields: list[str]) -> None:
        if number == _NEXT_VALID_ID:
            self._next_valid_id = plausible_order_id(int(fields[2]))
        else:
            self._accounts = [account for account in fields[2].split(",") if account]
        if self._next_valid_id is not None and self._accounts:
            self._apiReady = True
            self._owner.on_ready()

    def _onSocketDisconnected(self, msg: str) -> None:  # noqa: N802 - the library's name
        self._break(GatewayConnectionError(msg or "the gateway closed the connection"))

    def _break(self, error: Exception) -> None:
        if self._broken:
            return
        self.abort()
        self._owner.on_broken(error)

    # --- writing --------------------------------------------------------------------------------------------------

    def send(self, *fields: Any, makeEmpty: bool = True) -> None:  # noqa: N803 - the library's name
        """Write one message: the library's bytes at half its price. Raises `GatewayConnectionError`."""
        if not makeEmpty:
            super().send(*fields, makeEmpty=makeEmpty)
            return
        parts = [encode_field(field) for field in fields]
        parts.append("")
        text = "\0".join(parts)
        contracts = sum([isinstance(field, Contract) for field in fields])
        if text.count("\0") != len(fields) + contracts * NULS_IN_CONTRACT:
            raise GatewayError("a text for the gateway may not contain NUL: it would be two fields")
        self.sendMsg(text)

    def sendMsg(self, msg: str) -> None:  # noqa: N802 - the library's name
        """Write one message whose fields are joined already."""
        try:
            payload = msg.encode()
        except UnicodeEncodeError as error:
            raise GatewayError("a text for the gateway must be proper Unicode") from error
        transport = self.transport
        if transport is None or not self.can_write:
            raise GatewayConnectionError("the connection is gone, or the gateway does not read")
        transport.write(prefix(payload))


def encode_field(field: Any) -> str:
    """Write one field as the library does; a contract gives twelve."""
    encode = _ENCODERS.get(type(field))
    if encode is not None:
        return encode(field)
    return _encode_contract(field) if isinstance(field, Contract) else str(field)


def _encode_integer(value: int) -> str:
    return "" if value == UNSET_INTEGER else str(value)


def _encode_float(value: float) -> str:
    if value in (UNSET_DOUBLE, UNSET_INTEGER):
        return ""
    return "Infinite" if value == math.inf else str(value)


def _encode_contract(contract: Contract) -> str:
    return (
        f"{contract.conId}\0{contract.symbol}\0{contract.secType}\0"
        f"{contract.lastTradeDateOrContractMonth}\0{contract.strike}\0{contract.right}\0"
        f"{contract.multiplier}\0{contract.exchange}\0{contract.primaryExchange}\0"
        f"{contract.currency}\0{contract.localSymbol}\0{contract.tradingClass}"
    )


_ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    str: lambda value: value,
    int: _encode_integer,
    float: _encode_float,
    bool: lambda value: "1" if value else "0",
    type(None): lambda _: "",
    list: lambda value: "".join(f"{item.tag}={item.value};" for item in value),
    Contract: _encode_contract,
}


def _silent_logger() -> logging.Logger:
    """A logger outside of the tree of loggers: the library's texts would hold account numbers (OBS-4)."""
    logger = logging.Logger("ib_insync")
    logger.disabled = True
    return logger
