"""When the venue is open."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["Hours"]

DAY: Final = timedelta(days=1)
SPELLING: Final = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)")


class Hours:
    """
    The daily session: *spelled* ``09:30-16:00`` in the time of *zone*; ``None`` is around the clock.

    A session that ends before it begins goes on over midnight. `ValueError` for what is no such thing.
    """

    def __init__(self, spelled: str | None, zone: str = "UTC") -> None:
        self.spelled: Final = spelled
        self._zone: Final = _zone_of(zone)
        self._opens, self._closes = (time(), time()) if spelled is None else _times_of(spelled)
        self._last: tuple[datetime, datetime | None] = (datetime.min.replace(tzinfo=UTC), None)

    def end_of(self, moment: datetime) -> datetime | None:
        """When the session ends (UTC) that *moment* lies in; ``None`` if the venue is closed then."""
        before, end = self._last
        if end is None or not before <= moment < end:
            end = self._end_of(moment)
            self._last = moment, end
        return end

    def _end_of(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self._zone)
        opens, closes = self._opens, self._closes
        day = local.date()
        if opens < closes:
            inside, last = opens <= local.time() < closes, day
        else:
            late = local.time() >= opens
            inside, last = late or local.time() < closes, day + DAY if late else day
        return datetime.combine(last, closes, self._zone).astimezone(UTC) if inside else None


def _times_of(spelled: str) -> tuple[time, time]:
    found = SPELLING.fullmatch(spelled)
    try:
        if found is not None:
            opens, closes = map(time.fromisoformat, found.groups())
            return opens, closes
    except ValueError:
        pass
    raise ValueError(f"a session is spelled as in 09:30-16:00, not {spelled!r}")


def _zone_of(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # needs no time zone database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"no such time zone is known here: {name!r}") from error
