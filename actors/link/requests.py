"""What the link asks of the gateway on behalf of others: each request is answered by its deadline, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors import messages as m
from actors.errors import (
    ActorFailedError,
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
)
from actors.kernel.failure import where_raised
from actors.kernel.handlers import Part, handles
from actors.kernel.loop_actor import LoopActor
from actors.kernel.messages import Reply, Request
from actors.link.broker_state import BrokerStateReader
from actors.link.deadlines import left_s
from actors.link.history_pacer import HistoryPacer
from actors.link.market_requests import qualify, read_bars, read_option_chain, take_snapshot
from actors.link.order_gate import OrderGate
from actors.link.pacing import PacingLane
from actors.link.session import Session
from actors.link.sessions import Sessions
from actors.messages.addresses import CONNECTION
from actors.model.connection import DisconnectCause, StatePart
from actors.ports import EventLog, no_log


class Requests(Part):
    """See the module's docstring. Each request is served by the session that was open when it came."""

    def __init__(
        self,
        link: LoopActor,
        *,
        sessions: Sessions,
        gate: OrderGate,
        history: HistoryPacer,
        log: EventLog = no_log,
    ) -> None:
        self._link = link
        self._log = log
        self._sessions = sessions
        self._gate = gate
        self._history = history
        self._state_reader: BrokerStateReader | None = None

    def _serve(self, request: Request, work: Callable[[Session], Awaitable[Reply]]) -> None:
        """Do what takes time on behalf of ``request``; it is answered by its deadline, whatever happens."""
        session = self._sessions.current
        if session is None or not session.is_ready:
            self._link.refuse(request, GatewayNotConnectedError("no session is open"))
            return
        self._link.spawn(self._answer(request, session, work))

    async def _answer(
        self, request: Request, session: Session, work: Callable[[Session], Awaitable[Reply]]
    ) -> None:
        try:
            async with asyncio.timeout(left_s(request, self._link.clock)):
                answer = await work(session)
        except GatewayError as error:
            self._end_unanswered(session)
            self._link.refuse(request, error)
        except TimeoutError:
            self._end_unanswered(session)
            late = f"{type(request).__name__}: the gateway did not answer before the deadline"
            if isinstance(request, m.ReadBrokerState):
                late += f" (it was asked for {self._reader_of(session).asks_for})"
            self._link.refuse(request, GatewayTimeoutError(late))
        except Exception as error:  # noqa: BLE001 - a request that fails costs nobody a restart
            self._failed(request, error)
        else:
            self._link.reply(request, answer)

    def _failed(self, request: Request, error: Exception) -> None:
        """Answer for a defect of ours, and say where it is."""
        self._log(
            "request_failed",
            level="ERROR",
            request=type(request).__name__,
            error_type=type(error).__name__,
            trace=where_raised(error),
        )
        why = f"the link failed at {type(request).__name__}: {type(error).__name__}: {error}"
        self._link.refuse(request, ActorFailedError(why))

    def _end_unanswered(self, session: Session) -> None:
        """End a session that owes an answer which nobody could tell from the next one."""
        if session.unanswered is not None and session is self._sessions.current:
            self._sessions.end(
                DisconnectCause.REQUEST_UNANSWERED,
                f"the gateway did not answer: {session.unanswered}",
            )

    @handles(m.Probe)
    def on_probe(self, request: m.Probe) -> None:
        """Make a round trip, or join the one under way; it goes ahead of everything but never ends the session."""

        async def work(session: Session) -> Reply:
            trip = await session.liveness.ask_until_answered()
            return m.Probed(
                correlation_id=request.correlation_id,
                latency_ms=trip.latency_s * 1000,
                gateway_time=trip.gateway_time,
            )

        self._serve(request, work)

    @handles(m.ReadBrokerState)
    def on_read_broker_state(self, request: m.ReadBrokerState) -> None:
        """Read the world whole."""

        async def work(session: Session) -> Reply:
            state = await self._reader_of(session).read(request.account, request.executions_since)
            return m.BrokerStateRead(correlation_id=request.correlation_id, state=state)

        self._serve(request, work)

    @handles(m.RefreshAccount)
    def on_refresh_account(self, _: m.RefreshAccount) -> None:
        """Ask for the account anew; what it says goes the way of every change."""
        session = self._sessions.current
        if session is not None and session.is_ready:
            self._link.spawn(self._reader_of(session).refresh_account())

    def _reader_of(self, session: Session) -> BrokerStateReader:
        """Let all who ask for the state of one session share its reads."""
        reader = self._state_reader
        if reader is None or reader.session is not session:
            reader = self._state_reader = BrokerStateReader(
                session,
                self._gate,
                self._link.spawn,
                lambda part: self._tell_answered(session, part),
            )
        return reader

    def _tell_answered(self, session: Session, part: StatePart) -> None:
        """Let the connection know that the broker's state can be read whole."""
        if session is self._sessions.current:
            self._link.tell(
                CONNECTION, m.SilentPartAnswered(link_session=session.number, part=part)
            )

    @handles(m.QualifyContract)
    def on_qualify_contract(self, request: m.QualifyContract) -> None:
        """Find exactly one contract."""

        async def work(session: Session) -> Reply:
            contract = await qualify(session, request.query)
            return m.ContractQualified(
                correlation_id=request.correlation_id, query=request.query, contract=contract
            )

        self._serve(request, work)

    @handles(m.TakeSnapshot)
    def on_take_snapshot(self, request: m.TakeSnapshot) -> None:
        """Read one snapshot."""

        async def work(session: Session) -> Reply:
            lane = self._lane_of(request)
            quote = await take_snapshot(
                session, request.contract, snapshot=request.snapshot, lane=lane
            )
            return m.SnapshotTaken(correlation_id=request.correlation_id, quote=quote)

        self._serve(request, work)

    def _lane_of(self, request: m.TakeSnapshot) -> PacingLane:
        """A price that a close needs goes with the reads of the broker's state: data may pause now."""
        flattening = self._sessions.flattening
        if flattening.running and request.contract.con_id in flattening.prices_of:
            return PacingLane.STATE
        return PacingLane.FEED if request.for_feed else PacingLane.DATA

    @handles(m.StartTicks)
    def on_start_ticks(self, request: m.StartTicks) -> None:
        """Subscribe to a contract tick by tick."""

        async def work(session: Session) -> Reply:
            await session.ticks.start(request.contract)
            return m.TicksAsked(correlation_id=request.correlation_id)

        self._serve(request, work)

    @handles(m.StopTicks)
    def on_stop_ticks(self, message: m.StopTicks) -> None:
        """Cancel the stream of a contract; one of an earlier session ended with it."""
        session = self._sessions.current
        if session is not None:
            session.ticks.stop(message.con_id)

    @handles(m.StopAllTicks)
    def on_stop_all_ticks(self, _: m.StopAllTicks) -> None:
        """Cancel every stream."""
        session = self._sessions.current
        if session is not None:
            session.ticks.stop_all()

    @handles(m.StreamTaken)
    def on_stream_taken(self, _: m.StreamTaken) -> None:
        """Let the next quotes go."""
        session = self._sessions.current
        if session is not None:
            session.ticks.taken()

    @handles(m.ReadBars)
    def on_read_bars(self, request: m.ReadBars) -> None:
        """Read at most one hour of bars."""

        async def work(session: Session) -> Reply:
            bars = await read_bars(
                session,
                request.contract,
                minutes=request.duration_minutes,
                bar_size=request.bar_size,
                history=self._history,
                deadline=request.deadline,
            )
            return m.BarsRead(
                correlation_id=request.correlation_id, contract=request.contract, bars=bars
            )

        self._serve(request, work)

    @handles(m.ReadOptionChain)
    def on_read_option_chain(self, request: m.ReadOptionChain) -> None:
        """Read an option chain."""

        async def work(session: Session) -> Reply:
            chain = await read_option_chain(session, request.underlying)
            return m.OptionChainRead(correlation_id=request.correlation_id, chain=chain)

        self._serve(request, work)
