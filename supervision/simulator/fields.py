"""Values as IB writes them: every number, flag and text is a NUL-terminated string.

The empty text, any double of 1e308 or more, and 2147483647 all mean "not set"; clients differ in
which of them they use. Reading never guesses: what cannot be read raises `FieldError`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

UNSET_DOUBLE = "1.7976931348623157E308"
"""How a real gateway prints a double that has no value."""
UNSET_INTEGER = "2147483647"
"""How a real gateway prints an integer that has no value."""

_UNSET_FROM = 1e308
_INTEGER_MAX = 2147483647


class FieldError(ValueError):
    """A field is missing or is not what its position calls for; the server answers 320."""


def number(value: float | None) -> str:
    """Print a price or an amount; `None` becomes the unset double."""
    if value is None or not math.isfinite(value):
        return UNSET_DOUBLE
    text = f"{value:.8f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def size(value: float, *, whole: bool = False) -> str:
    """Print a quantity, without a fraction where there is none; `whole` forces an integer."""
    rounded = round(value, 8)
    if whole or rounded == int(rounded):
        return str(int(rounded))
    return f"{rounded:.8f}".rstrip("0")


def flag(value: bool) -> str:
    """Print a truth value."""
    return "1" if value else "0"


class Fields:
    """Reads the fields of one message from left to right."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values
        self._next = 0

    @property
    def remaining(self) -> int:
        """How many fields have not been read yet."""
        return len(self._values) - self._next

    def text(self) -> str:
        """Take the next field as it is."""
        if self._next >= len(self._values):
            raise FieldError(f"message ends before field {self._next + 1}")
        value = self._values[self._next]
        self._next += 1
        return value

    def texts(self, count: int) -> tuple[str, ...]:
        """Take the next `count` fields."""
        if count > self.remaining:
            raise FieldError(f"{count} fields announced, {self.remaining} present")
        return tuple(self.text() for _ in range(count))

    def decimal(self) -> float | None:
        """Take a number; `None` when it is unset."""
        text = self.text()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise FieldError(f"not a number: {text[:40]!r}") from None
        if math.isnan(value):
            raise FieldError("not a number: 'NaN'")
        return None if abs(value) >= _UNSET_FROM else value

    def integer(self, default: int = 0) -> int:
        """Take a whole number; `default` when it is unset."""
        value = self.decimal()
        if value is None or value == _INTEGER_MAX:
            return default
        if value != int(value) or abs(value) > _INTEGER_MAX:
            raise FieldError(f"not an integer: {value}")
        return int(value)

    def flag(self) -> bool:
        """Take a truth value; empty means false."""
        text = self.text().lower()
        if text in ("", "0", "false"):
            return False
        if text in ("1", "true"):
            return True
        raise FieldError(f"not a boolean: {text[:40]!r}")

    def count(self, limit: int = 1000) -> int:
        """Take the length of a list that follows; refuses what no message could hold."""
        value = self.integer()
        if not 0 <= value <= min(limit, self.remaining):
            raise FieldError(f"absurd count: {value}")
        return value
