"""Quotes in a real Redis, as another program finds them; Redis killed, frozen and started again under load (MKT-9)."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import pytest

from actors.errors import ConfigurationError, PublishError
from actors.messages.addresses import MARKET_DATA, PUBLISHER
from actors.messages.publishing import PublishQuote
from actors.model.market import Quote
from actors.model.orders import OrderStatus
from supervision.config.loading import load
from supervision.config.sections import Config, MarketData, Publish, Secrets
from supervision.process.status import ProcessStatus
from supervision.publish.opening import publishing_of
from supervision.publish.redis_store import RedisStore
from supervision.publish.schema import Entry, fields_of
from supervision.tree.system import SystemClock, SystemEntropy
from tests.integration.redis_server import PASSWORD, RedisServer, running_redis
from tests.unit.logic.values import NOW, SPY, SPY_CALL
from tests.walk.link_records import Lines
from tests.worlds import CONTEXT, RealWorld, a_config, buy, real_world

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="there is no Redis server for Windows"
)

QUOTE = Quote(contract=SPY, received_at=NOW, bid=600.0, ask=600.02, last=600.01, volume=5e6)
SYMBOLS: Final = ("SPY", "QQQ", "IWM")
QUICK: Final = Publish(first_delay_s=0.02, max_delay_s=0.1, timeout_s=0.5)
SLOWER_AT_MOST: Final = 3.0
"""An order while Redis is away takes at most so many times what it took before (in medians of one run)."""

NOISE_S: Final = 0.05
ORDERS: Final = 20


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server without a password."""
    with running_redis(tmp_path) as server:
        yield server


SETTINGS = Publish(stream_length=1000, timeout_s=2.0)
"""A stream of about a thousand."""


def entries(count: int, first: int = 1) -> list[Entry]:
    """Make updates of one symbol."""
    return [
        Entry(sequence=number, name="SPY", quote=attrs.evolve(QUOTE, bid_size=float(number)))
        for number in range(first, first + count)
    ]


@asynccontextmanager
async def store_of(url: str, settings: Publish = SETTINGS) -> AsyncIterator[RedisStore]:
    """Make a store, and close it."""
    store = RedisStore(url, settings, "publisher-1")
    try:
        yield store
    finally:
        await store.close()


# --- what another program finds -------------------------------------------------------------------------------------


@pytest.mark.req("MKT-9")
def test_another_program_finds_the_newest_quote_in_a_hash_and_every_update_in_a_stream(
    redis: RedisServer,
) -> None:
    updates = entries(3)
    option = Entry(
        sequence=4,
        name="SPY_20260320_600C",
        quote=Quote(contract=SPY_CALL, received_at=NOW, bid=6.05, implied_volatility=0.21),
    )

    async def scenario() -> None:
        async with store_of(redis.url) as store:
            await store.put([updates[-1], option], [*updates, option])

    asyncio.run(scenario())

    newest = redis.table("ibkr-actors:quote:SPY")
    assert newest == fields_of(updates[-1], "publisher-1")
    assert (newest["bid_price"], newest["bid_size_units"], newest["source"]) == ("600", "3", "ib")
    assert redis.table("ibkr-actors:quote:SPY_20260320_600C")["implied_volatility_ratio"] == "0.21"
    found = redis.entries("ibkr-actors:quotes")
    assert [each["sequence"] for each in found] == ["1", "2", "3", "4"]
    told = fields_of(updates[0], "publisher-1")
    assert found[0] == {name: value for name, value in told.items() if value}


@pytest.mark.req("MKT-9")
def test_a_value_that_is_not_known_any_more_is_empty_in_the_hash(redis: RedisServer) -> None:
    before, after = entries(1)[0], Entry(
        sequence=2, name="SPY", quote=Quote(contract=SPY, received_at=NOW)
    )

    async def scenario() -> None:
        async with store_of(redis.url) as store:
            await store.put([before], [])
            await store.put([after], [])

    asyncio.run(scenario())

    assert redis.table("ibkr-actors:quote:SPY")["bid_price"] == ""


