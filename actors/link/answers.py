"""Requests that wait for the gateway: each ends by its end marker, by an error, or by the end of the session."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final

from actors.errors import (
    CompetingSessionError,
    ContractQualificationError,
    GatewayError,
    MarketDataUnavailableError,
    NotSubscribedError,
    ReadOnlyError,
)
from actors.logic.broker_codes import Meaning, RequestKind, history_meaning, meaning
from actors.model.connection import StatePart

POSITIONS: Final = "positions"
OPEN_ORDERS: Final = "open orders"
COMPLETED_ORDERS: Final = StatePart.COMPLETED_ORDERS
ACCOUNT: Final = StatePart.ACCOUNT
"""What is asked for without a request id of its own is known by its name."""

FIRST_REQUEST_ID: Final = 1_000_000_000
"""Order ids stay far below: the gateway reports errors of both under one number (D15)."""

_LIVES_ON: Final = frozenset({Meaning.ADVISORY, Meaning.NOTICE, Meaning.DELAYED})
_WITHOUT_DATA: Final[Mapping[Meaning, type[MarketDataUnavailableError]]] = MappingProxyType(
    {
        Meaning.NOT_SUBSCRIBED: NotSubscribedError,
        Meaning.COMPETING_SESSION: CompetingSessionError,
    }
)
_WARNINGS: Final = range(2100, 2200)


class Pending:
    """One request that waits. What arrives for it is collected in ``items``; it ends with so many end markers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        what: str,
        kind: RequestKind,
        max_items: int,
        ends: int = 1,
    ) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self.items: list[Any] = []
        self.what = what
        self.heard_at = loop.time()
        self._loop = loop
        self._kind = kind
        self._max_items = max_items
        self._ends = ends

    def heard(self) -> None:
        """Note that something of the answer came just now (seconds of the loop)."""
        self.heard_at = self._loop.time()

    def add(self, item: Any) -> None:
        """Keep a part of the answer; an answer without end fails."""
        self.heard()
        if len(self.items) >= self._max_items:
            self.fail(
                GatewayError(f"{self.what}: the answer has more than {self._max_items} parts")
            )
            return
        self.items.append(item)

    def finish(self) -> None:
        """An end marker came."""
        self.heard()
        self._ends -= 1
        if self._ends <= 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: GatewayError) -> None:
        """It ends without an answer."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # seen, even when nobody waits for it any more

    def on_error(self, code: int, text: str) -> None:
        """Read an error that came under this request's id."""
        error = error_of(self.what, self._kind, code, text)
        if error is not None:
            self.fail(error)


def error_of(what: str, kind: RequestKind, code: int, text: str) -> GatewayError | None:
    """Choose the error that a code means for a request; None when the request lives on."""
    found = history_meaning(code, text) if kind is RequestKind.HISTORY else meaning(code, kind)
    if found in _LIVES_ON or (found is Meaning.QUERY and code in _WARNINGS):
        return None
    said = f"{what}: {text} (code {code})"
    if found is Meaning.NO_CONTRACT:
        return ContractQualificationError(said)
    if found is Meaning.OUR_DEFECT:
        return ReadOnlyError(said) if "read-only" in text.lower() else GatewayError(said)
    if kind is RequestKind.NONE:
        return GatewayError(said)
    return _WITHOUT_DATA.get(found, MarketDataUnavailableError)(said)


class ExecutionsPending(Pending):
    """Collects executions. Their commissions come behind them, before the end marker, and are a part of the answer."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._awaited: set[str] = set()

    def add(self, item: Any) -> None:
        """Keep an execution."""
        super().add(item)
        self._awaited.add(item.exec_id)

    def commission_came(self, exec_id: str) -> None:
        """Note a commission, if it is of one of these; each counts once."""
        if exec_id in self._awaited:
            self._awaited.discard(exec_id)
            self.heard()


class Answers:
    """The requests of one session that wait, by request id or, where IB has none, by name."""

    def __init__(self) -> None:
        self.executions: ExecutionsPending | None = None
        """The read of executions that is under way."""
        self._pending: dict[Hashable, Pending] = {}
        self._last_id = FIRST_REQUEST_ID - 1

    @property
    def are_being_read(self) -> bool:
        """Whether positions or open orders are being told because somebody asked."""
        return POSITIONS in self._pending or OPEN_ORDERS in self._pending

    def next_id(self) -> int:
        """Draw a request id."""
        self._last_id += 1
        return self._last_id

    def expect(self, key: Hashable, pending: Pending) -> None:
        """Wait for the answer to ``key``."""
        self._pending[key] = pending

    def forget(self, key: Hashable) -> None:
        """Ignore whatever still comes for ``key``."""
        self._pending.pop(key, None)

    def get(self, key: Hashable) -> Pending | None:
        """Find who waits for ``key``; nobody waits for late answers."""
        return self._pending.get(key)

    def add(self, key: Hashable, item: Any) -> None:
        """Give a part of an answer to who waits for it."""
        pending = self._pending.get(key)
        if pending is not None:
            pending.add(item)

    def heard(self, key: Hashable) -> None:
        """Note that a part came which nobody keeps here."""
        pending = self._pending.get(key)
        if pending is not None:
            pending.heard()

    def finish(self, key: Hashable) -> None:
        """Give the end marker to who waits for it."""
        pending = self._pending.get(key)
        if pending is not None:
            pending.finish()

    def fail_all(self, error: GatewayError) -> None:
        """End everything that waits."""
        for pending in self._pending.values():
            pending.fail(error)
        self._pending.clear()
