"""At which port to look for the gateway: the configured one, or the one that it announced last (IB's notice 1300).

An announced port that does not answer is tried in turn with the configured one, since a gateway that moves takes a
while and may move back: neither is given up before one of them connects.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

MAX_PORT: Final = 65_535
_NUMBER: Final = re.compile(r"(?<![\d.])\d{1,5}(?![\d.]*\d)")
"""A whole number of at most five digits; no part of an address, a version or a longer number."""


@attrs.frozen(kw_only=True)
class GatewayPorts:
    """The port to try next is ``current``."""

    configured: int
    announced: int | None = None
    is_announced_next: bool = False

    @property
    def current(self) -> int:
        """The port to try next."""
        if self.is_announced_next and self.announced is not None:
            return self.announced
        return self.configured

    def after_reset(self, text: str) -> GatewayPorts:
        """Take the port from the notice's text; one that cannot be read leaves the configured one."""
        port = announced_port(text)
        return attrs.evolve(self, announced=port, is_announced_next=port is not None)

    def after_failure(self) -> GatewayPorts:
        """Try the other one next, where there are two."""
        return attrs.evolve(
            self, is_announced_next=self.announced is not None and not self.is_announced_next
        )

    def after_success(self) -> GatewayPorts:
        """Stay with the one that connected; the configured one makes the announced one void."""
        return self if self.is_announced_next else attrs.evolve(self, announced=None)


def announced_port(text: str) -> int | None:
    """Read the new port from the text of a notice 1300: the last number in it, when that can be a port."""
    found = _NUMBER.findall(text)
    port = int(found[-1]) if found else 0
    return port if 1 <= port <= MAX_PORT else None
