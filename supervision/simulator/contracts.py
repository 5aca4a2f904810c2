"""The instruments the gateway lists, and IB's rules for finding them; `listings` has what is neither stock nor option.

Stocks have the contract ids they have at IB. Options are not stored: everything about an option is
written into its contract id, so that an id stays valid across days and restarts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import attrs

from . import listings
from .calendar import expiries
from .instruments import Contract, ContractQuery

_FIRST_EXPIRY = dt.date(2024, 1, 1)
_OPTION_BASE = 1_000_000_000
_EXTRA_BASE = 900_000_000
_OPTIONABLE = 120
_ROUTES = frozenset({"SMART", "AMEX", "NYSE", "NASDAQ", "ISLAND", "ARCA", "BATS", "IEX", "CBOE"})


_STOCKS: tuple[tuple[int, str, str, str, str, float], ...] = (
    (756733, "SPY", "ARCA", "USD", "SPDR S&P 500 ETF TRUST", 595.0),
    (320227571, "QQQ", "NASDAQ", "USD", "INVESCO QQQ TRUST SERIES 1", 512.0),
    (265598, "AAPL", "NASDAQ", "USD", "APPLE INC", 228.0),
    (272093, "MSFT", "NASDAQ", "USD", "MICROSOFT CORP", 415.0),
    (9579970, "IWM", "ARCA", "USD", "ISHARES RUSSELL 2000 ETF", 226.0),
    (76792991, "TSLA", "NASDAQ", "USD", "TESLA INC", 341.0),
    (4815747, "NVDA", "NASDAQ", "USD", "NVIDIA CORP", 141.0),
    (3691937, "AMZN", "NASDAQ", "USD", "AMAZON.COM INC", 206.0),
    (107113386, "META", "NASDAQ", "USD", "META PLATFORMS INC-CLASS A", 572.0),
    (208813720, "GOOG", "NASDAQ", "USD", "ALPHABET INC-CL C", 175.0),
    (1520593, "JPM", "NYSE", "USD", "JPMORGAN CHASE & CO", 241.0),
    (8894, "KO", "NYSE", "USD", "COCA-COLA CO/THE", 63.0),
    (51529211, "GLD", "ARCA", "USD", "SPDR GOLD SHARES", 248.0),
    (15547841, "TLT", "NASDAQ", "USD", "ISHARES 20+ YEAR TREASURY BD", 90.0),
    (195014116, "SHOP", "NYSE", "USD", "SHOPIFY INC - CLASS A", 105.0),
    (195014117, "SHOP", "TSE", "CAD", "SHOPIFY INC - CLASS A", 147.0),
)


def _stocks(extra: int, replayed: Iterable[str]) -> Iterator[Contract]:
    rows = list(_STOCKS)
    for index in range(1, extra + 1):
        name = f"SYM{index:03d}"
        price = 20.0 + (index * 37) % 480
        rows.append((_EXTRA_BASE + index, name, "NYSE", "USD", f"SYNTHETIC {index}", price))
    known = {row[1] for row in rows}
    for index, name in enumerate(sorted(set(replayed) - known)):
        rows.append((_EXTRA_BASE + 5000 + index, name, "NYSE", "USD", f"REPLAY {name}", 100.0))
    for con_id, symbol, primary, currency, long_name, price in rows:
        yield Contract(
            con_id=con_id,
            symbol=symbol,
            primary_exchange=primary,
            currency=currency,
            local_symbol=symbol,
            trading_class="NMS" if primary == "NASDAQ" else symbol,
            long_name=long_name,
            base_price=price,
        )


def strike_step(price: float) -> float:
    """The distance between strikes of an underlying at this price."""
    for bound, step in ((25.0, 0.5), (250.0, 1.0), (800.0, 1.0)):
        if price < bound:
            return step
    return 5.0


class Universe:
    """All instruments of one gateway."""

    def __init__(self, extra_symbols: int = 0, replayed: Iterable[str] = ()) -> None:
        self.stocks = tuple(_stocks(extra_symbols, replayed))
        self._by_id = {stock.con_id: stock for stock in self.stocks}
        self._by_symbol: dict[str, list[Contract]] = {}
        for stock in self.stocks:
            self._by_symbol.setdefault(stock.symbol, []).append(stock)
        optionable = [stock for stock in self.stocks if stock.currency == "USD"][:_OPTIONABLE]
        self._optionable = tuple(optionable)
        self._option_index = {stock.con_id: i for i, stock in enumerate(optionable)}

    def by_con_id(self, con_id: int) -> Contract | None:
        """The contract of this id, or `None`; never expires."""
        return self._by_id.get(con_id) or listings.by_con_id(con_id) or self._decode_option(con_id)

    def stock(self, symbol: str) -> Contract | None:
        """The first listing of a symbol."""
        listings = self._by_symbol.get(symbol)
        return listings[0] if listings else None

    def named(self, symbol: str, today: dt.date) -> Contract | None:
        """What a symbol means first: a stock, a front month, whatever bears the name."""
        return self.stock(symbol) or listings.named(symbol, today)

    def has_options(self, stock: Contract) -> bool:
        """Whether an option chain is listed on `stock`."""
        return stock.con_id in self._option_index

    def strikes(self, stock: Contract) -> tuple[float, ...]:
        """The strikes of every expiry of `stock`, ascending."""
        step = strike_step(stock.base_price)
        middle = round(stock.base_price / step)
        reach = min(60, middle - 1)
        return tuple(round(i * step, 2) for i in range(middle - reach, middle + reach + 1))

    def expiries(self, stock: Contract, today: dt.date) -> tuple[str, ...]:
        """The listed expiries of `stock` from `today` on, ascending, YYYYMMDD."""
        daily = stock.symbol in ("SPY", "QQQ", "IWM")
        return tuple(day.strftime("%Y%m%d") for day in expiries(today, daily=daily))

    def find(
        self, query: ContractQuery, today: dt.date, *, expired: bool = False
    ) -> tuple[Contract, ...]:
        """All contracts that match `query`, in a stable order; empty when none does."""
        if query.con_id:
            found = self.by_con_id(query.con_id)
            matches: Iterable[Contract] = (
                () if found is None or _is_elsewhere(found, query) else (found,)
            )
        elif query.sec_type == "OPT":
            matches = self._find_options(query, today, expired)
        elif query.sec_type in ("STK", ""):
            matches = self._find_stocks(query)
        else:
            return tuple(listings.find(query, today, expired=expired))
        exchange = query.exchange or "SMART"
        return tuple(
            attrs.evolve(match, exchange=exchange) if match.is_routed else match
            for match in matches
        )

    def search(self, pattern: str, limit: int = 16) -> list[Contract]:
        """Stocks whose symbol or name begins with `pattern`."""
        wanted = pattern.upper()
        return [
            stock
            for stock in self.stocks
            if stock.symbol.startswith(wanted) or stock.long_name.startswith(wanted)
        ][:limit]

    def _find_stocks(self, query: ContractQuery) -> list[Contract]:
        listings = self._by_symbol.get(query.symbol or query.local_symbol, [])
        return [stock for stock in listings if _matches_listing(stock, query)]

    def _find_options(
        self, query: ContractQuery, today: dt.date, expired: bool
    ) -> Iterator[Contract]:
        symbol = query.symbol or query.local_symbol[:6].strip()
        rights = (query.right,) if query.right in ("C", "P") else ("C", "P")
        for stock in self._by_symbol.get(symbol, []):
            if not self.has_options(stock) or query.currency not in ("", stock.currency):
                continue
            if query.multiplier not in ("", "100"):
                continue
            dates = self._matching_expiries(stock, query, today, expired)
            strikes = self.strikes(stock)
            if query.strike:
                strikes = tuple(k for k in strikes if abs(k - query.strike) < 1e-6)
            for date in dates:
                for strike in strikes:
                    for right in rights:
                        option = self._option(stock, date, strike, right)
                        if query.local_symbol in ("", option.local_symbol):
                            yield option

    def _matching_expiries(
        self, stock: Contract, query: ContractQuery, today: dt.date, expired: bool
    ) -> tuple[str, ...]:
        wanted = query.expiry.replace("-", "")
        if not wanted and query.local_symbol:
            wanted = "20" + query.local_symbol[6:12]
        listed = self.expiries(stock, today)
        if expired and len(wanted) == 8 and wanted not in listed and _is_past(wanted, today):
            return (wanted,)
        return tuple(date for date in listed if date.startswith(wanted))

    def _option(self, stock: Contract, expiry: str, strike: float, right: str) -> Contract:
        step = strike_step(stock.base_price)
        days = (_date(expiry) - _FIRST_EXPIRY).days
        code = self._option_index[stock.con_id]
        code = ((code * 4096 + days) * 1024 + round(strike / step)) * 2 + (right == "P")
        return Contract(
            con_id=_OPTION_BASE + code,
            symbol=stock.symbol,
            sec_type="OPT",
            expiry=expiry,
            strike=strike,
            right=right,
            multiplier="100",
            primary_exchange="",
            currency=stock.currency,
            local_symbol=f"{stock.symbol:<6}{expiry[2:]}{right}{round(strike * 1000):08d}",
            trading_class=stock.symbol,
            long_name=stock.long_name,
            under_con_id=stock.con_id,
            base_price=stock.base_price,
        )

    def _decode_option(self, con_id: int) -> Contract | None:
        code = con_id - _OPTION_BASE
        if code < 0:
            return None
        code, is_put = divmod(code, 2)
        code, strike_index = divmod(code, 1024)
        index, days = divmod(code, 4096)
        if index >= len(self._optionable):
            return None
        stock = self._optionable[index]
        strike = round(strike_index * strike_step(stock.base_price), 2)
        if strike not in self.strikes(stock):
            return None
        expiry = (_FIRST_EXPIRY + dt.timedelta(days=days)).strftime("%Y%m%d")
        return self._option(stock, expiry, strike, "P" if is_put else "C")


def _is_elsewhere(contract: Contract, query: ContractQuery) -> bool:
    """Whether a contract that is ordered at its exchange alone is looked for at another."""
    return not contract.is_routed and query.exchange not in ("", contract.exchange)


def _matches_listing(stock: Contract, query: ContractQuery) -> bool:
    exchanges = _ROUTES if stock.currency == "USD" else frozenset({"SMART", "TSE"})
    return (
        query.currency in ("", stock.currency)
        and query.primary_exchange in ("", stock.primary_exchange)
        and (query.exchange == "" or query.exchange in exchanges)
        and query.local_symbol in ("", stock.local_symbol)
        and query.trading_class in ("", stock.trading_class)
    )


def _date(text: str) -> dt.date:
    return dt.datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone


def _is_past(text: str, today: dt.date) -> bool:
    try:
        date = _date(text)
    except ValueError:
        return False
    return _FIRST_EXPIRY <= date < today
