"""Gain, transfer, residual and rest of an account, number by number (RULES 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from actors.model.account import Account, Mark
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import Execution, OrderAction
from actors.risk import exposure
from actors.risk.accounting import losses, take_note
from actors.risk.baselines import (
    DAY,
    KNOWN_FOR,
    LAST,
    NO_BASELINES,
    WEEK,
    Baseline,
    Baselines,
    Stake,
    included,
    is_over_night,
    least_equity,
    newest,
    snapshot,
)
from actors.risk.exposure import EMPTY, Ledger
from actors.risk.profit import Moved, Profit, adjusted, profit, valued
from actors.risk.remembered import baselines_of, owner_of, record_of
from actors.risk.two_looks import FORGOTTEN_S, SECOND_LOOK_S, look
from actors.risk.unexplained import (
    LEAST_TRANSFER,
    TOGETHER_S,
    Unexplained,
    belongs_together,
    moved_by,
    residual_limit,
    rest,
    unexplained,
)
from actors.sections.risk import Risk
from tests.unit.logic.values import NOW, QQQ, SPY, SPY_CALL, account, execution, holding

EURO = 1.25
ABROAD = attrs.evolve(QQQ, con_id=9401, symbol="SAP", currency="EUR")
FUTURE = Contract(
    con_id=495512552,
    symbol="ES",
    security_type=SecurityType.FUTURE,
    multiplier=50.0,
    exchange="CME",
)
CASH_TICKET = Contract(con_id=12087792, symbol="EUR", security_type=SecurityType.CURRENCY)
OWNER = owner_of("external", "DU1")


def marks(**units: float) -> dict[int, Mark]:
    """Marks of contracts by their symbols."""
    by_symbol = {each.symbol: each for each in (SPY, QQQ, ABROAD, FUTURE)}
    found = {by_symbol[name].con_id: value for name, value in units.items() if name != "CALL"}
    if "CALL" in units:
        found[SPY_CALL.con_id] = units["CALL"]
    return {con_id: Mark(unit_value=value, at=NOW) for con_id, value in found.items()}


def rich(net: float = 100_000.0, cash: float | None = 40_000.0, **units: float) -> Account:
    return account(
        net, cash=cash, exchange_rates={"EUR": EURO}, marks=marks(**units), updated_at=NOW
    )


def ledger(*held: tuple[Contract, float, float], fills: tuple[Execution, ...] = ()) -> Ledger:
    """What is held (contract, quantity, average cost), and what was executed."""
    holdings = [holding(quantity, contract, cost) for contract, quantity, cost in held]
    return exposure.reconcile(EMPTY, holdings, fills, ())


def fill(quantity: float, price: float, contract: Contract = SPY, **fields: Any) -> Execution:
    """A purchase, or with a negative quantity a sale, with a commission of 1."""
    action = OrderAction.BUY if quantity > 0 else OrderAction.SELL
    given: dict[str, Any] = {
        "commission": 1.0,
        "exec_id": f"{contract.symbol}.{quantity}.01",
    } | fields
    return execution(abs(quantity), price=price, action=action, contract=contract, **given)


def stake(quantity: float, value: float | None, cost: float | None = None, **fields: Any) -> Stake:
    given: dict[str, Any] = {"currency": "USD", "rate": 1.0} | fields
    return Stake(
        quantity=quantity, value=value, cost=value or 0.0 if cost is None else cost, **given
    )


def baseline(value: float = 100_000.0, cash: float | None = 40_000.0, **fields: Any) -> Baseline:
    stakes = fields.pop("stakes", {})
    return Baseline(
        kind=DAY,
        key="2026-03-02",
        value=value,
        cash=cash,
        stakes=MappingProxyType(stakes),
        **fields,
    )


SPY_STAKE = {SPY.con_id: stake(100.0, 60_000.0)}
ABROAD_STAKE = {ABROAD.con_id: stake(10.0, 1_000.0, currency="EUR", rate=1.0)}
FUTURE_STAKE = {FUTURE.con_id: stake(2.0, 600_000.0, is_future=True)}

GAINS: dict[str, tuple[Baseline, Ledger, Account, Profit]] = {
    "nothing": (baseline(), ledger(), rich(), Profit()),
    "a price that rose": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 100.0, 600.0)),
        rich(SPY=610.0),
        Profit(gained=1_000.0),
    ),
    "a short that rose": (
        baseline(stakes={SPY.con_id: stake(-100.0, -60_000.0)}),
        ledger((SPY, -100.0, 600.0)),
        rich(SPY=610.0),
        Profit(gained=-1_000.0),
    ),
    "sold at a loss": (
        baseline(stakes=SPY_STAKE),
        ledger(fills=(fill(-100.0, 590.0),)),
        rich(),
        Profit(gained=-1_001.0, spent=-58_999.0),
    ),
    "bought since": (
        baseline(),
        ledger((SPY, 10.0, 600.0), fills=(fill(10.0, 600.0),)),
        rich(SPY=601.0),
        Profit(gained=9.0, spent=6_001.0),
    ),
    "an option": (
        baseline(),
        ledger((SPY_CALL, 2.0, 500.0), fills=(fill(2.0, 5.0, SPY_CALL),)),
        rich(CALL=400.0),
        Profit(gained=-201.0, spent=1_001.0),
    ),
    "known before": (
        baseline(stakes=SPY_STAKE, seen=frozenset({"SPY.-5.0"})),
        ledger((SPY, 100.0, 600.0), fills=(fill(-5.0, 590.0),)),
        rich(SPY=600.0),
        Profit(),
    ),
    "too old to be named": (
        baseline(stakes=SPY_STAKE, seen_until=NOW),
        ledger(
            (SPY, 100.0, 600.0),
            fills=(fill(-5.0, 590.0, executed_at=NOW - KNOWN_FOR - timedelta(seconds=1)),),
        ),
        rich(SPY=600.0),
        Profit(),
    ),
    "late, and after the begin": (
        baseline(stakes=SPY_STAKE, seen_until=NOW),
        ledger((SPY, 95.0, 600.0), fills=(fill(-5.0, 590.0, executed_at=NOW - KNOWN_FOR),)),
        rich(SPY=600.0),
        Profit(gained=-51.0, spent=-2_949.0),
    ),
    "no commission yet": (
        baseline(stakes=SPY_STAKE),
        ledger(fills=(fill(-100.0, 590.0, commission=None, executed_at=None),)),
        rich(),
        Profit(gained=-1_000.0, spent=-59_000.0, unpaid=True),
    ),
    "in another currency": (
        baseline(stakes=ABROAD_STAKE),
        ledger((ABROAD, 10.0, 100.0)),
        rich(SAP=104.0),
        Profit(gained=50.0, translated=250.0),
    ),
    "a future": (
        baseline(stakes=FUTURE_STAKE),
        ledger((FUTURE, 1.0, 300_000.0), fills=(fill(-1.0, 6_002.0, FUTURE),)),
        rich(ES=300_200.0),
        Profit(gained=299.0, futures=299.0, has_futures=True),
    ),
    "no mark": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 90.0, 600.0), fills=(fill(-10.0, 590.0),)),
        rich(),
        Profit(spent=-5_899.0, unvalued=(SPY.con_id,)),
    ),
    "no mark at the begin": (
        baseline(stakes={SPY.con_id: stake(100.0, None)}),
        ledger((SPY, 100.0, 600.0)),
        rich(SPY=610.0),
        Profit(unvalued=(SPY.con_id,)),
    ),
    "unexplained shares": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 150.0, 600.0)),
        rich(SPY=610.0),
        Profit(unvalued=(SPY.con_id,)),
    ),
    "a conversion of currencies": (
        baseline(),
        ledger((CASH_TICKET, 1_000.0, 1.2), fills=(fill(1_000.0, 1.2, CASH_TICKET),)),
        rich(),
        Profit(),
    ),
}


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(("begin", "book", "now", "expected"), GAINS.values(), ids=GAINS)
def test_what_positions_gained(
    begin: Baseline, book: Ledger, now: Account, expected: Profit
) -> None:
    assert profit(begin, book, now) == expected


DAX = attrs.evolve(FUTURE, con_id=9402, symbol="DAX", currency="EUR", multiplier=25.0)
MANY = baseline(
    stakes={
        SPY.con_id: stake(100.0, None),
        **ABROAD_STAKE,
        **FUTURE_STAKE,
        QQQ.con_id: stake(10.0, 5_000.0),
    },
    seen=frozenset({"SAP.7.0"}),
)
MANY_HELD = ledger(
    (SPY, 100.0, 600.0),
    (ABROAD, 20.0, 100.0),
    (QQQ, 10.0, 500.0),
    (FUTURE, 2.0, 300_000.0),
    fills=(
        fill(7.0, 1.0, ABROAD),
        fill(10.0, 100.0, ABROAD),
        fill(1.0, 100.0, DAX, commission=2.0),
        fill(-1.0, 102.0, DAX, commission=2.0),
    ),
)


def many(net: float, cash: float) -> Account:
    return rich(net, cash, SAP=104.0, QQQ=510.0, ES=300_100.0)


@pytest.mark.req("RSK-5")
def test_the_gains_of_many_contracts_add_up_and_what_is_unpriced_among_them_is_named() -> None:
    found = profit(MANY, MANY_HELD, many(0.0, 0.0))

    assert found == Profit(
        gained=79.0 * EURO + 100.0 + 46.0 * EURO + 200.0,
        translated=250.0,
        spent=1_001.0 * EURO,
        futures=46.0 * EURO + 200.0,
        has_futures=True,
        unvalued=(SPY.con_id,),
    )


@pytest.mark.req("RSK-5")
def test_the_rest_is_what_gains_rates_and_cash_leave() -> None:
    now = many(100_000.0 + 456.25 + 250.0 - 3_000.0, 40_000.0 - 1_251.25)

    assert rest(MANY, now, profit(MANY, MANY_HELD, now)) == pytest.approx(-3_000.0)


@pytest.mark.req("RSK-5")
def test_a_transfer_is_what_gains_rates_and_executions_leave() -> None:
    priced = valued(MANY, marks(SPY=600.0))
    now = rich(
        100_000.0 + 456.25 + 250.0 + 5_000.0,
        40_000.0 - 1_251.25 + 5_000.0,
        SAP=104.0,
        QQQ=510.0,
        ES=300_100.0,
        SPY=600.0,
    )

    found = unexplained(priced, MANY_HELD, now)

    assert found is not None
    assert found.worth == pytest.approx(5_000.0)
    assert found.cash == pytest.approx(5_000.0)


@pytest.mark.req("RSK-5")
def test_what_moves_while_it_is_read_holds_up_no_other() -> None:
    book = ledger((ABROAD, 10.0, 100.0), (QQQ, 5.0, 500.0))

    _, moved = adjusted(baseline(), book, rich(), marks(SAP=100.0, QQQ=500.0), apart_from=[9401])

    assert [each.con_id for each in moved] == [QQQ.con_id]


CHANGES: dict[str, tuple[Baseline, Ledger, dict[int, Mark], Baseline, tuple[Moved, ...]]] = {
    "nothing moved": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 100.0, 600.0)),
        marks(SPY=610.0),
        baseline(stakes=SPY_STAKE),
        (),
    ),
    "shares came": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 150.0, 600.0)),
        marks(SPY=610.0),
        baseline(130_500.0, stakes={SPY.con_id: stake(150.0, 90_500.0, 90_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=50.0, value=30_500.0),),
    ),
    "all shares went": (
        baseline(stakes=SPY_STAKE),
        ledger(),
        marks(SPY=590.0),
        baseline(41_000.0, stakes={SPY.con_id: stake(0.0, 1_000.0, 60_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=-100.0, value=-59_000.0),),
    ),
    "they went without a mark: at the begin's": (
        baseline(stakes=SPY_STAKE),
        ledger(),
        {},
        baseline(40_000.0, stakes={SPY.con_id: stake(0.0, 0.0, 60_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=-100.0, value=-60_000.0),),
    ),
    "they came without a mark: they wait": (
        baseline(),
        ledger((SPY, 10.0, 600.0)),
        {},
        baseline(),
        (),
    ),
    "a split": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 400.0, 150.0)),
        marks(SPY=150.0),
        baseline(stakes={SPY.con_id: stake(400.0, 60_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=300.0, value=0.0, is_split=True),),
    ),
    "a split after a purchase": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 400.0, 305.0), fills=(fill(100.0, 620.0),)),
        marks(SPY=305.0),
        baseline(stakes={SPY.con_id: stake(300.0, 60_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=200.0, value=0.0, is_split=True),),
    ),
    "a split after a sale": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, 100.0, 300.0), fills=(fill(-50.0, 620.0),)),
        marks(SPY=310.0),
        baseline(stakes={SPY.con_id: stake(150.0, 60_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=50.0, value=0.0, is_split=True),),
    ),
    "a split after it was turned": (
        baseline(stakes=SPY_STAKE),
        ledger((SPY, -100.0, 310.0), fills=(fill(-150.0, 620.0),)),
        marks(SPY=310.0),
        baseline(stakes={SPY.con_id: stake(50.0, 60_000.0)}),
        (Moved(con_id=SPY.con_id, quantity=-50.0, value=0.0, is_split=True),),
    ),
    "shares abroad": (
        baseline(),
        ledger((ABROAD, 10.0, 100.0)),
        marks(SAP=104.0),
        baseline(
            101_300.0,
            stakes={ABROAD.con_id: stake(10.0, 1_040.0, 1_000.0, currency="EUR", rate=EURO)},
        ),
        (Moved(con_id=ABROAD.con_id, quantity=10.0, value=1_300.0),),
    ),
    "more shares abroad": (
        baseline(stakes=ABROAD_STAKE),
        ledger((ABROAD, 20.0, 100.0)),
        marks(SAP=100.0),
        baseline(
            101_250.0,
            stakes={ABROAD.con_id: stake(20.0, 2_000.0, 2_000.0, currency="EUR", rate=1.125)},
        ),
        (Moved(con_id=ABROAD.con_id, quantity=10.0, value=1_250.0),),
    ),
    "a future": (
        baseline(stakes=FUTURE_STAKE),
        ledger((FUTURE, 1.0, 300_000.0)),
        marks(ES=301_000.0),
        baseline(
            stakes={FUTURE.con_id: stake(1.0, 299_000.0, 300_000.0, is_future=True)},
        ),
        (Moved(con_id=FUTURE.con_id, quantity=-1.0, value=0.0),),
    ),
}


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("begin", "book", "known", "after", "moved"), CHANGES.values(), ids=CHANGES
)
def test_what_changes_hands_without_an_execution_moves_the_baseline(
    begin: Baseline,
    book: Ledger,
    known: dict[int, Mark],
    after: Baseline,
    moved: tuple[Moved, ...],
) -> None:
    assert adjusted(begin, book, rich(), known) == (after, moved)
    assert adjusted(begin, book, rich(), known, apart_from=[*book.positions, SPY.con_id]) == (
        begin,
        (),
    )


@pytest.mark.req("RSK-5")
def test_a_split_is_told_by_the_cost_that_was_known_last() -> None:
    """A transfer since the begin has made the baseline's own cost useless."""
    begin, after = baseline(stakes={SPY.con_id: stake(100.0, 60_000.0, 1.0)}), (SPY, 200.0, 300.0)
    known_last = ledger((SPY, 100.0, 600.0)).positions

    _, moved = adjusted(begin, ledger(after), rich(), marks(SPY=300.0), known_last)
    _, without = adjusted(begin, ledger(after), rich(), marks(SPY=300.0))

    assert [each.is_split for each in (*moved, *without)] == [True, False]


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(("more", "is_split"), [(2.0, False), (2.1, True)])
def test_a_change_of_two_hundredths_is_no_split(more: float, is_split: bool) -> None:
    book = ledger((SPY, 100.0 + more, 60_000.0 / (100.0 + more)))

    _, moved = adjusted(baseline(stakes=SPY_STAKE), book, rich(), marks(SPY=600.0))

    assert [each.is_split for each in moved] == [is_split]


