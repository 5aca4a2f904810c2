"""The broker: takes orders, matches them with the market, and keeps the books.

Knows nothing of sockets. What happens is told to a `Reporter`; what must survive is written to the
state file before it is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from . import codes
from .books import Books
from .config import SimulatorConfig
from .contracts import Contract, Universe
from .faults import FaultState, Rejection
from .ledger import LedgerEntry, Outcome, settled
from .market import Market
from .orders import Execution, Order, OrderTicket
from .reports import completed_time
from .state import StateFile
from .tickets import Refusal, check_modification, check_ticket, margins

_FIRST_PERM_ID = 1_000_000_000
_ID_NOT_USED = frozenset(
    {
        "received",
        "dropped",
        f"rejected:{codes.DUPLICATE_ORDER}",
        f"rejected:{codes.BAD_ORDER_ID}",
        f"rejected:{codes.BAD_READ}",
    }
)


class Reporter(Protocol):
    """Who is told what happens to orders."""

    def order_changed(self, order: Order) -> None:
        """Send openOrder and orderStatus."""
        ...

    def order_status(self, order: Order) -> None:
        """Send orderStatus alone."""
        ...

    def previewed(self, order: Order, values: tuple[float, ...], warning: str) -> None:
        """Answer a what-if order."""
        ...

    def executed(self, execution: Execution) -> None:
        """Send the execution."""
        ...

    def commission(self, execution: Execution) -> None:
        """Send the commission."""
        ...

    def order_error(self, client_id: int, order_id: int, code: int, text: str | None) -> None:
        """Send an error about an order."""
        ...

    def account_changed(self, account: str, con_id: int) -> None:
        """Push position and account values."""
        ...


class Broker:
    """Orders, executions, positions and cash of all accounts."""

    def __init__(
        self,
        *,
        config: SimulatorConfig,
        universe: Universe,
        market: Market,
        now: Callable[[], dt.datetime],
        later: Callable[..., object],
        faults: Callable[[], FaultState],
        state: StateFile,
        reporter: Reporter,
    ) -> None:
        self.orders: dict[int, Order] = {}
        self.ledger: list[LedgerEntry] = []
        self.books = Books(config.managed_accounts, config.cash)
        self._config = config
        self._universe = universe
        self._market = market
        self._now = now
        self._later = later
        self._faults = faults
        self._state = state
        self._report = reporter
        self._by_client: dict[tuple[int, int], Order] = {}
        self._working: dict[int, Order] = {}
        self._highest_id: dict[int, int] = {}
        self._perm_id = _FIRST_PERM_ID
        self._timer_runs = False
        self._untransmitted: dict[int, Order] = {}
        self._waiting_cancels: dict[int, Order] = {}

    # Restoring ----------------------------------------------------------------------------------

    def restore(self, kind: str, record: Any) -> None:
        """Take back one change from the state file."""
        if kind == "order":
            self._keep(Order.restore(record))
        elif kind == "execution":
            self.books.restore(Execution.restore(record))
        elif kind == "ledger":
            self.ledger.append(LedgerEntry.restore(record))
        elif kind == "outcome":
            entry = settled(self.ledger, record)
            if entry.kind == "place" and entry.outcome not in _ID_NOT_USED:
                self._raise_id(entry.client_id, entry.order_id)

    def _keep(self, order: Order) -> None:
        self.orders[order.perm_id] = order
        self._by_client[order.client_id, order.order_id] = order
        self._perm_id = max(self._perm_id, order.perm_id)
        self._raise_id(order.client_id, order.order_id)
        _file_under(self._working, order, order.is_working)
        _file_under(self._untransmitted, order, not order.transmit and not order.discarded)

    # Order ids ----------------------------------------------------------------------------------

    def next_order_id(self, client_id: int) -> int:
        """The next id this client may use."""
        return self._highest_id.get(client_id, 0) + 1

    def _raise_id(self, client_id: int, order_id: int) -> None:
        self._highest_id[client_id] = max(self._highest_id.get(client_id, 0), order_id)

    def find(self, client_id: int, order_id: int) -> Order | None:
        """The newest order of a client under an id."""
        return self._by_client.get((client_id, order_id))

    def bind(self, order: Order, client_id: int, order_id: int) -> None:
        """Give an order to a client under a new id (client 0 and orders made by hand)."""
        order.client_id, order.order_id = client_id, order_id
        self._raise_id(client_id, order_id)
        self._keep(order)
        self._state.write(("order", order))

    def working(self) -> list[Order]:
        """All working orders, oldest first."""
        return list(self._working.values())

    # Placing ------------------------------------------------------------------------------------

    def record(self, entry: LedgerEntry) -> LedgerEntry:
        """Write a ledger entry, numbered, before the message is acted on."""
        entry = attrs.evolve(entry, sequence=len(self.ledger) + 1)
        self.ledger.append(entry)
        self._state.write(("ledger", entry))
        return entry

    def settle(self, entry: LedgerEntry, outcome: str) -> None:
        """Write down what became of a ledger entry."""
        order = self.find(entry.client_id, entry.order_id)
        perm_id = order.perm_id if order is not None else 0
        change = Outcome(entry.sequence, outcome, perm_id)
        settled(self.ledger, change.record())
        self._state.write(("outcome", change))

    def place(self, client_id: int, ticket: OrderTicket, *, silent: bool = False) -> str:
        """Act on PLACE_ORDER; returns the outcome for the ledger."""
        known = self.find(client_id, ticket.order_id)
        try:
            if ticket.order_id <= 0:
                raise Refusal(codes.BAD_ORDER_ID)
            if known is not None and not known.discarded:
                return self._modify(known, ticket)
            if ticket.order_id <= self._highest_id.get(client_id, 0):
                raise Refusal(codes.DUPLICATE_ORDER)
            self._raise_id(client_id, ticket.order_id)
            return self._place_new(client_id, ticket, silent)
        except Refusal as refusal:
            self._report.order_error(client_id, ticket.order_id, refusal.code, refusal.text)
            return f"rejected:{refusal.code}"

    def _place_new(self, client_id: int, ticket: OrderTicket, silent: bool) -> str:
        contract, account = check_ticket(ticket, self._config, self._universe, self._market.today)
        order = Order(
            perm_id=self._perm_id + 1,
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
        self._keep(order)
        self._state.write(("order", order))
        if not order.transmit:
            return "held"
        self._accept(order)
        for child in self._held_group(order):
            child.transmit = True
            self._accept(child)
        self.match()
        return "accepted"

    def _preview(self, order: Order) -> str:
        values, _ = margins(
            order, self.books.accounts[order.account], self._market, self._commission
        )
        order.status = "PreSubmitted"
        order.commission = self._commission(order.contract, order.quantity)
        self._report.previewed(order, values, "")
        return "what_if"

    def _objection(self, order: Order) -> Rejection | None:
        if self._faults().disconnected:
            return Rejection(codes.ORDER_REJECTED, codes.rejection("Not connected."), None)
        if not self._config.margin_check:
            return None
        book = self.books.accounts[order.account]
        _, excess = margins(order, book, self._market, self._commission)
        if excess is None:
            return None
        return Rejection(codes.ORDER_REJECTED, codes.rejection(excess), None)

    def _held_group(self, order: Order) -> list[Order]:
        family = order.parent_id or order.order_id
        return [
            held
            for held in self._untransmitted.values()
            if held.client_id == order.client_id and family in (held.order_id, held.parent_id)
        ]

    def _accept(self, order: Order) -> None:
        waits = order.is_stop or self._waits_for_open(order) or self._waits_for_parent(order)
        order.status = "PreSubmitted" if waits or self._config.pre_submitted else "Submitted"
        reasons = ["child"] if self._waits_for_parent(order) else []
        order.why_held = ",".join([*reasons, "trigger"] if order.is_stop else reasons)
        order.ready_at_s = self._market.elapsed_s + self._config.fill_delay_s
        self._save(order)
        self._report.order_changed(order)
        if self._waits_for_open(order):
            self._report.order_error(
                order.client_id, order.order_id, codes.ORDER_MESSAGE, self._closed_text(order)
            )
        if self._config.fill_delay_s > 0:
            self._later(self._config.fill_delay_s, self.match)

    def _reject(self, order: Order, rejection: Rejection) -> str:
        self._perm_id += 1
        inactive = rejection.inactive
        if inactive is None:
            inactive = self._config.inactive_on_reject
        order.status = "Inactive"
        order.completed_at = completed_time(self._now())
        order.completed_status = rejection.text
        order.discarded = True
        if inactive:
            self._report.order_changed(order)
        self._report.order_error(order.client_id, order.order_id, rejection.code, rejection.text)
        return f"rejected:{rejection.code}"

    def _next_rejection(self) -> Rejection | None:
        rejections = self._faults().rejections
        return rejections.pop(0) if rejections else None

    def _closed_text(self, order: Order) -> str:
        opens = completed_time(self._market.hours.next_open(self._now()))
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
            self._report.order_error(
                order.client_id, order.order_id, rejection.code, rejection.text
            )
            self._report.order_changed(order)
            return f"rejected:{rejection.code}"
        held = not order.transmit
        order.quantity = ticket.quantity
        order.limit_price = ticket.limit_price
        order.stop_price = ticket.stop_price
        order.tif = ticket.tif
        order.order_ref = ticket.order_ref
        order.transmit = order.transmit or ticket.transmit
        order.modifications += 1
        self._save(order)
        if not order.transmit:
            return "held"
        if held:
            self._accept(order)
        else:
            self._report.order_changed(order)
            self._report.order_changed(order)
        self.match()
        return "modified"

    # Cancelling ---------------------------------------------------------------------------------

    def cancel(self, client_id: int, order_id: int) -> str:
        """Act on CANCEL_ORDER; returns the outcome for the ledger."""
        order = self.find(client_id, order_id)
        if order is None or order.discarded:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            self._report.order_error(client_id, order_id, codes.UNKNOWN_ORDER, text)
            return f"rejected:{codes.UNKNOWN_ORDER}"
        if not order.transmit:
            order.discarded = True
            self._save(order)
            self._report.order_error(
                client_id, order_id, codes.ORDER_CANCELLED, "Order was discarded"
            )
            self._not_cancellable(order)
            return "cancelled"
        if not order.is_working:
            text = (
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, "
                f"state: {order.status}."
            )
            self._report.order_error(client_id, order_id, codes.FINISHED_ORDER, text)
            return f"rejected:{codes.FINISHED_ORDER}"
        if self._faults().refused_cancels > 0:
            self._faults().refused_cancels -= 1
            self._not_cancellable(order)
            return f"rejected:{codes.CANNOT_CANCEL}"
        self._cancel_or_wait(order)
        return "cancelled"

    def global_cancel(self) -> str:
        """Cancel every working order of every client."""
        for order in self.working():
            self._cancel_or_wait(order)
        return "cancelled"

    def _cancel_or_wait(self, order: Order) -> None:
        """Cancel, or keep the cancel until the gateway has its servers back."""
        if self._faults().disconnected:
            self._waiting_cancels[order.perm_id] = order
        elif order.is_working:
            self._end(order, "Cancelled by Trader")

    def reconnected(self) -> None:
        """Do what waited while the servers were lost."""
        waiting, self._waiting_cancels = list(self._waiting_cancels.values()), {}
        for order in waiting:
            self._cancel_or_wait(order)
        self.match()

    def cancel_from_venue(self, perm_id: int, reason: str) -> None:
        """Cancel an order from the exchange's side. Raises `KeyError`."""
        order = self._working[perm_id]
        order.status = "PendingCancel"
        self._report.order_status(order)
        self._end(order, "Cancelled by System", reason)

    def _not_cancellable(self, order: Order) -> None:
        text = (
            "Cancel attempted when order is not in a cancellable state.  "
            f"Order permId ={order.perm_id}"
        )
        self._report.order_error(order.client_id, order.order_id, codes.CANNOT_CANCEL, text)

    def _end(self, order: Order, status_text: str, reason: str = "") -> None:
        order.status = "Cancelled"
        order.why_held = ""
        order.completed_at = completed_time(self._now())
        order.completed_status = status_text
        self._save(order)
        self._report.order_status(order)
        text = f"Order Canceled - reason:{reason}"
        self._report.order_error(order.client_id, order.order_id, codes.ORDER_CANCELLED, text)
        faults = self._faults()
        if faults.late_fills > 0:
            faults.late_fills -= 1
            self._later(faults.late_fill_delay_s, self.fill_by_hand, order.perm_id, None, None)
        for child in self.working():
            if child.client_id == order.client_id and child.parent_id == order.order_id != 0:
                self._end(child, status_text)

    # Matching -----------------------------------------------------------------------------------

    def match(self) -> None:
        """Compare every working order with the market, and again while some remain."""
        for order in self.working():
            if order.is_working:
                self._try(order)
        if self._working and not self._timer_runs and not self._faults().held:
            self._timer_runs = True
            self._later(self._config.match_interval_s, self._tick)

    def _tick(self) -> None:
        self._timer_runs = False
        self.match()

    def _waits_for_open(self, order: Order) -> bool:
        return not order.outside_rth and not self._market.hours.is_open(self._now())

    def _waits_for_parent(self, order: Order) -> bool:
        parent = self.find(order.client_id, order.parent_id) if order.parent_id else None
        return parent is not None and parent.status != "Filled"

    def _try(self, order: Order) -> None:
        if (
            self._faults().held
            or self._waits_for_parent(order)
            or self._waits_for_open(order)
            or order.contract.symbol in self._market.halted
            or self._market.elapsed_s < order.ready_at_s
        ):
            return
        if order.is_stop and not order.triggered and not self._trigger(order):
            return
        if order.status == "PreSubmitted" and (
            order.is_stop or order.parent_id or self._hours_kept
        ):
            order.status, order.why_held = "Submitted", ""
            self._save(order)
            self._report.order_changed(order)
        self._execute(order)

    @property
    def _hours_kept(self) -> bool:
        return not self._market.hours.always

    def _trigger(self, order: Order) -> bool:
        last, stop = self._market.quote(order.contract).last, order.stop_price
        if last is None or stop is None:
            return False
        order.triggered = last >= stop if order.sign > 0 else last <= stop
        return order.triggered

    def _execute(self, order: Order) -> None:
        while self._fill_slice(order):
            pass
        if order.is_working and order.tif in ("IOC", "FOK"):
            self._end(order, "Cancelled by System")

    def _fill_slice(self, order: Order) -> bool:
        """Fill as much as one execution may hold; whether another may follow at once."""
        price = self._price(order)
        quantity = min(order.remaining, self._config.max_fill_quantity or order.remaining)
        if price is None or (order.tif == "FOK" and quantity < order.remaining):
            return False
        self._fill(order, quantity, price)
        if order.is_working and self._config.slice_delay_s > 0:
            order.ready_at_s = self._market.elapsed_s + self._config.slice_delay_s
            self._later(self._config.slice_delay_s, self.match)
            return False
        return order.is_working

    def _price(self, order: Order) -> float | None:
        """What the order would trade at now; `None` when it would not."""
        quote = self._market.quote(order.contract)
        price = quote.ask if order.sign > 0 else quote.bid
        if price is None or order.order_type in ("MKT", "STP"):
            return price
        limit = order.limit_price
        if limit is None:
            return None
        return price if (limit - price) * order.sign >= 0 else None

    def _fill(self, order: Order, quantity: float, price: float) -> None:
        before = order.filled
        order.filled = round(before + quantity, 8)
        order.avg_fill_price = round(
            (order.avg_fill_price * before + price * quantity) / order.filled, 8
        )
        order.last_fill_price = price
        order.why_held = ""
        if order.filled >= order.quantity:
            order.status = "Filled"
            order.completed_at = completed_time(self._now())
            order.completed_status = f"Filled Size: {order.filled:g}"
        execution = self.books.add(self._make_execution(order, quantity, price))
        commission = round((order.commission or 0.0) + execution.commission, 6)
        self._keep(order)
        after = attrs.evolve(order, commission=commission)
        self._state.write(("order", after), ("execution", execution))
        self._tell_fill(order, execution, commission)

    def _tell_fill(self, order: Order, execution: Execution, commission: float) -> None:
        self._report.executed(execution)
        self._report.order_changed(order)
        order.commission = commission
        if order.status == "Filled":
            self._report.order_changed(order)
        self._report.commission(execution)
        if self._faults().duplicate_executions > 0:
            self._faults().duplicate_executions -= 1
            self._report.executed(execution)
            self._report.commission(execution)
        self._report.account_changed(order.account, order.contract.con_id)
        if order.status == "Filled":
            self._after_filled(order)

    def _after_filled(self, order: Order) -> None:
        for other in self.working():
            if other is order or other.client_id != order.client_id:
                continue
            in_group = order.oca_group != "" and other.oca_group == order.oca_group
            is_sibling = order.parent_id != 0 and other.parent_id == order.parent_id
            if in_group or is_sibling:
                self._end(other, "Cancelled by System")
        for child in self.working():
            if child.parent_id == order.order_id and child.client_id == order.client_id:
                self._try(child)

    def _make_execution(self, order: Order, quantity: float, price: float) -> Execution:
        return Execution(
            exec_id=f"{self._config.seed & 0xFFFFFFFF:08x}.{self.books.count + 1:08x}.01.01",
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=order.order_id,
            account=order.account,
            contract=order.contract,
            time=self._now(),
            side="BOT" if order.sign > 0 else "SLD",
            quantity=quantity,
            price=price,
            cumulative=order.filled,
            average_price=order.avg_fill_price,
            order_ref=order.order_ref,
            commission=self._commission(order.contract, quantity),
        )

    def _commission(self, contract: Contract, quantity: float) -> float:
        rates = self._config.commissions
        if contract.is_option:
            return round(rates.per_option * quantity, 6)
        return round(max(rates.stock_minimum, rates.per_share * quantity), 6)

    def _save(self, order: Order) -> None:
        self._keep(order)
        self._state.write(("order", order))

    # By hand ------------------------------------------------------------------------------------

    def fill_by_hand(self, perm_id: int, quantity: float | None, price: float | None) -> None:
        """Fill an order whatever the market says, a cancelled one too. Raises `KeyError`."""
        order = self.orders[perm_id]
        amount = order.remaining if quantity is None else min(quantity, order.remaining)
        quote = self._market.quote(order.contract)
        usual = (quote.ask if order.sign > 0 else quote.bid) or quote.last
        if order.limit_price is not None and usual is not None:
            pick = min if order.sign > 0 else max
            usual = pick(usual, order.limit_price)
        chosen = usual if price is None else price
        if amount <= 0 or chosen is None:
            return
        self._fill(order, amount, chosen)
        self.match()

    def trade_elsewhere(
        self, symbol: str, quantity: float, price: float | None, con_id: int
    ) -> None:
        """Trade as another client would (client 0, order 0)."""
        contract = self._listed(symbol, con_id)
        quote = self._market.quote(contract)
        usual = (quote.ask if quantity > 0 else quote.bid) or quote.last or contract.min_tick
        order = self._hand_made(contract, quantity)
        self._fill(order, order.quantity, usual if price is None else price)

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
        self._state.write(("execution", new))
        self._report.executed(new)
        self._report.commission(new)
        self._report.account_changed(new.account, new.contract.con_id)
        return new.exec_id

    def order_by_hand(self, symbol: str, quantity: float, limit_price: float) -> int:
        """Place a resting order as if in the gateway's own window; returns its permId."""
        order = self._hand_made(self._listed(symbol, 0), quantity)
        order.order_type, order.limit_price = "LMT", limit_price
        self._keep(order)
        self._accept(order)
        self.match()
        return order.perm_id

    def _listed(self, symbol: str, con_id: int) -> Contract:
        found = self._universe.by_con_id(con_id) if con_id else self._universe.stock(symbol)
        if found is None:
            raise ValueError(f"no instrument {symbol or con_id}")
        return found

    def _hand_made(self, contract: Contract, quantity: float) -> Order:
        if not quantity:
            raise ValueError("quantity must not be 0")
        return Order(
            perm_id=self._perm_id + 1,
            client_id=0,
            order_id=0,
            contract=contract,
            action="BUY" if quantity > 0 else "SELL",
            quantity=abs(quantity),
            order_type="MKT",
            limit_price=None,
            stop_price=None,
            tif="DAY",
            account=self._config.managed_accounts[0],
            order_ref="",
        )


def _file_under(drawer: dict[int, Order], order: Order, belongs: bool) -> None:
    if belongs:
        drawer[order.perm_id] = order
    else:
        drawer.pop(order.perm_id, None)
