"""``account switch``: trade another account from this state directory, on purpose and while nothing runs (CON-18).

The traded account is pinned at the first connection. Changing it is refused while the journal has orders that are not
at their end, or a latch: they belong to the account that is left. What was held there last is shown, and has to be
agreed to by typing its account. The other account begins with baselines of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from actors.connection.accounts import masked
from actors.errors import ConfigurationError, ModeError, OrderValidationError
from actors.logic.order_table import OrderState
from actors.risk.baselines import Baselines
from actors.risk.remembered import baselines_of, owner_of
from actors.sections.gateway import EXTERNAL
from supervision.config.sections import Config
from supervision.store.entries.accounts import pin_rows, pinned_accounts
from supervision.store.entries.limits import forget_baselines, recorded_baselines
from supervision.store.entries.liquidations import audit_rows, newest_latch
from supervision.store.entries.orders import open_orders, transition_rows
from supervision.store.journal_file import JournalFile
from supervision.store.journal_lock import JOURNAL_FILE, JournalLock
from supervision.store.journal_values import StoredOrder, Writer
from supervision.store.latch_marker import MARKER_FILE, LatchMarker

WRITER: Final = Writer(name="account_switch", incarnation=1)


@attrs.frozen(kw_only=True)
class Switch:
    """From which account to which, and who wants it for which reason.

    ``abandons_intents``: the account that is left is gone, so that nobody can tell the fate of its orders any more.
    """

    left: str
    to: str
    who: str
    why: str
    abandons_intents: bool = False


def switch_account(
    config: Config, wish: Switch, echo: Callable[[str], None], ask: Callable[[str], str]
) -> None:
    """Change the pinned account, and write who did that to the audit trail.

    Raises `JournalLockedError` while a process runs, `ModeError` where something is left open, `OrderValidationError`
    for a wish that does not fit what is pinned.
    """
    _require_sense(config, wish)
    path = Path(config.general.state_dir) / JOURNAL_FILE
    if not path.exists():
        raise ConfigurationError(f"there is no journal at {path}: nothing was traded from there")
    with JournalLock(path) as lock:
        _require_no_mark(path.with_name(MARKER_FILE))
        file = JournalFile(lock)
        try:
            _switch(file, wish, echo, ask)
        finally:
            file.close()
    echo(f"from now on {masked(wish.to)} is traded; its baselines begin at the next connection")


def _require_sense(config: Config, wish: Switch) -> None:
    for name, text in (("--who", wish.who), ("--why", wish.why)):
        if not text.strip():
            raise OrderValidationError(f"{name} must not be empty: it stands in the audit trail")
    if wish.left == wish.to:
        raise OrderValidationError("--from and --to name the same account")
    configured = config.general.account
    if configured and configured != wish.to:
        raise OrderValidationError(
            f"general.account is {masked(configured)}, and not --to: change the configuration first"
        )


def _require_no_mark(marker: Path) -> None:
    """The latch's marker outlives the journal, and is older or newer than it by one write."""
    found = LatchMarker(marker).read()
    if found.damage is not None:
        raise ModeError(f"the latch's marker cannot be read, so it may be on: {found.damage}")
    if found.mark is not None and found.mark.latched:
        raise ModeError(f"Strategy C is latched ({found.mark.reason}): re-arm in the account first")


def _switch(
    file: JournalFile, wish: Switch, echo: Callable[[str], None], ask: Callable[[str], str]
) -> None:
    with file.reading() as query:
        pinned = dict(pinned_accounts(query)).get(EXTERNAL)
        orders, latch = open_orders(query), newest_latch(query)
        known = baselines_of(recorded_baselines(query), owner_of(EXTERNAL, wish.left))
    if pinned != wish.left:
        stands = "none yet" if pinned is None else masked(pinned)
        raise OrderValidationError(
            f"--from must be the account that is traded, {stands} (was {masked(wish.left)})"
        )
    if latch is not None and latch.latched:
        raise ModeError(f"Strategy C is latched ({latch.reason}): re-arm in the account first")
    if orders and not wish.abandons_intents:
        names = ", ".join(order.order_id for order in orders[:5])
        raise ModeError(
            f"{len(orders)} orders are not at their end ({names}): connect to {masked(wish.left)} once, so that their"
            " fate is settled; where that account is gone: --abandon-intents"
        )
    held = list(_held(known))
    if held:
        for line in held:
            echo(f"last held   {line}")
        if ask("type the account that is left, to leave these positions").strip() != wish.left:
            raise OrderValidationError("nothing was changed: that was not the account")
    _write(file, wish, orders)


def _held(known: Baselines) -> Iterator[str]:
    last = known.last or known.day
    stakes = {} if last is None else last.stakes
    for con_id, stake in sorted(stakes.items()):
        if stake.quantity:
            yield f"{stake.quantity:+g} of contract {con_id} ({stake.currency})"


def _write(file: JournalFile, wish: Switch, orders: tuple[StoredOrder, ...]) -> None:
    """Change all of it in one commit."""
    now = datetime.now(UTC)
    with file.batch() as batch:
        batch.add(WRITER, pin_rows(endpoint=EXTERNAL, account=wish.to, at=now))
        for account in (wish.left, wish.to):
            batch.add(WRITER, forget_baselines(owner_of(EXTERNAL, account)))
        for order in orders:
            batch.add(
                WRITER,
                transition_rows(
                    order_ref=order.order_ref,
                    at=now,
                    state=OrderState.LOST.value,
                    final=True,
                    detail={"text": f"abandoned by {wish.who}: the account was switched"},
                    source="operator",
                ),
            )
        detail = {
            "from": masked(wish.left),
            "to": masked(wish.to),
            "abandoned": [order.order_id for order in orders],
        }
        batch.add(
            WRITER,
            audit_rows(at=now, kind="account_switched", who=wish.who, why=wish.why, detail=detail),
        )
