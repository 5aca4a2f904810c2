"""The data watch: it asks for the data of all that is held or traded, and calls when it is stale for too long (STC-1).

Nobody else has to want quotes for that. Every two seconds it asks risk what is held and which orders work, and market
data for quotes that are missing; what follows is in `supervision.strategy_c.data_age`. It tells Strategy C, again and
again until that is latched, since the one message that matters may be lost with an actor that fails.

While risk does not know the positions (the link is down, the broker's state is being read) nothing is counted: a lost
link is answered by the rules for disconnects. The marks outlive restarts of this actor and of all others
(`WatchMemory`).
"""

from __future__ import annotations

import threading
from typing import Final

from actors import messages as m
from actors.errors import GatewayError, GatewayTimeoutError, describe
from actors.hours import HoursKeeper
from actors.kernel.actor import ActorContext, SupervisedActor
from actors.logic.closable import is_openable
from actors.logic.freshness import Bars
from actors.logic.quality import quote_age_s
from actors.logic.regular_hours import session_of
from actors.messages.addresses import MARKET_DATA, RISK, STRATEGY_C
from actors.model.contracts import Contract
from actors.model.market import Bar, DataSource, Quote
from actors.ports import EventLog, no_log
from actors.sections.market_data import MarketData
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c import data_age as data_watch
from supervision.strategy_c.data_age import MAX_AGE_S, DataWatch

ASK_RISK_S: Final = 2.0
"""Risk answers at once, or has something better to do."""


