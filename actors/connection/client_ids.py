"""Which client id to use when one is taken (CON-8, PEERS 13).

The same id is tried again first: after a crash the gateway may not have noticed yet that its old session is dead. Then
come the ids that follow. Under any other id than the configured one nothing may be opened, since the orders of the
first id cannot be managed one by one.
"""

from __future__ import annotations

import attrs

MAX_CLIENT_ID = 9999


@attrs.frozen(kw_only=True)
class ClientIds:
    """The id to use now, after so many conflicts; ``in_use``: the one of a session that was found open."""

    configured: int
    same_id_retries: int
    tries: int
    conflicts: int = 0
    in_use: int | None = None

    @classmethod
    def starting_at(cls, configured: int, same_id_retries: int, tries: int) -> ClientIds:
        """Begin with the configured id."""
        return cls(configured=configured, same_id_retries=same_id_retries, tries=tries)

    @property
    def current(self) -> int:
        """The id to use: the configured one, then those behind it, from 1 again after 9999."""
        if self.in_use is not None:
            return self.in_use
        return self._behind(max(0, self.conflicts - self.same_id_retries))

    def _behind(self, step: int) -> int:
        return (self.configured - 1 + step) % MAX_CLIENT_ID + 1

    @property
    def candidates(self) -> tuple[int, ...]:
        """Every id that may come into use."""
        return tuple(map(self._behind, range(self.tries)))

    @property
    def is_fallback(self) -> bool:
        """Whether this is not the configured id."""
        return self.current != self.configured

    @property
    def is_exhausted(self) -> bool:
        """Whether all tries are used up."""
        return self.conflicts >= self.same_id_retries + self.tries

    @property
    def explanation(self) -> str:
        """Why nothing may be opened under a fallback id."""
        return (
            f"client id {self.configured} is taken; under the fallback id {self.current} nothing may be opened,"
            " since orders of the first id cannot be managed one by one (a liquidation cancels all of them at once):"
            " end the other session, or configure another gateway.client_id"
        )

    def after_conflict(self) -> ClientIds:
        """Go on after the gateway said that the id is taken (IB's error 326)."""
        return attrs.evolve(self, conflicts=self.conflicts + 1)

    def without_retries(self) -> ClientIds:
        """Try each id once: the first one was tried long enough before."""
        return attrs.evolve(self, conflicts=self.same_id_retries)

    def found(self, client_id: int) -> ClientIds:
        """Take over the id of a session that is open already."""
        return attrs.evolve(self, conflicts=0, in_use=client_id)

    def from_the_start(self) -> ClientIds:
        """Begin again with the configured id."""
        return attrs.evolve(self, conflicts=0, in_use=None)
