"""Time zones by the names that IB gives them.

IB names some zones as no database does ("EST (Eastern Standard Time)", "AET"), some by a short word that means another
zone in the database ("EST" is five hours without summer time there, the exchange in New York with IB), and some by an
old name that not every system's database has ("US/Eastern", "GB-Eire"). All of those are mapped here; what is neither
mapped nor in the database is unknown (None), never a guess.

Sources: TWS_WIRE §4; names seen in contract details by other clients (pysystemtrade, TradeBuild).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EST": "America/New_York",
        "EST5EDT": "America/New_York",
        "US/Eastern": "America/New_York",
        "CST": "America/Chicago",
        "CST6CDT": "America/Chicago",
        "CTT": "America/Chicago",
        "US/Central": "America/Chicago",
        "MST": "America/Denver",
        "US/Mountain": "America/Denver",
        "PST": "America/Los_Angeles",
        "PST8PDT": "America/Los_Angeles",
        "US/Pacific": "America/Los_Angeles",
        "GB": "Europe/London",
        "GB-Eire": "Europe/London",
        "GMT": "Europe/London",
        "MET": "Europe/Berlin",
        "CET": "Europe/Berlin",
        "JST": "Asia/Tokyo",
        "Japan": "Asia/Tokyo",
        "Hongkong": "Asia/Hong_Kong",
        "HKT": "Asia/Hong_Kong",
        "IST": "Asia/Kolkata",
        "Asia/Calcutta": "Asia/Kolkata",
        "Israel": "Asia/Jerusalem",
        "Singapore": "Asia/Singapore",
        "ROK": "Asia/Seoul",
        "PRC": "Asia/Shanghai",
        "AET": "Australia/Sydney",
        "AEST": "Australia/Sydney",
        "Australia/NSW": "Australia/Sydney",
    }
)


@cache
def zone_of(name: str) -> ZoneInfo | None:
    """Find a zone by IB's name or the database's; an explanation in brackets behind it does not count."""
    short = name.partition("(")[0].strip()
    if not short:
        return None
    try:
        return ZoneInfo(_NAMES.get(short, short))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


NEW_YORK: Final = ZoneInfo("America/New_York")
"""The zone of the exchange's day and week, and of contracts whose own zone nobody knows."""


def utc_of(local: datetime, zone: ZoneInfo, *, latest: bool = False) -> datetime:
    """Turn a local time without zone into UTC.

    A time that the clock shows twice, or leaps over, can be read in two ways: the earlier is meant, or with ``latest``
    the later.
    """
    readings = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return max(readings) if latest else min(readings)
