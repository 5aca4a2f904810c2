"""Which modules are measured, and by which tests: those that are about the module, and take seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

FLOOR_RATIO: Final = 0.9
"""So many of the mutants of each module are killed (QUA-7), the equivalent ones not counted."""


@attrs.frozen
class Measured:
    """How a module is measured. ``tests``: files, or pytest's other arguments that choose tests.

    ``at_import`` names functions that are called only while the module is imported, as those that make a table: their
    mutants get processes that import it anew, which takes seconds each.
    """

    tests: tuple[str, ...]
    at_import: tuple[str, ...] = ()


def _without(*tests: str) -> tuple[str, ...]:
    """Leave out tests that take seconds, since every mutant that survives takes them again."""
    return tuple(f"--deselect={test}" for test in tests)


_THOUSAND: Final = (
    "tests/link/test_order_gate.py::"
    "test_in_a_thousand_random_sequences_nothing_passes_without_a_permit_for_exactly_it"
)

_LOSSES: Final = ("tests/unit/logic/test_profit.py",)

MEASURED: Final[Mapping[str, Measured]] = {
    "actors/executor/reconcile.py": Measured(
        ("tests/unit/logic/test_reconcile.py", "tests/unit/logic/test_reconcile_records.py")
    ),
    "actors/executor/record.py": Measured(
        (
            "tests/unit/logic/test_order_record.py",
            "tests/unit/logic/test_order_state.py",
            "tests/unit/logic/test_order_table.py",
        )
    ),
    "actors/link/order_gate.py": Measured(
        (
            "tests/link/test_order_gate.py",
            "tests/link/test_gate_words.py",
            "tests/link/test_position_guard.py",
            *_without(_THOUSAND),
        ),
    ),
    "actors/link/position_guard.py": Measured(
        (
            "tests/link/test_position_guard.py",
            "tests/link/test_position_guard_counts.py",
            "tests/link/test_gate_words.py",
        )
    ),
    "actors/logic/flattening.py": Measured(("tests/unit/logic/test_flattening_steps.py",)),
    "actors/logic/order_table.py": Measured(("tests/unit/logic/test_order_table.py",), ("_stays",)),
    "actors/logic/permits.py": Measured(("tests/link/test_permits.py",)),
    "actors/risk/accounting.py": Measured(_LOSSES),
    "actors/risk/baselines.py": Measured(
        (*_LOSSES, "tests/unit/logic/test_risk_rules.py", "tests/unit/logic/test_risk_audit.py")
    ),
    "actors/risk/profit.py": Measured(_LOSSES),
    "actors/risk/two_looks.py": Measured(_LOSSES),
    "actors/risk/unexplained.py": Measured(_LOSSES),
    "actors/risk/exposure.py": Measured(
        ("tests/unit/logic/test_exposure.py", "tests/unit/logic/test_exposure_in_flight.py")
    ),
    "actors/risk/rules.py": Measured(
        (
            "tests/unit/logic/test_risk_rule_numbers.py",
            "tests/unit/logic/test_risk_rules.py",
            "tests/unit/logic/test_currencies.py",
        )
    ),
    "supervision/tree/restart_policy.py": Measured(
        ("tests/kernel/test_restart_policy.py",), ("_within",)
    ),
    "supervision/store/latch_verdict.py": Measured(("tests/unit/logic/test_latch_verdict.py",)),
    "supervision/strategy_c/rearm_moves.py": Measured(("tests/unit/logic/test_rearm_moves.py",)),
}
