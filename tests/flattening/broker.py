"""A broker that refuses, is silent, slow, drops orders, halts, fills late and knows orders of others.

What it does follows from one seed. What is *told* of it comes later than what is true: positions and orders each by a
way of its own, as from a real gateway.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

import attrs

from actors.model.orders import OrderAction


@attrs.define
class Order:
    """An order at the broker: ``told`` is whether its life, and its end, have reached us."""

    reference: str
    action: OrderAction
    remaining: float
    ours: bool = True
    is_close: bool = False
    is_stop: bool = False
    alive: bool = True
    told_remaining: float = 0.0
    told_alive: bool = True
    unknown: bool = False
    ends_when_cancelled: bool = True


@attrs.frozen
class Troubles:
    """The troubles of one seed; each is over at ``end`` at the latest (seconds)."""

    refuses_until: float
    refuses_share: float
    halted: tuple[float, float]
    halt_is_told: bool
    drops_share: float
    cancel_delay_s: float
    deaf_to_cancels_until: float
    fill_delay_s: float
    partial_share: float
    lag_s: float
    read_s: float
    link_lost: tuple[float, float]
    settles_s: float
    end: float

    @classmethod
    def of(cls, dice: random.Random) -> Troubles:
        """Draw them."""
        halt = dice.choice([0.0, dice.uniform(0.0, 400.0)])
        halted_at = dice.uniform(0.0, 20.0)
        lost = dice.choice([0.0, 0.0, dice.uniform(1.0, 60.0)])
        lost_at = dice.uniform(0.0, 20.0)
        refuses = dice.choice([0.0, 0.0, dice.uniform(0.0, 200.0)])
        deaf = dice.choice([0.0, 0.0, dice.uniform(0.0, 120.0)])
        return cls(
            refuses_until=refuses,
            refuses_share=dice.choice([1.0, 0.5]),
            halted=(halted_at, halted_at + halt),
            halt_is_told=dice.random() < 0.7,
            drops_share=dice.choice([0.0, 0.0, 0.3]),
            cancel_delay_s=dice.uniform(0.0, 3.0),
            deaf_to_cancels_until=deaf,
            fill_delay_s=dice.uniform(0.0, 2.0),
            partial_share=dice.choice([0.0, 0.5]),
            lag_s=dice.uniform(0.0, 0.4),
            read_s=dice.uniform(0.05, 1.0),
            link_lost=(lost_at, lost_at + lost),
            settles_s=dice.uniform(8.0, 14.0),
            end=max(refuses, deaf, halted_at + halt, lost_at + lost, 20.0),
        )


class Broker:
    """The truth about one contract, and what of it is told. Time moves by `run_until` only."""

    def __init__(self, dice: random.Random, quantity: float, troubles: Troubles) -> None:
        self.dice = dice
        self.troubles = troubles
        self.now = 0.0
        self.quantity = self.told_quantity = self.lowest = self.highest = quantity
        self.orders: dict[str, Order] = {}
        self.executions = self.told_executions = 0
        self.settled_at = 0.0
        self.drops_left = 3
        self.answers: list[tuple[str, str]] = []
        self._numbers = count(1)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        for moment in (*troubles.link_lost, troubles.halted[1]):
            self.at(moment, lambda: None)

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something later."""
        heappush(self._agenda, (self.now + delay_s, next(self._numbers), what))

    def next_event_at(self) -> float:
        """When something happens next."""
        return self._agenda[0][0] if self._agenda else float("inf")

    def run_until(self, moment: float) -> None:
        """Let time pass."""
        while self._agenda and self._agenda[0][0] <= moment:
            self.now, _, what = heappop(self._agenda)
            what()
        self.now = max(self.now, moment)

    # --- the world ------------------------------------------------------------------------------------------------

    @property
    def linked(self) -> bool:
        """Whether the link is up."""
        begin, end = self.troubles.link_lost
        return not begin <= self.now < end

    @property
    def halted(self) -> bool:
        """Whether trading is halted."""
        begin, end = self.troubles.halted
        return begin <= self.now < end

    def add(self, order: Order) -> Order:
        """Let an order rest."""
        order.told_remaining = order.remaining
        self.orders[order.reference] = order
        return order

    def submit(self, action: OrderAction, quantity: float, fills_known: int) -> str:
        """Take a close in; its answer appears in ``answers`` as (reference, what)."""
        reference = f"CLOSE_{next(self._numbers)}"
        if fills_known != self.executions:
            self.at(0.001, lambda: self.answers.append((reference, "moved")))
            return reference
        troubles, now = self.troubles, self.now
        order = Order(reference, action, quantity, is_close=True)
        if not self.linked or (self.drops_left and self.dice.random() < troubles.drops_share):
            self.drops_left -= 1
            self._lose(order)
            return reference
        if now < troubles.refuses_until and self.dice.random() < troubles.refuses_share:
            self.at(0.05, lambda: self.answers.append((reference, "refused")))
            return reference
        self.add(order)
        self.at(0.05, lambda: self.answers.append((reference, "taken")))
        self.at(troubles.fill_delay_s, lambda: self._fill(order))
        return reference

    def _lose(self, order: Order) -> None:
        """Nobody says what became of it: half of them work at the broker. It is found out after a while."""
        self.add(order)
        order.unknown = True
        order.alive = self.dice.random() < 0.5
        self.at(1.0, lambda: self.answers.append((order.reference, "unknown")))
        if order.alive:
            self.at(self.dice.uniform(0.0, 6.0), lambda: self._fill(order))
        begin, end = self.troubles.link_lost
        later_s = max(0.0, end - self.now) if begin <= self.now < end else 0.0

        def settle() -> None:
            order.unknown = False
            self.settled_at = self.now
            self._tell(order)

        self.at(later_s + self.troubles.settles_s, settle)

    def _fill(self, order: Order) -> None:
        if not order.alive:
            return
        if self.halted:
            self.at(self.troubles.halted[1] - self.now + 0.01, lambda: self._fill(order))
            return
        quantity = order.remaining
        if quantity > 1.0 and self.dice.random() < self.troubles.partial_share:
            quantity = float(max(1, int(quantity / 2)))
        self.quantity += order.action.sign * quantity
        self.lowest, self.highest = min(self.lowest, self.quantity), max(
            self.highest, self.quantity
        )
        self.executions += 1
        order.remaining -= quantity
        order.alive = order.remaining > 1e-9
        if order.alive:
            self.at(self.troubles.fill_delay_s + 0.1, lambda: self._fill(order))
        self.at(self._lag(), self._tell_position)
        if not order.unknown:
            self.at(self._lag(), lambda: self._tell(order))

    def _lag(self) -> float:
        begin, end = self.troubles.link_lost
        away_s = max(0.0, end - self.now) if begin <= self.now < end else 0.0
        return away_s + self.dice.uniform(0.0, self.troubles.lag_s)

    def _tell_position(self) -> None:
        self.told_quantity, self.told_executions = self.quantity, self.executions

    def _tell(self, order: Order) -> None:
        order.told_remaining, order.told_alive = order.remaining, order.alive

    def cancel(self, reference: str) -> None:
        """Cancel an order, perhaps in vain."""
        order = self.orders[reference]
        if self.linked and self.now >= self.troubles.deaf_to_cancels_until:
            self.at(self.troubles.cancel_delay_s, lambda: self._end(order))

    def cancel_all(self) -> None:
        """Cancel all, those of others included."""
        for reference in tuple(self.orders):
            self.cancel(reference)

    def _end(self, order: Order) -> None:
        order.alive = False
        if not order.unknown:
            self.at(self._lag(), lambda: self._tell(order))

    def read(self, done: Callable[[float], None]) -> None:
        """Read the whole state: what is true when it ends is told, with the moment it began."""
        if not self.linked:
            return
        began = self.now

        def answer() -> None:
            if self.linked:
                self.told_quantity, self.told_executions = self.quantity, self.executions
                for order in self.orders.values():
                    if not order.unknown:
                        order.told_remaining, order.told_alive = order.remaining, order.alive
                done(began)

        self.at(self.troubles.read_s, answer)

    def still(self) -> dict[str, Any]:
        """What a failure shows."""
        return {
            "at": self.now,
            "quantity": self.quantity,
            "orders": [order for order in self.orders.values() if order.alive or order.told_alive],
        }
