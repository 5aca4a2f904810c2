"""The files of the deployment say what the product needs, and agree with it (DEP-1)."""

from __future__ import annotations

import configparser
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs
import pytest
import yaml

from actors.sections.gateway import GatewayConfig
from actors.sections.maintenance import Maintenance
from supervision.commands.cli import ExitCode
from supervision.config.loading import ENVIRONMENT, load
from supervision.config.sections import Config
from supervision.store.volume import is_required

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text()
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
CLOUD_RUN: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "cloudrun/service.yaml").read_text())
UNIT: Final = DEPLOY / "systemd/ibkr-actors.service"
WORKFLOW: Final[dict[Any, Any]] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
STATE_DIR: Final = "/var/lib/ibkr-actors"
LIVE: Final = "/health/live"


def image_config() -> Config:
    """Read what the image starts with."""
    return load(DEPLOY / "config.toml", {})


# --- the image --------------------------------------------------------------------------------------------------------


def instructions(name: str) -> list[str]:
    """List the arguments of an instruction of the last stage, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    last = joined[joined.rindex("\nFROM ") :]
    return re.findall(rf"^{name} (.*)$", last, re.MULTILINE)


@pytest.mark.req("DEP-1")
def test_the_image_runs_without_root_and_stops_in_order() -> None:
    assert re.search(r"^ARG RUN_AS=10001:10001$", DOCKERFILE, re.MULTILINE)
    assert instructions("USER") == ["${RUN_AS}"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("ENTRYPOINT") == ['["ibkr-actors"]'], "exec form: the signal reaches it"
    assert instructions("CMD")[-1].startswith('["run"')


@pytest.mark.req("DEP-1")
def test_the_image_asks_for_its_own_health_on_the_configured_port() -> None:
    port = image_config().observability.health_port

    (check,) = instructions("HEALTHCHECK")
    assert "--interval=30s" in check
    assert f"http://127.0.0.1:{port}{LIVE}" in check
    assert "CMD [" in check


@pytest.mark.req("DEP-1")
def test_the_image_installs_what_is_locked_without_a_cache_and_holds_no_pip() -> None:
    installs = re.findall(r"pip .*install .*", re.sub(r"\\\n", "", DOCKERFILE))

    assert len(installs) == 2
    assert all("--no-cache-dir" in each for each in installs)
    assert installs[0].endswith("-r requirements.lock")
    assert "--no-deps" in installs[1]
    assert "venv --without-pip" in DOCKERFILE
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(base.endswith("-slim-bookworm") for base in bases)


@pytest.mark.req("DEP-1")
def test_the_image_keeps_its_state_on_a_volume_and_demands_a_durable_one_for_paper() -> None:
    config = image_config()

    assert instructions("VOLUME") == [STATE_DIR]
    assert config.general.state_dir == STATE_DIR
    assert config.gateway.endpoint == "external"
    assert is_required(config.journal.durable_volume, {}, external=True)
    assert config.general.mode == "dry_run", "paper is chosen, never a default"


@pytest.mark.req("DEP-1")
def test_no_secret_can_slip_into_the_image() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    copied = {
        path
        for found in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for path in found.split()[:-1]
    }
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


# --- compose ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("DEP-1")
def test_compose_publishes_on_loopback_only_with_the_usual_ports() -> None:
    published = [port for each in COMPOSE["services"].values() for port in each.get("ports", [])]

    assert all(port.startswith("127.0.0.1:") for port in published)
    outside = {int(port.split(":")[1]) for port in published}
    observed = image_config().observability
    assert outside == {4002, 5900, observed.health_port, observed.metrics_port}


@pytest.mark.req("DEP-1")
def test_compose_checks_health_every_thirty_seconds_and_starts_us_after_the_gateway() -> None:
    services = COMPOSE["services"]

    assert {each["healthcheck"]["interval"] for each in services.values()} == {"30s"}
    assert LIVE in services["ibkr-actors"]["healthcheck"]["test"][-1]
    needed = services["ibkr-actors"]["depends_on"]
    assert needed["ib-gateway"]["condition"] == "service_healthy"
    assert needed["postgres"] == {"condition": "service_healthy", "required": False}
    assert services["postgres"]["profiles"] == ["postgres"]


@pytest.mark.req("DEP-1")
def test_compose_trades_paper_only_and_keeps_credentials_in_the_environment_file() -> None:
    gateway = COMPOSE["services"]["ib-gateway"]["environment"]
    ours = COMPOSE["services"]["ibkr-actors"]

    assert gateway["TRADING_MODE"] == "paper"
    for name in ("TWS_USERID", "TWS_PASSWORD", "VNC_SERVER_PASSWORD"):
        assert gateway[name].startswith("${" + name)
    assert ours["command"][-2:] == ["--mode", "paper"]
    assert ours["environment"].keys() <= ENVIRONMENT.keys()
    assert f"state:{STATE_DIR}" in ours["volumes"]


@pytest.mark.req("DEP-1")
def test_whoever_stops_us_waits_longer_than_the_orderly_stop_takes() -> None:
    shutdown_s = Config().supervision.shutdown_s

    assert float(COMPOSE["services"]["ibkr-actors"]["stop_grace_period"].rstrip("s")) > shutdown_s
    assert float(unit()["Service"]["TimeoutStopSec"]) > shutdown_s


# --- Cloud Run --------------------------------------------------------------------------------------------------------


@pytest.mark.req("DEP-1")
def test_cloud_run_has_exactly_one_instance_with_its_cpu_always_on() -> None:
    annotations = CLOUD_RUN["spec"]["template"]["metadata"]["annotations"]
    (container,) = CLOUD_RUN["spec"]["template"]["spec"]["containers"]

    assert annotations["autoscaling.knative.dev/minScale"] == "1"
    assert annotations["autoscaling.knative.dev/maxScale"] == "1"
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}


@pytest.mark.req("DEP-1")
def test_cloud_run_probes_the_health_port_and_mounts_the_state() -> None:
    spec = CLOUD_RUN["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    port = image_config().observability.health_port

    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": LIVE, "port": port}
    assert container["ports"][0]["containerPort"] == port
    assert container["volumeMounts"] == [{"name": "state", "mountPath": STATE_DIR}]
    assert "nfs" in spec["volumes"][0], "the only volume there that is durable and takes a database"
    assert {each["name"] for each in container["env"]} <= ENVIRONMENT.keys()


# --- systemd and the environment --------------------------------------------------------------------------------------


def unit() -> configparser.ConfigParser:
    """Read the unit."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(UNIT)
    return parser


