"""What is assumed of a gateway stands in one page, each with a probe; and nothing is marked that stands not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.req("QUA-6")

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/assumptions.md"
PROBES: Final = ROOT / "tests/paper_gateway/test_assumptions.py"
MARK: Final = "(assumed"
ROW: Final = re.compile(
    r"^\| (?P<what>.+) \| \[[^]]+\]\((?P<where>[^)]+)\) \| (?P<wrong>.+) \| `(?P<probe>\w+)` \|$",
    re.MULTILINE,
)


def rows() -> list[re.Match[str]]:
    return list(ROW.finditer(PAGE.read_text("utf-8")))


def marked() -> set[Path]:
    """The files of the product, and the rules, in which something is marked as assumed."""
    files = [
        ROOT / "docs/rules.md",
        *ROOT.glob("actors/**/*.py"),
        *ROOT.glob("supervision/**/*.py"),
    ]
    return {path for path in files if MARK in path.read_text("utf-8")}


def test_every_row_can_be_read() -> None:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]

    assert len(rows()) == len(lines) - 1  # without the head


def test_every_assumption_has_a_probe_of_its_own_and_every_probe_its_assumption() -> None:
    probes = re.findall(r"^def (test_\w+)", PROBES.read_text("utf-8"), re.MULTILINE)

    assert sorted(probes) == sorted(row["probe"] for row in rows())


def test_every_file_with_a_mark_is_listed_and_every_listed_file_has_one() -> None:
    listed = {(PAGE.parent / row["where"]).resolve() for row in rows()}

    assert marked() - listed == set(), "marked (assumed), but not in docs/assumptions.md"
    assert (
        listed - marked() == set()
    ), "in docs/assumptions.md, but nothing is marked (assumed) there"
