"""The executor's orders: found by our reference, by the broker's address, or by IB's permId.

Identity is the reference (D15); the two other ways exist because the broker's messages do not always carry it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from actors import messages as m
from actors.executor.case_file import CaseFile
from actors.executor.record import OrderRecord, begin_change
from actors.logic.order_table import OrderState
from actors.model.market import Quote
from actors.model.orders import (
    BrokerOrder,
    Execution,
    Purpose,
    ValidationResult,
    WaitFor,
    WireOrder,
)


@attrs.frozen(kw_only=True)
class CancelIntent:
    """That an order shall end, by somebody's wish or because its time is up.

    ``is_owed``: a cancel is wanted that could not be sent, or may have been lost with the link.
    ``reason``: why it was cancelled although its caller did not ask for that.
    ``at_deadline``: its caller's deadline ended its life.
    """

    is_owed: bool = False
    reason: str | None = None
    at_deadline: bool = False

    def owed(self, is_owed: bool = True) -> CancelIntent:
        """Note whether a cancel has still to be sent."""
        return self if is_owed is self.is_owed else attrs.evolve(self, is_owed=is_owed)

    def by_deadline(self) -> CancelIntent:
        """Note that the caller's deadline is why."""
        return attrs.evolve(self, at_deadline=True)


NO_CANCEL = CancelIntent()


@attrs.frozen(kw_only=True)
class Change:
    """New terms of an order on their way to the broker; one that is under way keeps every other from beginning.

    ``modify`` is who waits for it, None once that one was answered. ``asked``: the terms that risk was asked for.
    ``is_sent``: the bytes left, and the broker's confirmation is waited for.
    """

    modify: m.ModifyOrder | None
    asked: WireOrder | None = None
    is_sent: bool = False


@attrs.define(kw_only=True)
class Tracked:
    """An order with who waits for it.

    ``remaining_at_risk``: the remainder that risk was last told, signed; None before the first time.
    ``awaits_reason``: None until the broker ends it without a reason, then whether one may still come.
    ``last_notes``: the last message of each kind that went into the audit trail.
    ``case``: the evidence on its fate, once it may have been sent.
    ``doubles``: permIds of further orders that the broker has under the same reference.
    """

    record: OrderRecord
    submit: m.SubmitOrder | None = None
    change: Change | None = None
    cancels: list[m.CancelOrder] = attrs.field(factory=list)
    cancel: CancelIntent = NO_CANCEL
    validation: ValidationResult | None = None
    quote: Quote | None = None
    remaining_at_risk: float | None = None
    awaits_reason: bool | None = None
    last_notes: dict[str, tuple[tuple[str, str | float], ...]] = attrs.field(factory=dict)
    doubles: set[int] = attrs.field(factory=set)
    case: CaseFile | None = None

    @property
    def committed(self) -> OrderRecord:
        """The record as risk has to count it: a change that may have its permit may be sent at any moment (RSK-6)."""
        asked = self.change.asked if self.change is not None else None
        pending = self.record.pending_change
        if asked is None or (pending is not None and pending.quantity >= asked.quantity):
            return self.record
        return begin_change(self.record, asked)

    @property
    def wait_for(self) -> WaitFor:
        """What its caller waits for; the acknowledgement of an order that nobody waits for any more."""
        return self.submit.wait_for if self.submit else WaitFor.ACK

    @property
    def is_being_cancelled(self) -> bool:
        """Whether a cancel is owed, or under way."""
        return self.cancel.is_owed or self.record.state is OrderState.CANCELLING


