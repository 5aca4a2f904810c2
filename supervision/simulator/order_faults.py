"""Troubles with orders, on command: refused, dropped, halted in their cancel, hidden, foreign, filled late.

Each public method of `OrderFaults` is one trouble; a scenario file names the same methods. A trouble stays until it is
taken back or its ``duration_s`` is over. All times are seconds, and ``symbol`` None means every symbol.
"""

from __future__ import annotations

from . import codes
from .broker import Broker
from .fault_state import FaultState
from .order_fault_state import (
    LISTS,
    MANNERS,
    PURPOSES,
    OrderFaultState,
    Refusing,
    SlowCancels,
)
from .others import Others
from .requests import numbers_of
from .world import World


class OrderFaults:
    """Commands that give orders trouble, and those that take it back."""

    def __init__(self, world: World, broker: Broker, others: Others) -> None:
        """Trouble the orders of ``broker``."""
        self._faults: FaultState = world.faults
        self._timers = world.timers
        self._broker = broker
        self._others = others

    @property
    def _state(self) -> OrderFaultState:
        return self._faults.orders

    # Refusals -----------------------------------------------------------------------------------

    def refuse_orders(
        self,
        code: int = codes.ORDER_REJECTED,
        text: str | None = None,
        manner: str = "error",
        symbol: str | None = None,
        only: str = "all",
        duration_s: float | None = None,
        appears_after_s: float = 10.0,
    ) -> None:
        """Refuse every order and modification that fits.

        ``manner``: "error" says the code alone; "inactive" puts openOrder and orderStatus Inactive before it; "status"
        says Inactive without a code; "deactivated" keeps the order, Inactive and listed, and says the code; "silence"
        drops the order without a word; "late" does so, and takes it after ``appears_after_s``. ``only`` "opens" or
        "closes" spares the others, by what is held when the order comes.
        """
        _check("manner", manner, MANNERS)
        _check("only", only, PURPOSES)
        refusing = Refusing(
            code=code,
            text=text or codes.TEXTS.get(code) or codes.rejection("the scenario says so"),
            manner=manner,
            symbol=symbol,
            only=only,
            appears_after_s=appears_after_s,
        )
        self._state.refusing.append(refusing)
        if duration_s is not None:
            self._timers.later(duration_s, self._end_refusal, refusing)

    def accept_orders(self) -> None:
        """End every `refuse_orders`."""
        self._state.refusing.clear()

    def _end_refusal(self, refusing: Refusing) -> None:
        if refusing in self._state.refusing:
            self._state.refusing.remove(refusing)

    def deactivate_order(self, perm_id: int) -> None:
        """Make a working order Inactive; it stays listed among the open orders. Raises `KeyError`."""
        self._others.deactivate(perm_id)

    def activate_order(self, perm_id: int) -> None:
        """Let a de-activated order work again. Raises `KeyError`."""
        self._others.activate(perm_id)

    # Cancels ------------------------------------------------------------------------------------

    def hold_cancels(
        self,
        delay_s: float | None = None,
        symbol: str | None = None,
        client_id: int | None = None,
        is_told: bool = True,
    ) -> None:
        """Let cancels stay pending for ``delay_s`` each, or until `release_cancels`; the orders can still fill.

        ``client_id`` means the orders of that client alone. ``is_told`` False leaves out the status PendingCancel.
        """
        self._state.slow_cancels.append(
            SlowCancels(symbol=symbol, client_id=client_id, delay_s=delay_s, is_told=is_told)
        )

    def release_cancels(self) -> None:
        """End `hold_cancels`, and cancel what waits for it."""
        self._state.slow_cancels.clear()
        self._broker.release_cancels()

    # Fills --------------------------------------------------------------------------------------

    def delay_fills(self, delay_s: float, symbol: str | None = None) -> None:
        """Let orders that come from now on rest for ``delay_s`` before they may fill; 0 ends it.

        With `lose_acknowledgement("drop_after")` an order fills after the socket that it came by has died.
        """
        self._state.fill_delays[symbol] = delay_s

    def busy_day(self, count: int, symbol: str = "SPY", client_id: int = 0) -> None:
        """Add ``count`` executions of one unit to the day, sales after as many purchases, without a word to anybody."""
        self._others.add_executions(symbol, count, client_id)

    # Orders of others ---------------------------------------------------------------------------

    def foreign_order(
        self,
        symbol: str,
        quantity: float,
        limit_price: float | None = None,
        stop_price: float | None = None,
        client_id: int = 0,
        order_ref: str = "",
        con_id: int = 0,
    ) -> int:
        """Let an order of another client rest (positive buys); returns its permId.

        Client 0 is TWS itself, whose orders have negative ids. Without prices its limit is far from the market.
        """
        return self._others.order_of_another(
            symbol, quantity, limit_price, stop_price, client_id, order_ref, con_id
        )

    # What is told -------------------------------------------------------------------------------

    def hide_orders(
        self,
        where: str = "open_orders",
        symbol: str | None = None,
        duration_s: float | None = None,
    ) -> None:
        """Leave what there is out of a list: "open_orders", "completed_orders" or "executions"."""
        _check("where", where, LISTS)
        self._state.hidden.add((where, symbol))
        if duration_s is not None:
            self._timers.later(duration_s, self.show_orders, where, symbol)

    def show_orders(self, where: str = "open_orders", symbol: str | None = None) -> None:
        """End one `hide_orders`."""
        self._state.hidden.discard((where, symbol))

    def withhold_ends(self, *names: str) -> None:
        """Answer these kinds of request without their end marker: "reqExecutions", "reqCompletedOrders",
        "reqOpenOrders", "reqAllOpenOrders", "reqPositions". Without names, end it.
        """
        if not names:
            self._state.endless.clear()
        self._state.endless.update(numbers_of(names))


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)} (was {value!r})")
