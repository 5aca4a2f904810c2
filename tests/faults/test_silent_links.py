"""A link that takes bytes and gives none: no order is written into it, and it is found sooner for having been asked."""

from __future__ import annotations

import asyncio

import pytest

from actors.kernel.addresses import TapRecord
from actors.messages.addresses import CONNECTION, FACADE
from actors.messages.connection import ConnectionStateChanged, Probe, ProofMissed
from actors.model.connection import ConnectionState, DisconnectCause
from actors.model.orders import CloseReason, OrderResult, OrderStatus
from supervision.config.sections import Connection, StrategyC
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove

BEAT_S = 5.0
SPY = "SPY_756733"
CALM = a_config(
    connection=Connection(heartbeat_s=30.0, heartbeat_timeout_s=BEAT_S, missed_beats=2),
    strategy_c=StrategyC(grace_seconds=3600.0),
)


class _Losses:
    """When the link was lost, and why; and how often a proof was missed."""

    def __init__(self, world: ProofWorld) -> None:
        self.causes: list[DisconnectCause | None] = []
        self.at: list[float] = []
        self.proofs_missed = 0
        self.probes = 0
        self._world = world
        world.process.tap(self)

    def __call__(self, record: TapRecord) -> None:
        """Take note of one message."""
        message = record.message
        self.proofs_missed += type(message) is ProofMissed and record.recipient == CONNECTION
        self.probes += type(message) is Probe
        is_change = type(message) is ConnectionStateChanged and record.recipient == FACADE
        if is_change and message.previous is ConnectionState.CONNECTED:
            self.causes.append(message.cause)
            self.at.append(self._world.proof.loop.time())


async def _holding(world: ProofWorld) -> None:
    """Hold a position: a close needs no quote, so it can be asked for however long nothing came in."""
    bought = await world.gateway.submit_order(buy(), CONTEXT)
    assert bought.status is OrderStatus.FILLED, bought.rejection_reason


async def _close(world: ProofWorld) -> OrderResult:
    return await world.gateway.close_position(SPY, CloseReason.MANUAL, timeout=20.0)


def test_an_opening_order_into_a_link_that_fell_silent_after_its_quote_is_not_sent() -> None:
    async def scenario(world: ProofWorld) -> None:
        await _holding(world)
        world.simulator.faults.silence()
        await asyncio.sleep(2.0)
        refused = await world.gateway.submit_order(buy(), CONTEXT, timeout=20.0)

        assert refused.status is OrderStatus.REJECTED
        assert "no proof of life" in (refused.rejection_reason or "")
        assert len(world.simulator.ledger) == 1

    prove(scenario, config=CALM)


@pytest.mark.parametrize("silence_s", [1.5, 11.0, 20.0])
def test_an_order_finds_a_half_open_link_two_beats_after_it_was_asked_for(silence_s: float) -> None:
    async def scenario(world: ProofWorld) -> None:
        losses = _Losses(world)
        await _holding(world)
        world.simulator.faults.silence()
        await asyncio.sleep(silence_s)
        asked_at = world.proof.loop.time()
        refused = await _close(world)

        assert refused.status is OrderStatus.REJECTED
        assert "no proof of life" in (refused.rejection_reason or "")
        await world.until(lambda: bool(losses.at))
        assert losses.causes == [DisconnectCause.SILENCE]
        assert losses.at[0] - asked_at == pytest.approx(2 * BEAT_S, abs=0.1)
        assert losses.proofs_missed == 1
        assert len(world.simulator.ledger) == 1

    prove(scenario, config=CALM)


def test_a_missed_beat_that_an_order_shared_is_counted_once() -> None:
    """The order comes while a beat is under way: the link is lost after two beats, neither sooner nor later."""

    async def scenario(world: ProofWorld) -> None:
        losses = _Losses(world)
        await _holding(world)
        world.simulator.faults.silence()
        await world.until(lambda: losses.probes >= 1)
        beat_at = world.proof.loop.time()
        await asyncio.sleep(1.0)
        refused = await _close(world)

        assert refused.status is OrderStatus.REJECTED
        await world.until(lambda: bool(losses.at))
        assert losses.at[0] - beat_at == pytest.approx(2 * BEAT_S, abs=0.1)

    prove(scenario, config=CALM)


def test_a_link_that_answers_again_is_kept_and_the_next_order_fills() -> None:
    async def scenario(world: ProofWorld) -> None:
        losses = _Losses(world)
        await _holding(world)
        world.simulator.faults.silence()
        await asyncio.sleep(2.0)
        refused = await _close(world)
        world.simulator.faults.speak()
        filled = await _close(world)

        assert refused.status is OrderStatus.REJECTED
        assert filled.status is OrderStatus.FILLED, filled.rejection_reason
        await asyncio.sleep(60.0)
        assert losses.at == []
        assert losses.proofs_missed == 1, "the question into the silence is never answered"
        assert [entry.action for entry in world.simulator.ledger] == ["BUY", "SELL"]

    prove(scenario, config=CALM)


def test_a_late_answer_after_a_missed_proof_keeps_the_link_and_its_one_chain_of_beats() -> None:
    async def scenario(world: ProofWorld) -> None:
        losses = _Losses(world)
        await _holding(world)
        world.simulator.faults.latency(BEAT_S + 1.0)
        await asyncio.sleep(2.0)
        await _close(world)
        await world.until(lambda: losses.proofs_missed == 1)
        world.simulator.faults.latency(0.0)
        await asyncio.sleep(2.0)
        before = losses.probes
        await asyncio.sleep(300.0)

        assert losses.at == []
        assert losses.probes - before == 10

    prove(scenario, config=CALM)
