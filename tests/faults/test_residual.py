"""What happens to an account that is no loss of its positions: transfers, residuals, values told wrong (RULES 4)."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from actors import messages as m
from actors.errors import ModeError, OrderValidationError
from actors.messages.addresses import RISK
from actors.model.orders import OrderStatus
from supervision.simulator import SimulatorConfig
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, sell

CASH = 100_000.0
MODEST = SimulatorConfig(seed=7, cash=CASH)
UNMARKED = SimulatorConfig(seed=7, cash=CASH, account_interval_s=1e6)
STRICT = a_config(risk=attrs.evolve(LENIENT, daily_loss_ratio=0.03, weekly_drawdown_ratio=0.06))
BOLD = attrs.evolve(CONTEXT, risk_per_trade=1.0)
HELD = 100.0


class Notes:
    """The log."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.noted.append((event, fields))

    def of(self, name: str) -> list[dict[str, Any]]:
        """All notes of one event."""
        return [fields for event, fields in self.noted if event == name]


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize("amount", [-60_000.0, -4_000.0, 40_000.0])
def test_a_transfer_is_no_loss_blocks_nothing_and_moves_the_baselines(amount: float) -> None:
    notes = Notes()

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.transfer_cash(amount)
        await asyncio.sleep(120.0)
        opened = await world.gateway.submit_order(buy(1), CONTEXT)
        return opened, await world.gateway.status()

    opened, status = prove(scenario, config=STRICT, simulated=MODEST, log=notes)

    assert not status.latched
    assert opened.status is OrderStatus.FILLED, opened.rejection_reason
    moved = [(each["kind"], each["amount"]) for each in notes.of("baseline_moved")]
    assert moved == [("day", amount), ("week", amount)]


@pytest.mark.req("RSK-5")
def test_a_transfer_hides_no_loss() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(HELD), BOLD)
        world.simulator.faults.transfer_cash(50_000.0)
        await asyncio.sleep(60.0)
        world.simulator.faults.move_price("SPY", 0.9)
        await world.gateway.submit_order(buy(1, symbol="QQQ"), CONTEXT)
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        return world.gateway.liquidation_reports[0].trigger

    assert "DAILY_LOSS_LIMIT" in prove(scenario, config=STRICT, simulated=MODEST)


@pytest.mark.req("RSK-5", "STC-1")
@pytest.mark.parametrize(("lasts_s", "latches"), [(1.0, False), (4.0, False), (30.0, True)])
def test_a_value_that_is_told_wrong_for_a_moment_triggers_nothing(
    lasts_s: float, latches: bool
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(HELD), BOLD)
        await asyncio.sleep(20.0)
        world.simulator.faults.misstate_account(marks_factor=0.5)
        await asyncio.sleep(lasts_s)
        world.simulator.faults.misstate_account()
        await asyncio.sleep(60.0)
        return (await world.gateway.status()).latched

    assert prove(scenario, config=STRICT, simulated=MODEST) is latches


async def acknowledged(world: ProofWorld) -> float:
    """A person acknowledges the residual."""
    answers: list[Any] = []
    world.process.register("person", answers.append)
    world.process.tell(
        RISK,
        m.AcknowledgeResidual(
            correlation_id="1",
            deadline=world.process.clock.monotonic() + 5.0,
            reply_to="person",
            who="Ann",
            why="a fee of the exchange",
        ),
    )
    await world.until(lambda: bool(answers))
    return float(answers[0].amount)


