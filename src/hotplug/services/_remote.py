"""A service that runs elsewhere and is asked by HTTP how it is."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from datetime import UTC, datetime
from time import perf_counter
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from hotplug._records import Health
from hotplug.services._base import Service

__all__ = ["RemoteService"]

PORTS: Final = {"http": 80, "https": 443}
STATUS_LINE: Final = re.compile(rb"HTTP/\d(?:\.\d)? (?P<status>\d{3})(?: |\r|$)")
LONGEST_LINE: Final = 8192
FINE: Final = range(200, 300)


class RemoteService(Service):
    """
    Somebody else's service at *url*: starting and stopping it is not ours, `health` probes it.

    The probe is one GET of *health_endpoint* (relative to *url*; without one, of *url* itself), answered
    within *deadline* seconds. 2xx is healthy, all else is unhealthy: a redirect (3xx) too, for it is not
    followed, and says nothing of the service. Raises `TypeError` for what is no str, else `ValueError`.
    """

    def __init__(self, url: str, health_endpoint: str | None = None, *, deadline: float = 5.0) -> None:
        for word, value in (("url", url), ("health_endpoint", health_endpoint or "")):
            if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
                raise TypeError(f"{word} is a str, not a {type(value).__name__}: {value!r}")
        self.url: Final = url
        self.health_endpoint: Final = health_endpoint
        self.deadline: Final = deadline
        self._target = _checked(urljoin(url if url.endswith("/") else url + "/", health_endpoint or url))

    def __repr__(self) -> str:
        return f"RemoteService({self._target.geturl()!r})"

    async def start(self) -> None:
        """Do nothing: it runs elsewhere."""

    async def stop(self) -> None:
        """Do nothing: it runs elsewhere."""

    async def health(self) -> Health:
        """Probe it once. Never raises for what the network or the service does."""
        begin = perf_counter()
        try:
            async with asyncio.timeout(self.deadline):
                status = await _get(self._target)
        except TimeoutError:
            return self._unhealthy(f"no answer within {self.deadline:g} s")
        except (OSError, ValueError) as error:
            return self._unhealthy(f"{type(error).__name__}: {error}")
        return Health(
            status="healthy" if status in FINE else "unhealthy",
            issues=() if status in FINE else (f"{self._target.geturl()}: HTTP {status}",),
            checked_at=datetime.now(UTC),
            details={"http_status": status, "seconds": perf_counter() - begin},
        )

    def _unhealthy(self, why: str) -> Health:
        return Health("unhealthy", (f"{self._target.geturl()}: {why}",), datetime.now(UTC))


def _checked(url: str) -> SplitResult:
    """The parts of a URL that may be asked. `ValueError` for any other scheme, and for credentials in it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"not a URL: {url!r}")
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"no credentials in a service's URL, please (host {parts.hostname!r})")
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"a service's URL is http://… or https://…, not {url!r}")
    _ = parts.port  # raises if it is none
    return parts


async def _get(target: SplitResult) -> int:
    """The status that a GET of *target* is answered with; the body is not read."""
    encryption = ssl.create_default_context() if target.scheme == "https" else None
    port = target.port or PORTS[target.scheme]
    reader, writer = await asyncio.open_connection(target.hostname, port, ssl=encryption, limit=LONGEST_LINE)
    try:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {target.netloc}\r\n"
            "User-Agent: hotplug\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    match = STATUS_LINE.match(line)
    if match is None:
        raise ValueError(f"no HTTP answer: {line[:40]!r}")
    return int(match["status"])
