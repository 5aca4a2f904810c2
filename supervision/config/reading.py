"""Read a section of the configuration from plain data, and collect every fault instead of stopping at the first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final, TypeVar

import attrs

from actors.errors import ConfigurationError
from actors.sections.fields import (
    KIND,
    Section,
    UnfitError,
    fault,
    is_hidden,
    kind_of,
    section_of,
    show,
)

C = TypeVar("C")
S = TypeVar("S", bound=Section)

MOST_FAULTS_SHOWN: Final = 100
"""A report names so many faults and counts the rest."""

SECRET_WORDS: Final = re.compile(
    r"passw|secret|token|api_?key|database_?url|credential", re.IGNORECASE
)
"""A key that reads like this belongs into the environment, known or not."""


@attrs.define
class Report:
    """The faults found so far. ``secrets`` maps the keys that no file may hold to their environment variables."""

    secrets: dict[str, str]
    faults: list[str] = attrs.field(factory=list)

    def raise_if_any(self, source: str) -> None:
        """Raise `ConfigurationError` with every fault on a line of its own."""
        if not self.faults:
            return
        count = len(self.faults)
        lines = self.faults[:MOST_FAULTS_SHOWN]
        if count > MOST_FAULTS_SHOWN:
            lines = [*lines, f"… and {count - MOST_FAULTS_SHOWN} more"]
        head = f"{source} has {count} {'fault' if count == 1 else 'faults'}:"
        raise ConfigurationError("\n  ".join([head, *lines]))


def read_tables(cls: type[C], table: Mapping[str, object], report: Report) -> C:
    """Build the whole from its tables; where one has faults, its defaults stand in and the report has the lines."""
    fields = attrs.fields_dict(cls)  # type: ignore[arg-type]  # an attrs class
    sections = {name: section_of(field) for name, field in fields.items() if field.repr}
    for name in table:
        if name not in sections:
            report.faults.append(_unknown(_join("", name), name, list(sections), report))
    return cls(
        **{
            name: read_section(section, table[name], name, report)
            for name, section in sections.items()
            if name in table
        }
    )


def read_section(cls: type[S], table: object, path: str, report: Report) -> S:
    """Build a section from a table; with faults in it, the defaults, and the lines go to the report."""
    if not isinstance(table, dict):
        report.faults.append(f"{path}: found {show(table)}, expected a table of keys")
        return cls()
    before = len(report.faults)
    fields = attrs.fields_dict(cls)
    for name in table:
        if name not in fields:
            report.faults.append(_unknown(_join(path, name), name, list(fields), report))
    values = {name: field.default for name, field in fields.items() if KIND in field.metadata}
    unfit = set()
    for name in [name for name in fields if name in table]:
        if KIND not in fields[name].metadata:
            inner = section_of(fields[name])
            values[name] = read_section(inner, table[name], _join(path, name), report)
            continue
        try:
            values[name] = kind_of(fields[name]).accept(table[name])
        except UnfitError as error:
            unfit.add(name)
            report.faults.append(
                fault(
                    _join(path, name),
                    table[name],
                    kind_of(fields[name]),
                    error,
                    hidden=is_hidden(fields[name]),
                )
            )
    contradiction = cls.contradiction(table)
    if contradiction:
        report.faults.append(f"{path}.{contradiction}")
    for relation in cls.RELATIONS:
        line = None if unfit & {relation.low, relation.high} else relation.fault(values)
        if line:
            report.faults.append(f"{path}.{line}")
    if len(report.faults) != before:
        return cls()
    return cls(**{name: value for name, value in values.items() if name in table})


def _unknown(path: str, name: str, known: list[str], report: Report) -> str:
    variable = report.secrets.get(name)
    if variable is not None:
        return f"{path}: is a secret and may not stand in a file; set {variable} in the environment"
    if SECRET_WORDS.search(name):
        return f"{path}: looks like a secret; secrets are read from the environment only, from " + (
            ", ".join(sorted(report.secrets.values()))
        )
    is_shown = len(report.faults) < MOST_FAULTS_SHOWN  # looking for what is close takes a while
    close = difflib.get_close_matches(name, known, n=1) if is_shown else []
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    return f"{path}: unknown key; {hint}"


def _join(path: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else show(name)
    return f"{path}.{shown}" if path else shown
