"""Asks hooks: each implementation behind the wall, one that raises is reported and the rest go on."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pluggy

from hotplug import hookspecs
from hotplug._kinds import Kind
from hotplug._lifecycle import name_and_text
from hotplug._loader import behind_wall, traceback_of
from hotplug.errors import PluginContractError, PluginError, PluginTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug._records import Changes, PluginRecord, PluginStatus

__all__ = ["Asking", "contributed", "manager", "register"]

_log = logging.getLogger("hotplug.hooks")


class _Manager(pluggy.PluginManager):
    """Refuses at once what pluggy itself would fail over when a hook is called."""

    def register(self, plugin: Any, name: str | None = None) -> str | None:
        try:
            hash(plugin)
        except Exception as error:
            what = type(plugin).__qualname__
            raise TypeError(
                f"an object with hooks must be hashable, {what} is not (@dataclass(eq=False)?)"
            ) from error
        return super().register(plugin, name)


def manager() -> pluggy.PluginManager:
    """One that knows the three hooks, and nobody who implements them."""
    made = _Manager(hookspecs.PROJECT)
    made.add_hookspecs(hookspecs)
    return made


def register(where: pluggy.PluginManager, record: PluginRecord, plugin: object) -> None:
    """Have *plugin* asked, under the name of *record*. Raises `PluginError` where its hooks do not fit."""
    try:
        where.register(plugin, name=str(record))
    except pluggy.PluginValidationError as error:
        raise PluginContractError(
            f"its hooks do not fit: {error}", record, remedy="see hotplug.hookspecs for the signatures"
        ) from error


def contributed(where: pluggy.PluginManager) -> list[Kind[Any]]:
    """What all of its implementations contribute. Runs plugin code; raises what that raises."""
    return [kind for answer in where.hook.hotplug_kinds() for kind in _kinds_only(answer)]


class Asking:
    """The implementations of hooks that there are, and how those fare that came with the environment."""

    def __init__(self) -> None:
        self.manager: pluggy.PluginManager = manager()
        self._statuses: dict[PluginRecord, PluginStatus] = {}
        self._limit = 30.0
        self.are_new: bool = False
        """Whether any came since `contribute`."""

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """Of all that the environment brought, whatever became of them."""
        return tuple(self._statuses.copy().values())

    def contribute(self, take: Callable[[Kind[Any]], None]) -> None:
        """Have *take* each kind that an implementation contributes; one that it refuses fails its plugin."""
        self.are_new = False

        def take_all(answer: Iterable[object]) -> None:
            for kind in _kinds_only(answer):
                take(kind)

        self._ask("hotplug_kinds", take_all, fails=True)

    def kinds(self) -> list[Kind[Any]]:
        """What the implementations contribute."""
        found: list[Kind[Any]] = []
        self.contribute(found.append)
        return found

    def vetoes(self, records: Sequence[PluginRecord]) -> dict[PluginRecord, str]:
        """The refused records with the reasons; the first reason for a record stands."""
        refused: dict[PluginRecord, str] = {}

        def refuse(answer: Mapping[PluginRecord, str]) -> None:
            refused.update({record: str(why) for record, why in answer.items() if record not in refused})

        self._ask("hotplug_discovered", refuse, records=tuple(records))
        return refused

    def changed(self, changes: Changes) -> None:
        """Tell of changes."""
        self._ask("hotplug_changed", lambda _: None, changes=changes)

    def _ask(self, hook: str, take: Callable[[Any], None], *, fails: bool = False, **arguments: Any) -> None:
        """Let *take* have each implementation's answer; pluggy itself would stop at the first that raises."""
        everyone = [plugin for _, plugin in self.manager.list_name_plugin() if plugin is not None]
        records = {str(record): record for record in self._statuses.copy()}
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        for name, plugin in {impl.plugin_name: impl.plugin for impl in implementations}.items():
            others = [other for other in everyone if other is not plugin]
            ask = functools.partial(self._answers, hook, others, take, arguments)
            record = records.get(name)
            try:
                if record is None:  # the application's own: in its thread, for as long as it likes
                    ask()
                else:
                    behind_wall(record, f"hook {hook}", ask, self._limit)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - border to plugin code
                self._report(record, error, f"hook {hook} of {name}", fails=fails)

    def _answers(
        self, hook: str, others: Iterable[object], take: Callable[[Any], None], arguments: Mapping[str, Any]
    ) -> None:
        for answer in self.manager.subset_hook_caller(hook, others)(**arguments):
            take(answer)

    def _report(self, record: PluginRecord | None, error: BaseException, doing: str, *, fails: bool) -> None:
        """Say so in the status. Who *fails*, or would hang again and again, is not asked any more."""
        _log.error("%s failed: %s", doing, name_and_text(error))
        if record is None:
            return
        facts: dict[str, Any] = {"error": traceback_of(error)}
        if isinstance(error, PluginError):
            facts |= {"reason": error.reason, "remedy": error.remedy or "see the error; mend the plugin"}
        is_late = isinstance(error, PluginTimeoutError)
        if fails or is_late:
            self._unregister(record)
            facts["state"] = "timed_out" if is_late else "failed"
        self._mark(record, **facts)

    def _mark(self, record: PluginRecord, **facts: Any) -> None:
        known = self._statuses.get(record)
        if known is not None:  # else it was dropped while it was asked
            self._statuses[record] = replace(known, **facts)

    def _unregister(self, record: PluginRecord) -> None:
        if self.manager.has_plugin(str(record)):
            self.manager.unregister(name=str(record))


def _kinds_only(answer: Iterable[object]) -> list[Kind[Any]]:
    kinds: list[Kind[Any]] = []
    for kind in answer:
        if not isinstance(kind, Kind):
            raise TypeError(f"hotplug_kinds gave {kind!r}, which is not a Kind")
        kinds.append(kind)  # pyright: ignore[reportUnknownArgumentType] - of whatever it is
    return kinds
