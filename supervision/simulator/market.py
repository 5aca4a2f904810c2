"""The market as seen at one moment: quotes and bars of every listed contract.

Guarantees bid ≤ last ≤ ask for stocks and bid ≤ ask for options, and that a quote continues from the
newest bar. Faults may freeze, halt or move a symbol here.
"""

from __future__ import annotations

import datetime as dt
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from . import options
from .calendar import EASTERN, AroundTheClock, Hours
from .contracts import Universe
from .instruments import Contract
from .prices import MINUTE_S, Bar, PriceSource, SeededPrices
from .replay import ReplayPrices, read_bars

_DAY_S = 86_400
_DAY_START_S = -2 * 3600
_HASH = 2654435761
_QUOTES_KEPT = 5000
_CENT = 0.01
_VOLATILITIES = {"SPY": 0.14, "QQQ": 0.18, "IWM": 0.2, "GLD": 0.15, "TLT": 0.13, "KO": 0.15}


@attrs.frozen(kw_only=True)
class Quote:
    """One contract's top of book and day so far; `None` means there is no such value."""

    bid: float | None
    ask: float | None
    last: float | None
    bid_size: int
    ask_size: int
    last_size: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int
    last_time: dt.datetime
    halted: bool = False
    greeks: options.Greeks | None = None
    under_price: float | None = None

    @property
    def mark(self) -> float | None:
        """The price positions are valued at: last within bid and ask, else their middle."""
        if self.bid is None or self.ask is None:
            return self.last
        if self.last is not None and self.bid <= self.last <= self.ask:
            return self.last
        return round((self.bid + self.ask) / 2, 4)


@attrs.define
class Day:
    """The running totals of one symbol's trading day."""

    number: int
    open: float
    high: float
    low: float
    previous_close: float
    volume: int
    next_minute: int


