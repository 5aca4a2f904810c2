"""The mailbox of an address and the lease on it: lanes, bounds, conflation, fencing."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.kernel.addresses import LIFECYCLE, AddressBook
from actors.kernel.dead_letters import DeadLetters
from actors.kernel.errors import (
    GatewayStoppedError,
    MailboxFullError,
    SupersededError,
    UnknownMessageError,
)
from actors.kernel.mailbox import STOP, Lease, Sender
from actors.kernel.messages import (
    Lane,
    MailboxOverflowed,
    Message,
    Overflow,
    Request,
    RequestFailed,
    SystemMessage,
)
from supervision.tree.system import SystemClock

BOUND = 4


@attrs.frozen(kw_only=True)
class Command(Message):
    number: int


@attrs.frozen(kw_only=True)
class Recovery(Command):
    lane: ClassVar[Lane] = Lane.RECOVERY


@attrs.frozen(kw_only=True)
class Urgent(SystemMessage):
    number: int


@attrs.frozen(kw_only=True)
class Event(Command):
    overflow: ClassVar[Overflow] = Overflow.SIGNAL


@attrs.frozen(kw_only=True)
class Price(Message):
    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    symbol: str
    number: int

    def conflation_key(self) -> Hashable:
        return self.symbol


@attrs.frozen(kw_only=True)
class Overflowed(SystemMessage):
    pass


@attrs.frozen(kw_only=True)
class Question(Request):
    pass


def make_book(bound: int = BOUND) -> AddressBook:
    clock = SystemClock()
    book = AddressBook(clock, DeadLetters(clock))
    book.open_mailbox("box", bound, ("alarm", Overflowed()))
    book.open_mailbox("alarm", BOUND)
    return book


def drain(lease: Lease) -> list[Any]:
    found = []
    while (parcel := lease.take()) is not None and parcel is not STOP:
        found.append(parcel.body)
    return found


SENDER = Sender("sender", 1)


@pytest.mark.req("SUP-7")
def test_system_overtakes_recovery_and_recovery_overtakes_business() -> None:
    book = make_book()
    messages = [Command(number=1), Recovery(number=2), Urgent(number=3), Command(number=4)]
    for message in messages:
        book.tell(SENDER, "box", message)

    taken = drain(book.lease("box", 1, 5.0))

    assert taken == [Urgent(number=3), Recovery(number=2), Command(number=1), Command(number=4)]


@pytest.mark.req("SUP-6")
def test_business_waits_while_the_holder_recovers_and_keeps_its_order() -> None:
    book = make_book()
    lease = book.lease("box", 1, 5.0)
    book.hold(lease, True)
    for message in (Command(number=1), Recovery(number=2), Command(number=3)):
        book.tell(SENDER, "box", message)

    during = drain(lease)
    book.hold(lease, False)
    after = drain(lease)

    assert during == [Recovery(number=2)]
    assert after == [Command(number=1), Command(number=3)]


@pytest.mark.req("SUP-7")
def test_command_beyond_the_bound_raises_for_outside_callers() -> None:
    book = make_book()
    for number in range(BOUND):
        book.inject("box", Command(number=number), SENDER)

    with pytest.raises(MailboxFullError, match=f"bound of {BOUND}"):
        book.inject("box", Command(number=BOUND), SENDER)


@pytest.mark.req("SUP-7")
def test_request_beyond_the_bound_is_answered_and_anything_else_becomes_a_dead_letter() -> None:
    book = make_book()
    answers: list[Any] = []
    book.register("asker", lambda message, _sender: answers.append(message))
    for number in range(BOUND):
        book.tell(SENDER, "box", Command(number=number))

    book.tell(SENDER, "box", Question(correlation_id="q", deadline=1.0, reply_to="asker"))
    book.tell(SENDER, "box", Command(number=99))

    assert [type(answer) for answer in answers] == [RequestFailed]
    assert answers[0].correlation_id == "q"
    assert answers[0].error.kind == "MailboxFullError"
    assert book.dead_letters.snapshot()[-1].message == Command(number=99)
    assert "MailboxFullError" in book.dead_letters.snapshot()[-1].reason


@pytest.mark.req("SUP-7")
def test_supervision_is_never_refused() -> None:
    book = make_book()
    for number in range(BOUND):
        book.tell(SENDER, "box", Command(number=number))

    for number in range(100):
        book.inject("box", Urgent(number=number), SENDER)

    assert book.depth("box") == BOUND + 100


@pytest.mark.req("SUP-7")
def test_newest_price_per_symbol_takes_the_place_of_the_waiting_one() -> None:
    book = make_book()
    for number in range(100):
        book.inject("box", Price(symbol="A", number=number), SENDER)
        book.inject("box", Price(symbol="B", number=-number), SENDER)

    taken = drain(book.lease("box", 1, 5.0))

    assert taken == [Price(symbol="A", number=99), Price(symbol="B", number=-99)]


@pytest.mark.req("SUP-7")
def test_price_that_comes_after_its_forerunner_was_taken_waits_by_itself() -> None:
    book = make_book()
    lease = book.lease("box", 1, 5.0)
    book.inject("box", Price(symbol="A", number=1), SENDER)

    first = drain(lease)
    book.inject("box", Price(symbol="A", number=2), SENDER)

    assert first == [Price(symbol="A", number=1)]
    assert drain(lease) == [Price(symbol="A", number=2)]


@pytest.mark.req("SUP-7")
def test_events_are_never_refused_and_their_overflow_is_told_once_per_episode() -> None:
    book = make_book()
    lease, alarm = book.lease("box", 1, 5.0), book.lease("alarm", 1, 5.0)
    told: list[Any] = []
    book.register(LIFECYCLE, lambda message, _sender: told.append(message))

    for number in range(10):
        book.inject("box", Event(number=number), SENDER)
    first_episode = len(drain(alarm))
    taken = drain(lease)
    for number in range(BOUND + 1):
        book.inject("box", Event(number=number), SENDER)

    assert first_episode == 1
    assert taken == [Event(number=number) for number in range(10)]
    assert drain(alarm) == [Overflowed()]
    assert told == [MailboxOverflowed(name="box", depth=5, bound=BOUND)] * 2


@pytest.mark.req("SUP-4")
def test_fenced_incarnation_takes_nothing_and_sends_nothing() -> None:
    book = make_book()
    old = book.lease("box", 1, 5.0)
    book.inject("box", Command(number=1), SENDER)

    book.revoke(old, superseded=True)

    assert old.take() is STOP
    assert old.empty()
    assert old.sender.superseded
    with pytest.raises(SupersededError):
        book.tell(old.sender, "alarm", Urgent(number=1))
    with pytest.raises(SupersededError):
        book.hold(old, False)
    assert book.depth("alarm") == 0
    assert drain(book.lease("box", 2, 5.0)) == [Command(number=1)]


@pytest.mark.req("SUP-4")
def test_what_was_sent_before_the_fencing_shows_that_its_sender_is_superseded() -> None:
    book = make_book()
    old = book.lease("box", 1, 5.0)
    book.tell(old.sender, "alarm", Command(number=1))

    book.revoke(old, superseded=True)
    parcel = book.lease("alarm", 1, 5.0).take()

    assert parcel is not None
    assert (parcel.sender.name, parcel.sender.incarnation) == ("box", 1)
    assert parcel.sender.superseded


@pytest.mark.req("SUP-4")
def test_orderly_end_does_not_discredit_what_was_sent_before() -> None:
    book = make_book()
    lease = book.lease("box", 1, 5.0)

    book.revoke(lease, superseded=False)

    assert not lease.sender.superseded
    assert lease.sender.closed


@pytest.mark.req("SUP-10")
def test_unknown_address_is_an_error_for_outside_callers_and_a_dead_letter_for_actors() -> None:
    book = make_book()

    book.tell(SENDER, "nowhere", Command(number=1))

    assert book.dead_letters.snapshot()[-1].address == "nowhere"
    with pytest.raises(UnknownMessageError, match="nowhere"):
        book.inject("nowhere", Command(number=1), SENDER)


@pytest.mark.req("SUP-10")
def test_tap_that_raises_is_removed_and_the_message_arrives() -> None:
    book = make_book()

    def tap(_record: object) -> None:
        raise SystemExit("the tap broke")

    book.tap(tap)
    book.inject("box", Command(number=1), SENDER)
    book.inject("box", Command(number=2), SENDER)

    assert book.depth("box") == 2
    assert book.dead_letters.total == 1


@pytest.mark.req("SUP-5")
def test_callback_that_raises_does_not_reach_the_sender() -> None:
    book = make_book()

    def callback(_message: object, _sender: Sender) -> None:
        raise KeyboardInterrupt

    book.register("listener", callback)
    book.tell(SENDER, "listener", Command(number=1))

    assert "KeyboardInterrupt" in book.dead_letters.snapshot()[-1].reason


@pytest.mark.req("SUP-2")
def test_closed_book_answers_what_waits_and_refuses_the_rest() -> None:
    book = make_book()
    answers: list[Any] = []
    book.register("asker", lambda message, _sender: answers.append(message))
    book.tell(SENDER, "box", Question(correlation_id="q", deadline=1.0, reply_to="asker"))

    book.close("it is over")

    assert [answer.error.kind for answer in answers] == ["GatewayStoppedError"]
    assert answers[0].error.text == "it is over"
    with pytest.raises(GatewayStoppedError, match="it is over"):
        book.inject("box", Command(number=1), SENDER)


@pytest.mark.req("SUP-7")
def test_dead_letters_keep_the_newest_and_count_all() -> None:
    letters = DeadLetters(SystemClock(), capacity=3)

    for number in range(10):
        letters.add(Command(number=number), "box", "why")

    assert [letter.message.number for letter in letters.snapshot()] == [7, 8, 9]
    assert letters.total == 10


class MailboxMachine(RuleBasedStateMachine):
    """Commands and prices through changing incarnations, against three plain lists."""

    @initialize()
    def begin(self) -> None:
        self.book = make_book()
        self.waiting: list[Any] = []
        self.lease: Lease | None = None
        self.old: list[Lease] = []
        self.incarnation = 0
        self.holding = False
        self.number = 0

    def _next(self) -> int:
        self.number += 1
        return self.number

    @rule(symbol=st.sampled_from("AB"))
    def send_price(self, symbol: str) -> None:
        price = Price(symbol=symbol, number=self._next())
        place = next(
            (
                index
                for index, other in enumerate(self.waiting)
                if isinstance(other, Price) and other.symbol == symbol
            ),
            None,
        )
        full = self._count(Lane.BUSINESS) >= BOUND
        self._send(price, refused=place is None and full, place=place)

    @rule(kind=st.sampled_from([Command, Recovery, Urgent, Event]))
    def send(self, kind: type[Any]) -> None:
        message = kind(number=self._next())
        full = kind in (Command, Recovery) and self._count(kind.lane) >= BOUND
        self._send(message, refused=full, place=None)

    def _send(self, message: Message, refused: bool, place: int | None) -> None:
        try:
            self.book.inject("box", message, SENDER)
        except MailboxFullError:
            assert refused
            return
        assert not refused
        if place is None:
            self.waiting.append(message)
        else:
            self.waiting[place] = message

    def _count(self, lane: Lane) -> int:
        return sum(1 for message in self.waiting if message.lane is lane)

    @precondition(lambda self: self.lease is None)
    @rule()
    def start(self) -> None:
        self.incarnation += 1
        self.holding = False
        self.lease = self.book.lease("box", self.incarnation, 5.0)

    @precondition(lambda self: self.lease is not None)
    @rule(holding=st.booleans())
    def hold(self, holding: bool) -> None:
        assert self.lease is not None
        self.book.hold(self.lease, holding)
        self.holding = holding

    @precondition(lambda self: self.lease is not None)
    @rule()
    def take(self) -> None:
        assert self.lease is not None
        parcel = self.lease.take()

        expected = self._expected()
        assert (parcel.body if parcel else None) == expected
        if expected is not None:
            self.waiting.remove(expected)

    def _expected(self) -> Any:
        for lane in (Lane.SYSTEM, Lane.RECOVERY, Lane.BUSINESS):
            if lane is Lane.BUSINESS and self.holding:
                return None
            for message in self.waiting:
                if message.lane is lane:
                    return message
        return None

    @precondition(lambda self: self.lease is not None)
    @rule(superseded=st.booleans())
    def end(self, superseded: bool) -> None:
        assert self.lease is not None
        assert self.book.revoke(self.lease, superseded=superseded)
        self.old.append(self.lease)
        self.lease = None

    @rule()
    def old_incarnations_try_everything(self) -> None:
        for lease in self.old:
            assert lease.take() is STOP
            assert not self.book.revoke(lease, superseded=True)
            with pytest.raises(SupersededError):
                self.book.tell(lease.sender, "box", Command(number=0))

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.book.depth("box") == len(self.waiting)


TestMailboxMachine = pytest.mark.req("SUP-3")(MailboxMachine.TestCase)
