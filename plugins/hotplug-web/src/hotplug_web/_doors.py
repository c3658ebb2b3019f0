"""What is looked at before anybody asks who it is: for which host, from which page, what in the address."""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from hotplug_web._limits import Buckets
from hotplug_web._refusals import FORBIDDEN, Refusal

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Doors", "LOOPBACK", "is_loopback"]

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
ANSWERS: Final = "websocket.http.response"
"""The extension of a server that can answer a handshake like a request."""
STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})
PARAMETERS: Final = {"after": re.compile(r"[0-9a-f]{12}:[0-9]{1,19}|start")}
"""All that may stand behind the question mark: it is written into logs and histories, so no secret may."""
CALLED: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::([0-9]{1,5}))?")
STRANGERS: Final = frozenset({"cross-site", "same-site"})
HEAD: Final = 32 * 1024  # bytes that all headers of a request may have

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = logging.getLogger("hotplug.web")


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine, spelled as a name or an address."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback


class Doors:
    """
    Lets in what was meant for this server.

    *hosts* are the names that it is called by (``0.0.0.0``: any address; a name that somebody else's
    name server can point here is none of them). Pages may call from where they were served, and from
    *origins*.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app: Final = app
        self._hosts: Final = frozenset(host.lower().strip("[]") for host in hosts)
        self._origins: Final = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._said: Final = Buckets(0.1, 20)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refusal as refusal:
            # Servers log the address of what they answer: nothing of a secret in it may be left by then.
            scope["query_string"] = b""
            client: tuple[str, int] | None = scope.get("client")
            address = client[0] if client else "somebody"
            if self._said.take(address):  # nobody fills a disk by asking for what is refused
                _log.warning("refused %s: %s", address, refusal)
            await _turn_away(refusal, scope, receive, _Guarded(scope, send))
            return
        guarded = _Guarded(scope, send)
        try:
            await self._app(scope, receive, guarded)
        except ClientDisconnect:
            pass
        except Exception:
            if guarded.has_begun:
                raise
            # Whoever answers for what is outside of here would not send the headers that belong to it.
            _log.exception("%s failed", scope["path"])
            await _turn_away(
                Refusal(500, "this failed: the log of the server says how"), scope, None, guarded
            )

    def _check(self, scope: Scope) -> None:
        for name, value in parse_qsl(
            scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True
        ):
            if name not in PARAMETERS or not PARAMETERS[name].fullmatch(value):
                raise Refusal(400, "the address may hold ?after=CURSOR and nothing else, tokens least of all")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD:
            raise Refusal(431, f"headers have at most {HEAD} bytes")
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:
            raise Refusal(400, "where a body ends is said once")
        called = headers.get("host", "")
        if not self._is_called(called):
            raise Refusal(400, "this server is not called so: see allowed_hosts")
        self._check_page(headers, called, scope)

    def _check_page(self, headers: Headers, called: str, scope: Scope) -> None:
        """Refuse what a page from elsewhere makes a browser send; its links to here may be followed."""
        for origin in headers.getlist("origin"):
            if not self._may_call(origin, called, scope):
                raise Refusal(403, "pages of that origin may not call: see allowed_origins", origin=True)
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if "origin" not in headers and site in STRANGERS and mode != "navigate":
            raise Refusal(403, "pages from elsewhere may not call: see allowed_origins")

    def _is_called(self, called: str) -> bool:
        found = CALLED.fullmatch(called.lower())
        if found is None or int(found[2] or 0) > 65535:
            return False
        name = found[1].strip("[]")
        if name in self._hosts:
            return True
        return not self._hosts.isdisjoint(ANY) and _is_address(name)

    def _may_call(self, origin: str, called: str, scope: Scope) -> bool:
        origin = origin.lower().rstrip("/")
        if origin in self._origins:
            return True
        scheme, _, place = origin.partition("://")
        is_secure = scope.get("scheme") in {"https", "wss"}
        return place == called.lower() and scheme in ({"https"} if is_secure else {"http", "https"})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Guarded:
    """*send*, with the headers that tell browsers what not to do."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send: Final = send
        self._may_answer: Final = ANSWERS in (scope.get("extensions") or {})
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if not self.has_begun:
            self.has_begun = True
            if message["type"] in STARTS:
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            elif message["type"] == "websocket.close" and self._may_answer:
                # There is no such socket: that is said as everything is.
                self.has_begun = False
                await _answer(Refusal(404, "there is no such socket"), {"type": "websocket"}, self)
                return
        await self._send(message)


async def _turn_away(refusal: Refusal, scope: Scope, receive: Receive | None, send: Send) -> None:
    if scope["type"] == "http":
        await _answer(refusal, scope, send)
        return
    if receive is not None:
        await receive()
    if "origin" in refusal.facts:
        # A page of a friend that is not listed yet reads this; a plain 403 it would not.
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": FORBIDDEN, "reason": refusal.why[:120]})
    elif ANSWERS in (scope.get("extensions") or {}):
        await _answer(refusal, scope, send)
    else:
        await send({"type": "websocket.close", "code": FORBIDDEN})


async def _answer(refusal: Refusal, scope: Scope, send: Send) -> None:
    response = Refusal(refusal.status, refusal.why).answer()
    if scope.get("http_version", "").startswith("1"):
        response.headers["Connection"] = "close"  # whatever is left of the request is not read
    await response(scope, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
