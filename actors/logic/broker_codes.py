"""What the broker's codes mean: one table of code × kind of request × state of the order (ORD-8).

The same number means different things: 201 ends a new order, but an order whose *modify* drew 201 lives on with its old
terms. The library's own reading is not trusted (it calls a live order cancelled on 161 and 10148).

Guarantees an answer for every code: one that the table lacks is `Meaning.QUERY`, so that the broker is asked instead of
a fate being guessed. Sources: PEERS ("Codes that matter") and the recorded catalogue of TWS_WIRE §7 and §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs


class RequestKind(StrEnum):
    """What we had asked for under the id that the code came with; NONE when it belongs to no request."""

    NEW = "new"
    MODIFY = "modify"
    CANCEL = "cancel"
    DATA = "data"
    HISTORY = "history"
    NONE = "none"


class Meaning(StrEnum):
    """What a code says about the request, or the order, that it came for."""

    REJECTED = "rejected"
    """The request is refused; a new order is at its end."""
    CANCELLED = "cancelled"
    """The order is cancelled; what had filled before counts."""
    LIVES_ON = "lives_on"
    """The change is refused and the order works on with its old terms."""
    QUERY = "query"
    """The fate is open: ask for open orders, completed orders and executions."""
    ADVISORY = "advisory"
    """Information; nothing about the order changes."""
    HELD = "held"
    """The broker holds the order back until shares to borrow are located; it may still fill."""
    OUR_DEFECT = "our_defect"
    """We sent something that makes no sense: refused, and to be logged whole."""
    DUPLICATE_ID = "duplicate_id"
    """The order id was used before: raise the floor, and ask what lives under it."""
    NO_CONTRACT = "no_contract"
    """No contract, or more than one, fits the description."""
    NOT_SUBSCRIBED = "not_subscribed"
    """The account has no right to this data."""
    DELAYED = "delayed"
    """Data comes, but delayed or in part: keep it and flag it."""
    COMPETING_SESSION = "competing_session"
    """Another session of the same user owns the data."""
    PACING = "pacing"
    """Too many requests of history: wait."""
    NO_DATA = "no_data"
    """The request was right and there is nothing to answer it with."""
    RESUBSCRIBE = "resubscribe"
    """This one subscription died: make it again."""
    THROTTLE = "throttle"
    """Too many messages: send fewer, and expect to be disconnected."""
    NOTICE = "notice"
    """It concerns the link and not a request: see `notice_meaning`."""


class NoticeMeaning(StrEnum):
    """What a notice says about the link (CON-10)."""

    UPSTREAM_LOST = "upstream_lost"
    RESTORED_DATA_LOST = "restored_data_lost"
    RESTORED = "restored"
    FARM_DOWN = "farm_down"
    FARM_UP = "farm_up"
    FARM_DORMANT = "farm_dormant"
    FARM_CONNECTING = "farm_connecting"
    COMPETING_SESSION = "competing_session"
    PORT_RESET = "port_reset"
    THROTTLE = "throttle"
    INFO = "info"


class FarmKind(StrEnum):
    """The three kinds of data farm, whose health is apart from the socket's (PEERS 14)."""

    MARKET_DATA = "market_data"
    HISTORY = "history"
    DEFINITIONS = "definitions"


@attrs.frozen
class _Row:
    """One code's meanings. ``working`` overrides ``new`` once the broker had acknowledged the order."""

    new: Meaning = Meaning.QUERY
    working: Meaning | None = None
    modify: Meaning = Meaning.QUERY
    cancel: Meaning = Meaning.QUERY
    data: Meaning = Meaning.QUERY
    history: Meaning = Meaning.QUERY
    none: Meaning = Meaning.QUERY


_M = Meaning


def _every(meaning: Meaning) -> _Row:
    """A code that means the same whatever was asked for."""
    return _Row(meaning, meaning, meaning, meaning, meaning, meaning, meaning)


def _order_refusal(meaning: Meaning = _M.REJECTED) -> _Row:
    """A refusal: it ends a new order and leaves a modified one as it was."""
    return _Row(new=meaning, working=_M.QUERY, modify=_M.LIVES_ON)


