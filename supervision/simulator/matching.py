"""Matching: when an order fills, at what price, and what follows from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from . import codes, oca
from .books import Books
from .config import SimulatorConfig
from .contracts import Universe
from .fault_state import FaultState
from .instruments import Contract
from .market import Market
from .orders import Execution, Order
from .reporter import Reporter
from .reports import completed_time
from .store import OrderStore


@attrs.frozen(kw_only=True)
class Floor:
    """What everybody who handles orders works with."""

    config: SimulatorConfig
    universe: Universe
    market: Market
    now: Callable[[], dt.datetime]
    later: Callable[..., object]
    faults: FaultState
    report: Reporter
    store: OrderStore
    books: Books


class Matcher:
    """Compares working orders with the market."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._timer_runs = False
        self._ends_at: dict[int, dt.datetime] = {}

    def match(self) -> None:
        """Compare every working order with the market, and again while some remain."""
        for order in self._floor.store.working():
            if order.is_working:
                self._try(order)
        if self._floor.store.working() and not self._timer_runs and not self._floor.faults.held:
            self._timer_runs = True
            self._floor.later(self._floor.config.match_interval_s, self._tick)

    def _tick(self) -> None:
        self._timer_runs = False
        self.match()

    def waits_for_open(self, order: Order) -> bool:
        """Whether the market is closed for this order. Futures have hours outside the regular ones, too."""
        market, now = self._floor.market, self._floor.now()
        if order.contract.trades_around_the_clock and not market.future_hours.is_open(now):
            return True
        return not order.outside_rth and not market.hours.is_open(now)

    def waits_for_parent(self, order: Order) -> bool:
        """Whether the order has a parent that has not filled."""
        parent = (
            self._floor.store.find(order.client_id, order.parent_id) if order.parent_id else None
        )
        return parent is not None and parent.status != "Filled"

    def _is_over(self, order: Order) -> bool:
        """Whether the session that a DAY order was for has ended."""
        if order.tif != "DAY" or not self._hours_kept:
            return False
        market, now = self._floor.market, self._floor.now()
        hours = market.future_hours if order.contract.trades_around_the_clock else market.hours
        return now >= self._ends_at.setdefault(order.perm_id, hours.next_close(now))

    def _try(self, order: Order) -> None:
        if self._is_over(order):
            self.end(order, "Cancelled by System")
            return
        if (
            self._floor.faults.held
            or self.waits_for_parent(order)
            or self.waits_for_open(order)
            or order.contract.symbol in self._floor.market.halted
            or self._floor.market.elapsed_s < order.ready_at_s
        ):
            return
        if order.is_stop and not order.triggered and not self._trigger(order):
            return
        if order.status == "PreSubmitted" and (
            order.is_stop or order.parent_id or self._hours_kept
        ):
            order.status, order.why_held = "Submitted", ""
            self._floor.store.save(order)
            self._floor.report.order_changed(order)
        self._execute(order)

    @property
    def _hours_kept(self) -> bool:
        return not self._floor.market.hours.always

    def _trigger(self, order: Order) -> bool:
        last = self._floor.market.quote(order.contract).last
        if last is not None and order.order_type == "TRAIL":
            order.trail(last)
        stop = order.trail_stop if order.order_type == "TRAIL" else order.stop_price
        if last is None or stop is None:
            return False
        order.triggered = last >= stop if order.sign > 0 else last <= stop
        return order.triggered

    def _execute(self, order: Order) -> None:
        while self._fill_slice(order):
            pass
        if order.is_working and order.tif in ("IOC", "FOK"):
            self.end(order, "Cancelled by System")

    def _fill_slice(self, order: Order) -> bool:
        """Fill as much as one execution may hold; whether another may follow at once."""
        price = self._price(order)
        quantity = min(order.remaining, self._floor.config.max_fill_quantity or order.remaining)
        if price is None or (order.tif == "FOK" and quantity < order.remaining):
            return False
        self.fill(order, quantity, price)
        if order.is_working and self._floor.config.slice_delay_s > 0:
            order.ready_at_s = self._floor.market.elapsed_s + self._floor.config.slice_delay_s
            self._floor.later(self._floor.config.slice_delay_s, self.match)
            return False
        return order.is_working

    def _price(self, order: Order) -> float | None:
        """What the order would trade at now; `None` when it would not."""
        quote = self._floor.market.quote(order.contract)
        price = quote.ask if order.sign > 0 else quote.bid
        if price is None or order.order_type in ("MKT", "STP", "TRAIL"):
            return price
        limit = order.limit_price
        if limit is None:
            return None
        return price if (limit - price) * order.sign >= 0 else None

    def fill(self, order: Order, quantity: float, price: float) -> None:
        """Execute part or all of an order, book it, write it down, and tell."""
        before = order.filled
        order.filled = round(before + quantity, 8)
        order.avg_fill_price = round(
            (order.avg_fill_price * before + price * quantity) / order.filled, 8
        )
        order.last_fill_price = price
        order.why_held = ""
        if order.filled >= order.quantity:
            order.status = "Filled"
            order.completed_at = completed_time(self._floor.now())
            order.completed_status = f"Filled Size: {order.filled:g}"
        execution = self._floor.books.add(self.execution(order, quantity, price))
        commission = round((order.commission or 0.0) + execution.commission, 6)
        after = attrs.evolve(order, commission=commission)
        self._floor.store.save(order, execution, as_=after)
        self._tell_fill(order, execution, commission)

    def _tell_fill(self, order: Order, execution: Execution, commission: float) -> None:
        self._floor.report.executed(execution)
        self._floor.report.order_changed(order)
        order.commission = commission
        if order.status == "Filled":
            self._floor.report.order_changed(order)
        self._floor.report.commission(execution)
        if self._floor.faults.duplicate_executions > 0:
            self._floor.faults.duplicate_executions -= 1
            self._floor.report.executed(execution)
            self._floor.report.commission(execution)
        self._floor.report.account_changed(order.account, order.contract.con_id)
        self._settle_group(order, execution.quantity)
        if order.status == "Filled":
            self._wake_children(order)

    def _settle_group(self, order: Order, filled: float) -> None:
        for other in self._floor.store.working():
            if not oca.is_together(order, other):
                continue
            quantity = oca.quantity_after(order, filled, other)
            if quantity <= other.filled:
                self.end(other, "Cancelled by System")
            elif quantity != other.quantity:
                other.quantity = quantity
                self._floor.store.save(other)
                self._floor.report.order_changed(other)

    def _wake_children(self, order: Order) -> None:
        for child in self._floor.store.working():
            if child.parent_id == order.order_id and child.client_id == order.client_id:
                self._try(child)

    def execution(self, order: Order, quantity: float, price: float) -> Execution:
        """Describe a fill under the next execution id."""
        return Execution(
            exec_id=f"{self._floor.config.seed & 0xFFFFFFFF:08x}.{self._floor.books.count + 1:08x}.01.01",
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=order.order_id,
            account=order.account,
            contract=order.contract,
            time=self._floor.now(),
            side="BOT" if order.sign > 0 else "SLD",
            quantity=quantity,
            price=price,
            cumulative=order.filled,
            average_price=order.avg_fill_price,
            order_ref=order.order_ref,
            commission=self.commission(order.contract, quantity),
        )

    def commission(self, contract: Contract, quantity: float) -> float:
        """What a fill of this size costs."""
        rates = self._floor.config.commissions
        if contract.is_option:
            return round(rates.per_option * quantity, 6)
        if contract.is_future:
            return round(rates.per_future * quantity, 6)
        return round(max(rates.stock_minimum, rates.per_share * quantity), 6)

    def end(self, order: Order, status_text: str, reason: str = "") -> None:
        """Cancel an order, and its children with it."""
        order.status, order.was_cancelled = "Cancelled", True
        order.why_held = ""
        self._ends_at.pop(order.perm_id, None)
        order.completed_at = completed_time(self._floor.now())
        order.completed_status = status_text
        self._floor.store.save(order)
        self._floor.report.order_status(order)
        text = f"Order Canceled - reason:{reason}"
        self._floor.report.order_error(order.client_id, order.order_id, codes.ORDER_CANCELLED, text)
        faults = self._floor.faults
        if faults.late_fills > 0:
            faults.late_fills -= 1
            self._floor.later(faults.late_fill_delay_s, self._fill_late, order)
        for child in self._floor.store.working():
            if child.client_id == order.client_id and child.parent_id == order.order_id != 0:
                self.end(child, status_text)

    def _fill_late(self, order: Order) -> None:
        price = self.usual_price(order)
        if price is not None and order.remaining > 0:
            self.fill(order, order.remaining, price)

    def usual_price(self, order: Order) -> float | None:
        """What an order would fetch, its limit permitting."""
        quote = self._floor.market.quote(order.contract)
        usual = (quote.ask if order.sign > 0 else quote.bid) or quote.last
        if order.limit_price is not None and usual is not None:
            pick = min if order.sign > 0 else max
            usual = pick(usual, order.limit_price)
        return usual
