"""What is held, by the broker's own word, and what it is worth (POS-1, POS-2, POS-4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors import messages as m
from actors.errors import GatewayNotConnectedError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Request
from actors.messages.addresses import FACADE
from actors.model.account import Account, Holding, Position
from actors.model.market import Quote
from actors.position.pnl import position_views
from actors.sections.positions import Positions


class Holdings(Part):
    """Owns the newest prices of what is held, the account's numbers, and whether any of it is known.

    ``held`` gives the positions by con_id.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Positions,
        held: Callable[[], Mapping[int, Holding]],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._held = held
        self._quotes: dict[int, Quote] = {}
        self.known = False
        self.connected = False
        self.account: Account | None = None

    @property
    def held(self) -> Mapping[int, Holding]:
        """The positions by con_id."""
        return self._held()

    def by_position_id(self, position_id: str) -> Holding | None:
        """Find a position by the id that callers are told."""
        for holding in self.held.values():
            if holding.contract.position_id == position_id:
                return holding
        return None

    def views(self, *, is_cached: bool = False) -> tuple[Position, ...]:
        """Describe what is held, with its newest prices."""
        return position_views(
            self.held.values(),
            self._quotes,
            self._actor.clock.now(),
            self._settings,
            is_cached,
        )

    def refuses_unknown(self, request: Request) -> bool:
        """Refuse before the first read of the broker's state: no positions would mean nothing."""
        if not self.known:
            unknown = GatewayNotConnectedError("positions are not known yet")
            self._actor.refuse(request, unknown)
        return not self.known

    def publish(self) -> None:
        """Tell the orchestrator what is held."""
        views = self.views()
        self._actor.tell(FACADE, m.PositionsChanged(positions=views, at=self._actor.clock.now()))
        self._actor.tell(FACADE, m.SyncRiskManager(positions=views))

    @handles(m.GetPositions)
    def on_get_positions(self, request: m.GetPositions) -> None:
        """Tell the positions; while the link is down those that were known, flagged as such (POS-5)."""
        if self.refuses_unknown(request):
            return
        is_cached = not self.connected
        self._actor.reply(
            request,
            m.PositionsRead(
                correlation_id=request.correlation_id,
                positions=self.views(is_cached=is_cached),
                is_cached=is_cached,
            ),
        )

    @handles(m.GetAccount)
    def on_get_account(self, request: m.GetAccount) -> None:
        """Tell the account's newest numbers."""
        if self.account is None:
            unknown = GatewayNotConnectedError("the account is not known yet")
            self._actor.refuse(request, unknown)
            return
        answer = m.AccountRead(correlation_id=request.correlation_id, account=self.account)
        self._actor.reply(request, answer)

    @handles(m.AccountChanged)
    def on_account_changed(self, event: m.AccountChanged) -> None:
        """Take over the account's numbers and pass them on (GW-6)."""
        self.account = event.account
        self._actor.tell(FACADE, event)

    @handles(m.QuoteUpdated)
    def on_quote_updated(self, event: m.QuoteUpdated) -> None:
        """Remember the price of what is held."""
        if event.quote.contract.con_id in self.held:
            self._quotes[event.quote.contract.con_id] = event.quote
