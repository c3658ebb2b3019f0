"""A user's scope: one instance per key, made once, closed in reverse order."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from hotplug._host._closing import finished, settle
from hotplug._host._scoped import ScopedRegistry
from hotplug._lifecycle import to_the_end
from hotplug.context import UserExecutionContext
from hotplug.errors import HostError, InvalidContextError
from hotplug.registry import Once, Stay, run_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from hotplug._kinds import Kind
    from hotplug._lifecycle import HomeLoop
    from hotplug._records import PluginRecord
    from hotplug.agents import BaseAgent
    from hotplug.brokers import IBrokerGateway
    from hotplug.errors import PluginError
    from hotplug.registry import Cut, Held, Sight, UniversalRegistry
    from hotplug.services import Service
    from hotplug.strategies import Strategy
    from hotplug.tools import Tool

__all__ = ["Session", "Sessions"]

T = TypeVar("T")
_log = logging.getLogger("hotplug.host")


@dataclass(slots=True, eq=False)
class _Held:
    """What a session holds: leased, so that it outlives a reload; closed by it, if the user's own."""

    where: tuple[str, str]
    made: object
    entry: Held[Any]
    lease: AbstractContextManager[object]
    is_own: bool
    is_gone: bool = False
    """Whether the session has let go of it."""

    @property
    def owner(self) -> PluginRecord | None:
        return self.entry.entry.owner


class _Using:
    """*held* is in use from now on, until this has been left (or lost before it was entered)."""

    def __init__(self, session: Session, held: _Held) -> None:
        self.held: Final = held
        self._session: Final = session
        self._open: Final = contextlib.ExitStack()

    def __enter__(self) -> Any:
        self._open.enter_context(self.held.entry.once_more())
        return self.held.made

    def __exit__(self, *_: object) -> None:
        try:
            self._open.close()
        finally:
            self._session.used(self)


