"""Every argument of the facade has a check, and what is wrong is named (GW-14)."""

from __future__ import annotations

import inspect
import math
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import GatewayError, RequestValidationError
from actors.messages.orders import CancelOrder
from supervision import IBKRGateway
from supervision.facade.arguments import CHECKS, by_its_fields, checked

pytestmark = pytest.mark.req("GW-14")

CALLS: Final = {
    name: call
    for name, call in vars(IBKRGateway).items()
    if not name.startswith("_") and inspect.iscoroutinefunction(call)
}
ODD: Final = [
    None,
    [],
    {},
    ["SPY"],
    b"SPY",
    object(),
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    "",
    " ",
]


def test_every_call_looks_at_its_arguments() -> None:
    unchecked = [
        name
        for name, call in CALLS.items()
        if len(inspect.signature(call).parameters) > 1 and not hasattr(call, "__wrapped__")
    ]

    assert unchecked == []
    assert len(CALLS) > 20


def test_every_parameter_of_every_call_is_in_the_table() -> None:
    named = {
        parameter
        for call in CALLS.values()
        for parameter in inspect.signature(call).parameters
        if parameter != "self"
    }

    assert named == set(CHECKS)


@pytest.mark.parametrize("name", [each for each in CHECKS if CHECKS[each] is not by_its_fields])
@pytest.mark.parametrize("value", ODD, ids=[repr(each)[:20] for each in ODD])
def test_nonsense_is_refused_and_named(name: str, value: Any) -> None:
    optional = {"quantity", "limit_price", "stop_price", "feed", "wait_for"}
    words = {"feed", "wait_for"}
    if (name, value) == ("symbols", ["SPY"]) or (name, value) == ("duration_minutes", 10**400):
        return  # a list of symbols; a violation that the call itself names
    if (value is None and name in optional) or (isinstance(value, str) and name in words):
        assert CHECKS[name](name, value) == value
        return

    with pytest.raises(GatewayError, match=name) as caught:
        CHECKS[name](name, value)

    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 300


class Hostile:
    """An object that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError

    def __eq__(self, _: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([each for each in CHECKS if CHECKS[each] is not by_its_fields]), st.data())
def test_whatever_is_given_is_taken_or_refused_by_name(name: str, data: st.DataObject) -> None:
    value = data.draw(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(),
            st.binary(),
            st.lists(st.text()),
            st.dictionaries(st.text(), st.integers()),
            st.just(Hostile()),
        )
    )
    taken: list[Any] = []
    source = f"async def call(self, {name}): taken.append({name})"
    scope: dict[str, Any] = {"taken": taken}
    exec(source, scope)  # noqa: S102 - a call with a parameter of this name
    wrapped = checked(scope["call"])
    refused = ""
    try:
        wrapped(None, value).send(None)
    except StopIteration:
        pass
    except GatewayError as error:
        refused = str(error)
    assert len(taken) == int(not refused)
    assert not refused or name.rstrip("s") in refused


@pytest.mark.req("SUP-14")
@pytest.mark.parametrize("value", [None, ["x"], "", " ", "x" * 501, 3])
def test_a_message_that_makes_no_sense_cannot_be_made(value: Any) -> None:
    with pytest.raises(RequestValidationError, match="order_id must be a text"):
        CancelOrder(correlation_id="c", deadline=1.0, reply_to="r", order_id=value)
