"""The view at work: connect, watch, show, and leave the terminal as it was."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, NoReturn, TextIO

import attrs

from actors import messages as m
from actors.errors import (
    ConfigurationError,
    ContractQualificationError,
    GatewayError,
    GatewayStoppedError,
)
from actors.messages.addresses import LINK
from actors.model.contracts import ContractQuery
from actors.model.market import Quote
from actors.model.orders import ExecutionMode
from supervision.commands.quotes.board import Board
from supervision.commands.quotes.lines import json_line, plain_line
from supervision.commands.quotes.table import Screen
from supervision.config.sections import (
    Config,
    Control,
    Database,
    Failover,
    Journal,
    Logging,
    Publish,
)
from supervision.facade.gateway import IBKRGateway
from supervision.facade.quote_streams import QuoteStream
from supervision.process.signals import stop_on_signals

QUOTES_CLIENT_ID: Final = 9980
"""The view's own, and those that follow it, so that it can run beside a process that trades and beside other views."""

REFRESH_S: Final = 0.25
"""Between two drawings of the table."""

COMPLETE_S: Final = 30.0
"""So long `--once` waits for symbols that say nothing."""

INDICATORS_S: Final = 45.0
"""So long a reading of indicators may wait for IB's limits on history; the next one follows a minute later."""

AFTER_CLOSE_S: Final = 2.0
"""A bar is asked for so long after it closed."""

EXIT_OK: Final = 0
EXIT_NO_DATA: Final = 1
EXIT_ESCALATED: Final = 7


@attrs.frozen(kw_only=True)
class Wish:
    """How the quotes shall be shown: once or for so many seconds (None: until a signal), and as JSON lines or not."""

    once: bool = False
    for_s: float | None = None
    as_json: bool = False


def viewing(config: Config) -> Config:
    """Turn a configuration into one that only looks: it writes nothing, takes no lock and asks no second source."""
    return attrs.evolve(
        config,
        gateway=attrs.evolve(config.gateway, readonly=True, client_id=QUOTES_CLIENT_ID),
        journal=Journal(enabled=False),
        database=Database(enabled=False),
        publish=Publish(enabled=False),
        failover=Failover(enabled=False),
        logging=Logging(console=False, file=""),
        control=Control(enabled=False),
        observability=attrs.evolve(config.observability, enabled=False),
    )


async def run_quotes(config: Config, symbols: Sequence[str], wish: Wish, out: TextIO) -> int:
    """Do `show_quotes` in a process of its own, until a signal comes at the latest; returns the exit code."""
    gateway = IBKRGateway(viewing(config), mode=ExecutionMode.DRY_RUN)
    stopping = stop_on_signals(asyncio.get_running_loop())
    work = asyncio.create_task(show_quotes(gateway, config, symbols, wish, out))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        with suppress(asyncio.CancelledError):
            return await work
        return EXIT_OK
    except BrokenPipeError:  # whoever read it has seen enough
        _let_go(out)
        return EXIT_OK
    except GatewayStoppedError:
        return EXIT_ESCALATED
    finally:
        stop.cancel()
        await gateway.disconnect()


async def show_quotes(
    gateway: IBKRGateway, config: Config, symbols: Sequence[str], wish: Wish, out: TextIO
) -> int:
    """Connect, then show quotes until cancelled or the wish is fulfilled; returns the exit code.

    Raises `ConfigurationError` for too many symbols, `ContractQualificationError` for unknown ones, and the errors of
    `IBKRGateway.connect`.
    """
    wanted = _wanted(symbols or config.general.symbols, config.market_data.max_symbols)
    return await _View(gateway, config, wish, out).run(wanted)


def _wanted(symbols: Sequence[str], most: int) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(symbol.strip().upper() for symbol in symbols if symbol.strip()))
    if not wanted:
        raise ConfigurationError("name at least one symbol, such as SPY")
    if len(wanted) > most:
        raise ConfigurationError(
            f"{len(wanted)} symbols are more than [market_data] max_symbols = {most}: name fewer, or raise it"
        )
    return wanted


