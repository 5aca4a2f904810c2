"""What the gate says and counts, word for word; what it remembers, and how long a permit is used up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from actors.link.order_gate import Attempt, OrderGate, Refusal
from actors.logic.permits import MAX_KEY_BYTES, MIN_KEY_BYTES, issue_permit, sign_permit
from actors.model.account import Holding
from actors.model.connection import GateState
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import (
    BrokerOrder,
    Execution,
    GateRefusal,
    OrderAction,
    OrderType,
    Permit,
    Purpose,
    WireOrder,
)

KEY = b"0123456789abcdef"
OPERATOR = "CSATSPRIM"
ACCOUNT = "DU1234567"
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK)


def new_gate(max_remembered: int = 100) -> OrderGate:
    gate = OrderGate(OPERATOR, START, max_remembered)
    gate.install_key(KEY)
    return gate


def opened(gate: OrderGate, *, readonly: bool = False) -> OrderGate:
    """The gate with a session, whose state was read."""
    gate.session_opened([ACCOUNT], readonly=readonly)
    gate.state_was_read(gate.losses)
    assert gate.set_open(True, "test")
    return gate


def order(reference: str = "ORD_1", **fields: Any) -> WireOrder:
    values: dict[str, Any] = {
        "order_ref": f"{OPERATOR}:{reference}",
        "contract": SPY,
        "action": OrderAction.BUY,
        "quantity": 10.0,
        "order_type": OrderType.MARKET,
        "account": ACCOUNT,
        "operator_id": OPERATOR,
        "purpose": Purpose.OPEN,
    }
    return WireOrder(**(values | fields))


def permit(wire: WireOrder, name: str = "p", expires_at: float = 200.0, **fields: Any) -> Permit:
    return issue_permit(KEY, wire, permit_id=name, expires_at=expires_at, **fields)


def said(
    gate: OrderGate, wire: WireOrder, allowed: Permit | None = None, now: float = 100.0, **f: Any
) -> str | None:
    """Why the gate refuses; None when the order passes."""
    attempt = Attempt(
        order=wire, permit=permit(wire) if allowed is None else allowed, **{"deadline": 200.0} | f
    )
    refusal = gate.refusal(attempt, now)
    return None if refusal is None else refusal.reason


# --- words ------------------------------------------------------------------------------------------------------------

_LATE = permit(order(), expires_at=97.5)

WORDS: list[tuple[WireOrder, Permit | None, dict[str, Any], str]] = [
    (order(), None, {"sender_superseded": True}, "its sender was replaced since"),
    (order(), None, {"deadline": 97.5}, "its deadline passed 2.500 s ago"),
    (order(), _LATE, {}, "the permit expired 2.500 s ago"),
    (order(), permit(order("2")), {}, "the permit is not genuine for exactly this order"),
    (
        order(operator_id="X"),
        None,
        {},
        "operator_id must be 'CSATSPRIM' (was 'X')",
    ),
    (order(order_ref="X"), None, {}, "order_ref must begin with 'CSATSPRIM:' and go on"),
    (order("\0"), None, {}, "a text of the order has characters that cannot be printed"),
    (order(account="X"), None, {}, "account must be one that the session manages"),
    (
        order(contract=attrs.evolve(SPY, security_type=SecurityType.FUTURE)),
        None,
        {},
        "only stocks and options are opened",
    ),
    (order(broker_order_id=3), None, {}, "order 3 is not known under this order_ref"),
]


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize(("wire", "allowed", "fields", "words"), WORDS, ids=[w[3] for w in WORDS])
def test_each_refusal_names_its_cause(
    wire: WireOrder, allowed: Permit | None, fields: dict[str, Any], words: str
) -> None:
    assert said(opened(new_gate()), wire, allowed, **fields) == words


@pytest.mark.req("ORD-3")
def test_a_permit_that_names_another_order_or_purpose_is_refused_although_it_is_genuine() -> None:
    gate = opened(new_gate())
    wire = order()
    words = "the permit is for another order"

    assert said(gate, wire, _signed_for(wire, order_ref="CSATSPRIM:ORD_2")) == words
    assert said(gate, wire, _signed_for(wire, purpose=Purpose.CLOSE)) == words


def _signed_for(wire: WireOrder, **fields: Any) -> Permit:
    """A permit whose fields differ from its order's; whoever holds the key could sign it."""
    values: dict[str, Any] = {
        "permit_id": "odd",
        "order_ref": wire.order_ref,
        "purpose": wire.purpose,
        "expires_at": 200.0,
        "fill_count": None,
        "position_sequence": None,
    }
    values |= fields
    return Permit(**values, signature=sign_permit(KEY, **values, order=wire))


