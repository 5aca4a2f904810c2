"""From what a step met to its status and its remedy: tables, and no input or output."""

from __future__ import annotations

from typing import Final

from actors.errors import (
    AnotherAccountError,
    ClientIDInUseError,
    ConfigurationError,
    ContractQualificationError,
    GatewayAuthenticationError,
    GatewayError,
    IncompatibleVersionError,
    MarketDataUnavailableError,
    NotPaperAccountError,
    ReadOnlyError,
)
from actors.model.market import DataType, Quote
from actors.model.orders import ExecutionMode
from actors.sections.maintenance import Maintenance
from supervision.commands.check import remedies
from supervision.commands.check.report import Finding, Status, Step, StepFailed

Outcome = tuple[Status, str, str | None]
"""Status, detail, remedy of a step that did not fail."""


def judge_port(port: int, mode: ExecutionMode) -> Outcome:
    """Tell whether a real gateway's port fits the mode; raises `StepFailed` where live would meet paper mode."""
    if port in remedies.PAPER_PORTS:
        return ok(f"{port} is the usual port of {remedies.PAPER_PORTS[port]}, paper")
    if port not in remedies.LIVE_PORTS:
        return ok(f"{port} is none of IB's usual ports: the accounts will tell")
    detail = f"{port} is the usual port of {remedies.LIVE_PORTS[port]}, LIVE trading"
    if mode is ExecutionMode.DRY_RUN:
        return Status.WARNING, f"{detail}; dry_run only reads it", None
    raise StepFailed(detail, remedies.PAPER_PORT, NotPaperAccountError)


def judge_quote(quote: Quote) -> Outcome:
    """Tell live data from what only looks like it."""
    detail = f"{quote.symbol} {{}}: last {quote.last}, bid {quote.bid}, ask {quote.ask}"
    if quote.halted:
        return Status.WARNING, detail.format("is HALTED"), remedies.HALTED
    if quote.price is None:
        raise StepFailed(
            f"{quote.symbol}: the gateway answers without a price",
            remedies.NO_PRICE,
            MarketDataUnavailableError,
        )
    if quote.data_type in (DataType.DELAYED, DataType.DELAYED_FROZEN):
        return Status.WARNING, detail.format("is DELAYED"), remedies.DELAYED
    if quote.data_type is DataType.FROZEN:
        return Status.WARNING, detail.format("is FROZEN (market closed)"), None
    return ok(detail.format("is live"))


def judge_restart(maintenance: Maintenance, *, is_external: bool) -> Outcome:
    """Say when the gateway is expected to restart itself, and what follows; a real one does it once a day."""
    if not is_external:
        return ok("the simulated gateway lives in the process, and does not restart")
    if not maintenance.schedule(is_external=True).rules:
        return ok("planned maintenance is switched off: every loss of the link counts")
    if not maintenance.gateway_restart:
        return (
            Status.WARNING,
            "no time is configured: a restart counts as a lost link",
            (remedies.DAILY_RESTART),
        )
    return ok(maintenance.restart_in_words)


def failure(step: Step, error: StepFailed | GatewayError, latency_ms: float | None) -> Finding:
    """Describe how a step failed."""
    code = error.kind.code if isinstance(error, StepFailed) else error.code
    remedy = error.remedy if isinstance(error, StepFailed) else _remedy(step.name, error)
    return Finding(
        step=step.name,
        status=Status.FAILED,
        detail=str(error),
        remedy=remedy,
        latency_ms=latency_ms,
        error_code=code,
        blocks=step.blocks,
    )


_REMEDIES: Final[tuple[tuple[str, type[GatewayError], str], ...]] = (
    ("login", GatewayAuthenticationError, remedies.LOG_IN),
    ("login", IncompatibleVersionError, remedies.UPGRADE),
    ("login", GatewayError, remedies.LOG_IN),
    ("client id", ClientIDInUseError, remedies.CLIENT_ID),
    ("client id", GatewayError, remedies.API_SILENT),
    ("accounts", NotPaperAccountError, remedies.PAPER_ACCOUNT),
    ("accounts", AnotherAccountError, remedies.PINNED_ACCOUNT),
    ("accounts", ConfigurationError, remedies.CHOOSE_ACCOUNT),
    ("round trip", GatewayError, remedies.NO_ROUND_TRIP),
    ("state", ReadOnlyError, remedies.READ_ONLY_API),
    ("state", GatewayError, remedies.NO_STATE),
    ("market data", ContractQualificationError, remedies.UNKNOWN_SYMBOL),
)


def _remedy(name: str, error: GatewayError) -> str | None:
    if isinstance(error, MarketDataUnavailableError):
        return _remedy_for_data(str(error))
    return next(
        (remedy for step, kind, remedy in _REMEDIES if step == name and isinstance(error, kind)),
        remedies.NO_ROUND_TRIP,
    )


def _remedy_for_data(text: str) -> str:
    """Tell apart why there is no data: only the broker's text has the code."""
    if "(code 10197)" in text:
        return remedies.COMPETING
    return remedies.SUBSCRIBE if "(code " in text else remedies.NO_PRICE


def ok(detail: str) -> Outcome:
    """Make the outcome of a step that found nothing to say against."""
    return Status.OK, detail, None
