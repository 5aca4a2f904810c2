"""The section ``[strategy_c]``: capital preservation after a disconnect."""

from __future__ import annotations

import attrs

from actors.sections.fields import DAY_S, Section, choice, number, whole


@attrs.frozen(kw_only=True)
class StrategyC(Section):
    """Capital preservation after a disconnect."""

    grace_seconds: float = number(
        0.0, 0.0, 3600.0, "a link that is back within this triggers nothing"
    )
    data_quarantine_after_s: float = number(
        300.0,
        0.0,
        DAY_S,
        "data of what is held or traded is stale for so long in an open session; 0: never",
    )
    data_watch_every_s: float = number(
        2.0, 0.1, 60.0, "so often that data is asked for, where nobody else does"
    )
    scope: str = choice(
        "account", "managed", meaning='"managed": only orders and positions of this process'
    )
    step_timeout_s: float = number(10.0, 0.1, 600.0, "for cancels to be terminal, and for reads")
    close_timeout_s: float = number(30.0, 0.1, 3600.0, "for closes to fill, before the next round")
    max_close_rounds: int = whole(5, 1, 1000, "then an operator is called")
    queue_look_s: float = number(
        60.0,
        1.0,
        3600.0,
        "how often closes that wait at the broker for the open are compared with what is held",
    )

    @property
    def whole_account(self) -> bool:
        """Tell whether whatever the account holds is in scope, and not only what this process trades."""
        return self.scope == "account"
