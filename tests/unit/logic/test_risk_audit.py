"""Where a rule of risk could be walked round: turned positions, orders without a price, other days and processes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import WorkingOrder
from actors.model.market import DataType
from actors.model.orders import OrderAction, Purpose, WireOrder
from actors.risk import exposure
from actors.risk.baselines import LAST, NO_BASELINES, day_key, roll, snapshot, week_key
from actors.risk.day_trades import count_day_trades, first_day, first_day_begins
from actors.risk.exposure import EMPTY, Ledger
from actors.risk.judging import RULE_NAMES, judge, judge_opening, judge_replaced
from actors.risk.limits import DayTradePolicy
from actors.risk.rules import RULES
from actors.sections.risk import Risk
from tests.unit.logic.test_risk_rules import inputs, ledger
from tests.unit.logic.values import (
    MONOTONIC,
    NOW,
    QQQ,
    SPY,
    account,
    closing_order,
    execution,
    holding,
    market_order,
    quote,
    wire_order,
)

BUY, SELL = OrderAction.BUY, OrderAction.SELL
LIMITS = Risk(
    max_position_value=100_000.0,
    max_total_exposure_value=500_000.0,
    price_band_ratio=0.05,
    quote_max_age_s=300.0,
)
SHORTS = attrs.evolve(LIMITS, allow_short=True)
NEW_YORK = ZoneInfo("America/New_York")
NAIVE = NOW.replace(tzinfo=None)


def reason_of(rule: str, given: Any, limits: Risk = LIMITS) -> str | None:
    """What one rule has against an order."""
    verdict = judge_opening(given, limits)
    return dict(zip(verdict.rejected_by, verdict.rejection_reasons, strict=True)).get(rule)


# --- turning a position round -----------------------------------------------------------------------------------------


@pytest.mark.req("RSK-1", "RSK-6")
@pytest.mark.parametrize(
    ("held", "order"),
    [(-100.0, market_order(200)), (100.0, market_order(200, action=SELL))],
    ids=["from short to long", "from long to short"],
)
def test_what_turns_a_position_round_counts_with_what_lies_beyond_zero(
    held: float, order: WireOrder
) -> None:
    given = inputs(order, ledger=ledger(holding(held)))

    assert "risk of the trade" in (reason_of("risk_per_trade", given, SHORTS) or "")
    poor = attrs.evolve(given, account=account(available_funds=50_000.0))
    assert "cost in view of available funds" in (reason_of("affordable", poor, SHORTS) or "")


@pytest.mark.req("RSK-1")
def test_what_only_reduces_needs_no_funds_and_adds_no_risk() -> None:
    given = inputs(
        market_order(100), ledger=ledger(holding(-100)), account=account(available_funds=0.0)
    )

    assert judge_opening(given, LIMITS).rejection_reasons == ()


# --- what has no price ------------------------------------------------------------------------------------------------


def by_hand(price: float | None, quantity: float = 10.0) -> Ledger:
    """A ledger in which somebody else's market order works."""
    order = WorkingOrder(
        order_ref="foreign-1",
        contract=QQQ,
        signed_remaining=quantity,
        price=price,
        purpose=Purpose.OPEN,
    )
    return exposure.reserve(ledger(), order)


@pytest.mark.req("RSK-3", "RSK-6")
def test_an_order_in_flight_whose_price_nobody_knows_rejects() -> None:
    given = inputs(ledger=by_hand(None))

    assert "cost in view of available funds is unknown" in (reason_of("affordable", given) or "")
    assert "total exposure is unknown" in (reason_of("total_exposure", given) or "")


@pytest.mark.req("RSK-6")
def test_an_order_in_flight_without_a_price_counts_at_its_quote() -> None:
    given = inputs(ledger=by_hand(None), prices={QQQ.con_id: 9_500.0})

    assert "cost in view of available funds (101,0" in (reason_of("affordable", given) or "")


