"""``python -m tests.docs``: draw anew what the documents show of the code's tables."""

from __future__ import annotations

from tests.docs.drawings import ORDERS, redrawn

ORDERS.write_text(redrawn(ORDERS.read_text(encoding="utf-8")), encoding="utf-8")