@pytest.mark.req("DEP-1", "SUP-9")
def test_the_unit_restarts_failures_but_not_what_would_fail_again() -> None:
    service = unit()["Service"]

    assert service["Restart"] == "on-failure"
    final = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert final == {ExitCode.USAGE, ExitCode.REFUSED, ExitCode.LOCKED}
    assert service["KillSignal"] == "SIGTERM"
    assert service["StateDirectory"] == Path(service["WorkingDirectory"]).name


@pytest.mark.req("DEP-1", "CFG-2")
def test_the_example_environment_names_every_variable_and_only_used_ones() -> None:
    text = (ROOT / ".env.example").read_text()
    ours, compose = text.split("deploy/docker-compose.yml: the IB Gateway")

    assert set(re.findall(r"^([A-Z_]+)=", ours, re.MULTILINE)) == set(ENVIRONMENT)
    used = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "docker-compose.yml").read_text()))
    assert set(re.findall(r"^([A-Z_]+)=", compose, re.MULTILINE)) == used - set(ENVIRONMENT)


@pytest.mark.req("DEP-1", "CFG-2")
def test_the_example_environment_is_the_defaults() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line)]

    config = load(None, {name: value for name, value in pairs if name in ENVIRONMENT})
    restart = config.connection.maintenance.gateway_restart
    connection = attrs.evolve(
        config.connection, maintenance=attrs.evolve(Maintenance(), gateway_restart="")
    )

    default = attrs.evolve(Config(), gateway=GatewayConfig.paper_trading())

    assert attrs.evolve(config, connection=connection) == default
    assert restart == RESTART, "the one that compose gives to the gateway"


# --- the gateway's own daily restart ----------------------------------------------------------------------------------

RESTART: Final = "11:45 PM"


@pytest.mark.req("CON-15", "DEP-1")
def test_all_that_ships_says_the_same_of_the_gateways_daily_restart() -> None:
    gateway, ours = (
        COMPOSE["services"][name]["environment"] for name in ("ib-gateway", "ibkr-actors")
    )
    (container,) = CLOUD_RUN["spec"]["template"]["spec"]["containers"]
    cloud = {each["name"]: each.get("value") for each in container["env"]}

    assert gateway["AUTO_RESTART_TIME"] == ours["AUTO_RESTART_TIME"]
    assert gateway["AUTO_RESTART_TIME"] == "${AUTO_RESTART_TIME:-" + RESTART + "}"
    assert cloud["AUTO_RESTART_TIME"] == RESTART
    assert f'Environment="AUTO_RESTART_TIME={RESTART}"' in UNIT.read_text().splitlines()
    assert gateway["TIME_ZONE"] == Config().connection.maintenance.zone


@pytest.mark.req("CON-15")
@pytest.mark.parametrize("day", range(7))
def test_a_night_of_the_shipped_stack_is_planned_maintenance(day: int) -> None:
    config = load(DEPLOY / "config.toml", {"AUTO_RESTART_TIME": RESTART})
    schedule = config.connection.maintenance.schedule(is_external=True)
    restarts_at = datetime(2026, 3, 2 + day, 23, 45, tzinfo=ZoneInfo("America/New_York"))

    assert schedule.window_at(restarts_at + timedelta(seconds=90)) is not None


# --- the workflow -----------------------------------------------------------------------------------------------------


@pytest.mark.req("QUA-4")
def test_the_workflow_tests_every_system_and_python() -> None:
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]

    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14", "3.15-dev"]


@pytest.mark.req("DEP-1", "QUA-2")
def test_the_image_is_built_after_everything_else_passed() -> None:
    jobs = WORKFLOW["jobs"]

    assert set(jobs["image"]["needs"]) == jobs.keys() - {"image"}
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any("make audit ARGS=--strict" in step for step in steps)
    makefile = (ROOT / "Makefile").read_text()
    for found in re.findall(r"make ([a-z ]+?)(?: ARGS|$)", "\n".join(steps), re.MULTILINE):
        for target in found.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_a_config_of_the_image_differs_from_the_defaults_only_where_it_says_so() -> None:
    default, image = Config(), image_config()
    changed = [
        name for name in attrs.fields_dict(Config) if getattr(default, name) != getattr(image, name)
    ]

    assert changed == ["general", "gateway", "journal", "observability"]
