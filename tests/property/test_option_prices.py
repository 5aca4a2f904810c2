"""The simulator's options are priced consistently: parity, greeks as differences, quotes around them (SIM-3)."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig, market
from supervision.simulator import options as black_scholes
from supervision.simulator.instruments import ContractQuery

SPOTS: Final = st.floats(5.0, 2000.0)
MONEYNESS: Final = st.floats(0.5, 2.0)
YEARS: Final = st.floats(2.0 / 365.0, 2.0)
VOLATILITIES: Final = st.floats(0.05, 1.5)


def price(spot: float, strike: float, years: float, volatility: float, *, call: bool) -> float:
    """The model's price."""
    return black_scholes.value(spot, strike, years, volatility, call=call).price


@pytest.mark.req("SIM-3")
@given(SPOTS, MONEYNESS, YEARS, VOLATILITIES)
def test_a_call_less_its_put_is_the_forward(
    spot: float, moneyness: float, years: float, volatility: float
) -> None:
    strike = spot * moneyness
    call = price(spot, strike, years, volatility, call=True)
    put = price(spot, strike, years, volatility, call=False)

    assert call - put == pytest.approx(
        spot - strike * math.exp(-black_scholes.RATE * years), abs=1e-6 * spot
    )


@pytest.mark.req("SIM-3", "MKT-8")
@given(SPOTS, MONEYNESS, YEARS, VOLATILITIES, st.booleans())
def test_delta_gamma_and_vega_are_the_differences_of_prices(
    spot: float, moneyness: float, years: float, volatility: float, call: bool
) -> None:
    strike, step = spot * moneyness, spot * 1e-5
    told = black_scholes.value(spot, strike, years, volatility, call=call)
    up = black_scholes.value(spot + step, strike, years, volatility, call=call)
    down = black_scholes.value(spot - step, strike, years, volatility, call=call)
    wider = price(spot, strike, years, volatility + 1e-4, call=call)
    narrower = price(spot, strike, years, volatility - 1e-4, call=call)

    assert told.delta == pytest.approx((up.price - down.price) / (2 * step), abs=5e-3)
    assert told.gamma == pytest.approx((up.delta - down.delta) / (2 * step), rel=1e-3, abs=1e-3)
    assert told.vega == pytest.approx((wider - narrower) / 2e-4 / 100.0, rel=1e-2, abs=1e-4 * spot)


@pytest.mark.req("SIM-3")
@given(SPOTS, MONEYNESS, YEARS, VOLATILITIES)
def test_an_option_is_worth_no_less_than_its_exercise_at_the_end_and_no_more_than_its_underlying(
    spot: float, moneyness: float, years: float, volatility: float
) -> None:
    strike = spot * moneyness
    worth_then = strike * math.exp(-black_scholes.RATE * years)
    call = price(spot, strike, years, volatility, call=True)
    put = price(spot, strike, years, volatility, call=False)
    slack = 1e-6 * spot

    assert max(0.0, spot - worth_then) - slack <= call <= spot + slack
    assert max(0.0, worth_then - spot) - slack <= put <= worth_then + slack


@pytest.mark.req("SIM-3", "MKT-8")
@pytest.mark.parametrize("seed", range(5))
def test_quotes_of_a_call_and_its_put_leave_nothing_to_arbitrage(seed: int) -> None:
    rng = random.Random(seed)

    async def scenario(proof: Proof) -> None:
        simulator = Simulator(SimulatorConfig(seed=seed), now=proof.clock.now)
        await simulator.start()
        for _ in range(100):
            stock = rng.choice(simulator.universe.stocks[:5])
            expiry = rng.choice(simulator.universe.expiries(stock, simulator.market.today)[2:])
            strike = rng.choice(simulator.universe.strikes(stock))
            call, put = (quoted(simulator, stock.symbol, expiry, strike, right) for right in "CP")
            check(call, put, strike, expiry, proof.clock.now())
            await asyncio.sleep(rng.uniform(0.0, 600.0))
        await simulator.stop()

    run_proof(scenario, seed=seed)


def quoted(
    simulator: Simulator, symbol: str, expiry: str, strike: float, right: str
) -> market.Quote:
    """Quote one option."""
    query = ContractQuery(
        symbol=symbol, sec_type="OPT", expiry=expiry, strike=strike, right=right, currency="USD"
    )
    (found,) = simulator.universe.find(query, simulator.market.today)
    return simulator.market.quote(found)


def check(
    call: market.Quote, put: market.Quote, strike: float, expiry: str, now: dt.datetime
) -> None:
    """Check both quotes, and what buying one and selling the other would bring."""
    for quote in (call, put):
        assert quote.ask is not None
        assert quote.bid is None or 0 < quote.bid <= quote.ask
    spot = call.under_price
    assert spot is not None
    assert call.ask is not None
    assert put.ask is not None
    closes = dt.datetime.strptime(expiry, "%Y%m%d").replace(hour=21, tzinfo=dt.UTC)
    years = (closes - now).total_seconds() / (365 * 86_400)
    forward = spot - strike * math.exp(-black_scholes.RATE * years)
    slack = 0.02 + 1e-3 * spot
    assert (call.bid or 0.0) - put.ask <= forward + slack
    assert forward - slack <= call.ask - (put.bid or 0.0)