@pytest.mark.req("RSK-5")
def test_what_had_no_price_at_the_begin_is_valued_by_its_first() -> None:
    begin = baseline(stakes={SPY.con_id: stake(100.0, None), QQQ.con_id: stake(1.0, 5.0)})

    assert valued(begin, {}) is begin
    assert valued(begin, marks(QQQ=7.0)) is begin
    assert valued(begin, marks(SPY=2.0, QQQ=7.0)).stakes == {
        SPY.con_id: stake(100.0, 200.0, 0.0),
        QQQ.con_id: stake(1.0, 5.0),
    }


# --- what positions do not explain ------------------------------------------------------------------------------------

HELD = ledger((SPY, 100.0, 600.0))


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("net", "cash", "transfer", "residual"),
    [
        (100_000.0, 40_000.0, 0.0, 0.0),
        (105_000.0, 45_000.0, 5_000.0, 0.0),
        (95_000.0, 35_000.0, -5_000.0, 0.0),
        (95_000.0, 40_000.0, 0.0, -5_000.0),  # only the net liquidation moved
        (100_000.0, 45_000.0, 0.0, 0.0),  # only the cash: it comes first after a fill
        (105_050.0, 45_000.0, 5_000.0, 50.0),  # within the tolerance
        (105_050.1, 45_000.0, 0.0, 5_050.1),  # beyond it
        (99_999.5, 39_999.5, -0.5, 0.0),
        (99_999.6, 39_999.6, 0.0, -0.4),  # rounding
        (95_000.0, None, 0.0, -5_000.0),
    ],
)
def test_a_transfer_shows_in_cash_and_worth_alike(
    net: float, cash: float | None, transfer: float, residual: float
) -> None:
    found = unexplained(baseline(stakes=SPY_STAKE), HELD, rich(net, cash, SPY=600.0))

    assert found is not None
    assert found.transfer == pytest.approx(transfer)
    assert found.residual == pytest.approx(residual)


