"""The witnesses of a storm: what passed between the actors, and what the simulator's ledger and books show.

Each judges by itself and names what it found; nothing found means that the promise was kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import attrs

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import FACADE, LINK, RISK, STRATEGY_C
from actors.messages.orders import OrderConcluded, OrderSent, OrderUpdated, SendOrder
from actors.messages.risk import LatchChanged, OrderApproved, RequestApproval
from actors.model.orders import OrderResult, OrderStatus, Purpose, WireOrder
from supervision.simulator import Simulator
from tests.faults.contents import Content, content_of, content_received

NOT_AT_BROKER = {
    OrderStatus.REJECTED,
    OrderStatus.FAILED,
    OrderStatus.LOST,
    OrderStatus.CANCELLED,
    OrderStatus.TIMEOUT,
}
"""What may be said in the end of an order that the broker never had."""

OVER = {OrderStatus.CANCELLED, OrderStatus.TIMEOUT, OrderStatus.PARTIAL, OrderStatus.FAILED}
"""What may be said of an order that ended at the broker before it was filled."""


@attrs.define
class Witness:
    """Taps the process: permits, the latch, what was sent, and what callers and streams were told."""

    judged: dict[str, WireOrder] = attrs.field(factory=dict)
    permitted: Counter[Content] = attrs.field(factory=Counter)
    passing: dict[str, WireOrder] = attrs.field(factory=dict)
    latched: bool = False
    opened_while_latched: list[str] = attrs.field(factory=list)
    refused_from_here: set[str] = attrs.field(factory=set)
    last_word: dict[str, OrderResult] = attrs.field(factory=dict)
    concluded: list[OrderResult] = attrs.field(factory=list)

    def __call__(self, record: TapRecord) -> None:
        """Take note of one message, before it arrives."""
        message = record.message
        kind = type(message)
        if kind is RequestApproval:
            self.judged[message.correlation_id] = message.order
        elif kind is OrderApproved and record.sender == RISK:
            self.permitted[content_of(self.judged[message.correlation_id])] += 1
        elif kind is LatchChanged and record.sender == STRATEGY_C and record.recipient == LINK:
            self.latched = message.latched
            if not message.latched:
                self.refused_from_here.clear()  # what the gate has not judged yet may pass again
        elif kind is SendOrder and record.recipient == LINK:
            self._note_attempt(message)
        elif kind is OrderSent and message.correlation_id in self.refused_from_here:
            self.opened_while_latched.append(message.order_ref)
        elif kind is OrderUpdated and record.recipient == FACADE and message.result is not None:
            self.last_word[message.result.order_id] = message.result
        elif kind is OrderConcluded and record.recipient == FACADE:
            self.concluded.append(message.result)

    def _note_attempt(self, message: SendOrder) -> None:
        """An opening order that comes to the gate after the latch must not pass it, until it is taken back."""
        if self.latched and message.order.purpose is Purpose.OPEN:
            self.refused_from_here.add(message.correlation_id)

    # --- judging --------------------------------------------------------------------------------------------------

    def broken_promises(self, simulator: Simulator) -> list[str]:
        """Name everything that must not have happened."""
        return [
            *self._without_permit(simulator),
            *self._not_once(simulator),
            *(f"{name} was opened after the latch" for name in self.opened_while_latched),
            *flips(simulator),
        ]

    def _without_permit(self, simulator: Simulator) -> Iterator[str]:
        received = Counter(
            content_received(entry)
            for entry in simulator.ledger
            if entry.kind in ("place", "modify")
        )
        for content in received - self.permitted:
            yield f"no permit for {content}"

    def _not_once(self, simulator: Simulator) -> Iterator[str]:
        placed = Counter(entry.order_ref for entry in simulator.ledger if entry.kind == "place")
        yield from (f"{ref} was placed {count} times" for ref, count in placed.items() if count > 1)

    def untrue_answers(self, simulator: Simulator) -> Iterator[str]:
        """Compare what was said last of each order with what became of it at the broker, once all is at rest."""
        theirs = {
            order.order_ref.partition(":")[2]: order
            for order in simulator.orders()
            if not order.discarded
        }
        filled: dict[str, float] = defaultdict(float)
        for execution in simulator.executions():
            filled[execution.order_ref.partition(":")[2]] += execution.quantity
        working = {order.order_ref.partition(":")[2] for order in simulator.open_orders()}
        for order_id, said in self.last_word.items():
            order = theirs.get(order_id)
            if order is None:
                if said.status not in NOT_AT_BROKER:
                    yield f"{order_id} is {said.status}, and the broker never had it"
                continue
            told = f"{order_id} is {said.status} with {said.fill_quantity:g}"
            if said.fill_quantity != filled[order_id]:
                yield f"{told}, and {filled[order_id]:g} were executed"
            if (said.status is OrderStatus.FILLED) != (filled[order_id] >= order.quantity):
                yield f"{told} of {order.quantity:g}"
            if order_id in working and said.status not in (
                OrderStatus.PENDING,
                OrderStatus.PARTIAL,
            ):
                yield f"{told}, and it works at the broker"
            if order.status == "Cancelled" and said.status not in OVER:
                yield f"{told}, and the broker cancelled it"
        for answer in self.concluded:
            yield from self._untrue_answer(answer, filled)

    def _untrue_answer(self, answer: OrderResult, filled: dict[str, float]) -> Iterator[str]:
        """An answer at its time may have known less, never more."""
        if not answer.order_id:
            if answer.fill_quantity:
                yield f"an order without id is said to be filled: {answer}"
            return
        if answer.fill_quantity > filled[answer.order_id]:
            yield (
                f"{answer.order_id} was answered {answer.status} with {answer.fill_quantity:g}, and"
                f" {filled[answer.order_id]:g} were executed"
            )
        if answer.order_id not in self.last_word:
            yield f"{answer.order_id} was answered {answer.status}, and the stream never told of it"


def flips(simulator: Simulator) -> Iterator[str]:
    """Name the executions that took a position through zero.

    A sale that the broker fills after it has confirmed the cancel cannot be foreseen by anybody, so it is left out.
    """
    cancelled = {order.perm_id for order in simulator.orders() if order.was_cancelled}
    late = {
        execution.exec_id
        for execution in simulator.executions()
        if execution.perm_id in cancelled and execution.side == "SLD"
    }
    held: dict[int, float] = defaultdict(float)
    for execution in simulator.executions():
        if execution.exec_id in late:
            continue
        con_id = execution.contract.con_id
        before = held[con_id]
        held[con_id] = round(before + execution.signed_quantity, 8)
        if before * held[con_id] < 0:
            yield f"{execution.order_ref} took {con_id} from {before:g} to {held[con_id]:g}"
