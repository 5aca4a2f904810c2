"""What a check found, for people (aligned lines) and for machines (one JSON object)."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import attrs

from actors.errors import GatewayError
from supervision.observe.masking import Masker

WIDTH: Final = 100
"""Columns that remedies are wrapped to."""

STEP_WIDTH: Final = 16
_INDENT: Final = " " * 8
_COLOURS: Final = {
    "ok": "\x1b[32m",
    "warning": "\x1b[33m",
    "FAILED": "\x1b[31m",
    "skipped": "\x1b[2m",
}
_PLAIN: Final = "\x1b[0m"


class Status(StrEnum):
    """How a step ended. A warning leaves the check passed."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


class Blocks(StrEnum):
    """What a failed step stands in the way of; it decides the exit code of the command."""

    CONNECTING = "connecting"
    TRADING = "trading"
    DATA = "data"


@attrs.frozen
class Step:
    """A step of the check: what its failure blocks, and the step without which it cannot be tried.

    ``asks``: it talks to the gateway, so its time is a latency.
    """

    name: str
    blocks: Blocks
    needs: str | None = attrs.field(default=None, kw_only=True)
    asks: bool = attrs.field(default=True, kw_only=True)


@attrs.frozen(kw_only=True)
class Finding:
    """One step's result. ``latency_ms`` is None for steps that ask the gateway nothing."""

    step: str
    status: Status
    detail: str
    remedy: str | None = None
    latency_ms: float | None = None
    error_code: str | None = None
    blocks: Blocks | None = None


@attrs.frozen(kw_only=True)
class CheckReport:
    """All findings, in the order of the steps. ``endpoint`` says in words which gateway was asked."""

    endpoint: str
    mode: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no step failed and none had to be left out."""
        return self.first_failure is None

    @property
    def first_failure(self) -> Finding | None:
        """The failure that everything else may follow from."""
        return next((each for each in self.findings if each.status is Status.FAILED), None)


class StepFailed(Exception):  # noqa: N818 - it says what happened
    """A step's failure: what was seen, what to do, and the error of CON-7 that a connection would end in."""

    def __init__(self, text: str, remedy: str, kind: type[GatewayError]) -> None:
        super().__init__(text)
        self.remedy = remedy
        self.kind = kind


def masked(finding: Finding) -> Finding:
    """Mask account codes, which an error of the gateway may quote (OBS-4)."""
    mask = Masker().text
    return attrs.evolve(finding, detail=mask(finding.detail))


def head_line(endpoint: str, mode: str) -> str:
    """Say what is checked, before the first step."""
    return f"checking {endpoint}, for {mode}; no order is sent"


def report_lines(finding: Finding, *, colours: bool = False) -> Iterator[str]:
    """Show one finding: status, step, latency, detail; the remedy below it, wrapped."""
    status = f"{finding.status.value:<7}"
    if colours:
        status = f"{_COLOURS[finding.status.value]}{status}{_PLAIN}"
    took = "" if finding.latency_ms is None else f"{finding.latency_ms:.1f} ms"
    yield f"{status} {finding.step:<{STEP_WIDTH}} {took:>10}  {finding.detail}".rstrip()
    if finding.remedy is not None:
        yield from textwrap.wrap(
            f"remedy: {finding.remedy}",
            WIDTH,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT + " " * len("remedy: "),
            break_long_words=False,
            break_on_hyphens=False,
        )


def last_line(report: CheckReport) -> str:
    """Say how it ended."""
    failure = report.first_failure
    if failure is not None:
        return f"the check failed at: {failure.step}"
    warnings = sum(each.status is Status.WARNING for each in report.findings)
    if warnings:
        return f"the check passed, with {warnings} warning{'s' if warnings > 1 else ''}"
    return "the check passed"


def report_json(report: CheckReport, exit_code: int) -> str:
    """Show the whole report as one JSON object."""
    steps = [
        {
            "step": each.step,
            "status": each.status.value.lower(),
            "latency_ms": None if each.latency_ms is None else round(each.latency_ms, 3),
            "detail": each.detail,
            "remedy": each.remedy,
            "error_code": each.error_code,
        }
        for each in report.findings
    ]
    return json.dumps(
        {
            "endpoint": report.endpoint,
            "mode": report.mode,
            "passed": report.passed,
            "exit_code": exit_code,
            "steps": steps,
        },
        ensure_ascii=False,
    )
