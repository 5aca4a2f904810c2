"""The composition root: the only place that constructs (rule 6 of the house).

`build_process` makes a process for reality mode, `build_proof_process` the same tree on one seeded loop. What a part is
given comes from `supervision.process.settings`, which children there are from `product_tree`, what surrounds them from
`surroundings`.
"""

from __future__ import annotations

from supervision.process.build import (
    build_link_process,
    build_process,
    build_proof_process,
    build_standalone_process,
)
from supervision.process.surroundings import JournalOpener

__all__ = [
    "JournalOpener",
    "build_link_process",
    "build_process",
    "build_proof_process",
    "build_standalone_process",
]
