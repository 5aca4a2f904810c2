"""One supervised process from start to end: banner, signals, control channel, exit code (SUP-9).

Only here signal handlers are installed; embedded in an orchestrator, nothing of the kind happens (D1).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from actors.errors import (
    ConfigurationError,
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
)
from actors.model.orders import ExecutionMode
from supervision.commands.control import FILE_NAME, Command, ControlServer
from supervision.commands.flatten import serve_flatten, serve_worst_turns
from supervision.commands.sample import run_cycles
from supervision.config.sections import Config
from supervision.facade.arguments import timeout
from supervision.facade.gateway import IBKRGateway
from supervision.process import build_standalone_process
from supervision.process.settings import sends_orders
from supervision.process.signals import stop_on_signals

EXIT_OK = 0
EXIT_NOT_CONNECTED = 4
EXIT_ESCALATED = 7


async def run_process(
    config: Config,
    mode: ExecutionMode,
    cycles: int | None,
    version: str,
    *,
    gateway: IBKRGateway | None = None,
) -> int:
    """Run until the cycles are done, a signal comes, or the tree stops; returns the exit code.

    Whoever wants to look into it brings the ``gateway``; it must not have been started.
    """
    for line in banner(config, mode, version):
        print(line, flush=True)  # noqa: T201 - the first words of a program that talks to people
    if gateway is None:
        gateway = IBKRGateway(
            config,
            mode=mode,
            operator_id=config.general.operator_id,
            process=build_standalone_process,
        )
    stopping = stop_on_signals(asyncio.get_running_loop())
    work = asyncio.create_task(_work(gateway, config, cycles))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        gateway.process.log("stopping", reason="a signal came")
        work.cancel()
    stop.cancel()
    try:
        return await _outcome(work)
    finally:
        await gateway.disconnect()
        print("stopped in order", flush=True)  # noqa: T201


async def _outcome(work: asyncio.Task[int]) -> int:
    try:
        return await work
    except asyncio.CancelledError:
        return EXIT_OK


async def _work(gateway: IBKRGateway, config: Config, cycles: int | None) -> int:
    """Connect, then trade in the sample's way; a tree that stops by itself ends the process (SUP-2)."""
    try:
        await gateway.connect(config.gateway.timeout_s)
    except (GatewayTimeoutError, GatewayConnectionError) as error:
        if cycles is not None:
            gateway.process.log("not_connected", level="ERROR", why=str(error))
            return EXIT_NOT_CONNECTED
        gateway.process.log("not_connected", level="ERROR", why=str(error), then="trying on")
    _spare_the_collector()
    process = gateway.process
    process.log("running", endpoint=process.endpoint, mode=process.mode)
    control = _start_control(gateway, config)
    sample = asyncio.create_task(
        run_cycles(
            gateway,
            config.general.symbols,
            cycles=cycles,
            cycle_s=config.general.cycle_s,
            log=process.log,
        )
    )
    watch = asyncio.create_task(process.wait_stopped())
    try:
        await asyncio.wait((sample, watch), return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            return EXIT_ESCALATED
        sample.result()
        return EXIT_OK
    finally:
        sample.cancel()
        watch.cancel()
        if control is not None:
            await asyncio.to_thread(control.stop)


def _spare_the_collector() -> None:
    """Exempt what was built at the start from garbage collection: it stays, and to go through it stops every actor.

    A full collection of a started process takes 50 ms and more, afterwards almost nothing.
    """
    gc.collect()
    gc.freeze()


def banner(config: Config, mode: ExecutionMode, version: str) -> tuple[str, ...]:
    """State mode and endpoint plainly, before anything happens."""
    gateway = config.gateway
    simulated = gateway.endpoint == "embedded"
    where = (
        "SIMULATED GATEWAY inside this process: no account, no money"
        if simulated
        else f"gateway at {gateway.host}:{gateway.port}, client id {gateway.client_id}"
    )
    orders = (
        "orders are SENT to the paper account"
        if sends_orders(config, mode)
        else "orders are checked by risk and simulated; nothing is sent"
    )
    maintenance = config.connection.maintenance
    restart = () if simulated else (f"restart   {maintenance.restart_in_words}",)
    return (
        f"ibkr-actors {version}",
        f"mode      {mode.value}: {orders}",
        f"endpoint  {where}",
        *restart,
        "",
    )


def _start_control(gateway: IBKRGateway, config: Config) -> ControlServer | None:
    if not config.control.enabled:
        return None
    loop = asyncio.get_running_loop()
    server = ControlServer(
        config.state_dir,
        lambda command: _serve(gateway, loop, command),
        mask=gateway.process.masker.value,
    )
    try:
        return server.start()
    except OSError as error:
        raise ConfigurationError(
            f"general.state_dir: {str(config.state_dir)!r} takes no {FILE_NAME} ({error.strerror or error}); "
            "make room for it, or set control.enabled = false and go without status, liquidate and rearm"
        ) from None


def _serve(gateway: IBKRGateway, loop: asyncio.AbstractEventLoop, command: Command) -> Command:
    """Answer one command of another terminal; runs in a thread of the control server."""
    action = _COMMANDS.get(str(command.get("command")))
    if action is None:
        known = ", ".join(sorted(_COMMANDS))
        raise GatewayError(f"command must be one of {known} (was {command.get('command')!r})")
    timeout_s = timeout("timeout_s", command.get("timeout_s", 5.0))
    future = asyncio.run_coroutine_threadsafe(action(gateway, command, timeout_s), loop)
    return future.result(timeout_s + 1.0)


async def _status(gateway: IBKRGateway, _: Command, timeout_s: float) -> Command:
    return attrs.asdict(await gateway.status(timeout_s))


async def _rearm(gateway: IBKRGateway, command: Command, timeout_s: float) -> Command:
    rearmed = await gateway.rearm(
        str(command.get("who", "")),
        str(command.get("why", "")),
        timeout_s,
        keep_positions=command.get("keep_positions") is True,
    )
    return {
        "was_latched": rearmed.was_latched,
        "carried_out": rearmed.carried_out,
        "kept": list(rearmed.kept),
        "ended": list(rearmed.ended),
        "durable": rearmed.durable,
    }


async def _acknowledge(gateway: IBKRGateway, command: Command, timeout_s: float) -> Command:
    who, why = str(command.get("who", "")), str(command.get("why", ""))
    return {"amount": await gateway.acknowledge_residual(who, why, timeout_s)}


async def _liquidate(gateway: IBKRGateway, command: Command, timeout_s: float) -> Command:
    accepted = await gateway.liquidate(str(command.get("reason", "")), timeout_s)
    return {"liquidation_id": accepted.liquidation_id, "durable": accepted.durable}


_COMMANDS: dict[str, Callable[[IBKRGateway, Command, float], Coroutine[Any, Any, Command]]] = {
    "status": _status,
    "rearm": _rearm,
    "liquidate": _liquidate,
    "acknowledge_residual": _acknowledge,
    "flatten": serve_flatten,
    "worst_turns": serve_worst_turns,
}
