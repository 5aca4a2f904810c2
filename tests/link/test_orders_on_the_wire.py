"""Orders through the gate onto the wire; the gateway's ledger is the witness."""

from __future__ import annotations

import asyncio
import random

import attrs
import pytest

from actors.link.client import SessionClient
from actors.link.settings import LinkSettings
from actors.logic.permits import issue_permit
from actors.messages.addresses import CONNECTION, EXECUTOR
from actors.messages.connection import EndSession, NoticeReceived, Probe, Probed, SessionEnded
from actors.messages.market_data import QualifyContract
from actors.messages.orders import (
    BrokerOrderReported,
    CommissionReported,
    ExecutionReported,
    GateAnswered,
    InstallPermitKey,
    OrderErrorReported,
    OrderRefusedAtGate,
    OrderSent,
    OrderSimulated,
    QueryGate,
    SendCancel,
    SendGlobalCancel,
    SetGate,
)
from actors.messages.risk import LatchChanged
from actors.model.connection import DisconnectCause
from actors.model.contracts import ContractQuery
from actors.model.orders import (
    OPERATOR_ID,
    GateRefusal,
    OrderAction,
    OrderType,
    Permit,
    Purpose,
    TimeInForce,
    WireOrder,
)
from actors.model.trading import Trading
from actors.sections.pacing import Pacing
from supervision.simulator import Simulator

from .driver import ACCOUNT, KEY, LinkDriver
from .worlds import UNLIMITED, run, world


def _statuses(driver: LinkDriver) -> list[str]:
    return [report.order.status for report in driver.of(EXECUTOR, BrokerOrderReported)]


def _kinds(simulator: Simulator) -> list[str]:
    return [entry.kind for entry in simulator.ledger]


@pytest.mark.req("ORD-4", "ORD-3", "ORD-1")
def test_an_order_reaches_the_wire_exactly_as_it_was_permitted() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(
                await driver.qualify(),
                action=OrderAction.SELL,
                quantity=7.0,
                order_type=OrderType.STOP,
                stop_price=1.25,
                time_in_force=TimeInForce.GTC,
            )
            sent = await driver.ask(driver.send_order(order), OrderSent)
            await driver.ask(Probe(**driver.header()), Probed)
            (entry,) = simulator.ledger

            assert sent.broker_order_id == entry.order_id == 1
            assert (entry.action, entry.quantity, entry.order_type) == ("SELL", 7.0, "STP")
            assert (entry.limit_price, entry.stop_price, entry.tif) == (None, 1.25, "GTC")
            assert (entry.account, entry.con_id) == (ACCOUNT, 756733)
            assert entry.ext_operator == OPERATOR_ID
            assert entry.order_ref == order.order_ref
            assert entry.order_ref.startswith(OPERATOR_ID)
            assert entry.transmit
            assert entry.raw[33] == "0"  # outsideRth

    run(scenario)


@pytest.mark.req("ORD-7")
def test_a_fill_comes_back_with_its_execution_and_commission() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(await driver.qualify())
            await driver.ask(driver.send_order(order), OrderSent)
            (execution,) = await driver.until(lambda: driver.of(EXECUTOR, ExecutionReported))
            commissions = await driver.until(lambda: driver.of(EXECUTOR, CommissionReported))
            await driver.until(lambda: "Filled" in _statuses(driver))

            assert execution.execution.order_ref == order.order_ref
            assert execution.execution.quantity == 10
            assert commissions[0].exec_id == execution.execution.exec_id
            assert commissions[0].commission > 0

    run(scenario)


@pytest.mark.req("MODE-1")
def test_in_dry_run_nothing_about_orders_reaches_the_wire() -> None:
    async def scenario() -> None:
        async with world(LinkSettings()) as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(await driver.qualify())
            simulated = await driver.ask(driver.send_order(order), OrderSimulated)
            driver.tell(SendCancel(order_ref=order.order_ref, broker_order_id=1))
            driver.tell(SendGlobalCancel())
            answer = await driver.ask(
                QueryGate(**driver.header(), order_refs=(order.order_ref,)), GateAnswered
            )
            await driver.ask(Probe(**driver.header()), Probed)

            assert simulated.gate_sequence == 1
            assert simulator.ledger == ()
            assert answer.sent == ()

    run(scenario)


@pytest.mark.req("MODE-1")
def test_dry_run_still_demands_a_permit() -> None:
    async def scenario() -> None:
        async with world(LinkSettings()) as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(await driver.qualify())
            forged = driver.permit(order, key=b"somebody else's key")

            refused = await driver.ask(driver.send_order(order, forged), OrderRefusedAtGate)

            assert "not genuine" in refused.reason

    run(scenario)


