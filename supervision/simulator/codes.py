"""The error and notice texts a gateway sends, worded as they were recorded."""

from __future__ import annotations

RATE_EXCEEDED = 100
TICKERS_EXCEEDED = 101
DUPLICATE_TICKER = 102
DUPLICATE_ORDER = 103
CANNOT_MODIFY_FILLED = 104
DOES_NOT_MATCH = 105
PRICE_VARIATION = 110
CANNOT_CANCEL = 161
HISTORY_ERROR = 162
NO_DEFINITION = 200
ORDER_REJECTED = 201
ORDER_CANCELLED = 202
NO_TICKER = 300
BAD_READ = 320
BAD_REQUEST = 321
BAD_PROCESS = 322
CLIENT_ID_IN_USE = 326
AUTO_BIND_CLIENT_ZERO = 327
CANNOT_CHANGE_TYPE = 329
NOT_SUBSCRIBED = 354
NO_HISTORY_QUERY = 366
ORDER_MESSAGE = 399
CONNECTIVITY_LOST = 1100
RESTORED_DATA_LOST = 1101
RESTORED = 1102
PORT_RESET = 1300
ACCOUNT_REPLACED = 2100
NEEDS_SUBSCRIPTION = 10089
PARTLY_SUBSCRIBED = 10090
DISCLAIMER = 10141
UNKNOWN_ORDER = 10147
FINISHED_ORDER = 10148
BAD_ORDER_ID = 10149
DELAYED_SHOWN = 10167
DELAYED_OFF = 10168
TICK_BY_TICK_LIMIT = 10190
COMPETING_SESSION = 10197
FRACTIONAL = 10243
OCA_REVISION = 10326

TEXTS: dict[int, str] = {
    TICKERS_EXCEEDED: "Max number of tickers has been reached",
    DUPLICATE_TICKER: "Duplicate ticker id",
    DUPLICATE_ORDER: "Duplicate order id",
    CANNOT_MODIFY_FILLED: "Cannot modify a filled order.",
    DOES_NOT_MATCH: "Order being modified does not match original order.",
    PRICE_VARIATION: (
        "The price does not conform to the minimum price variation for this contract."
    ),
    NO_DEFINITION: "No security definition has been found for the request",
    ORDER_CANCELLED: "Order Canceled - reason:",
    CLIENT_ID_IN_USE: (
        "Unable to connect as the client id is already in use. Retry with a unique client id."
    ),
    AUTO_BIND_CLIENT_ZERO: "Only the default client (i.e 0) can auto bind orders",
    CANNOT_CHANGE_TYPE: "Order modify failed. Cannot change to the new order type.",
    NOT_SUBSCRIBED: (
        "Requested market data is not subscribed. Check API status by selecting the Account menu "
        "then under Management choose Market Data Subscription Manager and/or availability of "
        "delayed data.Delayed market data is available."
    ),
    CONNECTIVITY_LOST: "Connectivity between IBKR and Trader Workstation has been lost.",
    RESTORED_DATA_LOST: (
        "Connectivity between IBKR and Trader Workstation has been restored - data lost."
    ),
    RESTORED: (
        "Connectivity between IBKR and Trader Workstation has been restored - data maintained. "
        "All data farms are connected: usfarm; ushmds; secdefil."
    ),
    PORT_RESET: (
        "TWS socket port has been reset and this connection is being dropped. Please reconnect on "
        "the new port - "
    ),
    ACCOUNT_REPLACED: (
        "New account data requested from TWS.  API client has been unsubscribed from account data."
    ),
    NEEDS_SUBSCRIPTION: (
        "Requested market data requires additional subscription for API. See link in 'Market Data "
        "Connections' dialog for more details.Delayed market data is available."
    ),
    DISCLAIMER: "Paper trading disclaimer must first be accepted for API connection.",
    BAD_ORDER_ID: "Invalid order id: 0",
    PARTLY_SUBSCRIBED: (
        "Part of requested market data is not subscribed. Subscription-independent ticks are still active."
    ),
    DELAYED_SHOWN: "Requested market data is not subscribed. Displaying delayed market data.",
    DELAYED_OFF: ("Requested market data is not subscribed. Delayed market data is not enabled."),
    TICK_BY_TICK_LIMIT: "Max number of tick-by-tick requests has been reached.",
    COMPETING_SESSION: "No market data during competing live session",
    OCA_REVISION: "OCA group revision is not allowed.",
    FRACTIONAL: "Fractional-sized order cannot be placed via API.",
    2103: "Market data farm connection is broken:usfarm",
    2104: "Market data farm connection is OK:usfarm",
    2105: "HMDS data farm connection is broken:ushmds",
    2106: "HMDS data farm connection is OK:ushmds",
    2107: "HMDS data farm connection is inactive but should be available upon demand.ushmds",
    2108: "Market data farm connection is inactive but should be available upon demand.usfarm",
    2110: (
        "Connectivity between Trader Workstation and server is broken. It will be restored "
        "automatically."
    ),
    2119: "Market data farm is connecting:usfarm",
    2157: "Sec-def data farm connection is broken:secdefil",
    2158: "Sec-def data farm connection is OK:secdefil",
}


def validation(cause: str) -> str:
    """Word the text of error 321."""
    return f"Error validating request.-'bQ' : cause - {cause}"


def rejection(reason: str) -> str:
    """Word the text of error 201."""
    return f"Order rejected - reason:{reason}"


def history(reason: str) -> str:
    """Word the text of error 162."""
    return f"Historical Market Data Service error message:{reason}"
