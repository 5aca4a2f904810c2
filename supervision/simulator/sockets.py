"""The sockets, as `Faults` breaks them; `network` has them."""

from __future__ import annotations

from typing import Protocol


class Network(Protocol):
    """The sockets, as far as faults break them."""

    def stop_listening(self) -> None:
        """Refuse new connections."""
        ...

    def listen_again(self) -> None:
        """Accept connections again, on the same port."""
        ...

    def pause_reading(self) -> None:
        """Leave what clients send in their sockets."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    def release(self) -> None:
        """Send what was kept back."""
        ...

    def drop(self, client_id: int | None, *, reset: bool) -> None:
        """Close the connections of a client, or of all."""
        ...

    def reset_port(self, *, moves: bool) -> None:
        """Tell everybody to reconnect, perhaps on another port, and close their connections."""
        ...

    def notice(
        self,
        code: int,
        text: str | None = None,
        *,
        request_id: int = -1,
        client_id: int | None = None,
    ) -> None:
        """Send an error or notice to a client, or to all."""
        ...
