"""What callers and operators say is looked at where a message is made: one that makes no sense reaches no actor (D5).

Whoever injects messages gets the same error as a caller of the facade.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from actors.errors import RequestValidationError

LONGEST = 500


def said(*, empty: bool = False) -> str:
    """Declare a text of a caller; ``empty``: it may say nothing, which its handler refuses."""

    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        _check(field.name, value, empty=empty)

    return cast("str", attrs.field(validator=check))


def all_said() -> tuple[str, ...]:
    """Declare some texts of a caller, at least one."""

    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, tuple) or not value:
            raise RequestValidationError(
                f"{field.name} must be a tuple of texts (was {value!r:.60})"
            )
        for each in value:
            _check(field.name, each, empty=False)

    return cast("tuple[str, ...]", attrs.field(validator=check))


def _check(name: str, value: object, *, empty: bool) -> None:
    if not isinstance(value, str) or len(value) > LONGEST or not (empty or value.strip()):
        raise RequestValidationError(
            f"{name} must be a text of at most {LONGEST} characters (was {value!r:.60})"
        )
