"""What a venue does by itself, where no rule says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from hotplug_broker_mock._rules import Delay, Fills

__all__ = ["Habits", "Tells"]

Tells: TypeAlias = Literal["all", "fills", "updates", "nothing"]
"""What a venue reports of its orders."""

EVERYTHING: Final = frozenset({"orders", "fills", "positions", "balances"})


@dataclass(slots=True, kw_only=True)
class Habits:
    """
    What a venue does by itself. All of it may be changed at any time; it holds from the next call on.

    *fills* is what becomes of an accepted order: ``rest`` nothing · ``now`` what can trade does so before
    the answer (market orders, and limits that reach the quote, or *price* where there is none) · ``soon``
    the same just after it · ``random`` any order trades in none to three parts within *spread* seconds.
    *fee* is taken of each fill, as a fraction of its notional.

    *tells* is what is reported: ``all``, only ``fills`` (and states that no fill says), only ``updates``, or
    ``nothing``. *latency* is how long a call takes to get there (seconds, or a range). *heartbeat* is how
    often one is sent to each session (seconds), *skew* how far the venue's clock is ahead.

    *accounts*: others are refused; without any, each is opened as it comes. All start with *cash*.
    *deduplicate* refuses a used client id; without it, what is sent twice stands there twice.
    More than *max_calls* places, cancels and changes in any *per* seconds are answered with `RateLimited`.
    A session beyond *max_sessions* ends the oldest. With *new_ids*, a change gives the order a new venue id.
    *snapshot_has* names what a snapshot tells (the rest is ``None``), *snapshot_ended* adds the orders
    that have ended.
    """

    fills: Fills = "rest"
    price: Decimal = Decimal(100)
    spread: float = 0.01
    fee: Decimal = Decimal(0)
    tells: Tells = "all"
    latency: Delay = 0.0
    heartbeat: float | None = None
    skew: float = 0.0
    accounts: tuple[str, ...] = ()
    cash: Decimal = Decimal(100_000)
    currency: str = "USD"
    deduplicate: bool = False
    max_calls: int | None = None
    per: float = 1.0
    max_sessions: int | None = None
    new_ids: bool = False
    snapshot_has: frozenset[str] = EVERYTHING
    snapshot_ended: bool = False
