"""What the tree tells of orders, fills, the account, positions and liquidations, handed out to callers as streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any, TypeVar

import attrs

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.messages import Message
from actors.model.account import Account, Position
from actors.model.orders import Execution, OrderResult
from supervision.facade.streams import ConflatedStream, EventStream

S = TypeVar("S")


@attrs.frozen
class _Both:
    """Two lists that are counted together."""

    one: Sized
    other: Sized

    def __len__(self) -> int:
        return len(self.one) + len(self.other)


class EventStreams:
    """The streams that are open; made and used on the caller's loop, except `note_positions`.

    ``bound`` is how many events an unread stream of orders or fills keeps; the other streams keep the newest only.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._orders: list[EventStream[OrderResult]] = []
        self._fills: list[EventStream[Execution]] = []
        self._accounts: list[ConflatedStream[Account]] = []
        self._positions: list[ConflatedStream[tuple[Position, ...]]] = []
        self.newest_positions: tuple[Position, ...] = ()
        """The last that was told, for when nobody answers (POS-5)."""
        self.reports: list[m.LiquidationReport] = []
        """Of liquidations that ended since this was made."""
        self.routes: Mapping[type[Message], Callable[[Any], None]] = {
            m.OrderUpdated: self._push_update,
            m.AccountChanged: lambda event: _push(self._accounts, event.account),
            m.LiquidationReport: self.reports.append,
        }
        """What happens on the loop to each message."""
        self.listeners: Mapping[type[Message], Sized] = {
            m.OrderUpdated: _Both(self._orders, self._fills),
            m.AccountChanged: self._accounts,
        }
        """Who wants the messages that come with every order."""

    def _push_update(self, event: m.OrderUpdated) -> None:
        if event.execution is not None:
            _push(self._fills, event.execution)
        if event.result is not None:
            _push(self._orders, event.result)

    def orders(self) -> EventStream[OrderResult]:
        """Open a stream of every change of every order."""
        return _opened(self._orders, EventStream(self._orders.remove, self._bound))

    def fills(self) -> EventStream[Execution]:
        """Open a stream of every execution."""
        return _opened(self._fills, EventStream(self._fills.remove, self._bound))

    def accounts(self) -> ConflatedStream[Account]:
        """Open a stream of the newest numbers of each account."""
        stream = ConflatedStream(self._accounts.remove, _account_id)
        return _opened(self._accounts, stream)

    def positions(self) -> ConflatedStream[tuple[Position, ...]]:
        """Open a stream of the newest positions."""
        return _opened(self._positions, ConflatedStream(self._positions.remove, _only_the_newest))

    def note_positions(self, positions: tuple[Position, ...]) -> bool:
        """Remember the newest positions, from any thread; tells whether somebody streams them."""
        self.newest_positions = positions
        return bool(self._positions)

    def push_positions(self, positions: tuple[Position, ...]) -> None:
        """Tell the positions to who streams them."""
        _push(self._positions, positions)

    def end(self, error: GatewayError | None) -> None:
        """End every stream, with ``error`` where something went wrong."""
        streams: list[Any] = [*self._orders, *self._fills, *self._accounts, *self._positions]
        for stream in streams:
            stream.end(error)


def _opened(streams: list[S], stream: S) -> S:
    streams.append(stream)
    return stream


def _push(streams: list[Any], event: object) -> None:
    for stream in tuple(streams):
        stream.push(event)


def _account_id(account: Account) -> str:
    return account.account_id


def _only_the_newest(_: object) -> str:
    return "positions"
