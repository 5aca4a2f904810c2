"""Finding each order's truth in what the broker says of the world (ORD-9, CON-11, PEERS 1, 10, 11).

::

    found under our orderRef in …      then
    open orders                        adopt ids, terms and status
    completed orders                   it is at its end, as the broker says
    executions only                    filled; or, in part, as if it were nowhere
    nowhere, and never sent            FAILED: it will never be sent
    nowhere, and perhaps sent          UNKNOWN, and named as absent: `executor.fates` settles it

Live orders that carry our operator id and that nobody here knows are those of an earlier process: they are adopted.
More than one live order under one orderRef is an alarm, and all but one are named to be cancelled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from actors import messages as m
from actors.errors import OrderValidationError
from actors.executor.record import (
    QUANTITY_TOLERANCE,
    OrderRecord,
    apply_execution,
    complete,
    mark_sent,
    move,
    new_record,
    without_executions,
)
from actors.executor.statuses import adopt
from actors.logic import order_ids
from actors.logic.broker_orders import is_in_account, is_working
from actors.logic.executions import NO_EXECUTIONS, count_all
from actors.logic.order_table import LIVE, TERMINAL, OrderState
from actors.model.connection import BrokerState
from actors.model.orders import (
    BrokerOrder,
    Execution,
    OrderType,
    Purpose,
    TradeRequest,
    WireOrder,
)

_NEVER_SENT = frozenset({OrderState.REJECTED, OrderState.SIMULATED})
_ENDED = frozenset(state.value for state in TERMINAL)


@attrs.frozen(kw_only=True)
class GateKnowledge:
    """What the order gate knows: the orders that it sent, by reference, and since when it has existed.

    Of an intent older than itself (an earlier process made it) the gate knows nothing, so nothing is concluded; nor of
    one that it was not ``asked`` about (None: it was asked about all).
    """

    sent: Mapping[str, int]
    since: datetime
    asked: frozenset[str] | None = None

    def joined(self, other: GateKnowledge) -> GateKnowledge:
        """Put two answers together, both to questions about named orders."""
        return GateKnowledge(
            sent={**self.sent, **other.sent},
            since=max(self.since, other.since),
            asked=(self.asked or frozenset()) | (other.asked or frozenset()),
        )

    def never_sent(self, record: OrderRecord) -> bool:
        """Tell whether it is certain that the order did not leave."""
        return (
            record.order_ref not in self.sent
            and (self.asked is None or record.order_ref in self.asked)
            and record.created_at
            > self.since  # in the same moment an earlier gate may have sent it
            and record.acknowledged_at is None
            and record.sent_at is None
            and record.broker_order_id is None
        )


@attrs.frozen(kw_only=True)
class OrderReconciliation:
    """All records as they stand now, and what was found. ``extras`` are live orders to be cancelled.

    ``adopted`` names the orders of an earlier process; ``foreign`` are live orders that are not ours at all. ``absent``
    names those that may live and that the broker does not show.
    """

    records: tuple[OrderRecord, ...]
    differences: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    extras: tuple[BrokerOrder, ...] = ()
    foreign: tuple[BrokerOrder, ...] = ()
    absent: frozenset[str] = frozenset()


def from_journal(
    orders: Iterable[m.JournaledOrder], executions: Iterable[Execution] = ()
) -> tuple[OrderRecord, ...]:
    """Open records for orders of the journal, with their executions, which the broker may not list any more.

    The fate of an order that is not at its end is UNKNOWN, also when its executions say that it is filled: its end has
    not been recorded and told. One that ended keeps its state, so that a fill that comes late finds it; what it filled
    without an execution is in the position already.
    """
    executed = defaultdict(list)
    for execution in executions:
        executed[execution.order_ref].append(execution)
    return tuple(_restored(order, executed[order.order.order_ref]) for order in orders)


def _restored(order: m.JournaledOrder, executed: Iterable[Execution]) -> OrderRecord:
    state = OrderState(order.state) if order.state in _ENDED else OrderState.UNKNOWN
    record = attrs.evolve(
        new_record(
            order.order,
            order.request,
            order.order_id,
            order.at,
            state=state,
            correlation_id=order.correlation_id,
            close_reason=order.close_reason,
        ),
        broker_order_id=order.broker_order_id,
        client_id=order.client_id,
        perm_id=order.perm_id,
        position_base=order.position_base,
    )
    if state in _NEVER_SENT:
        return record
    record = attrs.evolve(record, executions=count_all(NO_EXECUTIONS, executed))
    if state is OrderState.UNKNOWN:
        return record
    unlisted = max(0.0, order.filled - record.filled)
    return attrs.evolve(record, reported_filled=order.filled, unlisted_filled=unlisted)


def reconcile_orders(
    records: Iterable[OrderRecord],
    state: BrokerState,
    operator_id: str,
    now: datetime,
    *,
    gate: GateKnowledge | None = None,
) -> OrderReconciliation:
    """Compare our records with the broker's state, which was read to all its end markers.

    ``gate``: what the order gate answered, None when it was not asked. What is found nowhere becomes UNKNOWN, unless
    the gate knows that it was never sent. Orders that left after the read are not judged by it.
    """
    world = _World.of(state)
    judged: list[OrderRecord] = []
    differences: list[str] = []
    extras: list[BrokerOrder] = []
    absent: set[str] = set()
    for record in records:
        kept, more = _pick(world.open_orders.get(record.order_ref, ()), record)
        extras += more
        differences += [_alarm(record, order) for order in more]
        after = _judge(record, kept, world, state, now, gate)
        if after.is_live and not (kept or world.completed.get(record.order_ref)):
            absent.add(record.order_ref)
        differences += _explain(record, after)
        judged.append(after)
    account = state.account.account_id
    found = _unknown_orders(
        world, {record.order_ref for record in judged}, operator_id, account, now
    )
    return OrderReconciliation(
        records=(*judged, *found.records),
        differences=(*differences, *found.differences),
        adopted=found.adopted,
        extras=(*extras, *found.extras),
        foreign=found.foreign,
        absent=frozenset(absent),
    )


def is_double(record: OrderRecord, reported: BrokerOrder) -> bool:
    """Tell whether a report is of another order than the record's, although it carries the record's reference."""
    same_reference = reported.order_ref in ("", record.order_ref)
    return bool(same_reference and record.perm_id and reported.perm_id) and (
        reported.perm_id != record.perm_id
    )


@attrs.frozen(kw_only=True)
class _World:
    """The broker's state by orderRef; orders without one stand under the empty text."""

    open_orders: Mapping[str, tuple[BrokerOrder, ...]]
    completed: Mapping[str, tuple[BrokerOrder, ...]]
    executions: Mapping[str, tuple[Execution, ...]]

    @classmethod
    def of(cls, state: BrokerState) -> _World:
        """Sort the broker's state by reference."""
        ended = (order for order in state.open_orders if not is_working(order))
        executions = defaultdict(list)
        for execution in state.executions:
            executions[execution.order_ref].append(execution)
        return cls(
            open_orders=_by_reference(filter(is_working, state.open_orders)),
            completed=_by_reference((*ended, *state.completed_orders)),
            executions={ref: tuple(items) for ref, items in executions.items()},
        )


