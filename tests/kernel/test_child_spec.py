"""Child specs are data, checked before anything starts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.kernel.actor import ActorContext, SupervisedActor
from actors.kernel.messages import Escalated, StopActor
from supervision.tree.child_spec import (
    ChildSpec,
    ChildSpecError,
    EscalationPlan,
    check_plan,
    dependents,
    start_order,
)


def make(context: ActorContext) -> SupervisedActor:
    return SupervisedActor(context)


def spec(name: str, *depends_on: str, outlives: tuple[str, ...] = ()) -> ChildSpec:
    return ChildSpec(name=name, factory=make, depends_on=depends_on, outlives=outlives)


@pytest.mark.req("SUP-1")
def test_dependencies_come_first_and_the_given_order_decides_otherwise() -> None:
    specs = [spec("risk", "link"), spec("clock"), spec("link"), spec("market", "link")]

    assert start_order(specs) == ("clock", "link", "risk", "market")


@pytest.mark.req("SUP-1")
def test_what_outlives_another_is_started_before_it_and_so_stopped_after_it() -> None:
    specs = [spec("link"), spec("connection", "link"), spec("records", outlives=("connection",))]

    assert start_order(specs) == ("link", "records", "connection")
    assert dependents(specs, "records") == ()


@pytest.mark.req("SUP-1")
@pytest.mark.parametrize(
    ("specs", "fault"),
    [
        ([spec("a", "ghost")], "'a' depends on 'ghost', which is not a child"),
        ([spec("a", "b"), spec("b", "a")], "in a circle: 'a', 'b'"),
        ([spec("a", "a")], "in a circle: 'a'"),
        ([spec("a", outlives=("ghost",))], "'a' outlives 'ghost', which is not a child"),
        ([spec("a", outlives=("b",)), spec("b", outlives=("a",))], "in a circle: 'a', 'b'"),
        ([spec("a"), spec("b", "a", outlives=("a",))], "in a circle: 'a', 'b'"),
        ([spec("a"), spec("a")], "the name 'a' is used twice"),
    ],
)
def test_specs_that_cannot_start_are_refused_with_the_reason(
    specs: list[ChildSpec], fault: str
) -> None:
    with pytest.raises(ChildSpecError, match=fault):
        start_order(specs)


@pytest.mark.req("SUP-1")
def test_every_fault_is_named_in_one_error() -> None:
    with pytest.raises(ChildSpecError) as caught:
        start_order([spec("a", "x"), spec("a", "y")])

    assert all(fault in str(caught.value) for fault in ("twice", "'x'", "'y'"))


@pytest.mark.req("SUP-1")
def test_dependents_are_found_through_others() -> None:
    specs = [spec("a"), spec("b", "a"), spec("c", "b"), spec("d")]

    assert dependents(specs, "a") == ("b", "c")


@pytest.mark.req("SUP-1")
def test_escalation_plan_may_only_name_children() -> None:
    def note(_event: Escalated) -> StopActor:
        return StopActor()

    plan = EscalationPlan(rebuild=("a", "ghost"), notify="nobody", message_factory=note)

    with pytest.raises(ChildSpecError, match=r"ghost.*nobody"):
        check_plan(plan, [spec("a")])


@pytest.mark.req("SUP-1")
@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("shutdown_s", -1), ("mailbox_bound", 0), ("handler_limit_s", 0)],
)
def test_spec_refuses_values_out_of_bounds(field: str, value: object) -> None:
    fields: dict[str, object] = {"name": "a", "factory": make, field: value}

    with pytest.raises(ValueError, match=field):
        ChildSpec(**fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.req("SUP-1")
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_any_graph_without_a_circle_starts_dependencies_first(seed: int, size: int) -> None:
    rng = random.Random(seed)
    names = [f"n{index}" for index in range(size)]
    specs = [
        spec(name, *rng.sample(names[:index], rng.randint(0, index)))
        for index, name in enumerate(names)
    ]
    rng.shuffle(specs)

    order = start_order(specs)

    place = {name: index for index, name in enumerate(order)}
    assert sorted(order) == sorted(names)
    assert all(place[other] < place[one.name] for one in specs for other in one.depends_on)
