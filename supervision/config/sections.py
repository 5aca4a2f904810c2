"""The configuration as a whole, and the sections that no actor of the trade is handed.

A setting is written once: its name, unit, default, bounds and meaning stand on its field, here or in
`actors.sections`, where those stand that actors are handed. ``config.toml`` in the root of the project is printed from
them (``python -m supervision.config``).

Units end the names: ``_s`` seconds, ``_ratio`` fractions of one, ``_value`` US dollars.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import attrs

from actors.sections.close import Close
from actors.sections.connection import Connection
from actors.sections.fields import (
    DAY_S,
    Below,
    Choice,
    Pairs,
    Section,
    Several,
    Text,
    choice,
    flag,
    key,
    number,
    text,
    whole,
)
from actors.sections.flattening import Flattening
from actors.sections.gateway import EMBEDDED, HOST, GatewayConfig
from actors.sections.market_data import Failover, MarketData
from actors.sections.orders import Orders
from actors.sections.pacing import Pacing
from actors.sections.positions import Positions
from actors.sections.risk import Risk
from actors.sections.strategy_c import StrategyC

EMBEDDED_DIRECTORY: Final = "simulated"
"""Within ``[general] state_dir``: the files of processes with the embedded gateway."""

__all__ = [
    "EMBEDDED_DIRECTORY",
    "Close",
    "Config",
    "Connection",
    "Control",
    "Database",
    "Failover",
    "Features",
    "Flattening",
    "GatewayConfig",
    "General",
    "Journal",
    "Logging",
    "MarketData",
    "Observability",
    "Orders",
    "Pacing",
    "Positions",
    "Publish",
    "Risk",
    "Secrets",
    "Simulator",
    "StrategyC",
    "Supervision",
]

LIVE: Final = "live trading is blocked in this product; use paper on port 4002, or dry_run"
SYMBOL: Final = Text(r"[A-Z][A-Z0-9. ]{0,11}", 'a symbol such as "SPY"')
REDIS_URL: Final = Text(
    r"|(rediss?|unix)://[!->A-~]{1,1024}",
    'a Redis URL without credentials, or ""; one with credentials is read from REDIS_URL',
)
PATH: Final = Text(r"[^\x00-\x1f]{1,1024}", "a path")
PAPER_ACCOUNT: Final = Text(r"D[A-Z][0-9]{5,9}", "the code of a paper account, D first")
ACCOUNT: Final = Text(r"[A-Za-z0-9]{0,20}", 'the letters and digits of an account code, or ""')


@attrs.frozen(kw_only=True)
class General(Section):
    """Who trades what, and where the process keeps its files."""

    mode: str = choice(
        "dry_run",
        "paper",
        meaning='"dry_run": orders end before the wire; "paper": orders go to a paper account',
        refused=(("live", LIVE),),
    )
    operator_id: str = text(
        "CSATSPRIM",
        r"[A-Za-z0-9_.-]{1,20}",
        "1 to 20 of A-Z a-z 0-9 _ . -",
        "who is responsible; stands on every order",
    )
    state_dir: str = key(
        ".ibkr-actors",
        PATH,
        "journal, lock, control endpoint and logs; the embedded gateway's are in simulated/",
    )
    account: str = key(
        "", ACCOUNT, 'which managed account to trade; "" takes the only one', masked=True
    )
    symbols: tuple[str, ...] = key(
        ("SPY",), Several(SYMBOL, 1, 100), "what the sample orchestrator watches"
    )
    cycle_s: float = number(
        5.0, 0.1, 3600.0, "pause between its cycles: quote, indicators, decision, result"
    )


@attrs.frozen(kw_only=True)
class Features(Section):
    """Switches for whole abilities."""

    integration_layer: bool = flag(True, "false: connect refuses")
    paper_execution: bool = flag(True, "false: paper mode sends no orders")
    live_execution: bool = flag(
        False,
        "true is an error: live trading is blocked by construction",
        refused=((True, LIVE),),
    )
    fallback_to_direct_broker: bool = flag(
        False, "read-only quotes and positions straight from the link, no orders"
    )


@attrs.frozen(kw_only=True)
class Simulator(Section):
    """What the embedded gateway is started with."""

    seed: int = whole(7, 0, 2**63 - 1, "fixes its prices; 7 holds a momentum breakout")
    account: str = key("DU1234567", PAPER_ACCOUNT, "the code of its paper account", masked=True)
    cash: float = number(100_000.0, 0.0, 1e12, "what the account begins with, in US dollars")
    fill_delay_s: float = number(0.05, 0.0, 3600.0, "from an order's acceptance to its fill")
    replay: tuple[tuple[str, str], ...] = key(
        (),
        Pairs(SYMBOL, PATH, 100),
        'real bars instead of invented ones: { SPY = "bars.csv" }',
    )
    replay_speed: float = number(1.0, 0.001, 100_000.0, "60.0 plays an hour in a minute")


@attrs.frozen(kw_only=True)
class Supervision(Section):
    """Restarts, hangs and mailboxes."""

    RELATIONS: ClassVar = (Below("first_delay_s", "max_delay_s"),)

    first_delay_s: float = number(
        0.1, 0.0001, 3600.0, "before an actor's restart; doubles each time"
    )
    max_delay_s: float = number(30.0, 0.0001, 3600.0, "no delay is longer")
    jitter_ratio: float = number(0.2, 0.0, 0.9, "each delay varies by ± this")
    reset_after_s: float = number(60.0, 0.001, DAY_S, "without a failure: the delays begin anew")
    max_restarts: int = whole(5, 0, 1_000_000, "more than so many within within_s escalate")
    within_s: float = number(60.0, 0.001, DAY_S, "in which max_restarts are counted")
    handler_limit_s: float = number(
        5.0, 0.01, 3600.0, "a handler that runs longer is hung, and its actor replaced"
    )
    shutdown_s: float = number(10.0, 0.01, 600.0, "for the whole tree to stop in order")
    mailbox_bound: int = whole(10_000, 1, 1_000_000, "messages that may wait for one actor")
    dead_letters: int = whole(1000, 0, 1_000_000, "the newest are kept")
    stream_bound: int = whole(
        10_000, 1, 1_000_000, "events that may wait in one stream of the facade"
    )

    @property
    def drain_most_s(self) -> float:
        """Say how long who works beside the trading may take, when it stops, for what still waits."""
        return self.shutdown_s / 2


@attrs.frozen(kw_only=True)
class Journal(Section):
    """The order journal. Switched off, nothing survives the process."""

    enabled: bool = flag(
        True, "false loses the safety of a crash: for measurements and proofs only"
    )
    synchronous: str = choice(
        "full",
        "normal",
        meaning='"normal" survives a killed process, but not a power cut',
    )
    retention_days: int = whole(
        400,
        8,
        36_500,
        "orders that ended longer ago are forgotten; what recovery needs never is",
    )
    kept_bound: int = whole(
        10_000,
        100,
        1_000_000,
        "entries kept in memory while the disk refuses them; beyond it notes go first, then the oldest",
    )
    hang_limit_s: float = number(
        60.0, 1.0, 3600.0, "a disk that takes longer is given up: the journal is replaced"
    )
    durable_volume: str = choice(
        "auto",
        "required",
        "any",
        meaning="paper mode refuses a state_dir that dies with its container: in Cloud Run;"
        ' "required", "any"',
    )


@attrs.frozen(kw_only=True)
class Database(Section):
    """Records of sessions, for reports: DATABASE_URL, or records.sqlite3 in state_dir."""

    RELATIONS: ClassVar = (
        Below("first_delay_s", "max_delay_s"),
        Below("alive_every_s", "stale_after_s", or_equal=False),
    )

    enabled: bool = flag(True, "false keeps them in memory only")
    queue_bound: int = whole(
        10_000,
        1,
        1_000_000,
        "rows that may wait while the database is away; beyond it the oldest are dropped",
    )
    statement_timeout_s: float = number(
        5.0, 0.01, 300.0, "a transaction that takes longer is cut off, and tried again"
    )
    first_delay_s: float = number(0.5, 0.001, 3600.0, "before the first retry; doubles each time")
    max_delay_s: float = number(30.0, 0.001, 3600.0, "no delay is longer")
    jitter_ratio: float = number(0.2, 0.0, 0.9, "each delay varies by ± this")
    alive_every_s: float = number(
        60.0, 0.01, 3600.0, "the open session's row is renewed so often ..."
    )
    stale_after_s: float = number(
        DAY_S,
        1.0,
        365 * DAY_S,
        "... and closed as STALE by a starting process when nobody did for so long",
    )
    drain_s: float = number(2.0, 0.0, 60.0, "for what still waits when the process stops")


@attrs.frozen(kw_only=True)
class Publish(Section):
    """Quotes for other programs, published behind the trading: docs/publishing.md."""

    RELATIONS: ClassVar = (Below("first_delay_s", "max_delay_s"),)

    enabled: bool = flag(True, "in memory, unless there is a Redis")
    redis_url: str = key(
        "",
        REDIS_URL,
        '"redis://127.0.0.1:6379/0"; with credentials in REDIS_URL only',
    )
    prefix: str = text(
        "ibkr-actors",
        r"[A-Za-z0-9_.:-]{1,64}",
        "1 to 64 of A-Z a-z 0-9 _ . : -",
        "of every key",
    )
    expiry_s: float = number(
        600.0,
        0.01,
        30 * DAY_S,
        "the newest quote of a symbol disappears when no newer one came for so long",
    )
    stream_length: int = whole(100_000, 1, 100_000_000, "updates kept in Redis, about")
    memory_length: int = whole(
        1000, 1, 1_000_000, "updates kept in memory, where there is no Redis"
    )
    max_symbols: int = whole(1000, 1, 100_000, "whose newest quotes are kept in memory, or wait")
    queue_bound: int = whole(
        10_000,
        1,
        1_000_000,
        "updates that may wait while Redis is away; beyond it the oldest are dropped and counted",
    )
    every_s: float = number(0.02, 0.001, 60.0, "updates are written together so often")
    timeout_s: float = number(
        2.0, 0.01, 60.0, "a write that takes longer is cut off, and tried again"
    )
    first_delay_s: float = number(0.2, 0.001, 3600.0, "before the first retry; doubles each time")
    max_delay_s: float = number(10.0, 0.001, 3600.0, "no delay is longer")
    jitter_ratio: float = number(0.2, 0.0, 0.9, "each delay varies by ± this")
    drain_s: float = number(1.0, 0.0, 60.0, "for what still waits when the process stops")


@attrs.frozen(kw_only=True)
class Logging(Section):
    """Lines for people on stdout, JSON lines for machines in a file."""

    level: str = key(
        "INFO",
        Choice(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), any_case=True),
        "the least that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL",
    )
    console: bool = flag(True, "one line per event on stdout; embedded in your program: on stderr")
    file: str = text(
        "ibkr-actors.jsonl",
        r"[^\x00-\x1f]{0,1024}",
        'a path, or "" for no file',
        'JSON lines, in state_dir unless absolute; "" for none',
    )
    rotation_bytes: int = whole(
        20_000_000, 1000, 10_000_000_000, "a file that is larger is put aside, and a new one begun"
    )
    retention_files: int = whole(10, 1, 10_000, "so many of them are kept")
    queue_bound: int = whole(
        10_000,
        1,
        1_000_000,
        "events that may wait for the writer; more are dropped and counted",
    )


@attrs.frozen(kw_only=True)
class Control(Section):
    """Status, rearm and liquidate from another terminal."""

    enabled: bool = flag(True, "false: no command reaches the process")
    timeout_s: float = number(5.0, 0.1, 300.0, "for one command")


@attrs.frozen(kw_only=True)
class Observability(Section):
    """Metrics and health over HTTP. A port of 0 takes any free one."""

    enabled: bool = flag(True, "false: nothing is counted and nothing served")
    embedded: bool = flag(
        False, "true: also by an IBKRGateway in a program of yours, not only by `run`"
    )
    host: str = key("127.0.0.1", HOST, "where nobody else can read them")
    metrics_port: int = whole(9090, 0, 65_535, "of /metrics")
    health_port: int = whole(8080, 0, 65_535, "of /health")


@attrs.frozen(kw_only=True)
class Secrets(Section):
    """What only the environment may hold; never shown, neither in repr nor in errors."""

    database_url: str = key(
        "",
        Text(r"[^\s]{0,2048}", "a database URL"),
        "where sessions are recorded",
        secret=True,
    )
    alpha_vantage_api_key: str = key(
        "",
        Text(r"[!-~]{0,128}", "an API key"),
        "of the second source of market data",
        secret=True,
    )
    redis_url: str = key(
        "",
        Text(r"|(rediss?|unix)://[!-~]{1,2048}", "a Redis URL, redis:// or rediss://"),
        "where quotes are published",
        secret=True,
    )


@attrs.frozen(kw_only=True)
class Config:
    """The whole configuration; ``Config()`` is what an empty file and an empty environment give."""

    general: General = attrs.field(factory=General)
    features: Features = attrs.field(factory=Features)
    gateway: GatewayConfig = attrs.field(factory=GatewayConfig)
    simulator: Simulator = attrs.field(factory=Simulator)
    connection: Connection = attrs.field(factory=Connection)
    pacing: Pacing = attrs.field(factory=Pacing)
    market_data: MarketData = attrs.field(factory=MarketData)
    failover: Failover = attrs.field(factory=Failover)
    orders: Orders = attrs.field(factory=Orders)
    risk: Risk = attrs.field(factory=Risk)
    positions: Positions = attrs.field(factory=Positions)
    close: Close = attrs.field(factory=Close)
    strategy_c: StrategyC = attrs.field(factory=StrategyC)
    flattening: Flattening = attrs.field(factory=Flattening)
    supervision: Supervision = attrs.field(factory=Supervision)
    journal: Journal = attrs.field(factory=Journal)
    database: Database = attrs.field(factory=Database)
    publish: Publish = attrs.field(factory=Publish)
    logging: Logging = attrs.field(factory=Logging)
    control: Control = attrs.field(factory=Control)
    observability: Observability = attrs.field(factory=Observability)
    secrets: Secrets = attrs.field(factory=Secrets, repr=False)

    @property
    def state_dir(self) -> Path:
        """Where a process of this configuration keeps its files.

        The embedded gateway's are apart (CON-18): orders, latch and losses of a simulation belong to no account.
        """
        root = Path(self.general.state_dir)
        return root / EMBEDDED_DIRECTORY if self.gateway.endpoint == EMBEDDED else root

    @property
    def running_state_dirs(self) -> tuple[Path, ...]:
        """Where a command looks for a running process, the first one first.

        One that trades an account comes first: it may have been started with ``--host`` or ``--port``. A command that
        is meant for an account never reaches a simulation.
        """
        root = Path(self.general.state_dir)
        return (root,) if self.gateway.endpoint != EMBEDDED else (root, self.state_dir)
