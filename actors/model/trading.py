"""How this process trades, as its parts are told."""

from __future__ import annotations

import attrs

from actors.model.orders import OPERATOR_ID, ExecutionMode


@attrs.frozen(kw_only=True)
class Trading:
    """What follows from mode and configuration together, decided once, where the process is built.

    ``sends_orders``: an approved order leaves this process (MODE-1). ``readonly``: the connection refuses every order.
    """

    mode: ExecutionMode = ExecutionMode.DRY_RUN
    operator_id: str = OPERATOR_ID
    sends_orders: bool = False
    readonly: bool = False

    @property
    def requires_paper(self) -> bool:
        """Tell whether only a paper account will do (MODE-2)."""
        return self.mode is ExecutionMode.PAPER
