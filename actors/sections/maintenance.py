"""The table ``[connection.maintenance]``: when the gateway is expected to be away (CON-15).

What the texts mean is decided by `actors.logic.maintenance`; the kinds here ask it, so that a configuration that
loads is one that works.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from actors.logic import maintenance
from actors.sections.fields import Section, Text, UnfitError, key, number

AUTO: Final = "auto"
MOST_WINDOWS: Final = 20
_UTC: Final = ZoneInfo("UTC")
_ANY_DAY: Final = datetime(2025, 1, 1, tzinfo=UTC)


@attrs.frozen
class Switch:
    """true, false, or "auto", which leaves it to the rest of the configuration."""

    expected: str = f'true, false or "{AUTO}"'

    def accept(self, found: object) -> bool | str:
        """Take one of the three."""
        if not isinstance(found, bool) and found != AUTO:
            raise UnfitError
        return found

    def parse(self, text: str) -> object:
        """Read the words."""
        return {"true": True, "false": False}.get(text.lower(), text)


@attrs.frozen
class Zone:
    """The name of a time zone that this machine knows."""

    expected: str = 'the IANA name of a time zone, such as "America/New_York"'

    def accept(self, found: object) -> str:
        """Look it up."""
        if not isinstance(found, str):
            raise UnfitError
        try:
            maintenance.read_zone(found)
        except ValueError as error:
            raise UnfitError(str(error)) from None
        return found

    def parse(self, text: str) -> object:
        """Take the text as it is."""
        return text


@attrs.frozen
class Windows:
    """A list of windows that repeat every week, and leave some of it free."""

    expected: str = (
        f'a list of at most {MOST_WINDOWS} windows such as "Sun-Fri 00:15-01:45"'
        ' or "Fri 23:00-Sat 03:00"'
    )

    def accept(self, found: object) -> tuple[str, ...]:
        """Read every window."""
        if not isinstance(found, list | tuple) or len(found) > MOST_WINDOWS:
            raise UnfitError
        rules = tuple(rule for text in found for rule in self._read(text))
        window = maintenance.Maintenance(rules=rules).window_at(_ANY_DAY)
        if window is not None and window.ends_at - window.begins_at >= timedelta(days=7):
            raise UnfitError("they leave no time to trade")
        return tuple(found)

    def _read(self, text: object) -> tuple[maintenance.Rule, ...]:
        if not isinstance(text, str):
            raise UnfitError
        try:
            return maintenance.parse_windows(text, _UTC)
        except ValueError as error:
            raise UnfitError(f'"{text[:40]}": {error}') from None

    def parse(self, text: str) -> object:
        """Split at commas."""
        return [each.strip() for each in text.split(",")]


@attrs.frozen
class Restart(Text):
    """The gateway's own daily restart."""

    pattern: str = r"((0?\d|1\d|2[0-3]):[0-5]\d( [AP]M)?( \S{1,64})?)?"
    means: str = (
        '"" for none, a time of day such as "23:45" or "11:45 PM", or one with its zone:'
        ' "23:45 Europe/Berlin"'
    )

    def accept(self, found: object) -> str:
        """Read it."""
        text = super().accept(found)
        try:
            maintenance.parse_restart(text, 1.0, _UTC)
        except ValueError as error:
            raise UnfitError(str(error)) from None
        return text


@attrs.frozen(kw_only=True)
class Maintenance(Section):
    """When the gateway is expected to be away: nothing is opened, a loss is no alarm."""

    enabled: bool | str = key(
        AUTO, Switch(), '"auto": for an external gateway, not for the embedded one; true; false'
    )
    zone: str = key(maintenance.IB_ZONE, Zone(), "in which the windows are told")
    windows: tuple[str, ...] = key(
        maintenance.IB_WINDOWS, Windows(), "IB's published reset times in North America"
    )
    gateway_restart: str = key(
        "", Restart(), 'the gateway\'s own daily restart: "23:45" in zone, or "23:45 Europe/Berlin"'
    )
    gateway_restart_s: float = number(300.0, 1.0, 14_400.0, "how long that restart takes")
    stop_opening_before_s: float = number(
        120.0, 0.0, 7200.0, "before a window begins; closing is never stopped"
    )

    @property
    def restart_in_words(self) -> str:
        """Say when the gateway restarts itself and what follows; that none is known where none is."""
        if not self.gateway_restart:
            return "no daily restart of the gateway is known: one counts as a lost link"
        zone = "" if maintenance.names_a_zone(self.gateway_restart) else f" {self.zone}"
        return (
            f"the gateway restarts itself at {self.gateway_restart}{zone}, for at most"
            f" {self.gateway_restart_s:g} s: that is planned, opens nothing and sells nothing"
        )

    def schedule(self, *, is_external: bool) -> maintenance.Maintenance:
        """Give the windows; none where maintenance is off. ``is_external`` decides for "auto"."""
        is_on = is_external if self.enabled == AUTO else self.enabled
        zone = maintenance.read_zone(self.zone)
        rules = [rule for text in self.windows for rule in maintenance.parse_windows(text, zone)]
        rules += maintenance.parse_restart(self.gateway_restart, self.gateway_restart_s, zone)
        return maintenance.Maintenance(
            rules=tuple(rules) if is_on else (), stop_opening_before_s=self.stop_opening_before_s
        )
