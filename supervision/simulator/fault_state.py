"""Which faults are on. Written by `Faults` alone, read by the rest of the gateway."""

from __future__ import annotations

import datetime as dt

import attrs

from .order_fault_state import OrderFaultState


@attrs.frozen
class Rejection:
    """How the next order is refused."""

    code: int
    text: str
    inactive: bool | None


@attrs.frozen
class Drop:
    """A connection to be dropped at the message with this number."""

    at: int
    mid_message: bool
    reset: bool


@attrs.define
class FaultState:
    """The faults that are on; read by the rest of the gateway, written by `Faults`."""

    latency_s: float = 0.0
    silent: bool = False
    reading_stopped: bool = False
    refusing: bool = False
    drop_mid_message: bool = False
    drop_at: dict[str, Drop] = attrs.field(factory=dict)
    taken_client_ids: dict[int | None, int] = attrs.field(factory=dict)
    version_offered: int | None = None
    authentication: str | None = None
    disconnected: bool = False
    frozen_quotes: set[str] = attrs.field(factory=set)
    silent_history: bool = False
    missing: dict[str | None, str] = attrs.field(factory=dict)
    unsubscribed: dict[str | None, int] = attrs.field(factory=dict)
    competing: bool = False
    rejections: list[Rejection] = attrs.field(factory=list)
    lost_acknowledgements: list[str] = attrs.field(factory=list)
    duplicate_executions: int = 0
    late_fills: int = 0
    late_fill_delay_s: float = 0.0
    refused_cancels: int = 0
    pacing_errors: int = 0
    lost_bars: dict[str, tuple[dt.datetime, dt.datetime]] = attrs.field(factory=dict)
    ignored: set[int] = attrs.field(factory=set)
    unlisted: set[str] = attrs.field(factory=set)
    ambiguous: set[str] = attrs.field(factory=set)
    held: bool = False
    suspended: bool = False
    worth_misstated_by: float = 0.0
    marks_misstated: float = 1.0
    orders: OrderFaultState = attrs.field(factory=OrderFaultState)
    messages_sent: int = 0
    messages_received: int = 0

    def clear(self) -> None:
        """Take every fault back, in place: whoever holds this state sees it. The counts stay."""
        fresh = FaultState(
            messages_sent=self.messages_sent, messages_received=self.messages_received
        )
        for field in attrs.fields(FaultState):
            setattr(self, field.name, getattr(fresh, field.name))

    def count_received(self) -> Drop | None:
        """Count a message from a client; says whether to drop its connection instead."""
        self.messages_received += 1
        return self._due("received", self.messages_received)

    def count_sent(self) -> Drop | None:
        """Count a message to a client; says whether to drop its connection instead."""
        self.messages_sent += 1
        if self.drop_mid_message:
            self.drop_mid_message = False
            return Drop(self.messages_sent, mid_message=True, reset=False)
        return self._due("sent", self.messages_sent)

    def _due(self, side: str, count: int) -> Drop | None:
        planned = self.drop_at.get(side)
        if planned is None or count < planned.at:
            return None
        return self.drop_at.pop(side)
