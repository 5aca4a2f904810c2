"""What `liquidate` and `rearm` say, in lines for people: exactly what is true, and nothing that is only hoped for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NOT_DURABLE = "NOT DURABLE: {} is in memory only, and lost if that process ends now; it goes on trying to write it down"


def liquidate_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say that the latch is on."""
    yield f"latched; liquidation {answer['liquidation_id']} is under way, see: status"
    if not answer["durable"]:
        yield NOT_DURABLE.format("the latch")


def rearm_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say what became of the latch, of the closes, and of what is held."""
    if not answer["was_latched"]:
        yield "nothing was latched"
    elif answer["carried_out"]:
        yield "re-armed: the latch is off, and no close of ours can fill any more"
    else:
        yield "recorded: the link is down, and nothing is opened while it is"
        yield "when it is back, first of all the closes that can still fill are ended, then the latch comes off"
        yield "nothing is sold meanwhile, unless something triggers anew; see: status"
    for close in answer["ended"]:
        yield f"ended       {close}"
    for position in answer["kept"]:
        yield f"stays held  {position}"
    if not answer["durable"]:
        yield NOT_DURABLE.format("this")
