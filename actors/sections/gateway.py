"""The section ``[gateway]``: where the gateway is, and how one attempt to reach it goes."""

from __future__ import annotations

from typing import Final

import attrs

from actors.sections.fields import Section, Text, choice, flag, key, number, whole

PAPER_PORT: Final = 4002
LIVE_PORT: Final = 4001
EMBEDDED: Final = "embedded"
EXTERNAL: Final = "external"
HOST: Final = Text(
    r"(?=.{1,253}\Z)([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?"
    r"|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?)",
    "a host name or address of at most 253 characters, its parts of 1 to 63",
)


@attrs.frozen(kw_only=True)
class GatewayConfig(Section):
    """Where the gateway is, and how one attempt to reach it goes."""

    endpoint: str = choice(
        "embedded",
        "external",
        meaning='"embedded": the simulated gateway in this process; "external": host and port below',
    )
    host: str = key("127.0.0.1", HOST, "its name or address")
    port: int = whole(PAPER_PORT, 1, 65_535, "IB Gateway, paper: 4002")
    client_id: int = whole(1, 1, 9999, "1 to 9999; orders belong to the client id that placed them")
    timeout_s: float = number(30.0, 0.1, 300.0, "for one attempt to connect")
    readonly: bool = flag(False, "true refuses every order")
    max_frame_bytes: int = whole(
        16_777_216, 65_536, 268_435_456, "a longer message from the gateway ends the session"
    )

    @classmethod
    def paper_trading(cls, host: str = "127.0.0.1", client_id: int = 1) -> GatewayConfig:
        """Point at a real IB Gateway that is logged in to a paper account, on its usual port 4002 (GW-10)."""
        return cls(endpoint="external", host=host, port=PAPER_PORT, client_id=client_id)

    @classmethod
    def live_trading(cls, host: str = "127.0.0.1", client_id: int = 1) -> GatewayConfig:
        """Point at a gateway on the live port 4001. It can be read in dry run; live orders stay blocked (MODE-3)."""
        return cls(endpoint="external", host=host, port=LIVE_PORT, client_id=client_id)
