"""Taking back exactly one's own effect, once, and nothing newer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from hotplug.registry._entries import Record
    from hotplug.registry._leases import Leases

__all__ = ["Undo", "Withdrawal", "registration", "when_released"]

Undo: TypeAlias = Callable[[], None]
"""Takes back exactly the effect of the call that returned it, once, and nothing newer."""


class Withdrawal:
    """
    The undo of a registration.

    Its attributes are set by who makes it: an ``__init__`` is a call more for every registration.
    """

    __slots__ = ("key", "leases", "record", "withdraw")

    withdraw: Callable[[str, Record[Any]], None]
    leases: Leases
    key: str
    record: Record[Any]

    def __call__(self) -> None:
        self.withdraw(self.key, self.record)

    def __repr__(self) -> str:
        return f"<undo of {self.key!r}>"


def registration(undo: Undo) -> Withdrawal:
    """*undo*, as that of a registration; `TypeError` if it undoes anything else."""
    if not isinstance(undo, Withdrawal):
        raise TypeError(f"{undo!r} is not the undo of a registration")
    return undo


def when_released(undo: Undo, callback: Callable[[], None]) -> None:
    """
    Call *callback* once, as soon as nobody leases the entry that *undo* takes back.

    Now, if nobody does; else in the thread that ends the last lease; never under a lock. To retire
    an entry: ``undo(); when_released(undo, close_it)``. No lease begins after the undo, so the
    object is closed when its last user is done. What a late *callback* raises is logged.
    """
    withdrawal = registration(undo)
    withdrawal.leases.when_released(withdrawal.record, callback)
