"""Answers requests for bars, past and live."""

# Handlers share one signature whether or not they need all of it.

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Callable

import attrs

from . import codes
from .calendar import EASTERN, stamp, utc_stamp
from .client import Client
from .fields import Fields, number, size
from .instruments import Contract, ContractQuery
from .prices import Bar
from .requests import Handler
from .tickets import Refusal, resolve
from .world import World

_BAR_MINUTES = {
    "1 min": 1,
    "2 mins": 2,
    "3 mins": 3,
    "5 mins": 5,
    "10 mins": 10,
    "15 mins": 15,
    "20 mins": 20,
    "30 mins": 30,
    "1 hour": 60,
    "2 hours": 120,
    "3 hours": 180,
    "4 hours": 240,
    "8 hours": 480,
    "1 day": 1440,
    "1 week": 10080,
}
_DURATION_S = {"S": 1, "D": 86_400, "W": 604_800, "M": 2_592_000, "Y": 31_536_000}
_SHOW = frozenset({"TRADES", "MIDPOINT", "BID", "ASK", "ADJUSTED_LAST"})
_MOST_BARS = 100_000
_PACING_WINDOW_S = 600.0
_HISTORY_DAYS = 365
_CLOSED_MINUTES = 4 * 1440
"""How far back the last session may lie: a long weekend."""
_REAL_TIME_BAR_S = 5.0


@attrs.frozen
class _Query:
    contract: Contract
    minutes: int
    duration_s: int
    end: dt.datetime | None
    regular_hours: bool
    show: str
    epoch: bool


