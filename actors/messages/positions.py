"""Messages about positions and the account."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime

import attrs

from actors.kernel.messages import Lane, Message, Overflow, Reply, Request
from actors.messages.said import said
from actors.model.account import Account, Holding, Position
from actors.model.orders import CloseReason, OrderResult


@attrs.frozen(kw_only=True)
class GetPositions(Request):
    """Answered by `PositionsRead`."""


@attrs.frozen(kw_only=True)
class PositionsRead(Reply):
    """All positions; ``is_cached`` when the link is down and they are the last that were known (POS-5)."""

    positions: tuple[Position, ...]
    is_cached: bool


@attrs.frozen(kw_only=True)
class GetAccount(Request):
    """Answered by `AccountRead`."""


@attrs.frozen(kw_only=True)
class AccountRead(Reply):
    """The account's newest numbers."""

    account: Account


@attrs.frozen(kw_only=True)
class ClosePosition(Request):
    """Close one position; answered by `PositionClosed`, `PositionNotFoundError` (POS-6) or `MarketClosedError`."""

    position_id: str = said()
    reason: CloseReason


@attrs.frozen(kw_only=True)
class PositionClosed(Reply):
    """What came of the closing order."""

    position_id: str
    result: OrderResult


@attrs.frozen(kw_only=True)
class CloseAllPositions(Request):
    """Close every position concurrently within the deadline; answered by `AllPositionsClosed` (POS-7)."""

    reason: CloseReason


@attrs.frozen(kw_only=True)
class AllPositionsClosed(Reply):
    """The result of each close, and what is still held."""

    results: tuple[OrderResult, ...]
    remaining: tuple[Position, ...]


@attrs.frozen(kw_only=True)
class FlattenSymbol(Request):
    """Close whatever is held under one symbol, options and futures included, and end its orders.

    Answered by `SymbolFlattened`; its parts are empty where nothing is held.

    ``over_pending``: close although an order that can still fill could turn the position (RULES 2); only a person who
    has seen the worst turn asks for that.
    """

    symbol: str = said()
    over_pending: bool = False
    reason: CloseReason = CloseReason.MANUAL


@attrs.frozen(kw_only=True)
class SymbolFlattened(Reply):
    """The result of each close, and what is still held under the symbol."""

    results: tuple[OrderResult, ...]
    remaining: tuple[Position, ...]


@attrs.frozen(kw_only=True)
class CheckClosures(Request):
    """Which positions are due to be closed now (3 DTE, emergency)? Answered by `ClosuresChecked`."""


@attrs.frozen(kw_only=True)
class ClosuresChecked(Reply):
    """The positions that are due, each with its trigger."""

    due: tuple[Position, ...]


@attrs.frozen(kw_only=True)
class PositionsChanged(Message):
    """The positions as they stand now; ``from_broker`` after a reconciliation or a broker's push."""

    overflow = Overflow.CONFLATE

    positions: tuple[Position, ...]
    at: datetime

    def conflation_key(self) -> Hashable:
        """Only the newest state of the positions matters."""
        return "positions"


@attrs.frozen(kw_only=True)
class HoldingReported(Message):
    """The broker pushed one position; ``sequence`` is how often it told another one of this contract."""

    overflow = Overflow.SIGNAL

    holding: Holding
    sequence: int = 0


@attrs.frozen(kw_only=True)
class AccountChanged(Message):
    """The account's numbers changed."""

    overflow = Overflow.CONFLATE

    account: Account

    def conflation_key(self) -> Hashable:
        """Only the newest numbers of an account matter."""
        return self.account.account_id


@attrs.frozen(kw_only=True)
class PositionsReconciled(Message):
    """Positions after a reconciliation, for risk to start from; served before business."""

    lane = Lane.RECOVERY

    number: int
    holdings: tuple[Holding, ...]
