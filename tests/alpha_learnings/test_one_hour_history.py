"""Alpha learning: at most one hour of history, in one-minute bars of regular hours. The witness is the wire."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.errors import AlphaLearningViolationError
from actors.kernel.messages import RequestFailed
from actors.messages.addresses import LINK, MARKET_DATA
from actors.messages.market_data import GetBars, ReadBars
from tests.walk.watching import tapped
from tests.walk.wiretap import REQ_HISTORY, Fields, tapped_world
from tests.worlds import ProofWorld, prove

HOUR_MINUTES = 60
TOO_LONG_MINUTES = 61
MOST_SECONDS = 3600


async def _all_history(state_dir: Path) -> list[Fields]:
    async with tapped_world(state_dir, mode="dry_run") as world:
        gateway = world.gateway
        await gateway.connect()
        await gateway.get_market_data("SPY")
        await gateway.get_historical_data("QQQ")
        await gateway.get_historical_data("AAPL", 1)
        await gateway.get_historical_data("AAPL", HOUR_MINUTES)
        with pytest.raises(AlphaLearningViolationError):
            await gateway.get_historical_data("AAPL", TOO_LONG_MINUTES)
        await gateway.disconnect()
        return world.wire.of_kind(REQ_HISTORY)


@pytest.mark.req("MKT-6")
def test_no_history_request_on_the_wire_asks_for_more_than_an_hour(tmp_path: Path) -> None:
    requests = asyncio.run(_all_history(tmp_path))

    assert len(requests) == 4
    for fields in requests:
        seconds = [field for field in fields if field.endswith(" S")]
        assert [int(text.removesuffix(" S")) <= MOST_SECONDS for text in seconds] == [True]
        assert "1 min" in fields
        assert "TRADES" in fields
        assert fields[fields.index("TRADES") - 1] == "1", "regular trading hours only"


@pytest.mark.req("MKT-6")
@pytest.mark.parametrize("layer", [MARKET_DATA, LINK])
@pytest.mark.parametrize(
    ("minutes", "bar_size"), [(TOO_LONG_MINUTES, "1 min"), (HOUR_MINUTES, "5 mins")]
)
def test_each_layer_refuses_more_by_itself(layer: str, minutes: int, bar_size: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        contract = (await world.gateway.get_market_data("SPY")).contract
        assert contract is not None
        header: dict[str, Any] = {
            "correlation_id": "injected",
            "deadline": world.process.clock.monotonic() + 5.0,
            "reply_to": "nobody",
            "duration_minutes": minutes,
            "bar_size": bar_size,
        }
        request = (
            ReadBars(**header, contract=contract)
            if layer == LINK
            else GetBars(**header, symbol="SPY")
        )
        failed = tapped(world.process, RequestFailed)
        received = world.simulator.faults.state.messages_received
        world.process.tell(layer, request)
        await world.until(lambda: bool(failed))
        sent = world.simulator.faults.state.messages_received - received
        return failed[0].error.kind, sent

    assert prove(scenario) == (AlphaLearningViolationError.__name__, 0)