@pytest.mark.req("CON-11")
def test_the_gate_says_why_it_is_closed() -> None:
    gate = new_gate()
    reasons = [said(gate, order("1"))]
    gate.session_opened([ACCOUNT], readonly=False)
    reasons.append(said(gate, order("2")))
    gate.set_open(False, "the operator asked")
    reasons.append(said(gate, order("3")))
    gate.close("1100")
    reasons.append(said(gate, order("4")))
    gate.session_ended("socket closed")
    reasons.append(said(gate, order("5")))

    assert reasons == [
        "there is no session: it has not been opened yet",
        "the gate is closed: the session is new",
        "the gate is closed: the operator asked",
        "the gate is closed: 1100",
        "there is no session: socket closed",
    ]


@pytest.mark.req("STC-2")
def test_the_gate_says_what_restricts_it() -> None:
    gate = opened(new_gate())
    gate.set_latched(True)
    latched = said(gate, order("1"))
    gate.set_latched(False)
    gate.session_ended("reset by peer")
    opened(gate)

    assert latched == "Strategy C is latched: only closing orders pass"
    assert said(gate, order("2")) == "Strategy C has not dealt with the last disconnect yet"


def test_a_reference_passes_once_and_says_so() -> None:
    gate = opened(new_gate())
    gate.passed(order(), 5, START)
    gate.answer([f"{OPERATOR}:ORD_2"])

    assert said(gate, order(), permit(order(), "q")) == "this order_ref has passed before"
    assert said(gate, order("ORD_2")) == "this order_ref was given up before"


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize(
    ("length", "fits"),
    [
        (MIN_KEY_BYTES - 1, False),
        (MIN_KEY_BYTES, True),
        (MAX_KEY_BYTES, True),
        (MAX_KEY_BYTES + 1, False),
    ],
)
def test_a_key_has_its_bounds(length: int, fits: bool) -> None:
    gate = new_gate()
    if fits:
        gate.install_key(b"k" * length)
    else:
        with pytest.raises(ValueError, match=re.escape("a permit key must have 16 to 64 bytes")):
            gate.install_key(b"k" * length)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_a_new_gate_has_counted_nothing() -> None:
    gate = new_gate()
    counts = (gate.sequence, gate.losses, gate.latchings, gate.disconnects)

    assert (*counts, gate.answered_disconnects, gate.restrictions) == (0,) * 6
    assert (gate.state, gate.is_restricted, gate.is_paused) == (GateState.CLOSED, False, False)
    assert gate.knows_since == START


@pytest.mark.req("CON-11", "STC-1")
def test_every_loss_counts_and_a_disconnect_only_where_the_gate_had_been_open() -> None:
    gate = new_gate()
    gate.session_opened([ACCOUNT], readonly=False)
    gate.close("before it was ever open")
    counted = [(gate.losses, gate.disconnects)]
    opened(gate)
    gate.close("1100")
    gate.close("1100 again")
    counted.append((gate.losses, gate.disconnects))
    opened(gate)
    gate.session_ended("asked", planned=True)
    counted.append((gate.losses, gate.disconnects))
    opened(gate)
    gate.session_ended("reset by peer")
    counted.append((gate.losses, gate.disconnects))

    assert counted == [(2, 0), (5, 1), (7, 1), (9, 2)]


@pytest.mark.req("CON-11")
def test_a_session_that_replaces_another_is_one_disconnect() -> None:
    gate = opened(new_gate())
    gate.session_opened([ACCOUNT], readonly=False)
    gate.close("1100")

    assert gate.disconnects == 1
    assert not gate.is_paused


