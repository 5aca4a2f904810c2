"""Mutants that no test can kill, since they do what the code does; each with the reason.

They are named by what stands there, not by a number, which changes with every line that is added. One that is listed
and does not exist any more fails the whole run, so that the list stays true.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Equivalent:
    """One mutant: the function that has it, and the code that it puts in place of ours."""

    module: str
    function: str
    removed: str
    added: str


_RECORD: Final = "actors/executor/record.py"
_GATE: Final = "actors/link/order_gate.py"

_NOT_ASKED: Final = "none of these is looked at before a session has opened, which sets them all"
_FALSY: Final = "a flag that is only ever asked whether it is true: None is as false as False"
_EXPIRED: Final = "an expired permit is refused by its own date, remembered or not"


def _flags(function: str, *names: str) -> dict[Equivalent, str]:
    """False → None, for flags of the gate."""
    return {
        Equivalent(
            _GATE, f"OrderGate.{function}", f"self.{name} = False", f"self.{name} = None"
        ): _FALSY
        for name in names
    }


EQUIVALENTS: Final[dict[Equivalent, str]] = {
    Equivalent(
        _RECORD,
        "complete",
        "if record.accounted_filled < record.order.quantity - QUANTITY_TOLERANCE:",
        "if record.accounted_filled <= record.order.quantity - QUANTITY_TOLERANCE:",
    ): "quantities are multiples of a unit, so that none lies exactly at the tolerance",
    Equivalent(
        _GATE,
        "OrderGate.__init__",
        "self._accounts: frozenset[str] = frozenset()",
        "self._accounts: frozenset[str] = None",
    ): _NOT_ASKED,
    Equivalent(
        _GATE, "OrderGate.__init__", "self._readonly = False", "self._readonly = True"
    ): _NOT_ASKED,
    Equivalent(
        _GATE, "OrderGate.__init__", "self._has_been_read = False", "self._has_been_read = True"
    ): _NOT_ASKED,
    Equivalent(
        _GATE, "OrderGate.session_ended", "self._accounts = frozenset()", "self._accounts = None"
    ): _NOT_ASKED,
    **_flags("__init__", "_readonly", "_has_session", "_has_been_read", "_is_open", "_is_latched"),
    **_flags("session_opened", "_is_established"),
    **_flags("session_ended", "_is_established", "_has_session"),
    **_flags("close", "_is_open", "_has_been_read"),
    **_flags("set_open", "_is_open"),
    Equivalent(
        _GATE,
        "OrderGate.refusal",
        "self.give_up(attempt.order, attempt.permit, refusal.reason, now)",
        "self.give_up(attempt.order, attempt.permit, None, now)",
    ): "give_up only hands the reason back, and here nobody takes it",
    Equivalent(
        _GATE,
        "OrderGate._use",
        "if len(self._permits) >= self._max:",
        "if len(self._permits) > self._max:",
    ): _EXPIRED,
    Equivalent(
        _GATE,
        "OrderGate._use",
        "self._permits = {key: until for key, until in self._permits.items() if until > now}",
        "self._permits = {key: until for key, until in self._permits.items() if until >= now}",
    ): _EXPIRED,
}
"""Mutant → why it cannot be told from the code."""
