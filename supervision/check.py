"""The connection test (DEP-2): what a real gateway answers, step by step, each with its latency and, where it fails,
with the remedy. It reads only; it runs beside a process that trades, under a client id of its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable

import attrs

from actors.errors import GatewayError
from actors.model.orders import ExecutionMode
from supervision.config import Config, Control, Journal, Logging
from supervision.gateway import IBKRGateway

CHECK_CLIENT_ID = 9998
"""Not the trading client's, so that the check can run beside it."""

Say = Callable[[str], None]


async def check_connection(config: Config, say: Say) -> bool:
    """Run every step until one fails; True when all succeeded."""
    with tempfile.TemporaryDirectory() as state_dir:
        private = _private(config, state_dir)
        gateway = IBKRGateway(private, mode=ExecutionMode.DRY_RUN)
        symbol = config.general.symbols[0]
        steps: tuple[tuple[str, Callable[[], Awaitable[str]], str], ...] = (
            (
                "something listens",
                lambda: _listens(private),
                "start IB Gateway or TWS, and check gateway.host and gateway.port (Gateway: paper 4002, live 4001)",
            ),
            (
                "API session, positions, orders, account",
                lambda: _connects(gateway, private),
                "enable the socket API in the gateway's settings, trust this host, and finish the login",
            ),
            (
                "round trip",
                lambda: _round_trip(gateway),
                "the socket is open but the API does not answer: restart the gateway",
            ),
            (
                f"market data of {symbol}",
                lambda: _market_data(gateway, symbol),
                "subscribe to the market data, or end the other session that uses it",
            ),
        )
        try:
            for name, step, remedy in steps:
                if not await _run_step(name, step, remedy, say):
                    return False
            return True
        finally:
            await gateway.disconnect()


def _private(config: Config, state_dir: str) -> Config:
    return attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=state_dir),
        gateway=attrs.evolve(config.gateway, client_id=CHECK_CLIENT_ID, readonly=True),
        journal=Journal(enabled=False),
        logging=Logging(console=False, file=""),
        control=Control(enabled=False),
    )


async def _run_step(name: str, step: Callable[[], Awaitable[str]], remedy: str, say: Say) -> bool:
    begun = time.perf_counter()
    try:
        detail = await step()
    except (GatewayError, OSError) as error:
        say(f"FAILED  {name}: {error}")
        say(f"        remedy: {remedy}")
        return False
    say(f"ok      {name}  {(time.perf_counter() - begun) * 1000:.1f} ms  {detail}".rstrip())
    return True


async def _listens(config: Config) -> str:
    gateway = config.gateway
    if gateway.endpoint == "embedded":
        return "(the simulated gateway, inside this process)"
    async with asyncio.timeout(gateway.timeout_s):
        _, writer = await asyncio.open_connection(gateway.host, gateway.port)
    writer.close()
    return f"{gateway.host}:{gateway.port}"


async def _connects(gateway: IBKRGateway, config: Config) -> str:
    await gateway.connect(config.gateway.timeout_s)
    status = await gateway.status()
    return f"accounts {', '.join(status.accounts)}"


async def _round_trip(gateway: IBKRGateway) -> str:
    if not await gateway.verify_connection():
        raise GatewayError("no answer within 5 s")
    return ""


async def _market_data(gateway: IBKRGateway, symbol: str) -> str:
    data = await gateway.get_market_data(symbol)
    return f"last {data.last_price}, bid {data.bid}, ask {data.ask}"
