"""A host, what it follows, and its dashboard, from the first signal of life to the last."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import sys
import webbrowser
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hotplug_web._app import OPERATOR, create_app
from hotplug_web._demo import perform
from hotplug_web._doors import is_loopback
from hotplug_web._server import server_of
from hotplug_web._welcome import said_of, say

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from types import FrameType

    from starlette.applications import Starlette

    from hotplug import Host
    from hotplug_web._tokens import TokenAuthenticator

__all__ = ["Stop", "Wish", "listener", "serve_until_told"]

SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)
BACKLOG: Final = 1024
PARTING: Final = 2.0  # seconds that clients have to hear that the server goes away


class _Told(KeyboardInterrupt):
    """Somebody wants it to end before it has begun; plugin code is left as by Ctrl-C."""


class Stop:
    """The first signal asks for the end; the second one does not ask."""

    def __init__(self) -> None:
        self._tell: Callable[[], object] | None = None
        self._is_told = False

    def on(self, tell: Callable[[], object]) -> None:
        """From now on a signal calls *tell*, in place of interrupting whatever runs."""
        self._tell = tell

    @contextmanager
    def heeded(self) -> Generator[None]:
        """Inside, signals are heard; one that came before `on` ends it."""
        before = {each: signal.signal(each, self._hear) for each in SIGNALS}
        try:
            yield
        except _Told:
            pass
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self._is_told:
            os.write(sys.stderr.fileno(), b"forced: nothing more is closed\n")
            os._exit(128 + number)
        self._is_told = True
        if self._tell is None:
            raise _Told
        self._tell()


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    How it is to be served: *called* so, and by the names *hosts* as well.

    *proxies* are believed who is behind them. *open_page* shows the page in a browser, *demo* puts plugins
    to work that one may look at.
    """

    called: str
    authenticate: TokenAuthenticator | None = None
    hosts: Sequence[str] = ()
    proxies: Sequence[str] = ()
    open_page: bool = False
    demo: bool = False


def serve_until_told(host: Host, listening: socket.socket, wish: Wish, stop: Stop) -> None:
    """Start *host*, follow, and serve on *listening*, until a signal comes; then end it all in order."""
    try:
        host.start()
        host.watch()
        app = create_app(
            host,
            authenticate=wish.authenticate,
            allowed_hosts=(wish.called, _name_of(wish.called), *wish.hosts),
        )
        asyncio.run(_serve(host, app, listening, wish, stop))
    finally:
        report = host.close()
        for error in report.errors:
            say(f"closing: {error}", to=sys.stderr)


async def _serve(host: Host, app: Starlette, listening: socket.socket, wish: Wish, stop: Stop) -> None:
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    stop.on(lambda: loop.call_soon_threadsafe(told.set))
    server = server_of(app, app.state.manager.limits, wish.proxies)
    serving = loop.create_task(server.serve(sockets=[listening]))
    waiting = loop.create_task(told.wait())
    place = _address_of(listening, wish.called)
    link = _link_to(place, app) if is_loopback(wish.called) else None
    say(said_of(host, place, link, demo=wish.demo))
    beside: list[asyncio.Task[None]] = []
    if wish.open_page and link is not None:
        beside.append(loop.create_task(asyncio.to_thread(_open, host, link)))
    if wish.demo:
        beside.append(loop.create_task(perform(host, OPERATOR)))
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    say("stopping: clients are told, runs end, plugins close (once more: at once)")
    for each in beside:
        each.cancel()
    if beside:
        await asyncio.wait(beside, timeout=PARTING)
    for each in getattr(server, "servers", ()):
        each.close()
    await app.state.manager.close(limit=PARTING)
    server.should_exit = True
    await serving


def _name_of(called: str) -> str:
    """What it is called by others: where it listens on all addresses, as this machine is."""
    try:
        return socket.gethostname() if ipaddress.ip_address(called).is_unspecified else called
    except ValueError:
        return called


def _address_of(listening: socket.socket, called: str) -> str:
    """Where the page is."""
    port, called = listening.getsockname()[1], _name_of(called)
    return f"http://[{called}]:{port}/" if ":" in called else f"http://{called}:{port}/"


def _link_to(place: str, app: Starlette) -> str:
    """A link that works once; when it has, the next one is shown."""

    def used() -> None:
        say(f"  the link was used; for another browser: {_link_to(place, app)}")

    # What stands behind the # is never sent: no log, no proxy and no other page gets to see it.
    return f"{place}#token={app.state.invite(used=used)}"


def _open(host: Host, link: str) -> None:
    """Show *link* in a browser, without a command line that others could read it from."""
    page = host.data / "web" / "open.html"
    page.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    page.unlink(missing_ok=True)
    with os.fdopen(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={link}">')
    webbrowser.open(page.absolute().as_uri())