class HistoryService:
    """Historical bars, bars kept up to date, five-second bars, head time stamps."""

    def __init__(self, world: World) -> None:
        self._config = world.config
        self._market = world.market
        self._universe = world.universe
        self._faults = world.faults
        self._now = world.now
        self._timers = world.timers
        self._loop = world.loop
        self._asked: deque[tuple[float, int]] = deque()
        self._last_asked: dict[tuple[str, ...], float] = {}

    def handlers(self) -> dict[int, Handler]:
        """The requests this service answers."""
        return {
            20: self.history,
            25: self.cancel_history,
            50: self.real_time_bars,
            51: self.cancel_real_time_bars,
            87: self.head_timestamp,
            90: self.nothing,
        }

    def nothing(self, session: Client, fields: Fields) -> None:
        """Take a request that has no answer."""

    # Bars ---------------------------------------------------------------------------------------

    def history(self, session: Client, fields: Fields) -> None:
        """Answer reqHistoricalData."""
        if self._faults.silent_history:
            return
        request_id = fields.integer()
        contract_query = ContractQuery.read(fields)
        expired = fields.flag()
        texts = fields.texts(3)
        regular_hours = fields.flag()
        show = fields.text().upper()
        epoch = fields.integer(1) == 2
        keep_up = fields.flag()
        end_text, bar_size, duration = texts
        contract = self._resolve(contract_query, expired)
        query = _Query(
            contract,
            _bar_minutes(bar_size),
            _duration_s(duration),
            _end(end_text),
            regular_hours,
            show,
            epoch,
        )
        if show not in _SHOW:
            raise Refusal(codes.BAD_REQUEST, codes.validation(f"Unknown what to show {show}"))
        self._check_pacing((str(contract.con_id), *texts, show), 2 if show == "BID_ASK" else 1)
        bars = self._bars(query)
        if not bars:
            reason = f"HMDS query returned no data: {contract.symbol}@{contract.exchange} Trades"
            raise Refusal(codes.HISTORY_ERROR, codes.history(reason))
        self._send_bars(session, request_id, query, bars)
        if keep_up:
            self._keep_up_to_date(session, request_id, query)

    def _resolve(self, query: ContractQuery, expired: bool) -> Contract:
        found = self._universe.find(query, self._market.today, expired=expired)
        return resolve(found, query.symbol)

    def _check_pacing(self, key: tuple[str, ...], weight: int) -> None:
        faults, limits = self._faults, self._config.limits
        violation = Refusal(
            codes.HISTORY_ERROR, codes.history("Historical data request pacing violation")
        )
        if faults.pacing_errors > 0:
            faults.pacing_errors -= 1
            raise violation
        now_s = self._loop.time()
        if faults.disconnected:
            text = codes.history("HMDS server connection was not successful.")
            raise Refusal(codes.HISTORY_ERROR, text)
        while self._asked and now_s - self._asked[0][0] > _PACING_WINDOW_S:
            self._asked.popleft()
        used = sum(count for _, count in self._asked)
        if limits.history_per_ten_minutes and used + weight > limits.history_per_ten_minutes:
            raise violation
        last_s = self._last_asked.get(key)
        if last_s is not None and now_s - last_s < limits.history_identical_s:
            raise violation
        self._asked.append((now_s, weight))
        if len(self._last_asked) > 10_000:
            self._last_asked.clear()
        self._last_asked[key] = now_s

    def _bars(self, query: _Query) -> list[Bar]:
        market = self._market
        count = math.ceil(query.duration_s / 60 / query.minutes)
        if count * query.minutes > _MOST_BARS:
            raise Refusal(codes.HISTORY_ERROR, codes.history("Time length exceed max."))
        end_s = None
        if query.end is not None:
            end_s = (query.end - market.time_of(0)).total_seconds() - 0.001
            if end_s < -_HISTORY_DAYS * 86_400:
                return []
        needed = max(1, count * query.minutes)
        if query.regular_hours and not market.hours.always:
            minutes = market.bars(query.contract, needed + _CLOSED_MINUTES, end_s)
            minutes = [bar for bar in minutes if market.hours.is_open(market.time_of(bar.minute))]
            minutes = minutes[-needed:]
        else:
            minutes = market.bars(query.contract, needed, end_s)
        lost = self._faults.lost_bars.get(query.contract.symbol)
        if lost is not None:
            minutes = [
                bar for bar in minutes if not lost[0] <= market.time_of(bar.minute) < lost[1]
            ]
        bars = _merge(minutes, query.minutes)[-count:]
        half = query.contract.min_tick
        shift = {"BID": -half, "ASK": half, "MIDPOINT": 0.0}.get(query.show)
        return bars if shift is None else [_shifted(bar, shift) for bar in bars]

    def _date(self, query: _Query, bar: Bar) -> str:
        moment = self._market.time_of(bar.minute)
        if query.minutes >= 1440:
            return moment.astimezone(EASTERN).strftime("%Y%m%d")
        return str(int(moment.timestamp())) if query.epoch else stamp(moment)

    def _send_bars(self, session: Client, request_id: int, query: _Query, bars: list[Bar]) -> None:
        end = query.end or self._now()
        start = end - dt.timedelta(seconds=query.duration_s)
        message = ["17", str(request_id), utc_stamp(start), utc_stamp(end), str(len(bars))]
        for bar in bars:
            message += [self._date(query, bar), *_prices(bar), *_volume(query, bar)]
        session.send_message(message)

    def _keep_up_to_date(self, session: Client, request_id: int, query: _Query) -> None:
        def tick() -> None:
            bar = _merge(self._market.bars(query.contract, query.minutes), query.minutes)
            newest = bar[-1]
            volume, wap, count = _volume(query, newest)
            prices = (newest.open, newest.close, newest.high, newest.low)
            session.send(
                *("90", str(request_id), count, self._date(query, newest)),
                *(*[number(price) for price in prices], wap, volume),
            )

        self._subscribe(session, ("history", request_id), _REAL_TIME_BAR_S, tick)

    def _subscribe(
        self, session: Client, key: tuple[str, int], interval_s: float, tick: Callable[[], None]
    ) -> None:
        if key in session.subscriptions:
            raise Refusal(codes.DUPLICATE_TICKER)
        limit = self._config.limits.history_open
        if limit and sum(1 for kind, _ in session.subscriptions if kind == key[0]) >= limit:
            raise Refusal(codes.HISTORY_ERROR, codes.history("Too many simultaneous API requests"))
        session.subscriptions[key] = self._timers.every(interval_s, tick)

    def cancel_history(self, session: Client, fields: Fields) -> None:
        """End a request for bars; 366 when it has ended already."""
        request_id = fields.integer()
        stop = session.subscriptions.pop(("history", request_id), None)
        if stop is None:
            text = f"No historical data query found for ticker id:{request_id}"
            raise Refusal(codes.NO_HISTORY_QUERY, text)
        stop()
        text = codes.history(f"API historical data query cancelled: {request_id}")
        session.error(request_id, codes.HISTORY_ERROR, text)

    def real_time_bars(self, session: Client, fields: Fields) -> None:
        """Send a bar every five seconds."""
        request_id = fields.integer()
        contract = self._resolve(ContractQuery.read(fields), False)

        def tick() -> None:
            quote = self._market.quote(contract)
            price = number(quote.last)
            start = int(self._now().timestamp()) // 5 * 5
            session.send(
                *("50", "3", str(request_id), str(start), price, price, price, price),
                *(size(quote.last_size), price, "1"),
            )

        self._subscribe(session, ("real_time", request_id), _REAL_TIME_BAR_S, tick)

    def cancel_real_time_bars(self, session: Client, fields: Fields) -> None:
        """End five-second bars."""
        stop = session.subscriptions.pop(("real_time", fields.integer()), None)
        if stop is not None:
            stop()

    def head_timestamp(self, session: Client, fields: Fields) -> None:
        """Say since when there is data."""
        request_id = fields.integer()
        query = ContractQuery.read(fields)
        fields.texts(3)
        epoch = fields.integer(1) == 2
        self._resolve(query, True)
        first = self._market.time_of(-_HISTORY_DAYS * 1440)
        text = str(int(first.timestamp())) if epoch else utc_stamp(first)
        session.send("88", str(request_id), text)


