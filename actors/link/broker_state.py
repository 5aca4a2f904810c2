"""Reading the broker's state whole, so that holdings and executions agree (CON-11, D23).

::

                  ┌ positions                   ┐
    executions ─▶ ┤ open orders, own and all    ├ ─▶ completed orders ─▶ executions again
         ▲        └ the account's values        ┘              │
         └── a new execution in between? then once more, a bounded number of times

Everything is read to its end marker. What stands side by side is asked for at once and so costs one round trip. The
executions enclose the rest, so that positions and executions agree. Completed orders are read after the open ones: an
order only goes from those to these, so none is missed between them.

Without positions and open orders there is no state. What else stays silent is named in it, and asked for by itself from
then on (`actors.link.silent_parts`). An account in which executions never rest is read all the same: the contracts
that move are named, and no permit to close fits them until a read finds them still.

Executions are asked from a moment before the newest known one, in UTC (assumed). That one has to be in the answer: it
proves that the gateway took the moment for the same as we do. Where it is not, all are asked for.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import UTC
from typing import Any, Final, cast

import attrs
from ib_insync.objects import ExecutionFilter

from actors import messages as m
from actors.errors import GatewayError
from actors.link.answers import (
    ACCOUNT,
    COMPLETED_ORDERS,
    OPEN_ORDERS,
    POSITIONS,
    ExecutionsPending,
    Pending,
)
from actors.link.order_gate import OrderGate
from actors.link.pacing import PacingLane
from actors.link.position_guard import PositionGuard
from actors.link.session import Session
from actors.link.silent_parts import SilentParts, end_of
from actors.logic.broker_codes import RequestKind
from actors.model.account import Account, Holding
from actors.model.connection import BrokerState, StatePart
from actors.model.orders import BrokerOrder, Execution

_OF_ALL_CLIENTS: Final = 0
_FIRST_REST_S: Final = 0.05
"""Before a busy account is read again; it doubles each time."""
_REFRESH_S: Final = 2.0
"""An account that is only refreshed may be silent for so long: a read of everything could be waiting."""

_NO_PERMIT_FITS: Final = -1
"""The count of executions of a contract that moved while it was read: no gate counts so few."""

Executions = Mapping[str, Execution]


class BrokerStateReader:
    """Reads the broker's state in one session, once at a time.

    ``on_answer`` is called with the name of a part that was silent and has ended at last.
    """

    def __init__(
        self,
        session: Session,
        gate: OrderGate,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        on_answer: Callable[[StatePart], None],
    ) -> None:
        self.session = session
        self._gate = gate
        self._parts = SilentParts(session, spawn, on_answer)
        self._reading = asyncio.Lock()
        self._refreshing: asyncio.Timeout | None = None
        self._reads_begun = 0
        self._newest: tuple[int, m.ExecutionsSince | None, BrokerState] | None = None
        self._understands_since = True
        self.asks_for: str = "nothing yet"
        """What the read under way asks the gateway for."""

    async def read(self, account: str | None, since: m.ExecutionsSince | None) -> BrokerState:
        """Read until nothing was executed in between, a bounded number of times.

        All who asked before a read began get what it finds: a crowd, as after a row of restarts, costs one read.
        Raises `GatewayTimeoutError` when positions or open orders are silent.
        """
        begun_before = self._reads_begun
        if self._refreshing is not None:  # what decides on closes waits for no refresh
            self._refreshing.reschedule(asyncio.get_running_loop().time())
        async with self._reading:
            if self._newest is not None:
                number, told_since, state = self._newest
                if number > begun_before and told_since in (None, since):
                    return state
            self._reads_begun += 1
            number = self._reads_begun
            state = await self._read_until_still(account or self.session.accounts[0], since)
            self._newest = number, since, state
            return state

    async def refresh_account(self) -> None:
        """Have the account's values and marks told whole, unless they are being read or are silent."""
        is_watched = self.session.account.values is not None and ACCOUNT not in self._parts.names
        if self._reading.locked() or not is_watched:
            return
        async with self._reading:
            try:
                async with asyncio.timeout(_REFRESH_S) as self._refreshing:
                    await self._ask_account_again(_REFRESH_S)
            except (GatewayError, TimeoutError):
                pass  # the account is told again anyway
            finally:
                self._refreshing = None

    async def _read_until_still(self, account: str, since: m.ExecutionsSince | None) -> BrokerState:
        rest_s = _FIRST_REST_S
        for _ in range(self.session.settings.max_state_reads - 1):
            state = await self._read_once(account, since)
            if not state.moving:
                return state
            await asyncio.sleep(rest_s)
            rest_s *= 2
        return await self._read_once(account, since)

    async def _read_once(self, account: str, since: m.ExecutionsSince | None) -> BrokerState:
        session, gate = self.session, self._gate
        session.account.account_id = account
        gate.trades(account)
        losses, began_at = gate.losses, session.clock.monotonic()
        counted, ended = gate.positions.executions_counted, gate.positions.ended_closes
        before = await self._executions(account, since)
        holdings, orders = await self._positions_orders_account(account)
        complete_at = gate.positions.position_sequences
        open_orders = merge_orders(orders)
        completed = None if session.readonly else await self._completed_orders()
        after = None if before is None else await self._executions(account, since)
        held, stillness = _held(holdings), Stillness.of(gate.positions, counted, before, after)
        gate.state_was_read(losses)
        sequences = gate.positions.state_was_read(
            held,
            open_orders,
            complete_at,
            news=stillness.news,
            moving=stillness.moving,
            ended_before=ended,
        )
        return BrokerState(
            read_at=session.clock.now(),
            holdings=held,
            open_orders=open_orders,
            completed_orders=completed or (),
            executions=tuple(
                _with_commission(session, item) for item in (after or before or {}).values()
            ),
            account=_account(session),
            fill_counts=stillness.fill_counts,
            position_sequences=sequences,
            disconnects=gate.disconnects,
            answered_disconnects=gate.answered_disconnects,
            began_at=began_at,
            silent=self._parts.names,
            moving=stillness.moving,
        )

    # --- executions -----------------------------------------------------------------------------------------------

    async def _executions(self, account: str, since: m.ExecutionsSince | None) -> Executions | None:
        self.asks_for = StatePart.EXECUTIONS

        async def ask(limit_s: float) -> Executions:
            if since is not None and self._understands_since:
                found = await self._ask_executions(account, since, limit_s)
                if any(item.base_id == since.known for item in found.values()):
                    return found
                self._understands_since = False
            return await self._ask_executions(account, None, limit_s)

        return await self._parts.asked(StatePart.EXECUTIONS, ask)

    async def _ask_executions(
        self, account: str, since: m.ExecutionsSince | None, limit_s: float
    ) -> Executions:
        wanted = ExecutionFilter(
            clientId=_OF_ALL_CLIENTS,
            acctCode=account,
            time="" if since is None else f"{since.at.astimezone(UTC):%Y%m%d-%H:%M:%S}",
        )
        session = self.session
        with session.expecting(StatePart.EXECUTIONS, RequestKind.NONE, ExecutionsPending) as (
            number,
            found,
        ):
            await session.pacer.turn(PacingLane.STATE)
            found.heard()
            session.answers.executions = cast(ExecutionsPending, found)
            try:
                session.client.reqExecutions(number, wanted)
                await end_of(found, limit_s)
            finally:
                session.answers.executions = None
        return {item.exec_id: item for item in cast("list[Execution]", found.items)}

    # --- positions, orders, account -------------------------------------------------------------------------------

    async def _positions_orders_account(
        self, account: str
    ) -> tuple[list[Holding], list[BrokerOrder]]:
        """Ask for all three at once; the account's values may stay silent."""
        session = self.session
        self.asks_for = "positions, open orders and account values"
        await self._leave_account()
        async with AsyncExitStack() as asked:
            holdings = await asked.enter_async_context(session.single(POSITIONS))
            session.client.reqPositions()
            orders = None if session.readonly else await self._ask_open_orders(asked)
            values = await self._ask_account(account, asked)
            beside = tuple(each for each in (holdings, orders, values) if each is not None)
            needed_s = session.settings.gateway.timeout_s
            await end_of(holdings, needed_s, *beside)
            if orders is not None:
                await end_of(orders, needed_s, *beside)
            if values is not None:
                await self._parts.asked(
                    ACCOUNT, lambda limit_s: end_of(values, limit_s), self._ask_account_again
                )
        return holdings.items, [] if orders is None else orders.items

    async def _ask_open_orders(self, asked: AsyncExitStack) -> Pending:
        """Ask for our own orders, which come with their ids, and for everybody's."""
        session = self.session
        pending = await asked.enter_async_context(session.single(OPEN_ORDERS, ends=2))
        session.client.reqOpenOrders()
        session.client.reqAllOpenOrders()
        return pending

    async def _completed_orders(self) -> tuple[BrokerOrder, ...] | None:
        self.asks_for = COMPLETED_ORDERS

        async def ask(limit_s: float) -> tuple[BrokerOrder, ...]:
            async with self.session.single(COMPLETED_ORDERS, needed=False) as pending:
                self.session.client.reqCompletedOrders(False)
                await end_of(pending, limit_s)
            return tuple(cast("list[BrokerOrder]", pending.items))

        return await self._parts.asked(COMPLETED_ORDERS, ask)

    # --- the account's values -------------------------------------------------------------------------------------

    async def _leave_account(self) -> None:
        """Give up the account that is watched: asked for again, its numbers come whole."""
        session = self.session
        if session.account.values is not None and ACCOUNT not in self._parts.names:
            await session.pacer.turn(PacingLane.STATE)
            session.client.reqAccountUpdates(False, session.account.values.account_id)

    async def _ask_account(self, account: str, asked: AsyncExitStack) -> Pending | None:
        """Ask for the values; None while they are silent, since then they are asked for by themselves."""
        session = self.session
        if ACCOUNT in self._parts.names:
            return None
        pending = await asked.enter_async_context(session.single(ACCOUNT, needed=False))
        session.account.watch_values(account)
        session.client.reqAccountUpdates(True, account)
        return pending

    async def _ask_account_again(self, limit_s: float) -> None:
        """Ask anew, and keep the numbers that are known."""
        session = self.session
        account = session.account.account_id
        await session.pacer.turn(PacingLane.STATE)
        session.client.reqAccountUpdates(False, account)
        async with session.single(ACCOUNT, needed=False) as pending:
            session.client.reqAccountUpdates(True, account)
            await end_of(pending, limit_s)


