"""Counting each execution once, and only its newest correction (ORD-7).

IB numbers corrections behind the last dot of ``exec_id``: ``0000e1.65f1.01.01`` is replaced by ``0000e1.65f1.01.02``.
What is counted does not depend on the order of arrival, nor on how often an execution arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from actors.logic.frozen import evolve, put
from actors.model.orders import Execution

Executions = Mapping[str, Execution]
"""The counted executions by their base id."""

NO_EXECUTIONS: Final[Executions] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Count:
    """What an arrival did: ``counted`` when it changed the totals, ``replaces`` when it corrected an earlier one."""

    executions: Executions
    counted: bool
    replaces: Execution | None = None


def count(executions: Executions, execution: Execution) -> Count:
    """Count an execution: a new one, a newer correction of a known one, or nothing at all."""
    known = executions.get(execution.base_id)
    if known is not None and not _is_newer(execution, known):
        return Count(executions=executions, counted=False)
    if known is not None and execution.commission is None:
        execution = evolve(execution, commission=known.commission, realized_pnl=known.realized_pnl)
    merged = put(executions, execution.base_id, execution)
    return Count(executions=merged, counted=True, replaces=known)


def with_commission(
    executions: Executions, exec_id: str, commission: float, realized_pnl: float | None
) -> Executions:
    """Put a commission on the execution it belongs to; one for an unknown execution changes nothing."""
    base_id = exec_id.rpartition(".")[0] or exec_id
    known = executions.get(base_id)
    if known is None:
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


def _is_newer(new: Execution, known: Execution) -> bool:
    return _correction(new.exec_id) > _correction(known.exec_id)


def _correction(exec_id: str) -> tuple[int, str]:
    """The number of a correction, comparable: numbers by value, anything else by its text."""
    tail = exec_id.rpartition(".")[2]
    return (int(tail), "") if tail.isdecimal() else (0, tail)
