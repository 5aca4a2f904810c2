"""Closes that go without the journal while a latch is on (D14).

A disk must not keep a position open. What makes up for the missing intent: the reference names account, day, contract
and boot, so that a later process finds the order by its head; the journal writes the intent as soon as it can; and of
each contract at most one such close is out that is not at its end.
"""

from __future__ import annotations

from datetime import datetime

from actors.executor.order_book import OrderBook
from actors.executor.record import is_settled
from actors.kernel.clock import Entropy
from actors.logic.order_ids import is_unjournaled, unjournaled_close_id

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NONCE_DIGITS = 4


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


def _nonce(entropy: Entropy) -> str:
    number = int(entropy.uuid4().replace("-", ""), 16)
    digits = []
    for _ in range(_NONCE_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)
