"""What the executor needs to know from the configuration."""

from __future__ import annotations

import attrs

from actors.model.orders import ExecutionMode


@attrs.frozen(kw_only=True)
class ExecutorSettings:
    """What the executor needs to know; times in seconds. ``sends_orders`` is false in dry run (MODE-6)."""

    mode: ExecutionMode = ExecutionMode.DRY_RUN
    sends_orders: bool = False
    readonly: bool = False
    operator_id: str = "CSATSPRIM"
    quote_max_age_s: float = 5.0
    cancel_before_deadline_s: float = 1.0
    unknown_after_s: float = 10.0
    lost_after_s: float = 60.0
    cancel_again_after_s: float = 1.0
    max_working: int = 100
    history_bound: int = 10_000
