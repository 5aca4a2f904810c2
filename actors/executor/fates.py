"""Settles the fate of orders that the broker does not show, and asks for the reads and probes that it takes (RULES 1).

The rules are in `executor.fate`; here the evidence is gathered, the next piece is asked for when it is due, and the
verdicts are carried out. Nothing is ever sent again. Every reason not to settle an order is told once.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import attrs

from actors import messages as m
from actors.errors import ModeError
from actors.executor import fate
from actors.executor.cancels import Cancels
from actors.executor.case_file import CaseFile
from actors.executor.fate import Client, Evidence, Fate, Limits, Position, Probe, Step, Verdict, Why
from actors.executor.order_book import OrderBook, Tracked
from actors.executor.positions import Positions
from actors.executor.publishing import Publishing
from actors.executor.record import (
    QUANTITY_TOLERANCE,
    OrderRecord,
    fill_unproven,
    move,
    without_executions,
)
from actors.executor.session_facts import SessionFacts
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic.broker_codes import Meaning
from actors.logic.order_table import OrderState
from actors.messages.addresses import CONNECTION
from actors.model.connection import BrokerState
from actors.model.orders import RejectionKind
from actors.ports import EventLog
from actors.sections.orders import Orders

NOT_FOUND: Final = frozenset({135, 10147})
"""The broker's answers to a cancel of an order that it does not know; 135 means the same (assumed)."""

UNCLEAR: Final = frozenset({Meaning.QUERY, Meaning.DUPLICATE_ID})
"""What leaves open what became of the order."""

UNANSWERED: Final = frozenset({OrderState.AT_GATE, OrderState.SENT, OrderState.CANCELLING})
"""Where an order stands whose answer would be lost with the session."""

AGAIN_S: Final = 1.0
"""The least time between two looks, so that a read that does not come is not asked for in a row."""

MOST_WRONG: Final = 2
"""So many fills of orders that were declared dead stop automation in their contract."""

RENEW_APART_S: Final = 60.0
"""The least time between two new sessions that are made to learn an order's fate."""


@attrs.frozen(kw_only=True)
class FateDue(Message):
    """Told to oneself: some order's next step is due; ``number`` names the newest one that was planned.

    A message and no story's sleep: each evidence puts it off or brings it forward.
    """

    number: int


