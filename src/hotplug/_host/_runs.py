"""
Runs of strategies that are under way when their distribution is reloaded.

    published ──▶ each run of an older generation is offered an object of the new one
                    ├─ between two events it goes on with that
                    └─ it cannot: it goes on as it is, and its generation is kept for as long
"""

from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from hotplug._lifecycle import name_and_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug.context import UserExecutionContext
    from hotplug.strategies import Running

__all__ = ["DRAINING", "KIND", "Runs"]

_log = logging.getLogger("hotplug.host")

KIND: Final = "strategies"
DRAINING: Final = "draining"


class _Stay(NamedTuple):
    """A run, whose object was made by *origin* for *context*."""

    run: Running
    origin: Plugin
    context: UserExecutionContext


class Runs:
    """The runs of a host's strategies that have not followed a reload (yet). Thread-safe."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self._guard: Final = threading.Lock()
        self._stays: tuple[_Stay, ...] = ()

    def follow(self, swaps: Iterable[tuple[Plugin, Plugin]]) -> None:
        """Offer what was published to the runs of what it replaced."""
        pairs = [(old, new) for old, new in swaps if new.seat.kind.name == KIND]
        if not pairs:
            return
        from hotplug.strategies import running

        self.look()
        runs = running()
        for old, new in pairs:
            for stay in self._of(old, runs):
                assert stay.origin.code is not None  # noqa: S101 - it has made something
                self._host.codes.hold(stay.origin.code, stay.run)
                with self._guard:
                    self._stays = (*(each for each in self._stays if each.run is not stay.run), stay)
                make = functools.partial(new.make_for, stay.context)
                stay.run.offer(make, functools.partial(self._answered, stay, new))

    def _of(self, old: Plugin, runs: Iterable[Running]) -> list[_Stay]:
        """The runs that play to what *old* made, or what one before it under the same name made."""
        stayed = {each.run: each for each in self._stays if each.origin.seat.name == old.seat.name}
        found: list[_Stay] = []
        for run in runs:
            context = old.made_for(run.strategy)
            if context is not None:
                found.append(_Stay(run, old, context))
            elif run in stayed:
                found.append(stayed[run])
        return found

    def _answered(self, stay: _Stay, new: Plugin, why_not: Exception | None) -> None:
        """A run said whether it goes on with what *new* made."""
        from hotplug.strategies import Overtaken, RunOver

        if why_not is None or isinstance(why_not, RunOver):
            self._is_over(stay)
        elif not isinstance(why_not, Overtaken):
            why = name_and_text(why_not)
            _log.warning("%r stays on generation %d: %s", stay.run, stay.origin.status.generation, why)
            remedy = f"a run goes on with generation {stay.origin.status.generation}: {why}"
            new.mark(reason=DRAINING, remedy=remedy)

    def look(self) -> None:
        """Let go of the generations whose last run has ended meanwhile."""
        if not self._stays:
            return
        from hotplug.strategies import running

        alive = set(running())
        for stay in self._stays:
            if stay.run not in alive:
                self._is_over(stay)

    def _is_over(self, stay: _Stay) -> None:
        with self._guard:
            if stay not in self._stays:
                return
            self._stays = tuple(each for each in self._stays if each is not stay)
            name = stay.origin.seat.name
            is_last = not any(each.origin.seat.name == name for each in self._stays)
        self._host.codes.let_go(stay.origin.code, stay.run, self._host.home.loop)
        if is_last:
            for plugin in self._host.follower.standing:
                if plugin.seat.name == name and plugin.status.reason == DRAINING:
                    plugin.mark(reason="", remedy="")

    def end(self) -> None:
        """The host closes."""
        with self._guard:
            self._stays = ()
