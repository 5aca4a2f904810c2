"""The broker's messages with fields that make no sense: the session lives, nothing is sold, closes go (CON-17, SUP-14).

A proxy stands in the wire between the product and the simulated gateway. It changes fields of what the gateway says,
never the framing, and leaves the handshake alone.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import attrs

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import ActorFailed
from supervision import IBKRGateway, OrderStatus
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator
from tests.fuzz.oddities import FIELDS
from tests.worlds import CONTEXT, SIMULATED, ProofWorld, a_config, buy

HANDSHAKE: Final = ("9", "15")
END_MARKERS: Final = ("53", "55", "62", "102", "54", "52", "57", "12", "49")
"""A read that never ends is another fault; and so is a heartbeat that nobody answers."""

HELD: Final = 10.0
READ_EVERY: Final = 25


@attrs.define
class Proxy:
    """Forwards both ways; ``odds``: how often a message of the gateway is changed. ``changed`` counts those."""

    port: int
    dice: random.Random
    odds: float = 0.0
    changed: Counter[str] = attrs.field(factory=Counter)

    async def serve(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Connect one client through."""
        theirs, out = await asyncio.open_connection("127.0.0.1", self.port)
        copying = asyncio.create_task(self._copy(ours, out))
        try:
            await self._mutate(theirs, back)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.close()
            out.close()
            copying.cancel()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    async def _mutate(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        is_first = True
        while True:
            (length,) = struct.unpack(">I", await source.readexactly(4))
            payload = await source.readexactly(length)
            if not is_first:
                payload = self._odd(payload)
            is_first = False
            target.write(struct.pack(">I", len(payload)) + payload)

    def _odd(self, payload: bytes) -> bytes:
        fields = payload.decode(errors="surrogateescape").split("\0")[:-1]
        if self.dice.random() >= self.odds or fields[0] in (*HANDSHAKE, *END_MARKERS):
            return payload
        self.changed[fields[0]] += 1
        for _ in range(self.dice.choice([1, 1, 1, 2, 5])):
            if len(fields) > 1:
                place = self.dice.randrange(1, len(fields))
                how = self.dice.random()
                if how < 0.85:
                    fields[place] = self.dice.choice(FIELDS)
                elif how < 0.93:
                    fields.insert(place, self.dice.choice(FIELDS))
                else:
                    del fields[place]
        return "".join(f"{field}\0" for field in fields).encode(errors="surrogateescape")


def fuzz(seed: int, examples: int) -> Counter[str]:
    """Change so many messages; AssertionError tells what came of it."""

    async def scenario(proof: Proof) -> Counter[str]:
        simulator = Simulator(SIMULATED, now=proof.clock.now)
        await simulator.start()
        proxy = Proxy(simulator.port, random.Random(seed))
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        behind = _Behind(simulator, server.sockets[0].getsockname()[1])

        def make(config: Any, mode: Any, operator_id: str, consults: bool) -> Process:
            return build_proof_process(
                config,
                loop=proof.loop,
                seed=proof.seed,
                simulator=behind,  # type: ignore[arg-type]  # only its place is asked for
                clock=proof.clock,
                mode=mode,
                operator_id=operator_id,
                has_risk_manager=consults,
            )

        async with IBKRGateway(a_config(), mode="paper", process=make) as gateway:
            await _rage(ProofWorld(proof, gateway, simulator), proxy, examples)
        server.close()
        await simulator.stop()
        return proxy.changed

    changed: Counter[str] = run_proof(scenario, seed=seed)
    return changed


async def _rage(world: ProofWorld, proxy: Proxy, examples: int) -> None:
    failures: list[ActorFailed] = []

    def tap(record: TapRecord) -> None:
        if isinstance(record.message, ActorFailed):
            failures.append(record.message)

    world.process.tap(tap)
    bought = await world.gateway.submit_order(buy(HELD), CONTEXT)
    assert bought.status is OrderStatus.FILLED
    session = (await world.gateway.status()).session_id
    proxy.odds = 0.3
    asked = 0
    while proxy.changed.total() < examples:
        asked += 1
        await _ask(world, asked)
    proxy.odds = 0.0
    status = await world.gateway.status()
    assert failures == []
    assert [actor for actor in status.actors if actor.restarts] == []
    assert not status.latched, status.latch_reason
    assert status.session_id == session, status.last_error
    held = [each.quantity for each in world.simulator.positions().values() if each.quantity]
    assert held == [HELD]
    await asyncio.sleep(120.0)  # reads that are sound
    closed = await world.gateway.close_all_positions(timeout=60.0)
    assert [each.status for each in closed] == [OrderStatus.FILLED], closed


async def _ask(world: ProofWorld, number: int) -> None:
    """Have the gateway say something of everything."""
    gateway = world.gateway
    for call in (
        lambda: gateway.get_market_data("QQQ", 2.0),
        lambda: gateway.get_option_chain("SPY", 2.0),
        lambda: gateway.get_open_orders(2.0),
        lambda: gateway.get_positions(2.0),
    ):
        with suppress(GatewayError):  # anything else fails the seed
            await call()
    world.simulator.faults.trade_elsewhere("MSFT", 1.0)
    world.simulator.faults.trade_elsewhere("MSFT", -1.0)
    if number % READ_EVERY == 0:
        await asyncio.sleep(1.0)


@attrs.frozen
class _Behind:
    """The place of the proxy, for whoever asks the simulator for its own."""

    simulator: Simulator
    port: int

    @property
    def config(self) -> Any:
        """Where it listens."""
        return self.simulator.config
