"""The section ``[connection]``: when the link counts as lost, and how it is won back."""

from __future__ import annotations

from typing import ClassVar

import attrs

from actors.sections.fields import DAY_S, Below, Section, number, whole
from actors.sections.maintenance import Maintenance


@attrs.frozen(kw_only=True)
class Connection(Section):
    """When the link counts as lost, and how it is won back."""

    RELATIONS: ClassVar = (Below("first_delay_s", "max_delay_s"),)

    heartbeat_s: float = number(30.0, 0.05, 3600.0, "between two round trips")
    heartbeat_timeout_s: float = number(
        5.0, 0.01, 300.0, "a beat without an answer for so long is missed"
    )
    missed_beats: int = whole(2, 1, 100, "so many in a row: the link is lost")
    read_silence_s: float = number(
        5.0,
        0.01,
        300.0,
        "a part of the broker's state is silent when nothing of it came for so long; then only closes go",
    )
    read_again_s: float = number(
        30.0, 0.01, 3600.0, "between two questions for a part that is silent"
    )
    read_limit_s: float = number(
        300.0, 1.0, 3600.0, "one read of the broker's state, however steadily its answers come"
    )
    retries: int = whole(
        6,
        0,
        1000,
        "after the first attempt; then the state is FAILED, and tried again at max_delay_s",
    )
    first_delay_s: float = number(1.0, 0.001, 3600.0, "before the first retry; doubles each time")
    max_delay_s: float = number(32.0, 0.001, 3600.0, "no delay is longer")
    jitter_ratio: float = number(0.2, 0.0, 0.9, "each delay varies by ± this")
    lasting_s: float = number(
        60.0,
        0.0,
        DAY_S,
        "a connection that lasted so long sets the count of attempts back to zero",
    )
    client_id_tries: int = whole(10, 1, 100, "ids to try when one is taken")
    same_id_retries: int = whole(3, 0, 100, "the same id first: its old session may be dying")
    same_id_delay_s: float = number(1.0, 0.001, 300.0, "between two tries of the same id")
    first_id_s: float = number(
        60.0, 0.0, 3600.0, "the first id is tried for so long while an order's fate is unknown"
    )
    upstream_patience_s: float = number(
        900.0,
        1.0,
        DAY_S,
        "a gateway that says it is cut off from IB, and no more for so long, is left and asked anew",
    )
    breaker_failures: int = whole(
        5, 1, 1000, "so many attempts that fail in a row open the circuit breaker"
    )
    breaker_open_s: float = number(30.0, 0.001, 3600.0, "and then no attempt is made for so long")
    breaker_successes: int = whole(
        2,
        1,
        100,
        "after which so many successes close it; a heartbeat of the connection counts as one",
    )
    maintenance: Maintenance = attrs.field(factory=Maintenance)
