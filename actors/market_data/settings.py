"""What the market-data actor is told by the configuration."""

from __future__ import annotations

import attrs

from actors.market_data.failover import FailoverLimits
from actors.model.market import DataSource


@attrs.frozen(kw_only=True)
class FailoverSettings:
    """The ``[failover]`` section as the market-data actor needs it; times in seconds.

    ``enabled``: there is a second source. ``intraday``: it has one-minute bars, too. ``stream_every_s``: so often the
    price of a symbol with subscribers is asked for.
    """

    enabled: bool = False
    limits: FailoverLimits = attrs.field(factory=FailoverLimits)
    probe_s: float = 5.0
    probe_timeout_s: float = 12.0
    stream_every_s: float = 300.0
    intraday: bool = False
    source: DataSource = DataSource.ALPHA_VANTAGE


@attrs.frozen(kw_only=True)
class MarketDataSettings:
    """The ``[market_data]`` section as this actor needs it; times in seconds."""

    stale_after_s: float = 300.0
    snapshot_interval_s: float = 1.0
    snapshot_timeout_s: float = 12.0
    max_subscriptions: int = 100
    max_open_snapshots: int = 90
    """So many of the snapshots that feed subscribers may be open: IB has 100 lines, and reads need some, too."""
    max_tick_streams: int = 5
    """IB's limit on tick-by-tick subscriptions."""
    ticks_refresh_s: float = 30.0
    """While ticks feed a symbol a snapshot of it is taken so often."""
    max_symbols: int = 500
    max_remembered: int = 1000
    """So many contracts, quotes and series of bars each; the oldest are forgotten first."""
    publishes: bool = False
    """There is a publisher, which is given every quote (MKT-9)."""
    failover: FailoverSettings = attrs.field(factory=FailoverSettings)
