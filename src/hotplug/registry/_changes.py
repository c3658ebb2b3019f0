"""Telling listeners what changed: outside the lock, one at a time, in order."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug._records import RegistryChange

    Listener: TypeAlias = Callable[[RegistryChange], None]

__all__ = ["Announcer", "Subscription"]


class Subscription:
    """One listener's wish to be told, until it is cancelled."""

    __slots__ = ("listener",)

    def __init__(self, listener: Listener) -> None:
        self.listener: Listener | None = listener

    def deliver(self, change: RegistryChange) -> None:
        """Tell the listener, unless it does not want to know any more."""
        listener = self.listener
        if listener is None:
            return
        try:
            listener(change)
        except KeyboardInterrupt:
            raise
        except BaseException:
            import logging

            logging.getLogger("hotplug.registry").exception(
                "a listener of %s raised on %s %r", change.registry, change.action, change.key
            )


class Announcer:
    """
    Keeps the subscriptions and the changes that were not told yet.

    `subscribe`, `cancel` and `queue` belong under the registry's lock, `deliver` outside it.
    """

    __slots__ = ("_delivering", "pending", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: tuple[Subscription, ...] = ()
        self.pending: deque[tuple[Subscription, RegistryChange]] = deque()
        self._delivering = threading.Lock()

    def subscribe(self, listener: Listener) -> Subscription:
        """Tell *listener* of every change that is queued from now on."""
        subscription = Subscription(listener)
        self.subscriptions += (subscription,)
        return subscription

    def cancel(self, subscription: Subscription) -> None:
        """Tell it nothing more, not even what is queued."""
        subscription.listener = None
        self.subscriptions = tuple(other for other in self.subscriptions if other is not subscription)

    def queue(self, change: RegistryChange) -> None:
        """Remember to tell *change* to those who are subscribed now."""
        self.pending.extend((subscription, change) for subscription in self.subscriptions)

    def deliver(self) -> None:
        """
        Tell what is queued.

        Whoever finds another thread (or a caller further up this one) at it leaves it to that one,
        which looks again after it has let go: nothing is left behind, nothing told out of turn.
        """
        while self.pending and self._delivering.acquire(blocking=False):
            try:
                while self.pending:
                    subscription, change = self.pending.popleft()
                    subscription.deliver(change)
            finally:
                self._delivering.release()
