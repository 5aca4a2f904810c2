"""The documents are true: links lead somewhere, what is cited is there, and drawings are those of the tables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import MARKS
from tests.docs.drawings import ORDERS, ROOT, redrawn

LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ANCHOR: Final = re.compile(r'<a id="([^"]+)"></a>')
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
REQUIREMENT: Final = re.compile(
    r"\b(?:MODE|GW|CON|DB|OBS|MKT|ORD|RSK|POS|STC|SUP|SIM|PRO|OPS|SCL|CFG|DEP|QUA)-\d+\b"
)
DECISION: Final = re.compile(r"(?<![\w.])D([1-9]\d?)(?![\w.-])")
RECORD: Final = re.compile(r"\bdecisions? (\d{4})\b")
PEERS: Final = re.compile(r"\bPEERS (\d+(?:, \d+)*)")
WIRE: Final = re.compile(r"\bTWS_WIRE §(\d+(?:\.\d+)?)")
RULES: Final = re.compile(r"\bRULES (\d+)")
CITING: Final = (".py", ".md", ".toml", ".yml", ".yaml", ".feature", ".service", "Makefile")
NOT_OURS: Final = ("docs/peers.md", "docs/tws-wire.md", "docs/CHANGELOG.md")
"""Pages about others, whose D and numbers are their own; the changelog's letters are not citations."""


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [ROOT / name for name in names if name.endswith(CITING) and (ROOT / name).exists()]


def cited(pattern: re.Pattern[str], *, by: tuple[str, ...] = CITING) -> Iterator[tuple[Path, str]]:
    for path in tracked():
        if str(path.relative_to(ROOT)).endswith(NOT_OURS) or not path.name.endswith(by):
            continue
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            yield path.relative_to(ROOT), next(
                group for group in (*match.groups(), match[0]) if group
            )


def anchors(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    slugs = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)
    }
    return slugs | set(ANCHOR.findall(text))


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_place_in_it(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}"


def test_every_requirement_that_is_cited_stands_in_the_list() -> None:
    known = set(MARKS)

    lost = {f"{path}: {name}" for path, name in cited(REQUIREMENT) if name not in known}

    assert lost == set()


def test_every_decision_that_is_cited_stands_in_the_architecture() -> None:
    known = {name for name in anchors(ROOT / "docs" / "architecture.md") if name[:1] == "d"}

    lost = {f"{path}: D{name}" for path, name in cited(DECISION) if f"d{name}" not in known}

    assert lost == set()


def test_every_decision_record_that_is_cited_is_there() -> None:
    known = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")}

    lost = {f"{path}: {name}" for path, name in cited(RECORD) if name not in known}

    assert lost == set()


def test_every_row_of_peers_and_every_section_that_is_cited_is_there() -> None:
    docs = ROOT / "docs"
    rows = set(re.findall(r"^\| (\d+) \|", (docs / "peers.md").read_text(encoding="utf-8"), re.M))
    wire = set(
        re.findall(r"^#+ (\d+(?:\.\d+)?)", (docs / "tws-wire.md").read_text(encoding="utf-8"), re.M)
    )
    rules = set(re.findall(r"^## (\d+)", (docs / "rules.md").read_text(encoding="utf-8"), re.M))

    lost = {
        f"{path}: PEERS {row}"
        for path, names in cited(PEERS)
        for row in names.split(", ")
        if row not in rows
    }
    lost |= {
        f"{path}: TWS_WIRE {name}"
        for path, name in cited(WIRE)
        if name not in wire and name.partition(".")[0] not in wire
    }
    lost |= {f"{path}: RULES {name}" for path, name in cited(RULES) if name not in rules}

    assert lost == set()


def test_what_is_said_to_be_built_has_a_marked_test_and_what_is_planned_has_none() -> None:
    marks = re.compile(r"pytest\.mark\.req\(([^)]*)\)")
    marked = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for names in marks.findall(path.read_text(encoding="utf-8"))
        for name in re.findall(r'"([A-Z]+-\d+)"', names)
    }

    unproved = {name for name, mark in MARKS.items() if mark != "planned" and name not in marked}
    unsaid = {name for name, mark in MARKS.items() if mark == "planned" and name in marked}

    assert (unproved, unsaid) == (set(), set())


@pytest.mark.req("ORD-5")
def test_the_drawing_of_an_orders_transitions_is_that_of_the_table() -> None:
    text = ORDERS.read_text(encoding="utf-8")

    assert redrawn(text) == text, "draw it again with: python -m tests.docs"
