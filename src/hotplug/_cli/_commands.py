"""Verbs that come from distributions: known by name from their metadata, imported when they are run."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Any

import click

from hotplug._loader import behind_wall, resolve
from hotplug.errors import PluginContractError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug._records import PluginRecord

__all__ = ["load"]


def load(record: PluginRecord, limit: float) -> click.Command:
    """
    The command that *record* names; its import may take *limit* seconds.

    It is a click command or group, or a callable without parameters, sync or async: what that returns
    is the exit code, if it is an ``int``. Raises `PluginError`.
    """
    target = resolve(record, limit)
    if isinstance(target, click.Command):
        return target
    return behind_wall(record, "contract check", lambda: _wrapped(record, target))


def _wrapped(record: PluginRecord, target: object) -> click.Command:
    if not callable(target) or _needs_arguments(target):
        raise PluginContractError(
            f"{target!r} is neither a click command nor a callable without parameters",
            record,
            remedy="let the entry point name a click command",
        )
    call: Callable[[], Any] = target

    def run() -> None:
        answer = call()
        if inspect.iscoroutine(answer):
            answer = asyncio.run(answer)
        if isinstance(answer, int):
            sys.exit(int(answer))

    return click.Command(record.name, callback=run, help=inspect.getdoc(target))


def _needs_arguments(target: Callable[..., object]) -> bool:
    try:
        inspect.signature(target).bind()
    except TypeError:
        return True
    except ValueError:
        return False  # built-in callables may hide their signature
    return False
