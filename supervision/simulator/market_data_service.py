"""Answers market data requests: snapshots, streams, tick by tick."""

# Handlers share one signature whether or not they need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Callable

from . import codes
from .client import Client
from .fields import Fields, flag, number, size
from .instruments import Contract, ContractQuery
from .market import Quote
from .requests import Handler
from .tickets import Refusal, resolve
from .world import World

_STREAM = "ticks"
_SNAPSHOT = "snapshot"
_BY_TICK = "by_tick"
_BY_TICK_TYPES = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
_GENERIC_TICKS = frozenset(
    [
        "100",
        "101",
        "104",
        "105",
        "106",
        "162",
        "165",
        "221",
        "225",
        "232",
        "233",
        "236",
        "258",
        "292",
        "293",
        "294",
        "295",
        "318",
        "375",
        "411",
        "456",
        "460",
        "595",
        "619",
        "mdoff",
    ]
)
_DELAYED = {1: 66, 2: 67, 4: 68, 0: 69, 3: 70, 5: 71, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76, 45: 88}
_DELAYED |= {10: 80, 11: 81, 12: 82, 13: 83}
_DELAY_TYPE = 3

# Prices (tick type, value, the size that belongs to it), then plain sizes.
_PRICES: tuple[tuple[int, Callable[[Quote], float | None], int | None], ...] = (
    (1, lambda quote: quote.bid, 0),
    (2, lambda quote: quote.ask, 3),
    (4, lambda quote: quote.last, 5),
    (6, lambda quote: quote.high, None),
    (7, lambda quote: quote.low, None),
    (9, lambda quote: quote.close, None),
    (14, lambda quote: quote.open, None),
)
_SIZES: dict[int, Callable[[Quote], int]] = {
    0: lambda quote: quote.bid_size,
    3: lambda quote: quote.ask_size,
    5: lambda quote: quote.last_size,
    8: lambda quote: quote.volume,
}