@pytest.mark.req("ORD-3")
def test_an_order_that_was_changed_after_its_permit_is_not_sent() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(await driver.qualify())
            more = attrs.evolve(order, quantity=order.quantity * 10)
            refused = await driver.ask(
                driver.send_order(more, driver.permit(order)), OrderRefusedAtGate
            )
            await driver.ask(Probe(**driver.header()), Probed)

            assert "not genuine" in refused.reason
            assert simulator.ledger == ()

    run(scenario)


@pytest.mark.req("ORD-3", "ORD-1")
def test_a_modify_needs_its_own_permit_and_keeps_the_address() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(
                await driver.qualify(), order_type=OrderType.LIMIT, limit_price=1.0
            )
            sent = await driver.ask(driver.send_order(order), OrderSent)
            changed = attrs.evolve(order, limit_price=1.5, broker_order_id=sent.broker_order_id)
            refused = await driver.ask(
                driver.send_order(changed, driver.permit(order)), OrderRefusedAtGate
            )
            again = await driver.ask(driver.send_order(changed), OrderSent)
            await driver.ask(Probe(**driver.header()), Probed)

            assert "not genuine" in refused.reason
            assert again.broker_order_id == sent.broker_order_id
            assert _kinds(simulator) == ["place", "modify"]
            assert simulator.ledger[1].limit_price == 1.5

    run(scenario)


@pytest.mark.req("ORD-1")
def test_a_cancel_needs_no_permit_and_no_open_gate() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(
                await driver.qualify(), order_type=OrderType.LIMIT, limit_price=1.0
            )
            sent = await driver.ask(driver.send_order(order), OrderSent)
            driver.tell(SetGate(open=False, reason="test"))
            driver.tell(SendCancel(order_ref=order.order_ref, broker_order_id=sent.broker_order_id))
            await driver.until(lambda: "Cancelled" in _statuses(driver))
            errors = await driver.until(lambda: driver.of(EXECUTOR, OrderErrorReported))

            assert [(error.code, error.broker_order_id) for error in errors] == [
                (202, sent.broker_order_id)
            ]
            assert _kinds(simulator) == ["place", "cancel"]

    run(scenario)


@pytest.mark.req("STC-6")
def test_a_global_cancel_reaches_the_orders_of_other_clients() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            other = LinkDriver()
            await other.trade_ready(simulator.port, client_id=2)
            order = other.order(await other.qualify(), order_type=OrderType.LIMIT, limit_price=1.0)
            await other.ask(other.send_order(order), OrderSent)
            await driver.open(simulator.port)
            driver.tell(SendGlobalCancel())
            await other.until(lambda: "Cancelled" in _statuses(other))
            other.actor.abandoned()

            assert simulator.open_orders() == ()

    run(scenario)


@pytest.mark.req("ORD-8")
def test_a_rejection_is_handed_on_under_the_orders_id() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            simulator.faults.reject_next_order(201)
            order = driver.order(await driver.qualify())
            sent = await driver.ask(driver.send_order(order), OrderSent)
            (error,) = await driver.until(lambda: driver.of(EXECUTOR, OrderErrorReported))

            assert (error.broker_order_id, error.code) == (sent.broker_order_id, 201)
            assert "Order rejected" in error.text

    run(scenario)


# --- the gate and the link --------------------------------------------------------------------------------------------


@pytest.mark.req("STC-2", "CON-10")
def test_the_gate_closes_in_the_call_that_sees_1100() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(await driver.qualify())
            refused: list[object] = []

            def at_the_notice(record: object) -> None:
                message = getattr(record, "message", None)
                if isinstance(message, NoticeReceived) and message.code == 1100:
                    refused.append(driver.actor.gate.state.value)

            driver.book.tap(at_the_notice)
            simulator.faults.connectivity_lost()
            await driver.until(lambda: refused)
            driver.tell(SetGate(open=True, reason="sent before the loss was known"))
            reply = await driver.ask(driver.send_order(order), OrderRefusedAtGate)
            await driver.ask(Probe(**driver.header()), Probed)

            assert refused == ["closed"]
            assert "the gate is closed" in reply.reason
            assert simulator.ledger == ()

    run(scenario)


@pytest.mark.req("CON-11", "CON-10")
def test_after_1102_orders_flow_once_the_state_was_read() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            simulator.faults.connectivity_lost()
            simulator.faults.connectivity_restored()
            await driver.until(
                lambda: 1102 in {each.code for each in driver.of(CONNECTION, NoticeReceived)}
            )
            await driver.read_state()
            driver.tell(SetGate(open=True, reason="reconciled"))
            driver.tell(_dealt_with(1, driver))

            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)

    run(scenario)


