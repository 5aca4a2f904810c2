"""Judging an order (RSK-1…4, 6, 7).

Guarantees: an opening order is given *every* reason against it, with number and limit; a rule that raises rejects; what
is unknown (positions, account, quote, baselines) rejects. A closing order needs a qualified contract, the opposite
side, and a quantity that is not spoken for; whatever else the rules find about it is noted and passed over.

The rules themselves are in `actors.risk.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from actors.logic.closable import whole_units
from actors.model.orders import CloseReason, Purpose, ValidationResult, WireOrder
from actors.risk import exposure
from actors.risk.case import case_of
from actors.risk.exposure import Ledger
from actors.risk.limits import PeriodLosses, RiskInputs
from actors.risk.rules import RULES, STANDING_RULES
from actors.sections.risk import Risk

CLOSING: Final = "closing"
"""What stands in ``rejected_by`` for the conditions of a closing order."""

UNJUDGED: Final = "unjudged"
"""What stands there when no rule could be asked."""

EXTERNAL: Final = "risk_manager"
"""What stands there for the orchestrator's own risk manager."""

RULE_NAMES: Final = (*(rule.__name__ for rule in RULES), CLOSING, UNJUDGED, EXTERNAL)
"""Everything that can stand there."""


def judge_opening(inputs: RiskInputs, limits: Risk) -> ValidationResult:
    """Judge an order that may add risk; approved only when no rule has a reason against it."""
    found, metrics = _findings(inputs, limits)
    return ValidationResult(
        approved=not found,
        rejection_reasons=tuple(reason for _, reason in found),
        risk_metrics=metrics,
        rejected_by=tuple(rule for rule, _ in found),
    )


def judge_replaced(inputs: RiskInputs, limits: Risk) -> ValidationResult:
    """Judge an opening order for an orchestrator whose own risk manager decides alone (GW-1).

    Only the latch and what blocks opening altogether still reject; what the other rules found is noted.
    """
    if closes(inputs.order, inputs.ledger):
        return judge_closing(inputs, limits)
    found, metrics = _findings(inputs, limits)
    standing = tuple(item for item in found if item[0] in STANDING_RULES or item[0] == UNJUDGED)
    return ValidationResult(
        approved=not standing,
        rejection_reasons=tuple(reason for _, reason in standing),
        risk_metrics=metrics,
        rejected_by=tuple(rule for rule, _ in standing),
        notes=tuple(f"passed over: {item[1]}" for item in found if item not in standing),
    )


def closes(order: WireOrder, ledger: Ledger) -> bool:
    """Tell whether an order is judged as a close: it was made as one, or it can only reduce what is held (RSK-10)."""
    if order.purpose is Purpose.CLOSE:
        return True
    free = exposure.reducible(
        exposure.settle(ledger, order.order_ref), order.contract.con_id, order.action
    )
    return 0.0 < exposure.remaining(ledger, order) <= free


def judge_closing(inputs: RiskInputs, limits: Risk | None = None) -> ValidationResult:
    """Judge an order that can only reduce (RSK-4); with ``limits``, what else was found is noted (RSK-7).

    While Strategy C is latched nothing reduces but its own closes.
    """
    order, ledger = inputs.order, inputs.ledger
    con_id = order.contract.con_id
    held = exposure.closable(ledger, con_id, order.action)
    quantity = exposure.remaining(ledger, order)
    # A modify of a close may use again what the order itself has reserved.
    others = exposure.settle(ledger, order.order_ref)
    free = exposure.reducible(others, con_id, order.action)
    if inputs.over_pending and ledger.known:
        free = max(0.0, held - exposure.closing(others, con_id, order.action))
    reasons = []
    if order.purpose is not Purpose.CLOSE and inputs.latched is not None:
        reasons.append(f"Strategy C is latched ({inputs.latched}), and closes what is held itself")
    if not ledger.known:
        reasons.append("positions are unknown; wait for the reconciliation")
    elif held <= 0.0:
        position = exposure.position(ledger, con_id)
        reasons.append(f"{order.action} does not reduce a position of {position:g}")
    elif not 0.0 < quantity <= free:
        reasons.append(
            f"closing quantity ({quantity:g}) exceeds what is reducible ({free:g}): of {held:g} held, other orders"
            f" may take {max(0.0, held - free):g}"
        )
    elif whole_units(quantity).fraction:
        reasons.append(
            f"closing quantity ({quantity:g}) must be of whole units: IB takes no others"
        )
    notes: tuple[str, ...] = ()
    if limits is not None:
        notes = tuple(f"passed over: {reason}" for _, reason in _findings(inputs, limits)[0])
    return ValidationResult(
        approved=not reasons,
        rejection_reasons=tuple(reasons),
        risk_metrics={"reducible_quantity": free, "order_quantity": quantity},
        notes=notes,
        rejected_by=(CLOSING,) * len(reasons),
    )


def judge(inputs: RiskInputs, limits: Risk) -> ValidationResult:
    """Judge an order as a close where it can only reduce, else as an opening."""
    if closes(inputs.order, inputs.ledger):
        return judge_closing(inputs, limits)
    return judge_opening(inputs, limits)


@attrs.frozen(kw_only=True)
class LossBreach:
    """A loss limit that was reached; both as ratios of the period's baseline."""

    reason: CloseReason
    loss_ratio: float
    limit_ratio: float


def loss_breaches(losses: PeriodLosses, limits: Risk) -> tuple[LossBreach, ...]:
    """Tell which loss limits are reached; unknown losses reach none (they stop opening instead)."""
    found = (
        (CloseReason.DAILY_LOSS_LIMIT, losses.day, limits.daily_loss_ratio),
        (CloseReason.WEEKLY_DRAWDOWN, losses.week, limits.weekly_drawdown_ratio),
    )
    return tuple(
        LossBreach(reason=reason, loss_ratio=loss, limit_ratio=limit)
        for reason, loss, limit in found
        if loss is not None and loss >= limit
    )


def _findings(
    inputs: RiskInputs, limits: Risk
) -> tuple[tuple[tuple[str, str], ...], Mapping[str, float]]:
    """Ask every rule for ``(rule, reason)``; one that raises has found a reason: its own defect."""
    reasons: list[tuple[str, str]] = []
    metrics: dict[str, float] = {}
    try:
        case = case_of(inputs, limits)
    except Exception as error:  # noqa: BLE001 - risk fails closed, whatever went wrong
        unfit = f"the order could not be judged: {type(error).__name__}: {error}"
        return ((UNJUDGED, unfit),), metrics
    for rule in RULES:
        try:
            reason, numbers = rule(case)
        except Exception as error:  # noqa: BLE001 - risk fails closed, whatever went wrong
            reason, numbers = f"{rule.__name__} failed: {type(error).__name__}: {error}", {}
        metrics.update(numbers)
        if reason is not None:
            reasons.append((rule.__name__, reason))
    return tuple(reasons), metrics
