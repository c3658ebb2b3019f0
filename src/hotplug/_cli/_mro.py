"""``mro``: who inherits from whom, and who has the last word."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from hotplug._cli._scene import Scene, scene_options
from hotplug._cli._screen import Screen, safe, write_json
from hotplug._report import mro_report
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["mro"]


@click.command()
@click.argument("classes", nargs=-1, metavar="[MODULE:NAME]...")
@click.option("--json", "as_json", is_flag=True, help="One object, for programs.")
@scene_options
@click.pass_context
def mro(context: click.Context, classes: Sequence[str], as_json: bool) -> None:
    """
    Show the method resolution order of classes; without any, of the registries.

    The modules of the classes that are named are imported, in this process.
    """
    scene: Scene = context.obj
    context.with_resource(scene.importing())
    report = mro_report(*(_class_named(name, context) for name in classes))
    if as_json:
        write_json(report.as_dict())
    else:
        Screen().block(str(report))


def _class_named(text: str, context: click.Context) -> type:
    module, _, path = text.partition(":")
    if not module or not path:
        raise click.UsageError(f"a class is spelled module:Name, not {text!r}", context)
    found = _module_named(module)
    for name in path.split("."):
        found = _member(found, name)
    if not isinstance(found, type):
        raise click.UsageError(f"{text} is no class, but {type(found).__name__}", context)
    return found


def _module_named(name: str) -> object:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # border to the code that was named
        why = f"{name}: import raised {type(error).__name__}: {error}"
        raise click.ClickException(safe(why, lines=True)) from error


def _member(owner: object, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError:
        where = getattr(owner, "__name__", type(owner).__name__)
        known = [each for each in vars(owner) if not each.startswith("_")]
        raise click.UsageError(f"{where} has no {name!r} ({close_match(name, known)})") from None
