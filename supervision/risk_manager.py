"""The orchestrator's own risk manager, called outside the risk actor's thread (D2, GW-1)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from actors.errors import GatewayError, describe
from actors.messages.lifecycle import Message, RequestFailed
from actors.messages.risk import ConsultRiskManager, RiskManagerAnswered, SyncRiskManager
from actors.model.account import Position
from actors.model.orders import TradeRequest, ValidationResult
from actors.ports import EventLog


class RiskManager(Protocol):
    """What an orchestrator may hand to `IBKRGateway`; both methods may be plain or async."""

    def validate_trade(self, request: TradeRequest) -> Any:
        """Return a `ValidationResult`, or an awaitable of one."""
        ...

    def sync_positions(self, positions: tuple[Position, ...]) -> Any:
        """Take over the positions as they stand."""
        ...


class RiskManagerHost:
    """Calls the risk manager on the caller's loop: async methods there, plain ones in a thread of their own.

    Whatever it raises is answered as a failure, which risk takes for a rejection (fails closed).
    """

    def __init__(
        self, manager: RiskManager, tell: Callable[[str, Message], None], log: EventLog
    ) -> None:
        self._manager = manager
        self._tell = tell
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def on_consult(self, request: ConsultRiskManager) -> None:
        """Ask whether a trade may be made; the answer goes to who asked."""
        self._spawn(self._consult(request))

    def on_sync(self, event: SyncRiskManager) -> None:
        """Tell the positions."""
        self._spawn(self._sync(event.positions))

    async def _consult(self, request: ConsultRiskManager) -> None:
        try:
            validation = await _call(self._manager.validate_trade, request.request)
            if not isinstance(validation, ValidationResult):
                raise GatewayError(
                    f"validate_trade must return a ValidationResult (was {validation!r})"
                )
        except Exception as error:  # noqa: BLE001
            self._tell(
                request.reply_to,
                RequestFailed(correlation_id=request.correlation_id, error=describe(error)),
            )
            return
        self._tell(
            request.reply_to,
            RiskManagerAnswered(correlation_id=request.correlation_id, validation=validation),
        )

    async def _sync(self, positions: tuple[Position, ...]) -> None:
        try:
            await _call(self._manager.sync_positions, positions)
        except Exception as error:  # noqa: BLE001
            self._log("risk_manager_sync_failed", level="ERROR", error=repr(error))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _call(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a plain or async function of the orchestrator without blocking the loop."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if inspect.isawaitable(result) else result
