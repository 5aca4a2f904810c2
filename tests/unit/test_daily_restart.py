"""The gateway's own daily restart: what `check` and the start banner say of it (CON-15)."""

from __future__ import annotations

import attrs
import pytest

from actors.model.orders import ExecutionMode
from actors.sections.maintenance import Maintenance
from supervision.commands.check import remedies
from supervision.commands.check.judging import judge_restart
from supervision.commands.check.report import Status
from supervision.commands.run import banner
from supervision.config.sections import Config, Connection

pytestmark = pytest.mark.req("CON-15")

PLANNED = (
    "the gateway restarts itself at 11:45 PM America/New_York, for at most 300 s: that is planned,"
    " opens nothing and sells nothing"
)


@pytest.mark.parametrize(
    ("table", "is_external", "status", "detail", "remedy"),
    [
        (Maintenance(), False, Status.OK, "does not restart", None),
        (Maintenance(enabled=False), True, Status.OK, "switched off", None),
        (Maintenance(), True, Status.WARNING, "counts as a lost link", remedies.DAILY_RESTART),
        (Maintenance(gateway_restart="11:45 PM"), True, Status.OK, PLANNED, None),
        (
            Maintenance(gateway_restart="23:45 Europe/Berlin"),
            True,
            Status.OK,
            "at 23:45 Europe/Berlin, for",
            None,
        ),
    ],
)
def test_check_says_when_it_is_and_what_follows(
    table: Maintenance, is_external: bool, status: Status, detail: str, remedy: str | None
) -> None:
    found, said, cure = judge_restart(table, is_external=is_external)

    assert (found, cure) == (status, remedy)
    assert detail in said


@pytest.mark.parametrize(("restart", "says"), [("11:45 PM", PLANNED), ("", "no daily restart")])
def test_the_banner_says_it_too(restart: str, says: str) -> None:
    config = Config()
    config = attrs.evolve(
        config,
        gateway=attrs.evolve(config.gateway, endpoint="external"),
        connection=Connection(maintenance=Maintenance(gateway_restart=restart)),
    )

    (line,) = (
        each for each in banner(config, ExecutionMode.PAPER, "1.0") if each.startswith("restart")
    )

    assert says in line


def test_the_embedded_gateways_banner_has_no_such_line() -> None:
    lines = banner(Config(), ExecutionMode.DRY_RUN, "1.0")

    assert not any(line.startswith("restart") for line in lines)


@pytest.mark.parametrize(
    ("text", "hour"),
    [("12:10 AM", 0), ("12:10 PM", 12), ("1:10 PM", 13), ("01:10", 1), ("9:10", 9)],
)
def test_the_hour_may_be_one_of_twelve(text: str, hour: int) -> None:
    rules = Maintenance(gateway_restart=text).schedule(is_external=True).rules

    assert {(rule.begin.hour, rule.begin.minute) for rule in rules if rule.is_restart} == {
        (hour, 10)
    }
