"""Is the process alive, is it able to work, and if not, why not (OBS-3).

========  =========================================================================================================
alive     the tree runs and its supervisor has looked after its children within `SILENT_S`
ready     the link is CONNECTED and reconciled, every actor is up and none is stuck: orders can be handled
opening   whether orders that add risk are let through, and what is against it; a separate question
degraded  what does not work and does not make the process less able to trade: the database, the second source of
          market data, what quotes are published to, a port of this server; and whose data is not live, and why
========  =========================================================================================================

Guarantees an answer within `ANSWER_S` and a little, whatever hangs; what did not answer is the reason then. Many
questions at once are one question to the actors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.messages import Reply, Request
from actors.messages.addresses import (
    CONNECTION,
    FEED,
    MARKET_DATA,
    PUBLISHER,
    RECORDS,
    STRATEGY_C,
)
from actors.model.connection import ConnectionState, HealthLayer, LayerHealth
from supervision.tree.children import ChildStatus
from supervision.tree.tree import Tree

R = TypeVar("R", bound=Reply)

SILENT_S: Final = 5.0
"""A supervisor that has not looked after its children for so long is taken for hung; it looks every second at least."""

ANSWER_S: Final = 0.7
"""An actor that does not answer within this is the reason why the process is not ready."""

STUCK_S: Final = 1.0
"""An actor that has been busy with one message for so long is the reason, too."""

FRESH_S: Final = 0.2
"""So long an answer serves everybody who asks: probes may not become a load for the actors."""

NEEDED: Final = frozenset({HealthLayer.TCP, HealthLayer.HANDSHAKE, HealthLayer.RECONCILED})
"""Layers that have to hold; a round trip that was missed once and a tick that is late are told, and no more."""


@attrs.frozen(kw_only=True)
class Trouble:
    """What is known to be degraded without asking: texts, and whether the journal refuses to write."""

    degraded: tuple[str, ...] = ()
    journal: str | None = None


@attrs.frozen(kw_only=True)
class Answers:
    """What the actors said; a text is why one did not."""

    connection: m.ConnectionStatus | str
    liquidation: m.LiquidationStatus | str
    records: m.RecordsStatus | str | None
    feed: m.FeedStatus | str | None = None
    publishing: m.PublishStatus | str | None = None
    data: m.DataStatus | str | None = None


@attrs.frozen(kw_only=True)
class Opening:
    """Whether orders that add risk are let through, and what is against it."""

    allowed: bool
    refused_because: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Readiness:
    """What ``/health/ready`` says."""

    status: str
    reason: str | None
    connection: str
    layers: tuple[LayerHealth, ...]
    actors_down: tuple[str, ...]
    opening: Opening
    degraded: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Whether orders can be handled."""
        return self.reason is None


class Health:
    """Asks, within bounds. For one asyncio loop, which may be in a thread of its own."""

    def __init__(self, tree: Tree, trouble: Callable[[], Trouble]) -> None:
        self._tree = tree
        self._trouble = trouble
        self._asked_at = 0.0
        self._asking: asyncio.Task[Readiness] | None = None
        self.records: m.RecordsStatus | None = None
        self.publishing: m.PublishStatus | None = None

    def why_not_alive(self) -> str | None:
        """Give the reason; None: alive."""
        stopped = self._tree.stopped
        if stopped is not None:
            return f"the tree has stopped: {stopped.reason}"
        if not self._tree.is_running:
            return "the tree has not been started"
        silent_s = self._tree.supervisor_silent_s()
        if silent_s is not None and silent_s > SILENT_S:
            return f"the supervisor has not looked after its actors for {silent_s:.1f} s"
        return None

    async def ready(self) -> Readiness:
        """Tell whether orders can be handled. Raises nothing."""
        loop = asyncio.get_running_loop()
        held = self._asking
        if held is None or (held.done() and loop.time() - self._asked_at > FRESH_S):
            self._asked_at = loop.time()
            held = self._asking = loop.create_task(self._ask_all())
        return await asyncio.shield(held)  # who hangs up may not cancel it for the others

    async def _ask_all(self) -> Readiness:
        dead = self.why_not_alive()
        if dead is not None:
            return judge(
                Answers(connection=dead, liquidation=dead, records=None), (), self._trouble()
            )
        connection, liquidation, data, (records, feed, publishing) = await asyncio.gather(
            self._ask(CONNECTION, m.GetConnectionStatus, m.ConnectionStatus),
            self._ask(STRATEGY_C, m.GetLiquidationStatus, m.LiquidationStatus),
            self._ask(MARKET_DATA, m.GetDataStatus, m.DataStatus),
            self.ask_beside(),
        )
        answers = Answers(
            connection=connection,
            liquidation=liquidation,
            records=records,
            feed=feed,
            publishing=publishing,
            data=data,
        )
        return judge(answers, self._tree.status(), self._trouble())

    async def ask_beside(
        self,
    ) -> tuple[
        m.RecordsStatus | str | None, m.FeedStatus | str | None, m.PublishStatus | str | None
    ]:
        """Ask those who work beside the trading how it goes; None: there is no such actor."""
        names = {actor.name for actor in self._tree.status()}

        async def ask(address: str, kind: type[Request], expected: type[R]) -> R | str | None:
            return await self._ask(address, kind, expected) if address in names else None

        records, feed, publishing = await asyncio.gather(
            ask(RECORDS, m.GetRecordsStatus, m.RecordsStatus),
            ask(FEED, m.GetFeedStatus, m.FeedStatus),
            ask(PUBLISHER, m.GetPublishStatus, m.PublishStatus),
        )
        if isinstance(records, m.RecordsStatus):
            self.records = records
        if isinstance(publishing, m.PublishStatus):
            self.publishing = publishing
        return records, feed, publishing

    async def _ask(self, address: str, kind: type[Request], expected: type[R]) -> R | str:
        def request(correlation_id: str, deadline: float, reply_to: str) -> Request:
            return kind(correlation_id=correlation_id, deadline=deadline, reply_to=reply_to)

        try:
            reply = await self._tree.ask_async(address, request, ANSWER_S)
        except GatewayError as error:
            return str(error)
        return (
            reply if isinstance(reply, expected) else f"{address} answered {type(reply).__name__}"
        )


