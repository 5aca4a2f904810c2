"""The probes of docs/assumptions.md: what no gateway has confirmed, asked of one when it is at hand.

Each probe is named by a row there. It asserts what the code relies on; one that fails says that the row is wrong, and
what follows from that stands in the row. What needs another account, another hour or a person is skipped, and says how
to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from actors import messages as m
from actors.link.answers import FIRST_REQUEST_ID
from actors.messages.addresses import LINK
from actors.model.connection import DisconnectCause
from actors.model.orders import Execution
from supervision import IBKRGateway, OrderStatus
from tests.paper_gateway.conftest import PATIENCE_S, SYMBOL, Scenario, one_share
from tests.paper_gateway.probes import (
    by_hand,
    codes_heard,
    is_in_session,
    read_state,
    seconds_until,
    shows,
)
from tests.paper_gateway.test_paper_gateway import FAR_BELOW, price_of
from tests.worlds import CONTEXT

pytestmark = pytest.mark.req("QUA-6")

Paper = Callable[[Scenario], Any]
SETTLED_S: Final = 8.0
"""RULES 1: a read that begins so long after an order's bytes shows the order, if it lives."""

NEVER_USED: Final = FIRST_REQUEST_ID - 1
"""The last order id there could be: no client has used it."""

UNKNOWN_ORDER: Final = 10147


async def a_resting_order(gateway: IBKRGateway) -> Any:
    """Let an order of one share rest, far from a fill."""
    limit = round(await price_of(gateway) * FAR_BELOW, 2)
    signal = one_share("BUY", order_type="LMT", limit_price=limit)
    placed = await gateway.submit_order(signal, CONTEXT, PATIENCE_S, wait_for="ack")
    assert placed.status is OrderStatus.PENDING, placed
    return placed


