"""What ticks have said of one contract so far. Layout of tick-by-tick messages: TWS_WIRE §4, ib_insync's decoder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from actors.link.decoder import UndecodableError, decimal
from actors.link.translation import epoch_time, positive
from actors.model.contracts import Contract
from actors.model.market import DataType, Quote

_BID_ASK: Final = "3"
_TRADES: Final = ("1", "2")
_UNREPORTED: Final = 2
"""A trade that is not reported to the tape: neither last price nor volume."""


class TickedMarket:
    """The newest values, changed in place; `quote` makes a value of them. Raises `UndecodableError`."""

    __slots__ = (
        "_ask",
        "_ask_size",
        "_base",
        "_bid",
        "_bid_size",
        "_has_bid_ask",
        "_has_trade",
        "_high",
        "_last",
        "_last_size",
        "_low",
        "_note_newer",
        "_received_at",
        "_traded_at",
        "_traded_text",
        "_volume",
        "contract",
        "is_newer",
        "is_wanted",
    )

    def __init__(self, contract: Contract, note_newer: Callable[[TickedMarket], None]) -> None:
        self.contract = contract
        self.is_newer = False
        self.is_wanted = True
        self._note_newer = note_newer
        self._base: Quote | None = None
        self._bid: float | None = None
        self._ask: float | None = None
        self._bid_size: float | None = None
        self._ask_size: float | None = None
        self._last: float | None = None
        self._last_size: float | None = None
        self._high: float | None = None
        self._low: float | None = None
        self._volume: float | None = None
        self._traded_at: datetime | None = None
        self._traded_text = ""
        self._has_bid_ask = False
        self._has_trade = False
        self._received_at: datetime

    def take_bid_ask(self, fields: list[str], received_at: datetime) -> None:
        """Take a change of the best bid or ask."""
        try:
            _, _, kind, _, bid, ask, bid_size, ask_size, _ = fields
        except ValueError:
            raise UndecodableError(f"a tick of bid and ask has {len(fields)} fields") from None
        if kind != _BID_ASK:
            raise UndecodableError(f"a tick of bid and ask is of kind {kind!r:.10}")
        prices = positive(decimal(bid)), positive(decimal(ask))
        sizes = positive(decimal(bid_size)), positive(decimal(ask_size))
        self._bid, self._ask = prices
        self._bid_size, self._ask_size = sizes
        self._has_bid_ask = True
        self._touch(received_at)

    def take_trade(self, fields: list[str], received_at: datetime) -> None:
        """Take a trade: the last price, and the volume that it adds."""
        try:
            _, _, kind, time, price_text, size_text, mask, _, _ = fields
        except ValueError:
            raise UndecodableError(f"a tick of a trade has {len(fields)} fields") from None
        if kind not in _TRADES:
            raise UndecodableError(f"a tick of a trade is of kind {kind!r:.10}")
        price, size = positive(decimal(price_text)), positive(decimal(size_text))
        if int(mask) & _UNREPORTED or price is None:
            return
        self._last, self._last_size, self._traded_text = price, size, time
        self._has_trade = True
        self._high = price if self._high is None else max(self._high, price)
        self._low = price if self._low is None else min(self._low, price)
        if self._volume is not None:
            self._volume += size or 0.0
        self._touch(received_at)

    def _touch(self, received_at: datetime) -> None:
        self._received_at = received_at
        if not self.is_newer:
            self.is_newer = True
            self._note_newer(self)

    def rebase(self, quote: Quote) -> None:
        """Take over of a whole snapshot what no tick has said: a tick may have come after it ended."""
        self._base = quote
        if (
            self.is_newer
        ):  # what ticks made newer is handed on after this snapshot, and holds as of now
            self._received_at = quote.received_at
        self._volume, self._high, self._low = quote.volume, quote.high, quote.low
        if not self._has_bid_ask:
            self._bid, self._ask = quote.bid, quote.ask
            self._bid_size, self._ask_size = quote.bid_size, quote.ask_size
        if not self._has_trade:
            self._last, self._last_size = quote.last, quote.last_size
            self._traded_at = quote.traded_at

    def quote(self) -> Quote:
        """Make a quote of what is known; live, since nothing else is streamed."""
        if self._traded_text:
            self._traded_at, self._traded_text = epoch_time(self._traded_text), ""
        base = self._base
        return Quote(
            contract=self.contract,
            received_at=self._received_at,
            bid=self._bid,
            ask=self._ask,
            last=self._last,
            bid_size=self._bid_size,
            ask_size=self._ask_size,
            last_size=self._last_size,
            open=None if base is None else base.open,
            high=self._high if base is not None else None,
            low=self._low if base is not None else None,
            close=None if base is None else base.close,
            volume=self._volume,
            traded_at=self._traded_at,
            halted=base is not None and base.halted,
            data_type=DataType.LIVE,
        )
