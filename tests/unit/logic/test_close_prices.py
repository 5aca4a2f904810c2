"""How a close is priced: at the market, or by a limit that goes from the middle as far as it may (RULES 2)."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.close_prices import ClosePrice, close_price, takes_any_price, tick_at
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Quote
from actors.model.orders import OrderAction, OrderType
from actors.sections.close import Close
from tests.unit.logic.values import NOW, SPY, SPY_CALL, quote

pytestmark = pytest.mark.req("STC-13")

SETTINGS = Close()
BUY, SELL = OrderAction.BUY, OrderAction.SELL
AT_LAST_S = SETTINGS.any_price_after_s
LONG_AFTER_S = 100 * AT_LAST_S


ES = Contract(
    con_id=1, symbol="ES", security_type=SecurityType.FUTURE, min_tick=0.25, multiplier=50.0
)


def option_quote(bid: float | None, ask: float | None, **changes: Any) -> Quote:
    """A quote of the option that says nothing else."""
    return quote(SPY_CALL, bid=bid, ask=ask, last=None, **changes)


def priced(
    told: Quote | None,
    elapsed_s: float = 0.0,
    action: OrderAction = SELL,
    contract: Contract = SPY_CALL,
    **changes: Any,
) -> ClosePrice:
    """Price a close with the default settings, in regular hours."""
    how: dict[str, Any] = {"settings": SETTINGS, "any_price": False, "regular_hours": True}
    return close_price(contract, action, told, elapsed_s, **(how | changes))


@pytest.mark.parametrize("action", list(OrderAction))
@pytest.mark.parametrize("regular_hours", [True, False])
@pytest.mark.parametrize("told", [quote(), None])
def test_a_stock_is_closed_at_the_market(
    action: OrderAction, regular_hours: bool, told: Quote | None
) -> None:
    found = priced(told, 0.0, action, SPY, regular_hours=regular_hours)

    assert found.order_type is OrderType.MARKET
    assert (found.limit_price, found.reprice_in_s, found.rests) == (None, None, False)


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        (1.00, 1.10, OrderType.MARKET),  # 0.10
        (0.05, 0.15, OrderType.MARKET),  # 0.10, though it is the whole middle
        (9.00, 11.00, OrderType.MARKET),  # 20 % of 10
        (None, 0.10, OrderType.LIMIT),  # nobody to sell to
        (0.04, 0.15, OrderType.LIMIT),
        (8.99, 11.00, OrderType.LIMIT),
        (9.00, None, OrderType.LIMIT),  # a spread that is not known is not narrow
        (None, None, None),
        (1.10, 1.00, None),  # crossed: tells nothing
    ],
)
def test_an_option_is_sold_at_the_market_only_where_its_spread_is_known_and_narrow(
    bid: float | None, ask: float | None, expected: OrderType | None
) -> None:
    assert priced(option_quote(bid, ask)).order_type is expected


def test_a_worthless_short_is_bought_back_at_the_market_where_the_ask_is_small() -> None:
    assert priced(option_quote(None, 0.05), action=BUY).order_type is OrderType.MARKET


WIDE = option_quote(1.0, 2.0, model_price=1.5)


@pytest.mark.parametrize(
    ("action", "elapsed_s", "limit", "rests", "again_s"),
    [
        (SELL, 0.0, 1.50, False, 4.0),
        (SELL, 4.0, 1.40, False, 4.0),
        (SELL, 18.0, 1.12, False, 2.0),  # 1.05, but 25 % below 1.50 is 1.125
        (SELL, 20.0, 1.12, True, 5.0),
        (SELL, LONG_AFTER_S, 1.12, True, 5.0),
        (BUY, 0.0, 1.50, False, 4.0),
        (BUY, 4.0, 1.60, False, 4.0),
        (BUY, 20.0, 1.88, True, 5.0),
        (BUY, LONG_AFTER_S, 1.88, True, 5.0),
    ],
)
def test_a_limit_walks_from_the_middle_and_rests_at_a_quarter_beyond_the_model_price(
    action: OrderAction, elapsed_s: float, limit: float, rests: bool, again_s: float
) -> None:
    found = priced(WIDE, elapsed_s, action)

    assert found.order_type is OrderType.LIMIT
    assert (found.limit_price, found.rests, found.reprice_in_s) == (limit, rests, again_s)


@pytest.mark.parametrize(("action", "limit"), [(SELL, 1.60), (BUY, 2.40)])
def test_a_limit_goes_no_further_than_the_side_that_deals(
    action: OrderAction, limit: float
) -> None:
    told = option_quote(1.6, 2.4, model_price=2.0)

    found, later = (priced(told, after_s, action) for after_s in (SETTINGS.walk_s, LONG_AFTER_S))

    assert found.limit_price == later.limit_price == limit
    assert "at the side that deals" in found.why


@pytest.mark.parametrize(("action", "limit"), [(SELL, 1.0), (BUY, 2.0)])
@pytest.mark.parametrize("elapsed_s", [0.0, 20.0, 59.9, 60.0, LONG_AFTER_S])
def test_beyond_the_bound_goes_only_who_may_and_only_after_a_minute(
    action: OrderAction, limit: float, elapsed_s: float
) -> None:
    patient, urgent = (priced(WIDE, elapsed_s, action, any_price=may) for may in (False, True))

    assert (urgent.limit_price == limit) == (elapsed_s >= AT_LAST_S)
    assert patient.limit_price != limit


def test_a_sale_without_a_bid_ends_at_one_tick_and_never_at_the_market() -> None:
    told = option_quote(None, 3.0, model_price=0.5)

    found = priced(told, LONG_AFTER_S, any_price=True)

    assert (found.order_type, found.limit_price) == (OrderType.LIMIT, 0.01)


def test_a_purchase_without_an_ask_ends_at_the_market_where_any_price_will_do() -> None:
    told = option_quote(1.0, None, model_price=2.0)

    assert priced(told, 20.0, BUY).limit_price == 2.5
    assert priced(told, LONG_AFTER_S, BUY).limit_price == 2.5
    assert priced(told, AT_LAST_S, BUY, any_price=True).order_type is OrderType.MARKET


@pytest.mark.parametrize(("action", "limits"), [(SELL, (2.0, 1.5)), (BUY, (2.0, 2.5))])
def test_without_any_side_the_limit_walks_from_the_model_price(
    action: OrderAction, limits: tuple[float, float]
) -> None:
    told = option_quote(None, None, model_price=2.0)

    found = tuple(priced(told, elapsed_s, action).limit_price for elapsed_s in (0.0, 20.0))

    assert found == limits


def test_a_known_bid_is_never_undersold_for_a_lower_model_price() -> None:
    """The middle is not known, and nobody sells at the model price what a bid pays more for."""
    assert priced(option_quote(3.0, None, model_price=1.0)).limit_price == 3.0


@pytest.mark.parametrize("told", [None, option_quote(None, None), option_quote(2.0, 1.0)])
def test_where_nothing_is_known_a_person_is_called_or_any_price_is_taken(
    told: Quote | None,
) -> None:
    for may, elapsed_s in itertools.product((False, True), (0.0, 19.9, 20.0, LONG_AFTER_S)):
        found = priced(told, elapsed_s, any_price=may)

        if may and elapsed_s >= SETTINGS.walk_s:
            assert found.order_type is OrderType.MARKET
        else:
            assert found.order_type is None
            assert found.rests == (elapsed_s >= SETTINGS.walk_s)
            assert found.reprice_in_s == SETTINGS.reprice_every_s


@pytest.mark.parametrize(
    ("age_s", "last", "limit"),
    [(59.0, 3.0, 2.25), (61.0, 3.0, 1.5), (1.0, 4.0, 1.5)],
)
def test_without_a_model_price_a_trade_of_the_last_minute_bounds_the_limit(
    age_s: float, last: float, limit: float
) -> None:
    told = quote(SPY_CALL, bid=0.5, ask=3.5, last=last, traded_at=NOW - timedelta(seconds=age_s))

    assert priced(told, SETTINGS.walk_s).limit_price == limit


@pytest.mark.parametrize(("action", "limit"), [(SELL, 5999.5), (BUY, 6001.0)])
def test_a_future_is_limited_outside_regular_hours_only(action: OrderAction, limit: float) -> None:
    told = quote(ES, bid=6000.0, ask=6000.5)

    by_day = priced(told, 0.0, action, ES)
    by_night = priced(told, 0.0, action, ES, regular_hours=False)

    assert by_day.order_type is OrderType.MARKET
    assert (by_night.order_type, by_night.limit_price) == (OrderType.LIMIT, limit)
    assert by_night.reprice_in_s == SETTINGS.reprice_every_s
    assert not by_night.rests


def test_a_future_without_a_bid_is_offered_at_the_best_price_known_and_somebody_is_called() -> None:
    told = quote(ES, bid=None, ask=6000.5, last=6000.0)

    found = priced(told, SETTINGS.walk_s, SELL, ES, regular_hours=False)

    assert found.limit_price == 6000.0
    assert found.rests


def test_an_option_with_an_open_market_order_waits_for_regular_hours() -> None:
    found = priced(WIDE, regular_hours=False)

    assert found.order_type is OrderType.MARKET
    assert "waits" in found.why


@pytest.mark.parametrize(
    ("min_tick", "price", "coarse", "tick"),
    [
        (0.01, 2.99, False, 0.01),
        (0.01, 3.00, False, 0.05),
        (0.05, 2.99, False, 0.05),
        (0.05, 3.00, False, 0.10),
        (0.01, 2.99, True, 0.05),
        (0.01, 3.00, True, 0.10),
        (0.0, 1.00, False, 0.01),
    ],
)
def test_an_option_deals_in_coarser_steps_from_three_on(
    min_tick: float, price: float, coarse: bool, tick: float
) -> None:
    contract = attrs.evolve(SPY_CALL, min_tick=min_tick)

    assert tick_at(contract, price, coarse=coarse) == tick


def test_after_a_refusal_for_its_tick_a_price_is_one_that_every_option_deals_in() -> None:
    told = option_quote(1.02, 2.0, model_price=1.3)

    assert priced(told, SETTINGS.walk_s).limit_price == 1.02
    assert priced(told, SETTINGS.walk_s, coarse_ticks=True).limit_price == 1.0


EXPIRES_TODAY = attrs.evolve(SPY_CALL, expiry=NOW.date())


@pytest.mark.parametrize(
    ("setting", "strategy_c", "contract", "model_price", "expected"),
    [
        ("last_resort", True, SPY_CALL, 1.0, False),
        ("last_resort", True, SPY_CALL, None, True),
        ("last_resort", True, EXPIRES_TODAY, 1.0, True),
        ("last_resort", False, SPY_CALL, None, False),
        ("last_resort", False, EXPIRES_TODAY, None, False),
        ("never", True, EXPIRES_TODAY, None, False),
        ("always", False, SPY_CALL, 1.0, True),
    ],
)
def test_who_may_take_any_price(
    setting: str,
    strategy_c: bool,
    contract: Contract,
    model_price: float | None,
    expected: bool,
) -> None:
    told = option_quote(1.0, 2.0, model_price=model_price)

    found = takes_any_price(Close(any_price=setting), contract, told, NOW, strategy_c=strategy_c)

    assert found is expected


def test_the_last_day_of_an_option_is_that_of_its_exchange() -> None:
    """At 02:00 UTC it is still the day before in New York."""
    told = option_quote(1.0, 2.0, model_price=1.5)
    before = NOW.replace(hour=2)

    assert not takes_any_price(SETTINGS, EXPIRES_TODAY, told, before, strategy_c=True)
    assert takes_any_price(SETTINGS, EXPIRES_TODAY, told, NOW, strategy_c=True)


prices = st.one_of(st.none(), st.floats(0.01, 500.0))
ticks = st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.03125])


@st.composite
def closes(draw: st.DrawFn) -> dict[str, Any]:
    """Any close of any option at any time, with all, some or none of its prices known."""
    contract = attrs.evolve(SPY_CALL, min_tick=draw(ticks))
    last, age_s = draw(prices), draw(st.floats(0.0, 120.0))
    told = quote(
        contract,
        bid=draw(prices),
        ask=draw(prices),
        last=last,
        model_price=draw(prices),
        traded_at=NOW - timedelta(seconds=age_s),
    )
    return {
        "contract": contract,
        "told": told,
        "action": draw(st.sampled_from(OrderAction)),
        "any_price": draw(st.booleans()),
        "regular_hours": True,
        "coarse_ticks": draw(st.booleans()),
    }


def _tick(close: dict[str, Any], price: float) -> float:
    return tick_at(close["contract"], price, coarse=close["coarse_ticks"])


@given(close=closes(), elapsed_s=st.floats(0.0, 200.0))
def test_every_limit_stands_on_a_tick_and_is_never_nothing(
    close: dict[str, Any], elapsed_s: float
) -> None:
    found = priced(elapsed_s=elapsed_s, **close)

    assert (found.limit_price is not None) == (found.order_type is OrderType.LIMIT)
    if found.limit_price is not None:
        steps = found.limit_price / _tick(close, found.limit_price)
        assert round(steps) >= 1
        assert math.isclose(steps, round(steps), abs_tol=1e-6)


@given(close=closes(), elapsed_s=st.floats(0.0, 200.0))
def test_who_may_not_take_any_price_stays_within_a_quarter_of_the_model_price(
    close: dict[str, Any], elapsed_s: float
) -> None:
    found = priced(elapsed_s=elapsed_s, **close | {"any_price": False})
    model = close["told"].model_price

    if found.limit_price is not None and model is not None:
        tick = _tick(close, found.limit_price)
        sign, ratio = close["action"].sign, SETTINGS.beyond_model_ratio
        beyond = sign * (found.limit_price - model * (1 + sign * ratio))
        assert beyond < tick + 1e-6


@given(close=closes(), times=st.tuples(st.floats(0.0, 200.0), st.floats(0.0, 200.0)))
def test_a_limit_only_ever_moves_toward_the_side_that_deals(
    close: dict[str, Any], times: tuple[float, float]
) -> None:
    earlier, later = (priced(elapsed_s=at, **close).limit_price for at in sorted(times))

    if earlier is not None and later is not None:
        assert close["action"].sign * (later - earlier) >= -1e-9


@given(close=closes())
def test_any_price_deals_in_the_end_and_what_waits_calls_somebody(close: dict[str, Any]) -> None:
    found = priced(elapsed_s=LONG_AFTER_S, **close)
    told, action = close["told"], close["action"]

    assert found.order_type is OrderType.MARKET or found.rests
    if close["any_price"]:
        assert found.order_type is not None
        far = told.ask if action is BUY else told.bid
        if found.limit_price is not None and far is not None and told.ask is not None:
            one_tick = _tick(close, found.limit_price)
            assert action.sign * (found.limit_price - far) >= -1e-9 or far < one_tick


@given(close=closes(), elapsed_s=st.floats(0.0, 200.0))
def test_what_is_not_the_markets_price_is_asked_for_again(
    close: dict[str, Any], elapsed_s: float
) -> None:
    found = priced(elapsed_s=elapsed_s, **close)

    if found.order_type is OrderType.MARKET:
        assert found.reprice_in_s is None
    else:
        assert found.reprice_in_s is not None
        assert 0 < found.reprice_in_s <= SETTINGS.reprice_every_s