def _by_reference(orders: Iterable[BrokerOrder]) -> dict[str, tuple[BrokerOrder, ...]]:
    found: defaultdict[str, list[BrokerOrder]] = defaultdict(list)
    for order in orders:
        found[order.order_ref].append(order)
    return {reference: tuple(items) for reference, items in found.items()}


def _pick(
    orders: tuple[BrokerOrder, ...], record: OrderRecord
) -> tuple[BrokerOrder | None, list[BrokerOrder]]:
    """Choose the live order that the record stands for: its own ids first, then the oldest; the rest are extras."""
    if not orders:
        return None, []
    ranked = sorted(
        orders,
        key=lambda order: (
            order.perm_id != (record.perm_id or -1),
            order.order_id != (record.broker_order_id or -1),
            order.perm_id,
        ),
    )
    return ranked[0], ranked[1:]


def _judge(
    record: OrderRecord,
    open_order: BrokerOrder | None,
    world: _World,
    state: BrokerState,
    now: datetime,
    gate: GateKnowledge | None,
) -> OrderRecord:
    reference = record.order_ref
    completed = world.completed.get(reference, ())
    executed = world.executions.get(reference, ())
    if record.state not in LIVE | TERMINAL or record.state in _NEVER_SENT:
        return record
    if gate is not None and reference in gate.sent:
        record = mark_sent(record, gate.sent[reference], now)
    listed = open_order or (completed[-1] if completed else None)
    if listed is not None:
        record = adopt(record, listed, now)
    for execution in executed:
        record = apply_execution(record, execution, now)
    record = complete(record, now)
    if listed is not None:
        record = without_executions(record, _claimed(record, listed))
    if listed is not None or not record.is_live:
        return record
    if record.sent_at is not None and record.sent_at >= state.read_at:
        return record
    return _missing(record, now, gate)


