"""The product's own tree: what each of its actors promises to supervision, and the process around it (SUP-6…13)."""

from __future__ import annotations

import asyncio
import gc
import importlib
import pkgutil
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import attrs
import pytest

import actors
import supervision
from actors.errors import GatewayTimeoutError, MailboxFullError
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import Message, StopActor
from actors.messages.addresses import (
    CONNECTION,
    DATA_WATCH,
    EXECUTOR,
    FACADE,
    LINK,
    MARKET_DATA,
    POSITION,
    RECORDS,
    RISK,
)
from actors.messages.connection import (
    ConnectionStateChanged,
    ConnectionStatus,
    GetConnectionStatus,
    Reconcile,
)
from actors.messages.market_data import QuoteUpdated
from actors.messages.orders import (
    BrokerOrderReported,
    CommissionReported,
    GetOpenOrders,
    OpenOrdersRead,
)
from actors.messages.positions import GetPositions, PositionsRead
from actors.model.connection import ConnectionState, DisconnectCause
from actors.model.orders import ExecutionMode, OrderStatus
from supervision import IBKRGateway
from supervision.commands.cli import ExitCode
from supervision.commands.run import run_process
from supervision.config.sections import Config, Control, General, Logging, StrategyC, Supervision
from tests.faults.crash import POISON, crash
from tests.worlds import CONTEXT, LENIENT, ProofWorld, a_config, buy, prove, sell

BOUND = 50
QUICK = Supervision(first_delay_s=0.001, max_delay_s=0.001, max_restarts=1_000)
WIDE = attrs.evolve(LENIENT, price_band_ratio=10.0)


def record(world: ProofWorld) -> list[TapRecord]:
    """Note every message from now on."""
    trace: list[TapRecord] = []
    world.process.tap(trace.append)
    return trace


def place_of(trace: list[TapRecord], recipient: str, kind: type) -> int:
    """Find the first message of a type to an address."""
    return next(
        place
        for place, item in enumerate(trace)
        if item.recipient == recipient and type(item.message) is kind
    )


# --- SUP-6 ------------------------------------------------------------------------------------------------------------


@pytest.mark.req("SUP-6")
@pytest.mark.parametrize(
    ("victim", "request_type", "answer_type"),
    [(EXECUTOR, GetOpenOrders, OpenOrdersRead), (POSITION, GetPositions, PositionsRead)],
)
def test_a_restarted_actor_knows_everything_again_before_it_answers(
    victim: str, request_type: Any, answer_type: type
) -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(5.0), CONTEXT)
        await world.gateway.submit_order(
            sell(5.0, order_type="LMT", limit_price=2000.0), CONTEXT, wait_for="ack"
        )
        trace = record(world)

        crash(world.process, victim)
        world.process.tell(
            victim, request_type(correlation_id="asked", deadline=1e9, reply_to=FACADE)
        )
        await asyncio.sleep(5.0)

        answered = place_of(trace, FACADE, answer_type)
        answer = trace[answered].message
        assert place_of(trace, victim, Reconcile) < answered
        found = answer.orders if victim == EXECUTOR else answer.positions
        assert [item.quantity for item in found] == [5.0]

    prove(scenario, config=a_config(supervision=QUICK, risk=WIDE))


@pytest.mark.req("SUP-6", "RSK-4", "RSK-6")
def test_a_restarted_risk_actor_counts_what_is_held_and_what_works() -> None:
    async def scenario(world: ProofWorld) -> None:
        await world.gateway.submit_order(buy(5.0), CONTEXT)
        position = (await world.gateway.get_positions())[0]
        world.simulator.faults.hold_orders()
        first = asyncio.create_task(
            world.gateway.close_position(position.position_id, timeout=20.0)
        )
        await world.until(lambda: len(world.simulator.open_orders()) == 1)

        crash(world.process, RISK)
        with pytest.raises(GatewayTimeoutError, match="its close works and is not filled"):
            await world.gateway.close_position(position.position_id, timeout=5.0)
        extra = await world.gateway.submit_order(sell(1.0), CONTEXT)
        world.simulator.faults.release_orders()

        assert extra.status is OrderStatus.REJECTED, "what works counts against the position"
        assert len(world.simulator.ledger) == 2
        assert (await first).status is OrderStatus.FILLED
        assert world.simulator.positions() == {}

    prove(scenario, config=a_config(supervision=QUICK))


