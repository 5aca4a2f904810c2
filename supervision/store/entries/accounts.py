"""Entries of which account is traded: pinned at the first connection, changed by a person only (CON-18)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from supervision.store.entries.kind import EntryKind, Horizon
from supervision.store.journal_rows import Query, Rows, insert
from supervision.store.volatile_store import VolatileStore


def pin_rows(*, endpoint: str, account: str, at: datetime) -> Rows:
    """Write which account is traded at a kind of endpoint; it replaces what was written before."""
    if not endpoint or not account:
        raise ValueError(f"endpoint and account must be named (were {endpoint!r}, {account!r})")
    row = insert("pinned_accounts", "REPLACE", endpoint=endpoint, account=account, at=at)
    return Rows(statements=(row,))


def pinned_accounts(query: Query) -> tuple[tuple[str, str], ...]:
    """Read which account is traded, by kind of endpoint."""
    rows = query("SELECT endpoint, account FROM pinned_accounts ORDER BY endpoint")
    return tuple((endpoint, account) for endpoint, account in rows)


def _hold_pin(store: VolatileStore, message: m.PinAccount) -> None:
    store.pinned[message.endpoint] = message.account


def _read_pins(told: m.JournalRead, query: Query, _: Horizon) -> m.JournalRead:
    return attrs.evolve(told, pinned=pinned_accounts(query))


def _recall_pins(told: m.JournalRead, store: VolatileStore) -> m.JournalRead:
    return attrs.evolve(told, pinned=tuple(store.pinned.items()))


PIN: Final = EntryKind(
    message=m.PinAccount,
    rows=lambda message, _: pin_rows(
        endpoint=message.endpoint, account=message.account, at=message.at
    ),
    hold=_hold_pin,
    # The disk may refuse it now: it is written before any intent, which comes later.
    kept_once=lambda message: message.endpoint,
    read=_read_pins,
    recall=_recall_pins,
)
