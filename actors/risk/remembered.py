"""How a baseline is put into the journal and taken out again, as plain values (RSK-5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType

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
        cash=baseline.cash,
        futures=baseline.futures,
        stakes=tuple(
            m.RecordedStake(con_id=con_id, **attrs.asdict(stake))
            for con_id, stake in baseline.stakes.items()
        ),
        seen=tuple(sorted(baseline.seen)),
        seen_until=baseline.seen_until,
    )


def baselines_of(records: Iterable[m.RecordBaseline], owner: str) -> Baselines:
    """Read back the newest baselines of one account; those of an earlier version name none, and count no more."""
    return newest(_baseline(each) for each in records if each.account == owner)


def _baseline(record: m.RecordBaseline) -> Baseline:
    return Baseline(
        kind=record.kind,
        key=record.key,
        value=record.value,
        cash=record.cash,
        futures=record.futures,
        stakes=MappingProxyType({each.con_id: _stake(each) for each in record.stakes}),
        seen=frozenset(record.seen),
        seen_until=record.seen_until,
    )


def _stake(recorded: m.RecordedStake) -> Stake:
    fields = attrs.asdict(recorded)
    del fields["con_id"]
    return Stake(**fields)
