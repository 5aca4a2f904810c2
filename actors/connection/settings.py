"""What the connection actor is told of the configuration."""

from __future__ import annotations

from typing import Final

import attrs

from actors.logic.maintenance import Maintenance
from actors.model.trading import Trading
from actors.sections.connection import Connection
from actors.sections.gateway import GatewayConfig

PROBE_RETRY_S: Final = 5.0
"""After a proof in vain, before the next one."""


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """The sections that the actor reads, and what was decided where the process is built.

    ``host`` and ``port`` are those that there really are, of the embedded gateway too. ``account`` is the
    managed account to trade, "" the only one. ``maintenance`` says when the gateway is expected to be away.
    """

    gateway: GatewayConfig
    host: str
    port: int
    connection: Connection
    trading: Trading
    account: str
    probe_symbol: str
    maintenance: Maintenance
