"""
``watch``: what stands, then what is followed, a line each as it happens.

    a host that watches ──reports──▶ queue ──this thread──▶ Face: lines for people, objects for programs
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, TypeAlias

import click
from rich.text import Text

from hotplug._cli._listing import HEADS, counted, row_of
from hotplug._cli._scene import Scene, scene_options
from hotplug._cli._screen import Screen, safe
from hotplug._cli._verdicts import Verdict, cause_of, of_problem, of_status
from hotplug._config import FILE_NAME
from hotplug._host._host import Host
from hotplug._host._reports import Report, one_line
from hotplug._records import Changes
from hotplug.errors import HotplugError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator
    from types import FrameType

    from hotplug._config import Config
    from hotplug._watcher import WatchReport

__all__ = ["watch"]

SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)
TURN: Final = 1.0
"""Seconds until signals are looked for where waiting cannot be interrupted."""
STYLES: Final[dict[str, str]] = {  # events, and states of what was tried
    **dict.fromkeys(("installed", "updated", "reloaded", "loaded", "configured"), "green"),
    **dict.fromkeys(("refused", "failed", "misconfigured", "problem"), "red"),
    **dict.fromkeys(("pending", "left", "warning", "error", "critical"), "yellow"),
}
ARROW: Final = "→"

News: TypeAlias = "Report | logging.LogRecord"


class _Ended(KeyboardInterrupt):
    """Somebody wants this to end; plugin code that runs meanwhile is left as by Ctrl-C."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One object a line, for programs.")
@click.option("--load", is_flag=True, help="Load whatever may be loaded, as if it had been asked for.")
@scene_options
@click.pass_obj
def watch(scene: Scene, as_json: bool, load: bool) -> None:
    """
    Follow edits, installations and the configuration as an application with host.watch() does.

    Shows what stands, then each change: what was reloaded, how long it took, what failed and why.
    What the configuration starts is started; nothing else is imported without --load. Ctrl-C ends it.
    """
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    face: Face = _Program(sys.stdout) if as_json else _People(Screen())
    # What plugins print must not come between the lines of the program that reads ours.
    with scene.importing(), contextlib.redirect_stdout(sys.stderr), _until_signalled(), _warnings_to(news):
        host = Host(_or_what_comes(scene.config()), path=scene.search_path)
        host.reports.subscribe(news.put)
        shown = _Watch(host, face, news, load=load)
        try:
            host.start()
            host.watch()
            shown.run()
        finally:
            host.close()
            shown.finish()


def _or_what_comes(config: Config) -> Config:
    """*config*, and where there is no file yet the one that would have been found."""
    return config if config.source else replace(config, source=FILE_NAME)


