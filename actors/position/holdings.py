"""The position actor's desk: what is held, by the broker's own word, and what everything there does with it."""

from __future__ import annotations

from actors.errors import GatewayNotConnectedError
from actors.hours import HoursKeeper
from actors.kernel.actor import ActorContext
from actors.kernel.conversations import ConversingActor
from actors.kernel.messages import Request
from actors.model.account import Account, Holding, Position
from actors.model.market import Quote
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.position.pnl import position_views
from actors.sections.market_data import MarketData
from actors.sections.positions import Positions


class PositionDesk(ConversingActor):
    """What all parts of the position actor stand on; see the module's docstring."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Positions,
        market_data: MarketData,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.market_data = market_data
        self.trading = trading
        self.log = log
        self.holdings: dict[int, Holding] = {}
        self.known = False
        self.connected = False
        self.account: Account | None = None
        self.quotes: dict[int, Quote] = {}
        self.hours = HoursKeeper(self)

    def views(self, *, is_cached: bool = False) -> tuple[Position, ...]:
        """Describe what is held, with its newest prices."""
        return position_views(
            self.holdings.values(),
            self.quotes,
            self.clock.now(),
            self.settings,
            is_cached,
        )

    def refuses_unknown(self, request: Request) -> bool:
        """Refuse before the first read of the broker's state: no positions would mean nothing."""
        if not self.known:
            self.refuse(request, GatewayNotConnectedError("positions are not known yet"))
        return not self.known
