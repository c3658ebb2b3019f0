"""Who calls: by a cookie, or by what the application's own ``authenticate`` says, and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import ipaddress
import logging
import secrets
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hotplug.registry import run_in_thread
from hotplug_web._limits import Buckets, Limits
from hotplug_web._principal import Authenticate, Principal
from hotplug_web._refusals import Refusal
from hotplug_web._sessions import Links, Sessions
from hotplug_web._tokens import bearer_of

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection, Request

    from hotplug_web._principal import Knock

__all__ = ["SAFE", "Guest", "Guests", "address_of", "cookie_of", "neighbourhood_of"]

SAFE: Final = frozenset({"GET", "HEAD"})
AT_ONCE: Final = 64
"""How many are asked about at the same time: of those who would ask forever there are no more threads."""
_log = logging.getLogger("hotplug.web")


@dataclass(frozen=True, slots=True)
class Guest:
    """
    A principal who calls from *address*.

    *session* is the secret of the cookie that it came with, *granted* what ``authenticate`` said. Only
    *by_bearer* proves that no page of a stranger made a browser call.
    """

    principal: Principal
    address: str
    session: str = field(default="", repr=False)
    granted: Principal | None = None
    by_bearer: bool = False


class Guests:
    """Recognises who calls."""

    def __init__(self, authenticate: Authenticate | None, sessions: Sessions, limits: Limits) -> None:
        self._authenticate: Final = authenticate
        self._waits: Final = authenticate is not None and _is_async(authenticate)
        self._failures: Final = Buckets(limits.logins, 3 * limits.burst)
        self._limit: Final = limits.auth
        self._asking: Final = asyncio.Semaphore(AT_ONCE)
        self._secret: Final = secrets.token_bytes(32)
        self.sessions: Final = sessions
        self.links: Final = Links()

    async def recognise(self, connection: HTTPConnection) -> Guest | None:
        """Who calls; None where nothing was said about that. `Refusal` for what proves nothing."""
        address = address_of(connection)
        if bearer_of(connection) is not None:
            principal = await self._proven(connection, address)
            return Guest(principal, address, granted=principal, by_bearer=True)
        secret = connection.cookies.get(cookie_of(connection), "")
        session = self.sessions.of(secret) if secret else None
        if session is not None and self._is_known(session.granted):
            return Guest(session.principal, address, secret, session.granted)
        found = await self._ask(connection)
        return None if found is None else Guest(found, address, granted=found)

    async def introduce(self, connection: HTTPConnection, message: dict[str, Any]) -> Guest:
        """Who calls, by its first *message*; `Refusal`."""
        address = address_of(connection)
        principal = await self._proven(message, address)
        return Guest(principal, address, granted=principal, by_bearer=True)

    async def admit(self, request: Request, *scopes: str) -> Guest:
        """Who calls, if it may: it has one of *scopes*, and means it. `Refusal`."""
        guest = await self.recognise(request)
        if guest is None:
            raise Refusal(401, "say who you are: Authorization: Bearer TOKEN, or a link of hotplug serve")
        if request.method not in SAFE:
            self.check_csrf(request, guest)
        if scopes and not guest.principal.may(*scopes):
            _log.warning("refused user %r at %s: %s", guest.principal.user, guest.address, request.url.path)
            raise Refusal(403, f"this needs the scope {' or '.join(map(repr, scopes))}")
        return guest

    async def log_in(self, token: str, address: str) -> tuple[str, Principal]:
        """The secret for a cookie, for the token of a link, or for any that ``authenticate`` knows."""
        principal = self.links.exchange(token)
        by_token = principal is None
        if principal is None:
            principal = await self._proven({"type": "auth", "token": token}, address)
        return await run_in_thread(self.sessions.open, principal, by_token=by_token), principal

    def is_welcome(self, guest: Guest) -> bool:
        """Whether *guest* may stay."""
        if guest.principal.has_expired or (guest.session and self.sessions.of(guest.session) is None):
            return False
        return self._is_known(guest.granted)

    def revoke(self, user: str) -> None:
        """Nothing that *user* came with lets it in again, whatever fails of it. May block."""
        with contextlib.ExitStack() as steps:
            revoke = getattr(self._authenticate, "revoke", None)
            if callable(revoke):
                steps.callback(revoke, user)
            steps.callback(self.sessions.drop, user)
            self.links.drop(user)

    def csrf_of(self, guest: Guest) -> str:
        """What has to come in ``X-CSRF-Token`` with what *guest* does."""
        if guest.session:
            return Sessions.csrf_of(guest.session)
        return hmac.digest(self._secret, guest.principal.user.encode(), "sha256").hex()

    def check_csrf(self, request: Request, guest: Guest) -> None:
        """Refuse what a stranger's page could have made a browser send."""
        if guest.by_bearer:
            return
        sent = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(sent.encode(), self.csrf_of(guest).encode()):
            raise Refusal(403, "X-CSRF-Token is missing or wrong: GET api/session tells it")

    # -- asking the application ----------------------------------------------------------------------

    async def _proven(self, knock: Knock, address: str) -> Principal:
        principal = await self._ask(knock)
        if principal is None:
            if not self._failures.take(neighbourhood_of(address)):
                raise Refusal(429, "too many attempts")
            _log.warning("refused %s: not known, or not any more", address)
            raise Refusal(401, "this token is not, or no longer, accepted here")
        return principal

    async def _ask(self, knock: Knock) -> Principal | None:
        if self._authenticate is None:
            return None
        asking = asyncio.get_running_loop().create_task(self._answer(self._authenticate, knock))
        try:
            await asyncio.wait({asking}, timeout=self._limit)
        finally:
            # A thread cannot be called off: who waits for it keeps its place among those who are asked about.
            if self._waits and not asking.done():
                asking.cancel()
        if not asking.done():
            _log.error("authenticate did not answer within %g s", self._limit)
            raise Refusal(503, "who you are could not be found out in time")
        principal = asking.result()
        if not isinstance(principal, Principal | None):
            _log.error("authenticate answered a %s, not a Principal", type(principal).__name__)
            return None
        return None if principal is None or principal.has_expired else principal

    async def _answer(self, authenticate: Authenticate, knock: Knock) -> object:
        async with self._asking:
            try:
                answer = authenticate(knock) if self._waits else await run_in_thread(authenticate, knock)
                return await answer if inspect.isawaitable(answer) else answer
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if _is_called_off():
                    raise
                # Its text is not logged: it may quote what was sent.
                _log.error("authenticate raised %s", type(error).__name__)
                return None

    def _is_known(self, granted: Principal | None) -> bool:
        """Whether the application, where it can be asked, still knows somebody."""
        knows = getattr(self._authenticate, "knows", None)
        if granted is None or not callable(knows):
            return True
        try:
            return bool(knows(granted))
        except Exception as error:  # noqa: BLE001 - border to the application's code
            _log.error("knows raised %s", type(error).__name__)
            return False


def _is_called_off() -> bool:
    """Whether somebody cancelled this task; code of others may raise `asyncio.CancelledError` as well."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_async(authenticate: Authenticate) -> bool:
    call = getattr(authenticate, "__call__", None)  # noqa: B004 - of an object, it is the function to look at
    return inspect.iscoroutinefunction(authenticate) or inspect.iscoroutinefunction(call)


def address_of(connection: HTTPConnection) -> str:
    """Where somebody calls from."""
    return connection.client.host if connection.client is not None else ""


def neighbourhood_of(address: str) -> str:
    """What is counted as one address: of IPv6, all that one customer has to choose from (a /64)."""
    if ":" not in address:
        return address
    try:
        number = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    plain = ipaddress.IPv6Address(number).ipv4_mapped
    return str(plain or ipaddress.IPv6Address(number >> 64 << 64))


def cookie_of(connection: HTTPConnection) -> str:
    """What the cookie is called. Browsers do not tell servers on different ports apart, nor all paths."""
    place = connection.url.port or connection.url.scheme.replace("ws", "http")
    mounted: str = connection.scope.get("root_path", "")
    return f"hotplug_session_{place}" + (f"_{zlib.crc32(mounted.encode()):08x}" if mounted else "")
