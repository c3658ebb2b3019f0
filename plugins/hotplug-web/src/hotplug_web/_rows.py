"""What the dashboard shows: a row for everything that stands in a registry, or should."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hotplug.strategies import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplug import Changes, Host, PluginStatus
    from hotplug.brokers import BrokerInfo
    from hotplug.market import StatusChange
    from hotplug.strategies import Running

__all__ = ["Picture", "View", "broker_facts", "changes_facts"]

Row = dict[str, Any]
LOG: Final = 200  # lines of the log that are kept
CURVE: Final = 60  # points of an equity curve
TEXT: Final = 300  # characters of an error that a row shows
HEALTH: Final[Mapping[str, str]] = {
    **dict.fromkeys(("failed", "timed_out", "broken", "quarantined", "conflict"), "unhealthy"),
    "loaded": "healthy",
}
_log = logging.getLogger("hotplug.web")


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the dashboard shows, at one instant."""

    rows: Mapping[str, Row]
    problems: list[Row]
    halts: list[Row]
    runs: list[Row]
    host: Row


class View:
    """
    Looks at a host, and remembers since when something is wrong and what happened lately. Thread-safe.

    Looking asks nobody but the memory of registries and gateways; a gateway that is no good citizen may
    take its time even so: not to be done on an event loop.
    """

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self._guard: Final = threading.Lock()
        self._touched: Final[dict[str, datetime]] = {}
        self._errors: dict[str, tuple[str, datetime]] = {}
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._lines: Final[deque[Row]] = deque(maxlen=LOG)
        self._number = 0
        self._undos: Final = [host.subscribe(self._changed), host.reports.subscribe(self._reported)]
        if "brokers" in host.registries:
            self._undos.append(host.brokers.subscribe_status(self._came_into))

    def close(self) -> None:
        """Look no more."""
        for undo in self._undos:
            undo()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call *listener*, on any thread, whenever something changed; the undo."""
        with self._guard:
            self._listeners += (listener,)

        def undo() -> None:
            with self._guard:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return undo

    def note(self, event: str, text: str, **facts: Any) -> None:
        """Add a line to the log."""
        with self._guard:
            self._number += 1
            self._lines.append({"number": self._number, "at": _now(), "event": event, "text": text, **facts})
        self._wake()

    def lines(self, after: int = 0) -> list[Row]:
        """The lines of the log with a higher number than *after*."""
        with self._guard:
            return [line for line in self._lines if line["number"] > after]

    def now(self) -> Picture:
        """How everything is."""
        host = self._host
        with self._guard:
            touched = dict(self._touched)
        rows = {row["id"]: row for row in self._rows()}
        self._date_errors(rows, touched)
        health = host.health()
        return Picture(
            rows=rows,
            problems=[_problem(each) for each in host.problems],
            halts=self.halts(),
            runs=[_run(each) for each in running()],
            host={"health": health.status, "issues": list(health.issues[:50]), "plugins": len(rows)},
        )

    def halts(self) -> list[Row]:
        """What is halted."""
        if "brokers" not in self._host.registries:
            return []
        return [
            {"key": halt.key, "user": halt.user, "reason": halt.reason, "since": halt.since}
            for halt in self._host.brokers.halts()
        ]

    # -- rows --------------------------------------------------------------------------------------

    def _rows(self) -> Iterator[Row]:
        statuses = self._host.plugins
        known = {status.name for status in statuses}
        facts = {name: dict(self._facts_of(name)) for name in self._host.registries}
        for status in statuses:
            yield _row(status, facts.get(status.record.kind, {}).get(status.key))
        for kind, found in facts.items():
            yield from (
                _own_row(kind, key, each) for key, each in found.items() if f"{kind}/{key}" not in known
            )

    def _facts_of(self, kind: str) -> Iterator[tuple[str, Row]]:
        """What the registry of a kind knows of each key."""
        registry = self._host.registry(kind)
        if kind == "brokers":
            for info in self._host.brokers.list_all():
                yield info.broker_id, _broker(info)
            return
        health: Mapping[str, str] = registry.health().details.get(kind, {}) if kind == "services" else {}
        for entry in registry.entries():
            found: Row = {"sort": entry.sort, "tags": list(entry.tags)}
            if entry.key in health:
                found["health"] = str(health[entry.key])
            yield entry.key, found

    def _date_errors(self, rows: Mapping[str, Row], touched: Mapping[str, datetime]) -> None:
        """Say since when each error is there: since the change that brought it, or since it was seen."""
        errors: dict[str, tuple[str, datetime]] = {}
        for name, row in rows.items():
            text = row["last_error"]
            if text is None:
                continue
            before = self._errors.get(name)
            since = before[1] if before is not None and before[0] == text else touched.get(name, _now())
            errors[name] = text, since
            row["last_error"] = {"text": text, "at": since}
        self._errors = errors

    # -- what happens ------------------------------------------------------------------------------

    def _changed(self, changes: Changes) -> None:
        self._touch(*changes.added, *changes.changed, *changes.failed)

    def _came_into(self, key: str, change: StatusChange) -> None:
        self.note("status", f"brokers/{key} is {change.new.lower()}", name=f"brokers/{key}")
        self._touch(f"brokers/{key}")

    def _reported(self, report: Any) -> None:
        self.note(report.event, report.text, distribution=report.distribution, error=report.error)

    def _touch(self, *names: str) -> None:
        with self._guard:
            now = _now()
            for name in names:
                self._touched[name] = now
        self._wake()

    def _wake(self) -> None:
        for listener in self._listeners:
            listener()


def changes_facts(changes: Changes) -> dict[str, list[str]]:
    """*changes* as data."""
    groups = ("added", "changed", "removed", "failed")
    return {group: list(getattr(changes, group)) for group in groups}


def broker_facts(info: BrokerInfo) -> Row:
    """What is known of a gateway, as data."""
    return {
        "key": info.broker_id,
        "type": info.type,
        "environment": info.environment,
        "status": info.status,
        "health": info.health,
        "healthy": info.healthy,
        "rate_limit_usage": round(info.rate_limit_usage, 3),
        "generation": info.generation,
        "distribution": info.distribution,
        "version": info.version,
        "capabilities": sorted(info.capabilities),
        "accounts": list(info.accounts),
        "since": info.since,
        "last_error": info.last_error,
    }


def _broker(info: BrokerInfo) -> Row:
    return {
        "type": info.type,
        "status": str(info.status).lower(),
        "health": str(info.health).lower(),
        "rate_limit": round(info.rate_limit_usage, 2),
        "since": info.since,
        "error": info.last_error,
    }


def _row(status: PluginStatus, facts: Row | None) -> Row:
    record, facts = status.record, facts or {}
    return {
        "id": status.name,
        "kind": record.kind,
        "key": status.key,
        "type": facts.get("type") or record.name,
        "state": status.state,
        "status": facts.get("status", status.state) if status.state == "loaded" else status.state,
        "health": facts.get("health") or HEALTH.get(status.state, "unknown"),
        "rate_limit": facts.get("rate_limit"),
        "version": record.version,
        "generation": status.generation,
        "distribution": record.distribution,
        "editable": record.editable,
        "source": status.source,
        "reason": status.reason,
        "remedy": status.remedy,
        "last_error": _last_line(status.error) or facts.get("error"),
        "load_seconds": status.load_seconds,
        "since": facts.get("since"),
        "tags": facts.get("tags", []),
        "can": _can(status),
    }


def _own_row(kind: str, key: str, facts: Row) -> Row:
    """The row of what the application registered itself."""
    nothing = dict.fromkeys(("version", "distribution", "reason", "remedy"), "")
    return {
        "id": f"{kind}/{key}",
        "kind": kind,
        "key": key,
        "type": facts.get("type") or key,
        "state": "loaded",
        "status": facts.get("status", "loaded"),
        "health": facts.get("health", "healthy"),
        "rate_limit": facts.get("rate_limit"),
        "generation": 0,
        "editable": False,
        "source": "application",
        "last_error": facts.get("error"),
        "load_seconds": None,
        "since": facts.get("since"),
        "tags": facts.get("tags", []),
        "can": [],
        **nothing,
    }


def _can(status: PluginStatus) -> list[str]:
    """What an admin may ask for."""
    if status.state == "disabled":
        return ["enable"]
    return ["reload", "disable"]


def _problem(problem: Any) -> Row:
    return {
        "path": str(problem.path),
        "line": problem.line,
        "reason": problem.reason,
        "distribution": problem.distribution,
    }


def _run(run: Running) -> Row:
    return {
        "run_id": run.run,
        "strategy": type(run.strategy).__name__,
        "user": run.context.user_id if run.context is not None else None,
        "since": run.started_at,
        "equity": [float(value) for value in run.equity(CURVE)],
    }


def _last_line(trace: str) -> str | None:
    lines = trace.strip().splitlines()
    return lines[-1].strip()[:TEXT] if lines else None


def _now() -> datetime:
    return datetime.now(UTC)
