"""All executions, and the accounts that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from .account import AccountBook, Position
from .orders import Execution


class Books:
    """Executions of all accounts; a correction replaces what it corrects and rebooks everything."""

    def __init__(self, accounts: Iterable[str], cash: float) -> None:
        self.accounts = {name: AccountBook(name, cash) for name in accounts}
        self.count = 0
        self._history: list[Execution] = []
        self._newest: dict[str, Execution] = {}

    def add(self, execution: Execution) -> Execution:
        """Book a new execution; returns it with its realised result."""
        realized = self.accounts[execution.account].apply(execution)
        execution = attrs.evolve(execution, realized_pnl=realized)
        self.count += 1
        self._keep(execution)
        return execution

    def replace(self, execution: Execution) -> None:
        """Book a correction of an execution."""
        self._keep(execution)
        for account in self.accounts.values():
            account.reset()
        for known in self.effective():
            self.accounts[known.account].apply(known)

    def restore(self, execution: Execution) -> None:
        """Book an execution or correction that was booked before."""
        if execution.root_id in self._newest:
            self.replace(execution)
        else:
            self.add(execution)

    def _keep(self, execution: Execution) -> None:
        self._history.append(execution)
        self._newest[execution.root_id] = execution

    def find(self, exec_id: str) -> Execution:
        """The execution that is valid under an id. Raises `KeyError`."""
        execution = self._newest[exec_id.rpartition(".")[0]]
        if execution.exec_id != exec_id:
            raise KeyError(exec_id)
        return execution

    def effective(self) -> Iterator[Execution]:
        """All executions in order, each in its newest correction."""
        return iter(self._newest.values())

    def positions(self, account: str) -> dict[int, Position]:
        """The open positions of an account by contract id."""
        held = self.accounts[account].positions
        return {con_id: position for con_id, position in held.items() if position.quantity}