@pytest.mark.req("RSK-3")
def test_a_position_without_price_and_cost_makes_the_exposure_unknown() -> None:
    given = inputs(ledger=ledger(holding(10, QQQ, average_cost=0.0)))

    assert "total exposure is unknown" in (reason_of("total_exposure", given) or "")
    priced = attrs.evolve(given, prices={QQQ.con_id: 500.0})
    assert reason_of("total_exposure", priced) is None


# --- every reason, with number and limit ------------------------------------------------------------------------------

UNKNOWNS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "positions": ({"ledger": EMPTY}, {"positions_known"}),
    "account": ({"account": None}, {"account_known", "daily_loss", "weekly_drawdown"}),
    "funds": ({"account": account(available_funds=None)}, {"affordable"}),
    "quote": ({"quote": None}, {"quote_fresh"}),
    "stale": ({"monotonic": MONOTONIC + 301.0}, {"quote_fresh"}),
    "delayed": ({"quote": quote(data_type=DataType.DELAYED)}, {"quote_fresh"}),
    "baselines": ({"baselines": NO_BASELINES}, {"daily_loss", "weekly_drawdown"}),
    "latched": ({"latched": "disconnect"}, {"latch_open"}),
    "blocked": ({"opening_blocked_by": "maintenance"}, {"opening_ready"}),
}


@pytest.mark.req("RSK-2", "RSK-3")
@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(sorted(UNKNOWNS))))
def test_all_reasons_that_apply_are_told_whatever_else_applies(chosen: set[str]) -> None:
    changes: dict[str, Any] = {}
    expected: set[str] = set()
    for name in sorted(chosen):
        values, rules = UNKNOWNS[name]
        if not changes.keys() & values.keys():
            changes |= values
            expected |= rules

    verdict = judge_opening(inputs(**changes), LIMITS)

    assert expected == set(verdict.rejected_by)
    assert verdict.approved is (not expected)


NUMBERS = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 1e7),
    st.integers(0, 9),
)


@pytest.mark.req("RSK-2", "RSK-3", "RSK-7")
@settings(max_examples=300, deadline=None)
@given(worth=NUMBERS, funds=NUMBERS, last=NUMBERS, bid=NUMBERS, price=NUMBERS, at=NUMBERS)
def test_no_number_however_strange_raises_or_is_approved_unseen(
    worth: Any, funds: Any, last: Any, bid: Any, price: Any, at: Any
) -> None:
    """An approval has finite numbers only, each within its limit; and a close passes whatever they are."""
    strange = {
        "account": account(worth, available_funds=funds),
        "quote": quote(last=last, bid=bid, ask=bid),
        "prices": {} if at is None else {QQQ.con_id: at},
        "ledger": ledger(holding(10, QQQ), holding(10)),
    }
    order = market_order(10) if price is None else wire_order(10, limit_price=price)

    opening = judge(inputs(order, **strange), LIMITS)
    closing = judge(inputs(closing_order(10), **strange), LIMITS)

    assert closing.approved
    assert opening.approved is (not opening.rejection_reasons)
    if opening.approved:
        for name, value in opening.risk_metrics.items():
            assert math.isfinite(value), name
            if f"{name}_limit" in opening.risk_metrics:
                assert value <= opening.risk_metrics[f"{name}_limit"], name


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len(RULE_NAMES) == len(set(RULE_NAMES)) >= len(RULES) + 3


@pytest.mark.req("GW-1", "CON-8", "CON-15")
def test_a_risk_manager_that_decides_alone_cannot_open_what_is_blocked_altogether() -> None:
    given = inputs(market_order(5_000), opening_blocked_by="a fallback client id", account=None)

    verdict = judge_replaced(given, LIMITS)

    assert verdict.rejection_reasons == ("opening is blocked: a fallback client id",)
    assert any("position quantity" in note for note in verdict.notes)
    assert judge_replaced(attrs.evolve(given, opening_blocked_by=None), LIMITS).approved


