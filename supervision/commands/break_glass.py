"""``flatten --break-glass``: get the account flat when the process that trades is dead (RULES 2, STC-13).

::

    proved dead → read → a person agrees in words → latch → connect → Strategy C: cancel all, close → flat

The same tree does it, with the same Strategy C: latched before it connects, under a client id of its own, with a
journal of its own below the state directory. The lock of the dead process is held meanwhile, so that it cannot come
back beside. It goes on until the account is flat; whoever ends it with Ctrl-C is told what is still held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import attrs

from actors import messages as m
from actors.errors import (
    ConfigurationError,
    GatewayConnectionError,
    GatewayError,
    GatewayStoppedError,
    GatewayTimeoutError,
    ModeError,
    OrderValidationError,
    ReadOnlyError,
)
from actors.logic.broker_orders import is_working
from actors.model.connection import BrokerState
from actors.model.orders import BrokerOrder, ExecutionMode
from actors.sections.gateway import EXTERNAL
from supervision.commands.check.session import LinkUnderTest
from supervision.commands.control import call
from supervision.config.sections import Config, Control, Database, Observability, Publish
from supervision.facade.gateway import IBKRGateway
from supervision.observe.masking import Masker
from supervision.process import build_link_process
from supervision.process.settings import sends_orders
from supervision.store.audit import pinned_account
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock

T = TypeVar("T")

CLIENT_ID: Final = 9995
"""The command's own, beside those of the check (9996 to 9998)."""

WORDS: Final = "close everything"
LOOK_S: Final = 1.0
RECONNECT_S: Final = 5.0
DIRECTORY: Final = "break-glass"


@attrs.frozen(kw_only=True)
class Person:
    """Who runs the command: what is shown to them, and what they answer to a question."""

    echo: Callable[[str], None]
    ask: Callable[[str], str]


async def break_glass(
    config: Config,
    mode: ExecutionMode,
    person: Person,
    *,
    client_id: int = CLIENT_ID,
    make_gateway: Callable[[Config, ExecutionMode], IBKRGateway] | None = None,
) -> bool:
    """Cancel and close everything, and tell whether the account is flat.

    Raises `JournalLockedError` or `ModeError` where the process that trades may be alive, `ConfigurationError` where
    there is no account to flatten, `OrderValidationError` where the words were not said.
    """
    _require_an_account(config)
    config = _of_the_traded_account(config)
    with _proved_dead(config, person.echo):
        state = await _read(config, client_id)
        for line in _said(state, Masker()):
            person.echo(line)
        for line in _warnings(config, mode):
            person.echo(line)
        if not _is_anything(state):
            person.echo("nothing is held and nothing works: the account is flat")
            return True
        if person.ask(f'type "{WORDS}" to go on').strip().lower() != WORDS:
            raise OrderValidationError(f'nothing was sent: the answer was not "{WORDS}"')
        own = _own(config, client_id)
        gateway = (make_gateway or _gateway)(own, mode)
        return await _flatten(gateway, own, person.echo)


def _require_an_account(config: Config) -> None:
    if config.gateway.endpoint == "embedded":
        raise ConfigurationError(
            "gateway.endpoint is embedded: a simulated account ends with its process; name the gateway that holds the"
            " positions with --host and --port, or in [gateway]"
        )
    if config.gateway.readonly:
        raise ReadOnlyError("gateway.readonly is true: set it to false, nothing can be closed")


def _of_the_traded_account(config: Config) -> Config:
    """Flatten the account that was traded, where the gateway manages several (CON-18)."""
    pinned = pinned_account(Path(config.general.state_dir) / JOURNAL_FILE, EXTERNAL)
    account = config.general.account or pinned or ""
    return attrs.evolve(config, general=attrs.evolve(config.general, account=account))


