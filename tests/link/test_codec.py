"""Our client writes the library's own bytes, and reads real frames as the library does."""

# mypy: disable-error-code="no-untyped-call"
# ib_insync's methods have no annotations.

from __future__ import annotations

import asyncio
import dataclasses
import math
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_insync.client import Client
from ib_insync.contract import Contract as IbContract
from ib_insync.contract import TagValue
from ib_insync.decoder import Decoder
from ib_insync.objects import Execution
from ib_insync.order import Order as IbOrder
from ib_insync.order import OrderState
from ib_insync.util import UNSET_DOUBLE, UNSET_INTEGER

from actors.errors import GatewayConnectionError, GatewayError
from actors.link.client import SessionClient
from actors.link.decoder import StrictDecoder
from actors.link.orders import OrderSender, ib_contract
from actors.model.contracts import Contract, Right, SecurityType
from actors.model.orders import OrderAction, OrderType, Purpose, TimeInForce, WireOrder


class _Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


def _connect(client: Any, version: int) -> _Transport:
    transport = _Transport()
    client.conn.transport = transport
    client.connState = Client.CONNECTED
    client._serverVersion = version
    return transport


def _ours(version: int = 176) -> tuple[SessionClient, _Transport]:
    owner: Any = SimpleNamespace()
    client = SessionClient(SimpleNamespace(), owner, max_frame_bytes=1000, max_unsent_bytes=1000)
    return client, _connect(client, version)


def _theirs(version: int = 176) -> tuple[Client, _Transport]:
    client = Client(SimpleNamespace())
    client.MaxRequests = 0
    return client, _connect(client, version)


