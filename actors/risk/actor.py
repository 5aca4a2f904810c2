"""The risk actor: nothing reaches the broker unless it approved exactly that order (ORD-3).

It keeps a ledger of positions and of all orders in flight, judges each request by `actors.risk.rules`, reserves what it
approves, and signs a permit that the link's gate checks. It fails closed: what it does not know, it rejects (RSK-3).
"""

from __future__ import annotations

import attrs

from actors.errors import ErrorInfo, GatewayError
from actors.kernel.actor import ActorContext
from actors.kernel.conversations import ConversingActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.kernel.stories import root_id
from actors.logic.permits import issue_permit
from actors.messages.addresses import CONNECTION, FACADE, JOURNAL, LINK, STRATEGY_C
from actors.messages.connection import (
    ConnectionStateChanged,
    NothingToReconcile,
    OpeningReadinessChanged,
    Reconcile,
    Reconciled,
    ReconciliationCompleted,
    RequestReconciliation,
)
from actors.messages.feed import NOT_FAILED_OVER, FailoverChanged
from actors.messages.journal import JournalRead, ReadJournal, RecordBaseline
from actors.messages.market_data import QuoteUpdated
from actors.messages.orders import (
    ExecutionRecorded,
    InstallPermitKey,
    OrderSettled,
    WorkingOrdersKnown,
)
from actors.messages.positions import AccountChanged, HoldingReported
from actors.messages.risk import (
    ConsultRiskManager,
    ExposuresRead,
    GetExposures,
    LatchChanged,
    LossLimitBreached,
    OrderApproved,
    OrderRejected,
    RequestApproval,
    RiskManagerAnswered,
)
from actors.model.account import Account
from actors.model.connection import ConnectionState
from actors.model.market import Quote
from actors.model.orders import Purpose, ValidationResult
from actors.ports import EventLog, no_log
from actors.risk import baselines as calendar
from actors.risk import exposure
from actors.risk.baselines import Baselines
from actors.risk.day_trades import count_day_trades, first_day_begins, opened_today
from actors.risk.judging import EXTERNAL, judge, judge_replaced, loss_breaches
from actors.risk.limits import (
    RecentOrder,
    RiskInputs,
    recent_order,
    still_recent,
)
from actors.risk.rules import needs_day_trades
from actors.sections.orders import Orders
from actors.sections.risk import Risk

RECOVERY_S = 10.0

DRIFT_AFTER_S = 2.0
"""So long may the executions take that explain a position; after that somebody else has traded (POS-4)."""


@attrs.frozen(kw_only=True)
class _DriftDue(Message):
    """What the broker reported of a contract should agree with the ledger by now."""

    reported: HoldingReported


