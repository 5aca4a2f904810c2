"""``python -m supervision explain --triggers``: losses of the link that triggered nothing, or not at once, and why.

By the journal alone: each loss that was tolerated, until when it was, and how that ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from supervision.commands.explain import Told, moment, tell
from supervision.observe.masking import Masker
from supervision.store.audit import open_audit

MOST: Final = 1000
STILL: Final = "the journal knows of no end yet"


def explain_triggers(journal: Path, masker: Masker, *, as_json: bool) -> Told:
    """Tell what was tolerated; raises `ConfigurationError` and `JournalError` where nothing can be read."""
    with open_audit(journal) as trail:
        found = list(_tolerated(trail.graces(MOST)))
    lines = list(_lines(found)) or [f"{journal} knows of no loss of the link that was tolerated"]
    return tell({"tolerated": [_plain(each) for each in found]}, lines, masker, as_json=as_json)


def _tolerated(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Put the beginning and the end of each together; a row without ``until`` ends what runs."""
    running: dict[str, Any] | None = None
    for row in rows:
        if row["until"] is not None:
            if running is not None and running["ended_at"] is None:
                running["ended_at"] = row["at"]
                yield running
            running = {
                "at": row["at"],
                "until": row["until"],
                "trigger": row["reason"],
                "ended_at": None,
            }
        elif running is not None:
            running["ended_at"] = row["at"]
            yield running
            running = None
    if running is not None:
        yield running


def _lines(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for each in found:
        yield f"{moment(each['at'])}  {each['trigger']}"
        ended_at = each["ended_at"]
        if ended_at is None:
            how = STILL
        elif ended_at < each["until"]:
            how = (
                f"over after {(ended_at - each['at']).total_seconds():.1f} s: nothing was triggered"
            )
        else:
            how = "it was not over by then: Strategy C was triggered"
        yield f"    tolerated until {moment(each['until'])}; {how}"


def _plain(each: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: each[name] for name in ("at", "until", "ended_at")}
    return {"trigger": each["trigger"]} | {
        name: None if at is None else at.isoformat() for name, at in times.items()
    }
