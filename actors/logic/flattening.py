"""Flattening one contract: what to do next, from what is known now (D16, RULES 2).

::

    settle what is unknown → (closed or halted: wait) → cancel what rests → read → close what is free → verify → flat
                                          ↑ rest after a refusal ↓                        by hand: named

`next_step` is asked again and again, whenever something about the contract changes or its time has come: it looks at
the whole of what is known (`Sight`) and at what was tried before (`Progress`), and says what to do. It has no end by
counting: refusals rest, and are tried again for as long as something is held. Strategy C, the close of one position,
of all, and the closures that are due differ by their `Mandate` only.

Guarantees: what is asked to be closed never exceeds what is held without what can still fill on that side; at most one
close is under way; flat is said only after two reads, apart, both begun well after the broker's last word.

It has no clock and sends nothing: times are monotonic seconds that are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from actors.model.contracts import Contract, SecurityType
from actors.model.orders import OrderAction
from actors.sections.flattening import Flattening

_NOTHING: Final = 1e-9
"""Quantities below this are 0."""

_LONG_AGO: Final = -math.inf
FIRST_REST_S: Final = 1.0
SHORTEST_REST_S: Final = 0.1
"""From one close of a contract to its next, whatever came of it: at most ten a second.

A position that has moved is sized anew within that, which is no refusal; an answer that comes at once makes no storm.
"""

SETTLED_S: Final = 0.02
"""A read counts when it began so long after the broker's last word: what belongs together comes within that."""


class Phase(StrEnum):
    """Where a contract stands on its way to zero."""

    NEW = "NEW"
    UNLINKED = "WAITING_FOR_LINK"
    SETTLING = "SETTLING"
    """The fate of an order is not known yet."""
    WAITING = "QUEUED"
    """It does not trade now: closed, or halted."""
    CANCELLING = "CANCELLING"
    READING = "READING"
    CLOSING = "CLOSING"
    RESTING = "RESTING"
    """A close was refused, and is tried again."""
    COVERING = "COVERING"
    """A long that covers a short waits for the short."""
    VERIFYING = "VERIFYING"
    BY_HAND = "BY_HAND"
    """What is left cannot be ordered by us: a person has to."""
    FLAT = "FLAT"


# --- what is known ----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Pending:
    """An order that can still fill, of ours or of somebody else. ``remaining`` is what it can still fill, in units.

    ``unknown``: its fate is being asked for. ``confirmed``: the broker said that it works. ``is_close``: it is one of
    our own closes. ``is_stop``: it protects a position. ``addressable``: this session can cancel it by its number and
    is told its end; not so an order of another client id, also if it is ours.
    """

    reference: str
    action: OrderAction
    remaining: float
    ours: bool = True
    is_close: bool = False
    is_stop: bool = False
    unknown: bool = False
    confirmed: bool = True
    addressable: bool = True

    @property
    def signed(self) -> float:
        """What it can still do to the position: positive for a purchase."""
        return self.action.sign * self.remaining


@attrs.frozen(kw_only=True)
class Sight:
    """Everything that is known of one contract now; ``quantity`` is signed, in units.

    ``read_at``: when the newest whole read of the broker's state began. ``word_at``: when the broker last said anything
    about its position or its orders; ``told_at``: when it last told the position by itself; ``ended_at``: when an order
    of it last ended, or filled in part. ``opens_in_s``: seconds to its next session, None while it trades, or nobody
    knows.
    ``stays``: units of a long that cover a short which is not closed yet. ``closable``: an order of ours may be for it.
    """

    contract: Contract
    quantity: float
    linked: bool = True
    read_at: float = _LONG_AGO
    word_at: float = _LONG_AGO
    told_at: float = _LONG_AGO
    ended_at: float = _LONG_AGO
    orders: tuple[Pending, ...] = ()
    opens_in_s: float | None = None
    halted: bool = False
    stays: float = 0.0
    closable: bool = True

    @property
    def closing_action(self) -> OrderAction:
        """The side of an order that reduces the position."""
        return OrderAction.SELL if self.quantity > 0 else OrderAction.BUY

    @property
    def trades(self) -> bool:
        """Whether an order could fill now."""
        return self.opens_in_s is None and not self.halted


