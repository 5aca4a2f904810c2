"""Where a process stands, as one value: for the facade, the control channel and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from actors import messages as m
from actors.connection.accounts import masked
from actors.model.latch import LatchStanding
from supervision.observe.masking import Masker
from supervision.tree.children import ChildStatus


@attrs.frozen(kw_only=True)
class ProcessStatus:
    """The answers to: what mode, which gateway, is the link up, may anything be opened, is everybody alive?"""

    mode: str
    endpoint: str
    connection: str
    session_id: str | None
    accounts: tuple[str, ...]
    last_error: str | None
    opening_blocked_by: str | None
    latched: bool
    latch_reason: str | None
    liquidation_step: str
    liquidation_flat: bool | None
    liquidation_queue: tuple[str, ...]
    actors: tuple[ChildStatus, ...]
    dead_letters: int
    records_waiting: int
    records_dropped: int
    failed_over: tuple[str, ...] = ()
    quotes_published: int = 0
    quotes_waiting: int = 0
    quotes_dropped: int = 0
    degraded: tuple[str, ...] = ()


def describe_process(
    *,
    mode: str,
    endpoint: str,
    connection: m.ConnectionStatus,
    liquidation: m.LiquidationStatus,
    actors: tuple[ChildStatus, ...],
    dead_letters: int,
    journal: m.JournalStatus,
    records: m.RecordsStatus,
    feed: m.FeedStatus,
    publishing: m.PublishStatus,
    data: m.DataStatus,
    failed_over: tuple[str, ...],
    degraded: tuple[str, ...],
    masker: Masker,
) -> ProcessStatus:
    """Put together what the parts say of themselves; accounts and secrets are masked (OBS-4)."""
    report = liquidation.report
    parts = (journal, records, feed, publishing, data)
    problems = dict.fromkeys((*degraded, *filter(None, (part.problem for part in parts))))
    masked_text = masker.optional
    return ProcessStatus(
        mode=mode,
        endpoint=endpoint,
        connection=connection.state.value,
        session_id=connection.session_id,
        accounts=tuple(masked(account) for account in connection.accounts),
        last_error=masked_text(connection.last_error),
        opening_blocked_by=masked_text(connection.opening_blocked_by),
        latched=liquidation.latched,
        latch_reason=masked_text(liquidation.reason),
        liquidation_step=liquidation.step,
        liquidation_flat=report.flat if report else None,
        liquidation_queue=liquidation.queued,
        actors=actors,
        dead_letters=dead_letters,
        records_waiting=records.waiting,
        records_dropped=records.dropped,
        failed_over=failed_over,
        quotes_published=publishing.published,
        quotes_waiting=publishing.waiting,
        quotes_dropped=publishing.dropped,
        degraded=tuple(map(masker.text, problems)),
    )


def status_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """Say a `ProcessStatus`, as it comes over the control channel, in lines for people."""
    yield f"mode        {status['mode']}"
    yield f"endpoint    {status['endpoint']}"
    yield f"connection  {status['connection']}  accounts {', '.join(status['accounts']) or '-'}"
    if status["last_error"]:
        yield f"last error  {status['last_error']}"
    if status["latched"]:
        yield f"STRATEGY C  latched: {status['latch_reason']}  (step {status['liquidation_step']})"
    for close in status["liquidation_queue"]:
        yield f"            {close}"
    yield f"opening     {_opening(status)}"
    for actor in status["actors"]:
        yield (
            f"actor       {actor['name']:<12} {actor['state']:<10} incarnation {actor['incarnation']}"
            f"  restarts {actor['restarts']}  waiting {actor['mailbox_depth']}"
        )
    yield f"dead letters {status['dead_letters']}"
    yield f"records     {status['records_waiting']} wait, {status['records_dropped']} were lost"
    yield (
        f"published   {status['quotes_published']}, {status['quotes_waiting']} wait,"
        f" {status['quotes_dropped']} were lost"
    )
    if status["failed_over"]:
        yield f"failed over {', '.join(status['failed_over'])}: nothing is opened on them"
    for problem in status["degraded"]:
        yield f"degraded    {problem}"


def _opening(status: Mapping[str, Any]) -> str:
    if status["liquidation_step"] == LatchStanding.REARM_RECORDED:
        return "refused until the re-arming is carried out that is recorded: first of all when the link is back"
    if status["latched"]:
        return "refused until an operator re-arms"
    if status["connection"] != "CONNECTED":
        return "refused until the link is back"
    return f"refused: {status['opening_blocked_by']}" if status["opening_blocked_by"] else "allowed"
