"""An order's life as steps, each with its time: made from the journal's rows (`supervision.store.audit`).

Steps stand in the order of their times. At the same time what must have come first stands first: the intent before the
bytes, a message of the broker before what we made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from actors.executor.audit_notes import (
    CHANGE_REFUSED,
    CHANGE_SENT,
    COMMISSION_REPORT,
    ERROR,
    OPEN_ORDER,
    ORDER_STATUS,
)
from actors.logic.order_table import TERMINAL, OrderState
from supervision.store.audit import OrderAudit
from supervision.store.entries.liquidations import RECORDED
from supervision.store.entries.orders import UNJOURNALED_NOTE

WHATS: Final = (
    "trigger",
    "latch",
    "step",
    "signal",
    "risk",
    "permit",
    "intent",
    "change",
    "sent",
    "broker",
    "fill",
    "state",
    "refused",
    "report",
)
"""Every kind of step, in the order in which those of the same time stand."""

NEEDS_APPROVAL: Final = (
    "how risk judged it is not recorded: an earlier version of this program sent it"
)
ADOPTED: Final = (
    "the journal has no intent of it: it was adopted from the broker, or the intent was forgotten"
)
SIMULATED: Final = (
    "dry run: risk and the gate let it pass, nothing was sent, and the broker never heard of it"
)
NOT_AT_ITS_END: Final = "as far as the journal knows, it is not at its end"
NEVER_ASKED: Final = "it was refused before risk was asked, so that there are no numbers of risk"


@attrs.frozen(kw_only=True)
class Step:
    """Something that happened to an order. ``facts`` are plain values for machines, ``text`` says them to people."""

    at: datetime
    what: str
    text: str
    facts: Mapping[str, Any] = attrs.field(factory=dict)


def steps_of(audit: OrderAudit) -> tuple[Step, ...]:
    """Tell the life of an order."""
    commissions = commissions_of(audit)
    found = [
        *_beginning(audit),
        *_changes(audit),
        *map(transition_step, audit.transitions),
        *map(_note, audit.notes),
        *(execution_step(row, commissions) for row in audit.executions),
        *map(latch_step, audit.latches),
    ]
    return in_order(found)


def steps_of_not_sent(row: Mapping[str, Any]) -> tuple[Step, ...]:
    """Tell why an order was not sent."""
    content = row["content"]
    signal_at = _time(content.get("submitted_at")) or row["at"]
    ending = {"status": row["status"], "reason": row["reason"]}
    found = [
        Step(
            at=signal_at,
            what="signal",
            text=_signal(content["request"], content.get("close_reason")),
            facts=content["request"],
        ),
        Step(at=row["at"], what="refused", text=f"{row['status']}: {row['reason']}", facts=ending),
    ]
    if "numbers" in content:
        found.append(_judged(row["at"], content, approved=not content["reasons"]))
    return in_order(found)


def gaps_of(audit: OrderAudit) -> tuple[str, ...]:
    """Say what the journal does not know of an order."""
    found = []
    if audit.intent is None:
        found.append(ADOPTED)
    elif audit.intent["approval"] is None:
        found.append(NEEDS_APPROVAL)
    if audit.entry.state == OrderState.SIMULATED:
        found.append(SIMULATED)
    if audit.entry.state not in set(TERMINAL):
        found.append(NOT_AT_ITS_END)
    return tuple(found)


def gaps_of_not_sent(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what the journal does not know of an order that was not sent."""
    return () if "numbers" in row["content"] else (NEVER_ASKED,)


def terms(request: Mapping[str, Any]) -> str:
    """Say what was asked for."""
    parts = [request["action"], number(request["quantity"]), request["symbol"]]
    if request.get("expiry"):
        parts += [request["expiry"], number(request["strike"]), request["right"]]
    parts.append(request["order_type"])
    parts += [number(request[name]) for name in ("limit_price", "stop_price") if request.get(name)]
    return " ".join([*map(str, parts), request["time_in_force"]])


def number(value: Any) -> str:
    """Write a number for people; what is none stays as it is."""
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


# --- the beginning ------------------------------------------------------------------------------------------------


