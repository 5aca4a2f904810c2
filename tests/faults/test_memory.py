"""A link that is lost and won back a thousand times takes no more memory than one that stands (issue 3)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WARM_UP = 400
RECONNECTIONS = 1000
ALLOWED_MB = 5.0


@pytest.mark.req("QUA-3")
@pytest.mark.timeout(240)
def test_memory_is_flat_over_a_thousand_reconnections() -> None:
    """In a process of its own: what other tests left in this one would be measured, too."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.reconnections", str(WARM_UP), str(RECONNECTIONS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(ran.stdout.splitlines()[-1])

    assert abs(measured["after_mb"] - measured["before_mb"]) < ALLOWED_MB, measured
