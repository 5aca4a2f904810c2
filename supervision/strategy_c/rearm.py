"""Taking Strategy C's latch back: by an operator with name and reason, durably, never under a liquidation (STC-4).

Closes that wait at the broker for the open are cancelled first: they would trade without the latch.
"""

from __future__ import annotations

from actors import messages as m
from actors.errors import ErrorInfo, GatewayError, OrderValidationError
from actors.kernel.handlers import handles
from actors.kernel.messages import Reply
from actors.logic import liquidation_events as events
from actors.logic.liquidation_events import LiquidationState, Step
from actors.messages.addresses import EXECUTOR, JOURNAL
from supervision.strategy_c import steps as liquidation
from supervision.strategy_c.grace import GraceDesk


class RearmDesk(GraceDesk):
    """What follows on `Rearm`."""

    @handles(m.Rearm)
    def on_rearm(self, request: m.Rearm) -> None:
        """Take the latch back, durably first: a crash in between leaves it on."""
        if not request.who.strip() or not request.why.strip():
            self.refuse(
                request, OrderValidationError("re-arming needs who and why, for the audit trail")
            )
            return
        state = self.state
        if state is not None and state.step in (
            Step.CANCELLING,
            Step.READING,
            Step.CLOSING,
            Step.VERIFYING,
        ):
            self.refuse(request, GatewayError(f"a liquidation is under way ({state.step})"))
            return
        if self.latched is None:
            self.reply(request, m.Rearmed(correlation_id=request.correlation_id))
        elif state is not None and state.step is Step.QUEUED:
            self._call_off(request, state)
        else:
            self._take_latch_back(request, state)

    def _call_off(self, request: m.Rearm, queued: LiquidationState) -> None:
        """Cancel the closes that wait for the open before the latch comes off: they would trade without it."""
        self.state = state = liquidation.call_off(queued)

        def cancelled(_: Reply) -> None:
            if self.state is state:
                self._take_latch_back(request, state)
            else:
                self.refuse(request, GatewayError("the liquidation went on meanwhile"))

        def failed(error: ErrorInfo) -> None:
            self.advance(events.DelayPassed(turn=state.turn))
            self.refuse(
                request, GatewayError(f"still latched: closes were not cancelled: {error.text}")
            )

        self.ask(
            EXECUTOR,
            m.CancelAllOrders(
                **self.own_header("call-off", self.settings.step_timeout_s),
                whole_account=False,
                why=f"{request.who} takes Strategy C's latch back",
            ),
            cancelled,
            failed,
        )

    def _take_latch_back(self, request: m.Rearm, state: LiquidationState | None) -> None:
        def refused(error: ErrorInfo) -> None:
            if state is not None:
                self.advance(events.DelayPassed(turn=state.turn))  # a queue is looked at again
            self.refuse(request, GatewayError(f"still latched: the journal refused: {error.text}"))

        self.ask(
            JOURNAL,
            m.RecordLatch(
                **self.conversations.on_behalf(request, "latch"),
                latched=False,
                liquidation_id=state.liquidation_id if state else "",
                reason="re-armed",
                who=request.who,
                why=request.why,
                at=self.clock.now(),
            ),
            lambda _: self._rearmed(request, state),
            refused,
        )

    def _rearmed(self, request: m.Rearm, before: LiquidationState | None) -> None:
        state = self.state
        if state is not None and (before is None or state.liquidation_id != before.liquidation_id):
            self.refuse(request, GatewayError("another liquidation was begun meanwhile"))
            return
        self.latched = None
        self.state = None
        self.tell_latch()
        self.log("rearmed", level="WARNING", who=request.who, why=request.why)
        self.reply(request, m.Rearmed(correlation_id=request.correlation_id))
