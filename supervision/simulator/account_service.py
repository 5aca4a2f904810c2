"""Answers requests about accounts, positions and profit, and pushes what changes."""

# Handlers share one signature whether or not they need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Callable

from . import codes
from .account import Position
from .client import Client
from .fields import UNSET_DOUBLE, Fields, number, size
from .requests import Handler
from .tickets import Refusal, market_value, net_liquidation, total_requirement
from .world import World

_UPDATES = ("updates", 0)
_POSITIONS = ("positions", 0)
_REQ_POSITIONS = 61
_PNL_INTERVAL_S = 1.0
_BUYING_POWER = 4.0
Row = tuple[str, str, str]
"""Key, value and currency of one account value."""


class AccountService:
    """Account values, portfolio, positions, summaries, P&L."""

    def __init__(self, world: World) -> None:
        self._config = world.config
        self._market = world.market
        self._books = world.books
        self._faults = world.faults
        self._timers = world.timers
        self._loop = world.loop
        self._clock_text = world.clock_text
        self._updates: dict[Client, tuple[str, dict[tuple[str, str], str]]] = {}
        self._updates_multi: dict[tuple[Client, int], tuple[str, dict[tuple[str, str], str]]] = {}
        self._summaries: dict[tuple[Client, int], tuple[str, ...]] = {}
        self._positions: dict[Client, None] = {}
        self._positions_multi: dict[tuple[Client, int], str] = {}
        self._dirty: dict[tuple[str, int], None] = {}
        self._timer_runs = False

    def handlers(self) -> dict[int, Handler]:
        """The requests this service answers."""
        return {
            6: self.account_updates,
            61: self.positions,
            62: self.summary,
            63: self._canceller("summary"),
            64: self.cancel_positions,
            74: self.positions_multi,
            75: self._canceller("positions_multi"),
            76: self.account_updates_multi,
            77: self._canceller("updates_multi"),
            92: self.pnl,
            93: self._canceller("pnl"),
            94: self.pnl_single,
            95: self._canceller("pnl_single"),
        }

    def _canceller(self, kind: str) -> Handler:
        def cancel(session: Client, fields: Fields) -> None:
            stop = session.subscriptions.pop((kind, fields.integer()), None)
            if stop is not None:
                stop()

        return cancel

    # Values -------------------------------------------------------------------------------------

    def values(self, account: str) -> list[Row]:
        """All values of an account, in a fixed order."""
        books, market = self._books, self._market
        book = books.accounts[account]
        liquidation = net_liquidation(book, market) + self._faults.worth_misstated_by
        margin = total_requirement(book, market)
        gross = 0.0
        stocks = 0.0
        options = 0.0
        unrealized = 0.0
        for held in books.positions(account).values():
            value = market_value(held.contract, held.quantity, market) or 0.0
            unrealized += self._unrealized(held) or 0.0
            if held.contract.is_future:
                continue
            gross += abs(value)
            if held.contract.is_option:
                options += value
            else:
                stocks += value
        available = liquidation - margin
        money = {
            "NetLiquidation": liquidation,
            "EquityWithLoanValue": liquidation,
            "TotalCashValue": book.cash,
            "SettledCash": book.cash,
            "AvailableFunds": available,
            "FullAvailableFunds": available,
            "ExcessLiquidity": liquidation - margin * 0.9,
            "BuyingPower": max(0.0, available * _BUYING_POWER),
            "InitMarginReq": margin,
            "FullInitMarginReq": margin,
            "MaintMarginReq": margin * 0.9,
            "FullMaintMarginReq": margin * 0.9,
            "GrossPositionValue": gross,
        }
        ledger = {
            "CashBalance": book.cash,
            "TotalCashBalance": book.cash,
            "StockMarketValue": stocks,
            "OptionMarketValue": options,
            "NetLiquidationByCurrency": liquidation,
            "RealizedPnL": book.realized_pnl,
            "UnrealizedPnL": unrealized,
            "ExchangeRate": 1.0,
        }
        rows: list[Row] = [
            ("AccountCode", account, ""),
            ("AccountReady", "true", ""),
            ("AccountType", "INDIVIDUAL", ""),
        ]
        rows += [(key, f"{value:.2f}", "USD") for key, value in money.items()]
        rows += [("Currency", currency, currency) for currency in ("USD", "BASE")]
        prefix = "$LEDGER-" if self._config.ledger_prefix else ""
        for key, value in ledger.items():
            rows += [(prefix + key, f"{value:.2f}", currency) for currency in ("USD", "BASE")]
        rows += [
            ("Cushion", f"{available / liquidation if liquidation > 0 else 0.0:.6f}", ""),
            ("DayTradesRemaining", "-1", ""),
        ]
        return rows

    def _unrealized(self, held: Position) -> float | None:
        value = market_value(held.contract, held.quantity, self._market)
        return None if value is None else value - held.quantity * held.avg_cost

    def _check_account(self, account: str) -> str:
        managed = self._config.managed_accounts
        if account in ("", "All") or account in managed:
            return account if account in managed else managed[0]
        raise Refusal(codes.BAD_REQUEST, codes.validation(f"Invalid account code '{account}'"))

    # Account updates ----------------------------------------------------------------------------

    def account_updates(self, session: Client, fields: Fields) -> None:
        """Subscribe to one account: values, portfolio, time, end; afterwards changes."""
        subscribe = fields.flag()
        account = self._check_account(fields.text())
        if not subscribe:
            self._updates.pop(session, None)
            return
        if session in self._updates and self._updates[session][0] != account:
            session.error(-1, codes.ACCOUNT_REPLACED)
        self._updates[session] = (account, {})
        session.subscriptions[_UPDATES] = lambda: self._drop_updates(session)
        self._send_values(session)
        for held in self._books.positions(account).values():
            self._send_portfolio(session, held)
        session.send("8", "1", self._clock_text())
        session.send("54", "1", account)
        self._start_timer()

    def _drop_updates(self, session: Client) -> None:
        self._updates.pop(session, None)

    def _send_values(self, session: Client) -> bool:
        account, sent = self._updates[session]
        changed = False
        for key, value, currency in self.values(account):
            if sent.get((key, currency)) != value:
                sent[key, currency] = value
                session.send("6", "2", key, value, currency, account)
                changed = True
        return changed

    def _send_portfolio(self, session: Client, held: Position) -> None:
        contract = held.contract
        mark = self._market.quote(contract).mark
        value = market_value(contract, held.quantity, self._market)
        if value is not None:
            value *= self._faults.marks_misstated
        session.send(
            *("7", "8", str(contract.con_id), contract.symbol, contract.sec_type),
            *(contract.expiry, number(contract.strike) if contract.is_option else "0"),
            *(contract.right or "0", contract.multiplier, contract.primary_exchange),
            *(contract.currency, contract.local_symbol, contract.trading_class),
            *(size(held.quantity), number(mark or 0.0), number(value or 0.0)),
            *(number(held.avg_cost), number(self._unrealized(held) or 0.0)),
            *(number(held.realized_pnl), held.account),
        )

    def account_updates_multi(self, session: Client, fields: Fields) -> None:
        """Subscribe to the values of one account by request id."""
        request_id = fields.integer()
        account = self._check_account(fields.text())
        key = (session, request_id)
        self._updates_multi[key] = (account, {})
        session.subscriptions["updates_multi", request_id] = lambda: self._drop_multi(key)
        self._send_values_multi(session, request_id)
        session.send("74", "1", str(request_id))
        self._start_timer()

    def _drop_multi(self, key: tuple[Client, int]) -> None:
        self._updates_multi.pop(key, None)

    def _send_values_multi(self, session: Client, request_id: int) -> None:
        account, sent = self._updates_multi[session, request_id]
        for key, value, currency in self.values(account):
            if sent.get((key, currency)) != value:
                sent[key, currency] = value
                session.send("73", "1", str(request_id), account, "", key, value, currency)

    def summary(self, session: Client, fields: Fields) -> None:
        """Send the chosen values of all accounts, then the end, then changes."""
        request_id = fields.integer()
        fields.text()
        tags = tuple(tag for tag in fields.text().split(",") if tag)
        active = sum(1 for key in self._summaries if key[0] is session)
        limit = self._config.limits.account_summaries
        if limit and active >= limit and (session, request_id) not in self._summaries:
            raise Refusal(
                codes.BAD_PROCESS,
                "Error processing request.-'bQ' : cause - Maximum number of account summary "
                "requests exceeded",
            )
        self._summaries[session, request_id] = tags
        session.subscriptions["summary", request_id] = lambda: self._drop_summary(
            session, request_id
        )
        self._send_summary(session, request_id)
        session.send("64", "1", str(request_id))
        self._start_timer()

    def _drop_summary(self, session: Client, request_id: int) -> None:
        self._summaries.pop((session, request_id), None)

    def _send_summary(self, session: Client, request_id: int) -> None:
        tags = self._summaries[session, request_id]
        for account in self._config.managed_accounts:
            for key, value, currency in self.values(account):
                if currency != "BASE" and (key in tags or "All" in tags):
                    session.send("63", "1", str(request_id), account, key, value, currency)

    # Positions ----------------------------------------------------------------------------------

    def positions(self, session: Client, fields: Fields) -> None:
        """List all positions, then push each change."""
        self._positions[session] = None
        session.subscriptions[_POSITIONS] = lambda: self._drop_positions(session)
        for account in self._config.managed_accounts:
            for held in self._books.positions(account).values():
                session.send("61", "3", account, *_position_fields(held))
        if _REQ_POSITIONS not in self._faults.orders.endless:
            session.send("62", "1")

    def _drop_positions(self, session: Client) -> None:
        self._positions.pop(session, None)

    def cancel_positions(self, session: Client, fields: Fields) -> None:
        """End `positions`."""
        self._drop_positions(session)

    def positions_multi(self, session: Client, fields: Fields) -> None:
        """List the positions of one account by request id, then push each change."""
        request_id = fields.integer()
        account = self._check_account(fields.text())
        key = (session, request_id)
        self._positions_multi[key] = account
        session.subscriptions["positions_multi", request_id] = lambda: self._drop_held(key)
        for held in self._books.positions(account).values():
            _send_multi(session, request_id, held)
        session.send("72", "1", str(request_id))

    def _drop_held(self, key: tuple[Client, int]) -> None:
        self._positions_multi.pop(key, None)

    def tell_all(self) -> None:
        """Push values and portfolio, as after a change that no order made."""
        for session, (account, _) in list(self._updates.items()):
            for held in self._books.positions(account).values():
                self._send_portfolio(session, held)
        self._push_values()

    # Changes ------------------------------------------------------------------------------------

    def changed(self, account: str, con_id: int) -> None:
        """Push a position and the account values that changed with it, in the loop's next turn.

        A gateway sends these after the order's own messages, and once for several fills.
        """
        if not self._dirty:
            self._loop.call_soon(self._push_changes)
        self._dirty[account, con_id] = None

    def _push_changes(self) -> None:
        changes, self._dirty = list(self._dirty), {}
        for account, con_id in changes:
            held = self._books.accounts[account].positions.get(con_id)
            if held is not None:
                self._push_position(held)
        self._push_values()

    def _push_position(self, held: Position) -> None:
        for session in list(self._positions):
            session.send("61", "3", held.account, *_position_fields(held))
        for (session, request_id), name in list(self._positions_multi.items()):
            if name == held.account:
                _send_multi(session, request_id, held)
        for session, (name, _) in list(self._updates.items()):
            if name == held.account:
                self._send_portfolio(session, held)

    def _push_values(self) -> None:
        for session in list(self._updates):
            if self._send_values(session):
                session.send("8", "1", self._clock_text())
        for session, request_id in list(self._updates_multi):
            self._send_values_multi(session, request_id)
        for session, request_id in list(self._summaries):
            self._send_summary(session, request_id)

    def _start_timer(self) -> None:
        if not self._timer_runs:
            self._timer_runs = True
            self._timers.later(self._config.account_interval_s, self._tick)

    def _tick(self) -> None:
        self._timer_runs = False
        if not (self._updates or self._updates_multi or self._summaries):
            return
        self.tell_all()
        self._start_timer()

    # Profit and loss ----------------------------------------------------------------------------

    def pnl(self, session: Client, fields: Fields) -> None:
        """Send the account's P&L every second while subscribed."""
        request_id = fields.integer()
        account = self._check_account(fields.text())

        def send() -> None:
            book = self._books.accounts[account]
            held = self._books.positions(account).values()
            unrealized = sum(self._unrealized(position) or 0.0 for position in held)
            total = unrealized + book.realized_pnl
            session.send(
                "94", str(request_id), number(total), number(unrealized), number(book.realized_pnl)
            )

        self._repeat(session, ("pnl", request_id), send)

    def pnl_single(self, session: Client, fields: Fields) -> None:
        """Send one position's P&L every second while subscribed."""
        request_id = fields.integer()
        account = self._check_account(fields.text())
        fields.text()
        con_id = fields.integer()

        def send() -> None:
            held = self._books.accounts[account].positions.get(con_id)
            if held is None:
                session.send("95", str(request_id), "0", *[UNSET_DOUBLE] * 3, "0.0")
                return
            unrealized = self._unrealized(held)
            value = market_value(held.contract, held.quantity, self._market)
            daily = None if unrealized is None else unrealized + held.realized_pnl
            session.send(
                *("95", str(request_id), size(held.quantity), number(daily)),
                *(number(unrealized), number(held.realized_pnl), number(value)),
            )

        self._repeat(session, ("pnl_single", request_id), send)

    def _repeat(self, session: Client, key: tuple[str, int], send: Callable[[], None]) -> None:
        if key in session.subscriptions:
            raise Refusal(codes.BAD_PROCESS, "Error processing request.-'bQ' : cause - Duplicate")
        session.subscriptions[key] = self._timers.every(_PNL_INTERVAL_S, send)
        send()


def _position_fields(held: Position) -> list[str]:
    contract = held.contract
    return [
        str(contract.con_id),
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        number(contract.strike),
        contract.right,
        contract.multiplier,
        contract.primary_exchange if contract.sec_type == "STK" else "",
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
        size(held.quantity),
        number(held.avg_cost),
    ]


def _send_multi(session: Client, request_id: int, held: Position) -> None:
    session.send("71", "1", str(request_id), held.account, *_position_fields(held), "")
