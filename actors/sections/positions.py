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
    reconcile_interval_s: float = number(
        900.0,
        1.0,
        DAY_S,
        "how often positions are compared with the broker; a trade by hand is seen at once",
    )