@attrs.frozen(kw_only=True)
class Mandate:
    """How far somebody who wants a contract flat may go.

    ``both_sides``: every order of the contract goes, not only those that stand in the way of the close. ``foreign``:
    orders of others go, too, by cancelling all. ``queues``: a close is left at the broker for the next session.
    ``over_pending``: the operator closes beside orders that do not end.
    """

    both_sides: bool = True
    foreign: bool = False
    queues: bool = False
    over_pending: bool = False


@attrs.frozen(kw_only=True)
class Progress:
    """What was tried so far with a contract, and what came of it."""

    phase: Phase = Phase.NEW
    cancels: Mapping[str, tuple[float, float]] = MappingProxyType({})
    """Per order when its cancel was asked for first and last."""
    in_flight: bool = False
    kept_back: bool = False
    """The broker would not keep a close for the next session: it is sent then."""
    refusals: int = 0
    words: str = ""
    rest_until: float = _LONG_AGO
    closed_at: float = _LONG_AGO
    """When the newest close was asked for."""
    able_since: float | None = None
    alarmed_at: float | None = None
    read_asked_at: float = _LONG_AGO
    misfit_since: float | None = None
    """Since when our own closes at work are for more than is held."""
    found_flat_at: float | None = None
    """When the first read began that found nothing left."""


# --- what is to be done -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Cancel:
    """Cancel this order of ours."""

    reference: str


@attrs.frozen(kw_only=True)
class CancelGlobally:
    """Cancel all orders of the account: the only way to reach those of others, and those that would not end."""

    why: str


@attrs.frozen(kw_only=True)
class Read:
    """Read the broker's state, whole."""


@attrs.frozen(kw_only=True)
class Close:
    """Close so many units; ``queued``: at the next session."""

    action: OrderAction
    quantity: float
    queued: bool = False


@attrs.frozen(kw_only=True)
class Alarm:
    """Call a person."""

    text: str


Action = Cancel | CancelGlobally | Read | Close | Alarm


@attrs.frozen(kw_only=True)
class Outcome:
    """What was made of the progress, what is to be done now, and when to look again at the latest, in seconds."""

    progress: Progress
    actions: tuple[Action, ...] = ()
    look_in_s: float = math.inf


class Answer(StrEnum):
    """What came of an attempt to close."""

    TAKEN = "taken"
    """The broker has it, or had it: it works, filled, or ended in part."""
    REFUSED = "refused"
    MOVED = "moved"
    """The position was another one by then; nothing was sent."""
    NOT_KEPT = "not kept"
    """The broker does not keep a close for the next session."""
    UNKNOWN = "unknown"


# --- events -----------------------------------------------------------------------------------------------------


def answered(
    progress: Progress, answer: Answer, words: str, now: float, limits: Flattening
) -> Progress:
    """Take in what came of the close that was under way."""
    landed = attrs.evolve(progress, in_flight=False)
    match answer:
        case Answer.TAKEN:
            return attrs.evolve(landed, refusals=0, rest_until=_LONG_AGO, words="")
        case Answer.MOVED:
            return landed
        case Answer.UNKNOWN:
            return attrs.evolve(landed, words=words)
        case Answer.NOT_KEPT:
            return attrs.evolve(landed, kept_back=True, words=words)
        case Answer.REFUSED:
            rest_s = min(FIRST_REST_S * 2.0 ** min(progress.refusals, 30), limits.rest_cap_s)
            return attrs.evolve(
                landed, refusals=progress.refusals + 1, words=words, rest_until=now + rest_s
            )


def woken(progress: Progress, now: float) -> Progress:
    """Something changed that may let a refused close through (a halt's end, an opening, a fill, a farm): try in 1 s."""
    soon = min(progress.rest_until, now + FIRST_REST_S)
    return attrs.evolve(progress, rest_until=soon)


def unlinked(progress: Progress) -> Progress:
    """The link is lost: what was asked for has no answer, and the next session begins with a read."""
    return Progress(
        phase=Phase.UNLINKED,
        refusals=progress.refusals,
        words=progress.words,
        alarmed_at=progress.alarmed_at,
        closed_at=progress.closed_at,
    )


# --- the step ---------------------------------------------------------------------------------------------------