# --- days, weeks and zones --------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-5")
@settings(max_examples=300, deadline=None)
@given(st.datetimes(NAIVE.replace(year=2024), NAIVE.replace(year=2028), timezones=st.just(UTC)))
def test_a_day_and_a_week_are_those_of_the_exchanges_clock(now: datetime) -> None:
    """Independent: New York is five hours behind, or four from the second Sunday of March to the first of November."""
    offset_h = 4 if _summer(now) else 5
    local = now - timedelta(hours=offset_h)
    monday = (local - timedelta(days=local.weekday())).date()
    year, week, _ = monday.isocalendar()

    assert f"{local:%Y-%m-%d}" == day_key(now)
    assert f"{year}-W{week:02d}" == week_key(now)


def _summer(now: datetime) -> bool:
    def sunday(month: int, number: int) -> datetime:
        first = datetime(now.year, month, 1, tzinfo=UTC)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))

    return sunday(3, 2) + timedelta(hours=7) <= now < sunday(11, 1) + timedelta(hours=6)


@pytest.mark.req("RSK-5")
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 80), st.integers(50_000, 150_000)), min_size=1, max_size=40)
)
def test_each_day_and_week_begins_once_with_the_first_worth_that_is_told(
    steps: list[tuple[int, int]],
) -> None:
    now, known = NOW, NO_BASELINES
    begun: dict[tuple[str, str], float] = {}
    expected: dict[tuple[str, str], float] = {}
    for hours, worth in steps:
        now += timedelta(hours=hours)
        began = snapshot(LAST, day_key(now), EMPTY, account(float(worth)))
        known, new = roll(known, now, began)
        for item in new:
            assert (item.kind, item.key) not in begun
            begun[item.kind, item.key] = item.value
        expected.setdefault(("day", day_key(now)), worth)
        expected.setdefault(("week", week_key(now)), worth)

    assert begun == expected


# --- day trades -------------------------------------------------------------------------------------------------------


def trade(number: int, action: OrderAction, at: datetime, order: int | None = None) -> Any:
    """One execution of order ``order``."""
    return execution(
        1, f"e.{number}.01", perm_id=order or number, action=action, executed_at=at, contract=SPY
    )


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ("bs", 1),
        ("b", 0),
        ("bsss", 1),  # one purchase sold in parts
        ("bbbs", 1),
        ("bsbs", 2),
        ("sb", 1),  # a short sale that is covered
        ("ss", 0),
    ],
)
def test_day_trades_are_counted_by_orders_of_both_sides(orders: str, expected: int) -> None:
    executions = [
        trade(number, BUY if side == "b" else SELL, NOW) for number, side in enumerate(orders, 1)
    ]

    assert expected == count_day_trades(executions, NOW)


@pytest.mark.req("RSK-1")
def test_an_order_that_fills_in_parts_is_one_order() -> None:
    executions = [
        trade(1, BUY, NOW, 1),
        trade(2, BUY, NOW, 1),
        trade(3, SELL, NOW, 2),
        trade(4, SELL, NOW, 2),
    ]

    assert count_day_trades(executions, NOW) == 1


@pytest.mark.req("RSK-1", "RSK-5")
def test_an_evening_in_new_york_is_not_the_next_day_although_it_is_in_utc() -> None:
    evening = datetime(2026, 3, 2, 19, 30, tzinfo=NEW_YORK)

    bought = trade(1, BUY, datetime(2026, 3, 2, 10, 0, tzinfo=NEW_YORK))
    sold = trade(2, SELL, evening)

    assert count_day_trades([bought, sold], evening) == 1
    assert evening.astimezone(UTC).date() == date(2026, 3, 3)