@attrs.frozen(kw_only=True)
class Stillness:
    """How the executions of one read stand to its holdings.

    ``news`` came in by themselves and are not in the second list: they happened after the holdings were read, and will
    be counted when they are told. What is in the second list only may or may not be in the holding: its contract is
    ``moving``. ``fill_counts``: per contract the executions that its holding includes.
    """

    news: tuple[Execution, ...]
    moving: tuple[int, ...]
    fill_counts: tuple[tuple[int, int], ...]

    @classmethod
    def of(
        cls,
        positions: PositionGuard,
        counted_before: int,
        before: Executions | None,
        after: Executions | None,
    ) -> Stillness:
        """Compare the two lists; None: the gateway did not end it, and whatever came in makes its contract move."""
        listed = {item.base_id for item in (after or {}).values()}
        counted = positions.counted_since(counted_before)
        news = tuple(item for item in counted if item.base_id not in listed)
        if before is None or after is None:
            fresh = news
        else:
            fresh = tuple(after[exec_id] for exec_id in after.keys() - before.keys())
        moving = {item.contract.con_id for item in fresh}
        counts = dict(positions.fill_counts)
        for item in news:
            counts[item.contract.con_id] -= 1
        counts.update(dict.fromkeys(moving, _NO_PERMIT_FITS))
        return cls(
            news=news,
            moving=tuple(sorted(moving)),
            fill_counts=tuple(sorted(counts.items())),
        )


