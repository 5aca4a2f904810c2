"""Whether market data may be trusted for opening, apart from the socket's health (PEERS 14, 15, 20).

::

    farm broken ──▶ blocked, with its name ──farm OK──▶ unproved ──a tick that came since──▶ proved
    competing session (10197) ──▶ blocked ────────────────────────a tick that came since──▶ proved

Guarantees: what was lost counts as recovered when a tick has come, not when the gateway says so. Nothing here ends a
session or closes a position.
"""

from __future__ import annotations

from typing import Final

import attrs

from actors.logic.broker_codes import FarmKind, Notice, NoticeMeaning

NOT_PROVED: Final = "market data is not proved yet"

_WORDS: Final = {
    FarmKind.MARKET_DATA: "market data farm",
    FarmKind.HISTORY: "history farm",
    FarmKind.DEFINITIONS: "contract definitions farm",
}


@attrs.frozen(kw_only=True)
class Farm:
    """One of IB's data farms; ``name`` is None where the notice did not say it."""

    kind: FarmKind
    name: str | None


@attrs.frozen(kw_only=True)
class DataHealth:
    """What is known of market data; ``unproved`` says why no tick proves it, None when one does."""

    broken: tuple[Farm, ...] = ()
    competing: bool = False
    unproved: str | None = NOT_PROVED

    @property
    def obstacle(self) -> str | None:
        """Say why nothing may be opened; None when data is proved."""
        if self.broken:
            named = ", ".join(f"{_WORDS[farm.kind]} {farm.name or '?'}" for farm in self.broken)
            return f"IB says that the {named} is broken"
        if self.competing:
            return (
                "another session of the same user holds the market data (code 10197): end that session,"
                " or wait until it ends"
            )
        return self.unproved

    def after_notice(self, notice: Notice) -> DataHealth:
        """Take in what the gateway says of a farm or of a competing session."""
        if notice.meaning is NoticeMeaning.COMPETING_SESSION:
            return attrs.evolve(self, competing=True, unproved=NOT_PROVED)
        if notice.farm_kind is None:
            return self
        farm = Farm(kind=notice.farm_kind, name=notice.farm)
        if notice.meaning is NoticeMeaning.FARM_DOWN:
            others = tuple(each for each in self.broken if each != farm)
            return attrs.evolve(self, broken=(*others, farm), unproved=NOT_PROVED)
        if notice.meaning in (NoticeMeaning.FARM_UP, NoticeMeaning.FARM_DORMANT):
            return attrs.evolve(
                self, broken=tuple(each for each in self.broken if not _is_meant(farm, each))
            )
        return self

    def after_tick(self) -> DataHealth:
        """Take note that a tick came which was asked for after the last trouble."""
        return attrs.evolve(self, competing=False, unproved=None)

    def unproved_because(self, reason: str) -> DataHealth:
        """Demand a new tick."""
        return attrs.evolve(self, unproved=reason)

    def with_all_farms_up(self) -> DataHealth:
        """Believe that every farm is connected, since IB restored the connectivity as a whole; demand a new tick."""
        return attrs.evolve(self, broken=(), unproved=NOT_PROVED)


def _is_meant(farm: Farm, broken: Farm) -> bool:
    """Whether good news of ``farm`` is about ``broken``; without a name it is about all of its kind."""
    return farm.kind is broken.kind and (farm.name is None or farm.name == broken.name)
