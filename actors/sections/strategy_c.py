"""The section ``[strategy_c]``: capital preservation after a disconnect."""

from __future__ import annotations

import attrs

from actors.sections.fields import DAY_S, Section, choice, number


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
    outage_over_after_s: float = number(
        60.0,
        1.0,
        3600.0,
        "an outage ends when the link was sound for so long; who re-arms in it has answered all of it",
    )
    step_timeout_s: float = number(
        10.0, 0.1, 600.0, "for steps to be written down, and for queued closes to be taken back"
    )
    close_timeout_s: float = number(
        30.0,
        0.1,
        3600.0,
        "for a close to be answered; what is not filled by then rests at the broker",
    )

    @property
    def whole_account(self) -> bool:
        """Tell whether whatever the account holds is in scope, and not only what this process trades."""
        return self.scope == "account"
