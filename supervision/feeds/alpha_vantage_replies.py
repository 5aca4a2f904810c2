"""What Alpha Vantage answers, read strictly: a reply is as documented, or a `FeedError` says what it is (MKT-10). Pure.

It answers with status 200 whatever happens; what happened stands in the body:

==================  ====================================================================================================
``Global Quote``    the price; an empty object: it does not know the symbol. A plan with delayed data adds words to the
                    name: "Global Quote - DATA DELAYED BY 15 MINUTES"
``Time Series …``   bars by time stamp at the exchange, the newest first
``Error Message``   the call is invalid: the symbol, the function or the key
``Note``            too many requests a minute (the older form)
``Information``     too many requests a minute or a day, a premium function, or the demo key. It may quote the key
==================  ====================================================================================================

Sources: https://www.alphavantage.co/documentation/ (GLOBAL_QUOTE, TIME_SERIES_INTRADAY); the wording of notes from
reports of their users. Every number comes as a text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from actors.errors import (
    FeedDailyLimitError,
    FeedRateLimitError,
    FeedRefusedError,
    FeedReplyError,
    FeedSymbolError,
)
from actors.logic.history import MAX_HISTORY_MINUTES
from actors.logic.zones import utc_of, zone_of
from actors.model.market import Bar, DataSource, FeedQuote

LONGEST_SHOWN: Final = 200
_QUOTE: Final = "Global Quote"
_SERIES: Final = "Time Series (1min)"
_META: Final = "Meta Data"
_TOO_OFTEN: Final = re.compile(
    r"rate limit|call frequency|call volume|requests? per (day|minute|second)|calls per minute"
    r"|burst pattern|spreading out",
    re.IGNORECASE,
)
_PER_DAY: Final = re.compile(r"(\d+) requests per day|daily", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"\d+\. ")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,12})?")
_STAMP: Final = "%Y-%m-%d %H:%M:%S"
_AHEAD: Final = timedelta(days=1)


def symbol_there(symbol: str) -> str:
    """Write a symbol as Alpha Vantage does: "BRK B" is BRK-B there, where a dot would begin an exchange."""
    return re.sub(r"[ .]", "-", symbol)


def read_quote(body: bytes, symbol: str, received_at: datetime) -> FeedQuote:
    """Read the answer to GLOBAL_QUOTE; raises a `FeedError`."""
    reply = _read(body)
    table = next((each for name, each in reply.items() if name.startswith(_QUOTE)), None)
    if not isinstance(table, dict):
        raise FeedReplyError(f"the answer has no {_QUOTE!r}, but {_named(reply)}")
    if not table:
        raise FeedSymbolError(f"it does not know {symbol}")
    fields = {_NUMBERED.sub("", name, count=1): value for name, value in table.items()}
    told = fields.get("symbol")
    if told != symbol_there(symbol):
        raise FeedReplyError(f"the answer is about {_shown(told)} (was asked for {symbol})")
    return FeedQuote(
        symbol=symbol,
        source=DataSource.ALPHA_VANTAGE,
        received_at=received_at,
        traded_on=_day(fields.get("latest trading day"), received_at),
        price=_price(fields, "price"),
        open=_optional(fields, "open"),
        high=_optional(fields, "high"),
        low=_optional(fields, "low"),
        previous_close=_optional(fields, "previous close"),
        volume=_optional(fields, "volume"),
    )


def read_bars(body: bytes, symbol: str) -> tuple[Bar, ...]:
    """Read the answer to TIME_SERIES_INTRADAY, of which the last hour is kept (MKT-6); raises a `FeedError`."""
    reply = _read(body)
    meta, series = reply.get(_META), reply.get(_SERIES)
    if not isinstance(meta, dict) or not isinstance(series, dict):
        raise FeedReplyError(f"the answer has no {_META!r} and {_SERIES!r}, but {_named(reply)}")
    facts = {_NUMBERED.sub("", name, count=1): value for name, value in meta.items()}
    if facts.get("Symbol") != symbol_there(symbol):
        raise FeedReplyError(
            f"the answer is about {_shown(facts.get('Symbol'))} (was asked for {symbol})"
        )
    zone = zone_of(str(facts.get("Time Zone")))
    if zone is None:
        raise FeedReplyError(f"the time zone is not known (was {_shown(facts.get('Time Zone'))})")
    bars = sorted(
        (_bar(utc_of(_moment(at), zone), fields) for at, fields in series.items()),
        key=lambda bar: bar.start,
    )
    if not bars:
        return ()
    first = bars[-1].start - timedelta(minutes=MAX_HISTORY_MINUTES - 1)
    return tuple(bar for bar in bars if bar.start >= first)


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        reply = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FeedReplyError(f"the answer is not JSON ({type(error).__name__})") from None
    if not isinstance(reply, dict):
        raise FeedReplyError(f"the answer is no object (was {_shown(reply)})")
    if "Error Message" in reply:
        raise FeedRefusedError(f"it says: {_shown(reply['Error Message'])}")
    for name in ("Note", "Information"):
        if name in reply:
            raise _note(_shown(reply[name]))
    return reply


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _note(text: str) -> Exception:
    said = f"it says: {text}"
    if not _TOO_OFTEN.search(text):
        return FeedRefusedError(said)
    return FeedDailyLimitError(said) if _PER_DAY.search(text) else FeedRateLimitError(said)


def _bar(start: datetime, fields: object) -> Bar:
    if not isinstance(fields, dict):
        raise FeedReplyError(f"a bar must be an object (was {_shown(fields)})")
    named = {_NUMBERED.sub("", name, count=1): value for name, value in fields.items()}
    return Bar(
        start=start,
        open=_price(named, "open"),
        high=_price(named, "high"),
        low=_price(named, "low"),
        close=_price(named, "close"),
        volume=_number(named.get("volume"), "volume"),
    )


def _price(fields: Mapping[str, object], name: str) -> float:
    value = _number(fields.get(name), name)
    if value <= 0:
        raise FeedReplyError(f"{name} must be > 0 (was {value:g})")
    return value


def _optional(fields: Mapping[str, object], name: str) -> float | None:
    """Read a number that may be missing; one that is there and is none makes the answer worthless."""
    if name not in fields:
        return None
    value = _number(fields[name], name)
    if value < 0:
        raise FeedReplyError(f"{name} must be >= 0 (was {value:g})")
    return value or None


def _number(found: object, name: str) -> float:
    if not isinstance(found, str) or _NUMBER.fullmatch(found) is None:
        raise FeedReplyError(f"{name} must be a number in a text (was {_shown(found)})")
    value = float(found)
    if not math.isfinite(value):
        raise FeedReplyError(f"{name} must be finite (was {_shown(found)})")
    return value


def _day(found: object, now: datetime) -> date:
    try:
        day = date.fromisoformat(str(found))
    except ValueError:
        raise FeedReplyError(f"the trading day must be YYYY-MM-DD (was {_shown(found)})") from None
    if day > (now + _AHEAD).date():
        raise FeedReplyError(f"the trading day lies ahead (was {day})")
    return day


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, _STAMP)  # noqa: DTZ007 - its zone stands beside it
    except ValueError:
        raise FeedReplyError(f"a time must be YYYY-MM-DD HH:MM:SS (was {_shown(text)})") from None


def _named(reply: Mapping[str, Any]) -> str:
    return _shown(", ".join(list(reply)[:5]) or "nothing")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)[: LONGEST_SHOWN + 1]
    text = "".join(each if each.isprintable() else "?" for each in text[: LONGEST_SHOWN + 1])
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
