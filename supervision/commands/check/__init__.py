"""The connection test (DEP-2): what a gateway answers, step by step, each with its latency, and a remedy.

It reads only: its process is the link alone, without a sender of orders, without journal and lock. So it runs beside a
process that trades, under a client id of its own. The trading client id is tried for an instant, unless a process of
ours holds it.
"""

from supervision.commands.check.report import (
    Blocks,
    CheckReport,
    Finding,
    Status,
    head_line,
    last_line,
    report_json,
    report_lines,
)
from supervision.commands.check.steps import CHECK_CLIENT_IDS, STEPS, check_connection

__all__ = [
    "CHECK_CLIENT_IDS",
    "STEPS",
    "Blocks",
    "CheckReport",
    "Finding",
    "Status",
    "check_connection",
    "head_line",
    "last_line",
    "report_json",
    "report_lines",
]
