"""Hostile bytes from the gateway: a typed error or an ended session; no hang, no growth, no invented fill."""

from __future__ import annotations

import asyncio
import itertools
import math
from contextlib import suppress
from typing import Any, cast

import attrs
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from actors.errors import GatewayError
from actors.kernel.messages import Message, Reply, Request, RequestFailed
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION, EXECUTOR, RISK
from actors.messages.addresses import POSITION as POSITION_ACTOR
from actors.messages.connection import Probe, Probed, ReadBrokerState, SessionEnded
from actors.messages.market_data import (
    QualifyContract,
    ReadBars,
    ReadOptionChain,
    SnapshotTaken,
    TakeSnapshot,
)
from actors.messages.orders import ExecutionReported, InstallPermitKey, SetGate
from actors.messages.positions import AccountChanged, HoldingReported
from actors.model.contracts import Contract, ContractQuery, SecurityType
from actors.model.orders import ExecutionMode, OrderStatus
from actors.model.trading import Trading
from actors.sections.gateway import GatewayConfig
from actors.sections.market_data import MarketData
from supervision import IBKRGateway
from supervision.config.sections import Config, StrategyC
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof, run_proof
from supervision.simulator import Simulator, SimulatorConfig
from tests.link.driver import KEY, LinkDriver
from tests.link.test_bad_bytes import EXECUTION, POSITION
from tests.link.toy_gateway import toy_gateway
from tests.link.worlds import run
from tests.security.hostile import (
    FRAME,
    MAX_FRAME_BYTES,
    NONSENSE,
    ORDER_TARGETS,
    SPOILED,
    TARGETS,
    Spoiled,
    Target,
    framed,
    relay,
)
from tests.worlds import CONTEXT, a_config, buy

ANSWER_S = 1.0
SPY = Contract(
    con_id=756733, symbol="SPY", security_type=SecurityType.STOCK, exchange="SMART", currency="USD"
)
READ_BYTES = 262_144
"""A transport hands over at most so many bytes at once."""

HOSTILE = LinkSettings(
    trading=Trading(sends_orders=True),
    gateway=GatewayConfig(max_frame_bytes=MAX_FRAME_BYTES),
    max_items_per_answer=1000,
    market_data=MarketData(snapshot_timeout_s=0.5),
)


