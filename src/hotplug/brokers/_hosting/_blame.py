"""Who blocks a thread: the plugin, the file and the line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

__all__ = ["blocking"]

OURS: Final = frozenset({"hotplug", "asyncio", "concurrent", "contextlib", "selectors", "threading"})


def blocking(thread: int | None, plugins: Mapping[str, str]) -> str:
    """
    Where the thread stands, in words: the innermost line of a plugin, else of anybody but hotplug and Python.

    *plugins* names who a top-level module belongs to; for others, its distribution is looked up.
    """
    frame = None if thread is None else sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    if frame is None:
        return "somebody whose thread is gone"
    stack = list(_outwards(frame))
    for each in stack:
        if (who := plugins.get(_room(each))) is not None:
            return f"{who} at {_place(each)}"
    for each in stack:
        room = _room(each)
        if room not in OURS and room not in sys.stdlib_module_names:
            return f"{_distribution(room)} at {_place(each)}"
    return f"{_room(frame)} at {_place(frame)}"


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _room(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} (in {frame.f_code.co_name})"


def _distribution(room: str) -> str:
    from importlib import metadata

    found = metadata.packages_distributions().get(room, ())
    return " or ".join(sorted(set(found))) or f"module {room!r}"
