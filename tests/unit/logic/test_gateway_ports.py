"""Where to look for a gateway that moves (IB's notice 1300)."""

from __future__ import annotations

import pytest

from actors.connection.gateway_ports import GatewayPorts, announced_port

CONFIGURED = GatewayPorts(configured=4002)
MOVED = "TWS socket port has been reset and this connection is being dropped. Please reconnect on the new port - 4100"


@pytest.mark.req("CON-10")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MOVED, 4100),
        ("Socket port has been reset to 7497.", 7497),
        ("the port of 127.0.0.1 is now 65535", 65_535),
        ("reconnect on port 65536", None),
        ("reconnect on port 0", None),
        ("reconnect on port 123456", None),
        ("reconnect to 10.19.1", None),
        ("socket port has been reset", None),
        ("", None),
    ],
)
def test_the_new_port_is_the_last_number_of_the_text_when_it_can_be_one(
    text: str, expected: int | None
) -> None:
    assert announced_port(text) == expected


@pytest.mark.req("CON-10")
def test_an_announced_port_is_tried_first_and_then_in_turn_with_the_configured_one() -> None:
    ports = CONFIGURED.after_reset(MOVED)
    tried = []
    for _ in range(4):
        tried.append(ports.current)
        ports = ports.after_failure()

    assert tried == [4100, 4002, 4100, 4002]


@pytest.mark.req("CON-10")
def test_the_port_that_connects_is_kept() -> None:
    moved = CONFIGURED.after_reset(MOVED)

    stayed = moved.after_success().after_reset("unreadable")
    assert moved.after_success().current == 4100
    assert stayed.current == 4002
    assert moved.after_failure().after_success().after_failure().current == 4002


@pytest.mark.req("CON-10")
def test_a_gateway_that_never_moved_has_one_port() -> None:
    assert CONFIGURED.after_failure().after_failure().after_success().current == 4002
