"""What the connection's parts share of the link: where it stands, what is under way, and in which epoch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from actors import messages as m
from actors.connection.client_ids import ClientIds
from actors.connection.data_health import DataHealth
from actors.connection.gateway_ports import GatewayPorts
from actors.connection.memory import ConnectionMemory
from actors.connection.settings import ConnectionSettings
from actors.connection.states import ConnectionMachine
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.messages import Message, Reply, Request
from actors.kernel.stories import RequestHeader, child_id
from actors.logic.maintenance import Window
from actors.messages.addresses import LINK
from actors.model.connection import ConnectionState, DisconnectCause, LayerHealth, StatePart

P = ParamSpec("P")
R = TypeVar("R", bound=Reply)


class EpochOverError(Exception):
    """What was asked belongs to an attempt or a session that has ended: its answer changes nothing."""


def ends_with_its_epoch(
    story: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """End a story in silence where the epoch that it asked in is over."""

    @functools.wraps(story)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await story(*args, **kwargs)
        except EpochOverError:
            return

    return run


class LinkState:
    """The state of the link.

    ``epoch`` counts attempts and sessions: a timer or an answer that belongs to an earlier one changes nothing.
    ``attempting``: an attempt began and has neither failed nor led to a session that is reconciled. ``trail`` is the
    correlation id of what goes on: the caller's who asked to connect, or one of our own since the last loss.
    ``session_began_at`` and ``sound_since`` are those of `Reconcile`; whether it is cut off now says ``upstream_lost``.
    ``silent`` are the parts of the broker's state that did not end when it was read last. ``fates_unknown``: there are
    orders whose fate only the configured client id can prove. ``session_errors`` counts
    missed beats, notices of trouble and unanswered requests of the established session.
    """

    def __init__(
        self, actor: SupervisedActor, settings: ConnectionSettings, memory: ConnectionMemory
    ) -> None:
        self._actor = actor
        self.settings = settings
        self.memory = memory
        self.machine = ConnectionMachine(max_attempts=settings.connection.retries + 1)
        self.client_ids = ClientIds.starting_at(
            settings.gateway.client_id,
            settings.connection.same_id_retries,
            settings.connection.client_id_tries,
        )
        self.epoch = 0
        self.trail = ""
        self.attempting = False
        self.effort_began_at = 0.0
        self.effort_ends_at = 0.0
        self.session: m.SessionOpened | None = None
        self.account: str | None = None
        self.pinned: str | None = None
        """The account that this state directory trades at an external gateway; None before the first one (CON-18)."""
        self.upstream_lost = False
        self.session_began_at = 0.0
        self.sound_since = 0.0
        self.fates_unknown = False
        self.trouble: LayerHealth | None = None
        self.last_error: str | None = None
        self.silent: tuple[StatePart, ...] = ()
        self.session_errors = 0
        self._questions = 0
        self._timer: Cancellable | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a session is established and reconciled."""
        return self.machine.state is ConnectionState.CONNECTED

    @property
    def only_for_closing(self) -> str | None:
        """Say what is silent, so that only closes go; None when nothing is (D23)."""
        if not self.silent:
            return None
        return f"only for closing: the gateway does not end its answer to: {', '.join(self.silent)}"

    @property
    def retry_count(self) -> int:
        """How many retries this round has had, the running attempt included."""
        return max(0, self.machine.attempts - 1)

    @property
    def planned(self) -> Window | None:
        """The maintenance that is going on."""
        return self.settings.maintenance.window_at(self._actor.clock.now())

    # --- what outlives this incarnation ---------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether somebody wants a connection."""
        return self.memory.values.wanted

    @property
    def ports(self) -> GatewayPorts:
        """Where the gateway listens."""
        return self.memory.values.ports

    @property
    def data(self) -> DataHealth:
        """What is known of market data."""
        return self.memory.values.data

    def remember(self, **changes: object) -> None:
        """Keep values for a successor."""
        self.memory.keep(self._actor.incarnation, **changes)

    def recall(self) -> None:
        """Take over what an earlier incarnation left, and let it write no more."""
        self.memory.enter(self._actor.incarnation)
        self.last_error = self.memory.values.last_error
        self.session_errors = self.memory.values.session_errors

    def count_error(self) -> None:
        """Count one more error of the session."""
        self.session_errors += 1
        self.remember(session_errors=self.session_errors)

    # --- what goes on ---------------------------------------------------------------------------------------------

    def begin_trail(self) -> None:
        """Follow what comes now under a correlation id of its own."""
        self.trail = self._actor.entropy.uuid4()

    def begin_effort(self, limit_s: float) -> None:
        """Note when the way to a session begins, and when it has to end."""
        self.effort_began_at = self._actor.clock.monotonic()
        self.effort_ends_at = self.effort_began_at + limit_s

    def next_epoch(self) -> None:
        """Leave behind the timer and the answers of what was under way."""
        self.epoch += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def remind(self, delay_s: float, message: Message) -> None:
        """Have the one timer of this epoch tell ``message``, in place of whatever it was set to."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._actor.schedule(delay_s, message)

    def drop_session(self, cause: DisconnectCause, reason: str) -> None:
        """Have the link end the session, when there is one."""
        if self.session is not None:
            self.session = None
            self._actor.tell(LINK, m.EndSession(cause=cause, reason=reason))

    def header(self, step: str, ends_at: float) -> RequestHeader:
        """Head a request of what goes on now; ``ends_at`` is its deadline in monotonic seconds."""
        self._questions += 1
        step = f"{step}-{self._actor.incarnation}-{self._questions}"
        return {
            "correlation_id": child_id(self.trail, step),
            "deadline": ends_at,
            "reply_to": self._actor.name,
        }

    async def asked(self, to: str, request: Request, answer: type[R]) -> R:
        """Ask, and go on only while the epoch that asked still lasts; raises `EpochOverError` when it does not."""
        epoch = self.epoch
        try:
            answered = await self._actor.asked(to, request, answer)
        except GatewayError:
            if epoch != self.epoch:
                raise EpochOverError from None
            raise
        if epoch != self.epoch:
            raise EpochOverError
        return answered
