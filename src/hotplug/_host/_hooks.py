"""The hooks: each implementation called behind the wall, one that raises is reported and the rest go on."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pluggy

from hotplug import hookspecs
from hotplug._kinds import Kind
from hotplug._loader import behind_wall, resolve, traceback_of
from hotplug.errors import PluginContractError, PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug._records import Changes, PluginRecord, PluginStatus

__all__ = ["Hooks"]

GROUP = "hotplug.hooks"
_log = logging.getLogger("hotplug.hooks")


class Hooks:
    """A host's `pluggy.PluginManager`, and the statuses of the plugins that came with the environment."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.statuses: dict[PluginRecord, PluginStatus] = {}

    def load(self, status: PluginStatus, limit: float) -> None:
        """Import and register one plugin of group ``hotplug.hooks``, if its verdict allows that."""
        record = status.record
        self.statuses[record] = status
        if status.state != "discovered":
            return
        try:
            target = resolve(record, limit)
            behind_wall(record, "registration", lambda: self._register(record, target))
        except PluginError as error:
            self._report(record, error, state="failed")
        else:
            self.statuses[record] = _with(status, state="loaded")

    def _register(self, record: PluginRecord, target: object) -> None:
        plugin = target() if isinstance(target, type) else target
        try:
            self.manager.register(plugin, name=str(record))
        except pluggy.PluginValidationError as error:
            self.manager.unregister(name=str(record))
            raise PluginContractError(
                f"its hooks do not fit: {error}", record, remedy="see hotplug.hookspecs for the signatures"
            ) from error

    def drop(self, record: PluginRecord) -> None:
        """Forget a plugin whose distribution is gone."""
        self.statuses.pop(record, None)
        if self.manager.has_plugin(str(record)):
            self.manager.unregister(name=str(record))

    # -- calling -----------------------------------------------------------------------------------

    def kinds(self) -> list[Kind[Any]]:
        """What the implementations contribute."""
        found: list[Kind[Any]] = []
        self._ask("hotplug_kinds", lambda answer: found.extend(_kinds_only(answer)))
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

    def _ask(self, hook: str, take: Callable[[Any], None], **arguments: Any) -> None:
        """Let *take* have each implementation's answer; pluggy itself would stop at the first that raises."""
        everyone = {name: plugin for name, plugin in self.manager.list_name_plugin() if plugin is not None}
        records = {str(record): record for record in self.statuses}
        for name, plugin in everyone.items():
            others = [other for other in everyone.values() if other is not plugin]
            caller = self.manager.subset_hook_caller(hook, others)
            try:
                for answer in caller(**arguments):
                    take(answer)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - border to plugin code
                self._report(records.get(name), error, hook=hook, plugin=name)

    def _report(
        self,
        record: PluginRecord | None,
        error: BaseException,
        *,
        state: str | None = None,
        hook: str = "",
        plugin: str = "",
    ) -> None:
        doing = f"hook {hook} of {plugin}" if hook else f"hooks of {record}"
        _log.error("%s failed: %s: %s", doing, type(error).__name__, error)
        if record is not None:
            facts: dict[str, Any] = {"error": traceback_of(error)}
            if isinstance(error, PluginError):
                facts |= {"reason": error.reason, "remedy": error.remedy}
            if state is not None:
                facts["state"] = state
            self.statuses[record] = _with(self.statuses[record], **facts)


def _kinds_only(answer: Iterable[object]) -> list[Kind[Any]]:
    kinds = list(answer)
    for kind in kinds:
        if not isinstance(kind, Kind):
            raise TypeError(f"hotplug_kinds gave {kind!r}, which is not a Kind")
    return kinds  # type: ignore[return-value]  # the loop has said so


def _with(status: PluginStatus, **facts: Any) -> PluginStatus:
    return replace(status, **facts)
