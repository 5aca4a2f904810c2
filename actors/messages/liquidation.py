"""Messages about Strategy C: stop opening risk, cancel, close, prove flat."""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.kernel.messages import Message, Reply, Request
from actors.messages.said import said
from actors.model.contracts import Contract
from actors.model.orders import CloseReason


@attrs.frozen(kw_only=True)
class Liquidate(Request):
    """Trigger Strategy C by hand; answered by `LiquidationAccepted` once the latch is durable, or is late."""

    reason: str = said(empty=True)
    close_reason: CloseReason = CloseReason.MANUAL


@attrs.frozen(kw_only=True)
class LiquidationAccepted(Reply):
    """The latch is on; the liquidation runs now, or first thing once the link is back.

    ``durable``: the latch is on the disk, and there after any restart. False: the disk did not take it in time, or
    there is none (``[journal] enabled = false``); a write that failed is repeated.
    """

    liquidation_id: str
    durable: bool = True


@attrs.frozen(kw_only=True)
class Rearm(Request):
    """Take the latch back: by an operator only, with a name and a reason for the audit trail (STC-4).

    Answered by `Rearmed`, or refused with the reason. What is held then stays. While contracts are being closed it
    waits for that to end or to rest, within its deadline; with ``keep_positions`` it stops the closing where it is.
    """

    who: str = said(empty=True)
    why: str = said(empty=True)
    keep_positions: bool = False


@attrs.frozen(kw_only=True)
class Rearmed(Reply):
    """What became of the latch, as it was when this was said.

    ``was_latched`` False: there was nothing to take back. ``carried_out``: the latch is off, durably, and no close can
    fill any more. False: it is recorded, durably, and carried out first when the link is back; until then nothing is
    opened and nothing is sold. ``kept`` names what is held in scope, ``ended`` the closes that were ended by it, with
    what each had filled. ``durable`` False: there is no disk (``[journal] enabled = false``).
    """

    was_latched: bool = True
    carried_out: bool = True
    kept: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    durable: bool = True


@attrs.frozen(kw_only=True)
class GetLiquidationStatus(Request):
    """Answered by `LiquidationStatus`."""


@attrs.frozen(kw_only=True)
class LiquidationStatus(Reply):
    """Where Strategy C stands. ``queued`` says of each close that waits for its open when that is (STC-7)."""

    latched: bool
    reason: str | None
    liquidation_id: str | None
    step: str
    report: LiquidationReport | None
    queued: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class FlatteningChanged(Message):
    """Told to the link by Strategy C: whether it works now on something that can be closed now.

    While it does, data pauses at the wire, and reads of the broker's state go with the closes (D9); the quotes of
    ``prices_of`` (con_ids, for limits that are walked) go with them. ``running`` is False while it only waits: for a
    session to open, for a human, or because all is flat. Tell it whenever it changes, and once at every start of
    Strategy C; the link forgets it when it is restarted itself, which only makes data flow again.
    """

    running: bool
    prices_of: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class LiquidationReport(Message):
    """How a liquidation ended. ``flat`` only when two reads of the broker agreed on it (MODE-6: never in dry run).

    ``account`` is the tag of the account that it is about (CON-18).
    """

    liquidation_id: str
    trigger: str
    flat: bool
    simulated: bool
    cancelled: tuple[str, ...]
    closed: tuple[str, ...]
    remaining: tuple[str, ...]
    started_at: datetime
    ended_at: datetime
    account: str = ""


@attrs.frozen(kw_only=True)
class DataQuarantined(Message):
    """A held or traded contract's data is stale beyond its limit while its session is open (STC-1).

    Told again while it holds and nothing is latched. ``order_refs`` are those of the orders that can still fill;
    ``why`` is what IB said last, empty where it said nothing.
    """

    contract: Contract
    age_s: float
    order_refs: tuple[str, ...] = ()
    why: str = ""


@attrs.frozen(kw_only=True)
class RestartLimitExceeded(Message):
    """An actor passed its restart limit (SUP-2): liquidate, then stop (D7)."""

    actor: str
    reason: str
