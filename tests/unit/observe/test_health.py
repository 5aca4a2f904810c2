"""What makes a process ready, what only stops openings, and what is merely degraded."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from actors.messages.connection import ConnectionStatus
from actors.messages.feed import FeedStatus
from actors.messages.liquidation import LiquidationStatus
from actors.messages.publishing import PublishStatus
from actors.messages.records import RecordsStatus
from actors.model.connection import ConnectionState, HealthLayer, LayerHealth
from supervision.observe.health import STUCK_S, Answers, Trouble, as_json, judge
from supervision.tree.children import ChildStatus

CONNECTED = ConnectionStatus(
    correlation_id="1",
    state=ConnectionState.CONNECTED,
    session_id="session",
    attempts=1,
    server_version=178,
    accounts=("DU1234567",),
    last_error=None,
    opening_blocked_by=None,
    layers=tuple(LayerHealth(layer=layer, ok=True, detail="ok") for layer in HealthLayer),
)
NOT_LATCHED = LiquidationStatus(
    correlation_id="2", latched=False, reason=None, liquidation_id=None, step="NONE", report=None
)
WELL = Answers(connection=CONNECTED, liquidation=NOT_LATCHED, records=None)
UP = ChildStatus(
    name="executor", state="up", incarnation=1, restarts=0, mailbox_depth=0, handler_age_s=None
)


def broken(layer: HealthLayer) -> Answers:
    """A connection in which one layer does not hold."""
    layers = tuple(
        LayerHealth(layer=each, ok=each is not layer, detail=f"{each} says so")
        for each in HealthLayer
    )
    return attrs.evolve(WELL, connection=attrs.evolve(CONNECTED, layers=layers))


@pytest.mark.req("OBS-3")
def test_connected_and_reconciled_with_all_actors_up_is_ready() -> None:
    told = judge(WELL, (UP,), Trouble())

    assert (told.status, told.reason, told.opening.allowed) == ("ready", None, True)


@pytest.mark.req("OBS-3")
@pytest.mark.parametrize("state", [each for each in ConnectionState if each != "CONNECTED"])
def test_a_link_that_is_not_connected_is_the_reason(state: ConnectionState) -> None:
    lost = attrs.evolve(CONNECTED, state=state, last_error="nothing listens")

    told = judge(attrs.evolve(WELL, connection=lost), (UP,), Trouble())

    assert told.status == "not_ready"
    assert told.reason == f"the link is {state.value}: nothing listens"
    assert not told.opening.allowed


@pytest.mark.req("OBS-3")
@pytest.mark.parametrize("layer", [HealthLayer.TCP, HealthLayer.HANDSHAKE, HealthLayer.RECONCILED])
def test_a_layer_that_orders_need_is_the_reason(layer: HealthLayer) -> None:
    told = judge(broken(layer), (UP,), Trouble())

    assert told.reason == f"{layer.value}: {layer} says so"


@pytest.mark.req("OBS-3")
@pytest.mark.parametrize("layer", [HealthLayer.ROUND_TRIP, HealthLayer.FRESH_TICK])
def test_a_layer_that_closing_does_not_need_is_only_told(layer: HealthLayer) -> None:
    told = judge(broken(layer), (UP,), Trouble())

    assert told.status == "ready"
    assert [each.layer for each in told.layers if not each.ok] == [layer]


@pytest.mark.req("OBS-3")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "down", "restarts": 2}, "executor is down (restarts: 2)"),
        (
            {"handler_age_s": STUCK_S + 1.3},
            "executor has been busy with one message for 2.3 s",
        ),
    ],
)
def test_an_actor_that_is_down_or_stuck_is_named(change: dict[str, Any], reason: str) -> None:
    told = judge(WELL, (attrs.evolve(UP, **change),), Trouble())

    assert told.status == "not_ready"
    assert (told.reason, told.actors_down) == (reason, (reason,))


@pytest.mark.req("OBS-3")
def test_a_latch_refuses_openings_and_leaves_the_process_ready() -> None:
    latched = attrs.evolve(NOT_LATCHED, latched=True, reason="disconnect (silence)")

    told = judge(attrs.evolve(WELL, liquidation=latched), (UP,), Trouble())

    assert told.status == "ready"
    assert told.opening.refused_because == ("Strategy C is latched: disconnect (silence)",)


@pytest.mark.req("OBS-3", "DB-4")
def test_a_dead_database_is_degraded_and_ready() -> None:
    dead = RecordsStatus(correlation_id="3", degraded_by="refused", waiting=4, dropped=1)

    told = judge(attrs.evolve(WELL, records=dead), (UP,), Trouble())

    assert (told.status, told.opening.allowed) == ("ready", True)
    assert told.degraded == ("database: refused (4 rows wait, 1 were lost)",)


@pytest.mark.req("OBS-3", "MKT-9", "MKT-10")
def test_a_dead_second_source_and_a_dead_redis_are_degraded_and_ready() -> None:
    feed = FeedStatus(correlation_id="4", degraded_by="no answer", requests_today=3)
    publishing = PublishStatus(
        correlation_id="5", degraded_by="Redis: refused", waiting=4, dropped=1, published=9
    )

    told = judge(attrs.evolve(WELL, feed=feed, publishing=publishing), (UP,), Trouble())
    silent = judge(attrs.evolve(WELL, feed="it hangs"), (UP,), Trouble())

    assert (told.status, told.opening.allowed) == ("ready", True)
    assert told.degraded == (
        "second source: no answer",
        "publishing: Redis: refused (4 updates wait, 1 were lost)",
    )
    assert silent.degraded == ("second source: it hangs",)


@pytest.mark.req("OBS-3")
def test_a_journal_that_does_not_write_refuses_openings_and_is_degraded() -> None:
    told = judge(WELL, (UP,), Trouble(journal="disk full"))

    assert told.status == "ready"
    assert told.degraded == ("journal: disk full",)
    assert told.opening.refused_because == ("the journal does not write: disk full",)


@pytest.mark.req("OBS-3")
def test_an_actor_that_does_not_answer_is_the_reason() -> None:
    silent = Answers(
        connection="'connection' did not answer", liquidation=NOT_LATCHED, records=None
    )

    told = judge(silent, (UP,), Trouble())

    assert (told.connection, told.reason) == ("unknown", "'connection' did not answer")


def test_the_answer_is_plain_data() -> None:
    told = as_json(judge(WELL, (UP,), Trouble()))

    assert told["layers"][0] == {"layer": "tcp", "ok": True, "detail": "ok"}
    assert told["opening"] == {"allowed": True, "refused_because": ()}
