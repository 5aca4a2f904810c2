"""Before an order, a silent gateway has to prove that it lives: known not sent is better than unknown."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import GatewayConnectionError
from actors.link.settings import LinkSettings
from actors.messages.addresses import CONNECTION
from actors.messages.connection import (
    EndSession,
    Probe,
    Probed,
    ProofMissed,
    SessionEnded,
)
from actors.messages.orders import OrderRefusedAtGate, OrderSent, SendCancel, SendOrder
from actors.messages.risk import LatchChanged
from actors.model.connection import DisconnectCause
from actors.model.contracts import Contract
from actors.model.orders import OrderAction, Purpose, WireOrder
from actors.model.trading import Trading
from actors.sections.orders import Orders
from supervision.simulator import Simulator

from .driver import LinkDriver
from .worlds import run, world

FRESH_S = 1.0
MISSED_S = 5.0
SILENCE_S = 3.0
HELD = 10.0


async def _silent_for(
    driver: LinkDriver, simulator: Simulator, silence_s: float = SILENCE_S
) -> Contract:
    """Be ready to trade, with a gateway that has said nothing for a while."""
    simulator.faults.trade_elsewhere("SPY", HELD)
    await driver.trade_ready(simulator.port)
    contract = await driver.qualify()
    await asyncio.sleep(silence_s)
    return contract


def _arrived(simulator: Simulator) -> int:
    """Count the messages that reached the gateway."""
    return simulator.faults.state.messages_received


def _patient(driver: LinkDriver, contract: Contract, **fields: object) -> SendOrder:
    """Send with time enough for a round trip to be missed."""
    return _permitted(driver, driver.order(contract, **fields))


def _permitted(driver: LinkDriver, order: WireOrder) -> SendOrder:
    permit = driver.permit(order, expires_at=driver.clock.monotonic() + 60.0)
    return driver.send_order(order, permit, timeout_s=60.0)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_silent_gateway_answers_a_round_trip_before_an_order_is_written(purpose: Purpose) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            arrived = _arrived(simulator)
            simulator.faults.latency(0.2)
            began_at = driver.clock.monotonic()
            await driver.ask(
                _patient(driver, contract, action=OrderAction.SELL, purpose=purpose), OrderSent
            )

            assert driver.clock.monotonic() - began_at >= 0.2
            await asyncio.sleep(0.01)
            assert _arrived(simulator) - arrived == 2
            assert len(simulator.ledger) == 1

    run(scenario)


def test_an_order_after_a_quote_costs_no_round_trip() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator, FRESH_S * 0.9)
            arrived = _arrived(simulator)
            began_at = driver.clock.monotonic()
            await driver.ask(driver.send_order(driver.order(contract)), OrderSent)

            assert driver.clock.monotonic() == began_at
            await asyncio.sleep(0.01)
            assert _arrived(simulator) - arrived == 1

    run(scenario)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_order_to_a_half_open_link_is_refused_and_never_written(purpose: Purpose) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.silence()
            request = _patient(driver, contract, purpose=purpose)
            refused = await driver.ask(request, OrderRefusedAtGate)

            assert "not sent: the gateway had been silent for 3.0" in refused.reason
            assert "no proof of life in 5.000 s" in refused.reason
            simulator.faults.speak()
            again = _permitted(driver, request.order)
            assert "was given up" in (await driver.ask(again, OrderRefusedAtGate)).reason
            assert simulator.ledger == ()

    run(scenario)


def test_the_wait_for_a_proof_ends_with_the_deadline_and_with_the_permit() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.silence()
            began_at = driver.clock.monotonic()
            in_a_hurry = driver.send_order(driver.order(contract), timeout_s=0.5)
            await driver.ask(in_a_hurry, OrderRefusedAtGate)
            assert driver.clock.monotonic() - began_at == pytest.approx(0.5, abs=0.01)

            order = driver.order(contract)
            permit = driver.permit(order, expires_at=driver.clock.monotonic() + 0.7)
            await driver.ask(driver.send_order(order, permit, timeout_s=60.0), OrderRefusedAtGate)
            assert driver.clock.monotonic() - began_at == pytest.approx(1.2, abs=0.02)

    run(scenario)


def test_the_connection_hears_of_a_missed_proof_once_however_many_orders_waited() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.silence()
            asked_at = driver.clock.monotonic()
            replies = [driver.post(_patient(driver, contract)) for _ in range(5)]
            await asyncio.gather(*replies)

            (missed,) = driver.of(CONNECTION, ProofMissed)
            assert missed.asked_at == pytest.approx(asked_at, abs=0.001)
            assert driver.clock.monotonic() - asked_at == pytest.approx(MISSED_S, abs=0.001)
            assert driver.of(CONNECTION, SessionEnded) == []  # that is for the connection to decide

    run(scenario)


def test_a_heartbeat_alone_that_is_missed_is_no_missed_proof() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await _silent_for(driver, simulator)
            simulator.faults.silence()
            await driver.failure(Probe(**driver.header(MISSED_S)))
            await asyncio.sleep(MISSED_S)

            assert driver.of(CONNECTION, ProofMissed) == []

    run(scenario)


def test_orders_that_are_held_keep_their_order_and_share_one_round_trip_with_the_heartbeat() -> (
    None
):
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.latency(0.2)
            arrived = _arrived(simulator)
            requests = [_patient(driver, contract) for _ in range(12)]
            posted = [driver.post(request) for request in requests[:6]]
            beat = driver.post(Probe(**driver.header()))
            posted += [driver.post(request) for request in requests[6:]]
            answers = await asyncio.gather(*posted)

            assert {type(answer) for answer in answers} == {OrderSent}
            assert isinstance(await beat, Probed)
            await asyncio.sleep(0.01)
            assert _arrived(simulator) - arrived == 1 + len(requests)
            expected = [request.order.order_ref for request in requests]
            assert [entry.order_ref for entry in simulator.ledger] == expected

    run(scenario)


def test_a_held_order_is_answered_when_the_link_is_lost_meanwhile() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.silence()
            held = driver.post(_patient(driver, contract))
            await asyncio.sleep(0.5)
            lost_at = driver.clock.monotonic()
            simulator.faults.drop_connections()
            refused = await held

            assert isinstance(refused, OrderRefusedAtGate)
            assert "the session ended" in refused.reason
            assert driver.clock.monotonic() - lost_at < 0.05
            assert simulator.ledger == ()

    run(scenario)


@pytest.mark.req("ORD-3")
def test_the_gate_judges_a_held_order_after_the_proof() -> None:
    """So that a latch that fell while the order was held still holds it back (D13)."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.latency(0.3)
            opening = driver.post(_patient(driver, contract))
            closing = driver.post(
                _patient(driver, contract, action=OrderAction.SELL, purpose=Purpose.CLOSE)
            )
            await asyncio.sleep(0.1)
            driver.tell(LatchChanged(latched=True, reason="a test", at=driver.clock.now()))
            refused, sent = await asyncio.gather(opening, closing)

            assert isinstance(refused, OrderRefusedAtGate)
            assert "latched" in refused.reason
            assert isinstance(sent, OrderSent)

    run(scenario)


