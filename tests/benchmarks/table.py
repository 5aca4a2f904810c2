"""What was measured: numbers, and the rows of the one table that the run prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import attrs

UNEVEN_FROM = 10.0
"""On a machine with nothing else to do, a floor's 99th percentile is 2 to 6 medians."""

SLOW_FROM = 3.0
"""There, its median is 1.2 to 2 times the least of its values."""


@attrs.frozen
class Summary:
    """Median and 99th percentile of one kind of measurement, in its unit."""

    median: float
    p95: float
    p99: float
    least: float

    @property
    def is_disturbed(self) -> bool:
        """Whether something else ran on the machine meanwhile: as a floor this proves nothing, for or against."""
        return self.p99 > UNEVEN_FROM * self.median or self.median > SLOW_FROM * self.least


def summarize(values: Sequence[float]) -> Summary:
    """Sum up at least two measurements."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return Summary(statistics.median(values), cuts[94], cuts[98], min(values))


@attrs.frozen(kw_only=True)
class Row:
    """One line: ours against its floor. ``aim`` bounds ours divided by the floor, ``aim_value`` ours itself.

    Without an aim the line only informs. Nothing is said to be reached, or missed, beside a disturbed floor.
    """

    what: str
    unit: str
    ours: float
    floor: float | None = None
    aim: float | None = None
    aim_value: float | None = None
    note: str = ""
    is_disturbed: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the floor it takes."""
        return self.ours / self.floor if self.floor else None

    @property
    def reached(self) -> bool | None:
        """Whether the aim was met; None without one, and when that cannot be said."""
        if self.is_disturbed:
            return None
        if self.aim is not None and self.ratio is not None:
            return self.ratio <= self.aim
        return None if self.aim_value is None else self.ours <= self.aim_value

    def cells(self) -> tuple[str, ...]:
        """The texts of the line."""
        aim = "" if self.aim is None else f"≤ {self.aim:g} x"
        if self.aim_value is not None:
            aim = f"≤ {self.aim_value:g} {self.unit}"
        return (
            self.what,
            "" if self.floor is None else f"{_number(self.floor)} {self.unit}",
            f"{_number(self.ours)} {self.unit}",
            "" if self.ratio is None else f"{_number(self.ratio)} x",
            aim,
            {True: "yes", False: "NO", None: "disturbed" if self.is_disturbed else ""}[
                self.reached
            ],
            self.note,
        )


HEAD = ("what", "floor", "ours", "ratio", "aim", "reached", "")


def show(rows: Iterable[Row]) -> str:
    """Lay the rows out as a table."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    laid = [
        "  ".join(
            cell.ljust(width) if column in (0, 5, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join((laid[0], "─" * max(map(len, laid)), *laid[1:]))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
