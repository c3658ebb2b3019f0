"""Watches for a host: which roots, what a hint means, and what could not be followed."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug._config import Config
from hotplug._host._doubt import Doubt
from hotplug._host._edits import Edits
from hotplug._host._polling import CODE, SITE, code_roots, polled_of, site_roots
from hotplug._host._reports import Report, one_line
from hotplug._records import Problem
from hotplug.errors import ConfigError, HostError, HotplugError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hotplug._host._host import Host
    from hotplug._host._watching import Watching
    from hotplug._watcher import Root, WatchReport
    from hotplug.registry import Undo

__all__ = ["CODE", "CONFIG", "Hint", "Lookout", "SITE"]

_log = logging.getLogger("hotplug.watch")

CONFIG: Final = "configuration"


Hint: TypeAlias = tuple[str, str]
"""What may have changed: the sort, and which folder, distribution or file."""


class Lookout:
    """The watching of one host, as long as somebody asked for it. Thread-safe."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self._guard: Final = threading.Lock()
        self._users = 0
        self._is_over = False
        self._watching: Watching | None = None
        self._last: Watching | None = None
        self._watched: tuple[Root, ...] = ()
        self.edits: Final = Edits()
        self.doubt: Final = Doubt()
        """Whether the configuration file is to be looked at again, unasked."""
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the configuration file as it is now."""
        self.waiting: Config | None = None
        """The configuration in the file, where nothing is wrong with it but that it concerns what is live."""

    def begin(self) -> Undo:
        """Watch, until every undo was called, or `end`."""
        from hotplug._host._watching import Watching

        with self._guard:
            if self._is_over:
                raise HostError("watch(): the host is closed")
            self._users += 1
            if self._watching is None:
                self._watching = self._last = Watching(self._host.follow_hints, self._roots)
                self._watching.begin()
        undone = threading.Lock()

        def undo() -> None:
            if undone.acquire(blocking=False):
                self._leave()

        return undo

    def _leave(self) -> None:
        with self._guard:
            self._users -= 1
            watching = self._watching if self._users <= 0 else None
            if watching is not None:
                self._watching = None
        if watching is not None:
            watching.end()

    def end(self) -> str | None:
        """Stop; the name of the thread if it has not ended yet. Who asks again waits for it again."""
        with self._guard:
            self._watching, self._is_over = None, True
        return None if self._last is None else self._last.end()

    def rearm(self) -> None:
        """What there is to be watched may be something else by now."""
        if (watching := self._watching) is not None:
            watching.rearm()

    def is_outdated(self, distributions: Iterable[str]) -> bool:
        """Whether what is just followed, of *distributions*, is another by now, or not wanted any more."""
        watching = self._last
        hints = ((CODE, name) for name in distributions)
        return watching is not None and watching.is_here and watching.has_news(hints)

    # -- what to watch -----------------------------------------------------------------------------

    def _roots(self) -> tuple[Root, ...]:
        from hotplug._watcher import Root, Sort

        source = self._host.config.source
        configuration = Root(os.path.abspath(source), Sort.FILE, (CONFIG, source))  # noqa: PTH100 - see there
        records = self._host.codes.relations.records
        self.edits.know(records)
        self._watched = (
            *site_roots(self._host.outlook.path),
            *([configuration] if source else ()),
            *code_roots(records),
        )
        return self._watched

    # -- how it goes -------------------------------------------------------------------------------

    def settle(self) -> WatchReport:
        """Look at everything once; how watching goes. Raises `HostError` where nobody watches."""
        watching = self._watching
        if watching is None:
            raise HostError("nobody watches: call host.watch() first")
        watching.look_now()
        return watching.report()

    def polled(self) -> Mapping[str, str]:
        """What is to be said of those whose code is looked at by the clock; see `polled_of`."""
        watching = self._watching
        return {} if watching is None else polled_of(self._watched, watching.report().polled)

    # -- what a hint means -------------------------------------------------------------------------

    def look_at_configuration(self) -> Config | None:
        """The configuration as its file is now; None where that is as it was, waits, in doubt, or wrong."""
        source = self._host.config.source
        if not source:
            return None
        try:
            config = Config.load(source)
        except (ConfigError, OSError) as error:
            self._cannot_be_read(error)
            return None
        if self._is_cut_off(config) and self.doubt.lasts():
            return None
        self.doubt.is_over()
        if config == self.waiting:
            return None
        self.problems, self.waiting = (), None
        return None if config == self._host.config else config

    def _is_cut_off(self, config: Config) -> bool:
        """Whether its text is only the beginning of what is in force: nothing at all is, too."""
        return config != self._host.config and self._host.config.text.startswith(config.text)

    def _cannot_be_read(self, error: ConfigError | OSError) -> None:
        if isinstance(error.__cause__, FileNotFoundError):
            if self._host.config == Config():  # there never was one, and there is nothing that would go
                self.problems = ()
                return
            if self.doubt.lasts():
                return
        self.doubt.is_over()
        self.waiting = None
        self.refuse(error)

    def wait_no_more(self) -> None:
        """Another configuration is in force: see what that makes of the file."""
        self.waiting = None
        if self.problems:
            self.look_at_configuration()
            self.doubt.is_over()

    def hold(self, wanted: Config, error: HotplugError) -> None:
        """*wanted* is not followed unasked: nothing changed, and this is why."""
        self.refuse(error)
        self.waiting = wanted

    def refuse(self, error: HotplugError | OSError, line: int | None = None) -> None:
        """The configuration file cannot be followed: nothing changed, and this is why, and where."""
        source = str(self._host.config.source)
        line = error.line if isinstance(error, ConfigError) else line
        self.problems = (Problem(source, line, _without_place(error)),)
        _log.error("the configuration stays as it was: %s", error, extra={"told": True})
        where = source if line is None else f"{source}:{line}"
        text = one_line(str(error))
        said = text if where in text else f"{where}: {text}"
        self._host.reports.tell(Report(event="misconfigured", error=said, where=where))


def _without_place(error: HotplugError | OSError) -> str:
    """The text of *error*, without the file and line that are said beside it."""
    if not isinstance(error, ConfigError):
        return str(error)
    return f"[{error.where}] {error.why}" if error.where else error.why
