"""What may not be shown is known by its form: account codes, credentials in URLs, and keys in query strings (OBS-4)."""

from __future__ import annotations

import re
from typing import Final

REMOVED: Final = "[removed]"

_ACCOUNT: Final = re.compile(
    r"(?<![A-Za-z0-9])(D?[UFI][A-Z]?)([0-9]{3,10})([0-9]{2})(?![A-Za-z0-9])"
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


def mask_text(text: str) -> str:
    """Mask what is recognised by its form, wherever it stands in the text."""
    text = _ACCOUNT.sub(lambda found: mask_account(found.group()), text)
    if "://" in text:
        text = _URL_CREDENTIALS.sub(REMOVED + "@", text)
    if "=" in text or ":" in text:
        text = _QUERY_SECRET.sub(lambda found: found.group(1) + found.group(2) + REMOVED, text)
    return text