def _bar_minutes(text: str) -> int:
    minutes = _BAR_MINUTES.get(text)
    if minutes is None:
        raise Refusal(
            codes.BAD_REQUEST, codes.validation(f"Invalid bar size setting {text[:40]!r}")
        )
    return minutes


def _duration_s(text: str) -> int:
    amount, _, unit = text.partition(" ")
    if not amount.isdigit() or unit not in _DURATION_S or not 0 < int(amount) < 100_000:
        raise Refusal(codes.BAD_REQUEST, codes.validation(f"Invalid duration {text[:40]!r}"))
    return int(amount) * _DURATION_S[unit]


def _end(text: str) -> dt.datetime | None:
    """Read an end time: empty for now, "…-…" for UTC, else US/Eastern."""
    text = " ".join(text.split())
    if not text:
        return None
    try:
        if "-" in text:
            return dt.datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=dt.UTC)
        bare, zone = text[:17], text[17:].strip()
        moment = dt.datetime.strptime(bare, "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - zone follows
        return moment.replace(tzinfo=dt.UTC if zone in ("UTC", "GMT") else EASTERN)
    except ValueError:
        cause = f"Invalid date time {text[:40]!r}"
        raise Refusal(codes.BAD_REQUEST, codes.validation(cause)) from None


def _merge(minutes: list[Bar], width: int) -> list[Bar]:
    if width == 1:
        return minutes
    groups: dict[int, list[Bar]] = {}
    for bar in minutes:
        groups.setdefault(bar.minute // width, []).append(bar)
    return [
        Bar(
            index * width,
            group[0].open,
            max(bar.high for bar in group),
            min(bar.low for bar in group),
            group[-1].close,
            sum(bar.volume for bar in group),
            sum(bar.count for bar in group),
        )
        for index, group in groups.items()
    ]


def _shifted(bar: Bar, shift: float) -> Bar:
    return attrs.evolve(
        bar,
        open=round(bar.open + shift, 4),
        high=round(bar.high + shift, 4),
        low=round(bar.low + shift, 4),
        close=round(bar.close + shift, 4),
    )


def _prices(bar: Bar) -> list[str]:
    return [number(price) for price in (bar.open, bar.high, bar.low, bar.close)]


def _volume(query: _Query, bar: Bar) -> tuple[str, str, str]:
    if query.show in ("BID", "ASK", "MIDPOINT"):
        return ("-1", "-1", "-1")
    return (size(bar.volume), number(round(bar.wap, 4)), str(bar.count))
