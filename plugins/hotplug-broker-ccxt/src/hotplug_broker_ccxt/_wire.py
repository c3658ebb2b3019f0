"""
What really goes over the wire: the last look at an order before it is sent, and what came back.

ccxt rounds and truncates amounts and prices to a market's precision without a word (0.123456789 becomes
0.12345). So the request that it made of an order is read again, as it was signed, and compared with what was
asked for; where it differs, it is not sent. What a call sent and what was answered is noted in its `Letter`:
whether an order may have arrived is judged by that, never by the class of an exception alone.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

from hotplug.errors import BrokerUnavailable, OrderDenied
from hotplug_broker_ccxt._loading import exchange_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LETTER", "Letter", "Terms", "exact_json", "wired_class"]

Values = list[tuple[str, str]]

_QUANTITIES: Final = frozenset(
    {"amount", "orderqty", "origqty", "qty", "quantity", "size", "sz", "newsz", "vol", "volume", "base_size"}
)
_PRICES: Final = frozenset({"price", "px", "newpx", "limit_price", "limitprice", "orderprice", "rate"})
_STOPS: Final = frozenset({"stopprice", "stop_price", "triggerprice", "trigger_price", "triggerpx"})
_DEPTH: Final = 6
_ERRORS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What must stand in a request, exactly; ``None`` is not looked for."""

    qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    client_id: str | None = None

    def check(self, values: Values, *, is_query: bool = False) -> None:
        """
        Raise `OrderDenied` where *values*, as they would be sent, say something else.

        A query is taken for the order only if it names it: ccxt may have something to ask beforehand.
        """
        if is_query and (self.client_id is None or all(text != self.client_id for _, text in values)):
            return
        for what, asked, names in (
            ("qty", self.qty, _QUANTITIES),
            ("price", self.price, _PRICES),
            ("stop_price", self.stop_price, _STOPS),
        ):
            if asked is not None:
                _check_number(what, asked, names, values)
        if self.client_id is not None and all(text != self.client_id for _, text in values):
            raise _altered(f"the client order id {self.client_id!r} would not reach the venue as it is")


def _check_number(what: str, asked: Decimal, names: frozenset[str], values: Values) -> None:
    numbers = [(name.lower(), number) for name, text in values if (number := _number(text)) is not None]
    named = [number for name, number in numbers if name in names]
    # Some venues write what is sold as a negative amount.
    other = next((number for number in named if abs(number) != asked), None)
    if other is not None:
        raise _altered(f"{what} {asked} would be sent as {other}")
    if all(abs(number) != asked for _, number in numbers):
        raise _altered(f"{what} {asked} does not stand in the request that ccxt made")


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _altered(why: str) -> OrderDenied:
    return OrderDenied(f"{why}: nothing was sent", code="altered", outcome="NOT_SENT")


@dataclass(slots=True)
class Letter:
    """What one of our calls sent, and what was answered."""

    terms: Terms | None = None
    is_sent: bool = False
    method: str = ""
    path: str = ""
    status: int | None = None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def send(self, url: str, method: str, headers: Mapping[str, str] | None, body: object) -> None:
        """It goes out now, unless it is an order and differs from its terms."""
        self.method, self.path = method, urlsplit(url).path
        if self.terms is not None:
            self.terms.check(list(_written(url, headers or {}, body)), is_query=method == "GET")
        self.is_sent, self.status, self.body = True, None, ""

    def answer(self, status: int, headers: Mapping[str, str], body: str) -> None:
        """It was answered."""
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers.items()}


LETTER: Final[ContextVar[Letter]] = ContextVar("hotplug_broker_ccxt.letter")


def _written(url: str, headers: Mapping[str, str], body: object) -> Iterator[tuple[str, str]]:
    """Every name and value of a request, wherever venues want them: query, form, JSON, encoded header."""
    yield from parse_qsl(urlsplit(url).query, keep_blank_values=True)
    if isinstance(body, dict):
        yield from _flat("", cast("object", body), _DEPTH)
    elif isinstance(body, str) and body:
        yield from _text(body)
    for value in headers.values():
        with suppress(ValueError):
            yield from _text(base64.b64decode(value, validate=True).decode())


def _text(text: str) -> Iterator[tuple[str, str]]:
    if text[:1] not in "{[":
        yield from parse_qsl(text, keep_blank_values=True)
        return
    with suppress(ValueError):
        yield from _flat("", json.loads(text, parse_float=str, parse_int=str), _DEPTH)


def _flat(name: str, value: object, depth: int) -> Iterator[tuple[str, str]]:
    if depth and isinstance(value, dict):
        for key, each in cast("dict[str, object]", value).items():
            yield from _flat(key, each, depth - 1)
    elif depth and isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _flat(name, each, depth - 1)
    elif value is not None and not isinstance(value, bool):
        yield name, str(value)


def _exact(text: str) -> float | str:
    number = float(text)
    # ccxt reads numbers by way of str(): a float that prints as it was written loses nothing.
    return number if Decimal(repr(number)) == Decimal(text) else text


def exact_json(text: str) -> Any:
    """*text* decoded; numbers that no float can hold stay text, which ccxt takes just as well."""
    return json.loads(text, parse_float=_exact)


class Wired:
    """What is added to ccxt's class of an exchange. Names are ccxt's: these are its own hooks."""

    number = str  # exact, and understood by all of ccxt; with Decimal it loses fees

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Look at a request for the last time; a GET over a line that had gone stale is sent again."""
        LETTER.get().send(url, method, headers, body)
        parent = cast("Any", super())
        try:
            return await parent.fetch(url, method, headers, body)
        except Exception as error:  # the border to ccxt: what is not this one case is raised again
            if method != "GET" or not _was_stale(error):
                raise
        return await parent.fetch(url, method, headers, body)

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *request: Any
    ) -> str:
        """Note what was answered; a page, as proxies and portals send them, is no answer."""
        LETTER.get().answer(code, headers, body)
        if code < _ERRORS and body.lstrip().startswith("<"):
            raise BrokerUnavailable(
                f"a page instead of an answer ({method} {urlsplit(url).path})", code="page"
            )
        return cast(
            "str", cast("Any", super()).on_rest_response(code, reason, url, method, headers, body, *request)
        )

    def on_json_response(self, body: str) -> Any:
        """Decode an answer without loss."""
        return exact_json(body)


def _was_stale(error: BaseException) -> bool:
    return type(error.__cause__).__name__ in {"ServerDisconnectedError", "ClientOSError"}


@cache
def wired_class(name: str) -> type[Any]:
    """The class of an exchange, its wire looked after. Imports it: call it in a thread."""
    return type(f"{name}_wired", (Wired, exchange_class(name)), {})