def _beginning(audit: OrderAudit) -> Iterator[Step]:
    intent = audit.intent
    if intent is None:
        return
    content = audit.modifications[0]["replaced"] if audit.modifications else intent["content"]
    approval = intent["approval"] or {}
    signal_at = _time(approval.get("submitted_at")) or _time(approval.get("asked_at"))
    yield Step(
        at=signal_at or intent["created_at"],
        what="signal",
        text=_signal(content["request"], content["close_reason"]),
        facts=content["request"] | {"close_reason": content["close_reason"]},
    )
    yield from _permit(approval)
    yield Step(
        at=intent["created_at"],
        what="intent",
        text="written down, to be durable before a byte is sent",
        facts={"order_ref": intent["order_ref"], "purpose": intent["purpose"]},
    )


def _permit(approval: Mapping[str, Any]) -> Iterator[Step]:
    given_at = _time(approval.get("given_at"))
    if given_at is None:
        return
    yield _judged(given_at, approval, approved=True)
    expires_at = _time(approval["permit_expires_at"]) or given_at
    valid_s = (expires_at - given_at).total_seconds()
    yield Step(
        at=given_at,
        what="permit",
        text=f"{approval['permit_id']} for exactly this order, good for {valid_s:.3f} s",
        facts={"permit_id": approval["permit_id"], "expires_at": expires_at.isoformat()},
    )


def _judged(at: datetime, judged: Mapping[str, Any], *, approved: bool) -> Step:
    numbers = ", ".join(_numbers(judged["numbers"]))
    parts = ["approved" if approved else "rejected by " + ", ".join(judged["rejected_by"])]
    parts += [f"it saw {numbers}"] if numbers else []
    parts += judged["notes"]
    quote = judged.get("quote")
    if quote:
        prices = (
            f"{name} {number(quote[name])}" for name in ("bid", "ask", "last") if name in quote
        )
        parts.append(f"quote {' '.join(prices)} of {quote['received_at'][11:23]}")
    names = ("numbers", "quote", "reasons", "rejected_by", "notes", "asked_at")
    facts = {name: judged[name] for name in names if judged.get(name) is not None}
    return Step(at=at, what="risk", text="; ".join(parts), facts={"approved": approved, **facts})


def _numbers(numbers: Mapping[str, Any]) -> Iterator[str]:
    """Say each number with its limit, where there is one under its name."""
    for name, value in numbers.items():
        limit = numbers.get(f"{name}_limit")
        if not name.endswith("_limit"):
            yield f"{name} {number(value)}" + ("" if limit is None else f" (limit {number(limit)})")


def _signal(request: Mapping[str, Any], close_reason: str | None) -> str:
    if close_reason:
        return f"close, because of {close_reason}: {terms(request)}"
    strategy = request.get("strategy_name") or request.get("strategy_id")
    return terms(request) + (f", by strategy {strategy!r}" if strategy else "")


# --- afterwards ---------------------------------------------------------------------------------------------------


def _changes(audit: OrderAudit) -> Iterator[Step]:
    """Tell the changes: each row has the terms before it, so that its own stand in the next row, or in the intent."""
    if audit.intent is None:
        return
    contents = [row["replaced"] for row in audit.modifications] + [audit.intent["content"]]
    for row, before, after in zip(audit.modifications, contents, contents[1:], strict=False):
        yield from _permit(row["approval"] or {})
        was, becomes = terms(before["request"]), terms(after["request"])
        yield Step(
            at=row["at"],
            what="change",
            text=f"to {becomes} (was {was}), written down",
            facts={"from": before["request"], "to": after["request"]},
        )


def transition_step(row: Mapping[str, Any]) -> Step:
    """Tell a transition of an order."""
    detail = row["detail"]
    sent = row["state"] == OrderState.SENT
    text = detail["text"]
    if sent and detail.get("broker_order_id") is not None:
        text = f"the bytes went to the socket, as IB order id {detail['broker_order_id']}"
    elif detail.get("filled"):
        text += f" (filled {number(detail['filled'])})"
    known = {name: value for name, value in detail.items() if name != "text" and value is not None}
    return Step(
        at=row["at"],
        what="sent" if sent else "state",
        text=text if sent else f"{row['state']}: {text}",
        facts={"state": row["state"], "detail": detail["text"], **known},
    )


