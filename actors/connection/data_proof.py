"""Whether market data answers: proved by a tick that came since, never by a word of the gateway (CON-4, PEERS 15).

Only opening needs it: a gateway without data must still let us close, so nothing here touches the session.
"""

from __future__ import annotations

import attrs

from actors.connection.attempts import ConnectionAttempts
from actors.connection.data_health import NOT_PROVED, DataHealth
from actors.kernel.handlers import handles
from actors.kernel.messages import Message, Reply
from actors.logic.broker_codes import Notice, NoticeMeaning
from actors.messages.addresses import MARKET_DATA
from actors.messages.connection import ProveMarketData
from actors.messages.market_data import QuoteRead
from actors.model.connection import ConnectionState
from actors.model.market import Quote


@attrs.frozen(kw_only=True)
class ProofDue(Message):
    """Market data shall be proved again for ``epoch``."""

    epoch: int


class ConnectionData(ConnectionAttempts):
    """Asks for a tick after every recovery, and again until one comes. ``proof`` numbers the questions."""

    @handles(ProofDue)
    def on_proof_due(self, message: ProofDue) -> None:
        """Prove market data again."""
        if message.epoch == self.epoch and self.machine.state is ConnectionState.CONNECTED:
            self.prove_market_data()

    def demand_a_tick(self) -> None:
        """Trust no data of before: what is opened from now on needs a tick that is asked for now."""
        self.readiness_known = False
        self.remember(data=self.data.unproved_because(NOT_PROVED))
        self.prove_market_data()

    def prove_market_data(self) -> None:
        """Ask for a tick; an answer to an earlier question does not count."""
        self._void_proof()
        number, asked_at = self.proof, self.clock.now()
        self.ask(
            MARKET_DATA,
            ProveMarketData(
                **self.header("proof", self.clock.monotonic() + self.settings.timeout_s),
                symbol=self.settings.probe_symbol,
            ),
            lambda reply: self._on_quote(number, reply),
            lambda error: self._unproved(number, f"market data does not answer: {error.text}"),
        )
        self.proof_asked_at = asked_at

    def _void_proof(self) -> None:
        """Let no question and no timer of before prove anything."""
        self.proof += 1
        if self.proof_timer is not None:
            self.proof_timer.cancel()
            self.proof_timer = None

    def _on_quote(self, number: int, reply: Reply) -> None:
        assert isinstance(reply, QuoteRead)  # noqa: S101 - it answers in kind
        quote = reply.quote
        if number != self.proof:
            return
        if quote.received_at < self.proof_asked_at:
            self._unproved(number, f"the quote of {quote.symbol} is older than the recovery")
        elif not _has_tick(quote):
            self._unproved(number, f"the quote of {quote.symbol} has no price")
        else:
            self.ticked_at = self.clock.monotonic()
            self._data_is(self.data.after_tick())

    def _unproved(self, number: int, reason: str) -> None:
        if number != self.proof:
            return
        self.count_error()
        self._data_is(self.data.unproved_because(reason))
        self._prove_later()

    def _prove_later(self) -> None:
        self.proof_timer = self.schedule(self.settings.probe_retry_s, ProofDue(epoch=self.epoch))

    def _data_is(self, data: DataHealth) -> None:
        """Know how market data stands, and say so to all who wait for it."""
        self.remember(data=data)
        self.readiness_known = True
        self.tell_readiness()
        for request in self.connects.values():
            self.answer_connect(request)
        self.connects.clear()

    def on_data_notice(self, notice: Notice) -> None:
        """Take in what the gateway says of a farm or of a competing session."""
        before, after = self.data, self.data.after_notice(notice)
        if self.machine.state is not ConnectionState.CONNECTED:
            self.remember(data=after)
            return
        competing = notice.meaning is NoticeMeaning.COMPETING_SESSION
        if competing or len(after.broken) > len(before.broken):
            self._void_proof()
            self._data_is(after)
            if competing:
                self._prove_later()
        elif before.broken and not after.broken:
            self.remember(data=after)
            self.prove_market_data()
            self.tell_readiness()
        elif after != before:
            self._data_is(after)


def _has_tick(quote: Quote) -> bool:
    """Tell whether the market itself said anything; yesterday's close is no tick."""
    return any(price is not None for price in (quote.bid, quote.ask, quote.last))
