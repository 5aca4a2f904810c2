"""``flatten SYMBOL``: a message to the process that trades; over pending orders only after the worst was shown."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import (
    GatewayError,
    GatewayStoppedError,
    OrderValidationError,
)
from actors.messages.addresses import POSITION
from actors.messages.positions import FlattenSymbol
from supervision import CloseReason, OrderStatus
from supervision.commands.cli import ExitCode
from supervision.commands.flatten import (
    ANSWER_GRACE_S,
    flatten_symbol,
    serve_flatten,
    serve_worst_turns,
)
from tests.walk.commands import in_process, write_config
from tests.worlds import CONTEXT, ProofWorld, a_config, buy, prove, sell

pytestmark = pytest.mark.req("STC-13")

FLAT = {"results": ["SPY SELL 10: FILLED, 10 filled at 600"], "remaining": []}
NOT_FLAT = {"results": [], "remaining": ["SPY +10 (SPY_756733)"]}
TURNS: dict[str, Any] = {
    "turns": ["SPY: 10 held; can still fill: SELL 10 (x); after the close it could become -10"],
    "pending": 1,
}


@attrs.define
class AProcess:
    """Stands at the other end of the control channel: answers, and remembers what it was asked."""

    answers: dict[str, dict[str, Any]]
    asked: list[dict[str, Any]] = attrs.field(factory=list)
    lines: list[str] = attrs.field(factory=list)
    questions: list[str] = attrs.field(factory=list)
    agrees: bool = True

    def ask(self, _: tuple[Path, ...], command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        assert timeout_s == command["timeout_s"] + ANSWER_GRACE_S
        self.asked.append(command)
        return self.answers[command["command"]]

    def agreed(self, question: str) -> bool:
        self.questions.append(question)
        return self.agrees

    def flatten(self, symbol: str = "SPY", *, over_pending: bool = False) -> bool:
        return flatten_symbol(
            a_config(),
            symbol,
            over_pending=over_pending,
            agreed=self.agreed,
            timeout_s=60.0,
            echo=self.lines.append,
            ask=self.ask,
        )


def test_a_symbol_that_is_flat_is_said_with_each_close() -> None:
    process = AProcess({"flatten": FLAT})

    assert process.flatten(" spy ")

    assert process.asked == [
        {"command": "flatten", "symbol": "SPY", "timeout_s": 60.0, "over_pending": False}
    ]
    assert process.lines == [f"closed      {FLAT['results'][0]}", "SPY is flat"]
    assert process.questions == []


def test_what_is_still_held_is_said_loudly_with_where_to_read_on() -> None:
    process = AProcess({"flatten": NOT_FLAT})

    assert not process.flatten()

    assert process.lines[0] == "STILL HELD  SPY +10 (SPY_756733)"
    assert "NOT flat" in process.lines[1]
    runbook = process.lines[1].rpartition(" ")[2]
    assert (Path(__file__).parents[2] / runbook).exists()


def test_a_symbol_that_was_not_held_is_flat() -> None:
    process = AProcess({"flatten": {"results": [], "remaining": []}})

    assert process.flatten()
    assert process.lines == ["SPY: nothing was held"]


def test_over_pending_shows_the_worst_and_asks_before_anything_is_sent() -> None:
    process = AProcess({"worst_turns": TURNS, "flatten": FLAT})

    assert process.flatten(over_pending=True)

    assert [each["command"] for each in process.asked] == ["worst_turns", "flatten"]
    assert process.asked[1]["over_pending"] is True
    assert process.lines[0] == TURNS["turns"][0]
    assert process.questions == ["close SPY over these orders?"]


def test_where_no_order_can_fill_there_is_nothing_to_ask() -> None:
    nothing = {"turns": ["SPY: 10 held, no order can still fill"], "pending": 0}
    process = AProcess({"worst_turns": nothing, "flatten": FLAT}, agrees=False)

    assert process.flatten(over_pending=True)
    assert process.questions == []


def test_who_does_not_agree_sends_nothing() -> None:
    process = AProcess({"worst_turns": TURNS}, agrees=False)

    with pytest.raises(OrderValidationError, match="nothing was sent"):
        process.flatten(over_pending=True)


def test_a_process_that_is_not_there_leads_to_the_way_without_it() -> None:
    def gone(*_: Any) -> dict[str, Any]:
        raise GatewayStoppedError("no process is running here")

    with pytest.raises(GatewayStoppedError, match="flatten --break-glass"):
        flatten_symbol(
            a_config(),
            "SPY",
            over_pending=False,
            agreed=lambda _: True,
            timeout_s=1.0,
            echo=print,
            ask=gone,
        )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("flatten",), "SYMBOL"),
        (("flatten", "SPY", "--break-glass"), "SYMBOL does not go with --break-glass"),
        (("flatten", "--break-glass", "--over-pending"), "--over-pending"),
        (("flatten", "--break-glass", "--yes"), "--yes"),
        (("flatten", "--break-glass"), "gateway.endpoint is embedded"),
        (("flatten", "SPY", "--yes"), "--over-pending"),
        (("flatten", "SPY", "--mode", "paper"), "--mode"),
        (("flatten", "SPY", "--port", "4002"), "--port"),
        (("flatten", "SPY", "--timeout", "0"), "--timeout"),
        (("flatten", "$$$"), "symbol must be"),
    ],
    ids=" ".join,
)
def test_wrong_input_names_what_is_wrong(
    arguments: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    ended = in_process(*arguments, "--config", str(write_config(tmp_path)))

    assert ended.code == ExitCode.USAGE
    assert named in " ".join(ended.err.replace("│", " ").split())
    assert "Traceback" not in ended.err


def test_without_a_process_it_is_said_with_its_own_code(tmp_path: Path) -> None:
    ended = in_process("flatten", "SPY", "--config", str(write_config(tmp_path)))

    assert ended.code == ExitCode.NOT_RUNNING
    assert "flatten --break-glass" in ended.err


def test_a_symbol_is_closed_and_the_stop_that_rested_with_it_and_nothing_else() -> None:
    async def scenario(world: ProofWorld) -> dict[str, Any]:
        for symbol in ("SPY", "QQQ"):
            bought = await world.gateway.submit_order(buy(10, symbol), CONTEXT)
            price = bought.fill_price or 0.0
            stop = sell(10, symbol, order_type="STP", stop_price=round(0.95 * price, 2))
            rests = await world.gateway.submit_order(stop, CONTEXT)
            assert rests.status is OrderStatus.PENDING, rests
        answer = await serve_flatten(world.gateway, {"symbol": "spy"}, 60.0)
        held = [each.symbol for each in await world.gateway.get_positions()]
        works = [each.symbol for each in await world.gateway.get_open_orders()]
        return {**answer, "held": held, "works": works}

    told = prove(scenario)

    assert told["remaining"] == []
    assert [result.split(",")[0] for result in told["results"]] == ["SPY SELL 10: FILLED"]
    assert (told["held"], told["works"]) == (["QQQ"], ["QQQ"])


def test_of_a_symbol_that_is_not_held_nothing_is_left() -> None:
    async def scenario(world: ProofWorld) -> dict[str, Any]:
        return await serve_flatten(world.gateway, {"symbol": "QQQ"}, 5.0)

    assert prove(scenario) == {"results": [], "remaining": []}


@pytest.mark.parametrize("over_pending", [True, False])
def test_the_command_becomes_one_message_to_whoever_closes(over_pending: bool) -> None:
    async def scenario(world: ProofWorld) -> list[FlattenSymbol]:
        told: list[FlattenSymbol] = []
        tap = world.process.tap(
            lambda record: (
                told.append(record.message)
                if isinstance(record.message, FlattenSymbol) and record.recipient == POSITION
                else None
            )
        )
        with suppress(GatewayError):  # nothing is held
            command = {"symbol": "spy", "over_pending": over_pending}
            await serve_flatten(world.gateway, command, 5.0)
        tap.cancel()
        return told

    (message,) = prove(scenario)

    assert (message.symbol, message.over_pending) == ("SPY", over_pending)
    assert message.reason is CloseReason.MANUAL


def test_the_worst_turns_count_orders_of_every_client() -> None:
    async def scenario(world: ProofWorld) -> dict[str, Any]:
        await world.gateway.submit_order(buy(10), CONTEXT)
        world.simulator.faults.order_by_hand("SPY", -30, 900.0)
        return await serve_worst_turns(world.gateway, {"symbol": "SPY"}, 5.0)

    answer = prove(scenario)
    (turn,) = answer["turns"]

    assert answer["pending"] == 1
    assert turn.startswith("SPY: 10 held; can still fill: SELL 30")
    assert turn.endswith("could become -30")
