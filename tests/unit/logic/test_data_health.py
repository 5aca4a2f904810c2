"""Farms and competing sessions: what blocks opening, and what ends that."""

from __future__ import annotations

import pytest

from actors.connection.data_health import NOT_PROVED, DataHealth
from actors.logic.broker_codes import notice_meaning

PROVED = DataHealth().after_tick()
TEXTS = {
    2103: "Market data farm connection is broken:{}",
    2104: "Market data farm connection is OK:{}",
    2105: "HMDS data farm connection is broken:{}",
    2106: "HMDS data farm connection is OK:{}",
    2107: "HMDS data farm connection is inactive but should be available upon demand.{}",
    2108: "Market data farm connection is inactive but should be available upon demand.{}",
    2119: "Market data farm is connecting:{}",
    2157: "Sec-def data farm connection is broken:{}",
    2158: "Sec-def data farm connection is OK:{}",
    10197: "No market data during competing live session",
}


def after(health: DataHealth, *notices: tuple[int, str]) -> DataHealth:
    for code, farm in notices:
        health = health.after_notice(notice_meaning(code, TEXTS[code].format(farm)))
    return health


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(
    ("code", "farm", "words"),
    [
        (2103, "usfarm", "market data farm usfarm is broken"),
        (2105, "ushmds", "history farm ushmds is broken"),
        (2157, "secdefil", "contract definitions farm secdefil is broken"),
        (10197, "", "another session of the same user"),
    ],
)
def test_trouble_blocks_opening_and_is_named(code: int, farm: str, words: str) -> None:
    assert words in str(after(PROVED, (code, farm)).obstacle)


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(("down", "up"), [(2103, 2104), (2105, 2106), (2157, 2158), (2103, 2108)])
def test_a_farm_that_is_back_is_believed_when_a_tick_came(down: int, up: int) -> None:
    back = after(PROVED, (down, "f"), (up, "f"))

    assert back.obstacle == NOT_PROVED
    assert back.after_tick().obstacle is None


@pytest.mark.req("CON-10")
def test_a_tick_proves_nothing_while_a_farm_is_broken() -> None:
    assert "usfarm" in str(after(PROVED, (2103, "usfarm")).after_tick().obstacle)


@pytest.mark.req("CON-10")
def test_a_farm_that_is_connecting_is_not_back_yet() -> None:
    assert "usfarm" in str(after(PROVED, (2103, "usfarm"), (2119, "usfarm")).obstacle)


@pytest.mark.req("CON-10")
def test_each_farm_is_known_apart() -> None:
    health = after(PROVED, (2103, "usfarm"), (2105, "usfarm"), (2103, "eufarm"), (2104, "usfarm"))

    assert [(farm.kind.value, farm.name) for farm in health.broken] == [
        ("history", "usfarm"),
        ("market_data", "eufarm"),
    ]


@pytest.mark.req("CON-10")
def test_a_farm_that_breaks_twice_is_mended_once() -> None:
    assert not after(PROVED, (2103, "f"), (2103, "f"), (2104, "f")).broken


@pytest.mark.req("CON-10")
@pytest.mark.parametrize("code", [2104, 2106, 2158, 2107, 2108, 2119])
def test_good_news_of_a_farm_that_was_well_asks_for_nothing(code: int) -> None:
    assert after(PROVED, (code, "usfarm")) == PROVED


@pytest.mark.req("CON-10")
def test_a_competing_session_ends_with_a_tick() -> None:
    assert after(PROVED, (10197, "")).after_tick().obstacle is None


@pytest.mark.req("CON-10")
def test_a_restored_connectivity_mends_all_farms_and_demands_a_tick() -> None:
    assert after(PROVED, (2103, "a"), (2105, "b")).with_all_farms_up().obstacle == NOT_PROVED
