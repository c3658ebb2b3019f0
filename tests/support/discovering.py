"""What the tests of discovery share: groups, questions, and leftovers of others."""

from __future__ import annotations

from pathlib import Path

from hotplug._discovery import discover

GROUPS = {"hotplug.brokers": "brokers", "hotplug.tools": "tools"}
ACME = {"hotplug.brokers": {"acme": "acme:Broker"}}


def found(*path: object, **options: bool) -> list[str]:
    return [str(record) for record in discover(GROUPS, [str(entry) for entry in path], **options).records]


def problems(*path: object) -> list[tuple[str, int | None, str]]:
    listed = discover(GROUPS, [str(entry) for entry in path]).problems
    return [(Path(problem.path).name, problem.line, problem.reason) for problem in listed]


def write_info(folder: Path, name: str, text: str | bytes = "", metadata: str | bytes | None = None) -> Path:
    """A dist-info as somebody else might have left it."""
    info = folder / name
    info.mkdir(parents=True)
    if text:
        (info / "entry_points.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata.encode() if isinstance(metadata, str) else metadata)
    return info
