"""Closes of options in a thin market: a limit that walks from the middle, bounded by the model price (RULES 2)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.model.market import Quote
from supervision.simulator.ledger import LedgerEntry
from tests.walk.test_options import STRIKE, an_expiry
from tests.worlds import CONTEXT, ProofWorld, buy, prove

pytestmark = pytest.mark.req("STC-13")

WIDE = 40.0
"""Times: 16 % of the model price to each side, more than 20 % of the middle in all."""

ABSURD = 120.0
"""Times: half of the model price to each side."""


@attrs.frozen
class Seen:
    """The quote before the liquidation, the orders of the option since, and whether the account was flat."""

    quote: Quote
    orders: tuple[LedgerEntry, ...]
    reports: tuple[Any, ...]

    @property
    def limits(self) -> list[float]:
        return [entry.limit_price for entry in self.orders if entry.limit_price is not None]


async def liquidated(
    world: ProofWorld,
    times: float,
    within_s: float,
    *,
    blind: str | None = None,
    refused: int | None = None,
) -> Seen:
    """Hold one option, make its market thin or, where ``blind`` says how, unknown, and liquidate.

    The first close is refused with the code ``refused``.
    """
    expiry = await an_expiry(world)
    quote = await world.gateway.get_option_quote("SPY", expiry, STRIKE, "C")
    terms: dict[str, Any] = {"expiry": expiry, "strike": STRIKE, "right": "C"}
    option = buy(1, order_type="LMT", limit_price=quote.ask, **terms)
    bought = await world.gateway.submit_order(option, CONTEXT)
    assert bought.status.value == "FILLED", bought
    before = len(world.simulator.ledger)
    world.simulator.faults.widen_spread("SPY", times)
    quote = await world.gateway.get_option_quote("SPY", expiry, STRIKE, "C")
    if blind is not None:
        world.simulator.faults.missing_data("SPY", blind)
    if refused is not None:
        world.simulator.faults.reject_next_order(refused)
    await world.gateway.liquidate("a test")
    await asyncio.sleep(within_s)
    orders = tuple(
        entry for entry in world.simulator.ledger[before:] if entry.kind in ("place", "modify")
    )
    return Seen(quote, orders, world.gateway.liquidation_reports)


def test_a_wide_spread_is_walked_from_the_middle_to_the_bid() -> None:
    seen: Seen = prove(lambda world: liquidated(world, WIDE, 60.0))

    assert seen.reports[-1].flat
    assert {entry.order_type for entry in seen.orders} == {"LMT"}
    assert [entry.kind for entry in seen.orders[:1]] == ["place"]
    assert len(seen.limits) > 3
    assert seen.limits == sorted(seen.limits, reverse=True)
    assert seen.limits[0] == pytest.approx(seen.quote.midpoint, rel=0.02)
    assert seen.limits[-1] == pytest.approx(seen.quote.bid, rel=0.05)


def test_beyond_a_quarter_of_the_model_price_it_rests_and_calls_a_person() -> None:
    events: list[str] = []

    def log(event: str, **_: Any) -> None:
        events.append(event)

    seen: Seen = prove(lambda world: liquidated(world, ABSURD, 120.0), log=log)

    assert not seen.reports
    assert seen.quote.model_price is not None
    assert min(seen.limits) == pytest.approx(0.75 * seen.quote.model_price, rel=0.05)
    assert min(seen.limits) > (seen.quote.bid or 0.0)
    assert "close_rests" in events


def test_when_the_spread_narrows_what_rested_is_closed() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await liquidated(world, ABSURD, 60.0)
        world.simulator.faults.widen_spread("SPY", 1.0)
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        return world.gateway.liquidation_reports[-1].flat

    assert prove(scenario)


@pytest.mark.parametrize("blind", ["minus_one", "silent"])
def test_without_any_data_strategy_c_takes_any_price_in_the_end(blind: str) -> None:
    seen: Seen = prove(lambda world: liquidated(world, 1.0, 60.0, blind=blind))

    assert seen.reports[-1].flat
    assert [(entry.kind, entry.order_type) for entry in seen.orders] == [("place", "MKT")]
    assert seen.reports[-1].ended_at - seen.reports[-1].started_at < timedelta(seconds=40.0)


@pytest.mark.parametrize(("refused", "step"), [(110, 0.10), (201, 0.05)])
def test_after_a_refusal_for_its_tick_a_price_is_one_that_every_option_deals_in(
    refused: int, step: float
) -> None:
    seen: Seen = prove(lambda world: liquidated(world, WIDE, 60.0, refused=refused))
    _, *later = seen.limits

    assert seen.reports[-1].flat
    assert min(later) > 3.0
    assert {round(limit / step, 6).is_integer() for limit in later} == {True}
    assert {round(limit / 0.10, 6).is_integer() for limit in later} >= {refused != 201}
