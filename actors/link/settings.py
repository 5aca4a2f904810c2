"""The settings of the link."""

from __future__ import annotations

import attrs

from actors.logic.history import MAX_HISTORY_MINUTES
from actors.model.market import DataType
from actors.model.trading import Trading
from actors.sections.connection import Connection
from actors.sections.gateway import GatewayConfig
from actors.sections.market_data import MarketData
from actors.sections.orders import Orders
from actors.sections.pacing import Pacing


@attrs.frozen(kw_only=True)
class LinkSettings:
    """The sections that the link reads, and bounds of its own, which nobody configures; times in s, sizes in bytes.

    `Trading.sends_orders` False: there is no sender behind the gate (MODE-1).
    """

    trading: Trading = attrs.field(factory=Trading)
    gateway: GatewayConfig = attrs.field(factory=GatewayConfig)
    connection: Connection = attrs.field(factory=Connection)
    pacing: Pacing = attrs.field(factory=Pacing)
    market_data: MarketData = attrs.field(factory=MarketData)
    orders: Orders = attrs.field(factory=Orders)
    max_unsent_bytes: int = 1024 * 1024
    """A gateway that reads slower than this much is not there any more."""
    max_items_per_answer: int = 100_000
    max_history_minutes: int = attrs.field(
        default=MAX_HISTORY_MINUTES, validator=attrs.validators.in_(range(1, 61))
    )
    market_data_type: DataType = DataType.LIVE
    """What is asked for; DELAYED means: live where subscribed, else delayed."""
    max_state_reads: int = 3
    """How often the broker's state is read again because a fill came in between."""
    farewell_s: float = 1.0
    """How long an orderly close may take before the socket is aborted."""
