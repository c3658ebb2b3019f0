"""The verbs, ours and those of distributions, and how they end."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Final, cast

import click

from hotplug._cli._broker import broker
from hotplug._cli._commands import load
from hotplug._cli._configuration import config
from hotplug._cli._doctor import doctor
from hotplug._cli._listing import list_, show
from hotplug._cli._mro import mro
from hotplug._cli._new import new
from hotplug._cli._scene import Scene, WrongConfigError, scene_options
from hotplug._cli._screen import safe
from hotplug._cli._verdicts import of_status
from hotplug._cli._watch import watch
from hotplug._records import VERSION
from hotplug.errors import HotplugError, PluginError, close_match

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from hotplug._records import PluginStatus

__all__ = ["app", "run"]


INTERRUPTED: Final = 130
"""The exit code that shells give who was ended by Ctrl-C."""


def run() -> None:
    """The process's command line, whatever its streams can encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="hotplug")


class Verbs(click.Group):
    """A group whose verbs are ours first; distributions add theirs, each behind the wall."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """A context with the scene in it."""
        extra.setdefault("obj", Scene(verbs=tuple(self.commands)))
        return super().make_context(info_name, args, parent, **extra)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Our verb, else the one of a distribution, which is imported now."""
        ours = self.commands.get(cmd_name)
        if ours is not None or ctx.resilient_parsing:
            return ours
        statuses = self._from_distributions(ctx)
        found = next((status for status in statuses if status.key == cmd_name), None)
        if found is None:
            known = [*self.commands, *(status.key for status in statuses)]
            raise click.UsageError(f"no verb {cmd_name!r} ({close_match(cmd_name, known)})", ctx)
        return self._loaded(ctx, found)

    def _loaded(self, ctx: click.Context, status: PluginStatus) -> click.Command:
        scene: Scene = ctx.obj
        if status.state != "discovered":
            verdict = of_status(status)
            why = f"{status.record} is {verdict.state}: {verdict.reason}: {verdict.remedy}"
            raise click.ClickException(safe(why))
        ctx.with_resource(scene.importing())
        try:
            command = load(status.record, scene.config().host.load_timeout)
        except PluginError as error:
            raise click.ClickException(safe(str(error), lines=True)) from error
        ctx.meta["hotplug.plugin"] = status.record
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; what plugin code raises ends as an error text that names it."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, SystemExit):
            raise
        except BaseException as error:  # border to plugin code
            record = ctx.meta.get("hotplug.plugin")
            if record is None and not isinstance(error, HotplugError):
                raise
            who = f"{record}: " if record is not None else ""
            why = str(error) if isinstance(error, HotplugError) else f"{type(error).__name__}: {error}"
            raise click.ClickException(safe(f"{who}{why}", lines=True)) from error

    # -- names without imports ---------------------------------------------------------------------

    def _from_distributions(self, ctx: click.Context) -> list[PluginStatus]:
        scene: Scene = ctx.obj
        found = scene.survey(scene.config())
        return [
            status
            for status in found.statuses
            if status.record.kind == "commands" and status.key.partition(".")[0] not in self.commands
        ]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours, in the order of an operator's day, then those of distributions."""
        return [*self.commands, *dict.fromkeys(status.key for status in self._from_distributions(ctx))]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Our verbs with their help, the others with where they come from: nothing is imported for it."""
        width = formatter.width - 6 - max(map(len, self.commands))
        ours = [(name, command.get_short_help_str(width)) for name, command in self.commands.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(ours)
        try:
            statuses = self._from_distributions(ctx)
        except WrongConfigError as error:
            formatter.write_paragraph()
            formatter.write_text(f"Verbs of distributions are not shown: {safe(error.message)}")
            return
        rows = [(safe(status.key), safe(_whence(status))) for status in statuses]
        if rows:
            with formatter.section("Verbs from distributions"):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names only: pressing a key imports nobody."""
        from click.shell_completion import CompletionItem

        try:
            names = self.list_commands(ctx)
        except WrongConfigError:
            names = list(self.commands)
        items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


def _whence(status: PluginStatus) -> str:
    whence = f"from {status.record.distribution} {status.record.version}"
    return whence if status.state == "discovered" else f"{whence} ({of_status(status).reason})"


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, message="hotplug %(version)s")
@scene_options
def app() -> None:
    """The plugin runtime: see what is installed, and find out why something is not."""


for verb in (list_, show, doctor, mro, config, watch, broker, new):
    cast("click.Group", app).add_command(verb)
