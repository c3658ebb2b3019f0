"""``hotplug mcp serve``: the tools of this environment, for MCP clients."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

import hotplug
from hotplug.errors import ConfigError, HotplugError
from hotplug.registry import run_in_thread
from hotplug_mcp._http import serve_http
from hotplug_mcp._stdio import serve_stdio, take_standard_streams
from hotplug_mcp._tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

__all__ = ["mcp"]

STOPS: Final = (signal.SIGINT, signal.SIGTERM)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def mcp() -> None:
    """Tools for MCP clients."""


@mcp.command()
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--user", metavar="NAME", help="Who the clients act for; else who runs this.")
@click.option("--host", "address", default="127.0.0.1", show_default=True, help="HTTP: where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="HTTP; 0 takes any."
)
@click.option("--token-file", type=FILE, help="HTTP: whose which token is, [[principal]] tables, mode 0600.")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="HTTP: a name under which this may be called."
)
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="HTTP: pages that may come here.")
@click.option("--config", "config_file", metavar="FILE", help="The configuration, as for hotplug itself.")
@click.pass_context
def serve(context: click.Context, /, transport: str, config_file: str | None, **options: Any) -> None:
    """
    Offer the tools of this environment to MCP clients.

    What is installed, removed, edited or configured meanwhile is followed, and clients are told.
    SIGTERM and SIGINT end it, and on stdio the client's end of the line.
    """
    options["user"] = options["user"] or _who_runs_this()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    chosen = _stdio(options) if transport == "stdio" else _http(options, context)
    scene: Any = context.obj
    file = hotplug.Config.find(config_file or getattr(scene, "config_file", None))
    try:
        asyncio.run(_run(file, getattr(scene, "path", None) or None, chosen))
    except ConfigError as error:
        raise click.UsageError(str(error), context) from error
    except (HotplugError, OSError) as error:
        raise click.ClickException(str(error)) from error


Serve: TypeAlias = "Callable[[hotplug.Host, asyncio.Event], Coroutine[Any, Any, None]]"


def _stdio(options: dict[str, Any]) -> Serve:
    # Before anything of a plugin is imported: it might print.
    stdin, stdout = take_standard_streams()

    async def serve(host: hotplug.Host, stop: asyncio.Event) -> None:
        await serve_stdio(host, options["user"], stdin=stdin, stdout=stdout, stop=stop)

    return serve


def _http(options: dict[str, Any], context: click.Context) -> Serve:
    try:
        tokens = Tokens(options["token_file"]) if options["token_file"] else None
    except ConfigError as error:
        raise click.UsageError(str(error), context) from error
    user = options["user"]

    async def serve(host: hotplug.Host, stop: asyncio.Event) -> None:
        await serve_http(
            host,
            user,
            address=options["address"],
            port=options["port"],
            tokens=tokens,
            hosts=frozenset(map(str.lower, options["allow_host"])),
            origins=frozenset(options["allow_origin"]),
            stop=stop,
            started=lambda url: click.echo(
                f"serving the tools of {'each token' if tokens else user} at {url}"
            ),
        )
        click.echo("stopped")

    return serve


async def _run(file: Any, path: Any, serve: Serve) -> None:
    host = hotplug.Host(file, path=path)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        for number in STOPS:  # the next one does as it would have
            loop.remove_signal_handler(number)

    for number in STOPS:
        with contextlib.suppress(NotImplementedError):  # not on Windows: there, Ctrl-C interrupts
            loop.add_signal_handler(number, end)
    async with _started(host):
        await serve(host, stop)


@contextlib.asynccontextmanager
async def _started(host: hotplug.Host) -> AsyncGenerator[None]:
    """Within it, *host* runs, and follows what changes; what of it is async has a loop of its own."""
    await run_in_thread(host.start)
    try:
        await run_in_thread(host.watch)
        yield
    finally:
        await asyncio.shield(run_in_thread(host.close))


def _who_runs_this() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "local"
