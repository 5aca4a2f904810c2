"""The indicators of many symbols in one answer: the bars are read side by side, then all is computed at once.

At IB's own limits the bars of 60 symbols can be read in ten minutes (CON-14). What cannot be had by the deadline is
answered with the reason instead, so that one symbol never costs the others their answer.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.errors import ErrorInfo, InsufficientDataError
from actors.kernel.handlers import handles
from actors.kernel.messages import Reply
from actors.kernel.stories import child_id
from actors.logic.history import MAX_HISTORY_MINUTES
from actors.market_data.feeds import QuoteFeeds
from actors.market_data.second_source_reads import failed_over
from actors.messages.market_data import BarsRead, GetBars, GetIndicators, IndicatorsRead
from actors.model.market import IndicatorReading

LEFT_RATIO: Final = 0.05
"""Of the time to the deadline, kept for putting the answer together."""


@attrs.define
class _Gathering:
    """What has come of one request."""

    request: GetIndicators
    missing: int
    bars: dict[str, BarsRead] = attrs.field(factory=dict)
    why_not: dict[str, str] = attrs.field(factory=dict)


class IndicatorReads(QuoteFeeds):
    """Answers `GetIndicators`."""

    @handles(GetIndicators)
    def on_get_indicators(self, request: GetIndicators) -> None:
        """Read the bars of every symbol, from memory where no newer ones can exist."""
        symbols = tuple(dict.fromkeys(request.symbols))
        gathering = _Gathering(request, len(symbols))
        if not symbols:
            self._answer_indicators(gathering)
        for symbol in symbols:
            if self.failover.is_over(symbol):
                self._gathered(gathering, symbol, failed_over(symbol))
            else:
                self._gather(gathering, symbol)

    def _gather(self, gathering: _Gathering, symbol: str) -> None:
        request = gathering.request
        left_s = request.deadline - self.clock.monotonic()
        self.conversations.ask(
            self.name,
            GetBars(
                correlation_id=child_id(request.correlation_id, symbol),
                deadline=request.deadline - LEFT_RATIO * left_s,
                reply_to=self.name,
                symbol=symbol,
                duration_minutes=MAX_HISTORY_MINUTES,
            ),
            lambda reply: self._gathered(gathering, symbol, reply),
            lambda error: self._gathered(gathering, symbol, error),
        )

    def _gathered(
        self, gathering: _Gathering, symbol: str, found: Reply | ErrorInfo | Exception
    ) -> None:
        if isinstance(found, BarsRead):
            gathering.bars[symbol] = found
            self.book.take(found.contract.con_id, found.bars)
        else:
            gathering.why_not[symbol] = found.text if isinstance(found, ErrorInfo) else str(found)
        gathering.missing -= 1
        if not gathering.missing:
            self._answer_indicators(gathering)

    def _answer_indicators(self, gathering: _Gathering) -> None:
        request = gathering.request
        self.reply(
            request,
            IndicatorsRead(
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
            found = self.book.indicators(read.contract.con_id, read.bars)
        except InsufficientDataError as error:
            return attrs.evolve(reading, why_not=str(error))
        return attrs.evolve(reading, indicators=found)
