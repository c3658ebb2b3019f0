"""What came of following a change, in one record: for the log, and for who shows it to people."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from hotplug._host._condition import MEND
from hotplug._host._policy import normal_name
from hotplug._lifecycle import name_and_text
from hotplug._records import Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hotplug._host._code import Code
    from hotplug._host._renewal import Renewal
    from hotplug._records import PluginRecord, PluginStatus, Problem
    from hotplug.errors import PluginError
    from hotplug.registry import Undo

__all__ = [
    "Attempt",
    "Event",
    "Report",
    "Reports",
    "edits_of",
    "of_failure",
    "of_success",
    "one_line",
    "reports_of",
]

_log = logging.getLogger("hotplug.watch")

Event: TypeAlias = Literal[
    "installed",
    "updated",
    "removed",
    "edited",
    "reloaded",
    "loaded",
    "refused",
    "failed",
    "pending",
    "configured",
    "misconfigured",
    "left",
    "problem",
]
"""
``installed``, ``updated``, ``removed``: of what nothing is imported here · ``edited``: likewise, its code ·
``reloaded``: the next generation serves · ``loaded``: what had failed works · ``refused``: it is not
followed, what runs serves on · ``failed``: it does not work · ``pending``: it waits to be asked for ·
``configured``, ``misconfigured``: the configuration · ``left``: old code goes on · ``problem``: something in
the environment is broken.
"""

NOTHING: Final = Changes()
FINE: Final = frozenset({"discovered", "loaded", "disabled"})
SIGNS: Final = (("+", "added"), ("~", "changed"), ("-", "removed"), ("!", "failed"))
SHOWN: Final = 3  # of the files that changed
PACKAGE: Final = str(Path(__file__).parents[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    What came of one change, for one *distribution*; for none, where the configuration changed.

    *was* is the version that served before, *version* the one that was to follow, *generation* that of
    the code that serves now, *seconds* how long it took, *files* the code that changed. *error* is one line,
    *where* the file and line that it came from, *at* the Unix time. Holds text only: nothing of a plugin's.
    """

    event: Event
    distribution: str = ""
    was: str = ""
    version: str = ""
    generation: int = 0
    seconds: float | None = None
    changes: Changes = NOTHING
    files: tuple[str, ...] = ()
    error: str = ""
    where: str = ""
    remedy: str = ""
    at: float = field(default_factory=time.time)

    def __str__(self) -> str:
        return f"{self.event}: {self.text}"

    @property
    def text(self) -> str:
        """In one line, what the event says of whom."""
        parts = [*self._facts(), *self._trouble()]
        head = self.title
        return f"{head}: {'; '.join(parts)}" if head and parts else head or "; ".join(parts)

    @property
    def title(self) -> str:
        """Whom it is about, from which version to which."""
        versions = self.version or self.was
        if self.was and self.version and self.was != self.version:
            versions = f"{self.was} → {self.version}"
        return f"{self.distribution} {versions}".strip()

    def _facts(self) -> Iterator[str]:
        names = [f"{sign} {name}" for sign, group in SIGNS for name in getattr(self.changes, group)]
        if names:
            yield ", ".join(names)
        if self.generation:
            yield f"generation {self.generation}"
        if self.seconds is not None:
            yield f"{self.seconds * 1000:.0f} ms"
        if self.files:
            yield _in_short(self.files)

    def _trouble(self) -> Iterator[str]:
        if self.error:
            # A syntax error says its place itself.
            is_said = not self.where or self.where in self.error or not self.distribution
            yield self.error if is_said else f"{self.error} ({self.where})"
        if self.event == "refused" and self.was:
            yield f"{self.was} serves on"
        if self.remedy:
            yield self.remedy


