"""Orders: what a caller asks for, what the wire carries, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

import attrs

from actors.errors import OrderValidationError
from actors.model.contracts import Contract, Right

OPERATOR_ID = "CSATSPRIM"
"""The operator id that stands on every order unless the facade was given another one (ORD-4)."""


class ExecutionMode(StrEnum):
    """What happens to an approved order. Live is named only to be refused (MODE-3)."""

    DRY_RUN = "dry_run"
    PAPER = "paper"
    LIVE = "live"


class OrderAction(StrEnum):
    """The side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a purchase, -1 for a sale."""
        return 1 if self is OrderAction.BUY else -1

    @classmethod
    def parse(cls, text: str) -> OrderAction:
        """Read ``BUY`` or ``SELL`` in any case; raise `OrderValidationError` for the rest."""
        try:
            return cls(text.strip().upper())
        except ValueError:
            raise OrderValidationError(f"action must be BUY or SELL (was {text!r:.100})") from None


class OrderType(StrEnum):
    """The three order types that the product sends."""

    MARKET = "MKT"
    LIMIT = "LMT"
    STOP = "STP"

    @classmethod
    def parse(cls, text: str) -> OrderType:
        """Read MKT, LMT, STP, MARKET, LIMIT or STOP; raise `OrderValidationError` for the rest."""
        try:
            return _ORDER_TYPES[text.strip().upper()]
        except KeyError:
            raise OrderValidationError(
                f"order_type must be MKT, LMT or STP (was {text!r:.100})"
            ) from None


_ORDER_TYPES = {member.value: member for member in OrderType} | {
    member.name: member for member in OrderType
}


class TimeInForce(StrEnum):
    """How long an order works."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Purpose(StrEnum):
    """Whether an order may add risk (OPEN) or can only reduce it (CLOSE)."""

    OPEN = "open"
    CLOSE = "close"


class GateRefusal(StrEnum):
    """Why the gate refused an order, as far as somebody acts upon the difference."""

    OTHER = "other"
    POSITION_MOVED = "position_moved"
    """The position is another one than the permit counts: size the close anew, at once."""
    BEYOND_POSITION = "beyond_position"
    """With the closes that are not proved dead it could turn the position: try again once one of them ended."""


class OrderStatus(StrEnum):
    """What a caller is told of an order (ORD-5): coarser than `OrderState`, the executor's own step by step."""

    PENDING = "PENDING"
    FILLED = "FILLED"
    PARTIAL = "PARTIAL"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    SIMULATED = "SIMULATED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    LOST = "LOST"


class RejectionKind(StrEnum):
    """Who turned an order away, for those who act on it; the reason in words is for people.

    NOT_SENT: it ended before the gate (nonsense, no contract, link down, no durable intent). POSITION_MOVED and
    BEYOND_POSITION are the gate's (`GateRefusal` says what to do then), GATE is its every other refusal.
    """

    NOT_SENT = "NOT_SENT"
    RISK = "RISK"
    GATE = "GATE"
    POSITION_MOVED = "POSITION_MOVED"
    BEYOND_POSITION = "BEYOND_POSITION"
    BROKER = "BROKER"


class WaitFor(StrEnum):
    """What ``submit_order`` waits for: the order's end, or the broker's acknowledgement (ORD-6)."""

    FILL = "fill"
    ACK = "ack"


class CloseReason(StrEnum):
    """Why a position is closed; kept in the audit trail (GW-9)."""

    THREE_DTE_RULE = "3_DTE_RULE"
    EMERGENCY_STOP = "EMERGENCY_STOP"
    DAILY_LOSS_LIMIT = "DAILY_LOSS_LIMIT"
    WEEKLY_DRAWDOWN = "WEEKLY_DRAWDOWN"
    DATA_QUARANTINE = "DATA_QUARANTINE"
    DISCONNECT = "DISCONNECT"
    MANUAL = "MANUAL"
    STRATEGY_EXIT = "STRATEGY_EXIT"


@attrs.frozen(kw_only=True)
class TradingSignal:
    """What a strategy wants. Text fields are checked by `actors.logic.order_validation`, not here (GW-10)."""

    symbol: str
    action: str
    quantity: float
    order_type: str = "MKT"
    limit_price: float | None = None
    stop_price: float | None = None
    expiry: str | None = None
    strike: float | None = None
    right: str | None = None
    signal_strength: float = 1.0
    strategy_id: str = ""
    timestamp: datetime | None = None
    time_in_force: str = "DAY"
    trading_class: str | None = None
    """Which root of an option is meant where several are listed, such as SPX or SPXW."""


@attrs.frozen(kw_only=True)
class StrategyContext:
    """The strategy behind a signal. ``risk_per_trade`` is a ratio of net liquidation; the two others are ratios too."""

    strategy_id: str
    strategy_name: str = ""
    risk_per_trade: float = 0.01
    take_profit_pct: float | None = None
    stop_loss_pct: float | None = None


