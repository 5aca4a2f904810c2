"""An outage: from the loss of the link until it was sound for a while; who re-arms in it answers all of it (RULES 3).

A link that comes back and goes again, as it does while a gateway starts, is one outage and not two: the second loss
latches nothing anew once an operator has answered the first.
"""

from __future__ import annotations

import attrs

from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.kernel.stories import Story
from actors.ports import EventLog
from actors.sections.strategy_c import StrategyC


@attrs.define(kw_only=True)
class OutageMemory:
    """What outlives Strategy C's incarnations."""

    is_on: bool = False
    is_answered: bool = False


class Outage(Part):
    """Owns whether an outage goes on, and whether it was answered."""

    def __init__(
        self, actor: SupervisedActor, settings: StrategyC, memory: OutageMemory, log: EventLog
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._memory = memory
        self._log = log
        self._ending: Story | None = None

    @property
    def is_answered(self) -> bool:
        """Whether a loss of the link now belongs to an outage that an operator has answered."""
        return self._memory.is_on and self._memory.is_answered

    def begins(self) -> None:
        """The link is lost: for the first time, or again."""
        self._memory.is_on = True
        self._stay()

    def link_is_up(self) -> None:
        """The link is up; from now on it has to be sound for a while."""
        if self._memory.is_on and self._ending is None:
            self._ending = self._actor.begin_story(self._end())

    def answer(self) -> None:
        """An operator has taken the latch back."""
        self._memory.is_answered = self._memory.is_on

    async def _end(self) -> None:
        await self._actor.sleep(self._settings.outage_over_after_s)
        self._log("outage_over", answered=self._memory.is_answered)
        self._memory.is_on = self._memory.is_answered = False
        self._ending = None

    def _stay(self) -> None:
        ending, self._ending = self._ending, None
        if ending is not None:
            self._actor.end_story(ending)