def next_step(
    progress: Progress, sight: Sight, mandate: Mandate, now: float, limits: Flattening
) -> Outcome:
    """Say what to do next about one contract."""
    if not sight.linked:
        return Outcome(progress=unlinked(progress))
    if abs(sight.quantity) <= _NOTHING and not sight.orders:
        return _verify(progress, sight, now, limits)
    progress = attrs.evolve(progress, found_flat_at=None)
    if sight.trades:
        progress = attrs.evolve(progress, kept_back=False)
    elif progress.kept_back or not _queues_now(sight, mandate):
        return _wait(progress, sight, mandate, now, limits)
    progress = _with_misfit(_able(progress, sight, now), sight, now)
    unwanted = _unwanted(progress, sight, mandate, now, limits)
    progress, cancels = _cancels(progress, unwanted, mandate, now, limits)
    outcome = _towards_zero(progress, sight, mandate, unwanted, now, limits)
    progress, look_in_s = outcome.progress, min(outcome.look_in_s, limits.look_every_s)
    if progress.phase is Phase.CLOSING and sight.opens_in_s is not None and not progress.in_flight:
        progress = attrs.evolve(progress, phase=Phase.WAITING)
        look_in_s = _look_while_closed_s(sight, limits)
    progress, alarms = _alarms(progress, sight, now, limits)
    return Outcome(
        progress=progress,
        actions=(*cancels, *outcome.actions, *alarms),
        look_in_s=look_in_s,
    )


def _towards_zero(
    progress: Progress,
    sight: Sight,
    mandate: Mandate,
    unwanted: tuple[Pending, ...],
    now: float,
    limits: Flattening,
) -> Outcome:
    """Bring the position nearer to zero, or say what it waits for."""
    if progress.in_flight:
        return _stand(progress, Phase.CLOSING)
    free = free_quantity(sight, over=unwanted if mandate.over_pending else ())
    if unwanted and _must_wait_for(progress, sight, unwanted, free, mandate, now, limits):
        return _await_ends(progress, unwanted, now, limits)
    if free < 1.0:
        return _stand(progress, _without_free_part(sight))
    if not _is_position_fresh(sight):
        standing = attrs.evolve(progress, phase=Phase.READING)
        return _read_from(sight.ended_at + SETTLED_S, standing, now, limits)
    rests_until = max(progress.rest_until, progress.closed_at + SHORTEST_REST_S)
    if now < rests_until:
        return _stand(progress, Phase.RESTING, rests_until - now)
    close = Close(action=sight.closing_action, quantity=free, queued=not sight.trades)
    under_way = attrs.evolve(progress, phase=Phase.CLOSING, in_flight=True, closed_at=now)
    return Outcome(progress=under_way, actions=(close,))


def _is_position_fresh(sight: Sight) -> bool:
    """Whether the position was told, or read, since an order last did something to it."""
    return sight.told_at >= sight.ended_at or sight.read_at >= sight.ended_at + SETTLED_S


def free_quantity(sight: Sight, over: Iterable[Pending] = ()) -> float:
    """Whole units that may be closed now: what is held, without what can still fill on that side, and what stays.

    ``over`` are orders that do not count, since a person said so; a close of ours always counts.
    """
    if not sight.closable:
        return 0.0
    passed_over = {order.reference for order in over if not order.is_close and not order.unknown}
    spoken_for = sum(
        order.remaining
        for order in sight.orders
        if order.action is sight.closing_action and order.reference not in passed_over
    )
    return float(math.floor(max(0.0, abs(sight.quantity) - sight.stays - spoken_for) + _NOTHING))


def _without_free_part(sight: Sight) -> Phase:
    """Say what a position waits for of which nothing is free."""
    if any(order.unknown for order in sight.orders):
        return Phase.SETTLING
    if any(order.is_close for order in sight.orders):
        return Phase.CLOSING
    if sight.stays >= 1.0:
        return Phase.COVERING
    stand_in_the_way = any(order.action is sight.closing_action for order in sight.orders)
    return Phase.CANCELLING if stand_in_the_way and sight.closable else Phase.BY_HAND


