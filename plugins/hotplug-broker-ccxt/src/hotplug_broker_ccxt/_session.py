"""One opened ccxt exchange: made on the home loop, asked by one door, and closed without a trace."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import localcontext
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from hotplug.errors import AuthenticationError, NotSupported
from hotplug.market import RateLimitSeen
from hotplug_broker_ccxt._errors import translated
from hotplug_broker_ccxt._venues import Venue, venue_of
from hotplug_broker_ccxt._wire import LETTER, Letter, Terms, wired_class

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Account", "Session", "is_loopback"]

T = TypeVar("T")
MINUTE: Final = timedelta(minutes=1)
MARKETS_KEPT: Final = 3600.0  # seconds
GRACE: Final = 250  # milliseconds that ccxt lets TLS connections close in
_NEEDED: Final = ("createOrder", "cancelOrder", "fetchBalance")
_REMAINING: Final = "x-ratelimit-remaining"
_LIMIT: Final = "x-ratelimit-limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose account at which exchange, and how it is reached."""

    exchange: str
    credentials: Mapping[str, str] = field(repr=False)
    sandbox: bool
    market_type: str
    timeout: float
    url: str | None
    options: Mapping[str, Any]

    @property
    def venue(self) -> Venue:
        """What is particular to the exchange."""
        return venue_of(self.exchange, self.market_type)


