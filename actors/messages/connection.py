"""Messages about the link: its session, its health, and the state that follows from both."""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.kernel.messages import Lane, Message, Overflow, Reply, Request
from actors.model.connection import (
    BrokerState,
    ConnectionState,
    DisconnectCause,
    FailedAttempt,
    LayerHealth,
    StatePart,
)

# --- asked of the connection actor -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Connect(Request):
    """Connect, and answer `Connected` once the state is CONNECTED; the retrying outlives the deadline (GW-12)."""


@attrs.frozen(kw_only=True)
class Connected(Reply):
    """The link is up, its health is proved and the world is reconciled."""

    session_id: str


@attrs.frozen(kw_only=True)
class Disconnect(Request):
    """End the session in order; answered by `Disconnected`."""

    reason: str = "asked"


@attrs.frozen(kw_only=True)
class Disconnected(Reply):
    """The session is closed."""


@attrs.frozen(kw_only=True)
class VerifyConnection(Request):
    """Make one round trip to the gateway now; answered by `ConnectionVerified`."""


@attrs.frozen(kw_only=True)
class ConnectionVerified(Reply):
    """The round trip took ``latency_ms``."""

    latency_ms: float


@attrs.frozen(kw_only=True)
class GetConnectionStatus(Request):
    """Answered by `ConnectionStatus`."""


@attrs.frozen(kw_only=True)
class ConnectionStatus(Reply):
    """Where the connection stands."""

    state: ConnectionState
    session_id: str | None
    attempts: int
    server_version: int | None
    accounts: tuple[str, ...]
    last_error: str | None
    opening_blocked_by: str | None
    layers: tuple[LayerHealth, ...] = ()
    """From the lowest to the first that does not hold, or all of them."""


@attrs.frozen(kw_only=True)
class AccountTroubled(Message):
    """Risk cannot explain what became of the account, so that nothing is opened; None: it can again (RULES 4)."""

    reason: str | None


@attrs.frozen(kw_only=True)
class JournalTroubled(Message):
    """Say what keeps orders from being journaled, so that nothing is opened; with None, that nothing does any more."""

    reason: str | None


@attrs.frozen(kw_only=True)
class RequestReconciliation(Message):
    """A restarted actor asks for the world to be read again; answered by `Reconcile` or `NothingToReconcile`.

    ``from_the_beginning``: of the executions all that the broker lists, since what was known of them may be lost; else
    those from a while before whatever the last read left unknown.
    """

    sender: str
    from_the_beginning: bool = False


@attrs.frozen(kw_only=True)
class FatesUnknown(Message):
    """Whether there are orders of unknown fate: then the configured client id is tried longer (RULES 1)."""

    unknown: bool


@attrs.frozen(kw_only=True)
class RenewSession(Message):
    """End this session and begin another with the configured client id: planned, and no loss of the link (RULES 1).

    An order's fate is unknown, and this session proves nothing of it.
    """

    sender: str
    reason: str


@attrs.frozen(kw_only=True)
class Reconciled(Message):
    """An actor has taken over the state of reconciliation ``number``; ``differences`` are explained in words.

    ``unknown_since``: when the first of the orders was sent whose fate the state did not settle; the executor says so.
    """

    number: int
    sender: str
    differences: tuple[str, ...] = ()
    unknown_since: datetime | None = None


@attrs.frozen(kw_only=True)
class ReconciliationCompleted(Message):
    """The reconciliation that you asked for is done: everybody has taken over the state of ``number``.

    It travels in the lane of `ConnectionStateChanged`, so that a loss of the link never overtakes it.
    """

    lane = Lane.RECOVERY

    number: int


# --- from the connection actor ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ConnectionStateChanged(Message):
    """The connection moved from one state to another (CON-2: every transition is published once).

    ``session_id`` is set exactly while CONNECTED. ``account`` is the account that orders go to. ``planned_until``: a
    session was lost within planned maintenance, which ends then (CON-15). It travels in the lane of `Reconcile`, so
    that the two never overtake each other.
    """

    lane = Lane.RECOVERY

    previous: ConnectionState
    state: ConnectionState
    session_id: str | None
    cause: DisconnectCause | None
    reason: str
    at: datetime
    account: str | None = None
    accounts: tuple[str, ...] = ()
    client_id_is_fallback: bool = False
    planned_until: datetime | None = None


@attrs.frozen(kw_only=True)
class AttemptFailed(Message):
    """An attempt to connect failed; Strategy C learns whose side it was that does not answer (RULES 3)."""

    attempt: FailedAttempt
    reason: str


@attrs.frozen(kw_only=True)
class Reconcile(Message):
    """The broker's state, read whole; every recipient takes it over and answers `Reconciled`.

    It is served before business (a restarted actor holds its business until it has seen this or
    `NothingToReconcile`). ``is_connected``: the link is up already, and this is read for somebody who was restarted.
    ``session_began_at`` and ``sound_since`` (monotonic seconds): the session's begin, and the latest of it and of the
    notices that the gateway is back (1101, 1102); ``sound_since`` is None while the gateway is cut off from IB.
    """

    lane = Lane.RECOVERY

    number: int
    state: BrokerState
    account: str
    client_id: int
    client_id_is_fallback: bool = False
    is_connected: bool = False
    session_began_at: float = 0.0
    sound_since: float | None = 0.0


