"""Contracts, quotes, history, accounts: what a client is told when it asks."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supervision.simulator import Limits, ReplayError
from supervision.simulator import options as black_scholes

from .wire import SPY, START, Wire, gateway, open_wire, option, order, run, stock

REAL_BARS = Path(__file__).parents[3] / "shared" / "market" / "sp500_1min_2019-11.csv"


def snapshot(
    request_id: int, contract: list[object], *, generic: str = "", once: int = 1
) -> list[object]:
    return [1, 11, request_id, *contract, 0, generic, once, 0, ""]


def history(
    request_id: int,
    contract: list[object],
    duration: str = "3600 S",
    bar: str = "1 min",
    end: str = "",
    show: str = "TRADES",
    form: int = 1,
) -> list[object]:
    return [20, request_id, *contract, 0, end, bar, duration, 1, show, form, 0, ""]


def details(request_id: int, contract: list[object]) -> list[object]:
    return [9, 8, request_id, *contract, 0, "", "", ""]


def ask(
    *requests: list[object], end: str, version: str = "v157..176", **settings: Any
) -> list[list[str]]:
    """Send requests, read up to the end marker of the last."""

    async def body() -> list[list[str]]:
        async with gateway(**settings) as simulator:
            wire = await open_wire(simulator.port, version=version)
            for fields in requests[:-1]:
                wire.send(*fields)
                await wire.quiet()
            wire.send(*requests[-1])
            return await wire.until(end)

    return run(body)


def bars_of(message: list[str]) -> list[list[str]]:
    count = int(message[4])
    rows = message[5:]
    assert len(rows) == 8 * count
    return [rows[i : i + 8] for i in range(0, len(rows), 8)]


# Contracts --------------------------------------------------------------------------------------


@pytest.mark.req("SIM-1", "SIM-2")
@pytest.mark.parametrize(("version", "count"), [("v157..176", 40), ("v100..157", 39)])
def test_contract_details_have_exactly_the_fields_of_the_version(version: str, count: int) -> None:
    messages = ask(details(7, stock()), end="52", version=version)

    assert [message[0] for message in messages] == ["10", "52"]
    assert len(messages[0]) == count
    assert str(SPY) in messages[0]
    assert "US/Eastern" in messages[0]


@pytest.mark.req("SIM-6")
def test_trading_hours_say_that_the_market_never_closes() -> None:
    [message, _] = ask(details(7, stock()), end="52")
    hours = message[message.index("US/Eastern") + 1]

    assert hours.startswith("20260304:0000-20260304:2359;20260305:0000-")


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("contract", "code"),
    [(stock("NOPE"), 200), (stock(con_id=12), 200), ([0, "SPY", "XYZ", *[""] * 9], 321)],
)
def test_contract_that_does_not_exist_is_an_error(contract: list[object], code: int) -> None:
    [message] = ask(details(7, contract), end="4")

    assert (message[2], message[3]) == ("7", str(code))


@pytest.mark.req("SIM-2")
def test_ambiguous_contract_is_answered_with_every_match() -> None:
    messages = ask(details(7, stock("SHOP", currency="")), end="52")

    assert [message[8] for message in messages[:-1]] == ["USD", "CAD"]


@pytest.mark.req("SIM-2")
def test_option_chain_lists_expiries_and_strikes_that_qualify() -> None:
    async def body() -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(78, 3, "SPY", "", "STK", SPY)
            chain = await wire.until("76")
            expiry = chain[0][7]
            wire.send(*details(4, option(expiry, 595, "C")))
            one = await wire.until("52")
            wire.send(*details(5, [one[0][12], "", "OPT", "", 0, "", "", "", "", "", "", ""]))
            return chain, one, await wire.until("52")

    chain, one, again = run(body)

    assert [message[2] for message in chain[:-1]] == ["SMART", "CBOE", "ISE"]
    assert chain[0][7] == "20260304"
    assert int(chain[0][6]) > 20
    assert (len(one), len(again)) == (2, 2)
    assert again[0][12] == one[0][12]
    assert one[0][9] == "SPY   260304C00595000"


@pytest.mark.req("SIM-2")
def test_same_option_has_the_same_contract_id_on_another_day() -> None:
    from supervision.simulator.contracts import Universe
    from supervision.simulator.instruments import ContractQuery

    query = ContractQuery(symbol="AAPL", sec_type="OPT", expiry="20270115", strike=230, right="C")
    first = Universe().find(query, dt.date(2026, 11, 2))
    second = Universe(extra_symbols=500).find(query, dt.date(2026, 12, 24))

    assert len(first) == 1
    assert first == second


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("request_", "end", "expected"),
    [
        ([17, 1], "15", ["15", "1", "DU1234567"]),
        ([8, 1, -1], "9", ["9", "1", "1"]),
        ([49, 1], "49", ["49", "1", str(int(START.timestamp()))]),
        ([104, 5], "107", ["107", "5", ""]),
        ([80], "78", ["78", "1", "*", ""]),
        ([91, 26], "93", ["93", "26", "1", "0.0", "0.01"]),
        ([78, 6, "ZZZ", "", "STK", 1], "76", ["76", "6"]),
    ],
)
def test_small_questions_have_small_answers(
    request_: list[object], end: str, expected: list[str]
) -> None:
    assert ask(request_, end=end)[-1] == expected


@pytest.mark.req("SIM-1")
@pytest.mark.parametrize(("version", "per_item"), [("v157..176", 9), ("v100..157", 7)])
def test_symbol_samples_follow_the_version(version: str, per_item: int) -> None:
    [message] = ask([81, 5, "MSF"], end="79", version=version)

    assert len(message) == 3 + per_item
    assert message[3:8] == ["272093", "MSFT", "STK", "NASDAQ", "USD"]


# Quotes -----------------------------------------------------------------------------------------


@pytest.mark.req("SIM-2")
def test_snapshot_sends_each_default_tick_once_and_ends() -> None:
    messages = ask(snapshot(5, stock()), end="57")
    kinds = [(message[0], message[3]) for message in messages if message[0] in ("1", "2", "46")]

    assert [message[0] for message in messages[:2]] == ["58", "81"]
    assert messages[0] == ["58", "1", "5", "1"]
    assert len(kinds) == len(set(kinds))
    assert {kind for number, kind in kinds if number == "1"} == {"1", "2", "4", "6", "7", "9", "14"}
    assert {kind for number, kind in kinds if number == "2"} == {"0", "3", "5", "8"}
    assert ("46", "45") in kinds
    assert messages[-1] == ["57", "1", "5"]


@pytest.mark.req("SIM-1")
def test_sizes_are_integers_for_old_clients() -> None:
    messages = ask(snapshot(5, stock()), end="57", version="v100..157")

    assert all(message[4].isdigit() for message in messages if message[0] == "2")
    assert all(message[5].isdigit() for message in messages if message[0] == "1")


@pytest.mark.req("SIM-2", "SIM-3")
def test_option_snapshot_has_greeks_consistent_with_its_price() -> None:
    async def body() -> list[list[str]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            expiry = simulator.universe.expiries(
                simulator.universe.stocks[0], simulator.market.today
            )[-1]
            wire.send(*snapshot(5, option(expiry, 600, "P")))
            return [[expiry], *await wire.until("57")]

    [[expiry], *messages] = run(body)
    model = next(m for m in messages if m[0] == "21" and m[2] == "13")
    volatility, delta, price, _, gamma, vega, theta, spot = (float(text) for text in model[4:])
    closes = dt.datetime.strptime(expiry, "%Y%m%d").replace(hour=20, tzinfo=dt.UTC)
    years = (closes - START).total_seconds() / (365 * 86_400)
    again = black_scholes.value(spot, 600.0, years, volatility, call=False)

    assert len(model) == 12
    assert price == pytest.approx(again.price, rel=1e-2)
    assert -1 < delta < 0 < gamma
    assert vega > 0 > theta
    prices = {m[3]: float(m[4]) for m in messages if m[0] == "1"}
    assert 0 < prices["1"] <= price <= prices["2"]


@pytest.mark.req("SIM-3")
def test_bid_never_exceeds_ask_and_last_lies_between() -> None:
    async def body() -> None:
        async with gateway(extra_symbols=40) as simulator:
            for _ in range(40):
                for contract in simulator.universe.stocks:
                    quote = simulator.market.quote(contract)
                    assert quote.bid is not None
                    assert quote.ask is not None
                    assert quote.last is not None
                    assert 0 < quote.bid <= quote.last <= quote.ask
                    assert quote.bid < quote.ask
                    assert quote.low is not None
                    assert quote.high is not None
                    assert quote.low <= quote.last <= quote.high
                await __import__("asyncio").sleep(37.0)

    run(body)


@pytest.mark.req("SIM-2")
def test_put_call_parity_holds() -> None:
    call = black_scholes.value(100.0, 105.0, 0.5, 0.3, call=True).price
    put = black_scholes.value(100.0, 105.0, 0.5, 0.3, call=False).price

    assert call - put == pytest.approx(100 - 105 * math.exp(-black_scholes.RATE * 0.5))


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (snapshot(5, stock(), generic="233"), 321),
        (snapshot(5, stock(), generic="999", once=0), 321),
        (snapshot(5, stock("NOPE")), 200),
        (snapshot(5, stock("SHOP", currency="")), 200),
        ([2, 2, 77], 300),
        ([97, 5, *stock(), "Every", 0, 0], 321),
        ([59, 1, 9], 321),
    ],
)
def test_market_data_errors(fields: list[object], code: int) -> None:
    assert ask(fields, end="4")[-1][3] == str(code)


@pytest.mark.req("SIM-2")
def test_stream_ticks_only_what_changed_until_it_is_cancelled() -> None:
    async def body() -> tuple[int, int, int]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*snapshot(5, stock(), once=0))
            first = len(await wire.quiet(0.5))
            later = [await wire.read() for _ in range(30)]
            wire.send(2, 2, 5)
            await wire.quiet(0.5)
            after = len(await wire.quiet(20.0))
            return first, len([m for m in later if m[0] in ("1", "2", "46")]), after

    first, later, after = run(body)

    assert first > 10
    assert (later, after) == (30, 0)


@pytest.mark.req("SIM-6")
def test_market_data_lines_and_tick_by_tick_are_limited() -> None:
    async def body() -> tuple[int, int]:
        async with gateway(limits=Limits(market_data_lines=2, tick_by_tick=1)) as simulator:
            wire = await open_wire(simulator.port)
            for request_id in (1, 2, 3):
                wire.send(*snapshot(request_id, stock(), once=0))
            lines = (await wire.error())[1]
            for request_id in (11, 12):
                wire.send(97, request_id, *stock(), "BidAsk", 0, 0)
            return lines, (await wire.error())[1]

    assert run(body) == (101, 10190)


@pytest.mark.req("SIM-6")
def test_a_snapshot_takes_a_line_until_it_ends_or_is_given_back() -> None:
    async def body() -> tuple[list[str], int, str, int]:
        limits = Limits(market_data_lines=2)
        async with gateway(limits=limits, snapshot_delay_s=0.2) as simulator:
            wire = await open_wire(simulator.port)
            for request_id in (1, 2, 3):
                wire.send(*snapshot(request_id, stock()))
            refused = await wire.error()
            wire.send(2, 2, 1)
            wire.send(*snapshot(4, stock()))
            ended = [(await wire.until("57"))[-1][2] for _ in range(2)]
            wire.send(2, 2, 4)
            return sorted(ended), refused[1], str(refused[0]), (await wire.error())[1]

    assert run(body) == (["2", "4"], 101, "3", 300)


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("name", "kind", "count"), [("Last", "1", 9), ("BidAsk", "3", 9), ("MidPoint", "4", 5)]
)
def test_tick_by_tick_has_the_fields_of_its_type(name: str, kind: str, count: int) -> None:
    message = ask([97, 5, *stock(), name, 0, 0], end="99")[-1]

    assert (message[1], message[2], len(message)) == ("5", kind, count)


# History ----------------------------------------------------------------------------------------


@pytest.mark.req("SIM-2", "SIM-3")
def test_history_ends_with_the_quote() -> None:
    async def body() -> tuple[list[str], list[list[str]]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*history(1, stock()))
            bars = (await wire.until("17"))[-1]
            wire.send(*snapshot(2, stock()))
            return bars, await wire.until("57")

    message, ticks = run(body)
    bars = bars_of(message)
    last = next(m[4] for m in ticks if m[0] == "1" and m[3] == "4")

    assert len(bars) == 60
    assert bars[-1][4] == last
    assert bars[-1][0] == "20260304 10:30:00 US/Eastern"
    assert bars[0][0] == "20260304 09:31:00 US/Eastern"
    for _, open_, high, low, close, volume, _, _ in bars:
        assert float(low) <= min(float(open_), float(close))
        assert float(high) >= max(float(open_), float(close))
        assert int(volume) > 0


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("fields", "count", "first"),
    [
        (history(1, stock(), "1800 S", "5 mins"), 6, "20260304 10:05:00 US/Eastern"),
        (history(1, stock(), "2 D", "1 day"), 2, "20260303"),
        (history(1, stock(), "60 S", form=2), 1, "1772638200"),
        (history(1, stock(), "120 S", end="20260304-12:00:00"), 2, "20260304 06:58:00 US/Eastern"),
        (history(1, stock(), "60 S", show="MIDPOINT"), 1, "20260304 10:30:00 US/Eastern"),
    ],
)
def test_history_in_other_forms(fields: list[object], count: int, first: str) -> None:
    bars = bars_of(ask(fields, end="17")[-1])

    assert (len(bars), bars[0][0]) == (count, first)


@pytest.mark.req("SIM-2")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (history(1, stock(), bar="7 mins"), 321),
        (history(1, stock(), "a while"), 321),
        (history(1, stock(), "900 Y"), 162),
        (history(1, stock(), end="yesterday"), 321),
        (history(1, stock(), show="WISHES"), 321),
        (history(1, stock("NOPE")), 200),
        ([25, 1, 99], 366),
    ],
)
def test_history_errors(fields: list[object], code: int) -> None:
    assert ask(fields, end="4")[-1][3] == str(code)


@pytest.mark.req("SIM-6")
def test_historical_requests_are_paced() -> None:
    async def body() -> tuple[int, int]:
        async with gateway(limits=Limits(history_per_ten_minutes=3)) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*history(1, stock()))
            wire.send(*history(2, stock()))
            identical = (await wire.error())[1]
            for request_id, symbol in enumerate(("QQQ", "IWM", "AAPL"), start=3):
                wire.send(*history(request_id, stock(symbol)))
            return identical, (await wire.error())[0]

    assert run(body) == (162, 5)


# The breakout -----------------------------------------------------------------------------------


def _ema(closes: np.ndarray[Any, np.dtype[np.float64]], length: int) -> float:
    value = float(closes[0])
    for close in closes[1:]:
        value += (float(close) - value) * 2 / (length + 1)
    return value


def _is_breakout(bars: list[list[str]], last: float) -> bool:
    table = np.array([[float(text) for text in bar[1:6]] for bar in bars])
    closes = table[:, 3]
    changes = np.diff(closes)[-14:]
    gain, loss = changes[changes > 0].sum() / 14, -changes[changes < 0].sum() / 14
    rsi = 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss)
    vwap = (table[:, 1:4].mean(axis=1) * table[:, 4]).sum() / table[:, 4].sum()
    return _ema(closes, 8) > _ema(closes, 21) and 50 <= rsi <= 65 and last > vwap


async def _breakouts(wire: Wire, times: int, step_s: float) -> list[bool]:
    import asyncio

    found = []
    for index in range(times):
        wire.send(*history(100 + index, stock(), f"{3600 + index} S"))
        bars = bars_of((await wire.until("17"))[-1])[-60:]
        wire.send(*snapshot(500 + index, stock()))
        ticks = await wire.until("57")
        last = next(float(m[4]) for m in ticks if m[0] == "1" and m[3] == "4")
        found.append(_is_breakout(bars, last))
        await asyncio.sleep(step_s)
    return found


@pytest.mark.req("SIM-3")
@pytest.mark.parametrize(
    ("seed", "times", "expected"), [(7, 30, [True] * 30), (11, 60, [False] * 60)]
)
def test_only_the_default_seed_breaks_out(seed: int, times: int, expected: list[bool]) -> None:
    async def body() -> list[bool]:
        limits = Limits(history_per_ten_minutes=0)
        async with gateway(seed=seed, limits=limits) as simulator:
            return await _breakouts(await open_wire(simulator.port), times, 10.0)

    assert run(body) == expected


# Replay -----------------------------------------------------------------------------------------


def _csv(folder: Path, text: str) -> Path:
    path = folder / "bars.csv"
    path.write_text(text, encoding="utf-8")
    return path


ROWS = "11/5/2019 9:30,10.0,10.5,10.6,9.9,0\n11/5/2019 9:31,10.5,11.0,11.1,10.4,5\n"


@pytest.mark.req("SIM-3")
def test_replay_finds_columns_by_name_and_keeps_volume_zero(tmp_path: Path) -> None:
    file = _csv(tmp_path, "date,OPEN,Close,High,Low,Volume\n" + ROWS)

    async def body() -> list[list[str]]:
        async with gateway(replay={"ABC": file}, replay_offset=1) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*history(1, stock("ABC"), "120 S"))
            return bars_of((await wire.until("17"))[-1])

    first, second = run(body)

    assert first == [
        *("20260304 10:29:00 US/Eastern", "10.0", "10.6", "9.9", "10.5", "0", "10.3333", "0")
    ]
    assert (second[0], second[1], second[3]) == ("20260304 10:30:00 US/Eastern", "10.5", "10.4")


@pytest.mark.req("SIM-3")
def test_replay_moves_on_and_stops_at_its_last_price(tmp_path: Path) -> None:
    import asyncio

    file = _csv(tmp_path, "Date,Open,Close,High,Low,Volume\n" + ROWS)

    async def body() -> tuple[float | None, float | None]:
        async with gateway(replay={"SPY": file}, replay_offset=1, speed=10) as simulator:
            contract = simulator.universe.stocks[0]
            first = simulator.market.quote(contract).last
            await asyncio.sleep(600.0)
            return first, simulator.market.quote(contract).last

    first, last = run(body)

    assert first is not None
    assert first <= 11.1
    assert last == 11.0


@pytest.mark.req("SIM-3")
@pytest.mark.skipif(not REAL_BARS.exists(), reason=f"{REAL_BARS.name} is not on this machine")
def test_replay_of_real_bars_gives_an_hour_of_history() -> None:
    async def body() -> list[list[str]]:
        async with gateway(replay={"SPX": REAL_BARS}) as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*history(1, stock("SPX")))
            return bars_of((await wire.until("17"))[-1])

    bars = run(body)

    assert len(bars) == 60
    assert {bar[5] for bar in bars} == {"0"}
    assert all(3000 < float(bar[4]) < 3200 for bar in bars)


@pytest.mark.req("SIM-3")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1"),
        ("Date,Open,High,Low,Close\n", "line 1: no column named volume"),
        ("Open,High,Low,Close,Volume\n1,1,1,1,1\n", "no column named date"),
        ("Date,Open,High,Low,Close,Volume\n1/1/2019 9:30,1,1,1,x,1\n", "line 2, column close"),
        ("Date,Open,High,Low,Close,Volume\nsoon,1,1,1,1,1\n", "line 2, column date"),
        ("Date,Open,High,Low,Close,Volume\n1/1/2019 9:30,1,1\n", "line 2, column low: missing"),
        ("Date,Open,High,Low,Close,Volume\n1/1/2019 9:30,1,nan,1,1,1\n", "line 2, column high"),
        ("Date,Open,High,Low,Close,Volume\n1/1/2019 9:30,5,9,6,7,1\n", "line 2, column low"),
        ("Date,Open,High,Low,Close,Volume\n1/1/2019 9:30,1,1,1,1,1\n", "at least 2 bars"),
    ],
)
def test_bad_replay_file_is_refused_with_file_line_and_column(
    tmp_path: Path, text: str, place: str
) -> None:
    from supervision.simulator.replay import read_bars

    file = _csv(tmp_path, text)

    with pytest.raises(ReplayError) as caught:
        read_bars(file)

    assert str(file) in str(caught.value)
    assert place in str(caught.value)


# Accounts ---------------------------------------------------------------------------------------


@pytest.mark.req("SIM-2")
def test_account_updates_send_values_portfolio_time_and_end() -> None:
    async def body() -> list[list[str]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1))
            await wire.quiet()
            wire.send(6, 2, 1, "DU1234567")
            return await wire.until("54")

    messages = run(body)
    values = {(m[2], m[4]): m[3] for m in messages if m[0] == "6"}

    assert all(len(message) == 6 for message in messages if message[0] == "6")
    assert values["AccountReady", ""] == "true"
    for key in ("NetLiquidation", "TotalCashValue", "AvailableFunds", "BuyingPower"):
        assert float(values[key, "USD"]) > 0
    assert ("RealizedPnL", "BASE") in values
    portfolio = next(message for message in messages if message[0] == "7")
    assert (len(portfolio), portfolio[6:8], portfolio[13]) == (20, ["0", "0"], "100")
    assert [message[0] for message in messages[-2:]] == ["8", "54"]


@pytest.mark.req("SIM-2")
def test_fill_pushes_position_portfolio_and_changed_values() -> None:
    async def body() -> list[list[str]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(61, 1)
            await wire.until("62")
            wire.send(6, 2, 1, "")
            await wire.until("54")
            wire.send(76, 1, 9, "DU1234567", "", 0)
            await wire.until("74")
            wire.send(*order(1))
            return await wire.quiet()

    messages = run(body)
    position = next(message for message in messages if message[0] == "61")

    assert (len(position), position[7:9], position[14]) == (16, ["0.0", ""], "100")
    assert {"7", "6", "8", "73"} <= {message[0] for message in messages}
    assert len(next(message for message in messages if message[0] == "73")) == 8


@pytest.mark.req("SIM-2")
def test_summary_positions_multi_and_pnl_answer() -> None:
    async def body() -> dict[str, list[list[str]]]:
        async with gateway() as simulator:
            wire = await open_wire(simulator.port)
            wire.send(*order(1))
            await wire.quiet()
            wire.send(62, 1, 5, "All", "NetLiquidation,BuyingPower")
            summary = await wire.until("64")
            wire.send(74, 1, 6, "DU1234567", "")
            multi = await wire.until("72")
            wire.send(92, 7, "DU1234567", "")
            pnl = [await wire.read() for _ in range(3)]
            wire.send(93, 7)
            wire.send(94, 8, "DU1234567", "", SPY)
            single = await wire.until("95")
            return {"summary": summary, "multi": multi, "pnl": pnl, "single": single}

    found = run(body)

    assert [message[4] for message in found["summary"][:-1]] == ["NetLiquidation", "BuyingPower"]
    assert [len(message) for message in found["multi"]] == [18, 3]
    assert [(message[0], len(message)) for message in found["pnl"]] == [("94", 5)] * 3
    assert len(found["single"][-1]) == 7
    assert found["single"][-1][2] == "100"


@pytest.mark.req("SIM-6")
def test_third_account_summary_is_refused() -> None:
    requests: list[list[object]] = [
        [62, 1, number, "All", "NetLiquidation"] for number in (1, 2, 3)
    ]

    messages = ask(*requests, end="4")

    assert messages[-1][2:4] == ["3", "322"]
