"""Drives one LinkActor inside the loop of a test: a real address book and a real socket, no thread.

The other actors are callbacks that keep what they receive.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from actors.errors import GatewayError, restore
from actors.kernel.actor import ActorContext
from actors.kernel.addresses import AddressBook
from actors.kernel.dead_letters import DeadLetters
from actors.kernel.mailbox import STOP, Sender
from actors.kernel.messages import Message, Reply, Request, RequestFailed
from actors.link.actor import LinkActor
from actors.link.settings import LinkSettings
from actors.logic.permits import issue_permit
from actors.messages.addresses import CONNECTION, EXECUTOR, LINK, MARKET_DATA, POSITION, RISK
from actors.messages.connection import (
    BrokerStateRead,
    OpenSession,
    ReadBrokerState,
    SessionOpened,
)
from actors.messages.market_data import ContractQualified, QualifyContract
from actors.messages.orders import InstallPermitKey, SendOrder, SetGate
from actors.model.connection import BrokerState
from actors.model.contracts import Contract, ContractQuery
from actors.model.orders import OPERATOR_ID, OrderAction, OrderType, Permit, Purpose, WireOrder
from actors.model.trading import Trading

M = TypeVar("M", bound=Message)
ACCOUNT = "DU1234567"
KEY = b"a key that only risk and the link know"


class LoopClock:
    """Real time of day; deadlines on the loop's clock."""

    def now(self) -> datetime:
        """Tell the time of day."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Tell the loop's seconds."""
        return asyncio.get_running_loop().time()


class TestEntropy:
    """Seeded randomness."""

    __test__ = False

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number."""
        return self._random.uniform(low, high)

    def uuid4(self) -> str:
        """Draw an id."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


class _LoopTimer:
    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, callback)


