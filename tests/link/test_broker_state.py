"""The broker's state, read whole, and what is pushed afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.errors import GatewayError, GatewayTimeoutError, restore
from actors.kernel.messages import RequestFailed
from actors.link import decoder
from actors.link.answers import Pending
from actors.link.broker_state import Stillness, merge_orders
from actors.link.position_guard import PositionGuard
from actors.link.settings import LinkSettings
from actors.link.silent_parts import end_of
from actors.logic.broker_codes import RequestKind
from actors.messages.addresses import CONNECTION, EXECUTOR, POSITION, RISK
from actors.messages.connection import (
    BrokerStateRead,
    ExecutionsSince,
    ReadBrokerState,
    SessionEnded,
    SilentPartAnswered,
)
from actors.messages.orders import CommissionReported, ExecutionReported, OrderSent
from actors.messages.positions import AccountChanged, HoldingReported
from actors.model.account import Holding
from actors.model.connection import DisconnectCause, StatePart
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import BrokerOrder, Execution, OrderAction, OrderType
from actors.model.trading import Trading
from actors.sections.connection import Connection
from supervision.simulator import Simulator

from .driver import ACCOUNT, LinkDriver
from .worlds import run, world

SPY_ID = 756733


def _trade_when_asked(simulator: Simulator, number: int, times: int) -> None:
    """Let somebody else trade the moment the gateway gets this kind of request."""
    dispatch = simulator.dispatch
    left = times

    def act(session: Any, values: list[str]) -> None:
        nonlocal left
        if values[0] == str(number) and left:
            left -= 1
            simulator.faults.trade_elsewhere("SPY", 10)
        dispatch(session, values)

    simulator.dispatch = act  # type: ignore[method-assign]  # a market that moves in between


@pytest.mark.req("CON-11")
def test_the_state_has_every_part() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            resting = driver.order(spy, order_type=OrderType.LIMIT, limit_price=1.0)
            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await driver.ask(driver.send_order(resting), OrderSent)
            await driver.until(lambda: driver.of(EXECUTOR, ExecutionReported))
            await asyncio.sleep(0.05)
            state = await driver.read_state()

            (holding,) = state.holdings
            (execution,) = state.executions
            (open_order,) = state.open_orders
            assert (holding.account, holding.quantity) == (ACCOUNT, 10.0)
            assert holding.contract.con_id == spy.con_id
            assert holding.contract.exchange == "SMART"
            assert execution.commission is not None
            assert execution.executed_at is not None
            assert open_order.order_ref == resting.order_ref
            assert (open_order.limit_price, open_order.stop_price) == (1.0, None)
            assert (open_order.filled, open_order.remaining) == (0.0, 10.0)
            assert open_order.order_id == 2
            assert [order.status for order in state.completed_orders] == ["Filled"]
            assert state.account.net_liquidation
            assert state.account.cash
            assert state.fill_counts == ((spy.con_id, 1),)

    run(scenario)


@pytest.mark.req("CON-11", "ORD-7")
def test_what_is_read_again_is_the_same_and_is_no_news() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await driver.until(lambda: driver.of(EXECUTOR, CommissionReported))
            first = await driver.read_state()
            again = await driver.read_state()

            assert again.executions == first.executions
            assert again.completed_orders == first.completed_orders
            assert again.executions[0].commission is not None
            assert len(driver.of(EXECUTOR, CommissionReported)) == 1
            assert len(driver.of(EXECUTOR, ExecutionReported)) == 1

    run(scenario)


@pytest.mark.req("ORD-7")
def test_a_correction_is_read_beside_the_execution_that_it_corrects() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.trade_ready(simulator.port)
            spy = await driver.qualify()
            await driver.ask(driver.send_order(driver.order(spy)), OrderSent)
            await driver.until(lambda: driver.of(EXECUTOR, CommissionReported))
            before = await driver.read_state()
            simulator.faults.correct_execution(before.executions[0].exec_id, price=1.5)
            after = await driver.read_state()

            assert {item.base_id for item in after.executions} == {before.executions[0].base_id}
            assert after.executions[-1].price == 1.5

    run(scenario)


@pytest.mark.req("CON-11")
def test_orders_and_executions_of_other_clients_are_in_the_state() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            other = LinkDriver()
            await other.trade_ready(simulator.port, client_id=2)
            spy = await other.qualify()
            theirs = other.order(spy, order_type=OrderType.LIMIT, limit_price=1.0)
            await other.ask(other.send_order(theirs), OrderSent)
            await other.ask(other.send_order(other.order(spy)), OrderSent)
            await asyncio.sleep(0.05)
            await driver.open(simulator.port)
            state = await driver.read_state()
            other.actor.abandoned()

            assert [order.order_ref for order in state.open_orders] == [theirs.order_ref]
            assert [execution.client_id for execution in state.executions] == [2]

    run(scenario)


@pytest.mark.req("CON-11", "STC-6")
@pytest.mark.parametrize("between", [61, 5, 16, 99, 6])
def test_a_trade_while_the_state_is_read_makes_it_read_again(between: int) -> None:
    """Holdings and executions of one state always agree."""

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            _trade_when_asked(simulator, between, times=2)
            state = await driver.read_state()

            held = sum(holding.quantity for holding in state.holdings)
            traded = sum(execution.signed_quantity for execution in state.executions)
            assert held == traded == 20
            assert state.fill_counts == ((756733, 2),)

    run(scenario)


@pytest.mark.req("CON-16")
def test_a_state_that_never_stands_still_is_handed_out_and_names_what_moves() -> None:
    """The session lives, other contracts can be closed, and no permit fits the one that moves."""

    async def scenario() -> None:
        async with world(LinkSettings(trading=Trading(sends_orders=True))) as (driver, simulator):
            await driver.trade_ready(simulator.port)
            qqq = await driver.qualify("QQQ")
            await driver.ask(driver.send_order(driver.order(qqq)), OrderSent)
            await driver.until(lambda: driver.of(EXECUTOR, ExecutionReported))
            _trade_when_asked(simulator, 61, times=100)
            state = await driver.read_state()

            assert state.moving == (SPY_ID,)
            assert dict(state.fill_counts) == {SPY_ID: -1, qqq.con_id: 1}
            assert driver.of(CONNECTION, SessionEnded) == []

    run(scenario)


def _execution(exec_id: str, quantity: float) -> Execution:
    return Execution(
        exec_id=exec_id,
        contract=Contract(con_id=SPY_ID, symbol="SPY", security_type=SecurityType.STOCK),
        order_id=0,
        client_id=0,
        perm_id=1,
        order_ref="",
        account=ACCOUNT,
        action=OrderAction.BUY,
        quantity=quantity,
        price=1.0,
        executed_at=None,
    )


@pytest.mark.req("CON-16")
@pytest.mark.parametrize(
    ("came_before", "came_behind", "listed", "moving", "count", "closable"),
    [
        (True, True, True, (), 1, 15.0),  # news: computed in
        (True, False, True, (), 1, 10.0),
        (False, False, True, (SPY_ID,), -1, 10.0),  # perhaps in the holding, perhaps not
        (True, True, False, (SPY_ID,), -1, 15.0),  # nothing was listed
    ],
)
def test_what_came_in_while_the_state_was_read_is_computed_in_or_its_contract_is_named(
    *,
    came_before: bool,
    came_behind: bool,
    listed: bool,
    moving: tuple[int, ...],
    count: int,
    closable: float,
) -> None:
    guard, first, second = PositionGuard(), _execution("0001.01", 10.0), _execution("0002.01", 5.0)
    marked = guard.executions_counted
    guard.count_execution(first)
    if came_behind:
        guard.count_execution(second)
    before = {first.exec_id: first} if came_before else {}
    after = {first.exec_id: first} if listed else None

    found = Stillness.of(guard, marked, before, after)
    holding = Holding(account=ACCOUNT, contract=first.contract, quantity=10.0, average_cost=1.0)
    guard.state_was_read((holding,), (), {}, news=found.news, moving=found.moving)

    assert (found.moving, dict(found.fill_counts)[SPY_ID]) == (moving, count)
    assert guard.closable(SPY_ID, OrderAction.SELL) == closable


SILENT: dict[str, tuple[StatePart, ...]] = {
    "reqExecutions": (StatePart.EXECUTIONS,),
    "reqCompletedOrders": (StatePart.COMPLETED_ORDERS,),
    "reqAccountUpdates": (StatePart.ACCOUNT,),
}


@pytest.mark.req("CON-16")
@pytest.mark.parametrize("ignored", SILENT)
def test_a_part_that_is_silent_is_named_and_asked_for_until_it_ends(ignored: str) -> None:
    """The read takes the silence once; those that follow leave the part out, and hear when it is there again."""
    settings = Connection()

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.trade_elsewhere("SPY", 5)
            simulator.faults.ignore_requests(ignored)
            began_at = driver.clock.monotonic()
            first = await driver.read_state(60.0)
            took_s = driver.clock.monotonic() - began_at
            second = await driver.read_state(0.5)
            await asyncio.sleep(2 * settings.read_again_s)
            simulator.faults.answer_requests()
            (told,) = await driver.until(
                lambda: driver.of(CONNECTION, SilentPartAnswered), 2 * settings.read_again_s
            )
            whole = await driver.read_state()

            assert took_s == pytest.approx(settings.read_silence_s, abs=0.2)
            assert first.silent == second.silent == SILENT[ignored]
            assert first.is_complete is (ignored == "reqAccountUpdates")
            assert [holding.quantity for holding in second.holdings] == [5]
            assert told.part is SILENT[ignored][0]
            assert whole.is_complete
            assert driver.of(CONNECTION, SessionEnded) == []

    run(scenario, timeout_s=200.0)


@pytest.mark.req("CON-16")
@pytest.mark.parametrize("needed", ["reqPositions", "reqOpenOrders", "reqAllOpenOrders"])
def test_without_positions_and_open_orders_there_is_no_state_and_the_error_names_them(
    needed: str,
) -> None:
    names = {"reqPositions": "positions"}

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.ignore_requests(needed)
            request = ReadBrokerState(**driver.header(100.0))
            reply = await asyncio.wait_for(driver.post(request), 100.0)
            assert isinstance(reply, RequestFailed)
            error = restore(reply.error)

            assert type(error) is GatewayTimeoutError
            assert f"does not end its answer to: {names.get(needed, 'open orders')}" in str(error)

    run(scenario, timeout_s=200.0)


@pytest.mark.req("CON-16")
def test_a_long_answer_is_no_silence() -> None:
    """Each part of the answer comes within the limit, all of it long after."""
    limit_s = Connection().read_silence_s

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        pending = Pending(loop, "executions", RequestKind.NONE, 1000)

        async def drip() -> None:
            for number in range(10):
                await asyncio.sleep(0.9 * limit_s)
                pending.add(number)
            await asyncio.sleep(0.9 * limit_s)
            pending.finish()

        dripping = loop.create_task(drip())
        await end_of(pending, limit_s)
        await dripping

        late = Pending(loop, "executions", RequestKind.NONE, 1000)
        with pytest.raises(GatewayTimeoutError, match="executions"):
            await end_of(late, limit_s)

    run(scenario, timeout_s=200.0)


@pytest.mark.req("CON-16", "STC-12")
def test_executions_are_asked_for_from_a_moment_and_the_known_one_proves_that_it_was_understood() -> (
    None
):
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.trade_elsewhere("SPY", 1)
            (known,) = (await driver.read_state()).executions
            assert known.executed_at is not None
            begins = known.executed_at - timedelta(minutes=10)
            since = ExecutionsSince(at=begins, known=known.base_id)
            wanted = _moments_asked_for(simulator)
            understood = await _read_since(driver, since)
            moment = f"{begins:%Y%m%d-%H:%M:%S}"

            assert understood == (known,)
            assert wanted == [moment, moment]

            wanted.clear()
            later = attrs.evolve(since, at=begins + timedelta(days=1))
            misread = await _read_since(driver, later)
            again = await _read_since(driver, since)

            assert misread == again == (known,)
            assert wanted == [f"{later.at:%Y%m%d-%H:%M:%S}", "", "", "", ""]

    run(scenario)


def _moments_asked_for(simulator: Simulator) -> list[str]:
    """Keep the time of every filter of executions that the gateway gets from now on."""
    wanted: list[str] = []
    dispatch = simulator.dispatch

    def keep(session: Any, values: list[str]) -> None:
        if values[0] == "7":
            assert values[4] == ACCOUNT
            wanted.append(values[5])
        dispatch(session, values)

    simulator.dispatch = keep  # type: ignore[method-assign]  # what the wire carries is looked at
    return wanted


@pytest.mark.req("CON-16")
def test_who_needs_all_executions_does_not_share_a_read_of_the_recent_ones() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.trade_elsewhere("SPY", 1)
            (known,) = (await driver.read_state()).executions
            assert known.executed_at is not None
            since = ExecutionsSince(at=known.executed_at, known=known.base_id)
            wanted = _moments_asked_for(simulator)
            await asyncio.gather(
                *(_read_since(driver, since) for _ in range(2)),
                *(driver.read_state() for _ in range(2)),
            )

            moment = f"{since.at:%Y%m%d-%H:%M:%S}"
            # The first begins at once, the second is not shared with it; the rest share the third, which is whole.
            assert wanted == [moment, moment, moment, moment, "", ""]

    run(scenario)


async def _read_since(driver: LinkDriver, since: ExecutionsSince) -> tuple[Execution, ...]:
    request = ReadBrokerState(**driver.header(), executions_since=since)
    return (await driver.ask(request, BrokerStateRead)).state.executions


@pytest.mark.req("MODE-5")
def test_a_readonly_session_reads_what_a_readonly_gateway_allows() -> None:
    async def scenario() -> None:
        async with world(read_only=True) as (driver, simulator):
            simulator.faults.trade_elsewhere("SPY", 5)
            await driver.open(simulator.port, readonly=True)
            state = await driver.read_state()

            assert [holding.quantity for holding in state.holdings] == [5]
            assert state.open_orders == ()

    run(scenario)


@pytest.mark.req("POS-4", "GW-6")
def test_positions_and_account_are_pushed_after_they_were_read() -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            await driver.read_state()
            for messages in driver.received.values():
                messages.clear()
            simulator.faults.trade_elsewhere("SPY", 25)
            (reported,) = await driver.until(lambda: driver.of(POSITION, HoldingReported))
            await driver.until(lambda: driver.of(RISK, AccountChanged))

            assert reported.holding.quantity == 25
            assert len(driver.of(RISK, AccountChanged)) == 1
            assert len(driver.of(POSITION, AccountChanged)) == 1
            account = driver.of(RISK, AccountChanged)[0].account
            assert account.account_id == ACCOUNT
            assert account.buying_power

    run(scenario)


@pytest.mark.req("CON-11")
def test_of_several_accounts_the_named_one_is_read() -> None:
    async def scenario() -> None:
        async with world(accounts=("DU1234567", "DU7654321")) as (driver, simulator):
            await driver.open(simulator.port)
            first = await driver.read_state()
            reply = await driver.ask(
                ReadBrokerState(**driver.header(), account="DU7654321"), BrokerStateRead
            )

            assert first.account.account_id == "DU1234567"
            assert reply.state.account.account_id == "DU7654321"
            assert reply.state.account.net_liquidation

    run(scenario)


def _report(**fields: Any) -> BrokerOrder:
    values: dict[str, Any] = {
        "order_id": 3,
        "client_id": 1,
        "perm_id": 99,
        "order_ref": "",
        "contract": None,
        "action": None,
        "quantity": None,
        "order_type": "",
        "limit_price": None,
        "stop_price": None,
        "status": "Submitted",
    }
    return BrokerOrder(**(values | fields))


def test_terms_and_quantities_of_an_order_are_joined_whichever_comes_first() -> None:
    terms = _report(order_type="LMT", quantity=5.0, order_ref="A:1", limit_price=2.0)
    quantities = _report(filled=2.0, remaining=3.0, average_fill_price=1.9, why_held="trigger")
    anonymous = _report(order_type="LMT", quantity=5.0, order_ref="A:1", order_id=0)

    for reports in (
        [terms, quantities],
        [quantities, terms],
        [terms, quantities, terms],
        [terms, quantities, anonymous],
    ):
        (joined,) = merge_orders(reports)

        assert (joined.order_id, joined.order_ref, joined.quantity) == (3, "A:1", 5.0)
        assert (joined.filled, joined.remaining, joined.why_held) == (2.0, 3.0, "trigger")


def test_an_order_of_which_only_the_state_is_known_is_left_out() -> None:
    assert merge_orders([_report(filled=1.0)]) == ()


@pytest.mark.req("CON-11")
def test_the_state_is_read_in_four_round_trips() -> None:
    """What may be asked for side by side is; on a slow line that is what a reconnection takes."""
    round_trip_s = 0.1

    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.latency(round_trip_s)
            began_at = driver.clock.monotonic()
            await driver.read_state()

            assert driver.clock.monotonic() - began_at == pytest.approx(4 * round_trip_s, abs=0.01)

    run(scenario)


@pytest.mark.req("CON-11")
@pytest.mark.parametrize("refused", ["reqPositions", "reqOpenOrders"])
def test_a_read_that_fails_leaves_no_question_behind_whose_answer_could_be_mistaken(
    refused: str,
) -> None:
    async def scenario() -> None:
        async with world() as (driver, simulator):
            await driver.open(simulator.port)
            simulator.faults.ignore_requests(refused)
            error = await driver.failure(ReadBrokerState(**driver.header(0.5)))
            ended = await driver.until(lambda: driver.of(CONNECTION, SessionEnded))

            assert isinstance(error, GatewayError)
            assert ended[0].cause is DisconnectCause.REQUEST_UNANSWERED

    run(scenario)


@pytest.mark.req("STC-12")
def test_a_busy_days_executions_are_decoded_once() -> None:
    """A memory that is shorter than the list would push out its beginning before it is read again."""
    of_the_day = 6_500

    async def scenario() -> None:
        async with world() as (driver, simulator):
            for number in range(of_the_day):
                simulator.faults.trade_elsewhere("SPY", 1 if number % 2 else -1)
            await driver.open(simulator.port)
            decoder._execution.cache_clear()
            state = await driver.read_state(60.0)

            assert len(state.executions) == of_the_day
            assert decoder._execution.cache_info().misses == of_the_day
            assert decoder._execution.cache_info().hits == of_the_day

    run(scenario)