@pytest.mark.req("SUP-6", "CON-4")
@pytest.mark.parametrize("victim", sorted(set(POISON) - {LINK}))
def test_orders_can_be_opened_again_after_any_actor_failed(victim: str) -> None:
    async def scenario(world: ProofWorld) -> None:
        crash(world.process, victim)
        await asyncio.sleep(5.0)

        bought = await world.gateway.submit_order(buy(5.0), CONTEXT)

        assert bought.status is OrderStatus.FILLED, bought.rejection_reason

    prove(scenario, config=a_config(supervision=QUICK))


@pytest.mark.req("SUP-6", "MKT-7")
def test_a_restarted_market_data_actor_goes_on_feeding() -> None:
    async def scenario(world: ProofWorld) -> None:
        stream = await world.gateway.subscribe_quotes(["SPY"])
        await anext(stream)

        crash(world.process, MARKET_DATA)
        await asyncio.sleep(1.0)
        before = world.process.clock.now()
        quotes = [await anext(stream) for _ in range(3)]

        assert quotes[-1].received_at > before
        await stream.aclose()

    prove(scenario, config=a_config(supervision=QUICK))


# --- SUP-7 ------------------------------------------------------------------------------------------------------------

BOUNDED = a_config(
    supervision=Supervision(mailbox_bound=BOUND), strategy_c=StrategyC(grace_seconds=600.0)
)


@pytest.mark.req("SUP-7")
def test_commands_beyond_the_bound_are_refused_with_an_error() -> None:
    async def scenario(world: ProofWorld) -> None:
        def ask(number: int) -> None:
            world.process.tell(
                EXECUTOR,
                GetOpenOrders(correlation_id=str(number), deadline=1e9, reply_to=FACADE),
            )

        await asyncio.sleep(1.0)  # until what came with the connection is handled
        for number in range(BOUND):
            ask(number)
        with pytest.raises(MailboxFullError, match=str(BOUND)):
            ask(BOUND)
        await asyncio.sleep(1.0)

        assert await world.gateway.get_open_orders() == []

    prove(scenario, config=BOUNDED)


@pytest.mark.req("SUP-7")
def test_quotes_are_conflated_however_many_come() -> None:
    async def scenario(world: ProofWorld) -> None:
        trace = record(world)
        await world.gateway.get_market_data("SPY")
        quote = trace[place_of(trace, RISK, QuoteUpdated)].message

        for _ in range(10 * BOUND):
            world.process.tell(RISK, quote)

        depth = {child.name: child.mailbox_depth for child in world.process.tree.status()}[RISK]
        assert depth <= 1

    prove(scenario, config=BOUNDED)


@pytest.mark.req("SUP-7", "CON-11")
def test_an_overflow_of_broker_events_ends_the_session_and_reconciles() -> None:
    async def scenario(world: ProofWorld) -> None:
        trace = record(world)
        event = CommissionReported(exec_id="none", commission=1.0, realized_pnl=None)

        for _ in range(2 * BOUND):
            world.process.tell(EXECUTOR, event)
        await asyncio.sleep(10.0)

        changes = [
            item.message
            for item in trace
            if item.recipient == FACADE and type(item.message) is ConnectionStateChanged
        ]
        assert changes[0].cause is DisconnectCause.OVERFLOW
        assert changes[-1].state is ConnectionState.CONNECTED
        reports = [item for item in trace if type(item.message) is CommissionReported]
        assert len(reports) == 2 * BOUND  # none was refused
        assert BrokerOrderReported.overflow is CommissionReported.overflow

    prove(scenario, config=BOUNDED)


# --- SUP-8, SUP-10 ----------------------------------------------------------------------------------------------------


