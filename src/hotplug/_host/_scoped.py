"""One registry, as one user sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from hotplug.registry import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from hotplug._host._session import Session
    from hotplug.registry import Sight

__all__ = ["ScopedRegistry"]

T = TypeVar("T")
D = TypeVar("D")
ABSENT: Final[Any] = object()


class ScopedRegistry(Generic[T]):
    """
    One registry as one user sees it in a session.

    `get` gives the same instance each time: a factory's product is made once, even under threads. What
    plugins offer is as it was when the session began, in this registry and all others of the session; what
    has been closed since gives way to what stands now.
    """

    def __init__(self, session: Session, name: str, sight: Sight[T]) -> None:
        self._session = session
        self._name = name
        self._sight = sight

    @overload
    def get(self, key: str) -> T: ...
    @overload
    def get(self, key: str, *, default: D) -> T | D: ...
    def get(self, key: str, *, default: Any = ABSENT) -> Any:
        """
        The user's instance (or the shared item); an absent key gives *default*.

        Raises what the registry's ``get`` raises. On the loop that the host lives on, `aget` is the
        one to use (`RuntimeError`). Where the host has an ``idle_timeout``, who goes on using it for longer
        than that without asking again takes a `lease`.
        """
        self._session.refuse_on_home("get", f"session.{self._name}.aget")
        if default is not ABSENT and key not in self._sight:
            return default
        return self._session.obtain(self._name, key)

    @overload
    async def aget(self, key: str) -> T: ...
    @overload
    async def aget(self, key: str, *, default: D) -> T | D: ...
    async def aget(self, key: str, *, default: Any = ABSENT) -> Any:
        """The same; what has to be made is made in a worker, the loop is not blocked."""
        if default is not ABSENT and key not in self._sight:
            return default
        return await run_in_thread(self._session.obtain, self._name, key)

    def lease(self, key: str) -> AbstractContextManager[T]:
        """What `get` gives, as a context manager: until its end it is not idle, nor closed."""
        self._session.refuse_on_home("lease", f"session.{self._name}.aget")
        return self._session.using(self._name, key)

    def __getitem__(self, key: str) -> T:
        return self.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._sight

    def __len__(self) -> int:
        return len(self._sight)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._sight)

    def keys(self) -> tuple[str, ...]:
        """The registry's keys, in registration order."""
        return self._sight.keys()

    def list_by_tag(self, tag: str) -> tuple[str, ...]:
        """The keys that carry *tag*."""
        return self._sight.list_by_tag(tag)
