"""The client of Alpha Vantage against a real local server: every answer is a value or a typed error (MKT-10)."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import socket
import ssl
import subprocess
import time
import traceback
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors import errors
from actors.errors import (
    FeedDailyLimitError,
    FeedError,
    FeedRateLimitError,
    FeedRefusedError,
    FeedReplyError,
    FeedServerError,
    FeedSymbolError,
    FeedTimeoutError,
    FeedUnreachableError,
)
from actors.logic.quality import quote_age_s
from actors.market_data import second_source
from actors.model.market import DataSource, DataType
from actors.sections.market_data import Failover
from supervision.feeds.alpha_vantage import AlphaVantage
from tests.databases import START_OF_TIME, SetClock
from tests.integration.alpha_vantage_server import (
    BURST,
    DAILY_LIMIT,
    INVALID_CALL,
    INVALID_KEY,
    KEY,
    PER_MINUTE,
    PREMIUM,
    AlphaVantageServer,
    Behaviour,
    alpha_vantage,
    answer,
    global_quote,
    intraday,
)
from tests.unit.logic.values import SPY

TIMEOUT_S = 2.0
MOST_BYTES = 100_000


def client_of(url: str, **changes: Any) -> AlphaVantage:
    """Make a client with short limits."""
    settings = Failover(url=url, timeout_s=TIMEOUT_S, max_body_bytes=MOST_BYTES)
    return AlphaVantage(attrs.evolve(settings, **changes), KEY, SetClock())


async def ask(url: str, symbol: str = "SPY", **changes: Any) -> Any:
    """Ask for a quote."""
    client = client_of(url, **changes)
    try:
        return await client.quote(symbol)
    finally:
        await client.close()


def ask_served(behave: Behaviour | None, symbol: str = "SPY", **changes: Any) -> Any:
    """Ask a server that behaves like this for a quote."""

    async def scenario() -> Any:
        async with alpha_vantage() as server:
            server.behave = behave
            return await ask(server.url, symbol, **changes)

    return asyncio.run(scenario())


# --- what is documented ---------------------------------------------------------------------------------------------


@pytest.mark.req("MKT-10")
def test_a_quote_is_read_with_its_source_its_day_and_when_it_was_received() -> None:
    quote = ask_served(None)

    assert (quote.symbol, quote.source) == ("SPY", DataSource.ALPHA_VANTAGE)
    assert (quote.price, quote.open, quote.high, quote.low) == (601.23, 598.1, 603.0, 597.5)
    assert (quote.previous_close, quote.volume) == (597.9, 41234567.0)
    assert (quote.traded_on, quote.received_at) == (date(2026, 3, 2), START_OF_TIME)


@pytest.mark.req("MKT-10", "MKT-12")
def test_a_quote_is_delayed_and_never_fresh_and_carries_the_beginning_of_its_day() -> None:
    quote = second_source.quote_of(ask_served(None), SPY)

    assert quote.data_type is DataType.DELAYED
    assert quote.traded_at == datetime(2026, 3, 2, 5, 0, tzinfo=UTC)  # midnight in New York
    assert quote_age_s(quote, 0.0) == float("inf")
    data = second_source.market_data(ask_served(None), (), SPY, START_OF_TIME)
    assert (data.source, data.is_stale, data.last_price) == (
        DataSource.ALPHA_VANTAGE,
        True,
        601.23,
    )
    assert {"bid", "ask", "ema_fast", "rsi"} <= set(data.missing_fields)


@pytest.mark.req("MKT-10")
def test_a_symbol_the_broker_was_never_asked_about_has_market_data_without_a_contract() -> None:
    found = ask_served(None)

    data = second_source.market_data(found, (), None, START_OF_TIME)

    assert (data.contract, data.last_price, data.source) == (None, 601.23, found.source)


@pytest.mark.req("MKT-10")
def test_the_call_is_the_documented_one_and_a_share_class_is_written_their_way() -> None:
    async def scenario() -> None:
        async with alpha_vantage() as server:
            quote = await ask(server.url, "BRK B")

            assert server.asked == [{"function": "GLOBAL_QUOTE", "symbol": "BRK-B", "apikey": KEY}]
            assert (quote.symbol, quote.price) == ("BRK B", 480.5)

    asyncio.run(scenario())


@pytest.mark.req("MKT-10")
def test_a_plan_with_delayed_data_adds_words_to_the_name() -> None:
    body = {"Global Quote - DATA DELAYED BY 15 MINUTES": global_quote("SPY")["Global Quote"]}

    assert ask_served(answer(body)).price == 601.23


@pytest.mark.req("MKT-10", "MKT-6")
def test_bars_are_those_of_the_last_hour_in_ascending_order_and_in_utc() -> None:
    async def scenario() -> Any:
        async with alpha_vantage() as server:
            client = client_of(server.url)
            bars = await client.bars("SPY")
            await client.close()
            return bars, server.asked

    bars, asked = asyncio.run(scenario())

    assert asked[0] | {"apikey": ""} == {
        "function": "TIME_SERIES_INTRADAY",
        "symbol": "SPY",
        "interval": "1min",
        "outputsize": "compact",
        "adjusted": "false",
        "extended_hours": "false",
        "apikey": "",
    }
    assert len(bars) == 60
    assert bars[-1].start == datetime(2026, 3, 2, 17, 39, tzinfo=UTC)
    assert bars[0].start == datetime(2026, 3, 2, 16, 40, tzinfo=UTC)
    assert (bars[-1].open, bars[-1].close, bars[-1].volume) == (600.0, 600.5, 1000.0)


# --- what it says when it does not answer ---------------------------------------------------------------------------

SAID: list[tuple[object, type[FeedError]]] = [
    (PER_MINUTE, FeedRateLimitError),
    (BURST, FeedRateLimitError),
    (DAILY_LIMIT, FeedDailyLimitError),
    (PREMIUM, FeedRefusedError),
    (INVALID_CALL, FeedRefusedError),
    (INVALID_KEY, FeedRefusedError),
    ({"Information": "The **demo** API key is for demo purposes only."}, FeedRefusedError),
    ({"Global Quote": {}}, FeedSymbolError),
]
MALFORMED: list[object] = [
    {},
    [],
    None,
    42,
    "text",
    {"Global Quote": None},
    {"Global Quote": []},
    {"Global Quote": {"01. symbol": "SPY"}},
    {"Time Series (1min)": {}},
    b"",
    b"{",
    b"<html>busy</html>",
    b"\xff\xfe\x00",
    b"[" * 50_000,
    b'{"Global Quote": ' + b"9" * 5000 + b"}",
    b'{"Global Quote": NaN}',
    global_quote("QQQ"),
    global_quote("SPY", "0.0000"),
    global_quote("SPY", "-1.0000"),
    global_quote("SPY", "NaN"),
    global_quote("SPY", "Infinity"),
    global_quote("SPY", "1e999"),
    global_quote("SPY", "6,012.3"),
    global_quote("SPY", ""),
    {"Global Quote": global_quote("SPY")["Global Quote"] | {"05. price": 601.23}},
    {"Global Quote": global_quote("SPY")["Global Quote"] | {"05. price": None}},
    {"Global Quote": global_quote("SPY")["Global Quote"] | {"05. price": True}},
    {"Global Quote": global_quote("SPY")["Global Quote"] | {"06. volume": "-5"}},
    {"Global Quote": global_quote("SPY")["Global Quote"] | {"03. high": []}},
    {"Global Quote": global_quote("SPY")["Global Quote"] | {"07. latest trading day": "soon"}},
    {
        "Global Quote": global_quote("SPY")["Global Quote"]
        | {"07. latest trading day": "2031-01-01"}
    },
]


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize(("body", "expected"), SAID, ids=lambda each: str(each)[:40])
def test_what_it_says_instead_of_an_answer_is_an_error_of_its_kind(
    body: object, expected: type[FeedError]
) -> None:
    with pytest.raises(FeedError) as caught:
        ask_served(answer(body))

    assert type(caught.value) is expected
    assert KEY not in str(caught.value)


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize("body", MALFORMED, ids=lambda each: str(each)[:40])
def test_whatever_is_not_as_documented_is_refused_whole(body: object) -> None:
    with pytest.raises(FeedReplyError):
        ask_served(answer(body))


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize(
    "change",
    [
        {"Meta Data": None},
        {"Time Series (1min)": []},
        {"Time Series (1min)": {"yesterday": {}}},
        {"Time Series (1min)": {"2026-03-02 12:39:00": None}},
        {"Time Series (1min)": {"2026-03-02 12:39:00": {"1. open": "600"}}},
        {"Meta Data": intraday("SPY", zone="Mars/Olympus")["Meta Data"]},
        {"Meta Data": intraday("QQQ")["Meta Data"]},
    ],
    ids=str,
)
def test_bars_that_are_not_as_documented_are_refused_whole(change: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with alpha_vantage() as server:
            server.behave = answer(intraday("SPY") | change)
            client = client_of(server.url)
            with pytest.raises(FeedReplyError):
                await client.bars("SPY")
            await client.close()

    asyncio.run(scenario())


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize("seed", range(3))
def test_mutilated_answers_are_a_quote_or_a_feed_error(seed: int) -> None:
    dice = random.Random(seed)
    whole = json.dumps(global_quote("SPY")).encode()

    async def scenario() -> None:
        async with alpha_vantage() as server:
            client = client_of(server.url)
            for _ in range(150):
                body = bytearray(whole[: dice.randrange(len(whole) + 1)])
                for _ in range(dice.randrange(4)):
                    if body:
                        body[dice.randrange(len(body))] = dice.randrange(256)
                server.behave = answer(bytes(body))
                with suppress(FeedError):
                    await client.quote("SPY")
            await client.close()

    asyncio.run(scenario())


# --- what a server and a network can do -----------------------------------------------------------------------------


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (500, FeedServerError),
        (503, FeedServerError),
        (429, FeedRateLimitError),
        (401, FeedRefusedError),
        (404, FeedRefusedError),
        (204, FeedRefusedError),
        (304, FeedReplyError),
    ],
)
def test_a_status_other_than_200_is_an_error_of_its_kind(
    status: int, expected: type[FeedError]
) -> None:
    with pytest.raises(expected):
        ask_served(answer(b"", status))


@pytest.mark.req("MKT-10", "OBS-4")
def test_a_redirect_is_not_followed_since_the_key_would_go_there() -> None:
    async def scenario() -> None:
        async with alpha_vantage() as thief, alpha_vantage() as server:
            server.behave = answer(b"", 302, f"Location: {thief.url}")

            with pytest.raises(FeedReplyError, match="redirects"):
                await ask(server.url)

            assert thief.asked == []

    asyncio.run(scenario())


@pytest.mark.req("MKT-10")
def test_a_body_without_end_is_cut_off_at_its_bound() -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter, _: dict[str, str]) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            sent += 65_536
            await writer.drain()

    with pytest.raises(FeedReplyError, match=f"longer than {MOST_BYTES} bytes"):
        ask_served(flood)
    assert sent < 100 * MOST_BYTES


@pytest.mark.req("MKT-10")
def test_a_compressed_body_is_refused_since_a_small_one_can_unfold_to_any_size() -> None:
    bomb = gzip.compress(b" " * 50_000_000)

    with pytest.raises(FeedReplyError, match="compressed"):
        ask_served(answer(bomb, 200, "Content-Encoding: gzip"))


async def drip(writer: asyncio.StreamWriter, _: dict[str, str]) -> None:
    """Send a good answer, but one byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silence(_: asyncio.StreamWriter, __: dict[str, str]) -> None:
    """Say nothing."""
    await asyncio.sleep(60.0)


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize("behave", [drip, silence])
def test_an_answer_that_does_not_end_is_cut_off_in_time(behave: Behaviour) -> None:
    began = time.monotonic()

    with pytest.raises(FeedTimeoutError, match=r"within 0\.3 s"):
        ask_served(behave, timeout_s=0.3)

    assert time.monotonic() - began < TIMEOUT_S


