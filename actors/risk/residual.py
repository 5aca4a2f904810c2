"""The watch for transfers, and for what neither positions nor transfers explain (RULES 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from actors import messages as m
from actors.errors import ModeError, OrderValidationError
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.executions import NO_EXECUTIONS
from actors.messages.addresses import CONNECTION
from actors.ports import EventLog
from actors.risk.baselines import Baseline
from actors.risk.exposure_book import ExposureBook
from actors.risk.losses import Losses
from actors.risk.two_looks import SECOND_LOOK_S, Seen, look
from actors.risk.unexplained import (
    Unexplained,
    belongs_together,
    moved_by,
    residual_limit,
    unexplained,
)
from actors.sections.risk import Risk

SETTLED_S: Final = 10.0
"""Values and executions have to be so old: the broker tells them one after the other."""


@attrs.frozen(kw_only=True)
class ResidualDue(Message):
    """Look at the residual again; told to oneself."""


class Residual(Part):
    """Moves the baselines by transfers, and blocks openings while too much is unexplained.

    Owns what was seen of both, and since when. It never suspends the rules of losses.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Risk,
        book: ExposureBook,
        losses: Losses,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._book = book
        self._losses = losses
        self._log = log
        self._executions = NO_EXECUTIONS
        self._changed_at = 0.0
        self._transfers: Mapping[tuple[str, int], Seen] = {}
        self._since: float | None = None
        self._paged_at: float | None = None
        self._timer: Cancellable | None = None
        self.reason: str | None = None
        """Why nothing is opened; None while nothing is wrong with the account."""

    def account_changed(self) -> None:
        """Look once the broker has told all that belongs together."""
        self._changed_at = self._actor.clock.monotonic()
        self._look_again(SETTLED_S)

    def tell(self) -> None:
        """Say again what blocks: whoever is told may have been restarted."""
        self._actor.tell(CONNECTION, m.AccountTroubled(reason=self.reason))

    @handles(ResidualDue)
    def on_residual_due(self, _: ResidualDue) -> None:
        """Compare the account with its positions, once nothing moves."""
        self._timer = None
        executions, now = self._book.ledger.executions, self._actor.clock.monotonic()
        if executions is not self._executions:
            self._executions, self._changed_at = executions, now
        left_s = self._changed_at + SETTLED_S - now
        account = self._losses.account
        if account is None or not self._book.ledger.known:
            return
        if left_s > 1e-6:
            self._look_again(left_s)
        elif belongs_together(account, self._book.ledger):
            self._judge(self._found(), now)
        if self.reason is not None:
            self._page(now)

    def _found(self) -> list[tuple[Baseline, Unexplained]]:
        account, ledger = self._losses.account, self._book.ledger
        if account is None:
            return []
        compared = (
            (each, unexplained(each, ledger, account)) for each in self._losses.baselines.running
        )
        return [(each, found) for each, found in compared if found is not None]

    def _judge(self, found: list[tuple[Baseline, Unexplained]], now: float) -> None:
        transfers = {
            (each.kind, round(item.transfer)): (each, item) for each, item in found if item.transfer
        }
        self._transfers, confirmed = look(self._transfers, transfers, now)
        for key in confirmed:
            self._take_transfer(*transfers[key])
        if len(confirmed) < len(transfers):
            self._look_again(SECOND_LOOK_S)
        over = [
            (each, item.residual)
            for each, item in found
            if abs(item.residual) > residual_limit(each, self._settings)
        ]
        if not over:
            self._gone()
        else:
            self._stands(*max(over, key=lambda each: abs(each[1])), now)

    def _take_transfer(self, baseline: Baseline, found: Unexplained) -> None:
        """Move a baseline by what came in or went out: a transfer, or a fee or interest that was booked."""
        amount = found.transfer
        why = f"cash changed by {amount:+,.2f} without an execution"
        self._losses.move((moved_by(baseline, amount, found),), why)
        self._log(
            "baseline_moved",
            level="WARNING",
            kind=baseline.kind,
            amount=round(amount, 2),
            reason=why,
        )

    def _stands(self, baseline: Baseline, residual: float, now: float) -> None:
        if self._since is None:
            self._since = now
        left_s = self._since + self._settings.residual_after_s - now
        if left_s > 1e-6:
            self._look_again(left_s)
            return
        limit = residual_limit(baseline, self._settings)
        self.reason = (
            f"the account changed by ({residual:+,.2f}) since the {baseline.kind} began that neither its positions nor"
            f" transfers explain, limit ({limit:,.2f}); look into it, then: account acknowledge-residual"
        )
        self.tell()

    def _gone(self) -> None:
        self._since = None
        if self.reason is not None:
            self._log("account_residual_gone", reason=self.reason)
            self.reason = self._paged_at = None
            self.tell()

    def _page(self, now: float) -> None:
        """Alarm, every quarter of an hour until a person has acknowledged it."""
        every_s = self._settings.residual_page_s
        if self._paged_at is None or now - self._paged_at >= every_s - 1e-6:
            self._paged_at = now
            self._log("account_residual", level="CRITICAL", reason=self.reason)
        self._look_again(self._paged_at + every_s - now)

    @handles(m.AcknowledgeResidual)
    def on_acknowledge_residual(self, request: m.AcknowledgeResidual) -> None:
        """Take what is unexplained for explained by a person: it moves the baselines, and blocks nothing any more."""
        if not _is_said(request.who) or not _is_said(request.why):
            who_and_why = "acknowledging needs who and why, for the audit trail"
            self._actor.refuse(request, OrderValidationError(who_and_why))
            return
        if self.reason is None:
            self._actor.refuse(request, ModeError("there is no residual to acknowledge"))
            return
        found = self._found()
        moved = tuple(moved_by(each, item.worth, item) for each, item in found)
        self._losses.move(moved, f"residual acknowledged: {request.why}", request.who)
        amount = max((item.worth for _, item in found), key=abs, default=0.0)
        self._log(
            "account_residual_acknowledged",
            level="WARNING",
            who=request.who,
            why=request.why,
            amount=round(amount, 2),
        )
        self._gone()
        answer = m.ResidualAcknowledged(
            correlation_id=request.correlation_id, amount=round(amount, 2)
        )
        self._actor.reply(request, answer)

    def _look_again(self, delay_s: float) -> None:
        """Have one timer, the sooner one."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._actor.schedule(max(delay_s, 0.0), ResidualDue())


def _is_said(text: object) -> bool:
    """Whatever a caller sends is answered: it may be no text at all."""
    return isinstance(text, str) and bool(text.strip())
