"""The traded account is pinned per state directory: another one is refused, and nothing is done to it (CON-18)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.connection.accounts import choose_account
from actors.errors import AnotherAccountError
from supervision import Config
from supervision.config.sections import Journal
from supervision.simulator import SimulatorConfig, ThreadedSimulator
from tests.worlds import RealWorld, a_config, real_world

OURS, OTHER = "DU1234567", "DU7777777"
HELD = 30


def simulated(*accounts: str, cash: float = 100_000.0) -> SimulatorConfig:
    """Configure a gateway with these accounts."""
    return SimulatorConfig(seed=7, cash=cash, account=accounts[0], accounts=accounts)


def journaled(**general: Any) -> Config:
    """Configure a journal on the disk."""
    config = a_config(journal=Journal())
    return attrs.evolve(config, general=attrs.evolve(config.general, **general))


async def trade_once(state_dir: Path, *accounts: str) -> tuple[str, ...]:
    """Connect, and tell which account is read."""
    async with real_world(
        state_dir, config=journaled(account=accounts[0]), simulated=simulated(*accounts)
    ) as world:
        return ((await world.gateway.get_account()).account_id,)


@pytest.mark.req("CON-18")
def test_another_account_is_refused_and_nothing_is_done_to_it(tmp_path: Path) -> None:
    noted: list[tuple[str, dict[str, Any]]] = []

    async def scenario() -> Any:
        await trade_once(tmp_path, OURS)
        async with real_world(
            tmp_path,
            config=journaled(),
            simulated=simulated(OTHER, cash=50_000.0),
            connect=False,
            log=lambda event, **fields: noted.append((event, fields)),
        ) as world:
            world.simulator.call(lambda simulator: simulator.faults.trade_elsewhere("SPY", HELD))
            with pytest.raises(AnotherAccountError) as caught:
                await world.gateway.connect()
            status = await world.gateway.status()
            return caught.value, status, held(world), orders(world)

    error, status, positions, sent = asyncio.run(scenario())

    assert (error.code, error.retryable) == ("IB_CONN_010", False)
    assert (status.connection, status.latched) == ("FAILED", False)
    assert (positions, sent) == ([HELD], 0)
    assert [fields["level"] for event, fields in noted if event == "another_account"] == [
        "CRITICAL"
    ]
    assert not any(OURS in str(fields) or OTHER in str(fields) for _, fields in noted)


def held(world: RealWorld) -> list[float]:
    """What the account holds."""
    found = world.simulator.call(lambda simulator: simulator.positions())
    return [position.quantity for position in found.values()]


def orders(world: RealWorld) -> int:
    """How many orders reached the gateway."""
    return world.simulator.call(lambda simulator: len(simulator.ledger))


@pytest.mark.req("CON-18")
def test_another_account_at_a_reconnect_is_left_alone(tmp_path: Path) -> None:
    """The loss of the link latches, as every one does; the account that answers then is not ours to sell."""
    noted: list[str] = []

    async def scenario() -> Any:
        async with real_world(
            tmp_path,
            config=journaled(),
            simulated=simulated(OURS),
            log=lambda event, **_: noted.append(event),
        ) as world:
            port = world.simulator.port
            world.simulator.faults.trade_elsewhere("SPY", HELD)
            world.simulator.stop()
            other = ThreadedSimulator(attrs.evolve(simulated(OTHER), port=port))
            other.start()
            try:
                other.faults.trade_elsewhere("QQQ", HELD)
                await world.until(lambda: "another_account" in noted)
                status = await world.gateway.status()
                return status, other.call(lambda it: (len(it.ledger), len(it.positions())))
            finally:
                other.stop()

    status, left = asyncio.run(scenario())

    assert status.connection == "FAILED"
    assert "account switch" in (status.last_error or "")
    assert left == (0, 1)


@pytest.mark.req("CON-18")
def test_a_login_of_several_accounts_trades_the_pinned_one(tmp_path: Path) -> None:
    async def scenario() -> Any:
        await trade_once(tmp_path, OURS)
        async with real_world(
            tmp_path, config=journaled(), simulated=simulated(OTHER, OURS)
        ) as world:
            return (await world.gateway.get_account()).account_id

    assert asyncio.run(scenario()) == OURS


MANAGED: dict[str, tuple[tuple[str, ...], str, str | None, str | None]] = {
    # managed, configured, pinned → chosen; None: refused as another account
    "the first connection": ((OURS,), "", None, OURS),
    "the same account": ((OURS,), "", OURS, OURS),
    "one more account": ((OTHER, OURS), "", OURS, OURS),
    "another account": ((OTHER,), "", OURS, None),
    "another one is configured": ((OTHER, OURS), OTHER, OURS, None),
    "the configured one was pinned": ((OTHER, OURS), OURS, OURS, OURS),
    "the configured one is not there": ((OTHER,), OURS, OURS, None),
}


@pytest.mark.req("CON-18")
@pytest.mark.parametrize(
    ("managed", "configured", "pinned", "chosen"), MANAGED.values(), ids=MANAGED
)
def test_which_account_is_traded(
    managed: tuple[str, ...], configured: str, pinned: str | None, chosen: str | None
) -> None:
    def choose() -> str:
        return choose_account(
            managed,
            configured=configured,
            operator_id="CSATSPRIM",
            require_paper=True,
            pinned=pinned,
        )

    if chosen is None:
        with pytest.raises(AnotherAccountError, match="account switch"):
            choose()
    else:
        assert choose() == chosen
