"""How a baseline is put into the journal and taken out again, as plain values (RSK-5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs

from actors import messages as m
from actors.logic.order_ids import account_tag
from actors.risk.baselines import Baseline, Baselines, Stake, newest


def owner_of(endpoint: str, account_id: str) -> str:
    """Name whose baselines these are: an account at a kind of endpoint, by a hash."""
    return f"{endpoint}:{account_tag(account_id)}"


def record_of(
    baseline: Baseline, owner: str, at: datetime, why: str = "", who: str = "risk"
) -> m.RecordBaseline:
    """Say a baseline to the journal."""
    return m.RecordBaseline(
        account=owner,
        kind=baseline.kind,
        key=baseline.key,
        value=baseline.value,
        at=at,
        why=why,
        who=who,
        content={
            "cash": baseline.cash,
            "futures": baseline.futures,
            "stakes": {
                str(con_id): attrs.asdict(stake) for con_id, stake in baseline.stakes.items()
            },
            "seen": sorted(baseline.seen),
            "seen_until": None if baseline.seen_until is None else baseline.seen_until.isoformat(),
        },
    )


def baselines_of(records: Iterable[m.RecordBaseline], owner: str) -> Baselines:
    """Read back the newest baselines of one account; those of an earlier version name no account, and count no more."""
    return newest(
        _baseline(each) for each in records if each.account == owner and each.content is not None
    )


def _baseline(record: m.RecordBaseline) -> Baseline:
    content: Any = record.content or {}
    until = content.get("seen_until")
    return Baseline(
        kind=record.kind,
        key=record.key,
        value=record.value,
        cash=content.get("cash"),
        futures=content.get("futures", 0.0),
        stakes=MappingProxyType(
            {int(con_id): Stake(**stake) for con_id, stake in content.get("stakes", {}).items()}
        ),
        seen=frozenset(content.get("seen", ())),
        seen_until=None if until is None else datetime.fromisoformat(until),
    )
