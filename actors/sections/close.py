"""The section ``[close]``: at which price a position is closed."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from actors.sections.fields import Below, Section, choice, number, whole

LAST_RESORT: Final = "last_resort"
NEVER: Final = "never"
ALWAYS: Final = "always"


@attrs.frozen(kw_only=True)
class Close(Section):
    """At which price a position is closed: a market order, or a limit where the market is thin."""

    RELATIONS: ClassVar = (Below("walk_s", "any_price_after_s"),)

    wide_spread_value: float = number(
        0.10,
        0.0,
        1000.0,
        "per unit: an option with a wider spread than this and than ...",
    )
    wide_spread_ratio: float = number(
        0.2, 0.0, 2.0, "... this share of its middle is closed by a limit, not at the market"
    )
    walk_s: float = number(
        20.0, 0.1, 600.0, "in which that limit goes from the middle to the side that deals"
    )
    walk_step_s: float = number(4.0, 0.1, 600.0, "between two changes of the limit on that way")
    beyond_model_ratio: float = number(
        0.25, 0.0, 10.0, "the limit goes at most so far beyond the model price, then it rests"
    )
    reprice_every_s: float = number(
        5.0, 0.1, 600.0, "a limit that rests is priced anew so often, and somebody is called"
    )
    any_price: str = choice(
        LAST_RESORT,
        NEVER,
        ALWAYS,
        meaning='"last_resort": beyond that only Strategy C, and only on the option\'s last day or'
        ' without a model price; "never"; "always"',
    )
    any_price_after_s: float = number(
        60.0, 0.1, 3600.0, "... and only so long after the close began"
    )
    futures_ticks: int = whole(
        2, 0, 1000, "outside regular hours the limit of a future is so far beyond bid or ask"
    )
