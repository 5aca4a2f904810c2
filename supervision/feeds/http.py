"""One HTTP request to a second source, within bounds of time and size, and without ever showing its key.

The key is added below the client, in the transport: what the library logs, and what its exceptions hold, is a request
without it. No redirect is followed, since the key would go there; no compressed body is taken, since a small one can
unfold to any size. Guarantees that every failure is a `FeedError` whose text holds neither URL nor key.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx

from actors.errors import (
    FeedError,
    FeedRateLimitError,
    FeedRefusedError,
    FeedReplyError,
    FeedServerError,
    FeedTimeoutError,
    FeedUnreachableError,
)
from actors.logic.masking import REMOVED

_KEY_PARAMETER: Final = "apikey"
_IDENTITY: Final = "identity"


class Requester:
    """For one asyncio loop. ``timeout_s`` is for a whole request: connecting, sending, and every byte of the answer."""

    def __init__(self, url: str, api_key: str, *, timeout_s: float, max_body_bytes: int) -> None:
        self._url = url
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._client = httpx.AsyncClient(
            transport=_WithKey(httpx.AsyncHTTPTransport(proxy=_proxy_for(url)), api_key),
            timeout=timeout_s,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": _IDENTITY},
        )

    async def get(self, parameters: Mapping[str, str]) -> bytes:
        """Give the body of an answer with status 200; raises a `FeedError` for everything else."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._get(parameters)
        except FeedError:
            raise
        except (TimeoutError, httpx.TimeoutException):
            raise FeedTimeoutError(f"no whole answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            raise FeedUnreachableError(self.without_key(_said(error))) from None

    async def _get(self, parameters: Mapping[str, str]) -> bytes:
        async with self._client.stream("GET", self._url, params=dict(parameters)) as response:
            self._check(response)
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._max_body_bytes:
                    raise FeedReplyError(f"the answer is longer than {self._max_body_bytes} bytes")
            return bytes(body)

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status >= 500:
            raise FeedServerError(f"it answered with status {status}")
        if status == 429:
            raise FeedRateLimitError(f"it answered with status {status}, too many requests")
        if 300 <= status < 400:
            raise FeedReplyError(f"it redirects (status {status}), which is not followed")
        if status != 200:
            raise FeedRefusedError(f"it answered with status {status}")
        encoding = response.headers.get("Content-Encoding", _IDENTITY)
        if encoding != _IDENTITY:
            raise FeedReplyError("the answer is compressed, which was not asked for")

    def without_key(self, text: str) -> str:
        """Remove the key from a text that somebody else wrote."""
        return text.replace(self._api_key, REMOVED) if self._api_key else text

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()


class _WithKey(httpx.AsyncBaseTransport):
    """Adds the key to a copy of each request."""

    def __init__(self, below: httpx.AsyncBaseTransport, api_key: str) -> None:
        self._below = below
        self._api_key = api_key

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_add_param(_KEY_PARAMETER, self._api_key)
        return await self._below.handle_async_request(
            httpx.Request(
                request.method, url, headers=request.headers, extensions=request.extensions
            )
        )

    async def aclose(self) -> None:
        await self._below.aclose()


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL; the library looks for it only where it has no transport."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _said(error: Exception) -> str:
    """Name an error of the library; its text says what the system said, and no URL."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
