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

REMOVED: Final = "[removed]"

LEAST_SECRET: Final = 6
"""A registered secret that is shorter would blank out ordinary text."""

DEEPEST: Final = 8
"""Payloads nested deeper than this are cut."""

_ACCOUNT: Final = re.compile(
    r"(?<![A-Za-z0-9])(D?[UFI][A-Z]?)([0-9]{3,10})([0-9]{2})(?![A-Za-z0-9])"
)
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|api_?key|auth_?key|database_?url|credential", re.IGNORECASE
)
_URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY_SECRET: Final = re.compile(
    r"(?i)\b(api_?key|token|password|secret|auth_?key)(\s*[=:]\s*)[^\s&;,\"']+"
)


def mask_account(code: str) -> str:
    """Keep an account code's letters and its last two digits."""
    head = re.match(r"[A-Za-z]*", code)
    letters = head.group() if head else ""
    hidden = max(len(code) - len(letters) - 2, 0)
    return letters + "*" * hidden + code[len(letters) + hidden :]


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
        text = _ACCOUNT.sub(lambda found: mask_account(found.group()), text)
        if "://" in text:
            text = _URL_CREDENTIALS.sub(REMOVED + "@", text)
        if "=" in text or ":" in text:
            text = _QUERY_SECRET.sub(lambda found: found.group(1) + found.group(2) + REMOVED, text)
        return text

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
