"""One event as a line: JSON for machines, a short text for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final, cast

import attrs

from supervision.observe.masking import Masker

LONGEST_VALUE: Final = 160
"""So many characters of a value are shown to people; the JSON line has it whole."""

FOR_MACHINES: Final = frozenset(
    {"session_id", "old_state", "new_state", "client_id", "order_ref", "retry_count", "rules"}
)
"""Fields that stand in the JSON line only: ids and states that the line's event says in a word."""

EVENT_WIDTH: Final = 22
TIME, NAME, WEAK, PLAIN = "\x1b[2m", "\x1b[36m", "\x1b[2m", "\x1b[0m"
NAME_BY_LEVEL: Final = {"DEBUG": WEAK, "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
NAME_BY_LEVEL_CRITICAL: Final = "\x1b[1;31m"


@attrs.frozen
class Event:
    """What a caller said, as it waits for the writer."""

    at: datetime
    level: str
    name: str
    correlation_id: str | None
    fields: Mapping[str, object]


def json_line(event: Event, masker: Masker) -> str:
    """Write an event as one line of JSON. A field that is called like one of our own gets ``field_`` before it."""
    line: dict[str, Any] = {
        "timestamp": event.at.isoformat(timespec="milliseconds"),
        "level": event.level,
        "event": event.name,
    }
    if event.correlation_id is not None:
        line["correlation_id"] = event.correlation_id
    for name, value in event.fields.items():
        line[f"field_{name}" if name in line else name] = masker.field(name, plain(value))
    return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def human_line(event: Event, masker: Masker, *, colours: bool) -> str:
    """Write an event for people: local time, event, the bare symbol, ``key=value``, a short correlation id.

    Empty fields, and those for machines, are left out.
    """
    at = event.at.astimezone().strftime("%H:%M:%S")
    fields = {
        name: _short(masker.field(name, plain(each)))
        for name, each in event.fields.items()
        if each is not None and each != "" and name not in FOR_MACHINES
    }
    symbol = fields.pop("symbol", "")
    texts = [f"{_paint(name + '=', WEAK, colours)}{shown}" for name, shown in fields.items()]
    if event.correlation_id:
        texts.append(_paint(f"#{event.correlation_id[:8]}", WEAK, colours))
    style = NAME_BY_LEVEL.get(event.level, NAME_BY_LEVEL_CRITICAL)
    style = NAME if event.level == "INFO" else style
    name = _paint(f"{_printable(event.name):<{EVENT_WIDTH}}", style, colours)
    line = "  ".join([_paint(at, TIME, colours), name, *([symbol] if symbol else []), *texts])
    return line.rstrip() + "\n"


def plain(value: object, depth: int = 0) -> Any:
    """Turn a field's value into what JSON knows; a number that is none becomes its name, the unknown its text."""
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if depth > 8:
        return str(value)
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(cast("Any", type(value))) if field.repr]
        return {name: plain(getattr(value, name), depth + 1) for name in names}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in value]
    return str(value)


def _short(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:.10g}"
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = _printable(text)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _printable(text: str) -> str:
    """Escape what would move the cursor, begin a line or colour the terminal: no value may forge a line."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _paint(text: str, style: str, colours: bool) -> str:
    return f"{style}{text}{PLAIN}" if colours else text
