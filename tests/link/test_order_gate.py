"""What may pass the gate, and what never does."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from actors.link.order_gate import Attempt, OrderGate
from actors.logic.permits import issue_permit
from actors.model.account import Holding
from actors.model.connection import GateState
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import (
    Execution,
    GateRefusal,
    OrderAction,
    OrderType,
    Permit,
    Purpose,
    WireOrder,
)

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"
OPERATOR = "CSATSPRIM"
ACCOUNT = "DU1234567"
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK)
OPENED = {"STK", "OPT"}
CLOSED = {"STK", "OPT", "FUT", "FOP", "WAR"}


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


def _executed(
    exec_id: str, *, con_id: int = SPY.con_id, quantity: float = 1.0, **fields: Any
) -> Execution:
    values: dict[str, Any] = {
        "exec_id": f"{exec_id}.01",
        "contract": attrs.evolve(SPY, con_id=con_id),
        "order_id": 1,
        "client_id": 1,
        "perm_id": 1,
        "order_ref": "",
        "account": ACCOUNT,
        "action": OrderAction.BUY,
        "quantity": quantity,
        "price": 100.0,
        "executed_at": START,
    }
    return Execution(**(values | fields))


def _hold(gate: OrderGate, quantity: float) -> None:
    held = Holding(account=ACCOUNT, contract=SPY, quantity=quantity, average_cost=100.0)
    gate.positions.state_was_read([held], (), gate.positions.position_sequences)


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
    refusal = gate.refusal(attempt, now)
    assert refusal is not None
    return refusal.reason


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
        (_attempt(_order(contract=attrs.evolve(SPY, exchange=""))), "was not looked up"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why(attempt: Attempt, reason: str) -> None:
    assert reason in _refusal(_gate(), attempt)


@pytest.mark.req("STC-9")
@pytest.mark.parametrize("kind", SecurityType)
@pytest.mark.parametrize("purpose", Purpose)
def test_every_kind_of_contract_passes_or_not_by_what_the_order_is_for(
    kind: SecurityType, purpose: Purpose
) -> None:
    allowed = OPENED if purpose is Purpose.OPEN else CLOSED
    gate = _gate()
    _hold(gate, -10.0)
    order = _order(purpose=purpose, contract=attrs.evolve(SPY, security_type=kind))
    reason = gate.refusal(_attempt(order, fill_count=0, position_sequence=1), 100.0)

    assert (reason is None) == (kind.value in allowed)


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


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_key_that_is_too_short_or_too_long_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        _gate().install_key(b"k" * length)


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
    _hold(gate, 10.0)
    close = _order("CLOSE_1", purpose=Purpose.CLOSE, action=OrderAction.SELL)

    assert _state(gate) is GateState.CLOSES_ONLY
    assert "latched" in _refusal(gate, _attempt(_order()))
    assert gate.refusal(_attempt(close, fill_count=0, position_sequence=1), 100.0) is None


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
@pytest.mark.parametrize(
    ("counted", "sequence"), [(0, 1), (2, 1), (None, 1), (1, 0), (1, 2), (1, None)]
)
def test_a_close_is_refused_when_the_position_moved_since_it_was_sized(
    counted: int | None, sequence: int | None
) -> None:
    gate = _gate()
    _hold(gate, 10.0)
    gate.positions.count_execution(_executed("a"))
    close = _order("CLOSE_1", purpose=Purpose.CLOSE, action=OrderAction.SELL)
    sized = _attempt(close, fill_count=counted, position_sequence=sequence)

    refusal = gate.refusal(sized, 100.0)

    assert refusal is not None
    assert "the position moved" in refusal.reason
    assert refusal.kind is GateRefusal.POSITION_MOVED


def test_an_execution_counts_once_and_so_do_its_corrections() -> None:
    gate = _gate()
    seen = [
        gate.positions.count_execution(_executed("a", con_id=1)),
        gate.positions.count_execution(_executed("a", con_id=1)),
        gate.positions.count_execution(_executed("b", con_id=2)),
    ]

    assert seen == [True, False, True]
    assert gate.positions.fill_counts == ((1, 1), (2, 1))


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


class _Model:
    """What may pass, told independently of the gate; ``rng`` chooses what happens next."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.gate = OrderGate(OPERATOR, START, 100)
        self.key: bytes | None = None
        self.now = 100.0
        self.permits: list[tuple[Permit, WireOrder, bytes]] = []
        self.wire: list[WireOrder] = []
        self.used: set[str] = set()
        self.voided: set[str] = set()
        self.is_open = False
        self.was_read = False
        self.has_session = False
        self.is_latched = False
        self.counted: set[str] = set()
        self.executions = 0
        self.told = 0.0
        self.changes = 0

    def step(self) -> None:
        """Do one thing; sending is what happens most."""
        actions: dict[Callable[[], None], int] = {
            self.send: 12,
            self.issue: 8,
            self.make_ready: 4,
            self.fill: 1,
            self.tell: 1,
            self.wait: 2,
            self.query: 1,
            self.install: 1,
            self.latch: 1,
            self.open_session: 1,
            self.lose: 1,
            self.shut: 1,
        }
        self.rng.choices(list(actions), list(actions.values()))[0]()

    def install(self) -> None:
        self.key = self.rng.choice([KEY, KEY, OTHER_KEY])
        self.gate.install_key(self.key)

    def open_session(self) -> None:
        self.gate.session_opened([ACCOUNT], readonly=False)
        self.is_open, self.was_read, self.has_session = False, False, True

    def lose(self) -> None:
        if self.rng.random() < 0.5:
            self.gate.close("1100")
        else:
            self.gate.session_ended("gone")
            self.has_session = False
        self.is_open = self.was_read = False

    def shut(self) -> None:
        self.gate.set_open(False, "asked")
        self.is_open = False

    def make_ready(self) -> None:
        """Take one of the steps that lead to an open gate, or all of them."""
        if not self.has_session:
            self.open_session()
        if self.rng.random() < 0.8:
            self.gate.state_was_read(self.gate.losses)
            self.was_read = True
        if self.key is None:
            self.install()
        self.gate.set_latched(False, answered_disconnects=self.gate.disconnects)
        self.is_latched = False
        self.is_open = self.gate.set_open(True, "asked")
        assert self.is_open == (self.has_session and self.was_read)

    def latch(self) -> None:
        self.is_latched = True
        self.gate.set_latched(True)

    def wait(self) -> None:
        self.now += self.rng.choice([0.1, 1.0])

    def fill(self) -> None:
        execution = self.rng.choice("abc")
        self.gate.positions.count_execution(_executed(execution, quantity=0.25))
        self.counted.add(execution)

    def tell(self) -> None:
        """Tell a position that leaves room for a few closes at a time."""
        self.told = self.rng.choice([8.0, 8.0, 9.0])
        _hold(self.gate, self.told)
        self.changes = self.gate.positions.position_sequence(SPY.con_id)

    def query(self) -> None:
        reference = f"{OPERATOR}:ORD_{self.rng.randrange(30)}"
        self.gate.answer([reference])
        if reference not in {order.order_ref for order in self.wire}:
            self.voided.add(reference)

    def issue(self) -> None:
        rng = self.rng
        order = _order(
            f"ORD_{rng.randrange(30)}",
            quantity=float(rng.randint(1, 3)),
            purpose=rng.choice(list(Purpose)),
            action=rng.choice([OrderAction.SELL] * 3 + [OrderAction.BUY]),
        )
        key = rng.choice([self.key or KEY] * 5 + [OTHER_KEY])
        permit = issue_permit(
            key,
            order,
            permit_id=f"p{len(self.permits)}",
            expires_at=self.now + rng.choice([0.5, 50.0, 50.0]),
            **self._what_it_was_sized_by(order),
        )
        self.permits.append((permit, order, key))

    def _what_it_was_sized_by(self, order: WireOrder) -> dict[str, int | None]:
        """A close, and sometimes what opens, since it can only reduce, was sized by the position."""
        rng = self.rng
        if order.purpose is Purpose.OPEN and rng.random() < 0.9:
            return {"fill_count": None, "position_sequence": None}
        return {
            "fill_count": rng.choice([len(self.counted), len(self.counted), None, 0]),
            "position_sequence": rng.choice([self.changes, self.changes, None, 0]),
        }

    def send(self) -> None:
        """Send something, mostly what has a permit; check the gate's word against ours."""
        if not self.permits:
            self.issue()
        rng = self.rng
        permit, order, key = rng.choice(self.permits[-6:])
        sent = order
        if rng.random() < 0.2:
            sent = attrs.evolve(order, quantity=order.quantity + rng.choice([0, 1]))
        left_s = rng.choice([5.0] * 9 + [-1.0])
        superseded = rng.random() < 0.1
        passes = self.gate.refusal(
            Attempt(
                order=sent,
                permit=permit,
                deadline=self.now + left_s,
                sender_superseded=superseded,
            ),
            self.now,
        )
        if passes is not None:
            if sent.order_ref not in {known.order_ref for known in self.wire}:
                self.voided.add(sent.order_ref)
            return
        assert sent == order
        assert key == self.key
        assert permit.permit_id not in self.used
        assert permit.expires_at > self.now
        assert left_s > 0
        assert not superseded
        assert self.is_open
        assert order.order_ref not in self.voided
        assert order.order_ref not in {known.order_ref for known in self.wire}
        if order.purpose is Purpose.CLOSE or permit.fill_count is not None:
            assert permit.fill_count == len(self.counted)
            assert permit.position_sequence == self.changes
            assert order.action is OrderAction.SELL
        if order.purpose is Purpose.OPEN:
            assert not self.is_latched
        self.gate.passed(sent, len(self.wire) + 1, START)
        self.wire.append(sent)
        self.used.add(permit.permit_id)


@pytest.mark.req("ORD-3")
def test_in_a_thousand_random_sequences_nothing_passes_without_a_permit_for_exactly_it() -> None:
    passed = 0
    for seed in range(1000):
        model = _Model(random.Random(seed))
        try:
            for _ in range(70):
                model.step()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        passed += len(model.wire)

    assert passed > 1000, "the sequences must also let orders pass, or they prove nothing"
