"""How gateways are left: calls under way awaited, orders cancelled or left open, and those named."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hotplug.brokers._hosting._brake import is_idle
from hotplug.brokers._settings import OPERATOR
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.errors import BrokerError
from hotplug.market import CancelScope, Origin

if TYPE_CHECKING:
    from hotplug.brokers._contract import IBrokerGateway
    from hotplug.brokers._hosting._books import Books
    from hotplug.market import Order

__all__ = ["Parting"]

_log = logging.getLogger("hotplug.brokers")


class Parting:
    """Says goodbye to gateways, and remembers which orders stay open. Lives on the home loop."""

    def __init__(self, books: Books) -> None:
        self._books: Final = books
        self._left: Final[list[Order]] = []

    async def farewell(self, key: str, gateway: IBrokerGateway, deadline: float, *, cancel: bool) -> None:
        """Disconnect *gateway* within *deadline* seconds; with *cancel* cancel first, if so set."""
        if not is_idle(gateway):
            if cancel and self._books.settings(key).on_shutdown == "cancel":
                await self._cancel(key, gateway, deadline / 2)
            if not isinstance(gateway, BrokerGateway):
                await self._note_open(key, gateway, deadline / 4)
        if isinstance(gateway, BrokerGateway):
            await gateway.disconnect(deadline=deadline)
        else:
            await gateway.disconnect()

    async def _cancel(self, key: str, gateway: IBrokerGateway, deadline: float) -> None:
        try:
            results = await self._books.desk(key, gateway).cancel_all_for(OPERATOR, CancelScope.OWN, deadline)
        except BrokerError as error:
            _log.warning("brokers/%s: its open orders were not cancelled: %s", key, error)
            return
        for result in results:
            if isinstance(result, BrokerError):
                _log.warning("brokers/%s: an order was not cancelled: %s", key, result)

    async def _note_open(self, key: str, gateway: IBrokerGateway, deadline: float) -> None:
        """Once it is disconnected, it cannot be asked any more."""
        try:
            found = await gateway.get_open_orders(deadline=deadline)
        except BrokerError as error:
            _log.warning("brokers/%s: its open orders are not known: %s", key, error)
            return
        self._left.extend(self._told(key, order) for order in found if order.origin is Origin.OWN)

    def left_open(self) -> tuple[Order, ...]:
        """The own orders that stay open at their venues, or may do so."""
        for key, book in self._books.all().items():
            self._left.extend(self._told(key, held.order) for held in book.open() if held.is_own)
        return tuple(self._left)

    def _told(self, key: str, order: Order) -> Order:
        what = f"{order.side} {order.leaves_qty} {order.symbol}, {order.status}"
        _log.warning("brokers/%s: order %s stays open (%s)", key, order.client_order_id, what)
        return order
