"""Which second source there is: Alpha Vantage, where its key is set. The library is loaded when it is needed."""

from __future__ import annotations

import asyncio

from actors.kernel.clock import Clock
from supervision.config.sections import Config
from supervision.feeds.actor import OpenSource
from supervision.feeds.port import SecondSource


def source_opener(config: Config, clock: Clock) -> OpenSource | None:
    """Make what opens the source, once for each incarnation of the feed actor; None where there is none to ask."""
    if not (config.failover.enabled and config.secrets.alpha_vantage_api_key):
        return None

    def open_now() -> SecondSource:
        from supervision.feeds.alpha_vantage import AlphaVantage

        return AlphaVantage(config.failover, config.secrets.alpha_vantage_api_key, clock)

    async def open_source() -> SecondSource:
        # In a thread, since it loads a library and certificates for a part of a second.
        return await asyncio.to_thread(open_now)

    return open_source
