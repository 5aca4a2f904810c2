"""The simulated gateway: listens, knows its clients, and hands each request to the desk for it.

Runs inside the asyncio loop that starts it and uses nothing of the outside but that loop's clock,
the `now` it is given, and its seed. So the same seed and the same client give the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from loguru import logger

from . import codes
from .account import Position
from .account_desk import AccountDesk
from .books import Books
from .broker import Broker
from .calendar import Hours, eastern
from .config import SimulatorConfig
from .contract_desk import ContractDesk
from .contracts import Universe
from .faults import Faults
from .fields import FieldError, Fields
from .history_desk import HistoryDesk
from .ledger import CANCEL_ORDER, GLOBAL_CANCEL, PLACE_ORDER, LedgerEntry
from .market import Market
from .market_data_desk import MarketDataDesk
from .matching import Floor
from .order_desk import OrderDesk
from .orders import Execution, Order
from .requests import BY_NAME, REQUESTS, Handler
from .session import Session
from .state import Anchor, StateFile
from .store import OrderStore
from .tickets import Refusal
from .timers import Timers

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
        self.faults = Faults(self)
        self.universe = Universe(self.config.extra_symbols, self.config.replay)
        self.order_desk = OrderDesk(self)
        self.account_desk = AccountDesk(self)
        self.market_data_desk = MarketDataDesk(self)
        self._contract_desk = ContractDesk(self)
        self._history_desk = HistoryDesk(self)
        self._handlers: dict[int, Handler] = {}
        for desk in (
            self.order_desk,
            self.account_desk,
            self.market_data_desk,
            self._contract_desk,
            self._history_desk,
        ):
            self._handlers.update(desk.handlers())
        scenario = self.config.scenario
        hours = scenario.hours if scenario is not None and scenario.hours else self.config.hours
        self._hours = Hours(hours)
        self._state = StateFile(self.config.state_file)
        self._sessions: dict[int, Session] = {}
        self._session_count = 0
        self._port = self.config.port
        self._server: asyncio.Server | None = None
        self._timers: Timers | None = None
        self._relisten: asyncio.Task[None] | None = None
        self._stopped = True
        self._market: Market | None = None
        self._broker: Broker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # Life ---------------------------------------------------------------------------------------

    async def start(self) -> int:
        """Restore the state, listen, begin the scenario; returns the port.

        Raises `ReplayError`, `StateError`, and `OSError` when the port is taken.
        """
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop)
        self._stopped = False
        try:
            self._build(self._state.open())
            await self._listen()
        except BaseException:
            self.timers.end()
            self._state.close()
            raise
        if self.config.scenario is not None:
            self.config.scenario.begin(self)
        return self._port

    async def stop(self) -> None:
        """Close everything."""
        self._stopped = True
        if self._relisten is not None:
            self._relisten.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._relisten
        self.stop_listening()
        self.timers.end()
        for session in list(self._sessions.values()):
            session.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for session in list(self._sessions.values()):
            session.abort()
        await asyncio.sleep(0)
        self._state.close()

    def kill(self) -> None:
        """Stop at once and without a word: sockets are reset, the state file is left as it is."""
        self._stopped = True
        self.stop_listening()
        self.timers.end()
        for session in list(self._sessions.values()):
            session.close(reset=True)
        self._state.close()

    def _build(self, changes: list[tuple[str, Any]]) -> None:
        moment = self.now().astimezone(dt.UTC)
        anchor = moment.replace(second=0, microsecond=0)
        known = [record for kind, record in changes if kind == "anchor"]
        if known:
            anchor = dt.datetime.fromisoformat(known[0])
        else:
            self._state.write(("anchor", Anchor(anchor)))
        self._market = Market(
            seed=self.config.seed,
            universe=self.universe,
            now=self.now,
            anchor=anchor,
            hours=self._hours,
            replay=self.config.replay,
            replay_offset=self.config.replay_offset,
            speed=self.config.speed,
        )
        books = Books(self.config.managed_accounts, self.config.cash)
        store = OrderStore(self._state, books)
        for kind, record in changes:
            store.restore(kind, record)
        self._broker = Broker(
            Floor(
                config=self.config,
                universe=self.universe,
                market=self._market,
                now=self.now,
                later=self.later,
                faults=lambda: self.faults.state,
                report=self.order_desk,
                store=store,
                books=books,
            )
        )
        self._broker.match()

    async def _listen(self) -> None:
        self._server = await self.loop.create_server(
            self._make_session, self.config.host, self._port
        )
        self._port = int(self._server.sockets[0].getsockname()[1])

    def _make_session(self) -> Session:
        self._session_count += 1
        session = Session(self, self._session_count)
        self._sessions[session.number] = session
        return session

    # What it shows ------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port it listens on (known after `start`)."""
        return self._port

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs in."""
        if self._loop is None:
            raise RuntimeError("the simulator has not been started")
        return self._loop

    @property
    def market(self) -> Market:
        """Prices."""
        if self._market is None:
            raise RuntimeError("the simulator has not been started")
        return self._market

    @property
    def broker(self) -> Broker:
        """Orders and books."""
        if self._broker is None:
            raise RuntimeError("the simulator has not been started")
        return self._broker

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
        return len(self._sessions)

    def ready_sessions(self) -> list[Session]:
        """The connections that have completed startApi."""
        return [session for session in self._sessions.values() if session.ready]

    def connection_time(self) -> str:
        """The time in the version reply."""
        return self.now().astimezone(dt.UTC).strftime("%Y%m%d %H:%M:%S Greenwich Mean Time")

    def clock_text(self) -> str:
        """The time of day that account messages carry."""
        return eastern(self.now()).strftime("%H:%M")

    # Timers -------------------------------------------------------------------------------------

    @property
    def timers(self) -> Timers:
        """Delayed and repeated calls."""
        if self._timers is None:
            raise RuntimeError("the simulator has not been started")
        return self._timers

    def later(self, delay_s: float, act: Callable[..., object], *args: Any) -> Callable[[], None]:
        """Call `act` after a delay; returns what takes it back."""
        return self.timers.later(delay_s, act, *args)

    def every(self, interval_s: float, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act` again and again; returns what ends it."""
        return self.timers.every(interval_s, act)

    # Clients ------------------------------------------------------------------------------------

    def start_session(self, session: Session, client_id: int) -> None:
        """Answer startApi: let the client in, or say why not."""
        state = self.faults.state
        if state.authentication is not None:
            self._fail_authentication(session, state.authentication)
            return
        if self._is_taken(client_id):
            session.error(-1, codes.CLIENT_ID_IN_USE)
            self.later(_TAKEN_CLOSE_S, session.close)
            return
        limit = self.config.limits.clients
        if limit and len(self.ready_sessions()) >= limit:
            session.error(-1, 507, "Max number of API clients has been reached")
            session.close()
            return
        session.client_id = client_id
        session.ready = True
        self.order_desk.announce(session)
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
        taken = self.faults.state.taken_client_ids
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
        self._sessions.pop(session.number, None)

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
        if kind is None or number in self.faults.state.ignored:
            return
        if number in _ORDER_MESSAGES:
            self.order_desk.receive(session, number, values, arrived_ns)
            return
        handler = self._handlers.get(number)
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

    def request_ids(self, names: Iterable[str]) -> list[int]:
        """The numbers of requests by name; raises `ValueError` for an unknown one."""
        unknown = [name for name in names if name not in BY_NAME]
        if unknown:
            raise ValueError(f"unknown request {unknown[0]!r}; known: {', '.join(BY_NAME)}")
        return [BY_NAME[name] for name in names]

    # What faults do -----------------------------------------------------------------------------

    def stop_listening(self) -> None:
        """Refuse new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def listen_again(self) -> None:
        """Accept connections again, on the same port."""
        if self._server is None and not self._stopped and self._relisten is None:
            self._relisten = self.loop.create_task(self._listen_again())

    async def _listen_again(self) -> None:
        try:
            await self._listen()
            if self._stopped or self.faults.state.refusing:
                self.stop_listening()
        finally:
            self._relisten = None

    def reset_port(self, *, moves: bool) -> None:
        """Tell everybody to reconnect, perhaps on another port, and close their connections."""
        if moves:
            self.stop_listening()
            with contextlib.closing(socket.socket()) as unused:
                unused.bind((self.config.host, 0))
                self._port = int(unused.getsockname()[1])
        self.notice(codes.PORT_RESET, f"{codes.TEXTS[codes.PORT_RESET]}{self._port}")
        self.drop(None, reset=False)
        if not self.faults.state.refusing:
            self.listen_again()

    def drop(self, client_id: int | None, *, reset: bool) -> None:
        """Close the connections of a client, or of all."""
        for session in list(self._sessions.values()):
            if client_id in (None, session.client_id):
                session.close(reset=reset)

    def notice(
        self,
        code: int,
        text: str | None = None,
        *,
        request_id: int = -1,
        client_id: int | None = None,
    ) -> None:
        """Send an error or notice to a client, or to all."""
        for session in self.ready_sessions():
            if client_id in (None, session.client_id):
                session.error(request_id, code, text)

    def end_subscriptions(self, code: int | None = None) -> None:
        """End all market data streams, with an error for each if `code` is given."""
        for session in self.ready_sessions():
            self.market_data_desk.end_all(session, code)

    def pause_reading(self) -> None:
        """Leave what clients send in their sockets."""
        for session in list(self._sessions.values()):
            session.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        for session in list(self._sessions.values()):
            session.resume_reading()


def _request_id(values: list[str], index: int | None) -> int:
    if index is None or index >= len(values):
        return -1
    try:
        return Fields([values[index]]).integer(-1)
    except FieldError:
        return -1
