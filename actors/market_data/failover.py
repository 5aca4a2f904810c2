"""Which source serves a symbol: IB, or the second source while IB has nothing fresh (MKT-10).

::

            the link has FAILED, or IB's data is stale for more than ``after_s`` in an open session
      ┌────────────────────────────────────────────────────────────────────────────────────────────┐
      │                                                                                            ▼
     IB                                                                                         SECOND
      ▲                                                                                            │
      └────────────────────────────────────────────────────────────────────────────────────────────┘
                                 IB was fresh for ``back_after_s``, without a gap

Guarantees hysteresis: whoever went to the second source stays there for ``back_after_s`` at least; whoever came back
stays for more than ``after_s``, unless the link fails. Judged by what was seen: time that passes while nobody asks IB
is neither fresh nor stale. A closed market is no reason to leave IB, and proves nothing of it either.

All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from actors.model.connection import ConnectionState
from actors.model.market import DataType, Quote
from actors.sections import market_data as sections

LINK_FAILED: Final = "the link has failed"


class Route(StrEnum):
    """Where a symbol's data comes from."""

    IB = "ib"
    SECOND = "second"


@attrs.frozen(kw_only=True)
class FailoverLimits:
    """What decides, and how many symbols are watched; the oldest on IB go first."""

    settings: sections.Failover
    max_symbols: int


@attrs.frozen(kw_only=True)
class Watch:
    """One symbol: when IB was fresh last, since when without a gap, and since when it is stale."""

    route: Route = Route.IB
    fresh_at: float | None = None
    fresh_since: float | None = None
    stale_since: float | None = None
    seen_at: float = 0.0


@attrs.frozen(kw_only=True)
class Failover:
    """Where every symbol stands. ``has_link``: the link is CONNECTED; ``link_failed``: its retries are used up."""

    watches: Mapping[str, Watch] = MappingProxyType({})
    has_link: bool = False
    link_failed: bool = False

    def is_over(self, symbol: str) -> bool:
        """Tell whether the second source serves a symbol."""
        watch = self.watches.get(symbol)
        return self.link_failed or (watch is not None and watch.route is Route.SECOND)

    @property
    def failed_over(self) -> tuple[str, ...]:
        """The symbols that were seen and are served by the second source, sorted."""
        return tuple(
            sorted(name for name, watch in self.watches.items() if watch.route is Route.SECOND)
        )


@attrs.frozen
class Switch:
    """A symbol changed its source, and why; the symbol is None where all did."""

    symbol: str | None
    route: Route
    reason: str


Step = tuple[Failover, tuple[Switch, ...]]


def is_served(quote: Quote, age_s: float) -> bool:
    """Tell whether IB serves a symbol with this quote: it has a price, and its data is not suspect (MKT-13).

    Delayed and frozen data is what some accounts have, and no worse than what a second source could give: it is served,
    though it is never fresh where a trade is judged (MKT-12). Quiet data is the market's.
    """
    if all(price is None for price in (quote.bid, quote.ask, quote.last)):
        return False
    is_live, pace = quote.data_type is DataType.LIVE, quote.pace
    return not (is_live and pace is not None and age_s > pace.suspect_after_s)


def was_fresh_within(state: Failover, symbol: str, now: float, seconds: float) -> bool:
    """Tell whether IB serves a symbol and was fresh a moment ago, so that one more fresh quote says nothing new."""
    watch = state.watches.get(symbol)
    if watch is None or watch.route is not Route.IB or watch.fresh_at is None:
        return False
    return watch.stale_since is None and now - watch.fresh_at < seconds


