"""The position actor: what is held, what it is worth, and when it has to go.

The broker's own word on quantities counts here; risk keeps a ledger of its own from executions. Positions are closed
through the executor like everything else: sized from what is held, approved by risk, once.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from actors import messages as m
from actors.errors import (
    GatewayNotConnectedError,
)
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.messages.addresses import CONNECTION, FACADE, MARKET_DATA
from actors.model.account import Holding
from actors.model.connection import ConnectionState
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.position.due import ClosureDesk
from actors.position.pnl import exit_price
from actors.sections.market_data import MarketData
from actors.sections.positions import Positions


@attrs.frozen(kw_only=True)
class _CheckDue(Message):
    """Prices and closures shall be looked at now."""


@attrs.frozen(kw_only=True)
class _ReconciliationDue(Message):
    """The positions shall be compared with the broker's now (POS-4)."""


class PositionActor(ClosureDesk):
    """See the module's docstring; closing is in files of its own."""

    recovers = True

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Positions,
        market_data: MarketData,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(
            context, settings=settings, market_data=market_data, trading=trading, log=log
        )
        self.asking: set[int] = set()
        self.warned: set[int] = set()

    # --- recovery -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Ask for the broker's state, and begin to look at the positions."""
        self.tell(CONNECTION, m.RequestReconciliation(sender=self.name))
        self.schedule(self.settings.check_interval_s, _CheckDue())
        self.schedule(self.settings.reconcile_interval_s, _ReconciliationDue())

    @handles(_ReconciliationDue)
    def on_reconciliation_due(self, _: _ReconciliationDue) -> None:
        """Compare with the broker on a timer, too: a push may have been lost."""
        self.schedule(self.settings.reconcile_interval_s, _ReconciliationDue())
        if self.connected:
            self.tell(CONNECTION, m.RequestReconciliation(sender=self.name))

    @handles(m.NothingToReconcile)
    def on_nothing_to_reconcile(self, _: m.NothingToReconcile) -> None:
        """There is no session: serve what needs none."""
        self.recovered()

    @handles(m.ReconciliationCompleted)
    def on_reconciliation_completed(self, _: m.ReconciliationCompleted) -> None:
        """Nothing is left to do: this actor took over its part in `on_reconcile`."""

    @handles(m.Reconcile)
    def on_reconcile(self, message: m.Reconcile) -> None:
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
            m.Reconciled(number=message.number, sender=self.name, differences=differences),
        )
        self._publish()
        self.tell(FACADE, m.AccountChanged(account=message.state.account))
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

    @handles(m.GetPositions)
    def on_get_positions(self, request: m.GetPositions) -> None:
        """Tell the positions; while the link is down those that were known, flagged as such (POS-5)."""
        if self.refuses_unknown(request):
            return
        is_cached = not self.connected
        self.reply(
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
            self.refuse(request, GatewayNotConnectedError("the account is not known yet"))
            return
        self.reply(
            request, m.AccountRead(correlation_id=request.correlation_id, account=self.account)
        )

    @handles(m.CheckClosures)
    def on_check_closures(self, request: m.CheckClosures) -> None:
        """Tell which positions are due to be closed."""
        if self.refuses_unknown(request):
            return
        due = tuple(view for view in self.views() if view.closure_trigger is not None)
        self.reply(request, m.ClosuresChecked(correlation_id=request.correlation_id, due=due))

    # --- the regular look -----------------------------------------------------------------------------------------

    @handles(_CheckDue)
    def on_check_due(self, _: _CheckDue) -> None:
        """Refresh the prices of what is held, and close what is due (POS-3)."""
        self.schedule(self.settings.check_interval_s, _CheckDue())
        if not self.connected:
            return
        for holding in tuple(self.holdings.values()):
            self._refresh(holding)
        self.close_what_is_due()

    def _refresh(self, holding: Holding) -> None:
        con_id = holding.contract.con_id
        contract = self.hours.described(holding.contract)
        if con_id in self.asking or not contract.exchange:
            return
        self.asking.add(con_id)
        self.conversations.ask(
            MARKET_DATA,
            m.GetQuote(
                **self.conversations.of_our_own("price", self.market_data.read_timeout_s),
                contract=contract,
                max_age_s=self.settings.check_interval_s,
            ),
            lambda reply: self._priced(holding, reply),
            lambda error: self._unpriced(holding, error.text),
        )

    def _priced(self, holding: Holding, reply: Reply) -> None:
        assert isinstance(reply, m.QuoteRead)  # noqa: S101 - market data answers in kind
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

    # --- what changes positions -----------------------------------------------------------------------------------

    @handles(m.HoldingReported)
    def on_holding_reported(self, event: m.HoldingReported) -> None:
        """Take over one position as the broker tells it."""
        holding = event.holding
        if holding.quantity:
            self.holdings[holding.contract.con_id] = holding
        else:
            self.holdings.pop(holding.contract.con_id, None)
            self.warned.discard(holding.contract.con_id)
        self.hours.want(held.contract for held in self.holdings.values())
        self._publish()

    @handles(m.AccountChanged)
    def on_account_changed(self, event: m.AccountChanged) -> None:
        """Take over the account's numbers and pass them on (GW-6)."""
        self.account = event.account
        self.tell(FACADE, event)

    @handles(m.QuoteUpdated)
    def on_quote_updated(self, event: m.QuoteUpdated) -> None:
        """Remember the price of what is held."""
        if event.quote.contract.con_id in self.holdings:
            self.quotes[event.quote.contract.con_id] = event.quote

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """Flag what is told as cached while the link is down."""
        if event.state is not ConnectionState.CONNECTED:
            self.connected = False
        else:
            self.connected = True

    def _publish(self) -> None:
        views = self.views()
        event = m.PositionsChanged(positions=views, at=self.clock.now())
        self.tell(FACADE, event)
        self.tell(FACADE, m.SyncRiskManager(positions=views))
