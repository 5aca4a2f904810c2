"""One snapshot of a contract's market, collected tick by tick. Tick types: TWS_WIRE §4.1."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.link.answers import Pending
from actors.link.translation import UNSET_FROM, epoch_time, known, positive
from actors.model.contracts import Contract
from actors.model.market import DataType, Quote

_NUMBERS: Final = {
    1: "bid",
    2: "ask",
    4: "last",
    6: "high",
    7: "low",
    9: "close",
    14: "open",
    0: "bid_size",
    3: "ask_size",
    5: "last_size",
    8: "volume",
}
_DELAYED_NUMBERS: Final = {
    66: "bid",
    67: "ask",
    68: "last",
    72: "high",
    73: "low",
    75: "close",
    76: "open",
    69: "bid_size",
    70: "ask_size",
    71: "last_size",
    74: "volume",
}
_SIZE_OF: Final = {
    1: "bid_size",
    2: "ask_size",
    4: "last_size",
    66: "bid_size",
    67: "ask_size",
    68: "last_size",
}
_TRADED_AT: Final = (45, 88)
_HALTED: Final = 49
_MODEL: Final = (13, 83)
_COMPUTATIONS: Final = (*_MODEL, 12, 82, 10, 80, 11, 81)
"""Option computations, the best first: model, last, bid, ask; each live before delayed."""
_PARTIAL: Final = frozenset({10090, 10091})
"""A part of the data is not subscribed to; the rest comes."""

_NO_GREEK: Final = -2.0

Computation = tuple[float, float, float, float, float, float, float]
"""Implied volatility, delta, gamma, vega, theta, price of the underlying; price of the option by this computation."""


class SnapshotPending(Pending):
    """Collects the ticks of one snapshot."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # the same as the parent's
        self._numbers: dict[str, float | None] = {}
        self._traded_at: datetime | None = None
        self._halted = False
        self._is_partial = False
        self._data_type: DataType | None = None
        self._computations: dict[int, Computation] = {}

    def on_price(self, tick: int, price: float, size: float) -> None:
        """Take a price, and the size that came with it."""
        self._on_number(tick, price)
        name = _SIZE_OF.get(tick)
        if name is not None and positive(size) is not None:
            self._numbers[name] = size

    def on_size(self, tick: int, size: float) -> None:
        """Take a size or a volume."""
        self._on_number(tick, size)

    def _on_number(self, tick: int, value: float) -> None:
        name = _NUMBERS.get(tick)
        if name is None:
            name = _DELAYED_NUMBERS.get(tick)
            if name is None:
                return
            self._data_type = self._data_type or DataType.DELAYED
        self._numbers[name] = positive(value)

    def on_text(self, tick: int, value: str) -> None:
        """Take the time of the last trade, which ib_insync drops (MKT-12)."""
        if tick in _TRADED_AT:
            self._traded_at = epoch_time(value)

    def on_generic(self, tick: int, value: float) -> None:
        """Take the halt."""
        if tick == _HALTED:
            self._halted = value > 0

    def on_computation(self, tick: int, computation: Computation) -> None:
        """Take volatility and greeks."""
        if tick in _COMPUTATIONS:
            self._computations[tick] = computation

    def on_data_type(self, kind: int) -> None:
        """Take the kind of data; an unknown one counts as the least fresh."""
        try:
            self._data_type = DataType(kind)
        except ValueError:
            self._data_type = DataType.DELAYED_FROZEN

    def on_error(self, code: int, text: str) -> None:
        """Note that delayed data follows, or only a part of it, else end (MKT-11)."""
        self._is_partial = self._is_partial or code in _PARTIAL
        if code == 10167 and self._data_type is None:
            self._data_type = DataType.DELAYED
        super().on_error(code, text)

    @property
    def has_price(self) -> bool:
        """Whether there is a bid, an ask or a last price."""
        return any(self._numbers.get(name) is not None for name in ("bid", "ask", "last"))

    def quote(self, contract: Contract, received_at: datetime) -> Quote:
        """Make a quote of what has come so far."""
        best = next(
            (self._computations[tick] for tick in _COMPUTATIONS if tick in self._computations), None
        )
        volatility, delta, gamma, vega, theta, underlying, _ = best or (_NO_GREEK,) * 7
        return Quote(
            contract=contract,
            received_at=received_at,
            **self._numbers,  # type: ignore[arg-type]  # its keys are fields that hold numbers
            traded_at=self._traded_at,
            halted=self._halted,
            is_partial=self._is_partial,
            data_type=self._data_type or DataType.LIVE,
            implied_volatility=positive(volatility),
            delta=_greek(delta),
            gamma=_greek(gamma),
            vega=_greek(vega),
            theta=_greek(theta),
            underlying_price=positive(underlying),
            model_price=self._model_price(),
        )

    def _model_price(self) -> float | None:
        """What the option is worth by the gateway's model; the other computations hold prices of the market."""
        found = (self._computations[tick][-1] for tick in _MODEL if tick in self._computations)
        return next((price for price in map(positive, found) if price is not None), None)


def _greek(value: float) -> float | None:
    """IB says −2 for a greek that was not computed."""
    return known(value) if value != _NO_GREEK and abs(value) < UNSET_FROM else None
