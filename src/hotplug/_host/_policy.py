"""
Which plugin stands where, decided from records and configuration alone: nothing is imported.

A `Seat` is one plugin under one key. Its verdict is a `PluginStatus`: ``discovered`` may be loaded,
everything else says why not and what would help.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hotplug import _discovery
from hotplug._records import Changes, PluginRecord, PluginStatus
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug._config import Config, EntryConfig
    from hotplug._discovery import Installation
    from hotplug._kinds import Kind
    from hotplug._records import PluginState

__all__ = ["Seat", "allot", "api_mismatch", "normal_name", "plan"]


@dataclass(frozen=True, slots=True)
class Seat:
    """One plugin under one key, and what the environment and the configuration say about it."""

    kind: Kind[Any]
    status: PluginStatus
    entry: EntryConfig | None = None
    stamp: tuple[object, ...] = ()

    @property
    def name(self) -> str:
        """``kind/key``."""
        return self.status.name

    @property
    def may_load(self) -> bool:
        return self.status.state == "discovered"

    def same_as(self, other: Seat) -> bool:
        """Whether nothing that matters to a running plugin differs."""
        return (
            self.status.record == other.status.record
            and self.may_load == other.may_load
            and _alike(self.entry, other.entry)
            and self.stamp == other.stamp
        )

    def tunes_to(self, other: Seat) -> bool:
        """Whether *other* says something else of a broker only that does not concern its gateway."""
        mine, theirs = self.entry, other.entry
        return (
            self.kind.up == "connect"
            and mine is not None
            and theirs is not None
            and replace(self, entry=replace(mine, options=theirs.options, tags=theirs.tags)).same_as(other)
        )


def allot(
    kinds: Iterable[Kind[Any]],
    records: Sequence[PluginRecord],
    config: Config,
    *,
    version: str,
    vetoes: Mapping[PluginRecord, str] | None = None,
    broken: Mapping[str, Installation] | None = None,
    stamp: Callable[[PluginRecord], tuple[object, ...]] | None = None,
) -> tuple[Seat, ...]:
    """
    Every plugin's seat, in the order of kinds, then keys. The same for any order of installation.

    *broken* are installations that will not become complete, by the paths of their dist-infos; *stamp*
    tells one installation from the next.
    """
    judge = _Judge(config, version, vetoes or {}, broken or {})
    seats: list[Seat] = []
    for kind in kinds:
        mine = [record for record in records if record.kind == kind.name]
        seats += _Table(kind, mine, config, judge, stamp or _discovery.stamp).seats()
    return tuple(seats)


def plan(before: Sequence[Seat], after: Sequence[Seat]) -> Changes:
    """What separates two allotments, by name; who newly may not load, and not by choice, has failed."""
    standing = {seat.name: seat for seat in before if seat.may_load}
    wanted = {seat.name: seat for seat in after if seat.may_load}
    both = [name for name in wanted if name in standing]
    known = {(seat.name, seat.status) for seat in before}
    refused = (seat for seat in after if not seat.may_load and (seat.name, seat.status) not in known)
    return Changes(
        added=tuple(name for name in wanted if name not in standing),
        changed=tuple(name for name in both if not standing[name].same_as(wanted[name])),
        removed=tuple(name for name in standing if name not in wanted),
        unchanged=tuple(name for name in both if standing[name].same_as(wanted[name])),
        failed=tuple(seat.name for seat in refused if seat.status.state != "disabled"),
    )


class _Judge:
    """Says of a record whether it may be loaded at all."""

    def __init__(
        self,
        config: Config,
        version: str,
        vetoes: Mapping[PluginRecord, str],
        broken: Mapping[str, Installation],
    ) -> None:
        self._policy = config.plugins
        self._version = version
        self._vetoes = vetoes
        self._broken = broken
        self._mismatches: dict[tuple[str, str], str | None] = {}

    def verdict(self, record: PluginRecord) -> PluginStatus:
        """``discovered``, or the first reason against it."""
        status = PluginStatus(record, record.name, "discovered", generation=1)
        for rule in (
            self._disabled,
            self._not_allowed,
            self._broken_install,
            self._api_mismatch,
            self._vetoed,
        ):
            if (found := rule(record)) is not None:
                state, reason, remedy = found
                return replace(status, state=state, reason=reason, remedy=remedy)
        return status

    def _disabled(self, record: PluginRecord) -> tuple[PluginState, str, str] | None:
        if not self._policy.disabled(record.kind, record.name):
            return None
        remedy = f"remove {record.kind}/{record.name} from [plugins] disable"
        return "disabled", "disabled", remedy

    def _not_allowed(self, record: PluginRecord) -> tuple[PluginState, str, str] | None:
        if self._policy.allowed(record.distribution):
            return None
        return "refused", "not allowed", f"add {record.distribution!r} to [plugins] allow, if you trust it"

    def _broken_install(self, record: PluginRecord) -> tuple[PluginState, str, str] | None:
        found = self._broken.get(record.path)
        if found is None:
            return None
        what = f"{found.file} {found.why}" if found.file else found.why
        return "broken", "broken install", f"{what}: install {record.distribution} again"

    def _api_mismatch(self, record: PluginRecord) -> tuple[PluginState, str, str] | None:
        distribution = record.distribution, record.path
        if distribution not in self._mismatches:  # once for each: it means reading its metadata
            self._mismatches[distribution] = api_mismatch(record, self._version)
        wanted = self._mismatches[distribution]
        if wanted is None:
            return None
        remedy = (
            f"{record.distribution} {record.version} requires {wanted}, this is hotplug {self._version}: "
            "upgrade one of them"
        )
        return "refused", "API mismatch", remedy

    def _vetoed(self, record: PluginRecord) -> tuple[PluginState, str, str] | None:
        why = self._vetoes.get(record)
        return None if why is None else ("blocked", "vetoed", f"a hook refused it: {why}")


def api_mismatch(record: PluginRecord, version: str) -> str | None:
    """The distribution's requirement of hotplug that *version* does not meet, if there is one."""
    lines = [line for line in _discovery.requirements(record) if line.lstrip()[:7].lower() == "hotplug"]
    if not lines:
        return None
    from packaging.requirements import Requirement

    for line in lines:
        try:
            requirement = Requirement(line)
            concerns_us = requirement.name.lower() == "hotplug" and (
                requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            )
        except ValueError:
            continue  # discovery names broken metadata; it is no statement about versions
        if concerns_us and not requirement.specifier.contains(version, prereleases=True):
            return f"hotplug{requirement.specifier}"
    return None