class Fates(Part):
    """Owns who was declared dead by absence, how often that was wrong, per contract, and when the next step is due."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Orders,
        log: EventLog,
        book: OrderBook,
        session: SessionFacts,
        positions: Positions,
        publishing: Publishing,
        cancels: Cancels,
    ) -> None:
        self._actor = actor
        self._log = log
        self._book = book
        self._session = session
        self._positions = positions
        self._publishing = publishing
        self._cancels = cancels
        self._limits = Limits(
            unknown_after_s=settings.unknown_after_s,
            absent_apart_s=settings.absent_apart_s,
            absent_after_s=settings.absent_after_s,
            other_client_after_s=settings.other_client_after_s,
            refused_apart_s=settings.refused_apart_s,
            probe_answer_s=settings.probe_answer_s,
            position_unchanged_s=settings.position_unchanged_s,
            outstanding_s=settings.absence_outstanding_s,
            first_id_again_s=settings.first_id_again_s,
        )
        self._began_at = actor.clock.monotonic()
        self._declared: dict[int, float] = {}
        self._wrong: Counter[int] = Counter()
        self._renewed_at: float | None = None
        self._told_unknown: bool | None = None
        self._planned = 0
        self._not_before = 0.0

    # --- evidence -------------------------------------------------------------------------------------------------

    def case_of(self, tracked: Tracked) -> CaseFile:
        """Give the order's file. One that an earlier incarnation sent left before this one began, at the latest."""
        if tracked.case is None:
            tracked.case = CaseFile.opened(self._began_at)
        return tracked.case

    def begin_read(self, message: m.Reconcile) -> None:
        """Know the positions that were read, and in which session, before orders are judged by it."""
        state = message.state
        self._positions.take_over(state.holdings, message.account, state.moving)
        for tracked in self._book.not_ended():
            case = self.case_of(tracked)
            case.in_session(message.session_began_at, message.sound_since)

    def end_read(self, state: BrokerState, absent: frozenset[str]) -> None:
        """Take in which orders a read of the broker's state does not show, and settle what can be settled."""
        now = self._actor.clock.monotonic()
        for tracked in self._book.not_ended():
            case, con_id = self.case_of(tracked), tracked.record.order.contract.con_id
            if tracked.record.order_ref not in absent:
                case.heard(now)
                self._compare_terms(tracked, case, state.began_at)
            elif con_id not in state.moving:
                quantity = self._positions.at_read(con_id)
                case.absent(state.began_at, complete=state.is_complete, quantity=quantity)
        self.settle()

    def _compare_terms(self, tracked: Tracked, case: CaseFile, began_at: float) -> None:
        """Call a change refused that two reads in a row do not show."""
        if tracked.record.pending_change is None:
            return
        case.has_old_terms(began_at)
        due_at = self._change_due_at(tracked)
        if due_at is not None and began_at >= due_at:
            self._keep_old_terms(tracked, case)

    def _change_due_at(self, tracked: Tracked) -> float | None:
        """When a second read may say that a change was not made; None where no first one did."""
        case, limits = tracked.case, self._limits
        if tracked.record.pending_change is None or case is None or case.old_terms_at is None:
            return None
        refused = case.change_refused is not None
        return case.old_terms_at + (limits.refused_apart_s if refused else limits.absent_apart_s)

    def _keep_old_terms(self, tracked: Tracked, case: CaseFile) -> None:
        """Tell whoever wanted the change that it was not made, and risk that nothing more is reserved for it."""
        change, tracked.change = tracked.change, None  # `update` would take it for made
        said = case.change_refused or "the broker goes on with the old terms"
        kept = attrs.evolve(tracked.record, pending_change=None)
        self._publishing.update(tracked, kept, f"the change was not made: {said}")
        if change is not None and change.modify is not None:
            refusal = ModeError(f"the broker refused the change: {said}")
            self._actor.refuse(change.modify, refusal)
        self._publishing.correct_risk(tracked)

    def heard(self, tracked: Tracked) -> None:
        """Take in a word about the order that says where it stands."""
        if tracked.case is not None:
            tracked.case.heard(self._actor.clock.monotonic())

    def told(self, tracked: Tracked, code: int, said: Meaning) -> None:
        """Take in a code that the broker sent under the order's id; only one that leaves its fate open matters."""
        case, now = self.case_of(tracked), self._actor.clock.monotonic()
        if said not in UNCLEAR or not tracked.record.is_live:
            return
        if tracked.record.pending_change is not None:
            case.change_unclear(now, tracked.record.last_notice or str(code))
        case.is_id_used = case.is_id_used or said is Meaning.DUPLICATE_ID
        if code in NOT_FOUND and tracked.record.cancel_requested:
            case.not_found()
        elif case.bytes_at >= self._session.began_at:
            # One that left in an earlier session is not meant: only its cancel was answered.
            case.refused(now)
        self.settle()

    def lives(self, tracked: Tracked) -> None:
        """Raise the alarm for an order that lives although it was declared dead, and cancel it."""
        self._alarm("dead_order_lives", tracked)
        self._cancels.cancel(tracked, "it was declared dead, and lives")

    def filled(self, tracked: Tracked) -> None:
        """Count a fill of an order that was declared dead, once per order; of any other it says nothing.

        The fill counts like every other: whoever holds what it turned closes that. A second one stops automation there.
        """
        case = tracked.case
        if case is not None and case.is_buried:
            case.is_buried = False
            self._wrong[tracked.record.order.contract.con_id] += 1
            self._alarm("dead_order_filled", tracked)

    def _alarm(self, event: str, tracked: Tracked) -> None:
        record = tracked.record
        self._log(
            event,
            level="CRITICAL",
            correlation_id=record.correlation_id,
            order_id=record.order_id,
            symbol=str(record.order.contract),
            times=self._wrong[record.order.contract.con_id],
        )

    def why_stopped(self, con_id: int) -> str | None:
        """Why nothing is sent automatically in a contract; None while it is."""
        times = self._wrong[con_id]
        if times < MOST_WRONG:
            return None
        return f"{times} orders filled here after they were declared dead: a human has to look (close reason MANUAL)"

    # --- settling -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Judge every order that is not shown, carry out the verdicts, and come back when the next step is due."""
        due: list[float] = []
        for tracked in self._book.not_ended():
            if self._is_open(tracked):
                verdict = self._judge(tracked)
                self._tell_reason(tracked, verdict)
                self._carry_out(tracked, verdict)
                if verdict.at is not None:
                    due.append(verdict.at)
            change_due_at = self._change_due_at(tracked)
            if change_due_at is not None:
                due.append(change_due_at)
        self._tell_connection(any(map(self._is_unknown, self._book.not_ended())))
        self._plan(min(due, default=None))

    def _tell_connection(self, unknown: bool) -> None:
        if unknown is not self._told_unknown:
            self._told_unknown = unknown
            self._actor.tell(CONNECTION, m.FatesUnknown(unknown=unknown))

    def _judge(self, tracked: Tracked) -> Verdict:
        return fate.judge(self._evidence(tracked), self._limits)

    def _is_open(self, tracked: Tracked) -> bool:
        """Whether it has to be settled: it is UNKNOWN, and was sent for all that is known."""
        return tracked.record.state is OrderState.UNKNOWN and tracked.case is not None

    def _is_unknown(self, tracked: Tracked) -> bool:
        """Whether its fate is to be found out; with the link down also that of one whose answer is lost with it."""
        if tracked.record.state in UNANSWERED:
            return not self._session.connected
        return self._is_open(tracked)

    def _evidence(self, tracked: Tracked) -> Evidence:
        record, case = tracked.record, self.case_of(tracked)
        declared = self._declared.get(record.order.contract.con_id)
        outstanding = declared if declared is not None and case.bytes_at >= declared else None
        return Evidence(
            now=self._actor.clock.monotonic(),
            bytes_at=case.bytes_at,
            heard_at=case.heard_at,
            session_began_at=self._session.began_at,
            sound_since=self._session.sound_since,
            client=self._client(record),
            is_refused=case.is_refused,
            is_wanted=not (record.cancel_requested or tracked.cancel.is_owed),
            absences=case.absences,
            position=self._position(record),
            probe=self._probe(record, case),
            probed_at=case.probed_at,
            outstanding_since=outstanding,
        )

    def _client(self, record: OrderRecord) -> Client:
        if self._session.is_addressable(record):
            return Client.SAME
        return Client.FALLBACK if self._session.is_fallback else Client.OTHER

    def _probe(self, record: OrderRecord, case: CaseFile) -> Probe:
        asked = case.probe is not Probe.NOT_ASKED
        if asked or (self._session.is_addressable(record) and record.broker_order_id):
            return case.probe if asked or not case.is_id_used else Probe.IMPOSSIBLE
        return Probe.IMPOSSIBLE

    def _position(self, record: OrderRecord) -> Position:
        """Compare the last read with what was held at sending and the executions that are known."""
        con_id, base = record.order.contract.con_id, record.position_base
        if base is None:
            return Position.UNKNOWN
        expected = self._positions.expected(base, con_id, record.created_at)
        moved = self._positions.at_read(con_id) - expected
        left = record.order.action.sign * (record.order.quantity - record.accounted_filled)
        if abs(moved) <= QUANTITY_TOLERANCE:
            return Position.SAME
        return Position.FILLED if abs(moved - left) <= QUANTITY_TOLERANCE else Position.MOVED

    # --- verdicts -------------------------------------------------------------------------------------------------

    def _tell_reason(self, tracked: Tracked, verdict: Verdict) -> None:
        case, record = self.case_of(tracked), tracked.record
        if case.reason == verdict.why:
            return
        case.reason = verdict.why
        self._log(
            "order_fate",
            level="INFO" if verdict.fate is Fate.UNKNOWN else "WARNING",
            correlation_id=record.correlation_id,
            order_id=record.order_id,
            fate=verdict.fate.value,
            reason=verdict.why.value,
            step=verdict.step.value,
        )

    def _carry_out(self, tracked: Tracked, verdict: Verdict) -> None:
        if verdict.fate is Fate.DEAD:
            self._bury(tracked, verdict.why)
        elif verdict.fate is Fate.FILLED:
            self._take_for_filled(tracked, verdict.why)
        elif verdict.step is Step.PROBE:
            self._cancels.cancel(tracked, "its cancel shows whether the broker knows it")
        elif (
            verdict.step is Step.NEW_SESSION
            and (verdict.at or 0.0) <= self._actor.clock.monotonic()
        ):
            self._renew(verdict.why)

    def _bury(self, tracked: Tracked, why: Why) -> None:
        """End an order that can fill no more: as refused, as over in part, or as LOST."""
        now, record = self._actor.clock.now(), tracked.record
        record = without_executions(record, record.reported_filled)
        if record.known_filled > 0.0:
            ended = move(
                record, OrderState.CANCELLED, now, "partly filled, and no longer at the broker"
            )
        elif why is Why.REFUSED and record.acknowledged_at is None:
            said, code = record.last_notice, record.last_code
            ended = move(record, OrderState.FAILED, now, said, RejectionKind.BROKER, code)
        elif why is Why.REFUSED:
            ended = move(record, OrderState.CANCELLED, now, record.last_notice)
        else:
            self._declared[record.order.contract.con_id] = self._actor.clock.monotonic()
            self.case_of(tracked).is_buried = True
            ended = move(record, OrderState.LOST, now, why.value)
        self._publishing.update(tracked, ended, why.value)

    def _take_for_filled(self, tracked: Tracked, why: Why) -> None:
        record = tracked.record
        left = record.order.quantity - record.accounted_filled
        con_id = record.order.contract.con_id
        self._positions.filled_unproven(record.order_ref, con_id, record.order.action.sign * left)
        filled = fill_unproven(record, self._actor.clock.now())
        self._publishing.update(tracked, filled, why.value)

    def _renew(self, why: Why) -> None:
        """Have another session made with the configured client id: now and then, and when no answer would be lost."""
        now = self._actor.clock.monotonic()
        if self._renewed_at is not None and now < self._renewed_at + RENEW_APART_S:
            return
        if any(tracked.record.state in UNANSWERED for tracked in self._book.not_ended()):
            return
        self._renewed_at = now
        self._actor.tell(CONNECTION, m.RenewSession(sender=self._actor.name, reason=why.value))

    # --- the next step --------------------------------------------------------------------------------------------

    def _plan(self, due_at: float | None) -> None:
        """Look again then. While the link is down there is nothing to do: the next session begins with a read."""
        self._planned += 1
        if due_at is None or not self._session.connected:
            return
        now = self._actor.clock.monotonic()
        left_s = max(due_at, self._not_before) - now
        self._actor.schedule(max(0.0, left_s), FateDue(number=self._planned))

    @handles(FateDue)
    def on_fate_due(self, message: FateDue) -> None:
        """Take the step that is due."""
        if message.number != self._planned or not self._session.connected:
            return
        now = self._actor.clock.monotonic()
        self._not_before = now + AGAIN_S
        if any(self._wants_a_read(tracked, now) for tracked in self._book.not_ended()):
            self._session.ask_for_reconciliation()
        self.settle()

    def _wants_a_read(self, tracked: Tracked, now: float) -> bool:
        change_due_at = self._change_due_at(tracked)
        if change_due_at is not None and change_due_at <= now:
            return True
        if not self._is_open(tracked):
            return False
        verdict = self._judge(tracked)
        return verdict.step is Step.READ and verdict.at is not None and verdict.at <= now
