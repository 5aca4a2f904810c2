"""Which method handles which message: marked at the method, checked when the class is made.

::

    class Counter(SupervisedActor):
        @handles(Add)
        def on_add(self, message: Add) -> None: ...

The type checker refuses a method that does not take the message it is marked with. When the class is made, a method
whose name does not begin with ``on_`` and a message that two methods claim raise `TypeError`. Types are matched
exactly.

An actor owns parts instead of inheriting them: each has its own state, and may handle messages of its own. The actor
lists their classes in ``parts``, which is checked together with its own methods, and hands each over with ``own``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from actors.kernel.messages import Message

Owner = TypeVar("Owner")
Result = TypeVar("Result")
First = TypeVar("First", bound=Message)
Second = TypeVar("Second", bound=Message)
Third = TypeVar("Third", bound=Message)

_MARK = "_handles"


@overload
def handles(
    first: type[First], /
) -> Callable[[Callable[[Owner, First], Result]], Callable[[Owner, First], Result]]: ...


@overload
def handles(first: type[First], second: type[Second], /) -> Callable[
    [Callable[[Owner, First | Second], Result]],
    Callable[[Owner, First | Second], Result],
]: ...


@overload
def handles(first: type[First], second: type[Second], third: type[Third], /) -> Callable[
    [Callable[[Owner, First | Second | Third], Result]],
    Callable[[Owner, First | Second | Third], Result],
]: ...


def handles(*kinds: type[Message]) -> Callable[[Any], Any]:
    """Mark the method that handles messages of these types."""

    def mark(method: Any) -> Any:
        setattr(method, _MARK, kinds)
        return method

    return mark


class Part:
    """A piece of an actor with its own state; it may have handlers. Runs in its actor's thread, like the actor."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the marked methods when the class is made; raises `TypeError`."""
        super().__init_subclass__(**kwargs)
        own_rows(cls)


def own_rows(cls: type) -> dict[type[Message], str]:
    """List a class's own handlers, inherited ones included: message type → name of the method.

    Raises `TypeError` for a misnamed method, and for two methods that claim the same message.
    """
    rows: dict[type[Message], str] = {}
    for kind in reversed(cls.__mro__):
        for name, method in vars(kind).items():
            for message in getattr(method, _MARK, ()):
                _check(cls, name, message, rows.get(message))
                rows[message] = name
    return rows


def _check(cls: type, name: str, message: type[Message], claimed_by: str | None) -> None:
    if not name.startswith("on_"):
        raise TypeError(f"{cls.__name__}.{name} handles {message.__name__}: name it on_…")
    if claimed_by not in (None, name):
        raise TypeError(
            f"{message.__name__} is handled by {cls.__name__}.{claimed_by} and by {cls.__name__}.{name}"
        )


def table_of(cls: type, parts: Iterable[type[Part]]) -> dict[type[Message], tuple[type, str]]:
    """Derive an actor's dispatch table: message type → the class that handles it (its own or a part's), and how.

    Raises `TypeError` when two of them claim the same message.
    """
    table: dict[type[Message], tuple[type, str]] = {}
    for owner in (cls, *parts):
        for message, name in own_rows(owner).items():
            if message in table:
                other, _ = table[message]
                raise TypeError(
                    f"{message.__name__} is handled by {other.__name__} and by {owner.__name__}"
                )
            table[message] = (owner, name)
    return table