class _Table:
    """The seats of one kind."""

    def __init__(
        self,
        kind: Kind[Any],
        records: Sequence[PluginRecord],
        config: Config,
        judge: _Judge,
        stamp: Callable[[PluginRecord], tuple[object, ...]],
    ) -> None:
        self._kind = kind
        self._stamp = stamp
        self._conflicts: Final = config.plugins.conflicts
        self._entries = {key: entry for (name, key), entry in config.entries.items() if name == kind.name}
        self._named = {entry.plugin for entry in self._entries.values()}
        self._verdicts = self._settle_conflicts([judge.verdict(record) for record in records])

    def seats(self) -> list[Seat]:
        """Sorted by key; configured keys first where two would stand under one."""
        configured = [seat for entry in self._entries.values() for seat in self._configured(entry)]
        plain = [
            self._seat(status) if status.key not in self._entries else self._seat(_crowded_out(status))
            for verdicts in self._verdicts.values()
            for status in verdicts
            if status.record.name not in self._named
        ]
        return sorted(configured + plain, key=lambda seat: (seat.status.key, str(seat.status.record)))

    def _settle_conflicts(self, verdicts: list[PluginStatus]) -> dict[str, list[PluginStatus]]:
        by_name: dict[str, list[PluginStatus]] = defaultdict(list)
        for status in verdicts:
            by_name[status.record.name].append(status)
        return {name: self._settle(name, group) for name, group in by_name.items()}

    def _settle(self, name: str, group: list[PluginStatus]) -> list[PluginStatus]:
        rivals = [status for status in group if status.state == "discovered"]
        if len(rivals) < 2:
            return group
        chosen = normal_name(self._conflicts.get(f"{self._kind.name}/{name}", ""))
        winners = [status for status in rivals if normal_name(status.record.distribution) == chosen]
        return [
            status if status not in rivals or status in winners else self._lost(name, status, rivals, winners)
            for status in group
        ]

    def _lost(
        self, name: str, status: PluginStatus, rivals: list[PluginStatus], winners: list[PluginStatus]
    ) -> PluginStatus:
        if winners:
            remedy = f"[plugins] conflicts picks {winners[0].record.distribution}"
            return replace(status, state="disabled", reason="conflict", remedy=remedy)
        rivals = sorted(rivals, key=lambda rival: str(rival.record))
        who = " and ".join(f"{rival.record.distribution} {rival.record.version}" for rival in rivals)
        full_name = f"{self._kind.name}/{name}"
        remedy = (
            f"{who} both advertise {full_name}: uninstall one, or pick one in [plugins] "
            f'conflicts = {{ "{full_name}" = "{rivals[0].record.distribution}" }}'
        )
        return replace(status, state="conflict", reason="conflict", remedy=remedy)

    def _configured(self, entry: EntryConfig) -> list[Seat]:
        verdicts = self._verdicts.get(entry.plugin)
        if not verdicts:
            return [Seat(self._kind, self._not_installed(entry), entry)]
        return [
            self._seat(replace(status, key=entry.key, source="configuration"), entry) for status in verdicts
        ]

    def _seat(self, status: PluginStatus, entry: EntryConfig | None = None) -> Seat:
        return Seat(self._kind, status, entry, self._stamp(status.record))

    def _not_installed(self, entry: EntryConfig) -> PluginStatus:
        record = PluginRecord(self._kind.name, self._kind.group, entry.plugin, "", "", "")
        remedy = (
            f"install a distribution that advertises {entry.plugin!r} in group {self._kind.group!r} "
            f"({close_match(entry.plugin, self._verdicts)})"
        )
        return PluginStatus(record, entry.key, "failed", "not installed", remedy, source="configuration")


def _alike(one: EntryConfig | None, other: EntryConfig | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.alike(other)


def _crowded_out(status: PluginStatus) -> PluginStatus:
    if status.state != "discovered":
        return status
    remedy = (
        f"the configuration gives the key {status.key!r} to another plugin: "
        f'give this one a table of its own with plugin = "{status.record.name}"'
    )
    return replace(status, state="conflict", reason="conflict", remedy=remedy)


def normal_name(distribution: str) -> str:
    """The name as PEP 503 compares it."""
    import re

    return re.sub(r"[-_.]+", "-", distribution).lower()