class RiskActor(ConversingActor):
    """See the module's docstring. ``consults``: the orchestrator brought a risk manager, which is asked."""

    recovers = True

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Risk,
        orders: Orders,
        consults: bool = False,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self._orders = orders
        self._consults = consults
        self.log = log
        self.key = (context.entropy.uuid4() + context.entropy.uuid4()).replace("-", "").encode()
        self.permits = 0
        self.ledger = exposure.EMPTY
        self.account: Account | None = None
        self.baselines = Baselines()
        self.quotes: dict[int, Quote] = {}
        self.recent: tuple[RecentOrder, ...] = ()
        self.latched: str | None = None
        self.opening_blocked_by: str | None = "market data is not proved yet"
        self.failover = NOT_FAILED_OVER
        self.reported: dict[int, HoldingReported] = {}
        self.breached: dict[tuple[str, str], bool] = {}
        self.knows_its_past = False
        self.reconcile: Reconcile | None = None
        self.working: WorkingOrdersKnown | None = None

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Install this incarnation's key, which voids earlier permits, and learn the past (SUP-6)."""
        self.tell(LINK, InstallPermitKey(key=self.key))
        self.conversations.ask(
            JOURNAL,
            ReadJournal(**self.conversations.of_our_own("journal", RECOVERY_S)),
            self._on_journal,
            self._cannot_recover,
        )

    def _on_journal(self, reply: Reply) -> None:
        assert isinstance(reply, JournalRead)  # noqa: S101 - answers in kind
        self.baselines = calendar.from_journal(reply.baselines)
        self.ledger = exposure.remember(self.ledger, reply.executions)
        self.latched = reply.latch_reason if reply.latched else None
        self.knows_its_past = True
        self._reconciled()
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))

    def _cannot_recover(self, error: ErrorInfo) -> None:
        raise GatewayError(f"risk cannot recover from the journal: {error.text}")

    @handles(NothingToReconcile)
    def on_nothing_to_reconcile(self, _: NothingToReconcile) -> None:
        """There is no session: serve, and reject what needs to know the positions."""
        self.recovered()

    @handles(ReconciliationCompleted)
    def on_reconciliation_completed(self, _: ReconciliationCompleted) -> None:
        """Nothing is left to do: this actor took over its part in `on_reconcile`."""

    @handles(Reconcile)
    def on_reconcile(self, message: Reconcile) -> None:
        """Take over the broker's positions, once the executor has named its working orders too."""
        self.tell(LINK, InstallPermitKey(key=self.key))
        self.reconcile = message  # waits for the executor's orders, and for our own past
        self._reconciled()

    @handles(WorkingOrdersKnown)
    def on_working_orders_known(self, message: WorkingOrdersKnown) -> None:
        """Take over the orders that can still fill."""
        self.working = message
        self._reconciled()

    def _reconciled(self) -> None:
        broker, working = self.reconcile, self.working
        if broker is None or working is None or broker.number != working.number:
            return
        if not self.knows_its_past:
            return
        state = broker.state
        differences = exposure.drift(self.ledger, state.holdings) if self.ledger.known else ()
        recent = exposure.without_old(self.ledger, first_day_begins(self.clock.now()))
        self.ledger = exposure.reconcile(
            recent, state.holdings, state.executions, state.fill_counts, working.orders
        )
        self.reconcile = self.working = None
        self._take_account(state.account)
        self.tell(
            CONNECTION,
            Reconciled(number=broker.number, sender=self.name, differences=differences),
        )
        self.recovered()

    # --- judging --------------------------------------------------------------------------------------------------

    @handles(RequestApproval)
    def on_request_approval(self, request: RequestApproval) -> None:
        """Judge, reserve, perhaps ask the orchestrator's own risk manager, and sign."""
        validation = self._judge(request)
        if not validation.approved:
            self._reject(request, validation)
            return
        order = request.order
        price = request.quote.price if request.quote else None
        self.ledger = exposure.reserve(self.ledger, exposure.reservation(self.ledger, order, price))
        now = self.clock.monotonic()
        recent = (*self.recent, recent_order(order, now))
        self.recent = still_recent(recent, now, self.settings)
        if self._consults and order.purpose is Purpose.OPEN:
            self._consult(request, validation)
        else:
            self._approve(request, validation)

    def _judge(self, request: RequestApproval) -> ValidationResult:
        inputs = self._inputs(request)
        replaced = self._consults and self.settings.external_replaces
        if replaced and request.order.purpose is Purpose.OPEN:
            return judge_replaced(inputs, self.settings)
        return judge(inputs, self.settings)

    def _inputs(self, request: RequestApproval) -> RiskInputs:
        now, account = self.clock.now(), self.account
        worth = calendar.least_equity(self.baselines, account, now)
        counts = needs_day_trades(worth, self.settings)
        executions = self.ledger.executions.values() if counts else ()
        return RiskInputs(
            order=request.order,
            request=request.request,
            now=now,
            monotonic=self.clock.monotonic(),
            ledger=self.ledger,
            quote=self.quotes.get(request.order.contract.con_id, request.quote),
            account=account,
            baselines=self.baselines,
            prices={
                con_id: quote.price
                for con_id, quote in self.quotes.items()
                if quote.price is not None
            },
            recent_orders=self.recent,
            day_trades=count_day_trades(executions, now) if counts else None,
            opened_today=opened_today(executions, now),
            latched=self.latched,
            opening_blocked_by=self.opening_blocked_by or self._failed_over(request),
        )

    def _failed_over(self, request: RequestApproval) -> str | None:
        """Say that the second source serves what the order is for: its data opens nothing (MKT-10)."""
        symbol = request.order.contract.symbol
        if not self.failover.covers(symbol):
            return None
        return f"{symbol} is served by the second source, whose data is delayed"

    def _consult(self, request: RequestApproval, validation: ValidationResult) -> None:
        """Ask the orchestrator; its rejection, its error and its silence all reject an opening order (RSK-7)."""
        header = self.conversations.on_behalf(request, "external")
        limit = self.clock.monotonic() + self.settings.external_timeout_s
        header["deadline"] = min(header["deadline"], limit)

        def answered(reply: Reply) -> None:
            assert isinstance(reply, RiskManagerAnswered)  # noqa: S101 - in kind
            if reply.validation.approved:
                self._approve(request, validation)
            else:
                self._take_back(request)
                self._reject(request, attrs.evolve(reply.validation, rejected_by=(EXTERNAL,)))

        def failed(error: ErrorInfo) -> None:
            self._take_back(request)
            reason = f"the orchestrator's risk manager failed: {error.text}"
            self._reject(
                request,
                ValidationResult(
                    approved=False, rejection_reasons=(reason,), rejected_by=(EXTERNAL,)
                ),
            )

        self.conversations.ask(
            FACADE, ConsultRiskManager(**header, request=request.request), answered, failed
        )

    def _approve(self, request: RequestApproval, validation: ValidationResult) -> None:
        """Issue a permit for exactly this order (D13)."""
        order = request.order
        closing = order.purpose is Purpose.CLOSE
        fills = self.ledger.fill_counts.get(order.contract.con_id, 0)
        self.permits += 1
        permit = issue_permit(
            self.key,
            order,
            permit_id=f"{self.incarnation}-{self.permits}",
            expires_at=self.clock.monotonic() + self._orders.permit_ttl_s,
            fill_count=fills if closing else None,
        )
        self.reply(
            request,
            OrderApproved(
                correlation_id=request.correlation_id,
                order_ref=order.order_ref,
                permit=permit,
                validation=validation,
            ),
        )
        self._log("risk_approved", request, validation)

    def _reject(self, request: RequestApproval, validation: ValidationResult) -> None:
        self.reply(
            request,
            OrderRejected(
                correlation_id=request.correlation_id,
                order_ref=request.order.order_ref,
                validation=validation,
            ),
        )
        self._log("risk_rejected", request, validation)

    def _take_back(self, request: RequestApproval) -> None:
        """Release what was reserved for an order that will not be sent; a changed order keeps what it had."""
        self.ledger = exposure.settle(self.ledger, request.order.order_ref, request.replaced)

    def _log(self, event: str, request: RequestApproval, validation: ValidationResult) -> None:
        order = request.order
        self.log(
            event,
            level="INFO" if validation.approved else "WARNING",
            correlation_id=root_id(request.correlation_id),
            order_ref=order.order_ref,
            symbol=str(order.contract),
            action=order.action.value,
            quantity=order.quantity,
            rules=validation.rejected_by,
            reasons="; ".join(validation.rejection_reasons),
            notes="; ".join(validation.notes),
        )

    # --- what changes the ledger ----------------------------------------------------------------------------------

    @handles(OrderSettled)
    def on_order_settled(self, event: OrderSettled) -> None:
        """Adjust a reservation to what can still fill."""
        self.ledger = exposure.settle(self.ledger, event.order_ref, event.signed_remaining)

    @handles(ExecutionRecorded)
    def on_execution_recorded(self, event: ExecutionRecorded) -> None:
        """Turn a reservation into a position."""
        self.ledger = exposure.apply_execution(self.ledger, event.execution)

    @handles(HoldingReported)
    def on_holding_reported(self, event: HoldingReported) -> None:
        """Compare what the broker reports of a position with the ledger, once its executions had time to come."""
        self.reported[event.holding.contract.con_id] = event
        self.schedule(DRIFT_AFTER_S, _DriftDue(reported=event))

    @handles(_DriftDue)
    def on_drift_due(self, message: _DriftDue) -> None:
        """Have the broker's state read when somebody else has traded: closes are sized from the ledger (POS-4)."""
        contract = message.reported.holding.contract
        if self.reported.get(contract.con_id) is not message.reported:
            return
        del self.reported[contract.con_id]
        held, broker = (
            exposure.position(self.ledger, contract.con_id),
            message.reported.holding.quantity,
        )
        if not self.ledger.known or held == broker:
            return
        self.log(
            "position_drift",
            level="WARNING",
            position_id=contract.position_id,
            ledger=held,
            broker=broker,
        )
        self.tell(CONNECTION, RequestReconciliation(sender=self.name))

    @handles(AccountChanged)
    def on_account_changed(self, event: AccountChanged) -> None:
        """Take over the account's numbers, and look at the losses."""
        self._take_account(event.account)

    def _take_account(self, account: Account) -> None:
        self.account = account
        now = self.clock.now()
        self.baselines, begun = calendar.roll(self.baselines, account, now)
        for baseline in begun:
            self.tell(
                JOURNAL,
                RecordBaseline(kind=baseline.kind, key=baseline.key, value=baseline.value, at=now),
            )
        self._check_losses()

    def _check_losses(self) -> None:
        now = self.clock.now()
        for breach in loss_breaches(self.baselines, self.account, now, self.settings):
            key = (breach.reason.value, calendar.day_key(now))
            if self.breached.setdefault(key, False):
                continue
            self.tell(
                STRATEGY_C,
                LossLimitBreached(
                    reason=breach.reason,
                    loss=breach.loss_ratio,
                    limit=breach.limit_ratio,
                    at=now,
                ),
            )

    @handles(QuoteUpdated)
    def on_quote_updated(self, event: QuoteUpdated) -> None:
        """Remember the newest quote."""
        self.quotes[event.quote.contract.con_id] = event.quote

    @handles(GetExposures)
    def on_get_exposures(self, request: GetExposures) -> None:
        """Tell whose data has to be watched (STC-1)."""
        self.reply(
            request,
            ExposuresRead(
                correlation_id=request.correlation_id,
                known=self.ledger.known,
                latched=self.latched is not None,
                exposures=exposure.exposed(self.ledger),
            ),
        )

    @handles(LatchChanged)
    def on_latch_changed(self, event: LatchChanged) -> None:
        """Reject openings from now on, or no longer. A latch confirms that the breaches arrived."""
        self.latched = event.reason if event.latched else None
        if event.latched:
            self.breached = dict.fromkeys(self.breached, True)

    @handles(OpeningReadinessChanged)
    def on_opening_readiness_changed(self, event: OpeningReadinessChanged) -> None:
        """Know whether market data answers (CON-4)."""
        self.opening_blocked_by = None if event.ready else event.reason

    @handles(FailoverChanged)
    def on_failover_changed(self, event: FailoverChanged) -> None:
        """Know which symbols the second source serves."""
        self.failover = event

    @handles(ConnectionStateChanged)
    def on_connection_state_changed(self, event: ConnectionStateChanged) -> None:
        """Trust the positions only while the link is up."""
        if event.previous is ConnectionState.CONNECTED:
            self.ledger = exposure.forget(self.ledger)
            self.opening_blocked_by = f"the link is {event.state}"
