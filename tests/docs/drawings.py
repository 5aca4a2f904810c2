"""What the documents show of the code's own tables, so that both say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.logic.order_table import TRANSITIONS

ROOT: Final = Path(__file__).parents[2]
ORDERS: Final = ROOT / "docs" / "orders.md"
BEGIN: Final = "<!-- transitions: begin -->\n"
END: Final = "<!-- transitions: end -->"


def transitions() -> str:
    """Draw the order table as a diagram, in the order of the table."""
    steps = [
        f"    {state.value} --> {to.value}"
        for state, following in TRANSITIONS.items()
        for to in sorted(following, key=list(TRANSITIONS).index)
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> NEW", *steps, "```", ""])


def redrawn(text: str) -> str:
    """Give a document's text with the drawing put anew between its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + transitions() + END + after
