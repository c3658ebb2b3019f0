"""What every service is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotplug._records import Health

__all__ = ["Service"]


class Service(ABC):
    """
    Something that runs while the host does. *requires* names the services that must run before it.

    In a hot reload the next one starts beside it, and it is stopped after that. One whose `start` raises, or
    is cancelled for being late, is stopped too.

    All three methods are called on the host's event loop, one at a time.
    """

    requires: tuple[str, ...] = ()

    @abstractmethod
    async def start(self) -> None:
        """Begin; return when it is at work. What was begun before an error must be undone by `stop`."""

    @abstractmethod
    async def stop(self) -> None:
        """End, and leave nothing behind. Harmless if it is not running."""

    @abstractmethod
    async def health(self) -> Health:
        """How it is, right now: asked every few seconds while it runs, with 5 s to answer; do not block."""
