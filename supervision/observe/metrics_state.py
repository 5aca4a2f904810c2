"""The numbers that are state rather than events: read from the tree when Prometheus asks, without asking an actor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from supervision.tree.children import ChildStatus


@attrs.frozen(kw_only=True)
class State:
    """What one scrape finds."""

    actors: tuple[ChildStatus, ...] = ()
    dead_letters: int = 0
    log_events_dropped: int = 0
    log_lines_not_shown: int = 0
    records_waiting: int = 0
    records_dropped: int = 0
    quotes_published: int = 0
    quotes_waiting: int = 0
    quotes_dropped: int = 0
    memory_mb: float | None = None


StateReader = Callable[[], State]

BYTES_PER_MB: Final = 1_000_000
_BY_ACTOR: Final = ("actor",)


class StateCollector(Collector):
    """Turns a `State` into metric families. Every family is there from the start, even while it has no sample."""

    def __init__(self, read: StateReader, data_ages_s: Callable[[], Mapping[str, float]]) -> None:
        self._read = read
        self._data_ages_s = data_ages_s

    def collect(self) -> Iterable[Metric]:
        """Read once, tell all."""
        state = self._read()
        yield from _of_actors(state.actors)
        yield from _of_process(state)
        age_s = GaugeMetricFamily(
            "ibkr_actors_market_data_age_seconds",
            "Since the data of the newest quote changed, by configured symbol; all others together are one.",
            labels=("symbol",),
        )
        for symbol, age in self._data_ages_s().items():
            age_s.add_metric((symbol,), age)
        yield age_s


def _of_actors(actors: tuple[ChildStatus, ...]) -> Iterable[Metric]:
    up = GaugeMetricFamily("ibkr_actors_actor_up", "1 while the actor serves.", labels=_BY_ACTOR)
    restarts = CounterMetricFamily(
        "ibkr_actors_actor_restarts_total", "Incarnations after the first.", labels=_BY_ACTOR
    )
    depth = GaugeMetricFamily(
        "ibkr_actors_mailbox_depth", "Messages that wait for the actor.", labels=_BY_ACTOR
    )
    handler_s = SummaryMetricFamily(
        "ibkr_actors_handler_seconds",
        "Messages that were handled, and the time that took.",
        labels=_BY_ACTOR,
    )
    busy_s = GaugeMetricFamily(
        "ibkr_actors_handler_age_seconds",
        "How long the handler that runs now has been running; 0 while idle.",
        labels=_BY_ACTOR,
    )
    for actor in actors:
        name = (actor.name,)
        up.add_metric(name, 1.0 if actor.state == "up" else 0.0)
        restarts.add_metric(name, actor.restarts)
        depth.add_metric(name, actor.mailbox_depth)
        handler_s.add_metric(name, actor.handled, actor.busy_s)
        busy_s.add_metric(name, actor.handler_age_s or 0.0)
    return up, restarts, depth, handler_s, busy_s


def _of_process(state: State) -> Iterable[Metric]:
    yield CounterMetricFamily(
        "ibkr_actors_dead_letters_total",
        "Messages that nobody handled.",
        value=state.dead_letters,
    )
    yield CounterMetricFamily(
        "ibkr_actors_log_events_dropped_total",
        "Events that did not fit into the queue of the log.",
        value=state.log_events_dropped,
    )
    yield CounterMetricFamily(
        "ibkr_actors_log_lines_not_shown_total",
        "Lines that the console would not take.",
        value=state.log_lines_not_shown,
    )
    yield GaugeMetricFamily(
        "ibkr_actors_records_waiting",
        "Rows that are not in the database yet.",
        value=state.records_waiting,
    )
    yield CounterMetricFamily(
        "ibkr_actors_records_dropped_total",
        "Rows that were lost since the bound was reached.",
        value=state.records_dropped,
    )
    yield CounterMetricFamily(
        "ibkr_actors_quotes_published_total",
        "Updates that were written to the sink.",
        value=state.quotes_published,
    )
    yield GaugeMetricFamily(
        "ibkr_actors_quotes_publish_waiting",
        "Updates that are not published yet.",
        value=state.quotes_waiting,
    )
    yield CounterMetricFamily(
        "ibkr_actors_quotes_publish_dropped_total",
        "Updates that were not published, since the bound was reached.",
        value=state.quotes_dropped,
    )
    yield GaugeMetricFamily(
        "ibkr_actors_process_memory_bytes",
        "Resident memory; NaN where the system does not tell.",
        value=float("nan") if state.memory_mb is None else state.memory_mb * BYTES_PER_MB,
    )
