"""Quotes are published behind the trading: whatever the server does, trading takes its normal time (MKT-9).

The whole tree on virtual time with a store that fails on command.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.messages.addresses import PUBLISHER
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.market import DataSource, Quote
from actors.model.orders import OrderStatus
from supervision.config.sections import Publish
from supervision.process.status import status_lines
from supervision.proof.time import VirtualClock
from supervision.publish.memory import MemoryStore
from supervision.publish.outbox import Outbox
from supervision.publish.schema import Entry, fields_of, name_of
from tests.databases import SetClock
from tests.faults.crash import crash
from tests.integration.faulty_store import Fault, FaultyStore
from tests.unit.logic.values import NOW, QQQ, SPY, SPY_CALL
from tests.walk.link_records import Lines
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

DOCUMENT = Path(__file__).parents[2] / "docs" / "publishing.md"
SYMBOLS = ("SPY", "QQQ", "IWM")
QUOTE = Quote(contract=SPY, received_at=NOW, bid=600.0, ask=600.02, last=600.01)

Scenario = Callable[[ProofWorld, FaultyStore, Lines], Coroutine[Any, Any, None]]


def prove_with(scenario: Scenario, *, seed: int = 1, publish: Publish | None = None) -> None:
    """Prove a scenario in which three symbols are quoted all the time and published."""
    made: list[FaultyStore] = []
    lines = Lines()

    def store(clock: VirtualClock) -> FaultyStore:
        made.append(FaultyStore(clock))
        return made[-1]

    async def within(world: ProofWorld) -> None:
        stream = await world.gateway.subscribe_quotes(SYMBOLS)
        await scenario(world, made[0], lines)
        await stream.aclose()

    config = a_config(publish=publish or Publish())
    prove(within, seed=seed, config=config, store=store, log=lines)


async def timed_order(world: ProofWorld) -> float:
    """Tell how long an order takes, in virtual seconds."""
    before = world.proof.loop.time()
    result = await world.gateway.submit_order(buy(1.0), CONTEXT)
    assert result.status is OrderStatus.FILLED, result.rejection_reason
    return world.proof.loop.time() - before


# --- the tree -------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-9")
def test_the_newest_quote_of_each_symbol_is_in_the_cache_and_every_update_in_the_sink() -> None:
    async def scenario(world: ProofWorld, store: FaultyStore, _: Lines) -> None:
        await asyncio.sleep(10.0)

        newest = [store.memory.newest(symbol) for symbol in SYMBOLS]
        now = world.proof.clock.now()
        assert all(quote and now - quote.received_at < timedelta(seconds=2) for quote in newest)
        assert store.sequences == list(range(1, len(store.sequences) + 1))
        assert len(store.sequences) >= 8 * len(SYMBOLS)
        assert {entry.name for entry in store.memory.updates} == set(SYMBOLS)
        async with asyncio.timeout(5.0):  # one may be on its way to the store just now
            while (await world.gateway.status()).quotes_published != len(store.sequences):
                await asyncio.sleep(0.01)

    prove_with(scenario)


@pytest.mark.req("MKT-9", "OBS-3", "DB-4")
@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("seed", range(2))
def test_trading_takes_its_normal_time_whatever_the_store_does_and_everything_is_there_in_the_end(
    fault: Fault, seed: int
) -> None:
    async def scenario(world: ProofWorld, store: FaultyStore, lines: Lines) -> None:
        await asyncio.sleep(5.0)
        normal_s = await timed_order(world)
        store.fault = fault
        await asyncio.sleep(30.0)
        assert await timed_order(world) == pytest.approx(normal_s, abs=0.01)
        degraded = (await world.gateway.status()).degraded
        is_broken = fault not in (Fault.NONE, Fault.SLOW)
        assert bool(degraded) is is_broken
        assert all(text.startswith("publishing: ") for text in degraded)

        store.fault = Fault.NONE
        await asyncio.sleep(30.0)

        status = await world.gateway.status()
        assert (status.degraded, status.quotes_dropped) == ((), 0)
        assert sorted(set(store.sequences)) == list(range(1, max(store.sequences) + 1))
        assert len(lines.of("publish_degraded")) == len(lines.of("publish_recovered")) == is_broken
        assert all(actor.restarts == 0 for actor in status.actors)

    prove_with(scenario, seed=seed)


@pytest.mark.req("MKT-9")
def test_a_write_whose_outcome_is_unknown_is_repeated_with_the_same_numbers() -> None:
    async def scenario(world: ProofWorld, store: FaultyStore, _: Lines) -> None:
        store.fault = Fault.UNSURE
        await asyncio.sleep(5.0)
        store.fault = Fault.NONE
        await asyncio.sleep(15.0)

        seen: dict[int, Entry] = {}
        for entry in store.memory.updates:
            assert seen.setdefault(entry.sequence, entry) == entry
        assert len(seen) < len(store.sequences)
        assert sorted(seen) == list(range(1, len(seen) + 1))

    prove_with(scenario)


@pytest.mark.req("MKT-9", "SUP-7")
def test_while_the_store_is_away_the_oldest_updates_go_and_the_newest_quote_stays() -> None:
    async def scenario(world: ProofWorld, store: FaultyStore, _: Lines) -> None:
        store.fault = Fault.DOWN
        await asyncio.sleep(60.0)
        status = await world.gateway.status()
        assert status.quotes_waiting == 20
        assert status.quotes_dropped > 100
        assert any("were lost" in line for line in status_lines(attrs.asdict(status)))

        store.fault = Fault.NONE
        await asyncio.sleep(15.0)

        first = store.sequences[0]
        assert first > 100
        now = world.proof.clock.now()
        for symbol in SYMBOLS:
            quote = store.memory.newest(symbol)
            assert quote is not None
            assert now - quote.received_at < timedelta(seconds=2)

    prove_with(scenario, publish=Publish(queue_bound=20))


@pytest.mark.req("MKT-9", "SUP-6")
@pytest.mark.parametrize("fault", [Fault.NONE, Fault.DOWN, Fault.HANGING])
def test_a_publisher_that_is_restarted_loses_nothing_and_escalates_nothing(fault: Fault) -> None:
    async def scenario(world: ProofWorld, store: FaultyStore, _: Lines) -> None:
        store.fault = fault
        for _turn in range(20):
            await asyncio.sleep(1.0)
            crash(world.process, PUBLISHER)
        store.fault = Fault.NONE
        await asyncio.sleep(60.0)

        assert sorted(set(store.sequences)) == list(range(1, max(store.sequences) + 1))
        restarts = {actor.name: actor.restarts for actor in world.process.tree.status()}
        assert restarts.pop(PUBLISHER) > 5  # so many of another actor would have escalated
        assert set(restarts.values()) == {0}

    prove_with(scenario)


@pytest.mark.req("MKT-9")
def test_what_waits_at_the_end_is_written_before_the_publisher_stops() -> None:
    made: list[FaultyStore] = []

    async def scenario(world: ProofWorld) -> None:
        await world.gateway.get_market_data("SPY")

    def store(clock: VirtualClock) -> FaultyStore:
        made.append(FaultyStore(clock))
        return made[-1]

    prove(scenario, config=a_config(publish=Publish(every_s=60.0)), store=store)

    assert made[0].sequences[-1] >= 2


@pytest.mark.req("MKT-9")
def test_publishing_can_be_switched_off() -> None:
    async def scenario(world: ProofWorld) -> None:
        assert all(actor.name != PUBLISHER for actor in world.process.tree.status())
        await world.gateway.get_market_data("SPY")
        assert world.process.tree.dead_letters.total == 0

    prove(scenario, config=a_config(publish=Publish(enabled=False)))


# --- the parts ------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-9")
def test_the_cache_in_memory_forgets_what_is_too_old_and_keeps_no_more_than_its_bound() -> None:
    clock = SetClock()
    store = MemoryStore(clock, expiry_s=10.0, length=3, max_symbols=2)
    entries = [Entry(sequence=number, name=f"S{number}", quote=QUOTE) for number in range(1, 6)]

    asyncio.run(store.put(entries, entries))

    assert [store.newest(f"S{number}") for number in (3, 4, 5)] == [None, QUOTE, QUOTE]
    assert [entry.sequence for entry in store.updates] == [3, 4, 5]
    clock.forward(10.0)
    assert store.newest("S5") is None


@pytest.mark.req("MKT-9")
def test_a_quote_that_comes_during_a_write_is_not_taken_for_written() -> None:
    outbox = Outbox("p", bound=10, max_symbols=10)
    outbox.put(QUOTE)
    batch = outbox.batch(500)

    outbox.put(attrs.evolve(QUOTE, bid=601.0))
    outbox.written(batch)

    left = outbox.batch(500)
    assert [entry.quote.bid for entry in left.newest] == [601.0]
    assert [entry.sequence for entry in left.updates] == [2]


@pytest.mark.req("MKT-9")
def test_updates_that_were_dropped_during_a_write_are_not_dropped_twice() -> None:
    outbox = Outbox("p", bound=2, max_symbols=10)
    outbox.put(QUOTE)
    outbox.put(QUOTE)
    batch = outbox.batch(500)

    for _ in range(2):
        outbox.put(QUOTE)
    outbox.written(batch)

    assert [entry.sequence for entry in outbox.batch(500).updates] == [3, 4]


@pytest.mark.req("MKT-9")
def test_a_contract_has_a_name_and_numbers_are_written_so_that_they_read_back() -> None:
    long = Contract(
        con_id=7,
        symbol="BRK B",
        security_type=SecurityType.OPTION,
        expiry=date(2026, 3, 20),
        strike=482.5,
        right=Right.PUT,
    )
    quote = Quote(contract=SPY_CALL, received_at=NOW, bid=0.1 + 0.2, last=6.0, volume=1e7)

    fields = fields_of(Entry(sequence=3, name="x", quote=quote), "publisher")

    names = [name_of(contract) for contract in (SPY, QQQ, SPY_CALL, long)]
    assert names == ["SPY", "QQQ", "SPY_20260320_600C", "BRK B_20260320_482.5P"]
    assert float(fields["bid_price"]) == 0.1 + 0.2
    assert (fields["last_price"], float(fields["volume_units"])) == ("6", 1e7)
    assert (fields["ask_price"], fields["traded_at_ms"]) == ("", "")
    assert fields["received_at_ms"] == str(int(NOW.timestamp()) * 1000)


@pytest.mark.req("MKT-9")
def test_the_document_lists_exactly_the_fields_that_are_published() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)

    assert documented == list(fields_of(Entry(sequence=1, name="SPY", quote=QUOTE), "p"))
    assert {f"`{source.value}`" in DOCUMENT.read_text("utf-8") for source in DataSource} == {True}