class Market:
    """Prices for all contracts, from one seed, at the time that `now` gives."""

    def __init__(
        self,
        *,
        seed: int,
        universe: Universe,
        now: Callable[[], dt.datetime],
        anchor: dt.datetime,
        hours: Hours,
        replay: Mapping[str, Path],
        replay_offset: int,
        speed: float,
    ) -> None:
        self.hours = hours
        self.future_hours = AroundTheClock(hours)
        self._seed = seed
        self._universe = universe
        self._now = now
        self._anchor = anchor
        self._sources: dict[int, PriceSource] = {}
        self._days: dict[int, Day] = {}
        self._frozen: dict[str, float] = {}
        self._all_frozen_s: float | None = None
        self._moves: dict[str, list[tuple[float, float]]] = {}
        self._spreads: dict[str, float] = {}
        self.halted: set[str] = set()
        self._quotes: dict[int, tuple[tuple[int, int, bool], Quote]] = {}
        for symbol, path in replay.items():
            stock = universe.stock(symbol)
            if stock is None:
                raise ValueError(f"no instrument named {symbol!r} to replay {path} for")
            self._sources[stock.con_id] = ReplayPrices(read_bars(path), replay_offset, speed)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the anchor."""
        return (self._now() - self._anchor).total_seconds()

    @property
    def today(self) -> dt.date:
        """The date at the exchange."""
        return self._now().astimezone(EASTERN).date()

    def time_of(self, minute: int) -> dt.datetime:
        """The start of a minute that is counted from the anchor."""
        return self._anchor + dt.timedelta(seconds=minute * MINUTE_S)

    # Faults -------------------------------------------------------------------------------------

    def freeze(self, symbol: str | None) -> None:
        """Stop the quotes of a symbol, or of all, at this moment."""
        if symbol is None:
            self._all_frozen_s = self.elapsed_s
        else:
            self._frozen[symbol] = self.elapsed_s

    def thaw(self, symbol: str | None) -> None:
        """Let quotes move again; `None` for all."""
        if symbol is None:
            self._all_frozen_s = None
            self._frozen.clear()
        else:
            self._frozen.pop(symbol, None)

    def move(self, symbol: str, factor: float) -> None:
        """Multiply the price of a symbol by `factor` from now on."""
        self._moves.setdefault(symbol, []).append((math.floor(self.elapsed_s), factor))
        stock = self._universe.stock(symbol)
        if stock is not None:
            self._days.pop(stock.con_id, None)
        else:
            self._days.clear()

    def widen(self, symbol: str, times: float) -> None:
        """Make the spreads of a symbol's options `times` as wide from now on."""
        self._spreads[symbol] = times
        self._quotes.clear()

    # Prices -------------------------------------------------------------------------------------

    def quote(self, contract: Contract) -> Quote:
        """The quote of a contract now."""
        at_s = math.floor(self._time_s(contract))
        key = (at_s, len(self._moves.get(contract.symbol, ())), contract.symbol in self.halted)
        known = self._quotes.get(contract.con_id)
        if known is not None and known[0] == key:
            return known[1]
        make = self._option_quote if contract.is_option else self._stock_quote
        quote = make(contract, at_s)
        if len(self._quotes) > _QUOTES_KEPT:
            self._quotes.clear()
        self._quotes[contract.con_id] = (key, quote)
        return quote

    def bars(self, contract: Contract, count: int, end_s: float | None = None) -> list[Bar]:
        """The newest `count` one-minute bars up to `end_s` (default: now), the forming one last."""
        at_s = self._time_s(contract)
        if end_s is not None:
            at_s = min(at_s, end_s)
        if contract.is_option:
            return self._option_bars(contract, at_s, count)
        return self._stock_bars(contract, at_s, count)

    def _time_s(self, contract: Contract) -> float:
        frozen_s = self._frozen.get(contract.symbol, self._all_frozen_s)
        if frozen_s is not None:
            return frozen_s
        if self.hours.always:
            return self.elapsed_s
        hours = self.future_hours if contract.trades_around_the_clock else self.hours
        return (hours.last_open(self._now()) - self._anchor).total_seconds()

    def _source(self, stock: Contract) -> PriceSource:
        source = self._sources.get(stock.con_id)
        if source is None:
            name = _price_name(stock)
            volume = 60_000 if stock.symbol == "SPY" else 8_000
            source = SeededPrices(self._seed, name, stock.base_price, volume)
            self._sources[stock.con_id] = source
        return source

    def _moved(self, symbol: str, at_s: float) -> float:
        factor = 1.0
        for since_s, times in self._moves.get(symbol, ()):
            if at_s >= since_s:
                factor *= times
        return factor

    def _last(self, stock: Contract, at_s: float) -> float:
        price = self._source(stock).price(at_s)
        if stock.symbol in self._moves:
            price = max(0.01, round(price * self._moved(stock.symbol, at_s), 2))
        return _on_tick(price, stock.min_tick)

    def _stock_bars(self, stock: Contract, at_s: float, count: int) -> list[Bar]:
        bars = self._source(stock).bars(at_s, count)
        if stock.symbol in self._moves:
            bars = [self._move_bar(stock.symbol, bar, at_s) for bar in bars]
        if stock.min_tick == _CENT:
            return bars
        return [_bar_on_ticks(bar, stock.min_tick) for bar in bars]

    def _move_bar(self, symbol: str, bar: Bar, at_s: float) -> Bar:
        first = self._moved(symbol, bar.minute * MINUTE_S)
        last = self._moved(symbol, min(at_s, bar.minute * MINUTE_S + MINUTE_S - 1))
        factors = (first, last)
        return attrs.evolve(
            bar,
            open=round(bar.open * first, 2),
            close=round(bar.close * last, 2),
            high=round(bar.high * max(factors), 2),
            low=round(bar.low * min(factors), 2),
        )

    def _stock_quote(self, stock: Contract, at_s: float) -> Quote:
        last = self._last(stock, at_s)
        step = math.floor(at_s)
        mixed = _mix(stock.con_id, step)
        below, above = ((0, 1), (1, 0), (1, 1))[mixed % 3]
        day = self._day(stock, at_s)
        return Quote(
            bid=round(last - below * stock.min_tick, 2) or stock.min_tick,
            ask=round(last + above * stock.min_tick, 2),
            last=last,
            bid_size=100 * (1 + mixed // 3 % 9),
            ask_size=100 * (1 + mixed // 27 % 9),
            last_size=100 * (1 + mixed // 243 % 5),
            open=day.open,
            high=max(day.high, last),
            low=min(day.low, last),
            close=day.previous_close,
            volume=day.volume + self._forming_volume(stock, at_s, day),
            last_time=self._anchor + dt.timedelta(seconds=step),
            halted=stock.symbol in self.halted,
        )

    def _forming_volume(self, stock: Contract, at_s: float, day: Day) -> int:
        minute = math.floor(at_s / MINUTE_S)
        return self._source(stock).bars(at_s, 1)[-1].volume if minute >= day.next_minute else 0

    def _day(self, stock: Contract, at_s: float) -> Day:
        number = math.floor((at_s - _DAY_START_S) / _DAY_S)
        minute = math.floor(at_s / MINUTE_S)
        day = self._days.get(stock.con_id)
        if day is None or day.number != number or day.next_minute > minute:
            first = (number * _DAY_S + _DAY_START_S) // MINUTE_S
            opening = self._stock_bars(stock, float(first * MINUTE_S), 2)
            before, start = opening[0], opening[-1]
            day = Day(number, start.open, start.open, start.open, before.close, 0, first)
            self._days[stock.con_id] = day
        if day.next_minute < minute:
            missing = self._stock_bars(stock, at_s, minute - day.next_minute + 1)[:-1]
            for bar in missing:
                day.high = max(day.high, bar.high)
                day.low = min(day.low, bar.low)
                day.volume += bar.volume
            day.next_minute = minute
        return day

    # Options ------------------------------------------------------------------------------------

    def value(self, option: Contract, spot: float, at_s: float) -> options.Greeks:
        """The theoretical value of an option for a price of its underlying."""
        expires = dt.datetime.strptime(option.expiry, "%Y%m%d").replace(hour=16, tzinfo=EASTERN)
        moment = self._anchor + dt.timedelta(seconds=at_s)
        years = (expires - moment).total_seconds() / (options.YEAR_DAYS * _DAY_S)
        base = _VOLATILITIES.get(option.symbol)
        if base is None:
            base = 0.2 + (zlib.crc32(option.symbol.encode()) % 25) / 100
        volatility = options.smile(spot, option.strike, base)
        return options.value(spot, option.strike, years, volatility, call=option.right == "C")

    def _under(self, option: Contract) -> Contract:
        stock = self._universe.by_con_id(option.under_con_id)
        if stock is None:
            raise LookupError(f"option {option.con_id} has no underlying")
        return stock

    def _option_quote(self, option: Contract, at_s: float) -> Quote:
        spot = self._last(self._under(option), at_s)
        greeks = self.value(option, spot, at_s)
        tick = option.min_tick
        half = max(tick / 2, 0.004 * greeks.price) * self._spreads.get(option.symbol, 1.0)
        bid = round(math.floor((greeks.price - half) / tick + 1e-9) * tick, 2)
        ask = round(max(math.ceil((greeks.price + half) / tick - 1e-9) * tick, tick), 2)
        last = round(min(max(_on_tick(round(greeks.price, 2), tick), bid), ask), 2)
        mixed = _mix(option.con_id, math.floor(at_s))
        start = self._option_bars(option, at_s, 2)[0]
        return Quote(
            bid=bid if bid > 0 else None,
            ask=ask,
            last=last if last > 0 else tick,
            bid_size=1 + mixed % 50 if bid > 0 else 0,
            ask_size=1 + mixed // 50 % 50,
            last_size=1 + mixed // 2500 % 10,
            open=start.open,
            high=max(start.high, last),
            low=min(start.low, last) or tick,
            close=start.open,
            volume=100 + mixed % 1000,
            last_time=self._anchor + dt.timedelta(seconds=math.floor(at_s)),
            halted=option.symbol in self.halted,
            greeks=greeks,
            under_price=spot,
        )

    def _option_bars(self, option: Contract, at_s: float, count: int) -> list[Bar]:
        bars = self._stock_bars(self._under(option), at_s, count)
        made = [self._option_bar(option, bar) for bar in bars]
        if option.min_tick == _CENT:
            return made
        return [_bar_on_ticks(bar, option.min_tick) for bar in made]

    def _option_bar(self, option: Contract, bar: Bar) -> Bar:
        at_s = float(bar.minute * MINUTE_S)
        open_, high, low, close = (
            max(option.min_tick, round(self.value(option, price, at_s).price, 2))
            for price in (bar.open, bar.high, bar.low, bar.close)
        )
        volume = max(1, bar.volume // 500) if bar.volume else 0
        return Bar(bar.minute, open_, max(high, low), min(high, low), close, volume, volume // 5)


def _price_name(contract: Contract) -> str:
    """What the price path of a contract is drawn from, beside the seed: one path for all months of a future."""
    if contract.sec_type == "STK":
        return contract.symbol if contract.currency == "USD" else f"{contract.symbol}.CAD"
    return f"{contract.symbol}.{contract.sec_type}"


def _on_tick(price: float, tick: float) -> float:
    return price if tick == _CENT else round(max(1, round(price / tick)) * tick, 8)


def _bar_on_ticks(bar: Bar, tick: float) -> Bar:
    return attrs.evolve(
        bar,
        open=_on_tick(bar.open, tick),
        high=_on_tick(bar.high, tick),
        low=_on_tick(bar.low, tick),
        close=_on_tick(bar.close, tick),
    )


def _mix(con_id: int, step: int) -> int:
    return ((con_id * 31 + step) * _HASH & 0xFFFFFFFF) >> 7
