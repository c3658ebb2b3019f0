"""What every verb is about: a configuration and an environment."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hotplug._config import Config
from hotplug._host._gateways import check_options
from hotplug._host._survey import COMMANDS, Survey, survey
from hotplug._kinds import KINDS, Kind
from hotplug.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from hotplug._records import PluginStatus

__all__ = ["INTERNAL", "Scene", "WrongConfigError", "checked", "groups", "scene_options"]

F = TypeVar("F", bound="Callable[..., Any]")

INTERNAL = {"hooks": "hotplug.hooks", "commands": COMMANDS}
"""What plugins can be besides the kinds: name to group."""


class WrongConfigError(click.ClickException):
    """A configuration that cannot be used; the verb was not run."""

    exit_code = 2


@dataclass
class Scene:
    """The options that all verbs share, and what they lead to."""

    config_file: str | None = None
    path: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()

    def config(self) -> Config:
        """The configuration: ``--config``, ``HOTPLUG_CONFIG``, ``./hotplug.toml``, or the empty one."""
        file = Config.find(self.config_file)
        if file is None:
            return Config()
        try:
            return checked(Config.load(file))
        except ConfigError as error:
            raise WrongConfigError(str(error)) from error

    @property
    def search_path(self) -> list[str] | None:
        """What replaces ``sys.path`` for discovery, if anything does."""
        return list(self.path) or None

    @property
    def import_path(self) -> list[str]:
        """Where plugin code is imported from."""
        return [*self.path, *sys.path]

    @contextlib.contextmanager
    def importing(self) -> Generator[None]:
        """Within it, plugin code can be imported in this process."""
        before = sys.path[:]
        sys.path[:] = self.import_path
        try:
            yield
        finally:
            sys.path[:] = before

    def survey(self, config: Config, kinds: Sequence[Kind[Any]] = KINDS) -> Survey:
        """Everything advertised, with verdicts; imports no plugin."""
        found = survey(config, kinds=kinds, path=self.search_path)
        return replace(found, statuses=tuple(map(self._unless_a_verb, found.statuses)))

    def _unless_a_verb(self, status: PluginStatus) -> PluginStatus:
        """No distribution takes a verb of hotplug's own."""
        is_ours = status.record.kind == "commands" and status.key in self.verbs
        if not is_ours or status.state != "discovered":
            return status
        remedy = f"{status.key!r} is a verb of hotplug itself: the distribution must choose another name"
        return replace(status, state="conflict", reason="conflict", remedy=remedy)


def checked(config: Config) -> Config:
    """*config*, if the options of its brokers make sense; `ConfigError`."""
    check_options(config)
    return config


def groups(kinds: Sequence[Kind[Any]] = KINDS) -> dict[str, str]:
    """Entry-point group to kind, of everything that plugins can be."""
    return {kind.group: kind.name for kind in kinds} | {group: name for name, group in INTERNAL.items()}


def scene_options(command: F) -> F:
    """Add ``--config`` and ``--path``, which may stand before the verb and after it."""
    for option in (
        click.option(
            "--path",
            "path",
            multiple=True,
            metavar="DIR",
            is_eager=True,
            expose_value=False,
            callback=_remember,
            help="Look for plugins in DIR (repeatable) instead of on sys.path.",
        ),
        click.option(
            "--config",
            "config_file",
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_remember,
            help="The configuration; else $HOTPLUG_CONFIG, else ./hotplug.toml if there.",
        ),
    ):
        command = option(command)
    return command


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.find_object(Scene), str(option.name), value)
