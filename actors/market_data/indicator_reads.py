"""The indicators of many symbols in one answer: the bars are read side by side, then all is computed at once.

At IB's own limits the bars of 60 symbols can be read in ten minutes (CON-14). What cannot be had by the deadline is
answered with the reason instead, so that one symbol never costs the others their answer.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors import messages as m
from actors.errors import GatewayError, InsufficientDataError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic.history import MAX_HISTORY_MINUTES
from actors.market_data.bars import BarReads
from actors.market_data.route import SourceRoute, failed_over
from actors.model.market import IndicatorReading

LEFT_RATIO: Final = 0.05
"""Of the time to the deadline, kept for putting the answer together."""


@attrs.define
class _Gathering:
    """What has come of one request."""

    request: m.GetIndicators
    missing: int
    bars: dict[str, m.BarsRead] = attrs.field(factory=dict)
    why_not: dict[str, str] = attrs.field(factory=dict)


class IndicatorReads(Part):
    """Answers `GetIndicators`."""

    def __init__(self, actor: SupervisedActor, route: SourceRoute, bars: BarReads) -> None:
        self._actor = actor
        self._route = route
        self._bars = bars

    @handles(m.GetIndicators)
    def on_get_indicators(self, request: m.GetIndicators) -> None:
        """Read the bars of every symbol, from memory where no newer ones can exist."""
        symbols = tuple(dict.fromkeys(request.symbols))
        gathering = _Gathering(request, len(symbols))
        if not symbols:
            self._answer_indicators(gathering)
        for symbol in symbols:
            self._actor.begin_story(self._gather(gathering, symbol))

    async def _gather(self, gathering: _Gathering, symbol: str) -> None:
        try:
            read = await self._read(gathering.request, symbol)
        except GatewayError as error:
            gathering.why_not[symbol] = str(error)
        else:
            gathering.bars[symbol] = read
            self._bars.book.take(read.contract.con_id, read.bars)
        gathering.missing -= 1
        if not gathering.missing:
            self._answer_indicators(gathering)

    async def _read(self, request: m.GetIndicators, symbol: str) -> m.BarsRead:
        if self._route.is_over(symbol):
            raise failed_over(symbol)
        header = self._actor.on_behalf(request, symbol)
        header["deadline"] -= LEFT_RATIO * (request.deadline - self._actor.clock.monotonic())
        question = m.GetBars(**header, symbol=symbol, duration_minutes=MAX_HISTORY_MINUTES)
        return await self._actor.asked(self._actor.name, question, m.BarsRead)

    def _answer_indicators(self, gathering: _Gathering) -> None:
        request = gathering.request
        self._actor.reply(
            request,
            m.IndicatorsRead(
                correlation_id=request.correlation_id,
                readings=tuple(self._reading(gathering, symbol) for symbol in request.symbols),
            ),
        )

    def _reading(self, gathering: _Gathering, symbol: str) -> IndicatorReading:
        read = gathering.bars.get(symbol)
        if read is None:
            return IndicatorReading(symbol=symbol, why_not=gathering.why_not[symbol])
        reading = IndicatorReading(
            symbol=symbol,
            as_of=read.bars[-1].start if read.bars else None,
            bar_gaps=read.gaps,
        )
        try:
            found = self._bars.book.indicators(read.contract.con_id, read.bars)
        except InsufficientDataError as error:
            return attrs.evolve(reading, why_not=str(error))
        return attrs.evolve(reading, indicators=found)
