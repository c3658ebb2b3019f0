"""
The application: routes, and how its parts are put together.

    Doors: host, origin, address ─▶ Guests: who ─▶ page · /ws · /events · /api · /metrics · /healthz
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from hotplug.registry import run_in_thread
from hotplug_web._actions import Actions, body_of
from hotplug_web._board import Board
from hotplug_web._doors import LOOPBACK, Doors, is_loopback
from hotplug_web._frames import encoded
from hotplug_web._guests import SAFE, Guests, address_of, cookie_of
from hotplug_web._journal import Journal
from hotplug_web._limits import Buckets, Limits
from hotplug_web._manager import WebSocketManager
from hotplug_web._metrics import CONTENT_TYPE, metrics_of
from hotplug_web._principal import ADMIN, METRICS, READ, Authenticate, Principal
from hotplug_web._refusals import Refusal, refused
from hotplug_web._rows import View, broker_facts
from hotplug_web._sessions import Sessions
from hotplug_web._socket import Socket
from hotplug_web._sse import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from hotplug import Host

__all__ = ["OPERATOR", "create_app"]

OPERATOR: Final = "operator"
STATIC: Final = Path(__file__).with_name("static")
FORWARDED: Final = frozenset({"forwarded", "x-forwarded-for", "x-real-ip"})
WELL: Final = 1.0  # seconds for which it is remembered how the host is
HALF_A_DAY: Final = 12 * 3600.0


def create_app(
    host: Host,
    *,
    authenticate: Authenticate | None = None,
    allowed_hosts: Collection[str] = (),
    allowed_origins: Collection[str] = (),
    limits: Limits | None = None,
    session_seconds: float = HALF_A_DAY,
    open_metrics: bool = True,
    data: Path | None = None,
) -> Starlette:
    """
    The pages, sockets and verbs of *host*: an application by itself, or to be mounted into another.

    *authenticate* says who somebody is; without it, only a link of ``app.state.invite()`` lets somebody in.
    *allowed_hosts* are the names that the server is called by besides those of this machine
    (``0.0.0.0``: by any address), *allowed_origins* those whose pages may open its sockets
    besides its own. Who comes from this machine reads ``/metrics`` without a word, if *open_metrics*.
    Sessions and the journal of actions are kept in *data* (default: ``web`` in the host's data folder).

    ``app.state`` has ``disconnect(user)``, which revokes at once, from any thread; ``invite(user, scopes)``,
    a token for ``/#token=…`` that works once; the ``manager`` of connections and the ``board``.
    """
    web = _Web(
        host, authenticate, limits or Limits(), data or host.data / "web", session_seconds, open_metrics
    )
    app = Starlette(
        routes=web.routes(),
        middleware=[Middleware(Doors, {*LOOPBACK, *allowed_hosts}, allowed_origins)],
        exception_handlers={Refusal: refused, HTTPException: _error},
        lifespan=web.lifespan,
    )
    app.router.redirect_slashes = False  # where to is told by what a client says that this server is called
    app.state.disconnect = web.disconnect
    app.state.invite = web.invite
    app.state.manager = web.manager
    app.state.board = web.board
    return app


class _Web:
    """The parts, and the routes that are too small for a file."""

    def __init__(
        self,
        host: Host,
        authenticate: Authenticate | None,
        limits: Limits,
        data: Path,
        session_seconds: float,
        open_metrics: bool,
    ) -> None:
        self._host: Final = host
        self._limits: Final = limits
        self._open_metrics: Final = open_metrics
        self.manager: Final = WebSocketManager(host.events, limits)
        self.guests: Final = Guests(authenticate, Sessions(data / "sessions.json", session_seconds), limits)
        self._view: Final = View(host)
        self.board: Final = Board(self._view)
        calls = Buckets(limits.calls, limits.burst)
        journal = Journal(data / "actions.jsonl")
        self._actions: Final = Actions(host, self.guests, journal, self._view, calls, limits.message)
        self._well: tuple[float, bool] = (0.0, True)

    def routes(self) -> list[Route | WebSocketRoute | Mount]:
        """Where everything is."""
        actions = self._actions
        verbs = (actions.reload, actions.disable, actions.enable, actions.halt, actions.resume)
        return [
            Route("/", self._page),
            Mount("/static", StaticFiles(directory=STATIC)),
            WebSocketRoute("/ws", _Sockets(self)),
            Route("/events", self._events),
            Route("/api/session", self._session, methods=["GET", "POST", "DELETE"]),
            Route("/api/plugins", self._plugins),
            Route("/api/brokers", self._brokers),
            *(Route(f"/api/{verb.__name__}", verb, methods=["POST"]) for verb in verbs),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthz),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Part from everybody when the server ends; mounted, this is not run, and nothing depends on it."""
        yield
        await self.manager.close()
        self._view.close()

    def disconnect(self, user: str) -> int:
        """End all that *user* has, at once, and accept it no more; how many connections there were."""
        try:
            self.guests.revoke(user)
        finally:  # whatever cannot be written: the connections end
            count = self.manager.disconnect(user)
        return count

    def invite(
        self,
        user: str = OPERATOR,
        scopes: Collection[str] = (ADMIN,),
        *,
        used: Callable[[], object] | None = None,
    ) -> str:
        """A token for a link that lets a browser in, once; *used* is called then."""
        return self.guests.links.make(Principal(user, frozenset(scopes)), used)

    # -- pages and streams -------------------------------------------------------------------------

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _events(self, request: Request) -> Response:
        guest = await self.guests.admit(request)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return Stream(request, guest, self.guests, self.manager)

    # -- sessions ----------------------------------------------------------------------------------

    async def _session(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._log_in(request)
        if request.method in SAFE and cookie_of(request) not in request.cookies:
            guest = await self.guests.recognise(request)
            if guest is None:  # a browser's first visit is no trouble: with a 401 its console would say so
                return _data({"user": None})
        else:
            guest = await self.guests.admit(request)
        if request.method == "DELETE":
            await run_in_thread(self.guests.sessions.close, guest.session)
            self.manager.disconnect(
                guest.principal.user, why="logged out", of=lambda each: not self.guests.is_welcome(each.guest)
            )
            response = Response(status_code=204)
            response.delete_cookie(cookie_of(request), path=_home_of(request))
            return response
        return _data({**_who(guest.principal), "csrf": self.guests.csrf_of(guest)})

    async def _log_in(self, request: Request) -> Response:
        token = (await body_of(request, self._limits.message)).get("token")
        if not isinstance(token, str) or not token:
            raise Refusal(400, "send the token as a text")
        secret, principal = await self.guests.log_in(token, address_of(request))
        response = _data({**_who(principal), "csrf": Sessions.csrf_of(secret)})
        response.set_cookie(
            cookie_of(request),
            secret,
            max_age=int(self.guests.sessions.seconds),
            path=_home_of(request),
            # Who speaks TLS before this server may say so only by what the page is called.
            secure="https" in {request.url.scheme, request.headers.get("origin", "").partition(":")[0]},
            httponly=True,
            samesite="strict",
        )
        return response

    # -- what there is -----------------------------------------------------------------------------

    async def _plugins(self, request: Request) -> Response:
        await self.guests.admit(request, READ)
        picture = await run_in_thread(self._view.now)
        return _data(
            {"plugins": list(picture.rows.values()), "problems": picture.problems, "host": picture.host}
        )

    async def _brokers(self, request: Request) -> Response:
        await self.guests.admit(request, READ)
        if "brokers" not in self._host.registries:
            return _data({"brokers": [], "halts": []})
        infos = await run_in_thread(self._host.brokers.list_all)
        return _data({"brokers": [broker_facts(info) for info in infos], "halts": self._view.halts()})

    async def _metrics(self, request: Request) -> Response:
        is_near = is_loopback(address_of(request)) and FORWARDED.isdisjoint(request.headers.keys())
        if not (self._open_metrics and is_near):
            await self.guests.admit(request, METRICS)
        text = await run_in_thread(metrics_of, self._host, self.manager, self.board)
        return Response(text.encode("utf-8", "backslashreplace"), media_type=CONTENT_TYPE)

    async def _healthz(self, _request: Request) -> Response:
        """Open to everybody, so it says no more than a word, and does not look each time that it is asked."""
        asked, is_well = self._well
        if time.monotonic() - asked > WELL:
            health = await run_in_thread(self._host.health)
            is_well = health.status in {"healthy", "unknown"} and not self._host.is_closed
            self._well = time.monotonic(), is_well
        gone = self._host.is_closed
        return _data({"status": "ok" if is_well and not gone else "degraded"}, 503 if gone else 200)


class _Sockets:
    """The sockets, as an application: what they send goes to the server without detours."""

    def __init__(self, web: _Web) -> None:
        self._web: Final = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        web = self._web
        websocket = WebSocket(scope, receive, send)
        await Socket(websocket, send, web.guests, web.manager, web.board).run()


def _who(principal: Principal) -> dict[str, Any]:
    return {
        "user": principal.user,
        "scopes": sorted(principal.scopes),
        "expires_at": principal.expires_at,
    }


def _home_of(request: Request) -> str:
    """Where the application is mounted: its cookie is for nobody else there."""
    return f"{request.scope.get('root_path', '')}/"


def _data(facts: Mapping[str, Any], status: int = 200) -> Response:
    return Response(encoded(facts), status, media_type="application/json")


async def _error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
