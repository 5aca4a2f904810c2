"""The link's health in layers, each on top of the one before (PEERS 18).

::

    TCP ─▶ handshake ─▶ round trip ─▶ reconciled ─▶ fresh tick

What is told goes from the lowest layer up to the first that does not hold, each with its reason in words: the remedy
differs with the layer ("container up, API dead").
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from actors.errors import GatewayError, NetworkUnreachableError
from actors.model.connection import DisconnectCause, HealthLayer, LayerHealth


@attrs.frozen(kw_only=True)
class LinkFacts:
    """What the connection knows. Ages in seconds, None: it has not happened in this session.

    ``trouble`` is where and why the last attempt or session broke; it counts while there is no session.
    """

    where: str
    trouble: LayerHealth | None = None
    server_version: int | None = None
    client_id: int = 0
    missed_beats: int = 0
    latency_ms: float | None = None
    answered_s_ago: float | None = None
    unreconciled: str | None = None
    data_obstacle: str | None = None
    ticked_s_ago: float | None = None


def failed_layer(
    error: GatewayError, *, socket_was_open: bool, session_was_open: bool
) -> HealthLayer:
    """Tell at which layer an attempt failed."""
    if session_was_open:
        return HealthLayer.RECONCILED
    if isinstance(error, NetworkUnreachableError) or not socket_was_open:
        return HealthLayer.TCP
    return HealthLayer.HANDSHAKE


def lost_layer(cause: DisconnectCause) -> HealthLayer:
    """Tell which layer gave way when a session was lost."""
    if cause is DisconnectCause.SILENCE:
        return HealthLayer.ROUND_TRIP
    if cause is DisconnectCause.REQUEST_UNANSWERED:
        return HealthLayer.RECONCILED
    return HealthLayer.TCP


def health_layers(facts: LinkFacts) -> tuple[LayerHealth, ...]:
    """List the layers from the lowest to the first that does not hold, or all of them."""
    told: list[LayerHealth] = []
    for layer in _every_layer(facts):
        told.append(layer)
        if not layer.ok:
            break
    return tuple(told)


def _every_layer(facts: LinkFacts) -> Iterator[LayerHealth]:
    if facts.server_version is None:
        yield from _up_to_the_trouble(facts)
        return
    yield LayerHealth(layer=HealthLayer.TCP, ok=True, detail=f"connected to {facts.where}")
    yield LayerHealth(
        layer=HealthLayer.HANDSHAKE,
        ok=True,
        detail=f"server version {facts.server_version}, client id {facts.client_id}",
    )
    yield _round_trip(facts)
    yield LayerHealth(
        layer=HealthLayer.RECONCILED,
        ok=facts.unreconciled is None,
        detail=facts.unreconciled or "positions, orders, executions and account are read",
    )
    yield LayerHealth(
        layer=HealthLayer.FRESH_TICK,
        ok=facts.data_obstacle is None,
        detail=facts.data_obstacle or f"a tick came {_ago(facts.ticked_s_ago)}",
    )


def _up_to_the_trouble(facts: LinkFacts) -> Iterator[LayerHealth]:
    """Without a session, the layers below the one that broke held the last time."""
    trouble = facts.trouble
    if trouble is None:
        yield LayerHealth(layer=HealthLayer.TCP, ok=False, detail=f"{facts.where}: not tried yet")
        return
    for layer in HealthLayer:
        if layer is trouble.layer:
            yield trouble
            return
        yield LayerHealth(layer=layer, ok=True, detail=f"held at {facts.where} the last time")


def _round_trip(facts: LinkFacts) -> LayerHealth:
    if facts.missed_beats:
        detail = f"heartbeats in a row without an answer: {facts.missed_beats}"
    elif facts.answered_s_ago is None:
        detail = "nothing was asked yet since the handshake"
    else:
        took = "" if facts.latency_ms is None else f"round trip {facts.latency_ms:.1f} ms, "
        detail = f"{took}{_ago(facts.answered_s_ago)}"
    return LayerHealth(layer=HealthLayer.ROUND_TRIP, ok=not facts.missed_beats, detail=detail)


def _ago(age_s: float | None) -> str:
    return "in this session" if age_s is None else f"{age_s:.0f} s ago"
