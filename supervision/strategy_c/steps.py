"""The steps of Strategy C: stop opening risk, cancel what works, close what is held, prove flat (STC, D16).

::

    LATCHING → (WAITING_FOR_LINK) → CANCELLING → READING → CLOSING → VERIFYING → DONE
                       ↑                 ↑                   │↑           │
          link lost at any step          │    (QUEUED for the open)       │
                                         └──── not flat: another round ───┘

Guarantees: a step is recorded before it is taken; closes are sized only after every cancel is at its end and ledger and
broker agree; flat is said only when two reads in a row found neither holdings nor working orders; the number of rounds
is bounded and ends in an alarm. What does not trade now is queued for its open (`liquidation_queue`). A simulated
liquidation reports "would close …" and never claims flat (MODE-6).

While the latch is on it stays on watch: a position that appears after flat was said begins a new round, with an alarm.

It is always safe to begin again at CANCELLING, which is what `resume` and a restored link do: what was closed already
is not held any more when it is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import attrs

from actors import messages as m
from actors.logic.liquidation_events import (
    MOST_READS_IN_DISAGREEMENT,
    NO_QUEUE,
    RETRY_S,
    VERIFY_DELAY_S,
    Alarm,
    BrokerRead,
    CancelAll,
    CancelsDone,
    CloseGate,
    ClosesDone,
    DelayPassed,
    Effect,
    Event,
    HeldAfterAll,
    LatchRecorded,
    LinkDown,
    LinkUp,
    LiquidationState,
    ReadBroker,
    RecordLatch,
    RecordStep,
    Report,
    RetryLater,
    Step,
    StepFailed,
    StepRecorded,
    SubmitCloses,
)
from actors.logic.liquidation_queue import (
    first_open,
    misfit_of,
    next_look_s,
    queue_of,
)
from actors.logic.liquidation_sizing import closes_for
from actors.model.orders import CloseReason
from actors.sections.strategy_c import StrategyC

Outcome = tuple[LiquidationState, tuple[Effect, ...]]


def begin(
    liquidation_id: str,
    trigger: str,
    close_reason: CloseReason,
    now: datetime,
    *,
    linked: bool,
    simulated: bool = False,
) -> Outcome:
    """Trigger a liquidation: the gate is closed at once, and the latch goes to the disk."""
    state = LiquidationState(
        liquidation_id=liquidation_id,
        trigger=trigger,
        close_reason=close_reason,
        started_at=now,
        linked=linked,
        simulated=simulated,
    )
    return state, (
        CloseGate(reason=trigger),
        RecordLatch(liquidation_id=liquidation_id, reason=trigger),
    )


def resume(
    liquidation_id: str,
    trigger: str,
    close_reason: CloseReason,
    step: str | None,
    now: datetime,
    *,
    linked: bool,
    simulated: bool = False,
) -> Outcome:
    """Take up a liquidation whose latch is durable, after a crash at any step; the gate is closed first.

    One that was DONE stays so (the latch holds until an operator re-arms); every other begins at CANCELLING.
    """
    begun, effects = begin(
        liquidation_id, trigger, close_reason, now, linked=linked, simulated=simulated
    )
    gate = effects[:1]
    if step == Step.DONE:
        return attrs.evolve(begun, step=Step.DONE, recorded=True, ended_at=now), gate
    state, more = _start_round(begun, "resumed")
    return state, (*gate, *more)


def advance(state: LiquidationState, event: Event, now: datetime, limits: StrategyC) -> Outcome:
    """Take an event in; answers of an earlier turn, and events that the step has no use for, change nothing."""
    turn = getattr(event, "turn", state.turn)
    if turn != state.turn:
        return state, ()
    handler = _HANDLERS.get((state.step, type(event))) or _ANYWHERE.get(type(event))
    return (state, ()) if handler is None else handler(state, event, now, limits)


# --- steps ----------------------------------------------------------------------------------------------------------


def _go(state: LiquidationState, step: Step, detail: str = "") -> Outcome:
    """Turn to a step: it is recorded now, and taken when that is answered."""
    moved = attrs.evolve(state, step=step, turn=state.turn + 1, recorded=False)
    return moved, (RecordStep(turn=moved.turn, step=step, detail=detail),)


def _start_round(state: LiquidationState, detail: str) -> Outcome:
    fresh = attrs.evolve(state, flat_reads=0, disagreements=0, closes=(), queue=NO_QUEUE)
    return _go(fresh, Step.CANCELLING if state.linked else Step.WAITING_FOR_LINK, detail)


def _next_round(state: LiquidationState, detail: str, now: datetime, limits: StrategyC) -> Outcome:
    """Begin another round, or give up with an alarm when there were enough."""
    counted = attrs.evolve(state, round=state.round + 1)
    if counted.round < limits.max_close_rounds:
        return _start_round(counted, detail)
    text = f"not flat after {counted.round} rounds ({detail}); a person has to act"
    ended, effects = _end(attrs.evolve(counted, gave_up=True), now)
    return ended, (Alarm(text=text), *effects)


def _end(state: LiquidationState, now: datetime) -> Outcome:
    moved, effects = _go(attrs.evolve(state, ended_at=now), Step.DONE, _ending(state))
    return moved, effects


def _ending(state: LiquidationState) -> str:
    if state.simulated:
        return "simulated"
    return "flat" if state.flat else "not flat"


def _take(
    state: LiquidationState, _event: StepRecorded, now: datetime, limits: StrategyC
) -> Outcome:
    """Ask for what the recorded step is about."""
    if state.recorded:
        return state, ()
    taken = attrs.evolve(state, recorded=True)
    turn = state.turn
    match state.step:
        case Step.CANCELLING:
            return taken, (CancelAll(turn=turn, whole_account=limits.whole_account),)
        case Step.READING | Step.QUEUED | Step.VERIFYING:
            return taken, (ReadBroker(turn=turn),)
        case Step.CLOSING:
            return taken, (SubmitCloses(turn=turn, closes=state.closes, reason=state.close_reason),)
        case Step.DONE:
            return taken, (Report(report=_report(state, state.ended_at or now)),)
        case _:
            return taken, ()


def _latched(
    state: LiquidationState, event: LatchRecorded, _now: datetime, _limits: StrategyC
) -> Outcome:
    moved, effects = _start_round(state, state.trigger)
    if event.durable:
        return moved, effects
    alarm = Alarm(text="the latch could not be made durable; the gate stays closed in memory")
    return moved, (alarm, *effects)


def _link_up(
    state: LiquidationState, _event: LinkUp, _now: datetime, _limits: StrategyC
) -> Outcome:
    """A new link brings a fresh bound of rounds; a liquidation that gave up tries again."""
    linked = attrs.evolve(state, linked=True, round=0)
    waits = state.step is Step.WAITING_FOR_LINK
    if waits or (state.step is Step.DONE and state.gave_up):
        again = attrs.evolve(linked, gave_up=False, ended_at=None)
        return _start_round(again, "the link is up")
    return linked, ()


def _link_down(
    state: LiquidationState, _event: LinkDown, _now: datetime, _limits: StrategyC
) -> Outcome:
    down = attrs.evolve(state, linked=False)
    if state.step in (Step.LATCHING, Step.WAITING_FOR_LINK, Step.DONE):
        return down, ()
    return _start_round(down, "the link is lost")


def _cancelled(
    state: LiquidationState, event: CancelsDone, _now: datetime, _limits: StrategyC
) -> Outcome:
    known = (*state.cancelled, *(name for name in event.cancelled if name not in state.cancelled))
    return _go(attrs.evolve(state, cancelled=known), Step.READING)


def _read(state: LiquidationState, event: BrokerRead, now: datetime, limits: StrategyC) -> Outcome:
    """Size the closes, but only from a state in which nothing works and ledger and broker agree."""
    seen = attrs.evolve(state, remaining=_describe(event))
    if state.simulated:
        closes = closes_for(event.holdings, event.opens_at)
        would = tuple(f"would close: {close}" for close in closes)
        return _end(attrs.evolve(seen, closed=would), now)
    if event.working:
        return _next_round(seen, f"still working: {', '.join(event.working)}", now, limits)
    if not event.agrees:
        return _read_again(seen, now, limits)
    closes = closes_for(event.holdings, event.opens_at)
    if not closes:
        return _go(attrs.evolve(seen, flat_reads=1), Step.VERIFYING)
    detail = ", ".join(str(close) for close in closes)
    return _go(attrs.evolve(seen, closes=closes), Step.CLOSING, detail)


def _read_again(state: LiquidationState, now: datetime, limits: StrategyC) -> Outcome:
    counted = attrs.evolve(state, disagreements=state.disagreements + 1)
    if counted.disagreements >= MOST_READS_IN_DISAGREEMENT:
        return _next_round(counted, "ledger and broker do not agree", now, limits)
    return _wait(counted, RETRY_S)


def _wait(state: LiquidationState, delay_s: float) -> Outcome:
    """Take the same step once more after a delay; it is recorded already."""
    waiting = attrs.evolve(state, turn=state.turn + 1)
    return waiting, (RetryLater(turn=waiting.turn, delay_s=delay_s),)


def _closed(
    state: LiquidationState, event: ClosesDone, _now: datetime, _limits: StrategyC
) -> Outcome:
    queue = queue_of(state.closes, event.queued)
    told = attrs.evolve(state, closed=(*state.closed, *event.closed), flat_reads=0, queue=queue)
    if not queue.closes:
        return _go(told, Step.VERIFYING)
    return _go(told, Step.QUEUED, ", ".join(str(close) for close in queue.closes))


def _look(state: LiquidationState, event: BrokerRead, now: datetime, limits: StrategyC) -> Outcome:
    """Wait on while the queue fits what is held, and size anew when it does not; rounds count from the open on."""
    seen = attrs.evolve(state, remaining=_describe(event))
    if not event.agrees:
        return _read_again(seen, now, limits)
    if not event.holdings and not event.working:
        return _go(attrs.evolve(seen, flat_reads=1, queue=NO_QUEUE), Step.VERIFYING)
    misfit = misfit_of(state.queue, event, now, limits)
    if misfit is not None:
        return _next_round(seen, misfit, now, limits)
    return _wait(
        attrs.evolve(seen, round=0, disagreements=0),
        next_look_s(state.queue, event.holdings, now, limits),
    )


def _not_looked(
    state: LiquidationState, event: StepFailed, now: datetime, limits: StrategyC
) -> Outcome:
    """A look that had no answer is repeated: the queue stands at the broker meanwhile. From the open on it counts."""
    if now < first_open(state.queue):
        return _wait(state, RETRY_S)
    return _failed(state, event, now, limits)


def call_off(state: LiquidationState) -> LiquidationState:
    """Stop looking at the queue, so that an operator can take it back; `DelayPassed` of the new turn goes on."""
    return attrs.evolve(state, turn=state.turn + 1)


def _verify(
    state: LiquidationState, event: BrokerRead, now: datetime, limits: StrategyC
) -> Outcome:
    seen = attrs.evolve(state, remaining=_describe(event))
    if not event.agrees:
        return _read_again(attrs.evolve(seen, flat_reads=0), now, limits)
    if event.holdings or event.working:
        return _next_round(seen, f"left: {', '.join(seen.remaining)}", now, limits)
    seen = attrs.evolve(seen, flat_reads=state.flat_reads + 1)
    if seen.flat_reads >= 2:
        return _end(attrs.evolve(seen, flat=True), now)
    return _wait(seen, VERIFY_DELAY_S)


def _failed(
    state: LiquidationState, event: StepFailed, now: datetime, limits: StrategyC
) -> Outcome:
    """An effect without an answer: what it did is open, so begin again at CANCELLING after a delay."""
    counted = attrs.evolve(state, round=state.round + 1, flat_reads=0)
    if counted.round >= limits.max_close_rounds:
        return _next_round(state, event.reason, now, limits)
    moved = attrs.evolve(counted, step=Step.CANCELLING, closes=())
    return _wait(moved, RETRY_S)


def _again(
    state: LiquidationState, _event: DelayPassed, now: datetime, limits: StrategyC
) -> Outcome:
    if state.step is Step.CANCELLING:
        return _go(state, Step.CANCELLING, "tried again")
    return _take(attrs.evolve(state, recorded=False), StepRecorded(turn=state.turn), now, limits)


def _held_after_all(
    state: LiquidationState, event: HeldAfterAll, _now: datetime, _limits: StrategyC
) -> Outcome:
    """Begin anew while latched, since flat is not what is so; one that gave up waits for a person or a new link."""
    if state.simulated or state.gave_up:
        return state, ()
    held = f"{event.holding.quantity:g} {event.holding.contract.position_id} held after all"
    again = attrs.evolve(state, flat=False, ended_at=None, round=0)
    moved, effects = _start_round(again, held)
    return moved, (Alarm(text=f"{held}: the liquidation begins anew"), *effects)


def _describe(event: BrokerRead) -> tuple[str, ...]:
    held = tuple(f"{item.quantity:g} {item.contract.position_id}" for item in event.holdings)
    return (*held, *(f"order {name}" for name in event.working))


def _report(state: LiquidationState, ended_at: datetime) -> m.LiquidationReport:
    return m.LiquidationReport(
        liquidation_id=state.liquidation_id,
        trigger=state.trigger,
        flat=state.flat,
        simulated=state.simulated,
        cancelled=state.cancelled,
        closed=state.closed,
        remaining=state.remaining,
        started_at=state.started_at,
        ended_at=ended_at,
    )


# The event's type is the table's key, so each handler meets only its own; the table cannot say that to the checker.
Handler = Callable[[LiquidationState, Any, datetime, StrategyC], Outcome]

_BUSY: Final = (Step.CANCELLING, Step.READING, Step.CLOSING, Step.VERIFYING)

_HANDLERS: Final[Mapping[tuple[Step, type], Handler]] = MappingProxyType(
    {
        (Step.LATCHING, LatchRecorded): _latched,
        (Step.CANCELLING, CancelsDone): _cancelled,
        (Step.READING, BrokerRead): _read,
        (Step.CLOSING, ClosesDone): _closed,
        (Step.QUEUED, BrokerRead): _look,
        (Step.VERIFYING, BrokerRead): _verify,
        **{(step, StepFailed): _failed for step in _BUSY},
        **{(step, DelayPassed): _again for step in (*_BUSY, Step.QUEUED)},
        (Step.QUEUED, StepFailed): _not_looked,
        (Step.DONE, HeldAfterAll): _held_after_all,
    }
)

_ANYWHERE: Final[Mapping[type, Handler]] = MappingProxyType(
    {StepRecorded: _take, LinkUp: _link_up, LinkDown: _link_down}
)