@attrs.frozen(kw_only=True)
class TradeRequest:
    """A validated order with its strategy's terms and the operator's id: what risk judges (GW-10)."""

    symbol: str
    action: OrderAction
    quantity: float
    order_type: OrderType
    limit_price: float | None = None
    stop_price: float | None = None
    expiry: str | None = None
    strike: float | None = None
    right: Right | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    signal_strength: float = 1.0
    strategy_id: str = ""
    strategy_name: str = ""
    risk_per_trade: float = 0.01
    take_profit_pct: float | None = None
    stop_loss_pct: float | None = None
    operator_id: str = OPERATOR_ID
    timestamp: datetime | None = None
    trading_class: str | None = None


@attrs.frozen(kw_only=True)
class WireOrder:
    """Exactly what goes to the broker: a permit is bound to every field of it (D13).

    ``broker_order_id`` is None for a new order (the link assigns it) and the order's address for a modify.
    """

    order_ref: str
    contract: Contract
    action: OrderAction
    quantity: float
    order_type: OrderType
    limit_price: float | None = None
    stop_price: float | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    account: str
    operator_id: str
    purpose: Purpose
    broker_order_id: int | None = None


@attrs.frozen(kw_only=True)
class Permit:
    """The risk actor's approval of exactly one `WireOrder`, to be used once before ``expires_at`` (D13).

    ``fill_count`` and ``position_sequence`` are set on closing permits: how many executions of the contract, and how
    many changes of its position, the size was computed from. ``signature`` covers every other field and the order.
    """

    permit_id: str
    order_ref: str
    purpose: Purpose
    expires_at: float
    fill_count: int | None
    position_sequence: int | None = None
    signature: bytes = attrs.field(repr=False)


def _read_only(numbers: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(dict(numbers))


@attrs.frozen(kw_only=True)
class ValidationResult:
    """A risk decision: every reason that applies, with the numbers it was made from (RSK-2).

    ``notes`` says what was found and passed over, since it may not stop a closing order (RSK-7). ``rejected_by`` names
    the rule behind each reason, where a rule of ours is behind it.
    """

    approved: bool
    rejection_reasons: tuple[str, ...] = ()
    risk_metrics: Mapping[str, float] = attrs.field(
        factory=dict[str, float], converter=_read_only, hash=False
    )
    notes: tuple[str, ...] = ()
    rejected_by: tuple[str, ...] = ()


def base_id_of(exec_id: str) -> str:
    """The part of an execution's id that its corrections share: they differ in what stands behind the last point."""
    return exec_id.rpartition(".")[0] or exec_id


@attrs.frozen(kw_only=True)
class Execution:
    """One execution as the broker reported it; the same ``exec_id`` never counts twice (ORD-7).

    IB marks a correction by raising the part of ``exec_id`` behind its last dot.
    """

    exec_id: str
    contract: Contract
    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    account: str
    action: OrderAction
    quantity: float
    price: float
    executed_at: datetime | None
    commission: float | None = None
    realized_pnl: float | None = None

    @property
    def base_id(self) -> str:
        """The id that an execution shares with its corrections."""
        return base_id_of(self.exec_id)

    @property
    def signed_quantity(self) -> float:
        """The change of the position: positive for a purchase."""
        return self.action.sign * self.quantity


@attrs.frozen(kw_only=True)
class BrokerOrder:
    """An order as the broker describes it in openOrder, orderStatus or completedOrder.

    ``order_id`` is 0 where the broker does not say it (completed orders).
    """

    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    contract: Contract | None
    action: OrderAction | None
    quantity: float | None
    order_type: str
    limit_price: float | None
    stop_price: float | None
    status: str
    filled: float | None = None
    remaining: float | None = None
    average_fill_price: float | None = None
    why_held: str = ""
    account: str = ""


@attrs.frozen(kw_only=True)
class OrderResult:
    """What came of an order (ORD-5). ``fill_price`` is volume weighted; ``cancel_confirmed`` is None unless a
    remainder had to be cancelled at the deadline (ORD-6).

    ``rejection_kind`` says who turned it away, None when nobody did; ``rejection_code`` is the broker's code where
    it was the broker and gave one."""

    order_id: str
    status: OrderStatus
    symbol: str
    action: OrderAction
    quantity: float
    ibkr_order_id: int | None = None
    fill_price: float | None = None
    fill_quantity: float = 0.0
    commission: float | None = None
    rejection_reason: str | None = None
    rejection_kind: RejectionKind | None = None
    rejection_code: int | None = None
    execution_mode: ExecutionMode
    risk_validation: ValidationResult | None = None
    timestamp: datetime
    cancel_confirmed: bool | None = None
    correlation_id: str = ""
