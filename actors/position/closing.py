"""Closing positions as somebody asks for it: one, all side by side, or a symbol (POS-6, POS-7).

Each contract is brought to zero by `actors.closing`, under the rules that Strategy C obeys, too; here is who waits for
it, and what each of them is told. They differ in their end:

==================  ========================================================================================
close one           the first order that is concluded; refused by the broker it is not tried again
close all, flatten  flat, or the caller's deadline: what is refused is tried again until then
==================  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from actors import messages as m
from actors.closing.flattener import Flattener
from actors.closing.task import Task
from actors.errors import (
    GatewayError,
    GatewayNotConnectedError,
    GatewayTimeoutError,
    MarketClosedError,
    PositionNotFoundError,
)
from actors.hours import HoursKeeper
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Request
from actors.kernel.stories import RequestHeader, Story, root_id
from actors.logic.flattening import Mandate, Phase, situation
from actors.model.account import Holding
from actors.model.orders import (
    CloseReason,
    OrderAction,
    OrderResult,
    OrderStatus,
    RejectionKind,
)
from actors.model.trading import Trading
from actors.position.holdings import Holdings

CLOSED: Final = (OrderStatus.FILLED, OrderStatus.SIMULATED)
"""The results after which a close is not tried again."""

CLOSE_TIMEOUT_S: Final = 30.0
ANSWER_MARGIN_S: Final = 0.002
"""The caller is answered so long before the deadline, after the executor's own answer has come."""


@attrs.define(eq=False)
class Waiter:
    """Somebody who waits for one contract: ``results`` are what its orders came to, ``error`` why there was none."""

    request: Request
    holding: Holding
    first_order_only: bool = False
    results: list[OrderResult] = attrs.field(factory=list)
    error: GatewayError | None = None
    is_over: bool = False

    @property
    def con_id(self) -> int:
        """The contract."""
        return self.holding.contract.con_id

    @property
    def is_closed(self) -> bool:
        """Whether an order of it was filled."""
        return any(result.status is OrderStatus.FILLED for result in self.results)


@attrs.define(eq=False)
class _Run:
    """One request under way; ``answer`` is called once, when every waiter is over or the time is up."""

    waiters: list[Waiter]
    answer: Callable[[], None]
    timer: Story | None = None


