"""Whatever is said to the executor and to the gate: no order leaves without risk's permit for exactly it (ORD-3)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import Message
from actors.messages.addresses import EXECUTOR, LINK, RISK
from actors.messages.orders import (
    CancelOrder,
    ModifyOrder,
    OrderConcluded,
    SendOrder,
    SetGate,
    SubmitOrder,
)
from actors.messages.risk import LatchChanged, OrderApproved, RequestApproval
from actors.model.orders import (
    OrderAction,
    OrderType,
    Purpose,
    TradeRequest,
    WaitFor,
    WireOrder,
)
from supervision.config.sections import Orders, StrategyC, Supervision
from tests.faults.contents import Content, content_of, content_received
from tests.faults.crash import crash
from tests.worlds import LENIENT, ProofWorld, a_config, prove

SEQUENCES = 1_000
WORLDS = 5
LONGEST = 8
PERMIT_TTL_S = 2.0
STRANGER = "stranger"
CONFIG = a_config(
    risk=attrs.evolve(LENIENT, price_band_ratio=10.0, max_position_quantity=300.0),
    orders=Orders(permit_ttl_s=PERMIT_TTL_S, max_working=10_000),
    strategy_c=StrategyC(grace_seconds=3600.0),
    supervision=Supervision(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000_000),
)


@attrs.define
class Stranger:
    """Sends whatever it can think of to the executor and to the gate, and learns from what passes."""

    world: ProofWorld
    rng: random.Random
    judged: dict[str, WireOrder] = attrs.field(factory=dict)
    permitted: Counter[Content] = attrs.field(factory=Counter)
    sent: list[SendOrder] = attrs.field(factory=list)
    approved: list[OrderApproved] = attrs.field(factory=list)
    order_ids: list[str] = attrs.field(factory=list)
    count: int = 0

    def __call__(self, record: TapRecord) -> None:
        """Learn from a message; permits count only from risk itself."""
        message = record.message
        if type(message) is RequestApproval:
            self.judged[message.correlation_id] = message.order
        elif type(message) is OrderApproved and record.sender == RISK:
            self.permitted[content_of(self.judged[message.correlation_id])] += 1
            self.approved.append(message)
        elif type(message) is SendOrder and record.sender == EXECUTOR:
            self.sent.append(message)
        elif type(message) is OrderConcluded and message.result.order_id:
            self.order_ids.append(message.result.order_id)

    async def play(self) -> None:
        """Send one random sequence."""
        for _ in range(self.rng.randint(1, LONGEST)):
            self.rng.choice(self.moves)()
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.001, 0.02)))
        self._latch(False)
        self.open_the_gate()
        if self.rng.random() < 0.05:
            await asyncio.sleep(PERMIT_TTL_S + 0.1)

    @property
    def moves(self) -> list[Callable[[], None]]:
        """Everything it can do; what is sound makes up for half, so that orders flow at all."""
        return [
            *[self.submit] * 24,
            self.submit_nonsense,
            self.modify,
            self.cancel,
            self.replay,
            self.forge,
            self.change_the_order,
            self.swap_permits,
            self.replay_approval,
            self.open_the_gate,
            self.toggle_the_gate,
            self.toggle_the_latch,
            self.fail_risk,
        ]

    def tell(self, address: str, message: Message) -> None:
        self.world.process.tell(address, message)

    def header(self, timeout_s: float = 5.0) -> dict[str, Any]:
        self.count += 1
        return {
            "correlation_id": f"stranger-{self.count}",
            "deadline": self.world.process.clock.monotonic() + timeout_s,
            "reply_to": STRANGER,
        }

    def submit(self) -> None:
        order_type = self.rng.choice(list(OrderType))
        price = round(self.rng.uniform(400.0, 800.0), 2)
        request = _request(
            action=self.rng.choice(list(OrderAction)),
            quantity=float(self.rng.randint(1, 30)),
            order_type=order_type,
            limit_price=price if order_type is OrderType.LIMIT else None,
            stop_price=price if order_type is OrderType.STOP else None,
        )
        purpose = self.rng.choice((Purpose.OPEN, Purpose.OPEN, Purpose.CLOSE))
        wait_for = self.rng.choice(list(WaitFor))
        self.tell(
            EXECUTOR,
            SubmitOrder(**self.header(), request=request, wait_for=wait_for, purpose=purpose),
        )

    def submit_nonsense(self) -> None:
        request = _request(
            symbol=self.rng.choice(("", "NOSUCH", "SPY")),
            quantity=self.rng.choice((-1.0, 0.0, 1e12)),
        )
        timeout_s = self.rng.choice((-1.0, 0.0, 5.0))
        self.tell(
            EXECUTOR,
            SubmitOrder(**self.header(timeout_s), request=request, wait_for=WaitFor.ACK),
        )

    def modify(self) -> None:
        if self.order_ids:
            self.tell(
                EXECUTOR,
                ModifyOrder(
                    **self.header(),
                    order_id=self.rng.choice(self.order_ids),
                    quantity=float(self.rng.randint(1, 30)),
                ),
            )

    def cancel(self) -> None:
        if self.order_ids:
            self.tell(
                EXECUTOR, CancelOrder(**self.header(), order_id=self.rng.choice(self.order_ids))
            )

    def replay(self) -> None:
        """Send once more what was sent before: a used permit, perhaps an expired one."""
        self._resend(lambda message: message)

    def forge(self) -> None:
        def forged(message: SendOrder) -> SendOrder:
            permit = attrs.evolve(
                message.permit,
                permit_id=f"forged-{self.count}",
                signature=self.rng.randbytes(32),
                expires_at=self.world.process.clock.monotonic() + 100.0,
            )
            return attrs.evolve(message, permit=permit)

        self._resend(forged)

    def change_the_order(self) -> None:
        """Use a genuine permit, which may be unused yet, for another quantity, side, purpose or reference."""

        def changed(message: SendOrder) -> SendOrder:
            change: dict[str, Any] = self.rng.choice(
                [
                    {"quantity": message.order.quantity + 1},
                    {"action": self.rng.choice(list(OrderAction))},
                    {"purpose": Purpose.CLOSE},
                    {"order_ref": message.order.order_ref + "x"},
                    {"broker_order_id": self.rng.randint(1, 50)},
                ]
            )
            return attrs.evolve(message, order=attrs.evolve(message.order, **change))

        self._resend(changed)

    def swap_permits(self) -> None:
        if self.approved:
            permit = self.rng.choice(self.approved[-3:]).permit
            self._resend(lambda message: attrs.evolve(message, permit=permit))

    def _resend(self, change: Callable[[SendOrder], SendOrder]) -> None:
        if self.sent:
            message = change(self.rng.choice(self.sent[-5:]))
            self.tell(LINK, attrs.evolve(message, **self.header()))

    def replay_approval(self) -> None:
        """Tell the executor again, or for another conversation, that risk approved."""
        if self.approved:
            message = self.rng.choice(self.approved[-3:])
            conversation = self.rng.choice([*self.judged][-3:])
            self.tell(EXECUTOR, attrs.evolve(message, correlation_id=conversation))

    def open_the_gate(self) -> None:
        self.tell(LINK, SetGate(open=True, reason="a stranger says so"))

    def toggle_the_gate(self) -> None:
        self.tell(LINK, SetGate(open=False, reason="a stranger says so"))
        self.open_the_gate()

    def toggle_the_latch(self) -> None:
        """Latch everybody, or whom it happens to think of."""
        self._latch(True, self.rng.choice(((LINK, EXECUTOR, RISK), (LINK,), (EXECUTOR,), (RISK,))))

    def _latch(self, latched: bool, addresses: tuple[str, ...] = (LINK, EXECUTOR, RISK)) -> None:
        now = self.world.process.clock.now()
        for address in addresses:
            self.tell(address, LatchChanged(latched=latched, reason="a stranger", at=now))

    def fail_risk(self) -> None:
        crash(self.world.process, RISK)


def _request(**fields: Any) -> TradeRequest:
    defaults: dict[str, Any] = {
        "symbol": "SPY",
        "action": OrderAction.BUY,
        "quantity": 1.0,
        "order_type": OrderType.MARKET,
        "risk_per_trade": 1.0,
    }
    return TradeRequest(**(defaults | fields))


@pytest.mark.req("ORD-3", "RSK-4", "ORD-9")
@pytest.mark.parametrize("seed", range(WORLDS))
def test_no_order_is_in_the_ledger_without_a_permit_for_exactly_it(seed: int) -> None:
    async def scenario(world: ProofWorld) -> None:
        stranger = Stranger(world, random.Random(seed))
        world.process.register(STRANGER, lambda _: None)
        world.process.tap(stranger)

        for _ in range(SEQUENCES // WORLDS):
            await stranger.play()
        await asyncio.sleep(30.0)

        received = Counter(
            content_received(entry)
            for entry in world.simulator.ledger
            if entry.kind in ("place", "modify")
        )
        placed = Counter(
            entry.order_ref for entry in world.simulator.ledger if entry.kind == "place"
        )
        assert len(placed) > 50  # orders did flow
        assert all((entry.quantity or 1.0) > 0.0 for entry in world.simulator.ledger)
        assert set(placed.values()) == {1}
        assert received - stranger.permitted == Counter()
        assert await world.gateway.verify_connection()

    prove(scenario, seed=seed, config=CONFIG)


@pytest.mark.req("ORD-3")
def test_an_unused_permit_serves_only_its_own_order_and_only_once() -> None:
    async def scenario(world: ProofWorld) -> None:
        stranger = Stranger(world, random.Random(0))
        answers: list[Any] = []
        world.process.register(STRANGER, answers.append)
        world.process.tap(stranger)
        world.process.tell(
            EXECUTOR,
            SubmitOrder(**stranger.header(), request=_request(), wait_for=WaitFor.FILL),
        )
        await world.until(lambda: bool(stranger.approved))
        await world.until(lambda: bool(stranger.sent))
        genuine = stranger.sent[0]

        for order in (
            attrs.evolve(genuine.order, quantity=2.0),
            attrs.evolve(genuine.order, action=OrderAction.SELL),
            genuine.order,
        ):
            world.process.tell(LINK, attrs.evolve(genuine, order=order, **stranger.header()))
        await asyncio.sleep(1.0)

        assert [entry.quantity for entry in world.simulator.ledger] == [1.0]
        assert not any(isinstance(answer, GatewayError) for answer in answers)

    prove(scenario, config=CONFIG)
