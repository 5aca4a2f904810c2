"""Reading the broker's state whole, so that holdings and executions agree (CON-11).

::

                  ┌ positions                   ┐
    executions ─▶ ┤ open orders, own and all    ├ ─▶ completed orders ─▶ executions again
         ▲        └ the account's values        ┘              │
         └── a new execution in between? then once more, a bounded number of times

Everything is read to its end marker. What stands side by side is asked for at once and so costs one round trip. The
executions enclose the rest, so that positions and executions agree. Completed orders are read after the open ones: an
order only goes from those to these, so none is missed between them.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, cast

import attrs
from ib_insync.objects import ExecutionFilter

from actors.errors import GatewayConnectionError
from actors.link.answers import ACCOUNT, COMPLETED_ORDERS, OPEN_ORDERS, POSITIONS, Pending
from actors.link.order_gate import OrderGate
from actors.link.pacing import PacingLane
from actors.link.session import Session
from actors.logic.broker_codes import RequestKind
from actors.model.account import Account, Holding
from actors.model.connection import BrokerState
from actors.model.orders import BrokerOrder, Execution

_READ_AT_ALL = ExecutionFilter(clientId=0)
"""Executions of every client."""


class BrokerStateReader:
    """Reads the broker's state in one session, once at a time."""

    def __init__(self, session: Session, gate: OrderGate) -> None:
        self.session = session
        self._gate = gate
        self._reading = asyncio.Lock()
        self._reads_begun = 0
        self._newest: tuple[int, BrokerState] | None = None

    async def read(self, account: str | None) -> BrokerState:
        """Read until nothing was executed in between; raises `GatewayConnectionError` when that never happens.

        All who asked before a read began get what it finds: a crowd, as after a row of restarts, costs one read.
        """
        begun_before = self._reads_begun
        async with self._reading:
            if self._newest is not None and self._newest[0] > begun_before:
                return self._newest[1]
            self._reads_begun += 1
            number = self._reads_begun
            most = self.session.settings.max_state_reads
            for _ in range(most):
                state = await _read_once(
                    self.session, self._gate, account or self.session.accounts[0]
                )
                if state is not None:
                    self._newest = number, state
                    return state
            raise GatewayConnectionError(
                f"executions kept coming in while the broker's state was read {most} times"
            )


async def _read_once(session: Session, gate: OrderGate, account: str) -> BrokerState | None:
    session.account.account_id = account
    losses, began_at = gate.losses, session.clock.monotonic()
    before = await _executions(session)
    counted = gate.positions.executions_counted
    await _leave_account(session)
    async with AsyncExitStack() as asked:
        holdings = await asked.enter_async_context(session.single(POSITIONS))
        session.client.reqPositions()
        orders = None if session.readonly else await _ask_open_orders(session, asked)
        await asked.enter_async_context(session.single(ACCOUNT))
        session.account.watch_values(account)
        session.client.reqAccountUpdates(True, account)
    complete_at = gate.positions.position_sequences
    open_orders = merge_orders(orders.items) if orders is not None else ()
    completed = await _completed_orders(session) if orders is not None else ()
    after = await _executions(session)
    if counted != gate.positions.executions_counted or before.keys() != after.keys():
        return None
    held = _held(holdings.items)
    gate.state_was_read(losses)
    sequences = gate.positions.state_was_read(held, open_orders, complete_at)
    return BrokerState(
        read_at=session.clock.now(),
        holdings=held,
        open_orders=open_orders,
        completed_orders=completed,
        executions=tuple(_with_commission(session, item) for item in after.values()),
        account=_account(session),
        fill_counts=gate.positions.fill_counts,
        position_sequences=sequences,
        disconnects=gate.disconnects,
        answered_disconnects=gate.answered_disconnects,
        began_at=began_at,
    )


async def _executions(session: Session) -> dict[str, Execution]:
    with session.expecting("executions", RequestKind.NONE) as (request_id, pending):
        await session.pacer.turn(PacingLane.STATE)
        session.client.reqExecutions(request_id, _READ_AT_ALL)
        await pending.done
    return {item.exec_id: item for item in cast("list[Execution]", pending.items)}


def _with_commission(session: Session, execution: Execution) -> Execution:
    paid = session.account.commissions.get(execution.exec_id)
    if paid is None:
        return execution
    return attrs.evolve(execution, commission=paid[0], realized_pnl=paid[1])


def _held(reports: list[Holding]) -> tuple[Holding, ...]:
    """Keep what is held; the newest report of each contract counts. The gateway pushes changes from then on."""
    newest = {(item.account, item.contract.con_id): item for item in reports}
    return tuple(holding for holding in newest.values() if holding.quantity)


async def _ask_open_orders(session: Session, asked: AsyncExitStack) -> Pending:
    """Ask for our own orders, which come with their ids, and for everybody's."""
    pending = await asked.enter_async_context(session.single(OPEN_ORDERS, ends=2))
    session.client.reqOpenOrders()
    session.client.reqAllOpenOrders()
    return pending


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


async def _completed_orders(session: Session) -> tuple[BrokerOrder, ...]:
    async with session.single(COMPLETED_ORDERS) as pending:
        session.client.reqCompletedOrders(False)
    return tuple(cast("list[BrokerOrder]", pending.items))


async def _leave_account(session: Session) -> None:
    """Give up the account that is watched: asked for again, its numbers come whole."""
    if session.account.values is not None:
        await session.pacer.turn(PacingLane.STATE)
        session.client.reqAccountUpdates(False, session.account.values.account_id)


def _account(session: Session) -> Account:
    """Tell the account's numbers; the gateway pushes their changes from then on."""
    values = session.account.values
    assert values is not None  # noqa: S101 - watched since it was asked for
    return values.account(session.clock.now())
