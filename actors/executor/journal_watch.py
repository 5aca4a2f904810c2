"""Whether the journal takes what it is given: it decides what may be sent meanwhile (D7, D14).

::

    the journal            opening orders, single closes     closes under a latch
    answers in time        once their intent is durable      once their intent is durable
    refuses, fails, slow   refused, and told why             go without (`executor.unjournaled`)
"""

from __future__ import annotations

from typing import Final

from actors import messages as m
from actors.errors import GatewayError, GatewayTimeoutError, JournalError, WriterReplacedError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import AnswerOverdue, Story
from actors.logic.frozen import evolve
from actors.messages.addresses import CONNECTION, JOURNAL
from actors.ports import EventLog
from actors.sections.orders import Orders

LOOKS_WITHIN_PATIENCE: Final = 4
"""So often it looks within one patience whether somebody has waited for longer than that."""


class JournalWatch(Part):
    """Asks the journal with a patience of its own.

    Owns what is wrong with it (``trouble``, None while nothing is), and which intents it has not answered yet.
    """

    def __init__(self, actor: SupervisedActor, settings: Orders, log: EventLog) -> None:
        self._actor = actor
        self._patience_s = settings.journal_patience_s
        self._log = log
        self.trouble: str | None = None
        self._unanswered: dict[str, tuple[float, float]] = {}
        self._look: Story | None = None

    @property
    def patience_ends_at(self) -> float:
        """When a close under a latch has waited long enough that asks now (monotonic seconds)."""
        return self._actor.clock.monotonic() + self._patience_s

    async def made_durable(
        self, intent: m.RecordIntent | m.RecordModification, answer_by: float
    ) -> None:
        """Have an intent on the disk; ``answer_by`` is in monotonic seconds.

        Raises `JournalError` where the journal did not answer by then, `GatewayTimeoutError` where the order's own time
        was up before that, and whatever the journal refused the intent with.
        """
        asked_at = self._actor.clock.monotonic()
        until = min(intent.deadline, answer_by)
        self._unanswered[intent.correlation_id] = (asked_at, until)
        if self._look is None:
            self._look = self._actor.begin_story(self._look_again())
        question = evolve(intent, deadline=until)
        try:
            await self._actor.asked(JOURNAL, question, m.IntentDurable, watched=False)
        except GatewayTimeoutError as error:
            waited_s = self._actor.clock.monotonic() - asked_at
            if waited_s < self._patience_s:
                raise  # the order's own time is up
            text = f"the journal has not answered for {waited_s:.1f} s"
            self._in_trouble(text)
            raise JournalError(text) from error
        except WriterReplacedError:
            raise
        except GatewayError as error:
            self._in_trouble(str(error))
            raise
        finally:
            self._unanswered.pop(intent.correlation_id, None)
            if not self._unanswered and self._look is not None:
                self._actor.end_story(self._look)
                self._look = None

    async def _look_again(self) -> None:
        """End what has waited long enough: one look for all, since a timer for each would burden every order."""
        while True:
            await self._actor.sleep(self._patience_s / LOOKS_WITHIN_PATIENCE)
            now = self._actor.clock.monotonic()
            for key, (_, until) in tuple(self._unanswered.items()):
                if until <= now:
                    self._actor.tell(self._actor.name, AnswerOverdue(correlation_id=key))

    def _in_trouble(self, text: str) -> None:
        is_news = self.trouble is None
        self._note(text)
        if is_news:
            self._log("journal_in_trouble", level="ERROR", why=text)
            self._actor.begin_story(self._until_it_writes())

    async def _until_it_writes(self) -> None:
        """Have it write something again and again, until it does so within the patience."""
        while self.trouble is not None:
            await self._actor.sleep(self._patience_s)
            question = m.ProveJournal(**self._actor.of_our_own("journal", self._patience_s))
            try:
                await self._actor.asked(JOURNAL, question, m.JournalWrites)
            except GatewayTimeoutError:
                self._note(self.trouble)
            except GatewayError as error:
                self._note(str(error))
            else:
                self._log("journal_answers_again")
                self._note(None)

    def _note(self, trouble: str | None) -> None:
        """Tell the connection each time: it says what may be opened, and may have been restarted."""
        self.trouble = trouble
        self._actor.tell(CONNECTION, m.JournalTroubled(reason=trouble))
