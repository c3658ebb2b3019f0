"""``doctor``: every plugin tried where it can do no harm; one reason and one remedy for each that fails."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hotplug import _discovery
from hotplug._cli._children import Outcome, Task, run_all
from hotplug._cli._listing import HEADS, counted, row_of
from hotplug._cli._names import matches, not_as_expected, why_not
from hotplug._cli._scene import INTERNAL, Scene, groups, scene_options
from hotplug._cli._screen import Screen, safe, write_json
from hotplug._cli._verdicts import (
    REMEDIES,
    Verdict,
    cause_of,
    complete,
    of_problem,
    of_status,
    of_stray,
)
from hotplug._host._polling import POLLED, remedy_for, would_be_polled
from hotplug._kinds import KINDS, Kind
from hotplug._records import PluginStatus
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from hotplug._config import Config
    from hotplug._host._survey import Survey

Place = tuple[str | int, ...]
SPARE: Final = 5.0
"""Seconds that a child may take besides importing and constructing, each of which has its limit."""

PATTERN: Final = frozenset("*?[")

__all__ = [
    "Examination",
    "doctor",
    "progress",
    "show_findings",
    "unknown_policies",
    "unknown_tables",
    "verdict_on",
]


@dataclass
class Examination:
    """One visit: which plugins are tried, under which configuration, for how long (seconds each)."""

    scene: Scene
    config: Config
    timeout: float | None = None
    broken_hooks: tuple[str, ...] = ()
    kinds: tuple[Kind[Any], ...] = KINDS
    survey: Survey = field(init=False)
    _verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])

    def __post_init__(self) -> None:
        self.survey = self.scene.survey(self.config, self.kinds)

    def prepare(self) -> None:
        """
        Try the hooks first: they are loaded by every host, and may add kinds.

        One that does not work is kept away from the others' examinations, so that each has its own verdict.
        """
        hooks = [status for status in self.survey.statuses if status.record.kind == "hooks"]
        able = [status for status in hooks if status.state == "discovered"]
        for verdict in self.examine(hooks):
            if verdict.wrong:
                self.broken_hooks += (f"hooks/{verdict.name}",)
        if able:
            self.kinds = (*self.kinds, *self._contributed())
            self.survey = self.scene.survey(self.config, self.kinds)

    def _contributed(self) -> list[Kind[Any]]:
        found: list[tuple[str, str]] = []
        run_all([self._task("kinds", "")], lambda _task, outcome: found.extend(outcome.answer or ()))
        return [Kind(name, "builtins:object", group=group) for name, group in dict(found).items()]

    def examine(
        self, statuses: Iterable[PluginStatus], done: Callable[[str], None] = lambda _name: None
    ) -> list[Verdict]:
        """A verdict on each of *statuses*, in their order; what may load is tried, once."""
        wanted = list(statuses)
        able = {status.name: status for status in wanted if status.state == "discovered"}

        def take(task: Task, outcome: Outcome) -> None:
            self._verdicts[task.name] = verdict_on(able[task.name], outcome)
            done(task.name)

        run_all([self._task("examine", name) for name in able if name not in self._verdicts], take)
        return [
            self._verdicts[status.name] if status.state == "discovered" else of_status(status)
            for status in wanted
        ]

    def unknown(self) -> list[Verdict]:
        """What the configuration says of kinds that do not exist."""
        kinds = [kind.name for kind in self.kinds]
        return unknown_tables(self.config, kinds) + unknown_policies(self.config, kinds)

    def strays(self) -> list[Verdict]:
        """Distributions that seem to be meant for hotplug, and are not seen."""
        return list(map(of_stray, _discovery.strays(groups(self.kinds), self.scene.search_path)))

    def with_polled(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """*verdicts*; those that are well say whether a host would look for changes by the clock."""
        polled = would_be_polled(self.survey.statuses, self.scene.search_path)
        told: list[Verdict] = []
        for verdict in verdicts:
            remedy = remedy_for(verdict.distribution, verdict.path, polled)
            is_well = verdict.state == "loaded" and not verdict.reason
            told.append(replace(verdict, reason=POLLED, remedy=remedy) if remedy and is_well else verdict)
        return told

    def _task(self, task: str, name: str) -> Task:
        limit = self.timeout or self.config.host.load_timeout
        others = [
            f"hooks/{status.record.name}" for status in self.survey.statuses if status.record.kind == "hooks"
        ]
        away = self.broken_hooks
        if name.startswith("hooks/"):
            away = tuple(other for other in others if other != name)
        return Task(
            task,
            name,
            self.config,
            limit,
            patience=2 * limit + SPARE,
            path=self.scene.search_path,
            import_path=self.scene.import_path,
            disable=away,
        )


def verdict_on(status: PluginStatus, outcome: Outcome) -> Verdict:
    """What an outcome means for the plugin that was tried."""
    if outcome.answer is not None:
        try:
            tried = msgspec.convert(outcome.answer, PluginStatus)
        except msgspec.ValidationError:
            outcome = replace(outcome, how="left an answer that makes no sense")
        else:
            return replace(of_status(tried), output=outcome.output)
    error = "\n".join(part for part in (outcome.output.rstrip(), outcome.trace.rstrip()) if part)
    verdict = replace(of_status(status), error=f"{error}\n{status.record}: it {outcome.how}".lstrip())
    if outcome.timed_out:
        return complete(replace(verdict, state="timed_out", reason="timed out"))
    remedy = f"it {outcome.how}: see what in it does that, beginning with its import"
    return replace(verdict, state="failed", reason="failed import", remedy=remedy)


def unknown_tables(config: Config, kinds: Iterable[str]) -> list[Verdict]:
    """The tables whose kind is none of *kinds*; a host refuses the configuration for one of them."""
    known = list(kinds)
    return [
        _unknown(config, kind, key, entry.plugin, (kind, key), known)
        for (kind, key), entry in config.entries.items()
        if kind not in known
    ]


def unknown_policies(config: Config, kinds: Iterable[str]) -> list[Verdict]:
    """The lines of ``[plugins]`` whose kind is none of *kinds*: they speak of no plugin there can be."""
    known = [*kinds, *INTERNAL]
    policy = config.plugins
    places: list[tuple[str, Place]] = [(name, ("disable", at)) for at, name in enumerate(policy.disable)]
    places += [(name, ("conflicts", name)) for name in policy.conflicts]
    parted = [(*name.partition("/"), place) for name, place in places]
    return [
        _unknown(config, kind, key, key, ("plugins", *place), known)
        for kind, _, key, place in parted
        if kind not in known and not set(kind) & PATTERN
    ]


def _unknown(config: Config, kind: str, key: str, plugin: str, place: Place, known: list[str]) -> Verdict:
    line = config.line_of(place)
    error = f"{config.source}:{line}: no such kind: {kind!r}"
    verdict = Verdict(kind, plugin, key, "", "", "failed", "unknown kind", error=error, line=line)
    remedy = f"mend the name of the kind ({close_match(kind, known)})"
    return replace(verdict, remedy=remedy, path=config.source, source="configuration")


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="An array of objects, for programs.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="What each import, and each construction, may take; else [host] load_timeout.",
)
@scene_options
@click.pass_context
def doctor(context: click.Context, name: str | None, as_json: bool, timeout: float | None) -> None:
    """
    Try every plugin, or NAME, and say what would help.

    Without NAME, distributions that advertise where nobody looks are found, too, and shadowed ones.
    Each is imported and made once in a process of its own; nothing is connected or started.
    NAME is kind/key, a key, an entry point's name, or a distribution. Exit code 1: something is wrong.
    """
    scene: Scene = context.obj
    examination = Examination(scene, scene.config(), timeout)
    verdicts = _all(examination) if name is None else _one(name, examination)
    if as_json:
        write_json([verdict.as_dict() for verdict in verdicts])
    else:
        show_findings(verdicts, Screen(), in_full=name is not None)
    if any(verdict.wrong for verdict in verdicts):
        context.exit(1)


def _all(examination: Examination) -> list[Verdict]:
    examination.prepare()
    with progress(examination.survey.statuses) as done:
        verdicts = examination.with_polled(examination.examine(examination.survey.statuses, done))
    verdicts += map(of_problem, examination.survey.problems)
    return verdicts + examination.strays() + examination.unknown()


def _one(name: str, examination: Examination) -> list[Verdict]:
    examination.prepare()
    found = matches(name, examination.survey.statuses)
    if not found:
        return why_not(name, examination.scene)
    return examination.with_polled(examination.examine(found)) + not_as_expected(name, examination.scene)


@contextlib.contextmanager
def progress(statuses: Sequence[PluginStatus]) -> Generator[Callable[[str], None]]:
    """Shows on standard error, if that is a terminal, how far it is; gives what to call for each."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    total = sum(status.state == "discovered" for status in statuses)
    columns = (TextColumn("trying plugins", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda _name: progress.advance(task)


def show_findings(verdicts: Sequence[Verdict], screen: Screen, *, in_full: bool = False) -> None:
    """Every verdict in a row, then what is to be done; *in_full* with all of the errors."""
    if verdicts:
        screen.table(HEADS, [row_of(verdict, screen) for verdict in verdicts])
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    for verdict in verdicts:
        if verdict.wrong or verdict.where or (in_full and verdict.remedy):
            _show_finding(verdict, screen, in_full=in_full)
    for remedy in dict.fromkeys(each.remedy for each in verdicts if each.reason == POLLED and not in_full):
        screen.line()
        screen.line(f"polled: {remedy}")
    screen.line()
    screen.line(f"{len(verdicts)} looked at, {counted(len(wrong), 'problem')}")


def _show_finding(verdict: Verdict, screen: Screen, *, in_full: bool) -> None:
    screen.line()
    screen.line(f"{verdict.title}: {verdict.reason}")
    for place in verdict.where or filter(None, [verdict.path]):
        screen.line(f"where:  {place}", indent=2)
    cause = verdict.error.rstrip() if in_full else cause_of(verdict)
    if cause and cause != verdict.path:
        screen.line("error:  " + safe(cause.splitlines()[0]), indent=2)
        screen.block("\n".join(cause.splitlines()[1:]), indent=10)
    screen.line(f"remedy: {verdict.remedy or REMEDIES.get(verdict.reason, '')}", indent=2)
