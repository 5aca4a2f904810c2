"""Messages about orders: from the caller's wish to the broker's last report."""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.kernel.messages import Lane, Message, Overflow, Reply, Request
from actors.messages.journal import OrderEntry
from actors.messages.said import said
from actors.model.contracts import Contract
from actors.model.orders import (
    BrokerOrder,
    CloseReason,
    Execution,
    GateRefusal,
    OrderAction,
    OrderResult,
    Permit,
    Purpose,
    TradeRequest,
    WaitFor,
    WireOrder,
)

# --- asked of the executor ----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SubmitOrder(Request):
    """Bring an order to the broker; answered by `OrderConcluded`. It is the only way to an order (ORD-3).

    ``rests``: at the deadline the remainder is left at the broker instead of being cancelled. Whoever asks for that
    looks after it. ``over_pending``: see `RequestApproval`.
    """

    request: TradeRequest
    purpose: Purpose = Purpose.OPEN
    wait_for: WaitFor = WaitFor.FILL
    contract: Contract | None = None
    close_reason: CloseReason | None = None
    liquidation_id: str | None = None
    submitted_at: datetime | None = None
    rests: bool = False
    over_pending: bool = False


@attrs.frozen(kw_only=True)
class OrderConcluded(Reply):
    """What came of the order by its deadline."""

    result: OrderResult


@attrs.frozen(kw_only=True)
class ModifyOrder(Request):
    """Change price or quantity of a working order; needs a permit of its own (ORD-3). Answered by `OrderConcluded`."""

    order_id: str = said()
    quantity: float | None = None
    limit_price: float | None = None
    stop_price: float | None = None


@attrs.frozen(kw_only=True)
class CancelOrder(Request):
    """Cancel a working order; answered by `OrderConcluded` once it is terminal."""

    order_id: str = said()


@attrs.frozen(kw_only=True)
class CancelAllOrders(Request):
    """Cancel every working order in scope and answer `AllOrdersCancelled` when each is terminal (STC-2).

    ``whole_account`` uses IB's global cancel, which reaches the orders of other clients too (STC-6).
    ``why`` is what the callers are told whose orders end by it.
    """

    whole_account: bool
    why: str


@attrs.frozen(kw_only=True)
class CancelCloses(Request):
    """Cancel every close of ours that can still fill; answered by `ClosesEnded` when none can any more.

    One that was asked for and is not written yet never is. Refused when it takes longer than the deadline, with the
    names of those that live; when the link is down at once, and what was sent is cancelled first when it is back.
    ``why`` is what their callers are told.
    """

    why: str


@attrs.frozen(kw_only=True)
class ClosesEnded(Reply):
    """No close of ours can fill any more; these were ended for that, with what they had filled."""

    ended: tuple[OrderResult, ...]


@attrs.frozen(kw_only=True)
class CancelRestingOrders(Request):
    """Cancel our opening orders of one contract and side; answered like `CancelAllOrders`.

    What rests on the side that reduces a position, as a protective stop does, stands in the way of its close (RSK-4).
    """

    con_id: int
    action: OrderAction


@attrs.frozen(kw_only=True)
class AllOrdersCancelled(Reply):
    """Nothing in scope works any more; ``simulated`` when the mode sends nothing."""

    cancelled: tuple[str, ...]
    simulated: bool = False


@attrs.frozen(kw_only=True)
class GetOpenOrders(Request):
    """Answered by `OpenOrdersRead`."""


@attrs.frozen(kw_only=True)
class OpenOrdersRead(Reply):
    """The orders that work or whose fate is unknown."""

    orders: tuple[OrderResult, ...]


@attrs.frozen(kw_only=True)
class GetLiveOrders(Request):
    """Which orders of ours can still fill? Answered by `LiveOrdersRead`."""


@attrs.frozen(kw_only=True)
class LiveOrder:
    """An order of ours that can still fill. ``remaining`` is without sign, in units.

    ``is_unknown``: its fate is being asked for. ``is_confirmed``: the broker acknowledged it. ``is_addressable``: this
    session can cancel it by its number, since it is of the same client id; else neither its end is told here.
    """

    order_id: str
    order: WireOrder
    remaining: float
    is_unknown: bool
    is_confirmed: bool
    is_addressable: bool = True


@attrs.frozen(kw_only=True)
class LiveOrdersRead(Reply):
    """The orders of ours that can still fill, or of which that is not known."""

    orders: tuple[LiveOrder, ...]


