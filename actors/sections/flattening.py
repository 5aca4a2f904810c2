"""The section ``[flattening]``: how a contract is brought to zero, by whoever asks for it (RULES 2)."""

from __future__ import annotations

import attrs

from actors.sections.fields import DAY_S, Section, number, whole


@attrs.frozen(kw_only=True)
class Flattening(Section):
    """How a contract is brought to zero."""

    cancel_patience_s: float = number(
        2.0, 0.1, 600.0, "for a cancel, before the part that its order leaves free is closed"
    )
    cancel_again_after_s: float = number(10.0, 0.1, 600.0, "a cancel without an end is repeated")
    cancel_globally_after_s: float = number(
        20.0, 0.1, 600.0, "a cancel without an end: all orders are cancelled, where that is allowed"
    )
    rest_cap_s: float = number(
        10.0, 1.0, 600.0, "a refused close is tried again after 1, 2, 4, 8 s, then so far apart"
    )
    cover_wait_s: float = number(
        30.0, 0.0, 3600.0, "longs of an underlying wait so long for its shorts to be closed"
    )
    verify_gap_s: float = number(
        3.0,
        0.1,
        600.0,
        "between the two reads that prove it flat, and after the broker's last word",
    )
    read_again_after_s: float = number(
        2.0, 0.5, 600.0, "between two reads of the broker's state, and for one that does not come"
    )
    look_every_s: float = number(1.0, 0.05, 60.0, "between two looks while something is to be done")
    look_while_closed_s: float = number(
        60.0,
        1.0,
        3600.0,
        "between two looks at what waits for its session, until shortly before it",
    )
    alarm_after_refusals: int = whole(5, 1, 1000, "in a row, then a person is called")
    alarm_after_s: float = number(60.0, 1.0, DAY_S, "not flat for so long, then a person is called")
    alarm_every_s: float = number(900.0, 1.0, DAY_S, "and called again, for as long as it is so")
