"""Health over HTTP: honest while the link comes and goes, and in time whatever hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.kernel.addresses import LIFECYCLE, TapRecord
from actors.kernel.messages import StopActor
from actors.messages.addresses import EXECUTOR, POSITION, STRATEGY_C
from actors.messages.connection import GetConnectionStatus
from supervision.config.sections import Connection, Supervision
from supervision.observe.health import SILENT_S
from tests.integration.observed import Observed, observed

IN_TIME_S = 1.5
"""A second, and what a busy machine adds."""

PATIENT = Supervision(handler_limit_s=30.0)
"""Supervision that does not replace what hangs while a test looks at it."""

QUICK = Connection(first_delay_s=0.01, max_delay_s=0.05)
NEVER_HANGS_S = 20.0


@attrs.frozen
class Hang:
    """A thread that is held in the act of sending; ``holding`` is set when it is, ``let_go`` ends it."""

    holding: threading.Event
    let_go: threading.Event


@contextmanager
def hang_at(world: Observed, is_it: Callable[[TapRecord], bool]) -> Iterator[Hang]:
    """Hold the thread that sends the first message that fits: taps run in the sender's thread."""
    hang = Hang(threading.Event(), threading.Event())

    def hold(record: TapRecord) -> None:
        if is_it(record) and not hang.holding.is_set():
            hang.holding.set()
            hang.let_go.wait(NEVER_HANGS_S)

    tap = world.process.tap(hold)
    try:
        yield hang
    finally:
        hang.let_go.set()
        tap.cancel()


@pytest.mark.req("OBS-3")
def test_live_says_exactly_that(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, Any]:
        async with observed(tmp_path) as world:
            answer = await world.get("/health/live")
            return answer.status_code, answer.json()

    assert asyncio.run(scenario()) == (200, {"status": "alive"})


@pytest.mark.req("OBS-3")
def test_ready_follows_the_link(tmp_path: Path) -> None:
    async def scenario() -> tuple[Any, Any, Any]:
        async with observed(tmp_path, connect=False, connection=QUICK) as world:
            await world.gateway.status()
            before = await world.until_ready("not_ready")
            await world.gateway.connect()
            up = await world.until_ready("ready")
            world.simulator.stop()
            return before, up, await world.until_ready("not_ready")

    before, up, lost = asyncio.run(scenario())

    assert "DISCONNECTED" in before["reason"]
    assert (up["reason"], up["connection"]) == (None, "CONNECTED")
    assert {layer["layer"] for layer in up["layers"]} >= {"tcp", "handshake", "reconciled"}
    assert lost["reason"]
    assert lost["opening"]["allowed"] is False
    assert any("latched" in why for why in lost["opening"]["refused_because"])


@pytest.mark.req("OBS-3")
@pytest.mark.parametrize("address", [EXECUTOR, STRATEGY_C])
def test_a_hung_actor_is_named_in_time(tmp_path: Path, address: str) -> None:
    async def scenario() -> tuple[Any, float]:
        async with observed(tmp_path, supervision=PATIENT) as world:
            await world.until_ready("ready")
            with hang_at(world, lambda record: record.sender == address) as hang:
                asking = asyncio.gather(
                    world.gateway.get_open_orders(), world.gateway.status(), return_exceptions=True
                )
                await world.until(hang.holding.is_set)
                await asyncio.sleep(1.1)
                began = time.monotonic()
                body = await world.until_ready("not_ready")
                took_s = time.monotonic() - began
            await asking
            return body, took_s

    body, took_s = asyncio.run(scenario())

    assert took_s < IN_TIME_S
    assert f"{address} has been busy with one message" in body["reason"]


@pytest.mark.req("OBS-3")
def test_a_hung_supervisor_is_not_alive(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, Any]:
        async with observed(tmp_path) as world:
            with hang_at(world, lambda record: record.recipient == LIFECYCLE) as hang:
                world.process.tell(POSITION, StopActor())  # the supervisor has to announce that
                await world.until(hang.holding.is_set)
                await asyncio.sleep(SILENT_S + 1.0)
                answer = await world.get("/health/live")
                return answer.status_code, answer.json()

    code, body = asyncio.run(scenario())

    assert code == 503
    assert body["status"] == "dead"
    assert "the supervisor has not looked after its actors" in body["reason"]


@pytest.mark.req("OBS-3")
def test_a_tree_that_stopped_by_itself_is_neither_alive_nor_ready(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, int, str]:
        async with observed(tmp_path) as world:
            world.process.tree.close("the account is DU1234567")
            await world.until(lambda: not world.process.is_running)
            live, ready = await world.get("/health/live"), await world.get("/health/ready")
            return live.status_code, ready.status_code, live.text + ready.text

    live, ready, text = asyncio.run(scenario())

    assert (live, ready) == (503, 503)
    assert "the tree has stopped" in text
    assert "DU1234567" not in text


@pytest.mark.req("OBS-3")
def test_many_probes_at_once_are_one_question_to_the_actors(tmp_path: Path) -> None:
    async def scenario() -> tuple[set[int], int]:
        async with observed(tmp_path) as world:
            await world.until_ready("ready")
            await asyncio.sleep(0.5)
            asked: list[object] = []
            tap = world.process.tap(
                lambda record: (
                    asked.append(record)
                    if isinstance(record.message, GetConnectionStatus)
                    else None
                )
            )
            answers = await asyncio.gather(*(world.get("/health/ready") for _ in range(20)))
            tap.cancel()
            return {answer.status_code for answer in answers}, len(asked)

    codes, questions = asyncio.run(scenario())

    assert codes == {200}
    assert 1 <= questions <= 3
