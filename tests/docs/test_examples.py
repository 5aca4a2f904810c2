"""What the documents tell people to type runs, and prints what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.drawings import ROOT

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def example(page: str) -> str:
    (block,) = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return str(block)


def run(code: str, directory: Path) -> list[str]:
    config = ROOT / "config.toml"
    (directory / "config.toml").write_text(config.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.req("SUP-10")
def test_example_of_injection_prints_what_its_page_says(tmp_path: Path) -> None:
    printed = run(example("docs/testing.md"), tmp_path)

    assert printed == [
        "REJECTED - Strategy C is latched: a test; re-arm before opening anything",
        "False False",
    ]


@pytest.mark.req("GW-1")
def test_example_of_embedding_gets_a_quote_and_a_simulated_order(tmp_path: Path) -> None:
    (printed,) = run(example("docs/embedding.md"), tmp_path)

    assert printed.split()[1] == "SIMULATED"
