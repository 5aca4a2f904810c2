"""What can be set on a simulated gateway, each with its unit and its default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from .timetable import Scenario

DEFAULT_SEED = 7
"""The seed whose SPY shows a momentum breakout from the start on."""
DEFAULT_ACCOUNT = "DU1234567"
MIN_SERVER_VERSION = 157
MAX_SERVER_VERSION = 176


def _freeze_replay(files: Mapping[str, str | Path]) -> Mapping[str, Path]:
    return MappingProxyType({symbol: Path(file) for symbol, file in files.items()})


@attrs.frozen(kw_only=True)
class Limits:
    """IB's limits on one connection. A limit of 0 switches that rule off."""

    messages_per_second: int = 50
    drop_on_rate: bool = False
    """Close the connection after error 100."""
    market_data_lines: int = 100
    tick_by_tick: int = 5
    clients: int = 32
    history_per_ten_minutes: int = 60
    history_identical_s: float = 15.0
    history_open: int = 50
    account_summaries: int = 2
    write_buffer_bytes: int = 8 * 1024 * 1024
    """A client that reads slower than this much unsent data is disconnected."""


@attrs.frozen(kw_only=True)
class Commissions:
    """What a fill costs, in the contract's currency."""

    per_share: float = 0.005
    stock_minimum: float = 1.0
    per_option: float = 0.65
    per_future: float = 2.25


@attrs.frozen(kw_only=True)
class SimulatorConfig:
    """Everything a simulated gateway is built from.

    Durations are seconds. `replay` maps a symbol to a CSV file of one-minute bars. `hours` is the
    weekdays' session in US/Eastern such as "0930-1600", with the days that differ behind it
    ("0930-1600;20251127:CLOSED;20251128:0930-1300"); without it the market never closes.
    """

    seed: int = DEFAULT_SEED
    account: str = DEFAULT_ACCOUNT
    accounts: tuple[str, ...] = ()
    """All accounts of a multi-account login; empty means just `account`."""
    host: str = "127.0.0.1"
    port: int = attrs.field(
        default=0,
        validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(65535)),
    )
    state_file: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    replay: Mapping[str, Path] = attrs.field(factory=dict, converter=_freeze_replay)
    speed: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    replay_offset: int = 60
    """How many bars of a replay are already history at the start."""
    scenario: Scenario | None = None
    limits: Limits = attrs.field(factory=Limits)
    commissions: Commissions = attrs.field(factory=Commissions)
    cash: float = 1_000_000.0
    """The opening cash of each account, USD."""
    extra_symbols: int = attrs.field(
        default=0, validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(999))
    )
    """How many synthetic stocks SYM001, SYM002 … to list."""
    hours: str | None = None
    max_version: int = MAX_SERVER_VERSION
    fill_delay_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    max_fill_quantity: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )
    """The largest single execution; larger orders fill in slices."""
    slice_delay_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    match_interval_s: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    """How often working orders are compared with the market."""
    tick_interval_s: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    """How often a streaming subscription may tick."""
    account_interval_s: float = attrs.field(default=180.0, validator=attrs.validators.gt(0))
    """How often account values are pushed when nothing but prices changed."""
    snapshot_delay_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    contract_delay_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    pre_submitted: bool = False
    """Report market orders as PreSubmitted first."""
    inactive_on_reject: bool = False
    """Put openOrder and orderStatus Inactive around error 201, as IB mostly does."""
    ledger_prefix: bool = False
    """Put "$LEDGER-" before the keys of the ledger, as gateways from 10.47 on may."""
    margin_check: bool = True
    read_only: bool = False
    """The gateway's "Read-Only API" setting: order requests get error 321."""
    master_client_id: int | None = None

    @property
    def managed_accounts(self) -> tuple[str, ...]:
        """The accounts of this login, in the order in which they are announced."""
        return self.accounts or (self.account,)
