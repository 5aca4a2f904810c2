"""What positions have gained and lost since a baseline (RULES 4).

Per contract, in its currency, then at the present rate in the account's::

    gain = value now − value at the baseline + what its executions brought in, less their commissions

That is realised result and change of the unrealised one together. It needs neither cash nor net liquidation, so that no
transfer, fee or interest touches it. What changed hands without an execution (shares that were transferred, assigned,
split) moves the baseline at the price of that moment: from then on it is judged by its price.

Values are the broker's own marks. A contract without one is ``unvalued``: its gain is unknown, never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from actors.logic.executions import Executions
from actors.model.account import Account, Mark
from actors.model.orders import Execution
from actors.risk.baselines import (
    DAILY_SETTLED,
    KNOWN_FOR,
    NO_POSITION,
    Baseline,
    Stake,
    positions,
)
from actors.risk.exposure import Exposure, Ledger

NOTHING: Final = 1e-9
SPLIT_RATIO: Final = 0.005
LEAST_SPLIT: Final = 0.02
"""A position whose cost stayed within the first, while its quantity changed by more than the second, was split;
else something was transferred. Both as ratios."""


@attrs.frozen(kw_only=True)
class Profit:
    """In the account's currency. ``gained``: by what has a price, then and now, commissions included.

    ``translated`` is what changed rates made of the value that the baseline held, which is no result of a position.
    ``spent`` is what executions took out of the cash, futures apart, whose part of the gain, ``futures``, comes into it
    in the broker's own way: daily, or when they are closed. ``unpaid``: commissions are missing.
    """

    gained: float = 0.0
    translated: float = 0.0
    spent: float = 0.0
    futures: float = 0.0
    has_futures: bool = False
    unvalued: tuple[int, ...] = ()
    unpaid: bool = False


@attrs.frozen(kw_only=True)
class Moved:
    """What of a contract came or went without an execution; ``value`` in the account's currency."""

    con_id: int
    quantity: float
    value: float
    is_split: bool = False


@attrs.frozen
class _Line:
    """One contract since a baseline: what it held then, what it holds, and the executions in between."""

    con_id: int
    stake: Stake
    held: Exposure | None
    fills: tuple[Execution, ...]

    @property
    def has(self) -> float:
        return 0.0 if self.held is None else self.held.quantity

    @property
    def expected(self) -> float:
        """How much is held by its executions."""
        return self.stake.quantity + sum(each.signed_quantity for each in self.fills)

    @property
    def unexplained(self) -> float:
        """How much came or went without an execution."""
        change = self.has - self.expected
        return change if abs(change) > NOTHING else 0.0

    @property
    def expected_cost(self) -> float:
        """What that has cost: purchases add to it, sales take their share of it."""
        quantity, cost = self.stake.quantity, self.stake.cost
        for each in self.fills:
            after = quantity + each.signed_quantity
            if quantity * after <= 0.0:
                cost = after * each.price * each.contract.value_of_a_point
            elif abs(after) > abs(quantity):
                cost += each.signed_quantity * each.price * each.contract.value_of_a_point
            else:
                cost *= after / quantity
            quantity = after
        return cost

    @property
    def flow(self) -> float:
        """What its executions brought in, in its currency, less their commissions."""
        return sum(
            -each.signed_quantity * each.price * each.contract.value_of_a_point
            - (each.commission or 0.0)
            for each in self.fills
        )

    def value(self, marks: Mapping[int, Mark]) -> float | None:
        """What it is worth, in its currency; None where nobody says."""
        if self.held is None:
            return 0.0
        mark = marks.get(self.con_id)
        return None if mark is None else self.held.quantity * mark.unit_value

    def gain(self, marks: Mapping[int, Mark]) -> float | None:
        """What it gained, in its currency; None while that is unknown."""
        now, then = self.value(marks), self.stake.value
        if now is None or then is None or self.unexplained:
            return None
        return now - then + self.flow


def profit(baseline: Baseline, ledger: Ledger, account: Account) -> Profit:
    """Reckon what positions gained since a baseline."""
    gained = translated = spent = futures = 0.0
    unvalued: list[int] = []
    lines = _lines(baseline, ledger)
    for line in lines:
        stake, rate = line.stake, account.rate_of(line.stake.currency)
        gain = line.gain(account.marks)
        if not stake.is_future:
            spent -= line.flow * (rate or 1.0)
        if gain is None or rate is None:
            unvalued.append(line.con_id)
            continue
        gained += gain * rate
        if stake.is_future:
            futures += gain * rate
        else:
            translated += (stake.value or 0.0) * (rate - stake.rate)
    return Profit(
        gained=gained,
        translated=translated,
        spent=spent,
        futures=futures,
        has_futures=any(line.stake.is_future for line in lines),
        unvalued=tuple(unvalued),
        unpaid=any(each.commission is None for line in lines for each in line.fills),
    )


