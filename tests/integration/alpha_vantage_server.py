"""A server that answers as Alpha Vantage documents, and misbehaves on command: for tests, over real sockets.

It holds quotes by symbol, counts what it is asked, and knows one key. ``behave`` replaces what it does with a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import attrs

KEY: Final = "SECRETKEY4711"

Behaviour = Callable[[asyncio.StreamWriter, dict[str, str]], Awaitable[None]]

DAILY_LIMIT: Final = {
    "Information": (
        f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day."
        " Please subscribe to any of the premium plans at https://www.alphavantage.co/premium/ to instantly"
        " remove all daily rate limits."
    )
}
PER_MINUTE: Final = {
    "Note": (
        "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls per"
        " day. Please visit https://www.alphavantage.co/premium/ if you would like to target a higher API call"
        " frequency."
    )
}
BURST: Final = {
    "Information": (
        "Burst pattern detected. Please consider spreading out your free API requests more sparingly"
        " (1 request per second)."
    )
}
PREMIUM: Final = {
    "Information": (
        "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans"
        " at https://www.alphavantage.co/premium/ to instantly unlock all premium endpoints"
    )
}
INVALID_CALL: Final = {
    "Error Message": (
        "Invalid API call. Please retry or visit the documentation (https://www.alphavantage.co/documentation/) for"
        " GLOBAL_QUOTE."
    )
}
INVALID_KEY: Final = {
    "Error Message": (
        "the parameter apikey is invalid or missing. Please claim your free API key on"
        " (https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
    )
}


def global_quote(symbol: str, price: str = "601.2300", **changes: Any) -> dict[str, Any]:
    """Write the documented answer to GLOBAL_QUOTE."""
    fields: dict[str, Any] = {
        "01. symbol": symbol,
        "02. open": "598.1000",
        "03. high": "603.0000",
        "04. low": "597.5000",
        "05. price": price,
        "06. volume": "41234567",
        "07. latest trading day": "2026-03-02",
        "08. previous close": "597.9000",
        "09. change": "3.3300",
        "10. change percent": "0.5569%",
    }
    return {"Global Quote": fields | changes}


def intraday(symbol: str, minutes: int = 100, zone: str = "US/Eastern") -> dict[str, Any]:
    """Write the documented answer to TIME_SERIES_INTRADAY: the newest bar first, which began at 12:39 in New York."""
    bars = {}
    for ago in range(minutes):
        minute = 12 * 60 + 39 - ago
        bars[f"2026-03-02 {minute // 60:02}:{minute % 60:02}:00"] = {
            "1. open": f"{600 - ago * 0.01:.4f}",
            "2. high": f"{601 - ago * 0.01:.4f}",
            "3. low": f"{599 - ago * 0.01:.4f}",
            "4. close": f"{600.5 - ago * 0.01:.4f}",
            "5. volume": str(1000 + ago),
        }
    return {
        "Meta Data": {
            "1. Information": "Intraday (1min) open, high, low, close prices and volume",
            "2. Symbol": symbol,
            "3. Last Refreshed": "2026-03-02 12:39:00",
            "4. Interval": "1min",
            "5. Output Size": "Compact",
            "6. Time Zone": zone,
        },
        "Time Series (1min)": bars,
    }


@attrs.define
class AlphaVantageServer:
    """See the module's docstring."""

    prices: dict[str, str] = attrs.field(factory=lambda: {"SPY": "601.2300", "BRK-B": "480.5000"})
    behave: Behaviour | None = None
    asked: list[dict[str, str]] = attrs.field(factory=list)
    url: str = ""
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                query = {name: found[0] for name, found in parse_qs(urlsplit(target).query).items()}
                self.asked.append(query)
                await (self.behave or self._answer)(writer, query)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        if query.get("apikey") != KEY:
            await answer(INVALID_KEY)(writer, query)
            return
        symbol = query["symbol"]
        if query["function"] == "TIME_SERIES_INTRADAY":
            await answer(intraday(symbol))(writer, query)
        elif symbol in self.prices:
            await answer(global_quote(symbol, self.prices[symbol]))(writer, query)
        else:
            await answer({"Global Quote": {}})(writer, query)


def answer(body: object, status: int = 200, *headers: str) -> Behaviour:
    """Answer every request with this body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, indent=4).encode()

    async def behave(writer: asyncio.StreamWriter, _: dict[str, str]) -> None:
        lines = [
            f"HTTP/1.1 {status} Whatever",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *headers,
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)

    return behave


@asynccontextmanager
async def alpha_vantage(tls: ssl.SSLContext | None = None) -> AsyncIterator[AlphaVantageServer]:
    """Serve on a free port of this machine."""
    server = AlphaVantageServer()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/query"
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
