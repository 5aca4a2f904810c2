"""Looking twice: what was told wrong for a second triggers nothing (RULES 3, RULES 6)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import attrs

SECOND_LOOK_S: Final = 5.0
"""The second look comes no sooner,"""

FORGOTTEN_S: Final = 60.0
"""and no later than this after the one before, in seconds; later it is a first one again."""

T = TypeVar("T", bound=Hashable)


@attrs.frozen
class Seen:
    """When something was seen first and last, in monotonic seconds."""

    first: float
    last: float


NOTHING_SEEN: Final[Mapping[Hashable, Seen]] = MappingProxyType({})


def look(
    before: Mapping[T, Seen], found: Iterable[T], now: float
) -> tuple[Mapping[T, Seen], tuple[T, ...]]:
    """Look at ``now``: gives what is seen, and what of it was seen at two looks. What is not found is forgotten."""
    seen: dict[T, Seen] = {}
    confirmed: list[T] = []
    for each in found:
        known = before.get(each)
        if known is None or not 0.0 <= now - known.last <= FORGOTTEN_S:
            seen[each] = Seen(now, now)
            continue
        seen[each] = Seen(known.first, now)
        if now - known.first >= SECOND_LOOK_S:
            confirmed.append(each)
    return MappingProxyType(seen), tuple(confirmed)
