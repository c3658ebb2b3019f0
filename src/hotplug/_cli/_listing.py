"""``list`` and ``show``: what is there. No plugin code is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hotplug._cli._names import matches, why_not
from hotplug._cli._scene import INTERNAL, Scene, scene_options
from hotplug._cli._screen import Screen, write_json
from hotplug._cli._verdicts import ENVIRONMENT, Verdict, of_problem, of_status
from hotplug._config import masked
from hotplug._kinds import KINDS
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplug._config import Config
    from hotplug._records import PluginStatus

__all__ = ["HEADS", "counted", "list_", "row_of", "show"]

HEADS = ("STATE", "PLUGIN", "DISTRIBUTION", "REASON")

NOTHING_THERE = """\
No plugins are installed here.

Install one, and it is there:   pip install hotplug-broker-paper
Or write one: a class, and three lines in the pyproject.toml of its distribution:

    [project.entry-points."hotplug.brokers"]
    acme = "acme_broker:AcmeBroker"
"""


def _a_kind(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    known = [*(kind.name for kind in KINDS), *INTERNAL]
    if value is not None and value not in known:
        raise click.BadParameter(f"no such kind: {value!r} ({close_match(value, known)})")
    return value


@click.command("list")
@click.option("--kind", metavar="KIND", callback=_a_kind, help="Only plugins of this kind.")
@click.option("--json", "as_json", is_flag=True, help="An array of objects, for programs.")
@scene_options
@click.pass_obj
def list_(scene: Scene, kind: str | None, as_json: bool) -> None:
    """List the plugins, and what is known of them without importing any."""
    found = scene.survey(scene.config())
    verdicts = [of_status(status) for status in found.statuses if kind in (None, status.record.kind)]
    verdicts += [of_problem(problem) for problem in found.problems if kind is None]
    if as_json:
        write_json([verdict.as_dict() for verdict in verdicts])
        return
    _show_list(verdicts, Screen(), kind)


def _show_list(verdicts: Sequence[Verdict], screen: Screen, kind: str | None) -> None:
    plugins = [verdict for verdict in verdicts if verdict.kind != ENVIRONMENT]
    problems = [verdict for verdict in verdicts if verdict.kind == ENVIRONMENT]
    if plugins:
        screen.table(HEADS, [row_of(verdict, screen) for verdict in plugins])
    elif kind is None:
        screen.block(NOTHING_THERE)
    for problem in problems:
        screen.line(f"broken: {problem.error}")
    screen.line()
    screen.line(_summary(plugins, sum(verdict.wrong for verdict in verdicts)))


def row_of(verdict: Verdict, screen: Screen) -> tuple[Any, ...]:
    """The cells under `HEADS`."""
    origin = verdict.origin + (" (editable)" if verdict.editable else "")
    return screen.state(verdict.state), verdict.title, origin, verdict.reason


def _summary(plugins: Sequence[Verdict], wrong: int) -> str:
    counts = counted(len(plugins), "plugin")
    return f"{counts}, {counted(wrong, 'problem')}: run hotplug doctor" if wrong else counts


def counted(number: int, word: str) -> str:
    """``1 plugin``, ``2 plugins``."""
    return f"{number} {word}" + ("" if number == 1 else "s")


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One object, for programs.")
@scene_options
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """
    Show all that is known of the plugin NAME without importing it.

    NAME is kind/key, or a key, an entry point's name or a distribution where that is unambiguous.
    """
    scene: Scene = context.obj
    config = scene.config()
    statuses = scene.survey(config).statuses
    found = matches(name, statuses)
    if len({status.name for status in found}) > 1:
        names = ", ".join(sorted({repr(status.name) for status in found}))
        raise click.UsageError(f"{name!r} may be any of {names}: say which", context)
    verdicts = [of_status(status) for status in found] or why_not(name, scene)
    answer = verdicts[0].as_dict()
    answer["rivals" if found else "also"] = [other.as_dict() for other in verdicts[1:]]
    if found:
        answer |= _configured(found[0], config)
    if as_json:
        write_json(answer)
    else:
        _show_facts(answer, Screen())
    if not found:
        context.exit(1)


def _configured(status: PluginStatus, config: Config) -> dict[str, Any]:
    """What the configuration says of a plugin, secrets masked."""
    record = status.record
    facts: dict[str, Any] = {"group": record.group}
    entry = config.entries.get((record.kind, status.key))
    if entry is None:
        return facts
    return facts | {
        "connect": entry.connect,
        "required": entry.required,
        "tags": list(entry.tags),
        "settings": masked(entry.settings),
        "options": masked(entry.options),
        "configured_in": config.source,
        "configured_at": config.line_of((record.kind, status.key)),
    }


def _show_facts(facts: dict[str, Any], screen: Screen) -> None:
    screen.line(f"{facts['kind']}/{facts['key']}" if facts["kind"] else facts["key"])
    screen.line(screen.state(facts["state"]), indent=2)
    for name, value in facts.items():
        if name not in ("kind", "key", "state", "wrong") and value:
            _show_fact(name.replace("_", " "), value, screen)


def _show_fact(name: str, value: Any, screen: Screen) -> None:
    if name in ("rivals", "also"):
        for other in value:
            screen.line(f"also: {other['distribution']} {other['version']}: {other['reason']}", indent=2)
    elif name in ("settings", "options"):
        screen.line(f"{name}:", indent=2)
        for key, item in value.items():
            screen.line(f"{key} = {item}", indent=4)
    else:
        screen.line(f"{name}: {value}", indent=2)
