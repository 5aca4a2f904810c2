"""The broker: takes, changes and cancels orders.

Knows nothing of sockets. What happens is told to a `Reporter`; what must survive is written to the
state file before it is told.
"""

from __future__ import annotations

from . import codes
from .fault_state import Rejection
from .matching import Floor, Matcher
from .order_fault_state import Refusing
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
        self._slow_cancels: dict[int, Order] = {}

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
            oca_type=ticket.oca_type,
            open_close=ticket.open_close,
            outside_rth=ticket.outside_rth,
            ext_operator=ticket.ext_operator,
            trail_stop=ticket.trail_stop,
            trailing_percent=ticket.trailing_percent,
            transmit=ticket.transmit,
            silent=silent,
        )
        if ticket.what_if:
            return self._preview(order)
        refusing = self._refusal_of(order)
        if refusing is not None:
            return self._refuse(order, refusing)
        rejection = self._next_rejection() or self._objection(order)
        if rejection is not None:
            return self._reject(order, rejection)
        return self._take(order)

    def _take(self, order: Order) -> str:
        self.store.save(order)
        if not order.transmit:
            return "held"
        self.accept(order)
        for child in self.store.held_group(order):
            child.transmit = True
            self.accept(child)
        self.match()
        return "accepted"

    def _refusal_of(self, order: Order) -> Refusing | None:
        held = self.books.accounts[order.account].positions.get(order.contract.con_id)
        quantity = 0.0 if held is None else held.quantity
        return self._floor.faults.orders.refusal_of(order, quantity)

    def _refuse(self, order: Order, refusing: Refusing) -> str:
        """Refuse an order in the manner that was asked for; see `OrderFaults.refuse_orders`."""
        if refusing.manner in ("error", "inactive"):
            inactive = refusing.manner == "inactive"
            return self._reject(order, Rejection(refusing.code, refusing.text, inactive))
        self.store.perm_id += 1
        if refusing.manner == "late":
            self._floor.later(refusing.appears_after_s, self._take, order)
        if refusing.manner in ("silence", "late"):
            return "ignored"
        order.status = "Inactive"
        if refusing.manner == "deactivated":
            self._floor.faults.orders.deactivated.add(order.perm_id)
            self.store.save(order)
        self._floor.report.order_changed(order)
        if refusing.manner == "deactivated":
            self._floor.report.order_error(
                order.client_id, order.order_id, refusing.code, refusing.text
            )
        return "inactive"

    def listed(self) -> list[Order]:
        """What is listed as open: the working orders, and the de-activated ones."""
        deactivated = self._floor.faults.orders.deactivated
        orders = self.store.orders
        idle = [orders[perm_id] for perm_id in sorted(deactivated) if perm_id in orders]
        return self.store.working() + idle

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

    def accept(self, order: Order) -> None:
        """Let an order work, and say so."""
        waits = (
            order.is_stop
            or self.matcher.waits_for_open(order)
            or self.matcher.waits_for_parent(order)
        )
        order.status = "PreSubmitted" if waits or self._floor.config.pre_submitted else "Submitted"
        reasons = ["child"] if self.matcher.waits_for_parent(order) else []
        order.why_held = ",".join([*reasons, "trigger"] if order.is_stop else reasons)
        delay_s = self._floor.config.fill_delay_s
        delay_s += self._floor.faults.orders.fill_delay_s(order.contract.symbol)
        order.ready_at_s = self._floor.market.elapsed_s + delay_s
        self.store.save(order)
        self._floor.report.order_changed(order)
        if self.matcher.waits_for_open(order):
            self._floor.report.order_error(
                order.client_id, order.order_id, codes.ORDER_MESSAGE, self._closed_text(order)
            )
        if delay_s > 0:
            self._floor.later(delay_s, self.match)

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
        refusing = self._refusal_of(order)
        if refusing is not None and refusing.manner in ("silence", "late"):
            return "ignored"
        rejection = self._next_rejection()
        if refusing is not None:
            rejection = Rejection(refusing.code, refusing.text, None)
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
            self.accept(order)
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
        if not order.is_working and order.perm_id not in self._floor.faults.orders.deactivated:
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
        for order in self.listed():
            self._cancel_or_wait(order)
        return "cancelled"

    def _cancel_or_wait(self, order: Order) -> None:
        """Cancel, or keep the cancel until the gateway has its servers back."""
        if self._floor.faults.disconnected:
            self._waiting_cancels[order.perm_id] = order
        elif order.is_working or order.perm_id in self._floor.faults.orders.deactivated:
            self._cancel_now_or_slowly(order)

    def _cancel_now_or_slowly(self, order: Order) -> None:
        slowness = self._floor.faults.orders.slowness_of(order)
        if slowness is None:
            self._end(order)
            return
        self._slow_cancels[order.perm_id] = order
        order.status = "PendingCancel"
        self.store.save(order)
        if slowness.is_told:
            self._floor.report.order_status(order)
        if slowness.delay_s is not None:
            self._floor.later(slowness.delay_s, self._end_slowly, order)

    def _end_slowly(self, order: Order) -> None:
        if self._slow_cancels.pop(order.perm_id, None) is not None and order.is_working:
            self._end(order)

    def _end(self, order: Order) -> None:
        self._floor.faults.orders.deactivated.discard(order.perm_id)
        self.matcher.end(order, "Cancelled by Trader")

    def release_cancels(self) -> None:
        """Cancel what was kept pending."""
        for order in list(self._slow_cancels.values()):
            self._end_slowly(order)

    def reconnected(self) -> None:
        """Do what waited while the servers were lost."""
        waiting, self._waiting_cancels = list(self._waiting_cancels.values()), {}
        for order in waiting:
            self._cancel_or_wait(order)
        self.match()

    def _not_cancellable(self, order: Order) -> None:
        text = (
            "Cancel attempted when order is not in a cancellable state.  "
            f"Order permId ={order.perm_id}"
        )
        self._floor.report.order_error(order.client_id, order.order_id, codes.CANNOT_CANCEL, text)
