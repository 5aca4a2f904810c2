"""Entries of Strategy C: its latch, the steps of a liquidation, and a grace that is running."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import attrs

from actors import messages as m
from actors.model.latch import LatchStanding
from actors.model.orders import CloseReason
from supervision.store.entries.kind import EntryKind, Horizon
from supervision.store.journal_rows import Query, Rows, decode, insert
from supervision.store.journal_values import StoredAudit, StoredGrace, StoredLatch, StoredStep
from supervision.store.volatile_store import VolatileStore

# --- the latch ------------------------------------------------------------------------------------------------------


def latch_rows(
    *,
    latched: bool,
    liquidation_id: str,
    reason: str,
    who: str,
    why: str,
    at: datetime,
    close_reason: str = "DISCONNECT",
    standing: LatchStanding = LatchStanding.ACTING,
    account: str = "",
) -> Rows:
    """Write that Strategy C latched, or that an operator re-armed it."""
    row = insert(
        "latch",
        latched=_STANDINGS.index(standing) if latched else 0,
        account=account,
        liquidation_id=liquidation_id,
        reason=reason,
        who=who,
        why=why,
        at=at,
        close_reason=close_reason,
    )
    return Rows(statements=(row,))


_STANDINGS: Final = (
    None,
    LatchStanding.ACTING,
    LatchStanding.ON_HOLD,
    LatchStanding.REARM_RECORDED,
)
"""What the column ``latched`` means by its number; 0: the latch is off. Earlier versions take each other one for on."""

RECORDED: Final = _STANDINGS.index(LatchStanding.REARM_RECORDED)
"""The number where re-arming waits for the link."""


def audit_rows(*, at: datetime, kind: str, who: str, why: str, detail: Any = None) -> Rows:
    """Write to the audit trail of who latched and re-armed."""
    return Rows(statements=(insert("audit", at=at, kind=kind, who=who, why=why, detail=detail),))


def _latch_rows(message: m.RecordLatch, _: datetime) -> Rows:
    latch = latch_rows(
        latched=message.latched,
        liquidation_id=message.liquidation_id,
        reason=message.reason,
        who=message.who,
        why=message.why,
        at=message.at,
        close_reason=message.close_reason.value,
        standing=message.standing,
        account=message.account,
    )
    audit = audit_rows(
        at=message.at,
        kind=_audited(message),
        who=message.who,
        why=message.why or message.reason,
        detail={"liquidation_id": message.liquidation_id},
    )
    return Rows(statements=latch.statements + audit.statements)


def _audited(message: m.RecordLatch) -> str:
    if not message.latched:
        return "rearmed"
    is_recorded = message.standing is LatchStanding.REARM_RECORDED
    return "rearm_recorded" if is_recorded else "latched"


def _hold_latch(store: VolatileStore, message: m.RecordLatch) -> None:
    store.latch, store.step = message, None


def _read_latch(told: m.JournalRead, query: Query, _: Horizon) -> m.JournalRead:
    latch = newest_latch(query)
    return told if latch is None else _with_latch(told, latch, CloseReason(latch.close_reason))


def _recall_latch(told: m.JournalRead, store: VolatileStore) -> m.JournalRead:
    latch = store.latch
    return told if latch is None else _with_latch(told, latch, latch.close_reason)


def _with_latch(
    told: m.JournalRead, latch: m.RecordLatch | StoredLatch, close_reason: CloseReason
) -> m.JournalRead:
    return attrs.evolve(
        told,
        latched=latch.latched,
        latch_reason=latch.reason,
        liquidation_id=latch.liquidation_id if latch.latched else None,
        close_reason=close_reason if latch.latched else None,
        latch_id=latch.liquidation_id,
        latch_standing=latch.standing,
        latch_by=(latch.who, latch.why),
    )


def is_to_be_kept(message: m.RecordLatch) -> bool:
    """Whether it has happened: a latch has, and taking it back is only asked for."""
    return message.latched and message.standing is not LatchStanding.REARM_RECORDED


LATCH: Final = EntryKind(
    message=m.RecordLatch,
    rows=_latch_rows,
    answer=lambda message: m.LatchDurable(
        correlation_id=message.correlation_id, latched=message.latched
    ),
    # Latching is always safe: it is accepted from an incarnation that failed right after it said so, and kept.
    is_kept=is_to_be_kept,
    kept_once=lambda message: message.liquidation_id if is_to_be_kept(message) else None,
    from_the_dead=is_to_be_kept,
    hold=_hold_latch,
    read=_read_latch,
    recall=_recall_latch,
)

# --- steps ----------------------------------------------------------------------------------------------------------


def step_rows(*, run_id: str, step: str, detail: Any, at: datetime, account: str = "") -> Rows:
    """Write a step of a liquidation, before it is taken (D16)."""
    row = insert("steps", run_id=run_id, step=step, detail=detail, at=at, account=account)
    return Rows(statements=(row,))


def _hold_step(store: VolatileStore, message: m.RecordStep) -> None:
    store.step = message.step


def _read_step(told: m.JournalRead, query: Query, _: Horizon) -> m.JournalRead:
    """Tell the last step of the newest latch's liquidation."""
    latch = newest_latch(query)
    taken = [step for step in steps(query) if latch and step.run_id == latch.liquidation_id]
    return attrs.evolve(told, liquidation_step=taken[-1].step if taken else None)


