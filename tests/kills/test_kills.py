"""Random kills with default settings end flat and latched; ``make kills`` tries two thousand, and forty in reality."""

from __future__ import annotations

import signal

import pytest

from tests.kills import proof, reality
from tests.kills.plan import HOWS, Moment, Victim, plan_of

IN_PROOF = range(6)
IN_REALITY = (0, 4)


@pytest.mark.req("STC-6", "STC-8")
@pytest.mark.parametrize("seed", IN_PROOF)
def test_whoever_is_killed_or_stopped_whenever_all_is_flat_in_the_end(seed: int) -> None:
    result = proof.prove(seed)

    assert not result.faults, result.plan


@pytest.mark.req("STC-6", "STC-8")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize("seed", IN_REALITY)
def test_the_same_with_processes_and_signals(seed: int) -> None:
    result = reality.survive(seed)

    assert not result.faults, result.plan


def test_two_thousand_plans_hold_every_way_at_every_moment() -> None:
    plans = [plan_of(seed) for seed in range(2000)]

    drawn = {(plan.victim, plan.how, plan.moment) for plan in plans}

    assert drawn == {(who, how, when) for who in Victim for how in HOWS[who] for when in Moment}
    assert plan_of(3) == plan_of(3)
