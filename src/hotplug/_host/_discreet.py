"""Callables that lead nowhere: plugins hold registries, registries ask the host, plugins get no host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Discreet"]

P = ParamSpec("P")
R = TypeVar("R")


class Discreet(Generic[P, R]):
    """Calls what it was made of, without an attribute that says what that is."""

    __slots__ = ("__weakref__", "_call")

    def __init__(self, call: Callable[P, R]) -> None:
        _set_call(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        answer: R = _call(self)(*args, **kwargs)
        return answer


_call, _set_call = hide(Discreet, "_call")
