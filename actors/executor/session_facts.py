"""What the executor knows of the broker's session: whether, where and what orders can be sent now."""

from __future__ import annotations

from actors import messages as m
from actors.executor.market_facts import MarketFacts
from actors.executor.order_book import OrderBook
from actors.executor.record import OrderRecord
from actors.kernel.actor import SupervisedActor
from actors.kernel.handlers import Part, handles
from actors.logic.order_table import OrderState
from actors.messages.addresses import CONNECTION
from actors.model.connection import ConnectionState


class SessionFacts(Part):
    """``account`` and ``client_id`` are None until the broker's state was read for the first time.

    ``is_fallback``: the session runs under another client id than the configured one.
    ``began_at`` and ``sound_since`` are those of the newest `Reconcile`, in monotonic seconds.
    ``latched``: why Strategy C allows no openings; None while it does. ``began_latched``: whether that was so from the
    beginning; None until it is told. ``read_first_at`` and ``read_last_at``: when the first and the newest read of the
    broker's state began (monotonic seconds).
    """

    def __init__(self, actor: SupervisedActor, book: OrderBook, market: MarketFacts) -> None:
        self._actor = actor
        self._book = book
        self._market = market
        self.connected = False
        self.account: str | None = None
        self.client_id: int | None = None
        self.is_fallback = False
        self.latched: str | None = None
        self.began_at = 0.0
        self.sound_since: float | None = None
        self.began_latched: bool | None = None
        self.read_first_at: float | None = None
        self.read_last_at: float | None = None

    def connection_changed(self, event: m.ConnectionStateChanged) -> None:
        """Know whether anything can be sent. What was under way may have been filled: it is asked for on reconnect."""
        self.connected = event.state is ConnectionState.CONNECTED
        if event.previous is ConnectionState.CONNECTED:
            self._market.forget()
            for tracked in self._book:
                if tracked.record.state is OrderState.CANCELLING:
                    tracked.cancel = tracked.cancel.owed()

    @handles(m.LatchChanged)
    def on_latch_changed(self, event: m.LatchChanged) -> None:
        """Refuse openings from now on, or no longer."""
        self.latched = event.reason if event.latched else None
        if self.began_latched is None:
            self.began_latched = event.latched

    def take_over(self, message: m.Reconcile) -> None:
        """Note whose session the broker's state was read in."""
        self.read_last_at = message.state.began_at
        if self.read_first_at is None:
            self.read_first_at = self.read_last_at
        self.account = message.account
        self.client_id = message.client_id
        self.is_fallback = message.client_id_is_fallback
        self.connected = self.connected or message.is_connected
        self.began_at, self.sound_since = message.session_began_at, message.sound_since

    def opened(self) -> None:
        """Note that the gate is open: orders can be sent."""
        self.connected = True

    def is_addressable(self, record: OrderRecord) -> bool:
        """Whether the broker's id of the order means this order to the session: ids are counted per client."""
        if record.client_id is None:
            return not self.is_fallback
        return record.client_id == self.client_id

    def ask_for_reconciliation(self) -> None:
        """Have the broker's state read again."""
        self._actor.tell(CONNECTION, m.RequestReconciliation(sender=self._actor.name))
