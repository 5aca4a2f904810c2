"""The section ``[pacing]``: IB's limits, kept by us, with reserves for closes and for openings."""

from __future__ import annotations

from typing import ClassVar

import attrs

from actors.sections.fields import DAY_S, Below, Section, number, whole


@attrs.frozen(kw_only=True)
class Pacing(Section):
    """IB's limits, kept by us.

    IB allows half as many messages a second as the account has market data lines, of which 100 come with it.
    """

    RELATIONS: ClassVar = (Below("reserve_messages", "messages_per_s", or_equal=False),)

    messages_per_s: int = whole(
        45, 1, 1000, "IB allows 50, more (half the lines) with more market data lines"
    )
    reserve_messages: int = whole(10, 0, 49, "of these, kept for closes and cancels")
    opening_reserve_messages: int = whole(
        5, 0, 49, "of the rest, kept from data for opening orders; one message is left"
    )
    data_burst: int = whole(5, 1, 100, "messages of data that may go at once; more flow evenly")
    data_pause_s: float = number(
        60.0, 0.0, 3600.0, "data pauses at most so long while a liquidation runs"
    )
    max_waiting: int = whole(
        1000, 1, 100_000, "messages that may wait for their turn, in each lane"
    )
    slow_down_s: float = number(
        60.0,
        0.0,
        3600.0,
        "half the rate for so long after the gateway found it exceeded (error 100)",
    )
    history_requests: int = whole(
        60,
        1,
        10_000,
        "requests of history in history_window_s; IB allows 60 in ten minutes",
    )
    history_window_s: float = number(600.0, 0.1, DAY_S, "in which history_requests are counted")
    history_identical_s: float = number(
        15.0, 0.0, 3600.0, "between two identical requests of history"
    )
    history_same_contract: int = whole(
        5,
        1,
        1000,
        "requests of history for one contract in history_same_contract_s; IB objects to six",
    )
    history_same_contract_s: float = number(
        2.0, 0.0, 3600.0, "in which history_same_contract are counted"
    )
    history_max_waiting: int = whole(
        100, 1, 10_000, "requests of history that may wait for their turn"
    )
