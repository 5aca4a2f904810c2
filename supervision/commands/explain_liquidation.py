"""``python -m supervision explain --liquidation``: how a liquidation went, step by step, by the journal alone.

Each step with its time: what triggered it, the latch, every cancel and its end, every close and its fills, the reads
that proved flat, how it ended, and who took the latch back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from actors.errors import OrderNotFoundError
from actors.logic.order_table import OrderState
from actors.model.orders import Purpose
from supervision.commands.explain import (
    Explanation,
    Told,
    hide_accounts,
    moment,
    plain,
    step_lines,
    tell,
)
from supervision.commands.explain_steps import (
    Step,
    commissions_of,
    execution_step,
    in_order,
    latch_step,
    terms,
    transition_step,
)
from supervision.observe.masking import Masker
from supervision.store.audit import DONE, LiquidationAudit, OrderAudit, open_audit

UNDER_WAY: Final = "as far as the journal knows, it is not at its end"
OTHERS: Final = (
    "orders of other programs that it cancelled or that filled meanwhile are not in the journal"
)

_WORDS: Final[Mapping[str, str]] = {
    "WAITING_FOR_LINK": "waits for the link",
    "CANCELLING": "cancels every working order",
    "READING": "reads executions, positions and orders",
    "CLOSING": "closes what is held",
    "QUEUED": "waits for the open",
    "VERIFYING": "reads until two reads in a row find nothing",
}
_ENDINGS: Final[Mapping[str, str]] = {
    "flat": "flat: two reads in a row found nothing held and nothing working",
    "not flat": "NOT FLAT: a person has to act",
    "simulated": "simulated: nothing was sent, and nothing is flat for it",
}


def explain_liquidation(
    journal: Path, liquidation_id: str | None, masker: Masker, *, as_json: bool
) -> Told:
    """Tell the steps of one liquidation: of the one whose id begins so, else of the latest.

    Raises `OrderNotFoundError` for an unknown id, `ConfigurationError` and `JournalError` where nothing can be read.
    """
    with open_audit(journal) as trail:
        found = trail.liquidations(liquidation_id or "")
        if liquidation_id is not None and not found:
            raise OrderNotFoundError(
                f"no liquidation in {journal} has an id that begins with {liquidation_id!r};"
                " the latest is told by: explain --liquidation"
            )
        if not found:
            return tell(
                {"liquidation": None},
                (f"{journal} holds no liquidation yet",),
                masker,
                as_json=as_json,
            )
        if liquidation_id is not None and len(found) > 1:
            return _listing(found, masker, as_json=as_json)
        audit = trail.liquidation(found[-1])
    for order in audit.orders:
        hide_accounts(order, masker)
    explanation = Explanation(
        summary=_summary(audit), steps=in_order(list(_steps(audit))), gaps=tuple(_gaps(audit))
    )
    value = plain(explanation, of="liquidation")
    return tell(value, _lines(explanation), masker, as_json=as_json)


def _listing(found: tuple[dict[str, Any], ...], masker: Masker, *, as_json: bool) -> Told:
    latches = [
        {
            "liquidation_id": row["liquidation_id"],
            "at": row["at"].isoformat(),
            "trigger": row["reason"],
        }
        for row in found
    ]
    lines = [
        f"{len(found)} liquidations fit; name one by more of its id",
        *(f"{moment(row['at'])}  {row['liquidation_id']}  {row['reason']}" for row in found),
    ]
    told = tell({"liquidations": latches}, lines, masker, as_json=as_json)
    return Told(told.lines, ambiguous=True)


# --- what is told -------------------------------------------------------------------------------------------------


def _summary(audit: LiquidationAudit) -> dict[str, Any]:
    latch, last = audit.latch, audit.steps[-1] if audit.steps else None
    over = last is not None and last["step"] == DONE
    ended_at = last["at"] if last is not None and over else None
    return {
        "liquidation_id": latch["liquidation_id"],
        "trigger": latch["reason"],
        "close_reason": latch["close_reason"],
        "began_at": latch["at"].isoformat(),
        "ended_at": None if ended_at is None else ended_at.isoformat(),
        "took_s": None if ended_at is None else (ended_at - latch["at"]).total_seconds(),
        "step": "LATCHING" if last is None else last["step"],
        "result": last["detail"] if last is not None and over else "under way",
        "cancelled": [_name(order) for order in audit.orders if _is_cancelled(order, audit)],
        "closes": [_name(order) for order in audit.orders if _is_close(order, audit)],
        "rearmed_by": audit.rearmed["who"] if audit.rearmed else None,
    }


def _steps(audit: LiquidationAudit) -> Iterator[Step]:
    latch = audit.latch
    yield Step(
        at=latch["at"],
        what="trigger",
        text=latch["reason"],
        facts={"close_reason": latch["close_reason"]},
    )
    yield latch_step(latch)
    yield from map(_step, audit.steps)
    for order in audit.orders:
        yield from _order_steps(order, audit)
    yield from map(latch_step, audit.recorded)
    if audit.rearmed is not None:
        yield latch_step(audit.rearmed)


def _step(row: Mapping[str, Any]) -> Step:
    step, detail = row["step"], row["detail"]
    facts = {"step": step, "detail": detail}
    if step == DONE:
        return Step(at=row["at"], what="report", text=_ENDINGS.get(detail, detail), facts=facts)
    of_it = f" ({detail})" if detail else ""
    return Step(
        at=row["at"], what="step", text=f"{step}: {_WORDS.get(step, step)}{of_it}", facts=facts
    )


def _order_steps(order: OrderAudit, audit: LiquidationAudit) -> Iterator[Step]:
    """Tell what became of an order meanwhile: of a close everything, of any other its cancel and its end."""
    name, facts = _name(order), {"order_id": _name(order)}
    is_close = _is_close(order, audit)
    if is_close and order.intent is not None:
        asked = terms(order.intent["content"]["request"])
        yield Step(
            at=order.intent["created_at"], what="intent", text=f"{name}: {asked}", facts=facts
        )
    for row in order.transitions:
        told = row["state"] == OrderState.CANCELLING or row["is_final"] or is_close
        if told and _is_within(row["at"], audit):
            step = transition_step(row)
            yield _named(step, name)
    for row in order.executions:
        step = execution_step(row, commissions_of(order))
        if _is_within(step.at, audit):
            yield _named(step, name)


def _named(step: Step, name: str) -> Step:
    return Step(
        at=step.at,
        what=step.what,
        text=f"{name}: {step.text}",
        facts={"order_id": name, **step.facts},
    )


def _gaps(audit: LiquidationAudit) -> Iterator[str]:
    if audit.until is None:
        yield UNDER_WAY
    yield OTHERS


def _is_within(at: datetime, audit: LiquidationAudit) -> bool:
    return audit.latch["at"] <= at and (audit.until is None or at <= audit.until)


def _is_close(order: OrderAudit, audit: LiquidationAudit) -> bool:
    """Whether it closes and began meanwhile: a close that somebody had asked for before is cancelled like any order."""
    intent = order.intent
    return (
        intent is not None
        and intent["purpose"] == Purpose.CLOSE
        and _is_within(intent["created_at"], audit)
    )


def _is_cancelled(order: OrderAudit, audit: LiquidationAudit) -> bool:
    return any(
        row["state"] == OrderState.CANCELLED and _is_within(row["at"], audit)
        for row in order.transitions
    )


def _name(order: OrderAudit) -> str:
    return order.entry.order_id or order.entry.order_ref


def _lines(explanation: Explanation) -> Iterator[str]:
    told = explanation.summary
    yield f"liquidation {told['liquidation_id']}  ({told['close_reason']})"
    yield f"trigger     {told['trigger']}"
    took = "" if told["took_s"] is None else f" after {told['took_s']:.3f} s"
    yield f"result      {told['result']}{took} (step {told['step']})"
    yield f"orders      {len(told['cancelled'])} cancelled, {len(told['closes'])} closes"
    rearmed = f"taken back by {told['rearmed_by']}" if told["rearmed_by"] else "not taken back"
    yield f"latch       {rearmed}"
    yield from step_lines(explanation)