@pytest.mark.req("STC-2")
def test_each_latching_and_each_disconnect_is_a_restriction_of_its_own() -> None:
    gate = opened(new_gate())
    seen = []
    for is_latched in (True, True, False, True):
        gate.set_latched(is_latched)
        seen.append((gate.latchings, gate.state))
    gate.set_latched(False, 2)
    gate.set_latched(False)
    gate.session_ended("reset by peer")
    opened(gate)

    assert seen == [
        (1, GateState.CLOSES_ONLY),
        (1, GateState.CLOSES_ONLY),
        (1, GateState.OPEN),
        (2, GateState.CLOSES_ONLY),
    ]
    assert (gate.restrictions, gate.answered_disconnects, gate.is_restricted) == (3, 2, False)


def test_it_is_paused_while_the_state_is_read_again_in_a_sound_session() -> None:
    gate = opened(new_gate())
    paused = [gate.is_paused]
    assert gate.set_open(False, "read again")
    paused.append(gate.is_paused)
    gate.set_open(True, "read")
    gate.close("1100")
    paused.append(gate.is_paused)

    assert paused == [False, True, False]


def test_what_passes_is_numbered() -> None:
    gate = opened(new_gate())

    assert [gate.passed(order(str(number)), number, START) for number in (1, 2, 3)] == [1, 2, 3]
    assert gate.sequence == 3


def test_a_session_that_ended_manages_no_account_any_more() -> None:
    gate = opened(new_gate())
    gate.session_ended("closed")
    gate.session_opened(["DU9"], readonly=False)
    gate.state_was_read(gate.losses)
    gate.set_open(True, "test")
    gate.set_latched(False, gate.disconnects)

    assert said(gate, order()) == "account must be one that the session manages"


# --- permits ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize("given_up", [True, False])
def test_a_permit_that_was_refused_or_given_up_is_used_up(given_up: bool) -> None:
    gate = opened(new_gate())
    gate.passed(order(), 5, START)
    change = order(broker_order_id=5, quantity=4.0)
    allowed = permit(change)
    if given_up:
        assert gate.give_up(change, allowed, "no room", 100.0) == "no room"
    else:
        assert said(gate, change, allowed, deadline=99.0) is not None

    assert said(gate, change, allowed) == "the permit has been used"
    assert said(gate, change, permit(change, "another")) is None


@pytest.mark.req("ORD-3")
def test_a_forged_permit_that_is_refused_uses_up_no_genuine_one() -> None:
    gate = opened(new_gate())
    gate.passed(order(), 5, START)
    change = order(broker_order_id=5)
    forged = attrs.evolve(permit(change), signature=b"x" * 32)

    assert said(gate, change, forged) == "the permit is not genuine for exactly this order"
    assert said(gate, change) is None


@pytest.mark.req("ORD-3")
@pytest.mark.parametrize("bound", [1, 2])
def test_used_permits_are_remembered_until_they_expire_however_many_there_are(bound: int) -> None:
    gate = opened(new_gate(bound))
    gate.passed(order(), 5, START)
    change = order(broker_order_id=5)
    late, soon = permit(change, "late", 200.0), permit(change, "soon", 101.0)
    for used in (late, soon, permit(change, "third"), permit(change, "fourth")):
        assert said(gate, change, used) is None

    assert said(gate, change, permit(change, "fifth"), now=150.0) is None
    for used in (late, permit(change, "third")):
        assert said(gate, change, used, now=150.0) == "the permit has been used"
    assert "expired" in str(said(gate, change, soon, now=150.0))


