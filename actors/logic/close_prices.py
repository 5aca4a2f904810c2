"""How a close is priced (RULES 2, "Order type"): a market order, or a limit that goes as far as it has to.

=====================================  ======================================================================
stock; future in regular hours         market
future outside regular hours           limit a few ticks beyond the side that deals (a market order would wait)
option, narrow spread                  market in regular hours, else as a future
option, wide or unknown spread         limit: from the middle to the side that deals in ``walk_s``; never more than
                                       ``beyond_model_ratio`` beyond the model price; there it *rests*
the same, ``any_price``, after 60 s    limit at the side that deals, however far from the model price
=====================================  ======================================================================

*The side that deals*: the ask for a purchase, the bid for a sale. A missing bid below an ask is a bid of nothing: a
sale ends at one tick. Two sides that cross tell nothing. Without a model price the reference is a trade of the last
minute between bid and ask, else the middle, else the one side that is known.

Nothing is known at all (no side, no model, no trade): after ``walk_s`` a market order where any price will do; else
nothing is sent, it *rests*, and whoever asks calls a person and asks again.

Limits are rounded to the tick in the direction that fills (purchases up, sales down), by less than one tick, and are at
least one tick. US options deal in coarser steps from 3.00 on, whatever the contract's own tick says (assumed).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

import attrs

from actors.logic.zones import NEW_YORK, zone_of
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Quote
from actors.model.orders import OrderAction, OrderType
from actors.sections.close import ALWAYS, LAST_RESORT, Close

_ROUND_THE_CLOCK: Final = frozenset({SecurityType.FUTURE, SecurityType.FUTURE_OPTION})
_COARSER_FROM: Final = 3.0
"""From this price on an option deals in steps of 0.05 for 0.01, and of 0.10 for 0.05."""

_COARSER: Final = {0.01: 0.05, 0.05: 0.10}
_TRADE_COUNTS_FOR_S: Final = 60.0
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_A_HAIR: Final = 1e-7
"""Of a tick: what floats may be off where a price stands on a tick."""


@attrs.frozen(kw_only=True)
class ClosePrice:
    """What to send now. ``order_type`` None: nothing yet, for the reason in ``why``.

    ``rests``: it goes no further by itself, so that a person has to be told. ``reprice_in_s``: ask again then, with a
    fresh quote (seconds); None where the price is the market's.
    """

    order_type: OrderType | None
    limit_price: float | None = None
    rests: bool = False
    reprice_in_s: float | None = None
    why: str


def close_price(
    contract: Contract,
    action: OrderAction,
    quote: Quote | None,
    elapsed_s: float,
    *,
    settings: Close,
    any_price: bool,
    regular_hours: bool,
    coarse_ticks: bool = False,
) -> ClosePrice:
    """Price the close of ``contract`` that began ``elapsed_s`` ago.

    ``any_price``: see `takes_any_price`. ``coarse_ticks``: the broker refused a price for its tick (110), so that steps
    are taken which every US option deals in.
    """
    close = _Close(contract, action, quote or _nothing(contract), elapsed_s, settings, coarse_ticks)
    kind = contract.security_type
    if kind.has_strike and close.is_wide and (regular_hours or kind in _ROUND_THE_CLOCK):
        return _walked(close, any_price)
    if kind in _ROUND_THE_CLOCK and not regular_hours:
        return _beyond_the_far_side(close, any_price)
    if not regular_hours:
        return _market("waits at the broker for regular hours")
    return _market("in regular hours, and the spread is narrow" if kind.has_strike else str(kind))


def takes_any_price(
    settings: Close, contract: Contract, quote: Quote | None, now: datetime, *, strategy_c: bool
) -> bool:
    """Whether a close may go beyond the model price's bound in the end (``[close] any_price``).

    ``last_resort``: Strategy C only, where there is no model price, or where the option's last day is today.
    """
    if settings.any_price != LAST_RESORT:
        return settings.any_price == ALWAYS
    today = now.astimezone(zone_of(contract.time_zone) or NEW_YORK).date()
    is_last_day = contract.expiry is not None and contract.expiry <= today
    return strategy_c and (is_last_day or quote is None or quote.model_price is None)


def tick_at(contract: Contract, price: float, *, coarse: bool = False) -> float:
    """Say in which steps ``contract`` deals at ``price``; ``coarse`` gives steps that hold for every US option."""
    tick = contract.min_tick if contract.min_tick > 0 else 0.01
    if contract.security_type is not SecurityType.OPTION:
        return tick
    if coarse:
        tick = max(tick, 0.05)
    return _COARSER.get(tick, tick) if price >= _COARSER_FROM else tick


@attrs.frozen
class _Close:
    """One close to be priced; prices per unit, ``far`` is the side that deals and ``near`` the other."""

    contract: Contract
    action: OrderAction
    quote: Quote
    elapsed_s: float
    settings: Close
    coarse_ticks: bool

    @property
    def sides(self) -> tuple[float | None, float | None]:
        """Bid and ask; a missing bid below an ask is nothing, and what crosses tells nothing."""
        bid, ask = self.quote.bid, self.quote.ask
        if ask is None:
            return bid, None
        bid = 0.0 if bid is None else bid
        return (None, None) if bid > ask else (bid, ask)

    @property
    def middle(self) -> float | None:
        """The middle of both sides."""
        bid, ask = self.sides
        return None if bid is None or ask is None else (bid + ask) / 2

    @property
    def far(self) -> float | None:
        """The side that deals."""
        return self.sides[1 if self.action is OrderAction.BUY else 0]

    @property
    def near(self) -> float | None:
        """The side at which others wait as this close would."""
        return self.sides[0 if self.action is OrderAction.BUY else 1]

    @property
    def is_wide(self) -> bool:
        """Whether the spread is wide, or not known; a sale without a bid has nobody to deal with."""
        bid, ask = self.sides
        if bid is None or ask is None or not self.far:
            return True
        widest = max(
            self.settings.wide_spread_value, self.settings.wide_spread_ratio * (bid + ask) / 2
        )
        return ask - bid > widest + _A_HAIR

    @property
    def reference(self) -> tuple[float | None, str]:
        """What it is worth, and by which measure."""
        known = (
            (self.quote.model_price, "the model price"),
            (self._recent_trade, "the last trade"),
            (self.middle, "the middle"),
            (self.far, "the only side"),
            (self.near, "the only side"),
        )
        return next(((price, name) for price, name in known if price), (None, "nothing"))

    @property
    def _recent_trade(self) -> float | None:
        last, at, (bid, ask) = self.quote.last, self.quote.traded_at, self.sides
        if last is None or at is None:
            return None
        age_s = (self.quote.received_at - at).total_seconds()
        within = (bid or 0.0) <= last <= (math.inf if ask is None else ask)
        return last if within and age_s <= _TRADE_COUNTS_FOR_S else None

    def bounded(self, price: float, bound: float) -> float:
        """Stop at the bound: purchases below it, sales above it."""
        return min(price, bound) if self.action is OrderAction.BUY else max(price, bound)

    def rounded(self, price: float) -> float:
        """Round to the tick in the direction that fills; one tick at least."""
        tick = tick_at(self.contract, price, coarse=self.coarse_ticks)
        ticks = price / tick
        whole = (
            math.ceil(ticks - _A_HAIR)
            if self.action is OrderAction.BUY
            else math.floor(ticks + _A_HAIR)
        )
        return round(max(whole, 1) * tick, 10)


def _walked(close: _Close, any_price: bool) -> ClosePrice:
    """A limit from the middle to the side that deals, within the bound of what it is worth."""
    reference, measure = close.reference
    if reference is None:
        return _blind(close, any_price, close.settings.walk_s)
    if any_price and close.elapsed_s >= close.settings.any_price_after_s:
        return _at_any_price(close)
    sign, ratio = close.action.sign, close.settings.beyond_model_ratio
    bound = max(reference * (1 + sign * ratio), 0.0)
    start = close.middle if close.middle is not None else _start(close, reference)
    target = close.far if close.far is not None else bound
    share = min(1.0, max(0.0, close.elapsed_s) / close.settings.walk_s)
    walked = start + share * (target - start)
    price = close.rounded(close.bounded(walked, bound))
    if share < 1.0:
        left_s = close.settings.walk_s - close.elapsed_s
        step_s = min(close.settings.walk_step_s, left_s)
        return _limit(price, step_s, "the spread is wide: on its way from the middle")
    why = (
        f"no further than {ratio:.0%} beyond {measure} {reference:g}"
        if close.bounded(walked, bound) != walked or close.far is None
        else f"at the side that deals, bounded by {measure}"
    )
    return _limit(price, close.settings.reprice_every_s, why, rests=True)


def _start(close: _Close, reference: float) -> float:
    """Where one side is missing: what it is worth, but no worse than the side that is there."""
    there = close.far if close.far is not None else close.near
    return reference if there is None else max(reference, there)


def _at_any_price(close: _Close) -> ClosePrice:
    if close.far is None:
        return _market("any price will do, and there is no side that deals")
    every_s = close.settings.reprice_every_s
    return _limit(
        close.rounded(close.far), every_s, "any price will do: at the side that deals", rests=True
    )


def _beyond_the_far_side(close: _Close, any_price: bool) -> ClosePrice:
    """A limit that deals at once and is no worse than a few ticks: market orders wait for regular hours."""
    known = (close.far, close.near, close.quote.last, close.quote.model_price)
    base = next((price for price in known if price), None)
    if base is None:
        return _blind(close, any_price, close.settings.walk_s)
    tick = tick_at(close.contract, base, coarse=close.coarse_ticks)
    price = close.rounded(base + close.action.sign * close.settings.futures_ticks * tick)
    every_s = close.settings.reprice_every_s
    rests = close.elapsed_s >= close.settings.walk_s
    if close.far:
        why = f"outside regular hours: {close.settings.futures_ticks} ticks beyond the side that deals"
    else:
        why = "outside regular hours, without a side that deals: beyond the best price known"
    return _limit(price, every_s, why, rests=rests)


def _blind(close: _Close, any_price: bool, after_s: float) -> ClosePrice:
    """Nothing is known: a market order where any price will do and quotes had their time; else wait for a person."""
    if any_price and close.elapsed_s >= after_s:
        return _market("no price is known, and any will do")
    return ClosePrice(
        order_type=None,
        rests=close.elapsed_s >= after_s,
        reprice_in_s=close.settings.reprice_every_s,
        why="no price is known: neither bid nor ask nor a model price",
    )


def _nothing(contract: Contract) -> Quote:
    return Quote(contract=contract, received_at=_NEVER)


def _market(why: str) -> ClosePrice:
    return ClosePrice(order_type=OrderType.MARKET, why=why)


def _limit(price: float, every_s: float, why: str, *, rests: bool = False) -> ClosePrice:
    return ClosePrice(
        order_type=OrderType.LIMIT,
        limit_price=price,
        rests=rests,
        reprice_in_s=every_s,
        why=why,
    )
