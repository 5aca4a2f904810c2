"""The steps of the check, in their order::

    port ─▶ API ─▶ port fits ─▶ login ─▶ client id ─▶ accounts ─▶ round trip ─▶ state ─▶ market data ─▶ restart

Each names the step without which it cannot succeed; it is skipped where that one did not.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from actors import messages as m
from actors.connection.accounts import choose_account, masked_list
from actors.errors import ClientIDInUseError, GatewayError
from actors.logic.broker_codes import NoticeMeaning
from actors.model.contracts import ContractQuery
from actors.model.orders import ExecutionMode
from supervision.commands.check import remedies
from supervision.commands.check.judging import (
    Outcome,
    failure,
    judge_port,
    judge_quote,
    judge_restart,
    ok,
)
from supervision.commands.check.report import (
    Blocks,
    CheckReport,
    Finding,
    Status,
    Step,
    StepFailed,
    masked,
)
from supervision.commands.check.session import LinkUnderTest
from supervision.commands.check.sockets import find_listener, greet
from supervision.commands.control import call
from supervision.config.sections import Config
from supervision.process.handle import Process
from supervision.store.audit import pinned_account
from supervision.store.journal_lock import JOURNAL_FILE

CHECK_CLIENT_IDS: Final = (9998, 9997, 9996)
"""The check's own, so that it can run beside a process that trades; several, since two checks may run at once."""

STEP_S: Final = 10.0
"""How long one step may take unless ``gateway.timeout_s`` is shorter."""

ROUND_TRIPS: Final = 3
CLOCK_TOLERANCE_S: Final = 2.0
"""IB tells whole seconds only."""


STEPS: Final = (
    Step("port", Blocks.CONNECTING),
    Step("API", Blocks.CONNECTING, needs="port"),
    Step("port and mode", Blocks.TRADING, asks=False),
    Step("login", Blocks.CONNECTING, needs="API"),
    Step("client id", Blocks.CONNECTING, needs="login"),
    Step("accounts", Blocks.TRADING, needs="login", asks=False),
    Step("round trip", Blocks.CONNECTING, needs="login"),
    Step("state", Blocks.DATA, needs="login"),
    Step("market data", Blocks.DATA, needs="login"),
    Step("daily restart", Blocks.DATA, asks=False),
)

Located = Callable[[str, int], None]


async def check_connection(
    config: Config,
    make_process: Callable[[Located], Process],
    *,
    mode: ExecutionMode = ExecutionMode.PAPER,
    begin: Callable[[str, str], None] = lambda _endpoint, _mode: None,
    say: Callable[[Finding], None] = lambda _: None,
) -> CheckReport:
    """Run every step that can be run, and tell each finding when it is there.

    ``make_process`` makes what `runtime.build_link_process` does. ``mode`` says what the gateway has to be good for:
    paper trading, or only reading. Sends no order.
    """
    check = _Check(config, mode, say)
    process = make_process(check.locate)
    check.link = link = LinkUnderTest(process, min(config.gateway.timeout_s, STEP_S))
    await process.start()
    try:
        begin(process.endpoint, mode.value)
        await check.run()
        link.end()
    finally:
        await process.stop("the check is done")
    return CheckReport(endpoint=process.endpoint, mode=mode.value, findings=tuple(check.findings))


