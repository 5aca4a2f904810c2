"""Strategy C's steps: each recorded before it is taken, resumable anywhere, flat only when proved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from actors.logic.liquidation_events import (
    Alarm,
    BrokerRead,
    CancelAll,
    CancelsDone,
    Close,
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
from actors.logic.liquidation_sizing import closes_for, in_scope
from actors.model.account import Holding
from actors.model.orders import CloseReason, OrderAction
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.steps import advance, begin, resume
from tests.unit.logic.values import (
    LATER,
    NOW,
    QQQ,
    SPY,
    broker_state,
    holding,
    told_whole,
)

LIMITS = StrategyC()
Outcome = tuple[LiquidationState, tuple[Effect, ...]]


class Broker:
    """Answers effects: what is held, what works, and how closes go. It is the port of the steps, not our code."""

    def __init__(self, holdings: Iterable[Holding], working: tuple[str, ...] = ()) -> None:
        self.holdings = tuple(holdings)
        self.working = working
        self.disagreements = 0
        self.failures = 0
        self.closes_fill = True
        self.seen: list[Effect] = []

    def answer(self, effect: Effect) -> Event | None:
        self.seen.append(effect)
        match effect:
            case RecordLatch():
                return LatchRecorded()
            case RecordStep(turn=turn):
                return StepRecorded(turn=turn)
            case RetryLater(turn=turn):
                return DelayPassed(turn=turn)
            case CancelAll(turn=turn) | SubmitCloses(turn=turn) if self.failures:
                self.failures -= 1
                return StepFailed(turn=turn, reason="no answer")
            case CancelAll(turn=turn):
                names, self.working = self.working, ()
                return CancelsDone(turn=turn, cancelled=names)
            case ReadBroker(turn=turn):
                agrees = self.disagreements <= 0
                self.disagreements -= 1
                return BrokerRead(
                    turn=turn, holdings=self.holdings, working=self.working, agrees=agrees
                )
            case SubmitCloses(turn=turn, closes=closes):
                if self.closes_fill:
                    self.holdings = ()
                return ClosesDone(turn=turn, closed=tuple(str(close) for close in closes))
            case _:
                return None

    def run(self, outcome: Outcome, limits: StrategyC = LIMITS) -> LiquidationState:
        state, effects = outcome
        waiting = list(effects)
        while waiting:
            event = self.answer(waiting.pop(0))
            if event is not None:
                state, more = advance(state, event, LATER, limits)
                waiting += more
        return state

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.seen if isinstance(effect, kind)]


def start(linked: bool = True, simulated: bool = False) -> Outcome:
    return begin(
        "L1", "disconnect", CloseReason.DISCONNECT, NOW, linked=linked, simulated=simulated
    )


@pytest.mark.req("STC-2")
def test_the_gate_is_closed_before_the_latch_goes_to_the_disk() -> None:
    _, effects = start()

    assert effects == (
        CloseGate(reason="disconnect"),
        RecordLatch(liquidation_id="L1", reason="disconnect"),
    )


@pytest.mark.req("STC-2")
def test_what_is_held_is_cancelled_closed_and_proved_flat_by_two_reads() -> None:
    broker = Broker([holding(100), holding(-5, QQQ)], working=("a stop",))

    state = broker.run(start())
    report = broker.of(Report)[0].report

    assert state.step is Step.DONE
    assert [step.step for step in broker.of(RecordStep)] == [
        Step.CANCELLING,
        Step.READING,
        Step.CLOSING,
        Step.VERIFYING,
        Step.DONE,
    ]
    assert broker.of(SubmitCloses)[0].closes == (
        Close(contract=SPY, action=OrderAction.SELL, quantity=100.0),
        Close(contract=QQQ, action=OrderAction.BUY, quantity=5.0),
    )
    assert len(broker.of(ReadBroker)) == 3
    assert (report.flat, report.simulated, report.cancelled, report.remaining) == (
        True,
        False,
        ("a stop",),
        (),
    )
    assert report.closed == ("SELL 100 SPY", "BUY 5 QQQ")


@pytest.mark.req("STC-2")
def test_every_step_is_recorded_before_it_is_taken() -> None:
    broker = Broker([holding(100)])
    broker.run(start())

    taken = {CancelAll: Step.CANCELLING, SubmitCloses: Step.CLOSING, Report: Step.DONE}
    for kind, step in taken.items():
        recorded = broker.seen.index(next(e for e in broker.of(RecordStep) if e.step is step))
        assert recorded < broker.seen.index(broker.of(kind)[0])


@pytest.mark.req("STC-2")
def test_an_empty_account_is_flat_only_after_two_reads() -> None:
    broker = Broker([])

    state = broker.run(start())

    assert (state.flat, len(broker.of(ReadBroker)), broker.of(SubmitCloses)) == (True, 2, [])


@pytest.mark.req("STC-3")
def test_without_a_link_it_waits_and_runs_first_thing_after() -> None:
    broker = Broker([holding(100)])

    waiting = broker.run(start(linked=False))
    done = broker.run(advance(waiting, LinkUp(), LATER, LIMITS))

    assert (waiting.step, broker.of(CancelAll) != []) == (Step.WAITING_FOR_LINK, True)
    assert done.flat


@pytest.mark.req("STC-3", "STC-6")
@pytest.mark.parametrize("crash", range(1, 12))
def test_a_link_lost_after_any_effect_ends_flat_all_the_same(crash: int) -> None:
    broker = Broker([holding(100)], working=("a stop",))
    state, effects = start()
    waiting, count = list(effects), 0
    while waiting:
        event = broker.answer(waiting.pop(0))
        count += 1
        if count == crash:
            state, lost = advance(state, LinkDown(), LATER, LIMITS)
            state, back = advance(state, LinkUp(), LATER, LIMITS)
            waiting += (*lost, *back)
        if event is not None:
            state, more = advance(state, event, LATER, LIMITS)
            waiting += more

    assert (state.step, state.flat) == (Step.DONE, True)
    closed = sum(close.quantity for effect in broker.of(SubmitCloses) for close in effect.closes)
    assert closed == 100.0


@pytest.mark.req("STC-6")
@pytest.mark.parametrize("step", [None, *[step for step in Step if step is not Step.DONE]])
def test_a_crash_at_any_step_resumes_at_cancelling(step: Step | None) -> None:
    broker = Broker([holding(100)])

    outcome = resume("L1", "disconnect", CloseReason.DISCONNECT, step, NOW, linked=True)
    state = broker.run(outcome)

    assert isinstance(outcome[1][0], CloseGate)
    assert outcome[0].step is Step.CANCELLING
    assert state.flat


@pytest.mark.req("STC-3", "STC-4")
def test_a_resumed_one_waits_for_the_link_and_a_finished_one_only_stays_latched() -> None:
    waiting, _ = resume("L1", "x", CloseReason.MANUAL, "CLOSING", NOW, linked=False)
    done, effects = resume("L1", "x", CloseReason.MANUAL, "DONE", NOW, linked=True)

    assert waiting.step is Step.WAITING_FOR_LINK
    assert (done.step, effects) == (Step.DONE, (CloseGate(reason="x"),))


@pytest.mark.req("STC-6")
def test_closes_wait_until_ledger_and_broker_agree() -> None:
    broker = Broker([holding(100)])
    broker.disagreements = 3

    state = broker.run(start())

    assert state.flat
    assert broker.seen.index(broker.of(SubmitCloses)[0]) > broker.seen.index(
        broker.of(RetryLater)[2]
    )


@pytest.mark.req("STC-6")
def test_an_order_that_works_again_sends_it_back_to_cancelling() -> None:
    state, _ = start()
    state, _ = advance(state, LatchRecorded(), LATER, LIMITS)
    state, _ = advance(state, CancelsDone(turn=state.turn), LATER, LIMITS)

    read = BrokerRead(turn=state.turn, holdings=(holding(100),), working=("late",))
    state, _ = advance(state, read, LATER, LIMITS)

    assert (state.step, state.round) == (Step.CANCELLING, 1)


@pytest.mark.req("STC-2")
def test_rounds_are_bounded_and_end_in_an_alarm_that_does_not_claim_flat() -> None:
    broker = Broker([holding(100)])
    broker.closes_fill = False

    state = broker.run(start())

    assert (state.step, state.flat, state.gave_up) == (Step.DONE, False, True)
    assert len(broker.of(SubmitCloses)) == LIMITS.max_close_rounds
    assert len(broker.of(Alarm)) == 1
    assert broker.of(Report)[0].report.remaining == ("100 SPY_756733",)


@pytest.mark.req("STC-2")
def test_endless_disagreement_is_bounded_too() -> None:
    broker = Broker([holding(100)])
    broker.disagreements = 10**6

    state = broker.run(start())

    assert (state.gave_up, broker.of(SubmitCloses)) == (True, [])


@pytest.mark.req("STC-3")
def test_one_that_gave_up_tries_again_on_a_new_link() -> None:
    broker = Broker([holding(100)])
    broker.closes_fill = False
    gave_up = broker.run(start())
    broker.closes_fill = True

    state = broker.run(advance(gave_up, LinkUp(), LATER, LIMITS))

    assert (state.flat, state.gave_up) == (True, False)


@pytest.mark.req("STC-2")
@pytest.mark.parametrize(("failures", "flat"), [(1, True), (4, True), (5, False)])
def test_a_step_without_an_answer_is_tried_again_within_the_bound(
    failures: int, flat: bool
) -> None:
    broker = Broker([holding(100)])
    broker.failures = failures

    state = broker.run(start())

    assert (state.step, state.flat) == (Step.DONE, flat)


@pytest.mark.req("MODE-6")
def test_a_simulated_one_says_what_it_would_close_and_never_flat() -> None:
    for held in ([holding(100)], []):
        broker = Broker(held)

        broker.run(start(simulated=True))
        report = broker.of(Report)[0].report

        assert (report.simulated, report.flat, broker.of(SubmitCloses)) == (True, False, [])
        assert report.closed == tuple("would close: SELL 100 SPY" for _ in held)


@pytest.mark.req("STC-2")
def test_a_disk_that_refuses_does_not_stop_it() -> None:
    state, _ = start()

    state, effects = advance(state, LatchRecorded(durable=False), LATER, LIMITS)
    state, taken = advance(state, StepRecorded(turn=state.turn, durable=False), LATER, LIMITS)

    assert isinstance(effects[0], Alarm)
    assert taken == (CancelAll(turn=state.turn, whole_account=True),)


@pytest.mark.req("STC-6")
def test_answers_of_an_earlier_turn_change_nothing() -> None:
    state, _ = start()
    state, _ = advance(state, LatchRecorded(), LATER, LIMITS)
    old = CancelsDone(turn=state.turn)
    state, _ = advance(state, LinkDown(), LATER, LIMITS)
    state, _ = advance(state, LinkUp(), LATER, LIMITS)

    assert advance(state, old, LATER, LIMITS) == (state, ())


@pytest.mark.req("STC-6")
def test_a_step_is_taken_once_however_often_it_is_reported_durable() -> None:
    state, _ = start()
    state, _ = advance(state, LatchRecorded(), LATER, LIMITS)
    recorded = StepRecorded(turn=state.turn)
    state, _ = advance(state, recorded, LATER, LIMITS)

    assert advance(state, recorded, LATER, LIMITS) == (state, ())


@pytest.mark.req("STC-6")
def test_the_scope_is_the_account_or_what_is_ours() -> None:
    ours = told_whole("Submitted", order_ref="CSATSPRIM:ORD_1")
    theirs = told_whole("Submitted", order_ref="", perm_id=9)
    ended = told_whole("Cancelled", order_ref="CSATSPRIM:ORD_2")
    state = broker_state(
        holdings=(holding(1), holding(2, QQQ), holding(0, SPY)),
        open_orders=(ours, theirs, ended),
    )
    managed = StrategyC(scope="managed")

    everything = in_scope(state, LIMITS, 1, operator_id="CSATSPRIM")
    own = in_scope(state, managed, 1, operator_id="CSATSPRIM", managed=frozenset({SPY.con_id}))

    assert everything.holdings == state.holdings[:2]
    assert everything.working == ("CSATSPRIM:ORD_1", "permId 9")
    assert (own.holdings, own.working) == (state.holdings[:1], ("CSATSPRIM:ORD_1",))


def test_nothing_held_needs_no_close() -> None:
    assert closes_for((holding(0),)) == ()


@pytest.mark.req("STC-2")
def test_a_position_that_appears_after_flat_was_said_begins_a_new_round_with_an_alarm() -> None:
    broker = Broker([holding(30.0)])
    done = broker.run(start())
    broker.holdings = (holding(7.0),)

    again = broker.run(advance(done, HeldAfterAll(holding=holding(7.0)), LATER, LIMITS))

    assert (done.flat, again.flat, again.step) == (True, True, Step.DONE)
    assert len(broker.of(Alarm)) == 1
    assert [report.report.flat for report in broker.of(Report)] == [True, True]
    assert broker.of(SubmitCloses)[-1].closes[0].quantity == 7.0


@pytest.mark.req("STC-2", "MODE-6")
def test_one_that_gave_up_or_only_simulates_does_not_begin_anew_for_what_is_held() -> None:
    stubborn = Broker([holding(30.0)])
    stubborn.closes_fill = False
    gave_up = stubborn.run(start())
    simulated = Broker([holding(30.0)]).run(start(simulated=True))

    for ended in (gave_up, simulated):
        seen = advance(ended, HeldAfterAll(holding=holding(30.0)), LATER, LIMITS)
        assert seen == (ended, ())
