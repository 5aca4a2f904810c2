"""``python -m supervision explain --liquidation``: how a liquidation went, by the journal alone.

A real process holds two positions, one of them short, with an order at work; a drill liquidates it. After it an
operator re-arms, trades again, and a second drill follows.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from actors.messages.liquidation import LiquidationReport
from supervision import OrderStatus
from supervision.commands.cli import ExitCode
from supervision.config.sections import Journal
from tests.integration.test_explain import SIMULATED, WHO, Run, at, config_of
from tests.worlds import CONTEXT, RealWorld, a_config, buy, real_world, sell

FIRST, SECOND = "the first drill", "the second drill"
WHY: Final = "the drill is over"
BELOW: Final = 560.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trade and liquidate twice for the tests of this file."""
    folder = tmp_path_factory.mktemp("liquidated")
    made = Run(config_of(folder))

    async def trade() -> None:
        async with real_world(
            folder, config=a_config(journal=Journal()), simulated=SIMULATED
        ) as world:
            await _trade(world, made)

    asyncio.run(trade())
    return made


async def _trade(world: RealWorld, run: Run) -> None:
    gateway = world.gateway
    for signal in (buy(7, "QQQ"), sell(3, "SPY")):
        assert (await gateway.submit_order(signal, CONTEXT)).status is OrderStatus.FILLED
    low = buy(10, order_type="LMT", limit_price=BELOW)
    resting = await gateway.submit_order(low, CONTEXT, wait_for="ack")
    assert resting.status is OrderStatus.PENDING, resting.rejection_reason
    run.ids["resting"] = resting.order_id
    run.ids["first"] = (await _drill(world, FIRST)).liquidation_id
    await gateway.rearm(WHO, WHY)
    assert (await gateway.submit_order(buy(1), CONTEXT)).status is OrderStatus.FILLED
    run.ids["second"] = (await _drill(world, SECOND)).liquidation_id


async def _drill(world: RealWorld, why: str) -> LiquidationReport:
    before = len(world.gateway.liquidation_reports)
    await world.gateway.liquidate(why)
    await world.until(lambda: len(world.gateway.liquidation_reports) > before)
    report = world.gateway.liquidation_reports[-1]
    assert report.flat
    return report


def told(run: Run, *arguments: str) -> Any:
    """Ask for a liquidation as JSON."""
    return json.loads(run.explain("--liquidation", "--json", *arguments).out)


def texts(explained: Any, what: str) -> list[str]:
    """The steps of a kind."""
    return [step["text"] for step in explained["steps"] if step["what"] == what]


@pytest.mark.req("STC-2", "STC-4")
def test_a_liquidation_is_told_from_its_trigger_to_flat_and_to_who_re_armed(run: Run) -> None:
    explained = told(run, run.ids["first"])

    whats = [step["what"] for step in explained["steps"]]
    assert whats[:2] == ["trigger", "latch"]
    assert whats[-2:] == ["report", "latch"]
    assert texts(explained, "trigger") == [f"operator: {FIRST}"]
    taken = [text.partition(":")[0] for text in texts(explained, "step")]
    assert taken == ["CANCELLING", "READING", "CLOSING", "VERIFYING"]
    assert texts(explained, "report")[0].startswith("flat")
    assert f"re-armed by {WHO}: {WHY}" in texts(explained, "latch")[-1]
    times = [at(step) for step in explained["steps"]]
    assert times == sorted(times)


@pytest.mark.req("STC-2")
def test_every_cancel_and_every_close_is_told_with_its_fills_and_what_opened_before_is_not(
    run: Run,
) -> None:
    explained = told(run, run.ids["first"])

    summary = explained["liquidation"]
    assert summary["cancelled"] == [run.ids["resting"]]
    assert sorted(name.split("_")[1] for name in summary["closes"]) == ["QQQ", "SPY"]
    fills = sorted(text.partition(": ")[2].partition(" at")[0] for text in texts(explained, "fill"))
    assert fills == ["BUY 3", "SELL 7"]
    ends = [text for text in texts(explained, "state") if run.ids["resting"] in text]
    assert ["CANCELLING" in ends[0], "CANCELLED" in ends[-1]] == [True, True]
    named = {
        step["facts"]["order_id"] for step in explained["steps"] if "order_id" in step["facts"]
    }
    assert named == {run.ids["resting"], *summary["closes"]}


def test_without_an_id_the_latest_is_told(run: Run) -> None:
    summary = told(run)["liquidation"]

    assert summary["liquidation_id"] == run.ids["second"]
    assert summary["trigger"] == f"operator: {SECOND}"
    assert (summary["result"], summary["rearmed_by"]) == ("flat", None)
    assert summary["took_s"] > 0
    assert len(summary["closes"]) == 1


def test_the_beginning_of_its_id_is_enough(run: Run) -> None:
    assert told(run, run.ids["first"][:8]) == told(run, run.ids["first"])


def test_an_unknown_liquidation_is_wrong_usage(run: Run) -> None:
    ended = run.explain("nobody", "--liquidation")

    assert ended.code == ExitCode.USAGE
    assert "nobody" in ended.err


def test_a_list_of_orders_and_a_liquidation_are_not_told_together(run: Run) -> None:
    assert run.explain("--liquidation", "--last", "3").code == ExitCode.USAGE


@pytest.mark.req("OBS-4")
def test_people_read_a_line_per_step_and_no_account(run: Run) -> None:
    lines = run.explain("--liquidation").out.splitlines()

    assert lines[0].startswith(f"liquidation {run.ids['second']}")
    assert lines[2].startswith("result      flat after ")
    assert any("+0.000     trigger" in line for line in lines)
    assert not any(SIMULATED.account in line for line in lines)


def test_a_journal_without_a_liquidation_says_so(tmp_path: Path) -> None:
    async def trade() -> None:
        async with real_world(tmp_path, config=a_config(journal=Journal()), simulated=SIMULATED):
            pass

    asyncio.run(trade())
    ended = Run(config_of(tmp_path)).explain("--liquidation")

    assert ended.code == ExitCode.OK
    assert "holds no liquidation yet" in ended.out
