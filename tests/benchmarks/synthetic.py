"""Pretend site folders of 10 to 5,000 distributions, shaped like what installers leave behind."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["GROUPS", "advertises_plugin", "install", "populate"]

GROUPS = {
    "hotplug.brokers": "brokers",
    "hotplug.agents": "agents",
    "hotplug.tools": "tools",
    "hotplug.strategies": "strategies",
    "hotplug.services": "services",
}
EVERY = 20  # one distribution of twenty contributes, as in the notes: 5 %
DESCRIPTION = "A long description, as the real ones have, of what nobody reads here.\n"


def advertises_plugin(number: int) -> bool:
    """Whether distribution *number* contributes to ``hotplug.brokers``; the others have scripts only."""
    return number % EVERY == 0


def install(site: Path, number: int, *, version: str = "1.0", group: str | None = None) -> Path:
    """Write distribution *number* into *site*, its dist-info with all customary files."""
    name = f"dist_{number:05d}"
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    group = group or ("hotplug.brokers" if advertises_plugin(number) else "console_scripts")
    length = 5_000 + number * 7_919 % 45_000
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n\n"
        + DESCRIPTION * (length // len(DESCRIPTION)),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: synthetic\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "INSTALLER": "pip\n",
        "entry_points.txt": f"[{group}]\nplugin_{number} = {name}.main:Thing\n",
    }
    for file, text in files.items():
        (folder / file).write_text(text)
    rows = [f"{folder.name}/{file},," for file in [*files, "RECORD"]]
    rows += [f"{name}/module_{i}.py,sha256=x,{i}" for i in range(40)]
    (folder / "RECORD").write_text("\n".join(rows) + "\n")
    (site / name).mkdir(exist_ok=True)
    return folder


def populate(site: Path, count: int) -> Path:
    """Fill *site* with *count* distributions."""
    site.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        install(site, number)
    return site


if __name__ == "__main__":
    populate(Path(sys.argv[1]), int(sys.argv[2]))
