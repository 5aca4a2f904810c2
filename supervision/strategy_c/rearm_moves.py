"""What follows on an operator's re-arming: pure tables, by where Strategy C stands, the link, and the operator's wish.

Two tables, walked whole by a test: what is done next, and what is answered when it was written down or was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from actors.model.latch import LatchStanding


class Stage(StrEnum):
    """Where Strategy C stands.

    ``AT_WORK``: a contract is being read, cleared or closed, or a close is being written. ``AT_REST``: all that is left
    is flat, queued, resting at the broker or after a refusal, on hold, or for a hand. ``RECORDED``: a re-arming is
    recorded and not carried out yet.
    """

    NOT_LATCHED = "NOT_LATCHED"
    LATCHING = "LATCHING"
    AT_WORK = "AT_WORK"
    AT_REST = "AT_REST"
    RECORDED = "RECORDED"


class Move(StrEnum):
    """What is done next."""

    NOTHING = "NOTHING"
    WAIT = "WAIT"
    RECORD = "RECORD"
    CARRY_OUT = "CARRY_OUT"
    AWAIT_RECORDED = "AWAIT_RECORDED"
    STAY_RECORDED = "STAY_RECORDED"


class Answer(StrEnum):
    """What the operator is told."""

    NOT_LATCHED = "NOT_LATCHED"
    RECORDED = "RECORDED"
    CARRIED_OUT = "CARRIED_OUT"
    REFUSED = "REFUSED"


def stage_of(standing: LatchStanding | None, *, is_latching: bool, is_at_work: bool) -> Stage:
    """Say where Strategy C stands; ``standing`` is None while nothing is latched."""
    if standing is None:
        return Stage.NOT_LATCHED
    if standing is LatchStanding.REARM_RECORDED:
        return Stage.RECORDED
    if is_latching:
        return Stage.LATCHING
    return Stage.AT_WORK if is_at_work else Stage.AT_REST


_ALWAYS: Final = {
    Stage.NOT_LATCHED: Move.NOTHING,
    Stage.LATCHING: Move.WAIT,  # a moment: the latch is being written
}
_LINK_DOWN: Final = _ALWAYS | {
    Stage.AT_WORK: Move.RECORD,
    Stage.AT_REST: Move.RECORD,
    Stage.RECORDED: Move.STAY_RECORDED,
}
_LINK_UP: Final = _ALWAYS | {
    Stage.AT_WORK: Move.WAIT,
    Stage.AT_REST: Move.CARRY_OUT,
    Stage.RECORDED: Move.AWAIT_RECORDED,  # it is being carried out
}

MOVES: Final[Mapping[tuple[bool, bool], Mapping[Stage, Move]]] = MappingProxyType(
    {
        (False, False): MappingProxyType(_LINK_DOWN),
        (False, True): MappingProxyType(_LINK_DOWN),
        (True, False): MappingProxyType(_LINK_UP),
        (True, True): MappingProxyType(_LINK_UP | {Stage.AT_WORK: Move.CARRY_OUT}),
    }
)
"""By whether the link is up and whether the operator keeps the positions; then by the stage."""

ANSWERS: Final[Mapping[bool, Mapping[Move, Answer]]] = MappingProxyType(
    {
        True: MappingProxyType(
            {
                Move.NOTHING: Answer.NOT_LATCHED,
                Move.WAIT: Answer.REFUSED,  # the deadline came first
                Move.RECORD: Answer.RECORDED,
                Move.CARRY_OUT: Answer.CARRIED_OUT,
                Move.AWAIT_RECORDED: Answer.RECORDED,
                Move.STAY_RECORDED: Answer.RECORDED,
            }
        ),
        False: MappingProxyType(
            {
                Move.NOTHING: Answer.NOT_LATCHED,
                Move.WAIT: Answer.REFUSED,
                Move.RECORD: Answer.REFUSED,
                Move.CARRY_OUT: Answer.REFUSED,
                Move.AWAIT_RECORDED: Answer.RECORDED,
                Move.STAY_RECORDED: Answer.RECORDED,  # it was written before
            }
        ),
    }
)
"""By whether the journal takes what has to be written; then by the last move before the deadline."""


def next_move(stage: Stage, *, linked: bool, keeps: bool) -> Move:
    """Say what is done next; ``keeps``: the operator stops the closing where it is."""
    return MOVES[linked, keeps][stage]


def answer_to(move: Move, *, written: bool) -> Answer:
    """Say what is answered after the last move."""
    return ANSWERS[written][move]