@pytest.mark.req("RSK-5")
def test_nothing_is_said_of_an_account_whose_positions_have_no_price_or_whose_worth_is_unknown() -> (
    None
):
    begin = baseline(stakes=SPY_STAKE)

    assert unexplained(begin, HELD, rich()) is None
    assert unexplained(begin, HELD, attrs.evolve(rich(SPY=600.0), net_liquidation=None)) is None


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("futures", "worth", "cash", "transfer"),
    [
        (None, 0.0, 300.0, 0.0),
        (300.0, 0.0, 300.0, 0.0),  # the result of a future came into the cash
        (300.0, 5_000.0, 5_300.0, 5_000.0),
        (300.0, 5_000.0, 5_000.0, 5_000.0),  # it has not come yet
        (-300.0, 5_000.0, 4_700.0, 5_000.0),
        (-300.0, 5_000.0, 4_000.0, 0.0),
        (300.0, 5_000.0, 6_000.0, 0.0),
    ],
)
def test_results_of_futures_in_the_cash_are_no_transfer(
    futures: float | None, worth: float, cash: float, transfer: float
) -> None:
    found = Unexplained(worth=worth, cash=cash, tolerance=50.0, futures=futures)

    assert found.transfer == transfer


@pytest.mark.req("RSK-5")
def test_a_baseline_moves_with_cash_and_futures() -> None:
    found = Unexplained(worth=5_000.0, cash=5_300.0, tolerance=50.0, futures=300.0)

    moved = moved_by(baseline(), 5_000.0, found)
    blind = moved_by(baseline(cash=None), 7.0, attrs.evolve(found, cash=None, futures=None))

    assert (moved.value, moved.cash, moved.futures) == (105_000.0, 45_300.0, 300.0)
    assert (blind.value, blind.cash, blind.futures) == (100_007.0, None, 0.0)
    future = ledger((FUTURE, 2.0, 300_000.0))
    again = unexplained(
        attrs.evolve(baseline(stakes=FUTURE_STAKE), futures=100.0), future, rich(ES=300_100.0)
    )
    assert again is not None
    assert (again.futures, again.worth) == (100.0, -200.0)


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(("value", "limit"), [(100_000.0, 500.0), (20_000.0, 100.0), (10.0, 100.0)])
def test_the_limit_of_the_residual(value: float, limit: float) -> None:
    assert residual_limit(baseline(value), Risk()) == limit


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("age_s", "expected"), [(0.0, True), (TOGETHER_S, True), (TOGETHER_S + 1, False), (-99.0, True)]
)
def test_marks_and_values_belong_together(age_s: float, expected: bool) -> None:
    now = attrs.evolve(rich(SPY=600.0), updated_at=NOW + timedelta(seconds=age_s))

    assert belongs_together(now, HELD) is expected
    assert not belongs_together(attrs.evolve(now, updated_at=None), HELD)
    assert not belongs_together(attrs.evolve(now, marks={}), HELD)
    assert belongs_together(attrs.evolve(now, marks={}), ledger())


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("net", "cash", "expected"),
    [
        (90_000.0, 40_000.0, -10_000.0),
        (110_000.0, 40_000.0, 0.0),
        (90_000.0, 30_000.0, 0.0),  # a transfer
        (90_000.0, None, -10_000.0),
    ],
)
def test_the_rest_is_what_an_unpriced_position_lost(
    net: float, cash: float | None, expected: float
) -> None:
    begin, now = baseline(stakes=SPY_STAKE), rich(net, cash)

    assert rest(begin, now, profit(begin, HELD, now)) == expected
    assert rest(begin, rich(net, cash, SPY=1.0), Profit()) == 0.0
    unknown = attrs.evolve(now, net_liquidation=None)
    assert rest(begin, unknown, profit(begin, HELD, now)) == 0.0


