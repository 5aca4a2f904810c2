"""The simulated gateway: listens, knows its clients, and hands each request to the service for it.

Runs inside the asyncio loop that starts it and uses nothing of the outside but that loop's clock,
the `now` it is given, and its seed. So the same seed and the same client give the same bytes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from loguru import logger

from . import codes
from .account import Position
from .books import Books
from .broker import Broker
from .calendar import Hours
from .client_reports import ClientReports
from .config import SimulatorConfig
from .contracts import Universe
from .fault_state import FaultState
from .faults import Faults
from .fields import FieldError, Fields
from .gateway import Gateway
from .ledger import CANCEL_ORDER, GLOBAL_CANCEL, PLACE_ORDER, LedgerEntry
from .market import Market
from .network import Network
from .order_faults import OrderFaults
from .orders import Execution, Order
from .requests import REQUESTS
from .scenario import begin
from .session import Session
from .state import Anchor, StateFile
from .store import OrderStore
from .tickets import Refusal
from .timers import Timers
from .world import World

_ORDER_MESSAGES = frozenset({PLACE_ORDER, CANCEL_ORDER, GLOBAL_CANCEL})
_TAKEN_CLOSE_S = 0.7
_MOST_FIELDS = 100_000
_OPENING_NOTICES = (2104, 2106, 2158)


def utc_now() -> dt.datetime:
    """The system's time, aware, UTC."""
    return dt.datetime.now(dt.UTC)


