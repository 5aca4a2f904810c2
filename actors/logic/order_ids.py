"""How orders are named (ORD-4, ORD-9).

::

    ORD_20260301_143005_0007_k3f9              an order: when, the how-manieth, and a suffix that differs per process
    CLOSE_SPY_756733_k3f9                      a close of position SPY_756733
    CSATSPRIM:ORD_20260301_143005_0007_k3f9    its orderRef: the operator id stands at the head
    CSATSPRIM:9a41c7:260301:756733:k3f9:2      of a close that goes without the journal: account tag, day, conId, nonce
                                               of the boot, attempt; what follows the operator is its order id

The suffix is what keeps a name unique across restarts; whoever makes it draws it from the injected randomness. A close
that goes without the journal is found again after a crash by what stands at its head; the tag is a hash, since account
numbers stand in no log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Final

ORDER_REF_SEPARATOR: Final = ":"
CLOSE_HEAD: Final = "CLOSE_"
_UNJOURNALED: Final = re.compile(r"[0-9a-f]{6}:[0-9]{6}:[0-9]+:[0-9a-z]{4}:[0-9]+")


def new_order_id(now: datetime, sequence: int, suffix: str) -> str:
    """Name an order ``ORD_<yyyymmdd>_<hhmmss>_<nnnn>_<suffix>``; the time is that of ``now`` as it stands (UTC)."""
    day = f"{now.year:04d}{now.month:02d}{now.day:02d}"  # strftime takes four times as long
    return f"ORD_{day}_{now.hour:02d}{now.minute:02d}{now.second:02d}_{sequence:04d}_{suffix}"


def close_order_id(position_id: str, suffix: str) -> str:
    """Name the close of a position ``CLOSE_<position_id>_<suffix>``; blanks of a symbol become dots."""
    return f"{CLOSE_HEAD}{position_id.replace(' ', '.')}_{suffix}"


def account_tag(account: str) -> str:
    """Name an account by six digits of a hash."""
    return sha256(account.encode()).hexdigest()[:6]


def unjournaled_close_id(account: str, now: datetime, con_id: int, nonce: str, attempt: int) -> str:
    """Name a close that goes without the journal; ``nonce``: four letters or digits of this boot, ``now`` in UTC."""
    day = f"{now.year % 100:02d}{now.month:02d}{now.day:02d}"
    return f"{account_tag(account)}:{day}:{con_id}:{nonce}:{attempt}"


def is_unjournaled(order_id: str) -> bool:
    """Tell whether an order id names a close that went without the journal."""
    return _UNJOURNALED.fullmatch(order_id) is not None


def order_ref(operator_id: str, order_id: str) -> str:
    """Join operator and order id to the broker's ``orderRef``; the operator id must not contain the separator."""
    return f"{operator_id}{ORDER_REF_SEPARATOR}{order_id}"


def operator_of(reference: str) -> str | None:
    """Tell whose order an ``orderRef`` names, or None when it is not of our making."""
    head, separator, tail = reference.partition(ORDER_REF_SEPARATOR)
    return head if separator and tail and head else None


def order_id_of(reference: str) -> str:
    """Tell the order id within an ``orderRef``; a reference that is not of our making is its own id."""
    return reference.partition(ORDER_REF_SEPARATOR)[2] or reference


def safe_floor(floor: int, used: Iterable[int | None]) -> int:
    """Raise a floor for the broker's order ids that was read after a crash.

    ``used`` are the ids of the orders that are open in the journal, None where it does not know. The floor is noted
    after an order's bytes were written, its intent before: so each open intent without an id may have used one more.
    """
    ids = tuple(used)
    return max([floor, *(each for each in ids if each is not None)]) + ids.count(None)


def is_close(order_id: str) -> bool:
    """Tell whether an order id names the close of a position."""
    return order_id.startswith(CLOSE_HEAD) or is_unjournaled(order_id)


def foreign_reference(perm_id: int) -> str:
    """Name an order of somebody else among ours, in what risk reserves: by IB's permId."""
    return f"foreign-{perm_id}"
