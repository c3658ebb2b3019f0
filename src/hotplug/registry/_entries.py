"""What stands in a registry under a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from hotplug._records import Entry, FrozenDict
from hotplug.registry._making import Once
from hotplug.registry._metrics import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from itertools import count

    from hotplug._records import EntrySort, PluginRecord
    from hotplug.context import UserExecutionContext

__all__ = [
    "ABSENT",
    "Factory",
    "Facts",
    "Lazy",
    "Record",
    "checked_key",
    "facts_of",
    "hits_of",
    "no_facts",
    "owner_of",
    "view",
]

T = TypeVar("T")

ABSENT: Final[Any] = object()


class Facts(NamedTuple):
    """What was said of an entry when it was registered."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = FrozenDict()
    owner: PluginRecord | None = None
    generation: int = 0


no_facts = Facts()


def facts_of(
    tags: Iterable[str],
    metadata: Mapping[str, object] | None,
    owner: PluginRecord | None,
    generation: int | None = None,
) -> Facts:
    """The facts, copied, so that the caller may go on changing what it passed."""
    first = 0 if owner is None else 1
    return Facts(
        tags=_tags_of(tags),
        metadata=FrozenDict(metadata) if metadata else no_facts.metadata,
        owner=owner,
        generation=first if generation is None else generation,
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
        self.make: Callable[[UserExecutionContext | None], T] = make
        self.subject: object = subject


class Lazy(Generic[T]):
    """Loads the entry's item once, on the first get."""

    __slots__ = ("load", "subject")

    sort: EntrySort = "lazy"

    def __init__(self, load: Callable[[], T], registry: str, key: str) -> None:
        self.load: Callable[[], T] = load
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

    @property
    def is_over(self) -> bool:
        """Whether it was taken away and let go of; one that is on no shelf is simply not found any more."""
        return False

    def retire(self) -> object:
        """Nobody leases it, and it was taken away; the answer is what it let go of."""
        return None


def checked_key(key: str) -> str:
    """*key*, if it can be one."""
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise TypeError(f"a key is a str, not {type(key).__name__}: {key!r}")
    if not key:
        raise ValueError("a key must not be empty")
    # A subclass may bring its own __eq__ and __hash__, which would run under the lock.
    return str.__str__(key)


def owner_of(record: Record[Any]) -> str:
    """Who put it there, in words."""
    owner = record.facts.owner
    return "the application" if owner is None else str(owner)


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
