"""How a setting is declared, once: its name, unit, default, bounds and meaning, all on one attrs field.

A kind does two things: ``accept`` turns what was found into the value, or raises `UnfitError`; ``expected`` says what
would do. The attrs field and the reader of files and environment both ask the kind, so that a section built in code is
as strict as one read from a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol, cast

import attrs

from actors.errors import ConfigurationError
from actors.logic.masking import mask_account, mask_text

DAY_S: Final = 86_400.0

KIND = "kind"
"""Under this name the kind of a field lies in its attrs metadata."""

MEANING = "meaning"
"""And under this one the sentence that says what the setting means."""

LEFT_OUT = "left out"
"""And under this one whether ``config.toml`` only shows the key, as a comment."""

LONGEST_SHOWN = 60
"""So many characters of a value that was found are shown in an error."""


class UnfitError(ValueError):
    """The value is not of this kind; the text says why where `Kind.expected` does not."""


class Kind(Protocol):
    """What a configuration key accepts."""

    @property
    def expected(self) -> str:
        """Say what would be accepted."""
        ...

    def accept(self, found: object) -> Any:
        """Give the value in its final form, or raise `UnfitError`."""
        ...

    def parse(self, text: str) -> object:
        """Turn the text of an environment variable into what a file would have held."""
        ...


@attrs.frozen
class Number:
    """A finite number within bounds, both of which belong to it. A bool is none; a whole kind takes no fraction."""

    low: float
    high: float
    whole: bool = False

    @property
    def expected(self) -> str:
        """Say the bounds."""
        return (
            f"{'a whole number' if self.whole else 'a number'} from {self.low:g} to {self.high:g}"
        )

    def accept(self, found: object) -> int | float:
        """Check type and bounds; a fractional kind takes whole numbers too."""
        allowed = (int,) if self.whole else (int, float)
        if isinstance(found, bool) or not isinstance(found, allowed):
            raise UnfitError
        if isinstance(found, float) and not math.isfinite(found):
            raise UnfitError
        if not self.low <= found <= self.high:
            raise UnfitError
        return int(found) if self.whole else float(found)

    def parse(self, text: str) -> object:
        """Read digits; anything else stays text, and is refused as such."""
        if self.whole:
            return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text
        try:
            return float(text)
        except ValueError:
            return text


@attrs.frozen
class Flag:
    """true or false. ``refused`` explains a value that is spelled correctly and still not allowed."""

    refused: tuple[tuple[bool, str], ...] = ()

    @property
    def expected(self) -> str:
        """Say the two values."""
        return "true or false"

    def accept(self, found: object) -> bool:
        """Take a bool and nothing that resembles one."""
        if not isinstance(found, bool):
            raise UnfitError
        _explain(found, self.refused)
        return found

    def parse(self, text: str) -> object:
        """Read the two words."""
        return {"true": True, "false": False}.get(text.lower(), text)


@attrs.frozen
class Choice:
    """One of a few words."""

    options: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()
    any_case: bool = False

    @property
    def expected(self) -> str:
        """Say the words."""
        return "one of " + ", ".join(f'"{each}"' for each in self.options)

    def accept(self, found: object) -> str:
        """Take one of the words."""
        if not isinstance(found, str):
            raise UnfitError
        word = found.upper() if self.any_case else found
        _explain(word, self.refused)
        if word not in self.options:
            raise UnfitError
        return word

    def parse(self, text: str) -> object:
        """Take the text as it is."""
        return text


@attrs.frozen
class Text:
    """Text that a pattern matches as a whole; ``means`` says the pattern in words."""

    pattern: str
    means: str

    @property
    def expected(self) -> str:
        """Say what the pattern means."""
        return self.means

    def accept(self, found: object) -> str:
        """Match the whole text."""
        if not isinstance(found, str) or re.fullmatch(self.pattern, found) is None:
            raise UnfitError
        return found

    def parse(self, text: str) -> object:
        """Take the text as it is."""
        return text


@attrs.frozen
class Several:
    """A list of different values of one kind."""

    of: Text
    least: int
    most: int

    @property
    def expected(self) -> str:
        """Say how many of what."""
        return f"a list of {self.least} to {self.most} different entries, each {self.of.expected}"

    def accept(self, found: object) -> tuple[str, ...]:
        """Check length, entries and that none comes twice."""
        if not isinstance(found, list | tuple) or not self.least <= len(found) <= self.most:
            raise UnfitError
        values = tuple(self.of.accept(each) for each in found)
        if len(set(values)) != len(values):
            raise UnfitError
        return values

    def parse(self, text: str) -> object:
        """Split at commas."""
        return [each.strip() for each in text.split(",")]


@attrs.frozen
class Pairs:
    """A table of text by text, kept as sorted pairs, since a section is immutable throughout."""

    key: Text
    value: Text
    most: int

    @property
    def expected(self) -> str:
        """Say what maps to what."""
        return (
            f"a table of at most {self.most} entries, {self.key.expected} = {self.value.expected}"
        )

    def accept(self, found: object) -> tuple[tuple[str, str], ...]:
        """Check every key and value."""
        if isinstance(found, tuple):
            found = dict(found)
        if not isinstance(found, dict) or len(found) > self.most:
            raise UnfitError
        pairs = ((self.key.accept(key), self.value.accept(value)) for key, value in found.items())
        return tuple(sorted(pairs))

    def parse(self, text: str) -> object:
        """Leave it: no environment variable holds a table."""
        return text


def _explain(found: object, refused: tuple[tuple[object, str], ...]) -> None:
    for value, why in refused:
        if found == value:
            raise UnfitError(why)


def key(
    default: Any,
    kind: Kind,
    meaning: str,
    *,
    secret: bool = False,
    masked: bool = False,
    left_out: bool = False,
) -> Any:
    """Declare a configuration key: an attrs field with its kind and its meaning, which ``config.toml`` says beside it.

    A secret shows neither in repr nor in errors; an account is masked in repr and not in errors at all (OBS-4). What is
    ``left_out`` stands in ``config.toml`` as a comment, since to give it says something, whatever its value.
    """
    return attrs.field(
        default=default,
        converter=attrs.Converter(_accept, takes_self=True, takes_field=True),
        metadata={KIND: kind, MEANING: meaning, LEFT_OUT: left_out},
        repr=_repr_of_account if masked else not secret,
    )


def _repr_of_account(code: str) -> str:
    return repr(mask_account(code))


def number(default: float, low: float, high: float, meaning: str) -> float:
    """Declare a number with its bounds."""
    return cast("float", key(default, Number(low, high), meaning))


def whole(default: int, low: int, high: int, meaning: str) -> int:
    """Declare a whole number with its bounds."""
    return cast("int", key(default, Number(low, high, whole=True), meaning))


def flag(default: bool, meaning: str, *, refused: tuple[tuple[bool, str], ...] = ()) -> bool:
    """Declare a switch."""
    return cast("bool", key(default, Flag(refused), meaning))


def choice(
    default: str, *others: str, meaning: str, refused: tuple[tuple[str, str], ...] = ()
) -> str:
    """Declare a choice of words; the default is the first of them."""
    return cast("str", key(default, Choice((default, *others), refused), meaning))


def text(default: str, pattern: str, means: str, meaning: str) -> str:
    """Declare a text by its pattern, which ``means`` says in words."""
    return cast("str", key(default, Text(pattern, means), meaning))


def kind_of(field: attrs.Attribute[Any]) -> Kind:
    """Give the kind of a field that holds a value."""
    return cast("Kind", field.metadata[KIND])


def meaning_of(field: attrs.Attribute[Any]) -> str:
    """Give the sentence that says what a setting means."""
    return cast("str", field.metadata[MEANING])


def is_left_out(field: attrs.Attribute[Any]) -> bool:
    """Tell whether ``config.toml`` only shows the key, as a comment."""
    return bool(field.metadata[LEFT_OUT])


def is_hidden(field: attrs.Attribute[Any]) -> bool:
    """Tell whether errors may not show what was found."""
    return field.repr is not True


def section_of(field: attrs.Attribute[Any]) -> type[Section]:
    """Give the class of a field that holds a section: the factory of its default."""
    return cast("type[Section]", cast("Any", field.default).factory)


@attrs.frozen
class Below:
    """A rule between two keys of a section: ``low`` stays below ``high``, or meets it where that is allowed."""

    low: str
    high: str
    or_equal: bool = True

    def fault(self, values: Mapping[str, Any]) -> str | None:
        """Say what is wrong, or None."""
        low, high = values[self.low], values[self.high]
        if low < high or (self.or_equal and low == high):
            return None
        words = "at most" if self.or_equal else "less than"
        return f"{self.low}: found {show(low)}, expected {words} {self.high} ({show(high)})"


@attrs.frozen(kw_only=True)
class Section:
    """The base of all sections: checks the rules between keys, also when a section is built in code."""

    RELATIONS: ClassVar[tuple[Below, ...]] = ()

    @classmethod
    def contradiction(cls, given: Mapping[str, object]) -> str | None:
        """Say which of the keys that were given contradict each other; None where none do."""
        del given  # most sections have none
        return None

    def __attrs_post_init__(self) -> None:
        """Refuse a section whose keys contradict each other."""
        values = {name: getattr(self, name) for name in attrs.fields_dict(type(self))}
        for relation in self.RELATIONS:
            if error := relation.fault(values):
                raise ConfigurationError(f"{type(self).__name__}.{error}")


def fault(name: str, found: object, kind: Kind, error: UnfitError, *, hidden: bool = False) -> str:
    """Say in one line what key has which value, and what it should have."""
    shown = "(hidden)" if hidden else show(found)
    return f"{name}: found {shown}, expected {kind.expected}" + (f"; {error}" if str(error) else "")


def show(found: object) -> str:
    """Show a value as a TOML file would, within bounds."""
    if isinstance(found, bool):
        return str(found).lower()
    try:
        shown = f'"{found}"' if isinstance(found, str) else str(found)
    except ValueError:  # Python prints no number of more than 4300 digits
        return "a number that is too long to show"
    shown = mask_text(shown[: 2 * LONGEST_SHOWN])
    shown = "".join(each if each.isprintable() else "?" for each in shown[: LONGEST_SHOWN + 1])
    return shown if len(shown) <= LONGEST_SHOWN else shown[:LONGEST_SHOWN] + "…"


def _accept(value: object, instance: object, field: attrs.Attribute[Any]) -> Any:
    kind = kind_of(field)
    try:
        return kind.accept(value)
    except UnfitError as error:
        name = f"{type(instance).__name__}.{field.name}"
        raise ConfigurationError(fault(name, value, kind, error, hidden=is_hidden(field))) from None
