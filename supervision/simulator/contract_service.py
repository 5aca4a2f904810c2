"""Answers questions about instruments, and the small general questions."""

# Handlers share one signature whether or not they need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

import attrs

from . import codes
from .calendar import CENTRAL_NAME, ZONE_NAME
from .client import Client
from .fields import Fields, number, size
from .instruments import Contract, ContractQuery
from .requests import Handler
from .tickets import Refusal, check_security_type
from .world import World

_OLD_LAYOUT_UNTIL = 163
_SAMPLE_DETAILS_FROM = 176
_ORDER_TYPES = "ACTIVETIM,ADJUST,ALERT,ALLOC,AVGCOST,COND,DAY,GTC,IOC,FOK,LMT,MKT,STP,STPLMT,WHATIF"
_STOCK_EXCHANGES = "SMART,AMEX,NYSE,CBOE,ARCA,ISLAND,BATS,IEX,NASDAQ"
_OPTION_EXCHANGES = "SMART,AMEX,CBOE,PHLX,PSE,ISE,BOX,BATS"
_MARKET_RULE = 26
_MARKET_RULES = {0.01: _MARKET_RULE, 0.1: 39, 0.25: 67}
"""The market rule of each price increment."""
_UNDERLYING = {"OPT": "STK", "WAR": "STK", "FUT": "IND", "FOP": "FUT"}
_ADJUSTED = 1_500_000_000
"""Added to a contract's id: beyond all others."""
_OPTION_CHAIN_EXCHANGES = ("SMART", "CBOE", "ISE")


def _adjusted(contract: Contract) -> Contract:
    """Describe the contract that a corporate action left beside `contract`."""
    return attrs.evolve(
        contract,
        con_id=contract.con_id + _ADJUSTED,
        trading_class=f"{contract.trading_class}1",
        local_symbol=f"{contract.local_symbol}1",
    )


