"""What an error of a read says of a symbol's data (MKT-11)."""

from __future__ import annotations

from typing import Final

from actors.errors import CompetingSessionError, ErrorInfo, NotSubscribedError
from actors.model.market import DataCondition

_OF_ERRORS: Final = {
    NotSubscribedError.__name__: DataCondition.NOT_SUBSCRIBED,
    CompetingSessionError.__name__: DataCondition.COMPETING_SESSION,
}


def condition_of(error: ErrorInfo) -> DataCondition:
    """Tell the refusals apart; whatever else went wrong, there is no data."""
    return _OF_ERRORS.get(error.kind, DataCondition.UNAVAILABLE)