@pytest.mark.req("RSK-5", "RSK-1")
@pytest.mark.parametrize(
    ("mark", "counts_rest", "expected"),
    [(590.0, False, 0.01), (610.0, False, 0.0), (None, False, 0.0), (None, True, 0.1)],
)
def test_the_loss_is_a_ratio_of_the_baseline(
    mark: float | None, counts_rest: bool, expected: float
) -> None:
    begin = baseline(stakes=SPY_STAKE)
    now = rich(90_000.0) if mark is None else rich(90_000.0, SPY=mark)
    known = Baselines(day=begin, week=attrs.evolve(begin, kind=WEEK, value=200_000.0))

    found = losses(known, HELD, now, counts_rest=counts_rest)

    assert found.day == pytest.approx(expected)
    if mark is not None:
        assert found.week == pytest.approx(expected / 2)
    assert losses(NO_BASELINES, HELD, now).day is None
    assert losses(known, HELD, attrs.evolve(now, net_liquidation=None)).day is None
    assert losses(Baselines(day=baseline(0.0)), HELD, now).day is None


# --- looks, and what is kept ------------------------------------------------------------------------------------------


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("times", "confirmed"),
    [
        ([0.0], False),
        ([0.0, SECOND_LOOK_S - 0.1], False),
        ([0.0, SECOND_LOOK_S], True),
        ([0.0, FORGOTTEN_S], True),
        ([0.0, FORGOTTEN_S + 0.1], False),
        ([0.0, 50.0, 100.0], True),  # seen all the time
        ([0.0, 2.0, 4.0, 6.0], True),
        ([100.0, 0.0], False),
        ([100.0, 101.0], False),
        ([0.0, 0.5, 5.5], True),
        ([0.0, 0.0, 5.0], True),
    ],
)
def test_two_looks(times: list[float], confirmed: bool) -> None:
    seen: Any = {}
    found: tuple[str, ...] = ()
    for now in times:
        seen, found = look(seen, ["loss"], now)

    assert (found == ("loss",)) is confirmed
    assert look(seen, [], times[-1] + 5.0) == ({}, ())