class Reports:
    """Logs what is told on ``hotplug.watch``, and hands it on. Thread-safe."""

    def __init__(self) -> None:
        self._guard: Final = threading.Lock()
        self._listeners: tuple[Callable[[Report], None], ...] = ()

    def subscribe(self, listener: Callable[[Report], None]) -> Undo:
        """
        Hand every report to *listener*, on the thread that follows; it must not wait for anything.

        One that raises is logged.
        """
        with self._guard:
            self._listeners += (listener,)

        def undo() -> None:
            with self._guard:
                self._listeners = tuple(known for known in self._listeners if known is not listener)

        return undo

    def tell(self, *reports: Report) -> None:
        """Log them, and tell everybody."""
        for report in reports:
            _log.info("%s", report, extra={"report": report})
            for listener in self._listeners:
                try:
                    listener(report)
                except Exception as error:  # noqa: BLE001 - following must not end because somebody listens
                    _log.error("a listener of reports raised %s", name_and_text(error), exc_info=error)

    def tell_configured(
        self, source: str, changes: Changes, statuses: Iterable[PluginStatus], seconds: float
    ) -> None:
        """Tell that the configuration from *source* is in force, and what of it does not work."""
        names = tuple(dict.fromkeys(changes.failed))
        wrong = next((each for each in statuses if each.name in names and each.state not in FINE), None)
        self.tell(
            Report(
                event="configured",
                seconds=seconds,
                changes=replace(changes, failed=names),
                where=source,
                error="" if wrong is None else f"{wrong.name}: {wrong.reason}",
                remedy="" if wrong is None else wrong.remedy,
            )
        )

    def tell_what_is_left(self, record: PluginRecord, left: Iterable[str]) -> None:
        """Tell what goes on of code that is over."""
        self.tell(
            *(
                Report(event="left", distribution=record.distribution, version=record.version, error=what)
                for what in left
            )
        )

    def tell_of_new(self, problems: Iterable[Problem], known: Iterable[Problem]) -> None:
        """Tell of those *problems* of the environment that were not *known*."""
        before = frozenset(known)
        self.tell(
            *(
                Report(event="problem", distribution=each.distribution, error=one_line(str(each)))
                for each in problems
                if each not in before
            )
        )


# -- what a reload has come to -------------------------------------------------------------------------


class Attempt:
    """A reload from its beginning on: what there was *before* of the distributions concerned."""

    def __init__(self, before: Iterable[PluginStatus]) -> None:
        self.before: Final = tuple(before)
        self._began: Final = time.perf_counter()
        self.renewal: Renewal | None = None

    def succeeded(self, after: Iterable[PluginStatus], changes: Changes) -> Iterator[Report]:
        """One report for each distribution that has a new generation, or of which *changes* tell."""
        seconds, now = time.perf_counter() - self._began, tuple(after)
        for code in () if self.renewal is None else self.renewal.codes:
            then = _of(code.name, self.before)
            mine = _mine(changes, then, _of(code.name, now))
            if mine or code.name in self._files:
                yield self._success(code, then, mine, seconds)

    def _success(self, code: Code, then: Mapping[str, PluginStatus], mine: Changes, seconds: float) -> Report:
        is_reloaded = code.name in self._files
        return Report(
            event="reloaded" if is_reloaded else "updated",
            distribution=code.record.distribution,
            was=_version(then),
            version=code.record.version,
            generation=code.number if is_reloaded else 0,
            seconds=seconds,
            changes=mine,
            files=self._files.get(code.name, ()),
        )

    def failed(
        self, error: PluginError, distributions: Iterable[str], versions: Mapping[str, str]
    ) -> Iterator[Report]:
        """One report for each of *distributions*, of which the environment has *versions*."""
        seconds = time.perf_counter() - self._began
        for distribution in distributions:
            name = normal_name(distribution)
            then = _of(name, self.before)
            is_to_blame = not error.distribution or normal_name(error.distribution) == name
            yield Report(
                event="refused",
                distribution=distribution,
                was=_version(then),
                version=versions.get(name, ""),
                seconds=seconds,
                changes=Changes(failed=tuple(then)),
                files=self._files.get(name, ()),
                error=one_line(error.why if is_to_blame else f"{error.record}: {error.why}"),
                where=place_of(error),
                remedy=error.remedy or MEND,
            )

    def pending(self, remedy: str) -> Iterator[Report]:
        """Nothing was reloaded: one that is live is among them."""
        for distribution in dict.fromkeys(status.record.distribution for status in self.before):
            then = _of(normal_name(distribution), self.before)
            yield Report(event="pending", distribution=distribution, was=_version(then), remedy=remedy)

    @property
    def _files(self) -> Mapping[str, tuple[str, ...]]:
        return {} if self.renewal is None else self.renewal.files


