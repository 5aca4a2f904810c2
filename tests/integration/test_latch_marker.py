"""The latch's marker as a file: it needs no room, is never half a mark, and says when it cannot be read."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import JournalError
from actors.model.latch import LatchStanding
from supervision.store.latch_marker import (
    LONGEST,
    MARKER_FILE,
    SLOT_BYTES,
    SLOTS,
    LatchMarker,
    Mark,
    Marked,
)

pytestmark = pytest.mark.req("STC-11")

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
ON = Mark(latched=True, liquidation_id="one", reason="disconnect", at=AT, account="0a1b2c")
OFF = attrs.evolve(ON, latched=False, who="Ada", why="a glitch")
SIZE = SLOTS * SLOT_BYTES


def marker_in(path: Path) -> LatchMarker:
    """Make a marker that is prepared."""
    marker = LatchMarker(path / MARKER_FILE)
    marker.prepare()
    return marker


class FullDisk(LatchMarker):
    """On a disk without room: what makes the file no longer is taken."""

    def _store(self, descriptor: int, offset: int, block: bytes) -> None:
        if offset + len(block) > os.fstat(descriptor).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super()._store(descriptor, offset, block)


class PowerCut(LatchMarker):
    """Loses power when so many bytes of a mark are on the disk."""

    survives = SLOT_BYTES

    def _store(self, descriptor: int, offset: int, block: bytes) -> None:
        super()._store(descriptor, offset, block[: self.survives])


def test_what_is_marked_is_read_back(tmp_path: Path) -> None:
    marker = marker_in(tmp_path)
    assert marker.read() == Marked()

    for mark in (ON, OFF, attrs.evolve(ON, standing=LatchStanding.REARM_RECORDED), ON):
        marker.write(mark)

        assert LatchMarker(marker.path).read() == Marked(mark=mark)
        assert marker.path.stat().st_size == SIZE


def test_it_is_nobody_elses_business(tmp_path: Path) -> None:
    assert marker_in(tmp_path).path.stat().st_mode & 0o077 == 0


def test_a_full_disk_does_not_stop_it(tmp_path: Path) -> None:
    marker_in(tmp_path)
    marker = FullDisk(tmp_path / MARKER_FILE)

    for mark in (ON, OFF, ON):
        marker.write(mark)
        assert marker.read().mark == mark


def test_a_disk_that_is_full_at_the_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"latch's marker cannot be written.*No space left"):
        FullDisk(tmp_path / MARKER_FILE).prepare()


@pytest.mark.parametrize("before", [None, ON, OFF])
def test_a_power_cut_leaves_the_old_mark_or_the_new_one(
    tmp_path: Path, before: Mark | None
) -> None:
    new = attrs.evolve(ON, liquidation_id="two")
    seen = set()
    for survives in range(0, SLOT_BYTES, 7):
        path = tmp_path / str(survives)
        marker = PowerCut(path / MARKER_FILE)
        marker.prepare()
        if before is not None:
            LatchMarker(marker.path).write(before)
        marker.survives = survives

        marker.write(new)
        found = LatchMarker(marker.path).read()

        if before is None and found.damage is not None:
            continue  # the very first mark: nobody knows what it was
        assert found.mark in (before, new)
        seen.add(found.mark)
    assert seen == {before, new}


def test_a_write_after_a_power_cut_finds_its_place(tmp_path: Path) -> None:
    marker = PowerCut(tmp_path / MARKER_FILE)
    marker.prepare()
    LatchMarker(marker.path).write(OFF)
    marker.survives = 100
    marker.write(ON)
    assert LatchMarker(marker.path).read().mark == OFF

    LatchMarker(marker.path).write(ON)

    assert LatchMarker(marker.path).read().mark == ON


@pytest.mark.parametrize("content", [b"not a mark", b"\xff" * SIZE, b"x" + b" " * (SIZE - 1)])
def test_what_cannot_be_read_is_damage(tmp_path: Path, content: bytes) -> None:
    marker = LatchMarker(tmp_path / MARKER_FILE)
    marker.path.write_bytes(content)

    assert "is damaged" in (marker.read().damage or "")


@pytest.mark.parametrize("content", [b"", b"\0" * SIZE, b" " * 100])
def test_what_is_blank_was_never_marked(tmp_path: Path, content: bytes) -> None:
    marker = LatchMarker(tmp_path / MARKER_FILE)
    marker.path.write_bytes(content)

    assert marker.read() == Marked()


def test_a_directory_in_its_place_is_damage_and_no_crash(tmp_path: Path) -> None:
    marker = LatchMarker(tmp_path / MARKER_FILE)
    marker.path.mkdir()

    assert "cannot be read" in (marker.read().damage or "")
    with pytest.raises(JournalError, match="cannot be written"):
        marker.write(ON)


def test_one_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    marker = marker_in(tmp_path)
    marker.write(OFF)
    marker.path.unlink()

    marker.write(ON)

    assert marker.read().mark == ON


@given(reason=st.text(max_size=2000), who=st.text(max_size=500), why=st.text(max_size=500))
def test_whatever_words_there_are_they_fit(
    tmp_path_factory: pytest.TempPathFactory, reason: str, who: str, why: str
) -> None:
    marker = marker_in(tmp_path_factory.mktemp("marker"))
    mark = attrs.evolve(ON, reason=reason, who=who, why=why)

    marker.write(mark)

    found = marker.read().mark
    assert found is not None
    assert found.latched
    encodable = reason.encode("utf-8", "replace").decode()
    assert found.reason.encode("utf-8", "replace").decode() == encodable[: LONGEST["reason"]]