def _must_wait_for(
    progress: Progress,
    sight: Sight,
    unwanted: tuple[Pending, ...],
    free: float,
    mandate: Mandate,
    now: float,
    limits: Flattening,
) -> bool:
    """Whether the close has to wait for the end of orders that were cancelled.

    All of it waits a moment, so that mostly one close does. After that what is free of them is closed; an option has
    nothing free beside another order: the broker refuses both sides of one.
    """
    if free < 1.0:
        return True
    if mandate.over_pending:
        return False
    if _is_option(sight.contract):
        return True
    asked = [progress.cancels[order.reference][0] for order in unwanted]
    return now - min(asked) < limits.cancel_patience_s


def _await_ends(
    progress: Progress, unwanted: tuple[Pending, ...], now: float, limits: Flattening
) -> Outcome:
    """Wait for orders to end. Those of another client do so without a word to us, and words are lost: a read tells."""
    asked = [progress.cancels[order.reference][0] for order in unwanted]
    is_overdue = now - min(asked) >= limits.cancel_again_after_s
    if all(order.ours and order.addressable for order in unwanted) and not is_overdue:
        return _stand(progress, Phase.CANCELLING)
    return _read(progress, Phase.CANCELLING, now, limits)


def _is_option(contract: Contract) -> bool:
    return contract.security_type is SecurityType.OPTION


# --- orders that have to go -------------------------------------------------------------------------------------


def fitting_closes(sight: Sight) -> tuple[Pending, ...]:
    """Our own closes that work and still fit what is held: they go on."""
    closes = _working_closes(sight)
    if any(order.action is not sight.closing_action for order in closes):
        return ()
    together = sum(order.remaining for order in closes)
    return closes if together <= abs(sight.quantity) + _NOTHING else ()


def _with_misfit(progress: Progress, sight: Sight, now: float) -> Progress:
    """Note since when our own closes do not fit; a fill reaches the position and the order one after the other."""
    fits = not _working_closes(sight) or bool(fitting_closes(sight))
    since = None if fits else now if progress.misfit_since is None else progress.misfit_since
    return attrs.evolve(progress, misfit_since=since)


def _working_closes(sight: Sight) -> tuple[Pending, ...]:
    return tuple(order for order in sight.orders if order.is_close and order.ours)


def _unwanted(
    progress: Progress, sight: Sight, mandate: Mandate, now: float, limits: Flattening
) -> tuple[Pending, ...]:
    """The orders that have to end before the position can be closed, or that would build another one."""
    wanted = {order.reference for order in fitting_closes(sight)}
    if progress.misfit_since is not None and now - progress.misfit_since < limits.look_every_s:
        wanted = {order.reference for order in _working_closes(sight)}
    both_sides = mandate.both_sides or _is_option(sight.contract) or not sight.quantity
    return tuple(
        order
        for order in sight.orders
        if order.reference not in wanted
        and not order.unknown
        and (order.ours or mandate.foreign)
        and (both_sides or order.action is sight.closing_action)
    )


def _cancels(
    progress: Progress,
    unwanted: tuple[Pending, ...],
    mandate: Mandate,
    now: float,
    limits: Flattening,
) -> tuple[Progress, tuple[Action, ...]]:
    """Ask for the end of what has to go: at once, again, and then by cancelling all."""
    asked: dict[str, tuple[float, float]] = {}
    actions: list[Action] = []
    for order in unwanted:
        first, last = progress.cancels.get(order.reference, (now, _LONG_AGO))
        if now - last >= limits.cancel_again_after_s:
            last = now
            actions += _cancel(order, now - first, mandate, limits)
        asked[order.reference] = (first, last)
    kept = attrs.evolve(progress, cancels=MappingProxyType(asked))
    return kept, tuple(dict.fromkeys(actions))


def _cancel(
    order: Pending, since_s: float, mandate: Mandate, limits: Flattening
) -> tuple[Action, ...]:
    if not (order.ours and order.addressable):
        why = "only so can orders of other clients be reached"
        return (CancelGlobally(why=why),) if mandate.foreign else ()
    single = Cancel(reference=order.reference)
    if mandate.foreign and since_s >= limits.cancel_globally_after_s:
        return (single, CancelGlobally(why="a single cancel had no effect"))
    return (single,)


# --- what does not trade now ------------------------------------------------------------------------------------


