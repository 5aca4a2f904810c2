"""The steps of the features, in a trader's words. Given and When collect; the first Then tells the story."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from pytest_bdd import given, parsers, then, when

from actors import errors
from supervision import GatewayError
from supervision.simulator import SimulatorConfig
from tests.bdd.story import Outcome, Story, connect
from tests.worlds import CONTEXT, ProofWorld, buy

FOR_EVER = 1_000_000


def pytest_bdd_apply_tag(tag: str, function: Callable[..., Any]) -> bool:
    """A tag is the id of a requirement that the scenario proves."""
    pytest.mark.req(tag)(function)
    return True


@pytest.fixture
def story() -> Story:
    """Begin a story."""
    return Story()


def _break(story: Story, fault: str, *arguments: Any) -> None:
    """Let the gateway have this fault from now on."""

    async def deed(world: ProofWorld, _: Outcome) -> None:
        getattr(world.simulator.faults, fault)(*arguments)

    story.then(deed)


# --- given ------------------------------------------------------------------------------------------------------------


@given(parsers.re(r"a gateway that is logged in to the (paper|live) account (?P<account>\w+)"))
def _logged_in(story: Story, account: str) -> None:
    story.simulated = SimulatorConfig(account=account)


@given("a gateway that says nothing")
def _silent(story: Story) -> None:
    _break(story, "silence")


@given("a gateway whose login is not finished")
def _not_logged_in(story: Story) -> None:
    _break(story, "authentication_failure")


@given(
    parsers.parse(
        "a gateway where client id {client_id:d} is taken for the next {times:d} attempts"
    )
)
def _taken(story: Story, client_id: int, times: int) -> None:
    _break(story, "client_id_taken", client_id, times)


@given("a gateway where every client id is taken")
def _all_taken(story: Story) -> None:
    _break(story, "client_id_taken", None, FOR_EVER)


@given(parsers.parse("a gateway that speaks protocol version {version:d}"))
def _old(story: Story, version: int) -> None:
    _break(story, "version_too_old", version)


@given("a gateway that refuses every connection")
def _refusing(story: Story) -> None:
    _break(story, "refuse_connections")


# --- when -------------------------------------------------------------------------------------------------------------


@when("the process connects")
@when("the process connects again")
def _connects(story: Story) -> None:
    story.then(connect)


@when(parsers.parse("the process connects within {seconds:d} seconds"))
def _connects_within(story: Story, seconds: int) -> None:
    async def deed(world: ProofWorld, outcome: Outcome) -> None:
        await connect(world, outcome, float(seconds))

    story.then(deed)


@when(parsers.parse("{seconds:d} seconds pass"))
def _pass(story: Story, seconds: int) -> None:
    async def deed(_world: ProofWorld, _outcome: Outcome) -> None:
        await asyncio.sleep(seconds)

    story.then(deed)


@when("the gateway speaks again")
def _speaks(story: Story) -> None:
    _break(story, "speak")


@when("the gateway accepts connections again")
def _accepts(story: Story) -> None:
    _break(story, "accept_connections")


@when("the gateway is upgraded")
def _upgraded(story: Story) -> None:
    _break(story, "version_too_old", None)


@when("the operator finishes the login")
def _login_finished(story: Story) -> None:
    _break(story, "authentication_failure", None)


@when("the operator disconnects")
def _disconnects(story: Story) -> None:
    async def deed(world: ProofWorld, outcome: Outcome) -> None:
        outcome.status = await world.gateway.status()
        await world.gateway.disconnect()

    story.then(deed)


@when(parsers.parse("the trader buys {quantity:d} SPY"))
def _buys(story: Story, quantity: int) -> None:
    async def deed(world: ProofWorld, outcome: Outcome) -> None:
        outcome.orders.append(await world.gateway.submit_order(buy(quantity), CONTEXT))

    story.then(deed)


@when(parsers.parse("the trader asks for a quote of SPY within {seconds:d} seconds"))
def _asks(story: Story, seconds: int) -> None:
    async def deed(world: ProofWorld, outcome: Outcome) -> None:
        try:
            await world.gateway.get_market_data("SPY", float(seconds))
        except GatewayError as error:
            outcome.quote_error = error

    story.then(deed)


# --- then: the connection ---------------------------------------------------------------------------------------------


@then(parsers.re(r"the connection is (?P<state>[A-Z]+)"))
def _is(story: Story, state: str) -> None:
    assert story.outcome.states[-1] == state


@then(parsers.re(r"the connection is not (?P<state>[A-Z]+)"))
def _is_not(story: Story, state: str) -> None:
    assert story.outcome.states[-1] != state


@then(parsers.parse("it went from {first} over {second} to {third}"))
def _went(story: Story, first: str, second: str, third: str) -> None:
    assert story.outcome.states == [first, second, third]


@then("the session has an id of its own")
def _has_id(story: Story) -> None:
    status = story.outcome.status
    assert status is not None
    assert uuid.UUID(status.session_id).version == 4


@then(parsers.parse("the session runs under client id {client_id:d}"))
def _runs_under(story: Story, client_id: int) -> None:
    assert story.outcome.client_ids == (client_id,)


@then("what the broker holds was read before any order could go")
def _read_first(story: Story) -> None:
    assert story.outcome.was_read_first


# --- then: errors -----------------------------------------------------------------------------------------------------


@then("connecting fails")
def _fails(story: Story) -> None:
    assert story.outcome.errors


@then(parsers.re(r"connecting fails with (?P<kind>\w+), (?P<code>\w+)"))
def _fails_with(story: Story, kind: str, code: str) -> None:
    _assert_is(story.outcome.errors[-1], kind, code)


@then(parsers.re(r"the quote fails with (?P<kind>\w+), (?P<code>\w+)"))
def _quote_fails_with(story: Story, kind: str, code: str) -> None:
    _assert_is(story.outcome.quote_error, kind, code)


def _assert_is(error: GatewayError | None, kind: str, code: str) -> None:
    assert type(error) is getattr(errors, kind), error
    assert error is not None
    assert error.code == code


@then("the error is worth trying again")
def _retryable(story: Story) -> None:
    assert story.outcome.errors[-1].retryable


@then("the error is not worth trying again")
def _not_retryable(story: Story) -> None:
    assert not story.outcome.errors[-1].retryable


@then(parsers.parse('the error says "{words}"'))
def _error_says(story: Story, words: str) -> None:
    assert words in str(story.outcome.errors[-1])


@then(parsers.parse("that took {seconds:d} seconds"))
def _took(story: Story, seconds: int) -> None:
    assert story.outcome.took_s[-1] == pytest.approx(seconds, abs=0.05)


@then("that took no time at all")
def _took_nothing(story: Story) -> None:
    assert story.outcome.took_s[-1] < 0.05


# --- then: the log ----------------------------------------------------------------------------------------------------


@then(parsers.re(r"the log tells (?P<events>[a-z_, ]+)"))
def _log_tells(story: Story, events: str) -> None:
    expected = events.split(", ")
    assert [name for name, _ in story.outcome.log if name in expected] == expected


@then(parsers.re(r"(?P<event>[a-z_]+) names (?P<names>[a-z_, ]+)"))
def _event_names(story: Story, event: str, names: str) -> None:
    fields = story.outcome.logged(event)[0]
    missing = [name for name in names.split(", ") if fields.get(name) in (None, "")]
    assert missing == [], fields


@then(parsers.re(r"exactly (?P<count>\d+) attempts? (was|were) logged"))
def _attempts(story: Story, count: str) -> None:
    assert len(story.outcome.logged("connection_attempt")) == int(count)


@then(parsers.parse("at least {count:d} attempts were logged"))
def _attempts_at_least(story: Story, count: int) -> None:
    assert len(story.outcome.logged("connection_attempt")) >= count


@then(parsers.parse("the log warns of {event} {count:d} times"))
def _warned(story: Story, event: str, count: int) -> None:
    levels = [fields.get("level") for fields in story.outcome.logged(event)]
    assert levels == ["WARNING"] * count


@then(parsers.parse("client ids above {highest:d} were never tried"))
def _never_tried(story: Story, highest: int) -> None:
    tried = {fields["client_id"] for fields in story.outcome.logged("connection_attempt")}
    assert tried
    assert max(tried) <= highest


# --- then: the breaker ------------------------------------------------------------------------------------------------

BREAKER = "circuit_breaker_state_change"


@then(parsers.re(r"the breaker went from (?P<path>[a-z_ ]+), logged as an error"))
def _breaker_went(story: Story, path: str) -> None:
    moves = story.outcome.logged(BREAKER)
    states = path.split(" to ")
    expected = list(itertools.pairwise(states))
    assert [(move["old_state"], move["new_state"]) for move in moves] == expected
    assert {move["level"] for move in moves} == {"ERROR"}


@then("the breaker never moved")
def _breaker_never_moved(story: Story) -> None:
    assert story.outcome.logged(BREAKER) == []


@then(parsers.parse("no attempt was made within {seconds:d} seconds after the breaker opened"))
def _rests(story: Story, seconds: int) -> None:
    opened_at = story.outcome.times(BREAKER)[0]
    later = [at for at in story.outcome.times("connection_attempt") if at > opened_at]
    assert later[0] - opened_at >= seconds - 0.01


# --- then: orders -----------------------------------------------------------------------------------------------------


@then(parsers.re(r"the order is (?P<status>[A-Z]+)"))
def _order_is(story: Story, status: str) -> None:
    assert story.outcome.orders[-1].status == status


@then(parsers.parse('the reason says "{words}"'))
def _reason_says(story: Story, words: str) -> None:
    assert words in str(story.outcome.orders[-1].rejection_reason)


@then(parsers.re(r"the gateway received (?P<count>\d+) orders?"))
def _received(story: Story, count: str) -> None:
    assert story.outcome.orders_received == int(count)
