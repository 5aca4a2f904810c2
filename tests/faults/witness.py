"""A witness of a whole run: what was said between the actors, what was logged, and what the simulator's ledger shows.

It judges afterwards. Two things at one moment have no order in which they must have happened, and in reality mode a
moment is as wide as ``tolerance_s``: so a rule is broken only by what stood against it during the whole moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

import attrs

from actors.connection.states import TRANSITIONS
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import ActorFailed
from actors.logic.order_ids import order_id_of
from actors.messages.addresses import FACADE, LINK, RECORDS, RISK
from actors.messages.connection import ConnectionStateChanged, OpeningReadinessChanged
from actors.messages.orders import OrderSent, OrderUpdated, SendOrder
from actors.messages.records import SessionFinished, SessionStarted
from actors.messages.risk import LatchChanged, OrderApproved, RequestApproval
from actors.model.connection import ConnectionState
from actors.model.orders import OrderResult, OrderStatus, Purpose, WireOrder
from supervision.simulator import LedgerEntry
from tests.faults.contents import Content, content_of, content_received

S = ConnectionState
V = TypeVar("V")
Changes = Sequence[tuple[datetime, V]]
"""What something was from which moment on."""

TRANSITIONS_LOGGED = ("connection_state", "connection_success", "disconnection")
NOT_WORTH_RETRYING = ("GatewayAuthenticationError", "IncompatibleVersionError")


@attrs.define
class Witness:
    """Taps the process (``watch``) and is its log (``log``)."""

    tolerance_s: float = 0.0
    permit_ttl_s: float = 2.0
    transitions: list[ConnectionStateChanged] = attrs.field(factory=list)
    logged: list[tuple[str, str]] = attrs.field(factory=list)
    alarms: Counter[str] = attrs.field(factory=Counter)
    last_failure: str = ""
    rows: list[SessionStarted | SessionFinished] = attrs.field(factory=list)
    latch: list[tuple[datetime, bool]] = attrs.field(factory=list)
    ready: list[tuple[datetime, bool]] = attrs.field(factory=list)
    judged: dict[str, WireOrder] = attrs.field(factory=dict)
    permitted: Counter[Content] = attrs.field(factory=Counter)
    approved: list[tuple[datetime, WireOrder]] = attrs.field(factory=list)
    passing: dict[str, SendOrder] = attrs.field(factory=dict)
    sent: dict[str, datetime] = attrs.field(factory=dict)
    opened: list[tuple[datetime, str]] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    """Which actors failed, and why."""
    lost: set[str] = attrs.field(factory=set)
    """The ids of orders that ended unexplained."""

    # --- hearing ------------------------------------------------------------------------------------------------------

    def watch(self, record: TapRecord) -> None:
        """Take note of one message."""
        message = record.message
        kind = type(message)
        if kind is ConnectionStateChanged and record.recipient == FACADE:
            self.transitions.append(message)
        elif kind in (SessionStarted, SessionFinished) and record.recipient == RECORDS:
            self.rows.append(message)
        elif kind is LatchChanged and record.recipient == LINK:
            self.latch.append((record.at, message.latched))
        elif kind is OpeningReadinessChanged and record.recipient == RISK:
            self.ready.append((record.at, message.ready))
        elif kind is RequestApproval:
            self.judged[message.correlation_id] = message.order
        elif kind is OrderApproved and record.sender == RISK:
            order = self.judged[message.correlation_id]
            self.permitted[content_of(order)] += 1
            self.approved.append((record.at, order))
        elif kind is SendOrder:
            self.passing[message.correlation_id] = message
        elif kind is OrderSent:
            self._note_sent(message, record.at)
        elif kind is ActorFailed:
            self.failures.append(f"{message.offender}: {message.reason}, {message.trace}")
        elif kind is OrderUpdated and message.result is not None:
            self._note_lost(message.result)

    def _note_sent(self, message: OrderSent, at: datetime) -> None:
        self.sent.setdefault(message.order_ref, at)
        if self.passing[message.correlation_id].order.purpose is Purpose.OPEN:
            self.opened.append((at, message.order_ref))

    def _note_lost(self, result: OrderResult) -> None:
        if result.status is OrderStatus.LOST:
            self.lost.add(result.order_id)

    def log(
        self,
        event: str,
        *,
        level: str = "INFO",
        correlation_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Take note of one line of the log."""
        if event in TRANSITIONS_LOGGED:
            self.logged.append((fields["old_state"], fields["new_state"]))
        elif event == "connection_failure":
            self.last_failure = fields["error_type"]
        if level in ("ERROR", "CRITICAL"):
            self.alarms[event] += 1

    @property
    def needs_operator(self) -> bool:
        """Whether the last attempt failed with what only a person can mend."""
        return self.last_failure in NOT_WORTH_RETRYING

    # --- judging ------------------------------------------------------------------------------------------------------

    def assert_transitions_are_legal(self) -> None:
        """Check every transition against the table, the session ids, and that the log tells the same (CON-1, CON-2)."""
        for before, after in pairwise(self.transitions):
            assert before.state is after.previous
        for event in self.transitions:
            assert event.state in TRANSITIONS[event.previous]
            assert (event.session_id is not None) is (event.state is S.CONNECTED)
        assert self.logged == [(event.previous, event.state) for event in self.transitions]

    def assert_every_session_has_its_row(self) -> None:
        """Check that each session was begun once and ended once, with the state that followed it (CON-13, DB-1)."""
        expected: list[tuple[str, S | None]] = []
        for event, following in pairwise(self.transitions):
            if event.session_id is not None:
                expected += [(event.session_id, None), (event.session_id, following.state)]
        assert self.transitions[-1].state is S.DISCONNECTED
        rows = [(row.session_id, getattr(row, "final_state", None)) for row in self.rows]
        assert rows == expected
        begun = [name for name, state in rows if state is None]
        assert len(begun) == len(set(begun))

    def assert_orders_kept_the_rules(
        self, ledger: Iterable[LedgerEntry], deaf: Sequence[tuple[datetime, datetime]] = ()
    ) -> None:
        """Check each order in the ledger: sent once, while CONNECTED, with a permit for exactly it, and allowed.

        ``deaf`` are the times at which the simulator left what it was sent in its socket: such an order arrived later.
        """
        entries = [entry for entry in ledger if entry.kind in ("place", "modify")]
        placed = Counter(entry.order_ref for entry in entries if entry.kind == "place")
        received = Counter(content_received(entry) for entry in entries)
        broken = {
            "sent twice": [name for name, count in placed.items() if count > 1],
            "not sent by us": sorted(set(placed) - set(self.sent)),
            "without a permit for exactly it": list(received - self.permitted),
            "given up although the broker had it": self._lost_but_taken(entries),
            "sent while not CONNECTED": self._sent_while_away(),
            "arrived while not CONNECTED": self._arrived_while_away(entries, deaf),
            "opened while latched": self._opened_while_latched(),
            "approved while opening was blocked": self._approved_while_blocked(),
        }
        found = {rule: orders for rule, orders in broken.items() if orders}
        assert not found, found

    def _lost_but_taken(self, entries: Iterable[LedgerEntry]) -> list[str]:
        """List the orders that we gave up although the broker had taken them."""
        return [
            entry.order_ref
            for entry in entries
            if entry.outcome == "accepted" and order_id_of(entry.order_ref) in self.lost
        ]

    def _sent_while_away(self) -> list[str]:
        return [name for name, at in self.sent.items() if self._is_away(at)]

    def _arrived_while_away(
        self, entries: Iterable[LedgerEntry], deaf: Sequence[tuple[datetime, datetime]]
    ) -> list[str]:
        return [
            entry.order_ref
            for entry in entries
            if self._is_away(entry.received_at)
            and not any(
                begin <= self.sent[entry.order_ref] <= end <= entry.received_at
                for begin, end in deaf
            )
        ]

    def _is_away(self, at: datetime) -> bool:
        states = [(event.at, event.state is S.CONNECTED) for event in self.transitions]
        return self._throughout(states, at, False, before=False)

    def _opened_while_latched(self) -> list[str]:
        return [
            name for at, name in self.opened if self._throughout(self.latch, at, True, before=False)
        ]

    def _approved_while_blocked(self) -> list[str]:
        blocked = [
            order.order_ref
            for at, order in self.approved
            if order.purpose is Purpose.OPEN
            and self._throughout(self.ready, at, False, before=False)
        ]
        permits = {order.order_ref: at for at, order in self.approved}
        limit = timedelta(seconds=self.permit_ttl_s + self.tolerance_s)
        late = [name for at, name in self.opened if at - permits[name] > limit]
        return blocked + late

    def _throughout(self, changes: Changes[V], at: datetime, value: V, before: V) -> bool:
        """Whether something was ``value`` all the time around ``at``; ``before`` is what it was at first."""
        width = timedelta(seconds=self.tolerance_s)
        begin = bisect_left(changes, at - width, key=lambda change: change[0])
        around = [changes[begin - 1][1] if begin else before]
        for moment, changed in changes[begin:]:
            if moment > at + width:
                break
            around.append(changed)
        return set(around) == {value}