class OrderBook:
    """The orders of one executor incarnation.

    Keeps every live order, and the newest ``bound`` that have ended, so that a late fill still finds its order.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._by_ref: dict[str, Tracked] = {}
        self._by_order_id: dict[str, Tracked] = {}
        self._not_ended: dict[str, Tracked] = {}
        self._ref_by_address: dict[tuple[int | None, int], str] = {}
        self._ref_by_perm_id: dict[int, str] = {}
        self.closes_to_come: set[str] = set()
        """Closes that were asked for and are not in the book yet, by their correlation id."""
        self.called_off: dict[str, str] = {}
        """Why some of them shall never be."""

    def __iter__(self) -> Iterator[Tracked]:
        return iter(tuple(self._by_ref.values()))

    @contextmanager
    def taking_in(self, submit: m.SubmitOrder) -> Iterator[None]:
        """Name a close for as long as it is on its way into the book."""
        if submit.purpose is Purpose.CLOSE:
            self.closes_to_come.add(submit.correlation_id)
        try:
            yield
        finally:
            self.closes_to_come.discard(submit.correlation_id)
            self.called_off.pop(submit.correlation_id, None)

    def call_off_what_comes(self, why: str) -> None:
        """Let no close into the book any more that was asked for before now."""
        self.called_off |= dict.fromkeys(self.closes_to_come, why)

    def add(self, tracked: Tracked) -> None:
        """Take in a new order, and let go of the oldest ended ones beyond the bound."""
        self._by_ref[tracked.record.order_ref] = tracked
        self._by_order_id[tracked.record.order_id] = tracked
        self.index(tracked)
        if len(self._by_ref) > self._bound:
            self._forget_oldest()

    def index(self, tracked: Tracked) -> None:
        """Note the broker's addresses of an order once they are known, and that it lives or lives again."""
        record = tracked.record
        if not record.is_terminal:
            self._not_ended[record.order_ref] = tracked
        if record.broker_order_id:
            self._ref_by_address[record.client_id, record.broker_order_id] = record.order_ref
        if record.perm_id:
            self._ref_by_perm_id[record.perm_id] = record.order_ref

    def by_ref(self, order_ref: str) -> Tracked | None:
        """Find by our reference."""
        return self._by_ref.get(order_ref)

    def by_order_id(self, order_id: str) -> Tracked | None:
        """Find by the id that the caller was told."""
        return self._by_order_id.get(order_id)

    def openings_count(self) -> int:
        """Count the opening orders that may be at the broker; costs as much as there are orders that have not ended."""
        return sum(
            tracked.record.is_live and tracked.record.purpose is Purpose.OPEN
            for tracked in self.not_ended()
        )

    def not_ended(self) -> tuple[Tracked, ...]:
        """List the orders that are not at their end."""
        for reference, tracked in tuple(self._not_ended.items()):
            if tracked.record.is_terminal:
                del self._not_ended[reference]
        return tuple(self._not_ended.values())

    def by_address(self, client_id: int | None, broker_order_id: int) -> Tracked | None:
        """Find by client id and order id: ids are counted per client, so that one alone names many orders."""
        return self._by_ref.get(self._ref_by_address.get((client_id, broker_order_id), ""))

    def of_report(self, order: BrokerOrder, client_id: int | None) -> Tracked | None:
        """Find the order that a broker's report is about."""
        return self._find(
            order.order_ref, order.perm_id, order.order_id, order.client_id, client_id
        )

    def of_execution(self, execution: Execution, client_id: int | None) -> Tracked | None:
        """Find the order that was executed; None when it is not ours."""
        return self._find(
            execution.order_ref,
            execution.perm_id,
            execution.order_id,
            execution.client_id,
            client_id,
        )

    def _find(
        self, order_ref: str, perm_id: int, order_id: int, of_client: int, ours: int | None
    ) -> Tracked | None:
        if order_ref:
            return self._by_ref.get(order_ref)
        if perm_id in self._ref_by_perm_id:
            return self._by_ref.get(self._ref_by_perm_id[perm_id])
        return self.by_address(of_client, order_id) if of_client == ours else None

    def _forget_oldest(self) -> None:
        for ref, tracked in self._by_ref.items():
            if tracked.record.is_terminal and tracked.submit is None:
                del self._by_ref[ref]
                self._by_order_id.pop(tracked.record.order_id, None)
                self._not_ended.pop(ref, None)
                self._ref_by_address.pop(
                    (tracked.record.client_id, tracked.record.broker_order_id or 0), None
                )
                self._ref_by_perm_id.pop(tracked.record.perm_id or 0, None)
                return
