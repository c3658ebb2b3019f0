"""
A venue as plain data, for the next generation of its gateway: what happens next is what would have happened.

A file keeps what must outlive the process; this is more: the order in which things fall due, what is left of
a shared market's liquidity, and what was told last.
"""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any, Final

from hotplug.market import Bar, Quote
from hotplug_broker_paper._venue_floor import Changes
from hotplug_broker_paper._venue_match import Pool
from hotplug_broker_paper._venue_money import exactly
from hotplug_broker_paper._venue_rows import changed_rows, restore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug_broker_paper._venue import Venue

__all__ = ["STATE", "check_left_behind", "prices_from", "prices_told", "take_over", "told"]

STATE: Final = 1
"""The version of what is told here; raised whenever that, or a column of the rows, changes."""
MARKET: Final[dict[str, Any]] = {"bar": Bar, "quote": Quote}


@exactly
def told(venue: Venue) -> dict[str, Any]:
    """All that *venue* knows, but its rules."""
    everything = Changes()
    for account in venue.accounts.values():
        everything.accounts[account] = None
        everything.holdings.update(dict.fromkeys((account, symbol) for symbol in account.ledger.holdings))
        everything.seen.update(dict.fromkeys((account, symbol) for symbol in account.seen))
        everything.orders.update(dict.fromkeys(account.open_orders()))
    everything.orders.update(dict.fromkeys(venue.ended))
    everything.fills.extend(venue.fills)
    return {
        "currency": venue.rules.currency,
        "seq": venue.seq,
        "tables": changed_rows(everything),
        "books": {name: list(account.books) for name, account in venue.accounts.items()},
        "agendas": {name: account.agenda() for name, account in venue.accounts.items()},
        "shared": [
            (_spelled(said), turn, pool.rest, [account.name for account in shown])
            for (said, turn), (pool, shown) in venue.shared.items()
        ],
    }


@exactly
def take_over(venue: Venue, state: Mapping[str, Any]) -> None:
    """
    Put what another told into a new *venue*.

    Raises `ValueError` where its money is another, `ArithmeticError` or `LookupError` for what no venue told.
    """
    if state["currency"] != venue.rules.currency:
        raise ValueError(
            f"the accounts are in {state['currency']}, the settings say {venue.rules.currency}: "
            f"another currency needs another broker"
        )
    restore(venue, state["tables"])
    venue.seq = state["seq"]
    venue.forget_the_oldest()
    for name, account in venue.accounts.items():
        for symbol in state["books"][name]:
            book = account.book(symbol)
            del account.books[symbol]
            account.books[symbol] = book  # in the order in which it was told
        account.keep_to(state["agendas"][name], venue.by_order_id)
    for said, turn, rest, shown in state["shared"]:
        pool = Pool(*rest[:2], is_one=rest[2])
        venue.shared[_market_of(said), turn] = pool, {venue.accounts[name] for name in shown}


def prices_told(prices: Mapping[str, Bar | Quote]) -> list[Any]:
    """What the market said last of each symbol."""
    return [_spelled(said) for said in prices.values()]


def prices_from(told: list[Any]) -> dict[str, Bar | Quote]:
    """What `prices_told` told."""
    return {said.symbol: said for said in map(_market_of, told)}


def check_left_behind(state: Mapping[str, Any], kept_in: str | None) -> None:
    """Raise `ValueError` where orders are open in one place, and what comes next keeps them in another."""
    if state["open"]:
        before, after = state["file"] or "memory", kept_in or "memory"
        raise ValueError(
            f"{state['open']} orders are open in {before}, and would be lost to a broker that keeps "
            f"its own in {after}: cancel them first"
        )


def _spelled(said: Bar | Quote) -> tuple[str, tuple[Any, ...]]:
    return "bar" if isinstance(said, Bar) else "quote", astuple(said)


def _market_of(spelled: tuple[str, tuple[Any, ...]]) -> Any:
    kind, values = spelled
    record = MARKET[kind]
    return record(**dict(zip((each.name for each in fields(record)), values, strict=True)))
