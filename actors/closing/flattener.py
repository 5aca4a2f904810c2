"""Brings contracts to zero on behalf of one actor: Strategy C, or the position actor (D16, RULES 2).

What to do is said by `actors.logic.flattening`, contract by contract; here it is done: orders are cancelled by way of
the executor, closes are asked for, the broker's state is read. Every look begins with the executor's list of what can
still fill, so that neither a restart nor a lost message leaves anything out; a look costs one question, whatever is
held.

Order among contracts: shorts, then what no stop covers, then the largest value; first attempts before retries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from actors import messages as m
from actors.closing.broker_side import BrokerSide
from actors.closing.pricing import Pricing
from actors.closing.task import Task
from actors.errors import GatewayError, GatewayNotConnectedError, GatewayTimeoutError
from actors.hours import HoursKeeper
from actors.kernel.actor import SupervisedActor
from actors.kernel.addresses import Cancellable
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message
from actors.logic import flattening
from actors.logic.close_orders import close_order
from actors.logic.flattening import Answer, Outcome, Phase
from actors.messages.addresses import CONNECTION, EXECUTOR, LINK
from actors.model.account import Holding
from actors.model.contracts import Contract, SecurityType
from actors.model.orders import (
    OrderResult,
    OrderStatus,
    OrderType,
    Purpose,
    RejectionKind,
    WaitFor,
)
from actors.model.trading import Trading
from actors.ports import EventLog
from actors.sections.flattening import Flattening

ORDERS_TIMEOUT_S: Final = 2.0
CANCEL_TIMEOUT_S: Final = 30.0
LOOK_UP_TIMEOUT_S: Final = 2.0
SHORTEST_LOOK_S: Final = 0.01
"""Sums of floats leave a residue: a look must not come that little before its moment."""

_OVER: Final = (OrderStatus.FILLED, OrderStatus.PARTIAL, OrderStatus.PENDING)


@attrs.frozen(kw_only=True)
class FlattenLook(Message):
    """Told to oneself: look at the contracts that shall be flat. Only the newest one counts."""

    number: int


class Flattener(Part):
    """See the module's docstring. Owns the contracts that are to be flat, and ``side``, what is known of them.

    ``looked`` is called after each look; ``found``, where given, is shown all orders of ours that can still fill;
    ``alarm`` calls a person; ``concluded`` hears of each close's result, or of None and the error where it never became
    an order.
    """

    def __init__(
        self,
        actor: SupervisedActor,
        trading: Trading,
        limits: Flattening,
        pricing: Pricing,
        hours: HoursKeeper,
        log: EventLog,
        *,
        looked: Callable[[], None],
        found: Callable[[Iterable[m.LiveOrder]], None] | None = None,
        alarm: Callable[[str], None],
        cancelled: Callable[[str], None],
        concluded: Callable[[Task, OrderResult | None, GatewayError | None], None],
    ) -> None:
        self._actor = actor
        self._trading = trading
        self._limits = limits
        self._pricing = pricing
        self._hours = hours
        self._log = log
        self._looked = looked
        self._found = found
        self._alarm = alarm
        self._cancelled = cancelled
        self._concluded = concluded
        self.tasks: dict[int, Task] = {}
        self.side = BrokerSide(trading.operator_id, hours)
        self._timer: Cancellable | None = None
        self._number = 0
        self._due_at = math.inf
        self._is_looking = False
        self._looks_again = False

    # --- what is told ---------------------------------------------------------------------------------------------

    def take_over(self, message: m.Reconcile) -> None:
        """Take over what the broker says of positions and of the orders of others."""
        self.side.take_over(message.state)
        self.wake()

    def holding_reported(self, holding: Holding) -> None:
        """Take over one position, as the broker pushes it."""
        self.side.holding_reported(holding, self._actor.clock.monotonic())
        if holding.contract.con_id in self.tasks:
            self._rouse(self.tasks[holding.contract.con_id])
            self.wake()

    def link_changed(self, is_up: bool) -> None:
        """Take in that the link is up, or lost."""
        self.side.linked = is_up
        if not is_up:
            for task in self.tasks.values():
                task.progress = flattening.unlinked(task.progress)
        self.wake()

    def halt_changed(self, con_id: int, is_halted: bool) -> None:
        """Take in that trading in a contract is halted, or goes on."""
        self.side.halt_changed(con_id, is_halted)
        if not is_halted and con_id in self.tasks:
            self._rouse(self.tasks[con_id])
        self.wake()

    def _rouse(self, task: Task) -> None:
        task.progress = flattening.woken(task.progress, self._actor.clock.monotonic())

    # --- tasks ----------------------------------------------------------------------------------------------------

    def begin(self, task: Task) -> None:
        """See to it that a contract becomes flat."""
        self.tasks[task.contract.con_id] = task
        self.wake()

    def end(self, con_id: int) -> None:
        """Let go of a contract."""
        self.tasks.pop(con_id, None)

    def wake(self, delay_s: float = 0.0) -> None:
        """Look after so many seconds, unless a look comes before that anyway."""
        due_at = self._actor.clock.monotonic() + delay_s
        if due_at >= self._due_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_at = due_at
        self._number += 1
        self._timer = self._actor.schedule(delay_s, FlattenLook(number=self._number))

    # --- the look -------------------------------------------------------------------------------------------------

    @handles(FlattenLook)
    async def on_flatten_look(self, message: FlattenLook) -> None:
        """Look at every contract, and do what is due; the next look comes by itself."""
        if message.number != self._number:
            return
        self._timer, self._due_at = None, math.inf
        if self._is_looking:
            self._looks_again = True
            return
        if self.tasks or self._found is not None:
            await self._look()
        else:
            self._looked()

    async def _look(self) -> None:
        self._is_looking = True
        orders = await self._live_orders()
        self._is_looking = False
        look_in_s = self._limits.look_every_s if orders is None else self._act(orders)
        self._looked()
        again, self._looks_again = self._looks_again, False
        if again or look_in_s < math.inf:
            self.wake(0.0 if again else max(look_in_s, SHORTEST_LOOK_S))

    async def _live_orders(self) -> tuple[m.LiveOrder, ...] | None:
        """Ask what of ours can still fill; None when nobody answers, as while the executor is restarted."""
        if not self.side.linked:
            return ()
        question = m.GetLiveOrders(**self._actor.of_our_own("orders", ORDERS_TIMEOUT_S))
        try:
            return (await self._actor.asked(EXECUTOR, question, m.LiveOrdersRead)).orders
        except GatewayError:
            return None

    def _act(self, orders: tuple[m.LiveOrder, ...]) -> float:
        """Take every contract one step further; gives the seconds to the next look."""
        now = self._actor.clock.monotonic()
        if self._found is not None:
            self._found(orders)
        pending = self.side.pending(orders, self.tasks, now)
        stays = flattening.covering(self._held(), now, self._limits)
        outcomes = []
        for task in sorted(self.tasks.values(), key=self._urgency):
            con_id = task.contract.con_id
            sight = self.side.sight(
                task.contract, pending, stays.get(con_id, 0.0), self._actor.clock.now()
            )
            outcome = flattening.next_step(task.progress, sight, task.mandate, now, self._limits)
            task.sight, task.progress = sight, outcome.progress
            outcomes.append((task, outcome))
        self._perform(outcomes, now)
        self._follow_the_market(orders, now)
        return min((outcome.look_in_s for _, outcome in outcomes), default=math.inf)

    def _held(self) -> tuple[flattening.Held, ...]:
        return tuple(
            flattening.Held(
                contract=held.contract,
                quantity=held.quantity,
                closing_since=self.tasks[con_id].closing_since if con_id in self.tasks else None,
            )
            for con_id, held in self.side.holdings.items()
            if con_id in self.tasks
        )

    def _urgency(self, task: Task) -> tuple[bool, int, bool, float]:
        held = self.side.holdings.get(task.contract.con_id)
        quantity = 0.0 if held is None else held.quantity
        covered = task.sight is not None and flattening.is_covered(task.sight)
        value = 0.0 if held is None else abs(held.quantity * held.known_cost)
        return quantity >= 0.0, min(task.attempts, 1), covered, -value

    # --- what is done ---------------------------------------------------------------------------------------------

    def _perform(self, outcomes: Iterable[tuple[Task, Outcome]], now: float) -> None:
        """Cancel first: what is sent afterwards is not reached by it (assumed of a cancel of all)."""
        todo = [(task, action) for task, outcome in outcomes for action in outcome.actions]
        globally = [action for _, action in todo if isinstance(action, flattening.CancelGlobally)]
        if globally:
            self._cancel_globally(globally[0].why)
        for task, action in todo:
            match action:
                case flattening.Cancel():
                    self._actor.begin_story(self._cancel(action.reference))
                case flattening.Close():
                    self._begin_close(task, action, now)
                case flattening.Alarm():
                    self._alarm(action.text)
                case _:
                    pass
        if any(isinstance(action, flattening.Read) for _, action in todo):
            self._actor.tell(CONNECTION, m.RequestReconciliation(sender=self._actor.name))

    def _cancel_globally(self, why: str) -> None:
        """Cancel all orders of the account, unless that takes a stop away from what cannot be closed, or a close."""
        spared = [
            task.contract.position_id
            for task in self.tasks.values()
            if task.sight is not None
            and (
                (not task.sight.trades and flattening.is_covered(task.sight))
                or flattening.fitting_closes(task.sight)
            )
        ]
        if spared:
            self._log("global_cancel_waits", level="WARNING", why=why, spares=", ".join(spared))
            return
        self._log("global_cancel", level="WARNING", why=why)
        self._actor.tell(LINK, m.SendGlobalCancel())

    async def _cancel(self, order_id: str) -> None:
        """Cancel one order of ours, and look again when it is at its end."""
        header = self._actor.of_our_own("cancel", CANCEL_TIMEOUT_S)
        try:
            await self._actor.asked(
                EXECUTOR, m.CancelOrder(**header, order_id=order_id), m.OrderConcluded
            )
        except GatewayError:
            return  # the next look sees that it lives, and goes on
        self._cancelled(order_id)
        self.wake()

    def _begin_close(self, task: Task, close: flattening.Close, now: float) -> None:
        task.attempts += 1
        if task.closing_since is None:
            task.closing_since = now
        self._actor.begin_story(self._close(task, close))

    def _follow_the_market(self, orders: Iterable[m.LiveOrder], now: float) -> None:
        """Move the limits of our closes that work where it is time to (RULES 2, "Order type")."""
        for live in orders:
            task = self.tasks.get(live.order.contract.con_id)
            is_limit = live.order.order_type is OrderType.LIMIT and not live.is_unknown
            if task is None or live.order.purpose is not Purpose.CLOSE or not is_limit:
                continue
            if self._pricing.is_due(task, now):
                self._actor.begin_story(self._pricing.follow(task, live.order_id, live.order))

    async def _described(self, contract: Contract) -> Contract:
        """Learn ticks, hours and exchange where the price depends on them: a position comes without."""
        if contract.security_type is SecurityType.STOCK:
            return contract
        return await self._hours.looked_up(contract, LOOK_UP_TIMEOUT_S)

    async def _close(self, task: Task, close: flattening.Close) -> None:
        """Close what is free, and take in what came of it."""
        contract = task.contract = await self._described(task.contract)
        priced = await self._pricing.price(task, close.action, queued=close.queued)
        if self.tasks.get(contract.con_id) is not task:
            return  # it was let go of meanwhile: nothing is sent any more
        if priced.order_type is None:
            self._take_in(task, Answer.REFUSED, None, GatewayError(priced.why))
            return
        request = close_order(
            contract,
            -close.action.sign * close.quantity,
            task.reason,
            self._trading.operator_id,
            **task.header(f"close-{contract.con_id}-{task.attempts}", task.close_timeout_s),
            wait_for=WaitFor.ACK if close.queued else WaitFor.FILL,
            rests=task.leaves_remainder,
            limit_price=priced.limit_price,
            over_pending=task.mandate.over_pending,
        )
        try:
            result = (await self._actor.asked(EXECUTOR, request, m.OrderConcluded)).result
        except (GatewayTimeoutError, GatewayNotConnectedError) as error:
            self._take_in(task, Answer.UNKNOWN, None, error)
        except GatewayError as error:
            self._take_in(task, Answer.REFUSED, None, error)
        else:
            self._pricing.learn(task, result)
            self._take_in(task, _meaning(result, close), result, None)

    def _take_in(
        self, task: Task, answer: Answer, result: OrderResult | None, error: GatewayError | None
    ) -> None:
        """Rest after a refusal, size anew, or wait; then tell who asked for the close."""
        if task.phase is not Phase.UNLINKED:
            words = str(error) if result is None else _words(result)
            now = self._actor.clock.monotonic()
            task.progress = flattening.answered(task.progress, answer, words, now, self._limits)
        self._concluded(task, result, error)
        self.wake()


def _meaning(result: OrderResult, close: flattening.Close) -> Answer:
    """Tell what a close's result means for the next attempt."""
    if result.status in _OVER or result.fill_quantity:
        return Answer.TAKEN
    if result.status is OrderStatus.TIMEOUT:
        return Answer.UNKNOWN
    if result.rejection_kind is RejectionKind.POSITION_MOVED:
        return Answer.MOVED
    if close.queued and result.rejection_kind is RejectionKind.BROKER:
        return Answer.NOT_KEPT
    return Answer.REFUSED


def _words(result: OrderResult) -> str:
    """Give the broker's code and words."""
    words = result.rejection_reason or result.status.value
    return words if result.rejection_code is None else f"{result.rejection_code} {words}"
