"""The position actor: what is held, what it is worth, and when it has to go.

The broker's own word on quantities counts here; risk keeps a ledger of its own from executions. Positions are closed
through the executor like everything else: sized from what is held, approved by risk, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from actors.base import ActorContext
from actors.conversations import (
    ANSWERS,
    ConversingActor,
    root_id,
)
from actors.errors import (
    ErrorInfo,
    GatewayError,
    GatewayNotConnectedError,
    MarketClosedError,
    PositionNotFoundError,
    describe,
    restore,
)
from actors.hours import HoursKeeper, NextHours
from actors.logic.close_orders import close_order
from actors.logic.closures import ClosureLimits
from actors.logic.pnl import exit_price, position_views
from actors.messages.addresses import CONNECTION, EXECUTOR, GATEWAY, MARKET_DATA, RISK
from actors.messages.connection import (
    ConnectionStateChanged,
    NothingToReconcile,
    Reconcile,
    Reconciled,
    ReconciliationCompleted,
    RequestReconciliation,
)
from actors.messages.lifecycle import Message, Reply, Request
from actors.messages.market_data import ContractQualified, GetQuote, QuoteRead, QuoteUpdated
from actors.messages.orders import OrderConcluded, SubmitOrder
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
    HoldingReported,
    PositionClosed,
    PositionsChanged,
    PositionsRead,
)
from actors.messages.risk import SyncRiskManager
from actors.model.account import Account, Holding, Position
from actors.model.connection import ConnectionState
from actors.model.market import Quote
from actors.model.orders import (
    OPERATOR_ID,
    CloseReason,
    ExecutionMode,
    OrderAction,
    OrderResult,
    OrderStatus,
)
from actors.ports import EventLog, no_log

CLOSED = (OrderStatus.FILLED, OrderStatus.SIMULATED)
"""The results after which a close is not tried again."""


@attrs.frozen(kw_only=True)
class PositionSettings:
    """The ``[positions]`` section as this actor needs it; times in seconds."""

    limits: ClosureLimits = attrs.field(factory=ClosureLimits)
    check_interval_s: float = 1.0
    quote_timeout_s: float = 12.0
    reconcile_interval_s: float = 900.0
    close_attempts: int = 3
    close_retry_s: float = 0.5
    operator_id: str = OPERATOR_ID
    mode: ExecutionMode = ExecutionMode.DRY_RUN
    closes_by_itself: bool = True


@attrs.frozen(kw_only=True)
class _CheckDue(Message):
    """Prices and closures shall be looked at now."""


@attrs.frozen(kw_only=True)
class _ReconciliationDue(Message):
    """The positions shall be compared with the broker's now (POS-4)."""


@attrs.frozen(kw_only=True)
class _CloseAgain(Message):
    """A close of a `CloseAllPositions` that did not succeed shall be tried once more."""

    correlation_id: str
    con_id: int
    attempt: int


@attrs.define
class _CloseAll:
    """A `CloseAllPositions` under way: results so far, and the positions whose close has not come back."""

    request: CloseAllPositions
    results: list[OrderResult] = attrs.field(factory=list)
    pending: set[int] = attrs.field(factory=set)
    closed: set[int] = attrs.field(factory=set)