class Session:
    """
    A user's scope, made by ``host.session(context)``; use it as a (sync or async) context manager.

    Instances are closed (``aclose`` or ``close``) in reverse order of making when the session ends;
    what their closing raises is collected and raised as one `ExceptionGroup` (logged, if something else
    is being raised). What is shared is leased until then. Thread-safe.

    It keeps to what stood when it began: all that it gives comes from one generation of each distribution,
    which is not closed before the session has ended, or the drain limit is over.
    """

    def __init__(
        self,
        context: UserExecutionContext,
        registry_of: Callable[[str], UniversalRegistry[Any]],
        cut: Cut,
        home: HomeLoop,
        ended: Callable[[Session], None],
        limit: float,
    ) -> None:
        if not isinstance(context, UserExecutionContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidContextError(f"a session takes a UserExecutionContext, not {type(context).__name__}")
        self.context: Final = context
        self._registry_of = registry_of
        self._cut = cut
        self._home = home
        self._ended = ended
        self._limit = limit
        self._guard = threading.Lock()
        self._once: dict[tuple[str, str], Once[_Held]] = {}
        self._given: dict[tuple[str, str], _Held] = {}
        self._held: list[_Held] = []
        self._users: weakref.WeakSet[_Using] = weakref.WeakSet()
        self._used_at = time.monotonic()
        self._stay = Stay()
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
        name = kind if isinstance(kind, str) else kind.name
        return ScopedRegistry(self, name, self._sight(name))

    def _sight(self, name: str) -> Sight[Any]:
        return self._registry_of(name).at(self._cut)

    def has(self, name: str, key: str) -> bool:
        """Whether there is anything under *key* of the registry called *name* for this session."""
        return key in self._sight(name)

    def obtain(self, name: str, key: str) -> Any:
        """This user's instance of what is under *key* of the registry called *name*."""
        using = self.using(name, key)
        self.used(using)
        return using.held.made

    def using(self, name: str, key: str) -> _Using:
        """What `obtain` gives, as a context manager: until its end it is not idle, nor its plugin closed."""
        while True:
            held = self._obtain(name, key)
            with self._guard:
                if not held.is_gone:
                    using = _Using(self, held)
                    self._users.add(using)
                    return using

    def used(self, using: _Using) -> None:
        """That is over; the user was there until now."""
        with self._guard:
            self._used_at = time.monotonic()
            self._users.discard(using)

    def close_idle(self, since: float) -> list[PluginError]:
        """
        Close what is the user's own, newest first, if nothing was used since then; what went wrong.

        *since* is of the monotonic clock. It is made anew when it is asked for. Not on the host's own loop.
        """
        with self._guard:
            if self._users or self._used_at > since or self._closed:
                return []
            idle = [held for held in reversed(self._held) if held.is_own]
            for held in idle:
                held.is_gone = True
                self._held.remove(held)
                if self._given.get(held.where) is held:  # else another one has taken its place
                    del self._given[held.where], self._once[held.where]
        return finished(self._home, self._let_go(idle), self._limit) if idle else []

    def _obtain(self, name: str, key: str) -> _Held:
        """What is held by then; it may be gone when this returns, if the user was idle all the time."""
        where = name, key
        with self._guard:
            if self._closed:
                raise HostError(f"the session of {self.context.user_id!r} is closed")
            self._used_at = time.monotonic()
            given = self._given.get(where)
            if given is not None and given.entry.is_over:
                # It was closed under the session's feet: from now on it gets the current one.
                del self._given[where], self._once[where]
            once = self._once.setdefault(where, Once(name, key))
        return once.get(lambda: self._make(name, key))

    def _make(self, name: str, key: str) -> _Held:
        lease = self._sight(name).hold(key)
        entry = lease.__enter__()
        try:
            made = entry.obtain(self.context)
        except BaseException:
            lease.__exit__(None, None, None)
            raise
        held = _Held((name, key), made, entry, lease, is_own=entry.entry.sort == "factory")
        with self._guard:
            self._used_at = time.monotonic()
            if not self._closed:
                self._held.append(held)
                self._given[name, key] = held
                self._stay.include(entry.record)
                return held
        finished(self._home, self._let_go([held]), self._limit)
        raise HostError(f"the session of {self.context.user_id!r} was closed meanwhile")

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every instance, newest first; once. On the host's own loop, `aclose` is the one to use."""
        self.refuse_on_home("close", "session.aclose")
        self._raise(self.end(), None)

    async def aclose(self) -> None:
        """Close every instance, newest first; once. Who is cancelled meanwhile is so when that is done."""
        self._raise(await to_the_end(self._let_go(self._shut())), None)

    def end(self) -> list[PluginError]:
        """Close it; what went wrong. Not on the host's own loop."""
        held = self._shut()
        return finished(self._home, self._let_go(held), self._limit) if held else []

    def _shut(self) -> list[_Held]:
        """Close the door; what is to be let go, newest first."""
        with self._guard:
            self._closed = True
            held, self._held = self._held[::-1], []
            for each in held:
                each.is_gone = True
            self._once.clear()
            self._given.clear()
        self._stay.leave()
        self._ended(self)
        return held

    async def _let_go(self, held: Sequence[_Held]) -> list[PluginError]:
        errors = await settle([(each.made, each.owner) for each in held if each.is_own], self._limit)
        # The last lease of a plugin that is gone closes it, which may take a while.
        await run_in_thread(_end_leases, held)
        return errors

    def refuse_on_home(self, verb: str, twin: str) -> None:
        """Raise `RuntimeError` on the loop that the host lives on."""
        if self._home.is_here:
            raise RuntimeError(f"{verb}() would block the loop that the host lives on: use 'await {twin}()'")

    def _raise(self, errors: Sequence[PluginError], in_flight: BaseException | None) -> None:
        if not errors:
            return
        if in_flight is None:
            raise ExceptionGroup(f"closing the session of {self.context.user_id!r}", errors)
        for error in errors:
            _log.warning("closing the session of %r: %s", self.context.user_id, error)

    def __enter__(self) -> Session:
        self._stay.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse_on_home("close", "session.aclose")
        self._raise(self.end(), error)

    async def __aenter__(self) -> Session:
        self._stay.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raise(await to_the_end(self._let_go(self._shut())), error)


def _end_leases(held: Sequence[_Held]) -> None:
    for each in held:
        each.lease.__exit__(None, None, None)


class Sessions:
    """The open sessions of a host, until it ends them all. Thread-safe."""

    def __init__(self) -> None:
        self._guard: Final = threading.Lock()
        self._open: set[Session] = set()
        self._ended = False

    def add(self, session: Session) -> Session:
        """Remember it, to end it one day; `HostError` if that day has come."""
        with self._guard:
            if self._ended:
                raise HostError("session(): the host is closed")
            self._open.add(session)
        return session

    def discard(self, session: Session) -> None:
        """It has ended."""
        with self._guard:
            self._open.discard(session)

    def of(self, context: UserExecutionContext) -> Session | None:
        """The open session that was made for this very context."""
        with self._guard:
            return next((session for session in self._open if session.context is context), None)

    def close_idle(self, since: float) -> list[PluginError]:
        """Close what those hold who have used nothing since then; what went wrong."""
        with self._guard:
            sessions = tuple(self._open)
        return [error for session in sessions for error in session.close_idle(since)]

    def end(self) -> list[PluginError]:
        """End them all, and take no more; what went wrong."""
        with self._guard:
            self._ended = True
            sessions = tuple(self._open)
        return [error for session in sessions for error in session.end()]
