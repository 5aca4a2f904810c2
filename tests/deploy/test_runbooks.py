"""Every name in the runbooks exists: error codes, classes, log events, keys, variables, commands (DEP-1)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import attrs
import pytest
from typer.main import get_command

from actors import errors
from actors.sections.fields import section_of
from supervision.commands.cli import ExitCode, app
from supervision.config.loading import ENVIRONMENT
from supervision.config.sections import Config

ROOT: Final = Path(__file__).resolve().parents[2]
RUNBOOKS: Final = sorted((ROOT / "docs/runbooks").glob("*.md"))
SOURCE: Final = "\n".join(
    file.read_text("utf-8")
    for package in ("actors", "supervision")
    for file in sorted((ROOT / package).rglob("*.py"))
)
ELSEWHERE: Final = re.compile(
    r"/(health|opt)/[\w/-]+|(systemctl|docker compose|pip install)( .*)?|--\w+|check|orderRef|LOST|UNKNOWN"
)
"""Paths, other programs' commands, options, and words that are no names of the code."""


def kinds(root: type[errors.GatewayError]) -> list[type[errors.GatewayError]]:
    """List an error and all below it."""
    return [root, *(each for child in root.__subclasses__() for each in kinds(child))]


CODES: Final = {kind.code: kind.__name__ for kind in kinds(errors.GatewayError)}
KEYS: Final = {
    f"{name}.{key}"
    for name, field in attrs.fields_dict(Config).items()
    for key in attrs.fields_dict(section_of(field))
}


def is_known(name: str) -> bool:
    """Whether a name in a runbook exists."""
    if name in CODES or name in CODES.values() or name in KEYS or name in ENVIRONMENT:
        return True
    if re.fullmatch(r"[a-z]+(_[a-z]+)*", name) and f'"{name}"' in SOURCE:
        return True
    if name.startswith("python -m supervision "):
        return name.split()[3] in get_command(app).commands  # type: ignore[attr-defined]  # a group
    return ELSEWHERE.fullmatch(name) is not None


@pytest.mark.req("DEP-1")
@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_every_name_in_a_runbook_exists(runbook: Path) -> None:
    names = set(re.findall(r"`([^`\n]+)`", runbook.read_text("utf-8")))

    assert len(names) > 10
    assert sorted(name for name in names if not is_known(name)) == []


@pytest.mark.req("DEP-1")
def test_codes_stand_beside_the_classes_that_have_them() -> None:
    text = "\n".join(runbook.read_text("utf-8") for runbook in RUNBOOKS)

    pairs = re.findall(r"`(IB_\w+)` `(\w+Error)`", text)
    assert len(pairs) > 8
    assert [pair for pair in pairs if CODES[pair[0]] != pair[1]] == []


@pytest.mark.req("DEP-1", "CON-7")
def test_every_way_in_which_a_connection_fails_is_in_the_runbook() -> None:
    text = (ROOT / "docs/runbooks/connection-troubleshooting.md").read_text("utf-8")

    never_seen = {
        "IB_CONN_002",
        "IB_CONN_007",
    }  # told as client_id_conflict; a defect of the caller
    connecting = {code for code in CODES if code.startswith("IB_CONN_")} - never_seen
    assert {code for code in connecting if code not in text} == set()


@pytest.mark.req("DEP-1", "SUP-9")
def test_the_exit_codes_of_the_runbook_are_those_of_the_program() -> None:
    text = (ROOT / "docs/runbooks/connection-troubleshooting.md").read_text("utf-8")

    rows = {int(code) for code in re.findall(r"^\| (\d) \|", text, re.MULTILINE)}
    assert rows == set(ExitCode) - {ExitCode.OK, ExitCode.FAILED, ExitCode.NOT_RUNNING}
