"""The road of an order, from the signal to the broker's last word; the simulator's ledger is the witness."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import attrs
import pytest

from actors.errors import (
    GatewayError,
    ModeError,
    OrderNotFoundError,
    OrderValidationError,
)
from actors.kernel.addresses import TapRecord
from actors.logic.order_ids import order_id_of
from actors.messages.addresses import EXECUTOR, LINK
from actors.messages.orders import CancelOrder, OrderRefusedAtGate, SendOrder
from actors.messages.risk import OrderApproved, RequestApproval
from actors.model.orders import (
    OrderStatus,
    StrategyContext,
    TradeRequest,
    TradingSignal,
    ValidationResult,
)
from supervision.config.sections import StrategyC
from supervision.proof.time import EPOCH
from supervision.simulator import SimulatorConfig
from supervision.simulator.config import DEFAULT_ACCOUNT as ACCOUNT
from tests.faults.crash import crash
from tests.walk.watching import ending, taken, tapped
from tests.worlds import CONTEXT, LENIENT, SIMULATED, ProofWorld, a_config, buy, prove, sell

LIMIT_BELOW = 590.0
STOP_ABOVE = 600.0
QUANTITY = 100
SLICE = 40
SLICE_DELAY_S = 2.0
MULTIPLIER = 100
STRIKE = 600.0
MONTH_DAYS = 30
TIMEOUT_S = 5.0
CANCEL_LEAD_S = 1.0
LONG_S = 60.0

REJECTED_BY_BROKER = 201
NO_SUCH_CONTRACT = 200
UNRESTING = SimulatorConfig(seed=7, max_fill_quantity=SLICE, slice_delay_s=SLICE_DELAY_S)
GRACEFUL = a_config(strategy_c=StrategyC(grace_seconds=60.0))
CONSIDERING_S = 0.4
TWO_ORDERS = attrs.evolve(LENIENT, max_position_quantity=2.0 * QUANTITY)


@attrs.define
class Considering:
    """A risk manager that says yes, after a while."""

    considers_s: float = CONSIDERING_S

    async def validate_trade(self, request: TradeRequest) -> ValidationResult:
        """Approve."""
        del request
        await asyncio.sleep(self.considers_s)
        return ValidationResult(approved=True)

    def sync_positions(self, positions: Any) -> None:
        """Take no notice."""


def limit(quantity: float = QUANTITY, price: float = LIMIT_BELOW, **fields: Any) -> TradingSignal:
    """Make a limit order to buy, far enough below the market to rest."""
    return buy(quantity, order_type="LMT", limit_price=price, **fields)


async def option_signal(
    world: ProofWorld, quantity: float = 2, right: str = "C", **fields: Any
) -> TradingSignal:
    """Make an order for an option that the chain lists, about a month away."""
    chain = await world.gateway.get_option_chain("SPY")
    today = world.proof.clock.now().date()
    expiry = next(day for day in chain.expiries if (day - today).days >= MONTH_DAYS)
    assert STRIKE in chain.strikes
    return buy(quantity, expiry=expiry.strftime("%Y%m%d"), strike=STRIKE, right=right, **fields)


# --- the three kinds --------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-1", "ORD-5", "GW-4")
@pytest.mark.parametrize("order_type", ["MKT", "MARKET", "market"])
def test_a_market_order_fills_and_says_how(order_type: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        result = await world.gateway.submit_order(buy(QUANTITY, order_type=order_type), CONTEXT)
        (execution,) = world.simulator.executions()
        return result, execution, world.simulator.ledger, world.proof.clock.now()

    result, execution, ledger, now = prove(scenario)

    assert result.status is OrderStatus.FILLED
    assert (result.fill_quantity, result.fill_price) == (QUANTITY, execution.price)
    assert (result.quantity, result.symbol, result.action) == (QUANTITY, "SPY", "BUY")
    assert result.ibkr_order_id == ledger[0].order_id
    assert result.order_id.startswith("ORD_")
    assert (result.rejection_reason, result.cancel_confirmed) == (None, None)
    assert result.execution_mode == "paper"
    assert result.risk_validation.approved
    assert result.timestamp == now
    assert [(entry.kind, entry.order_type, entry.limit_price) for entry in ledger] == [
        ("place", "MKT", None)
    ]


@pytest.mark.req("ORD-1")
@pytest.mark.parametrize("order_type", ["LMT", "LIMIT"])
def test_a_limit_order_carries_its_price_and_fills_within_it(order_type: str) -> None:
    marketable = STOP_ABOVE

    async def scenario(world: ProofWorld) -> Any:
        signal = buy(QUANTITY, order_type=order_type, limit_price=marketable)
        return await world.gateway.submit_order(signal, CONTEXT), world.simulator.ledger[0]

    result, entry = prove(scenario)

    assert result.status is OrderStatus.FILLED
    assert result.fill_price <= marketable
    assert (entry.order_type, entry.limit_price, entry.stop_price) == ("LMT", marketable, None)


@pytest.mark.req("ORD-1", "ORD-6")
@pytest.mark.parametrize("order_type", ["STP", "STOP"])
def test_a_stop_order_is_answered_at_its_acknowledgement_and_works_on(order_type: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        signal = buy(QUANTITY, order_type=order_type, stop_price=STOP_ABOVE)
        ended = await ending(world, gateway.submit_order(signal, CONTEXT, TIMEOUT_S))
        await asyncio.sleep(LONG_S)
        working = world.simulator.open_orders()
        stream = gateway.fills()
        world.simulator.faults.move_price("SPY", 1.02)
        (fill,) = await taken(stream, 1)
        return ended, world.simulator.ledger, working, fill

    ended, ledger, working, fill = prove(scenario)

    assert (ended.result.status, ended.after_s) == (OrderStatus.PENDING, 0.0)
    assert [(entry.kind, entry.order_type, entry.stop_price) for entry in ledger] == [
        ("place", "STP", STOP_ABOVE)
    ]
    assert len(working) == 1
    assert (fill.quantity, fill.price >= STOP_ABOVE) == (QUANTITY, True)


@pytest.mark.req("ORD-1")
@pytest.mark.parametrize("time_in_force", ["DAY", "GTC"])
def test_the_time_in_force_stands_on_the_order(time_in_force: str) -> None:
    async def scenario(world: ProofWorld) -> str:
        signal = limit(time_in_force=time_in_force)
        await world.gateway.submit_order(signal, CONTEXT, wait_for="ack")
        return world.simulator.ledger[0].tif

    assert prove(scenario) == time_in_force


@pytest.mark.req("ORD-1", "ORD-2", "POS-2")
@pytest.mark.parametrize("right", ["C", "CALL", "P", "PUT"])
def test_an_option_order_names_one_contract_and_its_position_counts_the_multiplier(
    right: str,
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        signal = await option_signal(world, 2, right)
        result = await world.gateway.submit_order(signal, CONTEXT)
        await asyncio.sleep(2.0)
        (position,) = await world.gateway.get_positions()
        (held,) = world.simulator.positions().values()
        return signal, result, position, held, world.simulator.ledger[0]

    signal, result, position, held, entry = prove(scenario)

    assert result.status is OrderStatus.FILLED
    assert entry.con_id == held.contract.con_id == position.contract.con_id
    assert (held.contract.expiry, held.contract.strike) == (signal.expiry, STRIKE)
    assert held.contract.right == right[0]
    assert (position.quantity, position.contract.multiplier) == (2, MULTIPLIER)
    assert position.entry_price == pytest.approx(held.avg_cost / MULTIPLIER)
    assert position.entry_price == pytest.approx(result.fill_price, rel=0.05)


# --- contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-2")
def test_an_unknown_contract_fails_the_order_and_nothing_is_sent() -> None:
    async def scenario(world: ProofWorld) -> Any:
        result = await world.gateway.submit_order(buy(symbol="NOSUCH"), CONTEXT)
        return result, world.simulator.ledger

    result, ledger = prove(scenario)

    assert (result.status, ledger) == (OrderStatus.FAILED, ())
    assert "NOSUCH" in result.rejection_reason
    assert "no such contract" in result.rejection_reason.lower() or "200" in result.rejection_reason


@pytest.mark.req("ORD-2")
def test_an_option_that_is_not_listed_fails_the_order() -> None:
    async def scenario(world: ProofWorld) -> Any:
        signal = buy(1, expiry="20271225", strike=STRIKE, right="C")
        return await world.gateway.submit_order(signal, CONTEXT), world.simulator.ledger

    result, ledger = prove(scenario)

    assert (result.status, ledger) == (OrderStatus.FAILED, ())


# --- invalid signals --------------------------------------------------------------------------------------------------

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "NaN limit": ({"order_type": "LMT", "limit_price": math.nan}, "limit_price"),
    "infinite limit": ({"order_type": "LMT", "limit_price": math.inf}, "limit_price"),
    "negative limit": ({"order_type": "LMT", "limit_price": -1.0}, "limit_price"),
    "LMT without a limit": ({"order_type": "LMT"}, "limit_price"),
    "STP without a stop": ({"order_type": "STP"}, "stop_price"),
    "MKT with a limit": ({"limit_price": 1.0}, "limit_price"),
    "zero quantity": ({"quantity": 0}, "quantity"),
    "negative quantity": ({"quantity": -5}, "quantity"),
    "NaN quantity": ({"quantity": math.nan}, "quantity"),
    "part of a share": ({"quantity": 0.5}, "quantity"),
    "unknown action": ({"action": "HOLD"}, "action"),
    "unknown type": ({"order_type": "TRAIL"}, "order_type"),
    "unknown time in force": ({"time_in_force": "OPG"}, "time_in_force"),
    "bad expiry": ({"expiry": "2026-12-18", "strike": 600.0, "right": "C"}, "expiry"),
    "no such day": ({"expiry": "20260230", "strike": 600.0, "right": "C"}, "expiry"),
    "expired option": ({"expiry": "20251120", "strike": 600.0, "right": "C"}, "expiry"),
    "right alone": ({"right": "C"}, "expiry, strike and right"),
    "bad right": ({"expiry": "20261218", "strike": 600.0, "right": "X"}, "right"),
    "strike zero": ({"expiry": "20261218", "strike": 0.0, "right": "C"}, "strike"),
    "no symbol": ({"symbol": ""}, "symbol"),
    "symbol that breaks the frame": ({"symbol": "SPY\0"}, "symbol"),
    "strength above one": ({"signal_strength": 1.5}, "signal_strength"),
}


@pytest.mark.req("ORD-10")
@pytest.mark.parametrize(("fields", "named"), INVALID.values(), ids=INVALID)
def test_invalid_input_is_refused_before_risk_with_the_field_named(
    fields: dict[str, Any], named: str
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        judged = tapped(world.process, RequestApproval)
        valid: dict[str, Any] = {"symbol": "SPY", "action": "BUY", "quantity": 1}
        signal = TradingSignal(**(valid | fields))
        with pytest.raises(OrderValidationError, match=named):
            await world.gateway.submit_order(signal, CONTEXT)
        return judged, world.simulator.ledger

    assert prove(scenario) == ([], ())


@pytest.mark.req("ORD-10")
def test_every_fault_of_a_signal_is_told_at_once() -> None:
    async def scenario(world: ProofWorld) -> str:
        signal = TradingSignal(symbol="spy!", action="HOLD", quantity=0, order_type="LMT")
        with pytest.raises(OrderValidationError) as error:
            await world.gateway.submit_order(signal, StrategyContext(strategy_id=""))
        return str(error.value)

    text = prove(scenario)

    for field in ("symbol", "action", "quantity", "limit_price", "strategy_id"):
        assert field in text


@pytest.mark.req("ORD-10", "OBS-4")
def test_a_refusal_does_not_repeat_an_account_number() -> None:
    async def scenario(world: ProofWorld) -> Any:
        with pytest.raises(OrderValidationError) as refused:
            await world.gateway.submit_order(buy(symbol=f"{ACCOUNT}, and more of it"), CONTEXT)
        return str(refused.value)

    told = prove(scenario)

    assert "symbol" in told
    assert ACCOUNT not in told


@pytest.mark.req("ORD-10")
def test_an_option_may_be_asked_for_on_its_last_day_at_the_exchange() -> None:
    """Late in the evening in New York it is the next day in UTC."""

    async def scenario(world: ProofWorld) -> Any:
        signal = buy(1, expiry=f"{EPOCH:%Y%m%d}", strike=STRIKE, right="C")
        result = await world.gateway.submit_order(signal, CONTEXT)
        return world.proof.clock.now().date(), result.symbol

    day, symbol = prove(scenario, epoch=EPOCH + timedelta(hours=13))

    assert (day, symbol) == (EPOCH.date() + timedelta(days=1), "SPY")


@pytest.mark.req("ORD-10", "ORD-6")
def test_an_unknown_wait_is_refused() -> None:
    async def scenario(world: ProofWorld) -> Any:
        with pytest.raises(OrderValidationError, match="wait_for must be fill or ack"):
            await world.gateway.submit_order(buy(), CONTEXT, wait_for="ever")
        return world.simulator.ledger

    assert prove(scenario) == ()


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-3")
def test_every_order_and_every_close_has_an_approval_of_its_own() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        approved = tapped(world.process, OrderApproved)
        sent = tapped(world.process, SendOrder)
        await gateway.submit_order(buy(QUANTITY), CONTEXT)
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        await gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW + 1)
        await gateway.cancel_order(working.order_id)
        await gateway.close_position("SPY_756733", "MANUAL")
        placed = [entry for entry in world.simulator.ledger if entry.kind in ("place", "modify")]
        return approved, sent, placed

    approved, sent, placed = prove(scenario)

    assert len(placed) == len(sent) == len(approved) == 4
    assert [message.permit for message in sent] == [message.permit for message in approved]
    assert len({message.permit.permit_id for message in sent}) == 4
    assert [entry.order_ref for entry in placed] == [message.order.order_ref for message in sent]


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize("change", ["again", "quantity", "signature"])
def test_an_injected_order_without_a_fresh_permit_for_it_is_refused(change: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        sent = tapped(world.process, SendOrder)
        refused = tapped(world.process, OrderRefusedAtGate)
        await world.gateway.submit_order(buy(QUANTITY), CONTEXT)
        (message,) = sent
        order, permit = message.order, message.permit
        if change != "again":
            order = attrs.evolve(order, order_ref=order.order_ref + "x")
            permit = attrs.evolve(permit, order_ref=order.order_ref, permit_id="unused")
        if change == "quantity":
            order = attrs.evolve(order, quantity=QUANTITY + 1)
        if change == "signature":
            permit = attrs.evolve(permit, signature=b"forged" * 8)
        world.process.tell(
            LINK,
            SendOrder(
                correlation_id="injected",
                deadline=world.process.clock.monotonic() + TIMEOUT_S,
                reply_to="executor",
                permit=permit,
                order=order,
            ),
        )
        await world.until(lambda: bool(refused))
        return world.simulator.ledger

    assert len(prove(scenario)) == 1


# --- changing and cancelling ------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-1", "GW-4")
def test_a_working_order_can_be_modified_and_cancelled() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        listed = await gateway.get_open_orders()
        changed = await gateway.modify_order(
            working.order_id, quantity=QUANTITY - 1, limit_price=LIMIT_BELOW + 1
        )
        cancelled = await gateway.cancel_order(working.order_id)
        left = await gateway.get_open_orders()
        return working, listed, changed, cancelled, left, world.simulator.ledger

    working, listed, changed, cancelled, left, ledger = prove(scenario)

    assert [order.order_id for order in listed] == [working.order_id]
    assert (changed.status, changed.quantity) == (OrderStatus.PENDING, QUANTITY - 1)
    assert (cancelled.status, cancelled.fill_quantity) == (OrderStatus.CANCELLED, 0)
    assert left == []
    assert [(entry.kind, entry.order_id) for entry in ledger] == [
        ("place", 1),
        ("modify", 1),
        ("cancel", 1),
    ]
    assert (ledger[1].quantity, ledger[1].limit_price) == (QUANTITY - 1, LIMIT_BELOW + 1)
    assert ledger[1].order_ref == ledger[0].order_ref


@pytest.mark.req("ORD-1")
def test_a_change_that_the_broker_refuses_leaves_the_order_as_it_was() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        world.simulator.faults.reject_next_order(REJECTED_BY_BROKER)
        ended = await ending(
            world, gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW + 1)
        )
        return ended, await gateway.get_open_orders(), world.simulator.open_orders()

    ended, ours, theirs = prove(scenario)

    assert isinstance(ended.error, GatewayError)
    assert str(REJECTED_BY_BROKER) in str(ended.error)
    assert len(ours) == len(theirs)


@pytest.mark.req("ORD-1")
def test_a_change_after_a_refused_one_starts_from_the_terms_in_force() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        world.simulator.faults.reject_next_order(REJECTED_BY_BROKER)
        refused = await ending(
            world, gateway.modify_order(working.order_id, quantity=QUANTITY + SLICE)
        )
        await gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW + 1)
        return refused, world.simulator.ledger[-1], world.simulator.open_orders()

    refused, last, (order,) = prove(scenario)

    assert str(REJECTED_BY_BROKER) in str(refused.error)
    assert (last.quantity, last.limit_price) == (QUANTITY, LIMIT_BELOW + 1)
    assert order.quantity == QUANTITY


@pytest.mark.req("ORD-1", "ORD-3", "RSK-6")
def test_a_change_of_an_order_that_ended_meanwhile_is_not_sent() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, faults = world.gateway, world.simulator.faults
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        changing = asyncio.ensure_future(
            ending(world, gateway.modify_order(working.order_id, quantity=2 * QUANTITY))
        )
        await asyncio.sleep(CONSIDERING_S / 2)
        faults.fill(world.simulator.open_orders()[0].perm_id)
        changed = await changing
        more = await gateway.submit_order(buy(QUANTITY), CONTEXT)
        return changed, [entry.kind for entry in world.simulator.ledger], more

    changed, kinds, more = prove(
        scenario, config=a_config(risk=TWO_ORDERS), risk_manager=Considering()
    )

    assert isinstance(changed.error, OrderNotFoundError)
    assert kinds == ["place", "place"]
    assert more.status is OrderStatus.FILLED, "what risk had reserved for the change is free again"


@pytest.mark.req("ORD-1", "ORD-3")
def test_a_change_that_risk_rejects_is_not_sent() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        with pytest.raises(ModeError, match=r"rejected by risk.*deviation of the price"):
            await gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW / 2)
        return [entry.kind for entry in world.simulator.ledger]

    assert prove(scenario) == ["place"]


@pytest.mark.req("ORD-1", "RSK-3")
def test_an_order_that_has_rested_long_is_changed_by_a_fresh_quote() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        await asyncio.sleep(10 * LONG_S)
        return await gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW + 1)

    assert prove(scenario).status is OrderStatus.PENDING


@pytest.mark.req("ORD-1")
def test_of_two_changes_at_once_the_second_is_refused() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        first = gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW + 1)
        second = gateway.modify_order(working.order_id, limit_price=LIMIT_BELOW + 2)
        answers = await asyncio.gather(first, second, return_exceptions=True)
        return answers, world.simulator.open_orders()[0].limit_price

    (first, second), price = prove(scenario)

    assert first.status is OrderStatus.PENDING
    assert isinstance(second, ModeError)
    assert price == LIMIT_BELOW + 1


@pytest.mark.req("ORD-10")
def test_a_change_to_nonsense_is_refused() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        for change in ({"limit_price": math.nan}, {"quantity": 0}, {"stop_price": 600.0}, {}):
            with pytest.raises(OrderValidationError):
                await gateway.modify_order(working.order_id, **change)
        return [entry.kind for entry in world.simulator.ledger]

    assert prove(scenario) == ["place"]


@pytest.mark.req("ORD-1")
def test_changing_what_does_not_work_any_more_is_refused() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        filled = await gateway.submit_order(buy(), CONTEXT)
        with pytest.raises(OrderNotFoundError, match="not working"):
            await gateway.modify_order(filled.order_id, quantity=5)
        cancelled = await gateway.cancel_order(filled.order_id)
        with pytest.raises(OrderNotFoundError):
            await gateway.cancel_order("ORD_of_nobody")
        return cancelled, [entry.kind for entry in world.simulator.ledger]

    cancelled, kinds = prove(scenario)

    assert cancelled.status is OrderStatus.FILLED, "a filled order stays filled"
    assert kinds == ["place"]


@pytest.mark.req("ORD-1", "ORD-7")
def test_an_order_whose_cancel_is_refused_lives_on_and_may_fill() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, faults = world.gateway, world.simulator.faults
        working = await gateway.submit_order(limit(), CONTEXT, wait_for="ack")
        faults.refuse_cancel(count=1000)  # it is told again and again
        ended = await ending(world, gateway.cancel_order(working.order_id, TIMEOUT_S))
        stream = gateway.fills()
        faults.fill(world.simulator.open_orders()[0].perm_id)
        (fill,) = await taken(stream, 1)
        return ended, fill

    ended, fill = prove(scenario)

    assert ended.result is None or ended.result.status is not OrderStatus.CANCELLED
    assert fill.quantity == QUANTITY


# --- deadlines and partial fills --------------------------------------------------------------------------------------


@pytest.mark.req("ORD-6")
def test_an_unfilled_order_is_cancelled_before_its_deadline_and_says_so() -> None:
    async def scenario(world: ProofWorld) -> Any:
        ended = await ending(world, world.gateway.submit_order(limit(), CONTEXT, TIMEOUT_S))
        return ended, world.simulator.ledger, world.simulator.open_orders()

    ended, ledger, working = prove(scenario)

    assert (ended.result.status, ended.result.fill_quantity) == (OrderStatus.TIMEOUT, 0)
    assert ended.result.cancel_confirmed is True
    assert [entry.kind for entry in ledger] == ["place", "cancel"]
    assert ledger[1].received_s - ledger[0].received_s == TIMEOUT_S - CANCEL_LEAD_S
    assert working == ()


@pytest.mark.req("ORD-6", "ORD-5")
def test_a_partly_filled_order_reports_its_true_quantities_at_the_deadline() -> None:
    async def scenario(world: ProofWorld) -> Any:
        result = await world.gateway.submit_order(buy(3 * SLICE), CONTEXT, 4.0)
        await asyncio.sleep(LONG_S)
        executions = world.simulator.executions()
        return result, executions, world.simulator.positions(), world.simulator.open_orders()

    result, executions, positions, working = prove(scenario, simulated=UNRESTING)

    filled = sum(execution.quantity for execution in executions)
    average = sum(each.quantity * each.price for each in executions) / filled
    assert 0 < filled < 3 * SLICE
    assert (result.status, result.fill_quantity) == (OrderStatus.PARTIAL, filled)
    assert result.fill_price == pytest.approx(average)
    assert result.cancel_confirmed is True
    assert [position.quantity for position in positions.values()] == [filled]
    assert working == ()


@pytest.mark.req("ORD-6")
def test_a_cancel_that_is_not_confirmed_is_told_and_stays_tracked() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway, faults = world.gateway, world.simulator.faults
        faults.ignore_requests("cancelOrder")
        result = await gateway.submit_order(limit(), CONTEXT, TIMEOUT_S)
        tracked = await gateway.get_open_orders()
        stream = gateway.orders()
        faults.fill(world.simulator.open_orders()[0].perm_id)
        async with asyncio.timeout(LONG_S):
            async for change in stream:
                if change.status is OrderStatus.FILLED:
                    break
        return result, tracked, change

    result, tracked, late = prove(scenario)

    assert (result.status, result.cancel_confirmed) == (OrderStatus.TIMEOUT, False)
    assert [order.order_id for order in tracked] == [result.order_id]
    assert (late.order_id, late.fill_quantity) == (result.order_id, QUANTITY)


@pytest.mark.req("ORD-6")
def test_an_acknowledged_order_is_left_to_work_beyond_the_deadline() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(limit(), CONTEXT, TIMEOUT_S, wait_for="ack")
        await asyncio.sleep(LONG_S)
        return len(world.simulator.open_orders())

    assert prove(scenario) == 1


@pytest.mark.req("ORD-6")
def test_a_cancel_that_meets_its_order_at_the_gate_is_sent_once_it_has_an_address() -> None:
    async def scenario(world: ProofWorld) -> Any:
        def cancel(record: TapRecord) -> None:
            if isinstance(record.message, SendOrder):
                request = CancelOrder(
                    correlation_id="cancel",
                    deadline=record.message.deadline,
                    reply_to="nobody",
                    order_id=order_id_of(record.message.order.order_ref),
                )
                world.process.tell(EXECUTOR, request)

        world.process.tap(cancel)
        await ending(world, world.gateway.submit_order(limit(), CONTEXT, wait_for="ack"))
        await asyncio.sleep(LONG_S)
        return [entry.kind for entry in world.simulator.ledger], world.simulator.open_orders()

    kinds, working = prove(scenario)

    assert kinds == ["place", "cancel"]
    assert working == ()


@pytest.mark.req("ORD-6", "CON-11")
def test_a_remainder_whose_deadline_passed_while_the_link_was_down_is_cancelled_on_reconnect() -> (
    None
):
    async def scenario(world: ProofWorld) -> Any:
        async def lose_the_link() -> None:
            await asyncio.sleep(TIMEOUT_S - CANCEL_LEAD_S - 0.5)
            world.simulator.faults.refuse_connections(TIMEOUT_S)
            world.simulator.faults.drop_connections()

        losing = asyncio.ensure_future(lose_the_link())
        result = await world.gateway.submit_order(limit(), CONTEXT, TIMEOUT_S)
        await losing
        await asyncio.sleep(LONG_S)
        return result, [entry.kind for entry in world.simulator.ledger], world.simulator

    result, kinds, simulator = prove(scenario, config=GRACEFUL)

    assert (result.status, result.cancel_confirmed) == (OrderStatus.TIMEOUT, False)
    assert kinds == ["place", "cancel"]
    assert simulator.open_orders() == ()


@pytest.mark.req("ORD-6", "RSK-6")
def test_an_order_that_never_left_before_its_deadline_gives_back_what_was_reserved() -> None:
    async def scenario(world: ProofWorld) -> Any:
        manager.considers_s = TIMEOUT_S + 0.01
        late = await ending(
            world, world.gateway.submit_order(limit(), CONTEXT, TIMEOUT_S, wait_for="ack")
        )
        manager.considers_s = 0.0
        return late, await world.gateway.submit_order(buy(2 * QUANTITY), CONTEXT)

    manager = Considering()
    late, next_one = prove(scenario, config=a_config(risk=TWO_ORDERS), risk_manager=manager)

    assert late.result.status is OrderStatus.TIMEOUT
    assert next_one.status is OrderStatus.FILLED


@pytest.mark.req("SUP-3", "SUP-6")
@pytest.mark.parametrize("seed", range(8))
def test_orders_that_wait_for_a_restarted_executor_are_sent(seed: int) -> None:
    async def scenario(world: ProofWorld) -> Any:
        crash(world.process, EXECUTOR)
        orders = (world.gateway.submit_order(buy(1 + more), CONTEXT) for more in range(3))
        return await asyncio.gather(*orders)

    results = prove(scenario, seed=seed)

    assert [result.status for result in results] == [OrderStatus.FILLED] * 3


# --- fills ------------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-7")
def test_a_fill_in_several_executions_reports_the_weighted_price_and_all_commissions() -> None:
    async def scenario(world: ProofWorld) -> Any:
        stream = world.gateway.orders()
        await world.gateway.submit_order(buy(QUANTITY), CONTEXT)
        await asyncio.sleep(1.0)
        await world.gateway.disconnect()
        return [change async for change in stream][-1], world.simulator.executions()

    sliced = SimulatorConfig(seed=7, max_fill_quantity=SLICE)
    change, executions = prove(scenario, simulated=sliced)

    average = sum(each.quantity * each.price for each in executions) / QUANTITY
    assert [each.quantity for each in executions] == [SLICE, SLICE, QUANTITY - 2 * SLICE]
    assert change.fill_price == pytest.approx(average)
    assert change.fill_quantity == QUANTITY
    assert change.commission == pytest.approx(sum(each.commission for each in executions))


@pytest.mark.req("ORD-7")
def test_a_duplicate_execution_counts_once() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.duplicate_execution(5)
        result = await world.gateway.submit_order(buy(QUANTITY), CONTEXT)
        await asyncio.sleep(1.0)
        again = await world.gateway.submit_order(sell(QUANTITY), CONTEXT)
        await asyncio.sleep(1.0)
        return (
            result,
            again,
            await world.gateway.get_positions(),
            await world.gateway.close_all_positions("MANUAL"),
        )

    bought, sold, positions, closed = prove(scenario)

    assert (bought.fill_quantity, sold.fill_quantity) == (QUANTITY, QUANTITY)
    assert (positions, closed) == ([], [])


@pytest.mark.req("ORD-7")
def test_a_correction_replaces_what_it_corrects() -> None:
    corrected = 594.0

    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        await gateway.submit_order(buy(QUANTITY), CONTEXT)
        fills, orders = gateway.fills(), gateway.orders()
        (execution,) = world.simulator.executions()
        world.simulator.faults.correct_execution(execution.exec_id, price=corrected)
        (fill,) = await taken(fills, 1)
        async with asyncio.timeout(LONG_S):
            async for order in orders:
                if order.fill_price == corrected:
                    break
        (position,) = await gateway.get_positions()
        return fill, order, position

    fill, order, position = prove(scenario)

    assert (fill.price, fill.quantity) == (corrected, QUANTITY)
    assert (order.fill_price, order.fill_quantity) == (corrected, QUANTITY)
    assert position.quantity == QUANTITY


@pytest.mark.req("ORD-7", "ORD-6")
def test_a_fill_after_the_confirmed_cancel_reaches_order_position_and_risk() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        world.simulator.faults.late_fill(delay_s=3.0)
        orders = gateway.orders()
        result = await gateway.submit_order(limit(), CONTEXT, TIMEOUT_S)
        async with asyncio.timeout(LONG_S):
            async for change in orders:
                if change.status is OrderStatus.FILLED:
                    break
        await asyncio.sleep(1.0)
        (position,) = await gateway.get_positions()
        (closed,) = await gateway.close_all_positions("MANUAL")
        return result, change, position, closed, world.simulator.positions()

    result, change, position, closed, left = prove(scenario)

    assert (result.status, result.cancel_confirmed) == (OrderStatus.TIMEOUT, True)
    assert (change.fill_quantity, position.quantity) == (QUANTITY, QUANTITY)
    assert (closed.status, left) == (OrderStatus.FILLED, {}), "risk knows of it, too"


# --- rejections and lost words ----------------------------------------------------------------------------------------


@pytest.mark.req("ORD-5")
@pytest.mark.parametrize("inactive", [False, True], ids=["error alone", "with Inactive"])
def test_a_rejection_by_the_broker_fails_the_order_with_its_text(inactive: bool) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.reject_next_order(
            REJECTED_BY_BROKER, "Order rejected - reason: too bold", inactive=inactive
        )
        ended = await ending(world, world.gateway.submit_order(buy(), CONTEXT, TIMEOUT_S))
        next_one = await world.gateway.submit_order(buy(), CONTEXT)
        return ended, next_one, world.simulator.ledger

    ended, next_one, ledger = prove(scenario)

    assert (ended.result.status, ended.result.fill_quantity) == (OrderStatus.FAILED, 0)
    assert "too bold" in ended.result.rejection_reason
    assert ended.after_s < 1.0
    assert next_one.status is OrderStatus.FILLED
    assert len(ledger) == 2


@pytest.mark.req("ORD-5")
def test_an_order_that_the_exchange_cancels_is_cancelled() -> None:
    async def scenario(world: ProofWorld) -> Any:
        submitted = asyncio.create_task(world.gateway.submit_order(limit(), CONTEXT, 4 * TIMEOUT_S))
        await world.until(lambda: bool(world.simulator.open_orders()))
        world.simulator.faults.cancel_order(world.simulator.open_orders()[0].perm_id, "halted")
        return await submitted

    result = prove(scenario)

    assert (result.status, result.fill_quantity) == (OrderStatus.CANCELLED, 0)


@pytest.mark.req("ORD-5")
def test_an_order_without_acknowledgement_is_asked_for_and_never_resent() -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.hold_orders()
        world.simulator.faults.lose_acknowledgement("silent")
        orders = world.gateway.orders()
        ended = await ending(world, world.gateway.submit_order(limit(), CONTEXT, TIMEOUT_S))
        await asyncio.sleep(LONG_S)
        return ended, world.simulator.ledger, orders

    ended, ledger, _ = prove(scenario, config=GRACEFUL)

    assert ended.result.status in (OrderStatus.TIMEOUT, OrderStatus.UNKNOWN)
    assert [entry.kind for entry in ledger if entry.kind == "place"] == ["place"]


@pytest.mark.req("ORD-4")
def test_each_order_has_a_reference_of_its_own_also_after_a_reconnect() -> None:
    async def scenario(world: ProofWorld) -> Any:
        gateway = world.gateway
        for _ in range(3):
            await gateway.submit_order(buy(), CONTEXT)
        await gateway.disconnect()
        await gateway.connect()
        for _ in range(3):
            await gateway.submit_order(buy(), CONTEXT)
        return world.simulator.ledger

    ledger = prove(scenario)

    assert len({entry.order_ref for entry in ledger}) == 6
    assert len({entry.order_id for entry in ledger}) == 6
    assert all(entry.order_ref.startswith("CSATSPRIM:ORD_") for entry in ledger)


@pytest.mark.req("ORD-4")
def test_the_account_on_an_order_is_the_managed_one_and_never_the_operator() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(), CONTEXT)
        return world.simulator.ledger[0]

    entry = prove(scenario, simulated=SIMULATED)

    assert (entry.account, entry.ext_operator) == (SIMULATED.account, "CSATSPRIM")


@pytest.mark.req("ORD-4")
def test_an_operator_of_the_name_of_a_managed_account_trades_that_account() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(), CONTEXT)
        return world.simulator.ledger[0].account

    several = SimulatorConfig(accounts=("DU1111111", "DESK7"))

    assert prove(scenario, simulated=several, operator_id="DESK7") == "DESK7"
