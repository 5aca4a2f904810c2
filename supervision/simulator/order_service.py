"""Answers requests about orders."""

# Handlers share one signature whether or not they need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

from . import codes, reports
from .broker import Broker
from .calendar import stamp, utc_stamp
from .client import Client
from .fields import FieldError, Fields
from .ledger import CANCEL_ORDER, GLOBAL_CANCEL, PLACE_ORDER, Kind, LedgerEntry, describe
from .orders import Execution, Order, OrderTicket, read_ticket
from .requests import Handler
from .tickets import Refusal
from .world import World

_READ_ONLY = "The API interface is currently in Read-Only mode."


class OrderService:
    """Places, cancels and lists orders."""

    def __init__(self, world: World, broker: Broker) -> None:
        self._broker = broker
        self._config = world.config
        self._faults = world.faults
        self._books = world.books
        self._store = world.store
        self._now = world.now
        self._loop = world.loop

    def handlers(self) -> dict[int, Handler]:
        """The requests this service answers."""
        return {
            5: self.open_orders,
            7: self.executions,
            15: self.auto_open_orders,
            16: self.all_open_orders,
            99: self.completed_orders,
        }

    # What arrives -------------------------------------------------------------------------------

    def receive(self, session: Client, number: int, values: list[str], arrived_ns: int) -> None:
        """Record an order message in the ledger, then act on it."""
        entry = self._entry(session, number, values, arrived_ns)
        entry, ticket = describe(entry)
        entry = self._store.record(entry)
        state = self._faults
        lost = ""
        if number == PLACE_ORDER and state.lost_acknowledgements:
            lost = state.lost_acknowledgements.pop(0)
        if lost == "drop_before":
            self._store.settle(entry, "dropped")
            session.close(reset=True)
            return
        if lost == "drop_after":
            session.mute()
        outcome = self._act(session, number, entry, ticket, lost != "")
        self._store.settle(entry, outcome)
        if lost == "drop_after":
            session.close(reset=True)

    def _entry(
        self, session: Client, number: int, values: list[str], arrived_ns: int
    ) -> LedgerEntry:
        order_id = _order_id(number, values)
        kind: Kind = "place"
        if number == GLOBAL_CANCEL:
            kind = "global_cancel"
        elif number == CANCEL_ORDER:
            kind = "cancel"
        elif self._store.find(session.client_id, order_id) is not None:
            kind = "modify"
        return LedgerEntry(
            sequence=0,
            received_s=self._loop.time(),
            received_at=self._now(),
            arrived_ns=arrived_ns,
            client_id=session.client_id,
            order_id=order_id,
            kind=kind,
            raw=tuple(values),
        )

    def _act(
        self,
        session: Client,
        number: int,
        entry: LedgerEntry,
        ticket: OrderTicket | None,
        silent: bool,
    ) -> str:
        broker = self._broker
        try:
            if self._config.read_only:
                raise Refusal(codes.BAD_REQUEST, codes.validation(_READ_ONLY))
            if number == GLOBAL_CANCEL:
                return broker.global_cancel()
            if number == CANCEL_ORDER:
                fields = Fields(entry.raw)
                fields.texts(2)
                return broker.cancel(session.client_id, fields.integer())
            ticket = ticket or read_ticket(list(entry.raw))
            return broker.place(session.client_id, ticket, silent=silent)
        except FieldError as error:
            session.error(entry.order_id or -1, codes.BAD_READ, f"Error reading request. {error}")
            return f"rejected:{codes.BAD_READ}"
        except Refusal as refusal:
            session.error(entry.order_id or -1, refusal.code, refusal.text)
            return f"rejected:{refusal.code}"

    # What is asked ------------------------------------------------------------------------------

    def open_orders(self, session: Client, fields: Fields) -> None:
        """List the working orders of this client."""
        self._refuse_when_read_only()
        for order in self._listed():
            if session.client_id == 0 and order.client_id == 0 and order.order_id == 0:
                self._bind(session, order)
            if order.client_id == session.client_id:
                self._tell(session, order)
        self._end(session, 5, "53", "1")

    def all_open_orders(self, session: Client, fields: Fields) -> None:
        """List the working orders of all clients."""
        self._refuse_when_read_only()
        for order in self._listed():
            self._tell(session, order)
        self._end(session, 16, "53", "1")

    def auto_open_orders(self, session: Client, fields: Fields) -> None:
        """Bind orders made by hand to client 0."""
        fields.flag()
        if session.client_id != 0:
            raise Refusal(codes.AUTO_BIND_CLIENT_ZERO)

    def completed_orders(self, session: Client, fields: Fields) -> None:
        """List finished orders."""
        self._refuse_when_read_only()
        api_only = fields.flag()
        for order in self._store.orders.values():
            is_wanted = bool(order.order_id) or not api_only
            hidden = self._faults.orders.is_hidden("completed_orders", order.contract.symbol)
            if order.completed_at and not order.discarded and is_wanted and not hidden:
                session.send_message(reports.completed_order(order, session.version))
        self._end(session, 99, "102")

    def executions(self, session: Client, fields: Fields) -> None:
        """List executions: all of them, then their commissions, then the end."""
        request_id = fields.integer()
        client_id = fields.integer()
        wanted = fields.texts(6)
        chosen = [
            execution
            for execution in self._books.effective()
            if client_id in (0, execution.client_id)
            and _matches(execution, wanted)
            and execution.exec_id not in self._faults.unlisted
            and not self._faults.orders.is_hidden("executions", execution.contract.symbol)
        ]
        for execution in chosen:
            session.send_message(reports.execution_data(execution, request_id))
        for execution in chosen:
            session.send_message(reports.commission_report(execution))
        self._end(session, 7, "55", "1", str(request_id))

    def announce(self, session: Client) -> None:
        """Push the live orders of a client that has come back, before anything else."""
        own = [o for o in self._listed() if o.client_id == session.client_id]
        for order in own:
            self._tell(session, order)
        if own:
            session.send("53", "1")

    def _listed(self) -> list[Order]:
        hidden = self._faults.orders
        return [
            order
            for order in self._broker.listed()
            if not hidden.is_hidden("open_orders", order.contract.symbol)
        ]

    def _end(self, session: Client, request: int, *marker: str) -> None:
        """Send the end of a list, unless it shall have none."""
        if request not in self._faults.orders.endless:
            session.send(*marker)

    def _refuse_when_read_only(self) -> None:
        if self._config.read_only:
            raise Refusal(codes.BAD_REQUEST, codes.validation(_READ_ONLY))

    def _bind(self, session: Client, order: Order) -> None:
        store = self._store
        store.bind(order, session.client_id, store.next_order_id(session.client_id))
        session.send("100", str(order.perm_id), str(order.client_id), str(order.order_id))

    def _tell(self, session: Client, order: Order) -> None:
        order.silent = False
        session.send_message(reports.open_order(order, session.version))
        session.send_message(reports.order_status(order))


def _order_id(number: int, values: list[str]) -> int:
    index = {PLACE_ORDER: 1, CANCEL_ORDER: 2}.get(number)
    if index is None:
        return 0
    fields = Fields(values[index : index + 1])
    try:
        return fields.integer()
    except FieldError:
        return 0


def _matches(execution: Execution, wanted: tuple[str, ...]) -> bool:
    account, since, symbol, sec_type, exchange, side = wanted
    contract = execution.contract
    sides = {"BUY": "BOT", "SELL": "SLD"}
    return (
        account in ("", execution.account)
        and symbol in ("", contract.symbol)
        and sec_type in ("", contract.sec_type)
        and exchange in ("", contract.exchange, reports.venue(contract))
        and sides.get(side.upper(), side) in ("", execution.side)
        and (not since or _not_before(execution, since))
    )


def _not_before(execution: Execution, since: str) -> bool:
    text = " ".join(since.split())
    if "-" in text:
        return utc_stamp(execution.time) >= text
    return stamp(execution.time)[:17] >= text[:17]
