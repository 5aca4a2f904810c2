"""The command line: thin, like the facade. Everything it does is a call that an orchestrator could make (D18)."""

from __future__ import annotations

import asyncio
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import attrs
import typer

from actors.errors import (
    ConfigurationError,
    ContractQualificationError,
    GatewayConnectionError,
    GatewayError,
    GatewayStoppedError,
    GatewayTimeoutError,
    JournalError,
    JournalLockedError,
    LiveTradingBlockedError,
    ModeError,
    OrderNotFoundError,
    OrderValidationError,
)
from supervision.commands.control import call_running
from supervision.config.loading import SECRETS, load
from supervision.config.sections import Config, Control
from supervision.facade.session import checked_mode
from supervision.observe.masking import Masker
from supervision.observe.tracebacks import mask_tracebacks
from supervision.version import VERSION

ANSWER_GRACE_S = 1.0
DEFAULT_CONFIG = Path("config.toml")


class ExitCode(IntEnum):
    """How the process ends."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_CONNECTED = 4
    LOCKED = 5
    NOT_RUNNING = 6
    ESCALATED = 7
    NOT_FLAT = 8


_BLOCKED = {
    "connecting": ExitCode.NOT_CONNECTED,
    "trading": ExitCode.REFUSED,
    "data": ExitCode.FAILED,
}
"""How `check` ends when what failed stands in the way of this."""

EXIT_CODES = """Exit codes: 0 done, or stopped by Ctrl-C · 1 unexpected failure, or check (or quotes --once) found no
data · 2 wrong arguments or configuration, a state directory that does not serve, or an unknown symbol · 3 refused
(live mode, or the mode does not allow it) · 4 no connection to the gateway · 5 another process holds the journal ·
6 no process is running · 7 an actor passed its restart limit and the tree stopped · 8 flatten: something is still
held."""

app = typer.Typer(
    help="The safety layer between your trading code and Interactive Brokers.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A config.toml; default: ./config.toml where there is one."),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        help="Where the running process keeps its state. No configuration is read then: for when that is broken.",
    ),
]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Connect to the gateway on this host.")
]
PortOption = Annotated[
    int | None, typer.Option("--port", help="Connect to the gateway on this port (paper: 4002).")
]


@app.command(epilog=EXIT_CODES)
def run(
    config: ConfigOption = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="dry_run or paper; live is blocked.")
    ] = None,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", help="Watch this symbol; may be repeated.")
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", min=1, help="Stop after so many cycles; default: run on."),
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Start the supervised process with the sample orchestrator, until Ctrl-C or for --cycles."""
    from supervision.commands.run import (
        run_process,  # loads the whole product, which --help does not need
    )

    with _explained():
        settings = _with_symbols(_load(config, host, port), symbol)
        chosen = checked_mode(mode or settings.general.mode)
        code = asyncio.run(run_process(settings, chosen, cycles, VERSION))
    raise typer.Exit(code)


@app.command(epilog=EXIT_CODES)
def check(
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    mode: Annotated[
        str, typer.Option("--mode", help="What it has to be good for: paper, or dry_run (read).")
    ] = "paper",
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="Ask for market data of this symbol.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for machines.")
    ] = False,
) -> None:
    """Test the connection to the configured gateway, step by step, with a remedy for what fails.

    Sends no order, and runs beside a process that trades, under a client id of its own.
    """
    from supervision.commands.check.command import (
        run_check,  # loads the link, which --help does not need
    )

    with _explained():
        settings = _with_symbols(_load(config, host, port), [symbol] if symbol else None)
        checking = run_check(
            settings, checked_mode(mode), typer.echo, as_json=as_json, exit_codes=_BLOCKED
        )
        code = asyncio.run(checking)
    raise typer.Exit(code)


