"""The gate's last line: the closes that can still fill never exceed what is held, also where risk erred (RSK-4).

It knows the positions in two ways, and trusts neither more than the other:

* *told*: what the broker's stream of positions, or the newest read, said;
* *reckoned*: the newest read, moved by every execution since.

An execution and the position that it leads to are two messages, and either may come first. An execution moves both
numbers while they agree, and only the reckoned one while they do not, since what was told includes it then. What may be
closed is the smaller of the two; they agree again with the second message.

A close counts from the call in which it passed until it is proved dead: its executions, the broker's final status, or
the executor's word. That it is missing in a read proves nothing. What a final status calls filled counts until the
executions are there, for the position has not moved by it yet. Closes of an earlier process are adopted when the
broker shows them.

It belongs to the process and outlives each incarnation of the link. No clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final, TypeVar

import attrs

from actors import messages as m
from actors.logic.executions import is_newer
from actors.logic.order_ids import is_close, operator_of, order_id_of
from actors.logic.order_table import BrokerStatus, status_of
from actors.model.account import Holding
from actors.model.orders import BrokerOrder, Execution, OrderAction, Purpose, WireOrder

K = TypeVar("K")
V = TypeVar("V")

MAX_REMEMBERED: Final = 100_000
"""So many orders, and so many executions, are remembered; the oldest are forgotten first."""

_NOTHING: Final = 1e-9
_FINAL: Final = frozenset({BrokerStatus.CANCELLED, BrokerStatus.FILLED})
"""Statuses that the broker never takes back. Inactive is none of them: such an order may come to life again."""


@attrs.define
class _Held:
    """One contract's position, in units. ``changes`` counts how often the broker told another one."""

    told: float = 0.0
    reckoned: float = 0.0
    changes: int = 0


@attrs.define
class _Close:
    """A close that is not proved dead. ``ended_with`` is what a final status called filled."""

    con_id: int
    sign: int
    quantity: float
    executed: float
    broker_order_id: int | None = None
    perm_id: int = 0
    is_changed: bool = False
    ended_with: float | None = None

    @property
    def left(self) -> float:
        """What it can still take from the position, or has taken without that the position moved yet."""
        most = self.quantity if self.ended_with is None else self.ended_with
        return max(0.0, most - self.executed)


