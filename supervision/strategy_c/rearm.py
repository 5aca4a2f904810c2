"""Taking Strategy C's latch back, by an operator with name and reason: honoured or refused, never undone (STC-11).

::

    link up      every close that can still fill is ended, what it filled is reported; then the latch is off, durably
    link down    it is recorded, durably, and carried out first when the link is back; until then nothing is sold
    refused      with the reason, and the liquidation goes on where it was

What follows on what is a table (`rearm_moves`). Whatever is held by then stays. A new trigger meanwhile is stronger.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from actors import messages as m
from actors.errors import GatewayError, OrderValidationError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.stories import RequestHeader, Story
from actors.messages.addresses import EXECUTOR
from actors.model.latch import LatchStanding
from actors.model.orders import CloseReason, OrderResult
from actors.ports import EventLog
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.latch import Latch
from supervision.strategy_c.liquidation import LATCHING, Liquidation
from supervision.strategy_c.outage import Outage
from supervision.strategy_c.rearm_moves import Answer, Move, Stage, answer_to, next_move, stage_of

MARGIN_S: Final = 0.2
"""The answer comes so long before the deadline, so that it arrives by then."""

WRITING_S: Final = 1.0
"""Closes have to be at their end so long before the deadline: writing takes a moment too."""

_CALLED_OFF: Final = "{} takes Strategy C's latch back"

LOOK_S: Final = 0.1
AGAIN_AFTER_S: Final = 5.0
"""What is recorded and could not be carried out is tried again after so long."""

TELL_AFTER: Final = 2
"""A person is called after so many failures; the first may be the link that goes once more."""

POSITION_WITHIN_S: Final = 1.0
"""The position that a fill makes is waited for so long; it comes with the fill, or a moment later."""


class Rearming(Part):
    """Owns the re-arming that is under way. ``linked``: whether the link is up; ``why_not``: what else refuses it."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: StrategyC,
        log: EventLog,
        latch: Latch,
        liquidation: Liquidation,
        outage: Outage,
        *,
        linked: Callable[[], bool],
        alarm: Callable[[str], None],
        why_not: Callable[[], str | None],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._log = log
        self._latch = latch
        self._liquidation = liquidation
        self._outage = outage
        self._linked = linked
        self._alarm = alarm
        self._why_not = why_not
        self._asked: m.Rearm | None = None
        self._is_taking_back = False
        self._carrying: Story | None = None

    # --- what the triggers have to know ---------------------------------------------------------------------------

    @property
    def is_recorded(self) -> bool:
        """Whether an operator has taken the latch back, and that has still to be carried out."""
        return self._latch.is_on and self._latch.standing is LatchStanding.REARM_RECORDED

    @property
    def is_under_way(self) -> bool:
        """Whether the latch is being taken back: what triggers now is new."""
        return self.is_recorded or (self._is_taking_back and self._latch.is_on)

    def answers(self, reason: CloseReason) -> bool:
        """Whether a trigger is answered already: a loss of the link in an outage that an operator answers."""
        is_loss = reason is CloseReason.DISCONNECT
        return is_loss and (self.is_under_way or self._outage.is_answered)

    # --- asked by an operator -------------------------------------------------------------------------------------

    @handles(m.Rearm)
    async def on_rearm(self, request: m.Rearm) -> None:
        """Take the latch back, or say why not."""
        try:
            self._refuse_what_cannot_be(request)
            self._asked = request
            try:
                answer = await self._taken_back(request)
            finally:
                self._asked, self._is_taking_back = None, False
        except GatewayError as error:
            self._actor.refuse(request, error)
        else:
            self._actor.reply(request, answer)

    def _refuse_what_cannot_be(self, request: m.Rearm) -> None:
        if not request.who.strip() or not request.why.strip():
            raise OrderValidationError("re-arming needs who and why, for the audit trail")
        if self._asked is not None:
            raise GatewayError(f"{self._asked.who} is re-arming; wait for what comes of it")
        why_not = self._why_not() if self._latch.is_on else None
        if why_not is not None:
            raise GatewayError(f"still latched: {why_not}")

    async def _taken_back(self, request: m.Rearm) -> m.Rearmed:
        """Go from move to move until there is an answer, or the deadline."""
        was_latched = self._latch.is_on
        while True:
            move = next_move(self._stage(), linked=self._linked(), keeps=request.keep_positions)
            if move is Move.RECORD:
                return await self._record(request)
            if move is Move.CARRY_OUT:
                answer = await self._carry_out(request)
                if answer is not None:
                    return answer
            elif move in (Move.NOTHING, Move.STAY_RECORDED) or self._left_s(request) <= 0:
                return self._said(answer_to(move, written=True), was_latched=was_latched)
            else:
                await self._actor.sleep(LOOK_S)

    def _stage(self) -> Stage:
        return stage_of(
            self._latch.standing if self._latch.is_on else None,
            is_latching=self._liquidation.step == LATCHING,
            is_at_work=bool(self._liquidation.at_work),
        )

    def _said(
        self,
        answer: Answer,
        *,
        was_latched: bool = True,
        ended: tuple[str, ...] = (),
        durable: bool = True,
    ) -> m.Rearmed:
        if answer is Answer.REFUSED:
            what = "; ".join(self._liquidation.at_work) or self._liquidation.step
            raise GatewayError(
                f"still latched: a liquidation is under way ({what}); wait until it is flat or rests, or stop it where"
                " it is with --keep-positions"
            )
        assert self._asked is not None  # noqa: S101 - whoever asks is answered once
        return m.Rearmed(
            correlation_id=self._asked.correlation_id,
            was_latched=was_latched,
            carried_out=answer is not Answer.RECORDED,
            kept=self._liquidation.held,
            ended=ended,
            durable=durable,
        )

    def _left_s(self, request: m.Rearm) -> float:
        return request.deadline - MARGIN_S - self._actor.clock.monotonic()

    # --- link down ------------------------------------------------------------------------------------------------

    async def _record(self, request: m.Rearm) -> m.Rearmed:
        """Write down that it is to be carried out at the next connection."""
        before = self._begin_taking_back()
        header = self._within(request, "record", MARGIN_S)
        try:
            durable = await self._latch.record_rearm(header, request.who, request.why)
            self._refuse_after_trigger(before)
        except GatewayError as error:
            self._go_on(before)
            raise GatewayError(f"still latched: {error}") from None
        self._outage.begins()  # it goes on, also where this process never had a link
        self._outage.answer()
        self._log("rearm_recorded", level="WARNING", who=request.who, why=request.why)
        self._actor.begin_story(self._call_off_what_is_on_its_way(request.who))
        self.link_changed()
        return self._said(Answer.RECORDED, durable=durable)

    async def _call_off_what_is_on_its_way(self, who: str) -> None:
        """Have closes turned away that are not sent yet, and those cancelled first that are; made sure of later."""
        header = self._actor.of_our_own("call-off", self._settings.step_timeout_s)
        cancel = m.CancelCloses(**header, why=_CALLED_OFF.format(who))
        with suppress(GatewayError):
            await self._actor.asked(EXECUTOR, cancel, m.ClosesEnded)

    def found(self) -> None:
        """Go on with what an earlier incarnation or process has recorded."""
        self._outage.begins()
        self._outage.answer()
        who, _ = self._latch.taken_back_by
        self._actor.begin_story(self._call_off_what_is_on_its_way(who))
        self.link_changed()

    def link_changed(self) -> None:
        """Carry out what is recorded, first of all."""
        if self.is_recorded and self._linked() and self._carrying is None:
            self._carrying = self._actor.begin_story(self._carry_out_what_is_recorded())

    async def _carry_out_what_is_recorded(self) -> None:
        """Try until it is done, the link is lost again, or a trigger is stronger."""
        failures = 0
        while self.is_recorded and self._linked():
            why = await self._try_to_carry_out()
            if why is None:
                break
            failures += 1
            self._log("rearm_waits", level="WARNING", why=why)
            if failures == TELL_AFTER:
                self._alarm(f"re-arming is recorded and could not be carried out yet: {why}")
            await self._actor.sleep(AGAIN_AFTER_S)
        self._carrying = None

    async def _try_to_carry_out(self) -> str | None:
        """Carry out what is recorded; gives why it failed."""
        timeout_s = self._settings.step_timeout_s
        closing = self._actor.of_our_own("call-off", timeout_s)
        writing = self._actor.of_our_own("latch", timeout_s + WRITING_S)
        try:
            await self._end_closes_and_take_off(closing, writing, *self._latch.taken_back_by)
        except GatewayError as error:
            return str(error)
        return None

    # --- link up --------------------------------------------------------------------------------------------------

    async def _carry_out(self, request: m.Rearm) -> m.Rearmed | None:
        """End the closes, then take the latch off; None when the link was lost over it."""
        before = self._begin_taking_back()
        closing = self._within(request, "call-off", MARGIN_S + WRITING_S)
        writing = self._within(request, "latch", MARGIN_S)
        try:
            ended, durable = await self._end_closes_and_take_off(
                closing, writing, request.who, request.why
            )
        except GatewayError as error:
            self._go_on(before)
            if not self._linked() and self._left_s(request) > 0:
                return None
            raise GatewayError(f"still latched: {error}") from None
        return self._said(Answer.CARRIED_OUT, ended=ended, durable=durable)

    async def _end_closes_and_take_off(
        self, closing: RequestHeader, writing: RequestHeader, who: str, why: str
    ) -> tuple[tuple[str, ...], bool]:
        """End what can still fill, which would trade without the latch; raises `GatewayError`."""
        before, held = self._latch.liquidation_id, self._liquidation.held
        cancel = m.CancelCloses(**closing, why=_CALLED_OFF.format(who))
        ended = (await self._actor.asked(EXECUTOR, cancel, m.ClosesEnded)).ended
        self._refuse_after_trigger(before)
        durable = await self._latch.take_off(writing, who, why)
        self._liquidation.stop()
        self._outage.answer()
        self._log("rearmed", level="WARNING", who=who, why=why, kept="; ".join(held))
        if any(result.fill_quantity for result in ended):
            await self._position_after_fill(held, writing["deadline"])
        return tuple(map(_in_words, ended)), durable

    async def _position_after_fill(self, before: tuple[str, ...], deadline: float) -> None:
        ends_at = min(deadline, self._actor.clock.monotonic() + POSITION_WITHIN_S)
        while self._liquidation.held == before and self._actor.clock.monotonic() < ends_at:
            await self._actor.sleep(LOOK_S)

    # --- both -----------------------------------------------------------------------------------------------------

    def _within(self, request: m.Rearm, step: str, margin_s: float) -> RequestHeader:
        header = self._actor.on_behalf(request, step)
        return {**header, "deadline": header["deadline"] - margin_s}

    def _begin_taking_back(self) -> str:
        """Leave the contracts alone; gives the liquidation that is called off."""
        self._is_taking_back = True
        self._liquidation.pause()
        return self._latch.liquidation_id

    def _refuse_after_trigger(self, before: str) -> None:
        if self._latch.liquidation_id != before:
            raise GatewayError("another liquidation was begun meanwhile")

    def _go_on(self, before: str) -> None:
        """It came to nothing: the latch stays on, and the liquidation goes on, unless a newer one runs."""
        self._is_taking_back = False
        if self._latch.liquidation_id == before:
            self._latch.write_again()
            self._liquidation.go_on()


def _in_words(result: OrderResult) -> str:
    """Say what became of a close."""
    return (
        f"{result.action} {result.quantity:g} {result.symbol}: {result.status},"
        f" {result.fill_quantity:g} filled"
    )
