"""Scenario files: faults on a timetable, in TOML.

[market]
hours = "0930-1600"          # optional; without it the market never closes; days that differ
                             # stand behind it: "0930-1600;20251127:CLOSED;20251128:0930-1300"

[[fault]]
at_s = 5.0                   # seconds after the start
kind = "connectivity_lost"   # any public method of `Faults` or `OrderFaults`

[[fault]]
at_s = 8.0
kind = "connectivity_restored"
data_lost = true             # its arguments by name
"""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

from .calendar import Hours
from .faults import Faults
from .order_faults import OrderFaults
from .timers import Timers
from .timetable import Scenario, TimedFault

_METHODS: dict[str, Any] = {
    name: method
    for faults in (Faults, OrderFaults)
    for name, method in vars(faults).items()
    if not name.startswith("_")
}
KINDS = tuple(sorted(_METHODS))
"""The kinds of fault a scenario may name."""


class ScenarioError(ValueError):
    """A scenario cannot be used; says where and what is expected."""


def begin(scenario: Scenario, faults: tuple[Faults, OrderFaults], timers: Timers) -> None:
    """Set the timers for what will go wrong (called by the gateway when it starts)."""
    for fault in sorted(scenario.faults, key=lambda fault: fault.at_s):
        timers.later(fault.at_s, _apply, faults, fault)


def _apply(faults: tuple[Faults, OrderFaults], fault: TimedFault) -> None:
    arguments = dict(fault.arguments)
    positional = arguments.pop("names", ())
    owner = next(each for each in faults if hasattr(each, fault.kind))
    getattr(owner, fault.kind)(*positional, **arguments)


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; raises `ScenarioError` with every mistake in it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: not TOML: {error}") from error
    return parse_scenario(document, str(path))


def parse_scenario(document: dict[str, Any], name: str = "scenario") -> Scenario:
    """Check a scenario given as data; raises `ScenarioError` with every mistake in it."""
    mistakes = [
        f"unknown section {key!r} (known: fault, market)"
        for key in document
        if key not in ("fault", "market")
    ]
    hours = _read_market(document.get("market", {}), mistakes)
    tables = document.get("fault", [])
    faults: list[TimedFault] = []
    if not isinstance(tables, list):
        mistakes.append("faults must be written as [[fault]]")
        tables = []
    for index, table in enumerate(tables, start=1):
        found = _read_fault(f"fault {index}", table, mistakes)
        if found is not None:
            faults.append(found)
    if mistakes:
        raise ScenarioError("\n".join(f"{name}: {mistake}" for mistake in mistakes))
    return Scenario(faults=tuple(faults), hours=hours)


def _read_market(table: Any, mistakes: list[str]) -> str | None:
    if not isinstance(table, dict):
        mistakes.append("market must be a table")
        return None
    mistakes += [f"market: unknown key {key!r} (known: hours)" for key in table if key != "hours"]
    hours = table.get("hours")
    if hours is None:
        return None
    try:
        Hours(str(hours))
    except ValueError as error:
        mistakes.append(f"market: {error}")
    return str(hours)


def _read_fault(place: str, table: Any, mistakes: list[str]) -> TimedFault | None:
    if not isinstance(table, dict):
        mistakes.append(f"{place}: must be a table")
        return None
    arguments = dict(table)
    at_s = arguments.pop("at_s", None)
    kind = arguments.pop("kind", None)
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s < 1e9:
        mistakes.append(f"{place}: at_s must be a number of seconds ≥ 0 (was {at_s!r})")
        return None
    if kind not in KINDS:
        mistakes.append(f"{place}: unknown kind {kind!r} (known: {', '.join(KINDS)})")
        return None
    before = len(mistakes)
    _check_arguments(f"{place} ({kind})", kind, arguments, mistakes)
    if len(mistakes) > before:
        return None
    return TimedFault(float(at_s), kind, tuple(arguments.items()))


def _check_arguments(place: str, kind: str, arguments: dict[str, Any], mistakes: list[str]) -> None:
    method = _METHODS[kind]
    parameters = dict(inspect.signature(method).parameters)
    parameters.pop("self")
    hints = get_type_hints(method)
    for key, value in arguments.items():
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            mistakes.append(f"{place}: unknown field {key!r} (known: {known})")
        elif not _fits(value, hints[key], parameters[key]):
            mistakes.append(f"{place}: {key} must be {_expected(hints[key])} (was {value!r})")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments and key != "names":
            mistakes.append(f"{place}: {key} is missing")


def _fits(value: Any, hint: Any, parameter: inspect.Parameter) -> bool:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    options = getattr(hint, "__args__", (hint,))
    if value in [option for option in options if isinstance(option, str)]:
        return True
    types = [option for option in options if isinstance(option, type)]
    if isinstance(value, bool):
        return bool in types
    if isinstance(value, int) and float in types:
        return True
    return type(value) in types


def _expected(hint: Any) -> str:
    options = getattr(hint, "__args__", (hint,))
    names = [getattr(option, "__name__", repr(option)) for option in options]
    return " or ".join(name for name in names if name != "NoneType")
