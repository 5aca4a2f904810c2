"""Risk's ledger: what is held and what orders in flight could still make of it (RSK-4, RSK-6).

A reconciliation sets the positions; executions move them from there, each counted once by its base id. Orders that can
still fill are reserved under their ``orderRef``. Worst case means: the position, and every order on one side filled.

Guarantees: what can be reduced is |position| minus the reducing quantity already reserved, so that any number of closes
together never flips a position. A ledger that was never reconciled says so (``known``), and nothing is reducible in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

import attrs

from actors import messages as m
from actors.logic import executions as counting
from actors.logic.executions import NO_EXECUTIONS, Executions
from actors.logic.frozen import drop, evolve, put
from actors.logic.order_ids import foreign_reference
from actors.model.account import Holding
from actors.model.contracts import Contract
from actors.model.orders import Execution, OrderAction, Purpose, WireOrder

_NOTHING: Final = 1e-9
"""Quantities below this are 0: they are whole numbers of units carried as floats."""


@attrs.frozen(kw_only=True)
class Exposure:
    """One contract's position. ``average_cost`` is per unit and includes the multiplier, as IB counts it."""

    contract: Contract
    quantity: float
    average_cost: float


@attrs.frozen(kw_only=True)
class Ledger:
    """Positions and reservations, with the executions that they already include.

    ``fill_counts`` is per con_id the number of executions that positions include, ``sequences`` how often the broker
    told another position; a closing permit carries both (D16). ``disputed`` is what the broker told of a position that
    is another one here: an execution is on its way, or somebody else has traded.
    """

    known: bool = False
    positions: Mapping[int, Exposure] = MappingProxyType({})
    executions: Executions = NO_EXECUTIONS
    fill_counts: Mapping[int, int] = MappingProxyType({})
    sequences: Mapping[int, int] = MappingProxyType({})
    disputed: Mapping[int, float] = MappingProxyType({})
    reservations: Mapping[str, m.WorkingOrder] = MappingProxyType({})


EMPTY: Final = Ledger()


def reconcile(
    ledger: Ledger,
    holdings: Iterable[Holding],
    executions: Iterable[Execution],
    fill_counts: Iterable[tuple[int, int]],
    working: Iterable[m.WorkingOrder] | None = None,
    sequences: Iterable[tuple[int, int]] = (),
) -> Ledger:
    """Start from the broker's state: it wins over whatever was believed (POS-4).

    ``executions`` are those the holdings already include; they, and those counted before, will not count again.
    ``working`` replaces the reservations; None keeps them until the executor tells its working orders. ``sequences``
    count the changes of positions that the holdings include; what was heard of a later one stays a dispute.
    """
    included = dict(sequences)
    newer = {
        con_id: sequence
        for con_id, sequence in ledger.sequences.items()
        if sequence > included.get(con_id, 0)
    }
    seen = remember(ledger, executions).executions
    positions = {
        holding.contract.con_id: Exposure(
            contract=holding.contract,
            quantity=holding.quantity,
            average_cost=holding.known_cost,
        )
        for holding in holdings
        if abs(holding.quantity) > _NOTHING
    }
    read = Ledger(
        known=True,
        positions=MappingProxyType(positions),
        executions=seen,
        fill_counts=MappingProxyType(dict(fill_counts)),
        sequences=MappingProxyType(included | newer),
        reservations=ledger.reservations if working is None else _by_reference(working),
    )
    for con_id in newer:
        told = ledger.disputed.get(con_id, position(ledger, con_id))
        read = _settle_dispute(read, con_id, told)
    return read


def hear(ledger: Ledger, con_id: int, quantity: float, sequence: int) -> Ledger:
    """Take note of what the broker tells of a position; what is older than the newest that was heard changes nothing.

    It moves no position: executions and reads do. But closes are sized by the smaller of the two (RSK-4).
    """
    if sequence <= ledger.sequences.get(con_id, 0):
        return ledger
    heard = evolve(ledger, sequences=put(ledger.sequences, con_id, sequence))
    return _settle_dispute(heard, con_id, quantity)