@pytest.mark.req("RSK-5")
def test_what_is_seen_for_the_first_time_holds_up_nothing_else() -> None:
    seen, _ = look({}, ["b"], 0.0)

    later, confirmed = look(seen, ["a", "b"], 5.0)

    assert confirmed == ("b",)
    assert {name: (each.first, each.last) for name, each in later.items()} == {
        "a": (5.0, 5.0),
        "b": (0.0, 5.0),
    }


@pytest.mark.req("RSK-5")
def test_what_is_known_of_executions_when_a_period_begins() -> None:
    old = fill(1.0, 1.0, exec_id="old.01", executed_at=NOW - KNOWN_FOR - timedelta(seconds=1))
    edge = fill(1.0, 1.0, exec_id="edge.01", executed_at=NOW - KNOWN_FOR)
    new = fill(1.0, 1.0, exec_id="new.01", executed_at=NOW)
    bare = fill(1.0, 1.0, exec_id="bare.01", executed_at=None)

    book = ledger(fills=(old, edge, new, bare)).executions

    assert included(book) == (frozenset({"edge", "new", "bare"}), NOW)
    assert included(ledger(fills=(bare,)).executions) == (frozenset({"bare"}), None)


@pytest.mark.req("RSK-5")
def test_a_baseline_comes_back_from_the_journal_as_it_was() -> None:
    book = ledger(
        (SPY, 100.0, 600.0), (ABROAD, 10.0, 90.0), (CASH_TICKET, 5.0, 1.0), fills=(fill(1.0, 2.0),)
    )
    made = snapshot(DAY, "2026-03-02", book, rich(SPY=610.0))
    assert made is not None
    assert (made.kind, made.key, made.value, made.cash) == (DAY, "2026-03-02", 100_000.0, 40_000.0)
    assert (made.seen, made.seen_until) == (frozenset({"SPY.1.0"}), NOW)
    assert made.stakes == {
        SPY.con_id: stake(100.0, 61_000.0, 60_000.0),
        ABROAD.con_id: stake(10.0, None, 900.0, currency="EUR", rate=EURO),
    }
    moved = attrs.evolve(made, futures=3.0)
    rows = [record_of(moved, OWNER, NOW), record_of(made, owner_of("embedded", "DU1"), NOW)]

    last = attrs.evolve(made, kind=LAST)
    assert baselines_of(rows, OWNER) == Baselines(day=moved)
    assert baselines_of([record_of(last, OWNER, NOW)], OWNER) == Baselines(last=last)
    assert baselines_of(rows, owner_of("external", "DU2")) == NO_BASELINES


