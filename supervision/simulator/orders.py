"""Orders: how they are read from the wire, and what is known of them afterwards."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs

from .fields import FieldError, Fields
from .instruments import Contract, ContractQuery

WORKING = frozenset({"PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel"})
"""States in which an order can still fill."""

_BEFORE_DELTA_NEUTRAL = (
    "sec_id_type",
    "sec_id",
    "action",
    "quantity",
    "order_type",
    "limit_price",
    "stop_price",
    "tif",
    "oca_group",
    "account",
    "open_close",
    "origin",
    "order_ref",
    "transmit",
    "parent_id",
    "block_order",
    "sweep_to_fill",
    "display_size",
    "trigger_method",
    "outside_rth",
    "hidden",
    "shares_allocation",
    "discretionary_amount",
    "good_after_time",
    "good_till_date",
    "fa_group",
    "fa_method",
    "fa_percentage",
    "fa_profile",
    "model_code",
    "short_sale_slot",
    "designated_location",
    "exempt_code",
    "oca_type",
    "rule_80a",
    "settling_firm",
    "all_or_none",
    "min_quantity",
    "percent_offset",
    "e_trade_only",
    "firm_quote_only",
    "nbbo_price_cap",
    "auction_strategy",
    "starting_price",
    "stock_ref_price",
    "delta",
    "stock_range_lower",
    "stock_range_upper",
    "override_percentage",
    "volatility",
    "volatility_type",
    "delta_neutral_order_type",
    "delta_neutral_aux_price",
)
_BEFORE_SCALE = (
    "continuous_update",
    "reference_price_type",
    "trail_stop_price",
    "trailing_percent",
    "scale_init",
    "scale_subs",
    "scale_price_increment",
)
_BEFORE_HEDGE = (
    "scale_table",
    "active_start_time",
    "active_stop_time",
    "hedge_type",
)
_BEFORE_NEUTRAL_CONTRACT = (
    "opt_out_smart_routing",
    "clearing_account",
    "clearing_intent",
    "not_held",
    "delta_neutral_contract",
)
_BEFORE_CONDITIONS = (
    "algo_id",
    "what_if",
    "misc_options",
    "solicited",
    "randomize_size",
    "randomize_price",
)
_LAST = (
    "adjusted_order_type",
    "trigger_price",
    "limit_price_offset",
    "adjusted_stop_price",
    "adjusted_stop_limit_price",
    "adjusted_trailing_amount",
    "adjustable_trailing_unit",
    "ext_operator",
)
_CONDITION_FIELDS = {1: 5, 3: 2, 4: 2, 5: 3, 6: 4, 7: 4}


@attrs.frozen(kw_only=True)
class OrderTicket:
    """What a client wrote into PLACE_ORDER, as far as this gateway uses it."""

    order_id: int
    query: ContractQuery
    action: str
    quantity: float
    order_type: str
    limit_price: float | None
    stop_price: float | None
    tif: str
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    oca_group: str
    oca_type: int
    open_close: str
    outside_rth: bool
    what_if: bool
    ext_operator: str
    trail_stop: float | None = None
    trailing_percent: float | None = None


def read_ticket(values: list[str]) -> OrderTicket:
    """Read PLACE_ORDER (all its fields, the message id included); raises `FieldError`."""
    fields = Fields(values)
    fields.text()
    order_id = fields.integer()
    query = ContractQuery.read(fields)
    if query.sec_type == "BAG":
        raise FieldError("combination orders are not supported")
    order = _read_named(fields)
    quantity = _number(order, "quantity")
    if quantity is None:
        raise FieldError("total quantity is missing")
    return OrderTicket(
        order_id=order_id,
        query=query,
        action=order["action"].upper(),
        quantity=quantity,
        order_type=order["order_type"].upper(),
        limit_price=_number(order, "limit_price"),
        stop_price=_number(order, "stop_price"),
        tif=order["tif"].upper() or "DAY",
        account=order["account"],
        order_ref=order["order_ref"],
        transmit=Fields([order["transmit"]]).flag(),
        parent_id=Fields([order["parent_id"]]).integer(),
        oca_group=order["oca_group"],
        oca_type=Fields([order["oca_type"]]).integer(),
        open_close=order["open_close"],
        outside_rth=Fields([order["outside_rth"]]).flag(),
        what_if=Fields([order["what_if"]]).flag(),
        ext_operator=order["ext_operator"],
        trail_stop=_number(order, "trail_stop_price"),
        trailing_percent=_number(order, "trailing_percent"),
    )


def _number(order: dict[str, str], name: str) -> float | None:
    return Fields([order[name]]).decimal()


def _read_named(fields: Fields) -> dict[str, str]:
    order: dict[str, str] = {}

    def take(names: tuple[str, ...]) -> None:
        for name in names:
            order[name] = fields.text()

    take(_BEFORE_DELTA_NEUTRAL)
    if order["delta_neutral_order_type"]:
        fields.texts(8)
    take(_BEFORE_SCALE)
    if (_number(order, "scale_price_increment") or 0.0) > 0:
        fields.texts(7)
    take(_BEFORE_HEDGE)
    if order["hedge_type"]:
        fields.text()
    take(_BEFORE_NEUTRAL_CONTRACT)
    if order["delta_neutral_contract"] == "1":
        fields.texts(3)
    if fields.text():
        fields.texts(2 * fields.count())
    take(_BEFORE_CONDITIONS)
    if order["order_type"].upper() == "PEG BENCH":
        fields.texts(5)
    conditions = fields.count()
    for _ in range(conditions):
        kind = fields.integer()
        if kind not in _CONDITION_FIELDS:
            raise FieldError(f"unknown condition type {kind}")
        fields.texts(1 + _CONDITION_FIELDS[kind])
    if conditions:
        fields.texts(2)
    take(_LAST)
    return order


def _contract_record(contract: Contract) -> dict[str, Any]:
    return attrs.asdict(contract, recurse=False)


@attrs.define(kw_only=True)
class Order:
    """An order this gateway has taken, identified for good by `perm_id`."""

    perm_id: int
    client_id: int
    order_id: int
    contract: Contract
    action: str
    quantity: float
    order_type: str
    limit_price: float | None
    stop_price: float | None
    tif: str
    account: str
    order_ref: str
    parent_id: int = 0
    oca_group: str = ""
    oca_type: int = 0
    open_close: str = ""
    outside_rth: bool = False
    ext_operator: str = ""
    transmit: bool = True
    status: str = "PendingSubmit"
    filled: float = 0.0
    avg_fill_price: float = 0.0
    last_fill_price: float = 0.0
    commission: float | None = None
    why_held: str = ""
    triggered: bool = False
    modifications: int = 0
    was_cancelled: bool = False
    discarded: bool = False
    completed_at: str = ""
    completed_status: str = ""
    silent: bool = False
    ready_at_s: float = 0.0
    trail_stop: float | None = None
    """The stop price of a trailing stop now; its `stop_price` is the distance."""
    trailing_percent: float | None = None

    @property
    def remaining(self) -> float:
        """The quantity that has not been filled."""
        return round(self.quantity - self.filled, 8)

    @property
    def is_working(self) -> bool:
        """Whether the order has been transmitted and can still fill."""
        return self.transmit and self.status in WORKING

    @property
    def sign(self) -> int:
        """+1 for a purchase, −1 for a sale."""
        return 1 if self.action == "BUY" else -1

    @property
    def is_stop(self) -> bool:
        """Whether the order waits for a stop price."""
        return self.order_type in ("STP", "STP LMT", "TRAIL")

    def trail(self, last: float) -> None:
        """Let a trailing stop follow the last price; it never moves back."""
        distance = self.stop_price
        if distance is None:
            distance = last * (self.trailing_percent or 0.0) / 100
        level = last + self.sign * distance
        best = min if self.sign > 0 else max
        self.trail_stop = level if self.trail_stop is None else best(level, self.trail_stop)

    def record(self) -> dict[str, Any]:
        """The order as plain data, for the state file."""
        return {**attrs.asdict(self, recurse=False), "contract": _contract_record(self.contract)}

    @classmethod
    def restore(cls, record: dict[str, Any]) -> Order:
        """Rebuild an order from `record`."""
        return cls(**{**record, "contract": Contract(**record["contract"])})


@attrs.frozen(kw_only=True)
class Execution:
    """One fill. `commission` and `realized_pnl` are in the contract's currency."""

    exec_id: str
    perm_id: int
    client_id: int
    order_id: int
    account: str
    contract: Contract
    time: dt.datetime
    side: str
    quantity: float
    price: float
    cumulative: float
    average_price: float
    order_ref: str
    commission: float
    realized_pnl: float | None = None

    @property
    def signed_quantity(self) -> float:
        """Positive for a purchase, negative for a sale."""
        return self.quantity if self.side == "BOT" else -self.quantity

    @property
    def root_id(self) -> str:
        """The part of the id that a correction keeps."""
        return self.exec_id.rpartition(".")[0]

    def record(self) -> dict[str, Any]:
        """The execution as plain data, for the state file."""
        return {
            **attrs.asdict(self, recurse=False),
            "contract": _contract_record(self.contract),
            "time": self.time.isoformat(),
        }

    @classmethod
    def restore(cls, record: dict[str, Any]) -> Execution:
        """Rebuild an execution from `record`."""
        contract = Contract(**record["contract"])
        time = dt.datetime.fromisoformat(record["time"])
        return cls(**{**record, "contract": contract, "time": time})
