"""One correlation id for several requests of one caller (OBS-2).

::

    with correlated(gateway.process.entropy.uuid4()):
        data = await gateway.get_market_data("SPY")
        result = await gateway.submit_order(...)        # both carry the same root in every log line
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("correlation_id", default=None)


@contextmanager
def correlated(correlation_id: str) -> Iterator[str]:
    """Put every request made within under ``correlation_id``."""
    token = _current.set(correlation_id)
    try:
        yield correlation_id
    finally:
        _current.reset(token)


def current_correlation() -> str | None:
    """The correlation id that the caller has set, or None: each request gets one of its own then."""
    return _current.get()
