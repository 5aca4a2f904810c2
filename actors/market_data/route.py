"""Which source serves each symbol: judged by what is seen of IB, and announced when it changes (MKT-10).

While a symbol is failed over the risk actor refuses to open anything on it, and IB's own quotes reach only the position
actor, which judges losses by nothing else. The rule itself is in `actors.market_data.failover`.
"""

from __future__ import annotations

from typing import Final

from actors import messages as m
from actors.errors import MarketDataUnavailableError
from actors.kernel.actor import SupervisedActor
from actors.logic.quality import quote_age_s
from actors.logic.sessions import is_session_open
from actors.market_data import failover
from actors.market_data.failover import Failover, FailoverLimits, Route, Step
from actors.messages.addresses import EXECUTOR, FACADE, POSITION, RISK
from actors.model.connection import ConnectionState
from actors.model.contracts import Contract, SecurityType
from actors.model.market import DataSource, Quote
from actors.ports import EventLog
from actors.sections import market_data as sections

SECOND_SOURCE: Final = DataSource.ALPHA_VANTAGE

LOOKED_AT_S: Final = 1.0
"""Fresh quotes of a symbol on IB are taken note of so often: there may be thousands in a second."""

_EVERYBODY: Final = (RISK, EXECUTOR, POSITION)
"""Risk first, so that it is never behind the executor."""

_OF_THE_SECOND_SOURCE: Final = (RISK, EXECUTOR)
_OF_IB_MEANWHILE: Final = (POSITION,)


def failed_over(symbol: str) -> MarketDataUnavailableError:
    """Make the error for who wanted a quote of IB to open something by."""
    return MarketDataUnavailableError(
        f"{symbol} is served by the second source now, and nothing is opened on its data"
    )


class SourceRoute:
    """Owns where every symbol stands. Without a second source (``enabled`` is false) IB serves everything."""

    def __init__(
        self, actor: SupervisedActor, settings: sections.Failover, max_symbols: int, log: EventLog
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._limits = FailoverLimits(settings=settings, max_symbols=max_symbols)
        self._log = log
        self._state = Failover()

    def is_over(self, symbol: str) -> bool:
        """Tell whether the second source serves a symbol."""
        return self._settings.enabled and self._state.is_over(symbol)

    def audience(self, quote: Quote) -> tuple[str, ...]:
        """Name the actors that judge by a quote."""
        if quote.source is not DataSource.IB:
            return _OF_THE_SECOND_SOURCE
        return _OF_IB_MEANWHILE if self.is_over(quote.symbol) else _EVERYBODY

    def due_probes(self) -> tuple[str, ...]:
        """List the symbols that IB has to be asked about, to learn whether it is fresh again."""
        now = self._actor.clock.monotonic()
        return failover.due_probes(self._state, now, self._settings.probe_s)

    @property
    def is_any_over(self) -> bool:
        """Whether the second source serves anything."""
        return self._state.link_failed or bool(self._state.failed_over)

    def quoted(self, quote: Quote) -> None:
        """Judge a quote that came from IB; call before it is handed on. Options follow what they are written on."""
        if not self._settings.enabled or quote.source is not DataSource.IB:
            return
        if quote.contract.security_type is not SecurityType.STOCK:
            return
        now = self._actor.clock.monotonic()
        if failover.was_fresh_within(self._state, quote.symbol, now, LOOKED_AT_S):
            return
        age_s = quote_age_s(quote, now)
        if failover.is_served(quote, age_s):
            self._take(failover.saw_fresh(self._state, quote.symbol, now, self._limits))
        else:
            self.unanswered(quote.contract)

    def unanswered(self, contract: Contract) -> None:
        """Take note that IB was asked about a contract and gave nothing fresh."""
        if not self._settings.enabled or contract.security_type is not SecurityType.STOCK:
            return
        # Hours that nobody knows are taken for open: a look at a second source costs less than missing trouble.
        is_open = is_session_open(contract, self._actor.clock.now()) is not False
        now, limits = self._actor.clock.monotonic(), self._limits
        self._take(
            failover.saw_stale(self._state, contract.symbol, now, limits, session_open=is_open)
        )

    def link_is(self, state: ConnectionState) -> None:
        """Follow the connection."""
        if self._settings.enabled:
            self._take(failover.link_changed(self._state, state))

    def _take(self, step: Step) -> None:
        before, (self._state, switches) = self._state, step
        for switch in switches:
            source = DataSource.IB if switch.route is Route.IB else SECOND_SOURCE
            self._log(
                "failover_changed",
                level="INFO" if switch.route is Route.IB else "WARNING",
                symbol=switch.symbol or "*",
                source=source.value,
                reason=switch.reason,
                failed_over=len(self._state.failed_over),
            )
        if switches or before.link_failed != self._state.link_failed:
            self.announce()

    def announce(self) -> None:
        """Tell which symbols the second source serves."""
        event = m.FailoverChanged(
            symbols=self._state.failed_over, everything=self._state.link_failed
        )
        for address in (RISK, FACADE):
            self._actor.tell(address, event)

    def served(self, symbol: str) -> None:
        """Take note that the second source served a symbol."""
        before, now = self._state, self._actor.clock.monotonic()
        self._state = failover.saw_second(before, symbol, now, self._limits)
        if self._state is not before:
            self.announce()

    def forget(self, symbol: str) -> None:
        """Watch a symbol no longer that IB does not know."""
        self._state = failover.forgotten(self._state, symbol)
        self.announce()
