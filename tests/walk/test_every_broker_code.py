"""Every broker code × how it comes × what was asked for: each ends as defined, with default settings (ORD-8, ORD-11).

One world per column; all codes one after the other in it, in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import attrs
import pytest

from actors.errors import GatewayError
from actors.logic.broker_codes import KNOWN_CODES, Meaning, RequestKind, meaning
from actors.model.orders import OrderResult, OrderStatus, RejectionKind
from actors.sections.orders import Orders
from tests.worlds import CONTEXT, ProofWorld, buy, prove, sell

pytestmark = pytest.mark.req("ORD-8", "ORD-11")

UNLISTED: Final = (
    107, 109, 111, 113, 116, 117, 118, 125, 131, 133, 136, 143, 145, 146, 148, 152, 154, 157, 160, 163, 201 + 6, 308,
    325, 328, 355, 361, 380, 381, 382, 383, 388, 391, 403, 412, 427, 451, 460, 463, 10006, 10026, 10289, 10311,
)  # fmt: skip
"""Refusals of IB's that the table lacks, as people report them."""

LISTED_WITHIN_S, UNLISTED_WITHIN_S = 2.0, 5.0
SILENT_WITHIN_S = 17.0
OUTSTANDING_S = Orders().absence_outstanding_s + 1.0
BELOW = 580.0

NOTICES: Final = frozenset(
    code for code in KNOWN_CODES if meaning(code, RequestKind.NEW) is Meaning.NOTICE
)
"""They are about the link, whatever id they come with, and none of an order's answers."""

CODES: Final = tuple(sorted((KNOWN_CODES - NOTICES) | set(UNLISTED)))

REFUSALS: Final = frozenset({Meaning.REJECTED, Meaning.OUR_DEFECT, Meaning.NO_CONTRACT})
UNCLEAR: Final = frozenset({Meaning.QUERY, Meaning.DUPLICATE_ID})


@attrs.frozen
class Ended:
    """What a call came to, and after how long (virtual seconds)."""

    result: OrderResult | None
    error: GatewayError | None
    after_s: float


async def ending(world: ProofWorld, call: Awaitable[OrderResult]) -> Ended:
    """Wait for a call's end."""
    began_at = world.proof.loop.time()
    try:
        result: OrderResult | None = await call
        error = None
    except GatewayError as failure:
        result, error = None, failure
    return Ended(result, error, world.proof.loop.time() - began_at)


async def open_ids(world: ProofWorld) -> set[str]:
    """The orders that are not at their end, as far as is known."""
    return {order.order_id for order in await world.gateway.get_open_orders()}


def expected_of_new(code: int, manner: str) -> tuple[OrderStatus, float]:
    """How a new order ends that the broker drops with this code, and within how many seconds."""
    said = meaning(code, RequestKind.NEW)
    if said in REFUSALS:
        return OrderStatus.FAILED, LISTED_WITHIN_S
    if said is Meaning.CANCELLED and manner == "error":
        return OrderStatus.CANCELLED, LISTED_WITHIN_S
    if manner == "inactive":  # the status came first, and is an end whatever the code says
        return OrderStatus.FAILED, LISTED_WITHIN_S
    if said in UNCLEAR:
        return OrderStatus.FAILED, UNLISTED_WITHIN_S
    return (
        OrderStatus.LOST,
        SILENT_WITHIN_S,
    )  # a warning, and then nothing: as if it had said nothing


@pytest.mark.parametrize("manner", ["error", "inactive"])
@pytest.mark.parametrize("side", ["new", "close"])
def test_a_new_order_that_is_dropped_with_a_code_ends_as_the_table_says(
    side: str, manner: str
) -> None:
    async def scenario(world: ProofWorld) -> list[str]:
        await world.gateway.submit_order(buy(100), CONTEXT)
        wrong = []
        for code in CODES:
            status, within_s = expected_of_new(code, manner)
            world.simulator.order_faults.refuse_orders(code, f"no, by {code}", manner=manner)
            signal = buy(10) if side == "new" else sell(100)
            ended = await ending(world, world.gateway.submit_order(signal, CONTEXT, 60.0))
            world.simulator.order_faults.accept_orders()
            result = ended.result
            ok = result is not None and result.status is status and ended.after_s <= within_s
            if ok and result is not None and status is OrderStatus.FAILED:
                known = (result.rejection_kind, result.rejection_code)
                ok = known == (RejectionKind.BROKER, code)
                ok = ok and f"no, by {code}" in (result.rejection_reason or "")
            if not ok or await open_ids(world):
                wrong.append(f"{code}: {ended}")
            if status is OrderStatus.LOST:  # so long it is outstanding in its contract
                await asyncio.sleep(OUTSTANDING_S)
        assert [item.quantity for item in world.simulator.positions().values()] == [100]
        return wrong

    assert prove(scenario) == []


