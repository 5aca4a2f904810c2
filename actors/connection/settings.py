"""What the connection actor is told of the configuration."""

from __future__ import annotations

import attrs

from actors.logic.maintenance import Maintenance


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """What the actor needs of ``[gateway]`` and ``[connection]``; times in seconds."""

    host: str
    port: int
    client_id: int = 1
    timeout_s: float = 30.0
    readonly: bool = False
    account: str = ""
    operator_id: str = ""
    require_paper: bool = False
    retries: int = 6
    first_delay_s: float = 1.0
    max_delay_s: float = 32.0
    jitter_ratio: float = 0.2
    lasting_s: float = 60.0
    heartbeat_s: float = 30.0
    heartbeat_timeout_s: float = 5.0
    missed_beats: int = 2
    same_id_retries: int = 3
    same_id_delay_s: float = 1.0
    client_id_tries: int = 10
    probe_symbol: str = "SPY"
    probe_retry_s: float = 5.0
    upstream_patience_s: float = 900.0
    connect_at_start: bool = True
    maintenance: Maintenance = attrs.field(factory=Maintenance)
