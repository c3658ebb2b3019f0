"""
Whose next generation waits for somebody to ask for it: with real money behind it, nothing is touched unasked.

    code, installation ──▶ code_waits ──────────┐      what runs is there again ─▶ look_again ─┐
    configuration ───────▶ configuration_waits ─┴──▶ reload pending ─────────────────────────┴──▶ as before
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hotplug._host._difference import compare
from hotplug._host._policy import normal_name
from hotplug._host._reports import Attempt
from hotplug.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat

__all__ = ["Waiting"]


class Waiting:
    """Who waits, and for what. One verb at a time."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self._code: Final[dict[Plugin, frozenset[str]]] = {}
        self._configuration: Final[dict[Plugin, None]] = {}

    # -- code --------------------------------------------------------------------------------------

    def code_waits(
        self, plugins: Sequence[Plugin], distributions: Iterable[str], seats: Sequence[Seat]
    ) -> bool:
        """Whether *plugins*, of *distributions*, are not renewed unasked, as one of them is live."""
        live = [plugin for plugin in plugins if self._host.gateways.is_live(plugin)]
        if not live:
            return False
        names = frozenset(distributions)
        if self._runs_already(names, seats):
            return True
        is_news = not all(plugin.is_pending for plugin in plugins)
        attempt = Attempt(plugin.status for plugin in plugins)
        for plugin in plugins:
            self._code[plugin] = names
            plugin.pending(live[0].distribution)
        if is_news:
            self._host.reports.tell(*attempt.pending(live[0].status.remedy))
        return True

    def look_again(self) -> None:
        """Who waits for what runs already, waits no more."""
        seats = self._host.outlook.seats(self._host.config) if self._code else ()
        for names in set(self._code.values()):
            if self._runs_already(names, seats):
                self._leave(self._code, [each for each, theirs in self._code.items() if theirs == names])

    def _runs_already(self, names: Collection[str], seats: Sequence[Seat]) -> bool:
        """Whether what there is of those distributions says what runs, whoever installed it and when."""
        codes, follower = self._host.codes, self._host.follower
        wanted = {seat.name: seat for seat in seats if seat.may_load and _is_of(seat, names)}
        mine = {p.seat.name: p for p in follower.standing if p.stands and _is_of(p.seat, names)}
        loaded = [name for name in names if codes.is_loaded(name)]
        if not (
            {name: seat.status.record for name, seat in wanted.items()}
            == {name: plugin.seat.status.record for name, plugin in mine.items()}
            and not any(codes.edited(loaded))
        ):
            return False
        for name, plugin in mine.items():
            plugin.seat = replace(plugin.seat, stamp=wanted[name].stamp)
        return True

    # -- the configuration -------------------------------------------------------------------------

    def configuration_waits(self, seats: Sequence[Seat]) -> HostError | None:
        """
        Why a configuration with *seats* is not followed unasked: it would replace what is live.

        What that may follow as it is, it follows; what is to go drains, if it must.
        """
        swapped = compare(self._host.follower.standing, seats, hold=False).swapped
        live = [plugin for plugin, _ in swapped if self._host.gateways.is_live(plugin)]
        self._leave(self._configuration, [plugin for plugin in self._configuration if plugin not in live])
        for plugin in live:
            self._configuration[plugin] = None
            plugin.pending(plugin.distribution)
        return HostError(f"{live[0].seat.name}: {live[0].status.remedy}") if live else None

    def no_configuration_waits(self) -> None:
        """The file says what is in force, or nothing that makes sense."""
        self._leave(self._configuration, list(self._configuration))

    def is_for_configuration(self, distributions: Iterable[str]) -> bool:
        """Whether what comes from *distributions* waits for a configuration."""
        names = set(map(normal_name, distributions))
        return any(_is_of(plugin.seat, names) for plugin in self._configuration)

    # -- the end -----------------------------------------------------------------------------------

    def forget(self, plugins: Iterable[Plugin]) -> None:
        """They were replaced, or are gone."""
        for plugin in plugins:
            self._code.pop(plugin, None)
            self._configuration.pop(plugin, None)

    def _leave(self, roll: dict[Plugin, Any], plugins: Iterable[Plugin]) -> None:
        for plugin in plugins:
            del roll[plugin]
            if not (plugin in self._code or plugin in self._configuration):
                plugin.waits_no_more()


def _is_of(seat: Seat, names: Collection[str]) -> bool:
    return normal_name(seat.status.record.distribution) in names
