"""A service that runs elsewhere and is asked by HTTP how it is."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from datetime import UTC, datetime
from time import perf_counter
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from hotplug._records import Health
from hotplug.registry import run_in_thread
from hotplug.services._base import Service

__all__ = ["RemoteService", "shown"]

PORTS: Final = {"http": 80, "https": 443}
STATUS_LINE: Final = re.compile(rb"HTTP/\d(?:\.\d)? (?P<status>\d{3})(?: |\r|$)")
LONGEST_LINE: Final = 8192
LONGEST_REST: Final = 65_536
GOODBYE: Final = 0.5  # seconds that a server has to finish an answer of which all that matters is known
LOOKUPS: Final = 3  # look-ups of one name that may hang at a time
FINE: Final = range(200, 300)
INTERIM: Final = range(100, 200)
REDIRECT: Final = range(300, 400)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class RemoteService(Service):
    """
    Somebody else's service at *url*: starting and stopping it is not ours, `health` probes it.

    The probe is one GET of *health_endpoint* (relative to *url*; without one, of *url* itself), answered
    within *deadline* seconds. 2xx is healthy, all else is unhealthy: a redirect (3xx) too, for it is not
    followed, and says nothing of the service. Raises `TypeError` for what is no str, else `ValueError`.
    """

    def __init__(self, url: str, health_endpoint: str | None = None, *, deadline: float = 4.0) -> None:
        for word, value in (("url", url), ("health_endpoint", health_endpoint or "")):
            if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
                raise TypeError(f"{word} is a str, not a {type(value).__name__}")
        self.url: Final = url
        self.health_endpoint: Final = health_endpoint
        self.deadline: Final = deadline
        self._target: Final = _checked(url, health_endpoint)
        self._name: Final = shown(self._target.geturl())
        self._encryption: ssl.SSLContext | None = None
        self._lookups: Final = threading.BoundedSemaphore(LOOKUPS)

    def __repr__(self) -> str:
        return f"RemoteService({self._name!r})"

    async def start(self) -> None:
        """Do nothing: it runs elsewhere."""

    async def stop(self) -> None:
        """Do nothing: it runs elsewhere."""

    async def health(self) -> Health:
        """Probe it once. Never raises for what the network or the service does."""
        try:
            status, seconds = await self._probe()
        except TimeoutError:
            return self._unhealthy(f"no answer within {self.deadline:g} s")
        except (OSError, ValueError) as error:
            return self._unhealthy(f"{type(error).__name__}: {error}")
        if status in FINE:
            return Health("healthy", (), datetime.now(UTC), {"http_status": status, "seconds": seconds})
        also = " (redirects are not followed)" if status in REDIRECT else ""
        return self._unhealthy(f"HTTP {status}{also}", http_status=status, seconds=seconds)

    def _unhealthy(self, why: str, **details: object) -> Health:
        return Health("unhealthy", (f"{self._name}: {why}",), datetime.now(UTC), details)

    async def _probe(self) -> tuple[int, float]:
        """The HTTP status, and after how many seconds it came."""
        began = perf_counter()
        until = asyncio.get_running_loop().time() + self.deadline
        async with asyncio.timeout_at(until):
            reader, writer = await self._connected()
        try:
            async with asyncio.timeout_at(until):
                status = await _status(reader, writer, self._target)
            seconds = perf_counter() - began
            await _see_it_end(reader, writer)
        finally:
            writer.transport.abort()
        return status, seconds

    async def _connected(self) -> Connection:
        """A connection to the first of its addresses that takes one."""
        host = self._target.hostname or ""
        port = self._target.port or PORTS[self._target.scheme]
        if self._target.scheme == "https" and self._encryption is None:
            self._encryption = await run_in_thread(ssl.create_default_context)  # it reads files
        addresses = await self._addresses(host, port)
        name = host if self._encryption else None
        share = self.deadline / len(addresses)  # one that swallows everything leaves the others some time
        failures: list[OSError] = []
        for address in addresses:
            try:
                async with asyncio.timeout(share):
                    return await asyncio.open_connection(
                        address, port, ssl=self._encryption, server_hostname=name, limit=LONGEST_LINE
                    )
            except OSError as error:
                failures.append(error)
        raise failures[0]

    async def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        """
        The addresses of *host*, in the order in which the system wants them tried.

        Not by the loop's own look-up: that waits in a pool, where a few that hang hold up everybody's.
        """
        if not self._lookups.acquire(blocking=False):
            raise OSError(f"looking up {host!r} has not come back since it was asked before")

        def look_up() -> tuple[str, ...]:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            finally:
                self._lookups.release()
            return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

        return await run_in_thread(look_up)


def shown(url: str) -> str:
    """*url* as it may be told: what follows a question mark may be a secret, as may what precedes an @."""
    visible, asks, _ = url.partition("#")[0].partition("?")
    scheme, slashes, rest = visible.rpartition("//")
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    return f"{scheme}{slashes}{rest}" + ("?***" if asks else "")


def _checked(url: str, endpoint: str | None) -> SplitResult:
    """What is to be asked. `ValueError`, which tells no secret, for what is no http(s) URL."""
    base = url.partition("#")[0].partition("?")[0].removesuffix("/") + "/"
    try:
        whole = urljoin(base, endpoint) if endpoint else url
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        raise ValueError(f"not a URL: {shown(url)!r}, {shown(endpoint or '')!r}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"no credentials in a service's URL, please (host {parts.hostname!r})")
    if port == 0 or not whole.isascii() or not whole.isprintable() or " " in whole:
        raise ValueError(f"not a URL: {shown(whole)!r}")
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"a service's URL is http://… or https://…, not {shown(whole)!r}")
    return parts


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: SplitResult) -> int:
    """The status that a GET of *target* is answered with."""
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        "User-Agent: hotplug\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
    )
    await writer.drain()
    while (status := _parsed(await reader.readline())) in INTERIM:
        while (await reader.readline()).strip():  # the rest of an answer that is none yet
            pass
    return status


def _parsed(line: bytes) -> int:
    if not line:
        raise ValueError("the connection was closed without an answer")
    match = STATUS_LINE.match(line)
    if match is None:
        raise ValueError(f"no HTTP answer: {line[:40]!r}")
    return int(match["status"])


async def _see_it_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the server finish its answer, if that is short: cut off in it, servers note an error."""
    left = LONGEST_REST
    with contextlib.suppress(OSError):
        async with asyncio.timeout(GOODBYE):
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)
            writer.close()
            await writer.wait_closed()
