"""Messages for the publisher: quotes for other programs, behind the trading and never in its way (MKT-9)."""

from __future__ import annotations

import attrs

from actors.kernel.messages import Message, Reply, Request
from actors.model.market import Quote


@attrs.frozen(kw_only=True)
class PublishQuote(Message):
    """Publish a quote: as the newest of its contract, and as one of all updates."""

    quote: Quote


@attrs.frozen(kw_only=True)
class GetPublishStatus(Request):
    """Answered by `PublishStatus`."""


@attrs.frozen(kw_only=True)
class PublishStatus(Reply):
    """How the publishing goes. ``degraded_by`` says why it does not; None while it does.

    ``waiting`` updates are not published yet; ``dropped`` were lost since the start because the bound was reached.
    """

    degraded_by: str | None
    waiting: int
    dropped: int
    published: int

    @property
    def problem(self) -> str | None:
        """Say in words that the publishing does not go; None while it does."""
        if self.degraded_by is None:
            return None
        return f"publishing: {self.degraded_by} ({self.waiting} updates wait, {self.dropped} were lost)"
