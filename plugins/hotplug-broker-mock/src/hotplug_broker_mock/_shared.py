"""Venues with a name, one of each in a process: what a reloaded gateway finds again."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug_broker_mock._venue import MockVenue

__all__ = ["forget_venue", "shared_venue"]

SHARED: Final = "_hotplug_mock_venues"


def shared_venue(name: str, make: Callable[[], MockVenue]) -> MockVenue:
    """
    The venue called *name*, made by *make* if there is none yet. Thread-safe.

    It stays until `forget_venue`, and with it the code of the generation that made it.
    """
    return _venues().setdefault(name, make())


def forget_venue(name: str) -> None:
    """Let the next who asks for *name* have a new venue; none there is fine."""
    _venues().pop(name, None)


def _venues() -> dict[str, MockVenue]:
    # Not a global of this module: a reload makes this module anew, and the venue must be found again.
    keeper = sys.modules.setdefault(SHARED, ModuleType(SHARED))
    venues: dict[str, MockVenue] = vars(keeper).setdefault("venues", {})
    return venues
