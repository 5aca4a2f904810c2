"""Orders are named so that no two ever share a name, and the operator stands at the head."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors.logic import order_ids

NOW = datetime(2026, 3, 1, 14, 30, 5, tzinfo=UTC)


@pytest.mark.req("ORD-9")
def test_an_order_id_says_when_and_which() -> None:
    assert order_ids.new_order_id(NOW, 7, "k3f9") == "ORD_20260301_143005_0007_k3f9"


@pytest.mark.req("ORD-9")
def test_a_close_is_named_after_its_position() -> None:
    order_id = order_ids.close_order_id("BRK B_72063691", "k3f9")

    assert order_id == "CLOSE_BRK.B_72063691_k3f9"
    assert order_ids.is_close(order_id)
    assert not order_ids.is_close(order_ids.new_order_id(NOW, 1, "k3f9"))


@pytest.mark.req("ORD-4")
def test_the_reference_carries_the_operator_at_its_head_within_forty_characters() -> None:
    reference = order_ids.order_ref("CSATSPRIM", order_ids.new_order_id(NOW, 7, "k3f9"))

    assert reference.startswith("CSATSPRIM:ORD_")
    assert len(reference) <= 40
    assert order_ids.operator_of(reference) == "CSATSPRIM"
    assert order_ids.order_id_of(reference) == "ORD_20260301_143005_0007_k3f9"


@pytest.mark.parametrize("reference", ["", "by hand", ":ORD", "X:"])
def test_a_reference_that_is_not_ours_names_no_operator(reference: str) -> None:
    assert order_ids.operator_of(reference) is None


def test_a_floor_after_a_crash_counts_an_id_for_each_intent_without_one() -> None:
    assert order_ids.safe_floor(10, ()) == 10
    assert order_ids.safe_floor(10, (3, 9)) == 10
    assert order_ids.safe_floor(10, (None,)) == 11
    assert order_ids.safe_floor(10, (12, None, None, 4)) == 14


@pytest.mark.req("ORD-9")
def test_a_close_without_the_journal_is_found_by_the_head_of_its_reference() -> None:
    order_id = order_ids.unjournaled_close_id("DU1234567", NOW, 265598, "k3f9", 2)
    reference = order_ids.order_ref("CSATSPRIM", order_id)

    tag = order_ids.account_tag("DU1234567")
    assert reference == f"CSATSPRIM:{tag}:260301:265598:k3f9:2"
    assert "DU1234567" not in reference
    assert len(reference) <= 40
    assert order_ids.operator_of(reference) == "CSATSPRIM"
    assert order_ids.order_id_of(reference) == order_id
    assert order_ids.is_close(order_id)
    assert order_ids.is_unjournaled(order_id)


@pytest.mark.parametrize("order_id", ["ORD_20260301_143005_0007_k3f9", "CLOSE_SPY_756733_k3f9", ""])
def test_no_other_order_id_looks_like_that_of_a_close_without_the_journal(order_id: str) -> None:
    assert not order_ids.is_unjournaled(order_id)
