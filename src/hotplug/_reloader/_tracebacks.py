"""Tracebacks of plugin code: without our lines between its own, and with what really ran."""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING

from hotplug._reloader._sources import SourceLoader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["say_what_ran", "without_us"]


def say_what_ran(error: BaseException) -> None:
    """
    Add a note to *error*, and to its causes, for each line of a generation's that a traceback shows wrongly.

    Python finds lines by the name of the file, which generations share. A second time adds nothing.
    """
    for each in _chain(error):
        known: set[str] = set(getattr(each, "__notes__", ()))
        for note in _notes(each.__traceback__):
            if note not in known:
                known.add(note)
                each.add_note(note)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _notes(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        frame, number = traceback.tb_frame, traceback.tb_lineno
        loader = frame.f_globals.get("__loader__")
        if type(loader) is SourceLoader and frame.f_code.co_filename == loader.path:
            linecache.checkcache(loader.path)
            ran = loader.line(number)
            if ran != linecache.getline(loader.path, number, frame.f_globals).strip():
                yield f"{loader.path}:{number} is of generation {loader.generation}, where it reads: {ran}"
        traceback = traceback.tb_next


def without_us(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback of plugin code, as if Python itself had imported it."""
    kept: list[TracebackType] = []
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__package__") != __package__:
            kept.append(traceback)
        traceback = traceback.tb_next
    for each, following in zip(kept, [*kept[1:], None], strict=False):
        each.tb_next = following
    return kept[0] if kept else None
