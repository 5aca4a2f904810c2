"""A hostile configuration is answered by one `ConfigurationError` that names the key: no traceback, hang or start."""

from __future__ import annotations

import functools
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.errors import ConfigurationError
from actors.sections.fields import section_of
from supervision.commands.cli import ExitCode
from supervision.config.loading import ENVIRONMENT, load
from supervision.config.sections import Config
from tests.walk.commands import ROOT, Ended, in_process

PATIENCE_S: Final = 5.0
"""No configuration of the allowed size takes more time of the processor than this to be judged."""

KEYS: Final = [
    (name, key)
    for name, field in attrs.fields_dict(Config).items()
    if field.repr
    for key in attrs.fields_dict(section_of(field))
]
CONTROL: Final = "".join(map(chr, [*range(32), 127, 0x85, 0x2028, 0x202E, 0xFEFF]))

HOSTILE_VALUES: Final = (
    "9" * 4000,
    "-" + "9" * 4000,
    "1e999999",
    "nan",
    "-inf",
    "0x" + "f" * 4000,
    '"' + "A" * 20_000 + '"',
    '"\\u0000"',
    '"\\u001b[2J\\u0007"',
    '"\\u202e"',
    '"../../../../etc/passwd\\n"',
    '"\'; DROP TABLE intents; --"',
    '"${jndi:ldap://x}"',
    "[" * 200 + "]" * 200,
    "[" + "1," * 2000 + "]",
    "{" + ", ".join(f"k{number} = {number}" for number in range(500)) + "}",
    "1979-05-27T07:32:00Z",
    "true",
    "[]",
    '[[], {}, "", 0]',
)


def judged(content: bytes, folder: Path, environ: dict[str, str] | None = None) -> str | None:
    """Load a configuration; gives the report, None where it is accepted. Fails when that takes too long."""
    path = folder / "hostile.toml"
    path.write_bytes(content)
    began = time.thread_time()
    try:
        load(path, environ or {})
        report = None
    except ConfigurationError as error:
        report = str(error)
    assert time.thread_time() - began < PATIENCE_S
    return report


def assert_harmless(report: str) -> None:
    """A report is short, printable, and has no line that a value began."""
    lines = report.splitlines()
    assert len(lines) <= 110
    assert all(len(line) < 2000 for line in lines)
    assert not any(character in report.replace("\n", "") for character in CONTROL)


@pytest.mark.req("CFG-1")
@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: re.sub(r"\W", "", value)[:12])
def test_a_hostile_value_of_any_key_is_accepted_or_named(value: str, tmp_path: Path) -> None:
    unnamed = []
    for section, key in KEYS:
        report = judged(f"[{section}]\n{key} = {value}\n".encode(), tmp_path)
        if report is None:
            continue
        assert_harmless(report)
        if f"{section}.{key}" not in report and "is not valid TOML" not in report:
            unnamed.append((section, key, report))
    assert unnamed == []


@pytest.mark.req("CFG-1")
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"a." * 50_000 + b"b = 1",
        b'x = {"a" . ' + b"'a'.\tb-c." * 20_000 + b"b = 1}",
        b"[" + b"a." * 20_000 + b"b]\n",
        b"x = " + b'"""' + b"\\" * 10_000,
        b"x = [" * 2000,
        b"x = " + b"{a = " * 2000,
        b"\xef\xbb\xbf[gateway]\nport = 70000",
        "".join(f"[s{number}]\n" for number in range(20_000)).encode(),
        b"[gateway]\n" + "".join(f"key{number} = 1\n" for number in range(20_000)).encode(),
        CONTROL.encode(),
        b"gateway = 1\n[general]\nsymbols = 3",
        b"",
    ],
    ids=lambda content: repr(content[:14]),
)
def test_a_hostile_file_is_judged_quickly_and_in_few_lines(content: bytes, tmp_path: Path) -> None:
    report = judged(content, tmp_path)

    if report is not None:
        assert_harmless(report)


HOSTILE_TEXT: Final = st.text(st.characters(codec=None), max_size=60)
TOML_VALUES: Final = st.recursive(
    st.booleans() | st.integers() | st.floats() | HOSTILE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HOSTILE_TEXT, inner, max_size=3),
    max_leaves=8,
)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return '"' + "".join(f"\\U{ord(character):08X}" for character in value) + '"'


@pytest.mark.req("CFG-1")
@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(KEYS) | st.tuples(HOSTILE_TEXT, HOSTILE_TEXT), TOML_VALUES),
        max_size=6,
        unique_by=lambda item: item[0],
    )
)
def test_any_well_formed_table_is_accepted_or_reported(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[tuple[str, str], Any]]
) -> None:
    sections: dict[str, list[str]] = {}
    for (section, key), value in items:
        sections.setdefault(section, []).append(f"{_toml(key)} = {_toml(value)}")
    text = "\n".join(
        f"[{_toml(section)}]\n" + "\n".join(lines) for section, lines in sections.items()
    )

    report = judged(text.encode("utf-8", "surrogatepass"), tmp_path_factory.getbasetemp())

    if report is not None:
        assert_harmless(report)


