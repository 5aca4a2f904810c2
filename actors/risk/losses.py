"""The account's numbers, what positions lost since day and week began, and the limits that call Strategy C (STC-1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import attrs

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.regular_hours import regular_session
from actors.messages.addresses import JOURNAL, LINK, STRATEGY_C
from actors.model.account import Account, Mark
from actors.ports import EventLog
from actors.risk import baselines as calendar
from actors.risk.accounting import losses, take_note
from actors.risk.baselines import LAST, NO_BASELINES, Baseline
from actors.risk.exposure import Exposure
from actors.risk.exposure_book import ExposureBook
from actors.risk.judging import LossBreach, loss_breaches
from actors.risk.limits import UNKNOWN_LOSSES, PeriodLosses
from actors.risk.profit import Moved, profit
from actors.risk.remembered import baselines_of, owner_of, record_of
from actors.risk.two_looks import SECOND_LOOK_S, Seen, look
from actors.sections.risk import Risk

SAVED_EVERY_S: Final = 600.0
"""What is known last is written so often, for a process that begins after a night (a period begins there)."""

REFRESH_RATIO: Final = 0.002
REFRESHED_EVERY_S: Final = 15.0
"""The account is asked for anew when it moved by this share and the marks did not, no more often than that."""

UNVALUED_EVERY_S: Final = 60.0
"""So often what has no price is looked at again."""


@attrs.frozen(kw_only=True)
class LossesDue(Message):
    """Look at the losses again; told to oneself."""


class Losses(Part):
    """Owns the account, its baselines, and which breaches Strategy C has acted on.

    ``endpoint`` is the kind of gateway: its accounts have baselines of their own. ``changed`` is called when the
    account's numbers have.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Risk,
        book: ExposureBook,
        *,
        endpoint: str,
        changed: Callable[[], None],
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._book = book
        self._endpoint = endpoint
        self._changed = changed
        self._log = log
        self.account: Account | None = None
        self.baselines = NO_BASELINES
        self._recorded: tuple[m.RecordBaseline, ...] = ()
        self._owner = ""
        self._marks: dict[int, Mark] = {}
        self._held: Mapping[int, Exposure] = {}
        """What was held when the account was looked at last."""
        self._moving: Collection[int] = ()
        self._acted_on: dict[tuple[str, str], bool] = {}
        self._seen: Mapping[str, Seen] = {}
        self._saved_at: float | None = None
        self._timer: Cancellable | None = None
        self._unvalued_s = 0.0
        """So many seconds of session something that is held has had no price."""
        self._unvalued_at: float | None = None
        self._unexplained = 0.0
        """What positions did not explain of the day when the marks were asked for last."""
        self._refreshed_at: float | None = None
        self._ratios = UNKNOWN_LOSSES
        self._made_of: tuple[object, ...] | None = None
        """What the ratios were reckoned from: every order asks for them."""

    def remember(self, recorded: Iterable[m.RecordBaseline]) -> None:
        """Know the baselines of the journal, until it is known whose are wanted."""
        self._recorded = tuple(recorded)

    # --- the account ----------------------------------------------------------------------------------------------

    @handles(m.AccountChanged)
    def on_account_changed(self, event: m.AccountChanged) -> None:
        """Take over the account's numbers, and look at the losses."""
        self._note(event.account)

    def take_over(self, account: Account, moving: Collection[int]) -> None:
        """Take over what was read of the account, together with its positions, and look at the losses."""
        self._moving = moving
        self._note(account)

    def _note(self, account: Account) -> None:
        self.account = account
        owner = owner_of(self._endpoint, account.account_id)
        if owner != self._owner:
            self._owner, self.baselines = owner, baselines_of(self._recorded, owner)
            self._marks, self._seen, self._held = {}, {}, {}
        self._marks.update(account.marks)
        if not self._book.ledger.known:
            return
        self._take_note(account)
        self._save_last(account)
        self._refresh(account)
        self.check()
        self._changed()

    def _take_note(self, account: Account) -> None:
        """Begin a day or week, and move what began by what changed hands without an execution."""
        noted = take_note(
            self.baselines,
            self._book.ledger,
            account,
            self._marks,
            self._actor.clock.now(),
            self._held,
            moving=self._moving,
            has_just_started=self._saved_at is None,
        )
        self.baselines, self._held = noted.baselines, self._book.ledger.positions
        for each in noted.begun:
            self._record(each)
            self._log("baseline_begun", kind=each.kind, key=each.key, value=round(each.value, 2))
        for baseline, moved in noted.moved:
            self._record(baseline, _told(moved))
            for what in moved:
                self._tell_moved(baseline, what)

    def _refresh(self, account: Account) -> None:
        """Ask for marks of the moment when the account moves and its positions do not: the broker tells them rarely."""
        now, worth, day = self._actor.clock.monotonic(), account.net_liquidation, self.baselines.day
        if worth is None or day is None:
            return
        unexplained = worth - day.value - profit(day, self._book.ledger, account).gained
        moved = abs(unexplained - self._unexplained) >= REFRESH_RATIO * worth
        rested = self._refreshed_at is None or now - self._refreshed_at >= REFRESHED_EVERY_S
        if moved and rested:
            self._unexplained, self._refreshed_at = unexplained, now
            self._actor.tell(LINK, m.RefreshAccount())

    def _tell_moved(self, baseline: Baseline, moved: Moved) -> None:
        self._log(
            "baseline_moved",
            level="WARNING",
            kind=baseline.kind,
            con_id=moved.con_id,
            quantity=moved.quantity,
            amount=round(moved.value, 2),
            reason="split" if moved.is_split else "shares came or went without an execution",
        )

    def _save_last(self, account: Account) -> None:
        now, key = self._actor.clock.monotonic(), calendar.day_key(self._actor.clock.now())
        if self._saved_at is not None and now - self._saved_at < SAVED_EVERY_S:
            return
        last = calendar.snapshot(LAST, key, self._book.ledger, account)
        if last is not None:
            self._saved_at = now
            self.baselines = self.baselines.with_((last,))
            self._record(last)

    def move(self, changed: Collection[Baseline], why: str, who: str = "risk") -> None:
        """Put in baselines that were moved, and make that durable."""
        self.baselines = self.baselines.with_(changed)
        for each in changed:
            self._record(each, why, who)

    def _record(self, baseline: Baseline, why: str = "", who: str = "risk") -> None:
        now = self._actor.clock.now()
        self._actor.tell(JOURNAL, record_of(baseline, self._owner, now, why, who))

    # --- losses ---------------------------------------------------------------------------------------------------

    @property
    def ratios(self) -> PeriodLosses:
        """What positions have lost since the day and the week began."""
        account, ledger = self.account, self._book.ledger
        if account is None:
            return UNKNOWN_LOSSES
        made_of = (account, ledger.positions, ledger.executions, self.baselines, self._counts_rest)
        if self._made_of is None or any(
            one is not other for one, other in zip(self._made_of, made_of, strict=True)
        ):
            self._made_of = made_of
            self._ratios = losses(self.baselines, ledger, account, counts_rest=self._counts_rest)
        return self._ratios

    @property
    def _counts_rest(self) -> bool:
        return self._unvalued_s >= self._settings.uncomputed_after_s

    def check(self) -> None:
        """Look at the losses; Strategy C is told what was seen at two looks."""
        self._count_unvalued()
        now = self._actor.clock.monotonic()
        breaches = {each.reason.value: each for each in loss_breaches(self.ratios, self._settings)}
        self._seen, confirmed = look(self._seen, breaches, now)
        for reason in confirmed:
            self._tell(breaches[reason])
        if len(confirmed) < len(breaches):
            self._look_again(SECOND_LOOK_S)
        elif self._unvalued_at is not None:
            self._look_again(UNVALUED_EVERY_S)

    def _tell(self, breach: LossBreach) -> None:
        now = self._actor.clock.now()
        day = self.baselines.day
        key = (breach.reason.value, calendar.day_key(now) if day is None else day.key)
        if self._acted_on.setdefault(key, False):
            return
        self._actor.tell(
            STRATEGY_C,
            m.LossLimitBreached(
                reason=breach.reason, loss=breach.loss_ratio, limit=breach.limit_ratio, at=now
            ),
        )

    def latched(self) -> None:
        """Strategy C has latched: the breaches have arrived, and are not told again."""
        self._acted_on = dict.fromkeys(self._acted_on, True)

    def _count_unvalued(self) -> None:
        """Count for how long of the session something has had no price: then its loss is taken for one."""
        account, now = self.account, self._actor.clock.monotonic()
        is_unvalued = account is not None and any(
            profit(each, self._book.ledger, account).unvalued for each in self.baselines.running
        )
        if not is_unvalued:
            self._unvalued_s, self._unvalued_at = 0.0, None
            return
        since, self._unvalued_at = self._unvalued_at, now
        if since is not None and regular_session(self._actor.clock.now()) is not None:
            self._unvalued_s += now - since

    def _look_again(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._actor.schedule(delay_s, LossesDue())

    @handles(LossesDue)
    def on_losses_due(self, _: LossesDue) -> None:
        """Look again."""
        self._timer = None
        if self._book.ledger.known:
            self.check()


def _told(moved: Iterable[Moved]) -> str:
    """Say what moved a baseline, for the audit trail."""
    return "; ".join(
        f"{each.quantity:+g} of {each.con_id} {'split' if each.is_split else 'without an execution'}"
        f" ({each.value:+,.2f})"
        for each in moved
    )
