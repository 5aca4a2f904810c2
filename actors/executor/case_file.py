"""What has been gathered about one order that may be at the broker: the evidence on its fate, as it comes in."""

from __future__ import annotations

import attrs

from actors.executor.fate import Absences, Probe


@attrs.define(kw_only=True)
class CaseFile:
    """Times are monotonic seconds.

    ``bytes_at``: when the last bytes of the order left. ``heard_at``: the last word about it, its bytes included.
    ``counts_from``: a read that began before says nothing of it. ``is_refused``: by a code that does not say what
    became of it. ``is_id_used``: its order id may name another order. ``is_buried``: it was declared dead.
    ``session_began_at``: of the session that ``absences`` and ``probe`` belong to. ``reason``: why it was unsettled
    last, so that each reason is told once.
    ``change_refused``: what was said of the change that is under way, where that does not say what became of it.
    ``old_terms_at``: when a read began since the change was sent that shows the order with its old terms.
    """

    bytes_at: float
    heard_at: float
    counts_from: float
    is_refused: bool = False
    is_id_used: bool = False
    is_buried: bool = False
    absences: Absences | None = None
    probe: Probe = Probe.NOT_ASKED
    probed_at: float | None = None
    session_began_at: float = 0.0
    reason: str = ""
    change_sent_at: float = 0.0
    change_refused: str | None = None
    old_terms_at: float | None = None

    @classmethod
    def opened(cls, bytes_at: float) -> CaseFile:
        """Begin with the bytes."""
        return cls(bytes_at=bytes_at, heard_at=bytes_at, counts_from=bytes_at)

    def sent(self, now: float) -> None:
        """Note that bytes left: a new order, or new terms."""
        self.bytes_at = self.change_sent_at = now
        self.change_refused, self.old_terms_at = None, None
        self.heard(now)

    def heard(self, now: float) -> None:
        """Note a word about the order: whatever was found missing before is old."""
        self.heard_at = self.counts_from = now
        self.absences, self.is_refused, self.reason = None, False, ""
        self.probe, self.probed_at = Probe.NOT_ASKED, None

    def refused(self, now: float) -> None:
        """Note a refusal whose code does not say what became of the order."""
        self.heard(now)
        self.is_refused = True

    def change_unclear(self, now: float, said: str) -> None:
        """Note a word about the change that does not say what became of it: later reads have to."""
        self.change_sent_at, self.change_refused, self.old_terms_at = now, said, None

    def has_old_terms(self, began_at: float) -> None:
        """Note a read that shows the order without the change that was sent."""
        if self.old_terms_at is None and began_at >= self.change_sent_at:
            self.old_terms_at = began_at

    def probed(self, now: float) -> None:
        """Note that a cancel left: if the order is gone, the broker answers 10147."""
        if self.probe is not Probe.GONE:
            self.probe, self.probed_at = Probe.ASKED, now

    def not_found(self) -> None:
        """Note that the broker answered 10147, or that it knows no such id."""
        if self.probe is not Probe.NOT_ASKED:
            self.probe = Probe.GONE

    def in_session(self, began_at: float, sound_since: float | None) -> None:
        """Leave behind what another session said, and what it said before IB was back."""
        if began_at != self.session_began_at:
            self.session_began_at = began_at
            self.absences, self.probe, self.probed_at = None, Probe.NOT_ASKED, None
        self.counts_from = max(self.counts_from, sound_since or 0.0)

    def absent(self, began_at: float, *, complete: bool, quantity: float) -> None:
        """Note a read that does not show the order; one that began too early says nothing."""
        if began_at < self.counts_from:
            return
        if self.absences is None or self.absences.first < self.counts_from:
            self.absences = Absences.begin(began_at, complete=complete, quantity=quantity)
        elif began_at > self.absences.last:
            self.absences = self.absences.then(began_at, complete=complete, quantity=quantity)
