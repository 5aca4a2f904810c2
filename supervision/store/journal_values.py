"""What the journal gives back: plain frozen values. Payloads are whatever JSON was recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from actors.model.latch import LatchStanding


@attrs.frozen(kw_only=True)
class Writer:
    """Who writes: an actor's name and the number of its incarnation."""

    name: str
    incarnation: int


@attrs.frozen(kw_only=True)
class StoredTransition:
    """A step in the life of an order."""

    order_ref: str
    at: datetime
    state: str
    final: bool
    detail: Any
    source: str


@attrs.frozen(kw_only=True)
class StoredOrder:
    """An intent with the newest thing that is known about it; ``last`` is None when nothing followed."""

    order_ref: str
    order_id: str
    correlation_id: str
    purpose: str
    content: Any
    created_at: datetime
    last: StoredTransition | None


@attrs.frozen(kw_only=True)
class StoredExecution:
    """An execution as it was first recorded."""

    exec_id: str
    order_ref: str
    content: Any
    at: datetime


@attrs.frozen(kw_only=True)
class StoredLatch:
    """The newest entry of the latch."""

    latched: bool
    liquidation_id: str
    reason: str
    who: str
    why: str
    at: datetime
    close_reason: str = "DISCONNECT"
    standing: LatchStanding = LatchStanding.ACTING


@attrs.frozen(kw_only=True)
class StoredStep:
    """A step of a liquidation, recorded before it was taken."""

    run_id: str
    step: str
    detail: Any
    at: datetime


@attrs.frozen(kw_only=True)
class StoredBaseline:
    """A risk baseline: ``kind`` daily or weekly, ``key`` the day or week, ``account`` whose it is."""

    kind: str
    key: str
    value: float
    at: datetime
    account: str = ""
    content: Any = None


@attrs.frozen(kw_only=True)
class StoredGrace:
    """A disconnect that will latch Strategy C at ``until``."""

    trigger: str
    until: datetime


@attrs.frozen(kw_only=True)
class StoredAudit:
    """An entry of the audit trail."""

    at: datetime
    kind: str
    who: str
    why: str
    detail: Any
