"""What one seed does: what is held, what goes on at that moment, who is hit, and how."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

import attrs

SYMBOLS: Final = ("SPY", "AAPL", "MSFT")
FEWEST, MOST = 1, 48


class Moment(StrEnum):
    """What goes on when it happens."""

    HELD = "held"
    EXIT = "exit"
    LIQUIDATION = "liquidation"
    CANCELLING = "cancelling"
    STARTING = "starting"


class Victim(StrEnum):
    """Who is hit."""

    PROCESS = "process"
    GATEWAY = "gateway"
    BOTH = "both"
    LINK = "link"


class How(StrEnum):
    """What happens to it: SIGKILL; SIGSTOP, then SIGCONT; the link's sockets reset; the link silent for a while."""

    KILL = "kill"
    STOP = "stop"
    DROP = "drop"
    SILENCE = "silence"


HOWS: Final = {
    Victim.PROCESS: (How.KILL, How.STOP),
    Victim.GATEWAY: (How.KILL, How.STOP),
    Victim.BOTH: (How.KILL, How.STOP),
    Victim.LINK: (How.DROP, How.SILENCE),
}


@attrs.frozen(kw_only=True)
class Plan:
    """One trial. ``after_messages`` counts those between our actors since the moment began (proof mode), ``after_s`` is
    the same in seconds; whichever comes first hits. ``lasts_s``: how long the victim is down, stopped or silent.
    """

    seed: int
    moment: Moment
    victim: Victim
    how: How
    held: tuple[tuple[str, float], ...]
    after_messages: int
    after_s: float
    lasts_s: float
    hit_again_after: int | None
    """The next process is killed too, after so many messages; None: it lives."""
    fill_delay_s: float
    largest_fill: float
    between_fills_s: float
    drop_after_s: float
    """Where nothing has latched, the link drops so long after the restart."""

    def __str__(self) -> str:
        again = f", the next process after {self.hit_again_after}" if self.hit_again_after else ""
        return (
            f"{self.how} of {self.victim} at {self.moment} after {self.after_messages} messages or"
            f" {self.after_s:.3f} s, for {self.lasts_s:.1f} s{again}; {dict(self.held)}"
        )


def plan_of(seed: int, victims: tuple[Victim, ...] = tuple(Victim)) -> Plan:
    """Draw the plan of a seed."""
    dice = random.Random(seed)
    victim = dice.choice(victims)
    symbols = dice.sample(SYMBOLS, dice.randint(1, len(SYMBOLS)))
    return Plan(
        seed=seed,
        moment=dice.choice(list(Moment)),
        victim=victim,
        how=dice.choice(HOWS[victim]),
        held=tuple(
            (name, float(dice.choice((1, 1, -1)) * dice.randint(FEWEST, MOST))) for name in symbols
        ),
        after_messages=dice.randint(1, 120),
        after_s=dice.choice((0.0, dice.uniform(0.0, 0.3), dice.uniform(0.0, 5.0))),
        lasts_s=dice.choice((dice.uniform(0.05, 2.0), dice.uniform(2.0, 8.0))),
        hit_again_after=dice.randint(1, 300) if dice.random() < 0.25 else None,
        fill_delay_s=dice.choice((0.0, 0.0, dice.uniform(0.0, 2.0))),
        largest_fill=dice.choice((1000.0, 10.0)),
        between_fills_s=dice.uniform(0.0, 0.5),
        drop_after_s=dice.uniform(0.0, 5.0),
    )
