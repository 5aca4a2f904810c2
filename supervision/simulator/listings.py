"""What is listed beside stocks and their options: futures, options on futures, warrants, and what is only held.

As with options, everything about a future is written into its contract id, so that an id stays valid across days and
restarts. An option on a future expires with it. Bonds, currencies and the like are listed to be held: nobody orders
them here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import attrs

from .instruments import Contract, ContractQuery

_FIRST_DAY = dt.date(2024, 1, 1)
_FUTURE_BASE = 600_000_000
_OPTION_BASE = 700_000_000
_DAYS = 8192
_REACH = 64
_MONTH_CODES = "FGHJKMNQUVXZ"
_LAST_DAYS = 20
"""Commodity futures end on this day of their month here."""


@attrs.frozen(kw_only=True)
class Future:
    """One series of futures; ``strike_step`` 0 means that no options are written on it."""

    symbol: str
    exchange: str
    multiplier: str
    tick: float
    price: float
    name: str
    quarterly: bool = True
    strike_step: float = 0.0


FUTURES = (
    Future(
        symbol="ES", exchange="CME", multiplier="50", tick=0.25, price=5950.0, name="E-mini S&P 500",
        strike_step=25.0,
    ),
    Future(symbol="MES", exchange="CME", multiplier="5", tick=0.25, price=5950.0, name="Micro E-mini S&P 500"),
    Future(
        symbol="NQ", exchange="CME", multiplier="20", tick=0.25, price=20500.0, name="E-mini NASDAQ 100",
        strike_step=100.0,
    ),
    Future(symbol="MNQ", exchange="CME", multiplier="2", tick=0.25, price=20500.0, name="Micro E-mini NASDAQ-100"),
    Future(
        symbol="CL", exchange="NYMEX", multiplier="1000", tick=0.01, price=70.0, name="Light Sweet Crude Oil",
        quarterly=False, strike_step=1.0,
    ),
    Future(
        symbol="GC", exchange="COMEX", multiplier="100", tick=0.1, price=2650.0, name="Gold", quarterly=False,
    ),
)  # fmt: skip

_FIXED = (
    Contract(
        con_id=590_000_001, symbol="AAPL", sec_type="WAR", expiry="20301220", strike=200.0, right="C", multiplier="0.1",
        exchange="FWB", primary_exchange="FWB", local_symbol="AAPL WAR C200", trading_class="AAPLW",
        long_name="APPLE INC CALL WARRANT", under_con_id=265598, base_price=228.0,
    ),
    Contract(
        con_id=590_000_011, symbol="US-T", sec_type="BOND", expiry="20341115", exchange="SMART",
        primary_exchange="", local_symbol="91282CLW9", trading_class="T 4 1/4 11/15/34",
        long_name="US TREASURY NOTE", base_price=98.0,
    ),
    Contract(
        con_id=12_087_792, symbol="EUR", sec_type="CASH", exchange="IDEALPRO", primary_exchange="IDEALPRO",
        local_symbol="EUR.USD", trading_class="EUR.USD", long_name="European Monetary Union euro", base_price=1.08,
    ),
    Contract(
        con_id=69_067_924, symbol="XAUUSD", sec_type="CMDTY", exchange="SMART", primary_exchange="",
        local_symbol="XAUUSD", trading_class="XAUUSD", long_name="London Gold", base_price=2650.0,
    ),
    Contract(
        con_id=590_000_012, symbol="VFIAX", sec_type="FUND", exchange="FUNDSERV", primary_exchange="FUNDSERV",
        local_symbol="VFIAX", trading_class="VFIAX", long_name="VANGUARD 500 INDEX", base_price=550.0,
    ),
    Contract(
        con_id=479_624_278, symbol="BTC", sec_type="CRYPTO", exchange="PAXOS", primary_exchange="PAXOS",
        local_symbol="BTC.USD", trading_class="BTC", long_name="Bitcoin cryptocurrency", base_price=97_000.0,
    ),
)  # fmt: skip
"""The warrant can be traded, the others only held."""

_BY_ID = {contract.con_id: contract for contract in _FIXED}
_INDEX = {future.symbol: number for number, future in enumerate(FUTURES)}


def by_con_id(con_id: int) -> Contract | None:
    """The contract of this id; it never expires. None for an id that is not one of these."""
    if con_id in _BY_ID:
        return _BY_ID[con_id]
    if _FUTURE_BASE <= con_id < _OPTION_BASE:
        index, days = divmod(con_id - _FUTURE_BASE, _DAYS)
        return _future(FUTURES[index], _day(days)) if index < len(FUTURES) else None
    code, is_put = divmod(con_id - _OPTION_BASE, 2)
    code, offset = divmod(code, 2 * _REACH)
    index, days = divmod(code, _DAYS)
    if con_id < _OPTION_BASE or index >= len(FUTURES) or not FUTURES[index].strike_step:
        return None
    return _option(FUTURES[index], _day(days), offset - _REACH, "P" if is_put else "C")


def named(symbol: str, today: dt.date) -> Contract | None:
    """The contract that a symbol means first: a series' front month, or the one that bears the name."""
    if symbol in _INDEX:
        series = FUTURES[_INDEX[symbol]]
        return _future(series, last_days(series, today)[0])
    return next((each for each in _FIXED if each.symbol == symbol), None)


