"""Mutants that no test can kill, since they do what the code does; each with the reason.

They are named by what stands there, not by a number, which changes with every line that is added. One that is listed
and does not exist any more fails the whole run, so that the list stays true.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Equivalent:
    """One mutant: the function that has it, and the code that it puts in place of ours."""

    module: str
    function: str
    removed: str
    added: str


EQUIVALENTS: Final[dict[Equivalent, str]] = {}
"""Mutant → why it cannot be told from the code."""
