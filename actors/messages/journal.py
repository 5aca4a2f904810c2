"""Messages to the journal: what has to be durable before anything is sent (D14)."""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.kernel.messages import Lane, Message, Overflow, Reply, Request
from actors.model.latch import LatchStanding
from actors.model.market import Quote
from actors.model.orders import (
    CloseReason,
    Execution,
    TradeRequest,
    ValidationResult,
    WaitFor,
    WireOrder,
)


@attrs.frozen(kw_only=True)
class Approval:
    """How an order or a change of one got its permit, for the audit trail: what risk saw, decided and signed, and when.

    ``submitted_at`` is when the caller asked, None where nobody said.
    """

    validation: ValidationResult
    permit_id: str
    permit_expires_at: datetime
    given_at: datetime
    asked_at: datetime | None = None
    submitted_at: datetime | None = None
    quote: Quote | None = None


@attrs.frozen(kw_only=True)
class RecordIntent(Request):
    """Make an order's intent durable; answered by `IntentDurable`. No durable intent, no order.

    ``position_base``: by what a later process tells whether it filled, in units (`executor.positions`).
    """

    order: WireOrder
    request: TradeRequest
    order_id: str
    incarnation: int
    at: datetime
    close_reason: CloseReason | None = None
    wait_for: WaitFor = WaitFor.ACK
    approval: Approval | None = None
    position_base: float | None = None


@attrs.frozen(kw_only=True)
class RecordModification(Request):
    """Make the new terms of an order durable before they are sent; answered by `IntentDurable`."""

    order: WireOrder
    request: TradeRequest
    at: datetime
    close_reason: CloseReason | None = None
    wait_for: WaitFor = WaitFor.ACK
    approval: Approval | None = None
    position_base: float | None = None


@attrs.frozen(kw_only=True)
class RecordUnjournaled(Message):
    """Keep the intent of a close that goes without a durable one, since the journal refused it or did not answer.

    Nobody waits for it: it is written as soon as the disk takes it, before what became of the order.
    """

    overflow = Overflow.SIGNAL

    intent: RecordIntent
    reason: str


@attrs.frozen(kw_only=True)
class ProveJournal(Request):
    """Write something, now; answered by `JournalWrites`. What was kept is written with it."""


@attrs.frozen(kw_only=True)
class JournalWrites(Reply):
    """The disk took what it was given."""


@attrs.frozen(kw_only=True)
class GetJournalStatus(Request):
    """Answered by `JournalStatus`."""


@attrs.frozen(kw_only=True)
class JournalStatus(Reply):
    """Whether the journal takes what it is given. ``degraded_by`` None: it does; ``kept``: entries that wait for it."""

    degraded_by: str | None
    kept: int = 0

    @property
    def problem(self) -> str | None:
        """Say in words that the writing does not go; None while it does."""
        return None if self.degraded_by is None else f"journal: {self.degraded_by}"


@attrs.frozen(kw_only=True)
class IntentDurable(Reply):
    """The intent is on the disk."""

    order_ref: str


@attrs.frozen(kw_only=True)
class Transition:
    """What the journal keeps of an order's new state; comes in an `OrderUpdated`."""

    order_ref: str
    state: str
    detail: str
    at: datetime
    broker_order_id: int | None = None
    client_id: int | None = None
    perm_id: int | None = None
    filled: float = 0.0


@attrs.frozen(kw_only=True)
class ChangeUndone:
    """The terms of an order that hold: a change of them was recorded, and did not leave. Comes in an `OrderUpdated`."""

    order: WireOrder
    request: TradeRequest
    close_reason: CloseReason | None
    wait_for: WaitFor
    position_base: float | None = None


@attrs.frozen(kw_only=True)
class Executed:
    """What the journal keeps of an execution; a known ``exec_id`` is ignored. Comes in an `OrderUpdated`.

    ``received_at``: IB's own time has whole seconds only.
    """

    execution: Execution
    received_at: datetime | None = None


@attrs.frozen(kw_only=True)
class Note:
    """What the audit trail keeps of what was said of an order, such as each message of the broker.

    ``kind`` names the message, ``facts`` are its fields that were set. Comes in an `OrderUpdated`, with the next change
    or a moment later.
    """

    order_ref: str
    kind: str
    facts: tuple[tuple[str, str | float], ...]
    at: datetime


@attrs.frozen(kw_only=True)
class RecordNotSent(Message):
    """Keep for the audit trail why an order was not sent that has no intent; nobody waits for it.

    ``order_id`` and ``order_ref`` are empty where it ended before it was given any.
    """

    overflow = Overflow.SIGNAL

    correlation_id: str
    request: TradeRequest
    status: str
    reason: str
    at: datetime
    order_id: str = ""
    order_ref: str = ""
    close_reason: CloseReason | None = None
    validation: ValidationResult | None = None
    submitted_at: datetime | None = None


