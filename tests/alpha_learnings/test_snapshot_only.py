"""Alpha learning: quotes are snapshots, everywhere. The witness is the wire: what the requests said there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actors.errors import SnapshotModeViolationError
from tests.walk.watching import taken
from tests.walk.wiretap import REAL_TIME_BARS, REQ_MARKET_DATA, TICK_BY_TICK, Fields, tapped_world
from tests.worlds import CONTEXT, buy

SNAPSHOT_FIELD = 17
"""In a request without combination legs, counted from 0 (TWS_WIRE §4)."""


async def _all_quotes(state_dir: Path) -> tuple[list[Fields], list[Fields]]:
    """Read quotes on every road there is: call, option, order, feed, the looks at a position."""
    async with tapped_world(state_dir, mode="paper") as world:
        gateway = world.gateway
        await gateway.connect()
        await gateway.get_market_data("SPY")
        chain = await gateway.get_option_chain("SPY")
        expiry = chain.expiries[-1].strftime("%Y%m%d")
        await gateway.get_option_quote("SPY", expiry, 600.0, "C")
        await gateway.submit_order(buy(symbol="QQQ"), CONTEXT, 10.0)
        await taken(await gateway.subscribe_quotes(["AAPL"]), 2)
        for refused in (
            gateway.get_market_data("SPY", snapshot=False),
            gateway.get_option_quote("SPY", expiry, 600.0, "C", snapshot=False),
        ):
            with pytest.raises(SnapshotModeViolationError):
                await refused
        await gateway.disconnect()
        streams = world.wire.of_kind(TICK_BY_TICK, REAL_TIME_BARS)
        return world.wire.of_kind(REQ_MARKET_DATA), streams


@pytest.mark.req("MKT-5")
def test_every_market_data_request_on_the_wire_is_a_snapshot(tmp_path: Path) -> None:
    requests, streams = asyncio.run(_all_quotes(tmp_path))

    assert len({fields[3] for fields in requests}) >= 4, "one contract id per road"
    assert [fields[SNAPSHOT_FIELD] for fields in requests] == ["1"] * len(requests)
    assert streams == []
