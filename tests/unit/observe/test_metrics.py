"""The numbers follow from the events, and from nothing else; no label grows."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervision.observe import labels
from supervision.observe.metrics import Metrics
from supervision.observe.metrics_state import State
from supervision.tree.children import ChildStatus
from supervision.tree.system import SystemClock

DOCUMENT = Path(__file__).parents[3] / "docs" / "observability.md"
EVENTS = (
    "connection_attempt",
    "connection_success",
    "connection_failure",
    "client_id_conflict",
    "connection_retry",
    "disconnection",
    "circuit_breaker_state_change",
    "heartbeat",
    "quote_received",
    "failover_changed",
    "risk_rejected",
    "latch_found",
    "strategy_c_triggered",
    "strategy_c_report",
    "rearmed",
    "order_filled",
    "order_rejected",
)
FIELDS = (
    "duration",
    "error_type",
    "new_state",
    "old_state",
    "latency_ms",
    "symbol",
    "source",
    "failed_over",
    "rules",
    "reason",
    "flat",
    "seconds",
    "action",
    "age_s",
)
AN_ACTOR = ChildStatus(
    name="executor",
    state="up",
    incarnation=3,
    restarts=2,
    mailbox_depth=7,
    handler_age_s=None,
    handled=40,
    busy_s=0.5,
)


def metrics_of(state: State | None = None) -> Metrics:
    """Make metrics that count from zero."""
    return Metrics(SystemClock(), ("SPY",), lambda: state or State())


def samples(metrics: Metrics) -> dict[str, float]:
    """Read the exposition as Prometheus does: series, written out, to value."""
    text = metrics.exposition("")[0].decode()
    return {
        sample.name
        + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def count(metrics: Metrics, events: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, float]:
    """Count events; give all series."""
    for event, fields in events:
        metrics.count(event, fields)
    return samples(metrics)


@pytest.mark.req("OBS-1")
def test_the_required_metrics_have_their_exact_names_types_and_buckets() -> None:
    text = metrics_of().exposition("")[0].decode()
    types = dict(re.findall(r"# TYPE (ib_gateway_\S+) (\S+)", text))
    buckets = {
        name: re.findall(rf'{name}_bucket{{le="([^"]+)"}}', text)
        for name, kind in types.items()
        if kind == "histogram"
    }

    assert types == {
        "ib_gateway_connections_total": "counter",
        "ib_gateway_connection_duration_seconds": "histogram",
        "ib_gateway_active_connections": "gauge",
        "ib_gateway_connection_errors_total": "counter",
        "ib_gateway_circuit_breaker_state": "gauge",
        "ib_gateway_retry_attempts_total": "counter",
        "ib_gateway_heartbeat_latency_ms": "histogram",
    }
    assert buckets == {
        "ib_gateway_connection_duration_seconds": [
            "0.1",
            "0.5",
            "1.0",
            "2.0",
            "5.0",
            "10.0",
            "30.0",
            "+Inf",
        ],
        "ib_gateway_heartbeat_latency_ms": [
            "10.0",
            "50.0",
            "100.0",
            "500.0",
            "1000.0",
            "5000.0",
            "+Inf",
        ],
    }


@pytest.mark.req("OBS-1")
def test_a_connection_is_counted_from_its_first_attempt_to_its_loss() -> None:
    metrics = metrics_of()

    count(
        metrics,
        [
            ("connection_attempt", {}),
            ("connection_failure", {"error_type": "GatewayTimeoutError"}),
            ("connection_retry", {"error_type": "GatewayTimeoutError", "delay_s": 1.0}),
            ("client_id_conflict", {}),
            ("connection_success", {"duration": 0.3}),
            ("heartbeat", {"latency_ms": 70.0}),
        ],
    )
    connected = samples(metrics)["ib_gateway_active_connections"]
    found = count(metrics, [("disconnection", {"error_type": "silence"})])

    assert connected == 1
    assert found["ib_gateway_active_connections"] == 0
    assert found["ib_gateway_connections_total,status=success"] == 1
    assert found["ib_gateway_connections_total,status=failure"] == 1
    assert found["ib_gateway_connections_total,status=conflict"] == 1
    assert found["ib_gateway_connection_duration_seconds_bucket,le=0.5"] == 1
    assert found["ib_gateway_connection_duration_seconds_bucket,le=0.1"] == 0
    assert found["ib_gateway_connection_errors_total,error_type=GatewayTimeoutError"] == 1
    assert found["ib_gateway_connection_errors_total,error_type=ClientIDInUseError"] == 1
    assert found["ib_gateway_connection_errors_total,error_type=silence"] == 1
    assert found["ib_gateway_retry_attempts_total,error_type=GatewayTimeoutError"] == 1
    assert found["ib_gateway_heartbeat_latency_ms_bucket,le=100.0"] == 1
    assert found["ibkr_actors_events_uncounted_total"] == 0


@pytest.mark.req("OBS-1")
def test_a_session_that_was_ended_in_order_is_no_error() -> None:
    found = count(metrics_of(), [("disconnection", {"error_type": "asked"})])

    assert not [name for name in found if name.startswith("ib_gateway_connection_errors")]


@pytest.mark.req("OBS-1")
@pytest.mark.parametrize(("state", "value"), [("closed", 0), ("open", 1), ("half_open", 2)])
def test_the_breaker_is_a_number(state: str, value: int) -> None:
    found = count(metrics_of(), [("circuit_breaker_state_change", {"new_state": state})])

    assert found["ib_gateway_circuit_breaker_state"] == value


@pytest.mark.req("OBS-1")
def test_an_order_counts_once_for_each_state_it_comes_into() -> None:
    moved = {"action": "BUY", "old_state": "SENT", "new_state": "FILLED"}
    told_again = moved | {"old_state": "FILLED"}

    found = count(metrics_of(), [("order_filled", moved), ("order_filled", told_again)])

    assert found["ibkr_actors_orders_total,side=BUY,status=filled"] == 1


@pytest.mark.req("OBS-1")
def test_every_rule_behind_a_rejection_is_counted() -> None:
    rules = ("quote_fresh", "daily_loss")

    found = count(metrics_of(), [("risk_rejected", {"rules": rules})])

    assert found["ibkr_actors_risk_rejections_total,rule=quote_fresh"] == 1
    assert found["ibkr_actors_risk_rejections_total,rule=daily_loss"] == 1
    assert found["ibkr_actors_risk_rejections_total,rule=no_short"] == 0


@pytest.mark.req("OBS-1")
def test_strategy_c_is_latched_from_its_trigger_until_it_is_re_armed() -> None:
    metrics = metrics_of()

    begun = count(metrics, [("strategy_c_triggered", {"reason": "DISCONNECT"})])
    done = count(metrics, [("strategy_c_report", {"flat": True, "seconds": 4.0})])
    rearmed = count(metrics, [("rearmed", {})])

    assert begun["ibkr_actors_strategy_c_latched"] == 1
    assert begun["ibkr_actors_strategy_c_triggers_total,reason=DISCONNECT"] == 1
    assert begun["ibkr_actors_strategy_c_flat"] != begun["ibkr_actors_strategy_c_flat"]  # NaN
    assert done["ibkr_actors_strategy_c_flat"] == 1
    assert done["ibkr_actors_strategy_c_duration_seconds_bucket,le=5.0"] == 1
    assert (done["ibkr_actors_strategy_c_latched"], rearmed["ibkr_actors_strategy_c_latched"]) == (
        1,
        0,
    )


@pytest.mark.req("OBS-1", "MKT-10")
def test_failover_is_counted_by_where_it_went_and_a_second_source_makes_no_data_young() -> None:
    metrics = metrics_of()

    over = count(
        metrics,
        [
            ("failover_changed", {"symbol": "SPY", "source": "alpha_vantage", "failed_over": 1}),
            ("quote_received", {"symbol": "SPY", "source": "alpha_vantage"}),
        ],
    )
    back = count(metrics, [("failover_changed", {"source": "ib", "failed_over": 0})])
    standing = {"symbol": "SPY", "source": "ib", "age_s": 40.0}
    quoted = count(metrics, [("quote_received", standing)])
    undated = count(metrics, [("quote_received", standing | {"age_s": float("inf")})])

    assert over["ibkr_actors_failed_over_symbols"] == 1
    assert over["ibkr_actors_failovers_total,source=alpha_vantage"] == 1
    assert "ibkr_actors_market_data_age_seconds,symbol=SPY" not in over
    assert back["ibkr_actors_failed_over_symbols"] == 0
    assert back["ibkr_actors_failovers_total,source=ib"] == 1
    assert quoted["ibkr_actors_market_data_age_seconds,symbol=SPY"] >= 40.0
    assert undated["ibkr_actors_market_data_age_seconds,symbol=SPY"] >= 40.0


@pytest.mark.req("OBS-1", "MKT-9")
def test_what_is_published_waits_and_is_lost_is_told() -> None:
    found = samples(metrics_of(State(quotes_published=7, quotes_waiting=3, quotes_dropped=2)))

    assert found["ibkr_actors_quotes_published_total"] == 7
    assert found["ibkr_actors_quotes_publish_waiting"] == 3
    assert found["ibkr_actors_quotes_publish_dropped_total"] == 2


@pytest.mark.req("OBS-1")
def test_what_is_state_is_read_when_it_is_asked_for() -> None:
    found = samples(
        metrics_of(State(actors=(AN_ACTOR,), dead_letters=5, records_waiting=9, memory_mb=80.0))
    )

    assert found["ibkr_actors_actor_up,actor=executor"] == 1
    assert found["ibkr_actors_actor_restarts_total,actor=executor"] == 2
    assert found["ibkr_actors_mailbox_depth,actor=executor"] == 7
    assert found["ibkr_actors_handler_seconds_count,actor=executor"] == 40
    assert found["ibkr_actors_handler_seconds_sum,actor=executor"] == 0.5
    assert found["ibkr_actors_dead_letters_total"] == 5
    assert found["ibkr_actors_records_waiting"] == 9
    assert found["ibkr_actors_process_memory_bytes"] == 80_000_000


@pytest.mark.req("OBS-1")
def test_two_processes_in_one_interpreter_do_not_count_for_each_other() -> None:
    one, other = metrics_of(), metrics_of()

    counted = count(one, [("connection_success", {"duration": 1.0})])

    assert counted["ib_gateway_connections_total,status=success"] == 1
    assert samples(other)["ib_gateway_connections_total,status=success"] == 0


def test_an_event_with_odd_fields_is_counted_as_such_and_harms_nobody() -> None:
    odd = [("heartbeat", {"latency_ms": None}), ("connection_success", {}), ("risk_rejected", {})]

    found = count(metrics_of(), odd)

    assert found["ibkr_actors_events_uncounted_total"] == len(odd)


def a_hostile_value(dice: random.Random) -> Any:
    """Make what no label may take over: an account, a line break, a text without end, no text at all."""
    return dice.choice(
        [
            "".join(dice.choices(string.printable, k=dice.randrange(200))),
            f"DU{dice.randrange(10**7):07}",
            '"} evil 1\n',
            dice.random(),
            None,
            object(),
            ("daily_loss", '"\n', dice.random()),
            "filled",
            "SENT",
            "BUY",
        ]
    )


@pytest.mark.req("OBS-1", "OBS-4")
@pytest.mark.parametrize("seed", range(5))
def test_no_label_takes_a_value_that_was_not_declared(seed: int) -> None:
    dice = random.Random(seed)
    metrics = metrics_of(State(actors=(AN_ACTOR,)))
    declared = {
        "status": labels.STATUSES.words | labels.ORDER_STATES.words,
        "error_type": labels.ERROR_TYPES.words,
        "side": labels.SIDES.words,
        "source": labels.SOURCES.words,
        "rule": labels.RULES.words,
        "reason": labels.TRIGGERS.words,
        "actor": {AN_ACTOR.name},
        "symbol": {"SPY", labels.OTHER},
    }

    for _ in range(5000):
        fields = {name: a_hostile_value(dice) for name in FIELDS}
        metrics.count(dice.choice(EVENTS), fields)

    text = metrics.exposition("")[0].decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for name, value in sample.labels.items():
                assert name == "le" or value in declared[name], f"seed {seed}: {sample}"


@pytest.mark.req("OBS-1")
def test_the_document_lists_exactly_the_metrics_that_there_are() -> None:
    text = metrics_of().exposition("")[0].decode()
    shown = set(re.findall(r"# TYPE (\S+) ", text))

    documented = re.findall(
        r"^\| `((?:ib_gateway|ibkr_actors)_\w+)", DOCUMENT.read_text("utf-8"), re.M
    )

    assert sorted(shown) == sorted(documented)
