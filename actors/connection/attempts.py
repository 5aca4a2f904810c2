"""How the connection wins a session: attempts, retries, breaker, client ids; and how it gives one up (CON-5, 6, 8).

::

    attempt ──▶ opens a session ──▶ reconciles ──▶ CONNECTED                       breaker: a success
       ▲              └──────────────┴──▶ failed                                   breaker: a failure
       │                                    ├─ worth a retry: the longer of backoff and breaker, then again
       └────────────────────────────────────┤     (FAILED once the retries are used up: then at the cap, for ever)
                                            └─ not worth one: FAILED until an operator asks to connect

Client ids that are taken are tried in turn within one attempt; while an order's fate is unknown, the first one for a
minute before the next, since under another id nothing is proved of it. The half-open breaker counts a second success
when the connection's heartbeat is answered: so it closes on one connection that lasts, as well as on two that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from actors import messages as m
from actors.connection.accounts import choose_account, masked
from actors.connection.callers import Callers
from actors.connection.client_ids import ClientIds
from actors.connection.data_health import DataHealth
from actors.connection.health_layers import failed_layer
from actors.connection.link_state import LinkState, ends_with_its_epoch
from actors.connection.reconciliation import Reconciliation
from actors.connection.states import (
    begin_attempt,
    begin_slow_retry,
    retry_number,
    state_after_failure,
)
from actors.connection.transitions import Transitions
from actors.errors import AnotherAccountError, ClientIDInUseError, GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.backoff import retry_delay_s
from actors.messages.addresses import JOURNAL, LINK, STRATEGY_C
from actors.model.connection import (
    ConnectionState,
    DisconnectCause,
    FailedAttempt,
    HealthLayer,
    LayerHealth,
)
from actors.ports import Breaker
from actors.sections.gateway import EXTERNAL


@attrs.frozen(kw_only=True)
class AttemptDue(Message):
    """It is time for the next attempt of ``epoch``; told to oneself. A message, since a loss or a wish calls it off."""

    epoch: int


@attrs.frozen(kw_only=True)
class ReopenDue(Message):
    """Another try within the attempt of ``epoch``, since the client id was taken; told to oneself."""

    epoch: int


class Attempts(Part):
    """Retries what is worth it for as long as the process lives, and waits for an operator where it is not.

    ``floors``: the highest order id that was used, by client id. ``session_opened`` is called when a session begins,
    before it is reconciled.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        link: LinkState,
        transitions: Transitions,
        callers: Callers,
        reconciliation: Reconciliation,
        breaker: Breaker,
        session_opened: Callable[[], None],
    ) -> None:
        self._actor = actor
        self._link = link
        self._transitions = transitions
        self._callers = callers
        self._reconciliation = reconciliation
        self._session_opened = session_opened
        self.breaker = breaker
        self.floors: dict[int, int] = {}
        self._taken_since: float | None = None
        self._is_renewing = False
        self._opening_id: str | None = None
        self._socket_was_open = False

    # --- attempts -------------------------------------------------------------------------------------------------

    @handles(AttemptDue)
    def on_attempt_due(self, message: AttemptDue) -> None:
        """Try again, unless something else happened meanwhile."""
        if message.epoch == self._link.epoch and self._link.wanted:
            self.attempt()

    def attempt(self) -> None:
        """Begin one attempt, or wait for the breaker; from FAILED it is one of the slow ones that never end (CON-5)."""
        link, now = self._link, self._actor.clock.monotonic()
        rest_s = self.breaker.rest_s(now)
        if rest_s > 0.0:
            self.schedule_attempt(rest_s)
            return
        link.client_ids = link.client_ids.from_the_start()
        if self._is_renewing:
            link.client_ids = link.client_ids.without_retries()
        if link.machine.state is ConnectionState.RECONNECTING:
            link.machine = begin_attempt(link.machine)
        elif link.machine.state is ConnectionState.FAILED and not link.machine.needs_operator:
            self._transitions.take_over(begin_slow_retry(link.machine, now), "trying again", None)
        else:
            self._transitions.move(ConnectionState.CONNECTING, "connecting")
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Open a session as an attempt that the machine has counted."""
        self._link.begin_effort(self._link.settings.gateway.timeout_s)
        self._link.attempting = True
        self.tell_breaker(self.breaker.begin, "it has rested, and an attempt begins")
        self._open_session()

    def tell_breaker(self, tell: Callable[[float], None], reason: str) -> None:
        """Feed the breaker, and log what it makes of it."""
        before = self.breaker.state
        tell(self._actor.clock.monotonic())
        if self.breaker.state is not before:
            self._transitions.note(
                "circuit_breaker_state_change",
                level=self._transitions.level_of_alarms,
                old_state=before.value,
                new_state=self.breaker.state.value,
                reason=reason,
            )

    @handles(ReopenDue)
    def on_reopen_due(self, message: ReopenDue) -> None:
        """Try again under the client id that is due; each id is given the whole time of an attempt."""
        if message.epoch == self._link.epoch and self._link.wanted:
            now = self._actor.clock.monotonic()
            self._link.effort_ends_at = now + self._link.settings.gateway.timeout_s
            self._open_session()

    def _open_session(self) -> None:
        self._link.next_epoch()
        self._actor.begin_story(self._open())

    @ends_with_its_epoch
    async def _open(self) -> None:
        """Ask the link for a session under the client id that is due."""
        link = self._link
        self._transitions.note("connection_attempt", retry_count=link.retry_count)
        request = m.OpenSession(
            **link.header("open", link.effort_ends_at),
            host=link.settings.host,
            port=link.ports.current,
            client_id=link.client_ids.current,
            readonly=link.settings.gateway.readonly,
            order_id_floor=self.floors.get(link.client_ids.current, 0) + 1,
        )
        self._opening_id, self._socket_was_open = request.correlation_id, False
        link.remember(data=DataHealth())  # of the farms, the gateway tells each session anew
        try:
            session = await link.asked(LINK, request, m.SessionOpened)
        except GatewayError as error:
            self.attempt_failed(error)
            return
        self.begin_session(session)

    @handles(m.SocketOpened)
    def on_socket_opened(self, message: m.SocketOpened) -> None:
        """Know that a failure from now on is not the network's."""
        if message.correlation_id == self._opening_id:
            self._socket_was_open = True

    def begin_session(self, session: m.SessionOpened) -> None:
        """Check and choose the account, then reconcile."""
        link = self._link
        link.session, link.upstream_lost = session, session.upstream_lost
        self._is_renewing = False
        if not link.client_ids.is_fallback:
            self._taken_since = None
        link.session_began_at = link.sound_since = self._actor.clock.monotonic()
        self._session_opened()
        link.remember(ports=link.ports.after_success())
        self.raise_floor(session.client_id, session.next_order_id - 1)
        try:
            link.account = choose_account(
                session.accounts,
                configured=link.settings.account,
                operator_id=link.settings.trading.operator_id,
                require_paper=link.settings.trading.requires_paper,
                pinned=link.pinned,
            )
        except GatewayError as error:
            if isinstance(error, AnotherAccountError):
                self._transitions.note(
                    "another_account", level="CRITICAL", error_message=str(error)
                )
            self.attempt_failed(error, HealthLayer.HANDSHAKE)
            return
        self._pin(link.account)
        self._reconciliation.begin()

    def learn_pinned(self, pinned: Mapping[str, str]) -> None:
        """Know from the journal which account is traded at this kind of endpoint."""
        self._link.pinned = pinned.get(self._link.settings.gateway.endpoint)

    def _pin(self, account: str) -> None:
        """Trade this account for good (CON-18). An embedded gateway makes a new account for each process.

        The journal has it before the first intent, which comes later.
        """
        link, endpoint = self._link, self._link.settings.gateway.endpoint
        if link.pinned is not None or endpoint != EXTERNAL:
            return
        link.pinned = account
        pin = m.PinAccount(endpoint=endpoint, account=account, at=self._actor.clock.now())
        self._actor.tell(JOURNAL, pin)
        self._transitions.note("account_pinned", account=masked(account))

    @handles(m.OrderIdsLeapt)
    def on_order_ids_leapt(self, message: m.OrderIdsLeapt) -> None:
        """Make a new floor durable."""
        self.raise_floor(message.client_id, message.highest)

    def raise_floor(self, client_id: int, highest: int) -> None:
        """Never use an order id again, whatever the gateway says later (D15)."""
        if highest > self.floors.get(client_id, 0):
            self.floors[client_id] = highest
            self._actor.tell(JOURNAL, m.RaiseOrderIdFloor(client_id=client_id, floor=highest))

    # --- failure --------------------------------------------------------------------------------------------------

    def attempt_failed(self, error: GatewayError, layer: HealthLayer | None = None) -> None:
        """Retry what is worth it, at growing intervals; rest at the cap once the retries are used up (CON-5)."""
        link = self._link
        link.last_error = str(error)
        layer = layer or failed_layer(
            error,
            socket_was_open=self._socket_was_open,
            session_was_open=link.session is not None,
        )
        link.trouble = LayerHealth(layer=layer, ok=False, detail=str(error))
        if isinstance(error, ClientIDInUseError) and self._try_other_id(error):
            return
        self._note_failure(error)
        if self._is_renewing:
            self._is_renewing = False
            self._transitions.tell_loss(str(error))
        failed = m.AttemptFailed(attempt=_whose_side(error), reason=str(error))
        self._actor.tell(STRATEGY_C, failed)
        link.attempting = False
        self.tell_breaker(self.breaker.failed, f"attempts failed, the last one with: {error}")
        link.remember(ports=link.ports.after_failure())
        self._after_failure(error)

    def _after_failure(self, error: GatewayError) -> None:
        link = self._link
        if not link.wanted:
            self.disconnected("asked")
        elif not error.retryable:
            self._fail_for_good(error)
        elif state_after_failure(link.machine, retryable=True) is ConnectionState.FAILED:
            link.drop_session(DisconnectCause.LINK_FAILED, str(error))
            self._transitions.move(ConnectionState.FAILED, str(error))
            self._retry_after(link.settings.connection.max_delay_s, error)
        else:
            link.drop_session(DisconnectCause.LINK_FAILED, str(error))
            if link.machine.state is ConnectionState.CONNECTING:
                self._transitions.move(ConnectionState.RECONNECTING, str(error))
            self._retry_after(self.retry_delay_s(), error)

    def _note_failure(self, error: GatewayError) -> None:
        took_s = self._actor.clock.monotonic() - self._link.effort_began_at
        self._transitions.note(
            "connection_failure",
            level=self._transitions.level_of_alarms,
            duration=round(took_s, 3),
            error_type=type(error).__name__,
            error_message=str(error),
            retry_count=self._link.retry_count,
        )

    def _try_other_id(self, error: ClientIDInUseError) -> bool:
        """Try the same id again for a while, since its old session may be dying, then the next ones (CON-8)."""
        link = self._link
        taken = link.client_ids.current
        self._transitions.note(
            "client_id_conflict",
            level="WARNING",
            error_type=type(error).__name__,
            error_message=str(error),
            retry_count=link.retry_count,
        )
        following = self._after_conflict()
        if following.is_exhausted or not link.wanted:
            return False
        link.client_ids = following
        link.next_epoch()
        delay_s = link.settings.connection.same_id_delay_s if following.current == taken else 0.0
        link.remind(delay_s, ReopenDue(epoch=link.epoch))
        return True

    def _after_conflict(self) -> ClientIds:
        """Choose the next id. While an order is unknown the configured one is tried on: a fallback id proves nothing.

        Once per conflict: after `first_id_s` a fallback has to do, and the first id is tried again from there.
        """
        link, now = self._link, self._actor.clock.monotonic()
        if not link.fates_unknown or link.client_ids.is_fallback:
            return link.client_ids.after_conflict()
        if self._taken_since is None:
            self._taken_since = now
        if now < self._taken_since + link.settings.connection.first_id_s:
            return link.client_ids
        return link.client_ids.without_retries().after_conflict()

    def renew(self, reason: str) -> None:
        """Leave a session that lives for another one with the configured client id, which is tried once."""
        link = self._link
        self._is_renewing = True
        link.drop_session(DisconnectCause.ASKED, reason)
        link.next_epoch()
        self._transitions.move(ConnectionState.RECONNECTING, reason, DisconnectCause.ASKED)
        self.schedule_attempt(0.0)

    def retry_delay_s(self) -> float:
        """Draw the wait before the next retry of this round."""
        settings = self._link.settings
        return retry_delay_s(
            retry_number(self._link.machine),
            settings.connection.first_delay_s,
            settings.connection.max_delay_s,
            settings.connection.jitter_ratio,
            self._actor.entropy.uniform(-1.0, 1.0),
        )

    def _retry_after(self, backoff_s: float, error: GatewayError) -> None:
        """Wait for the longer of backoff and breaker."""
        delay_s = max(backoff_s, self.breaker.rest_s(self._actor.clock.monotonic()))
        self._transitions.note(
            "connection_retry",
            error_type=type(error).__name__,
            delay_s=round(delay_s, 3),
            retry_count=self._link.machine.attempts,
        )
        self.schedule_attempt(delay_s)

    def _fail_for_good(self, error: GatewayError) -> None:
        """Stop trying: an operator has to mend this first, and says so by asking to connect."""
        link = self._link
        link.last_error = str(error)
        link.remember(wanted=False, last_error=link.last_error)
        self._reconciliation.give_up()
        link.drop_session(DisconnectCause.LINK_FAILED, str(error))
        link.next_epoch()
        self._transitions.move(ConnectionState.FAILED, str(error), retryable=False)
        self._callers.refuse_connects(error)

    def schedule_attempt(self, delay_s: float) -> None:
        """Try again after a delay."""
        self._link.next_epoch()
        self._link.remind(delay_s, AttemptDue(epoch=self._link.epoch))

    def disconnected(self, reason: str) -> None:
        """Settle in DISCONNECTED and answer who asked for it."""
        link = self._link
        link.next_epoch()
        link.attempting = False
        if link.machine.state is not ConnectionState.DISCONNECTED:
            self._transitions.move(ConnectionState.DISCONNECTED, reason, DisconnectCause.ASKED)
        self._callers.answer_disconnects()


def _whose_side(error: GatewayError) -> FailedAttempt:
    """Say what a failed attempt tells of the broker's side."""
    if isinstance(error, ClientIDInUseError):
        return FailedAttempt.CLIENT_ID_HELD
    if isinstance(error, AnotherAccountError):
        return FailedAttempt.NOT_OURS
    return FailedAttempt.REFUSED