@pytest.mark.req("CON-2", "STC-2")
def test_a_closed_socket_closes_the_gate_and_its_memory_outlives_the_session() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            sent = driver.order(spy)
            await driver.ask(driver.send_order(sent), OrderSent)
            simulator.faults.drop_connections()
            await driver.until(lambda: driver.of(CONNECTION, SessionEnded))
            lost = driver.order(spy)
            refused = await driver.ask(driver.send_order(lost), OrderRefusedAtGate)
            await driver.trade_ready(simulator.port, client_id=2)
            driver.tell(_dealt_with(1, driver))
            again = await driver.ask(driver.send_order(sent), OrderRefusedAtGate)
            void = await driver.ask(driver.send_order(lost), OrderRefusedAtGate)
            answer = await driver.ask(
                QueryGate(**driver.header(), order_refs=(sent.order_ref, lost.order_ref)),
                GateAnswered,
            )

            assert "there is no session" in refused.reason
            assert "has passed before" in again.reason
            assert "given up before" in void.reason
            assert answer.sent == ((sent.order_ref, 1),)
            assert len(simulator.ledger) == 1

    run(scenario)


def test_the_end_of_a_session_closes_the_gate_at_once() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            order = driver.order(await driver.qualify())
            driver.tell(EndSession(cause=DisconnectCause.ASKED, reason="bye"))

            refused = await driver.ask(driver.send_order(order), OrderRefusedAtGate)

            assert "there is no session: bye" in refused.reason

    run(scenario)


@pytest.mark.req("STC-2")
def test_a_latch_stops_opening_orders_that_are_on_their_way() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            simulator.faults.trade_elsewhere("SPY", 10.0)
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            opening = driver.send_order(driver.order(spy))
            closing = driver.order(spy, purpose=Purpose.CLOSE, action=OrderAction.SELL)
            driver.tell(LatchChanged(latched=True, reason="test", at=driver.clock.now()))
            refused = await driver.ask(opening, OrderRefusedAtGate)
            await driver.ask(driver.send_order(closing, driver.permit(closing)), OrderSent)

            assert "latched" in refused.reason
            assert [entry.action for entry in simulator.ledger] == ["SELL"]

    run(scenario)


@pytest.mark.req("STC-6", "RSK-4")
def test_a_close_that_was_sized_before_a_fill_is_refused() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            sized = dict((await driver.read_state()).fill_counts).get(spy.con_id, 0)
            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await driver.until(lambda: driver.of(EXECUTOR, ExecutionReported))
            close = driver.order(spy, purpose=Purpose.CLOSE, action=OrderAction.SELL)
            refused = await driver.ask(
                driver.send_order(close, driver.permit(close, fill_count=sized)),
                OrderRefusedAtGate,
            )
            fresh = dict((await driver.read_state()).fill_counts)[spy.con_id]
            second = driver.order(spy, purpose=Purpose.CLOSE, action=OrderAction.SELL)
            await driver.ask(
                driver.send_order(second, driver.permit(second, fill_count=fresh)), OrderSent
            )

            assert "the position moved" in refused.reason
            assert refused.kind is GateRefusal.POSITION_MOVED

    run(scenario)


@pytest.mark.req("SUP-4", "SUP-6")
def test_an_order_of_an_executor_that_was_replaced_is_refused() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            request = driver.send_order(driver.order(await driver.qualify()))
            waiting = driver.post(request)
            driver.sender.superseded = True
            reply = await waiting
            driver.sender.superseded = False

            assert isinstance(reply, OrderRefusedAtGate)
            assert "replaced" in reply.reason
            assert reply.kind is GateRefusal.OTHER
            assert simulator.ledger == ()

    run(scenario)


def test_a_new_link_starts_closed_and_without_a_key() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            await driver.read_state()
            driver.tell(SetGate(open=True, reason="test"))
            order = driver.order(await driver.qualify())

            refused = await driver.ask(driver.send_order(order), OrderRefusedAtGate)

            assert refused.reason == "no permit key is installed"

    run(scenario)


