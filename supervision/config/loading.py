"""How the configuration is read from a file and the environment.

`load` is strict: unknown keys, wrong types, values out of bounds and secrets in the file are all listed in one
`ConfigurationError`, each with its key, what was found and what was expected.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs

from actors.errors import ConfigurationError
from actors.sections.fields import UnfitError, fault, is_hidden, kind_of, section_of
from actors.sections.gateway import EXTERNAL, GatewayConfig
from supervision.config.reading import Report, read_tables
from supervision.config.sections import Config

ENVIRONMENT: Final[Mapping[str, tuple[str, ...]]] = {
    "IB_GATEWAY_HOST": ("gateway", "host"),
    "IB_GATEWAY_PORT": ("gateway", "port"),
    "DATABASE_URL": ("secrets", "database_url"),
    "PROMETHEUS_PORT": ("observability", "metrics_port"),
    "LOG_LEVEL": ("logging", "level"),
    "ALPHA_VANTAGE_API_KEY": ("secrets", "alpha_vantage_api_key"),
    "REDIS_URL": ("secrets", "redis_url"),
    "AUTO_RESTART_TIME": ("connection", "maintenance", "gateway_restart"),
}
"""Environment variables and the keys that they override. An empty variable overrides nothing.

AUTO_RESTART_TIME has the name that the container of the gateway reads: one variable tells both when it restarts.
"""

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "--host": ("gateway", "host"),
    "--port": ("gateway", "port"),
}
"""Options of the command line that override keys."""

SECRETS: Final = {key[-1]: env for env, key in ENVIRONMENT.items() if key[0] == "secrets"}

MOST_BYTES: Final = 1_000_000
"""A configuration file is refused above this size."""

MOST_PARTS: Final = 32
"""Of a dotted name; the parser takes minutes for one of thousands."""

_TOO_DEEP: Final = re.compile(
    rf"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){{{MOST_PARTS - 1}}}"
)  # possessive, and from the beginning of a word only: linear in whatever it is given


def load(
    path: str | Path | None,
    environ: Mapping[str, str],
    arguments: Mapping[str, object] = MappingProxyType({}),
) -> Config:
    """Read the file, let the environment and then the command line's ``arguments`` override it, and check everything.

    ``path`` None means no file: the defaults. Raises `ConfigurationError` with every fault at once; a file that is
    missing, unreadable or not TOML is a fault, too.
    """
    table = {} if path is None else _read_toml(Path(path))
    report = Report(secrets={**SECRETS, "secrets": " and ".join(sorted(SECRETS.values()))})
    config = read_tables(Config, table, report)
    overrides = _read_environment(environ, report) | _read_arguments(arguments, report)
    _refuse_a_place_of_the_embedded(table, overrides, report)
    report.raise_if_any("the configuration" if path is None else str(path))
    for key, value in overrides.items():
        config = _with_value(config, key, value)
    return config


def _with_value(table: Any, key: tuple[str, ...], value: object) -> Any:
    """Give the table with another value at ``key``, however deep that is."""
    name, *rest = key
    inner = _with_value(getattr(table, name), tuple(rest), value) if rest else value
    means = (
        {"endpoint": EXTERNAL} if isinstance(table, GatewayConfig) else {}
    )  # a host or port (D11)
    return attrs.evolve(table, **{name: inner}, **means)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        is_endless = (
            path.exists() and not path.is_file()
        )  # a pipe makes us wait, a device never ends
        raw = b"" if is_endless else _read_most(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{path}: cannot be read: {reason}") from None
    except ValueError as error:  # a path with a NUL in it
        raise ConfigurationError(f"{path!r}: is no path: {error}") from None
    if is_endless:
        raise ConfigurationError(f"{path}: is no regular file")
    if len(raw) > MOST_BYTES:
        raise ConfigurationError(f"{path}: is too long, expected at most {MOST_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text: {error}") from None
    if _TOO_DEEP.search(text):
        raise ConfigurationError(f"{path}: has a dotted name of {MOST_PARTS} parts or more")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from None


def _read_most(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _read_environment(environ: Mapping[str, str], report: Report) -> dict[tuple[str, ...], object]:
    overrides: dict[tuple[str, ...], object] = {}
    for variable, key in ENVIRONMENT.items():
        found = environ.get(variable, "").strip()
        if not found:
            continue
        field = _field_at(key)
        kind = kind_of(field)
        try:
            overrides[key] = kind.accept(kind.parse(found))
        except UnfitError as error:
            source = f"{variable} (environment)"
            report.faults.append(fault(source, found, kind, error, hidden=is_hidden(field)))
    return overrides


def _read_arguments(
    arguments: Mapping[str, object], report: Report
) -> dict[tuple[str, ...], object]:
    overrides: dict[tuple[str, ...], object] = {}
    for option, key in ARGUMENTS.items():
        found = arguments.get(option)
        if found is None:
            continue
        kind = kind_of(_field_at(key))
        try:
            overrides[key] = kind.accept(found)
        except UnfitError as error:
            report.faults.append(fault(option, found, kind, error))
    return overrides


def _refuse_a_place_of_the_embedded(
    table: Mapping[str, Any], overrides: Mapping[tuple[str, ...], object], report: Report
) -> None:
    """A file that says "embedded" and a host or port from elsewhere contradict each other (D11)."""
    section = table.get("gateway")
    if isinstance(section, dict):
        places = {key[1]: value for key, value in overrides.items() if key[0] == "gateway"}
        endpoint = {name: value for name, value in section.items() if name == "endpoint"}
        contradiction = GatewayConfig.contradiction(endpoint | places)
        if contradiction:
            report.faults.append(f"gateway.{contradiction}")


def _field_at(key: tuple[str, ...]) -> attrs.Attribute[Any]:
    table: type = Config
    for name in key[:-1]:
        table = section_of(attrs.fields_dict(table)[name])
    return attrs.fields_dict(table)[key[-1]]