@pytest.mark.req("RSK-5")
def test_a_future_and_a_currency_without_a_rate_are_told_as_such_when_a_period_begins() -> None:
    strange = attrs.evolve(QQQ, currency="XXX")

    made = snapshot(DAY, "", ledger((FUTURE, 1.0, 300_000.0), (strange, 1.0, 5.0)), rich(1.0))

    assert made is not None
    assert made.stakes[FUTURE.con_id].is_future
    assert made.stakes[QQQ.con_id].rate == 1.0


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("key", "now", "expected"),
    [
        ("2026-12-24", datetime(2026, 12, 28, 15, tzinfo=UTC), True),  # Christmas, a weekend
        ("2026-03-02", datetime(2026, 3, 3, 4, tzinfo=UTC), True),  # still Monday in New York
        ("2026-03-03", datetime(2026, 3, 3, 4, tzinfo=UTC), False),
    ],
)
def test_a_night_is_one_of_the_exchange(key: str, now: datetime, expected: bool) -> None:
    assert is_over_night(key, now) is expected


@pytest.mark.req("RSK-5")
def test_a_period_begins_where_the_last_process_left_the_account() -> None:
    friday = attrs.evolve(baseline(stakes=SPY_STAKE), kind=LAST, key="2026-02-27")
    known = Baselines(last=friday)

    after_a_night = take_note(
        known, HELD, rich(95_000.0, SPY=550.0), marks(SPY=550.0), NOW, has_just_started=True
    )
    running = take_note(known, HELD, rich(95_000.0, SPY=550.0), marks(SPY=550.0), NOW)

    assert [(each.kind, each.value) for each in after_a_night.begun] == [
        (DAY, 100_000.0),
        (WEEK, 100_000.0),
    ]
    assert losses(after_a_night.baselines, HELD, rich(95_000.0, SPY=550.0)).day == 0.05
    assert [each.value for each in running.begun] == [95_000.0, 95_000.0]
    assert take_note(known, HELD, account(None), {}, NOW, has_just_started=True).begun == ()


