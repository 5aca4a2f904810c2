"""``account switch`` changes the traded account on purpose, offline, and only where nothing is left behind (CON-18)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import (
    ConfigurationError,
    GatewayError,
    JournalLockedError,
    ModeError,
    OrderValidationError,
)
from actors.risk import exposure
from actors.risk.baselines import LAST, snapshot
from actors.risk.exposure import EMPTY
from actors.risk.remembered import owner_of, record_of
from actors.sections.gateway import EXTERNAL
from supervision import Config
from supervision.commands.account import Switch, switch_account
from supervision.store.entries import ENTRIES
from supervision.store.entries.accounts import pin_rows, pinned_accounts
from supervision.store.entries.limits import recorded_baselines
from supervision.store.entries.liquidations import latch_rows
from supervision.store.entries.orders import intent_rows, open_orders
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.journal_rows import Rows
from supervision.store.journal_values import Writer
from supervision.store.latch_marker import MARKER_FILE, LatchMarker, Mark
from tests.unit.logic.values import NOW, account, holding
from tests.worlds import a_config

OURS, OTHER = "DU1234567", "DU7777777"
WISH = Switch(left=OURS, to=OTHER, who="Ann", why="a new account")
REF = "CSATSPRIM:ORD_1"


def config_of(state_dir: Path, **general: Any) -> Config:
    config = a_config()
    return attrs.evolve(
        config,
        general=attrs.evolve(config.general, state_dir=str(state_dir), **general),
        gateway=attrs.evolve(config.gateway, endpoint=EXTERNAL),
    )


def write(state_dir: Path, *entries: Rows) -> None:
    """Put entries into the journal, as a process that traded left them."""
    with JournalLock(state_dir / JOURNAL_FILE) as lock:
        file = JournalFile(lock)
        with file.batch() as batch:
            for rows in entries:
                batch.add(Writer(name="test", incarnation=1), rows)
        file.close()


def read(state_dir: Path, ask: Callable[[Any], Any]) -> Any:
    with JournalLock(state_dir / JOURNAL_FILE) as lock:
        file = JournalFile(lock)
        with file.reading() as query:
            found = ask(query)
        file.close()
    return found


def pinned(state_dir: Path) -> dict[str, str]:
    return dict(read(state_dir, pinned_accounts))


PIN = pin_rows(endpoint=EXTERNAL, account=OURS, at=NOW)
LATCH = latch_rows(latched=True, liquidation_id="1", reason="a loss", who="", why="", at=NOW)
INTENT = intent_rows(
    order_ref=REF,
    order_id="ORD_1",
    correlation_id="1",
    purpose="open",
    content={"contract": {}},
    at=NOW,
)


def holding_rows() -> Rows:
    """What was known last: 30 SPY."""
    ledger = exposure.reconcile(EMPTY, [holding(30.0)], [], [])
    last = snapshot(LAST, "2026-03-02", ledger, account(50_000.0))
    assert last is not None
    record = record_of(last, owner_of(EXTERNAL, OURS), NOW)
    return ENTRIES[type(record)].rows(record, NOW)


def switch(
    state_dir: Path,
    wish: Switch = WISH,
    answers: Iterable[str] = (),
    config: Config | None = None,
) -> list[str]:
    """Run the command; gives what it said."""
    said: list[str] = []
    typed = iter(answers)
    switch_account(config or config_of(state_dir), wish, said.append, lambda _: next(typed))
    return said


@pytest.mark.req("CON-18")
def test_the_pinned_account_is_changed_with_new_baselines_and_a_word_in_the_audit_trail(
    tmp_path: Path,
) -> None:
    write(tmp_path, PIN, holding_rows())

    said = switch(tmp_path, answers=[OURS])

    assert pinned(tmp_path) == {EXTERNAL: OTHER}
    assert read(tmp_path, recorded_baselines) == ()
    audit = read(tmp_path, lambda query: query("SELECT kind, who, why FROM audit"))
    assert audit == [("account_switched", "Ann", "a new account")]
    assert any("+30" in line for line in said)
    assert not any(OTHER in line or OURS in line for line in said)


REFUSED: dict[str, tuple[tuple[Rows, ...], Switch, tuple[str, ...], type[GatewayError], str]] = {
    "a latch": ((PIN, LATCH), WISH, (), ModeError, "latched"),
    "an open intent": ((PIN, INTENT), WISH, (), ModeError, "not at their end.*ORD_1"),
    "positions, and another answer": (
        (PIN, holding_rows()),
        WISH,
        ("yes",),
        OrderValidationError,
        "was not the account",
    ),
    "another account was traded": (
        (pin_rows(endpoint=EXTERNAL, account="DU5555555", at=NOW),),
        WISH,
        (),
        OrderValidationError,
        "--from must be",
    ),
    "none was traded": ((INTENT,), WISH, (), OrderValidationError, "none yet"),
    "nobody": ((PIN,), attrs.evolve(WISH, who=" "), (), OrderValidationError, "--who"),
    "no reason": ((PIN,), attrs.evolve(WISH, why=""), (), OrderValidationError, "--why"),
    "the same one": ((PIN,), attrs.evolve(WISH, to=OURS), (), OrderValidationError, "same"),
}


@pytest.mark.req("CON-18")
@pytest.mark.parametrize(
    ("entries", "wish", "answers", "error", "words"), REFUSED.values(), ids=REFUSED
)
def test_it_is_refused_where_something_is_left_behind(
    tmp_path: Path,
    entries: tuple[Rows, ...],
    wish: Switch,
    answers: tuple[str, ...],
    error: type[GatewayError],
    words: str,
) -> None:
    write(tmp_path, *entries)
    before = pinned(tmp_path)

    with pytest.raises(error, match=words):
        switch(tmp_path, wish, answers)

    assert pinned(tmp_path) == before


@pytest.mark.req("CON-18")
@pytest.mark.parametrize("damaged", [False, True])
def test_a_marker_that_is_on_or_cannot_be_read_refuses_it(tmp_path: Path, damaged: bool) -> None:
    write(tmp_path, PIN)
    marker = LatchMarker(tmp_path / MARKER_FILE)
    marker.prepare()
    marker.write(Mark(latched=True, liquidation_id="1", reason="a loss", at=NOW))
    if damaged:
        marker.path.write_bytes(b"not a mark")

    with pytest.raises(ModeError, match="cannot be read" if damaged else "latched"):
        switch(tmp_path)

    assert pinned(tmp_path) == {EXTERNAL: OURS}


@pytest.mark.req("CON-18")
def test_orders_of_an_account_that_is_gone_can_be_abandoned(tmp_path: Path) -> None:
    write(tmp_path, PIN, INTENT)

    switch(tmp_path, attrs.evolve(WISH, abandons_intents=True))

    assert pinned(tmp_path) == {EXTERNAL: OTHER}
    assert read(tmp_path, open_orders) == ()


@pytest.mark.req("CON-18")
def test_it_is_refused_while_a_process_runs_and_where_none_ever_ran(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no journal"):
        switch(tmp_path)
    write(tmp_path, PIN)
    with JournalLock(tmp_path / JOURNAL_FILE), pytest.raises(JournalLockedError):
        switch(tmp_path)
    with pytest.raises(OrderValidationError, match=r"general\.account"):
        switch(tmp_path, config=config_of(tmp_path, account=OURS))

    assert pinned(tmp_path) == {EXTERNAL: OURS}