class _Watch:
    """One running host, shown on a *face*."""

    def __init__(self, host: Host, face: Face, news: queue.SimpleQueue[News], *, load: bool) -> None:
        self._host = host
        self._face = face
        self._news = news
        self._load = load

    def run(self) -> None:
        """Show what stands, then what happens, until a signal comes."""
        self._load_what_may()
        standing = [*map(of_status, self._host.plugins), *map(of_problem, self._host.problems)]
        self._face.stands(standing)
        self._face.watches(self._host.lookout.settle())
        while True:
            with contextlib.suppress(queue.Empty):
                self._show(self._news.get(timeout=TURN))
                self._face.tried(self._load_what_may())

    def finish(self) -> None:
        """Show what was not shown yet."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._show(self._news.get_nowait())

    def _show(self, news: News) -> None:
        if isinstance(news, Report):
            self._face.report(news)
        else:
            self._face.warning(news)

    def _load_what_may(self) -> list[Verdict]:
        """With ``--load``, load what was not tried yet; how each of it stands now."""
        tried = [each for each in self._host.follower.standing if self._load and each.may_be_tried]
        for plugin in tried:
            with contextlib.suppress(HotplugError):  # its status says why
                plugin.obtain()
        return [of_status(plugin.status) for plugin in tried]


# -- faces ---------------------------------------------------------------------------------------------


class Face(Protocol):
    """Who is told."""

    def stands(self, verdicts: Collection[Verdict]) -> None:
        """How these plugins, or places in the environment, stand now."""

    def tried(self, verdicts: Collection[Verdict]) -> None:
        """These were tried just now."""

    def watches(self, report: WatchReport) -> None:
        """From now on it is watched like this."""

    def report(self, report: Report) -> None:
        """A change was followed, or not."""

    def warning(self, record: logging.LogRecord) -> None:
        """The host warns of something else."""


class _People:
    """Lines with the clock's time."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def stands(self, verdicts: Collection[Verdict]) -> None:
        if verdicts:
            self._screen.table(HEADS, [row_of(verdict, self._screen) for verdict in verdicts])
        self.tried([verdict for verdict in verdicts if verdict.wrong])

    def tried(self, verdicts: Collection[Verdict]) -> None:
        for verdict in verdicts:
            why = (one_line(cause_of(verdict)), verdict.remedy) if verdict.wrong else ()
            text = "; ".join(filter(None, (f"{verdict.title} from {verdict.origin}", *why)))
            self._line(time.time(), verdict.state, text)

    def watches(self, report: WatchReport) -> None:
        for path, why in report.polled.items():
            self._line(time.time(), "polled", f"{path} is looked at by the clock: {why}")
        self._line(time.time(), "watching", f"{counted(report.roots, 'place')}; Ctrl-C ends it")

    def report(self, report: Report) -> None:
        self._line(report.at, report.event, report.text)

    def warning(self, record: logging.LogRecord) -> None:
        self._line(record.created, record.levelname.lower(), f"{record.name}: {record.getMessage()}")

    def _line(self, at: float, event: str, text: str) -> None:
        if not self._screen.shows(ARROW):
            text = text.replace(ARROW, "->")
        clock = datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
        self._screen.line(
            Text.assemble(clock, "  ", (f"{event:13}", STYLES.get(event, "")), "  ", safe(text))
        )


class _Program:
    """An object a line: ``event`` and ``time`` (ISO 8601, UTC), and what there is besides."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def stands(self, verdicts: Collection[Verdict]) -> None:
        for verdict in verdicts:
            self._write("plugin", time.time(), verdict.as_dict())

    def tried(self, verdicts: Collection[Verdict]) -> None:
        self.stands(verdicts)

    def watches(self, report: WatchReport) -> None:
        facts = {"mode": report.mode, "places": report.roots, "polled": dict(report.polled)}
        self._write("watching", time.time(), facts)

    def report(self, report: Report) -> None:
        self._write(report.event, report.at, _facts(report))

    def warning(self, record: logging.LogRecord) -> None:
        facts = {"level": record.levelname, "logger": record.name, "error": record.getMessage()}
        self._write("warning", record.created, facts)

    def _write(self, event: str, at: float, facts: dict[str, Any]) -> None:
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        click.echo(json.dumps({"event": event, "time": when, **facts}, default=str), file=self._stream)


def _facts(report: Report) -> dict[str, Any]:
    names = {
        group: list(getattr(report.changes, group)) for group in Changes.__slots__ if group != "unchanged"
    }
    return {
        "distribution": report.distribution,
        "was": report.was,
        "version": report.version,
        "generation": report.generation,
        "seconds": report.seconds,
        **names,
        "files": list(report.files),
        "error": report.error,
        "where": report.where,
        "remedy": report.remedy,
    }


# -- surroundings --------------------------------------------------------------------------------------


class _Into(logging.Handler):
    """Puts what the host warns of into a queue, but for what a report tells as well."""

    def __init__(self, news: queue.SimpleQueue[News]) -> None:
        super().__init__(logging.WARNING)
        self._news = news

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "told"):
            self._news.put(record)


@contextlib.contextmanager
def _warnings_to(news: queue.SimpleQueue[News]) -> Generator[None]:
    """Within it, what hotplug warns of goes there, and not to standard error as well."""
    logger, handler = logging.getLogger("hotplug"), _Into(news)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _until_signalled() -> Generator[None]:
    """What is inside ends at the first signal that asks for it; the next one does as it would have."""
    before = {each: signal.getsignal(each) or signal.SIG_DFL for each in SIGNALS}

    def as_before() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def end(_number: int, _frame: FrameType | None) -> None:
        as_before()
        raise _Ended

    for each in SIGNALS:
        signal.signal(each, end)
    try:
        yield
    except _Ended:
        pass
    finally:
        as_before()
