"""The section ``[gateway]``: where the gateway is, and how one attempt to reach it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from actors.errors import ConfigurationError
from actors.sections.fields import (
    Number,
    Section,
    Text,
    choice,
    flag,
    key,
    number,
    show,
    whole,
)

PAPER_PORT: Final = 4002
LIVE_PORT: Final = 4001
LOCAL: Final = "127.0.0.1"
AUTO: Final = "auto"
EMBEDDED: Final = "embedded"
EXTERNAL: Final = "external"
FIRST_CLIENT_ID: Final = 1
ATTEMPT_S: Final = 30.0
LARGEST_FRAME: Final = 16_777_216
HOST: Final = Text(
    r"(?=.{1,253}\Z)([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?"
    r"|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?)",
    "a host name or address of at most 253 characters, its parts of 1 to 63",
)


@attrs.frozen(init=False)
class GatewayConfig(Section):
    """Where the gateway is, and how one attempt to reach it goes.

    A host or a port that is given, here, in a file or by the environment, means a gateway outside of this process;
    without either the simulated one within it is meant (D11). ``endpoint`` says it in so many words; it never is "auto"
    in a finished one. ``timeout`` is another name of ``timeout_s`` (seconds).
    """

    endpoint: str = choice(
        AUTO,
        EMBEDDED,
        EXTERNAL,
        meaning='"embedded": the simulated gateway in this process; "external": host and port below;'
        ' "auto": external where one of them is given',
    )
    host: str = key(LOCAL, HOST, "its name or address", left_out=True)
    port: int = key(
        PAPER_PORT, Number(1, 65_535, whole=True), "IB Gateway, paper: 4002", left_out=True
    )
    client_id: int = whole(
        FIRST_CLIENT_ID, 1, 9999, "1 to 9999; orders belong to the client id that placed them"
    )
    timeout_s: float = number(ATTEMPT_S, 0.1, 300.0, "for one attempt to connect")
    readonly: bool = flag(False, "true refuses every order")
    max_frame_bytes: int = whole(
        LARGEST_FRAME, 65_536, 268_435_456, "a longer message from the gateway ends the session"
    )

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        client_id: int = FIRST_CLIENT_ID,
        timeout: float | None = None,
        *,
        endpoint: str = AUTO,
        timeout_s: float = ATTEMPT_S,
        readonly: bool = False,
        max_frame_bytes: int = LARGEST_FRAME,
    ) -> None:
        """See the class; raises `ConfigurationError` for what does not fit."""
        where = {"host": host, "port": port}
        given = {name: value for name, value in where.items() if value is not None}
        if endpoint == AUTO:
            endpoint = EXTERNAL if given else EMBEDDED
        elif endpoint == EMBEDDED and given.items() - {("host", LOCAL), ("port", PAPER_PORT)}:
            raise ConfigurationError(f"GatewayConfig.{_embedded_elsewhere(given)}")
        self.__attrs_init__(
            endpoint=endpoint,
            client_id=client_id,
            timeout_s=timeout_s if timeout is None else timeout,
            readonly=readonly,
            max_frame_bytes=max_frame_bytes,
            host=LOCAL if host is None else host,
            port=PAPER_PORT if port is None else port,
        )

    @classmethod
    def contradiction(cls, given: Mapping[str, object]) -> str | None:
        """Refuse a host or port of the gateway that lives within this process."""
        places = {name: given[name] for name in ("host", "port") if name in given}
        return _embedded_elsewhere(places) if places and given.get("endpoint") == EMBEDDED else None

    @classmethod
    def paper_trading(cls, host: str = LOCAL, client_id: int = FIRST_CLIENT_ID) -> GatewayConfig:
        """Point at a real IB Gateway that is logged in to a paper account, on its usual port 4002 (GW-10)."""
        return cls(host=host, port=PAPER_PORT, client_id=client_id)

    @classmethod
    def live_trading(cls, host: str = LOCAL, client_id: int = FIRST_CLIENT_ID) -> GatewayConfig:
        """Point at a gateway on the live port 4001. It can be read in dry run; live orders stay blocked (MODE-3)."""
        return cls(host=host, port=LIVE_PORT, client_id=client_id)


def _embedded_elsewhere(given: Mapping[str, object]) -> str:
    places = " and ".join(f"{name} {show(value)}" for name, value in sorted(given.items()))
    return (
        f'endpoint: found "{EMBEDDED}" beside {places}: the simulated gateway lives in this process;'
        f' leave one of the two out, or say "{EXTERNAL}"'
    )
