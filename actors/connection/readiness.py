"""Whether anything may be opened, and what forbids it, the gravest reason first (CON-4, CON-8, CON-15)."""

from __future__ import annotations

from actors import messages as m
from actors.connection.link_state import LinkState
from actors.kernel.actor import SupervisedActor
from actors.messages.addresses import RISK
from actors.ports import EventLog


class Readiness:
    """Tells risk whether anything may be opened. Owns what the log named last, and the journal's trouble."""

    def __init__(self, actor: SupervisedActor, link: LinkState, log: EventLog) -> None:
        self._actor = actor
        self._link = link
        self._log = log
        self._logged: str | None = None
        self.journal: str | None = None
        """What keeps orders from being journaled; None while nothing does."""
        self.account: str | None = None
        """What nobody can explain of the account; None while nothing is unexplained (RULES 4)."""

    @property
    def blocked_by(self) -> str | None:
        """Say what forbids opening now; None when nothing does."""
        link = self._link
        window = link.settings.maintenance.obstacle(self._actor.clock.now())
        if window is not None:
            return str(window)
        if not link.is_connected:
            return link.last_error or "not connected yet"
        if self.journal is not None:
            return f"the journal: {self.journal}"
        if self.account is not None:
            return self.account
        if link.client_ids.is_fallback:
            return link.client_ids.explanation
        if link.only_for_closing is not None:
            return link.only_for_closing
        return link.data.obstacle

    def announce(self) -> None:
        """Tell risk, and log it when that changed."""
        blocked_by = self.blocked_by
        self._actor.tell(
            RISK, m.OpeningReadinessChanged(ready=blocked_by is None, reason=blocked_by)
        )
        if blocked_by == self._logged:
            return
        self._logged = blocked_by
        if blocked_by is None:
            self._log("opening_allowed")
        else:
            level = "WARNING" if self._link.planned is None else "INFO"
            self._log("opening_blocked", level=level, reason=blocked_by)
