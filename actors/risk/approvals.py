"""How an order is judged: by the rules, perhaps by the orchestrator's own risk manager, and signed (ORD-3, RSK-7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from actors import messages as m
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.stories import root_id
from actors.messages.addresses import FACADE
from actors.model.account import Account
from actors.model.market import Quote
from actors.model.orders import Execution, ValidationResult
from actors.ports import EventLog
from actors.risk import baselines as calendar
from actors.risk.day_trades import count_day_trades, opened_today
from actors.risk.exposure_book import ExposureBook
from actors.risk.judging import EXTERNAL, closes, judge, judge_replaced
from actors.risk.limits import RecentOrder, RiskInputs, recent_order, still_recent
from actors.risk.losses import Losses
from actors.risk.openings import Openings
from actors.risk.permits import PermitIssuer
from actors.risk.rules import in_dollars, needs_day_trades
from actors.sections.positions import Positions
from actors.sections.risk import Risk

MAX_QUOTES: Final = 2_000
"""Quotes of so many contracts are remembered; without one a holding counts at its cost."""


class Approvals(Part):
    """Owns the newest quotes, the orders that were judged lately, and which positions are at their emergency stop.

    ``consults``: the orchestrator brought a risk manager, which is asked about what is opened.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Risk,
        permits: PermitIssuer,
        book: ExposureBook,
        losses: Losses,
        openings: Openings,
        closures: Positions,
        *,
        consults: bool,
        log: EventLog,
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._permits = permits
        self._book = book
        self._losses = losses
        self._openings = openings
        self._closures = closures
        self._stops: dict[int, float] = {}
        self._consults = consults
        self._log = log
        self._quotes: dict[int, Quote] = {}
        self._recent: tuple[RecentOrder, ...] = ()

    @handles(m.QuoteUpdated)
    def on_quote_updated(self, event: m.QuoteUpdated) -> None:
        """Remember the newest quote; of too many contracts, those that were quoted last."""
        con_id = event.quote.contract.con_id
        self._quotes.pop(con_id, None)
        if len(self._quotes) >= MAX_QUOTES:
            del self._quotes[next(iter(self._quotes))]
        self._quotes[con_id] = event.quote

    @handles(m.RequestApproval)
    async def on_request_approval(self, request: m.RequestApproval) -> None:
        """Judge, reserve, perhaps ask the orchestrator's own risk manager, and sign."""
        validation, reduces = self._judge(request), closes(request.order, self._book.ledger)
        if not validation.approved:
            self._reject(request, validation)
            return
        self._reserve(request)
        if self._consults and not reduces:
            external = await self._consulted(request)
            if not external.approved:
                self._take_back(request)
                self._reject(request, external)
                return
        self._approve(request, validation, reduces)

    # --- the rules ------------------------------------------------------------------------------------------------

    def _judge(self, request: m.RequestApproval) -> ValidationResult:
        inputs = self._inputs(request)
        replaced = self._consults and self._settings.external_replaces
        return (judge_replaced if replaced else judge)(inputs, self._settings)

    def _inputs(self, request: m.RequestApproval) -> RiskInputs:
        now, account, ledger = self._actor.clock.now(), self._losses.account, self._book.ledger
        contract = request.order.contract
        worth = calendar.least_equity(self._losses.baselines, account)
        counts = needs_day_trades(in_dollars(worth, account), self._settings)
        executions = _in_account(ledger.executions.values(), account) if counts else ()
        return RiskInputs(
            order=request.order,
            request=request.request,
            now=now,
            monotonic=self._actor.clock.monotonic(),
            ledger=ledger,
            quote=self._quotes.get(contract.con_id, request.quote),
            account=account,
            baselines=self._losses.baselines,
            losses=self._losses.ratios,
            prices=self._prices(),
            recent_orders=self._recent,
            day_trades=count_day_trades(executions, now) if counts else None,
            opened_today=opened_today(executions, now),
            latched=self._openings.latched,
            opening_blocked_by=self._openings.blocked_by(contract),
            over_pending=request.over_pending,
            close_at_dte=self._closures.close_at_dte,
            stops_reached=self._stops,
            emergency_loss_ratio=self._closures.emergency_loss_ratio,
        )

    @handles(m.StopsReached)
    def on_stops_reached(self, event: m.StopsReached) -> None:
        """Know what is closed by itself for its loss: nothing is added to it (RSK-8)."""
        self._stops = dict(event.losses)

    def _prices(self) -> dict[int, float]:
        return {
            con_id: quote.price for con_id, quote in self._quotes.items() if quote.price is not None
        }

    def _reserve(self, request: m.RequestApproval) -> None:
        """Reckon with the order from now on, whatever is judged meanwhile."""
        self._book.reserve(request.order, request.quote.price if request.quote else None)
        now = self._actor.clock.monotonic()
        recent = (*self._recent, recent_order(request.order, now))
        self._recent = still_recent(recent, now, self._settings)

    def _take_back(self, request: m.RequestApproval) -> None:
        """Release what was reserved for an order that will not be sent; a changed order keeps what it had."""
        self._book.settle(request.order.order_ref, request.replaced)

    # --- the orchestrator's own risk manager ----------------------------------------------------------------------

    async def _consulted(self, request: m.RequestApproval) -> ValidationResult:
        """Ask the orchestrator; its rejection, its error and its silence all reject an opening order (RSK-7)."""
        header = self._actor.on_behalf(request, "external")
        limit = self._actor.clock.monotonic() + self._settings.external_timeout_s
        header["deadline"] = min(header["deadline"], limit)
        question = m.ConsultRiskManager(**header, request=request.request)
        try:
            answer = await self._actor.asked(FACADE, question, m.RiskManagerAnswered)
        except GatewayError as error:
            reason = f"the orchestrator's risk manager failed: {error}"
            return ValidationResult(
                approved=False, rejection_reasons=(reason,), rejected_by=(EXTERNAL,)
            )
        return attrs.evolve(answer.validation, rejected_by=(EXTERNAL,))

    # --- the answer -----------------------------------------------------------------------------------------------

    def _approve(
        self, request: m.RequestApproval, validation: ValidationResult, reduces: bool
    ) -> None:
        """Issue a permit for exactly this order (D13)."""
        order = request.order
        self._actor.reply(
            request,
            m.OrderApproved(
                correlation_id=request.correlation_id,
                order_ref=order.order_ref,
                permit=self._permits.issue(order, self._book.ledger, reduces=reduces),
                validation=validation,
            ),
        )
        self._note("risk_approved", request, validation)

    def _reject(self, request: m.RequestApproval, validation: ValidationResult) -> None:
        self._actor.reply(
            request,
            m.OrderRejected(
                correlation_id=request.correlation_id,
                order_ref=request.order.order_ref,
                validation=validation,
            ),
        )
        self._note("risk_rejected", request, validation)

    def _note(self, event: str, request: m.RequestApproval, validation: ValidationResult) -> None:
        order = request.order
        self._log(
            event,
            level="INFO" if validation.approved else "WARNING",
            correlation_id=root_id(request.correlation_id),
            order_ref=order.order_ref,
            symbol=str(order.contract),
            action=order.action.value,
            quantity=order.quantity,
            rules=validation.rejected_by,
            reasons="; ".join(validation.rejection_reasons),
            notes="; ".join(validation.notes),
        )


def _in_account(executions: Iterable[Execution], account: Account | None) -> tuple[Execution, ...]:
    """Those of the account that is traded: a state directory may have seen another one before `account switch`."""
    ours = ("",) if account is None else ("", account.account_id)
    return tuple(item for item in executions if item.account in ours)
