"""What ticks say of one contract, and how it goes together with snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from actors.link.decoder import UndecodableError
from actors.link.ticked_market import TickedMarket
from actors.model.contracts import Contract, SecurityType
from actors.model.market import DataType, Quote

NOW = datetime(2025, 1, 2, 15, 30, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
EPOCH = "1735831800"
SPY = Contract(con_id=756733, symbol="SPY", security_type=SecurityType.STOCK)
BID_ASK = ["99", "1000000000", "3", EPOCH, "600.01", "600.03", "200", "300", "0"]
TRADE = ["99", "1000000001", "1", EPOCH, "600.02", "50", "0", "ARCA", ""]
SNAPSHOT = Quote(
    contract=SPY,
    received_at=NOW,
    bid=590.0,
    ask=590.1,
    last=590.05,
    bid_size=1.0,
    ask_size=2.0,
    last_size=3.0,
    open=588.0,
    high=595.0,
    low=587.0,
    close=589.0,
    volume=1000.0,
    traded_at=NOW,
)


def _market() -> tuple[TickedMarket, list[TickedMarket]]:
    newer: list[TickedMarket] = []
    return TickedMarket(SPY, newer.append), newer


@pytest.mark.req("MKT-7")
def test_ticks_alone_make_a_live_quote_of_prices_sizes_and_times() -> None:
    market, _ = _market()
    market.take_bid_ask(BID_ASK, NOW)
    market.take_trade(TRADE, LATER)
    quote = market.quote()

    assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size) == (600.01, 600.03, 200.0, 300.0)
    assert (quote.last, quote.last_size, quote.volume) == (600.02, 50.0, None)
    assert quote.traded_at == datetime.fromtimestamp(int(EPOCH), UTC)
    assert (quote.received_at, quote.data_type) == (LATER, DataType.LIVE)
    assert (quote.open, quote.high, quote.low, quote.close) == (None,) * 4


@pytest.mark.req("MKT-7")
def test_volume_and_range_are_a_snapshots_and_the_trades_since() -> None:
    market, _ = _market()
    market.rebase(SNAPSHOT)
    market.take_trade(TRADE, LATER)
    market.take_trade([*TRADE[:4], "580.5", "25", *TRADE[6:]], LATER)
    quote = market.quote()

    assert quote.volume == 1000.0 + 50.0 + 25.0
    assert (quote.open, quote.high, quote.low, quote.close) == (588.0, 600.02, 580.5, 589.0)
    assert (quote.bid, quote.ask) == (590.0, 590.1), "no tick has said anything else"


@pytest.mark.req("MKT-7")
def test_a_snapshot_takes_nothing_back_that_a_tick_has_said() -> None:
    market, _ = _market()
    market.take_bid_ask(BID_ASK, NOW)
    market.take_trade(TRADE, NOW)
    market.rebase(SNAPSHOT)
    quote = market.quote()

    assert (quote.bid, quote.ask, quote.last) == (600.01, 600.03, 600.02)
    assert (quote.bid_size, quote.ask_size, quote.last_size) == (200.0, 300.0, 50.0)
    assert (quote.volume, quote.close) == (1000.0, 589.0)


@pytest.mark.req("MKT-4")
@pytest.mark.parametrize("none", ["-1", "0", "nan", "inf", "1.7976931348623157E308"])
def test_a_price_that_does_not_exist_is_none(none: str) -> None:
    market, _ = _market()
    market.take_bid_ask([*BID_ASK[:4], none, *BID_ASK[5:]], NOW)

    assert (market.quote().bid, market.quote().ask) == (None, 600.03)


@pytest.mark.req("MKT-7")
@pytest.mark.parametrize("mask", ["2", "3"])
def test_an_unreported_trade_is_no_last_price_and_adds_no_volume(mask: str) -> None:
    market, newer = _market()
    market.rebase(SNAPSHOT)
    market.take_trade([*TRADE[:6], mask, *TRADE[7:]], NOW)

    assert newer == []
    market.take_bid_ask(BID_ASK, NOW)
    assert (market.quote().last, market.quote().volume) == (590.05, 1000.0)


@pytest.mark.req("MKT-7", "MKT-12")
def test_what_is_handed_on_after_a_snapshot_is_no_older_than_it() -> None:
    market, _ = _market()
    market.take_bid_ask(BID_ASK, NOW)
    market.rebase(attrs.evolve(SNAPSHOT, received_at=LATER))

    assert market.quote().received_at == LATER


def test_a_market_is_noted_as_newer_once_until_it_was_handed_on() -> None:
    market, newer = _market()
    market.take_bid_ask(BID_ASK, NOW)
    market.take_trade(TRADE, NOW)
    assert newer == [market]

    market.is_newer = False
    market.take_bid_ask(BID_ASK, NOW)
    assert newer == [market, market]


@pytest.mark.parametrize(
    "fields",
    [
        BID_ASK[:-1],
        [*BID_ASK, "0"],
        [*BID_ASK[:2], "4", *BID_ASK[3:]],
        [*BID_ASK[:4], "", *BID_ASK[5:]],
        [*BID_ASK[:4], "6_00", *BID_ASK[5:]],
        [*BID_ASK[:4], " 600", *BID_ASK[5:]],
        [*BID_ASK[:6], "many", *BID_ASK[7:]],
    ],
)
def test_a_tick_of_bid_and_ask_that_is_none_of_ibs_is_refused_whole(fields: list[str]) -> None:
    market, newer = _market()
    with pytest.raises(UndecodableError):
        market.take_bid_ask(fields, NOW)

    assert newer == []


@pytest.mark.parametrize(
    "fields",
    [
        TRADE[:-1],
        [*TRADE, ""],
        [*TRADE[:2], "3", *TRADE[3:]],
        [*TRADE[:4], "", *TRADE[5:]],
        [*TRADE[:5], "1e_3", *TRADE[6:]],
        [*TRADE[:6], "x", *TRADE[7:]],
    ],
)
def test_a_tick_of_a_trade_that_is_none_of_ibs_is_refused_whole(fields: list[str]) -> None:
    market, newer = _market()
    with pytest.raises(ValueError, match=r".+"):
        market.take_trade(fields, NOW)

    assert newer == []
