"""One seed: a contract is flattened under a random broker, and what must hold is checked."""

from __future__ import annotations

import math
import random
from typing import Final

import attrs

from actors.logic.flattening import (
    Answer,
    Cancel,
    CancelGlobally,
    Close,
    Mandate,
    Outcome,
    Pending,
    Phase,
    Progress,
    Read,
    Sight,
    answered,
    next_step,
    unlinked,
    woken,
)
from actors.model.orders import OrderAction
from actors.sections.flattening import Flattening
from tests.flattening.broker import Broker, Order, Troubles
from tests.unit.logic.values import SPY

LIMITS: Final = Flattening()
WITHIN_S: Final = 15.0
PROVED_WITHIN_S: Final = 15.0
ANSWERS: Final = {
    "taken": Answer.TAKEN,
    "refused": Answer.REFUSED,
    "moved": Answer.MOVED,
    "unknown": Answer.UNKNOWN,
}


@attrs.frozen
class Result:
    """How a seed ended; ``fault`` is None where all held."""

    seed: int
    fault: str | None
    last_close_at: float
    able_from: float
    closes: int

    @property
    def late_s(self) -> float:
        """How long after it could be closed the last close was sent; filling it is the broker's."""
        return self.last_close_at - self.able_from


class Trial:
    """Drives `next_step` as `actors.closing` does, against a `Broker`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        troubles = Troubles.of(self.dice)
        sign = self.dice.choice([1.0, -1.0])
        self.whole = float(self.dice.randint(1, 200))
        self.fraction = self.dice.choice([0.0, 0.0, 0.37])
        held = 0.0 if self.dice.random() < 0.05 else sign * (self.whole + self.fraction)
        self.broker = Broker(self.dice, held, troubles)
        self.mandate = Mandate(
            both_sides=self.dice.random() < 0.8,
            foreign=self.dice.random() < 0.8,
            queues=True,
        )
        self.progress = Progress()
        self.read_at = -math.inf
        self.told_at = -math.inf
        self.ended_at = -math.inf
        self.seen: tuple[Pending, ...] | None = None
        self.seen_quantity = held
        self.was_linked = True
        self.closes = 0
        self.fault: str | None = None
        self.last_close_at = 0.0
        self._let_orders_rest(held)

    def _let_orders_rest(self, held: float) -> None:
        closing = OrderAction.SELL if held > 0 else OrderAction.BUY
        other = OrderAction.BUY if closing is OrderAction.SELL else OrderAction.SELL
        if held and self.dice.random() < 0.4:
            self.broker.add(Order("STOP_1", closing, abs(held), is_stop=True))
        if self.dice.random() < 0.3:
            self.broker.add(Order("ENTRY_1", other, 10.0))
        if self.dice.random() < 0.3 and self.mandate.foreign:
            side = self.dice.choice([closing, other])
            self.broker.add(Order("permId 9", side, 5.0, ours=False))

    # --- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> Result:
        """Run until the contract is flat, or too late."""
        broker, troubles = self.broker, self.broker.troubles
        last = troubles.end + 14.0 + 3 * (WITHIN_S + 15.0) + PROVED_WITHIN_S + 60.0
        while broker.now < last and self.fault is None:
            outcome = self._look()
            if self._is_over():
                break
            look_at = broker.now + max(0.02, min(outcome.look_in_s, LIMITS.look_every_s * 60))
            broker.run_until(min(look_at, max(broker.now + 0.001, broker.next_event_at())))
            self._check()
        self._check()
        if self.fault is None and not self._is_over():
            self.fault = f"not proved flat in time: {self.progress}, {broker.still()}"
        return Result(self.seed, self.fault, self.last_close_at, self._able_from(), self.closes)

    def _is_over(self) -> bool:
        return self.progress.phase in (Phase.FLAT, Phase.BY_HAND) and self._nothing_whole_is_held()

    def _nothing_whole_is_held(self) -> bool:
        return abs(self.broker.quantity) < 1.0 - 1e-9

    def _able_from(self) -> float:
        """All troubles are over, and the fate of every order is known."""
        return max(self.broker.troubles.end, self.broker.settled_at)

    def _look(self) -> Outcome:
        broker = self.broker
        if broker.linked != self.was_linked:
            self.was_linked = broker.linked
            if not broker.linked:
                self.progress = unlinked(self.progress)
            else:
                broker.read(self._was_read)
        self._take_answers()
        sight = self._sight()
        outcome = next_step(self.progress, sight, self.mandate, broker.now, LIMITS)
        self.progress = outcome.progress
        for action in outcome.actions:
            self._perform(action, sight)
        return outcome

    def _take_answers(self) -> None:
        broker = self.broker
        for _, what in broker.answers:
            if self.progress.phase is not Phase.UNLINKED:
                self.progress = answered(self.progress, ANSWERS[what], what, broker.now, LIMITS)
        broker.answers.clear()

    def _was_read(self, began: float) -> None:
        self.read_at = began

    def _sight(self) -> Sight:
        broker = self.broker
        orders = tuple(
            Pending(
                reference=order.reference,
                action=order.action,
                remaining=order.told_remaining,
                ours=order.ours,
                is_close=order.is_close,
                is_stop=order.is_stop,
                unknown=order.unknown,
            )
            for order in broker.orders.values()
            if order.told_alive or order.unknown
        )
        if self.seen is not None and orders != self.seen:
            self.ended_at = broker.now
        self.seen = orders
        if broker.told_quantity != self.seen_quantity:
            self.seen_quantity = broker.told_quantity
            self.told_at = broker.now
            self.progress = woken(self.progress, broker.now)
        return Sight(
            contract=SPY,
            quantity=broker.told_quantity,
            linked=broker.linked,
            read_at=self.read_at,
            word_at=max(self.told_at, self.ended_at),
            told_at=self.told_at,
            ended_at=self.ended_at,
            orders=orders,
            halted=broker.halted and broker.troubles.halt_is_told,
        )

    def _perform(self, action: object, sight: Sight) -> None:
        broker = self.broker
        match action:
            case Cancel():
                broker.cancel(action.reference)
            case CancelGlobally():
                broker.cancel_all()
            case Read():
                broker.read(self._was_read)
            case Close():
                self.closes += 1
                self.last_close_at = broker.now
                self._check_close(action, sight)
                broker.submit(action.action, action.quantity, broker.told_executions)

    # --- what must hold -------------------------------------------------------------------------------------------

    def _check_close(self, close: Close, sight: Sight) -> None:
        """What is asked for never exceeds what is known to be held, without what can still fill on that side."""
        spoken_for = sum(order.remaining for order in sight.orders if order.action is close.action)
        if close.quantity + spoken_for > abs(sight.quantity) + 1e-9:
            self.fault = f"{close} beside {spoken_for:g} of {sight.quantity:g}"
        if close.quantity != int(close.quantity) or close.quantity < 1.0:
            self.fault = f"{close} is not for whole units"

    def _check(self) -> None:
        broker = self.broker
        if self.progress.phase is Phase.FLAT:
            alive = [order for order in broker.orders.values() if order.alive]
            if alive or broker.quantity:
                self.fault = f"flat was said: {broker.still()}"


def run(seed: int) -> Result:
    """Run one seed."""
    trial = Trial(seed)
    result = trial.run()
    if result.fault is None:
        fault = _fault_of(trial, result)
        if fault is not None:
            return attrs.evolve(result, fault=fault)
    return result


def _fault_of(trial: Trial, result: Result) -> str | None:
    broker = trial.broker
    alive = [order.reference for order in broker.orders.values() if order.alive]
    if alive and trial.mandate.both_sides and not broker.quantity:
        return f"orders are left: {alive}"
    if result.late_s > WITHIN_S:
        return f"closed {result.late_s:.1f} s after it could be"
    return _turned(broker)


def _turned(broker: Broker) -> str | None:
    """Nothing but closes fills here, so that a position that changed its sign was turned by one."""
    if broker.lowest < -1e-9 and broker.highest > 1e-9:
        return f"the position was turned: {broker.lowest:g} to {broker.highest:g}"
    return None
