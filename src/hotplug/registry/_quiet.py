"""Reading where nothing is counted."""

from __future__ import annotations

from types import new_class
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from hotplug.registry._entries import ABSENT
from hotplug.registry._table import Table

if TYPE_CHECKING:
    from hotplug.context import UserExecutionContext

__all__ = ["quiet_variant"]

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class QuietReads(Table[T]):
    """The reads without counters. A branch for them costs about a third of a ``dict[key]``."""

    def __getitem__(self, key: str) -> T:
        try:
            return self._table[key].item
        except (KeyError, AttributeError):
            pass
        item: T = self._find(key, None, ABSENT)
        return item

    def get(self, key: str, context: UserExecutionContext | None = None, *, default: Any = ABSENT) -> Any:
        """The same as in the registry it is made for."""
        if context is not None:
            return self._find(key, context, default)
        try:
            return self._table[key].item
        except (KeyError, AttributeError):
            pass
        return self._find(key, context, default)


READS: Final = ("__getitem__", "get")
VARIANT: Final = "_quiet_variant"


def quiet_variant(cls: C, counting: type[Any]) -> C:
    """
    *cls* with quiet reads in place of those of *counting*; reads that *cls* overrides are left alone.

    It has the name of *cls*, which keeps it: classes of a retired plugin go as one.
    """
    known: C | None = vars(cls).get(VARIANT)
    if known is not None:
        return known
    reads = {name: vars(QuietReads)[name] for name in READS if getattr(cls, name) is vars(counting)[name]}
    facts = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    made = new_class(cls.__name__, (cls,), exec_body=lambda body: body.update(facts | reads))
    variant = cast("C", made)
    setattr(cls, VARIANT, variant)
    setattr(variant, VARIANT, variant)
    return variant
