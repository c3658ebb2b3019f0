"""
Hooks that come with the environment, and those that the application registers.

The former are of a generation of their distribution's code, as its plugins are:

    follow ──▶ load, drop         of distributions whose code does not run
           └─▶ waiting ──renewed──▶ next_to ──▶ take_place, or refuse
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from hotplug import _discovery
from hotplug._host._asking import Asking, contributed, manager, register
from hotplug._host._condition import MEND, RESTART
from hotplug._host._policy import normal_name
from hotplug._host._renewing import refuse_what_may_not_come
from hotplug._loader import behind_wall, drop_modules, import_target, traceback_of
from hotplug._records import Changes
from hotplug.errors import ConfigError, PluginError, RestartRequired

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hotplug._host._code import Code
    from hotplug._host._host import Host
    from hotplug._host._policy import Seat
    from hotplug._host._renewal import Renewal
    from hotplug._kinds import Kind
    from hotplug._records import PluginRecord, PluginStatus

__all__ = ["GROUP", "Hooks"]

GROUP = "hotplug.hooks"


class Hooks(Asking):
    """
    A host's `pluggy.PluginManager`, and the statuses of the plugins that came with the environment.

    Without a *host* what is loaded is imported as ever.
    """

    def __init__(self, host: Host | None = None) -> None:
        super().__init__()
        self._host: Final = host
        self._seats: dict[PluginRecord, Seat] = {}
        self._codes: Final[dict[PluginRecord, Code]] = {}
        self._waiting: dict[str, Sequence[Seat]] = {}
        self._refused: Final[dict[str, object]] = {}

    def of(self, distributions: Collection[str]) -> list[PluginStatus]:
        """Those of *distributions*, by their normal names."""
        return [each for each in self.statuses if normal_name(each.record.distribution) in distributions]

    def asked(self, distributions: Collection[str]) -> list[PluginStatus]:
        """Those of them that work."""
        return [status for status in self.of(distributions) if status.state == "loaded"]

    # -- those that come with the environment --------------------------------------------------------

    def follow(self, seats: Sequence[Seat], limit: float, *, again: bool = True) -> None:
        """
        Load what is new, forget what is gone, and do both for what is judged otherwise than before.

        What comes from another installation of a distribution whose code runs waits for its next
        generation. What timed out is tried *again*.
        """
        self._limit, self._waiting = limit, {}
        known, wanted = _by_distribution(self._seats.values()), _by_distribution(seats)
        for name in {**known, **wanted}:
            then, now = known.get(name, []), wanted.get(name, [])
            if _installations(then) != _installations(now) and self._runs(name, now):
                self._waiting[name] = now
                self._switch_off(then, now)
            else:
                self._settle(then, now, again=again)
        for name, what in list(self._refused.items()):
            if name not in self._waiting and what != wanted.get(name, []):
                self.forget_refusals([name])

    def _runs(self, distribution: str, wanted: Sequence[Seat]) -> bool:
        """Whether code of *distribution* runs, which is there still, with hooks or without."""
        if self._host is None or not self._host.codes.is_loaded(distribution):
            return False
        return bool(wanted) or _discovery.found(distribution, self._host.outlook.path) is not None

    def _switch_off(self, then: Sequence[Seat], now: Sequence[Seat]) -> None:
        """Somebody has decided that they shall not be asked: that waits for nothing."""
        off = {seat.name for seat in now if seat.status.state == "disabled"}
        for seat in then:
            if seat.name in off:
                self.drop(seat.status.record)

    def _settle(self, then: Sequence[Seat], now: Sequence[Seat], *, again: bool) -> None:
        wanted = {seat.status.record: seat for seat in now}
        for seat in then:
            record = seat.status.record
            is_late = again and self._statuses[record].state == "timed_out"
            if is_late or wanted.get(record) != seat:
                self.drop(record)
        for seat in now:
            if seat.status.record not in self._seats:
                self._seats[seat.status.record] = seat
                self.load(seat.status, self._limit)

    def load(self, status: PluginStatus, limit: float) -> None:
        """Import and register one plugin of group ``hotplug.hooks``, if its verdict allows that."""
        record = status.record
        self._statuses[record] = status
        if status.state != "discovered":
            return
        code = self._hold(record)
        try:
            plugin = _made(record, code, limit)
            # Not in the thread that is left behind after the limit: it would register what was given up.
            behind_wall(record, "registration", lambda: register(self.manager, record, plugin))
        except PluginError as error:
            self._report(record, error, f"hooks of {record}", fails=True)
        else:
            if code is not None:
                code.proved()
            self._mark(record, state="loaded")

    def _hold(self, record: PluginRecord) -> Code | None:
        """The code that it is of, which is kept as long as it is."""
        self.are_new = True
        if self._host is None:
            return None
        code = self._codes[record] = self._host.codes.of(record)
        self._host.codes.hold(code, self)
        self._mark(record, generation=code.number)
        return code

    def drop(self, record: PluginRecord) -> None:
        """Forget a plugin whose distribution is gone."""
        self._statuses.pop(record, None)
        self._seats.pop(record, None)
        self._unregister(record)
        code = self._codes.pop(record, None)
        if code is None or code.generation is None:
            drop_modules(record)
        if code is not None and self._host is not None and code not in self._codes.values():
            self._host.codes.leave(code, self, self._host.home.loop)

    # -- their next generation -----------------------------------------------------------------------

    def waiting(self, *, by_itself: bool) -> set[str]:
        """
        The distributions of which another installation is there, that wait for their next generation.

        Who asks *by_itself* is not told again of what was refused as it is.
        """
        waiting = self._waiting.items()
        return {name for name, now in waiting if not by_itself or self._refused.get(name) != list(now)}

    def next_to(
        self, distributions: Collection[str], renewal: Renewal, fits: Callable[[Kind[Any]], None]
    ) -> Mapping[PluginRecord, object]:
        """
        Those that shall take the places of what is loaded of *distributions*, each one made and checked.

        *fits* raises `ConfigError` for a kind that contradicts one that is there. Raises `PluginError`.
        """
        made: dict[PluginRecord, object] = {}
        for status in self.asked(distributions):
            wanted = self._wanted(normal_name(status.record.distribution))
            seat = next((seat for seat in wanted if seat.status.record.name == status.record.name), None)
            if seat is None:
                continue
            refuse_what_may_not_come(seat)
            record = seat.status.record
            made[record] = _made(record, renewal.of(record), self._limit)
            _try_on(record, made[record], fits, self._limit)
        return made

    def _wanted(self, distribution: str) -> Sequence[Seat]:
        known = _by_distribution(self._seats.values()).get(distribution, [])
        return self._waiting.get(distribution, known)

    def take_place(self, distributions: Collection[str], made: Mapping[PluginRecord, object]) -> Changes:
        """The next generation of *distributions* is there: from now on it is asked."""
        before = self.of(distributions)
        for name in distributions:
            wanted, known = self._wanted(name), _by_distribution(self._seats.values()).get(name, [])
            self._waiting.pop(name, None)
            self._refused.pop(name, None)
            for seat in known:
                self.drop(seat.status.record)
            for seat in wanted:
                self._come(seat, made)
        now = {status.name: status.state for status in self.of(distributions)}
        return Changes(
            changed=tuple(name for name, state in now.items() if state == "loaded"),
            removed=tuple(status.name for status in before if status.name not in now),
            failed=tuple(name for name, state in now.items() if state not in ("loaded", "disabled")),
        )

    def _come(self, seat: Seat, made: Mapping[PluginRecord, object]) -> None:
        record = self._seats.setdefault(seat.status.record, seat).status.record
        if record not in made:
            self.load(seat.status, self._limit)
            return
        self._statuses[record] = seat.status
        self._hold(record)
        register(self.manager, record, made[record])
        self._mark(record, state="loaded")

    def refuse(self, distributions: Collection[str], error: PluginError) -> None:
        """Their next generation did not come to be: say so of those that serve."""
        for name in distributions:
            wanted = self._wanted(name)
            versions = {seat.status.record.version for seat in wanted}
            reason = RESTART if isinstance(error, RestartRequired) else f"{min(versions, default='')} refused"
            self._refused[name] = list(wanted)
            for status in self.asked([name]):
                facts = {"reason": reason.strip(), "remedy": error.remedy or MEND}
                self._mark(status.record, **facts, error=traceback_of(error))

    def forget_refusals(self, distributions: Iterable[str]) -> None:
        """What *distributions* are is again what serves."""
        refused = [name for name in distributions if self._refused.pop(name, None) is not None]
        for status in self.asked(refused):
            self._mark(status.record, reason="", remedy="", error="")

    def retry(self, distributions: Collection[str]) -> None:
        """Load again what failed of *distributions*."""
        for status in self.of(distributions):
            if status.state in ("failed", "timed_out"):
                seat = self._seats[status.record]
                self.drop(status.record)
                self._come(seat, {})


def _made(record: PluginRecord, code: Code | None, limit: float) -> object:
    """The object whose methods are the hooks. Runs plugin code."""
    importer = importlib.import_module if code is None else code.import_module
    target = behind_wall(record, "import", lambda: import_target(record, importer), limit)
    if not isinstance(target, type):
        return target
    return behind_wall(record, "registration", target, limit)


def _try_on(record: PluginRecord, plugin: object, fits: Callable[[Kind[Any]], None], limit: float) -> None:
    """Raise `PluginError` where *plugin* would be refused, or the kinds that it contributes."""
    alone = manager()
    register(alone, record, plugin)
    kinds = behind_wall(record, "hook hotplug_kinds", lambda: contributed(alone), limit)
    for kind in kinds:
        try:
            fits(kind)
        except ConfigError as error:
            raise RestartRequired(f"{error}", record) from error


def _by_distribution(seats: Iterable[Seat]) -> dict[str, list[Seat]]:
    found: dict[str, list[Seat]] = {}
    for seat in seats:
        found.setdefault(normal_name(seat.status.record.distribution), []).append(seat)
    return found


def _installations(seats: Iterable[Seat]) -> set[tuple[object, ...]]:
    """What tells the installation that *seats* come from, from the one before and the next."""
    return {(seat.status.record.path, seat.status.record.version, seat.stamp) for seat in seats}
