"""How the executor tells of an order: one message, to those whom it concerns, with the notes that waited for one."""

from __future__ import annotations

from typing import Final

import attrs

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.frozen import evolve
from actors.messages.addresses import FACADE, JOURNAL, RISK

NOTES_WAIT_S: Final = 0.05
"""So long a note waits for a change of its order to ride with. An executor that fails meanwhile loses it."""


@attrs.frozen(kw_only=True)
class NotesDue(Message):
    """Told to oneself: the notes that no change came for have waited long enough."""


class Telling(Part):
    """Owns the notes that wait. Nothing but a note ever waits here: a change is told in the handler that made it."""

    def __init__(self, actor: SupervisedActor) -> None:
        self._actor = actor
        self._notes: dict[str, list[m.Note]] = {}
        self._due: Cancellable | None = None

    def tell(self, update: m.OrderUpdated) -> None:
        """Tell the journal, risk and the facade, each if there is something in it for them."""
        executed = update.execution is not None
        is_for_risk = executed or update.signed_remaining is not None
        is_for_facade = executed or update.result is not None
        if is_for_risk or is_for_facade or update.entries:
            self._tell_journal(update)
        if is_for_risk:
            self._actor.tell(RISK, update)
        if is_for_facade:
            self._actor.tell(FACADE, update)

    def _tell_journal(self, update: m.OrderUpdated) -> None:
        """The notes that waited come first: they tell why."""
        notes = self._notes.pop(update.order_ref, ())
        if notes or update.entries:
            entries = (*notes, *update.entries)
            self._actor.tell(JOURNAL, evolve(update, entries=entries) if notes else update)
        if self._due is not None and not self._notes:
            self._due.cancel()
            self._due = None

    def keep(self, note: m.Note) -> None:
        """Have a note kept: with the order's next change, or by itself if none comes at once."""
        self._notes.setdefault(note.order_ref, []).append(note)
        if self._due is None:
            self._due = self._actor.schedule(NOTES_WAIT_S, NotesDue())

    @handles(NotesDue)
    def on_notes_due(self, _: NotesDue) -> None:
        """Tell the journal the notes that wait."""
        self.tell_notes()

    def tell_notes(self) -> None:
        """Let no note wait any longer."""
        for order_ref, (first, *_) in tuple(self._notes.items()):
            self._tell_journal(m.OrderUpdated(order_ref=order_ref, at=first.at))
