"""The table ``[connection.maintenance]`` is as strict as every other, and says with which key the fault is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import ConfigurationError
from actors.sections.maintenance import Maintenance
from supervision.config.loading import load
from supervision.config.sections import Connection

CONFIG_TOML = Path(__file__).parents[2] / "config.toml"


def loaded(tmp_path: Path, text: str) -> Maintenance:
    """Load a file that has only this table."""
    path = tmp_path / "config.toml"
    path.write_text(f"[connection.maintenance]\n{text}\n", encoding="utf-8")
    return load(path, {}).connection.maintenance


@pytest.mark.req("CFG-1", "CFG-2", "CON-15")
def test_config_toml_holds_every_key_of_the_table_within_the_table() -> None:
    table = tomllib.loads(CONFIG_TOML.read_text(encoding="utf-8"))

    found = table["connection"]["maintenance"]

    assert list(found) == list(attrs.fields_dict(Maintenance))
    assert Maintenance(**found) == Maintenance() == load(CONFIG_TOML, {}).connection.maintenance


@pytest.mark.req("CFG-1", "CON-15")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enabled = 1", 'enabled: found 1, expected true, false or "auto"'),
        ('zone = "Mars/Olympus"', 'zone: found "Mars/Olympus", expected the IANA name'),
        ("windows = 'Sun 00:15-01:45'", "windows: found"),
        ("windows = [3]", "windows: found [3], expected a list of at most 20 windows"),
        ('windows = ["Sun 25:00-01:00"]', '"Sun 25:00-01:00": neither like'),
        ('windows = ["Mon 01:00-01:00"]', '"Mon 01:00-01:00": it begins and ends at'),
        ('windows = ["Mon-Sun 00:00-23:59", "Mon-Sun 12:00-11:59"]', "leave no time to trade"),
        ('gateway_restart = "noon"', 'gateway_restart: found "noon", expected "" for none'),
        ('gateway_restart = "23:45 Nowhere/X"', "no time zone is called 'Nowhere/X'"),
        ("gateway_restart_s = 0.0", "gateway_restart_s: found 0.0, expected a number from 1"),
        ("stop_opening_before_s = -1.0", "stop_opening_before_s: found -1.0"),
        ("window = []", "window: unknown key; did you mean windows?"),
    ],
)
def test_a_fault_is_told_with_the_whole_path_of_its_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text)

    assert f"connection.maintenance.{text.split()[0]}: " in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.req("CFG-1")
def test_a_table_that_is_none_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[connection]\nmaintenance = false\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"connection\.maintenance: found false"):
        load(path, {})


@pytest.mark.req("CFG-1")
def test_faults_within_and_beside_the_table_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "[connection]\nretries = -1\n[connection.maintenance]\nzone = 3\n", encoding="utf-8"
    )

    with pytest.raises(ConfigurationError, match="has 2 faults"):
        load(path, {})


@pytest.mark.req("CON-15")
@pytest.mark.parametrize(
    ("enabled", "is_external", "is_on"),
    [
        ("auto", True, True),
        ("auto", False, False),
        (True, False, True),
        (False, True, False),
    ],
)
def test_auto_means_on_for_an_external_gateway_only(
    enabled: Any, is_external: bool, is_on: bool
) -> None:
    table = Maintenance(enabled=enabled, gateway_restart="23:45")

    schedule = table.schedule(is_external=is_external)

    assert bool(schedule.rules) is is_on


@pytest.mark.req("CON-15")
def test_a_value_of_the_table_changes_the_schedule(tmp_path: Path) -> None:
    text = (
        'enabled = true\nzone = "Europe/Berlin"\nwindows = ["Sat 10:00-11:00"]\n'
        'gateway_restart = "23:45"\ngateway_restart_s = 60.0\nstop_opening_before_s = 7.0'
    )

    schedule = loaded(tmp_path, text).schedule(is_external=False)

    assert {rule.zone.key for rule in schedule.rules} == {"Europe/Berlin"}
    assert len(schedule.rules) == 1 + 7
    assert schedule.stop_opening_before_s == 7.0


def test_a_connection_built_in_code_has_the_table_too() -> None:
    assert Connection().maintenance == Maintenance()
    assert hash(Connection()) == hash(Connection())