class PositionGuard:
    """See the module's docstring."""

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._max = max_remembered
        self._held: dict[int, _Held] = {}
        self._closes: dict[str, _Close] = {}
        self._counted: dict[str, Execution] = {}
        self._executed: dict[str, float] = {}
        self._fill_counts: dict[int, int] = {}
        self.executions_counted = 0

    # --- positions ------------------------------------------------------------------------------------------------

    def position_told(self, holding: Holding) -> int:
        """Take over what the stream says of one position; returns the number of its changes so far."""
        held = self._of(holding.contract.con_id)
        _tell(held, holding.quantity)
        return held.changes

    def state_was_read(
        self,
        holdings: Iterable[Holding],
        open_orders: Iterable[BrokerOrder],
        complete_at: Mapping[int, int],
        *,
        news: Iterable[Execution] = (),
        moving: Collection[int] = (),
        ended_before: Collection[str] | None = None,
    ) -> tuple[tuple[int, int], ...]:
        """Take over a read that agrees with all executions counted so far.

        ``complete_at`` are the `position_sequences` when the read's positions were complete: what was told since is
        newer. ``news`` are executions that happened after it, which its positions do not include. Of contracts that
        were ``moving`` it says nothing sure: they stay as they were reckoned. ``ended_before``: the closes that had a
        final status when the read began, so that its positions show them; None: all of them. Returns the sequences that
        the read includes.
        """
        read = {holding.contract.con_id: holding.quantity for holding in holdings}
        for execution in news:
            con_id = execution.contract.con_id
            read[con_id] = read.get(con_id, 0.0) + execution.signed_quantity
        included = dict(complete_at)
        for con_id in (self._held.keys() | read.keys()) - frozenset(moving):
            held = self._of(con_id)
            held.reckoned = read.get(con_id, 0.0)
            if held.changes == complete_at.get(con_id, 0):
                _tell(held, held.reckoned)
                included[con_id] = held.changes
        for order in open_orders:
            self._remainder_read(order)
        self._closes = {
            reference: close
            for reference, close in self._closes.items()
            if close.ended_with is None
            or close.con_id in moving
            or (ended_before is not None and reference not in ended_before)
        }
        return tuple(sorted(included.items()))

    def _remainder_read(self, order: BrokerOrder) -> None:
        """Take the broker's remainder of a close: executions of earlier days are not told any more."""
        close = self._closes.get(order.order_ref)
        if close is not None and order.remaining is not None and not close.is_changed:
            close.quantity = order.remaining + close.executed

    def count_execution(self, execution: Execution) -> bool:
        """Count an execution once, by its newest correction; True when it is new."""
        before = self._counted.get(execution.base_id)
        if before is not None and not is_newer(execution, before):
            return False
        self._remember(self._counted, execution.base_id, execution)
        change = execution.signed_quantity - (before.signed_quantity if before else 0.0)
        if change:
            self._move(execution, change)
        if before is not None:
            return False
        con_id = execution.contract.con_id
        self._fill_counts[con_id] = self._fill_counts.get(con_id, 0) + 1
        self.executions_counted += 1
        return True

    def _move(self, execution: Execution, change: float) -> None:
        held = self._of(execution.contract.con_id)
        if held.told == held.reckoned:
            held.told += change
        held.reckoned += change
        reference = execution.order_ref
        if reference in self._closes or is_close(order_id_of(reference)):
            executed = self._executed.get(reference, 0.0) + change * execution.action.sign
            self._remember(self._executed, reference, executed)
            close = self._closes.get(reference)
            if close is not None:
                close.executed = executed
                self._drop_dead(reference, close)

    def counted_since(self, mark: int) -> tuple[Execution, ...]:
        """The executions counted since ``executions_counted`` was ``mark``."""
        return tuple(islice(reversed(self._counted.values()), self.executions_counted - mark))

    @property
    def ended_closes(self) -> frozenset[str]:
        """The closes that have a final status, and whose executions did not come yet."""
        return frozenset(
            reference for reference, close in self._closes.items() if close.ended_with is not None
        )

    def fill_count(self, con_id: int) -> int:
        """Tell how many executions of the contract were counted."""
        return self._fill_counts.get(con_id, 0)

    @property
    def fill_counts(self) -> tuple[tuple[int, int], ...]:
        """Every contract's count, by contract id."""
        return tuple(sorted(self._fill_counts.items()))

    def position_sequence(self, con_id: int) -> int:
        """Tell how often the broker told another position of the contract."""
        held = self._held.get(con_id)
        return 0 if held is None else held.changes

    @property
    def position_sequences(self) -> dict[int, int]:
        """Every contract's number of changes, by contract id."""
        return {con_id: held.changes for con_id, held in self._held.items()}

    def closable(self, con_id: int, action: OrderAction) -> float:
        """How much of a position an order on this side could close, by the more careful of the two numbers."""
        held = self._held.get(con_id)
        if held is None:
            return 0.0
        return max(0.0, min(-action.sign * held.told, -action.sign * held.reckoned))

    # --- closes ---------------------------------------------------------------------------------------------------

    def close_passed(self, order: WireOrder, broker_order_id: int) -> None:
        """Reckon with a close from now on; of one that is changed the larger quantity counts."""
        reference = order.order_ref
        known = self._closes.get(reference)
        self._closes[reference] = _Close(
            con_id=order.contract.con_id,
            sign=order.action.sign,
            quantity=max(order.quantity, known.quantity if known else 0.0),
            executed=self._executed.get(reference, 0.0),
            broker_order_id=broker_order_id,
            perm_id=known.perm_id if known else 0,
            is_changed=order.broker_order_id is not None,
        )

    def order_told(self, order: BrokerOrder, *, ours: bool, operator_id: str) -> None:
        """Take over what the broker says of an order: it may be a close to adopt, or the end of one.

        A final status that does not say how much was filled proves nothing; one that does comes with it.
        """
        reference = order.order_ref or self._reference_of(order, ours=ours)
        is_final = status_of(order.status, order.why_held) in _FINAL
        close = self._closes.get(reference)
        is_made_here = operator_of(reference) == operator_id and is_close(order_id_of(reference))
        if close is None and is_made_here and not is_final:
            close = self._adopted(order, reference)
        if close is None:
            return
        close.perm_id = order.perm_id or close.perm_id
        if is_final and order.filled is not None:
            close.ended_with = max(order.filled, close.ended_with or 0.0)
        self._drop_dead(reference, close)

    def _reference_of(self, order: BrokerOrder, *, ours: bool) -> str:
        """Find the close that a status is about: it names no reference."""
        for reference, close in self._closes.items():
            by_id = ours and order.order_id > 0 and close.broker_order_id == order.order_id
            if by_id or (order.perm_id and close.perm_id == order.perm_id):
                return reference
        return ""

    def _adopted(self, order: BrokerOrder, reference: str) -> _Close | None:
        if order.contract is None or order.action is None or order.quantity is None:
            return None
        close = self._closes[reference] = _Close(
            con_id=order.contract.con_id,
            sign=order.action.sign,
            quantity=order.quantity,
            executed=self._executed.get(reference, 0.0),
        )
        return close

    def close_reserved(self, order: m.WorkingOrder) -> None:
        """Reckon with a close that the executor cannot prove dead, though the broker may show nothing of it."""
        if order.purpose is not Purpose.CLOSE or order.order_ref in self._closes:
            return
        executed = self._executed.get(order.order_ref, 0.0)
        self._closes[order.order_ref] = _Close(
            con_id=order.contract.con_id,
            sign=1 if order.signed_remaining > 0 else -1,
            quantity=abs(order.signed_remaining) + executed,
            executed=executed,
        )

    def close_is_dead(self, order_ref: str) -> None:
        """Believe the executor that a close can fill no more, and that the position shows what it filled."""
        self._closes.pop(order_ref, None)

    def in_flight(self, con_id: int, action: OrderAction, apart_from: str = "") -> float:
        """What closes of this side, none of them proved dead, can still take from the position."""
        return sum(
            close.left
            for reference, close in self._closes.items()
            if close.con_id == con_id and close.sign == action.sign and reference != apart_from
        )

    def executed(self, order_ref: str) -> float:
        """How much of a close was executed."""
        return self._executed.get(order_ref, 0.0)

    def _drop_dead(self, reference: str, close: _Close) -> None:
        if close.left <= _NOTHING:
            del self._closes[reference]

    # --- memory ---------------------------------------------------------------------------------------------------

    def _of(self, con_id: int) -> _Held:
        return self._held.setdefault(con_id, _Held())

    def _remember(self, memory: dict[K, V], key: K, value: V) -> None:
        if key not in memory and len(memory) >= self._max:
            del memory[next(iter(memory))]
        memory[key] = value


def _tell(held: _Held, quantity: float) -> None:
    if held.told != quantity:
        held.told = quantity
        held.changes += 1