STEP: Final = EntryKind(
    message=m.RecordStep,
    rows=lambda message, _: step_rows(
        run_id=message.liquidation_id,
        step=message.step,
        detail=message.detail,
        at=message.at,
        account=message.account,
    ),
    answer=lambda message: m.StepDurable(correlation_id=message.correlation_id, step=message.step),
    hold=_hold_step,
    read=_read_step,
    recall=lambda told, store: attrs.evolve(told, liquidation_step=store.step),
)

# --- a grace --------------------------------------------------------------------------------------------------------


def grace_rows(*, trigger: str, until: datetime | None, at: datetime) -> Rows:
    """Write that a grace is running, or with None that it is over (STC-5)."""
    return Rows(statements=(insert("graces", reason=trigger, until=until, at=at),))


def _hold_grace(store: VolatileStore, message: m.RecordGrace) -> None:
    store.grace = None if message.until is None else (message.trigger, message.until)


def _read_grace(told: m.JournalRead, query: Query, _: Horizon) -> m.JournalRead:
    running = grace(query)
    return attrs.evolve(told, grace=(running.trigger, running.until) if running else None)


GRACE: Final = EntryKind(
    message=m.RecordGrace,
    rows=lambda message, _: grace_rows(trigger=message.trigger, until=message.until, at=message.at),
    hold=_hold_grace,
    read=_read_grace,
    recall=lambda told, store: attrs.evolve(told, grace=store.grace),
)

# --- reading back ---------------------------------------------------------------------------------------------------


def newest_latch(query: Query) -> StoredLatch | None:
    """Read the newest entry of the latch; None when it never latched."""
    rows = query(
        "SELECT latched, liquidation_id, reason, who, why, at, close_reason FROM latch"
        " ORDER BY seq DESC LIMIT 1"
    )
    for latched, liquidation_id, reason, who, why, at, close_reason in rows:
        return StoredLatch(
            latched=bool(latched),
            standing=_STANDINGS[latched] or LatchStanding.ACTING,
            liquidation_id=liquidation_id,
            reason=reason,
            who=who,
            why=why,
            at=decode("at", at),
            close_reason=close_reason,
        )
    return None


def steps(query: Query, run_id: str | None = None) -> tuple[StoredStep, ...]:
    """Read the steps of a liquidation, oldest first; of the newest one when none is named."""
    if run_id is None:
        newest = query("SELECT run_id FROM steps ORDER BY seq DESC LIMIT 1")
        run_id = newest[0][0] if newest else ""
    rows = query("SELECT run_id, step, detail, at FROM steps WHERE run_id = ? ORDER BY seq", run_id)
    return tuple(
        StoredStep(run_id=run, step=step, detail=decode("detail", detail), at=decode("at", at))
        for run, step, detail, at in rows
    )


def grace(query: Query) -> StoredGrace | None:
    """Read the grace that is running; None when none is, or it was ended."""
    for reason, until in query("SELECT reason, until FROM graces ORDER BY seq DESC LIMIT 1"):
        return None if until is None else StoredGrace(trigger=reason, until=decode("until", until))
    return None


def audit_trail(query: Query, limit: int = 1000) -> tuple[StoredAudit, ...]:
    """Read the newest entries of the audit trail, oldest first."""
    rows = query("SELECT at, kind, who, why, detail FROM audit ORDER BY seq DESC LIMIT ?", limit)
    return tuple(
        StoredAudit(
            at=decode("at", at), kind=kind, who=who, why=why, detail=decode("detail", detail)
        )
        for at, kind, who, why, detail in reversed(rows)
    )
