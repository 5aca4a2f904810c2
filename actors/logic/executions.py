"""Counting each execution once, and only its newest correction (ORD-7).

IB numbers corrections behind the last dot of ``exec_id``: ``0000e1.65f1.01.01`` is replaced by ``0000e1.65f1.01.02``.
What is counted does not depend on the order of arrival, nor on how often an execution arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from actors.logic.frozen import evolve, put
from actors.model.orders import Execution, base_id_of

Executions = Mapping[str, Execution]
"""The counted executions by their base id."""

LISTED_FOR: Final = timedelta(days=8)
"""Older executions need not be remembered: a gateway lists those of a week at most, and five business days of day
trades lie within (RSK-1)."""

NO_EXECUTIONS: Final[Executions] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Count:
    """What an arrival did: ``counted`` when it changed the totals, ``replaces`` when it corrected an earlier one."""

    executions: Executions
    counted: bool
    replaces: Execution | None = None


def count(executions: Executions, execution: Execution) -> Count:
    """Count an execution: a new one, a newer correction of a known one, or nothing at all.

    One that is known may be reported again with its commission, which came after it.
    """
    known = executions.get(execution.base_id)
    after = _after(known, execution)
    if after is known:
        return Count(executions=executions, counted=False)
    merged = put(executions, execution.base_id, after)
    if known is not None and after.exec_id == known.exec_id:
        return Count(executions=merged, counted=False)
    return Count(executions=merged, counted=True, replaces=known)


def count_all(executions: Executions, arrived: Iterable[Execution]) -> Executions:
    """Count many at once, as `count` does one after the other, for the price of one copy."""
    counted = dict(executions)
    for execution in arrived:
        counted[execution.base_id] = _after(counted.get(execution.base_id), execution)
    return MappingProxyType(counted)


def since(executions: Executions, moment: datetime) -> Executions:
    """Forget the executions before ``moment``; those without a time stay."""
    if all(_is_since(item, moment) for item in executions.values()):
        return executions
    kept = {key: item for key, item in executions.items() if _is_since(item, moment)}
    return MappingProxyType(kept)


def with_commission(
    executions: Executions, exec_id: str, commission: float, realized_pnl: float | None
) -> Executions:
    """Put a commission on its execution; one that is known, or of an unknown execution, changes nothing."""
    base_id = base_id_of(exec_id)
    known = executions.get(base_id)
    if known is None or (known.commission, known.realized_pnl) == (commission, realized_pnl):
        return executions
    paid = evolve(known, commission=commission, realized_pnl=realized_pnl)
    return put(executions, base_id, paid)


def quantity_of(executions: Executions) -> float:
    """Sum up the counted quantity, without sign."""
    return sum(execution.quantity for execution in executions.values())


def average_price(executions: Executions) -> float | None:
    """The volume-weighted price per unit, Σ price·quantity / Σ quantity; None when nothing was traded."""
    quantity = quantity_of(executions)
    if quantity <= 0:
        return None
    return sum(item.price * item.quantity for item in executions.values()) / quantity


def commission_of(executions: Executions) -> float | None:
    """Sum up the commissions that are known; None when none is."""
    known = [item.commission for item in executions.values() if item.commission is not None]
    return sum(known) if known else None


def _after(known: Execution | None, reported: Execution) -> Execution:
    """What stands for an execution after it was reported (again); ``known`` itself when that is no news."""
    if known is None:
        return reported
    if is_newer(reported, known):
        return _with_known_commission(reported, known)
    if reported.commission is None or reported.exec_id != known.exec_id:
        return known
    if (reported.commission, reported.realized_pnl) == (known.commission, known.realized_pnl):
        return known
    return evolve(known, commission=reported.commission, realized_pnl=reported.realized_pnl)


def _with_known_commission(correction: Execution, known: Execution) -> Execution:
    """A correction without a commission keeps the one that was paid."""
    if correction.commission is not None:
        return correction
    return evolve(correction, commission=known.commission, realized_pnl=known.realized_pnl)


def _is_since(execution: Execution, moment: datetime) -> bool:
    return execution.executed_at is None or execution.executed_at >= moment


def is_newer(new: Execution, known: Execution) -> bool:
    """Tell whether an execution corrects one that is known: they may come in any order, and again."""
    return _correction(new.exec_id) > _correction(known.exec_id)


def _correction(exec_id: str) -> tuple[int, str]:
    """The number of a correction, comparable: numbers by value, anything else by its text."""
    tail = exec_id.rpartition(".")[2]
    return (int(tail), "") if tail.isdecimal() else (0, tail)