def test_a_gateway_that_reads_no_more_gets_no_more_orders() -> None:
    async def scenario() -> None:
        async with world(LinkSettings(trading=Trading(sends_orders=True), max_unsent_bytes=0)) as (
            driver,
            simulator,
        ):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            client = driver.actor.sessions.current.client if driver.actor.sessions.current else None
            assert isinstance(client, SessionClient)
            simulator.faults.silence(stop_reading=True)
            assert client.transport is not None
            client.transport.write(
                b"\0\0\0\1\0" * 4_000_000
            )  # as much as the sockets hold, and more
            refused = await driver.ask(driver.send_order(driver.order(spy)), OrderRefusedAtGate)

            assert refused.reason == "the connection takes no bytes"

    run(scenario)


# --- pacing -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("CON-14")
def test_a_close_goes_at_once_although_500_requests_of_data_wait() -> None:
    async def scenario() -> None:
        async with world(limits=UNLIMITED) as (driver, simulator):
            simulator.faults.trade_elsewhere("SPY", 10.0)
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            waiting = [
                driver.post(
                    QualifyContract(**driver.header(1.0), query=ContractQuery(symbol="SPY"))
                )
                for _ in range(500)
            ]
            close = driver.order(spy, purpose=Purpose.CLOSE, action=OrderAction.SELL)
            began = asyncio.get_running_loop().time()
            await driver.ask(driver.send_order(close, driver.permit(close)), OrderSent)
            driver.tell(SendCancel(order_ref="x", broker_order_id=1))
            await driver.until(lambda: driver.of(EXECUTOR, ExecutionReported))

            assert asyncio.get_running_loop().time() - began < 0.3
            assert _kinds(simulator) == ["place", "cancel"]
            await asyncio.gather(*waiting)

    run(scenario)


@pytest.mark.req("CON-14")
def test_an_opening_order_waits_its_turn_and_is_judged_when_it_comes() -> None:
    async def scenario() -> None:
        async with world(limits=UNLIMITED) as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            burst = [driver.post(driver.send_order(driver.order(spy))) for _ in range(60)]
            await asyncio.sleep(0.1)
            sent_first = len(simulator.ledger)
            driver.tell(LatchChanged(latched=True, reason="test", at=driver.clock.now()))
            replies = await asyncio.gather(*burst)
            refused = [reply for reply in replies if isinstance(reply, OrderRefusedAtGate)]

            assert 20 <= sent_first < 40
            assert len(refused) == 60 - sent_first
            assert len(simulator.ledger) == sent_first

    run(scenario)


# --- everything at once -----------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-3", "ORD-9")
def test_random_orders_reach_the_ledger_only_with_a_permit_for_exactly_them() -> None:
    """Genuine, forged, reused, changed and expired permits in any order, while the link comes and goes."""

    async def scenario() -> None:
        seed = 20260302
        rng = random.Random(seed)
        settings = LinkSettings(
            trading=Trading(sends_orders=True), pacing=Pacing(messages_per_s=1000)
        )
        async with world(settings, limits=UNLIMITED) as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            permitted: dict[str, float] = {}
            history: list[tuple[WireOrder, Permit]] = []
            for _ in range(600):
                order = driver.order(spy, quantity=float(rng.randint(1, 9)))
                kind = rng.choice(["good", "good", "forged", "changed", "reused", "expired", "key"])
                permit = driver.permit(order)
                if kind == "forged":
                    permit = driver.permit(order, key=b"not the key of risk")
                elif kind == "changed":
                    order = attrs.evolve(order, quantity=order.quantity + 1)
                elif kind == "expired":
                    permit = driver.permit(order, expires_at=driver.clock.monotonic())
                elif kind == "reused" and history:
                    order, permit = rng.choice(history)
                elif kind == "key":
                    driver.tell(InstallPermitKey(key=b"the next key of risk"))
                    driver.tell(InstallPermitKey(key=KEY))
                    permit = issue_permit(
                        b"the next key of risk", order, permit_id="x", expires_at=1e9
                    )
                elif kind == "good":
                    permitted[order.order_ref] = order.quantity
                    history.append((order, permit))
                request = driver.send_order(order, permit)
                reply = await driver.post(request)
                assert isinstance(reply, OrderSent) == (kind == "good"), (seed, kind, reply)
            await driver.ask(Probe(**driver.header()), Probed)

            ledger = {entry.order_ref: entry.quantity for entry in simulator.ledger}
            assert ledger == permitted, seed
            assert len(simulator.ledger) == len(permitted), seed

    run(scenario)


def _dealt_with(disconnects: int, driver: LinkDriver) -> LatchChanged:
    """What Strategy C says once it has dealt with so many disconnects, and an operator has re-armed."""
    return LatchChanged(
        latched=False,
        reason="",
        at=driver.clock.now(),
        answered_disconnects=disconnects,
    )
