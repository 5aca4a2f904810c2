"""What others do at the broker: the exchange, somebody at the gateway's own window, another client.

It goes past the checks that a client's order meets. What happens is told and written down like anything else.
"""

from __future__ import annotations

import attrs

from .broker import Broker
from .instruments import Contract
from .matching import Floor
from .orders import Order

_FAR = 0.5
"""So far from the market, as a part of the price, an order of another rests that names no price."""


class Others:
    """Whoever is not the client under test."""

    def __init__(self, floor: Floor, broker: Broker) -> None:
        self._floor = floor
        self._store = floor.store
        self._books = floor.books
        self._broker = broker
        self._matcher = broker.matcher

    # The exchange -------------------------------------------------------------------------------

    def cancel_from_venue(self, perm_id: int, reason: str) -> None:
        """Cancel an order from the exchange's side. Raises `KeyError`."""
        order = self._store.orders[perm_id]
        order.status = "PendingCancel"
        self._floor.report.order_status(order)
        self._matcher.end(order, "Cancelled by System", reason)

    def correct(self, exec_id: str, price: float | None, quantity: float | None) -> str:
        """Replace an execution by a corrected one; returns its id. Raises `KeyError`."""
        old = self._books.find(exec_id)
        version = int(exec_id.rpartition(".")[2]) + 1
        new = attrs.evolve(
            old,
            exec_id=f"{old.root_id}.{version:02d}",
            price=old.price if price is None else price,
            quantity=old.quantity if quantity is None else quantity,
        )
        self._books.replace(new)
        self._store.save_correction(new)
        self._floor.report.executed(new)
        self._floor.report.commission(new)
        self._floor.report.account_changed(new.account, new.contract.con_id)
        return new.exec_id

    def deactivate(self, perm_id: int) -> None:
        """Make an order Inactive without ending it. Raises `KeyError`."""
        order = self._store.orders[perm_id]
        self._floor.faults.orders.deactivated.add(perm_id)
        order.status = "Inactive"
        self._store.save(order)
        self._floor.report.order_changed(order)

    def activate(self, perm_id: int) -> None:
        """Let a de-activated order work again. Raises `KeyError`."""
        order = self._store.orders[perm_id]
        self._floor.faults.orders.deactivated.discard(perm_id)
        self._broker.accept(order)
        self._broker.match()

    # By hand and by other clients ---------------------------------------------------------------

    def fill_by_hand(self, perm_id: int, quantity: float | None, price: float | None) -> None:
        """Fill an order whatever the market says, a cancelled one too. Raises `KeyError`."""
        order = self._store.orders[perm_id]
        amount = order.remaining if quantity is None else min(quantity, order.remaining)
        chosen = self._matcher.usual_price(order) if price is None else price
        if amount > 0 and chosen is not None:
            self._matcher.fill(order, amount, chosen)
            self._broker.match()

    def trade_elsewhere(
        self, symbol: str, quantity: float, price: float | None, con_id: int, account: str
    ) -> None:
        """Trade as another client would (client 0, order 0); `account` empty: the first one."""
        contract = self._listed(symbol, con_id)
        quote = self._floor.market.quote(contract)
        usual = (quote.ask if quantity > 0 else quote.bid) or quote.last or contract.min_tick
        order = self._hand_made(contract, quantity, account)
        self._matcher.fill(order, order.quantity, usual if price is None else price)

    def order_by_hand(self, symbol: str, quantity: float, limit_price: float, account: str) -> int:
        """Place a resting order as if in the gateway's own window; returns its permId."""
        order = self._hand_made(self._listed(symbol, 0), quantity, account)
        order.order_type, order.limit_price = "LMT", limit_price
        self._store.keep(order)
        self._broker.accept(order)
        self._broker.match()
        return order.perm_id

    def double(self, perm_id: int, client_id: int | None) -> int:
        """Place an order once more under the same reference; returns the permId of the copy. Raises `KeyError`."""
        order = self._store.orders[perm_id]
        owner = order.client_id if client_id is None else client_id
        copy = attrs.evolve(
            order,
            perm_id=self._store.perm_id + 1,
            client_id=owner,
            order_id=self._store.next_order_id(owner),
        )
        self._store.keep(copy)
        self._broker.accept(copy)
        self._broker.match()
        return copy.perm_id

    def order_of_another(
        self,
        symbol: str,
        quantity: float,
        limit_price: float | None,
        stop_price: float | None,
        client_id: int,
        order_ref: str,
        con_id: int,
    ) -> int:
        """Let an order of another client rest; returns its permId. Client 0 has negative order ids."""
        order = self._hand_made(self._listed(symbol, con_id), quantity, "")
        order.client_id, order.order_ref = client_id, order_ref
        order.order_id = self._next_id(client_id)
        order.order_type = "LMT" if stop_price is None else "STP"
        order.limit_price, order.stop_price = limit_price, stop_price
        if limit_price is None and stop_price is None:
            order.limit_price = self._far_from_the_market(order)
        self._store.keep(order)
        self._broker.accept(order)
        self._broker.match()
        return order.perm_id

    def _next_id(self, client_id: int) -> int:
        if client_id:
            return self._store.next_order_id(client_id)
        used = [each.order_id for each in self._store.orders.values() if not each.client_id]
        return min([0, *used]) - 1

    def _far_from_the_market(self, order: Order) -> float:
        quote = self._floor.market.quote(order.contract)
        price = (quote.last or order.contract.min_tick) * (1 - order.sign * _FAR)
        ticks = max(1, round(price / order.contract.min_tick))
        return round(ticks * order.contract.min_tick, 8)

    def add_executions(self, symbol: str, count: int, client_id: int) -> None:
        """Book so many executions of one unit, purchases and sales in turn, and tell nobody."""
        contract = self._listed(symbol, 0)
        price = self._floor.market.quote(contract).last or contract.min_tick
        sides = [self._hand_made(contract, sign, "") for sign in (1.0, -1.0)]
        for order in sides:
            order.client_id = client_id
            self._store.perm_id = order.perm_id
        for number in range(count):
            order = sides[number % 2]
            order.filled += 1.0
            order.avg_fill_price = price
            execution = self._matcher.execution(order, 1.0, price)
            self._store.save_correction(self._books.add(execution))

    def _listed(self, symbol: str, con_id: int) -> Contract:
        universe = self._floor.universe
        found = (
            universe.by_con_id(con_id)
            if con_id
            else universe.named(symbol, self._floor.market.today)
        )
        if found is None:
            raise ValueError(f"no instrument {symbol or con_id}")
        return found

    def _hand_made(self, contract: Contract, quantity: float, account: str) -> Order:
        if not quantity:
            raise ValueError("quantity must not be 0")
        return Order(
            perm_id=self._store.perm_id + 1,
            client_id=0,
            order_id=0,
            contract=contract,
            action="BUY" if quantity > 0 else "SELL",
            quantity=abs(quantity),
            order_type="MKT",
            limit_price=None,
            stop_price=None,
            tif="DAY",
            account=account or self._floor.config.managed_accounts[0],
            order_ref="",
        )
