"""One whole session through ib_insync or ib_async (the same interface); prints JSON.

Usage: script_ib.py MODULE PORT
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def main() -> None:
    ib_module: Any = importlib.import_module(sys.argv[1])
    port = int(sys.argv[2])
    found: dict[str, Any] = {"library": sys.argv[1]}
    errors: list[int] = []
    ib = ib_module.IB()
    ib.errorEvent += lambda _id, code, *_: errors.append(code)
    ib.connect("127.0.0.1", port, clientId=11, timeout=10)
    found["version"] = ib.client.serverVersion()
    found["accounts"] = ib.managedAccounts()

    spy = ib_module.Stock("SPY", "SMART", "USD")
    ib.qualifyContracts(spy)
    found["spy"] = spy.conId
    chain = ib.reqSecDefOptParams("SPY", "", "STK", spy.conId)[0]
    option = ib_module.Option("SPY", chain.expirations[5], 595, "C", "SMART", currency="USD")
    ib.qualifyContracts(option)
    found["option"] = option.conId

    [ticker] = ib.reqTickers(spy)
    found["quote"] = [ticker.bid, ticker.last, ticker.ask, ticker.volume, ticker.close]
    [option_ticker] = ib.reqTickers(option)
    found["delta"] = option_ticker.modelGreeks.delta
    bars = ib.reqHistoricalData(spy, "", "3600 S", "1 min", "TRADES", True)
    found["bars"] = [len(bars), bars[-1].close, bars[0].date.tzinfo is not None]
    found["net_liquidation"] = [v.value for v in ib.accountValues() if v.tag == "NetLiquidation"]
    found["summary"] = sorted({v.tag for v in ib.accountSummary()})[:3]

    market = ib.placeOrder(spy, ib_module.MarketOrder("BUY", 100, orderRef="interop-1"))
    wait(ib, lambda: market.isDone() and market.fills and market.fills[-1].commissionReport.execId)
    found["market"] = [market.orderStatus.status, market.orderStatus.filled]
    found["commission"] = market.fills[0].commissionReport.commission
    option_trade = ib.placeOrder(option, ib_module.MarketOrder("BUY", 2))
    wait(ib, option_trade.isDone)
    found["option_status"] = option_trade.orderStatus.status

    limit = ib.placeOrder(spy, ib_module.LimitOrder("BUY", 10, 500.0))
    wait(ib, lambda: limit.orderStatus.status == "Submitted")
    limit.order.lmtPrice = 501.0
    ib.placeOrder(spy, limit.order)
    wait(ib, lambda: len(limit.log) > 2)
    ib.cancelOrder(limit.order)
    wait(ib, limit.isDone)
    found["limit"] = limit.orderStatus.status

    stop = ib.placeOrder(spy, ib_module.StopOrder("SELL", 100, 400.0))
    wait(ib, lambda: stop.orderStatus.status == "PreSubmitted")
    found["stop"] = [stop.orderStatus.status, stop.orderStatus.whyHeld]
    preview = ib.whatIfOrder(spy, ib_module.MarketOrder("BUY", 100))
    found["preview"] = float(preview.initMarginAfter)
    found["positions"] = sorted([p.contract.secType, p.position] for p in ib.positions())
    found["portfolio"] = sorted(item.contract.conId for item in ib.portfolio())

    ib.disconnect()
    again = ib_module.IB()
    again.connect("127.0.0.1", port, clientId=11, timeout=10)
    found["open_after"] = [[t.order.orderType, t.orderStatus.status] for t in again.openTrades()]
    found["fills_after"] = sorted(f.execution.orderRef for f in again.fills())
    found["completed"] = sorted(
        t.orderStatus.status for t in again.trades() if t.orderStatus.status != "PreSubmitted"
    )
    again.disconnect()
    found["errors"] = sorted({code for code in errors if code not in (2104, 2106, 2158, 202)})
    print(json.dumps(found))


def wait(ib: Any, check: Any) -> None:
    for _ in range(500):
        if check():
            return
        ib.sleep(0.01)
    raise SystemExit(f"never happened: {check}")


main()
