"""How these tests make an actor fail: by a message without its fields.

Whoever handles such a message raises where it first looks into it, as if a handler had a defect. It goes through
`Process.tell` like everything that can be injected (SUP-10); nothing of the product is patched.
"""

from __future__ import annotations

from typing import Final

from actors.kernel.messages import Message
from actors.messages.addresses import (
    CONNECTION,
    DATA_WATCH,
    EXECUTOR,
    JOURNAL,
    LINK,
    MARKET_DATA,
    POSITION,
    PUBLISHER,
    RECORDS,
    RISK,
    STRATEGY_C,
)
from actors.messages.connection import EndSession, Reconciled
from actors.messages.market_data import QuoteRead, UnsubscribeQuotes
from actors.messages.orders import ExecutionReported, OrderUpdated
from actors.messages.positions import HoldingReported
from actors.messages.publishing import PublishQuote
from actors.messages.records import SessionFinished
from supervision.process.handle import Process

POISON: Final[dict[str, type[Message]]] = {
    JOURNAL: OrderUpdated,
    LINK: EndSession,
    STRATEGY_C: HoldingReported,
    RISK: OrderUpdated,
    EXECUTOR: ExecutionReported,
    MARKET_DATA: UnsubscribeQuotes,
    POSITION: HoldingReported,
    CONNECTION: Reconciled,
    RECORDS: SessionFinished,
    DATA_WATCH: QuoteRead,
}
"""Every child of the tree, and the type of message whose handler fails when it has no fields."""

OPTIONAL: Final[dict[str, type[Message]]] = {PUBLISHER: PublishQuote}
"""The same of a child that is not in every tree."""


def hollow(kind: type[Message]) -> Message:
    """Make a message of a type without any of its fields."""
    return object.__new__(kind)


def crash(process: Process, name: str) -> None:
    """Make the actor fail when it comes to this message."""
    process.tell(name, hollow((POISON | OPTIONAL)[name]))
