"""From what somebody typed to the plugins that are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from hotplug import _discovery
from hotplug._cli._scene import groups
from hotplug._cli._verdicts import Verdict, of_finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hotplug._cli._scene import Scene
    from hotplug._discovery._explain import Finding
    from hotplug._records import PluginStatus

__all__ = ["matches", "not_as_expected", "why_not"]

BESIDES: Final = frozenset({"shadowed", "leftover", "broken metadata"})
"""Reasons that concern a plugin although it was found; an entry point of its name elsewhere does not."""


def matches(name: str, statuses: Sequence[PluginStatus]) -> list[PluginStatus]:
    """The plugins called *name*: by ``kind/key``, else by key, entry point, or distribution."""
    ways: tuple[Callable[[PluginStatus], bool], ...] = (
        lambda status: status.name == name,
        lambda status: f"{status.record.kind}/{status.record.name}" == name,
        lambda status: name in (status.key, status.record.name),
        lambda status: (
            bool(name) and canonicalize_name(status.record.distribution) == canonicalize_name(name)
        ),
    )
    for way in ways:
        if found := [status for status in statuses if way(status)]:
            return found
    return []


def why_not(name: str, scene: Scene) -> list[Verdict]:
    """Why nothing is called *name*: at least one reason, each with a remedy."""
    return [of_finding(name, finding) for finding in _explained(name, scene)]


def not_as_expected(name: str, scene: Scene) -> list[Verdict]:
    """What the environment has besides the plugins called *name* that is not as it should be."""
    findings = _explained(name, scene)
    return [of_finding(name, finding) for finding in findings if finding.reason in BESIDES]


def _explained(name: str, scene: Scene) -> tuple[Finding, ...]:
    return _discovery.explain(name, groups(), scene.search_path)
