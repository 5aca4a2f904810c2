"""However the link, the broker and the fills behave: a liquidation ends, never oversells, and flat means flat."""

from __future__ import annotations

import random
from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic.liquidation_events import (
    BrokerRead,
    CancelAll,
    CancelsDone,
    Close,
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
    RetryLater,
    Step,
    StepFailed,
    StepRecorded,
    SubmitCloses,
)
from actors.model.orders import CloseReason
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.steps import advance, begin, resume
from tests.unit.logic.values import LATER, NOW, holding

LIMITS = StrategyC(max_close_rounds=50, queue_look_s=1800.0)
WHY = CloseReason.DISCONNECT
LONGEST_NIGHT_S = 3 * 86_400


class World:
    """A broker with a will of its own: a resting order fills before it is cancelled, closes fill in part or fail."""

    def __init__(self, seed: int, held: int) -> None:
        self.chance = random.Random(seed)
        self.held = held
        self.resting = self.chance.randint(0, abs(held))
        self.sign = 1 if held >= 0 else -1
        self.now = LATER

    def answer(self, effect: Effect) -> Event | None:
        match effect:
            case RecordLatch():
                return LatchRecorded(durable=self.chance.random() < 0.9)
            case RecordStep(turn=turn):
                return StepRecorded(turn=turn, durable=self.chance.random() < 0.9)
            case RetryLater(turn=turn):
                return DelayPassed(turn=turn)
            case CancelAll(turn=turn):
                filled = self.chance.randint(0, self.resting)
                self.held -= self.sign * filled
                self.resting = 0
                failed = self.chance.random() < 0.1
                return StepFailed(turn=turn, reason="slow") if failed else CancelsDone(turn=turn)
            case ReadBroker(turn=turn):
                held = (holding(float(self.held)),) if self.held else ()
                agrees = self.chance.random() < 0.9
                return BrokerRead(turn=turn, holdings=held, agrees=agrees)
            case SubmitCloses(turn=turn, closes=closes):
                for close in closes:
                    filled = self.chance.randint(0, int(close.quantity))
                    self.held += close.action.sign * filled
                failed = self.chance.random() < 0.1
                return StepFailed(turn=turn, reason="slow") if failed else ClosesDone(turn=turn)
            case _:
                return None


class ClosedWorld(World):
    """One whose market is closed at first: the broker keeps a close for the open, or does not."""

    def __init__(self, seed: int, held: int) -> None:
        super().__init__(seed, held)
        self.opens_at = self.now + timedelta(seconds=self.chance.randint(1, LONGEST_NIGHT_S))
        self.queued = 0

    @property
    def is_open(self) -> bool:
        return self.now >= self.opens_at

    def answer(self, effect: Effect) -> Event | None:
        self._trade()
        match effect:
            case RetryLater(delay_s=delay_s):
                self.now += timedelta(seconds=delay_s)
                self._trade()
            case CancelAll(turn=turn) if self.queued and self.chance.random() < 0.2:
                return CancelsDone(turn=turn)  # nobody knew of the close: it stays
            case CancelAll():
                self.queued = 0
                if not self.is_open:
                    self.resting = 0
            case ReadBroker(turn=turn):
                return self._read(turn)
            case SubmitCloses(turn=turn, closes=closes) if not self.is_open:
                return self._queue(turn, closes)
        return super().answer(effect)

    def _trade(self) -> None:
        """Let what the broker kept for the open fill, perhaps not at once."""
        if self.is_open and self.queued:
            filled = self.chance.randint(0, abs(self.queued))
            sign = 1 if self.queued > 0 else -1
            self.held += sign * filled
            self.queued -= sign * filled

    def _read(self, turn: int) -> BrokerRead:
        held = holding(float(self.held))
        con_id = held.contract.con_id
        return BrokerRead(
            turn=turn,
            holdings=(held,) if self.held else (),
            working=("a close",) if self.queued else (),
            agrees=self.chance.random() < 0.9,
            resting=MappingProxyType({con_id: float(self.queued)} if self.queued else {}),
            opens_at=MappingProxyType({} if self.is_open else {con_id: self.opens_at}),
        )

    def _queue(self, turn: int, closes: tuple[Close, ...]) -> Event:
        if self.chance.random() < 0.1:
            return StepFailed(turn=turn, reason="slow")
        if self.chance.random() < 0.2:
            return ClosesDone(turn=turn)  # the broker would not keep it
        (close,) = closes
        self.queued += int(close.action.sign * close.quantity)
        if self.chance.random() < 0.1:
            return StepFailed(turn=turn, reason="the answer was lost")
        return ClosesDone(turn=turn, queued=frozenset({close.contract.con_id}))


def liquidate(world: World) -> LiquidationState:
    """Let a liquidation run while links break and processes crash; it never turns the position round."""
    before, recorded = world.held, Step.LATCHING
    state, effects = begin("L", "test", WHY, NOW, linked=world.chance.random() < 0.5)
    waiting, disturbances = list(effects), 10
    for _ in range(5_000):
        if disturbances and world.chance.random() < 0.05:
            disturbances -= 1
            if world.chance.random() < 0.3:
                # A crash: only the recorded step survives, and everything on its way is lost.
                linked = world.chance.random() < 0.5
                state, effects = resume("L", "test", WHY, recorded, world.now, linked=linked)
                waiting = list(effects)
            else:
                state, more = advance(state, LinkDown(), world.now, LIMITS)
                waiting += more
        if not waiting:
            assert not (state.flat and world.held), "flat was said, and it is not"
            if state.step is Step.DONE and (state.gave_up or not world.held):
                break
            held = HeldAfterAll(holding=holding(float(world.held)))
            news = held if state.step is Step.DONE else LinkUp()
            state, more = advance(state, news, world.now, LIMITS)
            waiting += more
            continue
        event = world.answer(waiting.pop(0))
        assert world.held * before >= 0, "oversold"
        if event is not None:
            state, more = advance(state, event, world.now, LIMITS)
            waiting += more
        if isinstance(event, StepRecorded) and event.durable and event.turn == state.turn:
            recorded = state.step
    return state


@pytest.mark.req("STC-2", "STC-3", "STC-6")
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(-100, 100))
def test_a_liquidation_ends_flat_without_overselling(seed: int, held: int) -> None:
    world = World(seed, held)

    state = liquidate(world)

    assert state.step is Step.DONE
    assert world.held == 0 or (state.gave_up and not state.flat)


@pytest.mark.req("STC-7", "STC-2", "STC-3", "STC-6")
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(-100, 100))
def test_one_that_begins_while_the_market_is_closed_ends_flat_after_the_open(
    seed: int, held: int
) -> None:
    world = ClosedWorld(seed, held)

    state = liquidate(world)

    assert state.step is Step.DONE
    assert (world.held, world.queued) == (0, 0) or state.gave_up
    assert world.is_open or not held