class LinkDriver:
    """One link with its neighbours."""

    def __init__(
        self,
        settings: LinkSettings | None = None,
        *,
        incarnation: int = 1,
        clock: Any = None,
        log: Any = None,
    ) -> None:
        self.clock = clock or LoopClock()
        self.received: dict[str, list[Message]] = {
            name: [] for name in (CONNECTION, EXECUTOR, POSITION, RISK, MARKET_DATA)
        }
        self.reports: list[Message] = []
        self.logged: list[tuple[str, dict[str, object]]] = []
        self._waiters: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._replies: dict[str, asyncio.Future[Reply]] = {}
        self._ids = itertools.count(1)
        self.dead_letters = DeadLetters(self.clock, 1000)
        self.book = AddressBook(self.clock, self.dead_letters)
        self.book.open_mailbox(LINK, 10_000)
        for name in self.received:
            self.book.register(name, self._receiver(name))
        self.book.register("test", self._on_reply)
        self.sender = Sender("test", 1)
        loop = asyncio.get_running_loop()
        self.lease = self.book.lease(LINK, incarnation, 5.0)
        context = ActorContext(
            name=LINK,
            incarnation=incarnation,
            clock=self.clock,
            entropy=TestEntropy(),
            lease=self.lease,
            book=self.book,
            timer=_LoopTimer(),
            supervisor="supervisor",
            report=self.reports.append,
            loop=loop,
        )
        self.actor = LinkActor(
            context,
            settings=settings or LinkSettings(trading=Trading(sends_orders=True)),
            log=log or self._log,
        )
        self.lease.ring = self._pump
        self.actor.on_start()
        self._pump()

    def _log(self, event: str, **fields: object) -> None:
        self.logged.append((event, fields))

    def _receiver(self, name: str) -> Callable[[Any, Sender], None]:
        def receive(message: Any, _sender: Sender) -> None:
            self.received[name].append(message)
            self._look()

        return receive

    def _on_reply(self, message: Any, _sender: Sender) -> None:
        future = self._replies.pop(message.correlation_id, None)
        if future is not None and not future.done():
            future.set_result(message)

    def _pump(self) -> None:
        asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        while (parcel := self.lease.take()) is not None:
            self.actor.on_receive(parcel)
            if parcel is STOP:
                return

    # --- speaking to the link -------------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """Send a message."""
        self.book.tell(self.sender, LINK, message)

    def header(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """Make the fields that every request has."""
        return {
            "correlation_id": f"request-{next(self._ids)}",
            "deadline": self.clock.monotonic() + timeout_s,
            "reply_to": "test",
        }

    def post(self, request: Request) -> asyncio.Future[Reply]:
        """Send a request; the future gets its reply."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[request.correlation_id] = future
        self.tell(request)
        return future

    async def ask(self, request: Request, expected: type[M]) -> M:
        """Send a request and wait for its answer; raises what it was refused with."""
        reply = await asyncio.wait_for(self.post(request), 30)
        if isinstance(reply, RequestFailed):
            raise restore(reply.error)
        assert isinstance(reply, expected), reply
        return reply

    async def until(self, condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
        """Wait until the condition holds, looking whenever a neighbour received something."""
        if found := condition():
            return found
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        return await asyncio.wait_for(future, timeout_s)

    def _look(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and (found := condition()):
                future.set_result(found)

    def of(self, name: str, kind: type[M]) -> list[M]:
        """List what a neighbour received, of one kind."""
        return [message for message in self.received[name] if isinstance(message, kind)]

    # --- the usual steps ------------------------------------------------------------------------------------------

    async def open(self, port: int, timeout_s: float = 5.0, **fields: Any) -> SessionOpened:
        """Open a session."""
        values: dict[str, Any] = {"host": "127.0.0.1", "client_id": 1, "readonly": False} | fields
        return await self.ask(
            OpenSession(**self.header(timeout_s), port=port, **values), SessionOpened
        )

    async def read_state(self, timeout_s: float = 5.0) -> BrokerState:
        """Read the broker's state."""
        reply = await self.ask(ReadBrokerState(**self.header(timeout_s)), BrokerStateRead)
        return reply.state

    async def trade_ready(self, port: int, **fields: Any) -> SessionOpened:
        """Open a session, install the key, read the state, open the gate."""
        opened = await self.open(port, **fields)
        self.tell(InstallPermitKey(key=KEY))
        await self.read_state()
        self.tell(SetGate(open=True, reason="test"))
        return opened

    async def qualify(self, symbol: str = "SPY") -> Contract:
        """Qualify a stock."""
        reply = await self.ask(
            QualifyContract(**self.header(), query=ContractQuery(symbol=symbol)), ContractQualified
        )
        return reply.contract

    def order(self, contract: Contract, **fields: Any) -> WireOrder:
        """Make an order."""
        values: dict[str, Any] = {
            "order_ref": f"{OPERATOR_ID}:ORD_{next(self._ids)}",
            "action": OrderAction.BUY,
            "quantity": 10.0,
            "order_type": OrderType.MARKET,
            "account": ACCOUNT,
            "operator_id": OPERATOR_ID,
            "purpose": Purpose.OPEN,
        }
        return WireOrder(contract=contract, **(values | fields))

    def permit(self, order: WireOrder, key: bytes = KEY, **fields: Any) -> Permit:
        """Sign a permit for an order; one to close counts what the gate counts, unless told otherwise."""
        values: dict[str, Any] = {
            "permit_id": f"permit-{next(self._ids)}",
            "expires_at": self.clock.monotonic() + 5.0,
        }
        if order.purpose is Purpose.CLOSE:
            positions, con_id = self.actor.gate.positions, order.contract.con_id
            values["fill_count"] = positions.fill_count(con_id)
            values["position_sequence"] = positions.position_sequence(con_id)
        return issue_permit(key, order, **(values | fields))

    def send_order(
        self, order: WireOrder, permit: Permit | None = None, timeout_s: float = 5.0
    ) -> SendOrder:
        """Make the request that brings an order to the gate."""
        return SendOrder(**self.header(timeout_s), permit=permit or self.permit(order), order=order)

    async def failure(self, request: Request) -> GatewayError:
        """Send a request that is to fail; returns its error."""
        reply = await asyncio.wait_for(self.post(request), 30)
        assert isinstance(reply, RequestFailed), reply
        return restore(reply.error)
