"""One contract on its way to zero, on behalf of somebody."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from actors.kernel.stories import RequestHeader
from actors.logic.flattening import Mandate, Phase, Progress, Sight
from actors.model.contracts import Contract
from actors.model.orders import CloseReason


@attrs.define(kw_only=True, eq=False)
class Task:
    """Why a contract shall be flat, how far one may go, what was tried, and what is known of it.

    ``header`` makes the head of a closing order's request: its name, and how long it may take (seconds).
    ``leaves_remainder``: what is not filled by then rests at the broker; else it is cancelled.
    """

    contract: Contract
    mandate: Mandate
    reason: CloseReason
    header: Callable[[str, float], RequestHeader]
    close_timeout_s: float
    leaves_remainder: bool = True
    by_strategy_c: bool = False
    progress: Progress = attrs.field(factory=Progress)
    sight: Sight | None = None
    attempts: int = 0
    closing_since: float | None = None
    priced_since: float | None = None
    reprice_at: float | None = None
    rests_told: bool = False
    coarse_ticks: bool = False

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self.progress.phase

    @property
    def quantity(self) -> float:
        """What is held, as of the last look."""
        return 0.0 if self.sight is None else self.sight.quantity
