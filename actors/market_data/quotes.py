"""The newest quotes, who receives them, and what is the matter with those that are not live (MKT-10, MKT-11)."""

from __future__ import annotations

from typing import Final

from actors import messages as m
from actors.errors import CompetingSessionError, GatewayError, NotSubscribedError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic import freshness
from actors.logic.freshness import Pulse
from actors.logic.frozen import evolve
from actors.logic.quality import quote_age_s
from actors.logic.regular_hours import session_of
from actors.market_data.remembered import Remembered
from actors.market_data.route import SourceRoute
from actors.messages.addresses import POSITION, PUBLISHER, STRATEGY_C
from actors.model.contracts import Contract
from actors.model.market import DataCondition, DataSource, DataTrouble, Quote
from actors.ports import EventLog
from actors.sections.market_data import MarketData

_CONDITION_OF_ERROR: Final[dict[type[GatewayError], DataCondition]] = {
    NotSubscribedError: DataCondition.NOT_SUBSCRIBED,
    CompetingSessionError: DataCondition.COMPETING_SESSION,
}


def condition_of(error: GatewayError) -> DataCondition:
    """Say what an error of a read means for a symbol's data; whatever else went wrong, there is none (MKT-11)."""
    return _CONDITION_OF_ERROR.get(type(error), DataCondition.UNAVAILABLE)


class NewestQuotes(Part):
    """Owns the newest quote and the trouble of each contract, by con_id."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: MarketData,
        route: SourceRoute,
        log: EventLog,
        *,
        publishes: bool,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._publishes = publishes
        self._route = route
        self._log = log
        self.newest: Remembered[int, Quote] = Remembered(settings.max_remembered)
        self._judged_at: Remembered[int, float] = Remembered(settings.max_remembered)
        self._troubles: Remembered[int, DataTrouble] = Remembered(settings.max_remembered)
        self._halted: set[int] = set()
        self._pulses: Remembered[int, Pulse] = Remembered(settings.max_remembered)

    def forget_session(self) -> None:
        """Forget what a session taught."""
        self.newest.clear()
        self._troubles.clear()

    @handles(m.GetDataStatus)
    def on_get_data_status(self, request: m.GetDataStatus) -> None:
        """Tell whose data is not live (MKT-11)."""
        troubles = tuple(self._troubles.values())
        status = m.DataStatus(correlation_id=request.correlation_id, troubles=troubles)
        self._actor.reply(request, status)

    def unanswered(self, contract: Contract, error: GatewayError) -> None:
        """Take note that IB gave no quote of a contract, and why."""
        self._note(contract, condition_of(error), str(error))
        self._route.unanswered(contract)

    def _note(self, contract: Contract, condition: DataCondition, why: str = "") -> None:
        """Keep what is the matter with a contract's data, and log when that changes (MKT-11)."""
        held = self._troubles.get(contract.con_id)
        before = DataCondition.LIVE if held is None else held.condition
        if condition is DataCondition.LIVE:
            self._troubles.pop(contract.con_id, None)
        else:
            trouble = DataTrouble(name=str(contract), condition=condition, why=why)
            self._troubles.keep(contract.con_id, trouble)
        if condition is not before:
            self._log(
                "data_condition_changed",
                level="INFO" if condition is DataCondition.LIVE else "WARNING",
                symbol=str(contract),
                condition=condition.value,
                before=before.value,
                why=why,
            )

    def _dated(self, quote: Quote) -> Quote:
        """Compare a quote of IB's with those before it; say since when its data is what it is (MKT-12)."""
        if quote.source is not DataSource.IB:
            return quote
        con_id, now = quote.contract.con_id, self._actor.clock.monotonic()
        before = self._pulses.get(con_id, freshness.NEVER_SEEN)
        session = session_of(quote.contract, self._actor.clock.now())
        opened_at = None if session is None else session.opens_at
        pulse = freshness.looked(before, quote, now, opened_at, self._settings)
        self._pulses.keep(con_id, pulse)
        return evolve(quote, pace=freshness.pace_of(pulse, self._settings))

    def _dated_briefly(self, quote: Quote) -> Quote:
        """The same for one of many ticks in a moment: session and pace are those that were told last."""
        con_id, now = quote.contract.con_id, self._actor.clock.monotonic()
        before, told = self._pulses.get(con_id), self.newest.get(con_id)
        if before is None or told is None or told.pace is None:
            return self._dated(quote)
        pulse = freshness.looked(before, quote, now, before.session, self._settings)
        self._pulses.keep(con_id, pulse)
        pace = evolve(told.pace, changed_at=pulse.changed_at, seen_at=pulse.looked_at)
        return evolve(quote, pace=pace)

    def publish_streamed(self, quote: Quote, now: float) -> Quote:
        """Remember the newest quote of a stream; those who judge get one no more often than snapshots would come."""
        con_id = quote.contract.con_id
        if now - self._judged_at.get(con_id, float("-inf")) >= self._settings.snapshot_interval_s:
            self._judged_at.keep(con_id, now)
            return self.publish(quote)
        quote = self._dated_briefly(quote)
        self.newest.keep(con_id, quote)
        if self._publishes:
            self._actor.tell(PUBLISHER, m.PublishQuote(quote=quote))
        return quote

    def publish(self, quote: Quote) -> Quote:
        """Remember the quote and tell those who judge by it; give it with its pace."""
        quote = self._dated(quote)
        self._route.quoted(quote)
        if quote.source is DataSource.IB:
            self._note(quote.contract, quote.condition)
            self._tell_halt(quote)
        self.newest.keep(quote.contract.con_id, quote)
        update = m.QuoteUpdated(quote=quote)
        for address in self._route.audience(quote):
            self._actor.tell(address, update)
        if self._publishes:
            self._actor.tell(PUBLISHER, m.PublishQuote(quote=quote))
        self._log(
            "quote_received",
            level="DEBUG",
            symbol=quote.symbol,
            source=quote.source.value,
            age_s=quote_age_s(quote, self._actor.clock.monotonic()),
        )
        return quote

    def _tell_halt(self, quote: Quote) -> None:
        """Tell those who close positions when a halt begins or ends."""
        con_id = quote.contract.con_id
        if quote.halted == (con_id in self._halted):
            return
        change = self._halted.add if quote.halted else self._halted.discard
        change(con_id)
        halt = m.TradingHalted(contract=quote.contract, halted=quote.halted)
        for address in (STRATEGY_C, POSITION):
            self._actor.tell(address, halt)
