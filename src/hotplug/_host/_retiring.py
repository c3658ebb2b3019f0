"""Plugins that stand no more, until nobody uses them, or for as long as that may take."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from typing import TYPE_CHECKING, Final

from hotplug.registry import Retirement, run_in_thread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin

__all__ = ["Retiring"]

_log = logging.getLogger("hotplug.host")


class _Group:
    """Plugins of one distribution that go together: who uses one of them may ask for the others."""

    def __init__(self, plugins: Sequence[Plugin], over: Callable[[_Group], None]) -> None:
        self.plugins: Final = plugins
        undos = [undo for plugin in plugins for undo in plugin.undos]
        self.retirement: Final = Retirement(undos, functools.partial(over, self))
        self.ended: Final = threading.Event()
        self.timer: asyncio.TimerHandle | None = None


class Retiring:
    """
    The plugins of a host that wait for who uses them: leases, calls, runs and sessions. Thread-safe.

    *over* is called with those that nobody uses any more, in the order in which they were given.
    """

    def __init__(self, host: Host, over: Callable[[Plugin], None]) -> None:
        self._host: Final = host
        self._over: Final = over
        self._guard: Final = threading.Lock()
        self._waiting: list[_Group] = []

    def begin(self, plugins: Iterable[Plugin]) -> None:
        """Let them go: now those of distributions that nobody uses, and the others when that is so."""
        plugins = list(plugins)
        by_distribution: dict[str, list[Plugin]] = {}
        for plugin in plugins:
            by_distribution.setdefault(plugin.distribution, []).append(plugin)
        used: set[Plugin] = set()
        for together in by_distribution.values():
            group = _Group(together, self._released)
            with self._guard:
                self._waiting.append(group)
            if group.retirement.begin():
                self._strike_off(group)
            else:
                used.update(together)
                self._on_home(functools.partial(self._set_timer, group))
        # Not group by group: what of one distribution works with what of another ends before it.
        for plugin in plugins:
            if plugin not in used:
                self._over(plugin)

    def wait(self) -> None:
        """
        Wait until those that wait have gone, which takes no longer than the drain limit and their ends.

        Not for what the caller's context is in the middle of using: that would wait for itself.
        """
        with self._guard:
            waiting = tuple(self._waiting)
        for group in waiting:
            if not group.retirement.is_held_here:
                group.ended.wait()

    def end(self) -> None:
        """The host closes, and ends them itself."""
        with self._guard:
            waiting, self._waiting = self._waiting, []
        for group in waiting:
            self._on_home(functools.partial(_stop_timer, group))
            group.ended.set()

    def _released(self, group: _Group) -> None:
        """Nobody uses *group* any more, or for too long."""
        self._on_home(functools.partial(_stop_timer, group))
        with self._guard:
            is_mine = group in self._waiting  # or that of who closes the host
        try:
            for plugin in group.plugins if is_mine else ():
                self._over(plugin)
        finally:
            self._strike_off(group)

    def _strike_off(self, group: _Group) -> None:
        with self._guard:
            self._waiting = [other for other in self._waiting if other is not group]
        group.ended.set()

    # -- the limit, on the home loop -----------------------------------------------------------------

    def _set_timer(self, group: _Group) -> None:
        if not group.retirement.is_over:
            limit = self._host.drain_timeout
            group.timer = self._host.home.loop.call_later(limit, self._run_out, group, limit)

    def _run_out(self, group: _Group, limit: float) -> None:
        if group.retirement.is_over:
            return
        names = ", ".join(plugin.seat.name for plugin in group.plugins)
        _log.warning("%s: closed although in use still, after %g s", names, limit)
        self._host.home.keep(run_in_thread(group.retirement.force))

    def _on_home(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to lose patience
            self._host.home.loop.call_soon_threadsafe(call)


def _stop_timer(group: _Group) -> None:
    if group.timer is not None:
        group.timer.cancel()
