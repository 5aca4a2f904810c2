"""The two kinds of clocks and of randomness give what the protocols promise."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from actors.kernel.clock import Clock, Entropy
from supervision.proof.loop import Proof, run_proof
from supervision.proof.time import SeededEntropy, VirtualClock
from supervision.tree.system import SystemClock, SystemEntropy


def test_the_system_clock_dates_in_utc_and_never_goes_back() -> None:
    clock: Clock = SystemClock()

    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


@pytest.mark.parametrize("entropy", [SystemEntropy(), SeededEntropy(5)])
def test_ids_are_version_4_uuids_and_differ(entropy: Entropy) -> None:
    ids = {entropy.uuid4() for _ in range(100)}

    assert len(ids) == 100
    assert {uuid.UUID(each).version for each in ids} == {4}
    assert 2.0 <= entropy.uniform(2.0, 3.0) <= 3.0


@pytest.mark.req("SUP-11")
def test_a_seed_fixes_ids_and_draws() -> None:
    one, two = SeededEntropy(7), SeededEntropy(7)

    assert [one.uuid4(), one.uniform(0, 1)] == [two.uuid4(), two.uniform(0, 1)]


def test_a_virtual_clock_refuses_an_epoch_without_a_zone() -> None:
    async def scenario(proof: Proof) -> None:
        with pytest.raises(ValueError, match="time zone"):
            VirtualClock(proof.loop, datetime(2025, 1, 1))  # noqa: DTZ001  # the point of the test

    run_proof(scenario, seed=1)
