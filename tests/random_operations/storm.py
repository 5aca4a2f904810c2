"""A storm: a seeded row of operations on orders and of faults of every kind, with time going on in between."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from actors.errors import GatewayError
from actors.model.orders import CloseReason, OrderStatus, TradingSignal
from supervision.config.sections import (
    Connection,
    GatewayConfig,
    Orders,
    Positions,
    StrategyC,
    Supervision,
)
from supervision.simulator import SimulatorConfig
from tests.faults.crash import POISON, crash
from tests.faults.trouble import ABOUT_ORDERS, KINDS, Turn
from tests.random_operations.witness import Witness
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, sell

SYMBOLS: Final = ("SPY", "AAPL", "MSFT")
STRIKE: Final = 600.0
PAUSES_S: Final = (0.0, 0.0, 0.0, 0.001, 0.01, 0.1, 1.0)
TIMEOUTS_S: Final = (0.05, 0.5, 3.0, 10.0)
LONGEST_TROUBLE_S: Final = 5.0
LATEST_S: Final = 0.5
REJECTIONS: Final = (201, 200, 110, 321, 434, 103, 135)
SETTLED_WITHIN_S: Final = 300.0
PATIENCE_S: Final = 30.0
"""So long a gateway that says it is cut off is believed: its word that it is back may be lost in a silence."""

CENT: Final = 0.01

CONFIG: Final = a_config(
    risk=attrs.evolve(
        LENIENT, price_band_ratio=10.0, max_position_quantity=500.0, allow_short=False
    ),
    gateway=GatewayConfig(timeout_s=5.0),
    connection=Connection(
        heartbeat_s=2.0,
        heartbeat_timeout_s=1.0,
        retries=1000,
        first_delay_s=0.05,
        max_delay_s=0.5,
        upstream_patience_s=PATIENCE_S,
    ),
    orders=Orders(max_working=10_000, cancel_before_deadline_s=0.2),
    positions=Positions(check_interval_s=60.0, reconcile_interval_s=30.0),
    strategy_c=StrategyC(data_watch_every_s=60.0, step_timeout_s=3.0, close_timeout_s=3.0),
    supervision=Supervision(first_delay_s=0.001, max_delay_s=0.01, max_restarts=1_000_000),
)
SIMULATED: Final = SimulatorConfig(
    seed=7, cash=100_000_000.0, max_fill_quantity=10.0, slice_delay_s=0.02
)


@attrs.define
class Storm:
    """Everything that one seed does to one world, and what came of it."""

    world: ProofWorld
    rng: random.Random
    witness: Witness = attrs.field(factory=Witness)
    outcomes: Counter[str] = attrs.field(factory=Counter)
    done: Counter[str] = attrs.field(factory=Counter)
    under_way: set[asyncio.Task[None]] = attrs.field(factory=set)
    healing: set[asyncio.Task[None]] = attrs.field(factory=set)
    expiry: str = ""

    async def begin(self) -> None:
        """Watch, and learn of an option to trade."""
        self.world.process.tap(self.witness)
        chain = await self.world.gateway.get_option_chain("SPY")
        self.expiry = f"{chain.expiries[-1]:%Y%m%d}"

    async def rage(self, operations: int) -> None:
        """Do so many operations, then let everything come to rest and compare the books."""
        names = list(OPERATIONS)
        weights = [OPERATIONS[name][0] for name in names]
        for name in self.rng.choices(names, weights, k=operations):
            self.done[name] += 1
            OPERATIONS[name][1](self)
            await asyncio.sleep(self.rng.choice(PAUSES_S))
        await self._settle()

    # --- coming to rest -------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        for task in tuple(self.healing):
            task.cancel()
        await asyncio.gather(*self.healing, return_exceptions=True)
        self.world.simulator.faults.clear()
        await asyncio.gather(*self.under_way)
        await self.world.until(lambda: self.world.gateway.is_connected, SETTLED_WITHIN_S)
        ends_at = self.world.proof.loop.time() + SETTLED_WITHIN_S
        while differences := await self._differences():
            assert self.world.proof.loop.time() < ends_at, differences
            await asyncio.sleep(0.5)
        broken = self.witness.broken_promises(self.world.simulator)
        assert not broken, broken

    async def _differences(self) -> list[str]:
        """Compare positions, cash and working orders with the simulator's."""
        gateway, simulator = self.world.gateway, self.world.simulator
        try:
            positions = await gateway.get_positions()
            account = await gateway.get_account()
            orders = await gateway.get_open_orders()
            status = await gateway.status()
        except GatewayError as error:
            return [repr(error)]
        ours = {item.contract.con_id: item.quantity for item in positions}
        theirs = {con_id: item.quantity for con_id, item in simulator.positions().items()}
        working = sorted(order.order_id for order in orders)
        at_broker = sorted(order.order_ref.partition(":")[2] for order in simulator.open_orders())
        return [
            *([] if ours == theirs else [f"positions {ours}, at the broker {theirs}"]),
            *(
                []
                if abs((account.cash or 0.0) - simulator.cash) < CENT
                else [f"cash {account.cash}, at the broker {simulator.cash}"]
            ),
            *([] if working == at_broker else [f"working {working}, at the broker {at_broker}"]),
            *self.witness.untrue_answers(simulator),
            *([] if gateway.is_connected else ["not connected"]),
            *(
                []
                if status.liquidation_step in ("IDLE", "DONE")
                else [f"{status.liquidation_step}"]
            ),
        ]

    # --- orders ---------------------------------------------------------------------------------------------------

    def _spawn(self, what: str, call: Callable[[], Awaitable[Any]]) -> None:
        """Ask for something; whatever comes of it is an answer or one of our errors, and comes in time."""

        async def asked() -> None:
            try:
                answer = await call()
            except GatewayError as error:
                self.outcomes[f"{what}: {type(error).__name__}"] += 1
            else:
                status = getattr(answer, "status", None)
                self.outcomes[f"{what}: {status or 'done'}"] += 1

        task = asyncio.ensure_future(asked())
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    def _signal(self) -> TradingSignal:
        rng = self.rng
        make = rng.choice((buy, buy, buy, sell))
        fields: dict[str, Any] = {}
        symbol = rng.choice(SYMBOLS)
        if rng.random() < 0.15:
            symbol, fields = "SPY", {"expiry": self.expiry, "strike": STRIKE, "right": "C"}
        kind = rng.choice(("MKT", "MKT", "LMT", "STP"))
        if kind != "MKT":
            near = self._price(symbol, bool(fields)) * rng.uniform(0.97, 1.03)
            fields["limit_price" if kind == "LMT" else "stop_price"] = round(near, 2)
        return make(float(rng.randint(1, 40)), symbol, order_type=kind, **fields)

    def _price(self, symbol: str, is_option: bool) -> float:
        if is_option:
            return 10.0
        stock = self.world.simulator.universe.stock(symbol)
        assert stock is not None
        return self.world.simulator.market.quote(stock).last or 100.0

    def submit(self) -> None:
        """Submit an order of any kind."""
        signal, timeout_s = self._signal(), self.rng.choice(TIMEOUTS_S)
        wait_for = self.rng.choice(("fill", "ack"))
        self._spawn(
            "submit",
            lambda: self.world.gateway.submit_order(signal, CONTEXT, timeout_s, wait_for),
        )

    def _known_order(self) -> str | None:
        known = [
            order_id
            for order_id, said in self.witness.last_word.items()
            if said.status in (OrderStatus.PENDING, OrderStatus.PARTIAL)
        ] or list(self.witness.last_word)[-5:]
        return self.rng.choice(known) if known else None

    def modify(self) -> None:
        """Change quantity or price of an order that was heard of."""
        order_id = self._known_order()
        if order_id is None:
            return
        said = self.witness.last_word[order_id]
        quantity = float(self.rng.randint(1, 40))
        price = round(self._price(said.symbol, False) * self.rng.uniform(0.97, 1.03), 2)
        change = self.rng.choice(
            ({"quantity": quantity}, {"limit_price": price}, {"stop_price": price})
        )
        timeout_s = self.rng.choice(TIMEOUTS_S)
        self._spawn(
            "modify",
            lambda: self.world.gateway.modify_order(order_id, **change, timeout=timeout_s),
        )

    def cancel(self) -> None:
        """Cancel an order that was heard of."""
        order_id, timeout_s = self._known_order(), self.rng.choice(TIMEOUTS_S)
        if order_id is not None:
            self._spawn("cancel", lambda: self.world.gateway.cancel_order(order_id, timeout_s))

    def close(self) -> None:
        """Close one position, perhaps one that is gone."""
        held = [
            f"{item.contract.symbol}_{con_id}"
            for con_id, item in self.world.simulator.positions().items()
        ]
        position_id, timeout_s = self.rng.choice([*held, "SPY_1"]), self.rng.choice(TIMEOUTS_S)
        self._spawn(
            "close",
            lambda: self.world.gateway.close_position(
                position_id, CloseReason.STRATEGY_EXIT, timeout_s
            ),
        )

    def close_all(self) -> None:
        """Close everything."""
        timeout_s = self.rng.choice(TIMEOUTS_S)
        self._spawn(
            "close all",
            lambda: self.world.gateway.close_all_positions(CloseReason.MANUAL, timeout_s),
        )

    def latch(self) -> None:
        """Trigger Strategy C by hand."""
        self._spawn("liquidate", lambda: self.world.gateway.liquidate("the storm"))

    def rearm(self) -> None:
        """Take the latch back, if it may be taken back."""
        self._spawn("rearm", lambda: self.world.gateway.rearm("the storm", "it goes on"))

    # --- faults ---------------------------------------------------------------------------------------------------

    def crash(self) -> None:
        """Make one of the actors fail."""
        crash(self.world.process, self.rng.choice(list(POISON)))

    def trouble(self) -> None:
        """Let one of the link's troubles happen, and pass."""
        names = [name for name in KINDS if name not in ABOUT_ORDERS and name not in NEEDS_OPERATOR]
        turn = Turn(self.rng, self.rng.uniform(0.01, LONGEST_TROUBLE_S), LATEST_S)
        for step in KINDS[self.rng.choice(names)](turn):
            self._later(step.at_s, step.kind, dict(step.arguments))

    def _later(self, delay_s: float, kind: str, arguments: dict[str, Any]) -> None:
        async def happen() -> None:
            await asyncio.sleep(delay_s)
            self._fault(kind, arguments)

        if not delay_s:
            self._fault(kind, arguments)
            return
        task = asyncio.ensure_future(happen())
        self.healing.add(task)
        task.add_done_callback(self.healing.discard)

    def _fault(self, kind: str, arguments: dict[str, Any]) -> None:
        names = arguments.pop("names", ())
        getattr(self.world.simulator.faults, kind)(*names, **arguments)

    def broker_trouble(self) -> None:
        """Let the broker do with orders what brokers do."""
        rng, faults = self.rng, self.world.simulator.faults
        working = [order.perm_id for order in self.world.simulator.open_orders()]
        executions = [item.exec_id for item in self.world.simulator.executions()[-20:]]
        match rng.randrange(8):
            case 0:
                faults.reject_next_order(code=rng.choice(REJECTIONS), inactive=rng.random() < 0.5)
            case 1:
                mode = rng.choice(("silent", "drop_before", "drop_after"))
                faults.lose_acknowledgement(mode)
            case 2:
                faults.duplicate_execution(rng.randint(1, 3))
            case 3:
                faults.late_fill(rng.uniform(0.0, 1.0))
            case 4:
                faults.refuse_cancel()
            case 5:
                faults.hold_orders()
                self._later(rng.uniform(0.01, 2.0), "release_orders", {})
            case 6 if working:
                faults.cancel_order(rng.choice(working))
            case 7 if executions:
                faults.correct_execution(rng.choice(executions), price=rng.uniform(100.0, 600.0))

    def move_the_market(self) -> None:
        """Let a price jump, so that limits and stops come into the money."""
        self.world.simulator.faults.move_price(
            self.rng.choice(SYMBOLS), self.rng.uniform(0.97, 1.03)
        )


NEEDS_OPERATOR: Final = frozenset({"version too old", "disclaimer", "login closes"})
"""Troubles after which the link waits for a person."""

OPERATIONS: Final[dict[str, tuple[int, Callable[[Storm], None]]]] = {
    "submit": (40, Storm.submit),
    "modify": (8, Storm.modify),
    "cancel": (8, Storm.cancel),
    "close": (6, Storm.close),
    "close all": (1, Storm.close_all),
    "liquidate": (1, Storm.latch),
    "re-arm": (24, Storm.rearm),
    "crash": (2, Storm.crash),
    "trouble of the link": (2, Storm.trouble),
    "trouble of the broker": (8, Storm.broker_trouble),
    "move of the market": (8, Storm.move_the_market),
}
"""Each operation with its weight."""
