"""What stands in a registry under a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from hotplug._records import Entry, FrozenDict
from hotplug.registry._making import Once
from hotplug.registry._metrics import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from itertools import count

    from hotplug._records import EntrySort, PluginRecord
    from hotplug.context import UserExecutionContext

__all__ = ["Factory", "Facts", "Lazy", "Record", "facts_of", "hits_of", "no_facts", "view"]

T = TypeVar("T")


class Facts(NamedTuple):
    """What was said of an entry when it was registered."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = FrozenDict()
    owner: PluginRecord | None = None
    generation: int = 0


no_facts = Facts()


def facts_of(tags: Iterable[str], metadata: Mapping[str, object] | None, owner: PluginRecord | None) -> Facts:
    """The facts, copied, so that the caller may go on changing what it passed."""
    return Facts(
        tags=_tags_of(tags),
        metadata=FrozenDict(metadata) if metadata else no_facts.metadata,
        owner=owner,
        generation=0 if owner is None else 1,
    )


def _tags_of(tags: Iterable[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise TypeError(f"tags are an iterable of str; {tags!r} is one str: did you mean [{tags!r}]?")
    unique = tuple(dict.fromkeys(tags))
    for tag in unique:
        if not isinstance(tag, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise TypeError(f"a tag is a str, not {type(tag).__name__}: {tag!r}")
    return unique


class Factory(Generic[T]):
    """Makes one object for each call; *subject* is who it is while making."""

    __slots__ = ("make", "subject")

    sort: EntrySort = "factory"

    def __init__(self, make: Callable[[UserExecutionContext | None], T], subject: object) -> None:
        self.make = make
        self.subject = subject


class Lazy(Generic[T]):
    """Loads the entry's item once, on the first get."""

    __slots__ = ("load", "subject")

    sort: EntrySort = "lazy"

    def __init__(self, load: Callable[[], T], registry: str, key: str) -> None:
        self.load = load
        self.subject: Once[None] = Once(registry, key)

    def forget(self) -> None:
        """Let go of the load, and of all that it kept alive."""
        del self.load


class Record(Generic[T]):
    """
    One entry.

    Its slot *item* stays unset until there is an object: readers try it first, and look at *maker*
    only if that fails. *hits* stays unset where nothing is counted. There may be 100,000 of these,
    so none has more than it needs.
    """

    __slots__ = ("facts", "hits", "item", "maker")

    item: T
    facts: Facts
    hits: count[int]
    maker: Factory[T] | Lazy[T] | None


def view(key: str, record: Record[Any]) -> Entry:
    """The record as callers may see it."""
    tags, metadata, owner, generation = record.facts
    return Entry(
        key=key,
        sort="item" if record.maker is None else record.maker.sort,
        tags=tags,
        metadata=metadata,
        owner=owner,
        generation=generation,
        hits=hits_of(record),
    )


def hits_of(record: Record[Any]) -> int:
    """How often the record was found."""
    return reading(record.hits) if hasattr(record, "hits") else 0
