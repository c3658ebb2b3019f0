"""Entries that were taken away, and are closed when nobody uses them any more."""

# Leases are counted by the tables: one machine in several files.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hotplug.registry._holding import is_held_here
from hotplug.registry._leases import locked
from hotplug.registry._undo import registration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hotplug.registry._undo import Undo

__all__ = ["Retirement", "when_released"]


class Retirement:
    """
    Waits until nobody leases any of the entries that *undos* took back; then *over* is called, once.

    They go together: as long as one is leased, sessions that began before they were taken away find all of
    them, and none from then on. Thread-safe.
    """

    def __init__(self, undos: Iterable[Undo], over: Callable[[], None]) -> None:
        self._withdrawals: Final = tuple(map(registration, undos))
        self._over: Final = over
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether they have gone."""
        return self._is_over

    @property
    def is_held_here(self) -> bool:
        """Whether the caller's context uses one of them: it would wait for itself."""
        return any(is_held_here(withdrawal.record) for withdrawal in self._withdrawals)

    def begin(self) -> bool:
        """Wait from now on; true if there is nothing to wait for: they have gone, and nobody is called."""
        return self._settle(whatever=False)

    def force(self) -> None:
        """Wait no longer, whoever leases them: *over* is called here and now, unless it was already."""
        if self._settle(whatever=True):
            self._over()

    def _look_again(self) -> None:
        if self._settle(whatever=False):
            self._over()

    def _settle(self, *, whatever: bool) -> bool:
        """Let them go, if that can be; true for one caller only."""
        with locked(withdrawal.table._writing for withdrawal in self._withdrawals):
            if self._is_over or not (whatever or self._nobody_leases_them()):
                return False
            self._is_over = True
            # Dropped after the locks: that may run a finaliser, which is somebody's code.
            kept = [withdrawal.record.retire() for withdrawal in self._withdrawals]
        del kept
        return True

    def _nobody_leases_them(self) -> bool:
        return not any(
            withdrawal.table._leases.must_wait(withdrawal.record, self._look_again)
            for withdrawal in self._withdrawals
        )


def when_released(undo: Undo, callback: Callable[[], None]) -> None:
    """
    Call *callback* once, as soon as nobody leases the entry that *undo* takes back.

    Now, if nobody does; else in the thread that ends the last lease; never under a lock. To retire
    an entry: ``undo(); when_released(undo, close_it)``. No lease begins after that, so the
    object is closed when its last user is done. What a late *callback* raises is logged.
    """
    if Retirement([undo], callback).begin():
        callback()
