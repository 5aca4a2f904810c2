"""When a single position is due to be closed (POS-3).

==================  ============================================================================================
emergency stop      the loss is at least 40 % of what was paid, seen twice; takes precedence
days to expiry      at most 3 calendar days, counted at the contract's exchange; 0 and expired (negative) count
==================  ============================================================================================

An unknown price triggers no emergency stop: nothing is known of the loss then.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.logic.zones import NEW_YORK, zone_of
from actors.model.contracts import Contract
from actors.model.orders import CloseReason
from actors.sections.positions import Positions

TOLERANCE: Final = 1e-11
"""A loss of exactly the limit must trigger although its binary form may lie a hair below."""


def days_to_expiry(contract: Contract, now: datetime) -> int | None:
    """Count the calendar days until expiry at the contract's exchange; negative when expired, None for a stock."""
    if contract.expiry is None:
        return None
    # New York when the broker names a zone that nobody knows: only what trades there is traded here.
    zone = zone_of(contract.time_zone) or NEW_YORK
    return (contract.expiry - now.astimezone(zone).date()).days


def is_near_expiry(days: int | None, settings: Positions) -> bool:
    """Tell whether so few days are left that the position has to go."""
    return days is not None and days <= settings.close_at_dte


def is_emergency(unrealized_pnl_pct: float | None, settings: Positions) -> bool:
    """Tell whether the loss, a ratio of the cost, has reached the emergency stop."""
    if unrealized_pnl_pct is None:
        return False
    return unrealized_pnl_pct <= -settings.emergency_loss_ratio + TOLERANCE


def closure_trigger(days: int | None, is_stopped: bool, settings: Positions) -> CloseReason | None:
    """Say why a position is due, or None; the emergency stop comes first."""
    if is_stopped:
        return CloseReason.EMERGENCY_STOP
    return CloseReason.THREE_DTE_RULE if is_near_expiry(days, settings) else None