@pytest.mark.req("SUP-8", "SUP-11")
def test_an_order_passes_all_actors_on_one_thread_so_none_of_them_waits_for_another() -> None:
    async def scenario(world: ProofWorld) -> None:
        threads = threading.active_count()
        trace = record(world)

        await world.gateway.get_market_data("SPY")
        filled = await world.gateway.submit_order(buy(5.0), CONTEXT)
        await world.gateway.liquidate("a drill")
        await world.until(lambda: bool(world.gateway.liquidation_reports))

        assert filled.status is OrderStatus.FILLED
        assert {item.recipient for item in trace} >= set(POISON) - {RECORDS, DATA_WATCH}
        assert threading.active_count() == threads

    prove(scenario)


@pytest.mark.req("SUP-10")
def test_every_actor_can_be_told_by_name_and_everything_can_be_seen() -> None:
    async def scenario(world: ProofWorld) -> None:
        trace = record(world)
        answers: list[Message] = []
        world.process.register("test", answers.append)

        world.process.tell(
            CONNECTION, GetConnectionStatus(correlation_id="seen", deadline=1e9, reply_to="test")
        )
        for name in POISON:
            world.process.tell(name, StopActor())
        await asyncio.sleep(5.0)

        assert isinstance(answers[0], ConnectionStatus)
        assert [
            (item.sender, item.recipient)
            for item in trace
            if getattr(item.message, "correlation_id", "") == "seen"
        ] == [("outside", CONNECTION), (CONNECTION, "test")]
        told = {item.recipient for item in trace if type(item.message) is StopActor}
        assert told == set(POISON)

    prove(scenario, config=a_config(supervision=QUICK, strategy_c=StrategyC(grace_seconds=600.0)))


# --- SUP-2, SUP-9, SUP-12: the process --------------------------------------------------------------------------------


def _config_file(root: Path) -> Path:
    file = root / "config.toml"
    file.write_text(f"[general]\nstate_dir = '{root.as_posix()}'\ncycle_s = 3600.0\n")
    return file


def _run(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "supervision", "run", "--config", str(_config_file(root))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _lines_until(process: subprocess.Popen[str], words: str) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if words in line:
            return


@pytest.mark.req("SUP-9", "SUP-12")
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_the_process_refuses_a_second_one_and_stops_in_order_at_ctrl_c(tmp_path: Path) -> None:
    first = _run(tmp_path)
    try:
        assert list(_lines_until(first, "running"))

        second = _run(tmp_path)
        said, _ = second.communicate(timeout=30.0)
        first.send_signal(signal.SIGINT)
        last, _ = first.communicate(timeout=30.0)

        assert second.returncode == ExitCode.LOCKED
        assert "in use" in said or "another process" in said
        assert first.returncode == ExitCode.OK
        assert "stopped in order" in last
    finally:
        first.kill()
        first.wait()


@pytest.mark.req("SUP-9")
def test_the_exit_codes_are_documented_in_the_help() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "supervision", "--help"], capture_output=True, text=True, check=True
    ).stdout

    words = " ".join(shown.split())  # wherever the lines end
    for code in ExitCode:
        assert f"{code.value} " in words


@pytest.mark.req("SUP-2", "SUP-9", "STC-1")
def test_an_actor_beyond_its_restart_limit_ends_the_process_with_a_code_of_its_own(
    tmp_path: Path,
) -> None:
    config = Config(
        general=General(state_dir=str(tmp_path), cycle_s=3600.0),
        supervision=Supervision(first_delay_s=0.001, max_delay_s=0.001, max_restarts=2),
        logging=Logging(console=False, file=""),
        control=Control(enabled=False),
    )

    async def scenario() -> int:
        gateway = IBKRGateway(config, mode="paper")
        run = asyncio.create_task(
            run_process(config, ExecutionMode.PAPER, None, "test", gateway=gateway)
        )
        async with asyncio.timeout(30.0):
            while not gateway.is_connected:
                await asyncio.sleep(0.01)
            for _ in range(3):
                crash(gateway.process, MARKET_DATA)
                await asyncio.sleep(0.1)
            return await run

    assert asyncio.run(scenario()) == ExitCode.ESCALATED


