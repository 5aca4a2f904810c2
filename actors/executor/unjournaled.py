"""Closes that go without the journal while a latch is on (D14).

A disk must not keep a position open. What makes up for the missing intent: the reference names account, day, contract
and boot, so that a later process finds the order by its head; the journal writes the intent as soon as it can; and of
each contract at most one such close is out that is not at its end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.executor.order_book import OrderBook
from actors.executor.record import is_settled
from actors.executor.session_facts import SessionFacts
from actors.kernel.actor import SupervisedActor
from actors.kernel.clock import Entropy
from actors.logic.order_ids import is_unjournaled, unjournaled_close_id
from actors.sections.orders import Orders

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NONCE_DIGITS = 4

ASKED_AGAIN_S: Final = 5.0
LOOK_S: Final = 0.25
"""So often a close looks whether it may go on."""


class UnjournaledCloses:
    """Names such closes. Owns this boot's nonce, and how many attempts each contract has had (by its conId)."""

    def __init__(self, book: OrderBook, entropy: Entropy) -> None:
        self._book = book
        self._nonce = _nonce(entropy)
        self._attempts: dict[int, int] = {}

    def new_id(self, account: str, con_id: int, now: datetime) -> str:
        """Name the next attempt."""
        attempt = self._attempts[con_id] = self._attempts.get(con_id, 0) + 1
        return unjournaled_close_id(account, now, con_id, self._nonce, attempt)

    def obstacle(self, con_id: int) -> str | None:
        """Say which earlier close without the journal may still fill; None when there is none."""
        for tracked in self._book:
            record = tracked.record
            if record.order.contract.con_id != con_id or not is_unjournaled(record.order_id):
                continue
            if not is_settled(record):
                return f"{record.order_id}, which went without the journal, is not at its end"
        return None


class EarlierBoot:
    """Whether an earlier process may have closes at the broker that nobody here knows yet.

    One that was latched may have sent some without the journal. They are adopted like every live order of our operator,
    as soon as a read shows them: one that began so long after connecting that whatever the old socket still held has
    come to light. Until then nothing is closed. Owns when that read was asked for last.
    """

    def __init__(self, actor: SupervisedActor, settings: Orders, session: SessionFacts) -> None:
        self._actor = actor
        self._after_s = settings.earlier_closes_after_s
        self._session = session
        self._asked_at = -ASKED_AGAIN_S

    @property
    def is_unknown(self) -> bool:
        """Whether this process began under a latch, and has not read the broker's state late enough since."""
        if self._actor.incarnation > 1 or not self._session.began_latched:
            return False
        first, last = self._session.read_first_at, self._session.read_last_at
        return first is None or last is None or last < first + self._after_s

    async def known(self, deadline: float) -> None:
        """Have the state read once more at the right time; ends when that is done, or at ``deadline`` (monotonic)."""
        while self.is_unknown and self._actor.clock.monotonic() < deadline:
            self._ask_when_due(self._actor.clock.monotonic())
            await self._actor.sleep(LOOK_S)

    def _ask_when_due(self, now: float) -> None:
        first = self._session.read_first_at
        is_due = first is not None and now >= first + self._after_s
        if is_due and now >= self._asked_at + ASKED_AGAIN_S:
            self._asked_at = now
            self._session.ask_for_reconciliation()


def _nonce(entropy: Entropy) -> str:
    number = int(entropy.uuid4().replace("-", ""), 16)
    digits = []
    for _ in range(_NONCE_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)
