"""
What is particular to an exchange and cannot be asked of ccxt: one small table.

An exchange that is not in it works with what ccxt says of it, and with the careful answer where that says
nothing: what a reply means is unknown, and an order that is not found may still arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers import RateWindow

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Venue", "default_windows", "venue_of"]

MILLISECONDS: Final = 1000.0
BURST: Final = 10
_COSTS: Final = {"connect": 2, "snapshot": 4, "ping": 2, "subscribe": 0, "instrument": 0, "*": 1}
"""How many requests a call makes, where requests are what is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """
    One exchange, or a family of them.

    *used_headers* name the response headers that tell how much of a window is used. *codes* and *words*
    (part of a message, kind of refusal) go before ccxt's own classification; *doubtful* are the codes of
    replies that say themselves that the outcome is unknown. *forgets_after*: seconds after which a request
    that did not arrive is refused by the venue for its age, so an order that is not found then never was.
    *is_amending*: an order is changed in place, it keeps its id. *is_cheaper_by_symbol*: open orders are
    asked for symbol by symbol, while these are no more than *most_symbols*.
    """

    windows: tuple[RateWindow, ...] = ()
    used_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    codes: Mapping[str, str] = field(default_factory=dict[str, str])
    words: tuple[tuple[str, str], ...] = ()
    doubtful: frozenset[str] = frozenset()
    id_length: int = 36
    id_alphabet: str | None = None
    is_asked_by_client_id: bool = False
    is_amending: bool = False
    is_cheaper_by_symbol: bool = False
    most_symbols: int = 10
    forgets_after: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


_BINANCE_WORDS: Final = (
    ("duplicate order sent", "duplicate"),
    ("insufficient balance", "funds"),
    ("market is closed", "closed"),
    ("order would trigger immediately", "invalid"),
    ("stop price would trigger immediately", "invalid"),
    ("immediately match and take", "invalid"),
    ("invalid api-key, ip, or permissions", "auth"),
    ("unknown order sent", "not found"),
    ("order does not exist", "not found"),
    ("too many new orders", "limited"),
)
_BINANCE_DOUBTFUL: Final = frozenset({"-1000", "-1001", "-1004", "-1006", "-1007", "-1008", "-1016"})
_BINANCE_ALPHABET: Final = ascii_letters + digits + "-_"
# A request is refused when it is older than recvWindow: 10 s as ccxt has it, a minute at most. Another minute
# is for the databases that queries are answered from.
_RECEIVE_WINDOW: Final = 120.0

_BINANCE_SPOT: Final = Venue(
    windows=(
        RateWindow(
            "weight",
            limit=6000,
            window=60.0,
            scope="ip",
            weights={
                "connect": 21,
                "place": 1,
                "cancel": 1,
                "modify": 1,
                "query": 4,
                "snapshot": 120,
                "ping": 7,
                "quote": 4,
                "bars": 2,
                "positions": 20,
                "balances": 20,
            },
        ),
        RateWindow("orders", limit=100, window=10.0, scope="key", weights={"place": 1}),
    ),
    used_headers={"x-mbx-used-weight-1m": "weight", "x-mbx-order-count-10s": "orders"},
    words=_BINANCE_WORDS,
    doubtful=_BINANCE_DOUBTFUL,
    id_alphabet=_BINANCE_ALPHABET,
    is_asked_by_client_id=True,
    is_cheaper_by_symbol=True,
    forgets_after=_RECEIVE_WINDOW,
    options={
        "fetchMarkets": {"types": ["spot"]},
        "fetchMargins": False,
        "fetchCurrencies": False,
        "fetchOpenOrders": {"warnWithoutSymbol": False},
        "warnOnFetchOpenOrdersWithoutSymbol": False,
    },
)
_BINANCE_FUTURES: Final = Venue(
    windows=(
        RateWindow(
            "weight",
            limit=2400,
            window=60.0,
            scope="ip",
            weights={
                "connect": 2,
                "place": 1,
                "cancel": 1,
                "modify": 1,
                "query": 1,
                "snapshot": 50,
                "ping": 2,
                "quote": 2,
                "bars": 5,
                "positions": 5,
                "balances": 5,
            },
        ),
        RateWindow("orders", limit=300, window=10.0, scope="key", weights={"place": 1, "modify": 1}),
    ),
    used_headers={"x-mbx-used-weight-1m": "weight", "x-mbx-order-count-10s": "orders"},
    words=_BINANCE_WORDS,
    doubtful=_BINANCE_DOUBTFUL,
    id_alphabet=_BINANCE_ALPHABET,
    is_asked_by_client_id=True,
    is_amending=True,
    is_cheaper_by_symbol=True,
    forgets_after=_RECEIVE_WINDOW,
    options={
        "fetchCurrencies": False,
        "fetchOpenOrders": {"warnWithoutSymbol": False},
        "warnOnFetchOpenOrdersWithoutSymbol": False,
    },
)
_OKX: Final = Venue(
    codes={"51016": "duplicate"},
    doubtful=frozenset({"50001", "50004", "50013", "50026"}),
    id_length=32,
    id_alphabet=ascii_letters + digits,
    is_asked_by_client_id=True,
    is_amending=True,
)
_BYBIT: Final = Venue(
    codes={"110072": "duplicate", "170141": "duplicate"},
    doubtful=frozenset({"10000", "10016"}),
    id_alphabet=ascii_letters + digits + "-_",
    is_amending=True,
    forgets_after=_RECEIVE_WINDOW,
)
_TABLE: Final[Mapping[str, Venue]] = {
    "binance": _BINANCE_SPOT,
    "binancecoinm": _BINANCE_FUTURES,
    "binanceus": _BINANCE_SPOT,
    "binanceusdm": _BINANCE_FUTURES,
    "bybit": _BYBIT,
    "deribit": Venue(id_length=64, is_amending=True),
    "kraken": Venue(words=(("duplicate", "duplicate"),)),
    "myokx": _OKX,
    "okx": _OKX,
    "okxus": _OKX,
}
_ORDINARY: Final = Venue()


def venue_of(exchange: str, market_type: str) -> Venue:
    """What is known of *exchange*; one id may stand for several kinds of markets, each with its own rules."""
    if exchange == "binance" and market_type != "spot":
        return _BINANCE_FUTURES
    return _TABLE.get(exchange, _ORDINARY)


def default_windows(milliseconds: float) -> tuple[RateWindow, ...]:
    """The one figure that ccxt tells, *milliseconds* from one request to the next, as a rate of bursts."""
    return (RateWindow("requests", BURST, BURST * max(milliseconds, 1.0) / MILLISECONDS, weights=_COSTS),)
