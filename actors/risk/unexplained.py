"""What of the account's change positions do not explain: transfers, and the residual (RULES 4).

::

    net liquidation now − at the baseline = gain of positions + transfers + residual
    cash now − at the baseline            = what executions brought in + transfers

A transfer shows in both lines alike (a fee or interest that was booked does, too); it moves the baseline and is told.
What shows in the first line only is the residual: it blocks openings until it is gone or a person acknowledges it.
Neither is ever a loss, and neither hides one: the gain of positions needs no line of these.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.model.account import Account
from actors.risk.baselines import Baseline
from actors.risk.exposure import Ledger
from actors.risk.profit import Profit, profit
from actors.sections.risk import Risk

LEAST_TRANSFER: Final = 0.5
"""Less than this is the rounding of what the broker says, in the account's currency."""

TOLERANCE_RATIO: Final = 0.0005
"""Both lines of a transfer agree within this share of the baseline: marks and net liquidation are of one moment."""

TOGETHER_S: Final = 10.0
"""Marks and values belong together when no mark is older than the values by more than this."""


@attrs.frozen(kw_only=True)
class Unexplained:
    """In the account's currency: ``worth`` by the first line, ``cash`` by the second, None where it is unknown.

    ``futures``: results of futures that came into the cash since it was noted, or will; None where there are none.
    """

    worth: float
    cash: float | None
    tolerance: float
    futures: float | None = None

    @property
    def transfer(self) -> float:
        """What both lines say came in (or went out); 0 where they do not agree.

        The cash says it to the cent, but where results of futures come into it.
        """
        if self.cash is None:
            return 0.0
        could_be = sorted((self.cash, self.cash - (self.futures or 0.0)))
        if not could_be[0] - self.tolerance <= self.worth <= could_be[1] + self.tolerance:
            return 0.0
        amount = self.cash if self.futures is None else self.worth
        return amount if abs(amount) >= LEAST_TRANSFER else 0.0

    @property
    def residual(self) -> float:
        """What is left."""
        return self.worth - self.transfer


def unexplained(baseline: Baseline, ledger: Ledger, account: Account) -> Unexplained | None:
    """Compare the account with its positions; None while something that is held has no price."""
    known = profit(baseline, ledger, account)
    if account.net_liquidation is None or known.unvalued:
        return None
    cash = None
    if account.cash is not None and baseline.cash is not None and not known.unpaid:
        cash = account.cash - baseline.cash + known.spent
    return Unexplained(
        worth=account.net_liquidation - baseline.value - known.gained - known.translated,
        cash=cash,
        tolerance=max(LEAST_TRANSFER, TOLERANCE_RATIO * baseline.value),
        futures=known.futures - baseline.futures if known.has_futures else None,
    )


def moved_by(baseline: Baseline, amount: float, found: Unexplained) -> Baseline:
    """Move a baseline by a transfer, or by what a person has acknowledged."""
    cash = None if baseline.cash is None else baseline.cash + (found.cash or 0.0)
    futures = baseline.futures + (found.futures or 0.0)
    return attrs.evolve(baseline, value=baseline.value + amount, cash=cash, futures=futures)


def residual_limit(baseline: Baseline, limits: Risk) -> float:
    """How much may stay unexplained, in the account's currency."""
    return max(limits.residual_ratio * baseline.value, limits.residual_minimum)


def belongs_together(account: Account, ledger: Ledger) -> bool:
    """Tell whether the marks are of the moment of the values: else what moves looks unexplained."""
    held = [account.marks.get(con_id) for con_id in ledger.positions]
    if account.updated_at is None or None in held:
        return False
    stamps = [mark.at for mark in held if mark is not None]
    return all((account.updated_at - at).total_seconds() <= TOGETHER_S for at in stamps)


def rest(baseline: Baseline, account: Account, known: Profit) -> float:
    """What the account lost beyond what positions with a price and its cash explain, ≤ 0: the unvalued ones' loss."""
    if account.net_liquidation is None or not known.unvalued:
        return 0.0
    change = account.net_liquidation - baseline.value - known.gained - known.translated
    if account.cash is not None and baseline.cash is not None:
        change -= account.cash - baseline.cash + known.spent
    return min(0.0, change)