def is_loopback(url: str) -> bool:
    """Whether *url* leads no further than this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Session:
    """An exchange that is open. Lives on the loop that opened it."""

    def __init__(self, account: Account, exchange: Any, tell: Callable[[RateLimitSeen], None]) -> None:
        self.exchange: Final = exchange
        self.venue: Final = account.venue
        self.opened_at: Final = datetime.now(UTC)
        self.name: Final = account.exchange
        self._tell: Final = tell

    @classmethod
    async def open(
        cls, account: Account, tell: Callable[[RateLimitSeen], None], before: Session | None = None
    ) -> Session:
        """Import the exchange in a thread, make it here, learn its markets; *before* may know them still."""
        kind, context = await asyncio.to_thread(_prepared, account.exchange)
        session = cls.made(kind, context, account, tell)
        try:
            await session.begin(before)
        except BaseException:
            await session.close()
            raise
        return session

    @classmethod
    def made(
        cls, kind: type[Any], context: Any, account: Account, tell: Callable[[RateLimitSeen], None]
    ) -> Session:
        """A session that has asked nothing yet. On the loop that will use it."""
        try:
            return cls(account, _made(kind, context, account), tell)
        except Exception as error:
            raise translated(error, Letter(), account.venue, account.exchange) from error

    async def begin(self, before: Session | None) -> None:
        """See that it can trade, and learn its markets."""
        exchange = self.exchange
        lacking = [name for name in _NEEDED if not exchange.has.get(name)]
        if lacking:
            why = f"{self.name} cannot be traded by ccxt: it lacks {', '.join(lacking)}"
            raise NotSupported(why, code="not_supported", outcome="NOT_SENT")
        if not exchange.check_required_credentials(error=False):
            wanted = [name for name, is_needed in exchange.requiredCredentials.items() if is_needed]
            why = f"{self.name} needs credentials: {', '.join(wanted)}"
            raise AuthenticationError(why, code="credentials", outcome="NOT_SENT")
        if before is not None and (datetime.now(UTC) - before.opened_at).total_seconds() < MARKETS_KEPT:
            exchange.set_markets(before.exchange.markets, before.exchange.currencies)
        else:
            await self.ask(exchange.load_markets)

    async def close(self) -> None:
        """Close its lines; closed already is fine."""
        exchange = self.exchange
        http, exchange.session = exchange.session, None
        try:
            await exchange.close()
        finally:
            if http is not None:
                await http.close()

    async def ask(
        self, what: Callable[..., Awaitable[T]], *arguments: object, terms: Terms | None = None
    ) -> T:
        """
        Let ccxt do *what*; raises `BrokerError`, with an outcome where there is evidence.

        *terms* are those of an order: they must stand in the request.
        """
        letter = Letter(terms=terms)
        token = LETTER.set(letter)
        try:
            # ccxt sets rounding and traps of whatever decimal context it finds.
            with localcontext():
                return await what(*arguments)
        except Exception as error:  # noqa: BLE001 - the border to ccxt
            raise translated(error, letter, self.venue, self.name) from error.__cause__
        finally:
            LETTER.reset(token)
            self._tell_limits(letter.headers)

    def needs_symbol(self, method: str) -> bool:
        """Whether the venue answers *method*, as in ``fetchOpenOrders``, for one symbol at a time only."""
        said = self.feature(method).get("symbolRequired")
        return bool(said)

    def feature(self, method: str) -> Mapping[str, Any]:
        """What ccxt says of *method* for the markets that are traded here."""
        kinds, options = _mapping(self.exchange.features), _mapping(self.exchange.options)
        kind = _mapping(kinds.get(str(options.get("defaultType") or "spot")))
        if method not in kind:
            kind = _mapping(kind.get(str(options.get("defaultSubType") or "linear")) or kinds.get("default"))
        return _mapping(kind.get(method))

    def _tell_limits(self, headers: Mapping[str, str]) -> None:
        for header, name in self.venue.used_headers.items():
            if (used := headers.get(header, "")).isdigit():
                self._tell(RateLimitSeen(name=name, used=int(used), reset_at=_next_minute()))
        limit, left = headers.get(_LIMIT, ""), headers.get(_REMAINING, "")
        if limit.isdigit() and left.isdigit():
            self._tell(RateLimitSeen(name="requests", used=max(0, int(limit) - int(left)), limit=int(limit)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _next_minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) + MINUTE


def _prepared(name: str) -> tuple[type[Any], Any]:
    """The class, and a TLS context: both take their time."""
    import ssl

    import certifi

    return wired_class(name), ssl.create_default_context(cafile=certifi.where())


def _made(kind: type[Any], context: Any, account: Account) -> Any:
    is_plain = account.url is not None and account.url.startswith("http:")
    exchange = kind(
        {
            **account.credentials,
            "ssl_context": context,
            "asyncio_loop": asyncio.get_running_loop(),
            "enableRateLimit": False,
            "logger": _logger(),
            "timeout": int(account.timeout * 1000),
            "timeout_on_exit": 0 if is_plain else GRACE,
            "options": {"defaultType": account.market_type, **account.venue.options, **account.options},
        }
    )
    _direct(exchange, account)
    exchange.own_session, exchange.session = False, _http(context)
    return exchange


def _http(context: Any) -> Any:
    import aiohttp

    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
    # A PUT may be an order: the session sends nothing again by itself. aiohttp has no public word for that.
    http._retry_connection = False  # type: ignore[attr-defined,unused-ignore]  # noqa: SLF001
    return http


def _logger() -> logging.Logger:
    """Not ccxt's own: at DEBUG that tells every request with its keys and signatures."""
    logger = logging.Logger("hotplug.brokers.ccxt", logging.INFO)
    logger.parent = logging.getLogger("hotplug.brokers")
    return logger


def _direct(exchange: Any, account: Account) -> None:
    """To the sandbox, and to another host."""
    if account.sandbox and exchange.urls.get("test"):
        exchange.set_sandbox_mode(True)
    elif account.sandbox and account.url is None:
        why = f"{account.exchange} has no sandbox that ccxt knows of"
        raise NotSupported(why, code="not_supported", outcome="NOT_SENT")
    if account.url is not None:
        exchange.urls["api"] = _moved(exchange.urls["api"], urlsplit(account.url))


def _moved(urls: Any, to: Any) -> Any:
    """*urls* at another host; their paths stay."""
    if isinstance(urls, dict):
        return {name: _moved(each, to) for name, each in cast("dict[str, Any]", urls).items()}
    return urlunsplit((to.scheme, to.netloc, urlsplit(str(urls)).path, "", ""))
