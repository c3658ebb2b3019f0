"""Who is let in over HTTP: the right path, the right host, no foreign page, and somebody we know."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping

    from hotplug_mcp._tokens import Tokens

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Serve = Callable[[str, Scope, Receive, Send], Coroutine[Any, Any, None]]

__all__ = ["PATH", "Gate", "Rules", "is_loopback"]

PATH: Final = "/mcp"
LARGEST: Final = 4 * 1024 * 1024  # bytes of a request's body
LOCAL_NAMES: Final = frozenset({"localhost"})


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine to itself, and to nobody else."""
    if host.lower() in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Rules:
    """
    What the gate asks for. Without *tokens*, everybody is *user*; on *local* addresses only that is right.

    *hosts* are names besides the machine's own under which clients may come, *origins* the pages that may.
    """

    user: str
    tokens: Tokens | None = None
    local: bool = True
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def may_be_called(self, host: str) -> bool:
        """
        Whether a request may name this *host*.

        A page that had its name resolve to this machine would give that name, never an address.
        """
        name = _name_in(host)
        if name in self.hosts or is_loopback(name):
            return True
        return not self.local and _is_address(name)

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """Who comes with these *headers*; None for somebody unknown."""
        if self.tokens is None:
            return self.user
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return self.tokens.user_of(token.strip()) if scheme.lower() == "bearer" and token else None


@dataclass
class Gate:
    """The ASGI application: what *rules* let in is served."""

    rules: Rules
    serve: Serve
    is_closing: bool = False
    look_again: float = 1.0  # seconds between two looks whether a token is still good

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            return
        headers, repeated = _headers_in(scope)
        status, text = self._refusal(scope, headers, repeated)
        user = None if status else self.rules.user_of(headers)
        if status:
            await _answer(send, status, text)
        elif user is None:
            await _answer(send, 401, "a bearer token is needed", (b"www-authenticate", b"Bearer"))
        elif self.rules.tokens is None:
            await self.serve(user, scope, receive, send)
        else:
            await self._while_known(user, headers, self.serve(user, scope, receive, send))

    async def _while_known(
        self, user: str, headers: Mapping[str, str], serving: Coroutine[Any, Any, None]
    ) -> None:
        """Serve until it is over, or the token was withdrawn: streams may live for days."""
        task = asyncio.create_task(serving)
        try:
            while not task.done() and self.rules.user_of(headers) == user:
                await asyncio.wait({task}, timeout=self.look_again)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _refusal(self, scope: Scope, headers: Mapping[str, str], repeated: bool) -> tuple[int, str]:
        """Why a request is refused before anybody asks whose it is; 0 if it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if repeated or not self.rules.may_be_called(host):
            return 421, "this is not the host that was asked for"
        if origin is not None and origin not in {f"http://{host}", f"https://{host}", *self.rules.origins}:
            return 403, "this page may not come here"
        if scope["path"].rstrip("/") != PATH:
            return 404, f"tools are served at {PATH}"
        if self.is_closing:
            return 503, "this server is about to end"
        return self._too_large(scope, headers)

    def _too_large(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str]:
        if scope["method"] != "POST":
            return 0, ""
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "say how long the body is"
        return (413, "the body is too large") if int(length) > LARGEST else (0, "")


def _headers_in(scope: Scope) -> tuple[dict[str, str], bool]:
    """The headers by their names, and whether one that decides came twice."""
    found: dict[str, str] = {}
    repeated = False
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        repeated |= name in found and name in {"host", "origin", "authorization", "content-length"}
        found[name] = value.decode("latin-1")
    return found, repeated


def _name_in(host: str) -> str:
    """The name in a ``Host`` header, without the port."""
    found = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](:\d+)?|([^:\[\]]+)(:\d+)?", host)
    return "" if found is None else (found[1] or found[3]).lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    body = text.encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
