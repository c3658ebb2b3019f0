"""A gateway's session at a venue: every call that it can make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from hotplug_broker_mock._line import Link

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from hotplug.market import Bar, Instrument, Order, OrderChange, OrderRef, Quote, Snapshot
    from hotplug_broker_mock._calls import Desk, Fate
    from hotplug_broker_mock._floor import Floor

__all__ = ["Session"]


class Session(Link):
    """
    What a gateway holds of a venue. Its calls are for the loop that it was opened on.

    A call without a session raises `BrokerUnavailable`, NOT_SENT; one whose session ends meanwhile, a
    `ConnectionResetError`, which says nothing of the outcome.
    """

    def __init__(
        self,
        number: int,
        report: Callable[[Any], None],
        loop: asyncio.AbstractEventLoop,
        desk: Desk,
        floor: Floor,
    ) -> None:
        super().__init__(number, report, loop)
        self._desk: Final = desk
        self._floor: Final = floor

    async def place(self, order: Order) -> str | None:
        """Send *order*; the venue's id for it."""

        def act(fate: Fate) -> str | None:
            return self._floor.take(order, fate.rule.fills, self.loop).order_id

        return cast("str | None", await self._call("place", act, order, of=order))

    async def cancel(self, order: Order) -> None:
        """Cancel *order*; `InvalidRequest`, REJECTED, if it has ended already."""

        def act(fate: Fate) -> None:
            self._overtake(order, fate)
            self._floor.cancel(order)

        await self._call("cancel", act, order, of=order)

    async def modify(self, order: Order, change: OrderChange) -> str | None:
        """Change *order*; the venue's id for it from now on."""

        def act(fate: Fate) -> str | None:
            self._overtake(order, fate)
            return self._floor.change(order, change).order_id

        return cast("str | None", await self._call("modify", act, (order, change), of=order))

    async def query(self, ref: OrderRef) -> Order:
        """The order as the venue has it; `OrderNotFound`."""
        answer = await self._call("query", lambda _fate: self._floor.book.find(ref), ref, of=ref)
        return cast("Order", answer)

    async def snapshot(self) -> Snapshot:
        """Everything at one instant: that at which the call was there."""
        return cast("Snapshot", await self._call("snapshot", lambda _fate: self._floor.snapshot()))

    async def instrument(self, symbol: str) -> Instrument:
        """How *symbol* is traded."""
        market = self._floor.market
        answer = await self._call(
            "instrument", lambda _fate: market.instrument(symbol), symbol, symbol=symbol
        )
        return cast("Instrument", answer)

    async def quote(self, symbol: str) -> Quote:
        """The newest quote of *symbol*."""
        market = self._floor.market
        answer = await self._call("quote", lambda _fate: market.quote(symbol), symbol, symbol=symbol)
        return cast("Quote", answer)

    async def bars(self, symbol: str, start: datetime, end: datetime) -> tuple[Bar, ...]:
        """The bars of *symbol* from *start* until before *end*."""
        market = self._floor.market
        answer = await self._call(
            "bars", lambda _fate: market.bars_between(symbol, start, end), symbol, symbol=symbol
        )
        return cast("tuple[Bar, ...]", answer)

    async def subscribe(self, symbols: frozenset[str]) -> None:
        """Have the quotes of *symbols* reported, and of no others."""

        def act(_fate: Fate) -> None:
            self.symbols = symbols

        await self._call("subscribe", act, symbols)

    async def ping(self) -> datetime:
        """What the venue takes for the time."""
        return cast("datetime", await self._call("ping", lambda _fate: self._floor.now()))

    def _overtake(self, order: Order, fate: Fate) -> None:
        if fate.rule.fill_first:
            self._floor.trade_first(order)

    async def _call(
        self,
        name: str,
        act: Callable[[Fate], object],
        payload: object = None,
        *,
        of: Order | OrderRef | None = None,
        symbol: str | None = None,
    ) -> object:
        self.require()
        client_order_id = None if of is None else of.client_order_id
        symbol = symbol or getattr(of, "symbol", None)
        return await self._desk.call(self, name, act, payload, client_order_id, symbol)