def _settle_dispute(ledger: Ledger, con_id: int, told: float) -> Ledger:
    if abs(told - position(ledger, con_id)) <= _NOTHING:
        return evolve(ledger, disputed=drop(ledger.disputed, con_id))
    return evolve(ledger, disputed=put(ledger.disputed, con_id, told))


def exposed(ledger: Ledger) -> tuple[m.ExposedContract, ...]:
    """List what is held, and what may come to be held by orders that can still fill."""
    found = {con_id: held.contract for con_id, held in ledger.positions.items() if held.quantity}
    held = frozenset(found)
    working: dict[int, list[str]] = {}
    for order in ledger.reservations.values():
        con_id = order.contract.con_id
        found.setdefault(con_id, order.contract)
        working.setdefault(con_id, []).append(order.order_ref)
    return tuple(
        m.ExposedContract(
            contract=contract,
            is_held=con_id in held,
            order_refs=tuple(sorted(working.get(con_id, ()))),
        )
        for con_id, contract in found.items()
    )


def forget(ledger: Ledger) -> Ledger:
    """Mark the positions as unknown, as after the loss of the link; reservations and counted executions stay."""
    return evolve(ledger, known=False)


def with_working(ledger: Ledger, working: Iterable[m.WorkingOrder]) -> Ledger:
    """Replace all reservations by the orders that can still fill."""
    return evolve(ledger, reservations=_by_reference(working))


def reservation(ledger: Ledger, order: WireOrder, price: float | None = None) -> m.WorkingOrder:
    """Describe an order as a reservation: its limit or stop price, else ``price``, values it.

    What the ledger has seen executed of it (it is a modify then) does not remain.
    """
    own = order.limit_price if order.limit_price is not None else order.stop_price
    return m.WorkingOrder(
        order_ref=order.order_ref,
        contract=order.contract,
        signed_remaining=order.action.sign * remaining(ledger, order),
        price=price if own is None else own,
        purpose=order.purpose,
    )


def remaining(ledger: Ledger, order: WireOrder) -> float:
    """The order's quantity without what was executed of it; a new order cannot have executions."""
    if order.broker_order_id is None:
        return order.quantity
    executed = sum(
        item.quantity for item in ledger.executions.values() if item.order_ref == order.order_ref
    )
    return max(0.0, order.quantity - executed)


def reserve(ledger: Ledger, order: m.WorkingOrder) -> Ledger:
    """Reserve an order. For a reference that is reserved already (a modify) the larger remainder counts."""
    known = ledger.reservations.get(order.order_ref)
    if known is not None and abs(known.signed_remaining) > abs(order.signed_remaining):
        order = evolve(order, signed_remaining=known.signed_remaining)
    return evolve(ledger, reservations=put(ledger.reservations, order.order_ref, order))


def settle(ledger: Ledger, order_ref: str, signed_remaining: float = 0.0) -> Ledger:
    """Set what an order can still fill; 0 releases it. An unknown reference changes nothing."""
    known = ledger.reservations.get(order_ref)
    if known is None:
        return ledger
    if abs(signed_remaining) <= _NOTHING:
        return evolve(ledger, reservations=drop(ledger.reservations, order_ref))
    left = evolve(known, signed_remaining=signed_remaining)
    return evolve(ledger, reservations=put(ledger.reservations, order_ref, left))


def apply_execution(ledger: Ledger, execution: Execution) -> Ledger:
    """Move the position by an execution and take it off its order's reservation; one seen before changes nothing."""
    counted = counting.count(ledger.executions, execution)
    if not counted.counted:
        return ledger
    change = execution.signed_quantity
    con_id = execution.contract.con_id
    counts = ledger.fill_counts
    if counted.replaces is None:
        counts = put(counts, con_id, counts.get(con_id, 0) + 1)
    else:
        change -= counted.replaces.signed_quantity
    moved = evolve(
        ledger,
        executions=counted.executions,
        fill_counts=counts,
        positions=_moved(ledger.positions, execution, change),
    )
    if (
        con_id in moved.disputed
    ):  # what was told includes this execution; without a dispute it is told yet
        moved = _settle_dispute(moved, con_id, moved.disputed[con_id])
    ours = execution.order_ref in moved.reservations
    reference = execution.order_ref if ours else foreign_reference(execution.perm_id)
    return _take_off(moved, reference, change)