def adjusted(
    baseline: Baseline,
    ledger: Ledger,
    account: Account,
    marks: Mapping[int, Mark],
    before: Mapping[int, Exposure] = MappingProxyType({}),
    *,
    apart_from: Iterable[int] = (),
) -> tuple[Baseline, tuple[Moved, ...]]:
    """Move a baseline by what came and went without an execution, at its price; what has none yet waits for one.

    ``marks`` also values what is held no more, by the last that was told. ``before`` is what was held when this was
    called last: by its cost a split is told from a transfer. ``apart_from`` are contracts that moved while they were
    read.
    """
    skipped = frozenset(apart_from)
    stakes, moved = dict(baseline.stakes), list[Moved]()
    for line in _lines(baseline, ledger):
        if not line.unexplained or line.con_id in skipped:
            continue
        found = _change(line, account, marks, before.get(line.con_id))
        if found is not None:
            stakes[line.con_id] = found[0]
            moved.append(found[1])
    if not moved:
        return baseline, ()
    value = baseline.value + sum(each.value for each in moved)
    return attrs.evolve(baseline, stakes=MappingProxyType(stakes), value=value), tuple(moved)


def valued(baseline: Baseline, marks: Mapping[int, Mark]) -> Baseline:
    """Value what had no price when the baseline was made, as soon as it has one."""
    late = {
        con_id: attrs.evolve(stake, value=stake.quantity * marks[con_id].unit_value)
        for con_id, stake in baseline.stakes.items()
        if stake.value is None and con_id in marks
    }
    if not late:
        return baseline
    return attrs.evolve(baseline, stakes=MappingProxyType({**baseline.stakes, **late}))


def _change(
    line: _Line, account: Account, marks: Mapping[int, Mark], before: Exposure | None
) -> tuple[Stake, Moved] | None:
    """Work out the stake of a contract that changed hands; None while its price is unknown."""
    stake, change = line.stake, line.unexplained
    quantity = stake.quantity + change
    if _is_split(line, before):
        split = attrs.evolve(stake, quantity=quantity)
        return split, Moved(con_id=line.con_id, quantity=change, value=0.0, is_split=True)
    unit, rate = _unit_value(line, marks), account.rate_of(stake.currency)
    if unit is None or stake.value is None or rate is None:
        return None
    cost = stake.cost + (0.0 if line.held is None else change * line.held.average_cost)
    value = stake.value + change * unit
    in_base = stake.value * stake.rate + change * unit * rate
    after = attrs.evolve(
        stake,
        quantity=quantity,
        value=value,
        cost=cost,
        rate=in_base / value if value and quantity else rate,
    )
    worth = 0.0 if stake.is_future else change * unit * rate
    return after, Moved(con_id=line.con_id, quantity=change, value=worth)


def _is_split(line: _Line, before: Exposure | None) -> bool:
    """The cost stayed, the quantity did not."""
    held = line.held
    if held is None or line.expected * held.quantity <= 0.0:
        return False
    if abs(line.unexplained) <= LEAST_SPLIT * abs(line.expected):
        return False
    cost = line.expected_cost
    if before is not None and abs(before.quantity - line.expected) <= NOTHING:
        cost = before.quantity * before.average_cost
    return abs(held.quantity * held.average_cost - cost) <= SPLIT_RATIO * abs(cost)


def _unit_value(line: _Line, marks: Mapping[int, Mark]) -> float | None:
    """By the last mark; what never had one leaves at what it was worth when the period began."""
    mark, stake = marks.get(line.con_id), line.stake
    if mark is not None:
        return mark.unit_value
    return stake.value / stake.quantity if stake.value is not None and stake.quantity else None


def _lines(baseline: Baseline, ledger: Ledger) -> list[_Line]:
    """Every contract that was held, is held, or was traded in between."""
    traded, held = _traded(baseline, ledger.executions), positions(ledger)
    return [
        _Line(con_id, stake, held.get(con_id), fills)
        for con_id in sorted({*baseline.stakes, *held, *traded})
        for fills in [tuple(traded.get(con_id, ()))]
        for stake in [baseline.stakes.get(con_id) or _none_of(held.get(con_id), fills)]
    ]


def _none_of(held: Exposure | None, fills: tuple[Execution, ...]) -> Stake:
    """A stake in what was not held."""
    contract = fills[0].contract if held is None else held.contract
    return Stake(
        quantity=0.0,
        value=0.0,
        cost=0.0,
        currency=contract.currency,
        rate=1.0,
        is_future=contract.security_type in DAILY_SETTLED,
    )


def _traded(baseline: Baseline, executions: Executions) -> Mapping[int, list[Execution]]:
    """The executions since the baseline, by contract."""
    found: defaultdict[int, list[Execution]] = defaultdict(list)
    since = None if baseline.seen_until is None else baseline.seen_until - KNOWN_FOR
    for base_id, each in executions.items():
        if base_id in baseline.seen or each.contract.security_type in NO_POSITION:
            continue
        if since is None or each.executed_at is None or each.executed_at >= since:
            found[each.contract.con_id].append(each)
    return found