def find(query: ContractQuery, today: dt.date, *, expired: bool) -> Iterator[Contract]:
    """The contracts that fit a description without an id, in a stable order."""
    if query.sec_type not in ("FUT", "FOP"):
        yield from (
            each for each in _FIXED if each.sec_type == query.sec_type and _fits(each, query)
        )
        return
    for series in FUTURES:
        if query.symbol not in ("", series.symbol):
            continue
        for last_day in _wanted_days(series, query, today, expired):
            made = (
                _options(series, last_day)
                if query.sec_type == "FOP"
                else (_future(series, last_day),)
            )
            yield from (each for each in made if _fits(each, query))


def last_days(series: Future, today: dt.date) -> tuple[dt.date, ...]:
    """The days on which the listed contracts of a series end, from ``today`` on: four of them."""
    found: list[dt.date] = []
    year, month = today.year, today.month
    while len(found) < 4:
        if not series.quarterly or month % 3 == 0:
            day = (
                _third_friday(year, month) if series.quarterly else dt.date(year, month, _LAST_DAYS)
            )
            if day >= today:
                found.append(day)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return tuple(found)


def strikes(series: Future) -> tuple[float, ...]:
    """The strikes of the options on a future, ascending; empty where there are none."""
    if not series.strike_step:
        return ()
    middle = round(series.price / series.strike_step)
    return tuple(
        (middle + n) * series.strike_step for n in range(-_REACH, _REACH) if middle + n > 0
    )


def series_of(future: Contract) -> Future:
    """The series that a future, or an option on one, belongs to."""
    return FUTURES[_INDEX[future.symbol]]


def _wanted_days(
    series: Future, query: ContractQuery, today: dt.date, expired: bool
) -> tuple[dt.date, ...]:
    wanted = query.expiry.replace("-", "")
    listed = tuple(day for day in last_days(series, today) if f"{day:%Y%m%d}".startswith(wanted))
    if listed or not expired or len(wanted) < 6:
        return listed
    month = dt.date(int(wanted[:4]), int(wanted[4:6]), 1)
    past = last_days(series, month)[:1]
    return tuple(day for day in past if day < today and f"{day:%Y%m%d}".startswith(wanted))


def _future(series: Future, last_day: dt.date) -> Contract:
    days = (last_day - _FIRST_DAY).days
    code = _MONTH_CODES[last_day.month - 1]
    return Contract(
        con_id=_FUTURE_BASE + _INDEX[series.symbol] * _DAYS + days,
        symbol=series.symbol,
        sec_type="FUT",
        expiry=f"{last_day:%Y%m%d}",
        multiplier=series.multiplier,
        exchange=series.exchange,
        primary_exchange=series.exchange,
        local_symbol=f"{series.symbol}{code}{last_day.year % 10}",
        trading_class=series.symbol,
        long_name=series.name,
        min_tick=series.tick,
        base_price=series.price,
    )


def _options(series: Future, last_day: dt.date) -> Iterator[Contract]:
    middle = round(series.price / series.strike_step) if series.strike_step else 0
    for strike in strikes(series):
        for right in ("C", "P"):
            yield _option(series, last_day, round(strike / series.strike_step) - middle, right)


def _option(series: Future, last_day: dt.date, offset: int, right: str) -> Contract:
    future = _future(series, last_day)
    strike = (round(series.price / series.strike_step) + offset) * series.strike_step
    code = (future.con_id - _FUTURE_BASE) * 2 * _REACH + offset + _REACH
    return attrs.evolve(
        future,
        con_id=_OPTION_BASE + code * 2 + (right == "P"),
        sec_type="FOP",
        strike=strike,
        right=right,
        local_symbol=f"{future.local_symbol} {right}{strike:g}",
        under_con_id=future.con_id,
    )


def _fits(contract: Contract, query: ContractQuery) -> bool:
    return (
        query.symbol in ("", contract.symbol)
        and contract.expiry.startswith(query.expiry.replace("-", ""))
        and (not query.strike or abs(query.strike - contract.strike) < 1e-6)
        and query.right in ("", "0", "?", contract.right)
        and query.multiplier in ("", contract.multiplier)
        and query.exchange in ("", contract.exchange)
        and query.currency in ("", contract.currency)
        and query.local_symbol in ("", contract.local_symbol)
        and query.trading_class in ("", contract.trading_class)
    )


def _day(days: int) -> dt.date:
    return _FIRST_DAY + dt.timedelta(days=days)


def _third_friday(year: int, month: int) -> dt.date:
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14)
