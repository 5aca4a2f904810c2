"""What the gateway's services know of a connected client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Client(Protocol):
    """One connection, as far as answering it goes. `Session` is the real one."""

    client_id: int
    version: int
    market_data_type: int
    subscriptions: dict[tuple[str, int], Callable[[], None]]
    """What ends each of the client's subscriptions, by its kind and request id."""

    def send(self, *fields: str) -> None:
        """Send one message."""
        ...

    def send_message(self, fields: list[str]) -> None:
        """Send one message given as a list."""
        ...

    def error(self, request_id: int, code: int, text: str | None = None) -> None:
        """Send an error or a notice; the text defaults to the recorded one."""
        ...

    def mute(self) -> None:
        """Say nothing more on this connection."""
        ...

    def close(self, *, reset: bool = False) -> None:
        """Close the connection after what was queued; `reset` sends RST instead of FIN."""
        ...
