"""
Gateways that were withdrawn while they had a session: they serve until the last of their orders has ended.

    shut ──▶ nobody leases it ──▶ no own order is open ──▶ ended like everything that goes
               └── its key comes back: held while the next gateway takes over ──▶ finished, or goes on
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, cast

from hotplug._lifecycle import Stuck
from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import Any

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug.brokers import BrokerGateway
    from hotplug.brokers._hosting._keeper import Keeper

__all__ = ["Drains"]

_log = logging.getLogger("hotplug.host")


class _Drain:
    """One plugin whose gateway drains; *over* is what will be done with it then, once nobody leases it."""

    def __init__(self, plugin: Plugin, keeper: Keeper) -> None:
        self.gateway: Final = cast("BrokerGateway", plugin.product)
        self.keeper: Final = keeper
        self.over: Callable[[], None] | None = None
        self.is_held = False
        self.task: asyncio.Task[Any] | None = None


class Drains:
    """The gateways of a host that drain. Thread-safe."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self._guard: Final = threading.Lock()
        self._drains: dict[Plugin, _Drain] = {}

    def shut(self, plugin: Plugin, keeper: Keeper, patience: float) -> None:
        """*plugin* was withdrawn: if its gateway has a session, it takes no orders any more."""
        drain = _Drain(plugin, keeper)
        try:
            is_shut = self._host.home.run(keeper.shut(drain.gateway, "withdrawn"), patience)
        except Stuck as stuck:
            _log.error("%s was withdrawn, and its gate could not be shut: %s", plugin.seat.name, stuck)
            return
        if is_shut:
            with self._guard:
                self._drains[plugin] = drain

    def of(self, name: str) -> Plugin | None:
        """The plugin that stood as *name*, and drains."""
        with self._guard:
            return next((plugin for plugin in self._drains if plugin.seat.name == name), None)

    def when_over(self, plugin: Plugin, over: Callable[[], None]) -> None:
        """Call *over* when *plugin*, which nobody leases, need not drain (any more): at once, or later."""
        with self._guard:
            drain = self._drains.get(plugin)
            if drain is not None:
                drain.over = over
                if not (drain.is_held or drain.keeper.open_orders(drain.gateway)):
                    del self._drains[plugin]
                    drain = None
        if drain is None:
            over()
        else:
            self._keep(self._wait(plugin, drain))

    async def _wait(self, plugin: Plugin, drain: _Drain) -> None:
        import asyncio

        drain.task = asyncio.current_task()
        await drain.keeper.drained(drain.gateway)
        over = self._strike_off(plugin, drain, held=False)
        if over is not None:
            await run_in_thread(over)

    def _strike_off(self, plugin: Plugin, drain: _Drain, *, held: bool) -> Callable[[], None] | None:
        """It drains no more: what is to be done with it now, which one caller only is told."""
        with self._guard:
            if self._drains.get(plugin) is not drain or drain.is_held is not held:
                return None
            del self._drains[plugin]
            return drain.over

    # -- its key comes back ------------------------------------------------------------------------

    def hold(self, plugin: Plugin) -> bool:
        """Let *plugin* drain on, but not end, until `finish` or `go_on`; false: it has ended already."""
        with self._guard:
            drain = self._drains.get(plugin)
            if drain is None:
                return False
            drain.is_held = True
            return True

    def finish(self, plugin: Plugin) -> None:
        """Another gateway has taken over from *plugin*, which is held: it may go."""
        drain = self._drains.get(plugin)
        over = None if drain is None else self._strike_off(plugin, drain, held=True)
        if over is None:  # who leases it ends it
            return
        if self._host.home.is_here:
            self._host.home.keep(run_in_thread(over))
        else:
            over()

    def go_on(self, plugin: Plugin) -> None:
        """Nobody took over from *plugin*, which is held: it drains as before."""
        with self._guard:
            drain = self._drains.get(plugin)
            if drain is not None:
                drain.is_held = False
        if drain is not None and drain.over is not None:
            self._keep(self._wait(plugin, drain))

    # -- the end -----------------------------------------------------------------------------------

    def end(self) -> None:
        """The host closes: it ends them itself, whatever is open."""
        with self._guard:
            drains, self._drains = self._drains, {}
        tasks = [drain.task for drain in drains.values() if drain.task is not None]

        async def cancel() -> None:
            for task in tasks:
                task.cancel()

        if tasks:
            try:
                self._host.home.run(cancel(), 1.0)
            except Stuck as stuck:
                _log.error("closing: %s", stuck)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        home = self._host.home

        async def keep() -> None:
            home.keep(work)

        if home.is_here:
            home.keep(work)
        else:
            home.run(keep())