@attrs.frozen(kw_only=True)
class NothingToReconcile(Message):
    """There is no session to reconcile with; a restarted actor may serve what needs none."""

    lane = Lane.RECOVERY


@attrs.frozen(kw_only=True)
class OpeningReadinessChanged(Message):
    """Whether market data answers; without it nothing may be opened, but everything may be closed (CON-4)."""

    ready: bool
    reason: str | None


@attrs.frozen(kw_only=True)
class ProveMarketData(Request):
    """Show that market data answers for ``symbol``; answered by `QuoteRead` (CON-4)."""

    symbol: str


# --- between the connection actor and the link --------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class OpenSession(Request):
    """Open a socket to the gateway and start the API under ``client_id``; answered by `SessionOpened`.

    Fails with the errors of CON-7. At most one session is open: opening another ends the first.
    """

    host: str
    port: int
    client_id: int
    readonly: bool
    order_id_floor: int = 1


@attrs.frozen(kw_only=True)
class SocketOpened(Message):
    """The gateway accepted the socket that `OpenSession` asked for; whether its API answers shows later.

    It travels in the lane of `RequestFailed`, so that a refusal does not overtake it.
    """

    lane = Lane.RECOVERY
    overflow = Overflow.SIGNAL

    correlation_id: str


@attrs.frozen(kw_only=True)
class AdoptSession(Request):
    """Describe the session that is open, for a restarted connection actor; answered by `SessionOpened`.

    Fails with `GatewayNotConnectedError` when there is none.
    """


@attrs.frozen(kw_only=True)
class SessionOpened(Reply):
    """The API is ready: managed accounts and the next order id are known.

    ``upstream_lost``: the gateway has said in this session that it is cut off, and not yet that it is back.
    """

    link_session: int
    server_version: int
    accounts: tuple[str, ...]
    next_order_id: int
    client_id: int
    elapsed_ms: float
    upstream_lost: bool = False


@attrs.frozen(kw_only=True)
class EndSession(Message):
    """Close the session: in order when ``graceful`` (subscriptions cancelled first), else by aborting the socket."""

    cause: DisconnectCause
    reason: str
    graceful: bool = False


@attrs.frozen(kw_only=True)
class SessionEnded(Message):
    """The session is gone, whoever ended it. Requests that waited for the gateway have failed.

    ``link_session`` is None when the link itself was restarted: then whatever session there was is gone.
    """

    overflow = Overflow.SIGNAL

    link_session: int | None
    cause: DisconnectCause
    reason: str


@attrs.frozen(kw_only=True)
class Probe(Request):
    """Make a round trip (`reqCurrentTime`); answered by `Probed`."""


@attrs.frozen(kw_only=True)
class Probed(Reply):
    """The gateway answered after ``latency_ms``; ``gateway_time`` is what its clock said."""

    latency_ms: float
    gateway_time: datetime


@attrs.frozen(kw_only=True)
class OrderIdsLeapt(Message):
    """The gateway knew an order id of ours, or is further ahead: ids up to ``highest`` count as used (D15)."""

    client_id: int
    highest: int


@attrs.frozen(kw_only=True)
class ProofMissed(Message):
    """An order waited for a proof of life, and the question of ``asked_at`` has no answer: like a missed beat."""

    link_session: int
    asked_at: float


@attrs.frozen(kw_only=True)
class ExecutionsSince:
    """Executions from ``at`` on. The one whose base id is ``known`` is among them, which proves that ``at`` was taken
    for the same moment on both sides."""

    at: datetime
    known: str


@attrs.frozen(kw_only=True)
class ReadBrokerState(Request):
    """Read positions, open and completed orders, executions and the account to their end markers.

    ``account`` is the one whose values are read and pushed from then on; None: the first that the gateway manages.
    ``executions_since`` None: all executions that the broker lists.
    """

    account: str | None = None
    executions_since: ExecutionsSince | None = None


@attrs.frozen(kw_only=True)
class RefreshAccount(Message):
    """Have the broker tell the account's values and the marks of what is held anew, all of one moment."""


@attrs.frozen(kw_only=True)
class SilentPartAnswered(Message):
    """A part of the broker's state that was silent in this session has ended: the state can be read whole (D23)."""

    overflow = Overflow.SIGNAL

    link_session: int
    part: StatePart


@attrs.frozen(kw_only=True)
class BrokerStateRead(Reply):
    """Everything that `ReadBrokerState` asked for."""

    state: BrokerState


@attrs.frozen(kw_only=True)
class NoticeReceived(Message):
    """The gateway said something that belongs to no request: connectivity, farms, competing sessions (CON-10)."""

    overflow = Overflow.SIGNAL

    link_session: int
    code: int
    text: str