# --- from the executor --------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class OrderUpdated(Message):
    """What became of an order: one message for all whom it concerns, of which each takes what it needs.

    ============  ====================================================================================
    journal       ``entries``, in the order in which they are to be kept
    risk          ``execution`` first, then ``signed_remaining``: what of the order can still fill
    facade        ``execution`` for the stream of fills, ``result`` for the stream of orders
    ============  ====================================================================================

    What is None or empty has not changed; an address for which nothing has is not told. ``execution`` counts for the
    first time, or corrects the one with its ``base_id``; executions are also told of orders that are not ours.
    """

    overflow = Overflow.SIGNAL

    order_ref: str
    at: datetime
    detail: str = ""
    entries: tuple[OrderEntry, ...] = ()
    execution: Execution | None = None
    signed_remaining: float | None = None
    result: OrderResult | None = None


@attrs.frozen(kw_only=True)
class WorkingOrder(Message):
    """An order that can still fill, as risk has to count it."""

    order_ref: str
    contract: Contract
    signed_remaining: float
    price: float | None
    purpose: Purpose


@attrs.frozen(kw_only=True)
class WorkingOrdersKnown(Message):
    """Every order that can still fill, after reconciliation ``number``; replaces what risk had reserved.

    The gate only learns from it which closes to reckon with: its own last line is no copy of risk's.
    """

    lane = Lane.RECOVERY

    number: int
    orders: tuple[WorkingOrder, ...]


@attrs.frozen(kw_only=True)
class CloseSettled(Message):
    """Told to the gate: this close can fill no more, and its executions add up to what it filled (RSK-4)."""

    overflow = Overflow.SIGNAL

    order_ref: str


# --- between the executor and the link ----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class InstallPermitKey(Message):
    """The risk actor's key for this incarnation; permits made with an earlier key are void (D13)."""

    lane = Lane.RECOVERY

    key: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class SetGate(Message):
    """Open the gate for a session that is reconciled, or close it; only the connection sends it.

    Strategy C narrows an open gate by `LatchChanged`, which the link obeys as well: the two never undo each other.
    """

    lane = Lane.RECOVERY

    open: bool
    reason: str


@attrs.frozen(kw_only=True)
class SendOrder(Request):
    """Pass the gate and be written in the same step; answered by one of the three events below (D13)."""

    permit: Permit
    order: WireOrder


@attrs.frozen(kw_only=True)
class OrderSent(Reply):
    """The order's bytes were handed to the socket, at ``sent_at``."""

    order_ref: str
    broker_order_id: int
    gate_sequence: int
    sent_at: datetime


@attrs.frozen(kw_only=True)
class OrderSimulated(Reply):
    """The gate let the order pass, and the mode has no sender behind it (MODE-1)."""

    order_ref: str
    gate_sequence: int


@attrs.frozen(kw_only=True)
class OrderRefusedAtGate(Reply):
    """Nothing was sent, and this order will never be."""

    order_ref: str
    reason: str
    kind: GateRefusal = GateRefusal.OTHER


@attrs.frozen(kw_only=True)
class SendCancel(Message):
    """Cancel at the broker; needs no permit (D13)."""

    order_ref: str
    broker_order_id: int


@attrs.frozen(kw_only=True)
class SendGlobalCancel(Message):
    """Cancel every order of the account at the broker, those of other clients too."""


@attrs.frozen(kw_only=True)
class QueryGate(Request):
    """What became of these orders at the gate? Those not seen are void from now on. Answered by `GateAnswered`."""

    lane = Lane.RECOVERY

    order_refs: tuple[str, ...]


@attrs.frozen(kw_only=True)
class GateAnswered(Reply):
    """Per order that was sent: its reference and broker order id.

    The others were not sent and never will be, provided that they were made after ``gate_started_at``: of what came
    before it, this gate knows nothing.
    """

    lane = Lane.RECOVERY

    sent: tuple[tuple[str, int], ...]
    gate_started_at: datetime


# --- from the link ------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class BrokerOrderReported(Message):
    """An openOrder (``order`` has its terms) or an orderStatus (terms are None) arrived."""

    overflow = Overflow.SIGNAL

    order: BrokerOrder
    received_at: datetime


@attrs.frozen(kw_only=True)
class ExecutionReported(Message):
    """An execution arrived; it may be one that was seen before."""

    overflow = Overflow.SIGNAL

    execution: Execution
    received_at: datetime


@attrs.frozen(kw_only=True)
class CommissionReported(Message):
    """The commission of an execution became known."""

    overflow = Overflow.SIGNAL

    exec_id: str
    commission: float
    realized_pnl: float | None


@attrs.frozen(kw_only=True)
class OrderErrorReported(Message):
    """The broker sent an error or an advisory under an order's id; its meaning is in `logic.broker_codes`."""

    overflow = Overflow.SIGNAL

    broker_order_id: int
    code: int
    text: str
    received_at: datetime
