"""No account, no secret, in whatever form it comes (OBS-4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.logic.masking import REMOVED, mask_account
from supervision.observe.lines import Event, human_line, json_line
from supervision.observe.masking import Masker

pytestmark = pytest.mark.req("OBS-4")

ACCOUNTS = st.from_regex(r"(D?[UFI])[0-9]{5,9}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DU1234567", "DU*****67"),
        ("account DU1234567, and U7654321.", "account DU*****67, and U*****21."),
        ("acct_DU1234567", "acct_DU*****67"),
        ("F123456", "F****56"),
        (
            "SPY 600 2025-11-21 ORD_20251121_150000_0001",
            "SPY 600 2025-11-21 ORD_20251121_150000_0001",
        ),
        ("f1234567-89ab-4cde-8f01-23456789abcd", "f1234567-89ab-4cde-8f01-23456789abcd"),
        ("postgresql://me:pw@db/x", f"postgresql://{REMOVED}@db/x"),
        (
            "https://x/query?apikey=ABC123&symbol=SPY",
            f"https://x/query?apikey={REMOVED}&symbol=SPY",
        ),
    ],
)
def test_texts_are_masked(text: str, expected: str) -> None:
    assert Masker().text(text) == expected


@pytest.mark.parametrize(
    ("code", "shown"), [("DU1234567", "DU*****67"), ("x", "x"), ("MAIN", "MAIN")]
)
def test_a_code_keeps_letters_and_two_digits(code: str, shown: str) -> None:
    assert mask_account(code) == shown


def test_registered_accounts_and_secrets_are_found_anywhere() -> None:
    masker = Masker()
    masker.hide_account("ACC99887766X")
    masker.hide_secret("hunter2hunter2")
    masker.hide_secret("abc")
    masker.hide_account("")

    assert masker.text("<ACC99887766X> hunter2hunter2 abc") == f"<ACC*******6X> {REMOVED} abc"


def test_fields_that_are_called_secrets_are_removed() -> None:
    fields = {"api_key": "x", "nested": {"Password": ["y"], "n": 1}, "token": ""}

    masked = Masker().value(fields)

    assert masked == {"api_key": REMOVED, "nested": {"Password": REMOVED, "n": 1}, "token": ""}


@given(
    account=ACCOUNTS,
    wrap=st.sampled_from(["{}", "a\n{}", "{}\t", "é{}", '"{}"', "\\{}", "[{}]", "{},{}"]),
)
def test_no_line_shows_an_account_however_it_is_wrapped(account: str, wrap: str) -> None:
    text = wrap.replace("{}", account)
    event = Event(datetime.now(UTC), "INFO", "e", None, {"a": text, "b": [{text: (text,)}]})

    lines = [json_line(event, Masker()), human_line(event, Masker(), colours=False)]

    assert all(account not in line for line in lines)
    json.loads(lines[0])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.tuples(inner),
    )
)
def test_any_value_becomes_one_line_of_each_form(value: Any) -> None:
    event = Event(datetime.now(UTC), "ERROR", "odd", "c" * 36, {"value": value, "event": "own"})

    machine = json_line(event, Masker())
    human = human_line(event, Masker(), colours=False)

    assert json.loads(machine)["field_event"] == "own"
    assert machine.count("\n") == human.count("\n") == 1
    assert human.rstrip("\n").isprintable()
