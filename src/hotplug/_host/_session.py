"""A user's scope: one instance per key, made once, closed in reverse order."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from hotplug._host._closing import settle
from hotplug.errors import HostError
from hotplug.registry import Once, run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from hotplug._host._closing import Closing
    from hotplug._kinds import Kind
    from hotplug._lifecycle import HomeLoop
    from hotplug.agents import BaseAgent
    from hotplug.brokers import IBrokerGateway
    from hotplug.context import UserExecutionContext
    from hotplug.registry import UniversalRegistry
    from hotplug.services import Service
    from hotplug.strategies import Strategy
    from hotplug.tools import Tool

__all__ = ["ScopedRegistry", "Session"]

T = TypeVar("T")


class ScopedRegistry(Generic[T]):
    """
    One registry as one user sees it in a session.

    `get` gives the same instance each time: a factory's product is made once, even under threads.
    """

    def __init__(self, session: Session, registry: UniversalRegistry[T]) -> None:
        self._session = session
        self._registry = registry

    def get(self, key: str) -> T:
        """The user's instance (or the shared item). Raises what the registry's ``get`` raises."""
        return self._session.obtain(self._registry, key)

    async def aget(self, key: str) -> T:
        """The same; what has to be made is made in a worker, the loop is not blocked."""
        return await run_in_thread(self.get, key)

    def __getitem__(self, key: str) -> T:
        return self.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._registry

    def keys(self) -> tuple[str, ...]:
        """The registry's keys, in registration order."""
        return self._registry.keys()


class Session:
    """
    A user's scope, made by ``host.session(context)``; use it as a (sync or async) context manager.

    Instances are closed (``aclose`` or ``close``) in reverse order of making when the session ends;
    what their closing raises is collected and raised as one `ExceptionGroup`. Thread-safe.
    """

    def __init__(
        self,
        context: UserExecutionContext,
        registry_of: Callable[[str], UniversalRegistry[Any]],
        home: HomeLoop,
        ended: Callable[[Session], None],
        limit: float,
    ) -> None:
        self.context: Final = context
        self._registry_of = registry_of
        self._home = home
        self._ended = ended
        self._limit = limit
        self._guard = threading.Lock()
        self._once: dict[tuple[str, str], Once[Any]] = {}
        self._made: list[Closing] = []
        self._closed = False

    @property
    def brokers(self) -> ScopedRegistry[IBrokerGateway]:
        """The brokers."""
        return self.registry("brokers")

    @property
    def agents(self) -> ScopedRegistry[BaseAgent]:
        """The user's agents."""
        return self.registry("agents")

    @property
    def tools(self) -> ScopedRegistry[Tool]:
        """The tools."""
        return self.registry("tools")

    @property
    def strategies(self) -> ScopedRegistry[Strategy]:
        """The user's strategies."""
        return self.registry("strategies")

    @property
    def services(self) -> ScopedRegistry[Service]:
        """The services."""
        return self.registry("services")

    @overload
    def registry(self, kind: Kind[T]) -> ScopedRegistry[T]: ...
    @overload
    def registry(self, kind: str) -> ScopedRegistry[Any]: ...
    def registry(self, kind: Kind[Any] | str) -> ScopedRegistry[Any]:
        """The registry of a kind (or of the kind of that name) as this user sees it."""
        return ScopedRegistry(self, self._registry_of(kind if isinstance(kind, str) else kind.name))

    def obtain(self, registry: UniversalRegistry[T], key: str) -> T:
        """This user's instance of what stands under *key* of *registry*."""
        with self._guard:
            if self._closed:
                raise HostError(f"the session of {self.context.user_id!r} is closed")
            once: Once[T] = self._once.setdefault((registry.name, key), Once(registry.name, key))
        return once.get(lambda: self._make(registry, key))

    def _make(self, registry: UniversalRegistry[T], key: str) -> T:
        entry = registry.entry(key)
        made = registry.get(key, self.context)
        if entry.sort != "factory":
            return made
        closing = (made, entry.owner)
        with self._guard:
            if not self._closed:
                self._made.append(closing)
                return made
        self._home.run(settle([closing], self._limit))
        raise HostError(f"the session of {self.context.user_id!r} was closed meanwhile")

    # -- the end -----------------------------------------------------------------------------------

    def end(self) -> list[Closing]:
        """Close the door; what is to be closed, newest first."""
        with self._guard:
            self._closed = True
            made, self._made = self._made[::-1], []
            self._once.clear()
        self._ended(self)
        return made

    def close(self) -> None:
        """Close every instance, newest first; once. On the host's own loop, `aclose` is the one to use."""
        if self._home.is_here:
            raise RuntimeError("close() would block the host's own loop: use 'await session.aclose()'")
        errors = self._home.run(settle(self.end(), self._limit))
        self._raise(errors)

    async def aclose(self) -> None:
        """Close every instance, newest first; once."""
        self._raise(await settle(self.end(), self._limit))

    def _raise(self, errors: Sequence[Exception]) -> None:
        if errors:
            raise ExceptionGroup(f"closing the session of {self.context.user_id!r}", errors)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
