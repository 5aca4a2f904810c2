"""Failed attempts are told apart (CON-7), in the log, by the layer that broke, and by whether they are retried."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from actors.errors import (
    ClientIDInUseError,
    GatewayAuthenticationError,
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
    IncompatibleVersionError,
    NetworkUnreachableError,
)
from actors.messages.addresses import CONNECTION
from actors.messages.connection import ConnectionStatus, GetConnectionStatus
from actors.model.connection import ConnectionState, HealthLayer
from supervision import IBKRGateway
from supervision.config.sections import Connection, GatewayConfig
from supervision.process import build_process
from supervision.simulator import Simulator
from tests.walk.link_records import Lines, broken_layer, link_status
from tests.walk.watching import ending, until
from tests.worlds import ProofWorld, RealWorld, a_config, prove, real_world

TIMEOUT_S = 1.0
QUICK = a_config(
    gateway=GatewayConfig(timeout_s=TIMEOUT_S),
    connection=Connection(
        same_id_retries=0, client_id_tries=1, first_delay_s=60.0, max_delay_s=60.0
    ),
)
PATIENCE_S = 3.0
Fault = Callable[[Simulator], object]


CASES: list[tuple[Fault, type[GatewayError], HealthLayer]] = [
    (lambda it: it.faults.refuse_connections(), GatewayConnectionError, HealthLayer.TCP),
    (lambda it: it.faults.silence(), GatewayTimeoutError, HealthLayer.HANDSHAKE),
    (lambda it: it.faults.client_id_taken(times=99), ClientIDInUseError, HealthLayer.HANDSHAKE),
    (lambda it: it.faults.version_too_old(), IncompatibleVersionError, HealthLayer.HANDSHAKE),
    (
        lambda it: it.faults.authentication_failure("disclaimer"),
        GatewayAuthenticationError,
        HealthLayer.HANDSHAKE,
    ),
    (
        lambda it: it.faults.authentication_failure("close"),
        GatewayConnectionError,
        HealthLayer.HANDSHAKE,
    ),
    (
        lambda it: it.faults.authentication_failure("silence"),
        GatewayTimeoutError,
        HealthLayer.HANDSHAKE,
    ),
    (
        lambda it: it.faults.ignore_requests("reqPositions"),
        GatewayConnectionError,
        HealthLayer.RECONCILED,
    ),
]
IDS = [
    "refused",
    "silent",
    "client id",
    "version",
    "disclaimer",
    "closed",
    "silent after the handshake",
    "silent about positions",
]


@pytest.mark.req("CON-7", "CON-4")
@pytest.mark.parametrize(("fault", "error", "layer"), CASES, ids=IDS)
def test_every_failure_has_its_error_and_its_layer(
    fault: Fault, error: type[GatewayError], layer: HealthLayer
) -> None:
    lines = Lines()

    async def scenario(world: ProofWorld) -> Any:
        fault(world.simulator)
        ended = await ending(world, world.gateway.connect(PATIENCE_S))
        return ended.error, await broken_layer(world), await link_status(world)

    raised, broken, status = prove(scenario, connect=False, config=QUICK, log=lines)

    failure = lines.of("connection_failure")[0]
    assert failure["error_type"] == error.__name__
    assert failure["error_message"] == status.last_error
    assert broken.layer is layer
    assert broken.detail == status.last_error
    if error.retryable:
        assert isinstance(raised, GatewayTimeoutError)
        assert status.state is ConnectionState.RECONNECTING
    else:
        assert type(raised) is error
        assert status.state is ConnectionState.FAILED


@pytest.mark.req("CON-7")
@pytest.mark.parametrize(("fault", "error", "layer"), CASES[:6], ids=IDS[:6])
def test_every_failure_has_its_error_over_real_sockets_too(
    tmp_path: Path, fault: Fault, error: type[GatewayError], layer: HealthLayer
) -> None:
    lines = Lines()

    async def scenario() -> None:
        async with real_world(tmp_path, connect=False, config=QUICK, log=lines) as world:
            world.simulator.call(fault)
            connecting = asyncio.create_task(world.gateway.connect(PATIENCE_S))
            await until(lambda: bool(lines.of("connection_failure")))
            status = await _status(world)
            connecting.cancel()
            with pytest.raises((asyncio.CancelledError, error)):
                await connecting
            assert status.layers[-1].layer is layer

    asyncio.run(scenario())

    assert lines.of("connection_failure")[0]["error_type"] == error.__name__


async def _status(world: RealWorld) -> ConnectionStatus:
    return await world.gateway.ask(CONNECTION, GetConnectionStatus, ConnectionStatus, 5.0)


@pytest.mark.req("CON-7")
def test_a_host_that_nobody_knows_is_unreachable(tmp_path: Path) -> None:
    lines = Lines()
    nowhere = GatewayConfig(endpoint="external", host=f"{uuid.uuid4().hex}.invalid", timeout_s=10.0)
    general = attrs.evolve(a_config().general, state_dir=str(tmp_path))
    gateway = IBKRGateway(
        attrs.evolve(QUICK, gateway=nowhere, general=general),
        process=lambda config, mode, operator, consults: build_process(
            config, mode=mode, operator_id=operator, has_risk_manager=consults, log=lines
        ),
    )

    async def scenario() -> None:
        connecting = asyncio.create_task(gateway.connect(20.0))
        await until(lambda: bool(lines.of("connection_failure")))
        connecting.cancel()
        await gateway.disconnect()

    asyncio.run(scenario())

    assert lines.of("connection_failure")[0]["error_type"] == NetworkUnreachableError.__name__


@pytest.mark.req("CON-7")
def test_each_error_has_its_code_and_says_whether_to_try_again() -> None:
    told = {
        GatewayConnectionError: ("IB_CONN_001", True),
        ClientIDInUseError: ("IB_CONN_002", True),
        GatewayTimeoutError: ("IB_CONN_003", True),
        NetworkUnreachableError: ("IB_CONN_004", True),
        GatewayAuthenticationError: ("IB_CONN_005", False),
        IncompatibleVersionError: ("IB_CONN_006", False),
    }

    assert told == {error: (error.code, error.retryable) for error in told}
    assert issubclass(GatewayConnectionError, ConnectionError)
    assert issubclass(GatewayTimeoutError, TimeoutError)
    assert all(issubclass(error, GatewayError) for error in told)


# --- layers of a link that stands ---------------------------------------------------------------------------------


@pytest.mark.req("CON-4")
def test_a_link_that_is_well_shows_every_layer() -> None:
    async def scenario(world: ProofWorld) -> None:
        await asyncio.sleep(42.0)
        layers = (await link_status(world)).layers

        assert [each.layer for each in layers] == list(HealthLayer)
        assert all(each.ok for each in layers)
        assert layers[0].detail == f"connected to 127.0.0.1:{world.simulator.port}"
        assert "round trip 0.0 ms, 12 s ago" in layers[2].detail
        assert "42 s ago" in layers[4].detail

    prove(scenario)


@pytest.mark.req("CON-4", "CON-10")
@pytest.mark.parametrize(
    ("fault", "layer", "words"),
    [
        (lambda it: it.faults.connectivity_lost(), HealthLayer.RECONCILED, "cut off from IB"),
        (lambda it: it.faults.farm(2103), HealthLayer.FRESH_TICK, "usfarm"),
        (lambda it: it.faults.ignore_requests("reqCurrentTime"), HealthLayer.ROUND_TRIP, "1"),
    ],
    ids=["upstream", "farm", "one missed beat"],
)
def test_a_standing_link_shows_the_layer_that_gave_way(
    fault: Fault, layer: HealthLayer, words: str
) -> None:
    async def scenario(world: ProofWorld) -> None:
        fault(world.simulator)
        await asyncio.sleep(36.0)
        broken = await broken_layer(world)

        assert broken.layer is layer
        assert words in broken.detail

    prove(scenario)
