"""What journal and marker say of the latch together: pure.

::

    marker ↓  journal →   nothing          off                 on
    nothing               off              off                 on, as the journal says
    off                   off              off                 on, as the journal says
    on                    on, as the       on, as the marker   on, as both say; of two different liquidations the
                          marker says      says                one that is to be carried out, the marker's first
    unreadable            on hold          on hold             on, as the journal says

Where they differ the latch is on: one of the two was lost, replaced, or not written to the end. The marker is written
first when Strategy C latches and last when an operator takes the latch back, so that each interruption ends in a latch.
One that was taken back in the journal and not yet in the marker is on hold: the operator got no answer, and wanted
nothing to be sold.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.model.latch import LatchStanding
from supervision.store.latch_marker import Mark, Marked

UNREADABLE: Final = (
    "it is not known whether Strategy C was latched ({}); nothing is sold until an operator says so: liquidate or rearm"
)
HALF_TAKEN_BACK: Final = (
    "re-arming was interrupted ({}); nothing is sold until an operator says so: liquidate or rearm"
)
JOURNAL_LOST: Final = "{} (as the latch's marker says; the journal knows nothing of it)"


@attrs.frozen(kw_only=True)
class Verdict:
    """What holds: ``mark`` None means that nothing is latched. ``agrees``: both files say so."""

    mark: Mark | None
    agrees: bool


def latch_of(journal: Mark | None, marked: Marked, unknown: Mark) -> Verdict:
    """Say what holds, by the journal's newest entry and by what was found in the marker.

    ``unknown`` is put on hold where nobody knows; only its reason and standing are changed.
    """
    written = _on(journal)
    if marked.damage is not None:
        held = written or _on_hold(unknown, UNREADABLE.format(marked.damage))
        return Verdict(mark=held, agrees=False)
    marker = _on(marked.mark)
    if marker is None or written is None:
        return _by_one(journal, marker, written)
    if marker.liquidation_id == written.liquidation_id:
        return Verdict(mark=_same(written, marker), agrees=written.standing is marker.standing)
    return Verdict(mark=written if _is_to_act(written, marker) else marker, agrees=False)


def _by_one(journal: Mark | None, marker: Mark | None, written: Mark | None) -> Verdict:
    """At most one of the two says that the latch is on."""
    if marker is None:
        return Verdict(mark=written, agrees=written is None)
    if journal is not None and journal.liquidation_id == marker.liquidation_id:
        return Verdict(mark=_on_hold(marker, HALF_TAKEN_BACK.format(marker.reason)), agrees=False)
    reason = JOURNAL_LOST.format(marker.reason)
    return Verdict(mark=attrs.evolve(marker, reason=reason), agrees=False)


def _same(written: Mark, marker: Mark) -> Mark:
    """One liquidation: where one of the two says that it was taken back, it was."""
    return marker if marker.standing is LatchStanding.REARM_RECORDED else written


def _is_to_act(written: Mark, marker: Mark) -> bool:
    acting = LatchStanding.ACTING
    return written.standing is acting and marker.standing is not acting


def _on(mark: Mark | None) -> Mark | None:
    return mark if mark is not None and mark.latched else None


def _on_hold(mark: Mark, reason: str) -> Mark:
    return attrs.evolve(mark, latched=True, reason=reason, standing=LatchStanding.ON_HOLD)
