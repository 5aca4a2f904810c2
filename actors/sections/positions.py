"""The section ``[positions]``: when a position is closed by itself."""

from __future__ import annotations

import attrs

from actors.sections.fields import DAY_S, Section, number, whole


@attrs.frozen(kw_only=True)
class Positions(Section):
    """When a position is closed by itself."""

    close_at_dte: int = whole(3, 0, 365, "calendar days to expiry")
    emergency_loss_ratio: float = number(0.4, 0.01, 1.0, "of the entry's value")
    check_interval_s: float = number(1.0, 0.01, 3600.0, "between two looks at what is held")
    narrow_spread_ratio: float = number(
        0.2, 0.0, 2.0, "of the middle; a spread up to this, or narrow_spread_ticks, tells the value"
    )
    narrow_spread_ticks: float = number(2.0, 0.0, 1000.0, "see narrow_spread_ratio")
    last_trade_max_age_s: float = number(
        60.0, 0.0, DAY_S, "in a wide spread an older trade says nothing of the value"
    )
    second_look_after_s: float = number(
        5.0, 0.0, 600.0, "the emergency stop acts on a loss that is seen twice, so far apart"
    )
    second_look_before_s: float = number(
        60.0, 1.0, 3600.0, "and not further than this; later it has been seen once, anew"
    )
    settling_s: float = number(
        60.0, 0.0, 3600.0, "so long after an open or a halt only the far side of the quote stops"
    )
    reconcile_interval_s: float = number(
        900.0,
        1.0,
        DAY_S,
        "how often positions are compared with the broker; a trade by hand is seen at once",
    )