def _data_refusal(meaning: Meaning) -> _Row:
    return _Row(data=meaning, history=meaning, none=meaning)


_DEFECT = _Row(
    new=_M.OUR_DEFECT,
    working=_M.QUERY,
    modify=_M.LIVES_ON,
    data=_M.OUR_DEFECT,
    history=_M.OUR_DEFECT,
    none=_M.OUR_DEFECT,
)
_NOTICE = _every(_M.NOTICE)
_ADVISORY = _every(_M.ADVISORY)

_TABLE: Final[Mapping[int, _Row]] = MappingProxyType(
    {
        100: _every(_M.THROTTLE),
        101: _data_refusal(_M.PACING),
        102: _data_refusal(_M.OUR_DEFECT),
        103: _Row(new=_M.DUPLICATE_ID, working=_M.DUPLICATE_ID, modify=_M.QUERY),
        104: _order_refusal(),
        105: _order_refusal(),
        110: _order_refusal(),
        135: _Row(),
        161: _Row(),
        162: _Row(history=_M.NO_DATA, data=_M.NO_DATA),
        165: _Row(history=_M.ADVISORY, data=_M.ADVISORY, none=_M.ADVISORY),
        200: _Row(
            new=_M.REJECTED,
            working=_M.QUERY,
            modify=_M.LIVES_ON,
            data=_M.NO_CONTRACT,
            history=_M.NO_CONTRACT,
            none=_M.NO_CONTRACT,
        ),
        201: _Row(new=_M.REJECTED, working=_M.REJECTED, modify=_M.LIVES_ON),
        202: _Row(new=_M.CANCELLED, modify=_M.CANCELLED, cancel=_M.CANCELLED),
        300: _Row(data=_M.ADVISORY, history=_M.ADVISORY, none=_M.ADVISORY),
        320: _DEFECT,
        321: _DEFECT,
        322: _DEFECT,
        326: _NOTICE,
        329: _order_refusal(),
        354: _data_refusal(_M.NOT_SUBSCRIBED),
        366: _Row(history=_M.ADVISORY, none=_M.ADVISORY),
        387: _order_refusal(),
        399: _ADVISORY,
        404: _Row(new=_M.HELD, modify=_M.HELD, cancel=_M.ADVISORY),
        434: _order_refusal(),
        435: _order_refusal(),
        436: _order_refusal(),
        502: _NOTICE,
        504: _NOTICE,
        1100: _NOTICE,
        1101: _NOTICE,
        1102: _NOTICE,
        1300: _NOTICE,
        2100: _ADVISORY,
        2101: _ADVISORY,
        2102: _Row(new=_M.ADVISORY, modify=_M.LIVES_ON, cancel=_M.ADVISORY, none=_M.ADVISORY),
        2103: _NOTICE,
        2104: _NOTICE,
        2105: _NOTICE,
        2106: _NOTICE,
        2107: _NOTICE,
        2108: _NOTICE,
        2109: _ADVISORY,
        2110: _NOTICE,
        2119: _NOTICE,
        2157: _NOTICE,
        2158: _NOTICE,
        10089: _data_refusal(_M.NOT_SUBSCRIBED),
        10090: _data_refusal(_M.DELAYED),
        10091: _data_refusal(_M.DELAYED),
        10141: _NOTICE,
        10147: _Row(),
        10148: _Row(),
        10149: _order_refusal(_M.OUR_DEFECT),
        10167: _data_refusal(_M.DELAYED),
        10168: _data_refusal(_M.NOT_SUBSCRIBED),
        10182: _data_refusal(_M.RESUBSCRIBE),
        10186: _data_refusal(_M.NOT_SUBSCRIBED),
        10187: _data_refusal(_M.NOT_SUBSCRIBED),
        10189: _data_refusal(_M.NOT_SUBSCRIBED),
        10197: _data_refusal(_M.COMPETING_SESSION),
        10225: _data_refusal(_M.RESUBSCRIBE),
        10243: _order_refusal(),
        10255: _order_refusal(),
        10314: _order_refusal(_M.OUR_DEFECT),
        10318: _order_refusal(),
        10349: _ADVISORY,
    }
)