class ContractService:
    """Contract details, option chains, symbol search, market rules, time."""

    def __init__(self, world: World) -> None:
        self._config = world.config
        self._market = world.market
        self._universe = world.universe
        self._faults = world.faults
        self._store = world.store
        self._now = world.now
        self._timers = world.timers

    def handlers(self) -> dict[int, Handler]:
        """The requests this service answers."""
        return {
            8: self.ids,
            9: self.details,
            14: self.nothing,
            17: self.managed_accounts,
            49: self.current_time,
            78: self.option_parameters,
            80: self.family_codes,
            81: self.matching_symbols,
            82: self.depth_exchanges,
            83: self.smart_components,
            85: self.news_providers,
            91: self.market_rule,
            104: self.user_info,
        }

    def nothing(self, session: Client, fields: Fields) -> None:
        """Take a request that has no answer."""

    def ids(self, session: Client, fields: Fields) -> None:
        """Say the next order id again."""
        session.send("9", "1", str(self._store.next_order_id(session.client_id)))

    def managed_accounts(self, session: Client, fields: Fields) -> None:
        """Say the managed accounts again."""
        session.send("15", "1", ",".join(self._config.managed_accounts))

    def current_time(self, session: Client, fields: Fields) -> None:
        """Say the time."""
        session.send("49", "1", str(int(self._now().timestamp())))

    def user_info(self, session: Client, fields: Fields) -> None:
        """Say that there is no white branding."""
        session.send("107", str(fields.integer()), "")

    def family_codes(self, session: Client, fields: Fields) -> None:
        """Answer as a plain account."""
        session.send("78", "1", "*", "")

    def news_providers(self, session: Client, fields: Fields) -> None:
        """Name one news provider."""
        session.send("85", "1", "BRFG", "Briefing.com General Market Columns")

    def depth_exchanges(self, session: Client, fields: Fields) -> None:
        """Say that no exchange offers depth."""
        session.send("80", "0")

    def smart_components(self, session: Client, fields: Fields) -> None:
        """Name the exchanges behind SMART."""
        parts = [("0", "ARCA", "P"), ("1", "NASDAQ", "Q"), ("2", "NYSE", "N")]
        flat = [text for part in parts for text in part]
        session.send("82", str(fields.integer()), str(len(parts)), *flat)

    def market_rule(self, session: Client, fields: Fields) -> None:
        """Give the price increments of a rule."""
        rule = fields.integer()
        ticks = [tick for tick, number in _MARKET_RULES.items() if number == rule]
        if not ticks:
            raise Refusal(codes.BAD_REQUEST, codes.validation("Invalid market rule id"))
        session.send("93", str(rule), "1", "0.0", number(ticks[0]))

    def details(self, session: Client, fields: Fields) -> None:
        """Answer reqContractDetails: one message per match, then the end; none is error 200."""
        request_id = fields.integer()
        query = ContractQuery.read(fields)
        expired = fields.flag()
        check_security_type(query.sec_type)
        if query.sec_type == "" and not query.con_id:
            raise Refusal(codes.BAD_REQUEST, codes.validation("Please enter a valid security type"))
        delay_s = self._config.contract_delay_s
        if delay_s > 0:
            self._timers.later(delay_s, self._answer, session, request_id, query, expired)
        else:
            self._answer(session, request_id, query, expired)

    def _answer(
        self, session: Client, request_id: int, query: ContractQuery, expired: bool
    ) -> None:
        found = self._universe.find(query, self._market.today, expired=expired)
        if not found:
            session.error(request_id, codes.NO_DEFINITION)
            return
        if not query.con_id and query.symbol in self._faults.ambiguous:
            found = tuple(both for each in found for both in (each, _adjusted(each)))
        for contract in found:
            session.send_message(self._details(session.version, request_id, contract))
        session.send("52", "1", str(request_id))

    def _hours(self, contract: Contract) -> tuple[str, str, str]:
        """The zone of a contract, its trading hours, and its liquid hours."""
        market, now = self._market, self._now()
        if not contract.trades_around_the_clock:
            hours = market.hours.describe(now)
            return ZONE_NAME, hours, hours
        futures = market.future_hours
        return CENTRAL_NAME, futures.describe(now), futures.describe_liquid(now)

    def _details(self, version: int, request_id: int, contract: Contract) -> list[str]:
        option = contract.is_option
        old = version <= _OLD_LAYOUT_UNTIL
        exchanges = _OPTION_EXCHANGES if option else _STOCK_EXCHANGES
        if contract.currency != "USD":
            exchanges = f"SMART,{contract.primary_exchange}"
        if not contract.is_routed:
            exchanges = contract.exchange
        rule = _MARKET_RULES.get(contract.min_tick, _MARKET_RULE)
        rules = ",".join([str(rule)] * (exchanges.count(",") + 1))
        stock = contract.sec_type == "STK"
        under = _UNDERLYING.get(contract.sec_type, "")
        hours = self._hours(contract)
        return [
            "10",
            *(["8"] if old else []),
            str(request_id),
            contract.symbol,
            contract.sec_type,
            contract.expiry,
            number(contract.strike) if option else "0",
            contract.right,
            contract.exchange,
            contract.currency,
            contract.local_symbol,
            contract.trading_class,
            contract.trading_class,
            str(contract.con_id),
            number(contract.min_tick),
            *(["100"] if old else []),
            contract.multiplier,
            _ORDER_TYPES,
            exchanges,
            "1",
            str(contract.under_con_id),
            contract.long_name,
            contract.primary_exchange,
            contract.expiry[:6],
            "Funds" if stock else "",
            "",
            "",
            *hours,
            "",
            "0",
            "0",
            "1",
            contract.symbol if under else "",
            under,
            rules,
            contract.expiry,
            "COMMON" if stock else "",
            *([] if old else ["1", "1", "100" if stock else "1"]),
        ]

    def option_parameters(self, session: Client, fields: Fields) -> None:
        """Answer reqSecDefOptParams: the chain per exchange, then the end."""
        request_id = fields.integer()
        symbol = fields.text()
        exchange = fields.text()
        under_type = fields.text().upper()
        con_id = fields.integer()
        if under_type == "OPT":
            raise Refusal(
                codes.BAD_REQUEST, codes.validation(f"Invalid security type - {under_type}")
            )
        universe = self._universe
        stock = universe.by_con_id(con_id) if con_id else universe.stock(symbol)
        if stock is not None and stock.symbol == symbol and universe.has_options(stock):
            dates = universe.expiries(stock, self._market.today)
            strikes = [size(strike) for strike in universe.strikes(stock)]
            for place in _OPTION_CHAIN_EXCHANGES if not exchange else (exchange,):
                session.send(
                    *("75", str(request_id), place, str(stock.con_id), stock.symbol, "100"),
                    *(str(len(dates)), *dates, str(len(strikes)), *strikes),
                )
        session.send("76", str(request_id))

    def matching_symbols(self, session: Client, fields: Fields) -> None:
        """Answer reqMatchingSymbols."""
        request_id = fields.integer()
        found = self._universe.search(fields.text())
        message = ["79", str(request_id), str(len(found))]
        for stock in found:
            types = ["OPT"] if self._universe.has_options(stock) else []
            message += [str(stock.con_id), stock.symbol, "STK", stock.primary_exchange]
            message += [stock.currency, str(len(types)), *types]
            if session.version >= _SAMPLE_DETAILS_FROM:
                message += [stock.long_name, ""]
        session.send_message(message)
