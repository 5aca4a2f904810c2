"""Streams of quotes: interruptions in their place, ticks and their bounds, subscribers that vanish (MKT-7, GW-7)."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from actors.errors import GatewayError, GatewayTimeoutError
from actors.messages.addresses import MARKET_DATA
from actors.messages.market_data import (
    QuotesInterrupted,
    QuotesResumed,
    StartTicks,
    TakeSnapshot,
    UnsubscribeQuotes,
)
from actors.model.market import Quote
from supervision.config.sections import Config, MarketData, StrategyC
from supervision.facade.quote_backlog import QuoteEvent
from supervision.facade.quote_streams import QuoteStream
from supervision.simulator import Limits, SimulatorConfig
from tests.faults.crash import crash
from tests.walk.watching import taken, tapped
from tests.worlds import ProofWorld, a_config, prove

GRACEFUL = StrategyC(grace_seconds=60.0)
INTERVAL_S = 1.0
REFRESH_S = 30.0
AGAIN_S = 15.0
LONG_S = 10.0
LIVELY = SimulatorConfig(seed=7, cash=1_000_000.0, tick_interval_s=0.2)
MANY = tuple(f"SYM{number:03}" for number in range(1, 501))
IB_LINES, IB_MESSAGES_PER_S = 100, 50


def _config(**market_data: Any) -> Config:
    return a_config(strategy_c=GRACEFUL, market_data=MarketData(**market_data))


def _by_tick(world: ProofWorld) -> list[int]:
    """The ids of the tick-by-tick subscriptions that the gateway holds."""
    return [
        request_id
        for session in world.simulator.ready_sessions()
        for kind, request_id in session.subscriptions
        if kind == "by_tick"
    ]


def _forget_ticks(world: ProofWorld) -> None:
    """Let the gateway lose its tick-by-tick subscriptions without a word."""
    for session in world.simulator.ready_sessions():
        for key in [key for key in session.subscriptions if key[0] == "by_tick"]:
            session.subscriptions.pop(key)()


async def _events_until(stream: QuoteStream, *last: type[Any]) -> list[QuoteEvent]:
    """Read events until one of each of these kinds came, in this order."""
    events, wanted = [], list(last)
    async with asyncio.timeout(60.0):
        async for event in stream.events():
            events.append(event)
            if isinstance(event, wanted[0]):
                wanted.pop(0)
                if not wanted:
                    break
    return events


async def _asked(world: ProofWorld, for_s: float = LONG_S) -> int:
    """Count the messages that the gateway gets in a while, once what is under way has ended."""
    await asyncio.sleep(2 * INTERVAL_S)
    before = world.simulator.faults.state.messages_received
    await asyncio.sleep(for_s)
    return int(world.simulator.faults.state.messages_received - before)


async def _kill_market_data(world: ProofWorld) -> None:
    crash(world.process, MARKET_DATA)
    await world.until(
        lambda: any(
            child.name == MARKET_DATA and child.incarnation == 2
            for child in world.process.tree.status()
        )
    )


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-7", "GW-7", "GW-12")
def test_a_lost_link_is_told_in_the_stream_at_once_and_healed_by_the_first_fresh_quote() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
        await taken(stream, 4)
        world.simulator.faults.nightly_reset(3.0)
        await world.until(lambda: not world.gateway.is_connected)
        lost_at = world.proof.loop.time()
        before = await _events_until(stream, QuotesInterrupted)
        told_after_s = world.proof.loop.time() - lost_at
        standing_still = dict(stream.interrupted)
        after = await _events_until(stream, QuotesResumed, Quote)
        back = await taken(stream, 4)
        return before, told_after_s, standing_still, after, back, dict(stream.interrupted)

    before, told_after_s, standing_still, after, back, left = prove(
        scenario, config=a_config(strategy_c=GRACEFUL)
    )

    assert before[-1].symbols == ("QQQ", "SPY") or before[-1].symbols == ("SPY", "QQQ")
    assert told_after_s < 0.1
    assert set(standing_still) == {"SPY", "QQQ"}
    assert not any(isinstance(event, Quote) for event in after[: after.index(after[-2])])
    assert {quote.symbol for quote in back} == {"SPY", "QQQ"}
    assert left == {}


@pytest.mark.req("MKT-7")
def test_a_symbol_whose_snapshots_fail_is_interrupted_alone_and_heals() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
        await taken(stream, 4)
        world.simulator.faults.no_subscription("SPY", 354)
        interrupted = (await _events_until(stream, QuotesInterrupted))[-1]
        others = {quote.symbol for quote in await taken(stream, 5)}
        world.simulator.faults.no_subscription("SPY", None)
        resumed = (await _events_until(stream, QuotesResumed))[-1]
        return interrupted, others, resumed, (await taken(stream, 1))[0].symbol

    interrupted, others, resumed, first = prove(scenario)

    assert interrupted.symbols == ("SPY",)
    assert "code 354" in interrupted.reason
    assert others == {"QQQ"}
    assert resumed.symbols == ("SPY",)
    assert first == "SPY"


@pytest.mark.req("MKT-7")
def test_who_subscribes_during_an_interruption_is_told_and_nobody_is_told_twice() -> None:
    async def scenario(world: ProofWorld) -> Any:
        early = await world.gateway.subscribe_quotes(["SPY"])
        await taken(early, 1)
        world.simulator.faults.no_subscription("SPY", 354)
        await _events_until(early, QuotesInterrupted)
        late = await world.gateway.subscribe_quotes(["SPY"])
        told = await _events_until(late, QuotesInterrupted)
        world.simulator.faults.no_subscription("SPY", None)
        return told, await _events_until(early, Quote), await _events_until(late, Quote)

    told, early, late = prove(scenario)

    assert [type(event) for event in told] == [QuotesInterrupted]
    assert [type(event) for event in early] == [QuotesResumed, Quote]
    assert [type(event) for event in late] == [QuotesResumed, Quote]


@pytest.mark.req("MKT-7")
def test_nothing_is_asked_about_while_the_link_is_lost() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.subscribe_quotes(["SPY"])
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
        await taken(stream, 2)
        world.simulator.faults.nightly_reset(LONG_S)
        await world.until(lambda: not world.gateway.is_connected)
        await asyncio.sleep(0.5)
        snapshots = tapped(world.process, TakeSnapshot)
        await asyncio.sleep(LONG_S / 2)
        return snapshots

    assert prove(scenario, config=a_config(strategy_c=GRACEFUL)) == []


@pytest.mark.req("MKT-7", "SUP-4")
def test_a_killed_market_data_actor_is_an_interruption_that_heals_for_every_subscriber() -> None:
    async def scenario(world: ProofWorld) -> Any:
        streams = [await world.gateway.subscribe_quotes(["SPY"]) for _ in range(2)]
        for stream in streams:
            await taken(stream, 2)
        await _kill_market_data(world)
        return [
            await _events_until(stream, QuotesInterrupted, QuotesResumed, Quote)
            for stream in streams
        ]

    for events in prove(scenario):
        assert "restarted" in next(it for it in events if isinstance(it, QuotesInterrupted)).reason


@pytest.mark.req("MKT-7", "SUP-4")
def test_a_subscription_that_an_actor_dies_under_before_it_was_confirmed_flows_too() -> None:
    async def scenario(world: ProofWorld) -> Any:
        killing = asyncio.create_task(_kill_market_data(world))
        await asyncio.sleep(0)
        stream = await world.gateway.subscribe_quotes(["SPY"])
        await killing
        await asyncio.sleep(LONG_S)
        return dict(stream.interrupted), (await taken(stream, 1))[0].symbol

    assert prove(scenario) == ({}, "SPY")


@pytest.mark.req("MKT-7")
def test_a_stuck_reader_learns_of_a_gap_that_is_over_and_gets_nothing_but_the_newest() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stuck = await world.gateway.subscribe_quotes(["SPY"])
        await taken(stuck, 1)
        world.simulator.faults.nightly_reset(3.0)
        await world.until(lambda: not world.gateway.is_connected)
        await world.until(lambda: world.gateway.is_connected)
        await asyncio.sleep(LONG_S)
        events = await _events_until(stuck, QuotesInterrupted, QuotesResumed, Quote)
        return events, world.proof.clock.now()

    events, now = prove(scenario, config=a_config(strategy_c=GRACEFUL))

    kinds = [type(event) for event in events if not isinstance(event, Quote)]
    assert kinds == [QuotesInterrupted, QuotesResumed]
    assert (now - events[-1].received_at).total_seconds() <= 2 * INTERVAL_S


# --- ticks ------------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-7", "GW-7")
def test_ticks_feed_faster_than_snapshots_with_sizes_volume_and_times() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 5)
        began = world.proof.loop.time()
        quotes = await taken(stream, 20)
        return quotes, world.proof.loop.time() - began, len(_by_tick(world))

    quotes, took_s, subscriptions = prove(scenario, simulated=LIVELY)

    assert subscriptions == 2
    assert took_s < 0.5 * len(quotes) * INTERVAL_S
    for quote in quotes:
        assert quote.bid <= quote.last <= quote.ask
        assert None not in (quote.bid_size, quote.ask_size, quote.last_size, quote.volume)
        assert None not in (quote.traded_at, quote.received_at, quote.open, quote.close)
        assert quote.source == "ib"


@pytest.mark.req("MKT-7", "CFG-1")
def test_the_configuration_may_choose_ticks() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"])
        await taken(stream, 3)
        by_choice = len(_by_tick(world))
        other = await world.gateway.subscribe_quotes(["QQQ"], feed="snapshots")
        await taken(other, 2)
        return by_choice, len(_by_tick(world))

    assert prove(scenario, config=_config(feed="ticks")) == (2, 2)


@pytest.mark.req("MKT-7", "SIM-6")
def test_ticks_beyond_ibs_limit_are_refused_by_name_and_the_others_go_on() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY", "QQQ"], feed="ticks")
        with pytest.raises(GatewayError, match=r"6 tick-by-tick .*max_tick_streams allows 5"):
            await world.gateway.subscribe_quotes(["AAPL"], feed="ticks")
        again = await world.gateway.subscribe_quotes(["QQQ", "SPY"], feed="ticks")
        more = await world.gateway.subscribe_quotes(["AAPL"], feed="snapshots")
        return [len(await taken(each, 3)) for each in (stream, again, more)], len(_by_tick(world))

    assert prove(scenario) == ([3, 3, 3], 4)


@pytest.mark.req("MKT-7")
def test_ticks_are_cancelled_when_the_last_who_wants_them_leaves_and_snapshots_go_on() -> None:
    async def scenario(world: ProofWorld) -> Any:
        by_ticks = [await world.gateway.subscribe_quotes(["SPY"], feed="ticks") for _ in range(2)]
        by_snapshots = await world.gateway.subscribe_quotes(["SPY"])
        await taken(by_ticks[0], 3)
        held = []
        for stream in by_ticks:
            await stream.aclose()
            await asyncio.sleep(0.5)
            held.append(len(_by_tick(world)))
        quotes = await taken(by_snapshots, 5)
        return held, (quotes[-1].received_at - quotes[-2].received_at).total_seconds()

    held, apart_s = prove(scenario)

    assert held == [2, 0]
    assert apart_s == pytest.approx(INTERVAL_S, abs=0.1)


@pytest.mark.req("MKT-7", "CON-13")
def test_no_tick_subscription_is_left_when_the_facade_disconnects() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 3)
        cancelled: list[str] = []
        dispatch = world.simulator.dispatch

        def keep(session: Any, values: list[str]) -> None:
            cancelled.extend(values[1:2] if values[0] == "98" else ())
            dispatch(session, values)

        world.simulator.dispatch = keep  # type: ignore[method-assign]  # the witness stands in the gateway
        held = _by_tick(world)
        await world.gateway.disconnect()
        return held, [int(each) for each in cancelled]

    held, cancelled = prove(scenario)

    assert len(held) == 2
    assert cancelled == held


@pytest.mark.req("MKT-7", "GW-12")
def test_ticks_are_subscribed_again_after_a_reconnect_and_healed_by_a_tick() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 3)
        before = _by_tick(world)
        world.simulator.faults.nightly_reset(3.0)
        await world.until(lambda: not world.gateway.is_connected)
        await world.until(lambda: world.gateway.is_connected)
        back_at = world.proof.loop.time()
        events = await _events_until(stream, QuotesInterrupted, QuotesResumed, Quote)
        kinds = [type(event) for event in events][-2:]
        return len(before), kinds, len(_by_tick(world)), world.proof.loop.time() - back_at

    before, kinds, after, healed_s = prove(
        scenario, config=a_config(strategy_c=GRACEFUL), simulated=LIVELY
    )

    assert (before, after) == (2, 2)
    assert kinds == [QuotesResumed, Quote]
    assert healed_s <= 2 * INTERVAL_S


@pytest.mark.req("MKT-7", "CON-10")
def test_ticks_are_asked_for_anew_when_the_gateway_was_cut_off_from_ib() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 3)
        before = _by_tick(world)
        world.simulator.faults.connectivity_lost()
        await _events_until(stream, QuotesInterrupted)
        world.simulator.faults.connectivity_restored(data_lost=True)
        await _events_until(stream, QuotesResumed, Quote)
        return before, _by_tick(world)

    before, after = prove(scenario, config=a_config(strategy_c=GRACEFUL), simulated=LIVELY)

    assert len(after) == 2
    assert not set(before) & set(after)


@pytest.mark.req("MKT-7", "MKT-11")
def test_snapshots_feed_while_the_gateway_refuses_ticks_which_are_asked_for_again() -> None:
    async def scenario(world: ProofWorld) -> Any:
        asked = tapped(world.process, StartTicks)
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 5)
        world.simulator.end_subscriptions(10225)
        interrupted = (await _events_until(stream, QuotesInterrupted))[-1]
        began = world.proof.loop.time()
        meanwhile = await taken(stream, 5)
        still = dict(stream.interrupted)
        await _events_until(stream, QuotesResumed)
        return interrupted, meanwhile, still, len(asked), world.proof.loop.time() - began

    interrupted, meanwhile, still, asked, after_s = prove(scenario)

    assert "code 10225" in interrupted.reason
    assert len(meanwhile) == 5
    assert set(still) == {"SPY"}, "only a tick heals a stream of ticks"
    assert asked == 2
    assert after_s <= AGAIN_S + 2 * INTERVAL_S


@pytest.mark.req("MKT-7", "MKT-11")
def test_a_stream_that_falls_silent_while_the_market_moves_is_found_and_asked_for_again() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 5)
        _forget_ticks(world)
        began = world.proof.loop.time()
        interrupted = (await _events_until(stream, QuotesInterrupted))[-1]
        found_after_s = world.proof.loop.time() - began
        await _events_until(stream, QuotesResumed, Quote)
        return interrupted, found_after_s, len(_by_tick(world))

    interrupted, found_after_s, subscriptions = prove(scenario)

    assert "stopped coming" in interrupted.reason
    assert found_after_s <= 2 * REFRESH_S + INTERVAL_S
    assert subscriptions == 2


@pytest.mark.req("MKT-7", "MKT-12")
def test_a_quiet_market_is_no_silent_stream() -> None:
    async def scenario(world: ProofWorld) -> Any:
        asked = tapped(world.process, StartTicks)
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 5)
        world.simulator.faults.stale_data("SPY")
        _forget_ticks(world)
        await asyncio.sleep(5 * REFRESH_S)
        (newest,) = await taken(stream, 1)
        return (
            len(asked),
            (world.proof.clock.now() - newest.received_at).total_seconds(),
            dict(stream.interrupted),
        )

    asked, age_s, interrupted = prove(scenario)

    assert asked == 1
    assert age_s <= REFRESH_S + INTERVAL_S, "a snapshot proves that the data is good"
    assert interrupted == {}


@pytest.mark.req("MKT-7", "SUP-4")
def test_no_stream_of_a_killed_market_data_actor_outlives_it() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        other = await world.gateway.subscribe_quotes(["QQQ"], feed="ticks")
        for each in (stream, other):
            await taken(each, 3)
        before = _by_tick(world)
        world.simulator.faults.halt("QQQ")  # so that no tick of it reminds anybody of its stream
        killing = asyncio.create_task(_kill_market_data(world))
        await asyncio.sleep(0)
        await other.aclose()
        await killing
        await _events_until(stream, QuotesInterrupted, QuotesResumed, Quote)
        await asyncio.sleep(0.1)  # data flows evenly: the second line follows the first
        return before, _by_tick(world)

    before, after = prove(scenario)

    assert len(before) == 4
    assert len(after) == 2
    assert not set(before) & set(after)


@pytest.mark.req("MKT-5", "MKT-7")
def test_ticks_break_no_rule_about_snapshots() -> None:
    async def scenario(world: ProofWorld) -> Any:
        snapshots = tapped(world.process, TakeSnapshot)
        asked: list[list[str]] = []
        dispatch = world.simulator.dispatch

        def keep(session: Any, values: list[str]) -> None:
            asked.extend([values] if values[0] == "1" else ())
            dispatch(session, values)

        world.simulator.dispatch = keep  # type: ignore[method-assign]  # the witness stands in the gateway
        stream = await world.gateway.subscribe_quotes(["SPY"], feed="ticks")
        await taken(stream, 10)
        return snapshots, asked

    snapshots, asked = prove(scenario)

    assert snapshots
    assert all(request.snapshot for request in snapshots)
    assert {values[17] for values in asked} == {"1"}


# --- who vanishes -----------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-7", "GW-7")
@pytest.mark.parametrize("feed", ["snapshots", "ticks"])
@pytest.mark.parametrize(
    "how", ["dropped", "never read", "task cancelled", "events dropped", "in a cycle"]
)
def test_a_subscriber_that_vanishes_frees_everything(how: str, feed: str) -> None:
    async def vanish(world: ProofWorld) -> None:
        stream = await world.gateway.subscribe_quotes(["SPY"], feed=feed)
        if how == "never read":
            return
        await taken(stream, 2)
        if how == "events dropped":
            async for _ in stream.events():
                return
        if how == "in a cycle":
            holder: list[Any] = [stream]
            holder.append(holder)
        if how == "task cancelled":

            async def read(held: QuoteStream) -> None:
                async for _ in held:
                    pass

            reading = asyncio.create_task(read(stream))
            await asyncio.sleep(LONG_S)
            reading.cancel()
            await asyncio.wait([reading])

    async def scenario(world: ProofWorld) -> Any:
        unsubscribed = tapped(world.process, UnsubscribeQuotes)
        await vanish(world)
        gc.collect()
        asked = await _asked(world)
        return asked, _by_tick(world), len(unsubscribed), len(world.gateway._session.quotes or ())

    assert prove(scenario) == (0, [], 1, 0)


@pytest.mark.req("MKT-7", "GW-8")
def test_a_subscription_whose_caller_gave_up_waiting_is_not_left_behind() -> None:
    async def scenario(world: ProofWorld) -> Any:
        calls = [asyncio.create_task(world.gateway.subscribe_quotes(["SPY"])) for _ in range(2)]
        await asyncio.sleep(0)
        calls[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        with pytest.raises(GatewayTimeoutError):
            await world.gateway.subscribe_quotes(["SPY"], timeout=0.0)
        await (await calls[1]).aclose()
        return await _asked(world), len(world.gateway._session.quotes or ())

    assert prove(scenario) == (0, 0)


@pytest.mark.req("MKT-7")
def test_a_stream_ends_with_its_block_and_twice_without_harm() -> None:
    async def scenario(world: ProofWorld) -> Any:
        async with await world.gateway.subscribe_quotes(["SPY"]) as stream:
            await taken(stream, 2)
        await stream.aclose()
        return [quote async for quote in stream], await _asked(world)

    assert prove(scenario) == ([], 0)


@pytest.mark.req("MKT-7")
def test_one_subscriber_may_leave_what_another_still_wants() -> None:
    async def scenario(world: ProofWorld) -> Any:
        one = await world.gateway.subscribe_quotes(["SPY", "QQQ"])
        two = await world.gateway.subscribe_quotes(["QQQ", "AAPL"])
        await taken(one, 2)
        await one.aclose()
        await taken(two, 2)
        return {quote.symbol for quote in await taken(two, 6)}

    assert prove(scenario) == {"QQQ", "AAPL"}


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-7", "CON-14", "SIM-6")
def test_five_hundred_symbols_take_turns_within_ibs_limits_and_nobody_is_interrupted() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stuck = await world.gateway.subscribe_quotes(MANY)
        stream = await world.gateway.subscribe_quotes(MANY)
        errors: list[str] = []
        for session in world.simulator.ready_sessions():
            _note_errors(session, errors)
        seen: dict[str, int] = dict.fromkeys(MANY, 0)
        interruptions = 0
        ends_at = world.proof.loop.time() + 50.0
        async for event in stream.events():
            if isinstance(event, Quote):
                seen[event.symbol] += 1
            else:
                interruptions += 1
            if world.proof.loop.time() > ends_at:
                break
        began = world.proof.loop.time()
        data = await world.gateway.get_market_data("SPY")
        return (
            seen,
            interruptions,
            errors,
            len(stuck._inbox.backlog),
            data,
            world.proof.loop.time() - began,
        )

    limits = Limits(market_data_lines=IB_LINES, messages_per_second=IB_MESSAGES_PER_S)
    simulated = SimulatorConfig(extra_symbols=len(MANY), snapshot_delay_s=2.0, limits=limits)
    seen, interruptions, errors, backlog, data, waited_s = prove(scenario, simulated=simulated)

    assert min(seen.values()) >= 1
    assert max(seen.values()) <= min(seen.values()) + 1, "they take turns"
    assert interruptions == 0
    assert errors == []
    assert backlog == len(MANY)
    assert data.bid is not None
    assert waited_s <= 5.0, "what somebody waits for goes first"


def _note_errors(session: Any, errors: list[str]) -> None:
    send = session.send

    def keep(*fields: str) -> None:
        if fields[0] == "4":
            errors.append(f"{fields[3]}: {fields[4]}")
        send(*fields)

    session.send = keep


@pytest.mark.req("MKT-7")
def test_a_gateway_that_is_slow_with_snapshots_is_owed_no_more_than_the_bound() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.get_market_data("SPY")
        stream = await world.gateway.subscribe_quotes(MANY[:40])
        most = 0
        for _ in range(200):
            await asyncio.sleep(0.1)
            (session,) = world.simulator.ready_sessions()
            most = max(most, sum(1 for kind, _ in session.subscriptions if kind == "snapshot"))
        return most, len({quote.symbol for quote in await taken(stream, 40)})

    simulated = SimulatorConfig(extra_symbols=40, snapshot_delay_s=3.0)
    assert prove(scenario, simulated=simulated, config=_config(max_open_snapshots=10)) == (10, 40)


@pytest.mark.req("MKT-7", "GW-7")
@pytest.mark.parametrize(
    ("symbols", "feed", "text"),
    [
        ("SPY", None, "symbols must be a list of at least one symbol"),
        ([], None, "symbols must be a list of at least one symbol"),
        (["SPY"], "streaming", "feed must be one of snapshots, ticks"),
    ],
)
def test_what_is_no_subscription_is_refused(symbols: Any, feed: Any, text: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        with pytest.raises(GatewayError, match=text):
            await world.gateway.subscribe_quotes(symbols, feed=feed)
        return world.gateway.process.tree.is_running

    assert prove(scenario)
