"""Every rule rejects what it should, alone, with number and limit; closes pass whatever does not concern them."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any

import attrs
import pytest

from actors.model.account import Account, Holding
from actors.model.contracts import Contract
from actors.model.market import DataType, Pace
from actors.model.orders import CloseReason, OrderAction, WireOrder
from actors.risk import exposure
from actors.risk.baselines import (
    LAST,
    NO_BASELINES,
    Baseline,
    Baselines,
    day_key,
    is_over_night,
    newest,
    roll,
    snapshot,
    week_key,
)
from actors.risk.day_trades import count_day_trades, first_day
from actors.risk.exposure import EMPTY, Ledger
from actors.risk.judging import (
    judge,
    judge_closing,
    judge_opening,
    judge_replaced,
    loss_breaches,
)
from actors.risk.limits import (
    DayTradePolicy,
    PeriodLosses,
    RiskInputs,
    recent_order,
    still_recent,
)
from actors.risk.rules import RULES
from actors.sections.risk import Risk
from tests.unit.logic.values import (
    MONOTONIC,
    NOW,
    QQQ,
    SPY,
    SPY_CALL,
    account,
    closing_order,
    execution,
    holding,
    market_order,
    quote,
    trade_request,
    wire_order,
)

LIMITS = Risk(
    max_position_value=100_000.0,
    max_total_exposure_value=500_000.0,
    price_band_ratio=0.05,
    quote_max_age_s=300.0,
)


def worth(day: float, week: float | None = None) -> Baselines:
    """Baselines of the running day and week."""
    return Baselines(
        day=Baseline(kind="day", key=day_key(NOW), value=day),
        week=Baseline(kind="week", key=week_key(NOW), value=day if week is None else week),
    )


BASELINES = worth(100_000.0)
BY_MARGIN = attrs.evolve(LIMITS, day_trades=DayTradePolicy.INTRADAY_MARGIN)
NO_DAY_TRADE_RULE = attrs.evolve(LIMITS, day_trades=DayTradePolicy.OFF)
OTHER = "CSATSPRIM:another"


def ledger(*holdings: Holding) -> Ledger:
    return exposure.reconcile(EMPTY, holdings, [], [])


def inputs(order: WireOrder | None = None, **changes: Any) -> RiskInputs:
    """Inputs that every rule approves: ten SPY at the market."""
    wire = market_order(10) if order is None else order
    fields: dict[str, Any] = {
        "order": wire,
        "request": trade_request(wire, risk_per_trade=0.02),
        "now": NOW,
        "monotonic": MONOTONIC,
        "ledger": ledger(),
        "quote": quote(wire.contract),
        "account": account(),
        "baselines": BASELINES,
        "day_trades": 0,
    }
    given = fields | changes
    return RiskInputs(**({"losses": losses_of(given["baselines"], given["account"])} | given))


def losses_of(baselines: Baselines, account: Account | None) -> PeriodLosses:
    """What positions have lost, where nothing else has changed the account since the baselines."""

    def ratio(baseline: Baseline | None) -> float | None:
        net = None if account is None else account.net_liquidation
        if baseline is None or net is None:
            return None
        return max(0.0, (baseline.value - net) / baseline.value)

    return PeriodLosses(day=ratio(baselines.day), week=ratio(baselines.week))


def earlier(order: WireOrder, age_s: float) -> Any:
    return recent_order(order, 1_000.0 - age_s)


def reserved(order: WireOrder, base: Ledger | None = None) -> Ledger:
    known = ledger() if base is None else base
    return exposure.reserve(known, exposure.reservation(known, order, 600.0))


@pytest.mark.req("RSK-2")
def test_a_sound_order_is_approved_with_its_numbers() -> None:
    verdict = judge_opening(inputs(), LIMITS)

    assert (verdict.approved, verdict.rejection_reasons) == (True, ())
    assert verdict.risk_metrics["position_value"] == pytest.approx(6001.0)
    assert verdict.risk_metrics["position_value_limit"] == LIMITS.max_position_value
    assert verdict == judge(inputs(), LIMITS)


CHEAP = {"quote": quote(last=6.0, bid=5.9, ask=6.1)}
POOR = {"account": account(24_999.0), "baselines": worth(24_999.0)}
OPTION = market_order(1, contract=SPY_CALL)
OPTION_QUOTE = {"quote": quote(SPY_CALL, bid=6.0, ask=6.2, last=6.1)}

OPTIONS = market_order(4, contract=SPY_CALL)
FEW = market_order(5)
HELD = ledger(holding(10, QQQ, 500.0))
STALE = MONOTONIC + 301.0
SUSPECT = Pace(changed_at=MONOTONIC - 61.0, typical_s=2.0, suspect_after_s=60.0)
QUIET = Pace(changed_at=MONOTONIC - 400.0, typical_s=120.0, rests_s=360.0, stale_after_s=300.0)
TINY = {"account": account(1_999.0), "baselines": worth(1_999.0)}
BY_MARGIN_BOLD = attrs.evolve(BY_MARGIN, risk_per_trade_ratio=1.0, assumed_loss_ratio=0.01)


def low(**changes: Any) -> Risk:
    return attrs.evolve(LIMITS, **changes)


def funds(available: float | None) -> Any:
    return account(available_funds=available)


def in_flight(quantity: float, available: float = 1e9) -> dict[str, Any]:
    """Another order that works, and the funds."""
    other = market_order(quantity, order_ref=OTHER)
    return {"ledger": reserved(other), "account": funds(available)}


def after(quantity: float, age_s: float) -> tuple[Any, ...]:
    """An order of a moment ago."""
    return (earlier(market_order(quantity, order_ref=OTHER), age_s),)


SALE = market_order(10, action=OrderAction.SELL)
CLOSING = reserved(closing_order(48, order_ref=OTHER), ledger(holding(48)))

# (what is rejected, inputs, limits, words of the one reason)
REJECTIONS: list[tuple[str, RiskInputs, Risk, str]] = [
    ("latch", inputs(latched="disconnect"), LIMITS, r"latched \(disconnect\)"),
    ("blocked", inputs(opening_blocked_by="maintenance"), LIMITS, "blocked: maintenance"),
    ("no quote", inputs(quote=None), LIMITS, "no quote"),
    ("other quote", inputs(quote=quote(QQQ)), LIMITS, "another contract"),
    ("halted", inputs(quote=quote(halted=True)), LIMITS, "halted"),
    ("stale", inputs(monotonic=STALE), LIMITS, r"quote age .*\(301\) exceeds limit \(300\)"),
    ("suspect", inputs(quote=quote(pace=SUSPECT)), LIMITS, "suspect: it has not changed for 61 s"),
    ("quiet, too old", inputs(quote=quote(pace=QUIET)), LIMITS, r"\(400\) exceeds limit \(300\)"),
    ("undated", inputs(quote=quote(pace=Pace())), LIMITS, "quote age"),
    ("delayed", inputs(quote=quote(data_type=DataType.DELAYED)), LIMITS, "quote age"),
    (
        "at its stop",
        inputs(stops_reached={SPY.con_id: 0.5}),
        LIMITS,
        r"loss \(0.5000\) has reached",
    ),
    ("quantity", inputs(market_order(1001), **CHEAP), LIMITS, r"\(1,001\) exceeds limit \(1,000\)"),
    (
        "quantity in flight",
        inputs(market_order(501), **CHEAP, **in_flight(500)),
        LIMITS,
        "quantity",
    ),
    ("value", inputs(market_order(20)), low(max_position_value=12_000.0), "position value"),
    ("exposure", inputs(ledger=HELD), low(max_total_exposure_value=11_000.0), "total exposure"),
    ("risk", inputs(market_order(100)), LIMITS, r"risk .*\(3,000.5\) exceeds limit \(2,000\)"),
    ("funds", inputs(account=funds(6_001.0)), LIMITS, "cost in view of available funds"),
    ("funds in flight", inputs(**in_flight(10, 11_000.0)), LIMITS, "cost in view"),
    ("no funds known", inputs(account=funds(None)), LIMITS, "available funds are unknown"),
    ("premium", inputs(OPTION, account=funds(620.0), **OPTION_QUOTE), LIMITS, "cost in view"),
    ("option risk", inputs(OPTIONS, **OPTION_QUOTE), LIMITS, "risk of the trade"),
    (
        "day trades",
        inputs(FEW, day_trades=3, **POOR),
        LIMITS,
        r"day trades \(4\) exceeds limit \(3\)",
    ),
    ("day trades unknown", inputs(FEW, day_trades=None, **POOR), LIMITS, "day trades is unknown"),
    ("margin", inputs(FEW, **TINY), BY_MARGIN_BOLD, "minimum for margin"),
    ("buying power", inputs(account=account(buying_power=None)), BY_MARGIN, "power are unknown"),
    ("daily loss", inputs(account=account(97_000.0)), LIMITS, r"daily .*\(0.0300\) reached"),
    ("daily unknown", inputs(baselines=attrs.evolve(BASELINES, day=None)), LIMITS, "daily loss is"),
    ("weekly", inputs(baselines=worth(100_000.0, 107_000.0)), LIMITS, "weekly drawdown"),
    ("weekly unknown", inputs(baselines=attrs.evolve(BASELINES, week=None)), LIMITS, "weekly"),
    ("positions", inputs(ledger=HELD), low(max_open_positions=1), r"open positions \(2\)"),
    ("rate", inputs(recent_orders=after(3, 30)), low(max_orders_per_minute=1), r"minute \(2\)"),
    ("price", inputs(wire_order(10, limit_price=631.0)), LIMITS, "deviation of the price 631"),
    ("no last price", inputs(wire_order(10), quote=quote(last=None, bid=None)), LIMITS, "no last"),
    ("duplicate", inputs(recent_orders=after(10, 4.9)), LIMITS, "duplicate of"),
    ("short", inputs(market_order(10, action=OrderAction.SELL)), LIMITS, "short selling"),
    ("beside a close", inputs(SALE, ledger=CLOSING), low(allow_short=True), r"close of \(48\)"),
]


UNKNOWN: list[tuple[str, RiskInputs, Risk, str]] = [
    ("positions", inputs(ledger=EMPTY), LIMITS, "positions are unknown"),
    ("account", inputs(account=None), LIMITS, "net liquidation"),
    ("currency", inputs(account=account(currency="EUR")), LIMITS, "no exchange rate"),
]
"""What several rules reject at once."""


@pytest.mark.req("RSK-1", "RSK-2", "RSK-3", "RSK-6")
@pytest.mark.parametrize(
    ("given", "limits", "words"),
    [row[1:] for row in REJECTIONS],
    ids=[row[0] for row in REJECTIONS],
)
def test_a_rule_rejects_with_its_one_reason(given: RiskInputs, limits: Risk, words: str) -> None:
    verdict = judge_opening(given, limits)

    assert not verdict.approved
    assert len(verdict.rejection_reasons) == 1, verdict.rejection_reasons
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(verdict.rejection_reasons[0])


WIDE = wire_order(1, contract=SPY_CALL, limit_price=7.0)

APPROVALS: list[tuple[str, RiskInputs, Risk]] = [
    ("a sale of what is held", inputs(SALE, ledger=ledger(holding(10))), LIMITS),
    ("shorts allowed", inputs(SALE), low(allow_short=True)),
    ("rich day trader", inputs(day_trades=9), LIMITS),
    ("no day-trade rule", inputs(market_order(1), day_trades=None, **POOR), NO_DAY_TRADE_RULE),
    ("by margin", inputs(), BY_MARGIN),
    ("twin of long ago", inputs(recent_orders=after(10, 6.0)), LIMITS),
    ("itself again", inputs(recent_orders=(earlier(market_order(10), 1.0),)), LIMITS),
    ("the other side of a close", inputs(ledger=CLOSING), LIMITS),
    (
        "the side of a close that ended",
        inputs(SALE, ledger=exposure.settle(CLOSING, OTHER)),
        LIMITS,
    ),
    ("an option", inputs(OPTION, **OPTION_QUOTE), LIMITS),
    ("a wide option limit", inputs(WIDE, **OPTION_QUOTE), LIMITS),
]


@pytest.mark.req("RSK-1")
@pytest.mark.parametrize(
    ("given", "limits"), [row[1:] for row in APPROVALS], ids=[row[0] for row in APPROVALS]
)
def test_what_no_rule_minds_is_approved(given: RiskInputs, limits: Risk) -> None:
    assert judge_opening(given, limits).rejection_reasons == ()


@pytest.mark.req("RSK-2", "RSK-3")
def test_every_reason_is_told_when_nothing_is_known() -> None:
    given = inputs(ledger=EMPTY, account=None, quote=None, baselines=NO_BASELINES)

    reasons = " | ".join(judge_opening(given, LIMITS).rejection_reasons)

    for words in ("positions are unknown", "net liquidation", "no quote", "daily", "weekly"):
        assert words in reasons


@pytest.mark.req("RSK-3")
@pytest.mark.parametrize("net", [math.nan, math.inf, 0.0, -1.0])
def test_a_worth_that_is_no_number_rejects(net: float) -> None:
    assert not judge_opening(inputs(account=account(net)), LIMITS).approved


@pytest.mark.req("RSK-3")
def test_a_price_that_is_no_number_rejects() -> None:
    odd = quote(last=math.nan, ask=math.nan)

    assert not judge_opening(inputs(quote=odd), LIMITS).approved


@pytest.mark.req("RSK-3")
def test_a_rule_that_raises_rejects_under_its_name() -> None:
    broken: Any = inputs(recent_orders=(object(),))

    reasons = judge_opening(broken, LIMITS).rejection_reasons

    assert any("order_rate failed" in reason for reason in reasons)


@pytest.mark.req("RSK-3")
def test_inputs_that_make_no_sense_reject() -> None:
    broken: Any = inputs(ledger=None)

    assert "could not be judged" in judge_opening(broken, LIMITS).rejection_reasons[0]


@pytest.mark.req("RSK-1")
def test_every_rule_has_a_rejection_here() -> None:
    rejected_by = {
        rule
        for _, given, limits, _ in [*REJECTIONS, *UNKNOWN]
        for rule in judge_opening(given, limits).rejected_by
    }

    assert rejected_by == {rule.__name__ for rule in RULES}


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("held", "order", "words"),
    [
        (100.0, closing_order(100), None),
        (100.0, closing_order(101), r"\(101\) exceeds what is reducible \(100\)"),
        (100.0, closing_order(math.nan), "exceeds"),
        (100.0, closing_order(10, action=OrderAction.BUY), "does not reduce"),
        (-100.0, closing_order(100, action=OrderAction.BUY), None),
        (0.0, closing_order(1), "does not reduce"),
        (100.0, market_order(10, action=OrderAction.SELL), None),
    ],
)
def test_a_close_may_only_reduce(held: float, order: WireOrder, words: str | None) -> None:
    verdict = judge_closing(inputs(order, ledger=ledger(holding(held))), LIMITS)

    assert verdict.approved is (words is None)
    if words is not None:
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(verdict.rejection_reasons[0])


@pytest.mark.req("RSK-4", "RSK-6")
def test_two_closes_at_once_never_flip_the_position() -> None:
    held = ledger(holding(100))
    first = closing_order(60, order_ref="a")
    after = exposure.reserve(held, exposure.reservation(held, first))

    assert judge_closing(inputs(first, ledger=held)).approved
    assert not judge_closing(inputs(closing_order(60, order_ref="b"), ledger=after)).approved
    assert judge_closing(inputs(closing_order(40, order_ref="b"), ledger=after)).approved


@pytest.mark.req("RSK-4")
def test_a_close_may_be_modified_within_what_it_had_reserved() -> None:
    held = ledger(holding(100))
    first = closing_order(100)
    after = exposure.reserve(held, exposure.reservation(held, first))
    modify = attrs.evolve(first, broker_order_id=7)

    assert judge_closing(inputs(modify, ledger=after)).approved


@pytest.mark.req("RSK-4")
def test_with_short_selling_allowed_a_close_and_a_strategys_exit_never_turn_a_position() -> None:
    exit_ = market_order(48, action=OrderAction.SELL)
    bold = low(allow_short=True)

    beside_close = judge_opening(inputs(exit_, ledger=CLOSING), bold)
    alone = judge_replaced(inputs(exit_, ledger=CLOSING), bold)
    beside_exit = judge_closing(
        inputs(closing_order(48, order_ref=OTHER), ledger=reserved(exit_, ledger(holding(48))))
    )

    assert beside_close.rejected_by == ("no_close_beside",)
    assert alone.rejected_by == ("no_close_beside",)
    assert "reducible (0)" in beside_exit.rejection_reasons[0]


@pytest.mark.req("RSK-4")
def test_the_free_part_is_closed_while_the_rest_is_reserved() -> None:
    held = reserved(market_order(18, action=OrderAction.SELL), ledger(holding(48)))

    free = judge_closing(inputs(closing_order(30, order_ref=OTHER), ledger=held))
    beyond = judge_closing(inputs(closing_order(31, order_ref=OTHER), ledger=held))

    assert (free.approved, beyond.approved) == (True, False)


@pytest.mark.req("RSK-4")
def test_an_exit_that_works_beside_a_close_may_be_made_smaller_and_never_larger() -> None:
    exit_ = wire_order(10, action=OrderAction.SELL, broker_order_id=7)
    both = reserved(exit_, CLOSING)
    smaller, larger = (attrs.evolve(exit_, quantity=quantity) for quantity in (9.0, 11.0))

    verdicts = [
        "no_close_beside" in judge_opening(inputs(order, ledger=both), LIMITS).rejected_by
        for order in (smaller, exit_, larger)
    ]

    assert verdicts == [False, False, True]


@pytest.mark.req("RSK-4", "STC-9")
@pytest.mark.parametrize("contract", [SPY, SPY_CALL])
def test_a_fraction_is_never_ordered(contract: Contract) -> None:
    held = ledger(holding(10.5, contract, 600.0))

    whole = judge_closing(inputs(closing_order(10, contract), ledger=held))
    broken = judge_closing(inputs(closing_order(10.5, contract), ledger=held))

    assert whole.approved
    assert "whole units" in broken.rejection_reasons[0]


@pytest.mark.req("RSK-4")
def test_what_has_no_price_anywhere_stops_openings_and_no_close() -> None:
    unpriced = ledger(holding(5, QQQ, 0.0), holding(10))

    opening = judge_opening(inputs(ledger=unpriced), LIMITS)
    closing = judge(inputs(closing_order(5, QQQ), ledger=unpriced, quote=None), LIMITS)

    assert "total_exposure" in opening.rejected_by
    assert closing.approved


@pytest.mark.req("RSK-7")
def test_nothing_else_stops_a_close_but_it_is_noted() -> None:
    given = inputs(
        closing_order(100),
        ledger=ledger(holding(100)),
        account=None,
        quote=None,
        baselines=NO_BASELINES,
        latched="disconnect",
        opening_blocked_by="maintenance",
        recent_orders=tuple(earlier(closing_order(100, order_ref=OTHER), 1) for _ in range(99)),
    )

    verdict = judge(given, LIMITS)

    assert verdict.approved
    for words in (
        "latched",
        "maintenance",
        "net liquidation",
        "no quote",
        "orders per",
        "duplicate",
    ):
        assert any(words in note for note in verdict.notes), words


@pytest.mark.req("RSK-3")
def test_a_close_waits_for_known_positions() -> None:
    assert not judge_closing(inputs(closing_order(1), ledger=EMPTY)).approved


def test_the_memory_of_orders_is_bounded_by_time() -> None:
    orders = (earlier(market_order(1), 61), earlier(market_order(1), 59))

    assert still_recent(orders, 1_000.0, LIMITS) == orders[1:]


@pytest.mark.req("STC-1", "RSK-1")
@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (97_001.0, ()),
        (97_000.0, (CloseReason.DAILY_LOSS_LIMIT,)),
        (94_000.0, (CloseReason.DAILY_LOSS_LIMIT, CloseReason.WEEKLY_DRAWDOWN)),
        (None, ()),
    ],
)
def test_a_loss_limit_is_reached(net: float | None, expected: tuple[CloseReason, ...]) -> None:
    found = loss_breaches(losses_of(BASELINES, account(net)), LIMITS)

    assert expected == tuple(breach.reason for breach in found)


def begun_at(now: datetime, net: float | None = 100_000.0) -> Baseline | None:
    """The account as a baseline that begins now."""
    return snapshot(LAST, day_key(now), ledger(), account(net))


@pytest.mark.req("RSK-5")
def test_baselines_roll_with_the_exchanges_day_and_week() -> None:
    known, first = roll(NO_BASELINES, NOW, begun_at(NOW))
    # 03:59 UTC on Tuesday is still Monday in New York.
    late = NOW.replace(day=3, hour=3, minute=59)
    same, none = roll(known, late, begun_at(late, 90_000.0))
    tuesday, next_week = NOW.replace(day=3, hour=5), NOW.replace(day=9)
    next_day, second = roll(known, tuesday, begun_at(tuesday, 90_000.0))
    _, third = roll(next_day, next_week, begun_at(next_week, 80_000.0))

    assert [item.kind for item in first] == ["day", "week"]
    assert (known, ()) == (same, none)
    assert [(item.kind, item.key, item.value) for item in second] == [
        ("day", "2026-03-03", 90_000.0)
    ]
    assert [(item.kind, item.key) for item in third] == [
        ("day", "2026-03-09"),
        ("week", "2026-W11"),
    ]


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(days=1), timedelta(days=400)])
def test_a_clock_that_steps_back_begins_nothing_and_forgets_nothing(back: timedelta) -> None:
    known, _ = roll(NO_BASELINES, NOW, begun_at(NOW))

    assert roll(known, NOW - back, begun_at(NOW - back, 50_000.0)) == (known, ())


@pytest.mark.req("RSK-5")
def test_the_newest_baseline_of_each_kind_counts_after_a_restart() -> None:
    found = [
        Baseline(kind=kind, key=key, value=value)
        for kind, key, value in (
            ("day", "2026-03-02", 2.0),
            ("day", "2026-03-01", 1.0),
            ("week", "2026-W10", 3.0),
        )
    ]

    known = newest(found)

    assert known.day == Baseline(kind="day", key="2026-03-02", value=2.0)
    assert roll(known, NOW, begun_at(NOW)) == (known, ())


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize("net", [None, math.nan, 0.0])
def test_an_unknown_worth_begins_no_baseline(net: float | None) -> None:
    assert begun_at(NOW, net) is None
    assert snapshot(LAST, "", ledger(), None) is None
    assert roll(NO_BASELINES, NOW, None) == (NO_BASELINES, ())


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        ("2026-03-02", NOW, True),  # Monday, the same day
        ("2026-02-27", NOW, True),  # Friday
        ("2026-02-26", NOW, False),  # Thursday: Friday lies between
        ("2026-03-03", NOW, False),  # a clock that was ahead
        ("2025-03-02", NOW, False),
    ],
)
def test_a_period_begins_where_the_last_process_ended_only_over_a_night(
    last: str, now: datetime, expected: bool
) -> None:
    assert is_over_night(last, now) is expected


@pytest.mark.req("RSK-1")
def test_day_trades_are_round_trips_of_one_day_within_five_business_days() -> None:
    def trade(number: int, action: OrderAction, days_ago: int, contract: Any = SPY) -> Any:
        return execution(
            1,
            f"e.{number}.01",
            perm_id=number,
            action=action,
            contract=contract,
            executed_at=NOW - timedelta(days=days_ago),
        )

    buy, sell = OrderAction.BUY, OrderAction.SELL
    executions = [
        trade(1, buy, 0),
        trade(2, sell, 0),
        trade(3, buy, 3),  # Friday: bought, sold on Monday: no day trade
        trade(4, buy, 4, QQQ),
        trade(5, sell, 4, QQQ),
        trade(6, buy, 6),  # the Tuesday before: the first of the five days
        trade(7, sell, 6),
        trade(8, buy, 7),
        trade(9, sell, 7),
    ]

    assert first_day(NOW) == date(2026, 2, 24)
    assert first_day(NOW - timedelta(days=1)) == date(2026, 2, 23)
    assert count_day_trades(executions, NOW) == 3
