"""Where a process stands, as one value: for the facade, the control channel and the command line."""

from __future__ import annotations

import attrs

from actors.logic.accounts import masked
from actors.messages.connection import ConnectionStatus
from actors.messages.liquidation import LiquidationStatus
from supervision.children import ChildStatus


@attrs.frozen(kw_only=True)
class ProcessStatus:
    """The answers to: what mode, which gateway, is the link up, may anything be opened, is everybody alive?"""

    mode: str
    endpoint: str
    connection: str
    session_id: str | None
    accounts: tuple[str, ...]
    last_error: str | None
    opening_blocked_by: str | None
    latched: bool
    latch_reason: str | None
    liquidation_step: str
    liquidation_flat: bool | None
    actors: tuple[ChildStatus, ...]
    dead_letters: int


def describe_process(
    *,
    mode: str,
    endpoint: str,
    connection: ConnectionStatus,
    liquidation: LiquidationStatus,
    actors: tuple[ChildStatus, ...],
    dead_letters: int,
) -> ProcessStatus:
    """Put together what the parts say of themselves; accounts are masked (OBS-4)."""
    report = liquidation.report
    return ProcessStatus(
        mode=mode,
        endpoint=endpoint,
        connection=connection.state.value,
        session_id=connection.session_id,
        accounts=tuple(masked(account) for account in connection.accounts),
        last_error=connection.last_error,
        opening_blocked_by=connection.opening_blocked_by,
        latched=liquidation.latched,
        latch_reason=liquidation.reason,
        liquidation_step=liquidation.step,
        liquidation_flat=report.flat if report else None,
        actors=actors,
        dead_letters=dead_letters,
    )
