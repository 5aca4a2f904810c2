"""One facade's session with its tree: the tree's life, requests with their deadlines, and events on the caller's loop.

Every call of the facade ends here in one of three ways to ask: `ask` (once), `command` (once, and only after
connect()), `read` (again after a reconnect, within its deadline: GW-12).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs

from actors import messages as m
from actors.errors import (
    GatewayConnectionError,
    GatewayError,
    GatewayNotConnectedError,
    GatewayStoppedError,
    GatewayTimeoutError,
    LiveTradingBlockedError,
    ModeError,
)
from actors.kernel.messages import Message, Reply, Request
from actors.messages.addresses import (
    CONNECTION,
    FACADE,
    MARKET_DATA,
)
from actors.messages.feed import NOT_FAILED_OVER, FailoverChanged
from actors.model.connection import ConnectionState
from actors.model.orders import (
    ExecutionMode,
)
from supervision.config.loading import load
from supervision.config.sections import Config, GatewayConfig
from supervision.facade.bridge import Bridge
from supervision.facade.direct_broker import DirectBroker
from supervision.facade.event_streams import EventStreams
from supervision.facade.quote_streams import QuoteStreams
from supervision.facade.risk_manager import RiskManager, RiskManagerHost
from supervision.process.handle import Process

R = TypeVar("R", bound=Reply)

RESUBSCRIBE_S = 30.0
RECONNECT_POLL_S = 0.005


class GatewaySession:
    """See the module's docstring; made and used on one asyncio loop."""

    def __init__(
        self,
        config: Config,
        risk_manager: RiskManager | None,
        mode: ExecutionMode,
        operator_id: str,
        make_process: Callable[[Config, ExecutionMode, str, bool], Process] | None,
    ) -> None:
        self.config = config
        self.mode = mode
        self.operator_id = operator_id
        self.direct = self._direct_broker()
        """Reads from the link alone, where the configuration says so; None otherwise."""
        self.events = EventStreams(config.supervision.stream_bound)
        self.quotes: QuoteStreams | None = None
        self.failover = NOT_FAILED_OVER
        self.started: Process | None = None
        """The process handle, None while nothing was started."""
        self._risk_manager = risk_manager
        self._make_process = make_process or _default_process
        self._bridge: Bridge | None = None
        self._connected = asyncio.Event()
        self._served = asyncio.Event()
        """Connected, or the second source serves instead."""
        self._asked_to_connect = False

    # --- life -----------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the link is up, proved healthy and reconciled."""
        return self._connected.is_set()

    @property
    def process(self) -> Process:
        """The running process handle, for injection and taps (SUP-10); raises `GatewayNotConnectedError` before."""
        if self.started is None:
            raise GatewayNotConnectedError("not started: call connect() first")
        return self.started

    async def connect(self, timeout_s: float) -> None:
        """Start the tree and connect. A timeout leaves the retrying running (GW-12)."""
        if not self.config.features.integration_layer and self.direct is None:
            raise ModeError(
                "features.integration_layer is false: set it to true to connect, or set"
                " features.fallback_to_direct_broker for read-only quotes and positions"
            )
        await self.ensure_started()
        self._asked_to_connect = True
        await self.ask(CONNECTION, m.Connect, m.Connected, timeout_s)

    async def disconnect(self) -> None:
        """End the session in order and stop the tree; does nothing when it is not running."""
        process = self.started
        if process is None:
            return
        shutdown_s = self.config.supervision.shutdown_s
        try:
            if process.is_running:
                await self.ask(CONNECTION, m.Disconnect, m.Disconnected, shutdown_s)
        except GatewayError as error:
            process.log("disconnect_incomplete", level="WARNING", error=str(error))
        finally:
            self._asked_to_connect = False
            self._connected.clear()
            self._served.clear()
            self.failover = NOT_FAILED_OVER
            self._end_streams(
                None
            )  # before the stop, which is no failure to the readers of streams
            await process.stop("disconnect() was called")
            self.started = None
            self._bridge = None
            self.quotes = None

    async def verify_connection(self, timeout_s: float) -> bool:
        """Make a round trip to the broker now (GW-11)."""
        try:
            await self.ask(CONNECTION, m.VerifyConnection, m.ConnectionVerified, timeout_s)
        except (GatewayError, OSError):
            return False
        return True

    # --- requests -------------------------------------------------------------------------------------------------

    async def read(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        *,
        without_link: bool = False,
        **fields: Any,
    ) -> R:
        """Ask for something that may be asked again: it waits for a lost link within its deadline (GW-12).

        ``without_link``: it can be had from the second source too, once the link has failed (MKT-10).
        """
        self.refuse_direct(kind.__name__)
        return await self._read_again(
            address, kind, expected, timeout_s, without_link=without_link, **fields
        )

    async def _read_again(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        *,
        without_link: bool = False,
        **fields: Any,
    ) -> R:
        self.require_asked()
        if not timeout_s > 0:
            raise GatewayTimeoutError(f"timeout must be > 0 s (was {timeout_s})")
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        while True:
            await self.require_connected(ends_at - loop.time(), without_link=without_link)
            left_s = ends_at - loop.time()
            try:
                return await self.ask(address, kind, expected, max(left_s, 1e-3), **fields)
            except GatewayConnectionError:
                # The state change may still be on its way here; one turn of the loop lets it arrive first.
                await asyncio.sleep(RECONNECT_POLL_S)
                if loop.time() >= ends_at:
                    raise

    async def command(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        **fields: Any,
    ) -> R:
        """Ask for something that is done at most once."""
        self.refuse_direct(kind.__name__)
        self.require_asked()
        return await self.ask(address, kind, expected, timeout_s, **fields)

    def require_asked(self) -> Process:
        """Give the running process; raises `GatewayNotConnectedError` before connect(), `GatewayStoppedError` after."""
        process = self.started
        if process is None or not self._asked_to_connect:
            raise GatewayNotConnectedError("not connected: call connect() first")
        if not process.is_running:
            raise GatewayStoppedError(f"the tree has stopped: {process.stop_reason}")
        return process

    async def require_connected(self, timeout_s: float, *, without_link: bool = False) -> Process:
        """Wait for the link; raises `GatewayConnectionError` when it does not come back in time."""
        process = self.require_asked()
        served = self._served if without_link else self._connected
        if not served.is_set():
            try:
                async with asyncio.timeout(max(timeout_s, 0.0)):
                    await served.wait()
            except TimeoutError:
                raise GatewayConnectionError(
                    "the link is down, and did not come back before the deadline"
                ) from None
        return process

    def _direct_broker(self) -> DirectBroker | None:
        """Without the integration layer, quotes and positions may be read straight from the link (MODE-4)."""
        config = self.config
        if config.features.integration_layer or not config.features.fallback_to_direct_broker:
            return None
        self.config = attrs.evolve(config, gateway=attrs.evolve(config.gateway, readonly=True))
        return DirectBroker(self._read_again, config.general.account)

    def refuse_direct(self, what: str) -> None:
        """Raise `ModeError` where there is no integration layer to serve this."""
        if self.direct is not None:
            raise ModeError(
                f"{what}: features.fallback_to_direct_broker reads quotes and positions only;"
                " set features.integration_layer = true"
            )

    # --- from the tree to this loop -------------------------------------------------------------------------------

    async def ensure_started(self) -> Process:
        """Start the tree unless it runs; raises `GatewayStoppedError` for one that has stopped."""
        if self.started is not None:
            if not self.started.is_running:
                raise GatewayStoppedError(f"the tree has stopped: {self.started.stop_reason}")
            return self.started
        process = self._make_process(
            self.config, self.mode, self.operator_id, self._risk_manager is not None
        )
        self.quotes = quotes = QuoteStreams(lambda held: _unsubscribe(process, held))
        self._bridge = Bridge(
            FACADE,
            process.tell,
            process.clock,
            process.entropy,
            self._routes(process),
            self.events.listeners,
            {
                **dict.fromkeys(
                    (m.QuotesUpdated, m.QuotesInterrupted, m.QuotesResumed), quotes.receive
                ),
                m.PositionsChanged: self._on_positions_changed,
            },
            process.masker.text,
        )
        process.register(FACADE, self._bridge.receive)
        process.on_stopped(self._tree_stopped)
        self.started = process
        try:
            await process.start()
        except BaseException:
            self.started = self._bridge = self.quotes = None
            raise
        return process

    def _routes(self, process: Process) -> Mapping[type[Message], Callable[[Any], None]]:
        """What happens on the caller's loop to messages that are no replies."""
        routes: dict[type[Message], Callable[[Any], None]] = {
            m.ConnectionStateChanged: self._on_connection_state,
            FailoverChanged: self._on_failover_changed,
            m.FeedsLost: self._on_feeds_lost,
            **self.events.routes,
        }
        if self._risk_manager is not None:
            host = RiskManagerHost(self._risk_manager, process.tell, process.log)
            routes |= {m.ConsultRiskManager: host.on_consult, m.SyncRiskManager: host.on_sync}
        return routes

    async def ask(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        *,
        grace_s: float = 0.0,
        **fields: Any,
    ) -> R:
        """Ask once; raises what the answer says, and `GatewayNotConnectedError` before the first start."""
        if self._bridge is None:
            raise GatewayNotConnectedError("not connected: call connect() first")
        return await self._bridge.ask(address, kind, expected, timeout_s, grace_s=grace_s, **fields)

    def _tree_stopped(self, reason: str) -> None:
        if self._bridge is not None:
            self._bridge.call_soon(self._after_stop, self._bridge, reason)

    def _after_stop(self, bridge: Bridge, reason: str) -> None:
        text = f"the tree has stopped: {reason}"
        self._connected.clear()
        self._served.clear()
        bridge.fail_all(text)
        self._end_streams(GatewayStoppedError(text))

    def _end_streams(self, error: GatewayError | None) -> None:
        self.events.end(error)
        if self.quotes is not None:
            self.quotes.end(error)

    def _on_connection_state(self, event: m.ConnectionStateChanged) -> None:
        for account in event.accounts:
            self.process.masker.hide_account(account)
        if event.state is ConnectionState.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()
        self._note_who_serves()

    def _on_positions_changed(self, event: Message) -> None:
        """Remember the positions, in their sender's thread; the loop is woken only for those who stream them."""
        assert isinstance(event, m.PositionsChanged)  # noqa: S101 - the inlet's kind
        is_streamed = self.events.note_positions(event.positions)
        if is_streamed and self._bridge is not None:
            self._bridge.call_soon(self.events.push_positions, event.positions)

    def _on_failover_changed(self, event: FailoverChanged) -> None:
        self.failover = event
        self._note_who_serves()

    def _note_who_serves(self) -> None:
        if self._connected.is_set() or self.failover.everything:
            self._served.set()
        else:
            self._served.clear()

    def _on_feeds_lost(self, _: m.FeedsLost) -> None:
        """Subscribe again at a market-data actor that was restarted."""
        if self.quotes is None:
            return
        for held in self.quotes.lost("the market-data actor was restarted"):
            self.process.tell(
                MARKET_DATA,
                m.SubscribeQuotes(
                    correlation_id=self.process.entropy.uuid4(),
                    deadline=self.process.clock.monotonic() + RESUBSCRIBE_S,
                    reply_to=FACADE,
                    subscription_id=held.subscription_id,
                    subscriber=FACADE,
                    symbols=held.symbols,
                    feed=held.feed,
                    resumed=True,
                ),
            )


