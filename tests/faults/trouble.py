"""A seeded timetable of everything that can happen to a link: a day, or a few seconds, of trouble.

The timetable is a scenario of the simulator, so that the simulated gateway alone can play it too. Every kind of trouble
comes about equally often; it lasts a random part of its turn, and sometimes on into the next, so that troubles meet.

Guarantees: the same seed and pace give the same timetable; each trouble is taken back before the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import attrs

from supervision.simulator import Scenario
from supervision.simulator.timetable import TimedFault

Steps = list[TimedFault]
"""What a trouble does to the gateway; times are seconds after its begin."""

DAY_S: Final = 86_400.0


@attrs.frozen(kw_only=True)
class Pace:
    """How long the trouble lasts and how dense it is; times in seconds.

    ``latest_s`` bounds what answers are held back by. ``reset_at_s`` is when the nightly reset comes, in whose
    maintenance window it falls; None leaves it among the other troubles only.
    """

    length_s: float = DAY_S
    turns: int = 240
    quiet_at_begin_s: float = 60.0
    quiet_at_end_s: float = 600.0
    latest_s: float = 4.0
    reset_at_s: float | None = None
    reset_lasts_s: float = 900.0


@attrs.frozen
class Trouble:
    """One thing that goes wrong, from ``at_s`` on, in words."""

    at_s: float
    name: str


@attrs.frozen
class Timetable:
    """What goes wrong when; ``scenario`` is for the simulator."""

    seed: int
    troubles: tuple[Trouble, ...]
    scenario: Scenario

    def names(self) -> set[str]:
        """Tell the kinds that it holds."""
        return {trouble.name for trouble in self.troubles}

    def describe(self, until_s: float, count: int = 8) -> str:
        """List the last troubles before a moment, for the report of a failure."""
        before = [trouble for trouble in self.troubles if trouble.at_s <= until_s]
        return "; ".join(f"{trouble.at_s:.3f} s {trouble.name}" for trouble in before[-count:])


@attrs.frozen
class Turn:
    """One turn of trouble: its randomness, how long it lasts, and the bound of delays."""

    rng: random.Random
    lasts_s: float
    latest_s: float

    def both(self, kind: str, begin: dict[str, Any], end: tuple[str, dict[str, Any]]) -> Steps:
        """Begin something, and end it when the turn's trouble is over."""
        return [_at(0.0, kind, **begin), _at(self.lasts_s, end[0], **end[1])]

    def drop(self, at_s: float = 0.0) -> TimedFault:
        """Close all sockets, one way or the other."""
        return _at(at_s, "drop_connections", reset=self.rng.random() < 0.5)


def _at(at_s: float, kind: str, **arguments: Any) -> TimedFault:
    return TimedFault(at_s, kind, tuple(arguments.items()))


# --- the kinds --------------------------------------------------------------------------------------------------------


def _refuse(turn: Turn) -> Steps:
    return [_at(0.0, "refuse_connections", duration_s=turn.lasts_s), turn.drop()]


def _slow(turn: Turn) -> Steps:
    delay_s = turn.rng.uniform(turn.latest_s / 100, turn.latest_s)
    return turn.both("latency", {"delay_s": delay_s}, ("latency", {"delay_s": 0.0}))


def _silence(turn: Turn) -> Steps:
    return turn.both("silence", {}, ("speak", {}))


def _deafness(turn: Turn) -> Steps:
    return turn.both("silence", {"stop_reading": True}, ("speak", {}))


def _half_a_message(_: Turn) -> Steps:
    return [_at(0.0, "drop_mid_message")]


def _reset(_: Turn) -> Steps:
    return [_at(0.0, "drop_connections", reset=True)]


def _close(_: Turn) -> Steps:
    return [_at(0.0, "drop_connections", reset=False)]


def _drop_at_a_message(turn: Turn) -> Steps:
    """Break off at some message of the next minutes: of the reconciliation too, since the socket is closed first."""
    rng = turn.rng
    side = rng.choice(("sent", "received"))
    whole = {"count": rng.randrange(1, 60), "side": side, "reset": rng.random() < 0.5}
    steps = [_at(0.0, "drop_at", **whole, mid_message=side == "sent" and rng.random() < 0.5)]
    return [*steps, turn.drop()] if rng.random() < 0.5 else steps


def _upstream_lost(turn: Turn) -> Steps:
    return turn.both("connectivity_lost", {}, ("connectivity_restored", {"data_lost": False}))


def _upstream_and_data_lost(turn: Turn) -> Steps:
    return turn.both("connectivity_lost", {}, ("connectivity_restored", {"data_lost": True}))


def _upstream_and_socket_lost(turn: Turn) -> Steps:
    steps = _upstream_lost(turn)
    return [*steps, turn.drop(turn.rng.uniform(0.0, turn.lasts_s))]


def _client_id_taken(turn: Turn) -> Steps:
    return [_at(0.0, "client_id_taken", times=turn.rng.randint(1, 5)), turn.drop()]


def _version_too_old(turn: Turn) -> Steps:
    return [*turn.both("version_too_old", {}, ("version_too_old", {"version": None})), turn.drop()]


def _nobody_let_in(mode: str) -> Callable[[Turn], Steps]:
    def steps(turn: Turn) -> Steps:
        fault = turn.both(
            "authentication_failure", {"mode": mode}, ("authentication_failure", {"mode": None})
        )
        return [*fault, turn.drop()]

    return steps


def _port_reset(_: Turn) -> Steps:
    return [_at(0.0, "reset_port")]


