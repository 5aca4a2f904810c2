"""What Prometheus is told (OBS-1), counted from the very events that the log writes: the two cannot disagree.

`Metrics.count` is called with every event before any level filter, and one table says what each event changes. What is
state rather than an event is read when it is asked for (`supervision.observe.metrics_state`). One process object has
one registry of its own, so that two gateways in one interpreter do not count for each other.

Guarantees: a call is microseconds and never raises; an event whose fields are not as expected is counted as such.
Refuses: label values that no vocabulary lists (`supervision.observe.labels`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from actors.errors import ClientIDInUseError
from actors.kernel.clock import Clock
from actors.model.connection import DisconnectCause
from actors.model.market import DataSource
from supervision.observe import labels
from supervision.observe.labels import Vocabulary
from supervision.observe.metrics_state import StateCollector, StateReader

CONNECT_BUCKETS_S: Final = (0.1, 0.5, 1, 2, 5, 10, 30)
LATENCY_BUCKETS_MS: Final = (10, 50, 100, 500, 1000, 5000)
LIQUIDATION_BUCKETS_S: Final = (1, 5, 10, 30, 60, 300, 900, 3600)
BREAKER_STATES: Final = {"closed": 0, "open": 1, "half_open": 2}

ENDED_IN_ORDER: Final = (None, DisconnectCause.ASKED.value)
"""What a disconnection says of itself that is no error."""

_TAKEN: Final = ClientIDInUseError.__name__

Fields = Mapping[str, Any]


class Metrics:
    """The numbers of one process. `count` may be called from any thread."""

    def __init__(self, clock: Clock, symbols: Iterable[str], state: StateReader) -> None:
        """Count from zero. ``symbols`` are told apart where data has an age; ``state`` is read at every scrape."""
        self._clock = clock
        self._symbols = Vocabulary(symbols)
        self._quoted_at: dict[str, float] = {}
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self._connections = Counter(
            "ib_gateway_connections_total",
            "Attempts to connect that came to an end, by how.",
            ["status"],
            registry=registry,
        )
        self._connecting_s = Histogram(
            "ib_gateway_connection_duration_seconds",
            "From the attempt to CONNECTED, of the attempts that succeeded.",
            registry=registry,
            buckets=CONNECT_BUCKETS_S,
        )
        self._active = Gauge(
            "ib_gateway_active_connections",
            "Sessions that are CONNECTED: 0 or 1.",
            registry=registry,
        )
        self._errors = Counter(
            "ib_gateway_connection_errors_total",
            "Attempts that failed and sessions that were lost, by why.",
            ["error_type"],
            registry=registry,
        )
        self._breaker = Gauge(
            "ib_gateway_circuit_breaker_state",
            "0 closed, 1 open, 2 half-open.",
            registry=registry,
        )
        self._retries = Counter(
            "ib_gateway_retry_attempts_total",
            "Attempts that followed a failed one, by why that failed.",
            ["error_type"],
            registry=registry,
        )
        self._latency_ms = Histogram(
            "ib_gateway_heartbeat_latency_ms",
            "Round trips to the gateway.",
            registry=registry,
            buckets=LATENCY_BUCKETS_MS,
        )
        self._orders = Counter(
            "ibkr_actors_orders_total",
            "Orders that came into a state, by side.",
            ["status", "side"],
            registry=registry,
        )
        self._rejections = Counter(
            "ibkr_actors_risk_rejections_total",
            "Reasons for which risk refused orders, by the rule that found them.",
            ["rule"],
            registry=registry,
        )
        self._latched = Gauge(
            "ibkr_actors_strategy_c_latched",
            "1 while Strategy C refuses openings, until an operator re-arms.",
            registry=registry,
        )
        self._triggers = Counter(
            "ibkr_actors_strategy_c_triggers_total",
            "Liquidations that began, by why.",
            ["reason"],
            registry=registry,
        )
        self._liquidation_s = Histogram(
            "ibkr_actors_strategy_c_duration_seconds",
            "From the trigger to the report.",
            registry=registry,
            buckets=LIQUIDATION_BUCKETS_S,
        )
        self._flat = Gauge(
            "ibkr_actors_strategy_c_flat",
            "What the last report proved: 1 flat, 0 not; NaN before the first.",
            registry=registry,
        )
        self._failovers = Counter(
            "ibkr_actors_failovers_total",
            "Times that a symbol, or all of them, went to a source of market data.",
            ["source"],
            registry=registry,
        )
        self._failed_over = Gauge(
            "ibkr_actors_failed_over_symbols",
            "Symbols that the second source serves now.",
            registry=registry,
        )
        self._uncounted = Counter(
            "ibkr_actors_events_uncounted_total",
            "Events whose fields were not as expected; above 0 is a defect.",
            registry=registry,
        )
        self._flat.set(float("nan"))
        for status in labels.STATUSES.words - {labels.OTHER}:
            self._connections.labels(status)
        for rule in labels.RULES.words:
            self._rejections.labels(rule)
        for reason in labels.TRIGGERS.words:
            self._triggers.labels(reason)
        for source in DataSource:
            self._failovers.labels(source.value)
        registry.register(StateCollector(state, self.data_ages_s))
        self._changes = self._table()

    def _table(self) -> Mapping[str, Callable[[Fields], None]]:
        """Every event that changes a number, and what it changes."""
        changes: dict[str, Callable[[Fields], None]] = {
            "connection_attempt": lambda _: self._active.set(0),
            "connection_success": self._connected,
            "connection_failure": self._connection_failed,
            "client_id_conflict": self._client_id_conflicted,
            "connection_retry": self._retried,
            "disconnection": self._disconnected,
            "circuit_breaker_state_change": self._breaker_moved,
            "heartbeat": lambda fields: self._latency_ms.observe(fields["latency_ms"]),
            "quote_received": self._quoted,
            "failover_changed": self._failed_over_changed,
            "risk_rejected": self._rejected,
            "latch_found": lambda _: self._latched.set(1),
            "strategy_c_triggered": self._triggered,
            "strategy_c_report": self._reported,
            "rearmed": lambda _: self._latched.set(0),
        }
        return changes | {
            f"order_{state}": self._order_moved for state in labels.ORDER_STATES.words
        }

    def count(self, event: str, fields: Fields) -> None:
        """Count an event; most change nothing."""
        change = self._changes.get(event)
        if change is None:
            return
        try:
            change(fields)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._uncounted.inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Write everything down in the format that ``accept`` (an HTTP header) asks for; give it with its name."""
        encode, content_type = choose_encoder(accept)
        return encode(cast("CollectorRegistry", _WithoutBirthdays(self.registry))), content_type

    def data_ages_s(self) -> Mapping[str, float]:
        """Tell per configured symbol, and for all others together, how old the newest quote's data is."""
        now = self._clock.monotonic()
        return {symbol: now - at for symbol, at in self._quoted_at.copy().items()}

    # --- what each event changes ----------------------------------------------------------------------------------

    def _connected(self, fields: Fields) -> None:
        self._connections.labels("success").inc()
        self._active.set(1)
        self._connecting_s.observe(fields["duration"])

    def _connection_failed(self, fields: Fields) -> None:
        self._connections.labels("failure").inc()
        if fields["error_type"] != _TAKEN:  # the conflict itself was counted
            self._count_error(fields)

    def _client_id_conflicted(self, _: Fields) -> None:
        self._connections.labels("conflict").inc()
        self._errors.labels(_TAKEN).inc()

    def _retried(self, fields: Fields) -> None:
        self._retries.labels(labels.ERROR_TYPES.word(fields["error_type"])).inc()

    def _disconnected(self, fields: Fields) -> None:
        self._active.set(0)
        if fields["error_type"] not in ENDED_IN_ORDER:
            self._count_error(fields)

    def _count_error(self, fields: Fields) -> None:
        self._errors.labels(labels.ERROR_TYPES.word(fields["error_type"])).inc()

    def _breaker_moved(self, fields: Fields) -> None:
        self._breaker.set(BREAKER_STATES[fields["new_state"]])

    def _failed_over_changed(self, fields: Fields) -> None:
        self._failed_over.set(fields["failed_over"])
        self._failovers.labels(labels.SOURCES.word(fields["source"])).inc()

    def _quoted(self, fields: Fields) -> None:
        if fields["source"] != DataSource.IB:
            return  # a second source's data has no age: it is never fresh
        if math.isfinite(fields["age_s"]):  # what nothing dates leaves the age as it was
            dated_at = self._clock.monotonic() - fields["age_s"]
            self._quoted_at[self._symbols.word(fields["symbol"])] = dated_at

    def _order_moved(self, fields: Fields) -> None:
        state, side = fields["new_state"], fields["action"]
        if state != fields["old_state"]:  # else something else about it is new
            word = labels.ORDER_STATES.word(str(state).lower())
            self._orders.labels(word, labels.SIDES.word(side)).inc()

    def _rejected(self, fields: Fields) -> None:
        for rule in fields["rules"]:
            self._rejections.labels(labels.RULES.word(rule)).inc()

    def _triggered(self, fields: Fields) -> None:
        self._latched.set(1)
        self._triggers.labels(labels.TRIGGERS.word(fields["reason"])).inc()

    def _reported(self, fields: Fields) -> None:
        self._flat.set(1 if fields["flat"] else 0)
        self._liquidation_s.observe(fields["seconds"])


class _WithoutBirthdays:
    """A registry without the ``_created`` samples, which only OpenMetrics knows and which a host might want elsewhere.

    The library's own switch is global: it would change what a program shows that embeds us.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family