@pytest.mark.req("MKT-9")
def test_the_newest_quote_expires_when_no_newer_one_comes(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with store_of(redis.url, attrs.evolve(SETTINGS, expiry_s=0.3)) as store:
            await store.put(entries(1), [])
            assert 0 < redis.ask("PTTL", "ibkr-actors:quote:SPY") <= 300
            await asyncio.sleep(0.4)
            assert redis.ask("EXISTS", "ibkr-actors:quote:SPY") == 0

    asyncio.run(scenario())


@pytest.mark.req("MKT-9")
def test_the_stream_is_bounded(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with store_of(redis.url) as store:
            for turn in range(10):
                await store.put([], entries(500, first=1 + 500 * turn))

    asyncio.run(scenario())

    assert 1000 <= redis.ask("XLEN", "ibkr-actors:quotes") <= 1200
    assert redis.entries("ibkr-actors:quotes")[-1]["sequence"] == "5000"


# --- what can go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-9")
def test_a_key_that_somebody_else_uses_is_an_error_until_it_is_gone(redis: RedisServer) -> None:
    redis.ask("SET", "ibkr-actors:quotes", "mine")

    async def scenario() -> None:
        async with store_of(redis.url) as store:
            with pytest.raises(PublishError, match="WRONGTYPE"):
                await store.put(entries(1), entries(1))
            redis.ask("DEL", "ibkr-actors:quotes")
            await store.put(entries(1), entries(1))

    asyncio.run(scenario())


@pytest.mark.req("MKT-9")
def test_a_full_redis_is_an_error_until_it_has_room(redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "maxmemory", "1")

    async def scenario() -> None:
        async with store_of(redis.url) as store:
            with pytest.raises(PublishError, match="maxmemory"):
                await store.put(entries(1), entries(1))
            redis.ask("CONFIG", "SET", "maxmemory", "0")
            await store.put(entries(1), entries(1))

    asyncio.run(scenario())


@pytest.mark.req("MKT-9", "OBS-4")
def test_a_password_is_used_and_shown_nowhere(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        async with store_of(server.url) as store:
            await store.put(entries(1), [])
        for url in (f"redis://:wrong-{PASSWORD}@127.0.0.1:{server.port}/0", "redis://127.0.0.1:1"):
            async with store_of(url) as store:
                with pytest.raises(PublishError) as caught:
                    await store.put(entries(1), [])
            assert PASSWORD not in str(caught.value)
            assert PASSWORD not in repr(store)

    with running_redis(tmp_path, PASSWORD) as server:
        asyncio.run(scenario(server))
        assert server.table("ibkr-actors:quote:SPY")["sequence"] == "1"


@pytest.mark.req("CFG-1", "OBS-4")
@pytest.mark.parametrize(
    "url", ["redis://:word@127.0.0.1/0", "redis://127.0.0.1/0?password=word", "http://127.0.0.1"]
)
def test_a_url_with_credentials_or_of_another_kind_may_not_stand_in_the_file(
    tmp_path: Path, url: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[publish]\nredis_url = "{url}"', encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"publish\.redis_url"):
        load(path, {})


@pytest.mark.req("CFG-1")
def test_a_url_that_cannot_be_used_is_told_before_anything_starts() -> None:
    config = attrs.evolve(Config(), secrets=Secrets(redis_url="redis://127.0.0.1:six/0"))

    with pytest.raises(ConfigurationError, match="Redis URL"):
        publishing_of(config, SystemClock(), SystemEntropy())


# --- under load -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def publishing(
    server: RedisServer, tmp_path: Path, lines: Lines, publish: Publish = QUICK
) -> AsyncIterator[RealWorld]:
    """A world in threads, three symbols quoted twenty times a second, published to this server."""
    config = a_config(
        publish=publish,
        secrets=Secrets(redis_url=server.url),
        market_data=MarketData(snapshot_interval_s=0.05),
    )
    async with real_world(tmp_path / "state", config=config, log=lines) as world:
        stream = await world.gateway.subscribe_quotes(SYMBOLS)
        yield world
        await stream.aclose()


async def order_times(world: RealWorld) -> list[float]:
    """Tell how long each of a few orders takes."""
    times = []
    for _ in range(ORDERS):
        before = time.perf_counter()
        result = await world.gateway.submit_order(buy(1.0), CONTEXT)
        times.append(time.perf_counter() - before)
        assert result.status is OrderStatus.FILLED, result.rejection_reason
    return times


async def until_status(world: RealWorld, degraded: bool, published: int = 0) -> ProcessStatus:
    """Wait until the status says so."""
    async with asyncio.timeout(20.0):
        while True:
            status = await world.gateway.status()
            if bool(status.degraded) is degraded and status.quotes_published >= published:
                return status
            await asyncio.sleep(0.02)


def sequences(server: RedisServer) -> list[int]:
    """The numbers in the stream."""
    return [int(each["sequence"]) for each in server.entries("ibkr-actors:quotes")]


@pytest.mark.req("MKT-9", "OBS-3")
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_redis_dies_under_load_and_nothing_on_the_trading_path_slows_and_publishing_resumes(
    redis: RedisServer, tmp_path: Path, how: str
) -> None:
    lines = Lines()

    async def scenario() -> None:
        async with publishing(redis, tmp_path, lines) as world:
            await until_status(world, degraded=False, published=20)
            await order_times(world)
            normal = await order_times(world)
            redis.kill() if how == "killed" else redis.freeze()
            status = await until_status(world, degraded=True)
            assert status.degraded[0].startswith("publishing: ")
            assert {actor.state for actor in status.actors} == {"up"}

            during = await order_times(world)
            waiting = (await world.gateway.status()).quotes_waiting
            assert waiting > 0
            limit_s = SLOWER_AT_MOST * statistics.median(normal) + NOISE_S
            assert statistics.median(during) <= limit_s

            redis.start() if how == "killed" else redis.thaw()
            published = status.quotes_published + waiting
            status = await until_status(world, degraded=False, published=published + 20)
            assert status.quotes_dropped == 0

        found = sequences(redis)
        assert sorted(set(found)) == list(range(min(found), max(found) + 1))
        assert len(lines.of("publish_recovered")) >= 1
        bought = redis.table("ibkr-actors:quote:SPY")
        assert int(bought["received_at_ms"]) > 1000 * (time.time() - 30.0)

    asyncio.run(scenario())


@pytest.mark.req("MKT-9", "SUP-7")
def test_a_flood_while_redis_is_away_is_bounded_and_counted(
    redis: RedisServer, tmp_path: Path
) -> None:
    flood = 5_000

    async def scenario() -> None:
        bound = attrs.evolve(QUICK, queue_bound=100)
        async with publishing(redis, tmp_path, Lines(), bound) as world:
            redis.kill()
            await until_status(world, degraded=True)
            for number in range(flood):
                quote = attrs.evolve(QUOTE, bid_size=float(number))
                world.process.tell(PUBLISHER, PublishQuote(quote=quote))
            async with asyncio.timeout(20.0):
                while (await world.gateway.status()).quotes_dropped < flood - 100:
                    await asyncio.sleep(0.02)
            assert (await world.gateway.status()).quotes_waiting <= 100

            redis.start()
            await until_status(world, degraded=False)
            depths = {actor.name: actor.mailbox_depth for actor in world.process.tree.status()}
            assert depths[MARKET_DATA] < 100

    asyncio.run(scenario())
