"""``hotplug broker serve KEY``: a configured broker for others, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

import hotplug
from hotplug.errors import ConfigError, HotplugError
from hotplug_broker_grpc._server import serve

if TYPE_CHECKING:
    from hotplug.brokers import IBrokerGateway

__all__ = ["serve_command"]

ADDRESS: Final = "127.0.0.1:50051"
STOPS: Final = (signal.SIGINT, signal.SIGTERM)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve")
@click.argument("key")
@click.option(
    "--address",
    default=ADDRESS,
    show_default=True,
    metavar="ADDRESS",
    help="HOST:PORT, [HOST]:PORT (port 0: any) or unix:PATH.",
)
@click.option("--token-file", type=FILE, help="Who may do what: [[principal]] tables, mode 0600.")
@click.option("--tls-cert", type=FILE, help="The server's certificate (PEM).")
@click.option("--tls-key", type=FILE, help="Its private key (PEM).")
@click.option("--client-ca", type=FILE, help="Demand certificates by this authority of clients (PEM).")
@click.option("--grace", type=click.FloatRange(min=0), default=5.0, show_default=True, metavar="SECONDS")
@click.option("--config", "config_file", metavar="FILE", help="The configuration, as for hotplug itself.")
@click.pass_context
def serve_command(
    context: click.Context,
    /,
    key: str,
    address: str,
    grace: float,
    config_file: str | None,
    **files: Path | None,
) -> None:
    """
    Serve the broker KEY to gRPC clients.

    SIGTERM and SIGINT end it: calls under way have the grace to finish, open orders stay at the venue.
    """
    scene: Any = context.obj
    place = hotplug.Config.find(config_file or getattr(scene, "config_file", None))
    path = getattr(scene, "path", None) or None
    try:
        asyncio.run(_serve(hotplug.Host(place, path=path), key, address, grace, files))
    except ConfigError as error:
        raise click.UsageError(str(error), context) from error
    except HotplugError as error:
        raise click.ClickException(str(error)) from error


async def _serve(
    host: hotplug.Host, key: str, address: str, grace: float, files: dict[str, Path | None]
) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, told.set)
    async with host:
        await (await host.brokers.aget(key)).connect()

        def current() -> IBrokerGateway:
            # Asked for each time: a reload may have put another in its place.
            return host.brokers.get(key)

        server = serve(current, address, broker_id=key, **cast("dict[str, Any]", files))
        await server.start()
        try:
            click.echo(f"serving {key} at {server.address}")
            await told.wait()
            click.echo("stopping")
        finally:
            await server.stop(grace)