def fuzzed(examples: int) -> settings:
    """Try so many examples, in whatever time; a smaller one would say no more."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )


async def _answered(driver: LinkDriver, request: Request) -> Reply:
    """Ask, and demand an answer by the deadline: the right one, or a typed error."""
    late_s = request.deadline - driver.clock.monotonic() + 0.1
    reply = await asyncio.wait_for(driver.post(request), late_s)
    if isinstance(reply, RequestFailed):
        assert reply.error.code.startswith("IB_"), reply
    return reply


async def _script(driver: LinkDriver, port: int) -> None:
    """Do everything once that a link does, however each step ends."""
    with_session = True
    try:
        await driver.open(port, timeout_s=ANSWER_S)
    except GatewayError:
        with_session = False
    driver.tell(InstallPermitKey(key=KEY))
    await _answered(driver, ReadBrokerState(**driver.header(ANSWER_S)))
    driver.tell(SetGate(open=True, reason="test"))
    qualified = await _answered(
        driver, QualifyContract(**driver.header(ANSWER_S), query=ContractQuery(symbol="SPY"))
    )
    spy: Contract = getattr(qualified, "contract", None) or SPY
    quote = await _answered(driver, TakeSnapshot(**driver.header(ANSWER_S), contract=spy))
    if isinstance(quote, SnapshotTaken):
        _assert_no_absurd_numbers(quote.quote)
    await _answered(driver, ReadBars(**driver.header(ANSWER_S), contract=spy, duration_minutes=30))
    await _answered(driver, ReadOptionChain(**driver.header(ANSWER_S), underlying=spy))
    for _ in range(2):
        await _answered(driver, driver.send_order(driver.order(spy), timeout_s=ANSWER_S))
    await asyncio.sleep(0.5)
    await _answered(driver, Probe(**driver.header(ANSWER_S)))
    assert with_session or driver.actor.sessions.current is None


def _assert_no_absurd_numbers(value: Any) -> None:
    """Check that every number in a value, however deep, is finite."""
    for field in attrs.fields(type(value)):
        found = getattr(value, field.name)
        if isinstance(found, float):
            is_told = math.isfinite(found) or (field.name == "average_cost" and math.isnan(found))
            assert is_told, (field.name, found)
        elif attrs.has(type(found)):
            _assert_no_absurd_numbers(found)


def _assert_sane(driver: LinkDriver) -> None:
    """Check that no actor failed, that nothing waits for ever, and that what is held has its bound."""
    failures = [report for report in driver.reports if type(report).__name__ == "ActorFailed"]
    assert failures == []
    session = driver.actor.sessions.current
    if session is not None:
        assert session.answers._pending == {}
        assert len(session.client._frames._buffer) <= MAX_FRAME_BYTES + READ_BYTES
        assert len(session.account.commissions) <= HOSTILE.max_items_per_answer
    told: list[Message] = [*driver.received[POSITION_ACTOR], *driver.received[RISK]]
    for message in told:
        if isinstance(message, HoldingReported):
            _assert_no_absurd_numbers(message.holding)
        elif isinstance(message, AccountChanged):
            _assert_no_absurd_numbers(message.account)


def _assert_no_invented_fill(driver: LinkDriver, simulator: Simulator) -> None:
    """Check each execution that was told against what the gateway did: nothing of a spoiled one gets through."""
    true = {
        execution.exec_id: (execution.quantity, execution.price)
        for execution in simulator.executions()
    }
    for report in driver.of(EXECUTOR, ExecutionReported):
        told = report.execution
        _assert_no_absurd_numbers(told)
        assert told.quantity > 0
        assert told.price >= 0
        if told.exec_id in true:
            assert (told.quantity, told.price) == true[told.exec_id]


@fuzzed(100)
@given(target=TARGETS, spoiled=SPOILED)
def test_a_valid_session_that_is_spoiled_at_one_place(target: Target, spoiled: Spoiled) -> None:
    async def scenario() -> None:
        simulator = Simulator(SimulatorConfig(margin_check=False))
        await simulator.start()
        try:
            async with relay(simulator.port, spoiled) as between:
                between.aim(target)
                driver = LinkDriver(HOSTILE)
                await _script(driver, between.port)
                _assert_sane(driver)
                _assert_no_invented_fill(driver, simulator)
                driver.actor.abandoned()
                await asyncio.sleep(0.01)
        finally:
            await simulator.stop()

    run(scenario)


@fuzzed(100)
@example(frames=[framed([b"49", b"1", b"99999999999999"])])
@example(frames=[framed([b"9", b"1", b"999999999999"])])
@example(frames=[framed([b"9", b"1", b"2000000000"])])
@example(frames=[framed([b"4", b"2", b"1", b"103", b"Duplicate order id", b""])] * 50)
@given(frames=st.lists(FRAME, min_size=1, max_size=30))
def test_frames_from_nowhere(frames: list[bytes]) -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver(HOSTILE)
            await driver.open(gateway.port)
            floor = driver.actor.memory.order_ids.last
            gateway.say(b"".join(frames))
            await asyncio.sleep(0.01)
            waiting = _answered(driver, Probe(**driver.header(ANSWER_S)))
            reply = await waiting

            assert isinstance(reply, Probed | RequestFailed)
            _assert_sane(driver)
            assert driver.actor.memory.order_ids.last - floor < 1_000_000_000
            driver.actor.abandoned()

    run(scenario)


@fuzzed(15)
@given(hello=FRAME, more=st.lists(FRAME, max_size=5))
def test_a_handshake_with_anything_but_a_gateway(hello: bytes, more: list[bytes]) -> None:
    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(hello + b"".join(more))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            driver = LinkDriver(HOSTILE)
            with pytest.raises(GatewayError):
                await driver.open(server.sockets[0].getsockname()[1], timeout_s=0.2)
            _assert_sane(driver)
            assert driver.actor.sessions.current is None
            assert driver.of(CONNECTION, SessionEnded) == []

    run(scenario)


TRADED = (10.0, 600.5)
HELD = (10.0, 600.6)


@pytest.mark.parametrize("message", [EXECUTION, POSITION], ids=["execution", "position"])
def test_no_nonsense_in_any_field_changes_how_much_was_traded_or_is_held(
    message: tuple[object, ...],
) -> None:
    """Every field by every nonsense: the numbers are told as they were said, or not at all."""
    honest = [str(field).encode() for field in message]

    async def scenario() -> None:
        for place, text in itertools.product(range(len(honest)), NONSENSE):
            async with toy_gateway() as gateway:
                driver = LinkDriver(HOSTILE)
                await driver.open(gateway.port)
                gateway.say(framed([*honest[:place], text, *honest[place + 1 :]]))
                await asyncio.sleep(0.001)

                _assert_sane(driver)
                for report in driver.of(EXECUTOR, ExecutionReported):
                    told = report.execution
                    assert (told.quantity, told.price) == TRADED, (place, text)
                for holding in driver.of(POSITION_ACTOR, HoldingReported):
                    held = holding.holding
                    plausible = text == b"-1" and place in (14, 15)
                    plausible |= place == 15 and math.isnan(held.average_cost)  # unset: unknown
                    assert plausible or (held.quantity, held.average_cost) == HELD, (place, text)
                driver.actor.abandoned()

    run(scenario)


FLOODS = {
    "half a message": b"\x00\x00\xff\xff" + b"x" * 60_000,
    "noise that is skipped": framed([b"7", b"whatever"]) * 5000,
    "answers that nobody asked for": framed([b"52", b"1", b"1000000007"]) * 5000,
    "ticks of no request": framed([b"1", b"6", b"1000000007", b"4", b"1.5", b"1", b"0"]) * 5000,
    "the time, again and again": framed([b"49", b"1", b"1772463600"]) * 5000,
    "notices": framed([b"4", b"2", b"-1", b"2104", b"farm is OK", b""]) * 5000,
    "account values": b"".join(
        framed([b"6", b"2", b"NetLiquidation", b"1", f"C{n}".encode(), b"DU1234567"])
        for n in range(5000)
    ),
    "commissions": b"".join(
        framed([b"59", b"1", f"exec-{n}".encode(), b"1.0", b"USD", b"0", b"", b""])
        for n in range(5000)
    ),
    "complaints of the rate": framed([b"4", b"2", b"-1", b"100", b"Max rate exceeded", b""]) * 500,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_leaves_nothing_behind(flood: bytes) -> None:
    """The link answers behind it, or has ended the session, and holds no more than its bounds."""

    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver(HOSTILE)
            await driver.open(gateway.port)
            await _answered(driver, ReadBrokerState(**driver.header(0.1)))
            gateway.say(flood)
            await asyncio.sleep(0.05)
            await _answered(driver, Probe(**driver.header(ANSWER_S)))

            _assert_sane(driver)
            driver.actor.abandoned()

    run(scenario)


def test_a_message_that_drips_in_for_ever_is_held_up_to_its_bound_and_then_refused() -> None:
    async def scenario() -> None:
        async with toy_gateway() as gateway:
            driver = LinkDriver(HOSTILE)
            await driver.open(gateway.port)
            gateway.say(b"\x00\x00\xff\xff")
            for _ in range(70):
                gateway.say(b"x" * 1000)
                await asyncio.sleep(0.001)
            await driver.until(lambda: driver.of(CONNECTION, SessionEnded))

            _assert_sane(driver)

    run(scenario)


@pytest.mark.parametrize("next_id", ["-1", "1000000000", "2000000000", "9" * 40, "nan"])
def test_an_absurd_next_order_id_is_no_session_and_no_floor(next_id: str) -> None:
    """A floor is durable: one absurd number would use up all ids for ever."""

    async def scenario() -> None:
        async with toy_gateway(next_id=next_id) as gateway:
            driver = LinkDriver(HOSTILE)
            with pytest.raises(GatewayError):
                await driver.open(gateway.port, timeout_s=0.2)

            assert driver.actor.memory.order_ids.last == 0
            _assert_sane(driver)

    run(scenario)


@attrs.frozen
class _Behind:
    """The simulated gateway as the tree sees it: at the relay's port."""

    config: SimulatorConfig
    port: int


