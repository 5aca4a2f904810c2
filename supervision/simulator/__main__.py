"""The simulated gateway as a program: `python -m supervision.simulator --port 4002`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from loguru import logger

from .config import DEFAULT_ACCOUNT, DEFAULT_SEED, Limits, SimulatorConfig
from .replay import ReplayError
from .scenario import ScenarioError, read_scenario
from .server import Simulator
from .state import StateError
from .threaded import new_loop

_BAD_INPUT = 2


def main(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.")] = 4002,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Seed of prices and sizes.")] = DEFAULT_SEED,
    account: Annotated[
        list[str] | None, typer.Option(help="Managed account; may be repeated.")
    ] = None,
    scenario: Annotated[Path | None, typer.Option(help="TOML file of timed faults.")] = None,
    replay: Annotated[
        list[str] | None, typer.Option(help="SYMBOL=FILE.csv of one-minute bars; repeatable.")
    ] = None,
    speed: Annotated[float, typer.Option(help="How fast a replay moves on.")] = 1.0,
    state: Annotated[
        Path | None, typer.Option(help="File in which orders and positions survive.")
    ] = None,
    extra_symbols: Annotated[int, typer.Option(help="Synthetic stocks SYM001 … to list.")] = 0,
    cash: Annotated[float, typer.Option(help="Opening cash of each account, USD.")] = 1_000_000.0,
    fill_delay: Annotated[float, typer.Option(help="Seconds before an order may fill.")] = 0.0,
    max_fill: Annotated[
        float, typer.Option(help="Largest single execution; 0 for no limit.")
    ] = 0.0,
    slice_delay: Annotated[float, typer.Option(help="Seconds between partial fills.")] = 0.0,
    tick_interval: Annotated[float, typer.Option(help="Seconds between stream ticks.")] = 1.0,
    busy_poll: Annotated[
        bool, typer.Option("--busy-poll", help="Never sleep, record arrivals (for benchmarks).")
    ] = False,
    unlimited: Annotated[
        bool, typer.Option("--unlimited", help="Switch IB's rate and line limits off.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every connection.")] = False,
) -> None:
    """Run a simulated IB gateway until SIGINT or SIGTERM.

    Prints one line, `simulated gateway listening on HOST:PORT`, when clients may connect. Exit code
    0 after a signal, 2 for input that cannot be used.
    """
    logger.enable("supervision.simulator")
    logger.remove()
    logger.add(sys.stderr, level="DEBUG" if verbose else "WARNING")
    try:
        accounts = tuple(account or (DEFAULT_ACCOUNT,))
        config = SimulatorConfig(
            seed=seed,
            account=accounts[0],
            accounts=accounts,
            host=host,
            port=port,
            state_file=state,
            replay=_replays(replay or []),
            speed=speed,
            scenario=read_scenario(scenario) if scenario is not None else None,
            extra_symbols=extra_symbols,
            cash=cash,
            fill_delay_s=fill_delay,
            max_fill_quantity=max_fill or None,
            slice_delay_s=slice_delay,
            tick_interval_s=tick_interval,
            limits=_no_limits() if unlimited else Limits(),
        )
        with asyncio.Runner(loop_factory=lambda: new_loop(busy_poll=busy_poll)) as runner:
            runner.run(_serve(config, busy_poll))
    except (ReplayError, ScenarioError, StateError, ValueError, OSError) as error:
        typer.echo(f"cannot start: {error}", err=True)
        raise typer.Exit(_BAD_INPUT) from None


def _no_limits() -> Limits:
    return Limits(
        messages_per_second=0,
        market_data_lines=0,
        tick_by_tick=0,
        history_per_ten_minutes=0,
        history_identical_s=0.0,
        history_open=0,
    )


def _replays(texts: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in texts:
        symbol, separator, file = text.partition("=")
        if not separator or not symbol or not file:
            raise ReplayError(f"--replay must look like SYMBOL=FILE.csv (was {text!r})")
        found[symbol] = Path(file)
    return found


async def _serve(config: SimulatorConfig, busy_poll: bool) -> None:
    simulator = Simulator(config)
    simulator.record_arrivals = busy_poll
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(name, ended.set)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(ended.set))
    port = await simulator.start()
    typer.echo(f"simulated gateway listening on {config.host}:{port}")
    sys.stdout.flush()
    await ended.wait()
    await simulator.stop()


if __name__ == "__main__":
    typer.run(main)
