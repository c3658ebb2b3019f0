"""What a new generation has to show before it may take over from the one that serves."""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import Stuck, within
from hotplug._loader import behind_wall
from hotplug._records import exported_state
from hotplug.errors import PluginTimeoutError, RestartRequired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug._host._publication import Publication
    from hotplug._lifecycle import HomeLoop
    from hotplug._records import PluginRecord

__all__ = [
    "behind_limit",
    "hand_over_state",
    "refuse_what_may_not_come",
    "refuse_what_may_not_follow",
    "stage",
]

BRIEF: Final = 1.0
"""Seconds that an import may take, whatever is edited meanwhile."""
_NOT_BY_CHOICE = frozenset({"refused", "blocked", "conflict", "broken"})


def refuse_what_may_not_follow(standing: Iterable[Plugin], wanted: Sequence[Seat]) -> None:
    """Raise `RestartRequired` where one of *standing* would have to go because its successor may not come."""
    seats = {seat.name: seat for seat in wanted}
    for plugin in standing:
        seat = seats.get(plugin.seat.name)
        if plugin.stands and seat is not None:
            refuse_what_may_not_come(seat)


def refuse_what_may_not_come(seat: Seat) -> None:
    """Raise `RestartRequired` where what shall sit there may not, and nobody has chosen that."""
    status = seat.status
    if status.state in _NOT_BY_CHOICE:
        why = f"{status.record.version} is {status.state} ({status.reason})"
        raise RestartRequired(why, status.record, remedy=status.remedy)


def behind_limit(
    limit: float, load: Callable[[], None], record: PluginRecord, is_outdated: Callable[[], bool]
) -> None:
    """
    *load*, for *limit* seconds at most; then it is a `PluginTimeoutError` of *record*.

    What takes longer than `BRIEF` is given up as soon as it *is_outdated*.
    """
    began = time.monotonic()

    def given_up() -> bool:
        return time.monotonic() - began > BRIEF and is_outdated()

    try:
        within(limit, load, f"hotplug reload: {record.distribution}", given_up)
    except Stuck as stuck:
        remedy = f"its thread {stuck.thread!r} is left behind; see what it waits for, or raise load_timeout"
        took = time.monotonic() - began
        doing, limit = (
            ("reload", limit) if took >= limit else ("reload, before there was news,", round(took, 1))
        )
        raise PluginTimeoutError(doing, limit, record, remedy=remedy, thread=stuck.thread) from None


def stage(publication: Publication) -> None:
    """
    See that everything new fits: imported and checked, made where its forerunner was made.

    Raises `PluginError`.
    """
    used = {old.distribution for old, _ in publication.swaps if old.is_in_use}
    for old, new in publication.swaps:
        if new.distribution in used:
            new.prepared()
        if old.product is not None:
            new.obtain()
    for new in publication.added:
        if new.distribution in used:
            new.prepared()


def hand_over_state(
    publication: Publication, home: HomeLoop, limit: float, settled: Collection[Plugin] = ()
) -> None:
    """
    Have what is made anew begin where its forerunner stands, if both can, in *limit* seconds each.

    Raises `PluginError`. Coroutines run at *home*. What is *settled* has all of it: gateways hand theirs
    over between the shutting of one gate and the opening of the next.
    """
    for old, new in publication.swaps:
        if new in settled:
            continue
        export, take = _method(old, "export_state"), _method(new, "import_state")
        if export is None or take is None:
            continue
        giver, taker = old.seat.status.record, new.seat.status.record
        told = behind_wall(
            giver, "export of its state", functools.partial(_answer, home, limit, export), limit
        )
        check = functools.partial(exported_state, told, old.seat.name)
        version, state = behind_wall(giver, "export of its state", check)
        call = functools.partial(_answer, home, limit, take, version, state)
        behind_wall(taker, "import of its state", call, limit)


def _answer(home: HomeLoop, limit: float, verb: Callable[..., Any], *arguments: object) -> Any:
    """What *verb* answers, which may be a coroutine: then on the home loop."""
    answer: Any = verb(*arguments)
    return home.run(_awaited(answer), limit) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _method(plugin: Plugin, name: str) -> Callable[..., Any] | None:
    """The method *name* of its object, if that was made and has one; it may be a property that raises."""
    found: Any = behind_wall(
        plugin.seat.status.record, f"reading {name!r}", lambda: getattr(plugin.product, name, None)
    )
    return found if callable(found) else None