def _with_commission(session: Session, execution: Execution) -> Execution:
    paid = session.account.commissions.get(execution.exec_id)
    if paid is None:
        return execution
    return attrs.evolve(execution, commission=paid[0], realized_pnl=paid[1])


def _held(reports: list[Holding]) -> tuple[Holding, ...]:
    """Keep what is held; the newest report of each contract counts. The gateway pushes changes from then on."""
    newest = {(item.account, item.contract.con_id): item for item in reports}
    return tuple(holding for holding in newest.values() if holding.quantity)


def merge_orders(reports: list[BrokerOrder]) -> tuple[BrokerOrder, ...]:
    """Join openOrder (terms) and orderStatus (quantities) of each order; the newest report counts."""
    merged: dict[object, BrokerOrder] = {}
    for report in reports:
        key = report.perm_id or (report.client_id, report.order_id)
        known = merged.get(key)
        merged[key] = report if known is None else _join(known, report)
    return tuple(order for order in merged.values() if order.order_type)


def _join(known: BrokerOrder, report: BrokerOrder) -> BrokerOrder:
    terms, quantities = (report, known) if report.order_type else (known, report)
    numbers: dict[str, Any] = {
        name: getattr(quantities, name)
        for name in ("filled", "remaining", "average_fill_price", "why_held")
    }
    if report.order_type and known.order_type:
        numbers = {name: getattr(known, name) for name in numbers}
    return attrs.evolve(
        terms, **numbers, status=report.status, order_id=report.order_id or known.order_id
    )


def _account(session: Session) -> Account:
    """Tell the account's numbers; the gateway pushes their changes from then on."""
    values = session.account.values
    assert values is not None  # noqa: S101 - watched since it was asked for
    return values.account(session.clock.now())
