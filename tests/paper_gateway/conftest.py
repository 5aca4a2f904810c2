"""Where the real paper gateway is, and what may be done to it.

Opt-in: IBKR_PAPER_GATEWAY=HOST:PORT runs the suite, everything else skips it with its reason. It refuses any login with
an account that is not a paper account, and one that holds a position or a working order in its symbol, so that it never
touches what is not its own. It trades one share, and leaves neither order nor position behind.

    IBKR_PAPER_GATEWAY=127.0.0.1:4002 make paper-gateway

IBKR_PAPER_SYMBOL chooses another symbol than SPY. Outside of the regular session what needs a fill is skipped. Where no
real gateway is at hand, the simulated one can be asked, as a process of its own:

    python -m supervision.simulator --port 4002 &
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from actors.sections.maintenance import Maintenance
from supervision import Config, GatewayConfig, IBKRGateway, TradingSignal
from supervision.config.sections import Control, General, Logging
from supervision.process.status import ProcessStatus

VARIABLE: Final = "IBKR_PAPER_GATEWAY"
SYMBOL: Final = os.environ.get("IBKR_PAPER_SYMBOL") or "SPY"
CLIENT_ID: Final = 9901
"""Of the suite's own: the orders of other clients are never in its way, nor it in theirs."""

PATIENCE_S: Final = 60.0
ONE_SHARE: Final = 1
Scenario = Callable[[IBKRGateway], Coroutine[Any, Any, Any]]


def endpoint() -> tuple[str, int]:
    """Read host and port; skips the test when the suite was not asked for."""
    value = os.environ.get(VARIABLE, "")
    if not value:
        pytest.skip(f"{VARIABLE} is not set to HOST:PORT of a paper gateway")
    matched = re.fullmatch(r"(.+):(\d{1,5})", value)
    assert matched is not None, f"{VARIABLE} must be HOST:PORT (was {value!r})"
    return matched.group(1), int(matched.group(2))


def paper_config(state_dir: Path) -> Config:
    """Make a configuration that trades one share at most, and never closes what is not its own."""
    host, port = endpoint()
    defaults = Config()
    return attrs.evolve(
        defaults,
        general=General(state_dir=str(state_dir), symbols=(SYMBOL,)),
        gateway=GatewayConfig(endpoint="external", host=host, port=port, client_id=CLIENT_ID),
        connection=attrs.evolve(  # who asks at night wants an answer, not our own calendar's
            defaults.connection, maintenance=Maintenance(enabled=False)
        ),
        risk=attrs.evolve(
            defaults.risk,
            max_position_quantity=float(ONE_SHARE),
            duplicate_window_s=0.0,
            day_trades="off",
        ),
        strategy_c=attrs.evolve(defaults.strategy_c, scope="managed"),
        logging=Logging(console=False),
        control=Control(enabled=False),
    )


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Scenario], Any]]:
    """Run scenarios over one connection, and clean up behind each, whatever happens in it."""
    config = paper_config(tmp_path_factory.mktemp("paper"))
    gateway = IBKRGateway(config, mode="paper", operator_id="PAPERSUITE")
    with asyncio.Runner() as runner:

        def run(scenario: Scenario) -> Any:
            return runner.run(_cleaned_up(gateway, scenario))

        try:
            runner.run(gateway.connect(PATIENCE_S))
            runner.run(_refuse_what_is_not_ours(gateway))
            yield run
        finally:
            runner.run(gateway.disconnect())


async def _refuse_what_is_not_ours(gateway: IBKRGateway) -> None:
    """Paper mode has refused live accounts already; an account with something in the symbol is left alone, too."""
    status: ProcessStatus = await gateway.status()
    assert all(account.startswith("D") for account in status.accounts), "not a paper account"
    held = [each for each in await gateway.get_positions() if each.symbol == SYMBOL]
    working = [each for each in await gateway.get_open_orders() if each.symbol == SYMBOL]
    if held or working:
        pytest.skip(
            f"the account has a position or a working order in {SYMBOL}: choose another symbol"
        )


async def _cleaned_up(gateway: IBKRGateway, scenario: Scenario) -> Any:
    """Cancel the suite's own orders and close its own share afterwards."""
    try:
        return await scenario(gateway)
    finally:
        for order in await gateway.get_open_orders():
            if order.symbol == SYMBOL:
                await gateway.cancel_order(order.order_id, PATIENCE_S)
        for position in await gateway.get_positions():
            if position.symbol == SYMBOL:
                await gateway.close_position(position.position_id, "MANUAL", PATIENCE_S)


def one_share(action: str, **fields: Any) -> TradingSignal:
    """Make a signal for one share."""
    return TradingSignal(symbol=SYMBOL, action=action, quantity=ONE_SHARE, **fields)


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> bool:
    """Wait until the broker's news have arrived."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    while loop.time() < ends_at:
        if await condition():
            return True
        await asyncio.sleep(0.1)
    return False
