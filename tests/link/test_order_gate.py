"""What may pass the gate, and what never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.logic.order_gate import Attempt, OrderGate
from actors.logic.permits import issue_permit
from actors.model.connection import GateState
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import OrderAction, OrderType, Permit, Purpose, WireOrder

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"
OPERATOR = "CSATSPRIM"
ACCOUNT = "DU1234567"
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK)


def _gate(max_remembered: int = 100, *, is_open: bool = True) -> OrderGate:
    gate = OrderGate(OPERATOR, START, max_remembered)
    gate.install_key(KEY)
    gate.session_opened([ACCOUNT], readonly=False)
    gate.state_was_read(gate.losses)
    if is_open:
        gate.set_open(True, "test")
    return gate


def _order(reference: str = "ORD_1", **fields: Any) -> WireOrder:
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


def _attempt(order: WireOrder, *, permit: Permit | None = None, **fields: Any) -> Attempt:
    values: dict[str, Any] = {"permit_id": f"for {order.order_ref}", "expires_at": 200.0}
    attempt = {"deadline": 200.0} | {
        name: fields.pop(name) for name in ("deadline", "sender_superseded") if name in fields
    }
    key = fields.pop("key", KEY)
    return Attempt(
        order=order, permit=permit or issue_permit(key, order, **(values | fields)), **attempt
    )


def _state(gate: OrderGate) -> GateState:
    return gate.state


def _refusal(gate: OrderGate, attempt: Attempt, now: float = 100.0) -> str:
    reason = gate.refusal(attempt, now)
    assert reason is not None
    return reason


@pytest.mark.req("ORD-3")
def test_an_order_with_a_genuine_permit_passes() -> None:
    gate = _gate()

    assert gate.refusal(_attempt(_order()), 100.0) is None


def test_it_starts_closed_and_without_a_key() -> None:
    gate = OrderGate(OPERATOR, START)

    assert _state(gate) is GateState.CLOSED
    assert "no session" in _refusal(gate, _attempt(_order()))

    gate.session_opened([ACCOUNT], readonly=False)
    gate.state_was_read(gate.losses)
    gate.set_open(True, "test")
    assert _refusal(gate, _attempt(_order("ORD_2"))) == "no permit key is installed"


@pytest.mark.req("ORD-3", "ORD-4")
@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (_attempt(_order(), sender_superseded=True), "its sender was replaced"),
        (_attempt(_order(), deadline=99.0), "its deadline passed"),
        (_attempt(_order(), deadline=100.0), "its deadline passed"),
        (_attempt(_order(), expires_at=100.0), "the permit expired"),
        (_attempt(_order(), key=OTHER_KEY), "not genuine"),
        (_attempt(_order(account="")), "account must be"),
        (_attempt(_order(account="U999")), "account must be"),
        (_attempt(_order(operator_id="")), "operator_id must be"),
        (_attempt(_order(operator_id="SOMEBODY")), "operator_id must be"),
        (_attempt(_order(order_ref="ORD_1")), "order_ref must begin with"),
        (_attempt(_order(order_ref=f"{OPERATOR}:")), "order_ref must begin with"),
        (_attempt(_order(broker_order_id=17)), "order 17 is not known"),
        (_attempt(_order(order_ref=f"{OPERATOR}:A\0B")), "cannot be printed"),
        (_attempt(_order(order_ref=f"{OPERATOR}:A\ud800")), "cannot be printed"),
        (_attempt(_order(contract=attrs.evolve(SPY, symbol="S\0PY"))), "cannot be printed"),
        (
            _attempt(
                _order(contract=attrs.evolve(SPY, security_type=SecurityType.OTHER)),
            ),
            "only stocks and options",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why(attempt: Attempt, reason: str) -> None:
    assert reason in _refusal(_gate(), attempt)


@pytest.mark.req("ORD-3")
def test_a_permit_is_used_once() -> None:
    gate = _gate()
    attempt = _attempt(_order())
    assert gate.refusal(attempt, 100.0) is None
    gate.passed(attempt.order, 1, START)

    assert "the permit has been used" in _refusal(gate, attempt)


def test_an_order_ref_passes_once_even_with_a_second_permit() -> None:
    gate = _gate()
    assert gate.refusal(_attempt(_order()), 100.0) is None
    gate.passed(_order(), 1, START)

    second = _attempt(_order(), permit_id="another")

    assert "has passed before" in _refusal(gate, second)


def test_what_was_refused_never_passes_later() -> None:
    gate = _gate(is_open=False)
    refused = _attempt(_order())
    assert "the gate is closed" in _refusal(gate, refused)
    gate.set_open(True, "test")

    assert gate.refusal(refused, 100.0) is not None
    assert "given up before" in _refusal(gate, _attempt(_order(), permit_id="another"))


def test_a_new_key_makes_earlier_permits_void() -> None:
    gate = _gate()
    earlier = _attempt(_order())
    gate.install_key(OTHER_KEY)

    assert "not genuine" in _refusal(gate, earlier)


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        _gate().install_key(b"short")


@pytest.mark.req("MODE-5")
def test_a_readonly_session_lets_nothing_pass() -> None:
    gate = _gate()
    gate.session_opened([ACCOUNT], readonly=True)
    gate.state_was_read(gate.losses)
    gate.set_open(True, "test")

    assert _refusal(gate, _attempt(_order())) == "the session is read-only"


# --- opening and closing --------------------------------------------------------------------------------------------


@pytest.mark.req("CON-11")
def test_it_opens_only_after_the_state_was_read_since_the_last_loss() -> None:
    gate = _gate()
    losses = gate.losses
    gate.close("1100")

    assert _state(gate) is GateState.CLOSED
    assert not gate.set_open(True, "an order to open that was under way when the loss came")
    gate.state_was_read(losses)
    assert not gate.set_open(True, "the read had begun before the loss")
    gate.state_was_read(gate.losses)
    assert gate.set_open(True, "read since")
    assert _state(gate) is GateState.CLOSES_ONLY
    gate.set_latched(False, answered_disconnects=gate.disconnects)
    assert _state(gate) is GateState.OPEN


@pytest.mark.req("STC-1", "STC-2")
def test_a_disconnect_that_strategy_c_has_not_dealt_with_opens_nothing() -> None:
    gate = _gate()
    gate.close("1100")
    gate.state_was_read(gate.losses)
    gate.set_open(True, "reconciled")
    opening = _refusal(gate, _attempt(_order()))

    assert "has not dealt with the last disconnect" in opening
    assert gate.disconnects == 1


def test_a_planned_end_of_the_session_is_no_disconnect() -> None:
    gate = _gate()
    gate.session_ended("asked", planned=True)

    assert gate.disconnects == 0


def test_the_end_of_the_session_closes_it() -> None:
    gate = _gate()
    gate.session_ended("socket closed")

    assert _state(gate) is GateState.CLOSED
    assert "there is no session: socket closed" in _refusal(gate, _attempt(_order()))


@pytest.mark.req("STC-2")
def test_a_latch_lets_only_closes_pass() -> None:
    gate = _gate()
    gate.set_latched(True)
    close = _order("CLOSE_1", purpose=Purpose.CLOSE, action=OrderAction.SELL)

    assert _state(gate) is GateState.CLOSES_ONLY
    assert "latched" in _refusal(gate, _attempt(_order()))
    assert gate.refusal(_attempt(close, fill_count=0), 100.0) is None


def test_the_latch_and_the_connection_do_not_undo_each_other() -> None:
    gate = _gate()
    gate.set_latched(True)
    gate.set_open(False, "closed")
    gate.set_open(True, "opened again")

    assert _state(gate) is GateState.CLOSES_ONLY

    gate.set_open(False, "closed")
    gate.set_latched(False)

    assert _state(gate) is GateState.CLOSED


# --- closes ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("STC-6", "RSK-4")
@pytest.mark.parametrize("counted", [0, 2, None])
def test_a_close_is_refused_when_the_position_moved_since_it_was_sized(counted: int | None) -> None:
    gate = _gate()
    gate.count_execution(SPY.con_id, "a")
    close = _order("CLOSE_1", purpose=Purpose.CLOSE)

    assert "the position moved" in _refusal(gate, _attempt(close, fill_count=counted))


def test_an_execution_counts_once_and_so_do_its_corrections() -> None:
    gate = _gate()
    seen = [
        gate.count_execution(1, "a"),
        gate.count_execution(1, "a"),
        gate.count_execution(2, "b"),
    ]

    assert seen == [True, False, True]
    assert gate.fill_counts == ((1, 1), (2, 1))


# --- modifies -------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-3")
def test_a_modify_needs_a_known_order_and_a_permit_of_its_own() -> None:
    gate = _gate()
    gate.passed(_order(), 5, START)
    changed = _order(broker_order_id=5, quantity=4.0)

    assert gate.refusal(_attempt(changed, permit_id="m1"), 100.0) is None
    assert "is not known" in _refusal(gate, _attempt(_order("ORD_2", broker_order_id=5)))


def test_a_refused_modify_leaves_the_order_known() -> None:
    gate = _gate()
    gate.passed(_order(), 5, START)
    _refusal(gate, _attempt(_order(broker_order_id=5), permit_id="m1", deadline=1.0))

    assert gate.refusal(_attempt(_order(broker_order_id=5), permit_id="m2"), 100.0) is None


def test_an_order_that_the_broker_reported_can_be_modified() -> None:
    gate = _gate()
    gate.learn(f"{OPERATOR}:ORD_9", 12)

    assert gate.refusal(_attempt(_order("ORD_9", broker_order_id=12)), 100.0) is None


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("ORD-9")
def test_asking_makes_void_what_was_not_sent() -> None:
    gate = _gate()
    gate.passed(_order(), 5, START)

    answer = gate.answer([f"{OPERATOR}:ORD_1", f"{OPERATOR}:ORD_2"])

    assert answer == ((f"{OPERATOR}:ORD_1", 5),)
    assert "given up before" in _refusal(gate, _attempt(_order("ORD_2")))


def test_what_it_forgets_it_does_not_claim_to_know() -> None:
    gate = _gate(max_remembered=2)
    for number in range(3):
        gate.passed(_order(f"ORD_{number}"), number + 1, START + timedelta(seconds=number))

    assert gate.knows_since > START
    assert gate.answer([f"{OPERATOR}:ORD_0"]) == ()
    assert gate.answer([f"{OPERATOR}:ORD_2"]) == ((f"{OPERATOR}:ORD_2", 3),)


class GateSequences(RuleBasedStateMachine):
    """Throws everything at the gate, in any order; what passes must have had a permit for exactly it, once."""

    references = st.sampled_from([f"ORD_{number}" for number in range(4)])
    quantities = st.sampled_from([1.0, 2.0])

    def __init__(self) -> None:
        super().__init__()
        self.gate = OrderGate(OPERATOR, START, 100)
        self.key: bytes | None = None
        self.now = 100.0
        self.issued: list[tuple[Permit, WireOrder, bytes]] = []
        self.wire: list[WireOrder] = []
        self.used: list[str] = []
        self.may_open = False
        self.latched = False
        self.read = False

    @initialize(ready=st.sampled_from([True, True, True, False]))
    def begin(self, ready: bool) -> None:
        if ready:
            self.install(KEY)
            self.open_session()
            self.read_state()
            self.set_open(True)

    @rule(key=st.sampled_from([KEY, OTHER_KEY]))
    def install(self, key: bytes) -> None:
        self.gate.install_key(key)
        self.key = key

    @rule()
    def open_session(self) -> None:
        self.gate.session_opened([ACCOUNT], readonly=False)
        self.may_open = self.read = False

    @rule()
    def lose(self) -> None:
        self.gate.close("1100")
        self.may_open = self.read = False

    @rule()
    def end(self) -> None:
        self.gate.session_ended("gone")
        self.may_open = self.read = False

    @rule()
    def read_state(self) -> None:
        self.gate.state_was_read(self.gate.losses)
        self.read = True

    @rule(is_open=st.booleans())
    def set_open(self, is_open: bool) -> None:
        done = self.gate.set_open(is_open, "asked")
        self.may_open = is_open and done
        assert not (self.may_open and not self.read)

    @rule(latched=st.booleans())
    def latch(self, latched: bool) -> None:
        self.gate.set_latched(latched)
        self.latched = latched

    @rule(
        reference=references,
        quantity=quantities,
        purpose=st.sampled_from(Purpose),
        key=st.sampled_from([KEY, OTHER_KEY]),
        lasts_s=st.sampled_from([0.5, 50.0]),
        fill_count=st.sampled_from([None, 0, 1]),
    )
    def issue(
        self,
        reference: str,
        quantity: float,
        purpose: Purpose,
        key: bytes,
        lasts_s: float,
        fill_count: int | None,
    ) -> None:
        order = _order(reference, quantity=quantity, purpose=purpose)
        permit = issue_permit(
            key,
            order,
            permit_id=f"p{len(self.issued)}",
            expires_at=self.now + lasts_s,
            fill_count=fill_count,
        )
        self.issued.append((permit, order, key))

    @rule(execution=st.sampled_from(["a", "b"]))
    def fill(self, execution: str) -> None:
        self.gate.count_execution(SPY.con_id, execution)

    @rule(passed_s=st.sampled_from([0.1, 1.0]))
    def wait(self, passed_s: float) -> None:
        self.now += passed_s

    @rule(reference=references)
    def query(self, reference: str) -> None:
        self.gate.answer([f"{OPERATOR}:{reference}"])

    @rule(
        pick=st.integers(0, 50),
        quantity=st.none() | quantities,
        left_s=st.sampled_from([-1.0, 5.0]),
        superseded=st.booleans(),
    )
    def send(self, pick: int, quantity: float | None, left_s: float, superseded: bool) -> None:
        if not self.issued:
            return
        permit, order, key = self.issued[pick % len(self.issued)]
        sent = order if quantity is None else attrs.evolve(order, quantity=quantity)
        attempt = Attempt(
            order=sent,
            permit=permit,
            deadline=self.now + left_s,
            sender_superseded=superseded,
        )
        if self.gate.refusal(attempt, self.now) is not None:
            return
        self.gate.passed(sent, len(self.wire) + 1, START)
        self.wire.append(sent)
        assert sent == order
        assert key == self.key
        assert permit.permit_id not in self.used
        assert permit.expires_at > self.now
        assert left_s > 0
        assert not superseded
        assert self.may_open
        assert order.purpose is Purpose.CLOSE or not self.latched
        if order.purpose is Purpose.CLOSE:
            assert permit.fill_count == self.gate.fill_count(SPY.con_id)
        self.used.append(permit.permit_id)

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        references = [order.order_ref for order in self.wire]
        assert len(references) == len(set(references))


TestGateSequences = pytest.mark.req("ORD-3")(GateSequences.TestCase)
TestGateSequences.settings = settings(
    max_examples=1000,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
