"""Every trouble with orders that a test can ask for, as a client sees it over the wire."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from supervision.simulator import OrderFaults, Simulator, parse_scenario

from .test_faults import with_gateway
from .test_orders import cancel, summary
from .wire import SPY, Wire, open_wire, order, stock

pytestmark = pytest.mark.req("SIM-4", "SIM-8")

QQQ = 320227571
FILLED = [
    *("5:Submitted", "3:Submitted", "11", "5:Filled", "3:Filled", "5:Filled", "3:Filled", "59")
]
ALL_OPEN = [16, 1]
GLOBAL_CANCEL = [58, 1]
COMPLETED = [99, 0]
EXECUTIONS = [7, 3, 1, 0, "", "", "", "", "", ""]


async def said(wire: Wire, *fields: object) -> list[str]:
    """Send a message; what comes back, in short."""
    wire.send(*fields)
    return summary(await wire.quiet())


def held(simulator: Simulator, con_id: int = SPY) -> float:
    position = simulator.positions().get(con_id)
    return 0.0 if position is None else position.quantity


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        ("error", ["4:451"]),
        ("inactive", ["5:Inactive", "3:Inactive", "4:451"]),
        ("status", ["5:Inactive", "3:Inactive"]),
        ("deactivated", ["5:Inactive", "3:Inactive", "4:451"]),
        ("silence", []),
        ("late", []),
    ],
)
def test_every_order_is_refused_in_the_manner_that_was_asked_for(
    manner: str, expected: list[str]
) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str], float]:
        simulator.order_faults.refuse_orders(451, manner=manner)
        first = await said(wire, *order(1))
        second = await said(wire, *order(2))
        return first, second, held(simulator)

    assert with_gateway(body) == (expected, expected, 0.0)


@pytest.mark.parametrize("code", [201, 451, 460, 463, 10289, 10311, 10355])
def test_a_refusal_carries_its_code_and_words(code: int) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, str]:
        simulator.order_faults.refuse_orders(code, "not today")
        wire.send(*order(1))
        return await wire.error()

    assert with_gateway(body) == (1, code, "not today")


def test_a_refusal_ends_after_its_time_or_when_told() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        simulator.order_faults.refuse_orders(duration_s=20.0)
        answers = [await said(wire, *order(1))]
        await asyncio.sleep(20.0)
        answers.append(await said(wire, *order(2)))
        simulator.order_faults.refuse_orders()
        answers.append(await said(wire, *order(3)))
        simulator.order_faults.accept_orders()
        return [*answers, await said(wire, *order(4))]

    assert with_gateway(body) == [["4:201"], FILLED, ["4:201"], FILLED]


def test_a_refusal_may_be_about_closes_or_opens_or_one_symbol_alone() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        simulator.faults.trade_elsewhere("SPY", 100)
        simulator.order_faults.refuse_orders(only="closes", symbol="SPY")
        answers = [
            await said(wire, *order(1, "SELL", 10)),
            await said(wire, *order(2, "BUY", 10)),
            await said(wire, *order(3, "BUY", 10, contract=stock("QQQ"))),
            await said(wire, *order(4, "SELL", 10, contract=stock("QQQ"))),
        ]
        simulator.order_faults.accept_orders()
        simulator.order_faults.refuse_orders(only="opens")
        answers.append(await said(wire, *order(5, "SELL", 10)))
        return [*answers, await said(wire, *order(6, "BUY", 10))]

    refused = ["4:201"]
    assert with_gateway(body) == [refused, FILLED, FILLED, FILLED, FILLED, refused]


def test_a_modification_is_refused_like_an_order_and_the_old_terms_stand() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str], float | None]:
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        simulator.order_faults.refuse_orders(460)
        refused = await said(wire, *order(1, "BUY", 10, "LMT", limit=501))
        simulator.order_faults.accept_orders()
        simulator.order_faults.refuse_orders(manner="silence")
        dropped = await said(wire, *order(1, "BUY", 10, "LMT", limit=502))
        return refused, dropped, simulator.open_orders()[0].limit_price

    assert with_gateway(body) == (["4:460", "5:Submitted", "3:Submitted"], [], 500)


def test_an_order_that_was_dropped_is_unknown_and_its_id_is_used() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        simulator.order_faults.refuse_orders(manner="silence")
        await said(wire, *order(1))
        simulator.order_faults.accept_orders()
        return [
            await said(wire, *ALL_OPEN),
            await said(wire, *COMPLETED),
            await said(wire, *cancel(1)),
            await said(wire, *order(1)),
        ]

    assert with_gateway(body) == [["53"], ["102"], ["4:10147"], ["4:103"]]


def test_an_order_that_was_dropped_may_appear_later_and_fill() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str], float]:
        simulator.order_faults.refuse_orders(manner="late", appears_after_s=8.0, duration_s=1.0)
        await said(wire, *order(1))
        await asyncio.sleep(7.0)
        before = await said(wire, *ALL_OPEN)
        return before, summary(await wire.quiet(2.0)), held(simulator)

    assert with_gateway(body) == (["53"], FILLED, 100.0)


@pytest.mark.parametrize("way", ["refused", "by itself"])
def test_a_deactivated_order_is_listed_rests_and_can_be_cancelled(way: str) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        if way == "refused":
            simulator.order_faults.refuse_orders(manner="deactivated")
            await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        else:
            await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
            simulator.order_faults.deactivate_order(simulator.open_orders()[0].perm_id)
            await wire.quiet()
        simulator.faults.move_price("SPY", 0.5)
        rests = summary(await wire.quiet(5.0))
        listed = await said(wire, *ALL_OPEN)
        return [rests, listed, await said(wire, *cancel(1)), await said(wire, *ALL_OPEN)]

    listed = ["5:Inactive", "3:Inactive", "53"]
    assert with_gateway(body) == [[], listed, ["3:Cancelled", "4:202"], ["53"]]


def test_a_deactivated_order_may_be_activated_again() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float]:
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        perm_id = simulator.open_orders()[0].perm_id
        simulator.order_faults.deactivate_order(perm_id)
        simulator.faults.move_price("SPY", 0.5)
        await wire.quiet()
        simulator.order_faults.activate_order(perm_id)
        return summary(await wire.quiet()), held(simulator)

    assert with_gateway(body) == (FILLED, 10.0)


# Halts ------------------------------------------------------------------------------------------


def test_a_halt_ends_after_its_time_and_what_rested_fills() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float, float]:
        simulator.faults.halt("SPY", duration_s=360.0)
        accepted = await said(wire, *order(1))
        await asyncio.sleep(350.0)
        during = held(simulator)
        await asyncio.sleep(15.0)
        return accepted, during, held(simulator)

    assert with_gateway(body) == (["5:Submitted", "3:Submitted"], 0.0, 100.0)


# Cancels ----------------------------------------------------------------------------------------


def test_a_cancel_may_stay_pending_for_a_while() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str]]:
        simulator.order_faults.hold_cancels(delay_s=25.0)
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        first = await said(wire, *cancel(1))
        listed = await said(wire, *ALL_OPEN)
        assert listed == ["5:PendingCancel", "3:PendingCancel", "53"]
        await asyncio.sleep(20.0)
        return first, summary(await wire.quiet(10.0))

    assert with_gateway(body) == (["3:PendingCancel"], ["3:Cancelled", "4:202"])


def test_a_cancel_may_stay_pending_for_ever_while_the_order_can_fill() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float]:
        simulator.order_faults.hold_cancels()
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        await said(wire, *cancel(1))
        assert await said(wire, *GLOBAL_CANCEL) == ["3:PendingCancel"]
        await asyncio.sleep(600.0)
        simulator.faults.move_price("SPY", 0.5)
        return summary(await wire.quiet()), held(simulator)

    assert with_gateway(body) == (
        ["11", "5:Filled", "3:Filled", "5:Filled", "3:Filled", "59"],
        10.0,
    )


def test_released_cancels_take_effect() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str]]:
        simulator.order_faults.hold_cancels(is_told=False)
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        silent = await said(wire, *cancel(1))
        simulator.order_faults.release_cancels()
        return silent, summary(await wire.quiet())

    assert with_gateway(body) == ([], ["3:Cancelled", "4:202"])


def test_only_the_cancels_of_one_client_or_symbol_may_be_slow() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        simulator.order_faults.hold_cancels(client_id=9)
        simulator.order_faults.hold_cancels(symbol="QQQ")
        simulator.order_faults.foreign_order("SPY", -10, client_id=9)
        await said(wire, *order(1, "BUY", 10, "LMT", limit=400, contract=stock("QQQ")))
        await said(wire, *order(2, "BUY", 10, "LMT", limit=400))
        await said(wire, *GLOBAL_CANCEL)
        return [f"{each.contract.symbol} {each.status}" for each in simulator.open_orders()]

    assert with_gateway(body) == ["SPY PendingCancel", "QQQ PendingCancel"]


# Orders of others -------------------------------------------------------------------------------


@pytest.mark.parametrize(("client_id", "ids"), [(0, [-1, -2]), (33, [1, 2])])
def test_orders_of_others_are_listed_with_their_ids(client_id: int, ids: list[int]) -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[tuple[int, int, str, str]]:
        simulator.order_faults.foreign_order("SPY", 10, client_id=client_id, order_ref="theirs")
        simulator.order_faults.foreign_order("SPY", -10, stop_price=1.0, client_id=client_id)
        wire.send(*ALL_OPEN)
        rows = [m for m in await wire.quiet() if m[0] == "5"]
        return [(int(m[1]), int(m[24]), m[15], m[94]) for m in rows]

    assert with_gateway(body) == [
        (ids[0], client_id, "LMT", "Submitted"),
        (ids[1], client_id, "STP", "PreSubmitted"),
    ]


def test_an_order_of_another_is_cancelled_by_the_global_cancel_alone() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], int, int]:
        simulator.order_faults.foreign_order("SPY", 10)
        single = await said(wire, *cancel(-1))
        alive = len(simulator.open_orders())
        await said(wire, *GLOBAL_CANCEL)
        return single, alive, len(simulator.open_orders())

    assert with_gateway(body) == (["4:10147"], 1, 0)


def test_a_sale_beyond_the_position_turns_it() -> None:
    async def body(simulator: Simulator, wire: Wire) -> float:
        simulator.faults.trade_elsewhere("SPY", 48)
        simulator.order_faults.delay_fills(2.0)
        await said(wire, *order(1, "SELL", 48))
        await said(wire, *order(2, "SELL", 48))
        await wire.quiet(5.0)
        return held(simulator)

    assert with_gateway(body) == -48.0


def test_fractions_are_held_and_not_ordered() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[str, list[str], float]:
        simulator.faults.trade_elsewhere("SPY", 10.5)
        wire.send(61, 1)
        told = (await wire.until("62"))[0][-2]
        refused = await said(wire, *order(1, "SELL", 10.5))
        await said(wire, *order(2, "SELL", 10))
        return told, refused, held(simulator)

    assert with_gateway(body) == ("10.5", ["4:10243"], 0.5)


# Late and hidden --------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
def test_an_order_fills_after_the_socket_that_it_came_by_has_died(told: bool) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], float, float, list[str]]:
        simulator.order_faults.delay_fills(6.0)
        simulator.faults.lose_acknowledgement("drop_after")
        if not told:
            for where in ("open_orders", "completed_orders", "executions"):
                simulator.order_faults.hide_orders(where)
        wire.send(*order(1))
        await asyncio.sleep(1.0)
        again = await open_wire(simulator.port, 2)
        listed = await said(again, *ALL_OPEN)
        before = held(simulator)
        await asyncio.sleep(6.0)
        reads = await said(again, *COMPLETED) + await said(again, *EXECUTIONS)
        return listed, before, held(simulator), reads

    listed = ["5:Submitted", "3:Submitted", "53"] if told else ["53"]
    reads = ["101", "102", "11", "59", "55"] if told else ["102", "55"]
    assert with_gateway(body) == (listed, 0.0, 100.0, reads)


def test_orders_are_absent_from_the_list_for_a_while() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[list[str]]:
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        await said(wire, *order(2, "BUY", 10, "LMT", limit=400, contract=stock("QQQ")))
        simulator.order_faults.hide_orders(symbol="SPY", duration_s=30.0)
        hidden = [await said(wire, *ALL_OPEN), await said(wire, 5, 1)]
        await asyncio.sleep(31.0)
        return [*hidden, await said(wire, *ALL_OPEN)]

    one = ["5:Submitted", "3:Submitted"]
    assert with_gateway(body) == [[*one, "53"], [*one, "53"], [*one, *one, "53"]]


@pytest.mark.parametrize(
    ("name", "fields", "end"),
    [
        ("reqExecutions", EXECUTIONS, "55"),
        ("reqCompletedOrders", COMPLETED, "102"),
        ("reqOpenOrders", [5, 1], "53"),
        ("reqAllOpenOrders", ALL_OPEN, "53"),
        ("reqPositions", [61, 1], "62"),
    ],
)
def test_a_list_may_have_no_end(name: str, fields: list[object], end: str) -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str]]:
        await said(wire, *order(1))
        await said(wire, *order(2, "BUY", 10, "LMT", limit=500))
        simulator.order_faults.withhold_ends(name)
        endless = await said(wire, *fields)
        simulator.order_faults.withhold_ends()
        return endless, await said(wire, *fields)

    endless, whole = with_gateway(body)

    assert endless
    assert end not in endless
    assert whole[-1] == end


def test_the_day_may_have_thousands_of_executions() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[int, int, float]:
        simulator.order_faults.busy_day(6500)
        quiet = await wire.quiet()
        wire.send(*EXECUTIONS)
        rows = await wire.until("55")
        return len(quiet), len({m[14] for m in rows if m[0] == "11"}), held(simulator)

    assert with_gateway(body) == (0, 6500, 0.0)


# A gateway that stands still --------------------------------------------------------------------


def test_a_suspended_gateway_says_and_does_everything_when_it_wakes() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], int, list[str]]:
        simulator.faults.suspend(duration_s=30.0)
        wire.send(*order(1))
        before = summary(await wire.quiet(20.0))
        known = len(simulator.ledger)
        return before, known, summary(await wire.quiet(15.0))

    assert with_gateway(body) == ([], 0, FILLED)


def test_what_a_suspended_gateway_had_to_say_comes_in_order() -> None:
    async def body(simulator: Simulator, wire: Wire) -> list[str]:
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        simulator.faults.suspend()
        simulator.faults.move_price("SPY", 0.5)
        assert await wire.quiet(5.0) == []
        simulator.faults.wake()
        return summary(await wire.quiet())

    assert with_gateway(body) == ["11", "5:Filled", "3:Filled", "5:Filled", "3:Filled", "59"]


# The commands themselves ------------------------------------------------------------------------


def test_clear_takes_every_trouble_back() -> None:
    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str]]:
        faults = simulator.order_faults
        await said(wire, *order(1, "BUY", 10, "LMT", limit=500))
        faults.hold_cancels()
        await said(wire, *cancel(1))
        faults.refuse_orders()
        faults.delay_fills(99.0)
        faults.hide_orders()
        faults.withhold_ends("reqAllOpenOrders")
        simulator.faults.suspend()
        simulator.faults.clear()
        cancelled = summary(await wire.quiet())
        return cancelled, await said(wire, *order(2)) + await said(wire, *ALL_OPEN)

    assert with_gateway(body) == (["3:Cancelled", "4:202"], [*FILLED, "53"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda faults: faults.refuse_orders(manner="loudly"),
        lambda faults: faults.refuse_orders(only="some"),
        lambda faults: faults.hide_orders("positions"),
        lambda faults: faults.withhold_ends("reqNonsense"),
        lambda faults: faults.foreign_order("NOPE", 1),
        lambda faults: faults.foreign_order("SPY", 0),
    ],
)
def test_a_trouble_that_does_not_exist_is_refused(ask: object) -> None:
    async def body(simulator: Simulator, wire: Wire) -> None:
        assert callable(ask)
        with pytest.raises(ValueError, match=r"must|unknown|no instrument"):
            ask(simulator.order_faults)

    with_gateway(body)


def test_every_trouble_is_documented_and_can_stand_in_a_scenario() -> None:
    methods = {name: at for name, at in vars(OrderFaults).items() if not name.startswith("_")}

    assert methods
    assert all(inspect.getdoc(method) for method in methods.values())
    document = {"fault": [{"at_s": 1.0, "kind": "refuse_orders", "code": 451, "duration_s": 20.0}]}
    assert parse_scenario(document).faults[0].kind == "refuse_orders"


def test_a_scenario_troubles_orders_at_its_time() -> None:
    document = {"fault": [{"at_s": 5.0, "kind": "refuse_orders", "code": 451}]}

    async def body(simulator: Simulator, wire: Wire) -> tuple[list[str], list[str]]:
        before = await said(wire, *order(1))
        await asyncio.sleep(6.0)
        return before, await said(wire, *order(2))

    assert with_gateway(body, scenario=parse_scenario(document)) == (FILLED, ["4:451"])
