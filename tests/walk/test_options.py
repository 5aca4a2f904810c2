"""Options through the facade: the chain, exactly one contract, quotes with greeks, errors that name fields (MKT-8)."""

from __future__ import annotations

import math
from typing import Any, Final

import pytest

from actors.errors import ContractQualificationError, OrderValidationError
from actors.model.market import OptionChain
from actors.model.orders import OrderStatus
from tests.worlds import CONTEXT, ProofWorld, buy, prove

STRIKE: Final = 600.0


async def an_expiry(world: ProofWorld) -> str:
    """Choose an expiry that is far enough away."""
    chain = await world.gateway.get_option_chain("SPY")
    return chain.expiries[-1].strftime("%Y%m%d")


@pytest.mark.req("GW-3", "MKT-8")
def test_expiries_and_strikes_of_the_chain_are_contracts_that_qualify() -> None:
    async def scenario(world: ProofWorld) -> list[Any]:
        chain: OptionChain = await world.gateway.get_option_chain("SPY")
        asked = [
            (expiry, strike, right)
            for expiry in (chain.expiries[0], chain.expiries[-1])
            for strike in (chain.strikes[0], STRIKE, chain.strikes[-1])
            for right in ("C", "P")
        ]
        found = []
        for expiry, strike, right in asked:
            day = expiry.strftime("%Y%m%d")
            quote = await world.gateway.get_option_quote("SPY", day, strike, right)
            held = quote.contract
            assert (held.expiry, held.strike, held.right) == (expiry, strike, right)
            found.append(held.con_id)
        return found

    found = prove(scenario)

    assert len(set(found)) == len(found) == 12


@pytest.mark.req("GW-10", "MKT-8", "ORD-1")
@pytest.mark.parametrize(
    ("words", "right"), [(("C", "CALL", "call", " c "), "C"), (("P", "PUT", "put"), "P")]
)
def test_every_word_for_a_right_names_the_same_contract(words: tuple[str, ...], right: str) -> None:
    async def scenario(world: ProofWorld) -> set[tuple[int, Any]]:
        expiry = await an_expiry(world)
        quotes = [
            await world.gateway.get_option_quote("SPY", expiry, STRIKE, word) for word in words
        ]
        return {(quote.contract.con_id, quote.contract.right) for quote in quotes}

    ((_, named),) = prove(scenario)

    assert named == right


@pytest.mark.req("MKT-8")
def test_a_call_and_a_put_are_quoted_with_volatility_and_all_greeks() -> None:
    async def scenario(world: ProofWorld) -> Any:
        expiry = await an_expiry(world)
        gateway = world.gateway
        return [await gateway.get_option_quote("SPY", expiry, STRIKE, right) for right in "CP"]

    call, put = prove(scenario)

    assert 0 < call.delta < 1
    assert -1 < put.delta < 0
    assert call.delta - put.delta == pytest.approx(1.0, abs=0.02)
    assert call.gamma == pytest.approx(put.gamma, rel=0.02)
    assert call.vega == pytest.approx(put.vega, rel=0.02)
    assert call.implied_volatility > 0
    assert call.theta < 0
    assert call.underlying_price == pytest.approx(put.underlying_price, rel=0.01)
    assert call.bid <= call.model_price <= call.ask


@pytest.mark.req("GW-10", "MKT-8", "ORD-10")
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"expiry": "2026-01-16"}, "expiry"),
        ({"expiry": "20260231"}, "expiry"),
        ({"expiry": 20260116}, "expiry"),
        ({"strike": -1.0}, "strike"),
        ({"strike": math.nan}, "strike"),
        ({"strike": "600"}, "strike"),
        ({"right": "X"}, "right"),
        ({"right": ""}, "right"),
        ({"symbol": "S P Y!"}, "symbol"),
    ],
)
def test_a_field_of_the_wrong_form_is_named_and_nothing_is_asked(
    fields: dict[str, Any], named: str
) -> None:
    async def scenario(world: ProofWorld) -> None:
        received = world.simulator.faults.state.messages_received
        values: dict[str, Any] = {
            "symbol": "SPY",
            "expiry": "20260116",
            "strike": STRIKE,
            "right": "C",
        } | fields
        with pytest.raises(OrderValidationError, match=rf"^{named} must"):
            await world.gateway.get_option_quote(**values)
        assert world.simulator.faults.state.messages_received == received

    prove(scenario)


@pytest.mark.req("MKT-8", "ORD-10")
def test_every_wrong_field_is_named_at_once() -> None:
    async def scenario(world: ProofWorld) -> None:
        with pytest.raises(OrderValidationError, match=r"expiry must.*strike must.*right must"):
            await world.gateway.get_option_quote("SPY", "soon", 0.0, "UP")

    prove(scenario)


@pytest.mark.req("MKT-8", "ORD-2")
@pytest.mark.parametrize(
    ("fields", "named"),
    [({"strike": 600.37}, "strike 600.37"), ({"expiry": "20271225"}, "expiry 20271225")],
)
def test_an_option_that_is_not_in_the_chain_is_an_error_with_its_fields(
    fields: dict[str, Any], named: str
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        values: dict[str, Any] = {
            "expiry": await an_expiry(world),
            "strike": STRIKE,
            "right": "C",
        } | fields
        with pytest.raises(ContractQualificationError, match=f"{named}.*option chain of SPY"):
            await world.gateway.get_option_quote("SPY", **values)
        return await world.gateway.submit_order(buy(1, **values), CONTEXT)

    result = prove(scenario)

    assert result.status is OrderStatus.FAILED
    assert named in result.rejection_reason


@pytest.mark.req("MKT-8", "ORD-2")
@pytest.mark.parametrize("is_option", [False, True])
def test_an_ambiguous_contract_is_refused_and_what_fits_is_listed(is_option: bool) -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, expiry = world.gateway, await an_expiry(world)
        option = {"expiry": expiry, "strike": STRIKE, "right": "P"} if is_option else {}
        symbol = "SPY" if is_option else "QQQ"
        world.simulator.faults.list_twice(symbol)
        reading = (
            gateway.get_option_quote(symbol, expiry, STRIKE, "P")
            if is_option
            else gateway.get_market_data(symbol)
        )
        with pytest.raises(ContractQualificationError, match=r"ambiguous.*conId \d+.*conId \d+"):
            await reading
        result = await gateway.submit_order(buy(1, symbol, **option), CONTEXT)
        return result, world.simulator.ledger

    result, ledger = prove(scenario)

    assert result.status is OrderStatus.FAILED
    assert "ambiguous" in result.rejection_reason
    assert ledger == ()