def _let_go(out: TextIO) -> None:
    """Spare the interpreter the attempt to flush what nobody reads."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


class _View:
    """One showing of quotes, on the caller's loop."""

    def __init__(self, gateway: IBKRGateway, config: Config, wish: Wish, out: TextIO) -> None:
        self._gateway = gateway
        self._config = config
        self._wish = wish
        self._out = out
        most, window_s = config.pacing.history_requests, config.pacing.history_window_s
        self._reads_per_minute = max(1, int(most * 60.0 / window_s))
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    async def run(self, symbols: tuple[str, ...]) -> int:
        """Connect, watch and show; returns the exit code."""
        if self._is_table:
            where = self._config.gateway
            embedded = where.endpoint == "embedded"
            place = "a simulated gateway" if embedded else f"{where.host}:{where.port}"
            self._print([f"connecting to {place} ... (Ctrl-C ends)"])
        await self._gateway.connect(self._config.gateway.timeout_s)
        known = await self._qualified(symbols)
        board = Board(known, self._config.market_data.stale_after_s)
        async with await self._gateway.subscribe_quotes(known) as stream:
            return await _first_of(
                self._show(board), self._follow(stream, board), self._read_indicators(board)
            )

    @property
    def _is_table(self) -> bool:
        return self._out.isatty() and not self._wish.as_json and not self._wish.once

    async def _qualified(self, symbols: tuple[str, ...]) -> tuple[str, ...]:
        """The names by which the broker knows these symbols; raises for those that it does not know."""
        asked = [self._qualify(symbol) for symbol in symbols]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        unknown = [each for each in answers if isinstance(each, ContractQualificationError)]
        if unknown:
            raise ContractQualificationError("; ".join(map(str, unknown)))
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return tuple(dict.fromkeys(each for each in answers if isinstance(each, str)))

    async def _qualify(self, symbol: str) -> str:
        found = await self._gateway.read(
            LINK,
            m.QualifyContract,
            m.ContractQualified,
            self._config.gateway.timeout_s,
            query=ContractQuery(symbol=symbol),
        )
        return found.contract.symbol

    # --- watching ---------------------------------------------------------------------------------------------------

    async def _follow(self, stream: QuoteStream, board: Board) -> int:
        """Keep the board up to date; the end of the stream is the end of the view."""
        async for event in stream.events():
            if isinstance(event, Quote):
                board.quoted(event)
                self._note((event.symbol,))
            elif isinstance(event, m.QuotesInterrupted):
                board.interrupted(event.symbols, event.reason)
                self._note(event.symbols)
            else:
                board.resumed(event.symbols)
                self._note(event.symbols)
        return EXIT_OK

    async def _read_indicators(self, board: Board) -> NoReturn:
        """Read all indicators at once, then after every bar's close as many as IB's limits allow, the oldest first."""
        due = board.symbols
        while True:
            with suppress(GatewayError):  # without a link they stay, and the state says why
                board.read(await self._gateway.get_indicators(due, INDICATORS_S))
                self._note(due)
            now = self._gateway.process.clock.now()
            closes_at = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            await asyncio.sleep((closes_at - now).total_seconds() + AFTER_CLOSE_S)
            due = board.oldest_indicators(self._reads_per_minute)

    def _note(self, symbols: Sequence[str]) -> None:
        self._changed.update(symbols)
        self._news.set()

    # --- showing ----------------------------------------------------------------------------------------------------

    async def _show(self, board: Board) -> int:
        if self._wish.once:
            return await self._show_once(board)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wish.for_s):
                await (self._show_table(board) if self._is_table else self._show_lines(board))
        return EXIT_OK

    async def _show_once(self, board: Board) -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPLETE_S):
                while not board.is_complete:
                    self._news.clear()
                    await self._news.wait()
        now = self._gateway.process.clock.now()
        rows = board.rows(now, self._monotonic())
        if self._wish.as_json:
            self._print(json_line(row, now) for row in rows)
        else:
            self._screen().print(rows, now)
        priced = any(row.quote is not None and row.quote.price is not None for row in rows)
        return EXIT_OK if priced else EXIT_NO_DATA

    async def _show_table(self, board: Board) -> NoReturn:
        """Draw the whole table again and again: ages grow even when nothing comes."""
        with self._screen() as screen:
            while True:
                now = self._gateway.process.clock.now()
                screen.show(board.rows(now, self._monotonic()), now)
                await asyncio.sleep(REFRESH_S)

    async def _show_lines(self, board: Board) -> NoReturn:
        """Print a line for each symbol of which there is something new."""
        line = json_line if self._wish.as_json else plain_line
        while True:
            await self._news.wait()
            self._news.clear()
            changed, self._changed = self._changed, set()
            now = self._gateway.process.clock.now()
            rows = board.rows(now, self._monotonic())
            self._print(line(row, now) for row in rows if row.symbol in changed)

    def _monotonic(self) -> float:
        return self._gateway.process.clock.monotonic()

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._out.write(line + "\n")
        self._out.flush()

    def _screen(self) -> Screen:
        return Screen(self._out, self._gateway.process.endpoint)


async def _first_of(*works: Coroutine[Any, Any, int]) -> int:
    """Do several things until the first of them ends, by itself or in an error; its end is ours."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task.result() for task in tasks if task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
