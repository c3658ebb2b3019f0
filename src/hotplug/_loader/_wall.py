"""The border to plugin code: what it raises is its own error, and says so."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, TypeVar

from hotplug._lifecycle import Stuck, name_and_text, within
from hotplug.errors import CircularFactoryError, PluginError, PluginTimeoutError, RestartRequired

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from hotplug._records import PluginRecord

__all__ = ["behind_wall", "traceback_of"]

R = TypeVar("R")


@contextlib.contextmanager
def _wall(record: PluginRecord, doing: str) -> Generator[None]:
    """Turn what plugin code raises into a `PluginError` that says who was doing what."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except PluginError as error:
        if _says_it_all(error, record):
            raise
        raise PluginError(f"{doing} failed: {name_and_text(error)}", record) from error
    except CircularFactoryError as error:
        raise PluginError(f"{doing} needs itself: {error}", record) from error
    except BaseException as error:
        raise PluginError(
            f"{doing} raised {name_and_text(error)}", record, reason=f"failed {doing}"
        ) from error


def _says_it_all(error: PluginError, record: PluginRecord) -> bool:
    """Whether it is about *record* already, or its code as such, and of a class that no plugin defined."""
    is_ours = type(error).__module__ == PluginError.__module__
    return is_ours and (error.record == record or isinstance(error, RestartRequired))


def behind_wall(record: PluginRecord, doing: str, call: Callable[[], R], limit: float | None = None) -> R:
    """
    What plugin code answers. *limit* is in seconds; with one, the call runs in a thread of its own.

    Raises `PluginError` (or its subclass for the cause) and nothing else but `KeyboardInterrupt`.
    """
    with _wall(record, doing):
        if limit is None:
            return call()
        try:
            return within(limit, call, f"hotplug {doing}: {record.kind}/{record.name}")
        except Stuck as stuck:
            remedy = (
                f"its thread {stuck.thread!r} is left behind; see what it waits for, or raise load_timeout"
            )
            raise PluginTimeoutError(doing, limit, record, remedy=remedy, thread=stuck.thread) from None


def traceback_of(error: BaseException) -> str:
    """The traceback as text, causes included: what a status keeps in place of living frames."""
    try:
        return "".join(traceback.format_exception(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - border to plugin code: errors may lie about themselves
        return name_and_text(error)
