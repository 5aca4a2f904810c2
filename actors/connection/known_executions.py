"""Which executions are known from whole reads, so that the next read need not ask for all of the day (D23)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from actors import messages as m
from actors.model.connection import BrokerState, StatePart
from actors.model.orders import Execution

MARGIN: Final = timedelta(minutes=10)
"""An execution may be told so much later than one that happened after it."""


@attrs.frozen(kw_only=True)
class KnownExecutions:
    """What the reads so far have settled; nothing before the first.

    ``newest`` comes from reads alone: one that was told by itself says nothing of those of other clients before it.
    ``unknown_since`` is when the first order was sent whose fate is not known.
    """

    newest: Execution | None = None
    unknown_since: datetime | None = None

    def question(self) -> m.ExecutionsSince | None:
        """From when on executions are asked for; None: all that the broker lists."""
        newest = self.newest
        if newest is None or newest.executed_at is None:
            return None
        begins = newest.executed_at
        if self.unknown_since is not None:
            begins = min(begins, self.unknown_since)
        return m.ExecutionsSince(at=begins - MARGIN, known=newest.base_id)

    def after(self, state: BrokerState | None, unknown_since: datetime | None) -> KnownExecutions:
        """Take in a state that everybody has taken over. One that did not tell its executions settles nothing."""
        if state is None or StatePart.EXECUTIONS in state.silent:
            return self
        dated = [item for item in state.executions if item.executed_at is not None]
        newest = max(dated, key=_when, default=self.newest)
        return KnownExecutions(newest=newest, unknown_since=unknown_since)


def _when(execution: Execution) -> datetime:
    assert execution.executed_at is not None  # noqa: S101 - those without a time were left out
    return execution.executed_at
