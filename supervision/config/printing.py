"""``config.toml`` as it is printed from the sections: every key, its default, and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from actors.sections.fields import (
    KIND,
    Pairs,
    Section,
    is_left_out,
    kind_of,
    meaning_of,
    section_of,
)
from supervision.config.loading import ENVIRONMENT, SECRETS
from supervision.config.sections import Config

COMMENTS_AT: Final = 32
"""The column in which comments begin, unless a line is longer."""


def printed() -> str:
    """Print the whole file."""
    lines = list(_head())
    for name, field in attrs.fields_dict(Config).items():
        if field.repr:  # secrets stand in no file
            lines += ["", *_table(name, section_of(field))]
    return "\n".join(lines) + "\n"


def _head() -> Iterator[str]:
    others = ", ".join(name for name in ENVIRONMENT if name not in SECRETS.values())
    yield "# Every key of ibkr-actors with its default, printed by `python -m supervision.config`."
    yield "# A key left out has the default; a key that does not exist, or a value out of bounds, is an error."
    yield "# Units end the names: _s seconds, _ratio fractions of one, _value US dollars."
    yield f"# Secrets ({', '.join(SECRETS.values())}) are read from the environment only."
    yield f"# These override keys: {others}."


def _table(name: str, section: type[Section]) -> Iterator[str]:
    fields = attrs.fields_dict(section)
    yield _beside(f"[{name}]", _purpose(section))
    for key, field in fields.items():
        if KIND in field.metadata:
            head = "# " if is_left_out(field) else ""
            yield _beside(f"{head}{key} = {_default(field)}", meaning_of(field))
    for key, field in fields.items():
        if KIND not in field.metadata:
            yield ""
            yield from _table(f"{name}.{key}", section_of(field))


def _purpose(section: type[Section]) -> str:
    return (section.__doc__ or "").splitlines()[0]


def _beside(line: str, comment: str) -> str:
    return f"{line:<{COMMENTS_AT - 2}}  # {comment}"


def _default(field: attrs.Attribute[Any]) -> str:
    if isinstance(kind_of(field), Pairs):
        return f"{{{', '.join(f'{name} = {_toml(value)}' for name, value in field.default or ())}}}"
    return _toml(field.default)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
