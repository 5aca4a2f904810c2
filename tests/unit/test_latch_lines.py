"""What the command line says of a latch: exactly what the process answered."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from supervision.commands.latch_lines import liquidate_lines, rearm_lines

pytestmark = pytest.mark.req("STC-11")

FLAGS = ("was_latched", "carried_out", "durable", "ended", "kept")


def answer(**fields: Any) -> dict[str, Any]:
    """Answer as a process does."""
    return {
        "was_latched": True,
        "carried_out": True,
        "durable": True,
        "ended": [],
        "kept": [],
    } | fields


@pytest.mark.parametrize("flags", list(itertools.product((False, True), repeat=len(FLAGS))))
def test_every_answer_is_said_as_it_is(flags: tuple[bool, ...]) -> None:
    is_latched, is_done, is_durable, has_ended, has_kept = flags
    told = answer(
        was_latched=is_latched,
        carried_out=is_done,
        durable=is_durable,
        ended=["SELL 30 SPY: CANCELLED, 0 filled"] if has_ended else [],
        kept=["30 SPY_756733"] if has_kept else [],
    )

    text = "\n".join(rearm_lines(told))

    assert ("nothing was latched" in text) is not is_latched
    assert ("the latch is off" in text) is (is_latched and is_done)
    assert ("the link is down" in text) is (is_latched and not is_done)
    assert ("ended       SELL 30 SPY" in text) is has_ended
    assert ("stays held  30 SPY_756733" in text) is has_kept
    assert ("NOT DURABLE" in text) is not is_durable


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_latch_that_is_not_durable_is_said_to_be_none(is_durable: bool) -> None:
    text = "\n".join(liquidate_lines({"liquidation_id": "one", "durable": is_durable}))

    assert "latched; liquidation one" in text
    assert ("NOT DURABLE" in text) is not is_durable
