"""What separates the plugins that stand from the seats that are wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotplug._host._policy import plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._records import Changes

__all__ = ["Difference", "compare", "in_order"]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Who stays, comes, changes and goes; *held* are those that cannot follow in this process.

    *swapped* are to be replaced by new ones, *tuned* stay and follow what changed.
    """

    changes: Changes
    kept: Sequence[Plugin]
    held: Sequence[Plugin]
    gone: Sequence[Plugin]
    swapped: Sequence[tuple[Plugin, Seat]]
    tuned: Sequence[tuple[Plugin, Seat]]
    added: Sequence[Seat]
    idle: Sequence[Seat]


def compare(standing: Sequence[Plugin], seats: Sequence[Seat], *, hold: bool) -> Difference:
    """
    The difference between *standing* and *seats*.

    With *hold*, what runs is protected from the environment: a distribution whose code is imported is
    not replaced in this process, and a name being served is not lost to a newcomer.
    """
    holders = {plugin.seat.name: plugin for plugin in standing if plugin.seat.may_load}
    held: list[Plugin] = []
    if hold:
        busy = _busy_distributions(holders.values(), seats)
        held = [plugin for plugin in holders.values() if plugin.distribution in busy]
        standing = [plugin for plugin in standing if plugin.distribution not in busy]
        seats = [_defended(seat, holders) for seat in seats if seat.status.record.distribution not in busy]
    changes = plan([plugin.seat for plugin in standing], seats)
    wanted = {seat.name: seat for seat in seats if seat.may_load}
    changed = [(holders[name], wanted[name]) for name in changes.changed]
    tuned = [(old, seat) for old, seat in changed if old.stands and old.seat.tunes_to(seat)]
    return Difference(
        changes=replace(changes, failed=(*(plugin.seat.name for plugin in held), *changes.failed)),
        kept=[holders[name] for name in changes.unchanged],
        held=held,
        gone=[holders[name] for name in changes.removed],
        swapped=[pair for pair in changed if pair not in tuned],
        tuned=tuned,
        added=[wanted[name] for name in changes.added],
        idle=[seat for seat in seats if not seat.may_load],
    )


def _busy_distributions(holders: Iterable[Plugin], seats: Sequence[Seat]) -> set[str]:
    """The distributions that changed on disk although their code is imported here."""
    on_disk = {seat.status.record.distribution: (seat.status.record.version, seat.stamp) for seat in seats}
    return {
        plugin.distribution
        for plugin in holders
        if plugin.distribution in on_disk
        and on_disk[plugin.distribution] != (plugin.seat.status.record.version, plugin.seat.stamp)
        and plugin.is_in_use
    }


def _defended(seat: Seat, holders: Mapping[str, Plugin]) -> Seat:
    """Who holds a name keeps it when somebody else claims it too."""
    holder = holders.get(seat.name)
    if holder is None or seat.status.state != "conflict" or seat.status.record != holder.seat.status.record:
        return seat
    return holder.seat


def in_order(seats: Sequence[Seat], plugins: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """*plugins* as *seats* are ordered; who has no seat any more comes last."""
    place = {(seat.name, str(seat.status.record)): index for index, seat in enumerate(seats)}
    last = len(place)

    def where(plugin: Plugin) -> tuple[int, str]:
        name = plugin.seat.name
        return place.get((name, str(plugin.seat.status.record)), last), name

    return tuple(sorted(plugins, key=where))
