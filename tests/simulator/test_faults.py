"""Every fault, as a client sees it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from supervision.simulator import (
    Faults,
    Limits,
    Scenario,
    ScenarioError,
    Simulator,
    parse_scenario,
    read_scenario,
)

from .test_market import history, snapshot
from .test_orders import cancel, summary
from .wire import SPY, Wire, gateway, open_wire, order, run, stock

T = TypeVar("T")
pytestmark = pytest.mark.req("SIM-4")


def with_gateway(body: Callable[[Simulator, Wire], Awaitable[T]], **settings: object) -> T:
    """Run a test with a gateway and one connected client."""

    async def whole() -> T:
        async with gateway(**settings) as simulator:
            return await body(simulator, await open_wire(simulator.port))

    return run(whole)


async def quote(wire: Wire, request_id: int = 5) -> list[list[str]]:
    wire.send(*snapshot(request_id, stock()))
    return await wire.quiet()


# The connection ---------------------------------------------------------------------------------


def test_refused_connections_come_back_after_the_time() -> None:
    async def body(simulator: Simulator, wire: Wire) -> int:
        simulator.faults.refuse_connections(5.0)
        with pytest.raises(ConnectionRefusedError):
            await open_wire(simulator.port, 2)
        wire.send(49, 1)
        await wire.until("49")
        await asyncio.sleep(6.0)
        return (await open_wire(simulator.port, 2)).version

    assert with_gateway(body) == 176


def test_latency_delays_every_answer_in_order() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[float, list[str]]:
        simulator.faults.latency(2.0)
        before_s = simulator.loop.time()
        wire.send(*order(1))
        first = await wire.read()
        took_s = simulator.loop.time() - before_s
        simulator.faults.latency(0.0)
        wire.send(8, 1, 1)
        return took_s, [first[0], *[m[0] for m in await wire.quiet()]]

    took_s, kinds = with_gateway(body)

    assert took_s == pytest.approx(2.0, abs=0.2)
    assert kinds == ["5", "3", "11", "5", "3", "5", "3", "59", "9"]


def test_silent_gateway_keeps_the_socket_and_still_acts() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, list[str]]:
        simulator.faults.silence()
        wire.send(*order(1))
        said = len(await wire.quiet(30.0))
        received = len(simulator.ledger)
        simulator.faults.speak()
        wire.send(49, 1)
        return said, received, [m[0] for m in await wire.quiet()]

    assert with_gateway(body) == (0, 1, ["49"])


def test_silent_gateway_may_stop_reading() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int]:
        simulator.faults.silence(stop_reading=True)
        wire.send(*order(1))
        await wire.quiet(5.0)
        before = len(simulator.ledger)
        simulator.faults.speak()
        await wire.quiet()
        return before, len(simulator.ledger)

    assert with_gateway(body) == (0, 1)


@pytest.mark.parametrize("reset", [True, False])
def test_dropped_connection_is_closed(reset: bool) -> None:
    async def body(simulator: Simulator, wire: Wire) -> bool:
        simulator.faults.drop_connections(reset=reset)
        return await wire.closed()

    assert with_gateway(body)


def test_connection_dropped_in_the_middle_of_a_message() -> None:
    async def body(simulator: Simulator, wire: Wire) -> bytes:
        simulator.faults.drop_mid_message()
        wire.send(49, 1)
        return await wire.reader.read()

    rest = with_gateway(body)

    assert 0 < len(rest) < 4 + int.from_bytes(rest[:4], "big")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_connection_dropped_at_the_nth_message_sent(count: int) -> None:
    async def body(simulator: Simulator, wire: Wire) -> int:
        simulator.faults.drop_at(count, "sent", reset=False)
        wire.send(*order(1))
        seen = -1
        message: list[str] | None = []
        while message is not None:
            seen += 1
            message = await wire.read_or_end()
        assert simulator.positions()[SPY].quantity == 100
        return seen

    assert with_gateway(body) == count - 1


def test_connection_dropped_at_the_nth_message_received() -> None:
    async def body(simulator: Simulator, wire: Wire) -> int:
        simulator.faults.drop_at(3, "received")
        for order_id in (1, 2, 3, 4):
            wire.send(*order(order_id))
        assert await wire.closed()
        return len(simulator.ledger)

    assert with_gateway(body) == 2


def test_client_id_can_be_taken_for_a_number_of_times() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[int]:
        simulator.faults.client_id_taken(9, times=2)
        codes = []
        for _ in range(2):
            taken = await open_wire(simulator.port, 9, ready=False)
            codes.append((await taken.error())[1])
        codes.append((await open_wire(simulator.port, 9)).version)
        return codes

    assert with_gateway(body) == [326, 326, 176]


def test_version_can_be_too_old() -> None:
    async def body(simulator: Simulator, wire: Wire) -> int:
        simulator.faults.version_too_old()
        return (await open_wire(simulator.port, 2, ready=False)).version

    assert with_gateway(body) == 76


@pytest.mark.parametrize(("mode", "said"), [("disclaimer", b"10141"), ("close", b"")])
def test_authentication_can_fail(mode: str, said: bytes) -> None:
    async def body(simulator: Simulator, wire: Wire) -> bytes:
        simulator.faults.authentication_failure(mode)
        other = await open_wire(simulator.port, 2, ready=False)
        return await other.reader.read()

    answer = with_gateway(body)

    assert said in answer
    assert bool(answer) == bool(said)


def test_nightly_reset_closes_refuses_and_returns() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        wire.send(*order(1, "BUY", 1, "LMT", limit=500))
        await wire.quiet()
        simulator.faults.nightly_reset(20.0)
        assert await wire.closed()
        with pytest.raises(ConnectionRefusedError):
            await open_wire(simulator.port)
        await asyncio.sleep(21.0)
        return summary((await open_wire(simulator.port)).greeting)[:3]

    assert with_gateway(body) == ["5:Submitted", "3:Submitted", "53"]


@pytest.mark.parametrize("moves", [False, True])
def test_a_reset_port_is_announced_and_listens_where_it_says(moves: bool) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, int, str, bool]:
        before = simulator.port
        simulator.faults.reset_port(moves)
        _, code, text = await wire.error()
        closed = await wire.closed()
        await asyncio.sleep(0.1)
        again = await open_wire(int(text.rpartition(" ")[2]))
        return before, simulator.port, code, again.greeting[0][0], closed

    before, after, code, first, closed = with_gateway(body)

    assert (before != after) is moves
    assert (code, first, closed) == (1300, "15", True)


# Connectivity -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("data_lost", "code"), [(False, 1102), (True, 1101)])
def test_connectivity_lost_and_restored(data_lost: bool, code: int) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, int, int, bool]:
        wire.send(*snapshot(5, stock(), once=0))
        await wire.quiet(0.5)
        simulator.faults.connectivity_lost()
        lost = (await wire.error())[1]
        wire.send(*order(1))
        refused = (await wire.error())[1]
        await asyncio.sleep(5.0)
        silent = len(await wire.quiet())
        simulator.faults.connectivity_restored(data_lost=data_lost)
        restored = (await wire.error())[1]
        await asyncio.sleep(5.0)
        return lost, refused, silent, restored, bool(await wire.quiet(0.2))

    assert with_gateway(body) == (1100, 201, 0, code, not data_lost)


def test_order_news_waits_until_connectivity_is_restored() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str]]:
        wire.send(*order(1, "BUY", 10, "LMT", limit=500))
        wire.send(*order(2, "BUY", 10, "LMT", limit=400))
        await wire.quiet()
        simulator.faults.connectivity_lost()
        simulator.faults.move_price("SPY", 0.8)
        wire.send(*cancel(2))
        lost = summary(await wire.quiet(5.0))
        assert simulator.positions()[SPY].quantity == 10
        simulator.faults.connectivity_restored()
        return lost, summary(await wire.quiet())

    lost, restored = with_gateway(body)

    assert lost == ["4:1100"]
    assert restored[:2] == ["4:1102", "11"]
    assert restored[-2:] == ["3:Cancelled", "4:202"]


def test_order_made_by_hand_is_seen_by_all_and_bound_by_client_zero() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str], str]:
        simulator.faults.order_by_hand("SPY", 10, 500.0)
        wire.send(16, 1)
        everybody = await wire.until("53")
        zero = await open_wire(simulator.port, 0)
        zero.send(5, 1)
        await zero.until("100")
        bound = await zero.until("53")
        return summary(everybody), everybody[0][1:2], bound[0][1]

    assert with_gateway(body) == (["5:Submitted", "3:Submitted", "53"], ["0"], "1")


def test_closed_market_keeps_its_last_quote_and_its_last_session() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[bool, str]:
        first = await quote(wire)
        await asyncio.sleep(1000.0)
        same = await quote(wire) == first
        wire.send(*history(1, stock()))
        return same, (await wire.read())[-8]

    assert with_gateway(body, hours="1100-1600") == (True, "20260303 15:59:00 US/Eastern")


@pytest.mark.parametrize(
    ("code", "farm", "text"),
    [
        (2103, "usopt", "Market data farm connection is broken:usopt"),
        (2105, None, "HMDS data farm connection is broken:ushmds"),
        (2107, "cashhmds", "should be available upon demand.cashhmds"),
    ],
)
def test_farm_notices(code: int, farm: str | None, text: str) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, str]:
        simulator.faults.farm(code, farm)
        return await wire.error()

    request_id, got, said = with_gateway(body)

    assert (request_id, got) == (-1, code)
    assert said.endswith(text)


# Market data ------------------------------------------------------------------------------------


def test_stale_data_keeps_price_and_time_while_the_clock_runs() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[bool, bool]:
        simulator.faults.stale_data("SPY")
        first = await quote(wire)
        await asyncio.sleep(400.0)
        same = await quote(wire) == first
        simulator.faults.fresh_data("SPY")
        return same, await quote(wire) == first

    assert with_gateway(body) == (True, False)


@pytest.mark.parametrize(
    ("mode", "bid", "ends"),
    [
        ("minus_one", "-1.0", True),
        ("zero", "0.0", True),
        ("end_only", None, True),
        ("silent", None, False),
    ],
)
def test_missing_data(mode: str, bid: str | None, ends: bool) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        simulator.faults.missing_data("SPY", mode)
        return await quote(wire)

    messages = with_gateway(body)
    bids = [m[4] for m in messages if m[0] == "1" and m[3] == "1"]

    assert bids == ([] if bid is None else [bid])
    assert bool(messages and messages[-1][0] == "57") is ends


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        (354, 1, ["354"]),
        (10089, 1, ["81", "10089"]),
        (10168, 1, ["10168"]),
        (10168, 3, ["10168"]),
        (10167, 1, ["10167", "58:3"]),
        (354, 3, ["10167", "58:3"]),
    ],
)
def test_missing_subscription(code: int, kind: int, expected: list[str]) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        simulator.faults.no_subscription("SPY", code)
        wire.send(59, 1, kind)
        return await quote(wire)

    messages = with_gateway(body)
    short = [m[3] if m[0] == "4" else f"58:{m[3]}" if m[0] == "58" else m[0] for m in messages]

    assert short[: len(expected)] == expected
    delayed = {m[3] for m in messages if m[0] == "1"}
    assert delayed in (set(), {"66", "67", "68", "72", "73", "75", "76"})


def test_competing_session_ends_streams_and_refuses_new_ones() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, str]:
        wire.send(*snapshot(5, stock(), once=0))
        await wire.quiet(0.5)
        simulator.faults.competing_session()
        ended = (await wire.error())[1]
        refused = await quote(wire, 6)
        simulator.faults.competing_session(False)
        return ended, int(refused[0][3]), (await quote(wire, 7))[-1][0]

    assert with_gateway(body) == (10197, 10197, "57")


def test_pacing_error_answers_history_once() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[str, str]:
        simulator.faults.pacing_error()
        wire.send(*history(1, stock()))
        text = (await wire.error())[2]
        wire.send(*history(2, stock()))
        return text, (await wire.read())[0]

    text, then = with_gateway(body)

    assert text.endswith("pacing violation")
    assert then == "17"


def test_halted_symbol_says_so_and_does_not_trade() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str], str]:
        simulator.faults.halt("SPY")
        ticks = [m[4] for m in await quote(wire) if m[0] == "45" and m[3] == "49"]
        wire.send(*order(1))
        resting = summary(await wire.quiet(5.0))
        simulator.faults.resume_trading("SPY")
        return ticks, resting, summary(await wire.quiet())[-1]

    assert with_gateway(body) == (["1.0"], ["5:Submitted", "3:Submitted"], "59")


def test_moved_price_shows_in_quote_and_bars() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[float, float]:
        simulator.faults.move_price("SPY", 0.5)
        ticks = await quote(wire)
        wire.send(*history(1, stock()))
        bar = (await wire.read())[-8:]
        return next(float(m[4]) for m in ticks if m[0] == "1" and m[3] == "4"), float(bar[4])

    last, close = with_gateway(body)

    assert 280 < last < 310
    assert close == last


# Orders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inactive", "expected"),
    [(False, ["4:201"]), (True, ["5:Inactive", "3:Inactive", "4:201"])],
)
def test_next_order_is_rejected(inactive: bool, expected: list[str]) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], str]:
        simulator.faults.reject_next_order(inactive=inactive)
        wire.send(*order(1))
        first = summary(await wire.quiet())
        wire.send(*order(2))
        return first, summary(await wire.quiet())[-1]

    assert with_gateway(body) == (expected, "59")


@pytest.mark.parametrize(
    ("mode", "outcome", "held"),
    [("silent", "accepted", 100), ("drop_after", "accepted", 100), ("drop_before", "dropped", 0)],
)
def test_lost_acknowledgement(mode: str, outcome: str, held: float) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[bytes, float, str, list[str]]:
        simulator.faults.lose_acknowledgement(mode)
        wire.send(*order(1))
        try:
            async with asyncio.timeout(5):
                said = await wire.reader.read()
        except TimeoutError:
            said = b""
        except ConnectionError:
            said = b""
        position = simulator.positions().get(SPY)
        again = await open_wire(simulator.port, 2)
        again.send(7, 3, 1, 0, "", "", "", "", "", "")
        found = [m[0] for m in await again.until("55")]
        return said, position.quantity if position else 0, simulator.ledger[0].outcome, found

    said, quantity, result, found = with_gateway(body)

    assert (said, quantity, result) == (b"", held, outcome)
    assert found == (["11", "59", "55"] if held else ["55"])


def test_duplicate_execution_has_the_same_id_and_counts_once() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float]:
        simulator.faults.duplicate_execution()
        wire.send(*order(1))
        ids = [m[14] for m in await wire.quiet() if m[0] == "11"]
        return ids, simulator.positions()[SPY].quantity

    ids, quantity = with_gateway(body)

    assert (len(ids), len(set(ids)), quantity) == (2, 1, 100)


def test_late_fill_follows_a_confirmed_cancel() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float]:
        simulator.faults.late_fill(delay_s=2.0)
        wire.send(*order(1, "BUY", 10, "LMT", limit=500))
        await wire.quiet()
        wire.send(*cancel(1))
        return summary(await wire.quiet(5.0)), simulator.positions()[SPY].quantity

    messages, quantity = with_gateway(body)

    assert messages[:3] == ["3:Cancelled", "4:202", "11"]
    assert quantity == 10


def test_corrected_execution_keeps_its_root_and_changes_the_books() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[str, str, float, float, int]:
        wire.send(*order(1))
        old = next(m[14] for m in await wire.quiet() if m[0] == "11")
        cash = simulator.cash
        new = simulator.faults.correct_execution(old, price=500.0)
        message = next(m for m in await wire.quiet() if m[0] == "11")
        assert message[14] == new
        assert float(message[20]) == 500.0
        price = simulator.positions()[SPY].avg_cost
        return old, new, simulator.cash - cash, price, len(simulator.executions())

    old, new, gained, cost, count = with_gateway(body)

    assert (old[-3:], new[-3:], old[:-3] == new[:-3]) == (".01", ".02", True)
    assert gained > 5000
    assert cost == pytest.approx(500.01)
    assert count == 1


def test_refused_cancel_says_161_and_the_order_lives_on() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], int]:
        simulator.faults.refuse_cancel()
        wire.send(*order(1, "BUY", 10, "LMT", limit=500))
        await wire.quiet()
        wire.send(*cancel(1))
        return summary(await wire.quiet()), len(simulator.open_orders())

    assert with_gateway(body) == (["4:161"], 1)


def test_order_cancelled_by_the_exchange_gives_its_reason() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        wire.send(*order(1, "BUY", 10, "LMT", limit=500))
        await wire.quiet()
        simulator.faults.cancel_order(simulator.open_orders()[0].perm_id, "price band")
        return await wire.quiet()

    messages = with_gateway(body)

    assert summary(messages) == ["3:PendingCancel", "3:Cancelled", "4:202"]
    assert messages[-1][4].endswith("price band")


def test_held_orders_rest_until_released_or_filled_by_hand() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float, str]:
        simulator.faults.hold_orders()
        wire.send(*order(1))
        resting = summary(await wire.quiet(5.0))
        simulator.faults.fill(simulator.open_orders()[0].perm_id, 30, 600.0)
        await wire.quiet()
        part = simulator.positions()[SPY].quantity
        simulator.faults.release_orders()
        return resting, part, summary(await wire.quiet())[-1]

    assert with_gateway(body) == (["5:Submitted", "3:Submitted"], 30, "59")


def test_trade_by_hand_moves_the_position_only() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float]:
        wire.send(61, 1)
        await wire.until("62")
        simulator.faults.trade_elsewhere("SPY", -40)
        return [m[0] for m in await wire.quiet()], simulator.positions()[SPY].quantity

    assert with_gateway(body) == (["61"], -40)


def test_ignored_requests_are_never_answered() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, list[str]]:
        simulator.faults.ignore_requests("reqCurrentTime", "reqPositions")
        wire.send(49, 1)
        wire.send(61, 1)
        silent = len(await wire.quiet(20.0))
        simulator.faults.answer_requests()
        wire.send(49, 1)
        return silent, [m[0] for m in await wire.quiet()]

    assert with_gateway(body) == (0, ["49"])


@pytest.mark.req("SIM-6")
@pytest.mark.parametrize("drop", [False, True])
def test_more_than_fifty_messages_a_second_are_an_error(drop: bool) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, bool]:
        for _ in range(60):
            wire.send(49, 1)
        answers = 0
        while (message := await wire.read())[0] == "49":
            answers += 1
        closed = drop and await wire.closed()
        return answers, int(message[3]), closed

    assert with_gateway(body, limits=Limits(drop_on_rate=drop)) == (50, 100, drop)


# Scenarios --------------------------------------------------------------------------------------


def test_scenario_applies_its_faults_on_time(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(
        '[market]\nhours = "0930-1600"\n'
        '[[fault]]\nat_s = 5.0\nkind = "connectivity_lost"\n'
        '[[fault]]\nat_s = 8\nkind = "connectivity_restored"\ndata_lost = true\n'
        '[[fault]]\nat_s = 2\nkind = "ignore_requests"\nnames = ["reqCurrentTime"]\n',
        encoding="utf-8",
    )

    async def body(simulator: Simulator, wire: Wire) -> list[tuple[int, int]]:
        begun_s = 1000.0
        found = []
        for _ in range(2):
            code = (await wire.error())[1]
            found.append((code, round(simulator.loop.time() - begun_s)))
        assert 49 in simulator.faults.state.ignored
        assert simulator.market.hours.always is False
        return found

    assert with_gateway(body, scenario=read_scenario(file)) == [(1100, 5), (1101, 8)]


def test_scenario_lists_every_mistake(tmp_path: Path) -> None:
    document = {
        "weather": {},
        "market": {"hours": "late"},
        "fault": [
            {"at_s": -1, "kind": "silence"},
            {"at_s": 1, "kind": "earthquake"},
            {"at_s": 1, "kind": "latency", "delay_s": "long"},
            {"at_s": 1, "kind": "silence", "loudly": True},
            {"at_s": 1, "kind": "halt"},
        ],
    }

    with pytest.raises(ScenarioError) as caught:
        parse_scenario(document)

    text = str(caught.value)
    for part in (
        *("'weather'", "hours must look like", "fault 1: at_s", "unknown kind 'earthquake'"),
        *("delay_s must be float", "unknown field 'loudly'", "symbol is missing"),
    ):
        assert part in text


def test_unreadable_scenario_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[[fault", encoding="utf-8")

    with pytest.raises(ScenarioError, match="not TOML"):
        read_scenario(broken)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_scenario(tmp_path / "absent.toml")


def test_every_fault_is_described() -> None:
    methods = [method for name, method in vars(Faults).items() if not name.startswith("_")]

    assert len(methods) > 30
    assert all(inspect.getdoc(method) for method in methods)


def test_clear_takes_everything_back() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        faults = simulator.faults
        faults.silence()
        faults.missing_data()
        faults.hold_orders()
        faults.competing_session()
        faults.clear()
        wire.send(*order(1))
        fills = summary(await wire.quiet())[-1]
        return [fills, (await quote(wire))[-1][0]]

    assert with_gateway(body) == ["59", "57"]


def test_empty_scenario_is_allowed() -> None:
    assert parse_scenario({}) == Scenario()
