"""The registry as code sees it that works for users: views only, and only for whom it serves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from hotplug.context import UserExecutionContext, serving
from hotplug.errors import ContextRequiredError, PermissionDenied
from hotplug.registry._entries import ABSENT
from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from hotplug.brokers._contract import BrokerInfo, IBrokerGateway
    from hotplug.brokers._hosting._registry import BrokerRegistry

__all__ = ["BrokerCounter", "counter_of"]


class _Behind:
    """Whose counter it is: *user*'s, or, without one, that of whomever the code is working for now."""

    def __init__(self, registry: BrokerRegistry, user: UserExecutionContext | None) -> None:
        self.registry: Final = registry
        self.user: Final = user


def counter_of(registry: BrokerRegistry, user: UserExecutionContext | None = None) -> BrokerCounter:
    """
    The counter of *registry* for an object that was made for *user*.

    Without a user it is for an object that all share: its code gets views only while it serves a call, and
    only for the user of that call.
    """
    counter = object.__new__(BrokerCounter)
    _set_behind(counter, _Behind(registry, user))
    return counter


class BrokerCounter:
    """
    The registry of brokers for plugins: `get`, with the context they work for, gives that user's view.

    Nothing here gives the operator's gateway, and nothing can be changed from here.
    """

    __slots__ = ("__weakref__", "_behind")

    def __init__(self) -> None:
        raise TypeError("a host gives it to plugins")

    def __reduce__(self) -> NoReturn:
        raise TypeError("it belongs to this process: it can be neither copied nor pickled")

    def __repr__(self) -> str:
        return f"<counter of {self.name!r}: {len(self)} entries>"

    @property
    def name(self) -> str:
        """What errors call the registry."""
        return _behind(self).registry.name

    # -- views -------------------------------------------------------------------------------------

    def get(
        self, key: str, context: UserExecutionContext | None = None, *, default: Any = ABSENT
    ) -> IBrokerGateway:
        """
        The view of the gateway under *key* that *context*'s user has; an absent key gives *default*.

        Raises `ContextRequiredError` without a context, `PermissionDenied` for a context that is not the
        one being served or that was granted no account, `NotRegisteredError` for an absent key.
        """
        context = self._served(key, context)
        return cast("IBrokerGateway", _behind(self).registry.get(key, context, default=default))

    async def aget(
        self, key: str, context: UserExecutionContext | None = None, *, default: Any = ABSENT
    ) -> IBrokerGateway:
        """`get`, without blocking the loop."""
        context = self._served(key, context)
        return cast("IBrokerGateway", await _behind(self).registry.aget(key, context, default=default))

    def lease(
        self, key: str, context: UserExecutionContext | None = None
    ) -> AbstractContextManager[IBrokerGateway]:
        """`get`, as a context manager: until its end, the gateway is not closed."""
        return _behind(self).registry.lease(key, self._served(key, context))

    def __getitem__(self, key: str) -> NoReturn:
        raise ContextRequiredError(self.name, key)

    def get_healthy(self) -> tuple[IBrokerGateway, ...]:
        """Views of the gateways that are ready and well, as far as the served user has accounts there."""
        registry = _behind(self).registry
        well = {id(gateway) for gateway in registry.get_healthy()}
        return self._views(key for key, gateway in registry.loaded() if id(gateway) in well)

    def get_by_type(self, type: str) -> tuple[IBrokerGateway, ...]:  # noqa: A002 - the contract's word
        """Views of the loaded gateways of a type, as far as the served user has accounts there."""
        registry = _behind(self).registry
        fitting = {id(gateway) for gateway in registry.get_by_type(type)}
        return self._views(key for key, gateway in registry.loaded() if id(gateway) in fitting)

    def _views(self, keys: Iterable[str]) -> tuple[IBrokerGateway, ...]:
        behind = _behind(self)
        context = behind.user or serving.get()
        views: list[IBrokerGateway] = []
        for key in keys if context is not None else ():
            try:
                views.append(behind.registry.get(key, context))
            except PermissionDenied:
                continue
        return tuple(views)

    def _served(self, key: str, context: UserExecutionContext | None) -> UserExecutionContext:
        """*context*, if it is one that the code behind this counter may act for."""
        if context is None:
            raise ContextRequiredError(self.name, key)
        own, served = _behind(self).user, serving.get()
        if own is None and served is None:
            why = f"broker {key!r}: views are for code that serves a user's call"
            raise PermissionDenied(why, code="not_serving")
        for mine in (own, served):
            if mine is not None and context.user_id != mine.user_id:
                why = f"broker {key!r}: this code works for {mine.user_id!r}, not for {context.user_id!r}"
                raise PermissionDenied(why, code="other_user")
        if own is None and served is not None and context.run_id != served.run_id:
            raise PermissionDenied(f"broker {key!r}: this is not the run being served", code="other_run")
        return context

    # -- what is there -----------------------------------------------------------------------------

    def keys(self) -> tuple[str, ...]:
        """The keys of all brokers, in order of registration."""
        return _behind(self).registry.keys()

    def __contains__(self, key: object) -> bool:
        return key in _behind(self).registry

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(_behind(self).registry)

    def __bool__(self) -> bool:
        return True

    def list_by_tag(self, tag: str) -> tuple[str, ...]:
        """The keys that carry *tag*."""
        return _behind(self).registry.list_by_tag(tag)

    def list_all(self, *, type: str | None = None, healthy: bool | None = None) -> tuple[BrokerInfo, ...]:  # noqa: A002
        """What is known of each gateway, without what concerns its users."""
        return tuple(map(_discreet, _behind(self).registry.list_all(type=type, healthy=healthy)))

    def info(self, broker_id: str) -> BrokerInfo:
        """What is known of one gateway, without what concerns its users; `NotRegisteredError`."""
        return _discreet(_behind(self).registry.info(broker_id))


_behind: Callable[[BrokerCounter], _Behind]
_behind, _set_behind = hide(BrokerCounter, "_behind")


def _discreet(info: BrokerInfo) -> BrokerInfo:
    return replace(info, accounts=(), metadata={}, last_error=None)
