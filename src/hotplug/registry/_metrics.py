"""Exact counters that take no lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Counters", "RegistryMetrics", "reading"]


@dataclass(frozen=True, slots=True)
class RegistryMetrics:
    """
    What a registry counted; all but *entries* stay 0 (and *hits* empty) with ``metrics=False``.

    *lookups* are calls that named a key (``get``, ``aget``, ``[]``, ``lease``, ``create_instance``),
    *misses* those that found nothing they could use. *creations* are objects that factories and lazy
    loads made, *failures* those they did not, or that were not what the registry holds. *hits* says
    for each key that stands now how often it was found.
    """

    entries: int
    registrations: int
    lookups: int
    misses: int
    creations: int
    failures: int
    hits: Mapping[str, int] = field(hash=False)


def reading(counter: count[int]) -> int:
    """How often ``next(counter)`` was called. Its repr is the one way to look without counting."""
    return int(repr(counter)[len("count(") : -1])


class Counters:
    """
    The counters of one registry. ``next(counter)`` is atomic, so none is ever lost.

    A call that a factory answered counts under *made* only, all other finds under *found*.
    """

    __slots__ = ("failed", "found", "loaded", "made", "missed", "registered")

    def __init__(self) -> None:
        self.registered = count()
        self.found = count()
        self.missed = count()
        self.made = count()
        self.loaded = count()
        self.failed = count()

    def report(self, entries: int, hits: Mapping[str, int]) -> RegistryMetrics:
        """What was counted so far."""
        made, missed = reading(self.made), reading(self.missed)
        return RegistryMetrics(
            entries=entries,
            registrations=reading(self.registered),
            lookups=reading(self.found) + made + missed,
            misses=missed,
            creations=made + reading(self.loaded),
            failures=reading(self.failed),
            hits=hits,
        )
