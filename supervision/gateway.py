"""`IBKRGateway`: how an orchestrator embeds the tree.

Everything the facade does is a message that a test could inject (D18). Its own work is to turn a call into a request
with one deadline and one correlation id, to bring the answer to the caller's asyncio loop without ever blocking it, and
to fan out events. Reads survive a disconnect within their deadline; orders are never sent twice (GW-12).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs

from actors.errors import (
    GatewayConnectionError,
    GatewayError,
    GatewayNotConnectedError,
    GatewayStoppedError,
    GatewayTimeoutError,
    LiveTradingBlockedError,
    ModeError,
    OrderValidationError,
    SnapshotModeViolationError,
)
from actors.logic.history import history_violation
from actors.logic.order_validation import parse_expiry, validate_signal
from actors.messages.addresses import (
    CONNECTION,
    EXECUTOR,
    GATEWAY,
    MARKET_DATA,
    POSITION,
    STRATEGY_C,
)
from actors.messages.connection import (
    Connect,
    Connected,
    ConnectionStateChanged,
    ConnectionStatus,
    ConnectionVerified,
    Disconnect,
    Disconnected,
    GetConnectionStatus,
    VerifyConnection,
)
from actors.messages.lifecycle import Message, Reply, Request
from actors.messages.liquidation import (
    GetLiquidationStatus,
    Liquidate,
    LiquidationAccepted,
    LiquidationReport,
    LiquidationStatus,
    Rearm,
    Rearmed,
)
from actors.messages.market_data import (
    BarsRead,
    FeedsLost,
    GetBars,
    GetMarketData,
    GetOptionChain,
    GetOptionQuote,
    MarketDataRead,
    OptionChainRead,
    QuoteRead,
    QuotesInterrupted,
    QuotesResumed,
    QuotesSubscribed,
    QuoteUpdated,
    SubscribeQuotes,
    UnsubscribeQuotes,
)
from actors.messages.orders import (
    CancelOrder,
    ExecutionRecorded,
    GetOpenOrders,
    ModifyOrder,
    OpenOrdersRead,
    OrderChanged,
    OrderConcluded,
    SubmitOrder,
)
from actors.messages.positions import (
    AccountChanged,
    AccountRead,
    AllPositionsClosed,
    CheckClosures,
    CloseAllPositions,
    ClosePosition,
    ClosuresChecked,
    GetAccount,
    GetPositions,
    PositionClosed,
    PositionsChanged,
    PositionsRead,
)
from actors.messages.risk import ConsultRiskManager, SyncRiskManager
from actors.model.account import Account, Position
from actors.model.connection import ConnectionState
from actors.model.contracts import ContractQuery, Right, SecurityType
from actors.model.market import Bar, MarketData, OptionChain, Quote
from actors.model.orders import (
    OPERATOR_ID,
    CloseReason,
    Execution,
    ExecutionMode,
    OrderResult,
    OrderStatus,
    OrderType,
    StrategyContext,
    TradeRequest,
    TradingSignal,
    WaitFor,
)
from supervision.bridge import Bridge
from supervision.config import Config, GatewayConfig, load
from supervision.process import Process
from supervision.risk_manager import RiskManager, RiskManagerHost
from supervision.status import ProcessStatus
from supervision.streams import ConflatedStream, EventStream

R = TypeVar("R", bound=Reply)

RESUBSCRIBE_S = 30.0
RECONNECT_POLL_S = 0.005

ORDER_GRACE_S = 0.03
"""The executor answers by the deadline with the true quantities; this much later the facade answers for it."""


class IBKRGateway:
    """The async facade (GW-1…12). One object is one supervised tree and at most one link.

    ``config`` is a `Config`, a `GatewayConfig` (the rest keeps its defaults), a path to a ``config.toml``, or None for
    the defaults (the embedded simulated gateway). ``mode`` is ``dry_run`` or ``paper``; ``live`` raises
    `LiveTradingBlockedError`. An empty ``operator_id`` raises `OrderValidationError`.

    Every call takes a timeout in seconds, which becomes one deadline; it ends in `GatewayTimeoutError` (a
    `TimeoutError`) except `submit_order`, which answers TIMEOUT or PARTIAL (ORD-6).
    """

    def __init__(
        self,
        config: Config | GatewayConfig | Path | str | None = None,
        risk_manager: RiskManager | None = None,
        mode: ExecutionMode | str = ExecutionMode.DRY_RUN,
        operator_id: str = OPERATOR_ID,
        *,
        process: Callable[[Config, ExecutionMode, str, bool], Process] | None = None,
    ) -> None:
        self._mode = checked_mode(mode)
        if not operator_id.strip():
            raise OrderValidationError("operator_id must not be empty: it stands on every order")
        self._config = as_config(config)
        self._risk_manager = risk_manager
        self._operator_id = operator_id
        self._make_process = process or _default_process
        self._process: Process | None = None
        self._bridge: Bridge | None = None
        self._connected = asyncio.Event()
        self._asked_to_connect = False
        self._order_streams: list[EventStream[OrderResult]] = []
        self._fill_streams: list[EventStream[Execution]] = []
        self._account_streams: list[ConflatedStream[Account]] = []
        self._position_streams: list[ConflatedStream[tuple[Position, ...]]] = []
        self._quote_streams: dict[str, _QuoteSubscription] = {}
        self._reports: list[LiquidationReport] = []

    # --- life -----------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the link is up, proved healthy and reconciled."""
        return self._connected.is_set()

    @property
    def execution_mode(self) -> ExecutionMode:
        """What happens to approved orders."""
        return self._mode

    @property
    def operator_id(self) -> str:
        """The id that stands on every order."""
        return self._operator_id

    @property
    def process(self) -> Process:
        """The running process handle, for injection and taps (SUP-10); raises `GatewayNotConnectedError` before."""
        if self._process is None:
            raise GatewayNotConnectedError("not started: call connect() first")
        return self._process

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()

    async def connect(self, timeout: float = 30.0) -> None:
        """Start the tree and connect. A timeout leaves the retrying running (GW-12)."""
        if not self._config.features.integration_layer and not self._direct_reads:
            raise ModeError(
                "features.integration_layer is false: set it to true to connect, or set"
                " features.fallback_to_direct_broker for read-only quotes and positions"
            )
        await self._ensure_started()
        self._asked_to_connect = True
        await self._ask(CONNECTION, Connect, Connected, timeout)

    async def disconnect(self) -> None:
        """End the session in order and stop the tree; does nothing when it is not running."""
        process = self._process
        if process is None:
            return
        shutdown_s = self._config.supervision.shutdown_s
        try:
            if process.is_running:
                await self._ask(CONNECTION, Disconnect, Disconnected, shutdown_s)
        except GatewayError as error:
            process.log("disconnect_incomplete", level="WARNING", error=str(error))
        finally:
            self._asked_to_connect = False
            self._connected.clear()
            await process.stop("disconnect() was called")
            self._process = None
            self._bridge = None
            self._end_streams(None)

    async def verify_connection(self, timeout: float = 5.0) -> bool:
        """Make a round trip to the broker now (GW-11)."""
        try:
            await self._ask(CONNECTION, VerifyConnection, ConnectionVerified, timeout)
        except (GatewayError, OSError):
            return False
        return True

    # --- market data ----------------------------------------------------------------------------------------------

    async def get_market_data(
        self, symbol: str, timeout: float = 30.0, *, snapshot: bool = True
    ) -> MarketData:
        """Read a quote with indicators. Raises `SnapshotModeViolationError` when ``snapshot`` is false (MKT-5)."""
        _require_snapshot(snapshot)
        read = await self._read(MARKET_DATA, GetMarketData, MarketDataRead, timeout, symbol=symbol)
        return read.market_data

    async def get_historical_data(
        self,
        symbol: str,
        duration_minutes: int = 60,
        bar_size: str = "1 min",
        timeout: float = 30.0,
    ) -> list[Bar]:
        """Read at most the last 60 one-minute bars; more raises `AlphaLearningViolationError` (MKT-6)."""
        violation = history_violation(duration_minutes, bar_size)
        if violation is not None:
            raise violation
        read = await self._read(
            MARKET_DATA,
            GetBars,
            BarsRead,
            timeout,
            symbol=symbol,
            duration_minutes=duration_minutes,
            bar_size=bar_size,
        )
        return list(read.bars)

    async def get_option_chain(self, symbol: str, timeout: float = 30.0) -> OptionChain:
        """Read the expiries and strikes that can be traded on ``symbol``."""
        read = await self._read(
            MARKET_DATA, GetOptionChain, OptionChainRead, timeout, symbol=symbol
        )
        return read.chain

    async def get_option_quote(
        self,
        symbol: str,
        expiry: str,
        strike: float,
        right: str,
        timeout: float = 30.0,
        *,
        snapshot: bool = True,
    ) -> Quote:
        """Read a snapshot of one option with its implied volatility and greeks; ``expiry`` is YYYYMMDD."""
        _require_snapshot(snapshot)
        query = ContractQuery(
            symbol=symbol,
            security_type=SecurityType.OPTION,
            expiry=parse_expiry(expiry),
            strike=strike,
            right=Right.parse(right),
        )
        read = await self._read(MARKET_DATA, GetOptionQuote, QuoteRead, timeout, query=query)
        return read.quote

    async def subscribe_quotes(
        self, symbols: list[str] | tuple[str, ...], timeout: float = 30.0
    ) -> ConflatedStream[Quote]:
        """Feed quotes of many symbols: iterate over what this returns, ``aclose()`` it to end the feed (GW-7)."""
        process = await self._require_connected(timeout)
        subscription_id = process.entropy.uuid4()

        def close(_: ConflatedStream[Quote]) -> None:
            if self._quote_streams.pop(subscription_id, None) is not None and process.is_running:
                process.tell(MARKET_DATA, UnsubscribeQuotes(subscription_id=subscription_id))

        stream: ConflatedStream[Quote] = ConflatedStream(close, lambda quote: quote.contract.con_id)
        self._quote_streams[subscription_id] = _QuoteSubscription(tuple(symbols), stream)
        try:
            await self._subscribe(subscription_id, tuple(symbols), timeout)
        except BaseException:
            self._quote_streams.pop(subscription_id, None)
            raise
        return stream

    async def _subscribe(
        self, subscription_id: str, symbols: tuple[str, ...], timeout_s: float
    ) -> None:
        await self._ask(
            MARKET_DATA,
            SubscribeQuotes,
            QuotesSubscribed,
            timeout_s,
            subscription_id=subscription_id,
            subscriber=GATEWAY,
            symbols=symbols,
        )

    # --- orders ---------------------------------------------------------------------------------------------------

    async def submit_order(
        self,
        signal: TradingSignal,
        strategy_context: StrategyContext,
        timeout: float = 30.0,
        wait_for: WaitFor | str | None = None,
    ) -> OrderResult:
        """Bring an order to the broker, by way of risk (GW-4).

        Waits for its end (``fill``) or the broker's acknowledgement (``ack``, the default for STP). Answers TIMEOUT or
        PARTIAL with the true quantities at the deadline. Raises `OrderValidationError` for a bad signal before
        anything else happens.
        """
        request = validate_signal(signal, strategy_context, self._operator_id)
        self._refuse_direct("orders")
        await self._require_asked()
        wait = _wait_for(wait_for, request.order_type)
        try:
            concluded = await self._ask(
                EXECUTOR,
                SubmitOrder,
                OrderConcluded,
                timeout,
                grace_s=ORDER_GRACE_S,
                request=request,
                wait_for=wait,
            )
        except GatewayTimeoutError as error:
            return self._timed_out(request, str(error))
        return concluded.result

    def _timed_out(self, request: TradeRequest, reason: str) -> OrderResult:
        """Answer for an executor that did not: what became of the order is told on the event stream."""
        return OrderResult(
            order_id="",
            status=OrderStatus.TIMEOUT,
            symbol=request.symbol,
            action=request.action,
            quantity=request.quantity,
            rejection_reason=f"{reason}; what became of the order is told on orders()",
            execution_mode=self._mode,
            timestamp=self.process.clock.now(),
            cancel_confirmed=False,
        )

    async def modify_order(
        self,
        order_id: str,
        *,
        quantity: float | None = None,
        limit_price: float | None = None,
        stop_price: float | None = None,
        timeout: float = 30.0,
    ) -> OrderResult:
        """Change a working order; it needs a permit for its new content (ORD-3)."""
        concluded = await self._command(
            EXECUTOR,
            ModifyOrder,
            OrderConcluded,
            timeout,
            order_id=order_id,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
        )
        return concluded.result

    async def cancel_order(self, order_id: str, timeout: float = 30.0) -> OrderResult:
        """Cancel a working order and wait until it is terminal."""
        concluded = await self._command(
            EXECUTOR, CancelOrder, OrderConcluded, timeout, order_id=order_id
        )
        return concluded.result

    async def get_open_orders(self, timeout: float = 30.0) -> list[OrderResult]:
        """The orders that work or whose fate is being asked for."""
        read = await self._command(EXECUTOR, GetOpenOrders, OpenOrdersRead, timeout)
        return list(read.orders)

    def orders(self) -> EventStream[OrderResult]:
        """Every change of every order from now on."""
        return self._event_stream(self._order_streams)

    def fills(self) -> EventStream[Execution]:
        """Every execution from now on, each once."""
        return self._event_stream(self._fill_streams)

    # --- positions and account ------------------------------------------------------------------------------------

    async def get_positions(self, timeout: float = 10.0) -> list[Position]:
        """The positions; while the link is down the last known ones, flagged ``is_cached`` (POS-5)."""
        await self._require_asked()
        read = await self._ask(POSITION, GetPositions, PositionsRead, timeout)
        return list(read.positions)

    async def close_position(
        self,
        position_id: str,
        reason: CloseReason | str = CloseReason.MANUAL,
        timeout: float = 30.0,
    ) -> OrderResult:
        """Close one position; raises `PositionNotFoundError` for an unknown id (POS-6)."""
        closed = await self._command(
            POSITION,
            ClosePosition,
            PositionClosed,
            timeout,
            position_id=position_id,
            reason=_close_reason(reason),
        )
        return closed.result

    async def close_all_positions(
        self,
        reason: CloseReason | str = CloseReason.MANUAL,
        timeout: float = 60.0,
    ) -> list[OrderResult]:
        """Close every position concurrently and keep going past failures (POS-7)."""
        closed = await self._command(
            POSITION,
            CloseAllPositions,
            AllPositionsClosed,
            timeout,
            reason=_close_reason(reason),
        )
        return list(closed.results)

    async def check_strategy_c_closures(self, timeout: float = 10.0) -> list[Position]:
        """The positions that are due to be closed: 3 DTE or emergency stop (POS-3)."""
        checked = await self._command(POSITION, CheckClosures, ClosuresChecked, timeout)
        return list(checked.due)

    async def get_account(self, timeout: float = 10.0) -> Account:
        """The account's newest numbers, pushed by the broker (GW-6)."""
        read = await self._read(POSITION, GetAccount, AccountRead, timeout)
        return read.account

    def account_updates(self) -> ConflatedStream[Account]:
        """The account's numbers whenever they change."""
        return self._conflated_stream(self._account_streams, lambda account: account.account_id)

    def position_updates(self) -> ConflatedStream[tuple[Position, ...]]:
        """All positions whenever one of them changes."""
        return self._conflated_stream(self._position_streams, lambda _: "positions")

    # --- Strategy C, usable while disconnected --------------------------------------------------------------------

    async def rearm(self, who: str, why: str, timeout: float = 10.0) -> None:
        """Take Strategy C's latch back, with a name and a reason for the audit trail (STC-4)."""
        await self._ensure_started()
        await self._ask(STRATEGY_C, Rearm, Rearmed, timeout, who=who, why=why)

    async def liquidate(self, reason: str, timeout: float = 10.0) -> str:
        """Trigger Strategy C; returns its id once the latch is durable (STC-2)."""
        await self._ensure_started()
        accepted = await self._ask(
            STRATEGY_C, Liquidate, LiquidationAccepted, timeout, reason=reason
        )
        return accepted.liquidation_id

    async def status(self, timeout: float = 5.0) -> ProcessStatus:
        """Where everything stands."""
        process = await self._ensure_started()
        connection = await self._ask(CONNECTION, GetConnectionStatus, ConnectionStatus, timeout)
        liquidation = await self._ask(STRATEGY_C, GetLiquidationStatus, LiquidationStatus, timeout)
        return process.describe(connection, liquidation)

    @property
    def liquidation_reports(self) -> tuple[LiquidationReport, ...]:
        """The reports of liquidations that ended since this facade was made."""
        return tuple(self._reports)

    # --- requests -------------------------------------------------------------------------------------------------

    async def _read(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        **fields: Any,
    ) -> R:
        """Ask for something that may be asked again: it waits for a lost link within its deadline (GW-12)."""
        await self._require_asked()
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        while True:
            await self._require_connected(ends_at - loop.time())
            left_s = ends_at - loop.time()
            try:
                return await self._ask(address, kind, expected, max(left_s, 1e-3), **fields)
            except GatewayConnectionError:
                # The state change may still be on its way here; one turn of the loop lets it arrive first.
                await asyncio.sleep(RECONNECT_POLL_S)
                if loop.time() >= ends_at:
                    raise

    async def _command(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        **fields: Any,
    ) -> R:
        """Ask for something that is done at most once."""
        self._refuse_direct(kind.__name__)
        await self._require_asked()
        return await self._ask(address, kind, expected, timeout_s, **fields)

    async def _require_asked(self) -> Process:
        process = self._process
        if process is None or not self._asked_to_connect:
            raise GatewayNotConnectedError("not connected: call connect() first")
        if not process.is_running:
            raise GatewayStoppedError(f"the tree has stopped: {process.stop_reason}")
        return process

    async def _require_connected(self, timeout_s: float) -> Process:
        process = await self._require_asked()
        if not self._connected.is_set():
            try:
                async with asyncio.timeout(max(timeout_s, 0.0)):
                    await self._connected.wait()
            except TimeoutError:
                raise GatewayConnectionError(
                    "the link is down, and did not come back before the deadline"
                ) from None
        return process

    @property
    def _direct_reads(self) -> bool:
        features = self._config.features
        return features.fallback_to_direct_broker and not features.integration_layer

    def _refuse_direct(self, what: str) -> None:
        if self._direct_reads:
            raise ModeError(
                f"{what}: features.fallback_to_direct_broker reads quotes and positions only;"
                " set features.integration_layer = true"
            )

    # --- from the tree to this loop -------------------------------------------------------------------------------

    async def _ensure_started(self) -> Process:
        if self._process is not None:
            if not self._process.is_running:
                raise GatewayStoppedError(f"the tree has stopped: {self._process.stop_reason}")
            return self._process
        process = self._make_process(
            self._config, self._mode, self._operator_id, self._risk_manager is not None
        )
        self._bridge = Bridge(
            GATEWAY, process.tell, process.clock, process.entropy, self._routes(process)
        )
        process.register(GATEWAY, self._bridge.receive)
        process.on_stopped(self._tree_stopped)
        self._process = process
        try:
            await process.start()
        except BaseException:
            self._process = self._bridge = None
            raise
        return process

    def _routes(self, process: Process) -> Mapping[type[Message], Callable[[Any], None]]:
        """What happens on the caller's loop to messages that are no replies."""
        routes: dict[type[Message], Callable[[Any], None]] = {
            ConnectionStateChanged: self._on_connection_state,
            OrderChanged: lambda event: _push(self._order_streams, event.result),
            ExecutionRecorded: lambda event: _push(self._fill_streams, event.execution),
            AccountChanged: lambda event: _push(self._account_streams, event.account),
            PositionsChanged: lambda event: _push(self._position_streams, event.positions),
            QuoteUpdated: self._on_quote,
            QuotesInterrupted: self._on_interrupted,
            QuotesResumed: self._on_resumed,
            FeedsLost: self._on_feeds_lost,
            LiquidationReport: self._reports.append,
        }
        if self._risk_manager is not None:
            host = RiskManagerHost(self._risk_manager, process.tell, process.log)
            routes |= {ConsultRiskManager: host.on_consult, SyncRiskManager: host.on_sync}
        return routes

    async def _ask(
        self,
        address: str,
        kind: Callable[..., Request],
        expected: type[R],
        timeout_s: float,
        *,
        grace_s: float = 0.0,
        **fields: Any,
    ) -> R:
        if self._bridge is None:
            raise GatewayNotConnectedError("not connected: call connect() first")
        return await self._bridge.ask(address, kind, expected, timeout_s, grace_s=grace_s, **fields)

    def _tree_stopped(self, reason: str) -> None:
        if self._bridge is not None:
            self._bridge.call_soon(self._after_stop, self._bridge, reason)

    def _after_stop(self, bridge: Bridge, reason: str) -> None:
        text = f"the tree has stopped: {reason}"
        self._connected.clear()
        bridge.fail_all(text)
        self._end_streams(GatewayStoppedError(text))

    def _end_streams(self, error: GatewayError | None) -> None:
        streams: list[Any] = [
            *self._order_streams,
            *self._fill_streams,
            *self._account_streams,
            *self._position_streams,
            *(held.stream for held in self._quote_streams.values()),
        ]
        for stream in streams:
            stream.end(error)

    def _on_connection_state(self, event: ConnectionStateChanged) -> None:
        if event.state is ConnectionState.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()

    def _on_quote(self, event: QuoteUpdated) -> None:
        for held in self._quote_streams.values():
            if event.quote.symbol in held.symbols:
                held.stream.push(event.quote)

    def _on_interrupted(self, event: QuotesInterrupted) -> None:
        self.process.log(
            "quotes_interrupted", level="WARNING", symbols=event.symbols, reason=event.reason
        )

    def _on_resumed(self, event: QuotesResumed) -> None:
        self.process.log("quotes_resumed", symbols=event.symbols)

    def _on_feeds_lost(self, _: FeedsLost) -> None:
        """Subscribe again at a market-data actor that was restarted; it sends the same ids twice without harm."""
        for subscription_id, held in self._quote_streams.items():
            self.process.tell(
                MARKET_DATA,
                SubscribeQuotes(
                    correlation_id=self.process.entropy.uuid4(),
                    deadline=self.process.clock.monotonic() + RESUBSCRIBE_S,
                    reply_to=GATEWAY,
                    subscription_id=subscription_id,
                    subscriber=GATEWAY,
                    symbols=held.symbols,
                ),
            )

    # --- streams --------------------------------------------------------------------------------------------------

    def _event_stream(self, streams: list[EventStream[Any]]) -> EventStream[Any]:
        stream: EventStream[Any] = EventStream(
            streams.remove, self._config.supervision.stream_bound
        )
        streams.append(stream)
        return stream

    def _conflated_stream(
        self, streams: list[ConflatedStream[Any]], key: Callable[[Any], Any]
    ) -> ConflatedStream[Any]:
        stream: ConflatedStream[Any] = ConflatedStream(streams.remove, key)
        streams.append(stream)
        return stream


@attrs.frozen
class _QuoteSubscription:
    symbols: tuple[str, ...]
    stream: ConflatedStream[Quote]


def _push(streams: list[Any], event: object) -> None:
    for stream in tuple(streams):
        stream.push(event)


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
    from supervision.runtime import build_process  # the composition root imports everything

    return build_process(
        config, mode=mode, operator_id=operator_id, has_risk_manager=has_risk_manager
    )


def _require_snapshot(snapshot: bool) -> None:
    if not snapshot:
        raise SnapshotModeViolationError("quotes are read with snapshot=True only (was False)")


def _wait_for(wait_for: WaitFor | str | None, order_type: OrderType) -> WaitFor:
    if wait_for is None:
        return WaitFor.ACK if order_type is OrderType.STOP else WaitFor.FILL
    try:
        return WaitFor(wait_for)
    except ValueError:
        raise OrderValidationError(f"wait_for must be fill or ack (was {wait_for!r})") from None


def _close_reason(reason: CloseReason | str) -> CloseReason:
    try:
        return CloseReason(reason)
    except ValueError:
        allowed = ", ".join(CloseReason)
        raise OrderValidationError(f"reason must be one of {allowed} (was {reason!r})") from None