@pytest.mark.req("CFG-1")
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(ENVIRONMENT)), st.text(max_size=300))
@example("IB_GATEWAY_HOST", "a..b")
@example("IB_GATEWAY_HOST", "-" * 254)
@example("IB_GATEWAY_PORT", "\uff19" * 4)
@example("IB_GATEWAY_PORT", "9" * 5000)
@example("PROMETHEUS_PORT", "1e4")
@example("LOG_LEVEL", "\x1b]0;owned\x07")
@example("DATABASE_URL", "sqlite:///x\nLOG_LEVEL=DEBUG")
@example("ALPHA_VANTAGE_API_KEY", "\ud800")
def test_any_variable_is_accepted_or_named_and_a_secret_is_never_shown(
    variable: str, value: str
) -> None:
    try:
        config = load(None, {variable: value})
    except ConfigurationError as error:
        report = str(error)
        assert f"{variable} (environment)" in report
        assert_harmless(report)
        if variable in ("DATABASE_URL", "ALPHA_VANTAGE_API_KEY"):
            assert "(hidden)" in report
        return
    found = functools.reduce(getattr, ENVIRONMENT[variable], config)
    assert isinstance(found, str | int)


@pytest.mark.req("CFG-1")
@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".a",
        "a" * 64,
        ("a" * 60 + ".") * 5,
        "exa mple",
        "[::1]",
        "h;id",
        "http://h",
        "::g",
        "-" * 254,
    ],
)
def test_a_host_that_no_resolver_takes_is_refused_by_its_key(host: str, tmp_path: Path) -> None:
    report = judged(f'[gateway]\nhost = "{host}"\n'.encode(), tmp_path)

    assert report is not None
    assert "gateway.host: found" in report


@pytest.mark.parametrize(
    "host", ["localhost", "ib-gateway", "gw_1.example.com.", "10.0.0.1", "::1", "fe80::1%eth0"]
)
def test_hosts_that_exist_are_accepted(host: str, tmp_path: Path) -> None:
    assert judged(f'[gateway]\nhost = "{host}"\n'.encode(), tmp_path) is None


# --- the process ------------------------------------------------------------------------------------------------------


def attempt(folder: Path, text: str, *arguments: str) -> Ended:
    """Give a hostile configuration to the command line, in an empty directory."""
    config = folder / "config.toml"
    config.write_text(text, encoding="utf-8")
    return in_process(*arguments, "--config", str(config))


@pytest.mark.req("CFG-1", "SUP-9")
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--cycles", "1"),
        ("check",),
        ("status",),
        ("rearm", "--who", "me", "--why", "x"),
        ("liquidate", "--reason", "x"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[general]\nstate_dir = 3\n", "general.state_dir"),
        ("[gateway]\nport = 0\nprot = 1\n", "gateway.prot"),
        ("[gateway\n", "is not valid TOML"),
        ('[journal]\nsynchronous = "off"\n', "journal.synchronous"),
    ],
)
def test_no_command_starts_anything_under_a_faulty_configuration(
    arguments: tuple[str, ...], text: str, named: str, tmp_path: Path
) -> None:
    ended = attempt(tmp_path, text, *arguments)

    assert ended.code == ExitCode.USAGE
    assert named in ended.err
    assert "Traceback" not in ended.err + ended.out
    assert ended.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"], "nothing was started"


@pytest.mark.req("CFG-1")
@pytest.mark.parametrize("value", ["\x1b[31mred\x07", "line\nIB_CONF_001: forged", "\u202egnirts"])
def test_no_value_writes_on_the_terminal_what_it_likes(value: str, tmp_path: Path) -> None:
    report = judged(f"[gateway]\nhost = {_toml(value)}\n".encode(), tmp_path)

    assert report is not None
    assert_harmless(report)
    assert not [line for line in report.splitlines() if line.startswith("IB_CONF_001")]


@pytest.mark.req("CFG-1")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_configuration_that_never_ends_is_refused(tmp_path: Path) -> None:
    began = time.thread_time()
    with pytest.raises(ConfigurationError, match="is no regular file"):
        load("/dev/zero", {})

    assert time.thread_time() - began < PATIENCE_S
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match="is no regular file"):
        load(pipe, {})


def test_the_file_of_the_project_is_accepted() -> None:
    with suppress(FileNotFoundError):
        assert load(ROOT / "config.toml", {}) == Config()
