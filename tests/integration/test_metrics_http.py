"""Metrics over HTTP from a running process: two processes, a port that is taken, an embedding program, switched off."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from supervision.config.sections import Observability
from tests.integration.observed import Events, observed, taken_port
from tests.worlds import CONTEXT, buy, real_world

SERVER_THREAD = "observe"
CLIENTS = 20
TOO_LONG = "x" * 40_000


def serving_threads() -> int:
    """Count the threads that serve pages."""
    return sum(thread.name == SERVER_THREAD for thread in threading.enumerate())


async def _scrape_after_an_order(folder: Path) -> dict[str, float]:
    async with observed(folder) as world:
        await world.gateway.get_market_data("SPY")
        await world.gateway.submit_order(buy(10), CONTEXT)
        names = (
            'ib_gateway_connections_total{status="success"}',
            "ib_gateway_active_connections",
            "ib_gateway_connection_duration_seconds_count",
            'ibkr_actors_orders_total{side="BUY",status="filled"}',
            'ibkr_actors_actor_up{actor="executor"}',
            "ibkr_actors_strategy_c_latched",
            "ibkr_actors_events_uncounted_total",
        )
        return {name: await world.metric(name) for name in names} | {
            "age": await world.metric('ibkr_actors_market_data_age_seconds{symbol="SPY"}'),
            "handled": await world.metric('ibkr_actors_handler_seconds_count{actor="executor"}'),
            "memory": await world.metric("ibkr_actors_process_memory_bytes"),
        }


@pytest.mark.req("OBS-1", "OBS-3")
def test_a_scrape_tells_of_the_connection_the_order_and_the_actors(tmp_path: Path) -> None:
    found = asyncio.run(_scrape_after_an_order(tmp_path))

    assert 0 <= found.pop("age") < 60
    assert found.pop("handled") > 0
    assert found.pop("memory") > 10e6
    assert found == {
        'ib_gateway_connections_total{status="success"}': 1,
        "ib_gateway_active_connections": 1,
        "ib_gateway_connection_duration_seconds_count": 1,
        'ibkr_actors_orders_total{side="BUY",status="filled"}': 1,
        'ibkr_actors_actor_up{actor="executor"}': 1,
        "ibkr_actors_strategy_c_latched": 0,
        "ibkr_actors_events_uncounted_total": 0,
    }


@pytest.mark.req("OBS-1")
def test_two_gateways_in_one_interpreter_have_numbers_of_their_own(tmp_path: Path) -> None:
    async def scenario() -> tuple[float, float]:
        async with (
            observed(tmp_path / "one") as one,
            observed(tmp_path / "other", connect=False) as other,
        ):
            await other.gateway.status()  # starts the tree, and connects nothing
            success = 'ib_gateway_connections_total{status="success"}'
            return await one.metric(success), await other.metric(success)

    assert asyncio.run(scenario()) == (1, 0)


@pytest.mark.req("OBS-1", "OBS-3")
def test_a_port_that_is_taken_is_told_and_trading_starts(tmp_path: Path) -> None:
    sock, port = taken_port()

    async def scenario() -> tuple[Events, list[str], tuple[str, ...]]:
        pages = Observability(embedded=True, metrics_port=port, health_port=0)
        async with observed(tmp_path, pages=pages) as world:
            body = (await world.get("/health/ready")).json()
            status = await world.gateway.status()
            return world.events, body["degraded"], status.degraded

    with sock:
        events, degraded, told = asyncio.run(scenario())

    (warning,) = events.of("port_not_served")
    assert warning["level"] == "WARNING"
    assert f"metrics_port {port}" in str(warning["why"])
    assert [warning["why"]] == degraded == list(told)
    assert events.of("connection_success")


@pytest.mark.req("OBS-1")
def test_an_embedding_program_is_served_nothing_unless_it_says_so(tmp_path: Path) -> None:
    async def scenario() -> int:
        async with real_world(tmp_path):
            return serving_threads()

    before = serving_threads()
    assert asyncio.run(scenario()) == before


@pytest.mark.req("OBS-1")
def test_switched_off_nothing_is_served_or_counted(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, Events]:
        off = Observability(enabled=False, embedded=True, metrics_port=0, health_port=0)
        async with observed(tmp_path, pages=off) as world:
            return serving_threads(), world.events

    before = serving_threads()
    threads, events = asyncio.run(scenario())

    assert threads == before
    assert not events.of("pages_served")


@pytest.mark.req("OBS-3")
def test_one_port_for_both_shows_all_pages(tmp_path: Path) -> None:
    sock, port = taken_port()
    sock.close()

    async def scenario() -> list[int]:
        pages = Observability(embedded=True, metrics_port=port, health_port=port)
        async with observed(tmp_path, pages=pages) as world:
            all_pages = ("/metrics", "/health/live", "/health/ready")
            return [(await world.get(page)).status_code for page in all_pages]

    assert asyncio.run(scenario()) == [200, 200, 200]


@pytest.mark.req("OBS-3")
def test_each_port_shows_its_own_pages_only(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        async with observed(tmp_path) as world:
            health = world.url("/health/live").removesuffix("/health/live")
            metrics = world.url("/metrics").removesuffix("/metrics")
            strange = (f"{health}/metrics", f"{metrics}/health/live", f"{health}/")
            return [(await world.client.get(url)).status_code for url in strange]

    assert asyncio.run(scenario()) == [404, 404, 404]


@pytest.mark.req("OBS-3")
def test_the_server_ends_with_the_tree_also_while_clients_hold_on(tmp_path: Path) -> None:
    async def scenario() -> float:
        async with observed(tmp_path) as world:
            health = httpx.URL(world.url("/health/live"))
            held = [await asyncio.open_connection(health.host, health.port) for _ in range(CLIENTS)]
            began = asyncio.get_running_loop().time()
            await world.gateway.disconnect()
            took_s = asyncio.get_running_loop().time() - began
            for _, writer in held:
                writer.close()
            return took_s

    before = serving_threads()
    took_s = asyncio.run(scenario())

    assert took_s < 5.0
    assert serving_threads() == before


@pytest.mark.req("OBS-3")
def test_a_hostile_request_harms_nobody(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str]:
        async with observed(tmp_path) as world:
            url = httpx.URL(world.url("/health/live"))
            for raw in (b"\0" * 1000, TOO_LONG.encode(), b"GET / HTTP/9.9\r\n\r\n", b""):
                reader, writer = await asyncio.open_connection(url.host, url.port)
                writer.write(raw)
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 10)
                writer.close()
            answer = await world.get("/health/live")
            return answer.status_code, answer.text

    assert asyncio.run(scenario()) == (200, '{"status":"alive"}')
