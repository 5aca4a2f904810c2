"""One whole session through IB's own client; prints JSON. Usage: script_ibapi.py PORT"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.order import Order
from ibapi.wrapper import EWrapper


class Client(EWrapper, EClient):  # type: ignore[misc]
    """Collects every callback by name."""

    def __init__(self) -> None:
        EClient.__init__(self, self)
        self.seen: dict[str, list[Any]] = {}

    def note(self, name: str, *values: Any) -> None:
        self.seen.setdefault(name, []).append(values)

    def wait(self, check: Any, what: str) -> None:
        for _ in range(1000):
            if check():
                return
            time.sleep(0.01)
        raise SystemExit(f"never happened: {what}; errors {self.seen.get('error')}")

    def wait_for(self, name: str, count: int = 1) -> list[Any]:
        self.wait(lambda: len(self.seen.get(name, [])) >= count, name)
        return self.seen[name]

    def codes(self) -> set[int]:
        return {values[1] for values in self.seen.get("error", [])}

    def is_answered(self) -> bool:
        return "nextValidId" in self.seen or 326 in self.codes()

    def status_of(self, order_id: int) -> list[str]:
        return [v[1] for v in self.seen.get("orderStatus", []) if v[0] == order_id]


_NAMES = (
    "managedAccounts",
    "nextValidId",
    "error",
    "contractDetails",
    "contractDetailsEnd",
    "tickPrice",
    "tickSize",
    "tickSnapshotEnd",
    "tickOptionComputation",
    "historicalData",
    "historicalDataEnd",
    "updateAccountValue",
    "accountDownloadEnd",
    "position",
    "positionEnd",
    "orderStatus",
    "openOrder",
    "openOrderEnd",
    "execDetails",
    "execDetailsEnd",
    "commissionReport",
    "securityDefinitionOptionParameter",
    "securityDefinitionOptionParameterEnd",
    "connectionClosed",
    "completedOrder",
    "completedOrdersEnd",
    "pnlSingle",
    "symbolSamples",
)


def recorder(name: str) -> Any:
    def callback(self: Client, *values: Any) -> None:
        self.note(name, *values)

    return callback


for _name in _NAMES:
    setattr(Client, _name, recorder(_name))


def connect(port: int) -> Client:
    for _ in range(10):
        client = Client()
        client.connect("127.0.0.1", port, 11)
        threading.Thread(target=client.run, daemon=True).start()
        client.wait(client.is_answered, "connection")
        if "nextValidId" in client.seen:
            return client
        time.sleep(0.3)  # the reader of the first connection holds its socket for up to a second
    raise SystemExit("the client id never became free")


def stock() -> Contract:
    contract = Contract()
    contract.symbol, contract.secType = "SPY", "STK"
    contract.exchange, contract.currency = "SMART", "USD"
    return contract


def order(kind: str, action: str, quantity: int, **values: Any) -> Order:
    made = Order()
    made.orderType, made.action, made.totalQuantity = kind, action, quantity
    for name, value in values.items():
        setattr(made, name, value)
    return made


def look_up(client: Client, found: dict[str, Any]) -> tuple[Contract, Contract]:
    client.reqContractDetails(1, stock())
    client.wait_for("contractDetailsEnd")
    spy = client.seen["contractDetails"][0][1].contract
    found["spy"] = spy.conId
    client.reqSecDefOptParams(2, "SPY", "", "STK", spy.conId)
    client.wait_for("securityDefinitionOptionParameterEnd")
    expiry = sorted(client.seen["securityDefinitionOptionParameter"][0][5])[5]
    option = stock()
    option.secType, option.lastTradeDateOrContractMonth = "OPT", expiry
    option.strike, option.right, option.multiplier = 595.0, "C", "100"
    client.reqContractDetails(3, option)
    client.wait_for("contractDetailsEnd", 2)
    option = client.seen["contractDetails"][1][1].contract
    found["option"] = option.conId
    return spy, option


def read_market(client: Client, spy: Contract, option: Contract, found: dict[str, Any]) -> None:
    client.reqMktData(4, spy, "", True, False, [])
    client.wait_for("tickSnapshotEnd")
    ticks = {v[1]: v[2] for v in client.seen["tickPrice"]}
    sizes = {v[1]: v[2] for v in client.seen["tickSize"]}
    found["quote"] = [ticks[1], ticks[4], ticks[2], sizes[8], ticks[9]]
    client.reqMktData(5, option, "", True, False, [])
    client.wait_for("tickSnapshotEnd", 2)
    model = [v for v in client.seen["tickOptionComputation"] if v[1] == 13]
    found["delta"] = model[0][3]
    client.reqHistoricalData(6, spy, "", "3600 S", "1 min", "TRADES", 1, 1, False, [])
    client.wait_for("historicalDataEnd")
    bars = [v[1] for v in client.seen["historicalData"]]
    found["bars"] = [len(bars), bars[-1].close, bars[-1].date.endswith("US/Eastern")]
    client.reqMatchingSymbols(7, "SPY")
    found["samples"] = len(client.wait_for("symbolSamples")[0][1])
    client.reqAccountUpdates(True, "")
    client.wait_for("accountDownloadEnd")
    values = {v[0]: v[1] for v in client.seen["updateAccountValue"] if v[2] != "BASE"}
    found["net_liquidation"] = [values["NetLiquidation"]]


def trade(client: Client, spy: Contract, option: Contract, found: dict[str, Any]) -> None:
    first = client.seen["nextValidId"][0][0]
    client.placeOrder(first, spy, order("MKT", "BUY", 100, orderRef="interop-1"))
    client.wait_for("commissionReport")
    client.wait(lambda: "Filled" in client.status_of(first), "fill")
    found["market"] = [client.status_of(first)[-1], client.seen["execDetails"][0][2].cumQty]
    found["commission"] = client.seen["commissionReport"][0][0].commission
    client.placeOrder(first + 1, option, order("MKT", "BUY", 2))
    client.wait(lambda: "Filled" in client.status_of(first + 1), "option fill")
    found["option_status"] = client.status_of(first + 1)[-1]
    client.placeOrder(first + 2, spy, order("LMT", "BUY", 10, lmtPrice=500.0))
    client.wait(lambda: "Submitted" in client.status_of(first + 2), "limit order")
    client.placeOrder(first + 2, spy, order("LMT", "BUY", 10, lmtPrice=501.0))
    client.wait(lambda: len(client.status_of(first + 2)) > 2, "modification")
    client.cancelOrder(first + 2)
    client.wait(lambda: "Cancelled" in client.status_of(first + 2), "cancel")
    found["limit"] = client.status_of(first + 2)[-1]
    client.placeOrder(first + 3, spy, order("STP", "SELL", 100, auxPrice=400.0))
    client.wait(lambda: client.status_of(first + 3), "stop order")
    held = [v[9] for v in client.seen["orderStatus"] if v[0] == first + 3]
    found["stop"] = [client.status_of(first + 3)[-1], held[-1]]
    client.placeOrder(first + 4, spy, order("MKT", "BUY", 100, whatIf=True))
    client.wait(lambda: any(v[0] == first + 4 for v in client.seen["openOrder"]), "preview")
    previews = [v for v in client.seen["openOrder"] if v[0] == first + 4]
    found["preview"] = float(previews[0][3].initMarginAfter)
    client.reqPositions()
    client.wait_for("positionEnd")
    rows = {v[1].secType: v[2] for v in client.seen["position"]}
    found["positions"] = sorted([kind, quantity] for kind, quantity in rows.items())
    client.reqPnLSingle(8, "DU1234567", "", spy.conId)
    found["pnl_position"] = client.wait_for("pnlSingle")[0][1]


def come_back(port: int, found: dict[str, Any]) -> None:
    again = connect(port)
    again.reqOpenOrders()
    again.wait_for("openOrderEnd")
    again.reqCompletedOrders(False)
    again.wait_for("completedOrdersEnd")
    from ibapi.execution import ExecutionFilter

    again.reqExecutions(9, ExecutionFilter())
    again.wait_for("execDetailsEnd")
    orders = {v[0]: [v[2].orderType, v[3].status] for v in again.seen["openOrder"]}
    found["open_after"] = list(orders.values())
    found["fills_after"] = sorted(v[2].orderRef for v in again.seen["execDetails"])
    found["completed"] = sorted(v[2].status for v in again.seen["completedOrder"])
    again.disconnect()


def main() -> None:
    port = int(sys.argv[1])
    found: dict[str, Any] = {"library": "ibapi"}
    client = connect(port)
    found["version"] = client.serverVersion()
    found["accounts"] = [a for a in client.wait_for("managedAccounts")[0][0].split(",") if a]
    spy, option = look_up(client, found)
    read_market(client, spy, option, found)
    trade(client, spy, option, found)
    client.disconnect()
    come_back(port, found)
    found["errors"] = sorted(client.codes() - {2104, 2106, 2158, 202})
    print(json.dumps(found))


main()