@pytest.fixture(autouse=True)
def _loop() -> Any:
    """The library's own client asks for the thread's loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


OPTION = Contract(
    con_id=700,
    symbol="SPY",
    security_type=SecurityType.OPTION,
    primary_exchange="CBOE",
    local_symbol="SPY   261218C00600000",
    trading_class="SPY",
    expiry=date(2026, 12, 18),
    strike=600.0,
    right=Right.CALL,
    multiplier=100.0,
)


@pytest.mark.req("ORD-4")
@pytest.mark.parametrize("version", [157, 176])
@pytest.mark.parametrize("quantity", [10.0, 0.5])
def test_an_order_is_written_as_the_library_writes_it(version: int, quantity: float) -> None:
    order = WireOrder(
        order_ref="CSATSPRIM:ORD_1",
        contract=OPTION,
        action=OrderAction.SELL,
        quantity=quantity,
        order_type=OrderType.LIMIT,
        limit_price=5.25,
        time_in_force=TimeInForce.IOC,
        account="DU1234567",
        operator_id="CSATSPRIM",
        purpose=Purpose.OPEN,
    )
    ours, our_bytes = _ours(version)
    theirs, their_bytes = _theirs(version)

    OrderSender().place(ours, 17, order)
    theirs.placeOrder(
        17,
        IbContract(
            conId=700,
            symbol="SPY",
            secType="OPT",
            lastTradeDateOrContractMonth="20261218",
            strike=600.0,
            right="C",
            multiplier="100",
            exchange="SMART",
            primaryExchange="CBOE",
            currency="USD",
            localSymbol="SPY   261218C00600000",
            tradingClass="SPY",
        ),
        IbOrder(
            action="SELL",
            totalQuantity=quantity if quantity < 1 else int(quantity),
            orderType="LMT",
            lmtPrice=5.25,
            tif="IOC",
            account="DU1234567",
            orderRef="CSATSPRIM:ORD_1",
            extOperator="CSATSPRIM",
            transmit=True,
            outsideRth=False,
        ),
    )

    assert our_bytes.written == their_bytes.written


@pytest.mark.req("STC-9")
@pytest.mark.parametrize("version", [157, 176])
def test_an_order_for_a_future_goes_to_its_exchange_and_works_in_all_its_hours(
    version: int,
) -> None:
    ours, our_bytes = _ours(version)
    theirs, their_bytes = _theirs(version)
    contract = Contract(
        con_id=701,
        symbol="ES",
        security_type=SecurityType.FUTURE,
        exchange="CME",
        local_symbol="ESZ6",
        trading_class="ES",
        expiry=date(2026, 12, 18),
        multiplier=50.0,
    )
    order = WireOrder(
        order_ref="CSATSPRIM:ORD_2",
        contract=contract,
        action=OrderAction.SELL,
        quantity=1.0,
        order_type=OrderType.MARKET,
        account="DU1234567",
        operator_id="CSATSPRIM",
        purpose=Purpose.CLOSE,
    )

    OrderSender().place(ours, 18, order)
    theirs.placeOrder(
        18,
        IbContract(
            conId=701,
            symbol="ES",
            secType="FUT",
            lastTradeDateOrContractMonth="20261218",
            exchange="CME",
            currency="USD",
            localSymbol="ESZ6",
            tradingClass="ES",
        ),
        IbOrder(
            action="SELL",
            totalQuantity=1,
            orderType="MKT",
            tif="DAY",
            account="DU1234567",
            orderRef="CSATSPRIM:ORD_2",
            extOperator="CSATSPRIM",
            transmit=True,
            outsideRth=True,
        ),
    )

    assert our_bytes.written == their_bytes.written


@given(
    st.lists(
        st.one_of(
            st.integers(),
            st.floats(),
            st.booleans(),
            st.none(),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            st.sampled_from([UNSET_DOUBLE, UNSET_INTEGER, float(UNSET_INTEGER), math.inf]),
            st.just([TagValue("a", "b"), TagValue("c", "")]),
            st.just(ib_contract(OPTION)),
        ),
        min_size=1,
    )
)
def test_any_fields_are_written_as_the_library_writes_them(fields: list[Any]) -> None:
    ours, our_bytes = _ours()
    theirs, their_bytes = _theirs()

    ours.send(*fields)
    theirs.send(*fields)

    assert our_bytes.written == their_bytes.written


def test_defaults_of_one_order_do_not_leak_into_the_next() -> None:
    def order(price: float | None) -> WireOrder:
        return WireOrder(
            order_ref="CSATSPRIM:ORD_1",
            contract=OPTION,
            action=OrderAction.BUY,
            quantity=1.0,
            order_type=OrderType.LIMIT if price else OrderType.MARKET,
            limit_price=price,
            account="DU1234567",
            operator_id="CSATSPRIM",
            purpose=Purpose.OPEN,
        )

    first, alone = _ours()
    second, after = _ours()
    OrderSender().place(first, 1, order(None))
    OrderSender().place(_ours()[0], 1, order(5.0))
    OrderSender().place(second, 1, order(None))

    assert alone.written == after.written


def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    client, transport = _ours()
    client.conn.transport = None

    with pytest.raises(GatewayConnectionError):
        client.reqCurrentTime()
    assert transport.written == b""


@pytest.mark.req("MKT-5")
@pytest.mark.parametrize("symbol", ["SPY\0STK", "SPY\ud800"])
def test_a_text_cannot_smuggle_fields_into_a_message(symbol: str) -> None:
    client, transport = _ours()

    with pytest.raises(GatewayError, match="a text for the gateway"):
        client.reqContractDetails(1, IbContract(symbol=symbol, secType="STK"))
    assert transport.written == b""


def test_the_library_keeps_silent(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = _ours()
    client._logger.error("an account number")

    assert caplog.records == []


_TEXTS = st.sampled_from(["", "0", "1", "7", "-3"])


@given(texts=st.lists(_TEXTS, min_size=200, max_size=200), left_out=st.integers(0, 5))
@pytest.mark.parametrize("kind", [IbOrder, IbContract, OrderState, Execution])
def test_texts_are_converted_as_the_library_converts_them(
    kind: type, texts: list[str], left_out: int
) -> None:
    ours, theirs = kind(), kind()
    for at, (field, text) in enumerate(zip(dataclasses.fields(kind), texts, strict=False)):
        if field.default is not dataclasses.MISSING and at % 6 != left_out:
            setattr(ours, field.name, text)
            setattr(theirs, field.name, text)

    StrictDecoder(SimpleNamespace()).parse(ours)
    receiver: Any = SimpleNamespace()
    Decoder(receiver, 176).parse(theirs)

    assert vars(theirs) == vars(ours)
    assert [type(value) for value in vars(theirs).values()] == [
        type(value) for value in vars(ours).values()
    ]
