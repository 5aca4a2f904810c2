"""``flatten --break-glass``: the account is closed by a process of its own, and only where the other one is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import (
    ConfigurationError,
    JournalLockedError,
    ModeError,
    OrderValidationError,
    ReadOnlyError,
)
from actors.model.orders import ExecutionMode
from supervision import Config, IBKRGateway
from supervision.commands.break_glass import CLIENT_ID, WORDS, Person, break_glass
from supervision.commands.control import ControlServer
from supervision.config.sections import StrategyC
from supervision.simulator import ThreadedSimulator
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from tests.worlds import CONTEXT, SIMULATED, a_config, buy

pytestmark = pytest.mark.req("STC-13")


@attrs.define
class Told:
    """A person who writes down what is shown, and answers one thing to whatever is asked."""

    answer: str = WORDS
    lines: list[str] = attrs.field(factory=list)
    questions: list[str] = attrs.field(factory=list)

    def person(self) -> Person:
        return Person(echo=self.lines.append, ask=self._ask)

    def _ask(self, question: str) -> str:
        self.questions.append(question)
        return self.answer

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def a_gateway() -> Iterator[tuple[ThreadedSimulator, int]]:
    simulator = ThreadedSimulator(SIMULATED)
    port = simulator.start()
    try:
        yield simulator, port
    finally:
        simulator.stop()


def config_for(state_dir: Path, port: int, **sections: Any) -> Config:
    config = a_config(**sections)
    return attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir)),
        gateway=attrs.evolve(config.gateway, endpoint="external", port=port, timeout_s=10.0),
    )


async def leave_a_position(config: Config) -> None:
    """Trade under the usual client id, leave an order resting, and be gone."""
    gateway = IBKRGateway(config, mode="paper")
    await gateway.connect()
    bought = await gateway.submit_order(buy(10), CONTEXT)
    assert bought.status.value == "FILLED", bought
    resting = buy(5, order_type="LIMIT", limit_price=560.0)
    rests = await gateway.submit_order(resting, CONTEXT, wait_for="ack")
    assert rests.status.value == "PENDING", rests
    await gateway.disconnect()


def quantities(simulator: ThreadedSimulator) -> list[float]:
    return simulator.call(
        lambda it: [held.quantity for held in it.positions().values() if held.quantity]
    )


def test_what_a_dead_process_left_is_cancelled_and_closed(tmp_path: Path) -> None:
    with a_gateway() as (simulator, port):
        config = config_for(tmp_path, port)
        asyncio.run(leave_a_position(config))
        before = quantities(simulator)
        told = Told()

        is_flat = asyncio.run(break_glass(config, ExecutionMode.PAPER, told.person()))

        assert before == [10]
        assert quantities(simulator) == []
        assert not simulator.call(lambda it: [each for each in it.orders() if each.is_working])
    assert is_flat
    assert len(told.questions) == 1
    assert WORDS in told.questions[0]
    assert "held        SPY +10" in told.lines
    assert any(line.startswith("works       SPY BUY 5 LMT") for line in told.lines)
    assert "the account is flat" in told.text
    assert "DU1234567" not in told.text


@pytest.mark.parametrize("answer", ["", "yes", "close", "close everything!"])
def test_without_the_words_nothing_is_sent(answer: str, tmp_path: Path) -> None:
    with a_gateway() as (simulator, port):
        config = config_for(tmp_path, port)
        asyncio.run(leave_a_position(config))
        orders = len(simulator.call(lambda it: it.orders()))

        with pytest.raises(OrderValidationError, match="nothing was sent"):
            asyncio.run(break_glass(config, ExecutionMode.PAPER, Told(answer).person()))

        assert quantities(simulator) == [10]
        assert len(simulator.call(lambda it: it.orders())) == orders


def test_a_flat_account_asks_nothing(tmp_path: Path) -> None:
    told = Told()
    with a_gateway() as (_, port):
        config = config_for(tmp_path, port)

        assert asyncio.run(break_glass(config, ExecutionMode.PAPER, told.person()))

    assert told.questions == []
    assert told.lines[-1] == "nothing is held and nothing works: the account is flat"


def test_in_dry_run_nothing_is_sent_and_that_is_said(tmp_path: Path) -> None:
    told = Told()
    with a_gateway() as (simulator, port):
        config = config_for(tmp_path, port)
        asyncio.run(leave_a_position(config))

        is_flat = asyncio.run(break_glass(config, ExecutionMode.DRY_RUN, told.person()))

        assert quantities(simulator) == [10]
    assert not is_flat
    assert "nothing is sent" in told.text
    assert "would" in told.text


def test_the_lock_of_a_living_process_refuses(tmp_path: Path) -> None:
    told = Told()
    with a_gateway() as (_, port), JournalLock(tmp_path / JOURNAL_FILE):
        config = config_for(tmp_path, port)

        with pytest.raises(JournalLockedError, match="in use by process"):
            asyncio.run(break_glass(config, ExecutionMode.PAPER, told.person()))

    assert told.questions == []


def test_a_process_that_answers_refuses_though_its_lock_is_free(tmp_path: Path) -> None:
    told = Told()
    server = ControlServer(tmp_path, lambda _: {}).start()
    try:
        with a_gateway() as (_, port):
            config = config_for(tmp_path, port)

            with pytest.raises(ModeError, match="the process that trades answers"):
                asyncio.run(break_glass(config, ExecutionMode.PAPER, told.person()))
    finally:
        server.stop()
    assert told.questions == []


def test_a_process_that_listens_and_is_silent_is_not_proved_dead(tmp_path: Path) -> None:
    stop = asyncio.Event()
    server = ControlServer(tmp_path, lambda _: asyncio.run(_hang(stop))).start()
    try:
        with a_gateway() as (_, port):
            config = config_for(tmp_path, port)
            impatient = attrs.evolve(config, control=attrs.evolve(config.control, timeout_s=0.3))

            with pytest.raises(ModeError, match="end that process first"):
                asyncio.run(break_glass(impatient, ExecutionMode.PAPER, Told().person()))
    finally:
        server.stop()


async def _hang(stop: asyncio.Event) -> dict[str, Any]:
    await asyncio.sleep(1.0)
    return {}


def test_meanwhile_the_dead_process_cannot_come_back(tmp_path: Path) -> None:
    """It would open again what is closed here."""
    with a_gateway() as (_, port):
        config = config_for(tmp_path, port)
        asyncio.run(leave_a_position(config))
        met: list[type[Exception]] = []

        def ask(question: str) -> str:
            try:
                JournalLock(tmp_path / JOURNAL_FILE).acquire()
            except JournalLockedError as error:
                met.append(type(error))
            return "no"

        with pytest.raises(OrderValidationError):
            asyncio.run(
                break_glass(config, ExecutionMode.PAPER, Person(echo=lambda _: None, ask=ask))
            )
    assert met == [JournalLockedError]


def test_it_logs_in_under_a_client_id_of_its_own(tmp_path: Path) -> None:
    with a_gateway() as (simulator, port):
        config = config_for(tmp_path, port)
        asyncio.run(leave_a_position(config))

        asyncio.run(break_glass(config, ExecutionMode.PAPER, Told().person()))

        closes = simulator.call(lambda it: [each.client_id for each in it.orders()])
    assert closes[-1] == CLIENT_ID
    assert config.gateway.client_id in closes


def test_an_embedded_gateway_has_no_account_that_outlives_its_process(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--host and --port"):
        asyncio.run(break_glass(a_config(), ExecutionMode.PAPER, Told().person()))


def test_a_gateway_that_is_read_only_is_named(tmp_path: Path) -> None:
    config = config_for(tmp_path, 4002)
    readonly = attrs.evolve(config, gateway=attrs.evolve(config.gateway, readonly=True))

    with pytest.raises(ReadOnlyError, match="readonly is true"):
        asyncio.run(break_glass(readonly, ExecutionMode.PAPER, Told().person()))


def test_a_state_directory_that_nobody_ever_used_is_doubted(tmp_path: Path) -> None:
    told = Told()
    with a_gateway() as (_, port):
        asyncio.run(
            break_glass(config_for(tmp_path / "typo", port), ExecutionMode.PAPER, told.person())
        )

    assert told.lines[0].startswith("WARNING")
    assert "--config" in told.lines[0]


def test_the_scope_managed_is_said_to_close_nothing(tmp_path: Path) -> None:
    told = Told("no")
    with a_gateway() as (_, port):
        config = config_for(tmp_path, port, strategy_c=StrategyC(scope="managed"))
        asyncio.run(leave_a_position(config))

        with pytest.raises(OrderValidationError):
            asyncio.run(break_glass(config, ExecutionMode.PAPER, told.person()))
    assert '"managed"' in told.text