def pay(ledger: Ledger, exec_id: str, commission: float, realized: float | None) -> Ledger:
    """Put a commission on its execution, which moves no position."""
    paid = counting.with_commission(ledger.executions, exec_id, commission, realized)
    return ledger if paid is ledger.executions else evolve(ledger, executions=paid)


def position(ledger: Ledger, con_id: int) -> float:
    """The signed quantity held, in units."""
    held = ledger.positions.get(con_id)
    return 0.0 if held is None else held.quantity


def holdings(ledger: Ledger, account: str) -> tuple[Holding, ...]:
    """The positions as the broker would tell them."""
    return tuple(
        Holding(
            account=account,
            contract=held.contract,
            quantity=held.quantity,
            average_cost=held.average_cost,
        )
        for held in ledger.positions.values()
    )


def reducible(ledger: Ledger, con_id: int, action: OrderAction) -> float:
    """How much an order on this side may reduce: what is held minus all that can still fill on that side.

    An order that opens counts like one that closes: it takes from the position, too, when it fills. 0 when the side
    would not reduce the position, and when positions are unknown.
    """
    if not ledger.known:
        return 0.0
    return max(0.0, closable(ledger, con_id, action) - reserved(ledger, con_id, action))


def closable(ledger: Ledger, con_id: int, action: OrderAction) -> float:
    """How much of a position this side would close, were nothing reserved; the smaller one where it is disputed."""
    here = position(ledger, con_id)
    told = ledger.disputed.get(con_id, here)
    return max(0.0, min(-action.sign * here, -action.sign * told))


def closing(ledger: Ledger, con_id: int, action: OrderAction) -> float:
    """What closes on this side can still take from the position."""
    return sum(
        abs(order.signed_remaining)
        for order in ledger.reservations.values()
        if order.contract.con_id == con_id
        and order.purpose is Purpose.CLOSE
        and order.signed_remaining * action.sign > 0.0
    )


def reserved(ledger: Ledger, con_id: int, action: OrderAction) -> float:
    """The quantity that orders on this side can still fill, without sign."""
    return sum(
        abs(order.signed_remaining)
        for order in ledger.reservations.values()
        if order.contract.con_id == con_id and order.signed_remaining * action.sign > 0.0
    )


def worst_case(ledger: Ledger, con_id: int) -> tuple[float, float]:
    """The lowest and the highest position that orders in flight could lead to."""
    lowest = highest = position(ledger, con_id)
    for order in ledger.reservations.values():
        if order.contract.con_id == con_id:
            if order.signed_remaining > 0.0:
                highest += order.signed_remaining
            else:
                lowest += order.signed_remaining
    return lowest, highest


def reach(ledger: Ledger, con_id: int, action: OrderAction) -> float:
    """How far beyond zero orders in flight could lead on this side: long for a purchase, short for a sale."""
    lowest, highest = worst_case(ledger, con_id)
    return max(0.0, highest if action is OrderAction.BUY else -lowest)


def worst_case_quantity(ledger: Ledger, con_id: int) -> float:
    """The largest |position| that orders in flight could lead to."""
    lowest, highest = worst_case(ledger, con_id)
    return max(abs(lowest), abs(highest))


def at_par(_currency: str) -> float:
    """Reckon every currency as the account's own."""
    return 1.0


def total_value(
    ledger: Ledger, prices: Mapping[int, float], rate_of: Callable[[str], float] = at_par
) -> float:
    """Σ worst-case quantity · price · multiplier · exchange rate over all contracts: the gross exposure.

    A contract without a price in ``prices``, or with one of 0, is valued at the highest price of its orders, or at its
    cost. One that has none of these makes the sum NaN: nothing can be said of it.
    """
    return sum(
        worst_case_quantity(ledger, con_id)
        * _unit_value(ledger, con_id, prices)
        * rate_of(_contract(ledger, con_id).currency)
        for con_id in _contracts(ledger)
    )


def remember(ledger: Ledger, executions: Iterable[Execution]) -> Ledger:
    """Take in executions of earlier days and processes, which the positions include: they move nothing."""
    return evolve(ledger, executions=counting.count_all(ledger.executions, executions))


