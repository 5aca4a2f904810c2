"""Redis as cache and sink: a hash per contract that expires, and one stream of bounded length (MKT-9).

::

    <prefix>:quote:<NAME>   hash    the newest quote; gone when no newer one came within the expiry
    <prefix>:quotes         stream  every update; the oldest are trimmed beyond about ``stream_length``

docs/publishing.md describes both for other programs. All commands of a batch go in one round trip. Raises
`PublishError` for everything that a server or a network can do; its text holds no credentials.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from actors.errors import PublishError
from supervision.config.sections import Publish
from supervision.publish.schema import Entry, fields_of


def check_url(url: str) -> None:
    """Raise ValueError for a URL that cannot be used; nothing is connected."""
    parse_url(url)


class RedisStore:
    """A `QuoteStore` for one asyncio loop. It connects when it is first used, and again after every failure."""

    def __init__(self, url: str, settings: Publish, publisher: str) -> None:
        """Prepare to connect."""
        self._settings = settings
        self._publisher = publisher
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            max_connections=1,
            retry=Retry(NoBackoff(), 0),  # the publisher tries again, and says so
        )

    async def put(self, newest: Sequence[Entry], updates: Sequence[Entry]) -> None:
        """Write both in one round trip."""
        settings = self._settings
        expiry_ms = round(settings.expiry_s * 1000)
        pipeline = self._client.pipeline(transaction=False)
        for entry in newest:
            key = f"{settings.prefix}:quote:{entry.name}"
            values: dict[Any, Any] = {**fields_of(entry, self._publisher)}
            pipeline.hset(key, mapping=values)
            pipeline.pexpire(key, expiry_ms)
        for entry in updates:
            told = fields_of(entry, self._publisher)
            known: dict[Any, Any] = {name: value for name, value in told.items() if value}
            pipeline.xadd(
                f"{settings.prefix}:quotes", known, maxlen=settings.stream_length, approximate=True
            )
        try:
            await pipeline.execute()
        except (RedisError, OSError) as error:
            raise PublishError(f"Redis: {type(error).__name__}: {error}".rstrip(": ")) from None

    async def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()
