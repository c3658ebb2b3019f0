"""Who must run before whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplug.errors import HostError, close_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hotplug.services._base import Service

__all__ = ["order_of", "start_order"]


def start_order(services: Mapping[str, Service]) -> tuple[str, ...]:
    """
    The names of *services*, each after what it requires; else as given.

    Raises `HostError` naming the circle, or the service that is required and not there.
    """
    return order_of({name: service.requires for name, service in services.items()}, services)


def order_of(requires: Mapping[str, Iterable[str]], names: Iterable[str]) -> tuple[str, ...]:
    """*names* and what they require, each after what it requires; raises as `start_order`."""
    order: dict[str, None] = {}
    for name in names:
        _place(name, requires, order, ())
    return tuple(order)


def _place(
    name: str, requires: Mapping[str, Iterable[str]], order: dict[str, None], on_the_way: tuple[str, ...]
) -> None:
    if name in on_the_way:
        circle = (*on_the_way[on_the_way.index(name) :], name)
        raise HostError(f"services require each other in a circle: {' -> '.join(circle)}")
    if name in order:
        return
    if name not in requires:
        what = (
            f"service {on_the_way[-1]!r} requires {name!r}" if on_the_way else f"there is no service {name!r}"
        )
        lack = ", which is not there" if on_the_way else ""
        raise HostError(f"{what}{lack} ({close_match(name, requires)})")
    for needed in requires[name]:
        _place(needed, requires, order, (*on_the_way, name))
    order[name] = None
