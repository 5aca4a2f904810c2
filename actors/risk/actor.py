"""The risk actor: nothing reaches the broker unless it approved exactly that order (ORD-3).

It keeps a book of positions and of all orders in flight, judges each request by `actors.risk.rules`, reserves what it
approves, and signs a permit that the link's gate checks. It fails closed: what it does not know, it rejects (RSK-3).
"""

from __future__ import annotations

from actors import messages as m
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.model.connection import ConnectionState
from actors.ports import EventLog, no_log
from actors.risk import exposure
from actors.risk.approvals import Approvals
from actors.risk.exposure_book import ExposureBook
from actors.risk.losses import Losses
from actors.risk.openings import Openings
from actors.risk.permits import PermitIssuer
from actors.risk.recovery import Recovery
from actors.risk.residual import Residual
from actors.sections.gateway import EMBEDDED
from actors.sections.orders import Orders
from actors.sections.positions import Positions
from actors.sections.risk import Risk


class RiskActor(SupervisedActor):
    """See the module's docstring. ``consults``: the orchestrator brought a risk manager, which is asked."""

    recovers = True
    parts = (ExposureBook, Losses, Residual, Openings, Recovery, Approvals)

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Risk,
        orders: Orders,
        closures: Positions,
        endpoint: str = EMBEDDED,
        consults: bool = False,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.permits = PermitIssuer(self, orders.permit_ttl_s)
        self.book = self.own(ExposureBook(self, log))
        self.losses = losses = self.own(
            Losses(
                self,
                settings,
                self.book,
                endpoint=endpoint,
                changed=lambda: self.residual.account_changed(),
                log=log,
            )
        )
        self.residual = self.own(Residual(self, settings, self.book, losses, log))
        self.openings = self.own(Openings())
        self.recovery = self.own(
            Recovery(self, self.permits, self.book, losses, self.residual, self.openings)
        )
        self.approvals = self.own(
            Approvals(
                self,
                settings,
                self.permits,
                self.book,
                self.losses,
                self.openings,
                closures,
                consults=consults,
                log=log,
            )
        )

    def started(self) -> None:
        """Install this incarnation's key, which voids earlier permits, and learn the past (SUP-6)."""
        self.permits.install_key()
        self.begin_story(self.recovery.recover())

    @handles(m.GetExposures)
    def on_get_exposures(self, request: m.GetExposures) -> None:
        """Answer whose data has to be watched (STC-1)."""
        self.reply(
            request,
            m.ExposuresRead(
                correlation_id=request.correlation_id,
                known=self.book.ledger.known,
                latched=self.openings.latched is not None,
                exposures=exposure.exposed(self.book.ledger),
            ),
        )

    @handles(m.LatchChanged)
    def on_latch_changed(self, event: m.LatchChanged) -> None:
        """Reject openings from now on, or no longer. A latch confirms that the breaches arrived."""
        self.openings.latched = event.reason if event.latched else None
        if event.latched:
            self.losses.latched()

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """Trust the positions only while the link is up."""
        if event.previous is ConnectionState.CONNECTED:
            self.book.distrust()
            self.openings.block(f"the link is {event.state}")
