"""The link can be imported where asyncio gives nobody a loop unasked, as from Python 3.14 on (QUA-4)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
AS_IN_314: Final = """
import asyncio, sys
class Policy(asyncio.DefaultEventLoopPolicy):
    def get_event_loop(self):
        if self._local._loop is None:
            raise RuntimeError("There is no current event loop in thread 'MainThread'.")
        return self._local._loop
asyncio.set_event_loop_policy(Policy())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own, by the rule of 3.14."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AS_IN_314 + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.req("QUA-4")
def test_the_library_alone_cannot_be_imported_there() -> None:
    assert "There is no current event loop" in run("import ib_insync").stderr


@pytest.mark.req("QUA-4")
@pytest.mark.parametrize(
    "code",
    [
        "import supervision.process",
        "import threading; t = threading.Thread(target=__import__, args=('actors.link.actor',)); t.start(); t.join()",
        "async def late():\n    import actors.link.actor\nasyncio.run(late())",
    ],
    ids=["main thread", "another thread", "within a running loop"],
)
def test_with_the_link_it_can(code: str) -> None:
    ended = run(code + "\nimport actors.link.client\nprint('imported')")

    assert (ended.stdout, ended.stderr) == ("imported\n", "")


@pytest.mark.req("QUA-4")
def test_whoever_has_a_loop_keeps_it() -> None:
    ended = run(
        "loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)\n"
        "import actors.link.client\n"
        "print(asyncio.get_event_loop_policy().get_event_loop() is loop, loop.is_closed())"
    )

    assert ended.stdout == "True False\n", ended.stderr


@pytest.mark.req("QUA-4")
def test_an_import_that_fails_says_why() -> None:
    ended = run("sys.modules['ib_insync'] = None\nimport actors.link.client")

    assert "import of ib_insync halted" in ended.stderr
