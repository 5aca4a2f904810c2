"""What journal and marker say of the latch together, walked whole."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import attrs
import pytest

from actors.model.latch import LatchStanding
from supervision.store.latch_marker import Mark, Marked
from supervision.store.latch_verdict import latch_of

pytestmark = pytest.mark.req("STC-11")

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
ON = Mark(latched=True, liquidation_id="one", reason="disconnect", at=AT)
OFF = attrs.evolve(ON, latched=False, reason="re-armed", who="Ada", why="a glitch")
HELD = attrs.evolve(ON, standing=LatchStanding.ON_HOLD, reason="nobody knows")
RECORDED = attrs.evolve(ON, standing=LatchStanding.REARM_RECORDED, who="Ada", why="a glitch")
OTHER = attrs.evolve(ON, liquidation_id="two", reason="a loss")
UNKNOWN = Mark(latched=True, liquidation_id="new", reason="", at=AT)
BROKEN = Marked(damage="it is damaged")

JOURNAL = {"nothing": None, "off": OFF, "on": ON, "held": HELD, "recorded": RECORDED}
MARKER = {
    "nothing": Marked(),
    "off": Marked(mark=OFF),
    "on": Marked(mark=ON),
    "held": Marked(mark=HELD),
    "recorded": Marked(mark=RECORDED),
    "other": Marked(mark=OTHER),
    "unreadable": BROKEN,
}

TABLE = """
journal   marker      latch     agrees
nothing   nothing     -         yes
nothing   off         -         yes
nothing   on          ACTING    no
nothing   held        ON_HOLD   no
nothing   recorded    RECORDED  no
nothing   other       ACTING    no
nothing   unreadable  ON_HOLD   no
off       nothing     -         yes
off       off         -         yes
off       on          ON_HOLD   no
off       held        ON_HOLD   no
off       recorded    ON_HOLD   no
off       other       ACTING    no
off       unreadable  ON_HOLD   no
on        nothing     ACTING    no
on        off         ACTING    no
on        on          ACTING    yes
on        held        ACTING    no
on        recorded    RECORDED  no
on        other       ACTING    no
on        unreadable  ACTING    no
held      nothing     ON_HOLD   no
held      off         ON_HOLD   no
held      on          ON_HOLD   no
held      held        ON_HOLD   yes
held      recorded    RECORDED  no
held      other       ACTING    no
held      unreadable  ON_HOLD   no
recorded  nothing     RECORDED  no
recorded  off         RECORDED  no
recorded  on          RECORDED  no
recorded  held        RECORDED  no
recorded  recorded    RECORDED  yes
recorded  other       ACTING    no
recorded  unreadable  RECORDED  no
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]
STANDINGS = {
    "ACTING": LatchStanding.ACTING,
    "ON_HOLD": LatchStanding.ON_HOLD,
    "RECORDED": LatchStanding.REARM_RECORDED,
}


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_every_pair_has_its_verdict(row: list[str]) -> None:
    journal, marker, latch, agrees = row

    verdict = latch_of(JOURNAL[journal], MARKER[marker], UNKNOWN)

    assert verdict.agrees is (agrees == "yes")
    if latch == "-":
        assert verdict.mark is None
    else:
        assert verdict.mark is not None
        assert verdict.mark.latched
        assert verdict.mark.reason
        assert verdict.mark.standing is STANDINGS[latch]


def test_the_table_has_every_pair() -> None:
    assert [(row[0], row[1]) for row in ROWS] == list(itertools.product(JOURNAL, MARKER))


@pytest.mark.parametrize("row", [row for row in ROWS if row[3] == "no"], ids=" ".join)
def test_where_they_differ_the_latch_is_on(row: list[str]) -> None:
    assert latch_of(JOURNAL[row[0]], MARKER[row[1]], UNKNOWN).mark is not None


def test_a_journal_that_was_lost_is_said_to_be() -> None:
    verdict = latch_of(None, Marked(mark=ON), UNKNOWN)

    assert verdict.mark is not None
    assert verdict.mark.liquidation_id == "one"
    assert "disconnect" in verdict.mark.reason
    assert "the journal knows nothing of it" in verdict.mark.reason


def test_of_two_liquidations_the_one_that_acts_counts() -> None:
    recorded = attrs.evolve(RECORDED, liquidation_id="two")

    verdict = latch_of(ON, Marked(mark=recorded), UNKNOWN)

    assert verdict.mark == ON


def test_what_was_recorded_says_by_whom() -> None:
    verdict = latch_of(None, Marked(mark=RECORDED), UNKNOWN)

    assert verdict.mark is not None
    assert (verdict.mark.who, verdict.mark.why) == ("Ada", "a glitch")
