"""Asking for contracts, snapshots, bars and option chains.

Alpha learnings enforced here, at the wire: snapshots only, one hour of history at most, regular trading hours only.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from typing import Any, Final, cast

import attrs
from ib_insync.contract import Contract as IbContract

from actors.errors import (
    AlphaLearningViolationError,
    ContractQualificationError,
    GatewayError,
    MarketDataUnavailableError,
    SnapshotModeViolationError,
)
from actors.link.answers import Pending
from actors.link.history_pacer import HistoryPacer
from actors.link.history_pacing import HistoryQuestion
from actors.link.orders import ib_contract
from actors.link.pacing import PacingLane
from actors.link.session import Session
from actors.link.snapshot import SnapshotPending
from actors.link.translation import bar_from_ib, contract_from_details, date_from_ib, positive
from actors.logic.broker_codes import RequestKind
from actors.logic.closable import SMART, is_smart
from actors.logic.history import history_violation
from actors.model.contracts import Contract, ContractQuery, SecurityType
from actors.model.market import Bar, OptionChain, Quote

_SNAPSHOT: Final = True
"""The only value that reqMktData is ever given (MKT-5)."""

_NO_GENERIC_TICKS: Final = ""
_REGULATORY_SNAPSHOT: Final = False  # each of those costs money
_REGULAR_HOURS_ONLY: Final = True
_BAR: Final = timedelta(minutes=1)
_UNTIL_NOW: Final = ""
_TRADES: Final = "TRADES"
_AS_EPOCH: Final = 2
_KEEP_UP_TO_DATE: Final = False


async def qualify(session: Session, query: ContractQuery) -> Contract:
    """Find exactly one contract; raises `ContractQualificationError` for none or several (ORD-2)."""
    with session.expecting(f"contract {query}", RequestKind.DATA) as (request_id, pending):
        await session.pacer.turn(PacingLane.STATE)
        session.client.reqContractDetails(request_id, _describe(query))
        try:
            await pending.done
        except ContractQualificationError as error:
            raise ContractQualificationError(_advised(query, str(error))) from None
    found = {details.contract.conId: details for details in pending.items}
    if not found:
        raise ContractQualificationError(
            _advised(query, f"{query}: the gateway knows no such contract")
        )
    if len(found) > 1:
        raise ContractQualificationError(
            f"{query} is ambiguous, say more about it (an option's trading_class tells roots apart):"
            f" {_listed(found.values())}"
        )
    return contract_from_details(next(iter(found.values())))


def _advised(query: ContractQuery, text: str) -> str:
    """Name the fields that an option was looked for by: one of them is not listed; and how IB writes a symbol."""
    if "." in query.symbol or "/" in query.symbol:
        written = query.symbol.replace(".", " ").replace("/", " ")
        text = f"{text}; IB writes share classes with a space: {written!r}"
    if query.security_type is not SecurityType.OPTION or query.expiry is None:
        return text
    return (
        f"{text}: no option with expiry {query.expiry:%Y%m%d}, strike {query.strike or 0:g} and right"
        f" {query.right or '?'} is listed; the option chain of {query.symbol} tells which are"
    )


def _describe(query: ContractQuery) -> IbContract:
    if query.con_id is not None:
        # What the router does not take is looked up without an exchange, and answered with one that lists it (assumed).
        routed = is_smart(query.security_type) or query.exchange != SMART
        return IbContract(conId=query.con_id, exchange=query.exchange if routed else "")
    option = query.security_type is SecurityType.OPTION
    return IbContract(
        symbol=query.symbol,
        secType=query.security_type.value,
        lastTradeDateOrContractMonth=f"{query.expiry:%Y%m%d}" if query.expiry else "",
        strike=query.strike or 0.0,
        right=query.right.value if option and query.right else "",
        exchange=query.exchange,
        currency=query.currency,
        tradingClass=query.trading_class or "",
    )


def _listed(several: Any, most: int = 5) -> str:
    contracts = [details.contract for details in several]
    shown = ", ".join(
        f"{each.localSymbol or each.symbol} ({each.primaryExchange or each.exchange},"
        f" trading class {each.tradingClass or '?'}, conId {each.conId})"
        for each in contracts[:most]
    )
    return shown if len(contracts) <= most else f"{shown} and {len(contracts) - most} more"


async def take_snapshot(
    session: Session, contract: Contract, *, snapshot: bool, lane: PacingLane = PacingLane.DATA
) -> Quote:
    """Read one snapshot. It ends by its end marker, or after a while with what is there.

    Raises `SnapshotModeViolationError`, `MarketDataUnavailableError`, `ContractQualificationError`.
    """
    if snapshot is not True:
        raise SnapshotModeViolationError(
            f"a quote of {contract} must be a snapshot: leave snapshot=True"
        )
    what = f"quote of {contract}"
    with session.expecting(what, RequestKind.DATA, SnapshotPending) as (request_id, pending):
        ticks = cast(SnapshotPending, pending)
        await session.pacer.turn(lane)
        try:
            session.client.reqMktData(
                request_id,
                ib_contract(contract),
                _NO_GENERIC_TICKS,
                _SNAPSHOT,
                _REGULATORY_SNAPSHOT,
                [],
            )
            async with asyncio.timeout(session.settings.market_data.snapshot_timeout_s):
                await ticks.done
        except TimeoutError as error:
            if isinstance(error, GatewayError):
                raise
            if not ticks.has_price:
                limit_s = session.settings.market_data.snapshot_timeout_s
                raise MarketDataUnavailableError(f"{what}: no price within {limit_s:g} s") from None
        finally:
            if not ticks.done.done() or ticks.done.cancelled():
                _cancel_snapshot(session, request_id)
    quote = ticks.quote(contract, session.received_at)
    session.ticks.rebase(quote)
    return quote


def _cancel_snapshot(session: Session, request_id: int) -> None:
    """Give a snapshot back that did not end, unless the wire is busy: the gateway ends it by itself, too."""
    if session.is_ready and session.client.can_write and session.pacer.try_now(PacingLane.DATA):
        session.client.cancelMktData(request_id)


async def read_bars(
    session: Session,
    contract: Contract,
    *,
    minutes: int,
    bar_size: str,
    history: HistoryPacer,
    deadline: float,
) -> tuple[Bar, ...]:
    """Read the newest trade bars of regular hours, ascending; at most one per minute asked for (MKT-6).

    Raises `AlphaLearningViolationError` and `HistoryPacingError` before anything is sent.
    """
    violation = history_violation(minutes, bar_size)
    if violation is None and minutes > session.settings.max_history_minutes:
        violation = AlphaLearningViolationError(
            f"duration_minutes must be 1 to {session.settings.max_history_minutes} (was {minutes})"
        )
    if violation is not None:
        raise violation
    question = HistoryQuestion(
        con_id=contract.con_id,
        exchange=contract.exchange,
        ticks=_TRADES,
        minutes=minutes,
        bar_size=bar_size,
    )
    with session.expecting(f"bars of {contract}", RequestKind.HISTORY) as (request_id, pending):
        await history.turn(
            question,
            pending,
            session.clock,
            deadline,
            lambda: session.pacer.turn(PacingLane.DATA),
        )
        try:
            session.client.reqHistoricalData(
                request_id,
                ib_contract(contract),
                _UNTIL_NOW,
                f"{minutes * 60} S",
                bar_size,
                _TRADES,
                _REGULAR_HOURS_ONLY,
                _AS_EPOCH,
                _KEEP_UP_TO_DATE,
                [],
            )
            await pending.done
        except asyncio.CancelledError:
            _cancel_history(session, request_id)
            raise
    return _newest(pending, minutes, session.received_at)


def _cancel_history(session: Session, request_id: int) -> None:
    """Free one of the 50 places that the gateway has for open requests of history."""
    if session.is_ready and session.client.can_write and session.pacer.try_now(PacingLane.DATA):
        session.client.cancelHistoricalData(request_id)


def _newest(pending: Pending, count: int, received_at: datetime) -> tuple[Bar, ...]:
    """Each minute once, ascending; the last one may be forming."""
    found = {bar.start: bar for bar in map(bar_from_ib, pending.items) if bar is not None}
    bars = [found[start] for start in sorted(found)][-count:]
    if bars and received_at < bars[-1].start + _BAR:
        bars[-1] = attrs.evolve(bars[-1], is_forming=True)
    return tuple(bars)


async def read_option_chain(session: Session, underlying: Contract) -> OptionChain:
    """Read the chain of the SMART exchange; of several trading classes the one named like the symbol.

    Raises `ContractQualificationError` when there is none.
    """
    what = f"option chain of {underlying}"
    with session.expecting(what, RequestKind.DATA) as (request_id, pending):
        await session.pacer.turn(PacingLane.DATA)
        session.client.reqSecDefOptParams(
            request_id,
            underlying.symbol,
            "",
            underlying.security_type.value,
            underlying.con_id,
        )
        await pending.done
    smart = [chain for chain in pending.items if chain[0] == "SMART"]
    if not smart:
        raise ContractQualificationError(f"{what}: there is none on SMART")
    own = [chain for chain in smart if chain[2] == underlying.symbol]
    exchange, _, trading_class, multiplier, expiries, strikes = max(
        own or smart, key=lambda chain: len(chain[4])
    )
    return OptionChain(
        symbol=underlying.symbol,
        underlying_con_id=underlying.con_id,
        exchange=exchange,
        trading_class=trading_class,
        multiplier=positive(float(multiplier or 100)) or 100.0,
        expiries=_dates(expiries),
        strikes=tuple(sorted({strike for strike in strikes if positive(strike)})),
    )


def _dates(texts: list[str]) -> tuple[date, ...]:
    return tuple(sorted({day for day in map(date_from_ib, texts) if day is not None}))