def saw_fresh(state: Failover, symbol: str, now: float, limits: FailoverLimits) -> Step:
    """Take note that IB gave fresh data of a symbol; what came from a session that is gone does not count."""
    if not state.has_link:
        return state, ()
    held = _held(state, symbol)
    unbroken = (
        held.fresh_since is not None
        and held.fresh_at is not None
        and now - held.fresh_at <= limits.settings.after_s
    )
    since = held.fresh_since if unbroken and held.fresh_since is not None else now
    watch = attrs.evolve(held, fresh_at=now, fresh_since=since, stale_since=None, seen_at=now)
    if held.route is Route.SECOND and now - since >= limits.settings.back_after_s:
        reason = f"IB was fresh for {now - since:.0f} s"
        back = attrs.evolve(watch, route=Route.IB)
        return _with(state, symbol, back, limits), (Switch(symbol, Route.IB, reason),)
    return _with(state, symbol, watch, limits), ()


def saw_stale(
    state: Failover, symbol: str, now: float, limits: FailoverLimits, *, session_open: bool
) -> Step:
    """Take note that IB was asked and gave nothing fresh of a symbol."""
    held = _held(state, symbol)
    if not session_open:
        closed = attrs.evolve(held, fresh_at=None, fresh_since=None, stale_since=None, seen_at=now)
        return _with(state, symbol, closed, limits), ()
    since = held.stale_since
    if since is None:
        watched = held.fresh_at is not None and now - held.fresh_at <= limits.settings.after_s
        since = held.fresh_at if watched and held.fresh_at is not None else now
    watch = attrs.evolve(held, fresh_since=None, stale_since=since, seen_at=now)
    if held.route is Route.IB and now - since > limits.settings.after_s:
        reason = f"IB's data is stale for {now - since:.0f} s"
        over = attrs.evolve(watch, route=Route.SECOND)
        return _with(state, symbol, over, limits), (Switch(symbol, Route.SECOND, reason),)
    return _with(state, symbol, watch, limits), ()


def saw_second(state: Failover, symbol: str, now: float, limits: FailoverLimits) -> Failover:
    """Take note that the second source served a symbol, which comes back like every other then."""
    if symbol in state.watches or not state.link_failed:
        return state
    return _with(state, symbol, attrs.evolve(_held(state, symbol), seen_at=now), limits)


def forgotten(state: Failover, symbol: str) -> Failover:
    """Watch a symbol no longer that IB does not know."""
    watches = {name: watch for name, watch in state.watches.items() if name != symbol}
    return attrs.evolve(state, watches=MappingProxyType(watches))


def link_changed(state: Failover, link: ConnectionState) -> Step:
    """Take note of the link's state. FAILED takes everything over; only fresh data brings a symbol back."""
    if link is ConnectionState.DISCONNECTED:  # somebody asked for it, and wants no data
        back = tuple(Switch(name, Route.IB, "the link was ended") for name in state.failed_over)
        return Failover(), back
    watches = {
        name: attrs.evolve(watch, fresh_at=None, fresh_since=None)
        for name, watch in state.watches.items()
    }
    connected = link is ConnectionState.CONNECTED
    fails = link is ConnectionState.FAILED
    if fails:
        watches = {name: attrs.evolve(watch, route=Route.SECOND) for name, watch in watches.items()}
    changed = Failover(
        watches=MappingProxyType(watches),
        has_link=connected,
        link_failed=fails or (state.link_failed and not connected),
    )
    first = fails and not state.link_failed
    return changed, (Switch(None, Route.SECOND, LINK_FAILED),) if first else ()


def due_probes(state: Failover, now: float, every_s: float) -> tuple[str, ...]:
    """List the symbols that IB has to be asked about, to learn whether it is fresh again."""
    if not state.has_link:
        return ()
    return tuple(name for name in state.failed_over if now - state.watches[name].seen_at >= every_s)


def _held(state: Failover, symbol: str) -> Watch:
    return state.watches.get(symbol, Watch(route=Route.SECOND if state.link_failed else Route.IB))


def _with(state: Failover, symbol: str, watch: Watch, limits: FailoverLimits) -> Failover:
    watches = {**state.watches, symbol: watch}
    if len(watches) > limits.max_symbols:
        on_ib = (name for name, each in watches.items() if each.route is Route.IB)
        del watches[next(on_ib, next(iter(watches)))]
    return attrs.evolve(state, watches=MappingProxyType(watches))
