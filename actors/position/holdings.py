"""What is held, by the broker's own word, and what it is worth (POS-1, POS-2, POS-4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import attrs

from actors import messages as m
from actors.errors import GatewayNotConnectedError
from actors.hours import HoursKeeper
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Message, Request
from actors.logic.closures import TOLERANCE
from actors.logic.sessions import calendar_of
from actors.messages.addresses import FACADE, RISK
from actors.model.account import Account, Holding, Position
from actors.model.contracts import Contract
from actors.model.market import Quote
from actors.position.pnl import position_view, unrealized_pnl_pct
from actors.position.stops import QUIET, Look, Stop, looked
from actors.position.valuation import Valued, value
from actors.sections.positions import Positions

SAME_COST: Final = 1e-6
"""Costs that differ by less are the same: the broker rounds them."""


@attrs.frozen(kw_only=True)
class SecondLookDue(Message):
    """A loss was seen once; told to oneself: look at it again."""

    con_id: int


class Holdings(Part):
    """Owns the newest prices of what is held, where each emergency stop stands, and the account's numbers.

    ``held`` gives the positions by con_id; ``stopped`` is called when one reaches its stop. A cost that changes without
    an execution is unsure until a read of the broker's state confirms it: till then the position has no result, and no
    stop acts on it (RULES 6).
    """

    def __init__(
        self,
        actor: SupervisedActor,
        settings: Positions,
        hours: HoursKeeper,
        held: Callable[[], Mapping[int, Holding]],
        *,
        stopped: Callable[[], None],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._hours = hours
        self._held = held
        self._stopped = stopped
        self._quotes: dict[int, Quote] = {}
        self._stops: dict[int, Stop] = {}
        self._told_stops: tuple[tuple[int, float], ...] = ()
        self._costs: dict[int, tuple[float, float]] = {}
        """Per con_id the quantity and the average cost that are believed."""
        self._halt_ended_at: dict[int, float] = {}
        self.known = False
        self.connected = False
        self.account: Account | None = None

    @property
    def held(self) -> Mapping[int, Holding]:
        """The positions by con_id."""
        return self._held()

    def by_position_id(self, position_id: str) -> Holding | None:
        """Find a position by the id that callers are told."""
        for holding in self.held.values():
            if holding.contract.position_id == position_id:
                return holding
        return None

    def views(self, *, is_cached: bool = False) -> tuple[Position, ...]:
        """Describe what is held, with its newest prices."""
        now = self._actor.clock.now()
        return tuple(
            position_view(
                holding,
                self._valued(holding, now),
                now,
                self._settings,
                is_stopped=self._stops.get(con_id, QUIET).is_reached,
                is_cached=is_cached,
            )
            for con_id, holding in self._described().items()
            if holding.quantity
        )

    def _described(self) -> dict[int, Holding]:
        """What is held, with ticks and magnifiers where they were learnt: a position comes without."""
        return {
            con_id: attrs.evolve(held, contract=self._hours.described(held.contract))
            for con_id, held in self.held.items()
        }

    def _valued(self, holding: Holding, now: datetime) -> Valued:
        if not self._is_cost_sure(holding):
            return Valued(why="its cost has changed without an execution")
        quote = self._quotes.get(holding.contract.con_id)
        return value(holding, quote, now, self._settings)

    # --- the cost -------------------------------------------------------------------------------------------------

    def costs_were_read(self) -> None:
        """Believe the costs of a whole read of the broker's state."""
        self._costs = {
            con_id: (held.quantity, held.average_cost) for con_id, held in self.held.items()
        }
        self._stops = {con_id: stop for con_id, stop in self._stops.items() if con_id in self.held}
        self._tell_stops()

    def cost_was_told(self, holding: Holding) -> bool:
        """Take in a cost that was pushed; False where only a read can confirm it."""
        con_id = holding.contract.con_id
        believed = self._costs.get(con_id)
        if believed is None or believed[0] != holding.quantity:
            self._costs[con_id] = (holding.quantity, holding.average_cost)
        return self._is_cost_sure(holding)

    def _is_cost_sure(self, holding: Holding) -> bool:
        believed = self._costs.get(holding.contract.con_id)
        if believed is None:
            return True
        if math.isnan(believed[1]) or math.isnan(holding.average_cost):
            return math.isnan(believed[1]) and math.isnan(holding.average_cost)
        return math.isclose(believed[1], holding.average_cost, rel_tol=SAME_COST, abs_tol=1e-9)

    # --- the emergency stop ---------------------------------------------------------------------------------------

    def halt_changed(self, con_id: int, is_halted: bool) -> None:
        """Let prices settle after a halt."""
        if not is_halted:
            self._halt_ended_at[con_id] = self._actor.clock.monotonic()

    def _look(self, con_id: int) -> None:
        """Look at the position's loss by a quote that has just come."""
        held, quote = self.held.get(con_id), self._quotes[con_id]
        if held is None or not held.quantity:
            return
        holding = attrs.evolve(held, contract=self._hours.described(held.contract))
        now = self._actor.clock.now()
        valued = self._valued(holding, now)
        look = Look(
            at=self._actor.clock.monotonic(),
            quoted_at=quote.received_at,
            near_loss=_loss(holding, valued.price),
            far_loss=_loss(holding, valued.far),
            is_settled=self._is_settled(holding.contract, now),
        )
        limit = self._settings.emergency_loss_ratio - TOLERANCE
        before = self._stops.get(con_id, QUIET)
        stop = self._stops[con_id] = looked(before, look, limit, self._settings)
        self._tell_stops()
        if stop.first_at is not None and stop.first_at != before.first_at:
            second = SecondLookDue(con_id=con_id)
            self._actor.schedule(self._settings.second_look_after_s, second)
        if stop.is_reached and not before.is_reached:
            self._stopped()

    def _is_settled(self, contract: Contract, now: datetime) -> bool:
        """Whether the session has gone on for a while, and no halt has just ended."""
        settling_s = self._settings.settling_s
        halt_ended_at = self._halt_ended_at.get(contract.con_id)
        now_s = self._actor.clock.monotonic()
        if halt_ended_at is not None and now_s - halt_ended_at < settling_s:
            return False
        calendar = calendar_of(contract)
        session = None if calendar is None else calendar.session_at(now)
        return session is None or (now - session.opens_at).total_seconds() >= settling_s

    def _tell_stops(self) -> None:
        """Let risk add nothing to what shows the loss, from the first look on (RSK-8)."""
        losses = tuple(
            (con_id, stop.loss) for con_id, stop in sorted(self._stops.items()) if not stop.is_quiet
        )
        if [each[0] for each in losses] != [each[0] for each in self._told_stops]:
            self._told_stops = losses
            self._actor.tell(RISK, m.StopsReached(losses=losses))

    def refuses_unknown(self, request: Request) -> bool:
        """Refuse before the first read of the broker's state: no positions would mean nothing."""
        if not self.known:
            unknown = GatewayNotConnectedError("positions are not known yet")
            self._actor.refuse(request, unknown)
        return not self.known

    def publish(self) -> None:
        """Tell the orchestrator what is held."""
        views = self.views()
        self._actor.tell(FACADE, m.PositionsChanged(positions=views, at=self._actor.clock.now()))
        self._actor.tell(FACADE, m.SyncRiskManager(positions=views))

    @handles(m.GetPositions)
    def on_get_positions(self, request: m.GetPositions) -> None:
        """Tell the positions; while the link is down those that were known, flagged as such (POS-5)."""
        if self.refuses_unknown(request):
            return
        is_cached = not self.connected
        self._actor.reply(
            request,
            m.PositionsRead(
                correlation_id=request.correlation_id,
                positions=self.views(is_cached=is_cached),
                is_cached=is_cached,
            ),
        )

    @handles(m.GetAccount)
    def on_get_account(self, request: m.GetAccount) -> None:
        """Tell the account's newest numbers."""
        if self.account is None:
            unknown = GatewayNotConnectedError("the account is not known yet")
            self._actor.refuse(request, unknown)
            return
        answer = m.AccountRead(correlation_id=request.correlation_id, account=self.account)
        self._actor.reply(request, answer)

    @handles(m.AccountChanged)
    def on_account_changed(self, event: m.AccountChanged) -> None:
        """Take over the account's numbers and pass them on (GW-6)."""
        self.account = event.account
        self._actor.tell(FACADE, event)

    @handles(m.QuoteUpdated)
    def on_quote_updated(self, event: m.QuoteUpdated) -> None:
        """Remember the price of what is held."""
        if event.quote.contract.con_id in self.held:
            self._quotes[event.quote.contract.con_id] = event.quote
            self._look(event.quote.contract.con_id)


def _loss(holding: Holding, price: float | None) -> float | None:
    """The loss at a price, a ratio of the cost; negative for a gain."""
    result = unrealized_pnl_pct(holding, price)
    return None if result is None else -result