class Closing(Part):
    """Owns who waits for which contract to be closed."""

    def __init__(
        self,
        actor: SupervisedActor,
        trading: Trading,
        holdings: Holdings,
        hours: HoursKeeper,
        flattener: Flattener,
    ) -> None:
        self._actor = actor
        self._trading = trading
        self._holdings = holdings
        self._hours = hours
        self._flattener = flattener
        self._runs: list[_Run] = []

    # --- what is asked for ----------------------------------------------------------------------------------------

    @handles(m.ClosePosition)
    def on_close_position(self, request: m.ClosePosition) -> None:
        """Close one position, now or not at all (STC-7 is Strategy C's)."""
        if self._holdings.refuses_unknown(request):
            return
        holding = self._holdings.by_position_id(request.position_id)
        if holding is None:
            unknown = PositionNotFoundError(f"no position has the id {request.position_id!r}")
            self._actor.refuse(request, unknown)
            return
        waiter = Waiter(request, holding, first_order_only=True)
        run = _Run([waiter], lambda: self._answer_one(request, waiter))
        self._begin(run, request, request.reason, Mandate(both_sides=False))

    def _answer_one(self, request: m.ClosePosition, waiter: Waiter) -> None:
        if not waiter.results:
            self._actor.refuse(request, waiter.error or self._too_late(waiter))
            return
        answer = m.PositionClosed(
            correlation_id=request.correlation_id,
            position_id=request.position_id,
            result=waiter.results[-1],
        )
        self._actor.reply(request, answer)

    @handles(m.CloseAllPositions)
    def on_close_all_positions(self, request: m.CloseAllPositions) -> None:
        """Close everything side by side, and keep going past failures (POS-7)."""
        if self._holdings.refuses_unknown(request):
            return
        waiters = [Waiter(request, held) for held in self._holdings.held.values()]
        run = _Run(waiters, lambda: self._answer_all(request, waiters))
        self._begin(run, request, request.reason, Mandate(both_sides=False))

    def _answer_all(self, request: m.CloseAllPositions, waiters: list[Waiter]) -> None:
        closed = {waiter.con_id for waiter in waiters if waiter.is_closed}
        answer = m.AllPositionsClosed(
            correlation_id=request.correlation_id,
            results=self._results(waiters),
            remaining=tuple(
                view for view in self._holdings.views() if view.contract.con_id not in closed
            ),
        )
        self._actor.reply(request, answer)

    @handles(m.FlattenSymbol)
    def on_flatten_symbol(self, request: m.FlattenSymbol) -> None:
        """Bring every contract of a symbol to zero, its orders on both sides included."""
        if self._holdings.refuses_unknown(request):
            return
        symbol = request.symbol.upper()
        held = [each for each in self._holdings.held.values() if each.contract.symbol == symbol]
        waiters = [Waiter(request, each) for each in held]
        run = _Run(waiters, lambda: self._answer_symbol(request, symbol, waiters))
        self._begin(run, request, request.reason, Mandate(over_pending=request.over_pending))

    def _answer_symbol(self, request: m.FlattenSymbol, symbol: str, waiters: list[Waiter]) -> None:
        views = self._holdings.views()
        answer = m.SymbolFlattened(
            correlation_id=request.correlation_id,
            results=self._results(waiters),
            remaining=tuple(view for view in views if view.contract.symbol == symbol),
        )
        self._actor.reply(request, answer)

    # --- waiting --------------------------------------------------------------------------------------------------

    def is_waited_for(self, con_id: int) -> bool:
        """Whether somebody waits for a contract to be closed."""
        return bool(self._waiters(con_id))

    def _waiters(self, con_id: int) -> list[Waiter]:
        return [
            waiter
            for run in self._runs
            for waiter in run.waiters
            if waiter.con_id == con_id and not waiter.is_over
        ]

    def _begin(self, run: _Run, request: Request, reason: CloseReason, mandate: Mandate) -> None:
        self._runs.append(run)
        for waiter in run.waiters:
            waiter.error = self._why_not_now(waiter.holding)
            waiter.is_over = waiter.error is not None
            if not waiter.is_over:
                self._take_on(waiter, reason, mandate)
        left_s = request.deadline - ANSWER_MARGIN_S - self._actor.clock.monotonic()
        run.timer = self._actor.begin_story(self._time_out(run, max(0.0, left_s)))
        self._answer_what_is_over()

    def _take_on(self, waiter: Waiter, reason: CloseReason, mandate: Mandate) -> None:
        con_id = waiter.con_id
        known = self._flattener.tasks.get(con_id)
        if known is not None:
            if mandate.over_pending:
                known.mandate = mandate
            self._flattener.wake()
            return
        self._flattener.begin(
            Task(
                contract=self._hours.described(waiter.holding.contract),
                mandate=mandate,
                reason=reason,
                header=lambda step, timeout_s: self._header(con_id, step, timeout_s),
                close_timeout_s=CLOSE_TIMEOUT_S,
                leaves_remainder=False,
            )
        )

    def _header(self, con_id: int, step: str, timeout_s: float) -> RequestHeader:
        """Head a close on behalf of whoever waits longest for it."""
        requests = [waiter.request for waiter in self._waiters(con_id)]
        if not requests:
            return self._actor.of_our_own(step, timeout_s)
        return self._actor.on_behalf(max(requests, key=lambda each: each.deadline), step)

    async def _time_out(self, run: _Run, left_s: float) -> None:
        """Answer with what is known when the time is up."""
        await self._actor.sleep(left_s)
        for waiter in run.waiters:
            waiter.is_over = True
        self._answer_what_is_over()

    def _answer_what_is_over(self) -> None:
        """Answer the requests all of whose contracts are at their end, and let go of what nobody waits for."""
        over = [run for run in self._runs if all(waiter.is_over for waiter in run.waiters)]
        self._runs = [run for run in self._runs if run not in over]
        for run in over:
            if run.timer is not None:
                self._actor.end_story(run.timer)
            run.answer()
        for con_id in {waiter.con_id for run in over for waiter in run.waiters}:
            task = self._flattener.tasks.get(con_id)
            if task is not None and not task.leaves_remainder and not self.is_waited_for(con_id):
                self._flattener.end(con_id)

    # --- what comes of it -----------------------------------------------------------------------------------------

    def concluded(self, task: Task, result: OrderResult | None, error: GatewayError | None) -> None:
        """Take in what came of a close."""
        for waiter in self._waiters(task.contract.con_id):
            if result is not None:
                self._take_result(waiter, result)
            elif error is not None:
                waiter.error = error
                waiter.is_over = waiter.first_order_only or not error.retryable
        self._answer_what_is_over()

    def _take_result(self, waiter: Waiter, result: OrderResult) -> None:
        if result.rejection_kind is RejectionKind.POSITION_MOVED:
            return  # nothing was sent, and it is sized anew at once
        waiter.results.append(result)
        waiter.is_over = waiter.first_order_only or result.status in CLOSED

    def looked(self) -> None:
        """After each look: who waits for what is gone, or cannot be closed by us, waits no longer."""
        for con_id, task in tuple(self._flattener.tasks.items()):
            if task.sight is None or task.progress.in_flight:
                continue
            for waiter in self._waiters(con_id):
                if not task.quantity:
                    gone = f"{task.contract.position_id} is not held any more"
                    waiter.error = waiter.error or PositionNotFoundError(gone)
                    waiter.is_over = True
                elif task.phase is Phase.BY_HAND:
                    waiter.error = GatewayError(self._situation(task))
                    waiter.is_over = True
        self._answer_what_is_over()

    def _situation(self, task: Task) -> str:
        if task.sight is None:
            return f"{task.contract.position_id} was not looked at yet"
        return situation(task.progress, task.sight, self._actor.clock.monotonic())

    def _too_late(self, waiter: Waiter) -> GatewayError:
        """Say what it waited for when the time was up."""
        task = self._flattener.tasks.get(waiter.con_id)
        why = "it was not closed in time" if task is None else self._situation(task)
        return GatewayTimeoutError(why)

    def _why_not_now(self, holding: Holding) -> GatewayError | None:
        """Say that nothing can be sent, or that a close would only wait for the open, with nobody to watch it."""
        if not self._holdings.connected:
            return GatewayNotConnectedError("the link is down: nothing can be sent")
        opens_at = self._hours.waits_until(holding.contract.con_id)
        if opens_at is None:
            return None
        return MarketClosedError(
            f"{holding.contract.position_id} does not trade now, and nothing was sent: it opens at"
            f" {opens_at:%Y-%m-%d %H:%M} UTC; close it then, or liquidate(), which queues its closes for the open"
        )

    def _results(self, waiters: list[Waiter]) -> tuple[OrderResult, ...]:
        """All results; a contract without one has failed, and a failure that is left out looks like a success."""
        found: list[OrderResult] = []
        for waiter in waiters:
            found += waiter.results
            gone = isinstance(waiter.error, PositionNotFoundError)
            if not waiter.results and not gone:
                found.append(self._failed(waiter, waiter.error or self._too_late(waiter)))
        return tuple(found)

    def _failed(self, waiter: Waiter, error: GatewayError) -> OrderResult:
        """Tell of a close that never became an order."""
        holding = waiter.holding
        return OrderResult(
            order_id="",
            status=OrderStatus.FAILED,
            symbol=holding.contract.symbol,
            action=OrderAction.SELL if holding.quantity > 0 else OrderAction.BUY,
            quantity=abs(holding.quantity),
            rejection_reason=str(error),
            execution_mode=self._trading.mode,
            timestamp=self._actor.clock.now(),
            correlation_id=root_id(waiter.request.correlation_id),
        )