@contextmanager
def _proved_dead(config: Config, echo: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the process that trades; refuse where that is taken, or where somebody answers."""
    state_dir = Path(config.general.state_dir)
    journal = state_dir / JOURNAL_FILE
    if not journal.exists():
        echo(
            f"WARNING: no process has ever written a journal in {state_dir.absolute()}: is that the right --config?"
            " A process with another state_dir may be trading this account."
        )
    with JournalLock(journal):
        _require_silence(state_dir, config.control.timeout_s)
        yield


def _require_silence(state_dir: Path, timeout_s: float) -> None:
    try:
        call(state_dir, {"command": "status", "timeout_s": timeout_s}, timeout_s)
    except GatewayStoppedError:
        return
    except (GatewayTimeoutError, GatewayConnectionError) as error:
        raise ModeError(
            f"{error}: it may still trade; end that process first, then try again"
        ) from None
    except GatewayError:
        pass  # whatever it says, somebody is there
    raise ModeError(
        "the process that trades answers: use `flatten SYMBOL`, or `liquidate --reason …` for everything"
    )


# --- what there is ----------------------------------------------------------------------------------------------------


async def _read(config: Config, client_id: int) -> BrokerState:
    """Read the account with the link alone: nothing can act before a person has agreed."""
    where: list[tuple[str, int]] = []
    process = build_link_process(config, lambda host, port: where.append((host, port)))
    link = LinkUnderTest(process, config.gateway.timeout_s)
    await process.start()
    try:
        host, port = where[0]
        await link.open(host, port, client_id, readonly=False)
        asked = config.general.account or None
        read = await link.ask(m.ReadBrokerState, m.BrokerStateRead, account=asked)
        link.end()
        return read.state
    finally:
        await process.stop("the account was read")


def _said(state: BrokerState, masker: Masker) -> Iterator[str]:
    yield f"account     {masker.text(state.account.account_id)}"
    for holding in state.holdings:
        if holding.quantity:
            yield f"held        {holding.contract} {holding.quantity:+g}"
    for order in _working(state):
        yield f"works       {_order(order)}"
    if state.silent:
        yield f"not told    {', '.join(state.silent)}"


def _order(order: BrokerOrder) -> str:
    left = order.remaining if order.remaining is not None else order.quantity
    name = order.order_ref or f"permId {order.perm_id}"
    return (
        f"{order.contract or '?'} {order.action or '?'} {left or 0:g} {order.order_type} ({name})"
    )


def _working(state: BrokerState) -> list[BrokerOrder]:
    return [order for order in state.open_orders if is_working(order)]


def _is_anything(state: BrokerState) -> bool:
    return bool(_working(state)) or any(holding.quantity for holding in state.holdings)


def _warnings(config: Config, mode: ExecutionMode) -> Iterator[str]:
    if not sends_orders(config, mode):
        yield f"mode        {mode.value}: nothing is sent, it is only said what would be; --mode paper sends"
    if not config.strategy_c.whole_account:
        yield 'scope       "managed": this process has opened nothing, so that it would close nothing; see [strategy_c]'


# --- what is done -----------------------------------------------------------------------------------------------------


def _own(config: Config, client_id: int) -> Config:
    """The same configuration for a process of its own: nothing beside the trading, no file of the other one's."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    state_dir = Path(config.general.state_dir) / DIRECTORY / stamp
    return attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(config.gateway, client_id=client_id),
        control=Control(enabled=False),
        database=Database(enabled=False),
        publish=Publish(enabled=False),
        observability=Observability(enabled=False),
        logging=attrs.evolve(config.logging, console=False),
    )


def _gateway(config: Config, mode: ExecutionMode) -> IBKRGateway:
    return IBKRGateway(config, mode=mode, operator_id=config.general.operator_id)


async def _flatten(gateway: IBKRGateway, config: Config, echo: Callable[[str], None]) -> bool:
    """Latch, connect, cancel, and watch until the account is flat; with Ctrl-C say what is left."""
    if config.logging.file:
        echo(f"log         {Path(config.general.state_dir) / config.logging.file}")
    async with _ended(gateway):
        await gateway.liquidate("break glass: the process that trades is dead")
        connecting = asyncio.create_task(_connect(gateway, config.gateway.timeout_s, echo))
        try:
            return await _watched(gateway, connecting, echo)
        except asyncio.CancelledError:
            _go_on_after_all()
            echo("ended by hand before the account was proved flat; held, as far as is known:")
            for line in await _left(gateway) or ["nothing"]:
                echo(line)
            return False
        finally:
            connecting.cancel()


def _go_on_after_all() -> None:
    """Take back the cancel of Ctrl-C: what is left is still to be told, and the tree to be stopped in order."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


@asynccontextmanager
async def _ended(gateway: IBKRGateway) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await gateway.disconnect()


async def _connect(gateway: IBKRGateway, timeout_s: float, echo: Callable[[str], None]) -> None:
    """Connect, again and again. It ends when data is proved too, for which no close waits."""
    while not gateway.is_connected:
        try:
            await gateway.connect(timeout_s)
        except (GatewayTimeoutError, GatewayConnectionError) as error:
            if not gateway.is_connected:
                echo(f"no link     {error}; trying on, Ctrl-C ends it")
                await asyncio.sleep(RECONNECT_S)


async def _watched(
    gateway: IBKRGateway, connecting: asyncio.Task[None], echo: Callable[[str], None]
) -> bool:
    """Say each change, until the report is there; raises what makes connecting hopeless."""
    said = ""
    while True:
        status = await _patiently(gateway.status)
        report = gateway.liquidation_reports[-1] if gateway.liquidation_reports else None
        line = "; ".join((status.liquidation_step if status else "?", *await _left(gateway)))
        if line != said:
            echo(f"step        {line}")
            said = line
        if report is not None:
            for told in _report(report):
                echo(told)
            return report.flat
        if connecting.done():
            connecting.result()
        await asyncio.sleep(LOOK_S)


async def _patiently(read: Callable[[], Awaitable[T]]) -> T | None:
    """Read, or give None: a read that fails is made again, and the closes go on meanwhile."""
    with suppress(GatewayError):
        return await read()
    return None


async def _left(gateway: IBKRGateway) -> list[str]:
    positions = await _patiently(gateway.get_positions)
    if positions is None:
        return ["what is held is not known now"]
    return [f"{held.contract} {held.quantity:+g}" for held in positions]


def _report(report: m.LiquidationReport) -> Iterator[str]:
    yield f"cancelled   {', '.join(report.cancelled) or '-'}"
    yield f"closed      {', '.join(report.closed) or '-'}"
    if report.simulated:
        yield "simulated: nothing was sent"
    elif report.flat:
        yield "the account is flat: two reads of the broker agreed"
    for held in report.remaining:
        yield f"STILL HELD  {held}"
