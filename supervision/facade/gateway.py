"""`IBKRGateway`: how an orchestrator embeds the tree.

Everything the facade does is a message that a test could inject (D18). Its own work is to turn a call into a request
with one deadline and one correlation id, to bring the answer to the caller's asyncio loop without ever blocking it, and
to fan out events. Reads survive a disconnect within their deadline; orders are never sent twice (GW-12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs

from actors import messages as m
from actors.errors import (
    ActorFailedError,
    GatewayTimeoutError,
    OrderValidationError,
    RequestValidationError,
)
from actors.kernel.messages import Request
from actors.logic.order_validation import checked_operator_id, checked_symbol, validate_signal
from actors.logic.zones import NEW_YORK
from actors.messages.addresses import (
    CONNECTION,
    EXECUTOR,
    FEED,
    JOURNAL,
    MARKET_DATA,
    POSITION,
    PUBLISHER,
    RECORDS,
    RISK,
    STRATEGY_C,
)
from actors.model.account import Account, Position
from actors.model.market import (
    BarList,
    FeedKind,
    IndicatorReading,
    MarketData,
    OptionChain,
    Quote,
)
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
from supervision.config.sections import Config, GatewayConfig
from supervision.facade.arguments import checked, shown
from supervision.facade.market_data import MarketDataCalls
from supervision.facade.quote_streams import QuoteStream
from supervision.facade.risk_manager import RiskManager
from supervision.facade.session import GatewaySession, as_config, checked_mode
from supervision.facade.streams import ConflatedStream, EventStream
from supervision.observe.masking import Masker
from supervision.process.handle import Process
from supervision.process.status import ProcessStatus

ORDER_GRACE_S = 0.03
"""The executor answers by the deadline with the true quantities; this much later the facade answers for it."""


BESIDE_ANSWER_S = 1.0
"""So long `IBKRGateway.status` waits for those who work beside the trading, on whom nothing depends."""

NO_JOURNAL: Final = m.JournalStatus(correlation_id="", degraded_by=None)
NO_RECORDS: Final = m.RecordsStatus(correlation_id="", degraded_by=None, waiting=0, dropped=0)
NO_DATA_STATUS: Final = m.DataStatus(correlation_id="")
NO_FEED: Final = m.FeedStatus(correlation_id="", degraded_by=None, requests_today=0)
NO_PUBLISHING: Final = m.PublishStatus(
    correlation_id="", degraded_by=None, waiting=0, dropped=0, published=0
)
R = TypeVar(
    "R", bound=m.JournalStatus | m.RecordsStatus | m.FeedStatus | m.PublishStatus | m.DataStatus
)


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
        checked = checked_mode(mode)
        self._session = session = GatewaySession(
            as_config(config), risk_manager, checked, checked_operator_id(operator_id), process
        )
        self._market_data = MarketDataCalls(session)
        # For requests that have no method here: once, at most once after connect(), again after a reconnect.
        self.ask, self.command, self.read = session.ask, session.command, session.read

    # --- life -----------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the link is up, proved healthy and reconciled."""
        return self._session.is_connected

    @property
    def execution_mode(self) -> ExecutionMode:
        """What happens to approved orders."""
        return self._session.mode

    @property
    def operator_id(self) -> str:
        """The id that stands on every order."""
        return self._session.operator_id

    @property
    def process(self) -> Process:
        """The running process handle, for injection and taps (SUP-10); raises `GatewayNotConnectedError` before."""
        return self._session.process

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.disconnect()  # nobody would: the block is not entered
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()

    @checked
    async def connect(self, timeout: float = 30.0) -> None:
        """Start the tree and connect. A timeout leaves the retrying running (GW-12)."""
        await self._session.connect(timeout)

    async def disconnect(self) -> None:
        """End the session in order and stop the tree; does nothing when it is not running."""
        await self._session.disconnect()

    @checked
    async def verify_connection(self, timeout: float = 5.0) -> bool:
        """Make a round trip to the broker now (GW-11)."""
        return await self._session.verify_connection(timeout)

    # --- market data ----------------------------------------------------------------------------------------------

    @checked
    async def get_market_data(
        self, symbol: str, timeout: float = 30.0, *, snapshot: bool = True
    ) -> MarketData:
        """Read a quote with indicators. Raises `SnapshotModeViolationError` when ``snapshot`` is false (MKT-5)."""
        return await self._market_data.snapshot(symbol, timeout, snapshot=snapshot)

    @checked
    async def get_historical_data(
        self,
        symbol: str,
        duration_minutes: int = 60,
        bar_size: str = "1 min",
        timeout: float = 30.0,
    ) -> BarList:
        """Read at most the last 60 one-minute bars; more raises `AlphaLearningViolationError` (MKT-6).

        The list has ``gaps``: stretches of an open session without bars. The last bar may be forming (``is_forming``).
        """
        return await self._market_data.historical_data(symbol, duration_minutes, bar_size, timeout)

    @checked
    async def get_indicators(
        self, symbols: Iterable[str], timeout: float = 30.0
    ) -> dict[str, IndicatorReading]:
        """Read the indicators of many symbols at once, without quotes.

        A symbol whose bars cannot be had by the deadline (IB allows 60 requests of history in ten minutes) has a
        reading that says why; it costs the others nothing.
        """
        return await self._market_data.indicators(symbols, timeout)

    @checked
    async def get_option_chain(self, symbol: str, timeout: float = 30.0) -> OptionChain:
        """Read the expiries and strikes that can be traded on ``symbol``."""
        return await self._market_data.option_chain(symbol, timeout)

    @checked
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
        """Read a snapshot of one option with its implied volatility and greeks.

        ``expiry`` is YYYYMMDD, ``right`` C, P, CALL or PUT. Raises `OrderValidationError`, whose text lists every field
        that is wrong, and `ContractQualificationError` for what is not listed, or not one contract alone.
        """
        return await self._market_data.option_quote(
            symbol, expiry, strike, right, timeout, snapshot=snapshot
        )

    @checked
    async def subscribe_quotes(
        self,
        symbols: Iterable[str],
        timeout: float = 30.0,
        *,
        feed: FeedKind | str | None = None,
    ) -> QuoteStream:
        """Stream quotes of many symbols (GW-7): iterate over what this returns, or over its ``events()``.

        ``feed`` is ``snapshots`` or ``ticks``; None: as configured. Ticks are refused beyond IB's few subscriptions.
        The subscription ends with ``aclose()``, or when nobody holds the stream any more.
        """
        return await self._market_data.subscribe(symbols, timeout, feed=feed)

    # --- orders ---------------------------------------------------------------------------------------------------

    @checked
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
        request = _validated(self._session, signal, strategy_context)
        self._session.refuse_direct("orders")
        self._session.require_asked()
        wait = _wait_for(wait_for, request.order_type)
        try:
            concluded = await self.ask(
                EXECUTOR,
                m.SubmitOrder,
                m.OrderConcluded,
                timeout,
                grace_s=ORDER_GRACE_S,
                request=request,
                wait_for=wait,
                submitted_at=self.process.clock.now(),
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
            execution_mode=self._session.mode,
            timestamp=self.process.clock.now(),
            cancel_confirmed=False,
        )

    @checked
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
        concluded = await self.command(
            EXECUTOR,
            m.ModifyOrder,
            m.OrderConcluded,
            timeout,
            order_id=order_id,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
        )
        return concluded.result

    @checked
    async def cancel_order(self, order_id: str, timeout: float = 30.0) -> OrderResult:
        """Cancel a working order and wait until it is terminal."""
        concluded = await self.command(
            EXECUTOR, m.CancelOrder, m.OrderConcluded, timeout, order_id=order_id
        )
        return concluded.result

    @checked
    async def get_open_orders(self, timeout: float = 30.0) -> list[OrderResult]:
        """The orders that work or whose fate is being asked for."""
        read = await self.command(EXECUTOR, m.GetOpenOrders, m.OpenOrdersRead, timeout)
        return list(read.orders)

    def orders(self) -> EventStream[OrderResult]:
        """Every change of every order from now on."""
        return self._session.events.orders()

    def fills(self) -> EventStream[Execution]:
        """Every execution from now on, each once; a correction is one more, with the `base_id` of what it replaces."""
        return self._session.events.fills()

    # --- positions and account ------------------------------------------------------------------------------------

    @checked
    async def get_positions(self, timeout: float = 10.0) -> list[Position]:
        """The positions; while the link is down or nobody answers the last known ones, as ``is_cached`` (POS-5)."""
        process = self._session.require_asked()
        if self._session.direct is not None:
            return await self._session.direct.positions(timeout, process.clock)
        try:
            read = await self.ask(POSITION, m.GetPositions, m.PositionsRead, timeout)
        except GatewayTimeoutError:
            known = self._session.events.newest_positions
            if not known:
                raise
            return [attrs.evolve(held, is_cached=True) for held in known]
        return list(read.positions)

    @checked
    async def close_position(
        self,
        position_id: str,
        reason: CloseReason | str = CloseReason.MANUAL,
        timeout: float = 30.0,
    ) -> OrderResult:
        """Close one position; raises `PositionNotFoundError` for an unknown id (POS-6).

        Outside the instrument's session nothing is sent, and `MarketClosedError` says when it opens.
        """
        closed = await self.command(
            POSITION,
            m.ClosePosition,
            m.PositionClosed,
            timeout,
            position_id=position_id,
            reason=_close_reason(reason),
        )
        return closed.result

    @checked
    async def close_all_positions(
        self,
        reason: CloseReason | str = CloseReason.MANUAL,
        timeout: float = 60.0,
    ) -> list[OrderResult]:
        """Close every position concurrently and keep going past failures (POS-7).

        What does not trade now is answered FAILED at once, with its opening; `liquidate` queues its closes instead.
        """
        closed = await self.command(
            POSITION,
            m.CloseAllPositions,
            m.AllPositionsClosed,
            timeout,
            reason=_close_reason(reason),
        )
        return list(closed.results)

    @checked
    async def flatten(
        self,
        symbol: str,
        timeout: float = 60.0,
        *,
        over_pending: bool = False,
        reason: CloseReason | str = CloseReason.MANUAL,
    ) -> m.SymbolFlattened:
        """Close whatever is held under ``symbol``, its options and futures included, and nothing else.

        Answers with the result of each close and with what is left, both empty where nothing is
        held. ``over_pending`` closes although an order that can still fill could turn the position round: look at what
        could come of it first (`flatten --over-pending`).
        """
        return await self.command(
            POSITION,
            m.FlattenSymbol,
            m.SymbolFlattened,
            timeout,
            symbol=checked_symbol(symbol),
            over_pending=over_pending,
            reason=_close_reason(reason),
        )

    @checked
    async def check_strategy_c_closures(self, timeout: float = 10.0) -> list[Position]:
        """The positions that are due to be closed: 3 DTE or emergency stop (POS-3)."""
        checked = await self.command(POSITION, m.CheckClosures, m.ClosuresChecked, timeout)
        return list(checked.due)

    @checked
    async def get_account(self, timeout: float = 10.0) -> Account:
        """The account's newest numbers, pushed by the broker (GW-6)."""
        read = await self.read(POSITION, m.GetAccount, m.AccountRead, timeout)
        return read.account

    def account_updates(self) -> ConflatedStream[Account]:
        """The account's numbers whenever they change."""
        return self._session.events.accounts()

    def position_updates(self) -> ConflatedStream[tuple[Position, ...]]:
        """All positions whenever one of them changes."""
        return self._session.events.positions()

    # --- Strategy C, usable while disconnected --------------------------------------------------------------------

    @checked
    async def rearm(
        self, who: str, why: str, timeout: float = 10.0, *, keep_positions: bool = False
    ) -> m.Rearmed:
        """Take Strategy C's latch back, with a name and a reason for the audit trail (STC-4).

        Closes that can still fill are ended first; the answer says what they filled, and names what stays held. While
        the link is down it is recorded, and carried out first when it is back: ``carried_out`` is False then. Raises
        `GatewayError` with the reason where it is refused: the liquidation then goes on. While contracts are being
        closed it waits for that to end or to rest; ``keep_positions`` stops the closing where it is.
        """
        await self._session.ensure_started()
        return await self.ask(
            STRATEGY_C,
            m.Rearm,
            m.Rearmed,
            timeout,
            who=who,
            why=why,
            keep_positions=keep_positions,
        )

    @checked
    async def liquidate(self, reason: str, timeout: float = 10.0) -> m.LiquidationAccepted:
        """Trigger Strategy C; answers with its id once the latch is durable, or says that it is not (STC-2)."""
        await self._session.ensure_started()
        return await self.ask(
            STRATEGY_C, m.Liquidate, m.LiquidationAccepted, timeout, reason=reason
        )

    @checked
    async def acknowledge_residual(self, who: str, why: str, timeout: float = 10.0) -> float:
        """Say that a person has explained what became of the account, so that orders may be opened again (RULES 4).

        Returns by how much the baselines moved. Raises `ModeError` where nothing is unexplained.
        """
        await self._session.ensure_started()
        told = await self.ask(
            RISK, m.AcknowledgeResidual, m.ResidualAcknowledged, timeout, who=who, why=why
        )
        return told.amount

    @checked
    async def status(self, timeout: float = 5.0) -> ProcessStatus:
        """Where everything stands."""
        process = await self._session.ensure_started()
        connection = await self.ask(CONNECTION, m.GetConnectionStatus, m.ConnectionStatus, timeout)
        liquidation = await self.ask(
            STRATEGY_C, m.GetLiquidationStatus, m.LiquidationStatus, timeout
        )
        wait_s = min(timeout, BESIDE_ANSWER_S)
        journal, records, feed, publishing, data = await asyncio.gather(
            self._beside(JOURNAL, m.GetJournalStatus, m.JournalStatus, NO_JOURNAL, wait_s),
            self._beside(RECORDS, m.GetRecordsStatus, m.RecordsStatus, NO_RECORDS, wait_s),
            self._beside(FEED, m.GetFeedStatus, m.FeedStatus, NO_FEED, wait_s),
            self._beside(PUBLISHER, m.GetPublishStatus, m.PublishStatus, NO_PUBLISHING, wait_s),
            self._beside(MARKET_DATA, m.GetDataStatus, m.DataStatus, NO_DATA_STATUS, wait_s),
        )
        return process.describe(
            connection,
            liquidation,
            journal,
            records,
            feed,
            publishing,
            data,
            self._session.failover.symbols,
        )

    async def _beside(
        self, address: str, kind: type[Request], expected: type[R], silent: R, timeout_s: float
    ) -> R:
        """Ask one who works beside the trading how it goes.

        Who does not answer is what is degraded, and no reason to fail; ``silent`` stands for one who is not there.
        """
        if all(actor.name != address for actor in self.process.tree.status()):
            return silent
        try:
            return await self.ask(address, kind, expected, timeout_s)
        except (GatewayTimeoutError, ActorFailedError) as error:
            return attrs.evolve(silent, degraded_by=str(error))

    @property
    def liquidation_reports(self) -> tuple[m.LiquidationReport, ...]:
        """The reports of liquidations that ended since this facade was made."""
        return tuple(self._session.events.reports)


def _validated(
    session: GatewaySession, signal: TradingSignal, strategy: StrategyContext
) -> TradeRequest:
    """Judge a signal by the exchange's date; what it says of account numbers is masked (OBS-4)."""
    process = session.started
    mask = Masker().text if process is None else process.masker.text
    today = None if process is None else process.clock.now().astimezone(NEW_YORK).date()
    try:
        return validate_signal(signal, strategy, session.operator_id, today)
    except OrderValidationError as error:
        raise OrderValidationError(mask(str(error))) from None
    except Exception as error:  # noqa: BLE001 - whatever a stranger's object raises
        raise RequestValidationError(
            f"signal must be a TradingSignal and strategy_context a StrategyContext (were {shown(signal)}"
            f" and {shown(strategy)}): {type(error).__name__}"
        ) from None


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
