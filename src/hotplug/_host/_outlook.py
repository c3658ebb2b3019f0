"""What the environment offers to a host: discovered, judged by hooks, policy and configuration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from hotplug import _discovery
from hotplug._host._health import WRONG
from hotplug._host._hooks import GROUP, Hooks
from hotplug._host._installs import ABSENCE, UNSIGNED, Belief, Installs
from hotplug._host._policy import allot
from hotplug._kinds import Kind
from hotplug._records import VERSION
from hotplug.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from hotplug._config import Config
    from hotplug._discovery import Installation
    from hotplug._host._host import Host
    from hotplug._host._policy import Seat
    from hotplug._host._registries import Registries
    from hotplug._host._renewal import Renewal
    from hotplug._records import PluginRecord, Problem

__all__ = ["Outlook"]

KIND: Final = Kind[Any].internal("hooks", GROUP)
MOMENT: Final = 2 * (ABSENCE + UNSIGNED)
"""Seconds that a thorough look waits at most for what is just being installed or removed."""


class Outlook:
    """Looks at *path*, with an index if *cache*; knows the hooks that are found there, and asks them."""

    def __init__(
        self, host: Host, registries: Registries, path: Sequence[str] | None, *, cache: bool
    ) -> None:
        self._host: Final = host
        self._registries: Final = registries
        self._cache: Final = cache
        self.hooks: Final = Hooks(host)
        self._hooks: Belief = Belief()
        self._groups: Mapping[str, str] = {}
        self._installs_of_hooks: Final = Installs()
        self.records: tuple[PluginRecord, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self._installs: Final = Installs()
        self._broken: Mapping[str, Installation] = {}
        self.path: Final = path

    def look_patiently(self, config: Config, *, fresh: bool) -> None:
        """Look, until nothing is on its way any more that comes or goes within a moment."""
        deadline = time.monotonic() + MOMENT
        again = True
        while True:
            wait = self.look(config, fresh=fresh, again=again)
            again = False
            if wait is None or time.monotonic() + wait > deadline:
                return
            time.sleep(wait)

    def look(self, config: Config, *, fresh: bool, again: bool = False) -> float | None:
        """
        Look at the environment, *fresh* or by its stamps; what discovery raises changes nothing.

        The answer is in how many seconds something that is on its way may have come; None: nothing is.
        Hooks that timed out are tried *again*.
        """
        hooks = _discovery.discover({GROUP: "hooks"}, self.path, fresh=fresh, cache=self._cache)
        self._hooks = self._installs_of_hooks.judge(hooks.records, _rivalled(hooks.problems))
        self._host.codes.know(self.everything, self.path, fresh=False)
        self._follow_hooks(config, again=again)
        groups = self._groups = {kind.group: kind.name for kind in self._registries.kinds}
        found = _discovery.discover(groups, self.path, fresh=fresh, cache=self._cache)
        belief = self._installs.judge(found.records, _rivalled(found.problems))
        self.records, self.problems, self._broken = belief.records, found.problems, belief.broken
        waits = [wait for wait in (self._hooks.again_in, belief.again_in) if wait is not None]
        return min(waits, default=None)

    @property
    def everything(self) -> tuple[PluginRecord, ...]:
        """The records of hooks, and of all else."""
        return (*self._hooks.records, *self.records)

    def judge_hooks(self, config: Config) -> None:
        """Follow a new configuration where it says something else about hooks."""
        self._follow_hooks(config, again=True)

    def _follow_hooks(self, config: Config, *, again: bool) -> None:
        """Load the hooks that are new, forget those that are gone; kinds that they brought stay."""
        seats = allot(
            [KIND],
            self._hooks.records,
            config,
            version=VERSION,
            broken=self._hooks.broken,
            stamp=self._installs_of_hooks.stamp,
        )
        self.hooks.follow(seats, config.host.load_timeout, again=again)
        self.hooks.contribute(self._registries.add)

    def next_hooks(self, distributions: Collection[str], renewal: Renewal) -> Mapping[PluginRecord, object]:
        """The hooks of the next generations of *distributions*, checked beside those that are asked."""
        return self.hooks.next_to(distributions, renewal, self._registries.refuse_another)

    def kinds_have_come(self) -> bool:
        """Whether hooks have brought kinds since the last look, which did not look for their plugins."""
        if self.hooks.are_new:
            self.hooks.contribute(self._registries.add)
        return any(kind.group not in self._groups for kind in self._registries.kinds)

    def retry_hooks(self, distributions: Collection[str]) -> None:
        """Load again what failed of the hooks of *distributions*."""
        self.hooks.retry(distributions)

    def demand_hooks(self) -> None:
        """Raise `StartError` if any hooks do not work."""
        wrong = [status for status in self.hooks.statuses if status.state in WRONG]
        if wrong:
            raise StartError([(status.name, f"{status.reason}: {status.remedy}") for status in wrong])

    def seats(self, config: Config) -> tuple[Seat, ...]:
        """Who stands where, under *config*, as far as hooks do not object."""
        vetoes = self.hooks.vetoes(self.records)
        return allot(
            self._registries.kinds,
            self.records,
            config,
            version=VERSION,
            vetoes=vetoes,
            broken=self._broken,
            stamp=self._installs.stamp,
        )


def _rivalled(problems: Iterable[Problem]) -> set[str]:
    """The paths of dist-infos beside which another one claims the same distribution."""
    return {problem.path for problem in problems if problem.reason.startswith(_discovery.RIVALS)}
