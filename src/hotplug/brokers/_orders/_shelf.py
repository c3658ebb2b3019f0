"""Where orders and fills stand, as long as they are kept."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hotplug.brokers._orders._held import Held
    from hotplug.market import Fill

__all__ = ["Shelf"]

DAY: Final = 86_400.0


class Shelf:
    """
    Orders by every id that they have, those that are open by account, and fills by age.

    *clock* tells how long ago something ended. Nothing here changes an order.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._by_client: dict[tuple[str, str], Held] = {}
        self._by_venue: dict[str, Held] = {}
        self._open: dict[str, dict[Held, None]] = {}
        self._ended: deque[Held] = deque()
        self._fills: deque[tuple[float, Fill]] = deque()
        self._trades: dict[tuple[str, str], None] = {}

    def get(self, account: str, client_order_id: str) -> Held | None:
        """The order under that id of that account."""
        return self._by_client.get((account, client_order_id))

    def named(self, client_order_id: str | None, order_id: str | None) -> list[Held]:
        """The orders that these ids name: one, unless several accounts use one client id."""
        if order_id is not None:
            held = self._by_venue.get(order_id)
            fits = held is not None and client_order_id in {None, held.order.client_order_id}
            if held is not None and fits:
                return [held]
            if client_order_id is None:
                return []
        assert client_order_id is not None  # noqa: S101 - a reference has the one or the other
        found = [
            held
            for name in tuple(self._open)
            if (held := self._by_client.get((name, client_order_id))) is not None
        ]
        return [held for held in found if order_id is None or held.order.order_id in {None, order_id}]

    def open(self) -> Iterator[Held]:
        """Every order that has not ended, UNKNOWN ones included, by account and age."""
        for orders in tuple(self._open.values()):
            yield from tuple(orders)

    def open_count(self, account: str) -> int:
        """How many orders of an account have not ended."""
        return len(self._open.get(account, ()))

    def fills(self) -> Iterator[Fill]:
        """What was traded, as far back as it is kept, oldest first."""
        return (fill for _, fill in tuple(self._fills))

    def __len__(self) -> int:
        return len(self._by_client)

    def _open_of(self, account: str) -> dict[Held, None]:
        found = self._open.get(account)
        if found is None:
            found = self._open[account] = {}
        return found

    # -- forgetting --------------------------------------------------------------------------------

    def _has_ended(self, held: Held) -> None:
        held.ended_at = self._clock()
        self._ended.append(held)

    def _forget_ended(self) -> None:
        """Terminal orders and fills stay for a day at least."""
        oldest = self._clock() - DAY
        while self._ended and self._ended[0].ended_at < oldest:
            held = self._ended.popleft()
            if self._by_client.get(held.key) is held:
                del self._by_client[held.key]
            for order_id in (held.order.order_id, *held.aliases):
                if order_id is not None and self._by_venue.get(order_id) is held:
                    del self._by_venue[order_id]
        while self._fills and self._fills[0][0] < oldest:
            _, fill = self._fills.popleft()
            self._trades.pop((fill.account, fill.trade_id), None)