def _queues_now(sight: Sight, mandate: Mandate) -> bool:
    """Whether a close is left at the broker for the open: nothing protects the position until then."""
    return mandate.queues and not sight.halted and not is_covered(sight) and bool(sight.quantity)


def is_covered(sight: Sight) -> bool:
    """Whether stops that the broker confirmed cover the whole position."""
    stops = sum(
        order.remaining
        for order in sight.orders
        if order.is_stop and order.confirmed and order.action is sight.closing_action
    )
    return bool(sight.quantity) and stops >= abs(sight.quantity) - _NOTHING


def _wait(
    progress: Progress, sight: Sight, mandate: Mandate, now: float, limits: Flattening
) -> Outcome:
    """Wait for the session or the end of a halt: what protects rests, what would open goes."""
    opening = tuple(
        order
        for order in _unwanted(progress, sight, mandate, now, limits)
        if order.ours and (not sight.quantity or order.action is not sight.closing_action)
    )
    progress, cancels = _cancels(progress, opening, mandate, now, limits)
    waiting = attrs.evolve(
        progress, phase=Phase.WAITING, able_since=None, refusals=0, rest_until=_LONG_AGO
    )
    look_in_s = limits.look_every_s if opening else _look_while_closed_s(sight, limits)
    return Outcome(progress=waiting, actions=cancels, look_in_s=look_in_s)


def _look_while_closed_s(sight: Sight, limits: Flattening) -> float:
    """Look seldom until shortly before the open; while it is halted nobody knows when that ends."""
    if sight.opens_in_s is None:
        return limits.look_every_s
    return max(limits.look_every_s, min(limits.look_while_closed_s, sight.opens_in_s))


# --- proving it -------------------------------------------------------------------------------------------------


def _verify(progress: Progress, sight: Sight, now: float, limits: Flattening) -> Outcome:
    """Nothing is left: prove it by two reads, apart, both begun well after the broker's last word."""
    clean = attrs.evolve(
        progress,
        phase=Phase.FLAT if progress.phase is Phase.FLAT else Phase.VERIFYING,
        cancels=MappingProxyType({}),
        refusals=0,
        words="",
        alarmed_at=None,
        able_since=None,
    )
    if clean.phase is Phase.FLAT:
        return Outcome(progress=clean)
    counts_from = sight.word_at + limits.verify_gap_s
    if clean.found_flat_at is not None and clean.found_flat_at < counts_from:
        clean = attrs.evolve(clean, found_flat_at=None)
    if clean.found_flat_at is None:
        if sight.read_at < counts_from:
            return _read_from(counts_from, clean, now, limits)
        clean = attrs.evolve(clean, found_flat_at=sight.read_at)
    second_from = (clean.found_flat_at or 0.0) + limits.verify_gap_s
    if sight.read_at < second_from:
        return _read_from(second_from, clean, now, limits)
    return Outcome(progress=attrs.evolve(clean, phase=Phase.FLAT))


def _read_from(moment: float, progress: Progress, now: float, limits: Flattening) -> Outcome:
    """Read, but not before a moment."""
    if now < moment:
        return Outcome(progress=progress, look_in_s=moment - now)
    if progress.read_asked_at < moment:
        return _read(attrs.evolve(progress, read_asked_at=_LONG_AGO), progress.phase, now, limits)
    return _read(progress, progress.phase, now, limits)


def _read(progress: Progress, phase: Phase, now: float, limits: Flattening) -> Outcome:
    """Ask for a read, unless one is under way."""
    left_s = progress.read_asked_at + limits.read_again_after_s - now
    if left_s > 0.0:
        return Outcome(progress=attrs.evolve(progress, phase=phase), look_in_s=left_s)
    asked = attrs.evolve(progress, phase=phase, read_asked_at=now)
    return Outcome(progress=asked, actions=(Read(),), look_in_s=limits.read_again_after_s)


def _stand(progress: Progress, phase: Phase, look_in_s: float = math.inf) -> Outcome:
    return Outcome(progress=attrs.evolve(progress, phase=phase), look_in_s=look_in_s)


# --- calling a person -------------------------------------------------------------------------------------------


def _able(progress: Progress, sight: Sight, now: float) -> Progress:
    """From now on it could be closed; where it does not trade nobody is called."""
    if not sight.trades:
        return attrs.evolve(progress, able_since=None)
    if progress.able_since is not None:
        return progress
    return attrs.evolve(progress, able_since=now)


