"""What the server knew when an order went to it, and whether it may have forgotten that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from hotplug_broker_grpc._verbs import LASTING

if TYPE_CHECKING:
    from hotplug.market import Order

__all__ = ["Name", "Remembering", "name_of"]

REMEMBERED: Final = timedelta(hours=12)
"""How long a server surely remembers an order that has ended: half of what it promises."""
Name: TypeAlias = tuple[str | None, str | None]


class Remembering:
    """The server's memory by its own name for it: *now*, and at the time of each call without an answer."""

    def __init__(self) -> None:
        self.now = ""
        self._then: Final[dict[Name, str]] = {}

    def sending(self, order: Order) -> None:
        """*order* goes to the server as it is now."""
        self._then[name_of(order)] = self.now

    def answered(self, order: Order) -> None:
        """What became of *order* was said: nothing need be known of its call any more."""
        self._then.pop(name_of(order), None)

    def may_lack(self, order: Order) -> bool:
        """Whether *order* went to a server that may have remembered what this one does not."""
        made = order.created_at
        if made is None or datetime.now(UTC) - made > REMEMBERED:
            return True
        then = self._then.get(name_of(order))
        return not self.now.startswith(LASTING) if then is None else then != self.now


def name_of(order: Order) -> Name:
    """Account and client id."""
    return order.account, order.client_order_id