class _Check:
    """One run: what was found so far, and the session that later steps stand on."""

    link: LinkUnderTest

    def __init__(self, config: Config, mode: ExecutionMode, say: Callable[[Finding], None]) -> None:
        self.config = config
        self.findings: list[Finding] = []
        self._mode = mode
        self._say = say
        self._host, self._port_number = config.gateway.host, config.gateway.port
        self._session: m.SessionOpened | None = None
        self._account: str | None = None

    def locate(self, host: str, port: int) -> None:
        """Learn where the gateway is: the embedded one's port is known only when it has started."""
        self._host, self._port_number = host, port

    async def run(self) -> None:
        """Run the steps in their order."""
        work = (
            self._port,
            self._api,
            self._port_and_mode,
            self._login,
            self._client_id,
            self._accounts,
            self._round_trip,
            self._state,
            self._market_data,
            self._daily_restart,
        )
        done: set[str | None] = {None}
        for step, run in zip(STEPS, work, strict=True):
            if step.needs not in done:
                self._note(
                    Finding(step=step.name, status=Status.SKIPPED, detail=f"needs: {step.needs}")
                )
            elif await self._run(step, run):
                done.add(step.name)

    async def _run(self, step: Step, run: Callable[[], Awaitable[Outcome]]) -> bool:
        begun = time.perf_counter()
        try:
            status, detail, remedy = await run()
        except (StepFailed, GatewayError) as error:
            self._note(failure(step, error, _ms_since(begun) if step.asks else None))
            return False
        latency_ms = _ms_since(begun) if step.asks else None
        self._note(
            Finding(
                step=step.name, status=status, detail=detail, remedy=remedy, latency_ms=latency_ms
            )
        )
        return True

    def _note(self, finding: Finding) -> None:
        finding = masked(finding)
        self.findings.append(finding)
        self._say(finding)

    # --- the socket ---------------------------------------------------------------------------------------------------

    async def _port(self) -> Outcome:
        await find_listener(self._host, self._port_number, self.link.timeout_s)
        return ok(f"{self._host}:{self._port_number} listens")

    async def _api(self) -> Outcome:
        version = await greet(self._host, self._port_number, self.link.timeout_s)
        return ok(f"speaks IB's protocol, server version {version}")

    async def _port_and_mode(self) -> Outcome:
        if self.config.gateway.endpoint == "embedded":
            return ok("the simulated gateway is paper")
        return judge_port(self._port_number, self._mode)

    # --- the session --------------------------------------------------------------------------------------------------

    async def _login(self) -> Outcome:
        for client_id in CHECK_CLIENT_IDS:
            try:
                self._session = await self._open(client_id)
            except ClientIDInUseError:
                continue
            return ok(f"logged in; the check runs under client id {client_id}")
        raise StepFailed(
            f"client ids {', '.join(map(str, CHECK_CLIENT_IDS))} are all taken",
            remedies.CLIENT_ID,
            ClientIDInUseError,
        )

    async def _open(self, client_id: int) -> m.SessionOpened:
        return await self.link.open(
            self._host, self._port_number, client_id, readonly=self.config.gateway.readonly
        )

    async def _client_id(self) -> Outcome:
        """Try the trading client id for an instant, unless a process of ours holds it; then go back to our own."""
        client_id = self.config.gateway.client_id
        if client_id in CHECK_CLIENT_IDS:
            return ok(f"{client_id} is in use by this check")
        if await self._is_ours():
            return ok(
                f"{client_id} is in use by the running process that this state_dir belongs to"
            )
        assert self._session is not None  # noqa: S101 - `run` skips this step otherwise
        try:
            await self._open(client_id)
        finally:
            self._session = await self._open(self._session.client_id)
        return ok(f"{client_id} is free")

    async def _is_ours(self) -> bool:
        """Whether a running process of this state directory talks to the same gateway."""
        state_dir = self.config.state_dir
        timeout_s = min(self.link.timeout_s, self.config.control.timeout_s)
        command = {"command": "status", "timeout_s": timeout_s}
        with suppress(GatewayError):
            status = await asyncio.to_thread(call, state_dir, command, timeout_s)
            return f"{self._host}:{self._port_number}" in str(status.get("endpoint", ""))
        return False

    async def _accounts(self) -> Outcome:
        assert self._session is not None  # noqa: S101 - `run` skips this step otherwise
        accounts = self._session.accounts
        journal, endpoint = self.config.state_dir / JOURNAL_FILE, self.config.gateway.endpoint
        pinned = await asyncio.to_thread(pinned_account, journal, endpoint)
        self._account = choose_account(
            accounts,
            configured=self.config.general.account,
            operator_id=self.config.general.operator_id,
            require_paper=self._mode is ExecutionMode.PAPER,
            pinned=pinned,
        )
        kind = "paper account" if self._mode is ExecutionMode.PAPER else "account"
        return ok(f"{kind} {masked_list(accounts)}")

    # --- what the gateway answers -------------------------------------------------------------------------------------

    async def _round_trip(self) -> Outcome:
        latencies_ms: list[float] = []
        for _ in range(ROUND_TRIPS):
            probed = await self.link.ask(m.Probe, m.Probed)
            latencies_ms.append(probed.latency_ms)
        now = self.link.process.clock.now()
        skew_s = (probed.gateway_time - now).total_seconds()
        detail = f"median of {ROUND_TRIPS}: {statistics.median(latencies_ms):.1f} ms"
        lost = self.link.heard(NoticeMeaning.UPSTREAM_LOST)
        if lost is not None:
            return Status.WARNING, f"{detail}; {lost}", remedies.LOST_UPSTREAM
        if abs(skew_s) > CLOCK_TOLERANCE_S:
            return Status.WARNING, f"{detail}; the clocks differ by {skew_s:+.0f} s", remedies.CLOCK
        return ok(f"{detail}; the clocks agree within {CLOCK_TOLERANCE_S:.0f} s")

    async def _state(self) -> Outcome:
        read = await self.link.ask(m.ReadBrokerState, m.BrokerStateRead, account=self._account)
        state = read.state
        detail = (
            f"{_count(len(state.holdings), 'position')}, "
            f"{_count(len(state.open_orders), 'working order')}, "
            f"{_count(len(state.executions), 'execution')} listed, account values read"
        )
        if state.silent:
            silent = (
                f"only closes would go, since these were not answered: {', '.join(state.silent)}"
            )
            return Status.WARNING, f"{detail}; {silent}", remedies.NO_STATE
        if self.config.gateway.readonly:
            return ok(f"{detail}; gateway.readonly refuses every order, and orders were not read")
        return ok(detail)

    async def _market_data(self) -> Outcome:
        symbol = self.config.general.symbols[0]
        found = await self.link.ask(
            m.QualifyContract, m.ContractQualified, query=ContractQuery(symbol=symbol)
        )
        taken = await self.link.ask(m.TakeSnapshot, m.SnapshotTaken, contract=found.contract)
        return judge_quote(taken.quote)

    async def _daily_restart(self) -> Outcome:
        return judge_restart(
            self.config.connection.maintenance,
            is_external=self.config.gateway.endpoint == "external",
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ms_since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
