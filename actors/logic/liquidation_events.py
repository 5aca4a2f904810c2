"""What reaches a liquidation (events) and what it wants done (effects): plain values (D16).

Every effect that is answered carries ``turn``; its answer brings the turn back, and an answer of an earlier turn (one
that was overtaken by the loss of the link, say) is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from actors import messages as m
from actors.model.account import Holding
from actors.model.contracts import Contract
from actors.model.orders import CloseReason, OrderAction


class Step(StrEnum):
    """The steps of a liquidation; each is recorded before it is taken."""

    LATCHING = "LATCHING"
    WAITING_FOR_LINK = "WAITING_FOR_LINK"
    CANCELLING = "CANCELLING"
    READING = "READING"
    CLOSING = "CLOSING"
    QUEUED = "QUEUED"
    VERIFYING = "VERIFYING"
    DONE = "DONE"


# --- events ---------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class LatchRecorded:
    """The latch is durable, or (``durable`` False) the disk refused it; the gate stays closed in both cases."""

    durable: bool = True


@attrs.frozen(kw_only=True)
class StepRecorded:
    """The step is durable, or the disk refused it; a latched liquidation goes on in both cases (D14)."""

    turn: int
    durable: bool = True


@attrs.frozen(kw_only=True)
class LinkUp:
    """The link is up and the world is reconciled."""


@attrs.frozen(kw_only=True)
class LinkDown:
    """The link is lost."""


@attrs.frozen(kw_only=True)
class CancelsDone:
    """Every order in scope is at its end, as far as the executor knows; ``cancelled`` names them."""

    turn: int
    cancelled: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class BrokerRead:
    """What is held and what works, in scope. ``agrees``: the ledger says the same as the broker.

    ``resting`` is per con_id what the working orders can still do to the position, signed. ``opens_at`` names the next
    opening (UTC) of each con_id that does not trade now; hours that are not known make nobody wait.
    """

    turn: int
    holdings: tuple[Holding, ...]
    working: tuple[str, ...] = ()
    agrees: bool = True
    resting: Mapping[int, float] = MappingProxyType({})
    opens_at: Mapping[int, datetime] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class ClosesDone:
    """The closing orders are concluded, each in its own way; ``closed`` says in words what came of each.

    ``queued`` are the con_ids of those that the broker keeps for the open.
    """

    turn: int
    closed: tuple[str, ...] = ()
    queued: frozenset[int] = frozenset()


@attrs.frozen(kw_only=True)
class StepFailed:
    """The effect of this turn has no answer: a timeout, a refusal, an actor that failed."""

    turn: int
    reason: str


@attrs.frozen(kw_only=True)
class HeldAfterAll:
    """The broker tells of a position in scope although the liquidation is over: a late fill, a trade by hand."""

    holding: Holding


@attrs.frozen(kw_only=True)
class DelayPassed:
    """The delay of `RetryLater` is over."""

    turn: int


Event = (
    LatchRecorded
    | StepRecorded
    | LinkUp
    | LinkDown
    | CancelsDone
    | BrokerRead
    | ClosesDone
    | StepFailed
    | HeldAfterAll
    | DelayPassed
)

# --- effects --------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class CloseGate:
    """Refuse opening orders from now on, in memory first."""

    reason: str


@attrs.frozen(kw_only=True)
class RecordLatch:
    """Make the latch durable; answered by `LatchRecorded`."""

    liquidation_id: str
    reason: str


@attrs.frozen(kw_only=True)
class RecordStep:
    """Make a step durable; answered by `StepRecorded`."""

    turn: int
    step: Step
    detail: str


@attrs.frozen(kw_only=True)
class CancelAll:
    """Cancel every working order in scope, protective ones too; answered by `CancelsDone`."""

    turn: int
    whole_account: bool


@attrs.frozen(kw_only=True)
class ReadBroker:
    """Read executions, then positions, and open orders, to their end markers; answered by `BrokerRead`."""

    turn: int


@attrs.frozen(kw_only=True)
class Close:
    """One position to be closed at the market: now, or at the opening at ``opens_at`` (UTC)."""

    contract: Contract
    action: OrderAction
    quantity: float
    opens_at: datetime | None = None

    def __str__(self) -> str:
        what = f"{self.action} {self.quantity:g} {self.contract}"
        if self.opens_at is None:
            return what
        return f"{what} queued for the open at {self.opens_at:%Y-%m-%d %H:%M} UTC"


@attrs.frozen(kw_only=True)
class CloseQueue:
    """Closes that wait for the open: those ``at_broker`` (con_ids) there, the others, which it would not take, here."""

    closes: tuple[Close, ...] = ()
    at_broker: frozenset[int] = frozenset()


NO_QUEUE = CloseQueue()


@attrs.frozen(kw_only=True)
class SubmitCloses:
    """Close these positions concurrently, each through the risk gate; answered by `ClosesDone`."""

    turn: int
    closes: tuple[Close, ...]
    reason: CloseReason


@attrs.frozen(kw_only=True)
class RetryLater:
    """Come back with `DelayPassed` after this delay."""

    turn: int
    delay_s: float


@attrs.frozen(kw_only=True)
class Alarm:
    """Tell the operator, loudly: something needs a person."""

    text: str


@attrs.frozen(kw_only=True)
class Report:
    """The liquidation is over; say how it ended."""

    report: m.LiquidationReport


Effect = (
    CloseGate
    | RecordLatch
    | RecordStep
    | CancelAll
    | ReadBroker
    | SubmitCloses
    | RetryLater
    | Alarm
    | Report
)


MOST_READS_IN_DISAGREEMENT: Final = 20
"""A round is one pass from cancelling to verifying, or one failed effect; reads are counted apart."""

RETRY_S: Final = 1.0
VERIFY_DELAY_S: Final = 0.25
QUEUE_LEAD_S: Final = 5.0
"""Closes that are queued for the open are looked at every `RETRY_S` from so long before it."""


@attrs.frozen(kw_only=True)
class LiquidationState:
    """Where a liquidation stands. ``recorded``: the step is durable and its effect was asked for.

    ``flat_reads`` counts reads in a row that found nothing; ``disagreements`` those in a row on which ledger and
    broker did not agree. ``flat`` is only ever set by the second flat read.
    """

    liquidation_id: str
    trigger: str
    close_reason: CloseReason
    started_at: datetime
    step: Step = Step.LATCHING
    turn: int = 0
    recorded: bool = False
    linked: bool = False
    simulated: bool = False
    round: int = 0
    flat_reads: int = 0
    disagreements: int = 0
    closes: tuple[Close, ...] = ()
    queue: CloseQueue = NO_QUEUE
    cancelled: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    flat: bool = False
    gave_up: bool = False
    ended_at: datetime | None = None
