"""Orders: life cycles, rules of ids, rejections, money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from supervision.simulator import Simulator

from .wire import SPY, Wire, gateway, open_wire, option, order, run, stock


def summary(messages: list[list[str]]) -> list[str]:
    """Order messages in short: number, and status or code."""
    short: list[str] = []
    for message in messages:
        if message[0] == "5":
            short.append("5:" + message[94])
        elif message[0] == "3":
            short.append("3:" + message[2])
        elif message[0] == "4":
            short.append("4:" + message[3])
        else:
            short.append(message[0])
    return short


def trade(*orders: list[object], wait_s: float = 0.3, **settings: Any) -> list[list[list[str]]]:
    """Send orders to a gateway of their own; what came after each."""

    async def body() -> list[list[list[str]]]:
        async with gateway(**settings) as simulator:
            wire = await open_wire(simulator.port)
            answers = []
            for fields in orders:
                wire.send(*fields)
                answers.append(await wire.quiet(wait_s))
            return answers

    return run(body)


def cancel(order_id: int) -> list[object]:
    return [4, 1, order_id, ""]


@pytest.mark.req("SIM-2")
def test_market_order_fills_in_the_recorded_order_of_messages() -> None:
    [answer] = trade(order(1))

    assert summary(answer) == [
        *("5:Submitted", "3:Submitted", "11", "5:Filled", "3:Filled", "5:Filled", "3:Filled", "59")
    ]


@pytest.mark.req("SIM-2")
def test_market_order_may_begin_as_presubmitted() -> None:
    [answer] = trade(order(1), pre_submitted=True)

    assert summary(answer)[:3] == ["5:PreSubmitted", "3:PreSubmitted", "11"]


@pytest.mark.req("SIM-1")
@pytest.mark.parametrize(("version", "count"), [("v157..176", 136), ("v100..157", 128)])
def test_open_order_has_exactly_the_recorded_number_of_fields(version: str, count: int) -> None:
    async def body() -> list[str]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port, version=version)
            wire.send(*order(1, "BUY", 1, "LMT", limit="500.5", ref="me", version=wire.version))
            return (await wire.until("5"))[-1]

    message = run(body)

    assert len(message) == count
    assert message[1:8] == ["1", str(SPY), "SPY", "STK", "", "0", "?"]
    assert message[13:19] == ["BUY", "1", "LMT", "500.5", "0.0", "DAY"]
    assert message[20:25] == ["DU1234567", "O", "0", "me", "1"]
    assert (message[62], message[88], message[94]) == ("None", "IB", "Submitted")
    assert message[114] == "501.5"


@pytest.mark.req("SIM-1")
def test_execution_and_status_and_commission_have_exactly_the_fields_clients_want() -> None:
    [answer] = trade(order(1, ref="who"))
    by_id = {message[0]: message for message in answer}

    assert [len(by_id[kind]) for kind in ("3", "11", "59")] == [12, 31, 8]
    execution = by_id["11"]
    assert execution[1] == "-1"
    assert execution[7:10] == ["0.0", "", ""]
    assert execution[15].endswith(" US/Eastern")
    assert execution[17:19] == ["ARCA", "BOT"]
    assert execution[26] == "who"
    assert by_id["59"][5] == "1.7976931348623157E308"


@pytest.mark.req("SIM-2")
def test_limit_order_rests_is_modified_and_cancelled() -> None:
    answers = trade(
        order(1, "BUY", 10, "LMT", limit=500),
        order(1, "BUY", 10, "LMT", limit=501),
        cancel(1),
    )

    assert summary(answers[0]) == ["5:Submitted", "3:Submitted"]
    assert summary(answers[1]) == ["5:Submitted", "3:Submitted"] * 2
    assert answers[1][0][16] == "501.0"
    assert answers[1][0][25] == answers[0][0][25]
    assert ".1/DU1234567/10" in answers[1][0][30]
    assert summary(answers[2]) == ["3:Cancelled", "4:202"]
    assert answers[2][1][4] == "Order Canceled - reason:"


@pytest.mark.req("SIM-2")
def test_marketable_limit_order_fills_at_the_market() -> None:
    [answer] = trade(order(1, "BUY", 10, "LMT", limit=700))
    fill = next(message for message in answer if message[0] == "11")

    assert 550 < float(fill[20]) < 650


@pytest.mark.req("SIM-2")
def test_stop_order_waits_for_its_trigger_and_then_fills() -> None:
    async def body() -> tuple[list[str], list[str], str]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1, "SELL", 10, "STP", stop=580))
            first = await wire.quiet(5.0)
            simulator.faults.move_price("SPY", 0.9)
            return summary(first), summary(await wire.quiet()), first[1][10]

    first, second, why_held = run(body)

    assert (first, why_held) == (["5:PreSubmitted", "3:PreSubmitted"], "trigger")
    assert second[:3] == ["5:Submitted", "3:Submitted", "11"]
    assert second[-1] == "59"


@pytest.mark.req("SIM-2")
def test_large_order_fills_in_slices_with_an_execution_each() -> None:
    [answer] = trade(order(1, "BUY", 250), max_fill_quantity=100, slice_delay_s=1.0, wait_s=3.0)
    fills = [message for message in answer if message[0] == "11"]
    statuses = [message[2:5] for message in answer if message[0] == "3"]

    assert [fill[19] for fill in fills] == ["100", "100", "50"]
    assert [fill[24] for fill in fills] == ["100", "200", "250"]
    assert len({fill[14] for fill in fills}) == 3
    assert ["Submitted", "100", "150"] in statuses
    assert statuses[-1] == ["Filled", "250", "0"]


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize("tif", ["IOC", "FOK"])
def test_order_for_immediate_fill_is_cancelled_when_it_cannot(tif: str) -> None:
    [answer] = trade(order(1, "BUY", 10, "LMT", limit=500, tif=tif))

    assert summary(answer) == ["5:Submitted", "3:Submitted", "3:Cancelled", "4:202"]


@pytest.mark.req("SIM-2")
def test_partly_filled_immediate_order_cancels_its_rest() -> None:
    [answer] = trade(order(1, "BUY", 150, tif="IOC"), max_fill_quantity=100, slice_delay_s=1.0)

    assert summary(answer)[-2:] == ["3:Cancelled", "4:202"]
    assert answer[-2][2:5] == ["Cancelled", "100", "50"]


@pytest.mark.req("SIM-2")
def test_round_trip_books_commission_and_realized_result() -> None:
    async def body() -> tuple[float, list[str], float, list[str]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1, "BUY", 1000))
            opening = (await wire.until("59"))[-1]
            cost = simulator.positions()[SPY].avg_cost
            wire.send(*order(2, "SELL", 1000))
            closing = (await wire.until("59"))[-1]
            assert simulator.positions() == {}
            return cost, opening, simulator.cash, closing

    cost, opening, cash, closing = run(body)
    result = float(closing[5])

    assert opening[3] == "5"
    assert opening[5].startswith("1.79")
    assert cash == pytest.approx(1_000_000 + result)
    assert result < -10.0 + 1000 * 0.05
    assert round(cost * 1000 - 5) == pytest.approx(cost * 1000 - 5, abs=1e-6)


@pytest.mark.req("SIM-2")
def test_short_sale_and_flip_keep_average_cost_and_sign() -> None:
    async def body() -> tuple[float, float, float]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1, "SELL", 100))
            await wire.until("59")
            short = simulator.positions()[SPY].quantity
            wire.send(*order(2, "BUY", 150))
            await wire.until("59")
            held = simulator.positions()[SPY]
            price = simulator.executions()[-1].price
            return short, held.quantity, (held.avg_cost - price) * 50

    short, after, commission = run(body)

    assert (short, after) == (-100, 50)
    assert commission == pytest.approx(1.0 / 3)


@pytest.mark.req("SIM-2")
def test_average_cost_of_an_option_includes_multiplier_and_commission() -> None:
    async def body() -> tuple[float, float, float]:
        async with gateway() as simulator:
            expiry = simulator.universe.expiries(
                simulator.universe.stocks[0], simulator.market.today
            )[4]
            wire = await open_wire(simulator.port)
            wire.send(*order(1, "BUY", 2, contract=option(expiry, 595, "C")))
            report = (await wire.until("59"))[-1]
            [held] = simulator.positions().values()
            return held.avg_cost, simulator.executions()[0].price, float(report[3])

    cost, price, commission = run(body)

    assert commission == 1.3
    assert cost == pytest.approx(price * 100 + 0.65)


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": 0}, 321),
        ({"quantity": -5}, 321),
        ({"quantity": 1.5}, 10243),
        ({"quantity": "many"}, 320),
        ({"quantity": ""}, 320),
        ({"action": "HOLD"}, 321),
        ({"kind": "BEST"}, 321),
        ({"kind": "LMT"}, 321),
        ({"kind": "STP"}, 321),
        ({"kind": "LMT", "limit": 500.001}, 110),
        ({"kind": "LMT", "limit": -5}, 110),
        ({"kind": "LMT", "limit": "nan"}, 320),
        ({"tif": "SOON"}, 321),
        ({"contract": stock("NOPE")}, 200),
        ({"contract": stock("SHOP", currency="")}, 200),
        ({"contract": option("20200101", 1, "C")}, 200),
        ({"quantity": 100_000}, 201),
    ],
)
def test_invalid_order_gets_only_its_error(changes: dict[str, Any], code: int) -> None:
    [answer] = trade(order(1, **changes))

    assert summary(answer) == [f"4:{code}"]
    assert answer[0][2] == "1"


@pytest.mark.req("SIM-2")
def test_order_ids_follow_the_rules_of_the_gateway() -> None:
    answers = trade(
        order(0),
        order(5),
        order(5),
        order(4),
        order(6, "BUY", 10, "LMT", limit=500),
        order(6, "BUY", 10, "STP", stop=900),
        order(6, "SELL", 10, "LMT", limit=500),
        cancel(77),
        cancel(5),
        cancel(6),
        order(6, "BUY", 10, "LMT", limit=500),
    )

    codes = [summary(answer)[-1] for answer in answers]
    assert codes == [
        *("4:10149", "59", "4:104", "4:103", "3:Submitted", "4:329", "4:105"),
        *("4:10147", "4:10148", "4:202", "4:104"),
    ]
    assert answers[8][-1][4].endswith("cannot be cancelled, state: Filled.")


@pytest.mark.req("SIM-2")
def test_rejection_of_a_modification_restates_the_old_terms() -> None:
    async def body() -> list[list[str]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1, "BUY", 10, "LMT", limit=500))
            await wire.quiet()
            simulator.faults.reject_next_order()
            wire.send(*order(1, "BUY", 10, "LMT", limit=510))
            return await wire.quiet()

    answer = run(body)

    assert summary(answer) == ["4:201", "5:Submitted", "3:Submitted"]
    assert answer[1][16] == "500.0"


@pytest.mark.req("SIM-2")
def test_rejection_may_come_with_inactive_around_it() -> None:
    [answer] = trade(order(1, "BUY", 100_000), inactive_on_reject=True)

    assert summary(answer) == ["5:Inactive", "3:Inactive", "4:201"]


@pytest.mark.req("SIM-2")
def test_what_if_answers_with_margins_and_places_nothing() -> None:
    async def body() -> tuple[list[list[str]], int]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1, what_if=1))
            answer = await wire.quiet()
            return answer, len(simulator.orders())

    answer, orders = run(body)

    assert (len(answer), answer[0][0], answer[0][93], orders) == (1, "5", "1", 0)
    assert all(float(value) < 1e300 for value in answer[0][95:104])


@pytest.mark.req("SIM-2")
def test_untransmitted_parent_goes_out_with_its_child() -> None:
    answers = trade(
        order(1, "BUY", 10, transmit=0),
        order(2, "SELL", 10, "LMT", limit=700, parent=1),
        cancel(2),
    )

    assert answers[0] == []
    assert summary(answers[1])[:2] == ["5:PreSubmitted", "3:PreSubmitted"]
    assert "59" in summary(answers[1])
    assert summary(answers[2])[-1] == "4:202"


@pytest.mark.req("SIM-2")
def test_discarding_an_untransmitted_order_says_202_and_161() -> None:
    answers = trade(order(1, "BUY", 10, transmit=0), cancel(1), order(1))

    assert summary(answers[1]) == ["4:202", "4:161"]
    assert summary(answers[2]) == ["4:103"]


@pytest.mark.req("SIM-2")
def test_one_of_a_group_cancels_the_others() -> None:
    answers = trade(
        order(1, "SELL", 10, "LMT", limit=700, oca="g"),
        order(2, "BUY", 10, oca="g"),
    )

    assert "3:Cancelled" in summary(answers[1])


@pytest.mark.req("SIM-2")
def test_account_is_needed_only_where_there_are_several() -> None:
    accounts = ("DU1", "DU2")
    single = trade(order(1, account="ANYTHING"))
    several = trade(order(1), order(2, account="DU9"), order(3, account="DU2"), accounts=accounts)

    assert summary(single[0])[-1] == "59"
    assert summary(several[0]) == ["4:321"]
    assert summary(several[1]) == ["4:201"]
    assert several[2][0][20] == "DU2"


@pytest.mark.req("SIM-2")
def test_read_only_gateway_refuses_orders_and_their_lists() -> None:
    answers = trade(order(1), cancel(1), [5, 1], [99, 0], read_only=True)

    assert [summary(answer) for answer in answers] == [["4:321"]] * 4


@pytest.mark.req("SIM-6")
def test_order_outside_the_hours_waits_for_the_open() -> None:
    async def body() -> tuple[list[list[str]], list[list[str]]]:
        async with gateway(hours="1100-1600") as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1))
            first = await wire.quiet()
            assert simulator.market.hours.is_open(simulator.now()) is False
            return first, await wire.until("59", 3000.0)

    first, second = run(body)

    assert summary(first) == ["5:PreSubmitted", "3:PreSubmitted", "4:399"]
    assert "exchange until 2026-03-04 11:00:00 US/Eastern." in first[2][4]
    assert summary(second)[-1] == "59"


async def _two_clients(simulator: Simulator) -> tuple[Wire, Wire]:
    return await open_wire(simulator.port, 1), await open_wire(simulator.port, 2)


@pytest.mark.req("SIM-2")
def test_clients_see_their_own_orders_and_all_on_request() -> None:
    async def body() -> dict[str, list[str]]:
        async with gateway() as simulator:
            first, second = await _two_clients(simulator)
            first.send(*order(1, "BUY", 10, "LMT", limit=500))
            await first.quiet()
            unseen = await second.quiet()
            second.send(5, 1)
            own = await second.until("53")
            second.send(16, 1)
            everybody = await second.until("53")
            second.send(*cancel(1))
            foreign = await second.quiet()
            second.send(58, 1)
            await second.quiet()
            return {
                "unseen": summary(unseen),
                "own": summary(own),
                "everybody": summary(everybody),
                "foreign": summary(foreign),
                "cancelled": summary(await first.quiet()),
            }

    assert run(body) == {
        "unseen": [],
        "own": ["53"],
        "everybody": ["5:Submitted", "3:Submitted", "53"],
        "foreign": ["4:10147"],
        "cancelled": ["3:Cancelled", "4:202"],
    }


@pytest.mark.req("SIM-2")
def test_master_client_hears_of_every_order() -> None:
    async def body() -> list[str]:
        async with gateway(master_client_id=2) as simulator:
            first, second = await _two_clients(simulator)
            first.send(*order(1))
            return summary(await second.quiet())

    assert run(body)[-1] == "59"


@pytest.mark.req("SIM-2")
def test_executions_are_found_after_a_reconnect_and_filtered() -> None:
    async def body() -> list[list[str]]:
        async with gateway() as simulator:
            first, second = await _two_clients(simulator)
            first.send(*order(1))
            await first.until("59")
            second.send(*order(1, "SELL", 10, contract=stock("QQQ")))
            await second.until("59")
            first.close()
            await asyncio.sleep(0.1)
            again = await open_wire(simulator.port, 1)
            found = []
            for client, symbol, side in ((0, "", ""), (2, "", ""), (0, "SPY", ""), (0, "", "SELL")):
                again.send(7, 3, 50, client, "", "", symbol, "", "", side)
                found.append([message[0] for message in await again.until("55")])
            return found

    one = ["11", "59", "55"]
    assert run(body) == [["11", "11", "59", "59", "55"], one, one, one]


@pytest.mark.req("SIM-2")
def test_completed_orders_list_what_is_over() -> None:
    async def body() -> list[list[str]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1))
            wire.send(*order(2, "BUY", 10, "LMT", limit=500))
            wire.send(*cancel(2))
            wire.send(*order(3, "BUY", 10, "LMT", limit=500))
            await wire.quiet()
            wire.send(99, 0)
            return await wire.until("102")

    messages = run(body)

    assert [message[0] for message in messages] == ["101", "101", "102"]
    assert "Filled Size: 100" in messages[0]
    assert "Cancelled by Trader" in messages[1]
    assert messages[2] == ["102"]


@pytest.mark.req("SIM-5")
def test_ledger_holds_every_order_message_with_its_outcome() -> None:
    async def body() -> Simulator:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port, 4)
            wire.send(*order(1, "BUY", 10, "LMT", limit=500, ref="R1", operator="CSATSPRIM"))
            wire.send(*order(1, "BUY", 10, "LMT", limit=501))
            wire.send(*cancel(1))
            wire.send(*order(2, "HOLD"))
            wire.send(58, 1)
            wire.send(3, 9, "what")
            await wire.quiet()
            return simulator

    ledger = run(body).ledger

    assert [(entry.kind, entry.outcome) for entry in ledger] == [
        ("place", "accepted"),
        ("modify", "modified"),
        ("cancel", "cancelled"),
        ("place", "rejected:321"),
        ("global_cancel", "cancelled"),
        ("place", "rejected:320"),
    ]
    first = ledger[0]
    assert (first.sequence, first.client_id, first.order_id, first.action) == (1, 4, 1, "BUY")
    assert (first.quantity, first.limit_price, first.stop_price) == (10, 500, None)
    assert (first.order_ref, first.ext_operator, first.symbol) == ("R1", "CSATSPRIM", "SPY")
    assert len(first.raw) == 115
    assert first.perm_id > 0