def _claimed(record: OrderRecord, listed: BrokerOrder) -> float:
    """What the broker says of the order has filled; without a number, a filled one all of it."""
    if listed.filled is not None:
        return listed.filled
    return record.reported_filled if record.state is OrderState.FILLED else 0.0


def _missing(record: OrderRecord, now: datetime, gate: GateKnowledge | None) -> OrderRecord:
    """The broker lists the order nowhere: what became of it is settled by more than one read."""
    if gate is not None and gate.never_sent(record):
        return move(record, OrderState.FAILED, now, "it was not sent, and never will be")
    if record.state in (OrderState.AT_GATE, OrderState.UNKNOWN):
        return record  # The gate's own answer is on its way; or it is asked for already.
    return move(record, OrderState.UNKNOWN, now)


def _explain(before: OrderRecord, after: OrderRecord) -> list[str]:
    texts = []
    if before.state is not after.state:
        reason = f" ({after.rejection_reason})" if after.rejection_reason else ""
        texts.append(f"{after.order_ref}: {before.state} here, {after.state} at the broker{reason}")
    if abs(before.filled - after.filled) > QUANTITY_TOLERANCE:
        texts.append(f"{after.order_ref}: filled {before.filled:g} here, {after.filled:g} there")
    if after.filled > after.order.quantity + QUANTITY_TOLERANCE:
        texts.append(
            f"{after.order_ref}: filled {after.filled:g} of {after.order.quantity:g}: too much"
        )
    return texts


def _alarm(record: OrderRecord, extra: BrokerOrder) -> str:
    return (
        f"{record.order_ref}: more than one live order; the extra one has order id"
        f" {extra.order_id} and permId {extra.perm_id}"
    )


def _unknown_orders(
    world: _World, known: set[str], operator_id: str, account: str, now: datetime
) -> OrderReconciliation:
    """Sort the live orders that no record stands for: those of our operator are adopted, the rest are foreign.

    Those in other accounts of the login are none of ours, whoever made them.
    """
    adopted: list[OrderRecord] = []
    extras: list[BrokerOrder] = []
    foreign: list[BrokerOrder] = []
    notes: list[str] = []
    for reference, listed in world.open_orders.items():
        orders = tuple(order for order in listed if is_in_account(order, account))
        if reference in known or not orders:
            continue
        record = None
        if order_ids.operator_of(reference) == operator_id:
            record = _record_of(orders[0], operator_id, now)
        if record is None:
            foreign += orders
            continue
        for execution in world.executions.get(reference, ()):
            record = apply_execution(record, execution, now)
        record = without_executions(record, _claimed(record, orders[0]))
        adopted.append(record)
        extras += orders[1:]
        notes.append(f"{reference}: adopted from an earlier process, {orders[0].status}")
        notes += [_alarm(record, order) for order in orders[1:]]
    return OrderReconciliation(
        records=tuple(adopted),
        differences=tuple(notes),
        adopted=tuple(record.order_ref for record in adopted),
        extras=tuple(extras),
        foreign=tuple(foreign),
    )


def _record_of(order: BrokerOrder, operator_id: str, now: datetime) -> OrderRecord | None:
    """Make a record of what the broker says; None when it says too little, or is of a type that we never send."""
    try:
        order_type = OrderType.parse(order.order_type)
    except OrderValidationError:
        return None
    if order.contract is None or order.action is None or not order.quantity:
        return None
    order_id = order_ids.order_id_of(order.order_ref)
    wire = WireOrder(
        order_ref=order.order_ref,
        contract=order.contract,
        action=order.action,
        quantity=order.quantity,
        order_type=order_type,
        limit_price=order.limit_price if order_type is OrderType.LIMIT else None,
        stop_price=order.stop_price if order_type is OrderType.STOP else None,
        account=order.account,
        operator_id=operator_id,
        purpose=Purpose.CLOSE if order_ids.is_close(order_id) else Purpose.OPEN,
    )
    record = new_record(wire, _request_of(wire), order_id, now, state=OrderState.UNKNOWN)
    return adopt(record, order, now)


def _request_of(wire: WireOrder) -> TradeRequest:
    contract = wire.contract
    return TradeRequest(
        symbol=contract.symbol,
        action=wire.action,
        quantity=wire.quantity,
        order_type=wire.order_type,
        limit_price=wire.limit_price,
        stop_price=wire.stop_price,
        expiry=None if contract.expiry is None else f"{contract.expiry:%Y%m%d}",
        strike=contract.strike,
        right=contract.right,
        operator_id=wire.operator_id,
    )