def test_a_cancel_is_not_held_back() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await _silent_for(driver, simulator)
            simulator.faults.silence()
            driver.tell(SendCancel(order_ref="CSATSPRIM:X", broker_order_id=7))
            await asyncio.sleep(0.01)

            assert [(entry.kind, entry.order_id) for entry in simulator.ledger] == [("cancel", 7)]

    run(scenario)


def test_an_order_that_the_gate_refuses_anyway_waits_for_no_proof() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.silence()
            driver.actor.gate.close("a test")
            began_at = driver.clock.monotonic()
            refused = await driver.ask(_patient(driver, contract), OrderRefusedAtGate)

            assert "the gate is closed" in refused.reason
            assert driver.clock.monotonic() == began_at

    run(scenario)


def test_switched_off_no_proof_is_asked_for() -> None:
    async def scenario() -> None:
        settings = LinkSettings(
            trading=Trading(sends_orders=True), orders=Orders(proof_of_life_s=0.0)
        )
        async with world(settings) as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.silence()
            await driver.ask(driver.send_order(driver.order(contract)), OrderSent)

    run(scenario)


def test_a_late_answer_proves_life_to_everybody_who_waits() -> None:
    """Nobody joins a round trip that somebody gave up, and what it brings in the end serves all."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            contract = await _silent_for(driver, simulator)
            simulator.faults.latency(1.0)
            arrived = _arrived(simulator)
            await driver.failure(Probe(**driver.header(0.3)))
            held_at = driver.clock.monotonic()
            await driver.ask(_patient(driver, contract), OrderSent)

            assert driver.clock.monotonic() - held_at == pytest.approx(0.7, abs=0.02)
            await asyncio.sleep(0.01)
            assert _arrived(simulator) - arrived == 3

    run(scenario)


def test_a_session_that_ends_ends_its_round_trips() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await _silent_for(driver, simulator)
            simulator.faults.silence()
            beat = driver.failure(Probe(**driver.header(60.0)))
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="a test"))

            assert isinstance(await beat, GatewayConnectionError)

    run(scenario)
