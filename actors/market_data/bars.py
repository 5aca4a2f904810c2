"""How the market-data actor reads bars: once for all who want the same, and once per bar (CON-14)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.errors import GatewayError, GatewayTimeoutError, HistoryPacingError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Reply, Request
from actors.market_data.bar_gaps import missing_bars
from actors.market_data.indicator_book import IndicatorBook
from actors.market_data.remembered import Remembered
from actors.messages.addresses import LINK
from actors.model.contracts import Contract
from actors.model.market import Bar, BarGap
from actors.ports import EventLog

IDENTICAL_HISTORY_S: Final = 15.0
"""IB refuses an identical history request within this time (TWS_WIRE §10)."""

_SHORT_OF_TIME: Final = (GatewayTimeoutError, HistoryPacingError)
"""What one whose deadline is later may try again."""


@attrs.frozen
class BarsHeld:
    """The newest bars of ``minutes`` minutes, and the gaps in them, as they were read."""

    read_at: datetime
    minutes: int
    bars: tuple[Bar, ...]
    gaps: tuple[BarGap, ...]

    def newest(self, minutes: int) -> BarsHeld:
        """The last ``minutes`` bars, which a shorter request would have read."""
        if minutes >= self.minutes:
            return self
        bars = self.bars[-minutes:]
        gaps = tuple(gap for gap in self.gaps if bars and gap.begins_at > bars[0].start)
        return BarsHeld(self.read_at, minutes, bars, gaps)


@attrs.frozen(kw_only=True)
class GetNewestBars(Request):
    """Asked of oneself, so that many can wait for one read; answered by `NewestBars`."""

    contract: Contract
    minutes: int


@attrs.frozen(kw_only=True)
class NewestBars(Reply):
    """What was read, or remembered."""

    held: BarsHeld


class BarReads(Part):
    """Owns the bars by contract; what is read is kept until the next bar closes."""

    def __init__(
        self,
        actor: SupervisedActor,
        most: int,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._most = most
        self._log = log
        self._held: Remembered[int, BarsHeld] = Remembered(most)
        self._readers: dict[tuple[int, int], list[GetNewestBars]] = {}
        self.book = IndicatorBook(most)

    def forget_session(self) -> None:
        """Forget what a session taught."""
        self._held.clear()
        self.book = IndicatorBook(self._most)

    async def newest(self, request: Request, contract: Contract, minutes: int) -> BarsHeld:
        """Give the newest bars, from memory where no newer ones can exist; raises what the link answers."""
        held = self._remembered(contract, minutes)
        if held is not None:
            return held
        question = GetNewestBars(
            **self._actor.on_behalf(request, "bars"), contract=contract, minutes=minutes
        )
        # No timer: the read itself has one, and ends for all who wait.
        answer = await self._actor.asked(self._actor.name, question, NewestBars, watched=False)
        return answer.held

    def _remembered(self, contract: Contract, minutes: int) -> BarsHeld | None:
        held = self._held.get(contract.con_id)
        if held is None or held.minutes < minutes:
            return None
        return (
            held.newest(minutes) if _still_newest(held.read_at, self._actor.clock.now()) else None
        )

    @handles(GetNewestBars)
    async def on_get_newest_bars(self, request: GetNewestBars) -> None:
        """Ask once for all who want the same bars: IB takes a second, identical request for an offence (CON-14)."""
        held = self._remembered(request.contract, request.minutes)
        if held is not None:
            self._answer(request, held)
            return
        key = (request.contract.con_id, request.minutes)
        readers = self._readers.setdefault(key, [])
        readers.append(request)
        if len(readers) == 1:
            await self._read(key, request)

    async def _read(self, key: tuple[int, int], first: GetNewestBars) -> None:
        """Read for all who wait; where time ran short, those whose deadline is later begin anew."""
        question = m.ReadBars(
            **self._actor.on_behalf(first, "link"),
            contract=first.contract,
            duration_minutes=first.minutes,
        )
        try:
            read = await self._actor.asked(LINK, question, m.BarsRead)
        except GatewayError as error:
            for reader in self._readers.pop(key):
                if isinstance(error, _SHORT_OF_TIME) and reader.deadline > first.deadline:
                    self._actor.begin_story(self.on_get_newest_bars(reader))
                else:
                    self._actor.refuse(reader, error)
            return
        held = self._keep(first.contract, first.minutes, read.bars)
        for reader in self._readers.pop(key):
            self._answer(reader, held)

    def _answer(self, request: GetNewestBars, held: BarsHeld) -> None:
        self._actor.reply(request, NewestBars(correlation_id=request.correlation_id, held=held))

    def _keep(self, contract: Contract, minutes: int, bars: tuple[Bar, ...]) -> BarsHeld:
        """Remember what was read, and log the gaps that were not logged before."""
        now = self._actor.clock.now()
        before = self._held.get(contract.con_id)
        held = BarsHeld(now, minutes, bars, missing_bars(bars, contract, now))
        logged = {gap.begins_at for gap in before.gaps} if before is not None else set()
        for gap in held.gaps:
            if gap.begins_at not in logged:
                self._log(
                    "bars_missing",
                    level="WARNING",
                    symbol=gap.symbol,
                    begins_at=gap.begins_at,
                    ends_at=gap.ends_at,
                    minutes=gap.minutes,
                )
        self._held.keep(contract.con_id, held)
        return held


def _still_newest(read_at: datetime, now: datetime) -> bool:
    """Bars stay the newest until the next minute closes; IB refuses to be asked twice within 15 s anyway."""
    same_minute = read_at.replace(second=0, microsecond=0) == now.replace(second=0, microsecond=0)
    # A clock that was set back does not keep them for so long.
    return same_minute or 0.0 <= (now - read_at).total_seconds() < IDENTICAL_HISTORY_S
