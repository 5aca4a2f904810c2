"""The harness itself: what it measures exists, a known mutant dies, and one that no test is about lives."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

from tests.mutation.__main__ import scored
from tests.mutation.equivalents import EQUIVALENTS, Equivalent
from tests.mutation.measured import MEASURED
from tests.mutation.workshop import ROOT, Mutant, Workshop

PERMITS = "actors/logic/permits.py"
KNOWN = ("fill_count=permit.fill_count,", "fill_count=None,")
"""What a mutant of `is_genuine` takes out and puts in: then no permit of a close is genuine."""

FORKS = pytest.mark.skipif(sys.platform == "win32", reason="mutmut needs fork")


@pytest.mark.parametrize("module", MEASURED)
def test_a_measured_module_and_its_tests_exist(module: str) -> None:
    files = [name for name in MEASURED[module].tests if not name.startswith("-")]

    assert (ROOT / module).is_file()
    assert files
    for name in files:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("equivalent", EQUIVALENTS, ids=str)
def test_what_is_listed_as_equivalent_is_of_a_measured_module_and_has_its_reason(
    equivalent: Equivalent,
) -> None:
    assert equivalent.module in MEASURED
    assert EQUIVALENTS[equivalent].strip()


def test_a_score_counts_the_killed_among_those_that_can_be() -> None:
    mutants = [Mutant(f"f_{number}", "f", "a", f"b{number}", number > 0) for number in range(4)]

    score = scored(PERMITS, mutants)

    assert (score.killed, len(score.survivors), score.ratio) == (3, 1, 0.75)
    assert "75.0%  3 of 4 killed" in str(score)


@FORKS
@pytest.mark.req("QUA-7")
@pytest.mark.timeout(300)
def test_a_known_mutant_is_killed_and_the_same_lives_without_the_test_that_is_about_it(
    tmp_path: Path,
) -> None:
    measured = MEASURED[PERMITS]
    shop = Workshop(tmp_path / "with", PERMITS, measured)
    shop.furnish()
    proofs = [name for name in shop.names() if ".x_is_genuine__" in name]

    tried = shop.try_all(proofs)

    assert len(proofs) == len(tried)
    (known,) = [mutant for mutant in tried if (mutant.removed, mutant.added) == KNOWN]
    assert known.is_killed

    lax = attrs.evolve(measured, tests=(*measured.tests, "-k", "not_the_same_as_zero"))
    other = Workshop(tmp_path / "without", PERMITS, lax)
    other.furnish()
    (same,) = other.try_all([known.name])
    assert not same.is_killed