@pytest.mark.req("RSK-1", "RSK-5")
@pytest.mark.parametrize(
    ("today", "expected"),
    [
        ("2026-03-06", "2026-03-02"),
        ("2026-03-09", "2026-03-03"),
        ("2025-12-01", "2025-11-24"),  # Thanksgiving lies between
        ("2026-07-06", "2026-06-29"),  # Independence Day was kept on the third
        ("2026-03-08", "2026-03-02"),  # a Sunday ends a window of five whole days
    ],
)
def test_the_five_business_days_leave_out_weekends_and_holidays(today: str, expected: str) -> None:
    now = datetime.fromisoformat(today).replace(hour=12, tzinfo=NEW_YORK)

    assert date.fromisoformat(expected) == first_day(now)
    assert first_day_begins(now).astimezone(NEW_YORK).isoformat().startswith(f"{expected}T00:00")


@pytest.mark.req("RSK-5", "RSK-1", "SUP-6")
def test_day_trades_of_an_earlier_process_are_remembered_and_move_no_position() -> None:
    earlier = NOW - timedelta(days=3)
    past = [trade(1, BUY, earlier), trade(2, SELL, earlier)]

    known = exposure.reconcile(exposure.remember(EMPTY, past), [holding(7)], [], [])

    assert count_day_trades(known.executions.values(), NOW) == 1
    assert exposure.position(known, SPY.con_id) == 7.0
    assert exposure.apply_execution(known, past[0]) is known


def test_executions_that_no_rule_looks_at_any_more_are_let_go() -> None:
    past = [trade(1, BUY, NOW - timedelta(days=30)), trade(2, SELL, NOW)]
    known = exposure.remember(EMPTY, past)

    assert list(exposure.without_old(known, first_day_begins(NOW)).executions) == ["e.2"]


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("policy", "worth", "trades", "rejects"),
    [
        (DayTradePolicy.PDT, 24_999.99, 3, True),
        (DayTradePolicy.PDT, 24_999.99, 2, False),
        (DayTradePolicy.PDT, 25_000.0, 99, False),
        (DayTradePolicy.INTRADAY_MARGIN, 24_999.99, 99, False),
        (DayTradePolicy.INTRADAY_MARGIN, 1_999.99, 0, True),
        (DayTradePolicy.INTRADAY_MARGIN, 2_000.0, 0, False),
        (DayTradePolicy.OFF, 100.0, 99, False),
    ],
)
def test_the_policy_on_day_trades_is_a_choice(
    policy: DayTradePolicy, worth: float, trades: int, rejects: bool
) -> None:
    limits = attrs.evolve(LIMITS, day_trades=policy)
    given = inputs(market_order(1), account=account(worth), day_trades=trades)

    assert rejects is (reason_of("day_trades", given, limits) is not None)


# --- closes -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-4", "RSK-7")
@settings(max_examples=200, deadline=None)
@given(
    held=st.integers(-200, 200),
    closes=st.lists(
        st.tuples(st.integers(1, 250), st.booleans(), st.integers(0, 100)), max_size=12
    ),
)
def test_closes_together_never_turn_a_position_round(
    held: int, closes: list[tuple[int, bool, int]]
) -> None:
    """Each is judged while the earlier ones work and have filled in part, whatever side it asks for."""
    known = ledger(holding(float(held)))
    working: dict[str, float] = {}
    for number, (quantity, buys, filled_pct) in enumerate(closes):
        action = BUY if buys else SELL
        order = closing_order(float(quantity), action=action, order_ref=f"c{number}")
        if not judge(inputs(order, ledger=known, account=None, quote=None), LIMITS).approved:
            continue
        known = exposure.reserve(known, exposure.reservation(known, order))
        working[order.order_ref] = quantity
        filled = quantity * filled_pct // 100
        if filled:
            fill = execution(float(filled), f"x.{number}.01", action=action, order_ref=f"c{number}")
            known = exposure.apply_execution(known, fill)
        lowest, highest = exposure.worst_case(known, SPY.con_id)
        assert lowest >= 0.0 if held > 0 else highest <= 0.0

    assert held or not working
