"""What is said of one plugin, or of one place in the environment: a state, one reason, one remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug._discovery._explain import Finding
    from hotplug._records import PluginStatus, Problem

__all__ = [
    "ENVIRONMENT",
    "REMEDIES",
    "Verdict",
    "cause_of",
    "of_finding",
    "of_problem",
    "of_status",
    "of_stray",
]

ENVIRONMENT: Final = "environment"
"""The kind of what is no plugin, but may hide one."""

SHADOWED: Final = "shadowed"
"""The state of an installation that another one hides; the order of the path may be meant to do that."""

FINE: Final = frozenset({"discovered", "loaded", "disabled", "blocked", SHADOWED})
"""States that need no remedy: it works, or somebody chose so."""

REMEDIES: Final[Mapping[str, str]] = {
    "not installed": "install a distribution that advertises it",
    "other environment": "install it into this environment",
    "wrong group": "mend the group in the distribution's pyproject.toml, and install it again",
    "disabled": "remove it from [plugins] disable",
    "not allowed": "add its distribution to [plugins] allow, if you trust it",
    "shadowed": "uninstall the one that stands first on the path, or change the order of the path",
    "failed import": "see the error; mend the plugin or install another version",
    "missing dependency": "install what the plugin needs",
    "API mismatch": "upgrade hotplug or the plugin",
    "contract mismatch": "define what the contract asks for",
    "settings": "mend the settings in the configuration",
    "conflict": "uninstall one of them, or pick one in [plugins] conflicts",
    "timed out": "see what it waits for, or raise load_timeout",
    "quarantined": "see why its calls do not end; it is tried again after a reload or a restart",
    "vetoed": "ask the plugin whose hook refused it",
    "unknown kind": "mend the name of the table",
    "broken metadata": "install the distribution again",
    "broken install": "install the distribution again",
    "restart required": "restart the application when the moment is right",
    "reload pending": "host.reload() its distribution when the moment is right",
    "polled": "put it on a file system that tells of changes, or leave it: it is followed a little later",
}
OTHERWISE: Final = "see the error; mend the plugin or install another version"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of ``list`` and ``doctor``; `as_dict` is its JSON."""

    kind: str
    name: str
    key: str
    distribution: str
    version: str
    state: str
    reason: str = ""
    remedy: str = ""
    error: str = ""
    path: str = ""
    where: tuple[str, ...] = ()
    line: int | None = None
    value: str = ""
    editable: bool = False
    source: str = ""
    load_seconds: float | None = None
    output: str = ""

    @property
    def wrong(self) -> bool:
        """Whether somebody should do something about it."""
        return self.state not in FINE

    @property
    def title(self) -> str:
        """``kind/key``, with the entry point's name where that is another."""
        key = self.key or self.name
        also = f" ({self.name})" if self.name != key else ""
        return f"{self.kind}/{key}{also}" if self.kind else key

    @property
    def origin(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}".strip()

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "wrong": self.wrong}


def of_status(status: PluginStatus) -> Verdict:
    """What a survey or an examination says of a plugin."""
    record = status.record
    verdict = Verdict(
        record.kind,
        record.name,
        status.key,
        record.distribution,
        record.version,
        status.state,
        status.reason,
        status.remedy,
        status.error,
        record.path,
        value=record.value,
        editable=record.editable,
        source=status.source,
        load_seconds=status.load_seconds,
    )
    return complete(verdict)


def complete(verdict: Verdict) -> Verdict:
    """*verdict* with a reason and a remedy, if its state asks for them."""
    if verdict.state in ("discovered", "loaded"):
        return verdict
    reason = verdict.reason or verdict.state.replace("_", " ")
    remedy = verdict.remedy
    if remedy in ("", OTHERWISE):  # a host says so where it knows no better
        remedy = REMEDIES.get(reason, OTHERWISE)
    return replace(verdict, reason=reason, remedy=remedy)


def of_problem(problem: Problem) -> Verdict:
    """Something broken in the environment, which may hide plugins."""
    name = problem.distribution or PurePath(problem.path).name
    what = f"install {problem.distribution} again" if problem.distribution else "repair or remove it"
    return Verdict(
        ENVIRONMENT,
        name,
        "",
        problem.distribution,
        "",
        "broken",
        "broken metadata",
        f"{what}: {problem}",
        str(problem),
        problem.path,
        line=problem.line,
    )


def of_finding(name: str, finding: Finding) -> Verdict:
    """Why *name* was not found, or not as expected."""
    kind, _, key = name.rpartition("/")
    remedy = finding.remedy
    if finding.reason == "not installed":
        remedy = f"{REMEDIES[finding.reason]}: {remedy}"
    verdict = Verdict(kind, key, key, "", "", "failed", finding.reason, remedy, where=finding.where)
    return complete(replace(verdict, path=finding.where[-1] if finding.where else ""))


def of_stray(finding: Finding) -> Verdict:
    """A distribution that was meant to bring plugins, and brings none."""
    name = finding.distribution
    state = SHADOWED if finding.reason == SHADOWED else "failed"
    return Verdict(
        ENVIRONMENT,
        name,
        "",
        name,
        "",
        state,
        finding.reason,
        finding.remedy,
        path=finding.where[-1],
        where=finding.where,
    )


def cause_of(verdict: Verdict) -> str:
    """The error without the way to it: the last thing that was raised, with its details."""
    lines = verdict.error.rstrip().splitlines()
    last = next((at for at in range(len(lines) - 1, -1, -1) if lines[at][:1].strip()), 0)
    text = "\n".join(lines[last:])
    raised, _, rest = text.partition(": ")
    if rest and raised.startswith("hotplug.errors."):
        text = rest
    record = f"{verdict.kind}/{verdict.name} from {verdict.origin}: "
    return text.removeprefix(record).replace(f" ({verdict.remedy})", "", 1)
