"""ib_insync's decoder, made strict: nothing that it cannot decode is swallowed.

The library logs and forgets what it cannot decode; a fill with one field too many would vanish (TWS_WIRE §11.5). Here
every such message raises, and the session decides. Messages that the link has no use for are skipped undecoded.

Executions and completed orders come again, byte for byte, whenever the broker's state is read: they are decoded
once. With some hundred of them a day, reading is otherwise what a reconciliation spends its time on.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from ib_insync.decoder import Decoder
from ib_insync.util import UNSET_DOUBLE

from actors.link.translation import execution_from_ib, order_from_completed, time_from_ib
from actors.model.orders import BrokerOrder, Execution

ORDER_MESSAGES: Final = frozenset({3, 4, 5, 9, 11, 15, 53, 54, 55, 59, 61, 62, 101, 102})
"""orderStatus, errors, openOrder, nextValidId, executions, managedAccounts, the end markers, commissions, positions,
completed orders: losing one of these could lose an order, so their field counts must be right."""

DATA_MESSAGES: Final = frozenset({1, 2, 6, 7, 10, 17, 21, 45, 46, 49, 52, 57, 58, 75, 76, 99})
"""Ticks, account values, marks of holdings, contracts, bars, time, option chains."""

_EXACT_FIELDS: Final = {
    3: 12,
    9: 3,
    11: 31,
    15: 3,
    53: 2,
    54: 3,
    55: 3,
    59: 8,
    61: 16,
    62: 2,
    102: 1,
}
_QUANTITIES: Final = {3: (3, 4), 11: (19, 20), 61: (14, 15)}
"""Filled and remaining, shares and price, position and cost: the library reads 0 where nothing
stands, and Python more than IB writes."""
_REJECT_JSON_FROM: Final = 166
_OPEN_ORDER_FIELDS: Final = ((170, 128), (162, 123), (160, 122), (158, 121), (0, 120))
"""Fields of an openOrder without anything that is there only sometimes, from a server version on (TWS_WIRE §4.2)."""
_TIME_FIELD: Final = 15
_ANY_TIME: Final = "20000101 00:00:00 UTC"
_REMEMBERED: Final = 16_384
"""A very busy day's executions; as many completed orders. Under 2 kB each. One that is too small helps nothing: a list
that is longer pushes out its own beginning before it is read again."""
_SEPARATOR: Final = "\0"


class UndecodableError(ValueError):
    """A message does not have the shape that it must have."""


class StrictDecoder(Decoder):
    """Calls the wrapper's method of the same name as ib_insync does; raises instead of logging."""

    def __init__(self, wrapper: Any) -> None:
        """Keep the handlers that the link needs."""
        super().__init__(wrapper, 0)
        self.handlers: dict[int, Callable[[list[str]], None]] = {
            number: handler
            for number, handler in self.handlers.items()
            if number in ORDER_MESSAGES or number in DATA_MESSAGES
        }

    def wrap(
        self,
        methodName: str,  # noqa: N803 - the library's name
        types: Sequence[type],
        skip: int = 2,
    ) -> Callable[[list[str]], None]:
        """Make a handler that converts the fields and lets every error out."""

        def handler(fields: list[str]) -> None:
            if len(fields) < skip + len(types):
                raise UndecodableError(f"{methodName} has {len(fields)} fields")
            converted = [
                _convert(kind, field) for kind, field in zip(types, fields[skip:], strict=False)
            ]
            getattr(self.wrapper, methodName)(*converted)

        return handler

    def interpret(self, fields: list[str]) -> int | None:
        """Decode a message and call the wrapper; returns its number, None when the link has no use for it.

        Raises whatever is wrong with it.
        """
        number = int(fields[0])
        handler = self.handlers.get(number)
        if handler is None:
            return None
        exact = _EXACT_FIELDS.get(number)
        if exact is not None and len(fields) != exact:
            raise UndecodableError(f"message {number} must have {exact} fields (has {len(fields)})")
        for place in _QUANTITIES.get(number, ()):
            if not fields[place] or not _is_plain(fields[place]):
                _refuse(fields[place])
        handler(fields)
        return number

    def parse(self, obj: Any) -> None:
        """Convert an object's texts to the types of its defaults as the library does, at a fifth of the price."""
        values, kind = vars(obj), obj.__class__
        for name, convert, default in _conversions(kind):
            text = values[name]
            if text is not default:
                values[name] = convert(text) if text else default

    def errorMsg(self, fields: list[str]) -> None:  # noqa: N802 - the library's name
        """Check the count, then decode as the library does."""
        exact = 6 if self.serverVersion >= _REJECT_JSON_FROM else 5
        if len(fields) != exact:
            raise UndecodableError(f"an error must have {exact} fields (has {len(fields)})")
        super().errorMsg(fields)

    def tickByTick(self, fields: list[str]) -> None:  # noqa: N802 - the library's name
        """Give the fields to whom they belong: the library would make objects of each, thousands a second."""
        receiver: Any = self.wrapper
        receiver.tick(fields)

    def execDetails(self, fields: list[str]) -> None:  # noqa: N802 - the library's name
        """Hand over the request id and the execution."""
        receiver: Any = self.wrapper
        request_id, text = int(fields[1]), _SEPARATOR.join(fields[2:])
        receiver.execution(request_id, _execution(self.serverVersion, text))

    def completedOrder(self, fields: list[str]) -> None:  # noqa: N802 - the library's name
        """Hand over the order."""
        receiver: Any = self.wrapper
        receiver.completed_order(_completed_order(self.serverVersion, _SEPARATOR.join(fields)))

    def openOrder(self, fields: list[str]) -> None:  # noqa: N802 - the library's name
        """Decode, then check that no field was left over."""
        receiver: Any = self.wrapper
        order_id, contract, order, state = _decoded(Decoder.openOrder, self.serverVersion, fields)
        expected = self._plain_open_order() + _repeated(contract, order)
        if len(fields) != expected:
            raise UndecodableError(f"openOrder must have {expected} fields (has {len(fields)})")
        receiver.openOrder(order_id, contract, order, state)

    def _plain_open_order(self) -> int:
        return next(count for since, count in _OPEN_ORDER_FIELDS if self.serverVersion >= since)


