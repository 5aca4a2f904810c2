"""Whether market data answers: proved by a tick that came since, never by a word of the gateway (CON-4, PEERS 15).

Only opening needs it: a gateway without data must still let us close, so nothing here touches the session.
"""

from __future__ import annotations

import attrs

from actors import messages as m
from actors.connection.callers import Callers
from actors.connection.data_health import NOT_PROVED, DataHealth
from actors.connection.link_state import LinkState, ends_with_its_epoch
from actors.connection.readiness import Readiness
from actors.connection.settings import PROBE_RETRY_S
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.broker_codes import Notice, NoticeMeaning
from actors.messages.addresses import MARKET_DATA
from actors.model.market import Quote


@attrs.frozen(kw_only=True)
class ProofDue(Message):
    """Market data shall be proved again for ``epoch``; told to oneself. A message, since a notice calls it off."""

    epoch: int


class DataProof(Part):
    """Asks for a tick after every recovery, and again until one comes.

    ``is_known``: whether data answers has been found out since the last recovery. ``ticked_at`` (monotonic seconds) is
    when the last tick that proved it came.
    """

    def __init__(
        self, actor: SupervisedActor, link: LinkState, readiness: Readiness, callers: Callers
    ) -> None:
        self._actor = actor
        self._link = link
        self._readiness = readiness
        self._callers = callers
        self.is_known = False
        self.ticked_at: float | None = None
        self._number = 0
        """Counts the questions: an answer to an earlier one proves nothing."""
        self._timer: Cancellable | None = None

    @handles(ProofDue)
    def on_proof_due(self, message: ProofDue) -> None:
        """Prove market data again."""
        if message.epoch == self._link.epoch and self._link.is_connected:
            self.prove()

    def forget_the_session_before(self) -> None:
        """A new session begins without a tick."""
        self.ticked_at = None

    def demand_a_tick(self) -> None:
        """Trust no data of before: what is opened from now on needs a tick that is asked for now."""
        self.is_known = False
        self._link.remember(data=self._link.data.unproved_because(NOT_PROVED))
        self.prove()

    def prove(self) -> None:
        """Ask for a tick."""
        self._actor.begin_story(self._prove())

    @ends_with_its_epoch
    async def _prove(self) -> None:
        self._void()
        number, asked_at = self._number, self._actor.clock.now()
        settings = self._link.settings
        ends_at = self._actor.clock.monotonic() + settings.gateway.timeout_s
        question = m.ProveMarketData(
            **self._link.header("proof", ends_at), symbol=settings.probe_symbol
        )
        try:
            quote = (await self._link.asked(MARKET_DATA, question, m.QuoteRead)).quote
        except GatewayError as error:
            self._unproved(number, f"market data does not answer: {error}")
            return
        if number != self._number:
            return
        if quote.received_at < asked_at:
            self._unproved(number, f"the quote of {quote.symbol} is older than the recovery")
        elif not _has_tick(quote):
            self._unproved(number, f"the quote of {quote.symbol} has no price")
        else:
            self.ticked_at = self._actor.clock.monotonic()
            self._data_is(self._link.data.after_tick())

    def _void(self) -> None:
        """Let no question and no timer of before prove anything."""
        self._number += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unproved(self, number: int, reason: str) -> None:
        if number != self._number:
            return
        self._link.count_error()
        self._data_is(self._link.data.unproved_because(reason))
        self._prove_later()

    def _prove_later(self) -> None:
        delay_s = PROBE_RETRY_S
        self._timer = self._actor.schedule(delay_s, ProofDue(epoch=self._link.epoch))

    def _data_is(self, data: DataHealth) -> None:
        """Know how market data stands, and say so to all who wait for it."""
        self._link.remember(data=data)
        self.is_known = True
        self._readiness.announce()
        self._callers.answer_connects()

    def on_data_notice(self, notice: Notice) -> None:
        """Take in what the gateway says of a farm or of a competing session."""
        before, after = self._link.data, self._link.data.after_notice(notice)
        if not self._link.is_connected:
            self._link.remember(data=after)
            return
        competing = notice.meaning is NoticeMeaning.COMPETING_SESSION
        if competing or len(after.broken) > len(before.broken):
            self._void()
            self._data_is(after)
            if competing:
                self._prove_later()
        elif before.broken and not after.broken:
            self._link.remember(data=after)
            self.prove()
            self._readiness.announce()
        elif after != before:
            self._data_is(after)


def _has_tick(quote: Quote) -> bool:
    """Tell whether the market itself said anything; yesterday's close is no tick."""
    return any(price is not None for price in (quote.bid, quote.ask, quote.last))
