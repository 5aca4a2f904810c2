"""The names under which the parts of the tree are reached. An address outlives the actor behind it (D4)."""

from __future__ import annotations

from typing import Final

SUPERVISOR: Final = "supervisor"
CONNECTION: Final = "connection"
MARKET_DATA: Final = "market_data"
EXECUTOR: Final = "executor"
POSITION: Final = "position"
RISK: Final = "risk"
DATA_WATCH: Final = "data_watch"
"""Who asks for the data of what is held or traded, and sees when it is stale for too long (STC-1)."""
STRATEGY_C: Final = "strategy_c"
LINK: Final = "link"
JOURNAL: Final = "journal"
RECORDS: Final = "records"
"""What is written for reports, behind the trading (DB-4)."""
FEED: Final = "feed"
"""The second source of market data (MKT-10); only there when it is configured."""
PUBLISHER: Final = "publisher"
"""Quotes for other programs, behind the trading (MKT-9); only there when it is configured."""
FACADE: Final = "gateway"
"""The facade, `IBKRGateway`: answers, event streams, and the orchestrator's own risk manager.

Not IB's gateway, which only the link speaks to, and not the order gate, which the link holds.
"""