@pytest.mark.req("SUP-9", "QUA-3")
def test_no_garbage_collection_of_what_was_built_at_the_start_stops_the_actors_later(
    tmp_path: Path,
) -> None:
    config = Config(
        general=General(state_dir=str(tmp_path)),
        logging=Logging(console=False, file=""),
        control=Control(enabled=False),
    )
    gc.unfreeze()

    ended = asyncio.run(run_process(config, ExecutionMode.DRY_RUN, 1, "test"))

    exempt = gc.get_freeze_count()
    gc.unfreeze()
    assert ended == ExitCode.OK
    assert exempt > len(gc.get_objects()) // 2


# --- SUP-13 -----------------------------------------------------------------------------------------------------------

IMMUTABLE: Final = (str, int, float, bool, bytes, datetime, date, type(None))


def _import_everything() -> None:
    for package in (actors, supervision):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _subclasses(kind: type) -> Iterator[type]:
    subclasses: list[type] = kind.__subclasses__()
    for subclass in subclasses:
        if subclass.__module__.split(".")[0] in ("actors", "supervision"):
            yield subclass
        yield from _subclasses(subclass)


_import_everything()
MESSAGES: Final = sorted(set(_subclasses(Message)), key=lambda kind: kind.__qualname__)


def _faults(hint: Any, where: str, seen: set[type]) -> Iterator[str]:
    """Name everything within a type that could be changed."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType, tuple, frozenset):
        for part in get_args(hint):
            if part is not Ellipsis:
                yield from _faults(part, where, seen)
    elif origin is not None and issubclass(origin, Mapping):
        if origin is dict:
            yield f"{where} is a dict"
        for part in get_args(hint):
            yield from _faults(part, where, seen)
    elif not isinstance(hint, type):
        yield f"{where} is {hint!r}, which may be anything"
    elif issubclass(hint, Enum) or hint in IMMUTABLE:
        return
    elif attrs.has(hint):
        yield from _faults_of_class(hint, where, seen)
    else:
        yield f"{where} is a {hint.__name__}"


def _faults_of_class(kind: type, where: str, seen: set[type]) -> Iterator[str]:
    if kind in seen:
        return
    seen.add(kind)
    if not _is_frozen(kind):
        yield f"{where}: {kind.__name__} is not frozen"
    hints = get_type_hints(kind)
    for field in attrs.fields(kind):
        name = f"{where}.{field.name}"
        yield from _faults(hints[field.name], name, seen)
        if _is_mapping(hints[field.name]) and not _is_read_only(field):
            yield f"{name} is a mapping that its owner can still change"


def _is_frozen(kind: type) -> bool:
    """Try it: an attrs class that is frozen refuses to have a field set."""
    empty: Any = object.__new__(kind)
    names = [field.name for field in attrs.fields(kind)]
    for name in names:
        try:
            setattr(empty, name, None)
        except attrs.exceptions.FrozenInstanceError:
            continue
        return False
    return True


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint)
    return origin is not None and isinstance(origin, type) and issubclass(origin, Mapping)


def _is_read_only(field: attrs.Attribute[Any]) -> bool:
    convert: Callable[[Any], Any] | None = field.converter  # type: ignore[assignment]  # a plain function
    return convert is not None and isinstance(convert({}), MappingProxyType)


def test_the_walk_over_the_messages_finds_them() -> None:
    assert len(MESSAGES) > 100
    assert {"SubmitOrder", "Reconcile", "AttemptDue"} <= {kind.__name__ for kind in MESSAGES}


@pytest.mark.req("SUP-13")
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__qualname__)
def test_a_message_is_frozen_and_immutable_all_the_way_down(kind: type) -> None:
    assert attrs.has(kind)
    assert all(field.kw_only for field in attrs.fields(kind))
    assert list(_faults_of_class(kind, kind.__name__, set())) == []