@pytest.mark.req("RSK-5")
def test_a_note_moves_what_has_begun_and_says_by_what() -> None:
    known = Baselines(day=baseline(stakes=SPY_STAKE))
    book = ledger((SPY, 150.0, 600.0), (QQQ, 1.0, 500.0))
    now = rich(SPY=610.0)

    noted = take_note(known, book, now, marks(SPY=610.0, QQQ=500.0), NOW, moving=[QQQ.con_id])

    ((after, moved),) = noted.moved
    assert (
        after
        == noted.baselines.day
        == baseline(130_500.0, stakes={SPY.con_id: stake(150.0, 90_500.0, 90_000.0)})
    )
    assert moved == (Moved(con_id=SPY.con_id, quantity=50.0, value=30_500.0),)
    assert [each.kind for each in noted.begun] == [WEEK]


@pytest.mark.req("RSK-5")
def test_a_note_values_what_had_no_price_and_tells_a_split_by_what_was_held() -> None:
    begin = baseline(stakes={SPY.con_id: stake(100.0, None, 1.0), QQQ.con_id: stake(10.0, 5_000.0)})
    book = ledger((SPY, 200.0, 300.0), (QQQ, 10.0, 500.0))
    before = ledger((SPY, 100.0, 600.0)).positions
    now = rich(SPY=300.0, QQQ=500.0)

    noted = take_note(Baselines(day=begin), book, now, marks(SPY=300.0), NOW, before)

    assert [each.is_split for _, moved in noted.moved for each in moved] == [True]
    assert noted.baselines.day is not None
    assert noted.baselines.day.stakes[SPY.con_id] == stake(200.0, 30_000.0, 1.0)
    quiet = take_note(noted.baselines, book, now, marks(SPY=300.0), NOW, before)
    assert (quiet.moved, quiet.begun) == ((), ())


