"""The account's numbers, what they are compared with, and the limits of loss that call Strategy C (STC-1)."""

from __future__ import annotations

from collections.abc import Iterable

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.messages.addresses import JOURNAL, STRATEGY_C
from actors.model.account import Account
from actors.risk import baselines as calendar
from actors.risk.baselines import Baselines
from actors.risk.judging import loss_breaches
from actors.sections.risk import Risk


class Losses(Part):
    """Owns the account, the baselines of day and week, and which breaches Strategy C has acted on."""

    def __init__(self, actor: SupervisedActor, settings: Risk) -> None:
        self._actor = actor
        self._settings = settings
        self._acted_on: dict[tuple[str, str], bool] = {}
        self.account: Account | None = None
        self.baselines = Baselines()

    def remember(self, baselines: Iterable[tuple[str, str, float]]) -> None:
        """Go on with the baselines of the journal."""
        self.baselines = calendar.from_journal(baselines)

    @handles(m.AccountChanged)
    def on_account_changed(self, event: m.AccountChanged) -> None:
        """Take over the account's numbers, and look at the losses."""
        self.take_over(event.account)

    def take_over(self, account: Account) -> None:
        """Take over the account's numbers, begin a day or week with them, and look at the losses."""
        self.account = account
        now = self._actor.clock.now()
        self.baselines, begun = calendar.roll(self.baselines, account, now)
        for baseline in begun:
            self._actor.tell(
                JOURNAL,
                m.RecordBaseline(
                    kind=baseline.kind, key=baseline.key, value=baseline.value, at=now
                ),
            )
        self._check()

    def _check(self) -> None:
        now = self._actor.clock.now()
        for breach in loss_breaches(self.baselines, self.account, now, self._settings):
            key = (breach.reason.value, calendar.day_key(now))
            if self._acted_on.setdefault(key, False):
                continue
            self._actor.tell(
                STRATEGY_C,
                m.LossLimitBreached(
                    reason=breach.reason,
                    loss=breach.loss_ratio,
                    limit=breach.limit_ratio,
                    at=now,
                ),
            )

    def latched(self) -> None:
        """Strategy C has latched: the breaches have arrived, and are not told again."""
        self._acted_on = dict.fromkeys(self._acted_on, True)