class MarketDataService:
    """Top-of-book data, once or as a stream."""

    def __init__(self, world: World) -> None:
        self._config = world.config
        self._market = world.market
        self._universe = world.universe
        self._faults = world.faults
        self._timers = world.timers
        self._held: dict[int, Quote] = {}

    def handlers(self) -> dict[int, Handler]:
        """The requests this service answers."""
        return {
            1: self.market_data,
            2: self.cancel_market_data,
            10: self.no_depth,
            59: self.market_data_type,
            97: self.tick_by_tick,
            98: self.cancel_tick_by_tick,
        }

    def market_data_type(self, session: Client, fields: Fields) -> None:
        """Remember which kind of data later requests want."""
        kind = fields.integer()
        if kind not in (1, 2, 3, 4):
            raise Refusal(codes.BAD_REQUEST, codes.validation("Invalid market data type"))
        session.market_data_type = kind

    def no_depth(self, session: Client, fields: Fields) -> None:
        """Refuse market depth."""
        raise Refusal(
            10092,
            "Deep market data is not supported for this combination of security " "type/exchange",
        )

    # Top of book --------------------------------------------------------------------------------

    def market_data(self, session: Client, fields: Fields) -> None:
        """Answer reqMktData."""
        request_id = fields.integer()
        query = ContractQuery.read(fields)
        if fields.flag():
            fields.texts(3)
        generic = fields.text()
        snapshot = fields.flag()
        self._check_generic(generic, snapshot)
        contract = self._resolve(query)
        if not session.subscriptions.keys().isdisjoint(
            ((_STREAM, request_id), (_SNAPSHOT, request_id))
        ):
            raise Refusal(codes.DUPLICATE_TICKER)
        delayed = self._permission(session, request_id, contract)
        if delayed is None:
            return
        self._check_lines(session)
        if snapshot:
            self._snapshot_later(session, request_id, contract, delayed)
            return
        self._stream(session, request_id, contract, delayed, "mdoff" in generic)

    def _check_lines(self, session: Client) -> None:
        """Refuse beyond the limit of lines; a snapshot takes one until it has ended."""
        limit = self._config.limits.market_data_lines
        lines = sum(1 for kind, _ in session.subscriptions if kind in (_STREAM, _SNAPSHOT))
        if limit and lines >= limit:
            raise Refusal(codes.TICKERS_EXCEEDED)

    def _snapshot_later(
        self, session: Client, request_id: int, contract: Contract, delayed: bool
    ) -> None:
        delay_s = self._config.snapshot_delay_s
        if delay_s <= 0:
            self._snapshot(session, request_id, contract, delayed)
            return

        def answer() -> None:
            del session.subscriptions[_SNAPSHOT, request_id]
            self._snapshot(session, request_id, contract, delayed)

        session.subscriptions[_SNAPSHOT, request_id] = self._timers.later(delay_s, answer)

    def _resolve(self, query: ContractQuery) -> Contract:
        found = self._universe.find(query, self._market.today)
        if not query.con_id and not query.exchange and len(found) == 1:
            raise Refusal(codes.BAD_REQUEST, codes.validation("Please enter exchange"))
        return resolve(found, query.symbol)

    def _check_generic(self, generic: str, snapshot: bool) -> None:
        if snapshot and generic:
            cause = "Snapshot market data subscription is not applicable to generic ticks"
            raise Refusal(codes.BAD_REQUEST, codes.validation(cause))
        for item in filter(None, generic.split(",")):
            if item.partition(":")[0].strip() not in _GENERIC_TICKS:
                legal = ",".join(sorted(_GENERIC_TICKS - {"mdoff"}))
                cause = (
                    f"Incorrect generic tick list of {generic}.  Legal ones for (STK) are: {legal}"
                )
                raise Refusal(codes.BAD_REQUEST, codes.validation(cause))

    def _permission(self, session: Client, request_id: int, contract: Contract) -> bool | None:
        """Whether the data is delayed; `None` when there is none and the client was told."""
        faults = self._faults
        if faults.competing:
            session.error(request_id, codes.COMPETING_SESSION)
            return None
        code = faults.unsubscribed.get(contract.symbol, faults.unsubscribed.get(None))
        wants_delayed = session.market_data_type in (3, 4)
        if code is None:
            return False
        if code == codes.PARTLY_SUBSCRIBED:
            session.error(request_id, code)
            return False
        if wants_delayed and code != codes.DELAYED_OFF:
            session.error(request_id, codes.DELAYED_SHOWN)
            return True
        if code == codes.DELAYED_SHOWN:
            session.error(request_id, code)
            return True
        if code == codes.NEEDS_SUBSCRIPTION:
            self._send_parameters(session, request_id, contract)
        text = codes.TEXTS[code]
        if code in (codes.NOT_SUBSCRIBED, codes.NEEDS_SUBSCRIPTION):
            text += f"{contract.symbol} {contract.trading_class}/TOP/ALL"
        session.error(request_id, code, text)
        return None

    def _send_parameters(self, session: Client, request_id: int, contract: Contract) -> None:
        session.send("81", str(request_id), number(contract.min_tick), "9c0001", "4")

    def _missing(self, contract: Contract) -> str | None:
        if self._faults.disconnected:
            return "silent"
        missing = self._faults.missing
        return missing.get(contract.symbol, missing.get(None))

    def _snapshot(
        self, session: Client, request_id: int, contract: Contract, delayed: bool
    ) -> None:
        missing = self._missing(contract)
        if missing == "silent":
            return
        if missing != "end_only":
            self._begin(session, request_id, contract, delayed)
            self._ticks(session, request_id, contract, delayed, None)
        session.send("57", "1", str(request_id))

    def _begin(self, session: Client, request_id: int, contract: Contract, delayed: bool) -> None:
        kind = _DELAY_TYPE if delayed else 1
        session.send("58", "1", str(request_id), str(kind))
        self._send_parameters(session, request_id, contract)

    def _stream(
        self, session: Client, request_id: int, contract: Contract, delayed: bool, off: bool
    ) -> None:
        sent: dict[int, str] = {}
        self._begin(session, request_id, contract, delayed)

        def tick() -> None:
            if not off and self._missing(contract) not in ("silent", "end_only"):
                self._ticks(session, request_id, contract, delayed, sent)

        session.subscriptions[_STREAM, request_id] = self._timers.every(
            self._config.tick_interval_s, tick
        )
        tick()

    def _quote(self, contract: Contract) -> Quote:
        """The newest quote, or the one at which a fault holds it."""
        if contract.symbol not in self._faults.frozen_quotes:
            self._held.pop(contract.con_id, None)
            return self._market.quote(contract)
        if contract.con_id not in self._held:
            self._held[contract.con_id] = self._market.quote(contract)
        return self._held[contract.con_id]

    def _ticks(
        self,
        session: Client,
        request_id: int,
        contract: Contract,
        delayed: bool,
        sent: dict[int, str] | None,
    ) -> None:
        """Send a quote: all of it, or of a stream what changed since `sent`."""
        quote = self._quote(contract)
        filler = {"minus_one": -1.0, "zero": 0.0}.get(self._missing(contract) or "")
        send = _TickWriter(session, request_id, delayed, sent)
        for kind, value_of, size_kind in _PRICES:
            value = value_of(quote) if filler is None else filler
            amount = _SIZES[size_kind](quote) if size_kind is not None else 0
            if filler is not None or value is None:
                amount = 0
            send.price(kind, -1.0 if value is None else value, amount)
            if size_kind is not None:
                send.size(size_kind, amount)
        send.size(8, quote.volume if filler is None else int(filler))
        if filler is None:
            send.text("46", 45, str(int(quote.last_time.timestamp())))
        if quote.halted or (sent is not None and 49 in sent):
            send.text("45", 49, number(1.0 if quote.halted else 0.0))
        if quote.greeks is not None and filler is None:
            for kind, price in ((10, quote.bid), (11, quote.ask), (12, quote.last), (13, None)):
                send.greeks(kind, quote, quote.greeks.price if kind == 13 else price)

    def cancel_market_data(self, session: Client, fields: Fields) -> None:
        """End a stream, or a snapshot that has not ended; 300 when there is none."""
        request_id = fields.integer()
        stop = session.subscriptions.pop((_STREAM, request_id), None)
        stop = stop or session.subscriptions.pop((_SNAPSHOT, request_id), None)
        if stop is None:
            raise Refusal(codes.NO_TICKER, f"Can't find EId with tickerId:{request_id}")
        stop()

    def end_all(self, session: Client, code: int | None) -> None:
        """End every stream of a client, with an error for each."""
        for kind, request_id in list(session.subscriptions):
            if kind in (_STREAM, _BY_TICK):
                session.subscriptions.pop((kind, request_id))()
                if code is not None:
                    session.error(request_id, code)

    # Tick by tick -------------------------------------------------------------------------------

    def tick_by_tick(self, session: Client, fields: Fields) -> None:
        """Answer reqTickByTickData."""
        request_id = fields.integer()
        query = ContractQuery.read(fields)
        name = fields.text()
        kind = _BY_TICK_TYPES.get(name)
        if kind is None:
            raise Refusal(codes.BAD_REQUEST, codes.validation(f"Invalid tick type {name}"))
        contract = self._resolve(query)
        limit = self._config.limits.tick_by_tick
        active = sum(1 for owner, _ in session.subscriptions if owner == _BY_TICK)
        if limit and active >= limit:
            raise Refusal(codes.TICK_BY_TICK_LIMIT)
        if (_BY_TICK, request_id) in session.subscriptions:
            raise Refusal(codes.DUPLICATE_TICKER)
        if self._permission(session, request_id, contract) is None:
            return
        last: list[tuple[str, ...]] = [()]

        def tick() -> None:
            if self._missing(contract) is not None:
                return
            quote = self._market.quote(contract)
            values = _by_tick_values(kind, quote, contract)
            if values is None or (kind >= 3 and values == last[0]) or quote.halted:
                return
            last[0] = values
            time = str(int(quote.last_time.timestamp()))
            session.send("99", str(request_id), str(kind), time, *values)

        session.subscriptions[_BY_TICK, request_id] = self._timers.every(
            self._config.tick_interval_s, tick
        )
        tick()

    def cancel_tick_by_tick(self, session: Client, fields: Fields) -> None:
        """End a tick-by-tick stream; 300 when there is none."""
        request_id = fields.integer()
        stop = session.subscriptions.pop((_BY_TICK, request_id), None)
        if stop is None:
            raise Refusal(codes.NO_TICKER, f"Can't find EId with tickerId:{request_id}")
        stop()