async def hang_up(writer: asyncio.StreamWriter, _: dict[str, str]) -> None:
    """Close without a word."""
    writer.close()


async def reset(writer: asyncio.StreamWriter, _: dict[str, str]) -> None:
    """Abort in the middle of the answer."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()


async def gibberish(writer: asyncio.StreamWriter, _: dict[str, str]) -> None:
    """Speak another protocol."""
    writer.write(b"\x00\x01SSH-2.0\r\n\r\n")
    writer.close()


@pytest.mark.req("MKT-10")
@pytest.mark.parametrize("behave", [hang_up, reset, gibberish])
def test_a_connection_that_breaks_is_unreachable(behave: Behaviour) -> None:
    with pytest.raises(FeedUnreachableError):
        ask_served(behave)


@pytest.mark.req("MKT-10")
def test_nobody_listening_and_a_name_that_does_not_resolve_are_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/query", "https://no-such-host.invalid/query"):
        with pytest.raises(FeedUnreachableError):
            asyncio.run(ask(url))


@pytest.mark.req("MKT-10", "OBS-4")
def test_a_certificate_that_nobody_vouches_for_is_unreachable_and_learns_no_key(
    tmp_path: Path,
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout"
    made = subprocess.run(
        [*command.split(), str(key), "-out", str(certificate)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def scenario() -> list[dict[str, str]]:
        async with alpha_vantage(tls) as server:
            with pytest.raises(FeedUnreachableError, match=r"(?i)certificate"):
                await ask(server.url)
            return server.asked

    assert asyncio.run(scenario()) == []


@pytest.mark.req("MKT-10")
def test_a_server_without_tls_on_an_https_url_is_unreachable() -> None:
    async def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FeedUnreachableError):
            await ask(f"https://127.0.0.1:{port}/query")
        server.close()

    asyncio.run(scenario())


@pytest.mark.req("MKT-10")
def test_one_failure_spoils_nothing_for_the_next_request() -> None:
    async def scenario() -> None:
        async with alpha_vantage() as server:
            client = client_of(server.url, timeout_s=0.3)
            for behave in (hang_up, silence, drip, reset, answer(b"", 500)):
                server.behave = behave
                with pytest.raises(FeedError):
                    await client.quote("SPY")
                server.behave = None
                assert (await client.quote("SPY")).price == 601.23
            await client.close()

    asyncio.run(scenario())


def test_every_feed_error_is_told_apart_by_its_code() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    feeds = [each for each in kinds if issubclass(each, FeedError)]

    assert len({each.code for each in feeds}) == len(feeds) == 9


# --- the key --------------------------------------------------------------------------------------------------------


@pytest.mark.req("OBS-4", "MKT-10")
@pytest.mark.parametrize(
    "behave",
    [answer(DAILY_LIMIT), answer(b"", 500), hang_up, silence, reset, answer(b"{")],
    ids=["note", "500", "hang up", "silence", "reset", "malformed"],
)
def test_the_key_is_in_no_error_no_traceback_no_log_and_no_repr(
    behave: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = client_of("http://127.0.0.1/query")

    with pytest.raises(FeedError) as caught:
        ask_served(behave, timeout_s=0.3)

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=False)
    shown = "".join(told.format()) + repr(caught.value) + repr(client) + caplog.text
    assert KEY not in shown
    assert "apikey" not in caplog.text


@pytest.mark.req("OBS-4")
def test_a_good_answer_is_logged_by_no_library_with_the_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario() -> AlphaVantageServer:
        async with alpha_vantage() as server:
            await ask(server.url)
            return server

    server = asyncio.run(scenario())

    assert server.asked[0]["apikey"] == KEY
    assert "GLOBAL_QUOTE" in caplog.text  # the library does log the request
    assert KEY not in caplog.text
