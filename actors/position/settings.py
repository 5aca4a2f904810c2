"""The position actor's desk: what is held, by the broker's own word, and what everything there does with it."""

from __future__ import annotations

import attrs

from actors.errors import GatewayNotConnectedError
from actors.hours import HoursKeeper
from actors.kernel.actor import ActorContext
from actors.kernel.conversations import ConversingActor
from actors.kernel.messages import Request
from actors.model.account import Account, Holding, Position
from actors.model.market import Quote
from actors.model.orders import OPERATOR_ID, ExecutionMode
from actors.ports import EventLog, no_log
from actors.position.closures import ClosureLimits
from actors.position.pnl import position_views


@attrs.frozen(kw_only=True)
class PositionSettings:
    """The ``[positions]`` section as this actor needs it; times in seconds.

    A close that failed is tried again after ``close_retry_s``: ``close_attempts`` times in all where a caller waits for
    it, and without end where a position is due, after twice as long each time up to ``close_retry_cap_s``.
    """

    limits: ClosureLimits = attrs.field(factory=ClosureLimits)
    check_interval_s: float = 1.0
    quote_timeout_s: float = 12.0
    reconcile_interval_s: float = 900.0
    close_attempts: int = 3
    close_retry_s: float = 0.5
    close_retry_cap_s: float = 60.0
    operator_id: str = OPERATOR_ID
    mode: ExecutionMode = ExecutionMode.DRY_RUN
    closes_by_itself: bool = True


class PositionDesk(ConversingActor):
    """What all parts of the position actor stand on; see the module's docstring."""

    def __init__(
        self,
        context: ActorContext,
        *,
        settings: PositionSettings | None = None,
        log: EventLog = no_log,
    ) -> None:
        super().__init__(context)
        self.settings = settings or PositionSettings()
        self.log = log
        self.holdings: dict[int, Holding] = {}
        self.known = False
        self.connected = False
        self.account: Account | None = None
        self.quotes: dict[int, Quote] = {}
        self.hours = HoursKeeper(self)

    def views(self, *, is_cached: bool = False) -> tuple[Position, ...]:
        """Describe what is held, with its newest prices."""
        return position_views(
            self.holdings.values(),
            self.quotes,
            self.clock.now(),
            self.settings.limits,
            is_cached,
        )

    def refuses_unknown(self, request: Request) -> bool:
        """Refuse before the first read of the broker's state: no positions would mean nothing."""
        if not self.known:
            self.refuse(request, GatewayNotConnectedError("positions are not known yet"))
        return not self.known
