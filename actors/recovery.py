"""What every restarted actor does that needs its past: ask the journal, then take over the broker's state.

Guarantees: an actor that cannot learn its past fails, so that the supervisor tries again; a broker's state that arrives
before the past is known waits for it, and only the newest one is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.messages import Reply, Request
from actors.messages.addresses import CONNECTION, JOURNAL

RECOVERY_S = 10.0
"""How long a restarted actor waits for each answer that it cannot do without."""

JOURNAL_S = 70.0
"""And for the journal: longer than that is given for a slow disk before it is replaced (D7), so that this waits too."""

R = TypeVar("R", bound=Reply)


class Past:
    """What an actor has to learn before it may serve; owns whether it is known, and a state that came too early.

    ``who`` names the actor in the error, ``take_over`` is called with a broker's state that had to wait.
    """

    def __init__(
        self, actor: SupervisedActor, who: str, take_over: Callable[[m.Reconcile], None]
    ) -> None:
        self._actor = actor
        self._who = who
        self._take_over = take_over
        self._early: m.Reconcile | None = None
        self.is_known = False

    async def from_journal(self) -> m.JournalRead:
        """Read the journal; raises `GatewayError`, which fails the actor, when it gives no answer in time."""
        question = m.ReadJournal(**self._actor.of_our_own("journal", JOURNAL_S))
        return await self.asked("journal", JOURNAL, question, m.JournalRead)

    async def asked(self, step: str, address: str, question: Request, kind: type[R]) -> R:
        """Ask for what the actor cannot do without; raises `GatewayError`, which fails the actor."""
        try:
            return await self._actor.asked(address, question, kind)
        except GatewayError as error:
            text = f"{self._who} cannot recover from the {step}: {error}"
            raise GatewayError(text) from None

    def keeps_waiting(self, message: m.Reconcile) -> bool:
        """Keep a broker's state for later while the past is not known; False when it can be taken over now."""
        if self.is_known:
            return False
        self._early = message
        return True

    def learnt(self) -> None:
        """The past is known: take over the broker's state that came early."""
        self.is_known = True
        early, self._early = self._early, None
        if early is not None:
            self._take_over(early)

    def nothing_to_reconcile(self) -> None:
        """There is no session: serve what needs none.

        What comes before the past is known answers a predecessor; our own question is still to be asked.
        """
        if self.is_known:
            self._actor.recovered()

    def ask_for_reconciliation(self) -> None:
        """Have the connection read the broker's state, and everybody take it over."""
        question = m.RequestReconciliation(sender=self._actor.name, from_the_beginning=True)
        self._actor.tell(CONNECTION, question)
