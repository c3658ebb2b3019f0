"""What speaks against following, of those that serve on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hotplug._host._difference import broken_below, busy_distributions
from hotplug._host._policy import normal_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat

__all__ = ["Refusals"]


class Refusals:
    """What the plugins that stand could not follow, and until when it need not be tried again."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host

    @property
    def _standing(self) -> tuple[Plugin, ...]:
        return self._host.follower.standing

    def busy(self, seats: Sequence[Seat], *, by_itself: bool) -> set[str]:
        """
        The distributions that changed on disk although their code is imported here.

        Who asks *by_itself* is not told again of what was refused as it is.
        """
        plugins = [plugin for plugin in self._standing if plugin.seat.may_load]
        if by_itself:
            plugins = [plugin for plugin in plugins if not self.holds(plugin, seats)]
        return busy_distributions(plugins, seats) - broken_below(plugins, seats)

    def said_of(self, distributions: Collection[str], seats: Iterable[Seat]) -> object:
        """What their next generations depend on, but for their code."""
        said = [
            (seat.status, seat.stamp)
            for seat in seats
            if normal_name(seat.status.record.distribution) in distributions
        ]
        return said, {name: self._host.codes.changed_below(name) for name in distributions}

    def holds(self, plugin: Plugin, seats: Iterable[Seat]) -> bool:
        """Whether what there is now of its distribution, and of those that go with it, was refused."""
        together = plugin.refused_with
        return bool(together) and plugin.has_refused(self.said_of(together, seats))

    def reconsidered(self, seats: Iterable[Seat]) -> set[str]:
        """The distributions that were refused for what is not so any more."""
        refused = [plugin for plugin in self._standing if plugin.refused_with]
        return {p.distribution for p in refused if not self.holds(p, seats)}

    def together_with(self, distributions: Iterable[str]) -> set[str]:
        """The distributions that were refused together with one of *distributions*; some have no plugins."""
        names = {normal_name(name) for name in distributions}
        refused = (plugin.refused_with for plugin in self._standing)
        return {each for together in refused if together & names for each in together}

    def say_what_is_broken(self, seats: Iterable[Seat]) -> None:
        """What runs, runs on; somebody has to repair its installation all the same."""
        statuses = (seat.status for seat in seats)
        broken = {each.record.distribution: each for each in statuses if each.state == "broken"}
        for plugin in self._standing:
            if plugin.stands:
                plugin.is_installed(broken.get(plugin.distribution))

    def say_what_is_shared(self) -> None:
        """Who works with what is another one on the disk by now needs a restart to follow."""
        why = {
            name: self._host.codes.changed_below(name) for name in {p.distribution for p in self._standing}
        }
        for plugin in self._standing:
            if plugin.is_in_use and why[plugin.distribution]:
                plugin.restart_required(f"{why[plugin.distribution]}: restart to use it")

    def forget(self, distributions: Iterable[str]) -> None:
        """The code of *distributions* says again what serves."""
        names = set(distributions)
        for plugin in self._standing:
            if normal_name(plugin.distribution) in names and plugin.status.state == "loaded":
                plugin.try_again()
