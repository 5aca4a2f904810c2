"""``python -m supervision explain``: what became of an order and why, told to people or to machines.

Accounts and secrets are masked (OBS-4), and what a broker says cannot move the terminal's cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from actors.errors import OrderNotFoundError
from supervision.commands.explain_steps import (
    Step,
    gaps_of,
    gaps_of_not_sent,
    number,
    steps_of,
    steps_of_not_sent,
    terms,
)
from supervision.observe.masking import Masker
from supervision.store.audit import AuditTrail, Entry, OrderAudit, open_audit


@attrs.frozen
class Told:
    """What is printed; ``ambiguous`` when several orders fit and are listed instead."""

    lines: tuple[str, ...]
    ambiguous: bool = False


@attrs.frozen(kw_only=True)
class Explanation:
    """An order's summary, its steps, and what is not known of it."""

    summary: dict[str, Any]
    steps: tuple[Step, ...]
    gaps: tuple[str, ...]


def explain_order(journal: Path, order_id: str, masker: Masker, *, as_json: bool) -> Told:
    """Tell the life of one order.

    Raises `OrderNotFoundError` for an unknown id, `ConfigurationError` and `JournalError` where nothing can be read.
    """
    with open_audit(journal) as trail:
        found = trail.find(order_id)
        if not found:
            raise OrderNotFoundError(
                f"no order in {journal} has the id {order_id!r} (known are our order ids, orderRefs, IB's order ids "
                "and permIds, ids of executions and correlation ids); list the newest with: explain --last 20"
            )
        if len(found) > 1:
            headline = f"{len(found)} orders fit {order_id}; name one by its order id or orderRef"
            return Told(_listing(found, headline, masker, as_json=as_json), ambiguous=True)
        explanation = _explanation(trail, found[0], masker)
    return tell(plain(explanation), _lines(explanation), masker, as_json=as_json)


def list_orders(journal: Path, most: int, masker: Masker, *, as_json: bool) -> Told:
    """List the newest orders, oldest first, with those that were not sent and why.

    Raises `ConfigurationError` and `JournalError` where nothing can be read.
    """
    with open_audit(journal) as trail:
        entries = trail.newest(most)
    headline = f"the newest {len(entries)} orders:" if entries else f"{journal} holds no order yet"
    return Told(_listing(entries, headline, masker, as_json=as_json))


# --- one order ----------------------------------------------------------------------------------------------------


def _explanation(trail: AuditTrail, entry: Entry, masker: Masker) -> Explanation:
    if entry.seq is not None:
        row = trail.not_sent(entry)
        return Explanation(
            summary=_plain_entry(entry) | {"was_sent": False},
            steps=steps_of_not_sent(row),
            gaps=gaps_of_not_sent(row),
        )
    audit = trail.order(entry)
    hide_accounts(audit, masker)
    return Explanation(
        summary=_plain_entry(entry) | _addresses(audit), steps=steps_of(audit), gaps=gaps_of(audit)
    )


def hide_accounts(audit: OrderAudit, masker: Masker) -> None:
    """Let the masker know the accounts of an order."""
    for account in _accounts(audit):
        masker.hide_account(account)


def _accounts(audit: OrderAudit) -> Iterator[str]:
    if audit.intent is not None:
        yield audit.intent["content"]["order"]["account"]
    for row in audit.executions:
        yield row["content"]["account"]


def _addresses(audit: OrderAudit) -> dict[str, Any]:
    """Find under which ids the broker has the order: the newest that were told."""
    known: dict[str, Any] = {}
    for row in audit.transitions:
        names = ("broker_order_id", "client_id", "perm_id")
        known |= {name: row["detail"][name] for name in names if row["detail"].get(name)}
        known["filled"] = row["detail"].get("filled", 0.0)
    for row in audit.executions:
        known.setdefault("perm_id", row["content"]["perm_id"])
    if audit.intent is not None:
        order = audit.intent["content"]["order"]
        known |= {"account": order["account"], "operator_id": order["operator_id"]}
        known["close_reason"] = audit.intent["content"]["close_reason"]
    was_sent = any(row["detail"].get("broker_order_id") for row in audit.transitions)
    return known | {"was_sent": was_sent or bool(audit.executions)}


