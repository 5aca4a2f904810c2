"""The section ``[orders]``: how long permissions and orders live."""

from __future__ import annotations

import attrs

from actors.sections.fields import DAY_S, Section, number, whole


@attrs.frozen(kw_only=True)
class Orders(Section):
    """How long permissions and orders live."""

    permit_ttl_s: float = number(2.0, 0.01, 60.0, "a permit that is not used for so long is void")
    proof_of_life_s: float = number(
        1.0,
        0.0,
        60.0,
        "silent for longer, the gateway must answer a round trip before an order; 0 never asks",
    )
    cancel_before_deadline_s: float = number(
        1.0,
        0.01,
        30.0,
        "an unfilled remainder is cancelled so long before the caller's deadline",
    )
    unknown_after_s: float = number(
        10.0, 0.1, 600.0, "without a word from the broker: UNKNOWN, and it is asked"
    )
    absent_apart_s: float = number(
        5.0, 0.01, 600.0, "two reads so far apart that do not show an order prove its absence"
    )
    absent_after_s: float = number(
        8.0, 0.01, 600.0, "the second one begins so long after bytes, session, 1101 or 1102"
    )
    other_client_after_s: float = number(
        60.0, 0.01, 3600.0, "the same for an order that was sent under a fallback client id"
    )
    refused_apart_s: float = number(
        2.0, 0.01, 600.0, "two reads so far apart after a refusal whose code says nothing"
    )
    probe_answer_s: float = number(
        10.0, 0.01, 600.0, "a cancel that proves an absence is answered within so long"
    )
    position_unchanged_s: float = number(
        30.0, 0.01, 3600.0, "so long the position stands still where a read is not complete"
    )
    absence_outstanding_s: float = number(
        60.0, 0.0, DAY_S, "so long after an absence was proved, no other one is in that contract"
    )
    first_id_again_s: float = number(
        60.0, 1.0, DAY_S, "the first client id is tried so often while an order's fate is unknown"
    )
    cancel_again_after_s: float = number(
        1.0, 0.01, 600.0, "a cancel that the broker did not obey is repeated after so long"
    )
    journal_patience_s: float = number(
        1.0,
        0.01,
        60.0,
        "a close under a latch goes without the journal when that has not answered for so long",
    )
    earlier_closes_after_s: float = number(
        8.0,
        0.0,
        600.0,
        "started under a latch: nothing is closed before a read that began so long after connecting",
    )
    max_working: int = whole(100, 1, 10_000, "opening orders at once")
    max_approved: int = whole(
        20, 1, 1_000, "orders at once between risk's approval and the wire, and as many closes"
    )
