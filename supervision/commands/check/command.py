"""The check as a command: each finding is shown when it is there, or the whole as one JSON object."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from actors.model.orders import ExecutionMode
from supervision.commands.check.report import (
    Finding,
    head_line,
    last_line,
    report_json,
    report_lines,
)
from supervision.commands.check.steps import check_connection
from supervision.config.sections import Config
from supervision.observe.console import wants_colours
from supervision.process import build_link_process


async def run_check(
    config: Config,
    mode: ExecutionMode,
    echo: Callable[[str], None],
    *,
    as_json: bool,
    exit_codes: Mapping[str, int],
) -> int:
    """Run the check and print it; returns 0 when it passed, else the code of what the first failure blocks."""
    colours = wants_colours(sys.stdout, os.environ)

    def begin(endpoint: str, mode: str) -> None:
        if not as_json:
            echo(head_line(endpoint, mode))

    def say(finding: Finding) -> None:
        if not as_json:
            for line in report_lines(finding, colours=colours):
                echo(line)

    report = await check_connection(
        config, lambda located: build_link_process(config, located), mode=mode, begin=begin, say=say
    )
    failure = report.first_failure
    code = 0 if failure is None or failure.blocks is None else exit_codes[failure.blocks]
    echo(report_json(report, code) if as_json else last_line(report))
    return code