@pytest.mark.req("ORD-3")
def test_the_change_of_an_order_is_refused_without_making_the_order_void() -> None:
    gate = opened(new_gate())
    unknown = order("ORD_7", broker_order_id=9)
    assert said(gate, unknown) == "order 9 is not known under this order_ref"

    assert said(gate, order("ORD_7"), permit(order("ORD_7"), "q")) is None


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-9")
def test_the_moment_since_which_it_remembers_is_just_after_what_it_forgot() -> None:
    gate = opened(new_gate(2))
    for number in range(3):
        gate.passed(order(str(number)), number + 1, START + timedelta(seconds=number))
    first = gate.knows_since
    gate.passed(order("1"), 2, START + timedelta(seconds=9))
    again = gate.knows_since
    gate.passed(order("4"), 9, START + timedelta(seconds=10))

    assert first == again == START + timedelta(microseconds=1)
    assert gate.knows_since == START + timedelta(seconds=2, microseconds=1)
    assert gate.answer([f"{OPERATOR}:1", f"{OPERATOR}:2"]) == ((f"{OPERATOR}:1", 2),)


def test_what_was_sent_without_a_broker_is_neither_known_there_nor_void() -> None:
    gate = opened(new_gate())
    gate.passed(order(), None, START)

    assert gate.answer([order().order_ref]) == ()
    assert said(gate, order(), permit(order(), "q")) == "this order_ref has passed before"


@pytest.mark.parametrize(
    ("reference", "broker_id", "known"),
    [
        ("CSATSPRIM:A", 1, True),
        ("", 1, False),
        ("CSATSPRIM:A", 0, False),
        ("CSATSPRIM:A", -1, False),
    ],
)
def test_only_an_order_with_reference_and_id_is_learnt(
    reference: str, broker_id: int, known: bool
) -> None:
    gate = opened(new_gate())
    gate.learn(reference, broker_id)
    change = order("A", broker_order_id=broker_id)

    assert (said(gate, change) is None) is known


@pytest.mark.parametrize("bound", [1, 3])
def test_of_what_is_given_up_the_newest_are_remembered(bound: int) -> None:
    gate = opened(new_gate(bound))
    references = [f"{OPERATOR}:{number}" for number in range(bound + 2)]
    gate.answer(references)
    gate.answer(references[-1:])

    found = [
        said(gate, order(str(number)), permit(order(str(number)), f"p{number}"))
        for number in range(bound + 2)
    ]

    assert found == [None, None] + ["this order_ref was given up before"] * bound


# --- the last line ----------------------------------------------------------------------------------------------------

CLOSE = "CLOSE_SPY_756733_0001_aa"
SELL = OrderAction.SELL


def holding(quantity: float, contract: Contract = SPY) -> Holding:
    return Holding(account=ACCOUNT, contract=contract, quantity=quantity, average_cost=100.0)


def holds(quantity: float) -> OrderGate:
    gate = opened(new_gate())
    gate.positions.state_was_read([holding(quantity)], (), {})
    return gate


def close(quantity: float, reference: str = CLOSE, **fields: Any) -> WireOrder:
    values = {"action": SELL, "purpose": Purpose.CLOSE, "quantity": quantity} | fields
    return order(reference, **values)


def sized(gate: OrderGate, wire: WireOrder, name: str = "p") -> Permit:
    """A permit for a close that was sized from what the gate knows now."""
    con_id = wire.contract.con_id
    return permit(
        wire,
        name,
        fill_count=gate.positions.fill_count(con_id),
        position_sequence=gate.positions.position_sequence(con_id),
    )


def executed(name: str, quantity: float, wire: WireOrder) -> Execution:
    return Execution(
        exec_id=f"{name}.01",
        contract=wire.contract,
        order_id=5,
        client_id=1,
        perm_id=9,
        order_ref=wire.order_ref,
        account=ACCOUNT,
        action=wire.action,
        quantity=quantity,
        price=100.0,
        executed_at=START,
    )


