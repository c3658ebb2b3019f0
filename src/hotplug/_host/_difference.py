"""What separates the plugins that stand from the seats that are wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotplug._host._policy import normal_name, plan
from hotplug.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._records import Changes

__all__ = ["Difference", "broken_below", "busy_distributions", "compare", "defended", "in_order"]


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


def compare(
    standing: Sequence[Plugin], seats: Sequence[Seat], *, hold: bool, renew: Collection[str] = ()
) -> Difference:
    """
    The difference between *standing* and *seats*.

    With *hold*, what runs is protected from the environment: a distribution whose code is imported is
    left as it is, because that takes a new generation, and a name being served is not lost to a newcomer.
    What runs while its installation is broken is held in any case: `PluginError` if it would have to change.
    What comes from the distributions *renew* is swapped though it stays: it is of a new generation.
    """
    holders = {plugin.seat.name: plugin for plugin in standing if plugin.seat.may_load}
    held: list[Plugin] = []
    broken = broken_below(holders.values(), seats)
    if hold:
        busy = busy_distributions(holders.values(), seats) | broken
        held = [plugin for plugin in holders.values() if plugin.distribution in busy]
        standing = [plugin for plugin in standing if plugin.distribution not in busy]
        seats = [defended(seat, holders) for seat in seats if seat.status.record.distribution not in busy]
    elif broken:
        stays = {seat.name: seat for seat in seats if _is_broken(seat) and _holds(holders, seat, broken)}
        held = [holders[name] for name in stays]
        for plugin in held:
            _refuse_another(plugin, stays[plugin.seat.name])
        standing = [plugin for plugin in standing if plugin not in held]
        seats = [seat for seat in seats if seat.name not in stays]
    changes = plan([plugin.seat for plugin in standing], seats)
    again = {name for name in changes.unchanged if normal_name(holders[name].distribution) in renew}
    if again:
        unchanged = tuple(name for name in changes.unchanged if name not in again)
        anew = tuple(name for name in changes.unchanged if name in again)
        changes = replace(changes, changed=(*changes.changed, *anew), unchanged=unchanged)
    wanted = {seat.name: seat for seat in seats if seat.may_load}
    changed = [(holders[name], wanted[name]) for name in changes.changed]
    tuned = [
        (old, seat)
        for old, seat in changed
        if normal_name(old.distribution) not in renew and old.stands and old.seat.tunes_to(seat)
    ]
    return Difference(
        changes=changes,
        kept=[holders[name] for name in changes.unchanged],
        held=held,
        gone=[holders[name] for name in changes.removed],
        swapped=[pair for pair in changed if pair not in tuned],
        tuned=tuned,
        added=[wanted[name] for name in changes.added],
        idle=[seat for seat in seats if not seat.may_load],
    )


def busy_distributions(holders: Iterable[Plugin], seats: Sequence[Seat]) -> set[str]:
    """The distributions that changed on disk although their code is imported here."""
    on_disk = {seat.status.record.distribution: (seat.status.record.version, seat.stamp) for seat in seats}
    return {
        plugin.distribution
        for plugin in holders
        if plugin.distribution in on_disk
        and on_disk[plugin.distribution] != (plugin.seat.status.record.version, plugin.seat.stamp)
        and plugin.is_in_use
    }


def broken_below(holders: Iterable[Plugin], seats: Iterable[Seat]) -> set[str]:
    """The distributions that will not become complete on disk although their code is imported here."""
    broken = {seat.status.record.distribution for seat in seats if _is_broken(seat)}
    return {plugin.distribution for plugin in holders if plugin.distribution in broken and plugin.is_in_use}


def _is_broken(seat: Seat) -> bool:
    return seat.status.state == "broken"


def _holds(holders: Mapping[str, Plugin], seat: Seat, distributions: Collection[str]) -> bool:
    holder = holders.get(seat.name)
    return holder is not None and holder.distribution in distributions


def _refuse_another(plugin: Plugin, seat: Seat) -> None:
    """Raise `PluginError` where *seat*, whose installation is broken, asks for another object."""
    mine = plugin.seat
    if not replace(seat, status=mine.status, stamp=mine.stamp).same_as(mine):
        why = "cannot be made anew: its installation is broken"
        raise PluginError(why, seat.status.record, remedy=seat.status.remedy, reason=seat.status.reason)


def defended(seat: Seat, holders: Mapping[str, Plugin]) -> Seat:
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
