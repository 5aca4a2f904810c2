"""The configuration is strict, complete and tells every fault at once."""

from __future__ import annotations

import math
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import ConfigurationError
from actors.sections.fields import KIND, meaning_of, section_of
from supervision.config.loading import ENVIRONMENT, load
from supervision.config.printing import printed
from supervision.config.reading import Report, read_tables
from supervision.config.sections import Config, Connection, GatewayConfig, Pacing

CONFIG_TOML = Path(__file__).parents[2] / "config.toml"

DOZEN_FAULTS = """
cash = 3
[general]
mode = "live"
operator_id = ""
symbols = ["SPY", "SPY"]
[features]
live_execution = true
integration_layer = 1
[gateway]
port = 99999
prot = 4002
timeout_s = nan
client_id = 1.5
readonly = "no"
[connection]
first_delay_s = 64.0
retries = true
[simulator]
replay = { spy = "bars.csv" }
[risk]
external = "both"
database_url = "postgresql://me:hunter2@db/x"
[market]
feed = "ticks"
"""
FAULTY_KEYS = [
    "cash: unknown key",
    'general.mode: found "live", expected one of "dry_run", "paper"; live trading is blocked',
    'general.operator_id: found "", expected 1 to 20 of',
    "general.symbols: found ['SPY', 'SPY'], expected a list of 1 to 100 different entries",
    "features.live_execution: found true, expected true or false; live trading is blocked",
    "features.integration_layer: found 1, expected true or false",
    "gateway.port: found 99999, expected a whole number from 1 to 65535",
    "gateway.prot: unknown key; did you mean port?",
    "gateway.timeout_s: found nan, expected a number from 0.1 to 300",
    "gateway.client_id: found 1.5, expected a whole number from 1 to 9999",
    'gateway.readonly: found "no", expected true or false',
    "connection.first_delay_s: found 64.0, expected at most max_delay_s (32.0)",
    "connection.retries: found true, expected a whole number from 0 to 1000",
    "simulator.replay: found {'spy': 'bars.csv'}, expected a table",
    'risk.external: found "both", expected one of "in_addition", "replace"',
    "risk.database_url: is a secret and may not stand in a file; set DATABASE_URL",
    "market: unknown key; did you mean market_data?",
]


def written(tmp_path: Path, text: str) -> Path:
    """Write a configuration file."""
    path = tmp_path / "faulty.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.req("CFG-1")
def test_every_fault_of_a_file_and_the_environment_stands_in_one_report(tmp_path: Path) -> None:
    environ = {"IB_GATEWAY_PORT": "4,002", "ALPHA_VANTAGE_API_KEY": "line one\nhunter3"}

    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, DOZEN_FAULTS), environ)

    report = str(caught.value)
    lines = report.splitlines()
    missing = [expected for expected in FAULTY_KEYS if not any(expected in line for line in lines)]
    assert missing == []
    assert 'IB_GATEWAY_PORT (environment): found "4,002", expected a whole number' in report
    assert "ALPHA_VANTAGE_API_KEY (environment): found (hidden)" in report
    assert "hunter" not in report
    assert len(lines) == 1 + len(FAULTY_KEYS) + 2
    assert "has 19 faults" in lines[0]


@pytest.mark.req("CFG-1", "CFG-2")
def test_config_toml_holds_every_key_with_its_default() -> None:
    table = tomllib.loads(CONFIG_TOML.read_text(encoding="utf-8"))

    assert load(CONFIG_TOML, {}) == Config() == load(None, {})
    fields = {name: field for name, field in attrs.fields_dict(Config).items() if field.repr}
    expected = {name: list(attrs.fields_dict(section_of(each))) for name, each in fields.items()}
    expected["gateway"] = [name for name in expected["gateway"] if name not in ("host", "port")]
    assert {name: list(section) for name, section in table.items()} == expected
    assert "# host =" in CONFIG_TOML.read_text(encoding="utf-8"), "shown, and not given (D11)"


@pytest.mark.req("CFG-1", "CFG-2")
def test_config_toml_is_printed_from_the_sections() -> None:
    assert CONFIG_TOML.read_text(encoding="utf-8") == printed()


@pytest.mark.req("CFG-1")
def test_every_setting_says_what_it_means_in_one_line() -> None:
    sections = [section_of(each) for each in attrs.fields(Config)]
    fields = [field for section in sections for field in attrs.fields(section)]

    meanings = [meaning_of(field) for field in fields if KIND in field.metadata]

    assert [each for each in meanings if not each.strip() or "\n" in each] == []