class PositionActor(ConversingActor):
    """See the module's docstring."""

    recovers = True

    handlers: ClassVar[Mapping[type[Message], str]] = {
        GetPositions: "on_get_positions",
        GetAccount: "on_get_account",
        ClosePosition: "on_close_position",
        CloseAllPositions: "on_close_all_positions",
        CheckClosures: "on_check_closures",
        HoldingReported: "on_holding_reported",
        AccountChanged: "on_account_changed",
        QuoteUpdated: "on_quote_updated",
        ConnectionStateChanged: "on_connection_state_changed",
        Reconcile: "on_reconcile",
        NothingToReconcile: "on_nothing_to_reconcile",
        ReconciliationCompleted: "on_reconciliation_completed",
        _CheckDue: "on_check_due",
        _ReconciliationDue: "on_reconciliation_due",
        _CloseAgain: "on_close_again",
        NextHours: "on_next_hours",
        ContractQualified: "on_answer",
        OrderConcluded: "on_answer",
        QuoteRead: "on_answer",
        **ANSWERS,
    }

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: PositionSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings or PositionSettings()
        self.log = log
        self.holdings: dict[int, Holding] = {}
        self.known = False
        self.connected = False
        self.account: Account | None = None
        self.quotes: dict[int, Quote] = {}
        self.asking: set[int] = set()
        self.closing: set[int] = set()
        self.warned: set[int] = set()
        self.close_alls: dict[str, _CloseAll] = {}
        self.waiting: set[int] = set()
        self.hours = HoursKeeper(self)

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Ask for the broker's state, and begin to look at the positions."""
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))
        self.schedule(self.settings.check_interval_s, _CheckDue())
        self.schedule(self.settings.reconcile_interval_s, _ReconciliationDue())

    def on_reconciliation_due(self, _: _ReconciliationDue) -> None:
        """Compare with the broker on a timer, too: a push may have been lost."""
        self.schedule(self.settings.reconcile_interval_s, _ReconciliationDue())
        if self.connected:
            self.tell(CONNECTION, RequestReconciliation(sender=self.name))

    def on_nothing_to_reconcile(self, _: NothingToReconcile) -> None:
        """There is no session: serve what needs none."""
        self.recovered()

    def on_reconciliation_completed(self, _: ReconciliationCompleted) -> None:
        """Nothing is left to do: this actor took over its part in `on_reconcile`."""

    def on_reconcile(self, message: Reconcile) -> None:
        """Take over the broker's holdings: the broker wins (POS-4)."""
        told = {
            holding.contract.con_id: holding
            for holding in message.state.holdings
            if holding.quantity
        }
        differences = self._differences(told) if self.known else ()
        self.holdings = told
        self.known = self.connected = True
        self.account = message.state.account
        self.hours.want(holding.contract for holding in told.values())
        self.tell(
            CONNECTION,
            Reconciled(number=message.number, sender=self.name, differences=differences),
        )
        self._publish()
        self.tell(GATEWAY, AccountChanged(account=message.state.account))
        self.recovered()

    def _differences(self, told: Mapping[int, Holding]) -> tuple[str, ...]:
        found = []
        for con_id in sorted(self.holdings.keys() | told.keys()):
            ours, theirs = self.holdings.get(con_id), told.get(con_id)
            before = ours.quantity if ours else 0.0
            after = theirs.quantity if theirs else 0.0
            named = theirs or ours
            if before != after and named is not None:
                found.append(f"{named.contract.position_id}: {before:g} here, {after:g} there")
        return tuple(found)

    # --- reads ----------------------------------------------------------------------------------------------------

    def on_get_positions(self, request: GetPositions) -> None:
        """Tell the positions; while the link is down those that were known, flagged as such (POS-5)."""
        if self._refuses_unknown(request):
            return
        is_cached = not self.connected
        self.reply(
            request,
            PositionsRead(
                correlation_id=request.correlation_id,
                positions=self._views(is_cached=is_cached),
                is_cached=is_cached,
            ),
        )

    def on_get_account(self, request: GetAccount) -> None:
        """Tell the account's newest numbers."""
        if self.account is None:
            self.refuse(request, GatewayNotConnectedError("the account is not known yet"))
            return
        self.reply(
            request, AccountRead(correlation_id=request.correlation_id, account=self.account)
        )

    def on_check_closures(self, request: CheckClosures) -> None:
        """Tell which positions are due to be closed."""
        if self._refuses_unknown(request):
            return
        due = tuple(view for view in self._views() if view.closure_trigger is not None)
        self.reply(request, ClosuresChecked(correlation_id=request.correlation_id, due=due))

    def _refuses_unknown(self, request: Request) -> bool:
        """Before the first read of the broker's state, no positions means nothing."""
        if not self.known:
            self.refuse(request, GatewayNotConnectedError("positions are not known yet"))
        return not self.known

    def _views(self, *, is_cached: bool = False) -> tuple[Position, ...]:
        return position_views(
            self.holdings.values(),
            self.quotes,
            self.clock.now(),
            self.settings.limits,
            is_cached,
        )

    # --- closing --------------------------------------------------------------------------------------------------

    def on_close_position(self, request: ClosePosition) -> None:
        """Close one position by a market order of the opposite side, now or not at all (STC-7 is Strategy C's)."""
        if self._refuses_unknown(request):
            return
        holding = self._by_position_id(request.position_id)
        if holding is None:
            self.refuse(
                request,
                PositionNotFoundError(f"no position has the id {request.position_id!r}"),
            )
            return
        closed_market = self._closed_market(holding)
        if closed_market is not None:
            self.refuse(request, closed_market)
            return

        def closed(reply: Reply) -> None:
            assert isinstance(reply, OrderConcluded)  # noqa: S101 - answers in kind
            self.reply(
                request,
                PositionClosed(
                    correlation_id=request.correlation_id,
                    position_id=request.position_id,
                    result=reply.result,
                ),
            )

        self.conversations.ask(
            EXECUTOR,
            self._close_order(request, holding, request.reason, "close"),
            closed,
            lambda error: self.refuse(request, restore(error)),
        )

    def on_close_all_positions(self, request: CloseAllPositions) -> None:
        """Close everything side by side, and keep going past failures (POS-7)."""
        if self._refuses_unknown(request):
            return
        run = _CloseAll(request)
        run.pending = set(self.holdings)
        if not run.pending:
            self._answer_close_all(run)
            return
        self.close_alls[request.correlation_id] = run
        for con_id in tuple(run.pending):
            self._close_one_of(run, con_id, attempt=1)

    def _close_one_of(self, run: _CloseAll, con_id: int, attempt: int) -> None:
        holding = self.holdings.get(con_id)
        if holding is None:
            self._one_closed(run, con_id)
            return

        def closed(reply: Reply) -> None:
            assert isinstance(reply, OrderConcluded)  # noqa: S101 - answers in kind
            run.results.append(reply.result)
            if reply.result.status is OrderStatus.FILLED:
                run.closed.add(con_id)
            if reply.result.status in CLOSED or not self._may_try_again(run, attempt):
                self._one_closed(run, con_id)
            else:
                self._close_later(run, con_id, attempt + 1)

        def failed(error: ErrorInfo) -> None:
            self.log(
                "close_failed",
                level="ERROR",
                correlation_id=root_id(run.request.correlation_id),
                position_id=holding.contract.position_id,
                why=error.text,
            )
            if error.retryable and self._may_try_again(run, attempt):
                self._close_later(run, con_id, attempt + 1)
            else:
                run.results.append(self._failed_close(run.request, holding, error))
                self._one_closed(run, con_id)

        closed_market = self._closed_market(holding)
        if closed_market is not None:
            failed(describe(closed_market))
            return
        step = f"close-{con_id}-{attempt}"
        order = self._close_order(run.request, holding, run.request.reason, step)
        self.conversations.ask(EXECUTOR, order, closed, failed)

    def _closed_market(self, holding: Holding) -> GatewayError | None:
        """Say that a close would only wait for the open, with nobody to watch it; None where it trades or may trade."""
        opens_at = self.hours.waits_until(holding.contract.con_id)
        if opens_at is None:
            return None
        return MarketClosedError(
            f"{holding.contract.position_id} does not trade now, and nothing was sent: it opens at"
            f" {opens_at:%Y-%m-%d %H:%M} UTC; close it then, or liquidate(), which queues its closes for the open"
        )

    def _may_try_again(self, run: _CloseAll, attempt: int) -> bool:
        """Whether there is a further attempt, and time for it before the deadline."""
        left_s = run.request.deadline - self.clock.monotonic()
        return attempt < self.settings.close_attempts and left_s > self.settings.close_retry_s

    def _close_later(self, run: _CloseAll, con_id: int, attempt: int) -> None:
        """Give the broker a moment: what it has just refused it would refuse again."""
        correlation_id = run.request.correlation_id
        again = _CloseAgain(correlation_id=correlation_id, con_id=con_id, attempt=attempt)
        self.schedule(self.settings.close_retry_s, again)

    def on_close_again(self, message: _CloseAgain) -> None:
        """Try a close once more, sized by what is held now."""
        run = self.close_alls.get(message.correlation_id)
        if run is not None:
            self._close_one_of(run, message.con_id, message.attempt)

    def _one_closed(self, run: _CloseAll, con_id: int) -> None:
        run.pending.discard(con_id)
        if not run.pending:
            self._answer_close_all(run)

    def _answer_close_all(self, run: _CloseAll) -> None:
        self.close_alls.pop(run.request.correlation_id, None)
        remaining = tuple(view for view in self._views() if view.contract.con_id not in run.closed)
        self.reply(
            run.request,
            AllPositionsClosed(
                correlation_id=run.request.correlation_id,
                results=tuple(run.results),
                remaining=remaining,
            ),
        )

    def _failed_close(self, request: Request, holding: Holding, error: ErrorInfo) -> OrderResult:
        """Tell of a close that never became an order: a failure that is left out looks like a success."""
        return OrderResult(
            order_id="",
            status=OrderStatus.FAILED,
            symbol=holding.contract.symbol,
            action=OrderAction.SELL if holding.quantity > 0 else OrderAction.BUY,
            quantity=abs(holding.quantity),
            rejection_reason=error.text,
            execution_mode=self.settings.mode,
            timestamp=self.clock.now(),
            correlation_id=root_id(request.correlation_id),
        )

    def _close_order(
        self, request: Request, holding: Holding, reason: CloseReason, step: str
    ) -> SubmitOrder:
        return close_order(
            holding.contract,
            holding.quantity,
            reason,
            self.settings.operator_id,
            **self.conversations.on_behalf(request, step),
        )

    def _by_position_id(self, position_id: str) -> Holding | None:
        for holding in self.holdings.values():
            if holding.contract.position_id == position_id:
                return holding
        return None

    # --- the regular look -----------------------------------------------------------------------------------------

    def on_check_due(self, _: _CheckDue) -> None:
        """Refresh the prices of what is held, and close what is due (POS-3)."""
        self.schedule(self.settings.check_interval_s, _CheckDue())
        if not self.connected:
            return
        for holding in tuple(self.holdings.values()):
            self._refresh(holding)
        for view in self._views():
            self._look(view)

    def _refresh(self, holding: Holding) -> None:
        con_id = holding.contract.con_id
        if con_id in self.asking:
            return
        self.asking.add(con_id)
        self.conversations.ask(
            MARKET_DATA,
            GetQuote(
                **self.conversations.of_our_own("price", self.settings.quote_timeout_s),
                contract=holding.contract,
                max_age_s=self.settings.check_interval_s,
            ),
            lambda reply: self._priced(holding, reply),
            lambda error: self._unpriced(holding, error.text),
        )

    def _priced(self, holding: Holding, reply: Reply) -> None:
        assert isinstance(reply, QuoteRead)  # noqa: S101 - market data answers in kind
        self.asking.discard(holding.contract.con_id)
        if exit_price(holding, reply.quote) is None:
            self._unpriced(holding, "the broker has no price")
        else:
            self.warned.discard(holding.contract.con_id)

    def _unpriced(self, holding: Holding, why: str) -> None:
        """An unknown price triggers nothing but a warning, once (POS-2)."""
        con_id = holding.contract.con_id
        self.asking.discard(con_id)
        if con_id not in self.warned:
            self.warned.add(con_id)
            self.log(
                "price_unknown",
                level="WARNING",
                position_id=holding.contract.position_id,
                why=why,
            )

    def _look(self, view: Position) -> None:
        con_id = view.contract.con_id
        due = view.closure_trigger is not None and con_id not in self.closing
        if not due or view.closure_trigger is None or self._waits(view):
            return
        self.closing.add(con_id)
        self.log(
            "closure_due" if self.settings.closes_by_itself else "would_close",
            level="WARNING",
            position_id=view.position_id,
            trigger=view.closure_trigger.value,
            pnl_pct=view.unrealized_pnl_pct,
        )
        if not self.settings.closes_by_itself:
            return
        request = ClosePosition(
            **self.conversations.of_our_own("closure", 30.0),
            position_id=view.position_id,
            reason=view.closure_trigger,
        )
        self.conversations.ask(
            EXECUTOR,
            self._close_order(request, self.holdings[con_id], view.closure_trigger, "order"),
            lambda reply: self._closure_done(con_id, reply),
            lambda _: self.closing.discard(con_id),
        )

    def _waits(self, view: Position) -> bool:
        """Whether what is due has to wait for its open, said once.

        It waits here: what protects the position at the broker stays, and a loss is looked at anew by the prices of
        the open.
        """
        con_id = view.contract.con_id
        opens_at = self.hours.waits_until(con_id)
        if opens_at is None:
            self.waiting.discard(con_id)
        elif con_id not in self.waiting:
            self.waiting.add(con_id)
            self.log(
                "closure_waits_for_open",
                level="WARNING",
                position_id=view.position_id,
                opens_at=opens_at.isoformat(),
            )
        return opens_at is not None

    def on_next_hours(self, _: NextHours) -> None:
        """Ask about the next contract whose hours are missing."""
        self.hours.ask_next()

    def _closure_done(self, con_id: int, reply: Reply) -> None:
        """A simulated close is not repeated: nothing would change (MODE-6)."""
        assert isinstance(reply, OrderConcluded)  # noqa: S101 - answers in kind
        if reply.result.status is not OrderStatus.SIMULATED:
            self.closing.discard(con_id)

    # --- what changes positions -----------------------------------------------------------------------------------

    def on_holding_reported(self, event: HoldingReported) -> None:
        """Take over one position as the broker tells it, and let risk compare it with its ledger."""
        holding = event.holding
        self.tell(RISK, event)
        if holding.quantity:
            self.holdings[holding.contract.con_id] = holding
        else:
            self.holdings.pop(holding.contract.con_id, None)
            self.warned.discard(holding.contract.con_id)
        self.hours.want(held.contract for held in self.holdings.values())
        self._publish()

    def on_account_changed(self, event: AccountChanged) -> None:
        """Take over the account's numbers and pass them on (GW-6)."""
        self.account = event.account
        self.tell(GATEWAY, event)

    def on_quote_updated(self, event: QuoteUpdated) -> None:
        """Remember the price of what is held."""
        if event.quote.contract.con_id in self.holdings:
            self.quotes[event.quote.contract.con_id] = event.quote

    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Flag what is told as cached while the link is down."""
        if event.state is not ConnectionState.CONNECTED:
            self.connected = False
        else:
            self.connected = True

    def _publish(self) -> None:
        views = self._views()
        event = PositionsChanged(positions=views, at=self.clock.now())
        self.tell(GATEWAY, event)
        self.tell(GATEWAY, SyncRiskManager(positions=views))
