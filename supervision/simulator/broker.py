"""The broker: takes, changes and cancels orders.

Knows nothing of sockets. What happens is told to a `Reporter`; what must survive is written to the
state file before it is told.
"""

from __future__ import annotations

import attrs

from . import codes
from .contracts import Contract
from .fault_state import Rejection
from .matching import Floor, Matcher
from .orders import Order, OrderTicket
from .reports import completed_time
from .tickets import Refusal, check_modification, check_ticket, margins


class Broker:
    """The rules by which orders are accepted; `store` has the orders, `books` the money."""

    def __init__(self, floor: Floor) -> None:
        self.store = floor.store
        self.books = floor.books
        self.matcher = Matcher(floor)
        self._floor = floor
        self._waiting_cancels: dict[int, Order] = {}

    def match(self) -> None:
        """Compare every working order with the market."""
        self.matcher.match()

    # Placing ------------------------------------------------------------------------------------

    def place(self, client_id: int, ticket: OrderTicket, *, silent: bool = False) -> str:
        """Act on PLACE_ORDER; returns the outcome for the ledger."""
        known = self.store.find(client_id, ticket.order_id)
        try:
            if ticket.order_id <= 0:
                raise Refusal(codes.BAD_ORDER_ID)
            if known is not None and not known.discarded:
                return self._modify(known, ticket)
            if ticket.order_id <= self.store.highest_id(client_id):
                raise Refusal(codes.DUPLICATE_ORDER)
            self.store.raise_id(client_id, ticket.order_id)
            return self._place_new(client_id, ticket, silent)
        except Refusal as refusal:
            self._floor.report.order_error(client_id, ticket.order_id, refusal.code, refusal.text)
            return f"rejected:{refusal.code}"

    def _place_new(self, client_id: int, ticket: OrderTicket, silent: bool) -> str:
        contract, account = check_ticket(
            ticket, self._floor.config, self._floor.universe, self._floor.market.today
        )
        order = Order(
            perm_id=self.store.perm_id + 1,
            client_id=client_id,
            order_id=ticket.order_id,
            contract=contract,
            action="SELL" if ticket.action == "SSHORT" else ticket.action,
            quantity=ticket.quantity,
            order_type=ticket.order_type,
            limit_price=ticket.limit_price,
            stop_price=ticket.stop_price,
            tif=ticket.tif,
            account=account,
            order_ref=ticket.order_ref,
            parent_id=ticket.parent_id,
            oca_group=ticket.oca_group,
            open_close=ticket.open_close,
            outside_rth=ticket.outside_rth,
            ext_operator=ticket.ext_operator,
            transmit=ticket.transmit,
            silent=silent,
        )
        if ticket.what_if:
            return self._preview(order)
        rejection = self._next_rejection() or self._objection(order)
        if rejection is not None:
            return self._reject(order, rejection)
        self.store.save(order)
        if not order.transmit:
            return "held"
        self._accept(order)
        for child in self.store.held_group(order):
            child.transmit = True
            self._accept(child)
        self.match()
        return "accepted"

    def _preview(self, order: Order) -> str:
        values, _ = margins(
            order, self.books.accounts[order.account], self._floor.market, self.matcher.commission
        )
        order.status = "PreSubmitted"
        order.commission = self.matcher.commission(order.contract, order.quantity)
        self._floor.report.previewed(order, values, "")
        return "what_if"

    def _objection(self, order: Order) -> Rejection | None:
        if self._floor.faults.disconnected:
            return Rejection(codes.ORDER_REJECTED, codes.rejection("Not connected."), None)
        if not self._floor.config.margin_check:
            return None
        book = self.books.accounts[order.account]
        _, excess = margins(order, book, self._floor.market, self.matcher.commission)
        if excess is None:
            return None
        return Rejection(codes.ORDER_REJECTED, codes.rejection(excess), None)

    def _accept(self, order: Order) -> None:
        waits = (
            order.is_stop
            or self.matcher.waits_for_open(order)
            or self.matcher.waits_for_parent(order)
        )
        order.status = "PreSubmitted" if waits or self._floor.config.pre_submitted else "Submitted"
        reasons = ["child"] if self.matcher.waits_for_parent(order) else []
        order.why_held = ",".join([*reasons, "trigger"] if order.is_stop else reasons)
        order.ready_at_s = self._floor.market.elapsed_s + self._floor.config.fill_delay_s
        self.store.save(order)
        self._floor.report.order_changed(order)
        if self.matcher.waits_for_open(order):
            self._floor.report.order_error(
                order.client_id, order.order_id, codes.ORDER_MESSAGE, self._closed_text(order)
            )
        if self._floor.config.fill_delay_s > 0:
            self._floor.later(self._floor.config.fill_delay_s, self.match)

    def _reject(self, order: Order, rejection: Rejection) -> str:
        self.store.perm_id += 1
        inactive = rejection.inactive
        if inactive is None:
            inactive = self._floor.config.inactive_on_reject
        order.status = "Inactive"
        order.completed_at = completed_time(self._floor.now())
        order.completed_status = rejection.text
        order.discarded = True
        if inactive:
            self._floor.report.order_changed(order)
        self._floor.report.order_error(
            order.client_id, order.order_id, rejection.code, rejection.text
        )
        return f"rejected:{rejection.code}"

    def _next_rejection(self) -> Rejection | None:
        rejections = self._floor.faults.rejections
        return rejections.pop(0) if rejections else None

    def _closed_text(self, order: Order) -> str:
        opens = completed_time(self._floor.market.hours.next_open(self._floor.now()))
        opens = f"{opens[:4]}-{opens[4:6]}-{opens[6:]}"
        return (
            f"Order Message:\n{order.action} {order.quantity:g} {order.contract.symbol} "
            f"{order.contract.trading_class}\nWarning: Your order will not be placed at the "
            f"exchange until {opens}."
        )

    def _modify(self, order: Order, ticket: OrderTicket) -> str:
        if order.is_working and order.status != "PendingCancel":
            check_modification(order, ticket)
        elif order.transmit:
            raise Refusal(codes.CANNOT_MODIFY_FILLED)
        rejection = self._next_rejection()
        if rejection is not None:
            self._floor.report.order_error(
                order.client_id, order.order_id, rejection.code, rejection.text
            )
            self._floor.report.order_changed(order)
            return f"rejected:{rejection.code}"
        held = not order.transmit
        order.quantity = ticket.quantity
        order.limit_price = ticket.limit_price
        order.stop_price = ticket.stop_price
        order.tif = ticket.tif
        order.order_ref = ticket.order_ref
        order.transmit = order.transmit or ticket.transmit
        order.modifications += 1
        self.store.save(order)
        if not order.transmit:
            return "held"
        if held:
            self._accept(order)
        else:
            self._floor.report.order_changed(order)
            self._floor.report.order_changed(order)
        self.match()
        return "modified"

    # Cancelling ---------------------------------------------------------------------------------

    def cancel(self, client_id: int, order_id: int) -> str:
        """Act on CANCEL_ORDER; returns the outcome for the ledger."""
        order = self.store.find(client_id, order_id)
        if order is None or order.discarded:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            self._floor.report.order_error(client_id, order_id, codes.UNKNOWN_ORDER, text)
            return f"rejected:{codes.UNKNOWN_ORDER}"
        if not order.transmit:
            order.discarded = True
            self.store.save(order)
            self._floor.report.order_error(
                client_id, order_id, codes.ORDER_CANCELLED, "Order was discarded"
            )
            self._not_cancellable(order)
            return "cancelled"
        if not order.is_working:
            text = (
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, "
                f"state: {order.status}."
            )
            self._floor.report.order_error(client_id, order_id, codes.FINISHED_ORDER, text)
            return f"rejected:{codes.FINISHED_ORDER}"
        if self._floor.faults.refused_cancels > 0:
            self._floor.faults.refused_cancels -= 1
            self._not_cancellable(order)
            return f"rejected:{codes.CANNOT_CANCEL}"
        self._cancel_or_wait(order)
        return "cancelled"

    def global_cancel(self) -> str:
        """Cancel every working order of every client."""
        for order in self.store.working():
            self._cancel_or_wait(order)
        return "cancelled"

    def _cancel_or_wait(self, order: Order) -> None:
        """Cancel, or keep the cancel until the gateway has its servers back."""
        if self._floor.faults.disconnected:
            self._waiting_cancels[order.perm_id] = order
        elif order.is_working:
            self.matcher.end(order, "Cancelled by Trader")

    def reconnected(self) -> None:
        """Do what waited while the servers were lost."""
        waiting, self._waiting_cancels = list(self._waiting_cancels.values()), {}
        for order in waiting:
            self._cancel_or_wait(order)
        self.match()

    def cancel_from_venue(self, perm_id: int, reason: str) -> None:
        """Cancel an order from the exchange's side. Raises `KeyError`."""
        order = self.store.orders[perm_id]
        order.status = "PendingCancel"
        self._floor.report.order_status(order)
        self.matcher.end(order, "Cancelled by System", reason)

    def _not_cancellable(self, order: Order) -> None:
        text = (
            "Cancel attempted when order is not in a cancellable state.  "
            f"Order permId ={order.perm_id}"
        )
        self._floor.report.order_error(order.client_id, order.order_id, codes.CANNOT_CANCEL, text)

    # By hand ------------------------------------------------------------------------------------

    def fill_by_hand(self, perm_id: int, quantity: float | None, price: float | None) -> None:
        """Fill an order whatever the market says, a cancelled one too. Raises `KeyError`."""
        order = self.store.orders[perm_id]
        amount = order.remaining if quantity is None else min(quantity, order.remaining)
        chosen = self.matcher.usual_price(order) if price is None else price
        if amount > 0 and chosen is not None:
            self.matcher.fill(order, amount, chosen)
            self.match()

    def trade_elsewhere(
        self, symbol: str, quantity: float, price: float | None, con_id: int, account: str
    ) -> None:
        """Trade as another client would (client 0, order 0); `account` empty: the first one."""
        contract = self._listed(symbol, con_id)
        quote = self._floor.market.quote(contract)
        usual = (quote.ask if quantity > 0 else quote.bid) or quote.last or contract.min_tick
        order = self._hand_made(contract, quantity, account)
        self.matcher.fill(order, order.quantity, usual if price is None else price)

    def correct(self, exec_id: str, price: float | None, quantity: float | None) -> str:
        """Replace an execution by a corrected one; returns its id. Raises `KeyError`."""
        old = self.books.find(exec_id)
        version = int(exec_id.rpartition(".")[2]) + 1
        new = attrs.evolve(
            old,
            exec_id=f"{old.root_id}.{version:02d}",
            price=old.price if price is None else price,
            quantity=old.quantity if quantity is None else quantity,
        )
        self.books.replace(new)
        self.store.save_correction(new)
        self._floor.report.executed(new)
        self._floor.report.commission(new)
        self._floor.report.account_changed(new.account, new.contract.con_id)
        return new.exec_id

    def order_by_hand(self, symbol: str, quantity: float, limit_price: float, account: str) -> int:
        """Place a resting order as if in the gateway's own window; returns its permId."""
        order = self._hand_made(self._listed(symbol, 0), quantity, account)
        order.order_type, order.limit_price = "LMT", limit_price
        self.store.keep(order)
        self._accept(order)
        self.match()
        return order.perm_id

    def double(self, perm_id: int, client_id: int | None) -> int:
        """Place an order once more under the same reference; returns the permId of the copy. Raises `KeyError`."""
        order = self.store.orders[perm_id]
        owner = order.client_id if client_id is None else client_id
        copy = attrs.evolve(
            order,
            perm_id=self.store.perm_id + 1,
            client_id=owner,
            order_id=self.store.next_order_id(owner),
        )
        self.store.keep(copy)
        self._accept(copy)
        self.match()
        return copy.perm_id

    def _listed(self, symbol: str, con_id: int) -> Contract:
        found = (
            self._floor.universe.by_con_id(con_id) if con_id else self._floor.universe.stock(symbol)
        )
        if found is None:
            raise ValueError(f"no instrument {symbol or con_id}")
        return found

    def _hand_made(self, contract: Contract, quantity: float, account: str) -> Order:
        if not quantity:
            raise ValueError("quantity must not be 0")
        return Order(
            perm_id=self.store.perm_id + 1,
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
