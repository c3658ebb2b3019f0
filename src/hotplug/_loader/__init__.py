"""
From a record to an object, behind a wall.

    record ──import──▶ target ──classify──▶ Blueprint ──settings, injection──▶ object ──contract──▶ caller

Whatever plugin code raises on the way (anything but `KeyboardInterrupt`) comes out as a `PluginError`.
"""

from __future__ import annotations

from hotplug._loader._blueprint import NOBODY, Blueprint, PluginContext, prepare
from hotplug._loader._importing import (
    drop_modules,
    import_target,
    mentions,
    modules_of,
    resolve,
)
from hotplug._loader._wall import behind_wall, traceback_of

__all__ = [
    "Blueprint",
    "NOBODY",
    "PluginContext",
    "behind_wall",
    "drop_modules",
    "import_target",
    "mentions",
    "modules_of",
    "prepare",
    "resolve",
    "traceback_of",
]
