"""Which gateway is meant: a host or port given anywhere means one outside, contradictions are errors (D11)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from actors.errors import ConfigurationError
from supervision.config.loading import load
from supervision.config.sections import GatewayConfig

pytestmark = pytest.mark.req("CFG-2", "CFG-1")

HOSTS: Final = (None, "127.0.0.1", "10.0.0.7")
PORTS: Final = (None, 4002, 7497)
IN_FILE: Final = (None, "auto", "embedded", "external")


def written(folder: Path, **keys: Any) -> Path:
    """Write a ``[gateway]`` with the keys that are not None."""
    path = folder / "config.toml"
    lines = [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in keys.items()
        if value is not None
    ]
    path.write_text("\n".join(["[gateway]", *lines]))
    return path


@pytest.mark.parametrize(
    ("endpoint", "host", "port", "where"),
    list(itertools.product(IN_FILE, HOSTS, PORTS, ("file", "environment", "arguments"))),
)
def test_every_way_to_say_where_it_is(
    endpoint: str | None, host: str | None, port: int | None, where: str, tmp_path: Path
) -> None:
    """The whole table: what the file says of the endpoint, host, port, and where these two stand."""
    is_given = host is not None or port is not None
    in_file = {"host": host, "port": port} if where == "file" else {}
    path = written(tmp_path, endpoint=endpoint, **in_file)
    environ = {"IB_GATEWAY_HOST": host or "", "IB_GATEWAY_PORT": str(port or "")}
    arguments = {"--host": host, "--port": port}

    def read() -> GatewayConfig:
        return load(
            path,
            environ if where == "environment" else {},
            arguments if where == "arguments" else {},
        ).gateway

    if endpoint == "embedded" and is_given:
        with pytest.raises(
            ConfigurationError, match=r"the simulated gateway lives in this process"
        ):
            read()
        return
    gateway = read()
    assert gateway.endpoint == ("external" if is_given or endpoint == "external" else "embedded")
    assert (gateway.host, gateway.port) == (host or "127.0.0.1", port or 4002)


def test_the_forms_of_the_source_mean_a_gateway_outside() -> None:
    by_position = GatewayConfig("127.0.0.1", 4002, 3, 12.0)
    by_name = GatewayConfig(host="127.0.0.1", port=4002, client_id=3, timeout=12.0)

    assert by_position == by_name
    assert by_position.endpoint == "external"
    assert (by_position.client_id, by_position.timeout_s) == (3, 12.0)
    assert GatewayConfig().endpoint == "embedded"
    assert GatewayConfig.paper_trading().endpoint == "external"


def test_a_copy_keeps_what_is_meant() -> None:
    embedded, external = GatewayConfig(), GatewayConfig(port=4002)

    assert attrs.evolve(embedded, readonly=True).endpoint == "embedded"
    assert attrs.evolve(external, readonly=True).endpoint == "external"
    with pytest.raises(ConfigurationError, match="lives in this process"):
        attrs.evolve(embedded, port=7497)


@pytest.mark.parametrize("option", ["--host", "--port"])
@pytest.mark.parametrize("value", ["", 0, -1, 65_536, "a b"])
def test_an_option_that_does_not_fit_is_named(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{option}: found"):
        load(None, {}, {option: value})