@pytest.mark.req("RSK-5")
def test_a_residual_blocks_openings_and_pages_until_it_is_acknowledged() -> None:
    notes = Notes()

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.misstate_account(worth_by=-5_000.0)
        await asyncio.sleep(60.0)
        before = await world.gateway.submit_order(buy(1), CONTEXT)
        await asyncio.sleep(100.0 + 900.0)
        blocked = await world.gateway.submit_order(buy(2), CONTEXT)
        status = await world.gateway.status()
        amount = await acknowledged(world)
        await asyncio.sleep(1.0)
        after = await world.gateway.submit_order(buy(3), CONTEXT)
        return before, blocked, status, amount, after

    before, blocked, status, amount, after = prove(
        scenario, config=STRICT, simulated=MODEST, log=notes
    )

    assert before.status is OrderStatus.FILLED
    assert blocked.status is OrderStatus.REJECTED
    assert "-5,00" in (blocked.rejection_reason or "")
    assert "limit (500.00)" in (status.opening_blocked_by or "")
    assert not status.latched
    assert len(notes.of("account_residual")) == 2
    assert {each["level"] for each in notes.of("account_residual")} == {"CRITICAL"}
    assert amount == pytest.approx(-5_000.0, abs=10.0)
    assert after.status is OrderStatus.FILLED, after.rejection_reason
    assert [each["who"] for each in notes.of("account_residual_acknowledged")] == ["Ann"]


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize(
    ("who", "why", "error"),
    [
        ("Ann", "a fee", ModeError),
        ("", "a fee", OrderValidationError),
        ("Ann", " ", OrderValidationError),
        (None, 7, OrderValidationError),
    ],
)
def test_what_cannot_be_acknowledged_is_answered_and_harms_nobody(
    who: Any, why: Any, error: type[Exception]
) -> None:
    async def scenario(world: ProofWorld) -> Any:
        with pytest.raises(error):
            await world.gateway.acknowledge_residual(who, why)
        return [each.restarts for each in (await world.gateway.status()).actors]

    assert set(prove(scenario, config=STRICT, simulated=MODEST)) == {0}


@pytest.mark.req("RSK-5")
@pytest.mark.parametrize("change", [-499.0, 499.0])
def test_a_small_residual_blocks_nothing(change: float) -> None:
    notes = Notes()

    async def scenario(world: ProofWorld) -> Any:
        world.simulator.faults.misstate_account(worth_by=change)
        await asyncio.sleep(300.0)
        return await world.gateway.submit_order(buy(1), CONTEXT)

    assert prove(scenario, config=STRICT, simulated=MODEST, log=notes).status is OrderStatus.FILLED
    assert notes.of("account_residual") == []


@pytest.mark.req("RSK-5", "RSK-4")
def test_a_residual_suspends_neither_closes_nor_the_rules_of_losses() -> None:
    async def scenario(world: ProofWorld) -> Any:
        await world.gateway.submit_order(buy(HELD), BOLD)
        world.simulator.faults.misstate_account(worth_by=-5_000.0)
        await asyncio.sleep(150.0)
        blocked = (await world.gateway.status()).opening_blocked_by
        sold = await world.gateway.submit_order(sell(1), CONTEXT)
        world.simulator.faults.misstate_account(marks_factor=0.5)
        await world.until(lambda: bool(world.gateway.liquidation_reports))
        return blocked, sold, world.gateway.liquidation_reports[0].trigger

    blocked, sold, trigger = prove(scenario, config=STRICT, simulated=MODEST)

    assert "neither its positions nor transfers explain" in (blocked or "")
    assert sold.status is OrderStatus.FILLED, sold.rejection_reason
    assert "DAILY_LOSS_LIMIT" in trigger


@pytest.mark.req("RSK-5")
def test_a_loss_without_a_price_counts_as_one_after_ten_minutes_of_session() -> None:
    """A gateway that tells no marks: what the account lost is all that is known."""

    async def scenario(world: ProofWorld) -> Any:
        account = await world.gateway.get_account()
        await world.gateway.submit_order(buy(HELD), BOLD)
        held = await world.gateway.get_account()
        latched_at = []
        for minute in range(14):
            lost = attrs.evolve(
                held, net_liquidation=(account.net_liquidation or 0.0) - 10_000.0, marks={}
            )
            world.process.tell(RISK, m.AccountChanged(account=lost))
            await asyncio.sleep(60.0)
            if (await world.gateway.status()).latched:
                latched_at.append(minute)
        return latched_at

    first = prove(scenario, config=STRICT, simulated=UNMARKED)[0]

    assert first in (10, 11)