@attrs.frozen(kw_only=True)
class RecordLatch(Request):
    """Make the latch's new state durable; answered by `LatchDurable`.

    It shares its lane with `ReadJournal`: a successor that asks finds what its predecessor told before.
    ``who`` and ``why`` are the operator's who takes it back, at once or at the next connection. ``account`` is a tag,
    empty while no account is known.
    """

    lane = Lane.RECOVERY

    latched: bool
    liquidation_id: str
    reason: str
    who: str
    why: str
    at: datetime
    close_reason: CloseReason = CloseReason.DISCONNECT
    standing: LatchStanding = LatchStanding.ACTING
    account: str = ""


@attrs.frozen(kw_only=True)
class LatchDurable(Reply):
    """The latch is written; where, is said.

    ``on_disk``: it is there after any restart: in the journal's file, or in the latch's marker. ``in_journal`` False:
    the journal has still to take it.
    """

    latched: bool
    on_disk: bool = True
    in_journal: bool = True


@attrs.frozen(kw_only=True)
class RecordStep(Request):
    """Make a step of a liquidation durable before it is taken; answered by `StepDurable` (D16).

    ``account`` is a tag (CON-18).
    """

    liquidation_id: str
    step: str
    detail: str
    at: datetime
    account: str = ""


@attrs.frozen(kw_only=True)
class StepDurable(Reply):
    """The step is on the disk."""

    step: str


@attrs.frozen(kw_only=True)
class RecordGrace(Message):
    """Remember that ``trigger`` latches Strategy C at ``until``; with None, that it does no more (STC-5)."""

    trigger: str
    until: datetime | None
    at: datetime


@attrs.frozen(kw_only=True)
class RecordedStake:
    """What was held of a contract when a day or week began (`actors.risk.baselines.Stake`)."""

    con_id: int
    quantity: float
    value: float | None
    cost: float
    currency: str
    rate: float
    is_future: bool = False


@attrs.frozen(kw_only=True)
class RecordBaseline(Message):
    """Remember an account when a day or week began (RSK-5); what the fields mean: `actors.risk.baselines.Baseline`.

    ``account`` names it by endpoint and a hash. ``why`` says what moved a baseline that was there already, for the
    audit trail.
    """

    kind: str
    key: str
    value: float
    at: datetime
    account: str = ""
    cash: float | None = None
    futures: float = 0.0
    stakes: tuple[RecordedStake, ...] = ()
    seen: tuple[str, ...] = ()
    seen_until: datetime | None = None
    why: str = ""
    who: str = "risk"


@attrs.frozen(kw_only=True)
class PinAccount(Message):
    """Remember which account is traded at a kind of endpoint (``embedded`` or ``external``), for good (CON-18)."""

    endpoint: str
    account: str
    at: datetime


@attrs.frozen(kw_only=True)
class RaiseOrderIdFloor(Message):
    """Never use a broker order id below this again (D15). Rides in an `OrderUpdated` when an order was sent."""

    client_id: int
    floor: int


OrderEntry = Transition | ChangeUndone | Executed | Note | RecordNotSent | RaiseOrderIdFloor
"""What an `OrderUpdated` has for the journal."""


@attrs.frozen(kw_only=True)
class ReadJournal(Request):
    """Read what a restarted actor needs; answered by `JournalRead`."""

    lane = Lane.RECOVERY


@attrs.frozen(kw_only=True)
class JournaledOrder(Message):
    """An order as the journal has it: its terms, and the newest thing that is known of it."""

    order: WireOrder
    request: TradeRequest
    order_id: str
    correlation_id: str
    close_reason: CloseReason | None
    wait_for: WaitFor
    state: str
    broker_order_id: int | None
    filled: float
    at: datetime
    client_id: int | None = None
    perm_id: int | None = None
    position_base: float | None = None


@attrs.frozen(kw_only=True)
class JournalRead(Reply):
    """The journal's content, as far as it still matters.

    ``orders`` are those that it does not know to be at their end; ``ended`` the newest that are: a fill may yet come.
    ``close_reason`` is what the closes of a latched liquidation are for.
    """

    lane = Lane.RECOVERY

    orders: tuple[JournaledOrder, ...]
    executions: tuple[Execution, ...]
    latched: bool
    latch_reason: str | None
    liquidation_id: str | None
    liquidation_step: str | None
    baselines: tuple[RecordBaseline, ...]
    order_id_floors: tuple[tuple[int, int], ...]
    ended: tuple[JournaledOrder, ...] = ()
    close_reason: CloseReason | None = None
    traded: tuple[tuple[str, int], ...] = ()
    """Every contract (``con_id``) that was ever traded, with the operator id at the head of its orders."""
    pinned: tuple[tuple[str, str], ...] = ()
    """The account that is traded, by kind of endpoint; none before the first connection (CON-18)."""
    latch_id: str | None = None
    """The liquidation of the latch's newest entry, on or off; None where the journal never knew of a latch."""
    latch_standing: LatchStanding = LatchStanding.ACTING
    """What a latch that is on stands for; see there."""
    latch_by: tuple[str, str] = ("", "")
    """Who has taken the latch back and why, where that has still to be carried out."""
    latch_agrees: bool = True
    """Whether journal and marker say the same of the latch; else it has to be written anew."""
    is_empty: bool = False
    """The file knows of no order and no latch: it is new, or in the place of another."""
    grace: tuple[str, datetime] | None = None
    """The disconnect that latches Strategy C, in words, and when; None where no grace is running."""
