"""Every call of the facade with whatever arguments, while a position is held: nothing comes of it (GW-14, SUP-14)."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from typing import Any, Final

from actors.errors import GatewayError
from actors.kernel.addresses import TapRecord
from actors.kernel.messages import ActorFailed
from supervision import IBKRGateway, OrderStatus, TradingSignal
from tests.fuzz.oddities import value
from tests.worlds import CONTEXT, ProofWorld, buy, prove

SPARED: Final = frozenset(
    {
        *("disconnect", "connect", "liquidate", "rearm", "acknowledge_residual"),
        *("close_all_positions", "flatten"),
    }
)
"""What a caller may say in earnest by a sound argument, drawn by luck: these get no sound ones."""

CALLS: Final = tuple(
    sorted(
        name
        for name, call in vars(IBKRGateway).items()
        if not name.startswith("_") and inspect.iscoroutinefunction(call)
    )
)
HELD: Final = 10.0
TIMEOUT_S: Final = 0.5
LONGEST_ERROR: Final = 2_000


def _arguments(dice: random.Random, call: Any) -> dict[str, Any]:
    """Draw some of a call's arguments; a symbol or a signal is sound now and then, so that the others are looked at."""
    drawn: dict[str, Any] = {}
    for name, parameter in inspect.signature(call).parameters.items():
        if name == "self":
            continue
        if name == "timeout":
            drawn[name] = TIMEOUT_S if dice.random() < 0.8 else value(dice)
        elif name == "signal" and dice.random() < 0.5:
            drawn[name] = _signal(dice)
        elif name == "strategy_context" and dice.random() < 0.7:
            drawn[name] = CONTEXT
        elif parameter.default is inspect.Parameter.empty or dice.random() < 0.5:
            drawn[name] = value(dice)
    return drawn


def _signal(dice: random.Random) -> Any:
    """A signal of which at least one field is odd; the quantity always is, so that it orders nothing."""
    fields: dict[str, Any] = {
        "symbol": "SPY",
        "action": "BUY",
        "quantity": dice.choice([0, -1, None, "x", []]),
    }
    for name in ("symbol", "action", "order_type", "limit_price", "expiry", "strike", "right"):
        if dice.random() < 0.3:
            fields[name] = value(dice)
    return TradingSignal(**fields)


async def _one(world: ProofWorld, dice: random.Random, seen: Counter[str]) -> None:
    name = dice.choice(CALLS)
    if name in SPARED:
        return
    call, refused = getattr(world.gateway, name), None
    try:
        found = await call(**_arguments(dice, getattr(IBKRGateway, name)))
    except GatewayError as error:
        refused = error
    if refused is not None:
        seen[type(refused).__name__] += 1
        assert len(str(refused)) < LONGEST_ERROR, f"{name}: {str(refused)[:200]}"
        return
    seen["answered"] += 1
    if hasattr(found, "aclose"):
        await found.aclose()


def fuzz(seed: int, examples: int) -> Counter[str]:
    """Make so many calls; AssertionError tells what came of them."""

    async def scenario(world: ProofWorld) -> Counter[str]:
        dice, seen = random.Random(seed), Counter[str]()
        failures: list[ActorFailed] = []

        def tap(record: TapRecord) -> None:
            if isinstance(record.message, ActorFailed):
                failures.append(record.message)

        world.process.tap(tap)
        bought = await world.gateway.submit_order(buy(HELD), CONTEXT)
        assert bought.status is OrderStatus.FILLED
        session, sent = (await world.gateway.status()).session_id, len(world.simulator.ledger)
        for _ in range(examples):
            await _one(world, dice, seen)
        status = await world.gateway.status()
        assert failures == []
        assert [actor for actor in status.actors if actor.restarts] == []
        assert (status.session_id, status.latched) == (session, False)
        assert len(world.simulator.ledger) == sent
        assert sum(each.quantity for each in world.simulator.positions().values()) == HELD
        return seen

    found: Counter[str] = prove(scenario, seed=seed)
    return found
