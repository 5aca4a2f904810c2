"""Which account orders go to, and whether it may be traded at all (MODE-2, ORD-4)."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import AnotherAccountError, ConfigurationError, NotPaperAccountError

PAPER_PREFIX = "D"
"""Codes of IB's paper accounts begin with it: DU..., DF... (MODE-2)."""


def choose_account(
    managed: Sequence[str],
    *,
    configured: str,
    operator_id: str,
    require_paper: bool,
    pinned: str | None = None,
) -> str:
    """Choose the account that stands on every order: the pinned one, else the configured one, else the only one.

    ``pinned`` is the one that this state directory has traded so far (CON-18). The operator id is taken for an account
    only when the gateway manages one of that very name: IB rejects unknown accounts and knows no aliases (ORD-4).
    Raises `NotPaperAccountError` when paper mode meets any other account, `AnotherAccountError` when the pinned one is
    not there or the configuration names another one, and `ConfigurationError` when the choice is not clear.
    """
    if require_paper and not all(is_paper(account) for account in managed):
        raise NotPaperAccountError(
            "paper mode trades paper accounts only (their codes begin with D), and the gateway manages"
            f" {masked_list(managed)}: log the gateway in to the paper account (port 4002)"
        )
    if pinned is not None:
        _require_pinned(pinned, managed, configured)
        return pinned
    if configured:
        if configured not in managed:
            raise ConfigurationError(
                f"general.account {masked(configured)} is not managed by the gateway, which manages"
                f" {masked_list(managed)}"
            )
        return configured
    if len(managed) == 1:
        return managed[0]
    if operator_id in managed:
        return operator_id
    raise ConfigurationError(
        f"the gateway manages {len(managed)} accounts ({masked_list(managed)}): set general.account"
    )


def _require_pinned(pinned: str, managed: Sequence[str], configured: str) -> None:
    remedy = (
        "nothing is sent; log the gateway in to that account, give this one another state_dir, or change it on purpose"
        " with `account switch`"
    )
    if configured and configured != pinned:
        raise AnotherAccountError(
            f"general.account is {masked(configured)}, and this state_dir trades {masked(pinned)}: {remedy}"
        )
    if pinned not in managed:
        raise AnotherAccountError(
            f"the gateway manages {masked_list(managed)}, and this state_dir trades {masked(pinned)}: {remedy}"
        )


def is_paper(account: str) -> bool:
    """Tell a paper account by its code."""
    return account.startswith(PAPER_PREFIX)


def masked(account: str) -> str:
    """Show just enough of an account's code to recognise it (OBS-4): ``DU*****67``."""
    if len(account) <= 4:
        return "*" * len(account)
    return account[:2] + "*" * (len(account) - 4) + account[-2:]


def masked_list(accounts: Sequence[str]) -> str:
    """Show several accounts, masked."""
    return ", ".join(masked(account) for account in accounts)