def _unsubscribe(process: Process, subscription_id: str) -> None:
    """End a subscription, from any thread; a tree that has stopped has none."""
    with suppress(GatewayError):
        if process.is_running:
            process.tell(MARKET_DATA, m.UnsubscribeQuotes(subscription_id=subscription_id))


def checked_mode(mode: ExecutionMode | str) -> ExecutionMode:
    """Read an execution mode; live is refused with what to use instead (MODE-3)."""
    try:
        checked = ExecutionMode(mode)
    except ValueError:
        raise ModeError(f"mode must be dry_run or paper (was {mode!r})") from None
    if checked is ExecutionMode.LIVE:
        raise LiveTradingBlockedError(
            "live trading is blocked by construction, and no setting turns it on: use mode"
            " 'dry_run' (the default) or 'paper' with a paper account"
        )
    return checked


def as_config(config: Config | GatewayConfig | Path | str | None) -> Config:
    """Take a configuration in any of the forms that `IBKRGateway` accepts."""
    if isinstance(config, Config):
        return config
    if isinstance(config, GatewayConfig):
        return Config(gateway=config)
    return load(None if config is None else Path(config), os.environ)


def _default_process(
    config: Config, mode: ExecutionMode, operator_id: str, has_risk_manager: bool
) -> Process:
    from supervision.process import build_process  # the composition root imports everything

    return build_process(
        config, mode=mode, operator_id=operator_id, has_risk_manager=has_risk_manager
    )
