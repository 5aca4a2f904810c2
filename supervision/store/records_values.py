"""What is recorded of a session with the gateway, checked before any SQL; and how two reports of one session combine.

A row may be written again at any time: by a retry whose first try did commit, or by an incarnation that hung. So rows
are merged, in whatever order they come: **an end that was told is final; anything else gives way to what is known
now**. `STALE` is no such end, only the guess that nobody will ever tell one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from actors.errors import InvalidRecordError

STALE: Final = "STALE"
"""The final state of a session whose end nobody told."""

MOST_INT: Final = 2**31 - 1
"""The largest number in an INTEGER column of PostgreSQL."""


def canonical_id(session_id: str) -> str:
    """Give the UUID in its canonical text; raises `InvalidRecordError` when it is none."""
    try:
        return str(uuid.UUID(session_id))
    except (ValueError, AttributeError, TypeError):
        raise InvalidRecordError(f"session_id must be a UUID (was {session_id!r:.80})") from None


def as_utc(moment: Any) -> datetime:
    """Give an aware time in UTC; raises `InvalidRecordError` when it is naive, or no time at all."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidRecordError(f"the time must be an aware datetime (was {moment!r:.80})")
    return moment.astimezone(UTC)


def as_utc_or_none(moment: Any) -> datetime | None:
    """Do the same for a time that may not be known."""
    return None if moment is None else as_utc(moment)


def _within(low: int, high: int) -> Callable[[Any, Any, Any], None]:
    """Make a validator for whole numbers; both bounds belong to them."""

    def check(_record: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidRecordError(
                f"{attribute.name} must be a whole number from {low} to {high} (was {value!r:.80})"
            )

    return check


def _text(longest: int, *, optional: bool = False) -> Callable[[Any, Any, Any], None]:
    """Make a validator for text of 1 to ``longest`` characters, without NUL, which PostgreSQL cannot store."""

    def check(_record: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if not isinstance(value, str) or not 1 <= len(value) <= longest or "\0" in value:
            raise InvalidRecordError(
                f"{attribute.name} must be text of 1 to {longest} characters (was {value!r:.80})"
            )

    return check


def _flag(_record: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidRecordError(f"{attribute.name} must be True or False (was {value!r:.80})")


@attrs.frozen(kw_only=True)
class SessionRecord:
    """One session, as far as it is known. Raises `InvalidRecordError` for a field that no database could hold."""

    session_id: str = attrs.field(converter=canonical_id)
    client_id: int = attrs.field(validator=_within(0, MOST_INT))
    host: str = attrs.field(validator=_text(253))
    port: int = attrs.field(validator=_within(1, 65_535))
    server_version: int = attrs.field(validator=_within(0, MOST_INT))
    readonly: bool = attrs.field(validator=_flag)
    connection_time: datetime = attrs.field(converter=as_utc)
    disconnection_time: datetime | None = attrs.field(default=None, converter=as_utc_or_none)
    final_state: str | None = attrs.field(default=None, validator=_text(20, optional=True))
    error_count: int = attrs.field(default=0, validator=_within(0, MOST_INT))

    @property
    def is_final(self) -> bool:
        """Whether its end was told."""
        return self.final_state not in (None, STALE)


@attrs.frozen(kw_only=True)
class ConnectionRecord(SessionRecord):
    """A row of ``gateway_connections``. ``updated_at`` is also the last sign of life of an open session."""

    created_at: datetime = attrs.field(converter=as_utc)
    updated_at: datetime = attrs.field(converter=as_utc)


@attrs.frozen(kw_only=True)
class RefusedRecord:
    """A record that the database did not take, whatever is tried."""

    session_id: str
    reason: str


@attrs.frozen(kw_only=True)
class Endpoint:
    """Who connects where. A gateway has one session for it at a time."""

    client_id: int
    host: str
    port: int


def checked(name: str, value: Any) -> Any:
    """Check one field as `SessionRecord` would, and give it in its final form."""
    field = attrs.fields_dict(SessionRecord)[name]
    convert: Callable[[Any], Any] | None = field.converter  # type: ignore[assignment]  # a plain function
    if convert is not None:
        value = convert(value)
    if field.validator is not None:
        field.validator(None, field, value)
    return value


def merged(known: SessionRecord | None, told: SessionRecord) -> SessionRecord:
    """Combine what the records hold with what is told now: see the module's docstring."""
    return known if known is not None and known.is_final else told