class Simulator:
    """An IB gateway for one asyncio loop. Not safe to call from other threads."""

    def __init__(
        self, config: SimulatorConfig | None = None, now: Callable[[], dt.datetime] = utc_now
    ) -> None:
        """Build a gateway; nothing is opened before `start`.

        Raises `ValueError` for bad hours.
        """
        self.config = config or SimulatorConfig()
        self.now = now
        self.record_arrivals = False
        self.universe = Universe(self.config.extra_symbols, self.config.replay)
        scenario = self.config.scenario
        hours = scenario.hours if scenario is not None and scenario.hours else self.config.hours
        self._hours = Hours(hours)
        self._state = StateFile(self.config.state_file)
        self._fault_state = FaultState()
        self._network = Network(self.config.host, self.config.port, self._fault_state)
        self._gateway: Gateway | None = None

    # From start to stop -------------------------------------------------------------------------

    async def start(self) -> int:
        """Restore the state, listen, begin the scenario; returns the port.

        Raises `ReplayError`, `StateError`, and `OSError` when the port is taken.
        """
        timers = Timers(asyncio.get_running_loop())
        try:
            self._gateway = Gateway(self._world(self._state.open(), timers), self._network)
            await self._network.start(self._session)
        except BaseException:
            timers.end()
            self._state.close()
            raise
        if self.config.scenario is not None:
            begin(self.config.scenario, (self.faults, self.order_faults), timers)
        return self.port

    async def stop(self) -> None:
        """Close everything."""
        await self._network.end_listening()
        self._running.world.timers.end()
        await self._network.end_sessions()
        self._state.close()

    def kill(self) -> None:
        """Stop at once and without a word: sockets are reset, the state file is left as it is."""
        self._running.world.timers.end()
        self._network.kill()
        self._state.close()

    def _world(self, changes: list[tuple[str, Any]], timers: Timers) -> World:
        anchor = self._anchor(changes)
        books = Books(self.config.managed_accounts, self.config.cash)
        store = OrderStore(self._state, books)
        for kind, record in changes:
            store.restore(kind, record)
        return World(
            config=self.config,
            universe=self.universe,
            market=Market(
                seed=self.config.seed,
                universe=self.universe,
                now=self.now,
                anchor=anchor,
                hours=self._hours,
                replay=self.config.replay,
                replay_offset=self.config.replay_offset,
                speed=self.config.speed,
            ),
            books=books,
            store=store,
            faults=self._fault_state,
            now=self.now,
            loop=asyncio.get_running_loop(),
            timers=timers,
            clients=self.ready_sessions,
        )

    def _anchor(self, changes: list[tuple[str, Any]]) -> dt.datetime:
        known = [record for kind, record in changes if kind == "anchor"]
        if known:
            return dt.datetime.fromisoformat(known[0])
        anchor = self.now().astimezone(dt.UTC).replace(second=0, microsecond=0)
        self._state.write(("anchor", Anchor(anchor)))
        return anchor

    def _session(self, number: int) -> Session:
        return Session(self, self._running.world, number)

    # What it shows ------------------------------------------------------------------------------

    @property
    def _running(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError("the simulator has not been started")
        return self._gateway

    @property
    def port(self) -> int:
        """The port it listens on (known after `start`)."""
        return self._network.port

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs in."""
        return self._running.world.loop

    @property
    def market(self) -> Market:
        """Prices."""
        return self._running.world.market

    @property
    def broker(self) -> Broker:
        """Orders and books."""
        return self._running.broker

    @property
    def reports(self) -> ClientReports:
        """What clients are told about their orders."""
        return self._running.reports

    @property
    def faults(self) -> Faults:
        """Everything that can be made to go wrong (after `start`)."""
        return self._running.faults

    @property
    def order_faults(self) -> OrderFaults:
        """What can be made to go wrong with orders (after `start`)."""
        return self._running.order_faults

    @property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every order message received, in order."""
        return tuple(self.broker.store.ledger)

    @property
    def cash(self) -> float:
        """The cash of the first account, USD."""
        return self.broker.books.accounts[self.config.managed_accounts[0]].cash

    def positions(self, account: str | None = None) -> dict[int, Position]:
        """The open positions of an account (default: the first) by contract id."""
        return self.broker.books.positions(account or self.config.managed_accounts[0])

    def executions(self) -> tuple[Execution, ...]:
        """All executions, each in its newest correction."""
        return tuple(self.broker.books.effective())

    def open_orders(self) -> tuple[Order, ...]:
        """All working orders of all clients."""
        return tuple(self.broker.store.working())

    def orders(self) -> tuple[Order, ...]:
        """All orders ever taken."""
        return tuple(self.broker.store.orders.values())

    def client_ids(self) -> tuple[int, ...]:
        """The clients that are connected."""
        return tuple(session.client_id for session in self.ready_sessions())

    def socket_count(self) -> int:
        """Tell how many sockets clients hold open, those included that have not said anything."""
        return len(self._network.sessions)

    def ready_sessions(self) -> list[Session]:
        """The connections that have completed startApi."""
        return self._network.ready_sessions()

    # Clients ------------------------------------------------------------------------------------

    def start_session(self, session: Session, client_id: int) -> None:
        """Answer startApi: let the client in, or say why not."""
        state = self._fault_state
        if state.authentication is not None:
            self._fail_authentication(session, state.authentication)
            return
        if self._is_taken(client_id):
            session.error(-1, codes.CLIENT_ID_IN_USE)
            self._running.world.timers.later(_TAKEN_CLOSE_S, session.close)
            return
        limit = self.config.limits.clients
        if limit and len(self.ready_sessions()) >= limit:
            session.error(-1, 507, "Max number of API clients has been reached")
            session.close()
            return
        session.client_id = client_id
        session.ready = True
        self._running.orders.announce(session)
        session.send("15", "1", ",".join(self.config.managed_accounts))
        session.send("9", "1", str(self.broker.store.next_order_id(client_id)))
        for code in _OPENING_NOTICES:
            session.error(-1, code)
        if state.disconnected:
            session.error(-1, codes.CONNECTIVITY_LOST)
        logger.debug("client {} has connected at version {}", client_id, session.version)

    def _is_taken(self, client_id: int) -> bool:
        if any(session.client_id == client_id for session in self.ready_sessions()):
            return True
        taken = self._fault_state.taken_client_ids
        for key in (client_id, None):
            if taken.get(key, 0) > 0:
                taken[key] -= 1
                return True
        return False

    def _fail_authentication(self, session: Session, mode: str) -> None:
        if mode == "disclaimer":
            session.error(-1, codes.DISCLAIMER)
        if mode != "silence":
            session.close()

    def forget(self, session: Session) -> None:
        """Take note that a connection has ended."""
        self._network.forget(session)

    # Messages -----------------------------------------------------------------------------------

    def dispatch(self, session: Session, values: list[str]) -> None:
        """Act on one message; malformed ones are answered with 320, unknown ones skipped."""
        arrived_ns = time.perf_counter_ns() if self.record_arrivals else 0
        if not self._within_rate(session):
            return
        try:
            number = int(values[0])
        except (ValueError, IndexError):
            session.error(-1, codes.BAD_READ, "Error reading request. Message id is not a number")
            return
        kind = REQUESTS.get(number)  # nosec B113 # a table of ours, not the library of that name
        if kind is None or number in self._fault_state.ignored:
            return
        if number in _ORDER_MESSAGES:
            self._running.orders.receive(session, number, values, arrived_ns)
            return
        handler = self._running.handlers.get(number)
        if handler is None:
            return
        request_id = _request_id(values, kind.id_field)
        try:
            if len(values) > _MOST_FIELDS:
                raise FieldError(f"{len(values)} fields")
            handler(session, Fields(values[2 if kind.versioned else 1 :]))
        except FieldError as error:
            session.error(request_id, codes.BAD_READ, f"Error reading request. {error}")
        except Refusal as refusal:
            session.error(request_id, refusal.code, refusal.text)

    def _within_rate(self, session: Session) -> bool:
        limits = self.config.limits
        excess = session.rate.count(self.loop.time(), limits.messages_per_second)
        if not excess:
            return True
        text = (
            "Max rate of messages per second has been exceeded:"
            f"max={limits.messages_per_second} rec={excess} (1)"
        )
        session.error(-1, codes.RATE_EXCEEDED, text)
        if limits.drop_on_rate:
            session.close()
        return not limits.drop_on_rate

    def end_subscriptions(self, code: int | None = None) -> None:
        """End all market data streams, with an error for each if `code` is given."""
        self._running.end_subscriptions(code)


def _request_id(values: list[str], index: int | None) -> int:
    if index is None or index >= len(values):
        return -1
    try:
        return Fields([values[index]]).integer(-1)
    except FieldError:
        return -1
