"""Whatever happens to streams of quotes, in whatever order: all flow again, and nothing is left behind (MKT-7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from actors.errors import GatewayError
from actors.messages.addresses import MARKET_DATA
from actors.messages.market_data import GetBars
from actors.model.market import Quote
from supervision.config.sections import MarketData, StrategyC
from supervision.facade.quote_streams import QuoteStream
from tests.worlds import ProofWorld, a_config, prove

SYMBOLS = ("AAPL", "KO", "QQQ", "SPY")
MOST_STREAMS = 6
MOST_KILLS = 2
REFRESH_S = 10.0
HEALED_S = 60.0
"""A silent stream is found at the second refresh at the latest, and asked for again 15 s after the last time."""

QUIET_S = 10.0
MARKET_DATA_MESSAGES = frozenset({"1", "9", "97"})
"""Snapshots, contracts, ticks; a heartbeat may come at any time."""

some_symbols = st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4, unique=True)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

place = st.integers(0, MOST_STREAMS - 1)
steps = st.one_of(
    st.tuples(st.just("subscribe"), some_symbols, st.sampled_from(["snapshots", "ticks"])),
    st.tuples(st.sampled_from(["leave", "vanish", "read"]), place),
    st.tuples(st.sampled_from(["refuse", "allow"]), st.sampled_from(SYMBOLS)),
    st.tuples(st.sampled_from(["cut", "kill", "end ticks", "forget ticks"])),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 2.0, 20.0])),
)


class Trouble:
    """Does the steps in one world."""

    def __init__(self, world: ProofWorld) -> None:
        self.world = world
        self.streams: dict[int, tuple[QuoteStream, tuple[str, ...], str]] = {}
        self.opened = 0
        self.kills = 0

    async def do(self, step: tuple[Any, ...]) -> None:
        """Do one step."""
        what, *arguments = step
        await getattr(self, f"_{what.replace(' ', '_')}")(*arguments)

    async def _subscribe(self, symbols: list[str], feed: str) -> None:
        if len(self.streams) >= MOST_STREAMS or not self.world.gateway.is_connected:
            return
        try:
            stream = await self.world.gateway.subscribe_quotes(symbols, feed=feed)
        except GatewayError:
            return  # beyond IB's limit of ticks, or the actor was killed meanwhile
        self.opened += 1
        self.streams[self.opened] = (stream, tuple(symbols), feed)

    def _take(self, place: int) -> QuoteStream | None:
        if not self.streams:
            return None
        return self.streams.pop(list(self.streams)[place % len(self.streams)])[0]

    async def _leave(self, place: int) -> None:
        stream = self._take(place)
        if stream is not None:
            await stream.aclose()

    async def _vanish(self, place: int) -> None:
        self._take(place)

    async def _read(self, place: int) -> None:
        if self.streams:
            stream, *_ = self.streams[list(self.streams)[place % len(self.streams)]]
            await _newest(stream, for_s=1.0)

    async def _refuse(self, symbol: str) -> None:
        self.world.simulator.faults.no_subscription(symbol, 354)

    async def _allow(self, symbol: str) -> None:
        self.world.simulator.faults.no_subscription(symbol, None)

    async def _cut(self) -> None:
        self.world.simulator.faults.drop_connections()

    async def _kill(self) -> None:
        if self.kills >= MOST_KILLS:
            return
        self.kills += 1
        broken: Any = None
        self.world.process.tell(
            MARKET_DATA,
            GetBars(
                correlation_id=f"break-{self.kills}",
                deadline=self.world.process.clock.monotonic() + 60,
                reply_to="nobody",
                symbol="SPY",
                duration_minutes=broken,
            ),
        )

    async def _end_ticks(self) -> None:
        self.world.simulator.end_subscriptions(10225)

    async def _forget_ticks(self) -> None:
        for session in self.world.simulator.ready_sessions():
            for key in [key for key in session.subscriptions if key[0] == "by_tick"]:
                session.subscriptions.pop(key)()

    async def _wait(self, for_s: float) -> None:
        await asyncio.sleep(for_s)

    def by_tick(self) -> int:
        """Count the tick-by-tick subscriptions that the gateway holds."""
        return sum(
            1
            for session in self.world.simulator.ready_sessions()
            for kind, _ in session.subscriptions
            if kind == "by_tick"
        )


async def _newest(stream: QuoteStream, for_s: float) -> dict[str, Quote]:
    newest: dict[str, Quote] = {}
    try:
        async with asyncio.timeout(for_s):
            async for quote in stream:
                newest[quote.symbol] = quote
    except TimeoutError:
        return newest
    raise AssertionError("the stream has ended")


def _asked(world: ProofWorld) -> list[str]:
    """Keep the numbers of the requests for market data that the gateway gets from now on."""
    asked: list[str] = []
    dispatch = world.simulator.dispatch

    def keep(session: Any, values: list[str]) -> None:
        asked.extend(MARKET_DATA_MESSAGES & {values[0]})
        dispatch(session, values)

    world.simulator.dispatch = keep  # type: ignore[method-assign]  # the witness stands in the gateway
    return asked


@pytest.mark.req("MKT-7", "GW-7", "GW-12")
@given(st.lists(steps, min_size=1, max_size=25), st.integers(0, 2**16))
@settings(max_examples=15, deadline=None, phases=QUICK, suppress_health_check=list(HealthCheck))
def test_all_streams_flow_again_and_nothing_is_left_of_those_that_ended(
    doings: list[tuple[Any, ...]], seed: int
) -> None:
    async def scenario(world: ProofWorld) -> None:
        trouble = Trouble(world)
        for step in doings:
            await trouble.do(step)
        for symbol in SYMBOLS:
            await trouble.do(("allow", symbol))
        await asyncio.sleep(HEALED_S)

        ticking: set[str] = set()
        for stream, symbols, feed in trouble.streams.values():
            newest = await _newest(stream, for_s=REFRESH_S + 2.0)
            now = world.proof.clock.now()
            assert dict(stream.interrupted) == {}
            assert set(newest) == set(symbols)
            for quote in newest.values():
                assert (now - quote.received_at).total_seconds() <= REFRESH_S + 1.0
            ticking |= set(symbols) if feed == "ticks" else set()
        assert trouble.by_tick() == 2 * len(ticking)

        for _ in tuple(trouble.streams):
            await trouble.do(("leave", 0))
        await asyncio.sleep(2.0)
        asked = _asked(world)
        await asyncio.sleep(QUIET_S)
        assert trouble.by_tick() == 0
        assert asked == []

    prove(
        scenario,
        seed=seed,
        config=a_config(
            strategy_c=StrategyC(grace_seconds=600.0),
            market_data=MarketData(ticks_refresh_s=REFRESH_S),
        ),
    )
