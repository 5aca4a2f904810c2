"""The orchestrator's own risk manager, called outside the risk actor's thread (D2, GW-1).

It is code of somebody else's: whatever it raises, returns or leaves undone becomes a rejection, and reaches no actor. A
plain method that never comes back holds up neither the caller's loop, nor its pool of threads, nor the process's end.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Final, Protocol, TypeVar

from actors import messages as m
from actors.errors import GatewayError, describe
from actors.kernel.messages import Message, RequestFailed
from actors.model.account import Position
from actors.model.orders import TradeRequest, ValidationResult
from actors.ports import EventLog

T = TypeVar("T")

MAX_CALLS: Final = 16
"""So many plain calls may be under way; while none of them comes back, further trades are rejected."""

MAX_REASONS: Final = 20
MAX_REASON_CHARS: Final = 500


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

    Whatever it raises is answered as a failure, which risk takes for a rejection (fails closed). Positions are told one
    after the other; of those that change while it is being told, only the newest are.
    """

    def __init__(
        self, manager: RiskManager, tell: Callable[[str, Message], None], log: EventLog
    ) -> None:
        self._manager = manager
        self._tell = tell
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = DaemonThreads(MAX_CALLS)
        self._newest: tuple[Position, ...] | None = None
        self._is_syncing = False

    def on_consult(self, request: m.ConsultRiskManager) -> None:
        """Ask whether a trade may be made; the answer goes to who asked."""
        self._spawn(self._consult(request))

    def on_sync(self, event: m.SyncRiskManager) -> None:
        """Tell the positions."""
        self._newest = event.positions
        if not self._is_syncing:
            self._is_syncing = True
            self._spawn(self._sync())

    async def _consult(self, request: m.ConsultRiskManager) -> None:
        try:
            answer = await self._call(self._manager.validate_trade, request.request)
            validation = understood(answer)
        except Exception as error:  # noqa: BLE001
            ours = isinstance(error, GatewayError)
            told = error if ours else GatewayError(str(error) or type(error).__name__)
            self._tell(
                request.reply_to,
                RequestFailed(correlation_id=request.correlation_id, error=describe(told)),
            )
            return
        self._tell(
            request.reply_to,
            m.RiskManagerAnswered(correlation_id=request.correlation_id, validation=validation),
        )

    async def _sync(self) -> None:
        try:
            while self._newest is not None:
                positions, self._newest = self._newest, None
                await self._call(self._manager.sync_positions, positions)
        except Exception as error:  # noqa: BLE001
            self._log("risk_manager_sync_failed", level="ERROR", error=repr(error))
        finally:
            self._is_syncing = False

    async def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a plain or async function of the orchestrator without blocking the loop."""
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        loop = asyncio.get_running_loop()
        result: Any = await loop.run_in_executor(self._threads, function, *arguments)
        return await result if inspect.isawaitable(result) else result

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class DaemonThreads(Executor):
    """A daemon thread for each call, at most ``bound`` at once; one more raises `GatewayError`."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._free = threading.Semaphore(bound)

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """Begin the call."""
        if not self._free.acquire(blocking=False):
            raise GatewayError(f"{self._bound} calls of the risk manager have not come back yet")
        future: Future[T] = Future()
        call = (future, function, arguments, named)
        threading.Thread(target=self._run, args=call, name="risk-manager", daemon=True).start()
        return future

    def _run(
        self,
        future: Future[T],
        function: Callable[..., T],
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> None:
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - a SystemExit would end the caller's loop
            future.set_exception(GatewayError(f"the risk manager raised {type(error).__name__}"))
        finally:
            self._free.release()


def understood(answer: object) -> ValidationResult:
    """Take over an answer as what its type promises, and nothing else: actors trust their messages.

    Raises `GatewayError` for what is no answer. Reasons beside an approval reject: it cannot be meant.
    """
    if not isinstance(answer, ValidationResult):
        raise GatewayError(f"validate_trade must return a ValidationResult (was {answer!r:.100})")
    if not isinstance(answer.approved, bool):
        raise GatewayError(f"approved must be True or False (was {answer.approved!r:.100})")
    reasons = _texts(answer.rejection_reasons)
    if not answer.approved and not reasons:
        reasons = ("the orchestrator's risk manager gave no reason",)
    numbers: Mapping[Any, Any] = answer.risk_metrics
    return ValidationResult(
        approved=answer.approved and not reasons,
        rejection_reasons=reasons,
        risk_metrics={
            str(name): float(value)
            for name, value in numbers.items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        },
        notes=_texts(answer.notes),
    )


def _texts(given: object) -> tuple[str, ...]:
    many = given if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else [given]
    texts = (str(item)[:MAX_REASON_CHARS] for item in many if item is not None)
    return tuple(text for text, _ in zip(texts, range(MAX_REASONS), strict=False))
