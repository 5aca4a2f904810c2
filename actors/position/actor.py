"""The position actor: what is held, what it is worth, and when it has to go.

The broker's own word on quantities counts here; risk keeps a ledger of its own from executions. Positions are closed
through the executor like everything else: sized from what is held, approved by risk, once. Its parts::

    flattener  what is held, and contracts on their way to zero      closing  who asked for that
    holdings   prices, the account, and what is told of both         due      what has to go by itself
    prices     quotes of what is held
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from actors import messages as m
from actors.closing.flattener import Flattener
from actors.closing.pricing import Pricing
from actors.closing.task import Task
from actors.errors import GatewayError
from actors.hours import HoursKeeper
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.handlers import handles
from actors.kernel.messages import Message
from actors.messages.addresses import CONNECTION, FACADE
from actors.model.account import Holding
from actors.model.connection import ConnectionState
from actors.model.orders import OrderResult
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.position.closing import Closing
from actors.position.due import Due
from actors.position.holdings import Holdings, SecondLookDue
from actors.position.prices import Prices
from actors.sections.close import Close
from actors.sections.flattening import Flattening
from actors.sections.market_data import MarketData
from actors.sections.positions import Positions


@attrs.frozen(kw_only=True)
class _CheckDue(Message):
    """Prices and closures shall be looked at now."""


@attrs.frozen(kw_only=True)
class _FirstLookDue(Message):
    """The link has been up for a moment."""


@attrs.frozen(kw_only=True)
class _ReconciliationDue(Message):
    """The positions shall be compared with the broker's now (POS-4)."""


FIRST_LOOK_S: Final = 0.2
"""The connection's own proof that data answers goes first."""


class PositionActor(SupervisedActor):
    """See the module's docstring."""

    recovers = True
    parts = (Flattener, Holdings, Prices, Closing, Due)

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Positions,
        limits: Flattening,
        close: Close,
        market_data: MarketData,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.log = log
        self.hours = hours = HoursKeeper(self)
        self.flattener = flattener = self.own(
            Flattener(
                self,
                trading,
                limits,
                Pricing(self, close, log),
                hours,
                log,
                looked=lambda: self.closing.looked(),
                alarm=self._alarm,
                cancelled=self._cancelled,
                concluded=self._concluded,
            )
        )
        self.holdings = holdings = self.own(
            Holdings(
                self,
                settings,
                hours,
                lambda: flattener.side.holdings,
                stopped=lambda: self.due.close_what_is_due(),
            )
        )
        self.prices = self.own(Prices(self, settings, market_data, log))
        self.closing = self.own(Closing(self, trading, holdings, hours, flattener))
        self.due = self.own(Due(self, trading, holdings, hours, flattener, log))

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
        if self.holdings.connected:
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
        before = dict(self.flattener.side.holdings)
        self.flattener.take_over(message)
        differences = self._differences(before) if self.holdings.known else ()
        self.holdings.known = True
        self.holdings.connected = True
        self.holdings.costs_were_read()
        if message.is_connected:  # else closes wait until everybody has taken the state over
            self._link_changed(True)
        self.holdings.account = message.state.account
        self.hours.want(held.contract for held in self.flattener.side.holdings.values())
        self.tell(
            CONNECTION,
            m.Reconciled(number=message.number, sender=self.name, differences=differences),
        )
        self.holdings.publish()
        self.tell(FACADE, m.AccountChanged(account=message.state.account))
        self.recovered()

    def _differences(self, before: Mapping[int, Holding]) -> tuple[str, ...]:
        after = self.flattener.side.holdings
        found = []
        for con_id in sorted(before.keys() | after.keys()):
            ours, theirs = before.get(con_id), after.get(con_id)
            here = ours.quantity if ours else 0.0
            there = theirs.quantity if theirs else 0.0
            named = theirs or ours
            if here != there and named is not None:
                found.append(f"{named.contract.position_id}: {here:g} here, {there:g} there")
        return tuple(found)

    # --- the regular look -----------------------------------------------------------------------------------------

    @handles(m.CheckClosures)
    def on_check_closures(self, request: m.CheckClosures) -> None:
        """Tell which positions are due to be closed."""
        if self.holdings.refuses_unknown(request):
            return
        due = tuple(view for view in self.holdings.views() if view.closure_trigger is not None)
        self.reply(request, m.ClosuresChecked(correlation_id=request.correlation_id, due=due))

    @handles(_CheckDue)
    def on_check_due(self, _: _CheckDue) -> None:
        """Refresh the prices of what is held, and close what is due (POS-3)."""
        self.schedule(self.settings.check_interval_s, _CheckDue())
        if not self.holdings.connected:
            return
        self._refresh_prices()
        self.due.close_what_is_due()

    def _refresh_prices(self) -> None:
        for holding in tuple(self.flattener.side.holdings.values()):
            self.prices.refresh(holding)

    @handles(SecondLookDue)
    def on_second_look_due(self, message: SecondLookDue) -> None:
        """Look again at a loss that was seen once."""
        holding = self.flattener.side.holdings.get(message.con_id)
        if holding is not None and self.holdings.connected:
            self.prices.refresh(holding)

    # --- closing --------------------------------------------------------------------------------------------------

    def _concluded(
        self, task: Task, result: OrderResult | None, error: GatewayError | None
    ) -> None:
        self.closing.concluded(task, result, error)
        self.due.concluded(task, result, error)

    def _cancelled(self, order_id: str) -> None:
        self.log("resting_order_cancelled", level="WARNING", order_id=order_id)

    def _alarm(self, text: str) -> None:
        self.log("close_alarm", level="CRITICAL", text=text)

    # --- what changes positions -----------------------------------------------------------------------------------

    @handles(m.HoldingReported)
    def on_holding_reported(self, event: m.HoldingReported) -> None:
        """Take over one position as the broker tells it."""
        self.flattener.holding_reported(event.holding)
        if not self.holdings.cost_was_told(event.holding):
            self.log(
                "cost_unsure",
                level="WARNING",
                position_id=event.holding.contract.position_id,
                average_cost=event.holding.average_cost,
            )
            self.tell(CONNECTION, m.RequestReconciliation(sender=self.name))
        if not event.holding.quantity:
            self.prices.forget(event.holding.contract.con_id)
        self.hours.want(held.contract for held in self.flattener.side.holdings.values())
        self.holdings.publish()

    @handles(m.TradingHalted)
    def on_trading_halted(self, event: m.TradingHalted) -> None:
        """A halted contract waits with its stops, and goes on at the halt's end."""
        self.flattener.halt_changed(event.contract.con_id, event.halted)
        self.holdings.halt_changed(event.contract.con_id, event.halted)

    @handles(m.ConnectionStateChanged)
    def on_connection_state_changed(self, event: m.ConnectionStateChanged) -> None:
        """Flag what is told as cached while the link is down."""
        self._link_changed(event.state is ConnectionState.CONNECTED)
        if self.holdings.connected:
            self.schedule(FIRST_LOOK_S, _FirstLookDue())

    @handles(_FirstLookDue)
    def on_first_look_due(self, _: _FirstLookDue) -> None:
        """Look at what is held soon after the link is up: a loss has to be seen twice."""
        if self.holdings.connected:
            self._refresh_prices()

    def _link_changed(self, is_up: bool) -> None:
        self.holdings.connected = is_up
        if self.flattener.side.linked != is_up:
            self.flattener.link_changed(is_up)
