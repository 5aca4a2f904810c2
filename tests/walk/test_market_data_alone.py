"""The market-data actor alone with a link that the test plays, where no gateway can be made to answer so."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from actors.kernel.actor import ActorContext
from actors.market_data.actor import MarketDataActor
from actors.messages.addresses import LINK, MARKET_DATA
from actors.messages.connection import ProveMarketData
from actors.messages.market_data import (
    ContractQualified,
    QualifyContract,
    QuotesInterrupted,
    SnapshotTaken,
    SubscribeQuotes,
    TakeSnapshot,
)
from actors.model.contracts import Contract, SecurityType
from actors.model.market import Quote
from actors.sections.market_data import Failover, MarketData
from supervision.proof.driver import ProofDriver
from supervision.proof.loop import Proof, run_proof
from supervision.tree.child_spec import ChildSpec
from supervision.tree.tree import Tree

OURS, THE_BROKERS = "BRK.B", "BRK B"
NAMED_OTHERWISE = Contract(con_id=7, symbol=THE_BROKERS, security_type=SecurityType.STOCK)
SUBSCRIBER = "subscriber"
ANSWERED_BY_S = 10.0


def _without_a_second_source(context: ActorContext) -> MarketDataActor:
    return MarketDataActor(
        context, settings=MarketData(), failover=Failover(enabled=False), publishes=False
    )


def _link_that_names_otherwise(tree: Tree, proof: Proof) -> Any:
    """A link to a broker that knows the contract by another name than ours."""

    def receive(message: Any, _sender: Any) -> None:
        cid = message.correlation_id
        if isinstance(message, QualifyContract):
            query = message.query
            answer = ContractQualified(correlation_id=cid, query=query, contract=NAMED_OTHERWISE)
            tree.tell(MARKET_DATA, answer)
        elif isinstance(message, TakeSnapshot):
            quote = Quote(contract=message.contract, received_at=proof.clock.now(), last=400.0)
            tree.tell(MARKET_DATA, SnapshotTaken(correlation_id=cid, quote=quote))

    return receive


@pytest.mark.req("MKT-7")
@pytest.mark.parametrize("was_read_before", [False, True])
def test_a_subscriber_to_another_name_than_the_brokers_is_told_that_name(
    was_read_before: bool,
) -> None:
    received: list[Any] = []

    async def scenario(proof: Proof) -> None:
        tree = Tree(
            [ChildSpec(name=MARKET_DATA, factory=_without_a_second_source)],
            ProofDriver(proof.loop, random.Random(1)),
            proof.clock,
            proof.entropy,
        )
        tree.register(LINK, _link_that_names_otherwise(tree, proof))
        tree.register(SUBSCRIBER, lambda message, _: received.append(message))
        await tree.start_async(60.0)
        if was_read_before:
            await tree.ask_async(
                MARKET_DATA,
                lambda correlation_id, deadline, reply_to: ProveMarketData(
                    correlation_id=correlation_id, deadline=deadline, reply_to=reply_to, symbol=OURS
                ),
                ANSWERED_BY_S,
            )
        await tree.ask_async(
            MARKET_DATA,
            lambda correlation_id, deadline, reply_to: SubscribeQuotes(
                correlation_id=correlation_id,
                deadline=deadline,
                reply_to=reply_to,
                subscription_id="one",
                subscriber=SUBSCRIBER,
                symbols=(OURS,),
            ),
            ANSWERED_BY_S,
        )
        await asyncio.sleep(ANSWERED_BY_S)
        assert await tree.stop_async("the scenario is over", 60.0)

    run_proof(scenario, seed=1)

    (interrupted,) = received
    assert isinstance(interrupted, QuotesInterrupted)
    assert interrupted.symbols == (OURS,)
    assert THE_BROKERS in interrupted.reason