KNOWN_CODES: Final = frozenset(_TABLE)
"""Every code that the table has a row for."""

_HISTORY_TEXTS: Final[tuple[tuple[str, Meaning], ...]] = (
    ("pacing", _M.PACING),
    ("different ip address", _M.COMPETING_SESSION),
    ("no market data permissions", _M.NOT_SUBSCRIBED),
    ("query cancelled", _M.ADVISORY),
    ("returned no data", _M.NO_DATA),
)

_NOTICES: Final[Mapping[int, tuple[NoticeMeaning, FarmKind | None]]] = MappingProxyType(
    {
        100: (NoticeMeaning.THROTTLE, None),
        1100: (NoticeMeaning.UPSTREAM_LOST, None),
        2110: (NoticeMeaning.UPSTREAM_LOST, None),
        1101: (NoticeMeaning.RESTORED_DATA_LOST, None),
        1102: (NoticeMeaning.RESTORED, None),
        1300: (NoticeMeaning.PORT_RESET, None),
        2103: (NoticeMeaning.FARM_DOWN, FarmKind.MARKET_DATA),
        2104: (NoticeMeaning.FARM_UP, FarmKind.MARKET_DATA),
        2108: (NoticeMeaning.FARM_DORMANT, FarmKind.MARKET_DATA),
        2119: (NoticeMeaning.FARM_CONNECTING, FarmKind.MARKET_DATA),
        2105: (NoticeMeaning.FARM_DOWN, FarmKind.HISTORY),
        2106: (NoticeMeaning.FARM_UP, FarmKind.HISTORY),
        2107: (NoticeMeaning.FARM_DORMANT, FarmKind.HISTORY),
        2157: (NoticeMeaning.FARM_DOWN, FarmKind.DEFINITIONS),
        2158: (NoticeMeaning.FARM_UP, FarmKind.DEFINITIONS),
        10197: (NoticeMeaning.COMPETING_SESSION, None),
    }
)


@attrs.frozen(kw_only=True)
class Notice:
    """A notice, read: what it means, and which farm it is about (kind and name) when it is about one."""

    meaning: NoticeMeaning
    farm_kind: FarmKind | None = None
    farm: str | None = None


def meaning(code: int, kind: RequestKind, working: bool = False) -> Meaning:
    """Tell what a code means for a request of this kind; ``working``: the broker had acknowledged the order."""
    row = _TABLE.get(code)
    if row is None:
        return Meaning.QUERY
    if kind is RequestKind.NEW and working:
        return row.new if row.working is None else row.working
    found: Meaning = getattr(row, kind.value)
    return found


def history_meaning(code: int, text: str) -> Meaning:
    """Tell what a code means for a request of history; 162 has to be told apart by its text."""
    if code == 162:
        lowered = text.lower()
        return next((found for part, found in _HISTORY_TEXTS if part in lowered), Meaning.NO_DATA)
    return meaning(code, RequestKind.HISTORY)


def notice_meaning(code: int, text: str = "") -> Notice:
    """Read a notice that belongs to no request; the farm's name stands behind the last colon, else the first dot."""
    found, kind = _NOTICES.get(code, (NoticeMeaning.INFO, None))
    if kind is None:
        return Notice(meaning=found)
    return Notice(meaning=found, farm_kind=kind, farm=_farm_name(text))


def is_cut_off(notice: NoticeMeaning, before: bool) -> bool:
    """Tell whether the gateway is cut off from IB after a notice, and ``before`` it."""
    if notice is NoticeMeaning.UPSTREAM_LOST:
        return True
    return before and notice not in (NoticeMeaning.RESTORED, NoticeMeaning.RESTORED_DATA_LOST)


def _farm_name(text: str) -> str | None:
    _, colon, after = text.rpartition(":")
    tail = after if colon else text.partition(".")[2]  # names have dots of their own: usfarm.nj
    return tail.strip() or None
