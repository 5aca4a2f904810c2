"""Every argument of every call is looked at where it enters: a wrong one reaches no actor and changes nothing (GW-14).

One table says by a parameter's name what it may be; `checked` applies it to a call, and a test walks the facade for
parameters that the table does not know. What fields of a signal may be is `actors.logic.order_validation`'s.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from actors.errors import OrderValidationError, RequestValidationError
from actors.logic.order_validation import checked_symbol

LONGEST_TEXT: Final = 500
LONGEST_ID: Final = 200
LONGEST_TIMEOUT_S: Final = 86_400.0
LARGEST_NUMBER: Final = 1e12
MOST_SYMBOLS: Final = 10_000
SHOWN: Final = 60

Check = Callable[[str, Any], Any]
F = TypeVar("F", bound=Callable[..., Any])


def shown(value: object) -> str:
    """Show what was given, within bounds; a value whose repr raises is told by its type."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a stranger's object
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _wrong(name: str, expected: str, value: object) -> RequestValidationError:
    return RequestValidationError(f"{name} must be {expected} (was {shown(value)})")


def text(name: str, value: Any, longest: int = LONGEST_TEXT) -> Any:
    """Take a text that says something."""
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise _wrong(name, f"a text of 1 to {longest} characters", value)
    return value


def person(name: str, value: Any) -> Any:
    """Take who does something, or why: the audit trail keeps both."""
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT:
        said = shown(value)
        raise RequestValidationError(
            f"the audit trail needs who and why, each a text of 1 to {LONGEST_TEXT} characters ({name} was {said})"
        )
    return value


def identity(name: str, value: Any) -> Any:
    """Take the id of an order or a position."""
    return text(name, value, LONGEST_ID)


def symbol(name: str, value: Any) -> Any:
    """Take a symbol."""
    if not isinstance(value, str):
        raise _wrong(name, 'a symbol such as "SPY"', value)
    return checked_symbol(value)


def symbols(name: str, value: Any) -> Any:
    """Take some symbols."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _wrong(name, 'a list of at least one symbol, such as ["SPY", "QQQ"]', value)
    found = tuple(value)
    if not 0 < len(found) <= MOST_SYMBOLS:
        raise _wrong(name, f"a list of at least one symbol, at most {MOST_SYMBOLS}", value)
    return tuple(symbol(name, each) for each in found)


def timeout(name: str, value: Any) -> Any:
    """Take seconds; what is not above 0 is over at once, which the call says."""
    if not _is_number(value) or value > LONGEST_TIMEOUT_S:
        raise _wrong(name, f"a number of seconds, at most {LONGEST_TIMEOUT_S:g}", value)
    return value


def amount(name: str, value: Any) -> Any:
    """Take a quantity or a price, or nothing."""
    if value is None:
        return value
    if not _is_number(value) or not 0.0 < value <= LARGEST_NUMBER:
        raise _wrong(name, f"a number above 0, at most {LARGEST_NUMBER:g}, or None", value)
    return value


def switch(name: str, value: Any) -> Any:
    """Take true or false."""
    if not isinstance(value, bool):
        raise _wrong(name, "True or False", value)
    return value


def word(name: str, value: Any) -> Any:
    """Take one of a few words, which the call itself knows, or nothing."""
    if value is not None and not isinstance(value, str):
        raise _wrong(name, "one of its words", value)
    return value


def minutes(name: str, value: Any) -> Any:
    """Take a whole number of minutes; what is too few or too many is a violation that the call names."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, "a whole number of minutes", value)
    return value


def by_its_fields(_: str, value: Any) -> Any:
    """Leave it to the validation of the whole, which lists every field that is wrong."""
    return value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return is_number and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "symbol": symbol,
        "symbols": symbols,
        "timeout": timeout,
        "snapshot": switch,
        "duration_minutes": minutes,
        "bar_size": text,
        "expiry": by_its_fields,
        "strike": by_its_fields,
        "right": by_its_fields,
        "feed": word,
        "signal": by_its_fields,
        "strategy_context": by_its_fields,
        "wait_for": word,
        "order_id": identity,
        "position_id": identity,
        "quantity": amount,
        "limit_price": amount,
        "stop_price": amount,
        "reason": text,
        "over_pending": switch,
        "keep_positions": switch,
        "who": person,
        "why": person,
    }
)
"""What each parameter of the facade's calls may be."""


def checked(call: F) -> F:
    """Look at the arguments of a call of the facade before anything else happens; see the module's docstring."""
    signature = inspect.signature(call)
    names = [name for name in signature.parameters if name != "self"]
    checks = {name: CHECKS[name] for name in names}

    def looked_at(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        bound = signature.bind(*args, **kwargs)
        for name, check in checks.items():
            if name in bound.arguments:
                bound.arguments[name] = _checked(check, name, bound.arguments[name])
        return bound

    @functools.wraps(call)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        bound = looked_at(args, kwargs)
        return await call(*bound.args, **bound.kwargs)

    return wrapper  # type: ignore[return-value]  # a coroutine function like the one that it wraps


def _checked(check: Check, name: str, value: Any) -> Any:
    """A stranger's object may raise whatever it likes while it is looked at."""
    try:
        return check(name, value)
    except OrderValidationError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        raise RequestValidationError(
            f"{name} cannot be read (was {shown(value)}): {type(error).__name__}"
        ) from None