def of_failure(status: PluginStatus, error: PluginError) -> Report:
    """That one plugin does not work, because of *error*."""
    return Report(
        event="failed",
        distribution=status.record.distribution,
        version=status.record.version,
        changes=Changes(failed=(status.name,)),
        error=one_line(error.why),
        where=place_of(error),
        remedy=error.remedy or MEND,
    )


def edits_of(edits: Mapping[str, tuple[str, ...]], statuses: Iterable[PluginStatus]) -> Iterator[Report]:
    """That files of distributions were edited which nobody imported."""
    known = {normal_name(status.record.distribution): status.record for status in statuses}
    for name, files in edits.items():
        if not files:
            continue
        record = known.get(name)
        if record is None:  # a helper's, which plugins of others need
            yield Report(event="edited", distribution=name, files=files)
        else:
            yield Report(
                event="edited", distribution=record.distribution, version=record.version, files=files
            )


def of_success(status: PluginStatus) -> Report:
    """That one plugin works, which had failed."""
    return Report(
        event="loaded",
        distribution=status.record.distribution,
        version=status.record.version,
        generation=status.generation,
        seconds=status.load_seconds,
        changes=Changes(changed=(status.name,)),
    )


# -- what a look at the environment has come to ------------------------------------------------------


def reports_of(
    before: Sequence[PluginStatus], after: Sequence[PluginStatus], changes: Changes
) -> Iterator[Report]:
    """One report for each distribution of which *changes*, or what has become of statuses, tell."""
    for distribution in dict.fromkeys(status.record.distribution for status in (*before, *after)):
        name = normal_name(distribution)
        report = _report(distribution, _of(name, before), _of(name, after), changes)
        if report is not None:
            yield report


def _report(
    distribution: str, then: Mapping[str, PluginStatus], now: Mapping[str, PluginStatus], changes: Changes
) -> Report | None:
    wrong = [status for status in now.values() if _is_news(status, then.get(status.name))]
    mine = replace(_mine(changes, then, now), failed=tuple(status.name for status in wrong))
    if not mine:
        return None
    followed = bool(mine.added or mine.changed or mine.removed)
    event: Event = "refused" if not followed else "removed" if not now else "updated" if then else "installed"
    return Report(
        event=event,
        distribution=distribution,
        was=_version(then),
        version=_version(now),
        changes=mine,
        error=wrong[0].reason if wrong else "",
        remedy=wrong[0].remedy if wrong else "",
    )


def _is_news(status: PluginStatus, then: PluginStatus | None) -> bool:
    """Whether it cannot be used, or not followed, and that was not so before."""
    if status.state in FINE and status.reason != "restart required":
        return False
    return then is None or (then.state, then.reason, then.remedy) != (
        status.state,
        status.reason,
        status.remedy,
    )


def _of(name: str, statuses: Iterable[PluginStatus]) -> dict[str, PluginStatus]:
    """Those of the distribution that is called *name*, by ``kind/key``."""
    return {status.name: status for status in statuses if normal_name(status.record.distribution) == name}


def _mine(changes: Changes, then: Mapping[str, PluginStatus], now: Mapping[str, PluginStatus]) -> Changes:
    return Changes(
        added=tuple(name for name in changes.added if name in now),
        changed=tuple(name for name in changes.changed if name in now),
        removed=tuple(name for name in changes.removed if name in then),
    )


def _version(statuses: Mapping[str, PluginStatus]) -> str:
    return next((status.record.version for status in statuses.values()), "")


# -- words -------------------------------------------------------------------------------------------


def place_of(error: BaseException) -> str:
    """``file:line`` of the code that raised what led to *error*; empty where that was hotplug itself."""
    origin, seen = error, {id(error)}
    while (cause := origin.__cause__) is not None and id(cause) not in seen:
        origin = cause
        seen.add(id(cause))
    if isinstance(origin, SyntaxError) and origin.filename:
        return f"{origin.filename}:{origin.lineno}"
    place, step = "", origin.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith((PACKAGE, "<")):
            place = f"{file}:{step.tb_lineno}"
        step = step.tb_next
    return place


def one_line(text: str) -> str:
    """The first line of *text*."""
    return next(iter(text.strip().splitlines()), "")


def _in_short(files: Sequence[str]) -> str:
    shown = ["/".join(PurePath(file).parts[-2:]) for file in files[:SHOWN]]
    more = len(files) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
