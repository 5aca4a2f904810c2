"""The kernel and its conformance suite run without anything of trading."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SUITE = sorted(f"tests.kernel.{file.stem}" for file in HERE.glob("test_*.py"))
OURS = ("actors.kernel", "supervision.tree", "supervision.proof")
"""What the suite may import of ours; whatever else `actors` and `supervision` hold is trading."""
BROKER_LIBRARIES = frozenset({"ib_insync", "ib_async", "ibapi", "eventkit"})


def imported(modules: list[str]) -> set[str]:
    """What a fresh interpreter holds after these imports."""
    program = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout))


def trading(modules: set[str]) -> set[str]:
    """Those of our modules that are neither kernel, tree nor proof mode, and the broker's libraries."""
    ours = {name for name in modules if name.startswith(("actors.", "supervision."))}
    allowed = {name for name in ours if any(f"{name}.".startswith(f"{room}.") for room in OURS)}
    return (ours - allowed) | (modules & BROKER_LIBRARIES)


def test_the_suite_imports_nothing_of_trading() -> None:
    modules = imported(SUITE)

    assert set() == trading(modules)
    assert modules >= {"actors.kernel.actor", "supervision.tree.tree", *SUITE}


@pytest.mark.parametrize("name", ["actors.model", "actors.messages", "actors.errors"])
def test_the_suite_would_be_caught_importing_trading(name: str) -> None:
    assert any(found.startswith(name) for found in trading(imported([name])))
