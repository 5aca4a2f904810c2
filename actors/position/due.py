"""Closing what is due: the emergency stop, and the days before expiry (POS-3).

A close that fails is tried again for as long as the position is due, after longer and longer waits: a broker that
refuses an order would refuse it every second, too. From the third failure on a person is called.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors import messages as m
from actors.errors import ErrorInfo
from actors.kernel.actor import ActorContext
from actors.logic.backoff import retry_delay_s
from actors.model.account import Position
from actors.model.orders import OrderResult, OrderStatus
from actors.model.trading import Trading
from actors.ports import EventLog, no_log
from actors.position.closing import CLOSED, ClosingDesk
from actors.position.closures import CLOSE_ATTEMPTS
from actors.sections.market_data import MarketData
from actors.sections.positions import Positions

CLOSE_TIMEOUT_S: Final = 30.0
"""So long a close of what is due may take, clearing its way included; what is left of it then is cancelled."""


SPOKEN_FOR_PATIENCE: Final = 3
"""So many times as many rejections by risk as failures make an alarm."""


@attrs.frozen
class _Failed:
    """So many closes of a position failed in a row; the next one may be tried at ``not_before``, monotonic."""

    times: int
    not_before: float


class ClosureDesk(ClosingDesk):
    """See the module's docstring."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: Positions,
        market_data: MarketData,
        trading: Trading,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(
            context, settings=settings, market_data=market_data, trading=trading, log=log
        )
        self.closing: set[int] = set()
        self.waiting: set[int] = set()
        self._failed: dict[int, _Failed] = {}

    def close_what_is_due(self) -> None:
        """Look at every position, and close those that are due and not being closed."""
        self._failed = {key: known for key, known in self._failed.items() if key in self.holdings}
        for view in self.views():
            self._look(view)

    def _look(self, view: Position) -> None:
        con_id = view.contract.con_id
        if view.closure_trigger is None or con_id in self.closing or self._rests(con_id):
            return
        if self._waits(view):
            return
        self.closing.add(con_id)
        self.log(
            "would_close" if self.trading.readonly else "closure_due",
            level="WARNING",
            position_id=view.position_id,
            trigger=view.closure_trigger.value,
            pnl_pct=view.unrealized_pnl_pct,
        )
        if self.trading.readonly:
            return
        request = m.ClosePosition(
            **self.conversations.of_our_own("closure", CLOSE_TIMEOUT_S),
            position_id=view.position_id,
            reason=view.closure_trigger,
        )
        self.close(
            request,
            self.holdings[con_id],
            view.closure_trigger,
            "order",
            lambda result: self._closure_done(con_id, result),
            lambda error: self._closure_failed(con_id, error),
        )

    def _rests(self, con_id: int) -> bool:
        """Whether the next try has to wait for its time."""
        known = self._failed.get(con_id)
        return known is not None and self.clock.monotonic() < known.not_before

    def _closure_done(self, con_id: int, result: OrderResult) -> None:
        """A simulated close is not repeated: nothing would change (MODE-6). What filled in part goes on at once."""
        if result.status is OrderStatus.SIMULATED:
            return
        self.closing.discard(con_id)
        if result.status in CLOSED or result.fill_quantity:
            self._failed.pop(con_id, None)
        else:
            spoken_for = result.status is OrderStatus.REJECTED
            self._try_later(con_id, result.rejection_reason or result.status.value, spoken_for)

    def _closure_failed(self, con_id: int, error: ErrorInfo) -> None:
        self.closing.discard(con_id)
        if self.connected:  # a lost link is Strategy C's, and its end begins anew
            self._try_later(con_id, error.text)

    def _try_later(self, con_id: int, why: str, spoken_for: bool = False) -> None:
        """Wait longer each time. What risk rejects is mostly being closed by somebody else: that alarms much later."""
        held = self.holdings.get(con_id)
        if held is None:
            return
        known = self._failed.get(con_id)
        times = 1 if known is None else known.times + 1
        settings, patience = self.settings, SPOKEN_FOR_PATIENCE if spoken_for else 1
        delay_s = retry_delay_s(times, settings.close_retry_s, settings.close_retry_cap_s)
        self._failed[con_id] = _Failed(times, self.clock.monotonic() + delay_s)
        self.log(
            "closure_failed",
            level="CRITICAL" if times >= patience * CLOSE_ATTEMPTS else "ERROR",
            position_id=held.contract.position_id,
            times=times,
            again_in_s=delay_s,
            why=why,
        )

    def _waits(self, view: Position) -> bool:
        """Whether what is due has to wait for its open, said once.

        It waits here: what protects the position at the broker stays, and a loss is looked at anew by the prices of
        the open.
        """
        con_id = view.contract.con_id
        opens_at = self.hours.waits_until(con_id)
        if opens_at is None:
            self.waiting.discard(con_id)
        elif con_id not in self.waiting:
            self.waiting.add(con_id)
            self.log(
                "closure_waits_for_open",
                level="WARNING",
                position_id=view.position_id,
                opens_at=opens_at.isoformat(),
            )
        return opens_at is not None