def _farm_flaps(turn: Turn) -> Steps:
    down, up = turn.rng.choice(((2103, 2104), (2105, 2106), (2157, 2158)))
    step_s = turn.lasts_s / 4
    return [
        _at(number * step_s, "farm", code=code) for number, code in enumerate((down, up, down, up))
    ]


def _competing_session(turn: Turn) -> Steps:
    return turn.both("competing_session", {}, ("competing_session", {"active": False}))


def _not_subscribed(turn: Turn) -> Steps:
    code = turn.rng.choice((354, 10089, 10167, 10168))
    return turn.both("no_subscription", {"code": code}, ("no_subscription", {"code": None}))


def _missing_data(turn: Turn) -> Steps:
    mode = turn.rng.choice(("minus_one", "zero", "silent", "end_only"))
    return turn.both("missing_data", {"mode": mode}, ("missing_data", {"mode": None}))


def _stale_data(turn: Turn) -> Steps:
    return turn.both("stale_data", {}, ("fresh_data", {}))


def _pacing_errors(turn: Turn) -> Steps:
    return turn.both(
        "pacing_error", {"count": turn.rng.randint(1, 5)}, ("pacing_error", {"count": 0})
    )


def _unanswered(turn: Turn) -> Steps:
    name = turn.rng.choice(("reqCurrentTime", "reqPositions", "reqAllOpenOrders", "reqExecutions"))
    steps = turn.both("ignore_requests", {"names": [name]}, ("answer_requests", {"names": [name]}))
    return [*steps, turn.drop()] if turn.rng.random() < 0.5 else steps


def _reset_at_night(turn: Turn) -> Steps:
    return [_at(0.0, "nightly_reset", duration_s=turn.lasts_s)]


def _lost_acknowledgement(turn: Turn) -> Steps:
    mode = turn.rng.choice(("silent", "drop_before", "drop_after"))
    return [_at(0.0, "lose_acknowledgement", mode=mode)]


def _duplicate_execution(_: Turn) -> Steps:
    return [_at(0.0, "duplicate_execution")]


def _late_fill(turn: Turn) -> Steps:
    return [_at(0.0, "late_fill", delay_s=turn.rng.uniform(0.0, turn.latest_s))]


def _rejection(turn: Turn) -> Steps:
    return [_at(0.0, "reject_next_order", inactive=turn.rng.random() < 0.5)]


KINDS: Final[dict[str, Callable[[Turn], Steps]]] = {
    "refuses": _refuse,
    "slow": _slow,
    "half-open silence": _silence,
    "silent and deaf": _deafness,
    "dropped mid-message": _half_a_message,
    "reset": _reset,
    "closed": _close,
    "dropped at a message": _drop_at_a_message,
    "1100 1102": _upstream_lost,
    "1100 1101": _upstream_and_data_lost,
    "1100 and the socket": _upstream_and_socket_lost,
    "client id taken": _client_id_taken,
    "version too old": _version_too_old,
    "disclaimer": _nobody_let_in("disclaimer"),
    "login closes": _nobody_let_in("close"),
    "login hangs": _nobody_let_in("silence"),
    "1300": _port_reset,
    "farm flaps": _farm_flaps,
    "competing session": _competing_session,
    "not subscribed": _not_subscribed,
    "missing data": _missing_data,
    "stale data": _stale_data,
    "pacing errors": _pacing_errors,
    "unanswered request": _unanswered,
    "nightly reset": _reset_at_night,
    "lost acknowledgement": _lost_acknowledgement,
    "duplicate execution": _duplicate_execution,
    "late fill": _late_fill,
    "rejection": _rejection,
}
"""Everything of SIM-4 that concerns the link, and what makes orders' fates uncertain while it fails."""

ABOUT_ORDERS: Final = frozenset(
    {"lost acknowledgement", "duplicate execution", "late fill", "rejection"}
)
"""The kinds that are no fault of the link."""


# --- the timetable ----------------------------------------------------------------------------------------------------


def timetable(seed: int, pace: Pace) -> Timetable:
    """Make the timetable of a seed."""
    rng = random.Random(seed)
    begin_s, end_s = pace.quiet_at_begin_s, pace.length_s - pace.quiet_at_end_s
    turn_s = (end_s - begin_s) / pace.turns
    troubles: list[Trouble] = []
    steps: Steps = []

    def add(at_s: float, name: str, lasts_s: float) -> None:
        lasts_s = min(lasts_s, end_s - at_s)
        troubles.append(Trouble(at_s, name))
        steps.extend(
            attrs.evolve(step, at_s=at_s + step.at_s)
            for step in KINDS[name](Turn(rng, lasts_s, pace.latest_s))
        )

    for number, name in enumerate(_deck(rng, pace.turns)):
        add(begin_s + turn_s * (number + 0.3 * rng.random()), name, turn_s * _lasting(rng))
    if pace.reset_at_s is not None:
        add(pace.reset_at_s, "nightly reset", pace.reset_lasts_s)
        steps.append(_at(pace.reset_at_s, "unlist_executions"))  # the day is over at the broker
    troubles.sort(key=lambda trouble: trouble.at_s)
    return Timetable(seed, tuple(troubles), Scenario(faults=tuple(steps)))


def _deck(rng: random.Random, turns: int) -> list[str]:
    """Deal every kind about equally often, in random order."""
    dealt: list[str] = []
    while len(dealt) < turns:
        dealt += rng.sample(list(KINDS), len(KINDS))
    return dealt[:turns]


def _lasting(rng: random.Random) -> float:
    """Tell how much of its turn a trouble lasts: mostly little, sometimes on into the next one."""
    return rng.uniform(1.0, 1.6) if rng.random() < 0.15 else rng.uniform(0.005, 0.5)