@app.command(epilog=EXIT_CODES)
def quotes(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(help="Symbols such as SPY QQQ; default: general.symbols."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show one table, then end.")] = False,
    for_s: Annotated[
        float | None, typer.Option("--for", min=0.0, help="End after so many seconds.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines, for machines.")
    ] = False,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Show live quotes with age, source, spread, state and indicators, until Ctrl-C.

    A table on a terminal, else a line per change. Only reads, and runs beside a process that trades, under a client
    id of its own.
    """
    from supervision.commands.quotes.command import Wish, run_quotes  # loads the product

    with _explained():
        wish = Wish(once=once, for_s=for_s, as_json=as_json)
        showing = run_quotes(_load(config, host, port), symbols or (), wish, sys.stdout)
        code = asyncio.run(showing)
    raise typer.Exit(code)


@app.command(epilog=EXIT_CODES)
def status(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Say where the running process stands."""
    from supervision.process.status import status_lines

    with _explained():
        for line in status_lines(_command(config, state_dir, {"command": "status"})):
            typer.echo(line)


@app.command(epilog=EXIT_CODES)
def rearm(
    who: Annotated[str, typer.Option("--who", help="Your name, for the audit trail.")],
    why: Annotated[str, typer.Option("--why", help="Why opening orders is safe again.")],
    keep_positions: Annotated[
        bool,
        typer.Option(
            "--keep-positions",
            help="Stop a liquidation where it is, instead of waiting for its end; says what stays held.",
        ),
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", min=1.0, max=3600.0, help="Answer after so many seconds."),
    ] = 15.0,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Take Strategy C's latch back in the running process, so that orders may be opened again.

    Closes that can still fill are ended first, and what is held stays. While the link is down it is recorded, and
    carried out first when the link is back.
    """
    from supervision.commands.latch_lines import rearm_lines

    with _explained():
        command = {"command": "rearm", "who": who, "why": why, "keep_positions": keep_positions}
        for line in rearm_lines(_command(config, state_dir, command, timeout_s)):
            typer.echo(line)


@app.command(epilog=EXIT_CODES)
def liquidate(
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Trigger Strategy C in the running process: stop opening, cancel, close everything, prove flat."""
    from supervision.commands.latch_lines import liquidate_lines

    with _explained():
        answer = _command(config, state_dir, {"command": "liquidate", "reason": reason})
        for line in liquidate_lines(answer):
            typer.echo(line)


@app.command(epilog=EXIT_CODES)
def flatten(
    symbol: Annotated[
        str | None, typer.Argument(help="Close whatever is held under this symbol, options too.")
    ] = None,
    over_pending: Annotated[
        bool,
        typer.Option(
            "--over-pending",
            help="Close although orders can still fill, which may turn the position: shows the worst, then asks.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to what --over-pending asks.")] = False,
    glass: Annotated[
        bool,
        typer.Option(
            "--break-glass",
            help="Close the whole account from here, when the process that trades is dead; asks first.",
        ),
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", min=1.0, max=3600.0, help="Answer after so many seconds."),
    ] = 60.0,
    mode: Annotated[
        str | None, typer.Option("--mode", help="With --break-glass: paper, or dry_run.")
    ] = None,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Close one symbol in the running process, or with --break-glass the whole account without it.

    The first is a message to the process that trades. The second is for the case that this process is dead and cannot
    be started.
    """
    with _explained():
        if glass:
            _only_alone("--break-glass", SYMBOL=symbol, over_pending=over_pending, yes=yes)
            is_flat = _break_glass(_load(config, host, port), mode)
        else:
            _only_alone("flatten SYMBOL", mode=mode, host=host, port=port)
            if symbol is None:
                raise typer.BadParameter("name a SYMBOL such as SPY, or use --break-glass")
            if yes and not over_pending:
                raise typer.BadParameter("--yes agrees to --over-pending, which is not there")
            is_flat = _flatten_symbol(
                _load(config, None, None),
                symbol,
                over_pending=over_pending,
                yes=yes,
                timeout_s=timeout_s,
            )
    raise typer.Exit(ExitCode.OK if is_flat else ExitCode.NOT_FLAT)


def _flatten_symbol(
    settings: Config, symbol: str, *, over_pending: bool, yes: bool, timeout_s: float
) -> bool:
    from supervision.commands.flatten import flatten_symbol

    return flatten_symbol(
        settings,
        symbol,
        over_pending=over_pending,
        agreed=lambda question: yes or typer.confirm(question),
        timeout_s=timeout_s,
        echo=typer.echo,
    )


def _break_glass(settings: Config, mode: str | None) -> bool:
    from supervision.commands.break_glass import Person, break_glass  # loads the whole product

    person = Person(echo=typer.echo, ask=lambda question: str(typer.prompt(question)))
    chosen = checked_mode(mode or settings.general.mode)
    return asyncio.run(break_glass(settings, chosen, person))


def _only_alone(what: str, **others: object) -> None:
    """Refuse what has no meaning beside ``what``: somebody meant something else."""
    for name, value in others.items():
        if value not in (None, False):
            named = name if name.isupper() else "--" + name.replace("_", "-")
            raise typer.BadParameter(f"{named} does not go with {what}; leave it out")


@app.command(epilog=EXIT_CODES)
def explain(
    order_id: Annotated[
        str | None,
        typer.Argument(
            help="Our order id, orderRef, IB's order id or permId, an execution's or a correlation id."
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", min=1, max=1000, help="List so many of the newest orders instead."),
    ] = None,
    liquidation: Annotated[
        bool,
        typer.Option(
            "--liquidation", help="Tell a liquidation: the latest, or the one with the given id."
        ),
    ] = False,
    triggers: Annotated[
        bool,
        typer.Option("--triggers", help="Tell the losses of the link that did not act at once."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for machines.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Tell what became of an order and why: signal, risk, permit, the broker's messages, fills.

    With --liquidation: how Strategy C went, from its trigger to flat, each cancel and each close with its time.
    Orders that were not sent are told with the reason. Reads the journal beside a running process or after its end.
    """
    from supervision.commands.explain import explain_order, list_orders
    from supervision.commands.explain_liquidation import explain_liquidation
    from supervision.commands.explain_triggers import explain_triggers

    with _explained():
        named = None if liquidation or triggers else order_id
        journal = _journal_to_read(_load(config, None, None), named)
        if triggers and not (liquidation or order_id or last):
            told = explain_triggers(journal, _masker(), as_json=as_json)
        elif liquidation and last is None:
            told = explain_liquidation(journal, order_id, _masker(), as_json=as_json)
        elif order_id is not None and last is None and not triggers:
            told = explain_order(journal, order_id, _masker(), as_json=as_json)
        elif last is not None and order_id is None and not liquidation:
            told = list_orders(journal, last, _masker(), as_json=as_json)
        else:
            raise typer.BadParameter(
                "name one order, list the newest with --last 20, or ask for a --liquidation or for --triggers"
            )
        for line in told.lines:
            typer.echo(line)
    if told.ambiguous:
        raise typer.Exit(ExitCode.USAGE)


def _journal_to_read(settings: Config, order_id: str | None) -> Path:
    """The journal of the configured endpoint, or the other one where only that has any, or has the order."""
    from supervision.store.audit import knows_order
    from supervision.store.journal_lock import JOURNAL_FILE

    own = settings.state_dir / JOURNAL_FILE
    others = [each / JOURNAL_FILE for each in settings.running_state_dirs]
    found = [own, *(each for each in others if each != own)]
    there = [each for each in found if each.exists()]
    if order_id is not None:
        there = [each for each in there if knows_order(each, order_id)] or there
    return there[0] if there else own


account = typer.Typer(
    help="The account that is traded: switch it, or explain what became of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(account, name="account")
WhoOption = Annotated[str, typer.Option("--who", help="Your name, for the audit trail.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, for the audit trail.")]


@account.command("switch", epilog=EXIT_CODES)
def account_switch(
    left: Annotated[str, typer.Option("--from", help="The account that was traded so far.")],
    to: Annotated[str, typer.Option("--to", help="The account to trade from now on.")],
    who: WhoOption,
    why: WhyOption,
    abandon_intents: Annotated[
        bool,
        typer.Option(
            "--abandon-intents",
            help="Give up orders whose fate is not known: only where the account is gone.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Trade another account from this state directory. Stop the process first.

    Refused with a latch and with orders that are not at their end; positions that were held last have to be agreed to.
    """
    from supervision.commands.account import Switch, switch_account

    with _explained():
        wish = Switch(left=left, to=to, who=who, why=why, abandons_intents=abandon_intents)
        settings = _load(config, None, None)
        switch_account(settings, wish, typer.echo, lambda question: str(typer.prompt(question)))


@account.command("acknowledge-residual", epilog=EXIT_CODES)
def account_acknowledge_residual(
    who: WhoOption, why: WhyOption, config: ConfigOption = None
) -> None:
    """Say that you have explained what neither positions nor transfers do, so that orders may be opened again."""
    with _explained():
        command = {"command": "acknowledge_residual", "who": who, "why": why}
        amount = _command(config, None, command)["amount"]
        typer.echo(f"acknowledged: the baselines moved by {amount:+,.2f}")


database = typer.Typer(
    help="The schema of the connection records. A starting process brings it up by itself.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(database, name="database")


@database.command("current", epilog=EXIT_CODES)
def database_current(config: ConfigOption = None) -> None:
    """Say which schema the database has."""
    from supervision.store.database_command import show_schema

    with _explained():
        typer.echo(show_schema(_load(config, None, None)))


@database.command("upgrade", epilog=EXIT_CODES)
def database_upgrade(config: ConfigOption = None) -> None:
    """Bring the schema to the one that this program needs."""
    from supervision.store.database_command import upgrade_schema

    with _explained():
        typer.echo(upgrade_schema(_load(config, None, None)))


@database.command("downgrade", epilog=EXIT_CODES)
def database_downgrade(
    revision: Annotated[
        str,
        typer.Argument(
            help="Where to: a revision such as 0001, or base for no table and no record at all."
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Take the schema down before an earlier version is installed. Stop the process first."""
    from supervision.store.database_command import downgrade_schema

    with _explained():
        typer.echo(downgrade_schema(_load(config, None, None), revision))


def main() -> None:
    """Enter at the console script ``ibkr-actors``."""
    mask_tracebacks(_masker())
    try:
        app()
    finally:
        mask_tracebacks(_masker())  # typer put a hook of its own in the place of ours


def _masker() -> Masker:
    """Know the secrets before any configuration was read: what fails first may show them, too (OBS-4)."""
    return Masker.of_secrets(*(os.environ.get(name, "") for name in SECRETS.values()))


def _load(config: Path | None, host: str | None, port: int | None) -> Config:
    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    return load(path, os.environ, {"--host": host, "--port": port})


def _with_symbols(settings: Config, symbols: list[str] | None) -> Config:
    if not symbols:
        return settings
    general = attrs.evolve(settings.general, symbols=tuple(symbols))
    return attrs.evolve(settings, general=general)


def _command(
    config: Path | None,
    state_dir: Path | None,
    command: dict[str, Any],
    answer_s: float | None = None,
) -> dict[str, Any]:
    """Ask the running process, which answers by its deadline; the answer has a moment more to arrive."""
    where, usual_s = _where(config, state_dir)
    answer_s = usual_s if answer_s is None else answer_s
    return call_running(where, {**command, "timeout_s": answer_s}, answer_s + ANSWER_GRACE_S)


def _where(config: Path | None, state_dir: Path | None) -> tuple[tuple[Path, ...], float]:
    """Find the running process; with a state directory no configuration is read, whatever is wrong with it."""
    if state_dir is not None:
        return (state_dir,), Control().timeout_s
    try:
        settings = _load(config, None, None)
    except ConfigurationError as error:
        text = f"{error}\nan emergency needs no configuration: name the directory with --state-dir"
        raise ConfigurationError(text) from None
    return settings.running_state_dirs, settings.control.timeout_s


class _explained:  # noqa: N801 - reads as a statement where it is used
    """Turn an error of ours into one plain line on stderr and its exit code."""

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        """Explain what is ours; let everything else pass."""
        if isinstance(error, GatewayError):
            _fail(error)
        if isinstance(error, OSError) and error.filename is not None:
            _fail(ConfigurationError(f"{error.filename}: {error.strerror}; see general.state_dir"))


_CODES: tuple[tuple[type[GatewayError], ExitCode], ...] = (
    (LiveTradingBlockedError, ExitCode.REFUSED),
    (ModeError, ExitCode.REFUSED),
    (ConfigurationError, ExitCode.USAGE),
    (OrderValidationError, ExitCode.USAGE),
    (OrderNotFoundError, ExitCode.USAGE),
    (ContractQualificationError, ExitCode.USAGE),
    (JournalLockedError, ExitCode.LOCKED),
    (JournalError, ExitCode.USAGE),
    (GatewayStoppedError, ExitCode.NOT_RUNNING),
    (GatewayTimeoutError, ExitCode.NOT_CONNECTED),
    (GatewayConnectionError, ExitCode.NOT_CONNECTED),
)


def _fail(error: GatewayError) -> NoReturn:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)
    typer.echo(_masker().text(f"{error.code}: {error}"), err=True)
    raise typer.Exit(code)
