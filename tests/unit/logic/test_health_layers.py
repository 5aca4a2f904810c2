"""Layers of health: from the lowest to the first that does not hold, each with its reason."""

from __future__ import annotations

import attrs
import pytest

from actors.connection.health_layers import LinkFacts, failed_layer, health_layers, lost_layer
from actors.errors import (
    GatewayAuthenticationError,
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
    NetworkUnreachableError,
)
from actors.model.connection import DisconnectCause, HealthLayer, LayerHealth

WHERE = "127.0.0.1:4002"
WELL = LinkFacts(
    where=WHERE,
    server_version=176,
    client_id=1,
    latency_ms=3.14,
    answered_s_ago=12.2,
    ticked_s_ago=4.0,
)
L = HealthLayer


@pytest.mark.req("CON-4")
def test_a_link_that_is_well_shows_all_layers() -> None:
    told = health_layers(WELL)

    assert [each.layer for each in told] == list(L)
    assert all(each.ok for each in told)
    assert told[0].detail == f"connected to {WHERE}"
    assert told[2].detail == "round trip 3.1 ms, 12 s ago"
    assert told[4].detail == "a tick came 4 s ago"


@pytest.mark.req("CON-4")
@pytest.mark.parametrize(
    ("changes", "layer", "words"),
    [
        ({"missed_beats": 1}, L.ROUND_TRIP, "heartbeats in a row without an answer: 1"),
        ({"unreconciled": "waiting for risk"}, L.RECONCILED, "waiting for risk"),
        ({"data_obstacle": "no price"}, L.FRESH_TICK, "no price"),
    ],
)
def test_what_stands_above_a_layer_that_does_not_hold_is_not_told(
    changes: dict[str, object], layer: HealthLayer, words: str
) -> None:
    told = health_layers(attrs.evolve(WELL, **changes))  # type: ignore[arg-type]  # a table of fields

    assert [each.layer for each in told] == [
        each for each in L if list(L).index(each) <= list(L).index(layer)
    ]
    assert [each.ok for each in told] == [True] * (len(told) - 1) + [False]
    assert told[-1].detail == words


@pytest.mark.req("CON-4")
@pytest.mark.parametrize("layer", L)
def test_without_a_session_the_layer_that_broke_comes_last(layer: HealthLayer) -> None:
    trouble = LayerHealth(layer=layer, ok=False, detail="because")
    told = health_layers(LinkFacts(where=WHERE, trouble=trouble))

    assert told[-1] == trouble
    assert [each.ok for each in told[:-1]] == [True] * list(L).index(layer)


@pytest.mark.req("CON-4")
def test_before_the_first_attempt_nothing_is_claimed() -> None:
    assert [(each.layer, each.ok) for each in health_layers(LinkFacts(where=WHERE))] == [
        (L.TCP, False)
    ]


@pytest.mark.req("CON-7")
@pytest.mark.parametrize(
    ("error", "socket_was_open", "session_was_open", "layer"),
    [
        (NetworkUnreachableError("no route"), False, False, L.TCP),
        (GatewayConnectionError("refused"), False, False, L.TCP),
        (GatewayTimeoutError("no answer"), False, False, L.TCP),
        (GatewayTimeoutError("no answer"), True, False, L.HANDSHAKE),
        (GatewayAuthenticationError("log in"), True, False, L.HANDSHAKE),
        (GatewayTimeoutError("no positions"), True, True, L.RECONCILED),
    ],
)
def test_the_failed_attempt_says_which_layer_broke(
    error: GatewayError, socket_was_open: bool, session_was_open: bool, layer: HealthLayer
) -> None:
    assert layer is failed_layer(
        error, socket_was_open=socket_was_open, session_was_open=session_was_open
    )


@pytest.mark.req("CON-9")
def test_silence_breaks_the_round_trip_and_a_closed_socket_the_lowest_layer() -> None:
    assert lost_layer(DisconnectCause.SILENCE) is L.ROUND_TRIP
    assert lost_layer(DisconnectCause.REQUEST_UNANSWERED) is L.RECONCILED
    assert lost_layer(DisconnectCause.SOCKET_CLOSED) is L.TCP
