"""``flatten SYMBOL``: both ends of the control channel, and what a person is asked first (STC-13).

It is only a message, like everything the command line does (D18). Closing over orders that can still fill is asked for
twice: the process says what could come of it, and a person says yes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from actors import messages as m
from actors.errors import GatewayStoppedError, OrderValidationError
from actors.logic.order_validation import checked_symbol
from actors.logic.worst_turns import worst_turns
from actors.messages.addresses import LINK
from actors.model.account import Position
from actors.model.orders import OrderResult
from supervision.commands.control import Command, call_running
from supervision.config.sections import Config
from supervision.facade.gateway import IBKRGateway

ANSWER_GRACE_S: Final = 2.0
"""The process answers by its deadline; this much longer the command waits for the answer."""

Ask = Callable[[tuple[Path, ...], Command, float], Command]
"""How the running process is asked: `supervision.commands.control.call`."""


async def serve_flatten(gateway: IBKRGateway, command: Command, timeout_s: float) -> Command:
    """Close what is held under a symbol, in the process that trades."""
    flattened = await gateway.flatten(
        str(command.get("symbol", "")),
        timeout_s,
        over_pending=command.get("over_pending") is True,
    )
    return {
        "results": [_said_result(result) for result in flattened.results],
        "remaining": [_said_position(position) for position in flattened.remaining],
    }


async def serve_worst_turns(gateway: IBKRGateway, command: Command, timeout_s: float) -> Command:
    """Say what could come of a close over pending orders, by a read of the broker's state that is made now."""
    symbol = checked_symbol(str(command.get("symbol", "")))
    account = (await gateway.get_account(timeout_s)).account_id
    read = await gateway.command(
        LINK, m.ReadBrokerState, m.BrokerStateRead, timeout_s, account=account
    )
    turns = worst_turns(read.state, await gateway.get_open_orders(timeout_s), symbol)
    return {
        "turns": [str(turn) for turn in turns],
        "pending": sum(len(turn.pending) for turn in turns),
    }


def flatten_symbol(
    config: Config,
    symbol: str,
    *,
    over_pending: bool,
    agreed: Callable[[str], bool],
    timeout_s: float,
    echo: Callable[[str], None],
    ask: Ask = call_running,
) -> bool:
    """Have the running process close what is held under ``symbol``; tell whether nothing is left.

    With ``over_pending`` the worst turn is shown first, and nothing happens unless ``agreed`` says yes to the question:
    then `OrderValidationError`.
    """
    state_dirs, wanted = config.running_state_dirs, checked_symbol(symbol)
    if over_pending:
        asked = _command("worst_turns", wanted, config.control.timeout_s)
        told = _asked(ask, state_dirs, asked)
        for turn in told["turns"] or [f"{wanted}: nothing is held, and no order can still fill"]:
            echo(turn)
        if told["pending"] and not agreed(f"close {wanted} over these orders?"):
            raise OrderValidationError(
                "nothing was sent: the close over pending orders was not confirmed"
            )
    command = {**_command("flatten", wanted, timeout_s), "over_pending": over_pending}
    answer = _asked(ask, state_dirs, command)
    for line in _lines(wanted, answer):
        echo(line)
    return not answer["remaining"]


def _asked(ask: Ask, state_dirs: tuple[Path, ...], command: Command) -> Command:
    try:
        return ask(state_dirs, command, command["timeout_s"] + ANSWER_GRACE_S)
    except GatewayStoppedError as error:
        raise GatewayStoppedError(
            f"{error}; start it, or close the whole account without it: flatten --break-glass"
        ) from None


def _command(name: str, symbol: str, timeout_s: float) -> dict[str, Any]:
    return {"command": name, "symbol": symbol, "timeout_s": timeout_s}


def _lines(symbol: str, answer: Mapping[str, Any]) -> list[str]:
    results, remaining = answer["results"], answer["remaining"]
    if not results and not remaining:
        return [f"{symbol}: nothing was held"]
    lines = [f"closed      {result}" for result in results]
    lines += [f"STILL HELD  {position}" for position in remaining]
    if remaining:
        return [*lines, f"{symbol} is NOT flat, see: status; by hand: docs/runbooks/not-flat.md"]
    return [*lines, f"{symbol} is flat"]


def _said_result(result: OrderResult) -> str:
    price = "" if result.fill_price is None else f" at {result.fill_price:g}"
    why = f": {result.rejection_reason}" if result.rejection_reason else ""
    return (
        f"{result.symbol} {result.action} {result.quantity:g}: {result.status},"
        f" {result.fill_quantity:g} filled{price}{why}"
    )


def _said_position(position: Position) -> str:
    return f"{position.contract} {position.quantity:+g} ({position.position_id})"