@pytest.mark.req("CFG-2")
def test_defaults_are_the_required_ones() -> None:
    config = load(None, {})

    gateway = config.gateway
    assert (gateway.host, gateway.port, gateway.client_id) == ("127.0.0.1", 4002, 1)
    assert (gateway.timeout_s, gateway.readonly) == (30.0, False)
    assert config.connection.heartbeat_s == 30.0
    assert (config.observability.metrics_port, config.observability.health_port) == (9090, 8080)
    assert config.logging.level == "INFO"


@pytest.mark.req("CFG-1", "CFG-2")
def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[gateway]\nhost = "10.0.0.1"\nport = 4001\n[logging]\nlevel = "debug"'
    )
    environ = {
        "IB_GATEWAY_HOST": "gateway.local",
        "IB_GATEWAY_PORT": "4003",
        "DATABASE_URL": "sqlite:///x.db",
        "PROMETHEUS_PORT": "0",
        "LOG_LEVEL": "warning",
        "ALPHA_VANTAGE_API_KEY": "KEY",
        "REDIS_URL": "rediss://user:word@cache:6380/1",
        "AUTO_RESTART_TIME": "11:45 PM",
    }

    config = load(path, environ)

    assert set(environ) == set(ENVIRONMENT)
    assert (config.gateway.host, config.gateway.port) == ("gateway.local", 4003)
    assert config.secrets.database_url == "sqlite:///x.db"
    assert config.observability.metrics_port == 0
    assert config.logging.level == "WARNING"
    assert config.secrets.alpha_vantage_api_key == "KEY"
    assert config.secrets.redis_url == "rediss://user:word@cache:6380/1"
    assert config.connection.maintenance.gateway_restart == "11:45 PM"
    assert "sqlite" not in repr(config)
    assert "word@" not in repr(config)
    assert "KEY" not in repr(config.secrets)


def test_an_empty_variable_overrides_nothing() -> None:
    assert load(None, {"IB_GATEWAY_PORT": "", "LOG_LEVEL": "  "}) == Config()


@pytest.mark.req("CFG-1", "OBS-4")
def test_unknown_keys_that_read_like_secrets_are_sent_to_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="from the environment only") as caught:
        load(written(tmp_path, '[gateway]\npassword = "hunter2"\n[secrets]\nx = 1'), {})

    assert "hunter2" not in str(caught.value)
    assert "secrets: is a secret" in str(caught.value)


@pytest.mark.req("CFG-1")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[gateway\nport = 1", "is not valid TOML"),
        (b"port = 1\nport = 2", "is not valid TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"#" * 1_000_001, "expected at most 1000000"),
        (b"[gateway]\nport = 0x" + b"f" * 5000, "too long to show"),
        (b"x = " + b"9" * 5000, "is not valid TOML"),
        (b"x = " + b"[" * 5000, "is not valid TOML"),
    ],
)
def test_an_unreadable_file_is_one_clear_error(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=expected):
        load(path, {})


@pytest.mark.parametrize("path", ["no/such/file.toml", ".", "a\0b"])
def test_a_path_that_holds_no_file_is_one_clear_error(path: str) -> None:
    with pytest.raises(ConfigurationError):
        load(path, {})


@pytest.mark.req("CFG-1")
@pytest.mark.parametrize(
    ("section", "values"),
    [
        (GatewayConfig, {"port": 0}),
        (GatewayConfig, {"port": True}),
        (GatewayConfig, {"timeout_s": math.inf}),
        (Connection, {"first_delay_s": 10.0, "max_delay_s": 1.0}),
        (Pacing, {"reserve_messages": 45}),
    ],
)
def test_a_section_built_in_code_is_as_strict(section: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        section(**values)


def test_a_configuration_is_immutable_and_hashable() -> None:
    config = load(None, {})

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.gateway.port = 1  # type: ignore[misc]  # the point of the test
    assert hash(config) == hash(Config())


TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = sorted(attrs.fields_dict(Config))
KEYS = sorted(
    {key for each in Config.__attrs_attrs__ for key in attrs.fields_dict(section_of(each))}
)


@pytest.mark.req("CFG-1")
@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(SECTIONS) | st.text(),
        st.dictionaries(st.sampled_from(KEYS) | st.text(), TOML_VALUES) | TOML_VALUES,
    )
)
def test_any_table_is_a_configuration_or_a_report(table: dict[str, Any]) -> None:
    report = Report(secrets={})

    config = read_tables(Config, table, report)

    assert isinstance(config, Config)
    with suppress(ConfigurationError):
        report.raise_if_any("junk")


@pytest.mark.req("CFG-1")
@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode), variable=st.text())
def test_any_file_and_environment_is_a_configuration_or_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, variable: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.toml"
    path.write_bytes(content)

    with suppress(ConfigurationError):
        load(path, dict.fromkeys(ENVIRONMENT, variable))
