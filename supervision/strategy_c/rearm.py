"""Taking Strategy C's latch back: by an operator with name and reason, durably (STC-4).

Closes that wait at the broker for the open are cancelled first: they would trade without the latch. While contracts are
being closed it is refused.
"""

from __future__ import annotations

from typing import Final

from actors import messages as m
from actors.errors import GatewayError, OrderValidationError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.messages.addresses import EXECUTOR, JOURNAL
from actors.ports import EventLog
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.latch import Latch
from supervision.strategy_c.liquidation import Liquidation

_UNDER_WAY: Final = frozenset({"CANCELLING", "READING", "CLOSING", "VERIFYING"})


class Rearming(Part):
    """What follows on `Rearm`; has no state of its own."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: StrategyC,
        log: EventLog,
        latch: Latch,
        liquidation: Liquidation,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._log = log
        self._latch = latch
        self._liquidation = liquidation

    @handles(m.Rearm)
    async def on_rearm(self, request: m.Rearm) -> None:
        """Take the latch back, durably first: a crash in between leaves it on."""
        try:
            self._refuse_what_cannot_be(request)
            if self._latch.is_on:
                before = self._latch.liquidation_id
                await self._call_off(request)
                await self._take_back(request, before)
        except GatewayError as error:
            self._actor.refuse(request, error)
            return
        self._actor.reply(request, m.Rearmed(correlation_id=request.correlation_id))

    def _refuse_what_cannot_be(self, request: m.Rearm) -> None:
        if not request.who.strip() or not request.why.strip():
            raise OrderValidationError("re-arming needs who and why, for the audit trail")
        if self._liquidation.step in _UNDER_WAY:
            raise GatewayError(f"a liquidation is under way ({self._liquidation.step})")

    async def _call_off(self, request: m.Rearm) -> None:
        """Cancel the closes that wait for the open before the latch comes off: they would trade without it."""
        if self._liquidation.step != "QUEUED":
            return
        cancel = m.CancelAllOrders(
            **self._actor.of_our_own("call-off", self._settings.step_timeout_s),
            whole_account=False,
            why=f"{request.who} takes Strategy C's latch back",
        )
        self._liquidation.pause()
        try:
            await self._actor.asked(EXECUTOR, cancel, m.AllOrdersCancelled)
        except GatewayError as error:
            self._liquidation.go_on()
            raise GatewayError(f"still latched: closes were not cancelled: {error}") from None

    async def _take_back(self, request: m.Rearm, before: str) -> None:
        record = m.RecordLatch(
            **self._actor.on_behalf(request, "latch"),
            latched=False,
            liquidation_id=before,
            reason="re-armed",
            who=request.who,
            why=request.why,
            at=self._actor.clock.now(),
        )
        try:
            await self._actor.asked(JOURNAL, record, m.LatchDurable)
        except GatewayError as error:
            self._liquidation.go_on()
            raise GatewayError(f"still latched: the journal refused: {error}") from None
        if self._latch.liquidation_id != before:
            raise GatewayError("another liquidation was begun meanwhile")
        self._liquidation.stop()
        self._latch.taken_off()
        self._log("rearmed", level="WARNING", who=request.who, why=request.why)