@fuzzed(15)
@given(target=ORDER_TARGETS, spoiled=SPOILED, seed=st.integers(1, 5))
def test_an_order_is_filled_by_what_the_gateway_did_and_never_by_a_spoiled_word(
    target: Target, spoiled: Spoiled, seed: int
) -> None:
    """The whole tree; one message of those that follow the order is spoiled. In the end both sides agree."""

    async def scenario(proof: Proof) -> None:
        simulator = Simulator(SimulatorConfig(seed=7), now=proof.clock.now)
        await simulator.start()
        async with relay(simulator.port, spoiled) as between:
            gateway = _tree(proof, simulator, between.port)
            await gateway.connect()
            await gateway.get_market_data("SPY")
            between.aim(target)
            result = None
            with suppress(GatewayError):
                result = await gateway.submit_order(buy(), CONTEXT, timeout=20.0)
            true = sum(execution.quantity for execution in simulator.executions())
            if result is not None and result.status is OrderStatus.FILLED:
                assert (result.fill_quantity, true) == (10.0, 10.0)
                assert result.fill_price == simulator.executions()[0].price
            await _settle(gateway)
            positions = await gateway.get_positions()
            assert sum(position.quantity for position in positions) == true, between.hit
            await gateway.disconnect()
        await simulator.stop()

    run_proof(scenario, seed=seed)


def _tree(proof: Proof, simulator: Simulator, port: int) -> IBKRGateway:
    behind = cast("Simulator", _Behind(simulator.config, port))

    def make(config: Config, mode: ExecutionMode, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=proof.seed,
            simulator=behind,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
        )

    return IBKRGateway(
        a_config(strategy_c=StrategyC(grace_seconds=3600.0)), mode="paper", process=make
    )


async def _settle(gateway: IBKRGateway) -> None:
    """Let a link that was given up come back, and everything be reconciled."""
    await asyncio.sleep(60.0)
    async with asyncio.timeout(600.0):
        while not gateway.is_connected:
            await asyncio.sleep(0.1)
