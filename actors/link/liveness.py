"""Whether the gateway is alive: when bytes last came in, and the round trips that ask it.

A half-open socket takes bytes and gives none, so an order that is written into it is neither sent nor refused. Before
an order, silence is therefore ended by a round trip (`reqCurrentTime`), which all who ask at the same time share with
the heartbeat::

    ask ──▶ joins the trip under way, or begins one ──▶ answered: all trips under way end, since any answer is proof
                                              └───────▶ no answer within ``limit_s``: missed

Nobody joins a trip on which somebody gave up: its question may be lost. All times in seconds.
"""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs

from actors.errors import GatewayError, GatewayTimeoutError
from actors.kernel.clock import Clock
from actors.link.client import SessionClient
from actors.link.pacer import Pacer
from actors.link.pacing import PacingLane


@attrs.frozen(kw_only=True)
class RoundTrip:
    """One that was answered: how long it took, and what the gateway's clock said."""

    latency_s: float
    gateway_time: datetime


@attrs.define(eq=False)
class _Trip:
    done: asyncio.Future[RoundTrip]
    before_an_order: bool = False
    began_at: float | None = None


class Liveness:
    """What one session knows of whether its gateway is alive.

    ``fresh_s`` 0: no order waits for a proof. ``on_missed`` is called for a trip that an order waited for and that
    has no answer, with the time at which it was asked.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        client: SessionClient,
        pacer: Pacer,
        spawn: Callable[[Coroutine[Any, Any, Any]], object],
        on_missed: Callable[[float], None],
        fresh_s: float,
        limit_s: float,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._client = client
        self._pacer = pacer
        self._spawn = spawn
        self._on_missed = on_missed
        self._fresh_s = fresh_s
        self._limit_s = limit_s
        self._bytes_at = clock.monotonic()
        self._newest: _Trip | None = None
        self._under_way: list[_Trip] = []

    def bytes_came(self) -> None:
        """Bytes came in."""
        self._bytes_at = self._clock.monotonic()

    @property
    def silent_s(self) -> float:
        """For how long nothing came in."""
        return self._clock.monotonic() - self._bytes_at

    @property
    def is_proved(self) -> bool:
        """Whether an order may be written without asking first."""
        return self._fresh_s == 0 or self.silent_s <= self._fresh_s

    async def ask(self, *, before_an_order: bool = False) -> RoundTrip:
        """Make a round trip, or join the one under way. Raises `GatewayTimeoutError`, and what `end` is given."""
        trip = self._newest
        if trip is None or trip.done.done():
            trip = self._newest = _Trip(self._loop.create_future())
            self._spawn(self._travel(trip))
        trip.before_an_order |= before_an_order
        try:
            return await asyncio.shield(trip.done)
        except asyncio.CancelledError:
            if self._newest is trip:
                self._newest = None
            raise

    async def ask_until_answered(self) -> RoundTrip:
        """Ask again whenever a trip is missed, since its question may be lost; the caller's deadline ends it."""
        while True:
            with suppress(GatewayTimeoutError):
                return await self.ask()

    async def _travel(self, trip: _Trip) -> None:
        self._under_way.append(trip)
        try:
            await self._pacer.turn(PacingLane.CLOSE)
            trip.began_at = began_at = self._clock.monotonic()
            self._client.reqCurrentTime()
            await asyncio.wait((trip.done,), timeout=self._limit_s)
        except GatewayError as error:
            _fail(trip, error)
        finally:
            self._under_way.remove(trip)
        if not trip.done.done():
            _fail(trip, GatewayTimeoutError(f"no answer to a round trip in {self._limit_s:g} s"))
            if trip.before_an_order:
                self._on_missed(began_at)

    def answered(self, gateway_time: datetime) -> None:
        """The gateway said what time it is: the answer to a round trip."""
        now = self._clock.monotonic()
        for trip in self._under_way:
            if not trip.done.done() and trip.began_at is not None:
                trip.done.set_result(
                    RoundTrip(latency_s=now - trip.began_at, gateway_time=gateway_time)
                )

    def end(self, error: GatewayError) -> None:
        """The session is over: so is every trip."""
        for trip in self._under_way:
            _fail(trip, error)


def _fail(trip: _Trip, error: GatewayError) -> None:
    if not trip.done.done():
        trip.done.set_exception(error)
        trip.done.exception()  # seen, even when nobody waits for it any more
