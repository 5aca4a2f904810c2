"""The loss is that of positions: against a book that is kept from scratch, whatever else happens to the account.

The book knows nothing of baselines: it adds up what each price move made of what was held, and what each fill was worth
against the market. Prices are dyadic, so that sums are exact.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.model.account import Account, Mark
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import OrderAction
from actors.risk import exposure
from actors.risk.accounting import losses, take_note
from actors.risk.baselines import LAST, NO_BASELINES, day_key, snapshot
from actors.risk.exposure import EMPTY, Exposure
from actors.risk.profit import profit
from actors.risk.remembered import baselines_of, owner_of, record_of
from actors.risk.unexplained import moved_by, residual_limit, unexplained
from actors.sections.risk import Risk
from supervision.store.entries.limits import BASELINE, recorded_baselines
from tests.unit.logic.values import NOW, QQQ, SPY, SPY_CALL, execution, holding

ABROAD = attrs.evolve(QQQ, con_id=9401, symbol="SAP", currency="EUR")
FUTURE = Contract(
    con_id=495512552,
    symbol="ES",
    security_type=SecurityType.FUTURE,
    multiplier=50.0,
    exchange="CME",
)
CONTRACTS = (SPY, QQQ, attrs.evolve(SPY_CALL, multiplier=100.0), ABROAD, FUTURE)
OWNER = owner_of("external", "DU1")
LIMITS = Risk()
EURO = 1.25
START = 1_048_576.0


def through_the_journal(record: m.RecordBaseline) -> m.RecordBaseline:
    """Write an entry as the journal does, and read it back."""
    (sql, values), *_ = BASELINE.rows(record, record.at).statements
    assert "baselines" in sql
    columns = ("account", "kind", "key", "value", "at", "content")
    (found,) = recorded_baselines(lambda *_: [tuple(values[name] for name in columns)])
    return found


class World:
    """An account at a broker, the book of what its positions made, and what risk believes of it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now: datetime = NOW
        self.cash = START
        self.prices = {each.con_id: 128.0 for each in CONTRACTS}
        self.held = {each.con_id: 0.0 for each in CONTRACTS}
        self.cost = dict.fromkeys(self.held, 0.0)
        self.made = self.saved = 0.0
        """What positions have made since the world began, in the account's currency."""
        self.at_key: dict[str, float] = {}
        self.fills = 0
        self.journal: list[m.RecordBaseline] = []
        self.baselines = NO_BASELINES
        self.ledger = EMPTY
        self.marks: dict[int, Mark] = {}
        self.before: Mapping[int, Exposure] = {}
        self.has_just_started = True
        self.reconcile()
        self.tell()

    # --- what the broker has --------------------------------------------------------------------------------------

    @staticmethod
    def unit(contract: Contract) -> float:
        return contract.multiplier * (EURO if contract.currency == "EUR" else 1.0)

    @property
    def worth(self) -> float:
        return self.cash + sum(
            self.held[each.con_id] * self.prices[each.con_id] * self.unit(each)
            for each in CONTRACTS
            if each is not FUTURE
        )

    def account(self) -> Account:
        return Account(
            account_id="DU1",
            net_liquidation=self.worth,
            cash=self.cash,
            currency="USD",
            exchange_rates={"EUR": EURO},
            updated_at=self.now,
            marks={
                each.con_id: Mark(
                    unit_value=self.prices[each.con_id] * each.multiplier, at=self.now
                )
                for each in CONTRACTS
                if self.held[each.con_id]
            },
        )

    # --- what happens ---------------------------------------------------------------------------------------------

    def move_price(self) -> None:
        contract = self.rng.choice(CONTRACTS)
        change = self.rng.choice([-1.0, -0.25, 0.5, 2.0])
        self.prices[contract.con_id] += change
        result = self.held[contract.con_id] * change * self.unit(contract)
        self.made += result
        self.cash += result if contract is FUTURE else 0.0

    def trade(self) -> None:
        contract = self.rng.choice(CONTRACTS)
        con_id, action = contract.con_id, self.rng.choice(list(OrderAction))
        quantity = float(self.rng.randint(1, 8))
        price = self.prices[con_id] + self.rng.choice([-0.5, 0.0, 0.25])
        commission, signed = self.rng.choice([0.0, 1.0, 2.5]), action.sign * quantity
        self.fills += 1
        fill = execution(
            quantity,
            f"e{self.fills}.01",
            price,
            action=action,
            contract=contract,
            commission=commission,
            executed_at=self.now,
        )
        unit, rate = self.unit(contract), self.unit(contract) / contract.multiplier
        result = signed * (self.prices[con_id] - price) * unit - commission * rate
        self.made += result
        self.cash += result if contract is FUTURE else -signed * price * unit - commission * rate
        self.held[con_id] += signed
        self.ledger = exposure.apply_execution(self.ledger, fill)

    def transfer_cash(self) -> None:
        self.cash += self.rng.choice([-100_000.0, -10.0, 5_000.0, 250_000.0])
        self.tell()
        self.take_transfers()

    def transfer_shares(self) -> None:
        contract = self.rng.choice(CONTRACTS[:4])
        self.held[contract.con_id] += self.rng.choice([-10.0, 3.0, 100.0])
        self.reconcile()
        self.tell()

    def split(self) -> None:
        contract = self.rng.choice(CONTRACTS[:2])
        con_id = contract.con_id
        ratio = self.rng.choice([2.0, 4.0, 0.5])
        cost = exposure.position(self.ledger, con_id)
        if not cost or self.held[con_id] * ratio % 1:
            return
        self.tell()
        self.held[con_id] *= ratio
        self.prices[con_id] /= ratio
        self.reconcile(split=(con_id, ratio))
        self.tell()

    def pass_night(self) -> None:
        """A night with us or without us, and a gap."""
        self.tell()
        self.save_last()
        if self.rng.random() < 0.5:
            self.restart()
        self.now += timedelta(days=1)
        self.move_price()
        self.reconcile()
        self.tell()

    def step_clock_back(self) -> None:
        real, self.now = self.now, self.now - timedelta(days=self.rng.choice([0, 1, 30]), hours=1)
        before = self.baselines
        self.tell()
        assert [each.key for each in self.baselines.running] == [
            each.key for each in before.running
        ]
        self.now = real

    def restart(self) -> None:
        """Forget all but the journal, which goes through JSON, and what the broker lists."""
        fills = tuple(self.ledger.executions.values())
        read = [through_the_journal(each) for each in self.journal]
        self.baselines = baselines_of(read, OWNER)
        self.marks, self.before, self.has_just_started = {}, {}, True
        self.ledger = exposure.remember(EMPTY, fills)
        self.reconcile()

    # --- what risk does -------------------------------------------------------------------------------------------

    def reconcile(self, split: tuple[int, float] | None = None) -> None:
        known = {con_id: each.average_cost for con_id, each in self.ledger.positions.items()}
        if split is not None:
            known[split[0]] /= split[1]
        found = [
            holding(
                self.held[each.con_id],
                each,
                known.get(each.con_id, self.prices[each.con_id] * each.multiplier),
            )
            for each in CONTRACTS
            if self.held[each.con_id]
        ]
        self.ledger = exposure.reconcile(
            self.ledger, found, tuple(self.ledger.executions.values()), (), ()
        )

    def tell(self) -> None:
        """The broker tells the account's numbers."""
        account = self.account()
        self.marks.update(account.marks)
        noted = take_note(
            self.baselines,
            self.ledger,
            account,
            self.marks,
            self.now,
            self.before,
            has_just_started=self.has_just_started,
        )
        self.has_just_started, self.before = False, self.ledger.positions
        for each in noted.begun:
            last = self.baselines.last
            is_last = last is not None and each.stakes is last.stakes
            self.at_key[each.key] = self.saved if is_last else self.made
        self.baselines = noted.baselines
        self.record(*noted.begun, *(each for each, _ in noted.moved))

    def save_last(self) -> None:
        last = snapshot(LAST, day_key(self.now), self.ledger, self.account())
        assert last is not None
        self.saved = self.made
        self.baselines = self.baselines.with_((last,))
        self.record(last)

    def record(self, *changed: Any) -> None:
        self.journal += [record_of(each, OWNER, self.now) for each in changed]

    def take_transfers(self) -> None:
        for each in self.baselines.running:
            found = unexplained(each, self.ledger, self.account())
            if found is not None and found.transfer:
                moved = moved_by(each, found.transfer, found)
                self.baselines = self.baselines.with_((moved,))
                self.record(moved)

    # --- what is checked ------------------------------------------------------------------------------------------

    def check(self) -> None:
        self.tell()
        account = self.account()
        for each in self.baselines.running:
            expected = self.made - self.at_key[each.key]
            known = profit(each, self.ledger, account)
            assert known.unvalued == ()
            assert known.gained == pytest.approx(expected, abs=1e-6)
            found = unexplained(each, self.ledger, account)
            assert found is not None
            assert abs(found.residual) < residual_limit(each, LIMITS)
            assert each.value == pytest.approx(self.worth - expected, abs=1.0)
        ratios = losses(self.baselines, self.ledger, account)
        for ratio, each in zip((ratios.day, ratios.week), self.baselines.running, strict=True):
            lost = self.at_key[each.key] - self.made
            assert ratio == pytest.approx(max(0.0, lost) / each.value)


STEPS: dict[str, tuple[Callable[[World], None], int]] = {
    "price": (World.move_price, 8),
    "trade": (World.trade, 8),
    "cash": (World.transfer_cash, 2),
    "shares": (World.transfer_shares, 1),
    "split": (World.split, 1),
    "night": (World.pass_night, 2),
    "restart": (World.restart, 1),
    "clock": (World.step_clock_back, 1),
}


@pytest.mark.req("RSK-5")
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_loss_is_that_of_positions_whatever_else_happens(seed: int) -> None:
    world = World(seed)
    names, weights = list(STEPS), [weight for _, weight in STEPS.values()]
    for name in world.rng.choices(names, weights, k=40):
        try:
            STEPS[name][0](world)
            world.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}, after: {name}")
            raise
