"""The configuration: every key, its default and its bounds; and how it is read from a file and the environment.

`load` is strict: unknown keys, wrong types, values out of bounds and secrets in the file are all listed in one
`ConfigurationError`, each with its key, what was found and what was expected. ``config.toml`` in the root of the
project holds every key with its default and says what it means; here stand the bounds.

Units end the names: ``_s`` seconds, ``_ratio`` fractions of one, ``_value`` US dollars.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs

from actors.errors import ConfigurationError
from supervision.config.fields import (
    Below,
    Choice,
    Pairs,
    Section,
    Several,
    Text,
    UnfitError,
    choice,
    fault,
    flag,
    is_hidden,
    key,
    kind_of,
    number,
    section_of,
    text,
    whole,
)
from supervision.config.maintenance import Maintenance
from supervision.config.reading import Report, read_tables

DAY_S: Final = 86_400.0
PAPER_PORT: Final = 4002
LIVE_PORT: Final = 4001
LIVE: Final = "live trading is blocked in this product; use paper on port 4002, or dry_run"
SYMBOL: Final = Text(r"[A-Z][A-Z0-9. ]{0,11}", 'a symbol such as "SPY"')
HOST: Final = Text(
    r"(?=.{1,253}\Z)([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?"
    r"|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?)",
    "a host name or address of at most 253 characters, its parts of 1 to 63",
)
FEED_URL: Final = Text(
    r"https://[!-~]{1,1024}|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[!-~]{0,1024})?",
    "an https URL; http only on this machine, since the key goes there",
)
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

    mode: str = choice("dry_run", "paper", refused=(("live", LIVE),))
    operator_id: str = text("CSATSPRIM", r"[A-Za-z0-9_.-]{1,20}", "1 to 20 of A-Z a-z 0-9 _ . -")
    state_dir: str = key(".ibkr-actors", PATH)
    account: str = key("", ACCOUNT, masked=True)
    symbols: tuple[str, ...] = key(("SPY",), Several(SYMBOL, 1, 100))
    cycle_s: float = number(5.0, 0.1, 3600.0)


@attrs.frozen(kw_only=True)
class Features(Section):
    """Switches for whole abilities."""

    integration_layer: bool = flag(True)
    paper_execution: bool = flag(True)
    live_execution: bool = flag(False, refused=((True, LIVE),))
    fallback_to_direct_broker: bool = flag(False)


@attrs.frozen(kw_only=True)
class GatewayConfig(Section):
    """Where the gateway is, and how one attempt to reach it goes."""

    endpoint: str = choice("embedded", "external")
    host: str = key("127.0.0.1", HOST)
    port: int = whole(4002, 1, 65_535)
    client_id: int = whole(1, 1, 9999)
    timeout_s: float = number(30.0, 0.1, 300.0)
    readonly: bool = flag(False)
    max_frame_bytes: int = whole(16_777_216, 65_536, 268_435_456)

    @classmethod
    def paper_trading(cls, host: str = "127.0.0.1", client_id: int = 1) -> GatewayConfig:
        """Point at a real IB Gateway that is logged in to a paper account, on its usual port 4002 (GW-10)."""
        return cls(endpoint="external", host=host, port=PAPER_PORT, client_id=client_id)

    @classmethod
    def live_trading(cls, host: str = "127.0.0.1", client_id: int = 1) -> GatewayConfig:
        """Point at a gateway on the live port 4001. It can be read in dry run; live orders stay blocked (MODE-3)."""
        return cls(endpoint="external", host=host, port=LIVE_PORT, client_id=client_id)


@attrs.frozen(kw_only=True)
class Simulator(Section):
    """What the embedded gateway is started with."""

    seed: int = whole(7, 0, 2**63 - 1)
    account: str = key("DU1234567", PAPER_ACCOUNT, masked=True)
    cash: float = number(100_000.0, 0.0, 1e12)
    fill_delay_s: float = number(0.05, 0.0, 3600.0)
    replay: tuple[tuple[str, str], ...] = key((), Pairs(SYMBOL, PATH, 100))
    replay_speed: float = number(1.0, 0.001, 100_000.0)


@attrs.frozen(kw_only=True)
class Connection(Section):
    """When the link counts as lost, and how it is won back."""

    RELATIONS: ClassVar = (Below("first_delay_s", "max_delay_s"),)

    heartbeat_s: float = number(30.0, 0.05, 3600.0)
    heartbeat_timeout_s: float = number(5.0, 0.01, 300.0)
    missed_beats: int = whole(2, 1, 100)
    retries: int = whole(6, 0, 1000)
    first_delay_s: float = number(1.0, 0.001, 3600.0)
    max_delay_s: float = number(32.0, 0.001, 3600.0)
    jitter_ratio: float = number(0.2, 0.0, 0.9)
    lasting_s: float = number(60.0, 0.0, DAY_S)
    client_id_tries: int = whole(10, 1, 100)
    same_id_retries: int = whole(3, 0, 100)
    same_id_delay_s: float = number(1.0, 0.001, 300.0)
    upstream_patience_s: float = number(900.0, 1.0, DAY_S)
    breaker_failures: int = whole(5, 1, 1000)
    breaker_open_s: float = number(30.0, 0.001, 3600.0)
    breaker_successes: int = whole(2, 1, 100)
    maintenance: Maintenance = attrs.field(factory=Maintenance)


@attrs.frozen(kw_only=True)
class Pacing(Section):
    """IB's limits, kept by us. Orders and cancels may use the reserve; data may not.

    IB allows half as many messages a second as the account has market data lines, of which 100 come with it.
    """

    RELATIONS: ClassVar = (Below("reserve_messages", "messages_per_s", or_equal=False),)

    messages_per_s: int = whole(45, 1, 1000)
    reserve_messages: int = whole(10, 0, 49)
    max_waiting: int = whole(1000, 1, 100_000)
    slow_down_s: float = number(60.0, 0.0, 3600.0)
    history_requests: int = whole(60, 1, 10_000)
    history_window_s: float = number(600.0, 0.1, DAY_S)
    history_identical_s: float = number(15.0, 0.0, 3600.0)
    history_same_contract: int = whole(5, 1, 1000)
    history_same_contract_s: float = number(2.0, 0.0, 3600.0)
    history_max_waiting: int = whole(100, 1, 10_000)


@attrs.frozen(kw_only=True)
class MarketData(Section):
    """Quotes and bars."""

    snapshot_timeout_s: float = number(11.0, 0.1, 60.0)
    snapshot_interval_s: float = number(1.0, 0.05, 3600.0)
    stale_after_s: float = number(300.0, 1.0, 3600.0)
    feed: str = choice("snapshots", "ticks")
    max_symbols: int = whole(500, 1, 1000)
    max_subscriptions: int = whole(100, 1, 10_000)
    max_open_snapshots: int = whole(90, 1, 1000)
    max_tick_streams: int = whole(5, 2, 10_000)
    ticks_interval_s: float = number(0.1, 0.01, 60.0)
    ticks_refresh_s: float = number(30.0, 0.1, 3600.0)
    max_remembered: int = whole(1000, 1, 100_000)


@attrs.frozen(kw_only=True)
class Failover(Section):
    """When a second source serves market data, and how it is asked. Only with an ``ALPHA_VANTAGE_API_KEY``."""

    RELATIONS: ClassVar = (Below("probe_s", "back_after_s"),)

    enabled: bool = flag(True)
    url: str = key("https://www.alphavantage.co/query", FEED_URL)
    after_s: float = number(60.0, 0.05, 3600.0)
    back_after_s: float = number(30.0, 0.05, 3600.0)
    probe_s: float = number(5.0, 0.01, 600.0)
    intraday: bool = flag(False)
    max_age_s: float = number(300.0, 0.0, DAY_S)
    requests_per_minute: int = whole(5, 1, 10_000)
    requests_per_day: int = whole(25, 1, 10_000_000)
    timeout_s: float = number(10.0, 0.05, 60.0)
    max_body_bytes: int = whole(1_000_000, 1000, 100_000_000)


@attrs.frozen(kw_only=True)
class Orders(Section):
    """How long permissions and orders live."""

    permit_ttl_s: float = number(2.0, 0.01, 60.0)
    proof_of_life_s: float = number(1.0, 0.0, 60.0)
    cancel_before_deadline_s: float = number(1.0, 0.01, 30.0)
    unknown_after_s: float = number(10.0, 0.1, 600.0)
    lost_after_s: float = number(60.0, 1.0, DAY_S)
    cancel_again_after_s: float = number(1.0, 0.01, 600.0)
    max_working: int = whole(100, 1, 10_000)


@attrs.frozen(kw_only=True)
class Risk(Section):
    """The limits for what is opened; closing is never limited by them."""

    external: str = choice("in_addition", "replace")
    external_timeout_s: float = number(5.0, 0.01, 60.0)
    max_position_value: float = number(50_000.0, 0.0, 1e12)
    max_position_quantity: float = number(1000.0, 0.0, 1e9)
    max_total_exposure_value: float = number(100_000.0, 0.0, 1e12)
    risk_per_trade_ratio: float = number(0.02, 0.0, 1.0)
    assumed_loss_ratio: float = number(0.05, 0.0, 1.0)
    allow_short: bool = flag(False)
    max_open_positions: int = whole(10, 0, 10_000)
    max_orders_per_minute: int = whole(30, 0, 10_000)
    price_band_ratio: float = number(0.1, 0.0, 10.0)
    option_price_band_ratio: float = number(0.25, 0.0, 10.0)
    duplicate_window_s: float = number(5.0, 0.0, 3600.0)
    daily_loss_ratio: float = number(0.03, 0.0, 1.0)
    weekly_drawdown_ratio: float = number(0.06, 0.0, 1.0)
    day_trades: str = choice("pdt", "intraday_margin", "off")
    pdt_max_day_trades: int = whole(3, 0, 1000)
    pdt_minimum_equity: float = number(25_000.0, 0.0, 1e12)
    margin_minimum_equity: float = number(2_000.0, 0.0, 1e12)
    commission_per_share: float = number(0.005, 0.0, 1000.0)
    commission_per_option: float = number(0.65, 0.0, 1000.0)
    commission_minimum: float = number(1.0, 0.0, 1000.0)
    quote_max_age_s: float = number(60.0, 0.1, 3600.0)


@attrs.frozen(kw_only=True)
class Positions(Section):
    """When a position is closed by itself."""

    close_at_dte: int = whole(3, 0, 365)
    emergency_loss_ratio: float = number(0.4, 0.01, 1.0)
    check_interval_s: float = number(1.0, 0.01, 3600.0)
    reconcile_interval_s: float = number(900.0, 1.0, DAY_S)
    close_retry_s: float = number(0.5, 0.001, 60.0)
    close_retry_cap_s: float = number(60.0, 1.0, 3600.0)


@attrs.frozen(kw_only=True)
class StrategyC(Section):
    """Capital preservation after a disconnect."""

    grace_seconds: float = number(0.0, 0.0, 3600.0)
    data_quarantine_after_s: float = number(300.0, 0.0, DAY_S)
    data_watch_every_s: float = number(2.0, 0.1, 60.0)
    scope: str = choice("account", "managed")
    step_timeout_s: float = number(10.0, 0.1, 600.0)
    close_timeout_s: float = number(30.0, 0.1, 3600.0)
    max_close_rounds: int = whole(5, 1, 1000)
    queue_look_s: float = number(60.0, 1.0, 3600.0)


@attrs.frozen(kw_only=True)
class Supervision(Section):
    """Restarts, hangs and mailboxes."""

    RELATIONS: ClassVar = (Below("first_delay_s", "max_delay_s"),)

    first_delay_s: float = number(0.1, 0.0001, 3600.0)
    max_delay_s: float = number(30.0, 0.0001, 3600.0)
    jitter_ratio: float = number(0.2, 0.0, 0.9)
    reset_after_s: float = number(60.0, 0.001, DAY_S)
    max_restarts: int = whole(5, 0, 1_000_000)
    within_s: float = number(60.0, 0.001, DAY_S)
    handler_limit_s: float = number(5.0, 0.01, 3600.0)
    shutdown_s: float = number(10.0, 0.01, 600.0)
    mailbox_bound: int = whole(10_000, 1, 1_000_000)
    dead_letters: int = whole(1000, 0, 1_000_000)
    stream_bound: int = whole(10_000, 1, 1_000_000)


@attrs.frozen(kw_only=True)
class Journal(Section):
    """The order journal. Switched off, nothing survives the process: for measurements and proofs only."""

    enabled: bool = flag(True)
    synchronous: str = choice("full", "normal")
    retention_days: int = whole(400, 8, 36_500)
    durable_volume: str = choice("auto", "required", "any")


@attrs.frozen(kw_only=True)
class Database(Section):
    """Records of sessions, for reports, written behind the trading. Switched off, they are kept in memory only."""

    RELATIONS: ClassVar = (
        Below("first_delay_s", "max_delay_s"),
        Below("alive_every_s", "stale_after_s", or_equal=False),
    )

    enabled: bool = flag(True)
    queue_bound: int = whole(10_000, 1, 1_000_000)
    statement_timeout_s: float = number(5.0, 0.01, 300.0)
    first_delay_s: float = number(0.5, 0.001, 3600.0)
    max_delay_s: float = number(30.0, 0.001, 3600.0)
    jitter_ratio: float = number(0.2, 0.0, 0.9)
    alive_every_s: float = number(60.0, 0.01, 3600.0)
    stale_after_s: float = number(DAY_S, 1.0, 365 * DAY_S)
    drain_s: float = number(2.0, 0.0, 60.0)


@attrs.frozen(kw_only=True)
class Publish(Section):
    """Quotes for other programs, published behind the trading: in memory, or in Redis where a URL is set."""

    RELATIONS: ClassVar = (Below("first_delay_s", "max_delay_s"),)

    enabled: bool = flag(True)
    redis_url: str = key("", REDIS_URL)
    prefix: str = text("ibkr-actors", r"[A-Za-z0-9_.:-]{1,64}", "1 to 64 of A-Z a-z 0-9 _ . : -")
    expiry_s: float = number(600.0, 0.01, 30 * DAY_S)
    stream_length: int = whole(100_000, 1, 100_000_000)
    memory_length: int = whole(1000, 1, 1_000_000)
    max_symbols: int = whole(1000, 1, 100_000)
    queue_bound: int = whole(10_000, 1, 1_000_000)
    every_s: float = number(0.02, 0.001, 60.0)
    timeout_s: float = number(2.0, 0.01, 60.0)
    first_delay_s: float = number(0.2, 0.001, 3600.0)
    max_delay_s: float = number(10.0, 0.001, 3600.0)
    jitter_ratio: float = number(0.2, 0.0, 0.9)
    drain_s: float = number(1.0, 0.0, 60.0)


@attrs.frozen(kw_only=True)
class Logging(Section):
    """Lines for people on stdout, JSON lines for machines in a file."""

    level: str = key(
        "INFO", Choice(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), any_case=True)
    )
    console: bool = flag(True)
    file: str = text("ibkr-actors.jsonl", r"[^\x00-\x1f]{0,1024}", 'a path, or "" for no file')
    rotation_bytes: int = whole(20_000_000, 1000, 10_000_000_000)
    retention_files: int = whole(10, 1, 10_000)
    queue_bound: int = whole(10_000, 1, 1_000_000)


@attrs.frozen(kw_only=True)
class Control(Section):
    """The local channel through which the command line reaches a running process."""

    enabled: bool = flag(True)
    timeout_s: float = number(5.0, 0.1, 300.0)


@attrs.frozen(kw_only=True)
class Observability(Section):
    """Metrics and health over HTTP. A port of 0 takes any free one."""

    enabled: bool = flag(True)
    embedded: bool = flag(False)
    host: str = key("127.0.0.1", HOST)
    metrics_port: int = whole(9090, 0, 65_535)
    health_port: int = whole(8080, 0, 65_535)


@attrs.frozen(kw_only=True)
class Secrets(Section):
    """What only the environment may hold; never shown, neither in repr nor in errors."""

    database_url: str = key("", Text(r"[^\s]{0,2048}", "a database URL"), secret=True)
    alpha_vantage_api_key: str = key("", Text(r"[!-~]{0,128}", "an API key"), secret=True)
    redis_url: str = key(
        "",
        Text(r"|(rediss?|unix)://[!-~]{1,2048}", "a Redis URL, redis:// or rediss://"),
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
    strategy_c: StrategyC = attrs.field(factory=StrategyC)
    supervision: Supervision = attrs.field(factory=Supervision)
    journal: Journal = attrs.field(factory=Journal)
    database: Database = attrs.field(factory=Database)
    publish: Publish = attrs.field(factory=Publish)
    logging: Logging = attrs.field(factory=Logging)
    control: Control = attrs.field(factory=Control)
    observability: Observability = attrs.field(factory=Observability)
    secrets: Secrets = attrs.field(factory=Secrets, repr=False)


ENVIRONMENT: Final[Mapping[str, tuple[str, str]]] = {
    "IB_GATEWAY_HOST": ("gateway", "host"),
    "IB_GATEWAY_PORT": ("gateway", "port"),
    "DATABASE_URL": ("secrets", "database_url"),
    "PROMETHEUS_PORT": ("observability", "metrics_port"),
    "LOG_LEVEL": ("logging", "level"),
    "ALPHA_VANTAGE_API_KEY": ("secrets", "alpha_vantage_api_key"),
    "REDIS_URL": ("secrets", "redis_url"),
}
"""Environment variables and the keys that they override. An empty variable overrides nothing."""

SECRETS: Final = {name: env for env, (section, name) in ENVIRONMENT.items() if section == "secrets"}

MOST_BYTES: Final = 1_000_000
"""A configuration file is refused above this size."""

MOST_PARTS: Final = 32
"""Of a dotted name; the parser takes minutes for one of thousands."""

_TOO_DEEP: Final = re.compile(
    rf"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){{{MOST_PARTS - 1}}}"
)  # possessive, and from the beginning of a word only: linear in whatever it is given


def load(path: str | Path | None, environ: Mapping[str, str]) -> Config:
    """Read the file, let the environment override it, and check everything.

    ``path`` None means no file: the defaults. Raises `ConfigurationError` with every fault at once; a file that is
    missing, unreadable or not TOML is a fault, too.
    """
    table = {} if path is None else _read_toml(Path(path))
    report = Report(secrets={**SECRETS, "secrets": " and ".join(sorted(SECRETS.values()))})
    config = read_tables(Config, table, report)
    overrides = _read_environment(environ, report)
    report.raise_if_any("the configuration" if path is None else str(path))
    for section, values in overrides.items():
        changed = attrs.evolve(getattr(config, section), **values)
        config = attrs.evolve(config, **{section: changed})
    return config


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        is_endless = (
            path.exists() and not path.is_file()
        )  # a pipe makes us wait, a device never ends
        raw = b"" if is_endless else _read_most(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{path}: cannot be read: {reason}") from None
    except ValueError as error:  # a path with a NUL in it
        raise ConfigurationError(f"{path!r}: is no path: {error}") from None
    if is_endless:
        raise ConfigurationError(f"{path}: is no regular file")
    if len(raw) > MOST_BYTES:
        raise ConfigurationError(f"{path}: is too long, expected at most {MOST_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text: {error}") from None
    if _TOO_DEEP.search(text):
        raise ConfigurationError(f"{path}: has a dotted name of {MOST_PARTS} parts or more")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from None


def _read_most(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _read_environment(environ: Mapping[str, str], report: Report) -> dict[str, dict[str, Any]]:
    overrides: dict[str, dict[str, Any]] = {}
    for variable, (section, name) in ENVIRONMENT.items():
        found = environ.get(variable, "").strip()
        if not found:
            continue
        cls = section_of(attrs.fields_dict(Config)[section])
        field = attrs.fields_dict(cls)[name]
        kind = kind_of(field)
        try:
            overrides.setdefault(section, {})[name] = kind.accept(kind.parse(found))
        except UnfitError as error:
            source = f"{variable} (environment)"
            report.faults.append(fault(source, found, kind, error, hidden=is_hidden(field)))
    return overrides
