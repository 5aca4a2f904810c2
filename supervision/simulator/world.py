"""What one started gateway consists of; each service takes from it what it uses."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import attrs

from .books import Books
from .calendar import eastern
from .client import Client
from .config import SimulatorConfig
from .contracts import Universe
from .fault_state import FaultState
from .market import Market
from .store import OrderStore
from .timers import Timers


@attrs.frozen(kw_only=True)
class World:
    """The shared pieces. It has no behaviour of its own, and it is built anew by every start."""

    config: SimulatorConfig
    universe: Universe
    """Which contracts exist."""
    market: Market
    """Prices and hours."""
    books: Books
    """Money, positions and executions."""
    store: OrderStore
    """Orders and the ledger of order messages."""
    faults: FaultState
    """What goes wrong at present."""
    now: Callable[[], dt.datetime]
    """The time, aware, UTC."""
    loop: asyncio.AbstractEventLoop
    timers: Timers
    clients: Callable[[], Sequence[Client]]
    """The connections that have completed startApi."""

    def clock_text(self) -> str:
        """The time of day that account messages carry."""
        return eastern(self.now()).strftime("%H:%M")
