"""Which client id is used when one is taken."""

from __future__ import annotations

import pytest

from actors.connection.client_ids import MAX_CLIENT_ID, ClientIds

IDS = ClientIds.starting_at(1, same_id_retries=3, tries=10)


def _after(ids: ClientIds, conflicts: int) -> ClientIds:
    for _ in range(conflicts):
        ids = ids.after_conflict()
    return ids


@pytest.mark.req("CON-8")
@pytest.mark.parametrize(
    ("conflicts", "expected"), [(0, 1), (1, 1), (3, 1), (4, 2), (5, 3), (12, 10)]
)
def test_the_same_id_is_tried_first_and_then_the_next_ones(conflicts: int, expected: int) -> None:
    ids = _after(IDS, conflicts)

    assert expected == ids.current
    assert (expected != 1) == ids.is_fallback
    assert not ids.is_exhausted


@pytest.mark.req("CON-8")
def test_the_tries_are_bounded_and_begin_anew_after_a_rest() -> None:
    exhausted = _after(IDS, 13)

    assert exhausted.is_exhausted
    assert exhausted.from_the_start().current == 1
    assert not exhausted.from_the_start().is_exhausted


@pytest.mark.req("CON-8")
def test_behind_the_highest_id_comes_the_lowest() -> None:
    ids = _after(ClientIds.starting_at(MAX_CLIENT_ID, same_id_retries=0, tries=10), 1)

    assert ids.current == 1
    assert ids.is_fallback


@pytest.mark.req("CON-8")
def test_a_session_that_was_found_open_under_another_id_is_a_fallback_until_the_next_start() -> (
    None
):
    found = IDS.found(4)

    assert (found.current, found.is_fallback) == (4, True)
    assert "nothing may be opened" in found.explanation
    assert "a liquidation cancels all of them at once" in found.explanation
    assert not found.from_the_start().is_fallback
    assert not IDS.found(1).is_fallback


def test_the_candidates_are_the_ids_that_come_into_use() -> None:
    ids = ClientIds.starting_at(9998, same_id_retries=0, tries=4)
    used = []
    while not ids.is_exhausted:
        used.append(ids.current)
        ids = ids.after_conflict()

    assert ids.candidates == tuple(used) == (9998, 9999, 1, 2)
