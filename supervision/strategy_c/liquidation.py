"""One liquidation: every contract in scope is flattened for itself, and flat is said when all of it is proved (D16).

::

    LATCHING → (WAITING_FOR_LINK) → CANCELLING · READING · CLOSING · QUEUED · VERIFYING → DONE ⟲ on watch while latched

The steps between are those of the contract that is furthest behind: no contract waits for another. `DONE` is reached
when nothing is left but what only a hand can close, which is named. It never gives up: what is held after all, or comes
to be held later, is flattened too, for as long as the latch is on. A simulated liquidation reports "would close …" and
never claims flat (MODE-6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from actors import messages as m
from actors.closing.flattener import SHORTEST_LOOK_S, Flattener
from actors.closing.task import Task
from actors.errors import GatewayError
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part
from actors.logic import flattening
from actors.logic.flattening import Mandate, Phase, Progress, Sight
from actors.messages.addresses import CONNECTION, FACADE, JOURNAL, LINK
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import OrderAction, OrderResult, OrderStatus
from actors.model.trading import Trading
from actors.ports import EventLog
from actors.sections.flattening import Flattening
from actors.sections.strategy_c import StrategyC
from supervision.strategy_c.latch import Latch
from supervision.strategy_c.scope import Scope

LATCHING: Final = "LATCHING"
DONE: Final = "DONE"
NOT_RUNNING: Final = "IDLE"
"""What `status` calls a Strategy C that never ran."""

_STEPS: Final = (
    (frozenset({Phase.UNLINKED}), "WAITING_FOR_LINK"),
    (frozenset({Phase.CANCELLING}), "CANCELLING"),
    (frozenset({Phase.NEW, Phase.SETTLING, Phase.READING}), "READING"),
    (frozenset({Phase.CLOSING, Phase.RESTING, Phase.COVERING}), "CLOSING"),
    (frozenset({Phase.WAITING}), "QUEUED"),
    (frozenset({Phase.VERIFYING}), "VERIFYING"),
)
"""The step of the whole by the phases of its contracts: the first that one of them is in."""

_OVER: Final = frozenset({Phase.FLAT, Phase.BY_HAND})
_IDLE: Final = _OVER | {Phase.WAITING, Phase.UNLINKED}
_MOVING: Final = frozenset({Phase.NEW, Phase.SETTLING, Phase.READING, Phase.CANCELLING})
_ACCOUNT: Final = Contract(con_id=1, symbol="account", security_type=SecurityType.OTHER)
"""Stands for an account in which nothing is held: that is proved like a contract's end."""


