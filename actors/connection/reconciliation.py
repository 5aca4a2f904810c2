"""How the world is read and taken over before anything may be sent, after every (re)connection (CON-11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.connection.known_executions import KnownExecutions
from actors.connection.link_state import LinkState, ends_with_its_epoch
from actors.errors import ActorFailedError, GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.messages.addresses import (
    EXECUTOR,
    LINK,
    POSITION,
    RISK,
    STRATEGY_C,
)
from actors.model.connection import BrokerState, DisconnectCause
from actors.ports import EventLog

RECONCILED_BY: Final = (STRATEGY_C, RISK, EXECUTOR, POSITION)
"""Who has to take over the broker's state before orders flow (CON-11); risk before the executor, which tells it its
working orders: so risk has them before it judges any order that is not among them."""


FIRST_REREAD_S: Final = 1.0
MOST_REREAD_S: Final = 30.0
"""Between two reads of a busy account: the distance doubles from the first to the second, in seconds."""


@attrs.frozen(kw_only=True)
class ReconciliationOverdue(Message):
    """Reconciliation ``number`` should have been done by now; told to oneself."""

    number: int


@attrs.frozen(kw_only=True)
class RereadDue(Message):
    """The state shall be read again after reconciliation ``number``, since it moved; told to oneself."""

    number: int


class Reconciliation(Part):
    """Reads the broker's state, has everybody take it over, and says when all have.

    ``on_lost(cause, reason)`` is called when the link turns out not to work, ``on_answer()`` when the broker's state
    came, ``on_done()`` when everybody has taken it over.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        link: LinkState,
        log: EventLog,
        *,
        on_lost: Callable[[DisconnectCause, str], None],
        on_answer: Callable[[], None],
        on_done: Callable[[], None],
    ) -> None:
        self._actor = actor
        self._link = link
        self._log = log
        self._on_lost = on_lost
        self._on_answer = on_answer
        self._on_done = on_done
        self._number = 0
        self._outstanding: set[str] = set()
        self._state_is_out = False
        """The broker's state was read, and is with those who have to take it over."""
        self._requesters: set[str] = set()
        self._next_requesters: set[str] = set()
        self._state: BrokerState | None = None
        self._unknown_since: datetime | None = None
        self._known = KnownExecutions()
        self._wants_all = False
        """Somebody lost what was known of executions: the next read that everybody takes over asks for all."""
        self._asked_all = False
        self._rereads = 0
        """So many reads in a row found executions that came in while they ran."""

    @handles(m.RequestReconciliation)
    def on_request_reconciliation(self, message: m.RequestReconciliation) -> None:
        """Read the world again for an actor that was restarted, or that has to know how it is now.

        One that was told the state and has not answered may have failed with it in its hands: this is begun anew.
        """
        if self._link.session is None or self._link.upstream_lost:
            self._actor.tell(message.sender, m.NothingToReconcile())
            return
        self._next_requesters.add(message.sender)
        self._wants_all |= message.from_the_beginning
        failed_with_it = self._state_is_out and message.sender in self._outstanding
        if not self._outstanding or failed_with_it:
            self.begin()

    def begin(self) -> None:
        """Read the broker's state; nothing is opened while that is under way (CON-11)."""
        self._actor.begin_story(self._read())

    @ends_with_its_epoch
    async def _read(self) -> None:
        link = self._link
        self._requesters |= self._next_requesters
        self._next_requesters = set()
        self._number += 1
        self._unknown_since, self._asked_all = None, self._wants_all
        self._outstanding, self._state_is_out = set(RECONCILED_BY), False
        self._actor.tell(LINK, m.SetGate(open=False, reason="reconciling"))
        number, settings = self._number, link.settings
        # The link ends it when the gateway is silent; a read whose answers keep coming may take its time.
        ends_at = self._actor.clock.monotonic() + settings.connection.read_limit_s
        question = m.ReadBrokerState(
            **link.header("state", ends_at),
            account=link.account,
            executions_since=None if self._wants_all else self._known.question(),
        )
        try:
            answer = await link.asked(LINK, question, m.BrokerStateRead)
        except GatewayError as error:
            if number == self._number:  # a read that still matters: the link does not work
                ours = isinstance(error, ActorFailedError)
                cause = DisconnectCause.LINK_FAILED if ours else DisconnectCause.REQUEST_UNANSWERED
                self._on_lost(cause, str(error))
            return
        if number == self._number:
            self._hand_out(answer.state)

    def _hand_out(self, state: BrokerState) -> None:
        """Give the broker's state to everybody who has to take it over."""
        link = self._link
        if link.session is None or link.account is None:
            return
        self._on_answer()
        self._state = state
        self._take_note_of_silence(state)
        overdue = ReconciliationOverdue(number=self._number)
        self._actor.schedule(link.settings.gateway.timeout_s, overdue)
        message = m.Reconcile(
            number=self._number,
            state=state,
            account=link.account,
            client_id=link.session.client_id,
            client_id_is_fallback=link.client_ids.is_fallback,
            is_connected=link.is_connected,
            session_began_at=link.session_began_at,
            sound_since=None if link.upstream_lost else link.sound_since,
        )
        self._state_is_out = True
        self._log(
            "broker_state_read",
            positions=len(state.holdings),
            open_orders=len(state.open_orders),
            executions=len(state.executions),
            silent=", ".join(state.silent),
        )
        for address in RECONCILED_BY:
            self._actor.tell(address, message)

    def _take_note_of_silence(self, state: BrokerState) -> None:
        """Let the status name what is silent, for as long as it is."""
        was_silent = bool(self._link.silent)
        self._link.silent = state.silent
        if was_silent or state.silent:
            self._link.last_error = self._link.only_for_closing
        if state.silent:
            self._log("broker_state_silent", level="ERROR", parts=", ".join(state.silent))

    @handles(m.Reconciled)
    def on_reconciled(self, message: m.Reconciled) -> None:
        """Be done once everybody has taken over the broker's state; begin again when somebody asked meanwhile."""
        if message.number != self._number or self._link.session is None:
            return
        for difference in message.differences:
            self._log("reconciled", level="WARNING", actor=message.sender, difference=difference)
        self._outstanding.discard(message.sender)
        if message.unknown_since is not None:
            self._unknown_since = message.unknown_since
        if self._outstanding:
            return
        if self._asked_all:
            self._wants_all = False
        self._known = self._known.after(self._state, self._unknown_since)
        if self._next_requesters:
            self.begin()
            return
        self._on_done()
        self._read_again_if_it_moved()

    @handles(m.SilentPartAnswered)
    def on_silent_part_answered(self, message: m.SilentPartAnswered) -> None:
        """Read the state whole, now that it can be."""
        session = self._link.session
        if session is None or session.link_session != message.link_session:
            return
        self._log("silent_part_answered", part=message.part)
        if not self._link.upstream_lost:
            self._read_again()

    def _read_again(self) -> None:
        """Read the state once more, after the read that is under way."""
        if self._outstanding:
            self._next_requesters.add(self._actor.name)
        else:
            self.begin()

    def _read_again_if_it_moved(self) -> None:
        """Executions came in while it was read: the contracts that moved wait for a read that finds them still."""
        if self._state is None or not self._state.moving:
            self._rereads = 0
            return
        delay_s = min(FIRST_REREAD_S * 2**self._rereads, MOST_REREAD_S)
        self._rereads += 1
        self._actor.schedule(delay_s, RereadDue(number=self._number))

    @handles(RereadDue)
    def on_reread_due(self, message: RereadDue) -> None:
        """Read again, unless that has happened since."""
        if message.number == self._number and self._link.session is not None:
            self._read_again()

    @handles(ReconciliationOverdue)
    def on_reconciliation_overdue(self, message: ReconciliationOverdue) -> None:
        """A reconciliation that does not end is a link that does not work."""
        is_under_way = message.number == self._number and bool(self._outstanding)
        if is_under_way and self._link.session is not None:
            missing = ", ".join(sorted(self._outstanding))
            self._on_lost(DisconnectCause.REQUEST_UNANSWERED, f"not reconciled in time: {missing}")

    def tell_completed(self) -> None:
        """Tell those who asked, and the executor, that orders flow again."""
        for requester in sorted(self._requesters | {EXECUTOR}):
            self._actor.tell(requester, m.ReconciliationCompleted(number=self._number))
        self._requesters.clear()

    def give_up(self) -> None:
        """Give up what is under way: whoever waits for it may serve what needs no session."""
        self._number += 1
        self._link.silent = ()
        self._outstanding.clear()
        for requester in sorted(self._requesters | self._next_requesters):
            self._actor.tell(requester, m.NothingToReconcile())
        self._requesters.clear()
        self._next_requesters.clear()

    @property
    def obstacle(self) -> str | None:
        """Say what keeps the world from being reconciled; None when nothing does."""
        if self._link.upstream_lost:
            return f"the gateway is cut off from IB: {self._link.last_error}"
        if not self._outstanding:
            return self._link.only_for_closing
        if not self._state_is_out:
            return "the broker's state is being read"
        return f"waiting for {', '.join(sorted(self._outstanding))}"
