"""Where quotes are published: Redis where a URL is set, else memory. The library is loaded when it is needed."""

from __future__ import annotations

import asyncio

import attrs

from actors.errors import ConfigurationError
from actors.kernel.clock import Clock, Entropy
from supervision.config.sections import Config
from supervision.publish.actor import OpenStore
from supervision.publish.memory import MemoryStore
from supervision.publish.outbox import Outbox
from supervision.publish.port import QuoteStore


def redis_url(config: Config) -> str:
    """Choose the URL: `REDIS_URL`, else the file's; empty for none."""
    return config.secrets.redis_url or config.publish.redis_url


def memory_store(config: Config, clock: Clock) -> MemoryStore:
    """Make the store of this process's own memory."""
    section = config.publish
    return MemoryStore(
        clock,
        expiry_s=section.expiry_s,
        length=section.memory_length,
        max_symbols=section.max_symbols,
    )


@attrs.frozen
class Publishing:
    """What outlives the publisher's restarts: what waits, and how the store is opened."""

    outbox: Outbox
    open_store: OpenStore


def publishing_of(
    config: Config, clock: Clock, entropy: Entropy, store: QuoteStore | None = None
) -> Publishing | None:
    """Make the parts of publishing; None where it is switched off. ``store`` takes the place of the configured one.

    Raises `ConfigurationError` now for a URL that cannot be used.
    """
    section = config.publish
    if not section.enabled:
        return None
    outbox = Outbox(entropy.uuid4(), bound=section.queue_bound, max_symbols=section.max_symbols)
    opener = _always(store) if store else _opener(config, clock, outbox.publisher)
    return Publishing(outbox, opener)


def _opener(config: Config, clock: Clock, publisher: str) -> OpenStore:
    url = redis_url(config)
    if not url:
        return _always(memory_store(config, clock))

    _check(url)

    def open_now() -> QuoteStore:
        from supervision.publish.redis_store import RedisStore

        return RedisStore(url, config.publish, publisher)

    async def open_store() -> QuoteStore:
        # In a thread, since it loads a library for a part of a second.
        return await asyncio.to_thread(open_now)

    return open_store


def _check(url: str) -> None:
    from supervision.publish.redis_store import check_url

    try:
        check_url(url)
    except ValueError as error:
        raise ConfigurationError(
            f"the Redis URL cannot be used ({error}), expected one like redis://127.0.0.1:6379/0"
        ) from None


def _always(store: QuoteStore) -> OpenStore:
    async def open_store() -> QuoteStore:
        return store

    return open_store