class WatchMemory:
    """The marks, which outlive the actor's restarts; an incarnation that was replaced cannot write them any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = DataWatch()
        self._incarnation = 0

    def enter(self, incarnation: int) -> DataWatch:
        """Refuse from now on what earlier incarnations write, and give what they left."""
        with self._lock:
            self._incarnation = max(self._incarnation, incarnation)
            return self._state

    def keep(self, incarnation: int, state: DataWatch) -> None:
        """Replace the marks, unless ``incarnation`` was replaced itself."""
        with self._lock:
            if incarnation >= self._incarnation:
                self._state = state


class DataWatchActor(SupervisedActor):
    """See the module's docstring."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: StrategyC,
        market_data: MarketData,
        memory: WatchMemory | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self._market_data = market_data
        self.log = log
        self._memory = memory or WatchMemory()
        self._state = DataWatch()
        self._exposures: dict[int, m.ExposedContract] = {}
        self._reading: set[int] = set()
        self._why: dict[int, str] = {}
        self._hours = HoursKeeper(self)

    def started(self) -> None:
        """Go on with what an earlier incarnation knew."""
        self._state = self._memory.enter(self.incarnation)
        if self.settings.data_quarantine_after_s > 0:
            self.begin_story(self._watch())

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ask risk what has to be watched; look again when what it says is known, or does not come."""
        await self.sleep(self.settings.data_watch_every_s)
        while True:
            question = m.GetExposures(**self.of_our_own("exposures", ASK_RISK_S))
            try:
                exposures = await self.asked(RISK, question, m.ExposuresRead)
            except GatewayError:
                pass  # risk answers next time
            else:
                if exposures.known:
                    self._look(exposures)
            now = self.clock.monotonic()
            await self.sleep(data_watch.next_look_s(self._state, now, self.settings))

    def _look(self, reply: m.ExposuresRead) -> None:
        self._exposures = {
            each.contract.con_id: each
            for each in reply.exposures
            if is_openable(each.contract.security_type)
        }
        contracts = [each.contract for each in self._exposures.values()]
        self._hours.want(contracts)
        self._why = {con_id: why for con_id, why in self._why.items() if con_id in self._exposures}
        now, settings = self.clock.monotonic(), self.settings
        opened_at = {contract.con_id: self._opened_at(contract, now) for contract in contracts}
        self._take(data_watch.looked(self._state, now, opened_at, settings))
        if reply.latched:
            self._take(data_watch.begun_anew(self._state, now))
        else:
            self._warn(now)
            self._call(now)
        self._read_due(now)
        self._gather(now)

    def _opened_at(self, contract: Contract, now: float) -> float | None:
        """The moment (monotonic) at which the running session of a contract began; None while it is closed."""
        today = self.clock.now()
        session = session_of(self._hours.described(contract), today)
        return None if session is None else now - (today - session.opens_at).total_seconds()

    def _warn(self, now: float) -> None:
        """Tell people while there is time: they may have to subscribe, or to switch the watch off."""
        state, found = data_watch.growing_stale(self._state, now, self.settings)
        self._take(state)
        for con_id, stale_s in found:
            self.log(
                "data_stale",
                level="WARNING",
                symbol=str(self._exposures[con_id].contract),
                stale_s=round(stale_s, 1),
                standing=data_watch.standing_of(self._state, con_id, now, self.settings).value,
                strategy_c_in_s=round(self.settings.data_quarantine_after_s - stale_s),
                why=self._why.get(con_id, ""),
            )

    def _call(self, now: float) -> None:
        state, found = data_watch.quarantined(self._state, now, self.settings)
        self._take(state)
        for con_id, stale_s in found:
            exposed = self._exposures[con_id]
            standing = data_watch.standing_of(self._state, con_id, now, self.settings)
            why = ": ".join(filter(None, (standing.value, self._why.get(con_id))))
            self.log(
                "data_quarantined",
                level="ERROR",
                symbol=str(exposed.contract),
                position_id=exposed.contract.position_id,
                stale_s=round(stale_s, 1),
                held=exposed.is_held,
                orders=len(exposed.order_refs),
                why=why,
            )
            self.tell(
                STRATEGY_C,
                m.DataQuarantined(
                    contract=exposed.contract,
                    age_s=stale_s,
                    order_refs=exposed.order_refs,
                    why=why,
                ),
            )

    # --- reading ----------------------------------------------------------------------------------------------------

    def _read_due(self, now: float) -> None:
        state, chosen = data_watch.due_reads(self._state, now, self.settings, self._reading)
        self._take(state)
        for con_id in chosen:
            self.begin_story(self._read(self._exposures[con_id].contract))

    async def _read(self, contract: Contract) -> None:
        con_id = contract.con_id
        question = m.GetQuote(
            **self.of_our_own(f"watch-{con_id}", self._market_data.read_timeout_s),
            contract=contract,
            max_age_s=MAX_AGE_S,
        )
        self._reading.add(con_id)
        try:
            quote = (await self.asked(MARKET_DATA, question, m.QuoteRead)).quote
        except GatewayError as error:
            self._reading.discard(con_id)
            self._why[con_id] = describe(error).text
            self._take(data_watch.answered(self._state, con_id, None))
        else:
            self._reading.discard(con_id)
            self._judge(quote)

    # --- evidence ---------------------------------------------------------------------------------------------------

    def _gather(self, now: float) -> None:
        """Ask for what tells frozen from quiet: the bars of what is suspect, and witnesses where these are silent."""
        state, suspects = data_watch.due_bars(self._state, now, self.settings)
        state, witnesses = data_watch.due_witnesses(state, now, self.settings)
        self._take(state)
        for con_id in suspects:
            if con_id in self._exposures:
                self.begin_story(self._read_bars(self._exposures[con_id].contract))
        for symbol in witnesses:
            self.begin_story(self._ask_witness(symbol))

    async def _read_bars(self, contract: Contract) -> None:
        question = m.GetBars(
            **self.of_our_own(f"bars-{contract.con_id}", self.settings.data_bars_every_s),
            symbol=contract.symbol,
            contract=contract,
        )
        answer: Bars | tuple[Bar, ...]
        try:
            answer = (await self.asked(MARKET_DATA, question, m.BarsRead)).bars
        except GatewayTimeoutError:
            answer = Bars.SILENT
        except GatewayError:
            answer = Bars.REFUSED
        now = self.clock.monotonic()
        self._take(data_watch.bars_answered(self._state, contract.con_id, answer, now))

    async def _ask_witness(self, symbol: str) -> None:
        header = self.of_our_own(f"witness-{symbol}", self._market_data.read_timeout_s)
        try:
            question = m.ProveMarketData(**header, symbol=symbol)
            quote = (await self.asked(MARKET_DATA, question, m.QuoteRead)).quote
        except GatewayError:
            lives = False
        else:
            lives = quote_age_s(quote, self.clock.monotonic()) <= self._market_data.suspect_after_s
        self._take(data_watch.witnessed(self._state, symbol, lives=lives))

    def _judge(self, quote: Quote) -> None:
        if quote.source is not DataSource.IB:
            return  # what a second source says is no answer of IB's, and never fresh
        con_id = quote.contract.con_id
        self._take(data_watch.paced(self._state, con_id, quote, self.clock.monotonic()))
        age_s = data_watch.evidence_age_s(quote, self.clock.now(), self.clock.monotonic())
        has_stamp = age_s < float("inf")
        self._why[con_id] = "" if has_stamp else _lack(quote)
        stamped_at = self.clock.monotonic() - age_s if has_stamp else None
        self._take(data_watch.answered(self._state, con_id, stamped_at))

    def _take(self, state: DataWatch) -> None:
        self._state = state
        self._memory.keep(self.incarnation, state)


def _lack(quote: Quote) -> str:
    kind = quote.data_type.name.lower().replace("_", " ")
    has_price = any(price is not None for price in (quote.bid, quote.ask, quote.last))
    return f"IB's data is {kind}" if has_price else f"IB answers without a price ({kind})"
