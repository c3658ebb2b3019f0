"""Places on a shelf, and what stands at them."""

# A place belongs to its table: one machine in several files.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from hotplug.registry._entries import Record
from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from itertools import count

    from hotplug.registry._entries import Factory, Lazy
    from hotplug.registry._table import Table

__all__ = ["Holder", "Now", "ShelfRecord", "places", "table_of"]

T = TypeVar("T")


class Holder(Record[T]):
    """
    What stands at a place, or stood there: one generation's entry.

    Leases are counted by it. It is retired when nobody leases it after it was taken away: sessions that
    began before do not find it any more then, and it lets go of its object.
    """

    __slots__ = ("place", "retired")

    hits: count[int]
    maker: Factory[T] | Lazy[T] | None

    def __init__(self) -> None:
        self.place: ShelfRecord[T] | None = None
        self.retired: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it is retired."""
        return self.retired

    def settle(self, place: ShelfRecord[T]) -> None:
        """Have its place: hits are counted there, by whichever way it is found."""
        self.place = place
        if not hasattr(self, "hits"):
            return
        if hasattr(place, "hits"):
            self.hits = place.hits
        else:
            place.hits = self.hits

    def retire(self) -> object:
        """
        Let go, unless it stands; the answer is what was let go of.

        The caller holds the registry's lock, and drops the answer after it: that may run a finaliser.
        """
        if self.retired or (self.place is not None and self.place.holder is self):
            return None
        self.retired = True
        kept = (getattr(self, "item", None), self.maker)
        self.maker = None
        if hasattr(self, "item"):
            del self.item
        return kept


class ShelfRecord(Generic[T]):
    """
    A place on a shelf. It stands in a registry's table, and reads like the `Holder` that is there now.

    What is there changes at once with all other places; hits are counted for the place. Each shelf has a
    class of its own for its places. No attribute of one leads to another, or to the shelf: plugins have
    registries, and not everything on the shelf is theirs.
    """

    __slots__ = ("hits", "key", "table")

    hits: count[int]

    def __init__(self, table: Table[T], key: str) -> None:
        self.key: Final = key
        _set_table(self, table)

    if TYPE_CHECKING:

        @property
        def item(self) -> T:
            """The object: `KeyError` where nothing stands, `AttributeError` where there is none yet."""
            raise NotImplementedError

        @property
        def maker(self) -> Factory[T] | Lazy[T] | None:
            """What makes the object; `KeyError` where nothing stands."""
            raise NotImplementedError

        @property
        def holder(self) -> Holder[T] | None:
            """What stands here, if anything does."""
            raise NotImplementedError


Now: TypeAlias = "Mapping[ShelfRecord[Any], Holder[Any]]"
"""Who stands where; replaced as a whole, never changed."""

table_of: Callable[[ShelfRecord[Any]], Table[Any]]
table_of, _set_table = hide(ShelfRecord, "table")


def places() -> tuple[type[ShelfRecord[Any]], Callable[[], Now], Callable[[Now], None]]:
    """
    A class of places, what stands at them, and the function that has something else stand there.

    The variable that all of them share is the one that readers read: an attribute would cost them more.
    """
    now: Now = {}

    class Place(ShelfRecord[Any]):
        __slots__ = ()

        @property
        def item(self) -> Any:
            return now[self].item

        @property
        def maker(self) -> Factory[Any] | Lazy[Any] | None:
            return now[self].maker

        @property
        def holder(self) -> Holder[Any] | None:
            return now.get(self)

    def look() -> Now:
        return now

    def show(fresh: Now) -> None:
        nonlocal now
        now = fresh

    return Place, look, show
