"""Everything that can be made to go wrong, on command.

Each public method of `Faults` is one fault; a scenario file names the same methods. A fault stays
until it is taken back, unless it says that it counts down. All times are seconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Literal, TypeVar

from . import codes
from .broker import Broker
from .fault_state import Drop, FaultState, Rejection
from .others import Others
from .requests import numbers_of
from .sockets import Network
from .world import World

_T = TypeVar("_T")
Side = Literal["sent", "received"]
AUTHENTICATION_MODES = ("disclaimer", "close", "silence")
MISSING_MODES = ("minus_one", "zero", "silent", "end_only")
LOST_MODES = ("silent", "drop_before", "drop_after")


class Faults:
    """Commands that break the gateway, and those that mend it."""

    def __init__(
        self,
        world: World,
        broker: Broker,
        others: Others,
        network: Network,
        *,
        end_subscriptions: Callable[[int | None], None],
        report_backlog: Callable[[], None],
        tell_accounts: Callable[[], None],
    ) -> None:
        """Break `world`; `end_subscriptions` ends market data (with an error code if one is given),
        `report_backlog` tells clients what happened while the servers were lost, and
        `tell_accounts` pushes the values of accounts.
        """
        self.state: FaultState = world.faults
        self._market = world.market
        self._books = world.books
        self._timers = world.timers
        self._broker = broker
        self._others = others
        self._network = network
        self._end_subscriptions = end_subscriptions
        self._report_backlog = report_backlog
        self._tell_accounts = tell_accounts

    def clear(self) -> None:
        """Take back every fault except prices that were moved, and spreads."""
        reading_stopped, refusing = self.state.reading_stopped, self.state.refusing
        suspended = self.state.suspended
        if self.state.disconnected:
            self.connectivity_restored()
        self.state.clear()
        self._market.thaw(None)
        self._market.halted.clear()
        if suspended:
            self._network.release()
        if reading_stopped:
            self._network.resume_reading()
        if refusing:
            self._network.listen_again()
        self._broker.release_cancels()
        self._broker.match()

    # The connection -----------------------------------------------------------------------------

    def refuse_connections(self, duration_s: float | None = None) -> None:
        """Stop listening; for good or for `duration_s`. Open connections stay."""
        self.state.refusing = True
        self._network.stop_listening()
        if duration_s is not None:
            self._timers.later(duration_s, self.accept_connections)

    def accept_connections(self) -> None:
        """Listen again on the same port."""
        self.state.refusing = False
        self._network.listen_again()

    def latency(self, delay_s: float) -> None:
        """Hold back everything sent by `delay_s`, in order; 0 ends it."""
        self.state.latency_s = delay_s

    def silence(self, stop_reading: bool = False) -> None:
        """Keep all sockets but say nothing more; optionally do not read either."""
        self.state.silent = True
        if stop_reading:
            self.state.reading_stopped = True
            self._network.pause_reading()

    def speak(self) -> None:
        """End a silence. What was not said stays unsaid."""
        self.state.silent = False
        self.state.reading_stopped = False
        self._network.resume_reading()

    def suspend(self, duration_s: float | None = None) -> None:
        """Stand still like a process that got SIGSTOP: nothing is read, nothing said; the market goes on. What came
        meanwhile is then acted on, and what was to be said is said.
        """
        self.state.suspended = self.state.reading_stopped = True
        self._network.pause_reading()
        if duration_s is not None:
            self._timers.later(duration_s, self.wake)

    def wake(self) -> None:
        """End `suspend`."""
        self.state.suspended = self.state.reading_stopped = False
        self._network.release()
        self._network.resume_reading()

    def drop_connections(self, client_id: int | None = None, reset: bool = True) -> None:
        """Close the sockets of one client or of all, by RST or by an orderly FIN."""
        self._network.drop(client_id, reset=reset)

    def drop_mid_message(self) -> None:
        """Send only half of the next message, then close that connection."""
        self.state.drop_mid_message = True

    def drop_at(
        self, count: int, side: Side = "sent", mid_message: bool = False, reset: bool = True
    ) -> None:
        """Drop the connection at the `count`-th message from now on, counted over all clients.

        A dropped message is not sent (`mid_message`: half of it is), or not acted on.
        """
        if side not in ("sent", "received"):
            raise ValueError(f"side must be sent or received (was {side!r})")
        done = self.state.messages_sent if side == "sent" else self.state.messages_received
        self.state.drop_at[side] = Drop(done + count, mid_message, reset)

    def client_id_taken(self, client_id: int | None = None, times: int = 1) -> None:
        """Answer the next `times` connections of a client id (or of any) with error 326."""
        self.state.taken_client_ids[client_id] = times

    def version_too_old(self, version: int | None = 76) -> None:
        """Offer a server version below every client's minimum; `None` offers the true one again."""
        self.state.version_offered = version

    def authentication_failure(self, mode: str | None = "disclaimer") -> None:
        """Fail after startApi: "disclaimer" sends error 10141 and closes, "close" only closes,
        "silence" leaves the client waiting. `None` lets clients in again.
        """
        if mode is not None and mode not in AUTHENTICATION_MODES:
            raise ValueError(f"mode must be one of {AUTHENTICATION_MODES} (was {mode!r})")
        self.state.authentication = mode

    def nightly_reset(self, duration_s: float = 60.0) -> None:
        """Close all sockets without a word and refuse connections for `duration_s`."""
        self._network.drop(None, reset=False)
        self.refuse_connections(duration_s)

    def reset_port(self, moves: bool = False) -> None:
        """Send 1300 with the port to reconnect on, close all sockets, and listen there: at another
        port if the gateway `moves`, else at the same one.
        """
        self._network.reset_port(moves=moves)

    # IB's own connectivity ----------------------------------------------------------------------

    def connectivity_lost(self) -> None:
        """Send 1100 to everybody. Until it is restored there is no data, new orders are refused,
        cancels wait, and what happens to working orders is reported later.
        """
        self.state.disconnected = True
        self._network.notice(codes.CONNECTIVITY_LOST)

    def connectivity_restored(self, data_lost: bool = False) -> None:
        """Send 1102, or 1101 with all market data subscriptions gone."""
        self.state.disconnected = False
        if data_lost:
            self._end_subscriptions(None)
        self._network.notice(codes.RESTORED_DATA_LOST if data_lost else codes.RESTORED)
        self._report_backlog()
        self._broker.reconnected()

    def farm(self, code: int, farm: str | None = None) -> None:
        """Send a farm notice (2103–2108, 2110, 2119, 2157, 2158), optionally naming the farm."""
        text = codes.TEXTS.get(code)
        if text is None or not 2103 <= code <= 2158:
            raise ValueError(f"code must be a farm notice, 2103 to 2158 (was {code})")
        if farm is not None:
            head, separator, _ = text.rpartition("." if code in (2107, 2108) else ":")
            text = head + separator + farm
        self._network.notice(code, text)

    def send_error(
        self, code: int, text: str, request_id: int = -1, client_id: int | None = None
    ) -> None:
        """Send any error, to one client or to all."""
        self._network.notice(code, text, request_id=request_id, client_id=client_id)

    # Market data --------------------------------------------------------------------------------

    def stale_data(self, symbol: str | None = None) -> None:
        """Freeze the quotes and bars of a symbol or of all; their times grow old."""
        self._market.freeze(symbol)

    def fresh_data(self, symbol: str | None = None) -> None:
        """End `stale_data`."""
        self._market.thaw(symbol)

    def frozen_quotes(self, symbol: str, active: bool = True) -> None:
        """Answer each snapshot of a symbol with the same quote, stamps included, while its bars and trades go on."""
        (self.state.frozen_quotes.add if active else self.state.frozen_quotes.discard)(symbol)

    def silent_history(self, active: bool = True) -> None:
        """Do not answer requests for bars."""
        self.state.silent_history = active

    def missing_data(self, symbol: str | None = None, mode: str | None = "minus_one") -> None:
        """Leave quotes out: prices −1 ("minus_one") or 0 ("zero"), no answer at all ("silent"), or
        only the end marker ("end_only"). `None` as mode ends it.
        """
        if mode is not None and mode not in MISSING_MODES:
            raise ValueError(f"mode must be one of {MISSING_MODES} (was {mode!r})")
        _set(self.state.missing, symbol, mode)

    def no_subscription(self, symbol: str | None = None, code: int | None = 354) -> None:
        """Refuse market data with 354, 10089 or 10168, show it delayed with 10167, or note with 10090
        that a part of it is missing.
        """
        if code is not None and code not in (354, 10089, 10090, 10167, 10168):
            raise ValueError(f"code must be 354, 10089, 10090, 10167 or 10168 (was {code})")
        _set(self.state.unsubscribed, symbol, code)

    def competing_session(self, active: bool = True) -> None:
        """Answer market data requests with 10197, and end the subscriptions there are."""
        self.state.competing = active
        if active:
            self._end_subscriptions(codes.COMPETING_SESSION)

    def pacing_error(self, count: int = 1) -> None:
        """Answer the next `count` historical requests with a pacing violation (162)."""
        self.state.pacing_errors = count

    def lose_bars(self, symbol: str, begins_at: dt.datetime, ends_at: dt.datetime) -> None:
        """Leave the bars of a symbol that begin from `begins_at` until before `ends_at` out of history."""
        self.state.lost_bars[symbol] = (begins_at, ends_at)

    def list_twice(self, symbol: str) -> None:
        """Let every description of a contract of a symbol fit a second one, too, as after a corporate action; its
        id alone still names one.
        """
        self.state.ambiguous.add(symbol)

    def halt(self, symbol: str, duration_s: float | None = None) -> None:
        """Halt a symbol, for good or for `duration_s`: tick 49 says so, and its orders rest."""
        self._market.halted.add(symbol)
        if duration_s is not None:
            self._timers.later(duration_s, self.resume_trading, symbol)

    def resume_trading(self, symbol: str) -> None:
        """End a halt."""
        self._market.halted.discard(symbol)
        self._broker.match()

    def move_price(self, symbol: str, factor: float) -> None:
        """Multiply the price of a symbol by `factor` from now on."""
        if not 0 < factor < 1000:
            raise ValueError(f"factor must be between 0 and 1000 (was {factor})")
        self._market.move(symbol, factor)
        self._broker.match()

    def widen_spread(self, symbol: str, times: float) -> None:
        """Make the spreads of a symbol's options `times` as wide; 1 takes it back."""
        if not 0 < times < 1000:
            raise ValueError(f"times must be between 0 and 1000 (was {times})")
        self._market.widen(symbol, times)
        self._broker.match()

    # Orders -------------------------------------------------------------------------------------

    def reject_next_order(
        self,
        code: int = codes.ORDER_REJECTED,
        text: str | None = None,
        count: int = 1,
        inactive: bool | None = None,
    ) -> None:
        """Refuse the next `count` orders or modifications; `inactive` overrides the configuration."""
        reason = text or codes.TEXTS.get(code) or codes.rejection("the scenario says so")
        self.state.rejections += [Rejection(code, reason, inactive)] * count

    def lose_acknowledgement(self, mode: str = "silent", count: int = 1) -> None:
        """Lose the answer to the next orders: "silent" accepts and says nothing about the order
        until it is asked for; "drop_after" accepts, then drops the connection; "drop_before" drops
        it without having acted on the order.
        """
        if mode not in LOST_MODES:
            raise ValueError(f"mode must be one of {LOST_MODES} (was {mode!r})")
        self.state.lost_acknowledgements += [mode] * count

    def duplicate_execution(self, count: int = 1) -> None:
        """Report the next `count` executions twice, under the same id."""
        self.state.duplicate_executions = count

    def late_fill(self, delay_s: float = 0.0, count: int = 1) -> None:
        """Fill the next cancelled orders after their cancellation was confirmed."""
        self.state.late_fills = count
        self.state.late_fill_delay_s = delay_s

    def refuse_cancel(self, count: int = 1) -> None:
        """Answer the next `count` cancels of working orders with 161; the orders live on."""
        self.state.refused_cancels = count

    def correct_execution(
        self, exec_id: str, price: float | None = None, quantity: float | None = None
    ) -> str:
        """Correct an execution; returns the id of the correction. Raises `KeyError`."""
        return self._others.correct(exec_id, price=price, quantity=quantity)

    def cancel_order(self, perm_id: int, reason: str = "") -> None:
        """Cancel an order from the exchange's side. Raises `KeyError`."""
        self._others.cancel_from_venue(perm_id, reason)

    def hold_orders(self) -> None:
        """Let every order rest unfilled, market orders too."""
        self.state.held = True

    def release_orders(self) -> None:
        """End `hold_orders`."""
        self.state.held = False
        self._broker.match()

    def fill(self, perm_id: int, quantity: float | None = None, price: float | None = None) -> None:
        """Fill an order by hand, all of it or `quantity`, at `price` or the market."""
        self._others.fill_by_hand(perm_id, quantity, price)

    def unlist_executions(self) -> None:
        """Let the day end: an execution so far is in the positions, but is not listed any more."""
        self.state.unlisted.update(item.exec_id for item in self._books.effective())

    def trade_elsewhere(
        self,
        symbol: str,
        quantity: float,
        price: float | None = None,
        con_id: int = 0,
        account: str = "",
    ) -> None:
        """Change a position as if somebody traded by hand: positive buys, negative sells."""
        self._others.trade_elsewhere(symbol, quantity, price, con_id, account)

    def transfer_cash(self, amount: float, account: str = "") -> None:
        """Pay in (or out): the cash changes without an execution."""
        book = self._books.accounts[account or next(iter(self._books.accounts))]
        book.opening_cash += amount
        book.cash += amount
        self._tell_accounts()

    def misstate_account(self, worth_by: float = 0.0, marks_factor: float = 1.0) -> None:
        """Tell another net liquidation and other marks of what is held than they are; 0 and 1 tell the truth again."""
        self.state.worth_misstated_by, self.state.marks_misstated = worth_by, marks_factor
        self._tell_accounts()

    def double_order(self, perm_id: int, client_id: int | None = None) -> int:
        """Have a working order twice, as after a modify that was sent during an outage: same reference, an id of its
        own, of the same client or another. Returns its permId. Raises `KeyError`.
        """
        return self._others.double(perm_id, client_id)

    def order_by_hand(
        self, symbol: str, quantity: float, limit_price: float, account: str = ""
    ) -> int:
        """Let a limit order rest as if placed in the gateway's own window; returns its permId."""
        return self._others.order_by_hand(symbol, quantity, limit_price, account)

    def ignore_requests(self, *names: str) -> None:
        """Never answer these kinds of request, such as "reqCurrentTime" or "reqPositions"."""
        self.state.ignored.update(numbers_of(names))

    def answer_requests(self, *names: str) -> None:
        """Answer these kinds again; without names, all."""
        if not names:
            self.state.ignored.clear()
        self.state.ignored.difference_update(numbers_of(names))


def _set(table: dict[str | None, _T], symbol: str | None, value: _T | None) -> None:
    if value is None:
        table.pop(symbol, None)
    else:
        table[symbol] = value
