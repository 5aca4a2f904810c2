"""A process and the next one on the same journal, in one proof."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from actors.ports import EventLog, no_log
from supervision import Config
from supervision.process import build_proof_process
from supervision.process.handle import Process
from supervision.proof.loop import Proof
from supervision.simulator import Simulator
from supervision.store.volatile_journal import VolatileJournalActor
from supervision.store.volatile_store import VolatileStore
from tests.worlds import NEXT_PROCESS


def processes_of(
    proof: Proof, simulator: Simulator, log: EventLog = no_log
) -> Callable[..., Process]:
    """Make what `IBKRGateway(process=...)` takes: each process finds what the one before it had journaled."""
    store = VolatileStore()
    starts = itertools.count()

    def make(config: Config, mode: Any, operator_id: str, consults: bool) -> Process:
        return build_proof_process(
            config,
            loop=proof.loop,
            seed=proof.seed + NEXT_PROCESS * next(starts),
            simulator=simulator,
            clock=proof.clock,
            mode=mode,
            operator_id=operator_id,
            has_risk_manager=consults,
            log=log,
            journal=lambda context: VolatileJournalActor(context, store),
        )

    return make
