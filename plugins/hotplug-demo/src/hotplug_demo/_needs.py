"""What the demo is made of, and who is to blame where that is missing or broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hotplug import PluginRecord, PluginStatus

__all__ = ["AGENT", "BROKER_PLUGIN", "STRATEGY", "TOOLS", "Trouble", "check_installed", "check_working"]

AGENT: Final = "analyst"
BROKER_PLUGIN: Final = "paper"
STRATEGY: Final = "crossover"
TOOLS: Final = ("list_symbols", "last_price", "history")

NEEDED: Final = {
    ("brokers", BROKER_PLUGIN): "hotplug-broker-paper",
    **{("tools", tool): "hotplug-tools-market" for tool in TOOLS},
    ("agents", AGENT): "hotplug-agent-analyst",
    ("strategies", STRATEGY): "hotplug-strategy-crossover",
}


class Trouble(click.ClickException):
    """The demo cannot go on; its text says why, and what would help. Exit code 1."""


def check_installed(records: Iterable[PluginRecord], strategy: str) -> None:
    """Raise `Trouble` naming everything that is not installed, and how to install it."""
    there = {(record.kind, record.name) for record in records}
    missing = [(needed, home) for needed, home in _needed(strategy) if needed not in there]
    if missing:
        names = "".join(f"\n  {kind}/{name} is not installed" for (kind, name), _ in missing)
        homes = dict.fromkeys(home for _, home in missing if home)
        raise Trouble(f"the demo needs more plugins:{names}\ninstall them: pip install {' '.join(homes)}")


def check_working(statuses: Iterable[PluginStatus], strategy: str) -> None:
    """Raise `Trouble` naming every needed plugin that does not work, with reason and remedy."""
    needed = {needed for needed, _ in _needed(strategy)}
    broken = [
        f"\n  {status.record} is {status.state}: {status.reason}; {status.remedy}"
        for status in statuses
        if (status.record.kind, status.record.name) in needed and status.state not in ("discovered", "loaded")
    ]
    if broken:
        raise Trouble(f"plugins that the demo needs do not work:{''.join(dict.fromkeys(broken))}")


def _needed(strategy: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Each (kind, name) with the distribution that brings it, if that is known."""
    for (kind, name), home in NEEDED.items():
        if kind != "strategies":
            yield (kind, name), home
    yield ("strategies", strategy), NEEDED.get(("strategies", strategy), "")
