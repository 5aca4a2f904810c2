"""What the link asks of the gateway on behalf of others: each request is answered by its deadline, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.errors import (
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
)
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import Reply, Request
from actors.link.broker_state import read_broker_state
from actors.link.market_requests import qualify, read_bars, read_option_chain, take_snapshot
from actors.link.memory import LinkMemory
from actors.link.order_gate import OrderGate
from actors.link.pacing import PacingLane
from actors.link.session import Session
from actors.link.settings import LinkSettings
from actors.messages.connection import BrokerStateRead, Probe, Probed, ReadBrokerState
from actors.messages.market_data import (
    BarsRead,
    ContractQualified,
    OptionChainRead,
    QualifyContract,
    ReadBars,
    ReadOptionChain,
    SnapshotTaken,
    StartTicks,
    StopAllTicks,
    StopTicks,
    StreamTaken,
    TakeSnapshot,
    TicksAsked,
)
from actors.model.connection import DisconnectCause
from actors.ports import EventLog, no_log


class AskingLink(LoopActor):
    """The part of the link that asks; it knows at most one session."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: LinkSettings,
        memory: LinkMemory | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings
        self.memory = memory or LinkMemory()
        self.log = log
        self.gate = OrderGate(settings.operator_id, self.clock.now())
        self.session: Session | None = None

    def end_session(self, cause: DisconnectCause, reason: str) -> None:
        """Give up the session; the actor says how."""
        raise NotImplementedError

    def left_s(self, request: Request) -> float:
        """Tell how long until the request's deadline."""
        return max(0.0, request.deadline - self.clock.monotonic())

    def _serve(self, request: Request, work: Callable[[Session], Awaitable[Reply]]) -> None:
        """Do what takes time on behalf of ``request``; it is answered by its deadline, whatever happens."""
        session = self.session
        if session is None or not session.is_ready:
            self.refuse(request, GatewayNotConnectedError("no session is open"))
            return
        self.spawn(self._answer(request, session, work))

    async def _answer(
        self, request: Request, session: Session, work: Callable[[Session], Awaitable[Reply]]
    ) -> None:
        try:
            async with asyncio.timeout(self.left_s(request)):
                answer = await work(session)
        except GatewayError as error:
            self._end_unanswered(session)
            self.refuse(request, error)
        except TimeoutError:
            self._end_unanswered(session)
            late = f"{type(request).__name__}: the gateway did not answer before the deadline"
            self.refuse(request, GatewayTimeoutError(late))
        else:
            self.reply(request, answer)

    def _end_unanswered(self, session: Session) -> None:
        """End a session that owes an answer which nobody could tell from the next one."""
        if session.unanswered is not None and session is self.session:
            self.end_session(
                DisconnectCause.REQUEST_UNANSWERED,
                f"the gateway did not answer: {session.unanswered}",
            )

    @handles(Probe)
    def on_probe(self, request: Probe) -> None:
        """Make a round trip, or join the one under way; it goes ahead of everything but never ends the session."""

        async def work(session: Session) -> Reply:
            told = await session.life.ask_until_answered()
            return Probed(
                correlation_id=request.correlation_id,
                latency_ms=told.latency_s * 1000,
                gateway_time=told.gateway_time,
            )

        self._serve(request, work)

    @handles(ReadBrokerState)
    def on_read_broker_state(self, request: ReadBrokerState) -> None:
        """Read the world whole."""

        async def work(session: Session) -> Reply:
            state = await read_broker_state(session, self.gate, request.account)
            return BrokerStateRead(correlation_id=request.correlation_id, state=state)

        self._serve(request, work)

    @handles(QualifyContract)
    def on_qualify_contract(self, request: QualifyContract) -> None:
        """Find exactly one contract."""

        async def work(session: Session) -> Reply:
            contract = await qualify(session, request.query)
            return ContractQualified(
                correlation_id=request.correlation_id, query=request.query, contract=contract
            )

        self._serve(request, work)

    @handles(TakeSnapshot)
    def on_take_snapshot(self, request: TakeSnapshot) -> None:
        """Read one snapshot."""

        async def work(session: Session) -> Reply:
            lane = PacingLane.FEED if request.for_feed else PacingLane.DATA
            quote = await take_snapshot(
                session, request.contract, snapshot=request.snapshot, lane=lane
            )
            return SnapshotTaken(correlation_id=request.correlation_id, quote=quote)

        self._serve(request, work)

    @handles(StartTicks)
    def on_start_ticks(self, request: StartTicks) -> None:
        """Subscribe to a contract tick by tick."""

        async def work(session: Session) -> Reply:
            await session.ticks.start(request.contract)
            return TicksAsked(correlation_id=request.correlation_id)

        self._serve(request, work)

    @handles(StopTicks)
    def on_stop_ticks(self, message: StopTicks) -> None:
        """Cancel the stream of a contract; one of an earlier session ended with it."""
        if self.session is not None:
            self.session.ticks.stop(message.con_id)

    @handles(StopAllTicks)
    def on_stop_all_ticks(self, _: StopAllTicks) -> None:
        """Cancel every stream."""
        if self.session is not None:
            self.session.ticks.stop_all()

    @handles(StreamTaken)
    def on_stream_taken(self, _: StreamTaken) -> None:
        """Let the next quotes go."""
        if self.session is not None:
            self.session.ticks.taken()

    @handles(ReadBars)
    def on_read_bars(self, request: ReadBars) -> None:
        """Read at most one hour of bars."""

        async def work(session: Session) -> Reply:
            bars = await read_bars(
                session,
                request.contract,
                minutes=request.duration_minutes,
                bar_size=request.bar_size,
                history=self.memory.history,
                deadline=request.deadline,
            )
            return BarsRead(
                correlation_id=request.correlation_id, contract=request.contract, bars=bars
            )

        self._serve(request, work)

    @handles(ReadOptionChain)
    def on_read_option_chain(self, request: ReadOptionChain) -> None:
        """Read an option chain."""

        async def work(session: Session) -> Reply:
            chain = await read_option_chain(session, request.underlying)
            return OptionChainRead(correlation_id=request.correlation_id, chain=chain)

        self._serve(request, work)
