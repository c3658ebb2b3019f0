"""Taking back exactly one's own effect, once, and nothing newer."""

# The undo and its table are one machine in two files.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from hotplug.registry._entries import Record
    from hotplug.registry._table import Table

__all__ = ["Undo", "Withdrawal", "registration", "stands"]

Undo: TypeAlias = Callable[[], None]
"""Takes back exactly the effect of the call that returned it, once, and nothing newer."""


class Withdrawal:
    """
    The undo of a registration.

    Its attributes are set by who makes it: an ``__init__`` is a call more for every registration.
    """

    __slots__ = ("key", "record", "table")

    table: Table[Any]
    key: str
    record: Record[Any]

    def __call__(self) -> None:
        self.table._withdraw(self.key, self.record)

    def __repr__(self) -> str:
        return f"<undo of {self.key!r}>"


def registration(undo: Undo) -> Withdrawal:
    """*undo*, as that of a registration; `TypeError` if it undoes anything else."""
    if not isinstance(undo, Withdrawal):
        raise TypeError(f"{undo!r} is not the undo of a registration")
    return undo


def stands(undo: Undo) -> bool:
    """Whether the entry that *undo* takes back is there still."""
    withdrawal = registration(undo)
    return withdrawal.table._at(withdrawal.key) is withdrawal.record