class _Catch:
    """Takes in what the library decoded."""

    caught: tuple[Any, ...] = ()

    def openOrder(self, *arguments: Any) -> None:  # noqa: N802 - the library's name
        self.caught = arguments

    execDetails = completedOrder = openOrder  # noqa: N815 - the library's names


class _Once(StrictDecoder):
    """Decodes one message: it has no handlers, which take longer to make than any message to decode."""

    def __init__(self, server_version: int) -> None:
        self.serverVersion = server_version
        self.wrapper: Any = _Catch()


def _decoded(
    read: Callable[[Decoder, list[str]], None], server_version: int, fields: list[str]
) -> tuple[Any, ...]:
    """Have the library read one message, and return what it would have handed to its wrapper."""
    decoder = _Once(server_version)
    read(decoder, fields)
    caught: tuple[Any, ...] = decoder.wrapper.caught
    return caught


@lru_cache(maxsize=_REMEMBERED)
def _execution(server_version: int, text: str) -> Execution:
    """Decode an execution from its fields behind the request id, joined as on the wire.

    The library drops one whose time zone it does not know, so the time is read here.
    """
    fields = ["", "0", *text.split(_SEPARATOR)]
    time, fields[_TIME_FIELD] = fields[_TIME_FIELD], _ANY_TIME
    _, contract, execution = _decoded(Decoder.execDetails, server_version, fields)
    return execution_from_ib(contract, execution, time_from_ib(time))


@lru_cache(maxsize=_REMEMBERED)
def _completed_order(server_version: int, text: str) -> BrokerOrder:
    """Decode an order that ended today from its fields, joined as on the wire."""
    fields = text.split(_SEPARATOR)
    return order_from_completed(*_decoded(Decoder.completedOrder, server_version, fields))


@lru_cache(maxsize=64)
def _conversions(kind: Any) -> tuple[tuple[str, Callable[[Any], object], object], ...]:
    """The fields of a class of the library's that are no texts: name, conversion, default."""
    return tuple(
        (field.name, _CONVERSIONS[type(field.default)], field.default)
        for field in dataclasses.fields(kind)
        if type(field.default) in _CONVERSIONS
    )


def _whole(text: str) -> int:
    return int(text) if _is_plain(text) else _refuse(text)


def _number(text: str) -> float:
    return float(text) if _is_plain(text) else _refuse(text)


def decimal(text: str) -> float:
    """Read a number that must be there; raises `UndecodableError`, for what only Python takes for a number too."""
    try:
        number = float(text)
    except ValueError:
        _refuse(text)
    return number if _is_plain(text) else _refuse(text)


def _is_plain(text: str) -> bool:
    """Tell what IB writes from what only Python takes for a number: ``1_000``, blanks."""
    return _ODD.search(text) is None


def _refuse(text: str) -> NoReturn:
    raise UndecodableError(f"not a number of IB's: {text!r:.40}")


_ODD: Final = re.compile(r"[_\s]")
_CONVERSIONS: Final[dict[type, Callable[[str], object]]] = {
    int: _whole,
    float: _number,
    bool: lambda text: bool(_whole(text)),
}


def _convert(kind: type, field: str) -> object:
    if kind is str:
        return field
    return _CONVERSIONS[kind](field) if field else kind()


def _repeated(contract: Any, order: Any) -> int:
    """Count the fields of an openOrder that are there only sometimes."""
    count = 8 if order.deltaNeutralOrderType else 0
    count += 8 * len(contract.comboLegs or ())
    count += len(order.orderComboLegs or ())
    count += 2 * len(order.smartComboRoutingParams or ())
    count += 7 if 0 < order.scalePriceIncrement < UNSET_DOUBLE else 0
    count += 1 if order.hedgeType else 0
    count += 3 if contract.deltaNeutralContract else 0
    count += 1 + 2 * len(order.algoParams or ()) if order.algoStrategy else 0
    count += 5 if order.orderType == "PEG BENCH" else 0
    for condition in order.conditions:
        count += len(dataclasses.fields(condition))
    return count + (2 if order.conditions else 0)
