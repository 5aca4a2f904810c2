"""``python -m supervision database``: what an operator needs for a rollback (DB-1)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from supervision.commands.cli import ExitCode, app
from supervision.config.sections import EMBEDDED_DIRECTORY
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.migrating import newest
from supervision.store.records_opening import RECORDS_FILE

TABLE = "gateway_connections"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a state directory of its own."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    file = tmp_path / "config.toml"
    file.write_text(f"[general]\nstate_dir = '{(tmp_path / 'state').as_posix()}'\n")
    return file


def run(config: Path, *words: str) -> tuple[int, str]:
    """Run a command; give its exit code and all that it said."""
    result = CliRunner().invoke(app, ["database", *words, "--config", str(config)])
    return result.exit_code, result.output


def tables(config: Path) -> set[str]:
    """Name the tables in the file."""
    connection = sqlite3.connect(config.parent / "state" / EMBEDDED_DIRECTORY / RECORDS_FILE)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return found


@pytest.mark.req("DB-1")
def test_an_operator_takes_the_schema_up_and_down(config: Path) -> None:
    assert run(config, "current")[1].strip().endswith(f"schema none (this program's: {newest()})")

    code, said = run(config, "upgrade")
    assert (code, TABLE in tables(config)) == (ExitCode.OK, True)
    assert f"schema {newest()}" in said

    code, said = run(config, "downgrade", "base")
    assert (code, TABLE in tables(config)) == (ExitCode.OK, False)
    assert "schema none" in said


@pytest.mark.req("DB-1", "SUP-12")
def test_the_schema_is_not_taken_down_under_a_running_process(config: Path) -> None:
    run(config, "upgrade")

    with JournalLock(config.parent / "state" / EMBEDDED_DIRECTORY / JOURNAL_FILE):
        code, said = run(config, "downgrade", "base")

    assert code == ExitCode.LOCKED
    assert "stop that process" in said
    assert TABLE in tables(config)


@pytest.mark.req("DB-1")
def test_an_unknown_revision_is_refused_in_a_plain_line(config: Path) -> None:
    run(config, "upgrade")

    code, said = run(config, "downgrade", "7777")

    assert code == ExitCode.FAILED
    assert said.startswith("IB_DB_001: the schema cannot go to '7777'")
    assert "Traceback" not in said


@pytest.mark.req("DB-1", "CFG-1")
def test_a_database_url_that_cannot_be_used_is_a_wrong_configuration(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://u:p@host/db")

    code, said = run(config, "current")

    assert code == ExitCode.USAGE
    assert "DATABASE_URL" in said
