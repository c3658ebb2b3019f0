"""``config check`` and ``config plan``: what a configuration means, before a host takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hotplug import _discovery
from hotplug._cli._doctor import Examination, show_findings, unknown_tables
from hotplug._cli._listing import counted
from hotplug._cli._scene import Scene, WrongConfigError, checked, groups, scene_options
from hotplug._cli._screen import Screen, write_json
from hotplug._cli._verdicts import Verdict
from hotplug._config import Config
from hotplug._host._policy import allot
from hotplug._host._policy import plan as plan_of
from hotplug._kinds import KINDS
from hotplug._records import VERSION, Changes
from hotplug.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hotplug._host._policy import Seat

__all__ = ["config"]


@click.group()
@scene_options
def config() -> None:
    """Check a configuration, or see what it would change."""


# -- check -----------------------------------------------------------------------------------------


@config.command()
@click.argument("file", required=False)
@click.option("--json", "as_json", is_flag=True, help="An array of objects, for programs.")
@scene_options
@click.pass_context
def check(context: click.Context, file: str | None, as_json: bool) -> None:
    """
    Check the configuration (or FILE): its syntax, its kinds, its plugins and their settings.

    The plugins that it names are imported and made once, each in a process of its own.
    """
    scene: Scene = context.obj
    place = Config.find(file or scene.config_file)
    if place is None:
        raise click.UsageError("there is no configuration to check: name a FILE, or use --config", context)
    if not place.is_file():
        raise WrongConfigError(f"{place}: there is no such file")
    verdicts = _checked(place, scene)
    if as_json:
        write_json([verdict.as_dict() for verdict in verdicts])
    else:
        _show_check(verdicts, place, Screen())
    if any(verdict.wrong for verdict in verdicts):
        context.exit(1)


def _checked(place: Path, scene: Scene) -> list[Verdict]:
    try:
        read = checked(Config.load(place))
    except ConfigError as error:
        return [_rejected(place, error)]
    examination = Examination(scene, read)
    examination.prepare()
    named = [status for status in examination.survey.statuses if status.source == "configuration"]
    return examination.examine(named) + examination.unknown()


def _rejected(place: Path, error: ConfigError) -> Verdict:
    return Verdict(
        "configuration",
        place.name,
        "",
        "",
        "",
        "broken",
        "wrong configuration",
        "mend what the error names; a wrong file is rejected whole",
        str(error),
        str(place),
        line=error.line,
        source="configuration",
    )


def _show_check(verdicts: list[Verdict], place: Path, screen: Screen) -> None:
    if any(verdict.wrong for verdict in verdicts):
        show_findings(verdicts, screen)
        return
    screen.line(f"{place} is right: {counted(len(verdicts), 'plugin')} named, all work")


# -- plan ------------------------------------------------------------------------------------------


@config.command()
@click.argument("file", required=False)
@click.option("--json", "as_json", is_flag=True, help="One object, for programs.")
@scene_options
@click.pass_context
def plan(context: click.Context, file: str | None, as_json: bool) -> None:
    """
    Show what changes if FILE takes the place of the current configuration. Imports no plugin.

    Without FILE: what the current configuration changes in a host that has none.
    Exit code 1: something that is named cannot be loaded, so a host would refuse the configuration whole.
    """
    scene: Scene = context.obj
    current, wanted = _compared(file, scene, context)
    changes, refusals = _planned(scene, current, wanted)
    facts = {name: list(getattr(changes, name)) for name in Changes.__slots__}
    if as_json:
        write_json({**facts, "refusals": refusals})
    else:
        _show_plan(changes, refusals, Screen())
    if refusals:
        context.exit(1)


def _compared(file: str | None, scene: Scene, context: click.Context) -> tuple[Config, Config]:
    """The configuration that is, and the one that may be."""
    if file is None:
        if Config.find(scene.config_file) is None:
            raise click.UsageError("there is no configuration to plan: name a FILE, or use --config", context)
        return Config(), scene.config()
    try:
        return scene.config(), checked(Config.load(file))
    except ConfigError as error:
        raise WrongConfigError(str(error)) from error


def _planned(scene: Scene, current: Config, wanted: Config) -> tuple[Changes, dict[str, str]]:
    """The changes, and why what *wanted* names cannot be loaded, by name."""
    before, after = _seats(scene, current), _seats(scene, wanted)
    refusals = {
        seat.name: f"{seat.status.reason}: {seat.status.remedy}"
        for seat in after
        if seat.entry is not None and not seat.may_load
    }
    if not any(status.record.kind == "hooks" for status in scene.survey(wanted).statuses):
        # Hooks may add kinds; which, only running them would tell.
        for verdict in unknown_tables(wanted, [kind.name for kind in KINDS]):
            refusals[verdict.title] = f"{verdict.reason}: {verdict.remedy}"
    changes = replace(plan_of(before, after), failed=tuple(refusals))
    return changes, refusals


def _seats(scene: Scene, config: Config) -> tuple[Seat, ...]:
    found = _discovery.discover(groups(), scene.search_path)
    return allot(KINDS, found.records, config, version=VERSION)


def _show_plan(changes: Changes, refusals: Mapping[str, str], screen: Screen) -> None:
    signs = {"added": "+", "changed": "~", "removed": "-"}
    for word, sign in signs.items():
        for name in getattr(changes, word):
            screen.line(f"{sign} {word:8} {name}")
    for name, why in refusals.items():
        screen.line(f"! refused  {name}: {why}")
    if not changes:
        screen.line("nothing changes")
