"""``broker``: the group of its verbs; nothing of them is imported before one is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import click

from hotplug._cli._commands import load
from hotplug._cli._scene import Scene, scene_options
from hotplug._cli._screen import safe
from hotplug._cli._verdicts import of_status
from hotplug.errors import PluginError, close_match

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from hotplug._records import PluginStatus

__all__ = ["broker"]

PREFIX: Final = "broker."


class BrokerVerbs(click.Group):
    """A group with verbs of its own, and those that distributions advertise as ``broker.NAME``."""

    def _own(self) -> dict[str, click.Command]:
        """The verbs of hotplug itself."""
        from hotplug._cli._brake import halt, resume
        from hotplug._cli._brokers import health, list_, orders

        return {"list": list_, "orders": orders, "health": health, "halt": halt, "resume": resume}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Our verb, else the one of a distribution, which is imported now."""
        ours = self._own().get(cmd_name)
        if ours is not None or ctx.resilient_parsing:
            return ours
        statuses = self._advertised(ctx)
        found = next((status for status in statuses if status.key == PREFIX + cmd_name), None)
        if found is None:
            known = [*self._own(), *(status.key.removeprefix(PREFIX) for status in statuses)]
            raise click.UsageError(f"no verb {cmd_name!r} ({close_match(cmd_name, known)})", ctx)
        return self._loaded(ctx, found)

    def _loaded(self, ctx: click.Context, status: PluginStatus) -> click.Command:
        scene = cast("Scene", ctx.find_object(Scene))
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

    def _advertised(self, ctx: click.Context) -> list[PluginStatus]:
        scene = cast("Scene", ctx.find_object(Scene))
        found = scene.survey(scene.config()).statuses
        return [each for each in found if each.record.kind == "commands" and each.key.startswith(PREFIX)]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours, then those of distributions."""
        return [*self._own(), *(each.key.removeprefix(PREFIX) for each in self._advertised(ctx))]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Ours with their help, the others with where they come from: nothing is imported for it."""
        rows = [(name, command.get_short_help_str(60)) for name, command in self._own().items()]
        for each in self._advertised(ctx):
            origin = f"from {each.record.distribution} {each.record.version}"
            rows.append((safe(each.key.removeprefix(PREFIX)), safe(origin)))
        with formatter.section("Verbs"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names only: pressing a key imports nobody."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=BrokerVerbs)
@scene_options
def broker() -> None:
    """See what brokers and their orders are at, and stop trading in running hosts."""
