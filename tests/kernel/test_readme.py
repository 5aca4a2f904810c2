"""The kernel's README begins with a program: it runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "actors" / "kernel" / "README.md"


def test_the_counter_at_the_beginning_of_the_readme_counts(tmp_path: Path) -> None:
    block = re.search(r"\A# [^\n]*\n\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert block is not None
    program = tmp_path / "counter.py"
    program.write_text(block[1], encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, str(program)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(r"Total\(correlation_id='[^']+', value=5\)\n", ended.stdout)
