"""Entries of what limits count from: risk baselines, and the highest order id that was used."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

import attrs

from actors import messages as m
from supervision.store.entries.kind import EntryKind, Horizon
from supervision.store.entries.liquidations import audit_rows
from supervision.store.journal_rows import Query, Rows, decode, insert
from supervision.store.journal_values import StoredBaseline
from supervision.store.volatile_store import VolatileStore

# --- baselines ------------------------------------------------------------------------------------------------------


def baseline_rows(
    *, kind: str, key: str, value: float, at: datetime, account: str = "", content: Any = None
) -> Rows:
    """Write a risk baseline; the newest of an account, kind and key counts (RSK-5)."""
    if not math.isfinite(value):
        raise ValueError(f"value must be finite (was {value})")
    row = insert(
        "baselines",
        "REPLACE",
        account=account,
        kind=kind,
        key=key,
        value=float(value),
        at=at,
        content=content,
    )
    return Rows(statements=(row,))


def _baseline_rows(message: m.RecordBaseline, _: datetime) -> Rows:
    rows = baseline_rows(
        kind=message.kind,
        key=message.key,
        value=message.value,
        at=message.at,
        account=message.account,
        content=_content_of(message),
    )
    if not message.why:
        return rows
    audit = audit_rows(
        at=message.at,
        kind="baseline_moved",
        who=message.who,
        why=message.why,
        detail={"account": message.account, "kind": message.kind, "value": message.value},
    )
    return Rows(statements=rows.statements + audit.statements)


def _hold_baseline(store: VolatileStore, message: m.RecordBaseline) -> None:
    store.baselines[message.account, message.kind, message.key] = message


def forget_baselines(account: str) -> Rows:
    """Let an account begin anew, with whatever it is worth then."""
    forget = "DELETE FROM baselines WHERE account = :account"
    return Rows(statements=((forget, {"account": account}),))


def recorded_baselines(query: Query) -> tuple[m.RecordBaseline, ...]:
    """Read the newest baseline of each account and kind, as it was recorded."""
    return tuple(_recorded(row) for row in baselines(query))


def _content_of(message: m.RecordBaseline) -> dict[str, Any]:
    return {
        "cash": message.cash,
        "futures": message.futures,
        "stakes": [attrs.asdict(stake) for stake in message.stakes],
        "seen": list(message.seen),
        "seen_until": None if message.seen_until is None else message.seen_until.isoformat(),
    }


def _recorded(row: StoredBaseline) -> m.RecordBaseline:
    content = row.content or {}
    until = content.get("seen_until")
    return m.RecordBaseline(
        account=row.account,
        kind=row.kind,
        key=row.key,
        value=row.value,
        at=row.at,
        cash=content.get("cash"),
        futures=content.get("futures", 0.0),
        stakes=tuple(m.RecordedStake(**stake) for stake in content.get("stakes", ())),
        seen=tuple(content.get("seen", ())),
        seen_until=None if until is None else datetime.fromisoformat(until),
    )


def _read_baselines(told: m.JournalRead, query: Query, _: Horizon) -> m.JournalRead:
    return attrs.evolve(told, baselines=recorded_baselines(query))


def _recall_baselines(told: m.JournalRead, store: VolatileStore) -> m.JournalRead:
    return attrs.evolve(told, baselines=tuple(store.baselines.values()))


BASELINE: Final = EntryKind(
    message=m.RecordBaseline,
    rows=_baseline_rows,
    hold=_hold_baseline,
    read=_read_baselines,
    recall=_recall_baselines,
)

_NEWEST_BASELINES: Final = """
    SELECT account, kind, key, value, at, content FROM baselines AS one
    WHERE key = (SELECT max(key) FROM baselines AS other
                 WHERE other.account = one.account AND other.kind = one.kind)
    ORDER BY account, kind
"""


def baselines(query: Query) -> tuple[StoredBaseline, ...]:
    """Read the newest risk baseline of each account and kind."""
    return tuple(
        StoredBaseline(
            account=account,
            kind=kind,
            key=key,
            value=value,
            at=decode("at", at),
            content=decode("content", content),
        )
        for account, kind, key, value, at, content in query(_NEWEST_BASELINES)
    )


# --- order ids ------------------------------------------------------------------------------------------------------

_RAISE: Final = (
    "INSERT INTO floors (client_id, highest) VALUES (:client_id, :highest)"
    " ON CONFLICT (client_id) DO UPDATE SET highest = max(highest, excluded.highest)"
)


def floor_rows(*, client_id: int, highest: int) -> Rows:
    """Write the highest order id that was used; a lower one changes nothing (D15)."""
    return Rows(statements=((_RAISE, {"client_id": client_id, "highest": highest}),))


def _hold_floor(store: VolatileStore, message: m.RaiseOrderIdFloor) -> None:
    held = store.floors.get(message.client_id, 0)
    store.floors[message.client_id] = max(held, message.floor)


def _read_floors(told: m.JournalRead, query: Query, _: Horizon) -> m.JournalRead:
    return attrs.evolve(told, order_id_floors=floors(query))


ORDER_ID_FLOOR: Final = EntryKind(
    message=m.RaiseOrderIdFloor,
    rows=lambda message, _: floor_rows(client_id=message.client_id, highest=message.floor),
    hold=_hold_floor,
    read=_read_floors,
    recall=lambda told, store: attrs.evolve(told, order_id_floors=tuple(store.floors.items())),
)


def floors(query: Query) -> tuple[tuple[int, int], ...]:
    """Read the highest order id that was used under each client id."""
    return tuple(
        (client_id, highest)
        for client_id, highest in query("SELECT client_id, highest FROM floors ORDER BY client_id")
    )
