"""However the link, the broker and the fills behave: a liquidation ends, never oversells, and flat means flat."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.logic.liquidation import advance, begin, resume
from actors.logic.liquidation_words import (
    BrokerRead,
    CancelAll,
    CancelsDone,
    ClosesDone,
    DelayPassed,
    Effect,
    Event,
    LatchRecorded,
    LinkDown,
    LinkUp,
    LiquidationLimits,
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
from tests.unit.logic.values import LATER, NOW, holding

LIMITS = LiquidationLimits(max_rounds=50)
WHY = CloseReason.DISCONNECT


class World:
    """A broker with a will of its own: a resting order fills before it is cancelled, closes fill in part or fail."""

    def __init__(self, seed: int, held: int) -> None:
        self.chance = random.Random(seed)
        self.held = held
        self.resting = self.chance.randint(0, abs(held))
        self.sign = 1 if held >= 0 else -1

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


@pytest.mark.req("STC-2", "STC-3", "STC-6")
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(-100, 100))
def test_a_liquidation_ends_flat_without_overselling(seed: int, held: int) -> None:
    world = World(seed, held)
    state, effects = begin("L", "test", WHY, NOW, linked=world.chance.random() < 0.5)
    waiting, disturbances = list(effects), 10
    for _ in range(5_000):
        if disturbances and world.chance.random() < 0.05:
            disturbances -= 1
            if world.chance.random() < 0.3:
                # A crash: only the recorded step survives, and everything on its way is lost.
                linked = world.chance.random() < 0.5
                state, effects = resume("L", "test", WHY, state.step, NOW, linked=linked)
                waiting = list(effects)
            else:
                state, more = advance(state, LinkDown(), LATER, LIMITS)
                waiting += more
        if not waiting:
            if state.step is Step.DONE:
                break
            state, more = advance(state, LinkUp(), LATER, LIMITS)
            waiting += more
            continue
        event = world.answer(waiting.pop(0))
        assert world.held * held >= 0, "oversold"
        if event is not None:
            state, more = advance(state, event, LATER, LIMITS)
            waiting += more

    assert state.step is Step.DONE
    assert not state.flat or world.held == 0