class Liquidation(Part):
    """Owns the liquidation that runs, or ran last: where it stands, and what it will report."""

    def __init__(
        self,
        actor: SupervisedActor,
        settings: StrategyC,
        limits: Flattening,
        trading: Trading,
        log: EventLog,
        latch: Latch,
        scope: Scope,
        flattener: Flattener,
        *,
        over: Callable[[], None],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._limits = limits
        self._trading = trading
        self._log = log
        self._latch = latch
        self._scope = scope
        self._flattener = flattener
        self._over = over
        self.step = NOT_RUNNING
        self.report: m.LiquidationReport | None = None
        self._started_at: datetime | None = None
        self._proof = Progress()
        self._counts_from = -math.inf
        self._cancelled: list[str] = []
        self._closed: list[str] = []
        self._told: tuple[str, ...] | None = None
        self._runs = False
        self._link_told: m.FlatteningChanged | None = None

    # --- beginning and end ----------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether something is still to be done, the latch included."""
        return self.step not in (NOT_RUNNING, DONE)

    @property
    def is_flattening(self) -> bool:
        """Whether the latch was tried, and contracts are on their way to zero."""
        return self.is_running and self.step != LATCHING

    @property
    def queued(self) -> tuple[str, ...]:
        """What waits for its session, in words."""
        waiting = (task for task in self._flattener.tasks.values() if task.phase is Phase.WAITING)
        return tuple(map(self._queued, waiting))

    def _queued(self, task: Task) -> str:
        sight = task.sight
        opens_at = self._flattener.side.opens_at(task.contract.con_id)
        if sight is None or opens_at is None:
            return f"{task.quantity:g} {task.contract}: trading is halted"
        at = f"the open at {opens_at:%Y-%m-%d %H:%M} UTC"
        if flattening.is_covered(sight):
            return f"{task.quantity:g} {task.contract}: its stop covers it until {at}"
        return f"{sight.closing_action} {abs(task.quantity):g} {task.contract} queued for {at}"

    @property
    def held(self) -> tuple[str, ...]:
        """What is held in scope, by name."""
        holdings = self._scope.of(self._flattener.side.holdings.values())
        return tuple(f"{held.quantity:g} {held.contract.position_id}" for held in holdings)

    @property
    def at_work(self) -> tuple[str, ...]:
        """The contracts on which a step is under way; what waits, or rests at the broker, is not among them."""
        return tuple(
            _situation(task) for task in self._flattener.tasks.values() if _is_moving(task)
        )

    def latching(self) -> None:
        """Take note of a new trigger; `begin` follows."""
        self._reset()
        self.step = LATCHING

    def begin(self, why: str) -> None:
        """Flatten all that is in scope, from now on and for as long as the latch is on."""
        self._runs = True
        self._go("CANCELLING" if self._flattener.side.linked else "WAITING_FOR_LINK", why)
        self._look_around()

    def resume(self, step: str | None) -> None:
        """Take up a liquidation whose latch is durable, after a crash at any step. One that was DONE is on watch."""
        self._reset()
        self._runs = True
        if step == DONE:
            self.step = DONE
            self._told = ()
        else:
            self.begin("resumed")

    def stop(self) -> None:
        """The latch was taken back: leave everything alone from now on."""
        self._runs = False
        self._tell_link(is_running=False)
        self.step = NOT_RUNNING
        for con_id in tuple(self._flattener.tasks):
            self._flattener.end(con_id)

    def pause(self) -> None:
        """Leave the contracts alone while an operator takes their queued closes back."""
        self._runs = False
        self._tell_link(is_running=False)
        for con_id in tuple(self._flattener.tasks):
            self._flattener.end(con_id)

    def go_on(self) -> None:
        """Go on after all."""
        if self.step not in (NOT_RUNNING, LATCHING):
            self._runs = True
            self._look_around()

    def _reset(self) -> None:
        self._started_at = self._actor.clock.now()
        self._counts_from = self._actor.clock.monotonic()
        self._proof = Progress()
        self._cancelled.clear()
        self._closed.clear()
        self._told = None
        for con_id in tuple(self._flattener.tasks):
            self._flattener.end(con_id)

    # --- what there is to flatten ---------------------------------------------------------------------------------

    def link_came_up(self) -> None:
        """The world is reconciled: look at all of it anew."""
        if self._runs:
            self._look_around()

    def _look_around(self) -> None:
        """Take on every contract in scope that is held, or in which somebody's order works."""
        if not self._runs:
            return
        if not self._trading.sends_orders:
            self._rehearse()
            return
        for held in self._scope.of(self._flattener.side.holdings.values()):
            self._take_on(held.contract)
        if self._scope.whole_account:
            for contract in self._flattener.side.contracts_of_others.values():
                self._take_on(contract)
        self._flattener.wake()

    def watch(self) -> None:
        """Look around after each word of the broker: what comes to be held while the latch is on goes too."""
        if not self._runs:
            return
        news = [
            held
            for held in self._scope.of(self._flattener.side.holdings.values())
            if held.contract.con_id not in self._flattener.tasks
        ]
        if news and self.step == DONE and self._trading.sends_orders:
            held = news[0]
            text = f"{held.quantity:g} {held.contract.position_id} held after all"
            self.alarm(f"{text}: the liquidation begins anew")
            self._told = None
        self._look_around()

    def found(self, orders: Iterable[m.LiveOrder]) -> None:
        """Take on the contracts in which an order of ours can still fill, held or not."""
        if self._runs and self._trading.sends_orders:
            for live in orders:
                self._take_on(live.order.contract)

    def _take_on(self, contract: Contract) -> None:
        if contract.con_id in self._flattener.tasks:
            return
        self._flattener.begin(
            Task(
                contract=contract,
                mandate=Mandate(foreign=self._scope.whole_account, queues=True),
                reason=self._latch.close_reason,
                header=self._actor.of_our_own,
                close_timeout_s=self._settings.close_timeout_s,
                by_strategy_c=True,
            )
        )

    # --- what is done ---------------------------------------------------------------------------------------------

    def looked(self) -> None:
        """Say where the whole stands after a look at its contracts, and prove it flat when nothing is left."""
        if not self._runs or not self._trading.sends_orders:
            return
        tasks = self._flattener.tasks
        for con_id in [key for key, task in tasks.items() if task.phase is Phase.FLAT]:
            self._flattener.end(con_id)
        phases = {task.phase for task in tasks.values()}
        self._tell_link(is_running=bool(phases - _IDLE) or (self._told is None and not phases))
        if phases - _OVER:
            self._proof = Progress()
            self._counts_from = max(self._counts_from, self._actor.clock.monotonic())
            self._go(_step_of(phases), "; ".join(map(_situation, tasks.values())))
        elif self._told is None or self._told != self._remaining():
            self._prove()

    def _prove(self) -> None:
        """All contracts are at their end: two reads of the whole account say so (STC-2)."""
        now = self._actor.clock.monotonic()
        sight = Sight(
            contract=_ACCOUNT,
            quantity=0.0,
            linked=self._flattener.side.linked,
            read_at=self._flattener.side.read_at,
            word_at=self._counts_from - self._limits.verify_gap_s,
        )
        outcome = flattening.next_step(self._proof, sight, Mandate(), now, self._limits)
        self._proof = outcome.progress
        if outcome.actions:
            self._actor.tell(CONNECTION, m.RequestReconciliation(sender=self._actor.name))
        if self._proof.phase is Phase.FLAT:
            self._end()
            return
        self._go("VERIFYING" if self._flattener.side.linked else "WAITING_FOR_LINK", "")
        if outcome.look_in_s < math.inf:
            self._flattener.wake(max(outcome.look_in_s, SHORTEST_LOOK_S))

    def _end(self) -> None:
        remaining = self._remaining()
        self._go(DONE, "not flat: by hand" if remaining else "flat")
        self._told = remaining
        self._tell_link(is_running=False)  # no look follows that would
        self._tell_report(flat=not remaining, simulated=False, remaining=remaining)

    def _remaining(self) -> tuple[str, ...]:
        return tuple(_left(task) for task in self._flattener.tasks.values())

    def _rehearse(self) -> None:
        """Say what would be closed, once it is known (MODE-6)."""
        if not self._flattener.side.linked or self.step == DONE:
            return
        held = self._scope.of(self._flattener.side.holdings.values())
        self._closed[:] = [
            f"would close: {OrderAction.SELL if each.quantity > 0 else OrderAction.BUY}"
            f" {abs(each.quantity):g} {each.contract}"
            for each in held
        ]
        self._go(DONE, "simulated")
        remaining = tuple(f"{each.quantity:g} {each.contract.position_id}" for each in held)
        self._tell_report(flat=False, simulated=True, remaining=remaining)

    # --- what is told ---------------------------------------------------------------------------------------------

    def concluded(self, task: Task, result: OrderResult | None, error: GatewayError | None) -> None:
        """Keep in words what came of a close."""
        if result is None:
            self._closed.append(f"{task.contract}: {error}")
            return
        what = f"{result.action} {result.quantity:g} {task.contract}"
        why = f" ({result.rejection_reason})" if result.rejection_reason else ""
        opens_at = self._flattener.side.opens_at(task.contract.con_id)
        if opens_at is not None and result.status is OrderStatus.PENDING:
            at = f"{opens_at:%Y-%m-%d %H:%M} UTC"
            self._closed.append(f"{what} queued for the open at {at}")
        else:
            self._closed.append(f"{what}: {result.status}, {result.fill_quantity:g} filled{why}")

    def cancelled(self, name: str) -> None:
        """Keep the name of an order that was cancelled."""
        if name not in self._cancelled:
            self._cancelled.append(name)

    def alarm(self, text: str) -> None:
        """Call a person."""
        self._log("strategy_c_alarm", level="CRITICAL", text=text)

    def _go(self, step: str, detail: str) -> None:
        """Turn to a step, and write down that it was taken."""
        if step == self.step:
            return
        self.step = step
        self._log(
            "strategy_c_step",
            level="WARNING" if step == "QUEUED" else "INFO",
            correlation_id=self._latch.liquidation_id,
            step=step,
            detail=detail,
        )
        self._actor.begin_story(self._record(step, detail))

    async def _record(self, step: str, detail: str) -> None:
        """Write a step down; closing does not wait for it, since it begins anew from what is held (D16)."""
        record = m.RecordStep(
            **self._actor.of_our_own("step", self._settings.step_timeout_s),
            liquidation_id=self._latch.liquidation_id,
            step=step,
            detail=detail,
            at=self._actor.clock.now(),
            account=self._latch.account,
        )
        try:
            await self._actor.asked(JOURNAL, record, m.StepDurable)
        except GatewayError:
            return

    def _tell_link(self, *, is_running: bool) -> None:
        prices = tuple(
            con_id
            for con_id, task in self._flattener.tasks.items()
            if task.contract.security_type is not SecurityType.STOCK and task.phase not in _IDLE
        )
        told = m.FlatteningChanged(running=is_running, prices_of=prices)
        if told != self._link_told:
            self._link_told = told
            self._actor.tell(LINK, told)

    def _tell_report(self, *, flat: bool, simulated: bool, remaining: tuple[str, ...]) -> None:
        now = self._actor.clock.now()
        report = self.report = m.LiquidationReport(
            liquidation_id=self._latch.liquidation_id,
            trigger=self._latch.reason or "",
            flat=flat,
            simulated=simulated,
            cancelled=tuple(self._cancelled),
            closed=tuple(self._closed),
            remaining=remaining,
            started_at=self._started_at or now,
            ended_at=now,
            account=self._latch.account,
        )
        self._log(
            "strategy_c_report",
            level="WARNING" if flat or simulated else "CRITICAL",
            correlation_id=report.liquidation_id,
            flat=flat,
            simulated=simulated,
            cancelled=len(report.cancelled),
            closed="; ".join(report.closed),
            remaining="; ".join(report.remaining),
            seconds=round((report.ended_at - report.started_at).total_seconds(), 3),
        )
        self._actor.tell(FACADE, report)
        self._over()


def _step_of(phases: set[Phase]) -> str:
    return next(step for those, step in _STEPS if phases & those)


def _situation(task: Task) -> str:
    return f"{task.quantity:g} {task.contract} {task.phase.value.lower()}"


def _is_moving(task: Task) -> bool:
    """Whether a contract is being cleared, read, or a close of it is on its way to the broker."""
    if task.phase is not Phase.CLOSING:
        return task.phase in _MOVING
    orders = () if task.sight is None else task.sight.orders
    return not any(order.ours and order.is_close and order.confirmed for order in orders)


def _left(task: Task) -> str:
    return f"{task.quantity:g} {task.contract.position_id}"
