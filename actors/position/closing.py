"""Closing positions: one, or all side by side, as somebody asks for it (POS-6, POS-7).

::

    what of ours rests on the closing side is cancelled → sized by what is held then → the executor, by way of risk

A protective order that rests has spoken for the position: a close beside it would be refused (RSK-4), and it would turn
the position round if it filled after the close. So it goes first, and the position is without it until the close fills.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from actors import messages as m
from actors.errors import (
    ErrorInfo,
    GatewayError,
    MarketClosedError,
    PositionNotFoundError,
    describe,
    restore,
)
from actors.kernel.actor import ActorContext
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply, Request
from actors.kernel.stories import root_id
from actors.logic.close_orders import close_order
from actors.messages.addresses import EXECUTOR
from actors.model.account import Holding
from actors.model.orders import CloseReason, OrderAction, OrderResult, OrderStatus
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.position.closures import CLOSE_ATTEMPTS
from actors.position.holdings import PositionDesk
from actors.sections.market_data import MarketData
from actors.sections.positions import Positions

CLOSED = (OrderStatus.FILLED, OrderStatus.SIMULATED)
"""The results after which a close is not tried again."""


@attrs.frozen(kw_only=True)
class CloseAgain(Message):
    """A close of a `CloseAllPositions` that did not succeed shall be tried once more."""

    correlation_id: str
    con_id: int
    attempt: int


@attrs.define
class _CloseAll:
    """A `CloseAllPositions` under way: results so far, and the positions whose close has not come back."""

    request: m.CloseAllPositions
    results: list[OrderResult] = attrs.field(factory=list)
    pending: set[int] = attrs.field(factory=set)
    closed: set[int] = attrs.field(factory=set)


def closing_side(holding: Holding) -> OrderAction:
    """The side of an order that reduces the position."""
    return OrderAction.SELL if holding.quantity > 0 else OrderAction.BUY


class ClosingDesk(PositionDesk):
    """See the module's docstring."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Positions,
        market_data: MarketData,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(
            context, settings=settings, market_data=market_data, trading=trading, log=log
        )
        self.close_alls: dict[str, _CloseAll] = {}

    # --- one close ------------------------------------------------------------------------------------------------

    def close(
        self,
        request: Request,
        holding: Holding,
        reason: CloseReason,
        step: str,
        on_result: Callable[[OrderResult], None],
        on_failure: Callable[[ErrorInfo], None],
    ) -> None:
        """Clear the way, then close what is held by then. ``step`` tells the orders of one request apart."""
        con_id = holding.contract.con_id

        def cleared(reply: Reply) -> None:
            assert isinstance(reply, m.AllOrdersCancelled)  # noqa: S101 - answers in kind
            if reply.cancelled:
                self.log(
                    "resting_orders_cancelled",
                    level="WARNING",
                    correlation_id=root_id(request.correlation_id),
                    position_id=holding.contract.position_id,
                    orders="; ".join(reply.cancelled),
                )
            held = self.holdings.get(con_id)
            if held is None:
                gone = f"{holding.contract.position_id} is not held any more"
                on_failure(describe(PositionNotFoundError(gone)))
                return
            self.conversations.ask(
                EXECUTOR, self._close_order(request, held, reason, step), closed, on_failure
            )

        def closed(reply: Reply) -> None:
            assert isinstance(reply, m.OrderConcluded)  # noqa: S101 - answers in kind
            on_result(reply.result)

        self.conversations.ask(
            EXECUTOR, self._clear_the_way(request, holding, step), cleared, on_failure
        )

    def _clear_the_way(
        self, request: Request, holding: Holding, step: str
    ) -> m.CancelRestingOrders:
        """Leave the close itself half of the time there is."""
        header = self.conversations.on_behalf(request, f"{step}-clear")
        now = self.clock.monotonic()
        header["deadline"] = now + (request.deadline - now) / 2
        return m.CancelRestingOrders(
            **header, con_id=holding.contract.con_id, action=closing_side(holding)
        )

    def _close_order(
        self, request: Request, holding: Holding, reason: CloseReason, step: str
    ) -> m.SubmitOrder:
        return close_order(
            holding.contract,
            holding.quantity,
            reason,
            self.trading.operator_id,
            **self.conversations.on_behalf(request, step),
        )

    # --- what is asked for ----------------------------------------------------------------------------------------

    @handles(m.ClosePosition)
    def on_close_position(self, request: m.ClosePosition) -> None:
        """Close one position by a market order of the opposite side, now or not at all (STC-7 is Strategy C's)."""
        if self.refuses_unknown(request):
            return
        holding = self._by_position_id(request.position_id)
        if holding is None:
            self.refuse(
                request,
                PositionNotFoundError(f"no position has the id {request.position_id!r}"),
            )
            return
        closed_market = self._closed_market(holding)
        if closed_market is not None:
            self.refuse(request, closed_market)
            return

        def closed(result: OrderResult) -> None:
            self.reply(
                request,
                m.PositionClosed(
                    correlation_id=request.correlation_id,
                    position_id=request.position_id,
                    result=result,
                ),
            )

        self.close(
            request,
            holding,
            request.reason,
            "close",
            closed,
            lambda error: self.refuse(request, restore(error)),
        )

    @handles(m.CloseAllPositions)
    def on_close_all_positions(self, request: m.CloseAllPositions) -> None:
        """Close everything side by side, and keep going past failures (POS-7)."""
        if self.refuses_unknown(request):
            return
        run = _CloseAll(request)
        run.pending = set(self.holdings)
        if not run.pending:
            self._answer_close_all(run)
            return
        self.close_alls[request.correlation_id] = run
        for con_id in tuple(run.pending):
            self._close_one_of(run, con_id, attempt=1)

    def _close_one_of(self, run: _CloseAll, con_id: int, attempt: int) -> None:
        holding = self.holdings.get(con_id)
        if holding is None:
            self._one_closed(run, con_id)
            return

        def closed(result: OrderResult) -> None:
            run.results.append(result)
            if result.status is OrderStatus.FILLED:
                run.closed.add(con_id)
            if result.status in CLOSED or not self._may_try_again(run, attempt):
                self._one_closed(run, con_id)
            else:
                self._close_later(run, con_id, attempt + 1)

        def failed(error: ErrorInfo) -> None:
            if con_id not in self.holdings:
                self._one_closed(run, con_id)
                return
            self.log(
                "close_failed",
                level="ERROR",
                correlation_id=root_id(run.request.correlation_id),
                position_id=holding.contract.position_id,
                why=error.text,
            )
            if error.retryable and self._may_try_again(run, attempt):
                self._close_later(run, con_id, attempt + 1)
            else:
                run.results.append(self._failed_close(run.request, holding, error))
                self._one_closed(run, con_id)

        closed_market = self._closed_market(holding)
        if closed_market is not None:
            failed(describe(closed_market))
            return
        step = f"close-{con_id}-{attempt}"
        self.close(run.request, holding, run.request.reason, step, closed, failed)

    def _closed_market(self, holding: Holding) -> GatewayError | None:
        """Say that a close would only wait for the open, with nobody to watch it; None where it trades or may trade."""
        opens_at = self.hours.waits_until(holding.contract.con_id)
        if opens_at is None:
            return None
        return MarketClosedError(
            f"{holding.contract.position_id} does not trade now, and nothing was sent: it opens at"
            f" {opens_at:%Y-%m-%d %H:%M} UTC; close it then, or liquidate(), which queues its closes for the open"
        )

    def _may_try_again(self, run: _CloseAll, attempt: int) -> bool:
        """Whether there is a further attempt, and time for it before the deadline."""
        left_s = run.request.deadline - self.clock.monotonic()
        return attempt < CLOSE_ATTEMPTS and left_s > self.settings.close_retry_s

    def _close_later(self, run: _CloseAll, con_id: int, attempt: int) -> None:
        """Give the broker a moment: what it has just refused it would refuse again."""
        correlation_id = run.request.correlation_id
        again = CloseAgain(correlation_id=correlation_id, con_id=con_id, attempt=attempt)
        self.schedule(self.settings.close_retry_s, again)

    @handles(CloseAgain)
    def on_close_again(self, message: CloseAgain) -> None:
        """Try a close once more, sized by what is held now."""
        run = self.close_alls.get(message.correlation_id)
        if run is not None:
            self._close_one_of(run, message.con_id, message.attempt)

    def _one_closed(self, run: _CloseAll, con_id: int) -> None:
        run.pending.discard(con_id)
        if not run.pending:
            self._answer_close_all(run)

    def _answer_close_all(self, run: _CloseAll) -> None:
        self.close_alls.pop(run.request.correlation_id, None)
        remaining = tuple(view for view in self.views() if view.contract.con_id not in run.closed)
        self.reply(
            run.request,
            m.AllPositionsClosed(
                correlation_id=run.request.correlation_id,
                results=tuple(run.results),
                remaining=remaining,
            ),
        )

    def _failed_close(self, request: Request, holding: Holding, error: ErrorInfo) -> OrderResult:
        """Tell of a close that never became an order: a failure that is left out looks like a success."""
        return OrderResult(
            order_id="",
            status=OrderStatus.FAILED,
            symbol=holding.contract.symbol,
            action=closing_side(holding),
            quantity=abs(holding.quantity),
            rejection_reason=error.text,
            execution_mode=self.trading.mode,
            timestamp=self.clock.now(),
            correlation_id=root_id(request.correlation_id),
        )

    def _by_position_id(self, position_id: str) -> Holding | None:
        for holding in self.holdings.values():
            if holding.contract.position_id == position_id:
                return holding
        return None
