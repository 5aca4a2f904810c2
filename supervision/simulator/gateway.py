"""A started gateway put together: each service is handed what it uses."""

from __future__ import annotations

from .account_service import AccountService
from .broker import Broker
from .client_reports import ClientReports
from .contract_service import ContractService
from .faults import Faults
from .history_service import HistoryService
from .market_data_service import MarketDataService
from .matching import Floor
from .order_faults import OrderFaults
from .order_service import OrderService
from .others import Others
from .requests import Handler
from .sockets import Network
from .world import World


class Gateway:
    """The services of one start, over one `World`."""

    def __init__(self, world: World, network: Network) -> None:
        """Build the services, and compare restored orders with the market."""
        accounts = AccountService(world)
        self.world = world
        self.reports = ClientReports(world, accounts.changed)
        floor = _floor(world, self.reports)
        self.broker = Broker(floor)
        others = Others(floor, self.broker)
        self.orders = OrderService(world, self.broker)
        self._market_data = MarketDataService(world)
        self.faults = Faults(
            world,
            self.broker,
            others,
            network,
            end_subscriptions=self.end_subscriptions,
            report_backlog=self.reports.reconnected,
            tell_accounts=accounts.tell_all,
        )
        self.order_faults = OrderFaults(world, self.broker, others)
        self.handlers: dict[int, Handler] = {
            **self.orders.handlers(),
            **accounts.handlers(),
            **self._market_data.handlers(),
            **ContractService(world).handlers(),
            **HistoryService(world).handlers(),
        }
        self.broker.match()

    def end_subscriptions(self, code: int | None = None) -> None:
        """End all market data streams, with an error for each if `code` is given."""
        for client in self.world.clients():
            self._market_data.end_all(client, code)


def _floor(world: World, reports: ClientReports) -> Floor:
    return Floor(
        config=world.config,
        universe=world.universe,
        market=world.market,
        now=world.now,
        later=world.timers.later,
        faults=world.faults,
        report=reports,
        store=world.store,
        books=world.books,
    )
