"""What all tests share: the requirement ids, and the report on which of them are proved."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    from tests.databases import Place, PostgresServer

settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
"""Property tests judge results; how long an example takes is the machine's matter."""

settings.register_profile(
    "mutation",
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
"""For `make mutation`: no smaller example is looked for, and a slow machine is not taken for a test that noticed."""

REQUIREMENTS = Path(__file__).parents[1] / "docs" / "requirements.md"

MARKS = dict(
    re.findall(
        r"^- <a id=\"[^\"]+\"></a>\*\*([A-Z]+-\d+)\*\* \((built|built in part|planned)\)",
        REQUIREMENTS.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)
"""Every requirement, and whether it is built, as docs/requirements.md says."""

IDS = tuple(MARKS)
_PROOFS: pytest.StashKey[dict[str, list[bool]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--requirements``."""
    parser.addoption(
        "--requirements",
        action="store_true",
        help="say which requirement ids have a passing test, and which have none",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no proof at all."""
    proofs: dict[str, list[bool]] = defaultdict(list)
    config.stash[_PROOFS] = proofs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marker that names an id that does not exist."""
    for item in items:
        for marker in item.iter_markers("req"):
            unknown = [name for name in marker.args if name not in IDS]
            if unknown or not marker.args:
                raise pytest.UsageError(f"{item.nodeid}: no such requirement: {unknown}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Note for each id whether its tests passed."""
    report = yield
    if report.when == "call" and not report.skipped:
        for marker in item.iter_markers("req"):
            for name in marker.args:
                item.config.stash[_PROOFS][name].append(report.passed)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the report, when it was asked for."""
    config = terminalreporter.config
    if not config.getoption("--requirements"):
        return
    proofs = config.stash[_PROOFS]
    terminalreporter.section("requirements")
    proved = [name for name in IDS if proofs.get(name) and all(proofs[name])]
    failing = [name for name in IDS if proofs.get(name) and not all(proofs[name])]
    missing = [name for name in IDS if not proofs.get(name)]
    for title, names in (("proved", proved), ("failing", failing), ("without a test", missing)):
        terminalreporter.write_line(f"{title} ({len(names)}): {' '.join(names)}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a real server once, for all tests that ask for it."""
    from tests.databases import running_server  # with the drivers, which most runs do not need

    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Run a test once on each kind of database."""
    from tests.databases import Place

    on_server = request.param == "postgresql"
    server = request.getfixturevalue("postgres_server") if on_server else None
    return Place(request.param, tmp_path, server)
