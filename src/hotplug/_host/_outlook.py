"""What the environment offers to a host: discovered, judged by hooks, policy and configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hotplug import _discovery
from hotplug._host._health import WRONG
from hotplug._host._hooks import GROUP, Hooks
from hotplug._host._policy import allot
from hotplug._kinds import Kind
from hotplug._records import VERSION
from hotplug.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplug._config import Config
    from hotplug._host._policy import Seat
    from hotplug._host._registries import Registries
    from hotplug._records import PluginRecord, Problem

__all__ = ["Outlook"]


class Outlook:
    """Looks at *path*, with an index if *cache*; knows the hooks that are found there, and asks them."""

    def __init__(self, registries: Registries, path: Sequence[str] | None, *, cache: bool) -> None:
        self._registries: Final = registries
        self._path: Final = path
        self._cache: Final = cache
        self.hooks: Final = Hooks()
        self.records: tuple[PluginRecord, ...] = ()
        self.problems: tuple[Problem, ...] = ()

    def look(self, config: Config, *, fresh: bool) -> None:
        """Look at the environment, *fresh* or by its stamps; what discovery raises changes nothing."""
        hooks = _discovery.discover({GROUP: "hooks"}, self._path, fresh=fresh, cache=self._cache).records
        self._follow_hooks(config, hooks)
        groups = {kind.group: kind.name for kind in self._registries.kinds}
        found = _discovery.discover(groups, self._path, fresh=fresh, cache=self._cache)
        self.records, self.problems = found.records, found.problems

    def judge_hooks(self, config: Config) -> None:
        """Follow a new configuration where it says something else about hooks."""
        self._follow_hooks(config, tuple(status.record for status in self.hooks.statuses))

    def _follow_hooks(self, config: Config, records: Sequence[PluginRecord]) -> None:
        """Load the hooks that are new, forget those that are gone; kinds that they brought stay."""
        kind = Kind[Any].internal("hooks", GROUP)
        seats = allot([kind], records, config, version=VERSION)
        self.hooks.follow([seat.status for seat in seats], config.host.load_timeout)
        self.hooks.contribute(self._registries.add)

    def demand_hooks(self) -> None:
        """Raise `StartError` if any hooks do not work."""
        wrong = [status for status in self.hooks.statuses if status.state in WRONG]
        if wrong:
            raise StartError([(status.name, f"{status.reason}: {status.remedy}") for status in wrong])

    def seats(self, config: Config) -> tuple[Seat, ...]:
        """Who stands where, under *config*, as far as hooks do not object."""
        vetoes = self.hooks.vetoes(self.records)
        return allot(self._registries.kinds, self.records, config, version=VERSION, vetoes=vetoes)
