"""``hotplug serve``: host, watching and dashboard in one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import hotplug
from hotplug.errors import ConfigError, HotplugError
from hotplug_web._doors import is_loopback
from hotplug_web._tokens import TokenAuthenticator
from hotplug_web._welcome import say

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    Found = Mapping[tuple[str, str], str]

__all__ = ["serve"]

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
PAPER: Final = "hotplug-broker-paper"
TRY_IT: Final = "[brokers.paper]\nconnect = true\n"
"""Where nothing is configured, the one broker that trades with nobody is brought up, to have a look at."""


@click.command("serve")
@click.option("--host", "address", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any.")
@click.option("--token-file", type=FILE, help="Who may do what: [[principal]] tables, mode 0600.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A name that the server is called by, too.")
@click.option("--open", "open_page", is_flag=True, help="Show the page in a browser.")
@click.option(
    "--proxy", multiple=True, metavar="ADDRESS", help="Believe it who is behind it (X-Forwarded-For)."
)
@click.option(
    "--demo/--no-demo", default=None, help="Put plugins to work on paper. Default: if nothing is configured."
)
@click.option("--config", "config_file", metavar="FILE", help="The configuration, as for hotplug itself.")
@click.pass_context
def serve(
    context: click.Context,
    address: str,
    port: int,
    token_file: Path | None,
    allow_host: Sequence[str],
    open_page: bool,
    proxy: Sequence[str],
    demo: bool | None,
    config_file: str | None,
) -> None:
    """
    Run a host that follows installs, edits and its configuration, with its dashboard.

    On this machine, the link that is printed lets one browser in. Elsewhere, tokens are needed. SIGINT and
    SIGTERM end it in order; a second one at once.
    """
    if token_file is None and not is_loopback(address):
        why = f"{address} can be reached by others, who would need tokens: give a --token-file"
        raise click.UsageError(why, context)
    from hotplug_web._serve import Stop, Wish, serve_until_told

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    scene: Any = context.obj
    stop = Stop()
    try:
        authenticate = None if token_file is None else TokenAuthenticator(file=token_file)
        place = hotplug.Config.find(config_file or getattr(scene, "config_file", None))
        search = list(getattr(scene, "path", None) or ()) or None
        found = {(each.kind, each.name): each.distribution for each in hotplug.discover(search).records}
        host = _host_of(place, search, found)
        wish = Wish(
            called=address,
            authenticate=authenticate,
            hosts=allow_host,
            proxies=proxy,
            open_page=open_page,
            demo=_is_all_there(found) if demo is None and place is None else bool(demo),
        )
        with _bound(address, port) as listening, stop.heeded():
            serve_until_told(host, listening, wish, stop)
    except ConfigError as error:
        raise click.UsageError(str(error), context) from error
    except HotplugError as error:
        raise click.ClickException(str(error)) from error
    say("stopped: everything is closed")


def _bound(address: str, port: int) -> socket.socket:
    """A socket that listens there: found out before any plugin is started."""
    from hotplug_web._serve import listener

    try:
        return listener(address, port)
    except OSError as error:
        raise click.ClickException(f"{address} port {port}: {error.strerror or error}") from error


def _is_all_there(found: Found) -> bool:
    """Whether there is what the demo takes."""
    from hotplug_web._demo import DEMO

    return all(found.get(name) == whose for name, whose in DEMO.items())


def _host_of(place: Path | None, search: Sequence[str] | None, found: Found) -> hotplug.Host:
    """The host that the configuration describes, or one to have a look at where there is none."""
    if place is not None:
        return hotplug.Host(place, path=search)
    text = TRY_IT if found.get(("brokers", "paper")) == PAPER else ""
    return hotplug.Host(hotplug.Config.parse(text), path=search)