def test_a_read_shows_an_order_well_before_it_is_called_absent(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        placed = await a_resting_order(gateway)

        assert await seconds_until(gateway, shows(placed), SETTLED_S) < SETTLED_S / 2

    paper(scenario)


def test_a_cancel_of_an_order_that_is_not_there_is_answered_with_10147(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        with codes_heard(gateway) as heard:
            cancel = m.SendCancel(order_ref="PAPERSUITE:never", broker_order_id=NEVER_USED)
            gateway.process.tell(LINK, cancel)
            await asyncio.sleep(10.0)

        assert (NEVER_USED, UNKNOWN_ORDER) in heard

    paper(scenario)


def test_an_order_outlives_its_session_and_is_shown_to_the_same_client(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        placed = await a_resting_order(gateway)
        gateway.process.tell(LINK, _end_session())
        await asyncio.sleep(1.0)
        await gateway.connect(PATIENCE_S)

        state = await read_state(gateway)

        assert shows(placed)(state)
        assert state.is_complete

    paper(scenario)


def _end_session() -> m.EndSession:
    return m.EndSession(cause=DisconnectCause.ASKED, reason="a probe", graceful=True)


def test_a_day_of_executions_and_completed_orders_ends_its_answer(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        assert (await read_state(gateway)).silent == ()

    paper(scenario)


def test_a_filter_of_executions_is_read_as_utc(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        await gateway.submit_order(one_share("BUY"), CONTEXT, PATIENCE_S)
        listed = [item for item in (await read_state(gateway)).executions if item.executed_at]
        newest = max(listed, key=lambda item: str(item.executed_at))
        assert newest.executed_at is not None
        since = m.ExecutionsSince(
            at=newest.executed_at - timedelta(minutes=1), known=newest.base_id
        )
        recent = (await read_state(gateway, since)).executions
        if len(recent) == len(listed) and any(_is_before(item, since.at) for item in listed):
            pytest.fail("all were listed: the newest was missing in the filtered answer")

        assert not any(_is_before(item, since.at) for item in recent)

    paper(scenario)


def _is_before(execution: Execution, moment: datetime) -> bool:
    return execution.executed_at is not None and execution.executed_at < moment


def test_an_answer_that_ends_late_is_of_that_moment(paper: Paper) -> None:
    by_hand(
        "on the evening of an expiry, when the account download does not end: note what it says when it does"
    )


def test_a_market_order_outside_the_session_is_kept_for_the_open(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        if await is_in_session(gateway):
            pytest.skip(f"to be asked outside the session of {SYMBOL}")
        kept = await gateway.submit_order(one_share("BUY"), CONTEXT, PATIENCE_S, wait_for="ack")
        if kept.rejection_reason:
            pytest.skip(f"not sent: {kept.rejection_reason}")

        assert shows(kept)(await read_state(gateway))

    paper(scenario)


def test_an_option_quote_has_the_models_price(paper: Paper) -> None:
    async def scenario(gateway: IBKRGateway) -> None:
        price = await price_of(gateway)
        chain = await gateway.get_option_chain(SYMBOL, PATIENCE_S)
        strike = min(chain.strikes, key=lambda each: abs(each - price))
        expiry = chain.expiries[min(2, len(chain.expiries) - 1)]
        quote = await gateway.get_option_quote(SYMBOL, f"{expiry:%Y%m%d}", strike, "C", PATIENCE_S)
        if quote.bid is None or quote.ask is None:
            pytest.skip("the account has no option data, or the market is closed")

        assert quote.model_price is not None
        assert 0.5 * quote.bid <= quote.model_price <= 2 * quote.ask

    paper(scenario)


# --- what needs a person, another account or another hour -------------------------------------------------------------


def test_what_another_client_id_sent_is_shown_within_a_minute(paper: Paper) -> None:
    by_hand(
        "in an account of its own: send a limit order of one share under another client id and drop that socket at"
        " once; under the first id a read within 60 s shows it"
    )


def test_135_as_the_answer_to_a_cancel_means_that_nothing_works_under_that_id(paper: Paper) -> None:
    by_hand(
        "where the probe of 10147 hears 135 instead: cancel an order that works under another client id by its number,"
        " too; a gateway that answers that with 135 does not tell the one from the other"
    )


def test_an_option_deals_in_coarser_steps_from_three_on(paper: Paper) -> None:
    by_hand(
        "offer an option above 3.00 of a class that is not in the penny program at a price such as 3.01: 110 is"
        " expected; then at 3.05 or 3.10: taken"
    )


def test_both_sides_of_one_option_are_refused(paper: Paper) -> None:
    by_hand(
        "let a limit sale of an option rest, then send a limit purchase of the same: 201 is expected"
    )


def test_a_global_cancel_reaches_what_other_clients_and_hands_placed(paper: Paper) -> None:
    by_hand(
        "in an account of its own: rest one order by another client id and one in TWS, then flatten --break-glass"
        " with a position of one share: both end as Cancelled"
    )


def test_a_global_cancel_does_not_reach_what_is_sent_after_it(paper: Paper) -> None:
    by_hand(
        "in an account of its own: send a global cancel and, in the same second, a limit order: it rests"
    )


def test_a_future_works_outside_regular_hours_only_when_it_says_so(paper: Paper) -> None:
    by_hand(
        "with a subscription to futures: rest MES by night with and without outsideRth; only the first deals"
    )


def test_a_contract_that_the_router_does_not_take_is_found_by_its_number_alone(
    paper: Paper,
) -> None:
    by_hand(
        "hold one future; its conId with an empty exchange is answered with an exchange that lists it"
    )


def test_a_refusal_for_its_tick_is_110_and_ends_the_order(paper: Paper) -> None:
    by_hand(
        "send a limit with more digits than the tick allows past our own checks: 110, and no open order"
    )


def test_marks_come_whole_with_the_account(paper: Paper) -> None:
    by_hand(
        "hold a stock, an option and a share quoted in pence; log each updatePortfolio with the account's values:"
        " marketValue over position is the unit's worth in the contract's currency, and reqAccountUpdates asked again"
        " brings every row with NetLiquidation within a second"
    )
