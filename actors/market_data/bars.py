"""How the market-data actor reads bars: once for all who want the same, and once per bar (CON-14)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from actors.errors import ErrorInfo, GatewayTimeoutError, HistoryPacingError, restore
from actors.kernel.actor import ActorContext
from actors.kernel.messages import Reply, Request
from actors.market_data.bar_gaps import missing_bars
from actors.market_data.indicator_book import IndicatorBook
from actors.market_data.reads import MarketDataDesk, MarketDataSettings
from actors.messages.addresses import LINK
from actors.messages.market_data import BarsRead, ReadBars
from actors.model.contracts import Contract
from actors.model.market import Bar, BarGap
from actors.ports import EventLog, no_log

IDENTICAL_HISTORY_S: Final = 15.0
"""IB refuses an identical history request within this time (TWS_WIRE §10)."""

_SHORT_OF_TIME: Final = frozenset({GatewayTimeoutError.__name__, HistoryPacingError.__name__})
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


Then = Callable[[BarsHeld], None]


@attrs.frozen
class _Reader:
    """Somebody who waits for bars that are being read."""

    request: Request
    contract: Contract
    then: Then


class BarReads(MarketDataDesk):
    """Bars by contract and minutes; what is read is kept until the next bar closes."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: MarketDataSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context, settings=settings, log=log)
        self.held: dict[int, BarsHeld] = {}
        self.readers: dict[tuple[int, int], list[_Reader]] = {}
        self.book = IndicatorBook(self.settings.max_remembered)

    def forget_session(self) -> None:
        """Forget what a session taught."""
        super().forget_session()
        self.held.clear()
        self.book = IndicatorBook(self.settings.max_remembered)

    def bars(self, request: Request, contract: Contract, minutes: int, then: Then) -> None:
        """Go on with the newest bars, from memory where no newer ones can exist."""
        held = self.held.get(contract.con_id)
        if (
            held is not None
            and held.minutes >= minutes
            and _still_newest(held.read_at, self.clock.now())
        ):
            then(held.newest(minutes))
            return

        key = (contract.con_id, minutes)
        readers = self.readers.setdefault(key, [])
        readers.append(_Reader(request, contract, then))
        if len(readers) == 1:
            self._read_bars(key, readers[0])

    def _read_bars(self, key: tuple[int, int], first: _Reader) -> None:
        """Ask once for all who want the same bars: IB takes a second, identical request for an offence (CON-14)."""

        def keep(reply: Reply) -> None:
            assert isinstance(reply, BarsRead)  # noqa: S101 - the link answers in kind
            held = self._keep(first.contract, key[1], reply.bars)
            for reader in self.readers.pop(key):
                reader.then(held)

        def failed(error: ErrorInfo) -> None:
            for reader in self.readers.pop(key):
                if (
                    error.kind in _SHORT_OF_TIME
                    and reader.request.deadline > first.request.deadline
                ):
                    self.bars(reader.request, reader.contract, key[1], reader.then)
                else:
                    self.refuse(reader.request, restore(error))

        self.conversations.ask(
            LINK,
            ReadBars(
                **self.conversations.on_behalf(first.request, "bars"),
                contract=first.contract,
                duration_minutes=key[1],
            ),
            keep,
            failed,
        )

    def _keep(self, contract: Contract, minutes: int, bars: tuple[Bar, ...]) -> BarsHeld:
        """Remember what was read, and tell of gaps that were not told before."""
        now = self.clock.now()
        before = self.held.get(contract.con_id)
        held = BarsHeld(now, minutes, bars, missing_bars(bars, contract, now))
        told = {gap.begins_at for gap in before.gaps} if before is not None else set()
        for gap in held.gaps:
            if gap.begins_at not in told:
                self.log(
                    "bars_missing",
                    level="WARNING",
                    symbol=gap.symbol,
                    begins_at=gap.begins_at,
                    ends_at=gap.ends_at,
                    minutes=gap.minutes,
                )
        self.remember(self.held, contract.con_id, held)
        return held


def _still_newest(read_at: datetime, now: datetime) -> bool:
    """Bars stay the newest until the next minute closes; IB refuses to be asked twice within 15 s anyway."""
    same_minute = read_at.replace(second=0, microsecond=0) == now.replace(second=0, microsecond=0)
    return same_minute or (now - read_at).total_seconds() < IDENTICAL_HISTORY_S