def without_old(ledger: Ledger, before: datetime) -> Ledger:
    """Let go of executions that happened before a moment; one without a time stays."""
    kept = {
        base_id: item
        for base_id, item in ledger.executions.items()
        if item.executed_at is None or item.executed_at >= before
    }
    return evolve(ledger, executions=MappingProxyType(kept))


def open_contracts(ledger: Ledger) -> frozenset[int]:
    """The contracts that are held, or that an opening order could make held."""
    return frozenset(ledger.positions) | {
        order.contract.con_id
        for order in ledger.reservations.values()
        if order.purpose is Purpose.OPEN
    }


def drift(ledger: Ledger, reported: Iterable[Holding]) -> tuple[str, ...]:
    """Name each contract whose quantity the broker tells differently; empty when ledger and broker agree."""
    broker = {holding.contract.con_id: holding for holding in reported}
    differences = []
    for con_id in sorted(frozenset(ledger.positions) | frozenset(broker)):
        ours = position(ledger, con_id)
        theirs = broker[con_id].quantity if con_id in broker else 0.0
        if abs(ours - theirs) > _NOTHING:
            contract = (
                broker[con_id].contract if con_id in broker else ledger.positions[con_id].contract
            )
            differences.append(f"{contract.position_id}: ledger {ours:g}, broker {theirs:g}")
    return tuple(differences)


def count_fills(executions: Iterable[Execution]) -> tuple[tuple[int, int], ...]:
    """Count the executions of each con_id, corrections not counted apart."""
    distinct = {item.base_id: item.contract.con_id for item in executions}
    return tuple(sorted(Counter(distinct.values()).items()))


def _contracts(ledger: Ledger) -> frozenset[int]:
    working = (order.contract.con_id for order in ledger.reservations.values())
    return frozenset(ledger.positions) | frozenset(working)


def _contract(ledger: Ledger, con_id: int) -> Contract:
    held = ledger.positions.get(con_id)
    if held is not None:
        return held.contract
    orders = ledger.reservations.values()
    return next(item.contract for item in orders if item.contract.con_id == con_id)


def _unit_value(ledger: Ledger, con_id: int, prices: Mapping[int, float]) -> float:
    """What one unit is worth in its own currency, with its multiplier."""
    held, contract = ledger.positions.get(con_id), _contract(ledger, con_id)
    price = prices.get(con_id)
    if price:  # a last price of 0 is the broker's way to say that there is none
        return abs(price) * contract.value_of_a_point
    orders = [item for item in ledger.reservations.values() if item.contract.con_id == con_id]
    asked = [
        abs(order.price) * contract.value_of_a_point for order in orders if order.price is not None
    ]
    cost = [] if held is None else [abs(held.average_cost)]
    return max(filter(None, asked + cost), default=math.nan)


def _moved(
    positions: Mapping[int, Exposure], execution: Execution, change: float
) -> Mapping[int, Exposure]:
    contract = execution.contract
    held = positions.get(contract.con_id)
    before = 0.0 if held is None else held.quantity
    after = before + change
    if abs(after) <= _NOTHING:
        return drop(positions, contract.con_id)
    unit_cost = execution.price * contract.value_of_a_point
    if held is None or before * after < 0.0:
        cost = unit_cost
    elif abs(after) > abs(before):
        # Weighted by quantity; commissions follow with the broker's own figure at the next reconciliation.
        cost = (held.average_cost * before + unit_cost * change) / after
    else:
        cost = held.average_cost
    moved = Exposure(
        contract=contract if held is None else held.contract, quantity=after, average_cost=cost
    )
    return put(positions, contract.con_id, moved)


def _take_off(ledger: Ledger, order_ref: str, change: float) -> Ledger:
    """Reduce a reservation towards 0 by what was executed; a correction can give some of it back."""
    known = ledger.reservations.get(order_ref)
    if known is None:
        return ledger
    left = known.signed_remaining - change
    if left * known.signed_remaining <= 0.0:
        left = 0.0
    return settle(ledger, order_ref, left)


def _by_reference(working: Iterable[m.WorkingOrder]) -> Mapping[str, m.WorkingOrder]:
    return MappingProxyType(
        {order.order_ref: order for order in working if abs(order.signed_remaining) > _NOTHING}
    )
