"""The link's states, and the ways in which it is lost."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from actors.model.account import Account, Holding
from actors.model.orders import BrokerOrder, Execution


class ConnectionState(StrEnum):
    """The five states of CON-1."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTING = "CONNECTING"
    CONNECTED = "CONNECTED"
    RECONNECTING = "RECONNECTING"
    FAILED = "FAILED"


class DisconnectCause(StrEnum):
    """Why a link was lost: a disconnect is more than one thing (D10)."""

    SOCKET_CLOSED = "socket_closed"
    SILENCE = "silence"
    UPSTREAM_LOST = "upstream_lost"
    PORT_RESET = "port_reset"
    OVERFLOW = "overflow"
    REQUEST_UNANSWERED = "request_unanswered"
    LINK_FAILED = "link_failed"
    CONNECT_FAILED = "connect_failed"
    """A session that was given up for a new one, which was refused."""
    ACTOR_FAILED = "actor_failed"
    """The link lives, but the actor that held its session was restarted: a new session id begins."""
    ASKED = "asked"


OUR_OWN: Final = frozenset(
    {DisconnectCause.LINK_FAILED, DisconnectCause.OVERFLOW, DisconnectCause.ACTOR_FAILED}
)
"""Losses of the link that say nothing of the broker's side; all others but ASKED do."""


class FailedAttempt(StrEnum):
    """What a failed attempt to connect says of who is at fault."""

    REFUSED = "refused"
    """The broker's side: nobody listens, nobody answers, the login is not done."""
    CLIENT_ID_HELD = "client id held"
    NOT_OURS = "not ours"
    """Another account: nothing may be sent there anyway."""


class BreakerState(StrEnum):
    """The circuit breaker before the gateway: let through, refuse, or try whether it is well again (CON-6)."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class GateState(StrEnum):
    """What the order gate lets pass: nothing, only what reduces risk, or everything that has a permit."""

    CLOSED = "closed"
    CLOSES_ONLY = "closes_only"
    OPEN = "open"


class HealthLayer(StrEnum):
    """What has to hold for the link to be of use, each on top of the one before (PEERS 18)."""

    TCP = "tcp"
    HANDSHAKE = "handshake"
    ROUND_TRIP = "round_trip"
    RECONCILED = "reconciled"
    FRESH_TICK = "fresh_tick"


@attrs.frozen(kw_only=True)
class LayerHealth:
    """Whether one layer holds, and in words why it is believed to."""

    layer: HealthLayer
    ok: bool
    detail: str


class StatePart(StrEnum):
    """The parts of the broker's state without which a session can still close (D23)."""

    EXECUTIONS = "executions"
    COMPLETED_ORDERS = "completed orders"
    ACCOUNT = "account values"


@attrs.frozen(kw_only=True)
class BrokerState:
    """What the broker says of the world at one moment: every part was read to its end marker (CON-11).

    ``silent`` names the parts that were not, since the gateway did not end their answers (D23): completed orders,
    executions or the account's values. Positions and open orders are always whole. ``began_at`` (monotonic seconds) is
    when the first question was asked: an order's fate is settled by reads that began late enough (RULES 1).
    ``moving``: the con_ids of which executions came in while it was read: their holdings may be older than those.
    """

    read_at: datetime
    holdings: tuple[Holding, ...]
    open_orders: tuple[BrokerOrder, ...]
    completed_orders: tuple[BrokerOrder, ...]
    executions: tuple[Execution, ...]
    account: Account
    fill_counts: tuple[tuple[int, int], ...] = ()
    """Per con_id the number of executions that the gate had counted when the read ended."""
    position_sequences: tuple[tuple[int, int], ...] = ()
    """Per con_id how often the broker had told the gate another position."""
    disconnects: int = 0
    """How many unplanned disconnects the gate has seen, and how many of them Strategy C has dealt with."""
    answered_disconnects: int = 0
    began_at: float = 0.0
    silent: tuple[StatePart, ...] = ()
    moving: tuple[int, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the read proves by itself what it does not show; the account's values do not matter."""
        return not {StatePart.EXECUTIONS, StatePart.COMPLETED_ORDERS} & {*self.silent}
