"""How much of the performance suite is run: a sample, or all of it (`make performance`)."""

from __future__ import annotations

import pytest

SAMPLE = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--connections``; known only when this directory is named on the command line."""
    parser.addoption("--connections", type=int, default=SAMPLE, help="connections to time")


@pytest.fixture
def connections(request: pytest.FixtureRequest) -> int:
    """How many connections to time."""
    count: int = request.config.getoption("--connections", SAMPLE)
    return count
