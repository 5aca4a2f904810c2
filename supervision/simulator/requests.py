"""The requests a client can send: their numbers, names, and whether a version field follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from .client import Client
from .fields import Fields

Handler = Callable[[Client, Fields], None]
"""Answers one request; may raise `FieldError` (→ 320) or `Refusal` (→ its code)."""


@attrs.frozen
class RequestKind:
    """One kind of request. `id_field` is where its request or order id stands, if it has one."""

    name: str
    versioned: bool
    id_field: int | None = None


REQUESTS: dict[int, RequestKind] = {
    1: RequestKind("reqMktData", True, 2),
    2: RequestKind("cancelMktData", True, 2),
    3: RequestKind("placeOrder", False, 1),
    4: RequestKind("cancelOrder", True, 2),
    5: RequestKind("reqOpenOrders", True),
    6: RequestKind("reqAccountUpdates", True),
    7: RequestKind("reqExecutions", True, 2),
    8: RequestKind("reqIds", True),
    9: RequestKind("reqContractDetails", True, 2),
    10: RequestKind("reqMktDepth", True, 2),
    11: RequestKind("cancelMktDepth", True, 2),
    14: RequestKind("setServerLogLevel", True),
    15: RequestKind("reqAutoOpenOrders", True),
    16: RequestKind("reqAllOpenOrders", True),
    17: RequestKind("reqManagedAccts", True),
    20: RequestKind("reqHistoricalData", False, 1),
    25: RequestKind("cancelHistoricalData", True, 2),
    49: RequestKind("reqCurrentTime", True),
    50: RequestKind("reqRealTimeBars", True, 2),
    51: RequestKind("cancelRealTimeBars", True, 2),
    58: RequestKind("reqGlobalCancel", True),
    59: RequestKind("reqMarketDataType", True),
    61: RequestKind("reqPositions", True),
    62: RequestKind("reqAccountSummary", True, 2),
    63: RequestKind("cancelAccountSummary", True, 2),
    64: RequestKind("cancelPositions", True),
    74: RequestKind("reqPositionsMulti", True, 2),
    75: RequestKind("cancelPositionsMulti", True, 2),
    76: RequestKind("reqAccountUpdatesMulti", True, 2),
    77: RequestKind("cancelAccountUpdatesMulti", True, 2),
    78: RequestKind("reqSecDefOptParams", False, 1),
    80: RequestKind("reqFamilyCodes", False),
    81: RequestKind("reqMatchingSymbols", False, 1),
    82: RequestKind("reqMktDepthExchanges", False),
    83: RequestKind("reqSmartComponents", False, 1),
    85: RequestKind("reqNewsProviders", False),
    87: RequestKind("reqHeadTimestamp", False, 1),
    90: RequestKind("cancelHeadTimestamp", False, 1),
    91: RequestKind("reqMarketRule", False),
    92: RequestKind("reqPnL", False, 1),
    93: RequestKind("cancelPnL", False, 1),
    94: RequestKind("reqPnLSingle", False, 1),
    95: RequestKind("cancelPnLSingle", False, 1),
    97: RequestKind("reqTickByTickData", False, 1),
    98: RequestKind("cancelTickByTickData", False, 1),
    99: RequestKind("reqCompletedOrders", False),
    104: RequestKind("reqUserInfo", False, 1),
}
"""Every request this gateway understands; others are skipped."""

BY_NAME = {kind.name: number for number, kind in REQUESTS.items()}


def numbers_of(names: Iterable[str]) -> list[int]:
    """The numbers of requests by name; raises `ValueError` for an unknown one."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise ValueError(f"unknown request {unknown[0]!r}; known: {', '.join(BY_NAME)}")
    return [BY_NAME[name] for name in names]
