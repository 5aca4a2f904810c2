"""What a latch of Strategy C that is on stands for."""

from __future__ import annotations

from enum import StrEnum


class LatchStanding(StrEnum):
    """While the latch is on nothing is opened; whether something is sold is told by this.

    ``ACTING``: a trigger put it on; the account is made flat.
    ``ON_HOLD``: nobody knows whether there was a trigger, since a file was lost or says nothing that can be read;
    nothing is sold until somebody says so.
    ``REARM_RECORDED``: an operator has taken it back while the link was down; that is carried out first when the link
    is back, and nothing is sold.
    """

    ACTING = "ACTING"
    ON_HOLD = "ON_HOLD"
    REARM_RECORDED = "REARM_RECORDED"
