"""What keeps the tree alive and runs it; the names that an orchestrator imports are those of `supervision.facade.api`.

They load when they are first used, so that ``supervision.simulator`` can start alone, without the libraries that the
rest of the product stands on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervision.facade.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Load a public name; they all begin with a capital letter, which no module of ours does."""
    if name[:1].isupper():
        return getattr(import_module("supervision.facade.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
