"""What the connection actor is told of the configuration."""

from __future__ import annotations

import attrs

from actors.logic.maintenance import Maintenance


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """What the actor needs of ``[gateway]`` and ``[connection]``; times in seconds."""

    host: str
    port: int
    client_id: int
    timeout_s: float
    readonly: bool
    account: str
    operator_id: str
    require_paper: bool
    retries: int
    first_delay_s: float
    max_delay_s: float
    jitter_ratio: float
    lasting_s: float
    heartbeat_s: float
    heartbeat_timeout_s: float
    missed_beats: int
    same_id_retries: int
    same_id_delay_s: float
    client_id_tries: int
    probe_symbol: str
    probe_retry_s: float = 5.0
    upstream_patience_s: float
    maintenance: Maintenance