@pytest.mark.req("RSK-5")
def test_a_period_does_not_begin_where_a_process_ended_long_ago() -> None:
    january = attrs.evolve(baseline(1.0), kind=LAST, key="2026-01-02")

    noted = take_note(
        Baselines(last=january), ledger(), rich(95_000.0), {}, NOW, has_just_started=True
    )

    assert [each.value for each in noted.begun] == [95_000.0, 95_000.0]


@pytest.mark.req("RSK-1")
def test_a_loss_without_a_price_counts_only_where_that_is_wanted() -> None:
    known = Baselines(day=baseline(0.5, 0.5, stakes=SPY_STAKE))

    assert losses(known, HELD, rich(0.25, 0.5)).day == 0.0
    assert losses(known, HELD, rich(0.25, 0.5), counts_rest=True).day == 0.5


@pytest.mark.req("RSK-1")
def test_the_least_equity_of_the_day() -> None:
    assert least_equity(NO_BASELINES, None) is None
    assert least_equity(NO_BASELINES, rich(5.0)) == 5.0
    assert least_equity(Baselines(day=baseline(7.0)), rich(5.0)) == 5.0
    assert least_equity(Baselines(day=baseline(3.0)), rich(5.0)) == 3.0
    assert newest([baseline(1.0), attrs.evolve(baseline(2.0), kind="another")]).day == baseline(1.0)
    assert LEAST_TRANSFER > 0.0
