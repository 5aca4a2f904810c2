"""Who can bring an order to the gate, and who can write to the wire behind it: every call in the sources, by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import actors
import supervision

CALLERS = {
    "SendOrder": {"actors/executor/actor.py": 1, "actors/executor/changes.py": 1},
    "refusal": {"actors/link/order_entry.py": 1},
    "passed": {"actors/link/order_entry.py": 2},
    "place": {"actors/link/order_entry.py": 1},
    "close_passed": {"actors/link/order_gate.py": 1},
    "close_is_dead": {"actors/link/actor.py": 1},
    "issue_permit": {"actors/risk/permits.py": 1},
}
"""A new order and the change of one come to the gate, both with a permit of risk's; one place asks it and writes. Only
the executor's word, besides the broker's, takes a close off what the gate reckons with."""

OTHERS = {"refusal": "actors/market_data/", "place": "supervision/simulator/"}
"""Where the same name means something else."""


def _calls() -> Iterator[tuple[str, str]]:
    for package in (actors, supervision):
        root = Path(package.__path__[0])
        for path in root.rglob("*.py"):
            name = path.relative_to(root.parent).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    called = node.func
                    if isinstance(called, ast.Attribute):
                        yield called.attr, name
                    elif isinstance(called, ast.Name):
                        yield called.id, name


@pytest.mark.req("ORD-3", "RSK-4")
def test_every_road_to_the_wire_is_one_that_is_listed_here() -> None:
    found: dict[str, dict[str, int]] = {called: {} for called in CALLERS}
    for called, path in _calls():
        elsewhere = OTHERS.get(called)
        if called in CALLERS and not (elsewhere and path.startswith(elsewhere)):
            found[called][path] = found[called].get(path, 0) + 1

    assert found == CALLERS