def shown(wire: WireOrder, **fields: Any) -> BrokerOrder:
    values: dict[str, Any] = {"order_id": 5, "status": "Submitted", "quantity": wire.quantity}
    return BrokerOrder(
        **(values | fields),
        client_id=1,
        perm_id=9,
        order_ref=wire.order_ref,
        contract=wire.contract,
        action=wire.action,
        order_type="MKT",
        limit_price=None,
        stop_price=None,
    )


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("working", "quantity", "passes"),
    [(0.0, 10.0, True), (0.0, 10.5, False), (4.0, 6.0, True), (4.0, 6.5, False), (0.5, 9.5, True)],
)
def test_closes_that_can_fill_never_exceed_what_is_held(
    working: float, quantity: float, passes: bool
) -> None:
    gate = holds(10.0)
    if working:
        gate.passed(close(working), 5, START)
    second = close(quantity, "CLOSE_SPY_756733_0002_aa")

    refusal = gate.refusal(Attempt(order=second, permit=sized(gate, second), deadline=200.0), 100.0)

    if passes:
        assert refusal is None
    else:
        assert refusal == Refusal(
            f"SELL {quantity:g} goes beyond the position: 10 can be closed on this side, "
            f"and closes that are not proved dead can take {working:g} of it",
            GateRefusal.BEYOND_POSITION,
        )


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("wire", "passes"),
    [
        (order("ORD_2", action=SELL), False),
        (order("ORD_2"), True),
        (order("ORD_2", action=SELL, contract=attrs.evolve(SPY, con_id=1)), True),
    ],
)
@pytest.mark.parametrize("working", [0.5, 4.0])
def test_nothing_opens_beside_a_close_of_its_side_and_contract(
    wire: WireOrder, passes: bool, working: float
) -> None:
    gate = holds(10.0)
    gate.passed(close(working), 5, START)
    words = f"a close of the same side can still take {working:g}: nothing opens beside it"

    assert said(gate, wire) == (None if passes else words)


@pytest.mark.req("RSK-4")
def test_an_opening_order_may_be_changed_beside_a_close_and_does_not_count_as_one() -> None:
    gate = holds(10.0)
    gate.passed(order("ORD_2", action=SELL), 7, START)
    gate.passed(close(10.0), 5, START)

    assert said(gate, order("ORD_2", action=SELL, broker_order_id=7)) is None
    assert gate.positions.in_flight(SPY.con_id, SELL) == 10.0


@pytest.mark.req("RSK-4")
@pytest.mark.parametrize(
    ("quantity", "passes"), [(10.0, True), (4.0, True), (10.5, False), (14.0, False)]
)
def test_the_change_of_a_close_counts_with_what_of_it_was_executed(
    quantity: float, passes: bool
) -> None:
    gate = holds(10.0)
    gate.passed(close(10.0), 5, START)
    first = executed("a", 4.0, close(10.0))
    gate.positions.count_execution(first)
    gate.positions.position_told(holding(6.0))
    change = close(quantity, broker_order_id=5)

    assert (said(gate, change, sized(gate, change)) is None) is passes


@pytest.mark.req("STC-6", "RSK-4")
@pytest.mark.parametrize(
    ("stale", "words"),
    [
        ({"fill_count": 3}, "executions of the contract, the gate 0"),
        ({"position_sequence": 3}, "changes of the position, the gate 1"),
    ],
)
def test_a_close_says_what_moved_since_it_was_sized(stale: dict[str, int], words: str) -> None:
    gate = holds(10.0)
    now: dict[str, Any] = {"fill_count": 0, "position_sequence": 1}
    wire = close(10.0)

    refusal = gate.refusal(
        Attempt(order=wire, permit=permit(wire, **(now | stale)), deadline=200.0), 100.0
    )

    assert refusal == Refusal(
        f"the position moved: the permit counts 3 {words}", GateRefusal.POSITION_MOVED
    )


@pytest.mark.req("RSK-4", "ORD-9")
@pytest.mark.parametrize("ours", [True, False])
def test_what_the_broker_says_of_an_order_reaches_the_last_line_and_of_ours_its_id_is_learnt(
    ours: bool,
) -> None:
    gate = holds(10.0)

    gate.order_told(shown(close(4.0)), ours=ours)

    assert gate.positions.in_flight(SPY.con_id, SELL) == 4.0
    change = close(3.0, broker_order_id=5)
    assert (said(gate, change, sized(gate, change)) is None) is ours
    gate.passed(close(4.0), 5, START)
    gate.order_told(
        attrs.evolve(shown(close(4.0), status="Cancelled", filled=0.0), order_ref="", perm_id=0),
        ours=ours,
    )
    assert gate.positions.in_flight(SPY.con_id, SELL) == (0.0 if ours else 4.0)