def _alarms(
    progress: Progress, sight: Sight, now: float, limits: Flattening
) -> tuple[Progress, tuple[Alarm, ...]]:
    """Call a person at the fifth refusal, after a minute, for what only a hand can close; then again and again."""
    if not _is_alarming(progress, now, limits):
        return progress, ()
    if progress.alarmed_at is not None and now - progress.alarmed_at < limits.alarm_every_s:
        return progress, ()
    return attrs.evolve(progress, alarmed_at=now), (Alarm(text=situation(progress, sight, now)),)


def _is_alarming(progress: Progress, now: float, limits: Flattening) -> bool:
    return (
        progress.phase is Phase.BY_HAND
        or progress.refusals >= limits.alarm_after_refusals
        or (progress.able_since is not None and now - progress.able_since >= limits.alarm_after_s)
    )


_WAITS_FOR: Final[Mapping[Phase, str]] = MappingProxyType(
    {
        Phase.NEW: "nothing was tried yet",
        Phase.UNLINKED: "the link is down",
        Phase.WAITING: "it does not trade now",
        Phase.SETTLING: "the fate of an order is not known yet",
        Phase.CANCELLING: "orders in it do not end",
        Phase.READING: "the broker's state is read",
        Phase.CLOSING: "its close works and is not filled",
        Phase.COVERING: "it covers a short that is not closed",
        Phase.BY_HAND: "it cannot be ordered by this program: close it by hand",
    }
)


def situation(progress: Progress, sight: Sight, now: float) -> str:
    """Say in words what is left of a contract, why, and when it is tried again."""
    what = f"{sight.quantity:g} {sight.contract} ({sight.contract.position_id})"
    why = _WAITS_FOR.get(progress.phase, progress.phase.value)
    if progress.phase is Phase.RESTING:
        rest_s = max(0.0, progress.rest_until - now)
        why = f"refused {progress.refusals} times, next try in {rest_s:.0f} s"
    orders = ", ".join(order.reference for order in sight.orders)
    said = f"; the broker: {progress.words}" if progress.words else ""
    return f"not flat: {what}: {why}{f' ({orders})' if orders else ''}{said}"


# --- shorts before longs ----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Held:
    """One position for `covering`; ``closing_since``: when the first close of a short was sent."""

    contract: Contract
    quantity: float
    closing_since: float | None = None


def covering(held: Iterable[Held], now: float, limits: Flattening) -> dict[int, float]:
    """Tell per con_id of a long how many units have to stay for now, since a short of its underlying is not closed.

    All of it within `cover_wait_s` of the short's first close; after that only what covers the short: the long stock
    or calls of a short call, the long puts of a short put. What protects a naked short the most is what has its right.
    """
    positions = tuple(held)
    stays: dict[int, float] = {}
    for short in positions:
        if short.quantity >= 0.0:
            continue
        waits = short.closing_since is None or now - short.closing_since < limits.cover_wait_s
        left = abs(short.quantity) * short.contract.multiplier
        for long in sorted(positions, key=lambda item: _rank(short.contract, item.contract)):
            if long.quantity <= 0.0 or not _same_underlying(short.contract, long.contract):
                continue
            con_id, multiplier = long.contract.con_id, long.contract.multiplier
            if waits:
                stays[con_id] = long.quantity
            elif _covers(long.contract, short.contract):
                open_units = long.quantity - stays.get(con_id, 0.0)
                units = min(open_units, math.ceil(left / multiplier - _NOTHING))
                if units > 0.0:
                    stays[con_id] = stays.get(con_id, 0.0) + units
                    left = max(0.0, left - units * multiplier)
    return stays


def _rank(short: Contract, long: Contract) -> tuple[bool, int]:
    return (long.right is not short.right, long.con_id)


def _same_underlying(one: Contract, other: Contract) -> bool:
    return one.symbol == other.symbol and one.currency == other.currency


def _covers(long: Contract, short: Contract) -> bool:
    """Whether a long bounds the loss of a short: a call is bounded by stock and calls, a put by puts."""
    if short.right is None:
        return long.right is not None
    return long.right is short.right or (long.right is None and short.right.value == "C")
