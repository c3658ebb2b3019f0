"""What an order is checked against: how its symbol is traded, what it costs now, what the operator allows."""

# pyright: reportPrivateUsage=false
# The template calls hooks, which are private names of the plugin's.

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

from hotplug.brokers._orders._checks import check_limits, check_steps, denied, needs_quote
from hotplug.brokers._orders._held import with_outcome
from hotplug.brokers._settings import NO_LIMITS
from hotplug.errors import BrokerError, Outcome
from hotplug.market import Capability

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hotplug.brokers._orders._held import Held
    from hotplug.brokers._template._core import Core
    from hotplug.market import Instrument, Order, OrderRequest, Quote

__all__ = ["Lookups"]

T = TypeVar("T")
ONE: Final = Decimal(1)
# On the way of each order: a member of an enum, looked up by its name, costs ten times a global.
INSTRUMENTS: Final = Capability.INSTRUMENTS
QUOTE_AGE: Final = 5.0
"""How old, in seconds, a quote may be that limits are checked against."""


class Lookups:
    """The checks of an order that need facts, and the facts that they need. Lives on the home loop."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        self._known: Final[dict[str, Instrument]] = {}

    def forget(self) -> None:
        """Ask anew how symbols are traded."""
        self._known.clear()

    @property
    def are_needed(self) -> bool:
        """Whether an order may be refused for anything but its own terms."""
        core = self._core
        return core.book.settings.limits is not NO_LIMITS or INSTRUMENTS in core.gateway.capabilities

    def is_fit(self, held: Held) -> bool:
        """Whether all checks could be made without asking anybody; raises what they say."""
        core, request = self._core, held.request
        limits = core.book.settings.limits
        instrument = self._known.get(request.symbol)
        if instrument is None:
            if INSTRUMENTS in core.gateway.capabilities:
                return False
        else:
            check_steps(request, instrument)
        if limits is not NO_LIMITS:
            if needs_quote(limits):
                return False
            multiplier = ONE if instrument is None else instrument.multiplier
            check_limits(request, held.account, core.book, quote=None, multiplier=multiplier, is_new=True)
        return True

    async def check(self, order: Order | OrderRequest, account: str, until: float, *, is_new: bool) -> None:
        """Raise `OrderDenied` for steps that the venue lacks, and where the operator's limits say no."""
        book = self._core.book
        instrument = await self.instrument(order.symbol, until)
        if instrument is not None:
            check_steps(order, instrument)
        quote = await self._quote(order.symbol, account, until) if needs_quote(book.settings.limits) else None
        multiplier = ONE if instrument is None else instrument.multiplier
        check_limits(order, account, book, quote=quote, multiplier=multiplier, is_new=is_new)

    async def instrument(self, symbol: str, until: float) -> Instrument | None:
        """How *symbol* is traded, asked once; ``None`` where the gateway cannot tell."""
        core = self._core
        if INSTRUMENTS not in core.gateway.capabilities:
            return None
        found = self._known.get(symbol)
        if found is None:
            found = await self._asked("instrument", core.gateway._instrument, symbol, until)
            self._known[symbol] = found
        return found

    async def _quote(self, symbol: str, account: str, until: float) -> Quote | None:
        core = self._core
        quote = core.book.quotes.get(symbol, QUOTE_AGE)
        if quote is not None and (core.book.time_of(account) - quote.time).total_seconds() > QUOTE_AGE:
            quote = None  # it came just now, and tells of long ago
        if quote is None and Capability.QUOTES in core.gateway.capabilities:
            try:
                quote = await self._asked("quote", core.gateway._quote, symbol, until)
            except BrokerError as error:
                why = f"no fresh quote of {symbol}: its limits cannot be checked: {error}"
                raise denied("no_quote", why) from error
            core.book.quotes.put(quote)
        return quote

    async def _asked(
        self, name: str, hook: Callable[[str], Awaitable[T] | T], symbol: str, until: float
    ) -> T:
        """What a hook says; what it raises means that nothing was sent."""
        try:
            return await self._core.call(name, hook, symbol, until=until)
        except BrokerError as error:
            raise with_outcome(error, Outcome.NOT_SENT) from error
