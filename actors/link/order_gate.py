"""The order gate: the only door to the wire, and what it remembers (D13).

The link asks it in the same call in which it writes, so nothing can come between "allowed" and "sent". An order passes
only with a permit that the risk actor signed for exactly it, once, unexpired; every other condition is in `_judge`.

::

                    SetGate(open) after a read of the broker's state
        CLOSED ───────────────────────────────────────────────▶ OPEN ──latched──▶ CLOSES_ONLY
           ▲                                                     │ ◀──re-armed──      │
           └───── socket closed · upstream lost · SetGate(closed) · session ended ────┘

Guarantees: it never opens between a loss and the next complete read of the broker's state; an order that was refused,
or of which it was asked and did not know, never passes later; what it remembers is bounded.

It has no clock and does no I/O: times are handed in, deadlines in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, TypeVar

import attrs

from actors.link.position_guard import MAX_REMEMBERED, PositionGuard
from actors.logic.closable import is_openable, why_by_hand
from actors.logic.order_ids import ORDER_REF_SEPARATOR
from actors.logic.permits import MAX_KEY_BYTES, MIN_KEY_BYTES, is_genuine
from actors.model.connection import GateState
from actors.model.orders import BrokerOrder, GateRefusal, Permit, Purpose, WireOrder

K = TypeVar("K")
V = TypeVar("V")

_NOTHING: Final = 1e-9
"""Quantities below this are 0: they are numbers of units carried as floats."""


@attrs.frozen(kw_only=True)
class Attempt:
    """One try to pass the gate; ``sender_superseded``: whoever sent it was replaced since."""

    order: WireOrder
    permit: Permit
    deadline: float
    sender_superseded: bool = False


@attrs.frozen
class Refusal:
    """Why an order may not pass, in words and in kind."""

    reason: str
    kind: GateRefusal = GateRefusal.OTHER


@attrs.frozen(kw_only=True)
class SentOrder:
    """An order that passed; ``broker_order_id`` is None where nothing is behind the gate (dry run)."""

    broker_order_id: int | None
    sent_at: datetime


class OrderGate:
    """The state of the gate. It belongs to one incarnation of the link and outlives its sessions."""

    def __init__(
        self,
        operator_id: str,
        started_at: datetime,
        max_remembered: int = MAX_REMEMBERED,
        positions: PositionGuard | None = None,
    ) -> None:
        """Start closed, without a key. ``started_at`` is when this gate began to remember (UTC).

        ``positions`` is what an earlier gate of this process knew of positions and closes.
        """
        self.positions = positions or PositionGuard(max_remembered)
        """What is held, and which closes can still fill: the last line."""
        self._operator_id = operator_id
        self._knows_since = started_at
        self._max = max_remembered
        self._key: bytes | None = None
        self._accounts: frozenset[str] = frozenset()
        self._traded: str | None = None
        self._readonly = False
        self._has_session = False
        self._has_been_read = False
        self._is_open = False
        self._is_latched = False
        self._why_closed = "it has not been opened yet"
        self._permits: dict[str, float] = {}
        self._sent: dict[str, SentOrder] = {}
        self._void: dict[str, None] = {}
        self._by_broker_id: dict[int, str] = {}
        self.sequence = 0
        self.losses = 0
        self.latchings = 0
        self.disconnects = 0
        self.answered_disconnects = 0
        self._is_established = False

    # --- opening and closing --------------------------------------------------------------------------------------

    @property
    def state(self) -> GateState:
        """What passes now."""
        if not self._is_open:
            return GateState.CLOSED
        return GateState.CLOSES_ONLY if self.is_restricted else GateState.OPEN

    @property
    def is_restricted(self) -> bool:
        """Whether nothing may be opened, as long as Strategy C is latched or owes an answer to a disconnect."""
        return self._is_latched or self.disconnects > self.answered_disconnects

    @property
    def restrictions(self) -> int:
        """How often opening was forbidden: an order that waits meanwhile must not pass, even if it is allowed again."""
        return self.latchings + self.disconnects

    @property
    def is_paused(self) -> bool:
        """Whether it is closed for a moment only: the session is healthy, and its state is read again."""
        return self._is_established and self._has_session and not self._is_open

    def install_key(self, key: bytes) -> None:
        """Take the key of a new incarnation of risk; permits made with another one are void from now on."""
        if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"a permit key must have {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
        self._key = key

    def session_opened(self, accounts: Collection[str], *, readonly: bool) -> None:
        """Learn which accounts the session manages; the gate stays closed."""
        self.close("the session is new")
        self._is_established = False
        self._accounts = frozenset(accounts)
        self._traded = None
        self._readonly = readonly
        self._has_session = True

    def trades(self, account: str) -> None:
        """Let orders of this account pass, and of no other: it is the one whose state is read (CON-18)."""
        self._traded = account

    def session_ended(self, reason: str, *, planned: bool = False) -> None:
        """Close, since there is nothing to write to. No one answers for what was ``planned``, or our own."""
        if planned:
            self._is_established = False
        self.close(reason)
        self._accounts = frozenset()
        self._has_session = False

    def close(self, reason: str) -> None:
        """Close because of a loss: only a complete read of the broker's state makes opening possible again."""
        self._is_open = False
        self._has_been_read = False
        self._why_closed = reason
        self.losses += 1
        if self._is_established:
            self._is_established = False
            self.disconnects += 1

    def state_was_read(self, losses_at_begin: int) -> None:
        """Note that the broker's state was read whole; it counts only if nothing was lost since it began."""
        if losses_at_begin == self.losses:
            self._has_been_read = True

    def set_open(self, is_open: bool, reason: str) -> bool:
        """Obey the connection; False when it may not open yet, since the state was not read after the last loss."""
        if not is_open:
            self._is_open = False
            self._why_closed = reason
            return True
        if not (self._has_session and self._has_been_read):
            return False
        self._is_open = self._is_established = True
        return True

    def set_latched(self, is_latched: bool, answered_disconnects: int = 0) -> None:
        """Let only closes pass while Strategy C is latched.

        ``answered_disconnects`` is how many it has dealt with. Each later one restricts the gate by itself, so that a
        disconnect whose message is lost with a failing actor opens nothing.
        """
        self.latchings += is_latched and not self._is_latched
        self._is_latched = is_latched
        self.answered_disconnects = max(self.answered_disconnects, answered_disconnects)

    # --- passing --------------------------------------------------------------------------------------------------

    def refusal(self, attempt: Attempt, now: float) -> Refusal | None:
        """Say why the order may not pass, or None.

        A refused permit is used up and a refused new order is void: neither can pass later.
        """
        found = self._judge(attempt, now)
        if found is None:
            return None
        refusal = found if isinstance(found, Refusal) else Refusal(found)
        self.give_up(attempt.order, attempt.permit, refusal.reason, now)
        return refusal

    def give_up(self, order: WireOrder, permit: Permit, reason: str, now: float) -> str:
        """Use up the permit, and make a new order void; returns the reason. What was sent, or its change, is left."""
        if order.broker_order_id is None and order.order_ref not in self._sent:
            self._remember(self._void, order.order_ref, None)
        if self._key is not None and is_genuine(self._key, permit, order):
            self._use(permit, now)
        return reason

    def _judge(self, attempt: Attempt, now: float) -> str | Refusal | None:
        order, permit = attempt.order, attempt.permit
        return (
            self._fault_of_state(attempt, now)
            or self._fault_of_permit(order, permit, now)
            or self._fault_of_order(order)
            or self._fault_of_identity(order)
            or self._fault_of_size(order, permit)
        )

    def _fault_of_state(self, attempt: Attempt, now: float) -> str | None:
        if attempt.sender_superseded:
            return "its sender was replaced since"
        if attempt.deadline <= now:
            return f"its deadline passed {now - attempt.deadline:.3f} s ago"
        if not self._has_session:
            return f"there is no session: {self._why_closed}"
        if self._readonly:
            return "the session is read-only"
        if not self._is_open:
            return f"the gate is closed: {self._why_closed}"
        if self._is_latched and attempt.order.purpose is not Purpose.CLOSE:
            return "Strategy C is latched: only closing orders pass"
        unanswered = self.disconnects > self.answered_disconnects
        if unanswered and attempt.order.purpose is not Purpose.CLOSE:
            return "Strategy C has not dealt with the last disconnect yet"
        return None

    def _fault_of_permit(self, order: WireOrder, permit: Permit, now: float) -> str | None:
        if self._key is None:
            return "no permit key is installed"
        if not is_genuine(self._key, permit, order):
            return "the permit is not genuine for exactly this order"
        if permit.order_ref != order.order_ref or permit.purpose is not order.purpose:
            return "the permit is for another order"
        if permit.expires_at <= now:
            return f"the permit expired {now - permit.expires_at:.3f} s ago"
        if permit.permit_id in self._permits:
            return "the permit has been used"
        self._use(permit, now)
        return None

    def _fault_of_size(self, order: WireOrder, permit: Permit) -> str | Refusal | None:
        """No close turns a position, and nothing opens on the side of one that can still fill (RSK-4)."""
        con_id = order.contract.con_id
        closing = self.positions.in_flight(con_id, order.action, apart_from=order.order_ref)
        if order.purpose is Purpose.CLOSE or permit.fill_count is not None:
            return self._fault_of_close(order, permit, closing)
        if closing > 0.0 and order.broker_order_id is None:
            return f"a close of the same side can still take {closing:g}: nothing opens beside it"
        return None

    def _fault_of_close(self, order: WireOrder, permit: Permit, others: float) -> Refusal | None:
        """A close was sized from a position, which may be another one by now; and the position is the limit."""
        con_id = order.contract.con_id
        moved = _moved(
            "executions of the contract", permit.fill_count, self.positions.fill_count(con_id)
        )
        moved = moved or _moved(
            "changes of the position",
            permit.position_sequence,
            self.positions.position_sequence(con_id),
        )
        if moved is not None:
            return moved
        closable = self.positions.closable(con_id, order.action)
        quantity = order.quantity
        if order.broker_order_id is not None:
            quantity -= self.positions.executed(order.order_ref)
        if quantity <= closable - others + _NOTHING:
            return None
        reason = (
            f"{order.action} {quantity:g} goes beyond the position: {closable:g} can be closed on this side, "
            f"and closes that are not proved dead can take {others:g} of it"
        )
        return Refusal(reason, GateRefusal.BEYOND_POSITION)

    def _fault_of_order(self, order: WireOrder) -> str | None:
        if not self._operator_id or order.operator_id != self._operator_id:
            return f"operator_id must be {self._operator_id!r} (was {order.operator_id!r})"
        head = self._operator_id + ORDER_REF_SEPARATOR
        if not order.order_ref.startswith(head) or order.order_ref == head:
            return f"order_ref must begin with {head!r} and go on"
        if not all(map(str.isprintable, _texts(order))):
            return "a text of the order has characters that cannot be printed"
        fault = self._fault_of_contract(order)
        if fault is not None:
            return fault
        if not order.account or order.account not in self._accounts:
            return "account must be one that the session manages"
        if self._traded is not None and order.account != self._traded:
            return "account must be the one that is traded"
        return None

    def _fault_of_contract(self, order: WireOrder) -> str | None:
        contract = order.contract
        if order.purpose is Purpose.OPEN and not is_openable(contract.security_type):
            return "only stocks and options are opened"
        if not contract.exchange:
            return f"{contract} has no exchange: it was not looked up"
        return why_by_hand(contract)

    def _fault_of_identity(self, order: WireOrder) -> str | None:
        reference = order.order_ref
        if order.broker_order_id is not None:
            if self._by_broker_id.get(order.broker_order_id) != reference:
                return f"order {order.broker_order_id} is not known under this order_ref"
            return None
        if reference in self._sent:
            return "this order_ref has passed before"
        if reference in self._void:
            return "this order_ref was given up before"
        return None

    def passed(self, order: WireOrder, broker_order_id: int | None, at: datetime) -> int:
        """Note that the order passed, before its bytes are written; returns the gate's sequence number."""
        self.sequence += 1
        known = SentOrder(broker_order_id=broker_order_id, sent_at=at)
        self._sent.pop(order.order_ref, None)
        if len(self._sent) >= self._max:
            self._forget_oldest()
        self._sent[order.order_ref] = known
        if broker_order_id is not None:
            self._know(broker_order_id, order.order_ref)
            if order.purpose is Purpose.CLOSE:
                self.positions.close_passed(order, broker_order_id)
        return self.sequence

    def learn(self, order_ref: str, broker_order_id: int) -> None:
        """Take note of an order of ours that the broker reported, so that it can be modified."""
        if order_ref and broker_order_id > 0:
            self._know(broker_order_id, order_ref)

    def order_told(self, order: BrokerOrder, *, ours: bool) -> None:
        """Hear what the broker says of an order in the account; ``ours``: of this session's client id."""
        if ours:
            self.learn(order.order_ref, order.order_id)
        self.positions.order_told(order, ours=ours, operator_id=self._operator_id)

    def _know(self, broker_order_id: int, order_ref: str) -> None:
        self._remember(self._by_broker_id, broker_order_id, order_ref)

    def _use(self, permit: Permit, now: float) -> None:
        """Remember a used permit until it expires: from then on its own date refuses it."""
        if len(self._permits) >= self._max:
            self._permits = {key: until for key, until in self._permits.items() if until > now}
        self._permits[permit.permit_id] = permit.expires_at

    def _forget_oldest(self) -> None:
        reference = next(iter(self._sent))
        forgotten = self._sent.pop(reference)
        self._knows_since = max(self._knows_since, forgotten.sent_at + timedelta(microseconds=1))

    # --- what it knows --------------------------------------------------------------------------------------------

    def answer(self, order_refs: Collection[str]) -> tuple[tuple[str, int], ...]:
        """Tell which of these orders were sent, with their ids; the others are void from now on."""
        found = []
        for reference in order_refs:
            known = self._sent.get(reference)
            if known is None:
                self._remember(self._void, reference, None)
            elif known.broker_order_id is not None:
                found.append((reference, known.broker_order_id))
        return tuple(found)

    @property
    def knows_since(self) -> datetime:
        """The moment since which it remembers every order."""
        return self._knows_since

    def _remember(self, memory: dict[K, V], key: K, value: V) -> None:
        if key not in memory and len(memory) >= self._max:
            del memory[next(iter(memory))]
        memory[key] = value


def _moved(what: str, permitted: int | None, counted: int) -> Refusal | None:
    if permitted == counted:
        return None
    reason = f"the position moved: the permit counts {permitted} {what}, the gate {counted}"
    return Refusal(reason, GateRefusal.POSITION_MOVED)


def _texts(order: WireOrder) -> tuple[str, ...]:
    """List the free texts that are written to the wire, where a NUL would begin another field."""
    contract = order.contract
    return (
        order.order_ref,
        contract.symbol,
        contract.exchange,
        contract.primary_exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    )