@pytest.mark.parametrize("manner", ["silence", "status"])
def test_an_order_that_is_dropped_without_a_code_ends_too(manner: str) -> None:
    async def scenario(world: ProofWorld) -> Any:
        world.simulator.order_faults.refuse_orders(manner=manner)
        return await ending(world, world.gateway.submit_order(buy(10), CONTEXT, 60.0))

    ended = prove(scenario)

    silent = manner == "silence"
    assert ended.result.status is (OrderStatus.LOST if silent else OrderStatus.FAILED)
    assert ended.after_s <= (SILENT_WITHIN_S if silent else LISTED_WITHIN_S)


def test_a_code_about_an_order_that_works_ends_it_only_where_the_table_says_so() -> None:
    async def scenario(world: ProofWorld) -> list[str]:
        wrong = []
        for code in CODES:
            resting = buy(10, order_type="LMT", limit_price=BELOW)
            order = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
            (theirs,) = world.simulator.open_orders()
            world.simulator.faults.send_error(code, "says so", request_id=theirs.order_id)
            await asyncio.sleep(UNLISTED_WITHIN_S)
            said = meaning(code, RequestKind.NEW, working=True)
            ends = said in REFUSALS | {Meaning.CANCELLED}
            if (order.order_id not in await open_ids(world)) is not ends:
                wrong.append(f"{code} ({said})")
            world.simulator.faults.cancel_order(theirs.perm_id)
            await asyncio.sleep(1.0)
            if await open_ids(world):
                wrong.append(f"{code}: not at its end")
        return wrong

    assert prove(scenario) == []


def test_a_change_that_is_dropped_with_a_code_is_refused_with_it_and_the_order_works_on() -> None:
    async def scenario(world: ProofWorld) -> list[str]:
        wrong = []
        for code in CODES:
            said = meaning(code, RequestKind.MODIFY)
            if said is Meaning.CANCELLED:  # it would end the order, which still works here
                continue
            resting = buy(10, order_type="LMT", limit_price=BELOW)
            order = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
            world.simulator.order_faults.refuse_orders(code, f"no, by {code}")
            change = world.gateway.modify_order(order.order_id, limit_price=BELOW + 1)
            ended = await ending(world, change)
            world.simulator.order_faults.accept_orders()
            within_s = LISTED_WITHIN_S if said is Meaning.LIVES_ON else UNLISTED_WITHIN_S
            if said not in UNCLEAR | {Meaning.LIVES_ON}:
                within_s = SILENT_WITHIN_S
            refused = ended.error is not None and ended.after_s <= within_s
            if within_s < SILENT_WITHIN_S:
                refused = refused and f"no, by {code}" in str(ended.error)
            if not refused or order.order_id not in await open_ids(world):
                wrong.append(f"{code} ({said}): {ended}")
            again = world.gateway.modify_order(order.order_id, limit_price=BELOW + 2)
            changed = await ending(world, again)
            if changed.error is not None:
                wrong.append(f"{code}: {changed.error}")
            await ending(world, world.gateway.cancel_order(order.order_id))
        return wrong

    assert prove(scenario) == []


def test_a_cancel_that_draws_a_code_goes_on_until_the_order_is_at_its_end() -> None:
    async def scenario(world: ProofWorld) -> list[str]:
        wrong = []
        for code in CODES:
            if meaning(code, RequestKind.CANCEL) is Meaning.CANCELLED:
                continue  # it says that the cancel was done
            resting = buy(10, order_type="LMT", limit_price=BELOW)
            order = await world.gateway.submit_order(resting, CONTEXT, wait_for="ack")
            (theirs,) = world.simulator.open_orders()
            world.simulator.order_faults.hold_cancels(is_told=False)
            cancelling = asyncio.create_task(
                ending(world, world.gateway.cancel_order(order.order_id, 60.0))
            )
            await asyncio.sleep(0.1)
            world.simulator.faults.send_error(code, "says so", request_id=theirs.order_id)
            await asyncio.sleep(6.0)
            if order.order_id not in await open_ids(world):
                wrong.append(f"{code}: called ended while it works")
            world.simulator.order_faults.release_cancels()
            ended = await cancelling
            if ended.result is None or ended.result.status is not OrderStatus.CANCELLED:
                wrong.append(f"{code}: {ended}")
        return wrong

    assert prove(scenario) == []
