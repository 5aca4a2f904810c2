"""Closed vocabularies for the labels of metrics: no label takes a value that is not listed here (OBS-1).

Whatever the gateway, a caller or a library may say, it becomes one of these words or ``other``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.errors import GatewayError
from actors.logic.order_table import OrderState
from actors.model.connection import DisconnectCause
from actors.model.market import DataSource
from actors.model.orders import CloseReason, OrderAction, OrderStatus
from actors.risk.judging import RULE_NAMES

OTHER: Final = "other"


class Vocabulary:
    """The words that one label may take."""

    def __init__(self, words: Iterable[str]) -> None:
        """Allow ``words``, and `OTHER` for everything else."""
        self.words: Final = frozenset(words) | {OTHER}

    def word(self, value: object) -> str:
        """Give the word for a value: itself where it is one, else `OTHER`."""
        text = str(value)
        return text if text in self.words else OTHER


def _kinds(root: type[GatewayError]) -> frozenset[str]:
    return frozenset({root.__name__}).union(*(_kinds(kind) for kind in root.__subclasses__()))


STATUSES: Final = Vocabulary(("success", "failure", "conflict"))
ERROR_TYPES: Final = Vocabulary(
    (*_kinds(GatewayError), *(cause.value for cause in DisconnectCause))
)
ORDER_STATES: Final = Vocabulary(
    {state.value.lower() for state in OrderState} | {status.value.lower() for status in OrderStatus}
)
SOURCES: Final = Vocabulary(source.value for source in DataSource)
SIDES: Final = Vocabulary(side.value for side in OrderAction)
RULES: Final = Vocabulary(RULE_NAMES)
TRIGGERS: Final = Vocabulary(reason.value for reason in CloseReason)
