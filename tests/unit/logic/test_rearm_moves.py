"""Re-arming's two tables, walked whole against a second copy."""

from __future__ import annotations

import itertools

import pytest

from actors.model.latch import LatchStanding
from supervision.strategy_c.rearm_moves import (
    ANSWERS,
    MOVES,
    Answer,
    Move,
    Stage,
    answer_to,
    next_move,
    stage_of,
)

pytestmark = pytest.mark.req("STC-11")

TABLE = """
stage        link  keeps  move            written       refused by the disk
NOT_LATCHED  up    no     NOTHING         NOT_LATCHED   NOT_LATCHED
NOT_LATCHED  up    yes    NOTHING         NOT_LATCHED   NOT_LATCHED
NOT_LATCHED  down  no     NOTHING         NOT_LATCHED   NOT_LATCHED
NOT_LATCHED  down  yes    NOTHING         NOT_LATCHED   NOT_LATCHED
LATCHING     up    no     WAIT            REFUSED       REFUSED
LATCHING     up    yes    WAIT            REFUSED       REFUSED
LATCHING     down  no     WAIT            REFUSED       REFUSED
LATCHING     down  yes    WAIT            REFUSED       REFUSED
AT_WORK      up    no     WAIT            REFUSED       REFUSED
AT_WORK      up    yes    CARRY_OUT       CARRIED_OUT   REFUSED
AT_WORK      down  no     RECORD          RECORDED      REFUSED
AT_WORK      down  yes    RECORD          RECORDED      REFUSED
AT_REST      up    no     CARRY_OUT       CARRIED_OUT   REFUSED
AT_REST      up    yes    CARRY_OUT       CARRIED_OUT   REFUSED
AT_REST      down  no     RECORD          RECORDED      REFUSED
AT_REST      down  yes    RECORD          RECORDED      REFUSED
RECORDED     up    no     AWAIT_RECORDED  RECORDED      RECORDED
RECORDED     up    yes    AWAIT_RECORDED  RECORDED      RECORDED
RECORDED     down  no     STAY_RECORDED   RECORDED      RECORDED
RECORDED     down  yes    STAY_RECORDED   RECORDED      RECORDED
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_every_row_is_answered_as_the_table_says(row: list[str]) -> None:
    stage, link, keeps, move, written, unwritten = row

    chosen = next_move(Stage(stage), linked=link == "up", keeps=keeps == "yes")

    assert chosen is Move(move)
    assert answer_to(chosen, written=True) is Answer(written)
    assert answer_to(chosen, written=False) is Answer(unwritten)


def test_the_table_has_every_row() -> None:
    assert {(row[0], row[1], row[2]) for row in ROWS} == set(
        itertools.product(Stage, ("up", "down"), ("no", "yes"))
    )
    assert all(set(moves) == set(Stage) for moves in MOVES.values())
    assert all(set(answers) == set(Move) for answers in ANSWERS.values())


def test_nothing_is_said_to_be_done_that_the_disk_does_not_have() -> None:
    assert Answer.CARRIED_OUT not in ANSWERS[False].values()


@pytest.mark.parametrize("standing", [None, *LatchStanding])
@pytest.mark.parametrize("is_latching", [False, True])
@pytest.mark.parametrize("is_at_work", [False, True])
def test_where_strategy_c_stands(
    standing: LatchStanding | None, is_latching: bool, is_at_work: bool
) -> None:
    stage = stage_of(standing, is_latching=is_latching, is_at_work=is_at_work)

    if standing is None:
        assert stage is Stage.NOT_LATCHED
    elif standing is LatchStanding.REARM_RECORDED:
        assert stage is Stage.RECORDED
    elif is_latching:
        assert stage is Stage.LATCHING
    else:
        assert stage is (Stage.AT_WORK if is_at_work else Stage.AT_REST)
