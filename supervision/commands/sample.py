"""The sample orchestrator: what `python -m supervision run` runs, and how others may embed the facade.

One cycle: read a quote with its indicators, look for a momentum breakout, bring the signal through risk to the order,
and say what came of it.
"""

from __future__ import annotations

import asyncio
from functools import partial

from actors.errors import GatewayError
from actors.model.market import MarketData
from actors.model.orders import OrderResult, StrategyContext
from actors.ports import EventLog
from supervision.commands.momentum import STRATEGY_ID, decide
from supervision.facade.correlation import correlated
from supervision.facade.gateway import IBKRGateway

CONTEXT = StrategyContext(strategy_id=STRATEGY_ID, strategy_name="Momentum breakout (sample)")


async def run_cycles(
    gateway: IBKRGateway,
    symbols: tuple[str, ...],
    *,
    cycles: int | None,
    cycle_s: float,
    log: EventLog,
) -> int:
    """Run ``cycles`` cycles (None: until cancelled); returns how many orders came to an end."""
    orders = 0
    done = 0
    while cycles is None or done < cycles:
        for symbol in symbols:
            orders += await run_cycle(gateway, symbol, log) is not None
        done += 1
        if cycles is None or done < cycles:
            await asyncio.sleep(cycle_s)
    return orders


async def run_cycle(gateway: IBKRGateway, symbol: str, log: EventLog) -> OrderResult | None:
    """Quote, indicators, decision, result; trouble with the broker is told and left to the next cycle."""
    with correlated(gateway.process.entropy.uuid4()) as correlation_id:
        told = partial(log, correlation_id=correlation_id)
        try:
            return await _cycle(gateway, symbol, told)
        except GatewayError as error:
            told("cycle_failed", level="WARNING", symbol=symbol, code=error.code, why=str(error))
            return None


async def _cycle(gateway: IBKRGateway, symbol: str, log: EventLog) -> OrderResult | None:
    data = await gateway.get_market_data(symbol)
    _show(data, log)
    decision = decide(data, gateway.process.clock.now())
    if decision.signal is None:
        log("no_signal", symbol=symbol, because="; ".join(decision.reasons_against))
        return None
    signal = decision.signal
    log(
        "signal",
        symbol=symbol,
        action=signal.action,
        quantity=signal.quantity,
        strength=signal.signal_strength,
    )
    result = await gateway.submit_order(signal, CONTEXT)
    log(
        "order_result",
        order_id=result.order_id,
        status=result.status.value,
        symbol=symbol,
        action=result.action.value,
        quantity=result.quantity,
        filled=result.fill_quantity,
        price=result.fill_price,
        reason=result.rejection_reason,
    )
    return result


def _show(data: MarketData, log: EventLog) -> None:
    log(
        "quote",
        symbol=data.symbol,
        last=data.last_price,
        bid=data.bid,
        ask=data.ask,
        age_s=round(data.staleness_seconds, 1),
        quality=data.data_quality_score,
    )
    log(
        "indicators",
        symbol=data.symbol,
        ema8=_rounded(data.ema_fast),
        ema21=_rounded(data.ema_slow),
        rsi14=_rounded(data.rsi),
        vwap=_rounded(data.vwap),
        bollinger=f"{_rounded(data.bollinger_lower)}..{_rounded(data.bollinger_upper)}",
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