class _TickWriter:
    """Sends ticks, in delayed form where asked, each only when it changed."""

    def __init__(
        self, session: Client, request_id: int, delayed: bool, sent: dict[int, str] | None
    ) -> None:
        self._session = session
        self._id = str(request_id)
        self._delayed = delayed
        self._sent = sent

    def _changed(self, kind: int, text: str) -> bool:
        if self._sent is None:
            return True
        if self._sent.get(kind) == text:
            return False
        self._sent[kind] = text
        return True

    def _kind(self, kind: int) -> str:
        return str(_DELAYED.get(kind, kind) if self._delayed else kind)

    def price(self, kind: int, value: float, amount: int) -> None:
        text = number(value)
        if self._changed(kind, text):
            mask = flag(kind in (1, 2) and value > 0)
            self._session.send("1", "6", self._id, self._kind(kind), text, str(amount), mask)

    def size(self, kind: int, value: int) -> None:
        if self._changed(kind, str(value)):
            self._session.send("2", "6", self._id, self._kind(kind), str(value))

    def text(self, message: str, kind: int, value: str) -> None:
        if self._changed(kind, value):
            self._session.send(message, "6", self._id, self._kind(kind), value)

    def greeks(self, kind: int, quote: Quote, price: float | None) -> None:
        greeks = quote.greeks
        if greeks is None or not self._changed(kind, f"{price}/{quote.under_price}"):
            return
        known = price is not None
        shown = (
            (greeks.volatility, greeks.delta, price or 0.0, 0.0, greeks.gamma, greeks.vega)
            if known
            else (-1.0, -2.0, -1.0, -1.0, -2.0, -2.0)
        )
        theta = greeks.theta if known else -2.0
        under = quote.under_price if known and quote.under_price is not None else -1.0
        values = [number(value) for value in (*shown, theta, under)]
        self._session.send("21", self._id, self._kind(kind), "1", *values)


def _by_tick_values(kind: int, quote: Quote, contract: Contract) -> tuple[str, ...] | None:
    if kind in (1, 2):
        if quote.last is None:
            return None
        venue = contract.primary_exchange or "CBOE"
        return (number(quote.last), size(quote.last_size), "0", venue, "")
    if quote.bid is None or quote.ask is None:
        return None
    if kind == 3:
        sizes = (size(quote.bid_size), size(quote.ask_size))
        return (number(quote.bid), number(quote.ask), *sizes, "0")
    return (number((quote.bid + quote.ask) / 2),)
