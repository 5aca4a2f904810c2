"""Nothing that leaves the process names an account or a secret (OBS-4).

Masked: IB account codes (``DU1234567`` → ``DU*****67``) and codes that were registered; removed: registered secrets,
values of fields whose names read like secrets, credentials in URLs, and keys in query strings.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from actors.logic.masking import REMOVED, mask_account, mask_text

LEAST_SECRET: Final = 6
"""A registered secret that is shorter would blank out ordinary text."""

DEEPEST: Final = 8
"""Payloads nested deeper than this are cut."""

_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|api_?key|auth_?key|database_?url|credential", re.IGNORECASE
)


class Masker:
    """Knows what must not be shown. `hide` may be called from any thread."""

    def __init__(self) -> None:
        """Know only what can be recognised by its form."""
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    @classmethod
    def of_secrets(cls, *values: str) -> Self:
        """Know these secrets, and of a URL also the password alone, as it stands there and as it is meant."""
        masker = cls()
        for value in values:
            masker.hide_secret(value)
            password = _password_in(value)
            masker.hide_secret(password)
            masker.hide_secret(unquote(password))
        return masker

    def hide_account(self, code: str) -> None:
        """Mask this code from now on, whatever its form; an empty one is ignored."""
        self._hide(code, mask_account(code))

    def hide_secret(self, value: str) -> None:
        """Remove this value from now on; one shorter than `LEAST_SECRET` is not looked for in texts."""
        if len(value) >= LEAST_SECRET:
            self._hide(value, REMOVED)

    def text(self, text: str) -> str:
        """Mask a text."""
        pattern = self._pattern
        if pattern is not None:
            text = pattern.sub(lambda found: self._known.get(found.group(), REMOVED), text)
        return mask_text(text)

    def optional(self, text: str | None) -> str | None:
        """Mask a text that may be missing."""
        return None if text is None else self.text(text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """Mask every text in a plain value: texts, mappings with their keys, sequences. Others stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if depth >= DEEPEST and isinstance(value, Mapping | list | tuple):
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): self.field(str(name), each, depth + 1)
                for name, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(each, depth + 1) for each in value]
        return value

    def field(self, name: str, value: Any, depth: int = 0) -> Any:
        """Mask the value of a field; one whose name reads like a secret is removed, unless it is empty."""
        if _SECRET_NAME.search(name) and value not in (None, "", False):
            return REMOVED
        return self.value(value, depth)

    def _hide(self, found: str, shown: str) -> None:
        if not found:
            return
        with self._lock:
            self._known = {**self._known, found: shown}
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(each) for each in longest_first))


def _password_in(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
