"""Keeps the prices of what is held fresh; an unknown price triggers nothing but a warning, once (POS-2)."""

from __future__ import annotations

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.messages.addresses import MARKET_DATA
from actors.model.account import Holding
from actors.ports import EventLog
from actors.position.valuation import value
from actors.sections.market_data import MarketData
from actors.sections.positions import Positions


class Prices(Part):
    """Owns which prices are being asked for, and of which it was said that they are not known."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Positions,
        market_data: MarketData,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._market_data = market_data
        self._log = log
        self._asking: set[int] = set()
        self._warned: set[int] = set()

    def refresh(self, holding: Holding) -> None:
        """Ask for a price, unless that is under way."""
        con_id = holding.contract.con_id
        if con_id not in self._asking:
            self._asking.add(con_id)
            self._actor.begin_story(self._ask(holding))

    def forget(self, con_id: int) -> None:
        """The position is gone."""
        self._warned.discard(con_id)

    async def _ask(self, holding: Holding) -> None:
        con_id = holding.contract.con_id
        question = m.GetQuote(
            **self._actor.of_our_own("price", self._market_data.read_timeout_s),
            contract=holding.contract,
            max_age_s=self._settings.check_interval_s,
        )
        why = "the broker has no price"
        is_known = False
        try:
            quote = (await self._actor.asked(MARKET_DATA, question, m.QuoteRead)).quote
            valued = value(holding, quote, self._actor.clock.now(), self._settings)
            is_known, why = valued.price is not None, valued.why or why
        except GatewayError as error:
            why = str(error)
        self._asking.discard(con_id)
        if is_known:
            self._warned.discard(con_id)
        elif con_id not in self._warned:
            self._warned.add(con_id)
            self._log(
                "price_unknown",
                level="WARNING",
                position_id=holding.contract.position_id,
                why=why,
            )
