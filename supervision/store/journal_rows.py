"""How the journal's columns are written and read back: times as text in UTC, payloads as JSON.

What cannot be stored (a naive time, NaN, a payload that is no JSON) raises ValueError or TypeError before anything is
gathered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import attrs

Statement = tuple[str, dict[str, Any]]
"""SQL, and the values of its ``:names``. The batch adds ``:writer`` and ``:incarnation``."""

Query = Callable[..., list[tuple[Any, ...]]]
"""Reads rows: ``query(sql, *values)``."""

TIMES: Final = frozenset({"at", "created_at", "received_at", "until"})
JSON: Final = frozenset({"content", "detail", "replaced", "approval"})

_AS_JSON: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False)
"""Made once: `json.dumps` would make one for each value, in the road of every order."""


@attrs.frozen(kw_only=True)
class Rows:
    """The statements that put one entry into the journal.

    ``new_order`` is an order reference that must not have an intent yet; ``known_order`` is one that must.
    """

    statements: tuple[Statement, ...]
    new_order: str | None = None
    known_order: str | None = None


def insert(table: str, conflict: str = "", **values: Any) -> Statement:
    """Write one row with its writer; ``conflict`` is IGNORE or REPLACE where a row with this key may be there."""
    encoded = {name: encode(name, value) for name, value in values.items()}
    return _insertion(table, conflict, tuple(values)), encoded


@cache
def _insertion(table: str, conflict: str, columns: tuple[str, ...]) -> str:
    names = (*columns, "writer", "incarnation")
    verb = f"INSERT OR {conflict}" if conflict else "INSERT"
    marks = ", ".join(f":{name}" for name in names)
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES ({marks})"


def encode(column: str, value: Any) -> Any:
    """Write a value as its column keeps it. A payload of None is written as JSON, a time of None as NULL."""
    if column in JSON:
        return _AS_JSON.encode(value)
    return as_text(value) if isinstance(value, datetime) else value


def decode(column: str, value: Any) -> Any:
    """Read a column's value back; NULL is None."""
    if value is None:
        return None
    if column in TIMES:
        return datetime.fromisoformat(value)
    return json.loads(value) if column in JSON else value


def as_text(at: datetime) -> str:
    """Write an aware time as the journal keeps it: in UTC, so that texts sort like times."""
    if at.tzinfo is None:
        raise ValueError(f"at must be an aware time (was {at.isoformat()})")
    return at.astimezone(UTC).isoformat(timespec="microseconds")
