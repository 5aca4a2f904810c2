"""What the journal took and has not made durable yet: it is kept in order, and written with the next commit (D14).

It belongs to the process and outlives the journal's incarnations, so that what a hung one had in hand is not lost.
Each batch has a number that is committed with it: by that a successor knows whether the last one went through.

What has happened is kept; what was only asked for (an intent, a change, a re-arming) is refused, and its asker told.
Memory is bounded: beyond the bound notes go first, then whatever is oldest, and how many went is said.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

import attrs

from supervision.store.journal_rows import Statement

MOST_KEPT: Final = 10_000
"""So many entries are kept, unless the configuration says otherwise."""


@attrs.frozen(kw_only=True)
class Gathered:
    """An entry on its way to the disk; ``message`` None announces a writer.

    ``key``: whoever wants it repeats it; one is enough. None: it comes once.
    ``is_kept``: it is written later when the disk refuses it now. ``is_note``: it is the first to go beyond the bound.
    """

    message: object | None
    statements: tuple[Statement, ...]
    key: Hashable = None
    is_kept: bool = True
    is_note: bool = False


class Uncommitted:
    """Everything that is not durable yet, in the order in which it came. Owns the count of what was lost."""

    def __init__(self, bound: int = MOST_KEPT) -> None:
        self._bound = bound
        self._entries: list[Gathered] = []
        self._in_batch = 0
        self._number = 0
        self._under_way: int | None = None
        self.was_open = False
        """Whether this process has had the journal open before."""
        self.lost = 0
        """Entries that were let go beyond the bound, and of which the journal does not tell yet."""

    def __len__(self) -> int:
        """Count what is not durable."""
        return len(self._entries)

    @property
    def messages(self) -> tuple[object, ...]:
        """What a read of the file does not show yet, oldest first."""
        return tuple(entry.message for entry in self._entries if entry.message is not None)

    @property
    def entries(self) -> tuple[Gathered, ...]:
        """What is not durable, oldest first."""
        return tuple(self._entries)

    def holds(self, key: Hashable) -> bool:
        """Tell whether an entry with this key is there already."""
        return key is not None and any(entry.key == key for entry in self._entries)

    def gather(self, entry: Gathered) -> None:
        """Take an entry in."""
        self._entries.append(entry)

    def begin(self) -> int:
        """Make one batch of all that is there; returns its number."""
        self._number += 1
        self._under_way, self._in_batch = self._number, len(self._entries)
        return self._number

    def committed(self, number: int) -> None:
        """Let go of a batch that is durable; one that a successor has taken over changes nothing."""
        if number == self._under_way:
            self._under_way = None
            del self._entries[: self._in_batch]

    def refused(self, number: int) -> None:
        """Keep of a batch that was not committed what has to be written later."""
        if number == self._under_way:
            self._under_way = None
            self._keep(self._entries)

    def replace(self, entries: Iterable[Gathered]) -> None:
        """Go on with these entries instead."""
        self._entries = list(entries)

    def take_over(self, last_committed: int) -> None:
        """Begin as a successor, who knows the number of the last batch that is in the file."""
        self.was_open = True
        if self._under_way is not None and last_committed >= self._under_way:
            del self._entries[: self._in_batch]
        self._under_way = None
        self._keep(self._entries)

    def told_of_losses(self, number: int) -> None:
        """Note that so many losses are in the journal now."""
        self.lost -= number

    def _keep(self, entries: Iterable[Gathered]) -> None:
        kept = [entry for entry in entries if entry.is_kept]
        too_many = len(kept) - self._bound
        if too_many > 0:
            self.lost += too_many
            kept = _without(kept, too_many)
        self._entries = kept


def _without(entries: list[Gathered], too_many: int) -> list[Gathered]:
    """Let so many go: the oldest notes first, then the oldest of all."""
    notes = [index for index, entry in enumerate(entries) if entry.is_note][:too_many]
    gone = set(notes)
    left = [entry for index, entry in enumerate(entries) if index not in gone]
    return left[too_many - len(gone) :]
