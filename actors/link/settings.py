"""The settings of the link."""

from __future__ import annotations

import attrs

from actors.logic.history import MAX_HISTORY_MINUTES
from actors.model.market import DataType
from actors.model.orders import OPERATOR_ID


@attrs.frozen(kw_only=True)
class LinkSettings:
    """Times in seconds, sizes in bytes. ``sends_orders`` False: there is no sender behind the gate (MODE-1)."""

    sends_orders: bool = False
    operator_id: str = OPERATOR_ID
    messages_per_s: int = 45
    priority_reserve_per_s: int = 10
    slow_down_s: float = 60.0
    """After the gateway found the rate exceeded (error 100), half of it is used for so long."""
    max_waiting_requests: int = 1_000
    """So many requests may wait for their turn in each lane."""
    max_frame_bytes: int = 0xFFFFFF
    """The official clients' limit on one message; ib_insync has none."""
    max_unsent_bytes: int = 1024 * 1024
    """A gateway that reads slower than this much is not there any more."""
    max_items_per_answer: int = 100_000
    max_undecodable: int = 100
    """So many messages of a session may be undecodable before it is given up (orders: none)."""
    snapshot_timeout_s: float = 11.0
    """IB ends a snapshot within 11 s."""
    max_tick_streams: int = 5
    """So many tick-by-tick subscriptions at once; a contract takes two of them."""
    ticks_interval_s: float = 0.1
    """Quotes made of ticks are handed on so often, the newest of each contract."""
    max_history_minutes: int = attrs.field(
        default=MAX_HISTORY_MINUTES, validator=attrs.validators.in_(range(1, 61))
    )
    market_data_type: DataType = DataType.LIVE
    """What is asked for; DELAYED means: live where subscribed, else delayed."""
    max_state_reads: int = 5
    """How often the broker's state is read again because a fill came in between."""
    proof_of_life_s: float = 1.0
    """Before an order, a gateway that was silent for longer has to answer a round trip; 0: never."""
    round_trip_timeout_s: float = 5.0
    """A round trip without an answer for so long is missed."""
    farewell_s: float = 1.0
    """How long an orderly close may take before the socket is aborted."""
