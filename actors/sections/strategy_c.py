"""The section ``[strategy_c]``: capital preservation after a disconnect."""

from __future__ import annotations

import attrs

from actors.sections.fields import DAY_S, Section, Text, choice, key, number, whole


@attrs.frozen(kw_only=True)
class StrategyC(Section):
    """Capital preservation after a disconnect."""

    grace_seconds: float = number(
        0.0, 0.0, 3600.0, "a link that is back within this triggers nothing"
    )
    covered_grace_s: float = number(
        0.0, 0.0, 3600.0, "the same where stops at the broker cover all that is held, confirmed"
    )
    before_session_s: float = number(
        900.0,
        0.0,
        DAY_S,
        "a link lost while nothing that is held is in session triggers so long before the first is",
    )
    own_unsound_s: float = number(
        15.0, 0.0, 600.0, "our own defects may keep the link away for so long in sum, per incident"
    )
    own_failures: int = whole(3, 1, 100, "so many of them within own_window_s trigger")
    own_window_s: float = number(60.0, 1.0, 3600.0, "see own_failures")
    own_stable_s: float = number(60.0, 1.0, 3600.0, "a link sound for so long ends an incident")
    client_id_held_s: float = number(
        60.0, 0.0, 600.0, "after an own defect the old session may hold the client id for so long"
    )
    data_quarantine_after_s: float = number(
        300.0,
        0.0,
        DAY_S,
        "data of what is held or traded is frozen or dead for so long in an open session; 0: never",
    )
    data_settles_s: float = number(
        120.0, 0.0, 3600.0, "nothing is called so before, after an open, a break or a halt"
    )
    data_bars_every_s: float = number(
        20.0, 1.0, 600.0, "so often the bars of data that stands still are asked for, and witnesses"
    )
    data_witnesses: str = key(
        "SPY,QQQ",
        Text(r"[A-Z0-9.]{1,12}(,[A-Z0-9.]{1,12}){0,9}", "symbols, apart by commas"),
        "whose quotes show that the feed lives where bars are not answered",
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