def _note(row: Mapping[str, Any]) -> Step:
    kind, content = row["kind"], row["content"]
    if kind == CHANGE_REFUSED:
        asked = ", ".join(
            f"{name} {number(value)}" for name, value in content.items() if name != "reason"
        )
        text = f"a change to {asked} was not made: {content['reason']}"
        return Step(at=row["at"], what="refused", text=text, facts=content)
    if kind == UNJOURNALED_NOTE:
        text = f"it went without a durable intent: {content['reason']}; this was written afterwards"
        return Step(at=row["at"], what="intent", text=text, facts=content)
    if kind == CHANGE_SENT:
        text = "the change's bytes went to the socket"
        return Step(at=row["at"], what="sent", text=text, facts=content)
    return Step(
        at=row["at"],
        what="broker",
        text=f"{kind} {_SAID[kind](content)}",
        facts={"message": kind, **content},
    )


def _said_of_order(content: Mapping[str, Any]) -> str:
    shown = ("quantity", "order_type", "limit_price", "stop_price", "perm_id")
    return _listed(content, shown)


def _said_of_status(content: Mapping[str, Any]) -> str:
    return _listed(content, ("filled", "remaining", "average_fill_price", "why_held", "perm_id"))


def _listed(content: Mapping[str, Any], names: tuple[str, ...]) -> str:
    known = (
        f"{_WORDS.get(name, name)} {_plain(name, content[name])}"
        for name in names
        if content.get(name)
    )
    return " ".join([content.get("status", "?"), *known])


def _plain(name: str, value: Any) -> str:
    return str(value) if name == "perm_id" else number(value)


def _said_in_error(content: Mapping[str, Any]) -> str:
    return f"{content['code']}: {content['text']}"


def _said_of_commission(content: Mapping[str, Any]) -> str:
    profit = content.get("realized_pnl")
    of_it = "" if profit is None else f", realized {number(profit)}"
    return f"{number(content['commission'])} for {content['exec_id']}{of_it}"


_WORDS: Final = {"average_fill_price": "average", "perm_id": "permId", "order_type": "type"}
_SAID: Final = {
    OPEN_ORDER: _said_of_order,
    ORDER_STATUS: _said_of_status,
    ERROR: _said_in_error,
    COMMISSION_REPORT: _said_of_commission,
}


def commissions_of(audit: OrderAudit) -> dict[str, float]:
    """Find the commission of each execution that the broker told of."""
    reports = (row["content"] for row in audit.notes if row["kind"] == COMMISSION_REPORT)
    return {report["exec_id"]: report["commission"] for report in reports}


def execution_step(row: Mapping[str, Any], commissions: Mapping[str, float]) -> Step:
    """Tell an execution; ``commissions`` are known by execution id."""
    content = row["content"]
    paid = commissions.get(row["exec_id"], content["commission"])
    text = f"{content['action']} {number(content['quantity'])} at {number(content['price'])}"
    text += f", execution {row['exec_id']}"
    text += f", commission {number(paid)}" if paid is not None else ""
    return Step(
        at=row["received_at"] or row["at"],
        what="fill",
        text=text,
        facts={
            "exec_id": row["exec_id"],
            "action": content["action"],
            "quantity": content["quantity"],
            "price": content["price"],
            "commission": paid,
            "executed_at": content["executed_at"],
            "perm_id": content["perm_id"],
        },
    )


def latch_step(row: Mapping[str, Any]) -> Step:
    """Tell an entry of the latch."""
    latched = bool(row["latched"])
    if row["latched"] == RECORDED:
        words = f"re-arming recorded for when the link is back, by {row['who']}: {row['why']}"
    elif latched:
        words = f"Strategy C latched: {row['reason']} (liquidation {row['liquidation_id']})"
    else:
        words = f"re-armed by {row['who']}: {row['why']}"
    names = ("liquidation_id", "reason", "who", "why", "close_reason")
    facts = {name: row[name] for name in names}
    return Step(at=row["at"], what="latch", text=words, facts={"latched": latched, **facts})


def in_order(steps: list[Step]) -> tuple[Step, ...]:
    """Sort steps by their times; see the module's docstring."""
    return tuple(sorted(steps, key=lambda step: (step.at, WHATS.index(step.what))))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
