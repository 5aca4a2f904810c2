"""Permits are asked for at the wire's pace (RULES 2): only a few orders are between risk's approval and the wire.

A permit lives for seconds, and the wire takes so many messages a second. Of 600 closes that are approved at once, most
would wait in the link's queue until their permits are void. So an order waits here, before it is approved, until one of
those ahead of it has been sent or refused. Closes have places of their own: no opening order ever stands before one.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.kernel.messages import Reply, Request
from actors.model.orders import Purpose


@attrs.frozen(kw_only=True)
class WaitForPlace(Request):
    """Told to oneself: an order waits for a place; answered by `PlaceFree`, in the order in which they came."""

    purpose: Purpose


@attrs.frozen(kw_only=True)
class PlaceFree(Reply):
    """The order may be approved now."""


class WireWindow(Part):
    """Owns the places, ``most`` for orders of either purpose, and those who wait for one."""

    def __init__(self, actor: SupervisedActor, most: int) -> None:
        self._actor = actor
        self._most = most
        self._taken = dict.fromkeys(Purpose, 0)
        self._waiting: dict[Purpose, deque[WaitForPlace]] = {each: deque() for each in Purpose}

    async def enter(self, request: Request, purpose: Purpose) -> None:
        """Take a place, or wait for one, for an order that serves ``request``; a free road costs no message.

        Whoever enters has to `leave`, whatever became of the order. It does not watch the deadline of ``request``,
        which others do; raises `GatewayError` when too many wait.
        """
        if self._taken[purpose] < self._most and not self._waiting[purpose]:
            self._taken[purpose] += 1
            return
        header = self._actor.on_behalf(request, "place")
        header["deadline"] = math.inf
        wait = WaitForPlace(**header, purpose=purpose)
        await self._actor.asked(self._actor.name, wait, PlaceFree, watched=False)

    def leave(self, purpose: Purpose) -> None:
        """Give the place back: the order was sent, or will not be."""
        self._taken[purpose] -= 1
        self._let_in(purpose)

    @handles(WaitForPlace)
    def on_wait_for_place(self, request: WaitForPlace) -> None:
        """Let it in at its turn."""
        self._waiting[request.purpose].append(request)
        self._let_in(request.purpose)

    def _let_in(self, purpose: Purpose) -> None:
        waiting = self._waiting[purpose]
        while waiting and self._taken[purpose] < self._most:
            self._taken[purpose] += 1
            request = waiting.popleft()
            self._actor.reply(request, PlaceFree(correlation_id=request.correlation_id))
