"""`python -m tests.benchmarks [orders liquidation flat quotes kernel …]`: measure, print one table.

``--state-dir`` says where journals are written: the disk under it is what the rows with the journal measure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from tests.benchmarks import connecting, flat, idle, indicators, kernel, liquidation, orders, quotes
from tests.benchmarks.cores import pin_client
from tests.benchmarks.table import Row, show


def main() -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="idle orders connect kernel …")
    parser.add_argument("--state-dir", type=Path, help="default: a temporary directory")
    parser.add_argument("--rounds", type=int, default=orders.ROUNDS, help="blocks of orders")
    parser.add_argument(
        "--seconds", type=float, default=quotes.SECONDS, help="so long ticks pour for quotes"
    )
    options = parser.parse_args()
    logger.remove()
    with tempfile.TemporaryDirectory(dir=options.state_dir) as directory:
        _run(options.names, Path(directory), options.rounds, options.seconds)


def _run(names: list[str], state_dir: Path, rounds: int, seconds: float) -> None:
    began = time.monotonic()
    rows: list[Row] = []
    core: int | None = None
    benchmarks: dict[str, Callable[[], list[Row]]] = {
        # Before anything is pinned: a process that is started here keeps the cores that a user's would have.
        "idle": lambda: idle.measure(state_dir / "idle"),
        "orders": lambda: asyncio.run(orders.measure(core, state_dir / "orders", rounds)),
        "connect": lambda: asyncio.run(connecting.measure(core, state_dir / "connect")),
        "liquidation": lambda: asyncio.run(liquidation.measure(core, state_dir / "liquidation")),
        "flat": lambda: asyncio.run(flat.measure(core, state_dir / "flat")),
        "quotes": lambda: asyncio.run(quotes.measure(core, state_dir / "quotes", seconds)),
        "kernel": kernel.measure,
        "indicators": indicators.measure,
    }
    unknown = set(names) - set(benchmarks)
    if unknown:
        raise SystemExit(f"no such benchmark: {sorted(unknown)}; there are {sorted(benchmarks)}")
    for name, measure in benchmarks.items():
        if names and name not in names:
            continue
        if name != "idle" and core is None:
            core = pin_client()
        (state_dir / name).mkdir()
        print(f"measuring {name} ...", flush=True)
        rows += measure()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    placed = "nothing is pinned" if core is None else f"client on one core, gateway on core {core}"
    took_s = time.monotonic() - began
    print(
        f"\nPython {platform.python_version()}, {platform.system()}, {placed}, "
        f"{load}; took {took_s:.0f} s\n"
    )
    print(show(rows))


if __name__ == "__main__":
    main()
