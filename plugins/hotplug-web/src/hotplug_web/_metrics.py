"""``/metrics``: what was counted, as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hotplug import Host
    from hotplug_web._board import Board
    from hotplug_web._manager import WebSocketManager

__all__ = ["CONTENT_TYPE", "metrics_of"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[dict[str, str], float]
REGISTRY: Final = {
    "entries": ("gauge", "What stands in a registry."),
    "registrations": ("counter", "What was ever registered."),
    "lookups": ("counter", "Calls that named a key."),
    "misses": ("counter", "Lookups that found nothing they could use."),
    "creations": ("counter", "Objects that factories and loads made."),
    "failures": ("counter", "Objects that they did not."),
}
EVENTS: Final = {
    "users": ("gauge", "Users with events or readers."),
    "cursors": ("gauge", "Readers."),
    "events": ("gauge", "Events that are held."),
    "size": ("gauge", "Bytes that they take."),
    "emitted": ("counter", "Events that were emitted."),
    "evicted": ("counter", "Events that were given up for the limits."),
    "errors": ("counter", "Events whose payload could not be stored."),
    "refused": ("counter", "Events that came after the end."),
}


def metrics_of(host: Host, manager: WebSocketManager, board: Board) -> str:
    """All of it. Asks nobody but memory."""
    lines: list[str] = []
    for part in (_plugins(host), _registries(host), _brokers(host), _events(manager), _web(manager, board)):
        lines += part
    return "\n".join(lines) + "\n"


def _plugins(host: Host) -> Iterator[str]:
    states = Counter((status.record.kind, status.state) for status in host.plugins)
    samples = (({"kind": kind, "state": state}, count) for (kind, state), count in sorted(states.items()))
    yield from _family("hotplug_plugins", "gauge", "Plugins by state.", samples)
    generations = (
        ({"plugin": status.name, "distribution": status.record.distribution}, status.generation)
        for status in host.plugins
    )
    yield from _family("hotplug_plugin_generation", "gauge", "The generation that serves.", generations)
    yield from _family(
        "hotplug_problems", "gauge", "Problems of the environment.", [({}, len(host.problems))]
    )
    healthy = host.health().status == "healthy"
    yield from _family("hotplug_healthy", "gauge", "Whether all is well.", [({}, healthy)])


def _registries(host: Host) -> Iterator[str]:
    found = {name: registry.metrics() for name, registry in host.registries.items()}
    for name, (sort, about) in REGISTRY.items():
        samples = (({"registry": kind}, getattr(metrics, name)) for kind, metrics in found.items())
        yield from _family(f"hotplug_registry_{name}{_end(sort)}", sort, about, samples)


def _brokers(host: Host) -> Iterator[str]:
    if "brokers" not in host.registries:
        return
    infos = host.brokers.list_all()
    usage = (({"broker": info.broker_id}, info.rate_limit_usage) for info in infos)
    yield from _family("hotplug_broker_rate_limit_usage", "gauge", "0 to 1, of its fullest window.", usage)
    healthy = (({"broker": info.broker_id}, info.healthy) for info in infos)
    yield from _family("hotplug_broker_healthy", "gauge", "Ready for orders, and well.", healthy)
    halts: list[Sample] = [({}, len(host.brokers.halts()))]
    yield from _family("hotplug_halts", "gauge", "Halts in force.", halts)


def _events(manager: WebSocketManager) -> Iterator[str]:
    stats = manager.hub.stats()
    for name, (sort, about) in EVENTS.items():
        yield from _family(f"hotplug_events_{name}{_end(sort)}", sort, about, [({}, getattr(stats, name))])


def _web(manager: WebSocketManager, board: Board) -> Iterator[str]:
    stats = dict(manager.stats())
    live = stats.pop("connections")
    yield from _family("hotplug_web_connections", "gauge", "Live connections.", [({}, live)])
    yield from _family("hotplug_web_watchers", "gauge", "Who watches the dashboard.", [({}, board.watchers)])
    happened = (({"what": what}, count) for what, count in sorted(stats.items()))
    yield from _family("hotplug_web_happened_total", "counter", "What became of connections.", happened)


def _end(sort: str) -> str:
    return "_total" if sort == "counter" else ""


def _family(name: str, sort: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {sort}"
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        number = repr(value) if isinstance(value, float) else str(int(value))
        yield f"{name}{{{inner}}} {number}" if inner else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
