"""Which troubles with orders are on. Written by `OrderFaults` alone, read by the broker and the order service."""

from __future__ import annotations

from typing import Final

import attrs

from .orders import Order

MANNERS: Final = ("error", "inactive", "status", "deactivated", "silence", "late")
"""How an order is refused; see `OrderFaults.refuse_orders`."""
PURPOSES: Final = ("all", "opens", "closes")
LISTS: Final = ("open_orders", "completed_orders", "executions")


@attrs.frozen(kw_only=True)
class Refusing:
    """A refusal of every order that fits, until it is taken back."""

    code: int
    text: str
    manner: str
    symbol: str | None
    only: str
    appears_after_s: float

    def fits(self, order: Order, held: float) -> bool:
        """Whether it is about this order; ``held`` is the position, negative when short."""
        if self.symbol not in (None, order.contract.symbol):
            return False
        closes = held * order.sign < 0
        return self.only == "all" or (self.only == "closes") == closes


@attrs.frozen(kw_only=True)
class SlowCancels:
    """Cancels that stay pending: for ``delay_s`` each, or until they are released."""

    symbol: str | None
    client_id: int | None
    delay_s: float | None
    is_told: bool

    def fits(self, order: Order) -> bool:
        """Whether it is about the cancel of this order."""
        return self.symbol in (None, order.contract.symbol) and self.client_id in (
            None,
            order.client_id,
        )


@attrs.define
class OrderFaultState:
    """The troubles with orders that are on."""

    refusing: list[Refusing] = attrs.field(factory=list)
    slow_cancels: list[SlowCancels] = attrs.field(factory=list)
    fill_delays: dict[str | None, float] = attrs.field(factory=dict)
    hidden: set[tuple[str, str | None]] = attrs.field(factory=set)
    deactivated: set[int] = attrs.field(factory=set)
    endless: set[int] = attrs.field(factory=set)

    def refusal_of(self, order: Order, held: float) -> Refusing | None:
        """The refusal that an order meets; None when it is taken."""
        return next((each for each in self.refusing if each.fits(order, held)), None)

    def slowness_of(self, order: Order) -> SlowCancels | None:
        """What keeps the cancel of an order pending; None when nothing does."""
        return next((each for each in self.slow_cancels if each.fits(order)), None)

    def fill_delay_s(self, symbol: str) -> float:
        """So much later an order in this symbol fills."""
        return self.fill_delays.get(symbol, self.fill_delays.get(None, 0.0))

    def is_hidden(self, listing: str, symbol: str) -> bool:
        """Whether what there is of a symbol is left out of a list."""
        return (listing, None) in self.hidden or (listing, symbol) in self.hidden