def judge(answers: Answers, actors: tuple[ChildStatus, ...], trouble: Trouble) -> Readiness:
    """Put the answers together; everything that is against being ready is a reason of its own."""
    connection = answers.connection
    down = tuple(filter(None, map(_why_down, actors)))
    reasons = [*_against_the_link(connection), *down]
    if isinstance(answers.liquidation, str):
        reasons.append(answers.liquidation)
    reasons = list(dict.fromkeys(reasons))
    refused = _against_opening(answers, reasons, trouble)
    return Readiness(
        status="not_ready" if reasons else "ready",
        reason="; ".join(reasons) or None,
        connection="unknown" if isinstance(connection, str) else connection.state.value,
        layers=() if isinstance(connection, str) else connection.layers,
        actors_down=down,
        opening=Opening(allowed=not refused, refused_because=refused),
        degraded=(*trouble.degraded, *_degraded(answers, trouble)),
    )


def _against_the_link(connection: m.ConnectionStatus | str) -> tuple[str, ...]:
    if isinstance(connection, str):
        return (connection,)
    if connection.state is not ConnectionState.CONNECTED:
        why = f": {connection.last_error}" if connection.last_error else ""
        return (f"the link is {connection.state.value}{why}",)
    broken = (layer for layer in connection.layers if not layer.ok and layer.layer in NEEDED)
    return tuple(f"{layer.layer.value}: {layer.detail}" for layer in broken)


def _why_down(actor: ChildStatus) -> str | None:
    if actor.state != "up":
        return f"{actor.name} is {actor.state} (restarts: {actor.restarts})"
    if actor.handler_age_s is not None and actor.handler_age_s > STUCK_S:
        return f"{actor.name} has been busy with one message for {actor.handler_age_s:.1f} s"
    return None


def _against_opening(answers: Answers, reasons: list[str], trouble: Trouble) -> tuple[str, ...]:
    connection, liquidation = answers.connection, answers.liquidation
    refused = list(reasons)
    if isinstance(liquidation, m.LiquidationStatus) and liquidation.latched:
        refused.append(f"Strategy C is latched: {liquidation.reason}")
    if isinstance(connection, m.ConnectionStatus) and connection.opening_blocked_by:
        refused.append(connection.opening_blocked_by)
    if trouble.journal is not None:
        refused.append(f"the journal does not write: {trouble.journal}")
    return tuple(dict.fromkeys(refused))


def _degraded(answers: Answers, trouble: Trouble) -> tuple[str, ...]:
    found = []
    if trouble.journal is not None:
        found.append(f"journal: {trouble.journal}")
    beside = {
        "records": answers.records,
        "second source": answers.feed,
        "publishing": answers.publishing,
        "market data": answers.data,
    }
    for name, answer in beside.items():
        if isinstance(answer, str):
            found.append(f"{name}: {answer}")
        elif answer is not None and answer.problem is not None:
            found.append(answer.problem)
    return tuple(found)


def as_json(readiness: Readiness) -> dict[str, Any]:
    """Turn it into plain data."""
    return attrs.asdict(
        readiness, value_serializer=lambda _, __, value: getattr(value, "value", value)
    )