def _plain_entry(entry: Entry) -> dict[str, Any]:
    return {
        "order_id": entry.order_id,
        "order_ref": entry.order_ref,
        "correlation_id": entry.correlation_id,
        "at": None if entry.at is None else _utc(entry.at).isoformat(),
        "state": entry.state,
        "reason": entry.reason,
        "request": entry.request,
    }


def plain(explanation: Explanation, of: str = "order") -> dict[str, Any]:
    """Turn an explanation into values for machines; ``of`` names what is explained."""
    began_at = explanation.steps[0].at if explanation.steps else None
    steps = [
        {
            "at": _utc(step.at).isoformat(),
            "after_s": (step.at - began_at).total_seconds() if began_at else 0.0,
            "what": step.what,
            "text": step.text,
            "facts": dict(step.facts),
        }
        for step in explanation.steps
    ]
    return {of: explanation.summary, "steps": steps, "not_known": list(explanation.gaps)}


def _lines(explanation: Explanation) -> Iterator[str]:
    order = explanation.summary
    asked = terms(order["request"]) if order["request"] else "terms unknown"
    yield f"order       {_name(order)}  {asked}"
    filled = f", filled {number(order['filled'])}" if order.get("filled") else ""
    reason = f"  ({order['reason']})" if order["reason"] else ""
    yield f"state       {order['state']}{filled}{reason}"
    for label, names in _SUMMARY:
        told = [f"{word} {order[name]}" for name, word in names if order.get(name)]
        if told:
            yield f"{label:<12}" + "  ".join(told)
    yield from step_lines(explanation)


def step_lines(explanation: Explanation) -> Iterator[str]:
    """Write each step with its time and the seconds since the first, then what is not known."""
    yield ""
    began_at = explanation.steps[0].at if explanation.steps else None
    for step in explanation.steps:
        after_s = (step.at - began_at).total_seconds() if began_at else 0.0
        yield f"{moment(step.at)}  +{after_s:<9.3f} {step.what:<8} {step.text}"
    for gap in explanation.gaps:
        yield f"note        {gap}"


_SUMMARY: Final = (
    ("ids", (("order_ref", "orderRef"), ("correlation_id", "correlation id"))),
    (
        "at broker",
        (("broker_order_id", "IB order id"), ("client_id", "client id"), ("perm_id", "permId")),
    ),
    (
        "for",
        (("account", "account"), ("operator_id", "operator"), ("close_reason", "close reason")),
    ),
)


# --- a list -------------------------------------------------------------------------------------------------------


def _listing(
    entries: Iterable[Entry], headline: str, masker: Masker, *, as_json: bool
) -> tuple[str, ...]:
    orders = [_plain_entry(entry) for entry in entries]
    if as_json:
        return (_json({"orders": orders}, masker),)
    return _masked((headline, *map(_line, orders)), masker)


def _line(order: dict[str, Any]) -> str:
    at = "-" if order["at"] is None else moment(datetime.fromisoformat(order["at"]))
    asked = terms(order["request"]) if order["request"] else ""
    return f"{at:<24} {order['state']:<12} {_name(order)}  {asked}  {order['reason']}".rstrip()


def _name(order: dict[str, Any]) -> str:
    """Name an order by the id that finds it again; one that was refused at once has its caller's id only."""
    return str(order["order_id"] or order["order_ref"] or order["correlation_id"])


# --- writing ------------------------------------------------------------------------------------------------------


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def moment(at: datetime) -> str:
    """Write a time for people."""
    return f"{_utc(at):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}Z"


def tell(value: Any, lines: Iterable[str], masker: Masker, *, as_json: bool) -> Told:
    """Print one JSON object for machines, or lines for people."""
    return Told((_json(value, masker),) if as_json else _masked(lines, masker))


def _json(value: Any, masker: Masker) -> str:
    return json.dumps(masker.value(value), ensure_ascii=False)


def _masked(lines: Iterable[str], masker: Masker) -> tuple[str, ...]:
    return tuple(_printable(masker.text(line)) for line in lines)


def _printable(line: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in line)
