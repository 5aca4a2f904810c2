"""Orders in flight, whatever becomes of them: no close flips a position, and no limit is passed by two at once.

The broker's side of the machine is the truth: it fills orders in parts and in any order, tells of it later and twice,
and makes changes or refuses them. Risk's ledger only hears of it. The link breaks, and the state is read again.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.messages.orders import WorkingOrder
from actors.model.orders import Execution, OrderAction, WireOrder
from actors.risk import exposure
from actors.risk.exposure import EMPTY
from actors.risk.judging import judge
from actors.sections.risk import Risk
from tests.unit.logic.test_risk_rules import inputs
from tests.unit.logic.values import SPY, account, closing_order, execution, holding, market_order

MOST = 100.0
LIMITS = Risk(
    max_position_quantity=MOST,
    max_position_value=1e12,
    max_total_exposure_value=1e12,
    risk_per_trade_ratio=1.0,
    price_band_ratio=0.05,
    quote_max_age_s=300.0,
)
quantities = st.integers(1, 120).map(float)
chances = st.integers(0, 2**16)


@attrs.define
class InFlight:
    """An order with a permit: at the broker, or on its way there. ``heard`` is what of its fills risk was told."""

    order: WireOrder
    change: WireOrder | None = None
    filled: float = 0.0
    heard: float = 0.0
    ended: bool = False
    settled: bool = False

    @property
    def most(self) -> float:
        """What the broker can still fill of it, whether or not a change reaches it."""
        wanted = [self.order.quantity, self.change.quantity if self.change else 0.0]
        return 0.0 if self.ended else max(0.0, max(wanted) - self.filled)

    @property
    def unheard(self) -> float:
        """What the executor tells risk to reserve: all that it has not seen executed, until the order is over."""
        wanted = [self.order.quantity, self.change.quantity if self.change else 0.0]
        return max(0.0, (self.filled if self.ended else max(wanted)) - self.heard)

    @property
    def sign(self) -> int:
        """+1 for a purchase."""
        return self.order.action.sign


class OrdersInFlight(RuleBasedStateMachine):
    """One contract, held long or short; openings add to it, closes take from it."""

    @initialize(held=st.integers(-80, 80).filter(bool))
    def hold(self, held: int) -> None:
        """Begin with a position."""
        self.held = float(held)
        self.side = OrderAction.BUY if held > 0 else OrderAction.SELL
        self.orders: list[InFlight] = []
        self.unheard: list[tuple[InFlight, Execution]] = []
        self.executions: list[Execution] = []
        self.late: list[Execution] = []
        self.ledger = exposure.reconcile(EMPTY, [holding(self.held)], [], [])

    # --- what we do -------------------------------------------------------------------------------------------------

    @rule(quantity=quantities)
    def open_more(self, quantity: float) -> None:
        """Ask for an order that adds to the position."""
        self._ask(market_order(quantity, action=self.side, order_ref=self._reference()))

    @rule(quantity=quantities, is_buy=st.booleans())
    def close(self, quantity: float, is_buy: bool) -> None:
        """Ask for a close, perhaps on the wrong side."""
        action = OrderAction.BUY if is_buy else OrderAction.SELL
        self._ask(closing_order(quantity, action=action, order_ref=self._reference()))

    def _reference(self) -> str:
        return f"CSATSPRIM:{len(self.orders)}"

    def _ask(self, order: WireOrder) -> bool:
        given = inputs(order, ledger=self.ledger, account=account(1e12))
        limits = attrs.evolve(LIMITS, allow_short=self.side is OrderAction.SELL)
        if not judge(given, limits).approved:
            return False
        assert self.ledger.known, "approved without knowing what is held"
        self.ledger = exposure.reserve(self.ledger, exposure.reservation(self.ledger, order, 600.0))
        if order.broker_order_id is None:
            self.orders.append(InFlight(order))
        return True

    @rule(chance=chances, quantity=quantities)
    def ask_for_a_change(self, chance: int, quantity: float) -> None:
        """Ask for another quantity of an order that works."""
        working = [item for item in self.orders if not item.ended and item.change is None]
        if not working:
            return
        item = working[chance % len(working)]
        changed = attrs.evolve(item.order, quantity=quantity, broker_order_id=7)
        if self._ask(changed):
            item.change = changed

    # --- what the broker does ---------------------------------------------------------------------------------------

    @rule(chance=chances, is_made=st.booleans())
    def decide_a_change(self, chance: int, is_made: bool) -> None:
        """Make a change, or refuse it; the executor tells risk what remains."""
        asked = [item for item in self.orders if item.change is not None]
        if not asked:
            return
        item = asked[chance % len(asked)]
        change, item.change = item.change, None
        if change is not None and is_made and not item.ended and change.quantity >= item.filled:
            item.order = attrs.evolve(item.order, quantity=change.quantity)
            item.ended = change.quantity == item.filled
        self._settle(item)

    @rule(chance=chances, share=st.floats(0.01, 1.0))
    def fill(self, chance: int, share: float) -> None:
        """Fill a part of an order; nobody is told yet."""
        live = [
            item for item in self.orders if item.order.quantity > item.filled and not item.ended
        ]
        if not live:
            return
        item = live[chance % len(live)]
        left = item.order.quantity - item.filled
        quantity = max(1.0, float(int(left * share)))
        item.filled += quantity
        item.ended = item.filled == item.order.quantity and item.change is None
        self.held += item.sign * quantity
        done = execution(
            quantity,
            f"{len(self.executions):04d}.01",
            order_ref=item.order.order_ref,
            action=item.order.action,
        )
        self.executions.append(done)
        self.unheard.append((item, done))

    @rule(chance=chances)
    def end(self, chance: int) -> None:
        """Cancel or reject an order, or never let it be sent."""
        live = [item for item in self.orders if not item.ended]
        if live:
            item = live[chance % len(live)]
            item.ended, item.change = True, None
            self._settle(item)

    def _settle(self, item: InFlight) -> None:
        remaining = item.sign * item.unheard
        self.ledger = exposure.settle(self.ledger, item.order.order_ref, remaining)

    # --- what risk hears --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.unheard)
    @rule(is_last=st.booleans(), is_told_again=st.booleans())
    def hear(self, is_last: bool, is_told_again: bool) -> None:
        """Be told of an execution, perhaps twice, and not always of the oldest first."""
        item, done = self.unheard.pop(-1 if is_last else 0)
        for _ in range(1 + is_told_again):
            self.ledger = exposure.apply_execution(self.ledger, done)
        item.heard += done.quantity
        self._settle(item)

    @rule()
    def lose_the_link(self) -> None:
        """Know nothing for certain any more."""
        self.ledger = exposure.forget(self.ledger)

    @rule()
    def read_the_state(self) -> None:
        """Take over the broker's positions, executions and working orders."""
        for item, done in self.unheard:
            item.heard += done.quantity
        held = [holding(self.held)] if self.held else []
        counts = exposure.count_fills(self.executions)
        working = [
            WorkingOrder(
                order_ref=item.order.order_ref,
                contract=SPY,
                signed_remaining=item.sign * item.unheard,
                price=600.0,
                purpose=item.order.purpose,
            )
            for item in self.orders
        ]
        self.ledger = exposure.reconcile(self.ledger, held, self.executions, counts, working)
        self.late += [done for _, done in self.unheard]
        self.unheard = []

    @precondition(lambda self: self.late)
    @rule()
    def hear_late(self) -> None:
        """Be told of an execution that the state, which was read, has in it already."""
        self.ledger = exposure.apply_execution(self.ledger, self.late.pop())

    # --- what must hold ---------------------------------------------------------------------------------------------

    def _reach(self, *, adding: bool) -> float:
        """How much the orders in flight could still add to the position, or take from it."""
        sign = self.side.sign if adding else -self.side.sign
        return sum(item.most for item in self.orders if item.sign == sign)

    @invariant()
    def no_close_can_flip_the_position(self) -> None:
        """Whatever fills: all closes together take at most what is held."""
        if hasattr(self, "held"):
            assert self.side.sign * self.held - self._reach(adding=False) >= 0

    @invariant()
    def no_limit_can_be_passed(self) -> None:
        """Whatever fills: all openings together stay within the limit."""
        if hasattr(self, "held"):
            assert abs(self.held) + self._reach(adding=True) <= MOST

    @invariant()
    def risk_knows_of_all_that_can_happen(self) -> None:
        """The ledger's worst case is as wide as the truth."""
        if hasattr(self, "held") and self.ledger.known:
            lowest, highest = exposure.worst_case(self.ledger, SPY.con_id)
            falls = sum(item.most for item in self.orders if item.sign < 0)
            rises = sum(item.most for item in self.orders if item.sign > 0)
            assert lowest <= self.held - falls
            assert highest >= self.held + rises


OrdersInFlight.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.req("RSK-4", "RSK-6")
class TestOrdersInFlight(OrdersInFlight.TestCase):  # type: ignore[misc, valid-type]  # made at run time
    """The stateful test, collected by pytest."""
