"""A code's meaning depends on the request and on the order's state."""

from __future__ import annotations

import pytest

from actors.logic.broker_codes import (
    KNOWN_CODES,
    FarmKind,
    Meaning,
    Notice,
    NoticeMeaning,
    RequestKind,
    history_meaning,
    meaning,
    notice_meaning,
)

pytestmark = pytest.mark.req("ORD-8")

M = Meaning
K = RequestKind

# (code, a new order, a working order, a modify, a cancel)
ORDER_CODES = [
    (103, M.DUPLICATE_ID, M.DUPLICATE_ID, M.QUERY, M.QUERY),
    (104, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (105, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (110, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (135, M.QUERY, M.QUERY, M.QUERY, M.QUERY),
    (161, M.QUERY, M.QUERY, M.QUERY, M.QUERY),
    (10147, M.QUERY, M.QUERY, M.QUERY, M.QUERY),
    (10148, M.QUERY, M.QUERY, M.QUERY, M.QUERY),
    (200, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (201, M.REJECTED, M.REJECTED, M.LIVES_ON, M.QUERY),
    (202, M.CANCELLED, M.CANCELLED, M.CANCELLED, M.CANCELLED),
    (320, M.OUR_DEFECT, M.QUERY, M.LIVES_ON, M.QUERY),
    (321, M.OUR_DEFECT, M.QUERY, M.LIVES_ON, M.QUERY),
    (322, M.OUR_DEFECT, M.QUERY, M.LIVES_ON, M.QUERY),
    (329, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (387, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (399, M.ADVISORY, M.ADVISORY, M.ADVISORY, M.ADVISORY),
    (10349, M.ADVISORY, M.ADVISORY, M.ADVISORY, M.ADVISORY),
    (2109, M.ADVISORY, M.ADVISORY, M.ADVISORY, M.ADVISORY),
    (2102, M.ADVISORY, M.ADVISORY, M.LIVES_ON, M.ADVISORY),
    (404, M.HELD, M.HELD, M.HELD, M.ADVISORY),
    (434, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (435, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (436, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (10149, M.OUR_DEFECT, M.QUERY, M.LIVES_ON, M.QUERY),
    (10243, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (10255, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (10314, M.OUR_DEFECT, M.QUERY, M.LIVES_ON, M.QUERY),
    (10318, M.REJECTED, M.QUERY, M.LIVES_ON, M.QUERY),
    (100, M.THROTTLE, M.THROTTLE, M.THROTTLE, M.THROTTLE),
]

# (code, a request of data)
DATA_CODES = [
    (101, M.PACING),
    (102, M.OUR_DEFECT),
    (162, M.NO_DATA),
    (165, M.ADVISORY),
    (200, M.NO_CONTRACT),
    (300, M.ADVISORY),
    (321, M.OUR_DEFECT),
    (354, M.NOT_SUBSCRIBED),
    (10089, M.NOT_SUBSCRIBED),
    (10168, M.NOT_SUBSCRIBED),
    (10186, M.NOT_SUBSCRIBED),
    (10187, M.NOT_SUBSCRIBED),
    (10189, M.NOT_SUBSCRIBED),
    (10090, M.DELAYED),
    (10091, M.DELAYED),
    (10167, M.DELAYED),
    (10182, M.RESUBSCRIBE),
    (10225, M.RESUBSCRIBE),
    (10197, M.COMPETING_SESSION),
]

SESSION_CODES = (326, 502, 504, 1100, 1101, 1102, 1300, 10141)
FARM_CODES = (2103, 2104, 2105, 2106, 2107, 2108, 2110, 2119, 2157, 2158)
REMAINING_CODES = {366, 2100, 2101}


@pytest.mark.parametrize(("code", "new", "working", "modify", "cancel"), ORDER_CODES)
def test_a_code_of_an_order_is_read_by_request_and_state(
    code: int, new: Meaning, working: Meaning, modify: Meaning, cancel: Meaning
) -> None:
    found = (
        meaning(code, K.NEW, working=False),
        meaning(code, K.NEW, working=True),
        meaning(code, K.MODIFY, working=True),
        meaning(code, K.CANCEL, working=True),
    )

    assert (new, working, modify, cancel) == found


@pytest.mark.req("MKT-11")
@pytest.mark.parametrize(("code", "expected"), DATA_CODES)
def test_a_code_of_a_data_request_says_what_is_wrong_with_the_data(
    code: int, expected: Meaning
) -> None:
    assert expected is meaning(code, K.DATA)


@pytest.mark.req("CON-10")
@pytest.mark.parametrize("code", SESSION_CODES + FARM_CODES)
@pytest.mark.parametrize("kind", list(RequestKind))
def test_a_notice_of_the_link_never_says_anything_of_an_order(code: int, kind: RequestKind) -> None:
    assert M.NOTICE is meaning(code, kind)


@pytest.mark.parametrize("kind", list(RequestKind))
@pytest.mark.parametrize("working", [False, True])
def test_an_unknown_code_asks_the_broker(kind: RequestKind, working: bool) -> None:
    assert M.QUERY is meaning(999_999, kind, working)


def test_every_code_of_the_table_is_tested_here() -> None:
    tested = {row[0] for row in ORDER_CODES} | {row[0] for row in DATA_CODES}

    assert tested | set(SESSION_CODES) | set(FARM_CODES) | REMAINING_CODES == KNOWN_CODES


@pytest.mark.req("MKT-11")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HMDS query returned no data: AAPL@SMART Trades", M.NO_DATA),
        ("Historical data request pacing violation", M.PACING),
        ("API historical data query cancelled: 5", M.ADVISORY),
        ("Trading TWS session is connected from a different IP address", M.COMPETING_SESSION),
        ("Request Timed Out", M.NO_DATA),
    ],
)
def test_history_is_told_apart_by_its_text(text: str, expected: Meaning) -> None:
    prefix = "Historical Market Data Service error message:"

    assert expected is history_meaning(162, prefix + text)


def test_other_codes_of_history_are_read_from_the_table() -> None:
    assert M.ADVISORY is history_meaning(366, "No historical data query found")


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1100, NoticeMeaning.UPSTREAM_LOST),
        (2110, NoticeMeaning.UPSTREAM_LOST),
        (1101, NoticeMeaning.RESTORED_DATA_LOST),
        (1102, NoticeMeaning.RESTORED),
        (1300, NoticeMeaning.PORT_RESET),
        (10197, NoticeMeaning.COMPETING_SESSION),
        (100, NoticeMeaning.THROTTLE),
        (2100, NoticeMeaning.INFO),
        (999_999, NoticeMeaning.INFO),
    ],
)
def test_a_notice_is_read_by_its_code(code: int, expected: NoticeMeaning) -> None:
    assert expected is notice_meaning(code, "text").meaning


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(
    ("code", "text", "expected", "kind", "farm"),
    [
        (
            2103,
            "Market data farm connection is broken:usfarm",
            "FARM_DOWN",
            "MARKET_DATA",
            "usfarm",
        ),
        (2104, "Market data farm connection is OK:usfarm", "FARM_UP", "MARKET_DATA", "usfarm"),
        (
            2104,
            "Market data farm connection is OK:usfarm.nj",
            "FARM_UP",
            "MARKET_DATA",
            "usfarm.nj",
        ),
        (
            2108,
            "inactive but should be available upon demand.usfarm.nj",
            "FARM_DORMANT",
            "MARKET_DATA",
            "usfarm.nj",
        ),
        (2105, "HMDS data farm connection is broken:ushmds", "FARM_DOWN", "HISTORY", "ushmds"),
        (2106, "HMDS data farm connection is OK:ushmds", "FARM_UP", "HISTORY", "ushmds"),
        (
            2107,
            "inactive but should be available upon demand.ushmds",
            "FARM_DORMANT",
            "HISTORY",
            "ushmds",
        ),
        (
            2108,
            "inactive but should be available upon demand.usfarm",
            "FARM_DORMANT",
            "MARKET_DATA",
            "usfarm",
        ),
        (2119, "farm is connecting:usfarm", "FARM_CONNECTING", "MARKET_DATA", "usfarm"),
        (
            2157,
            "Sec-def data farm connection is broken:secdefil",
            "FARM_DOWN",
            "DEFINITIONS",
            "secdefil",
        ),
        (2158, "Sec-def data farm connection is OK:secdefil", "FARM_UP", "DEFINITIONS", "secdefil"),
    ],
)
def test_a_farm_is_known_by_kind_and_name(
    code: int, text: str, expected: str, kind: str, farm: str
) -> None:
    notice = Notice(meaning=NoticeMeaning[expected], farm_kind=FarmKind[kind], farm=farm)

    assert notice == notice_meaning(code, text)
