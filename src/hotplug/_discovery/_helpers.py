"""Finds distributions that advertise nothing, and whose code may change all the same: helpers of plugins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from hotplug._records import PluginRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["found", "helper"]


def found(name: str, path: Sequence[str] | None) -> PluginRecord | None:
    """The distribution *name* on *path*, as a record without an entry point; None if there is none."""
    import json

    import importlib_metadata

    from hotplug._discovery._foreign import path_of

    try:
        folders = list(sys.path if path is None else path)
        found_here: Any = cast("Any", importlib_metadata).distributions(name=name, path=folders)
        one = next(iter(found_here), None)
        if one is None:
            return None
        origin = json.loads(one.read_text("direct_url.json") or "{}")
        is_editable = bool(origin.get("dir_info", {}).get("editable"))
        return PluginRecord("", "", "", "", one.metadata["Name"], one.version, path_of(one), is_editable)
    except Exception:  # noqa: BLE001 - the border to what installers and finders of others made
        return None


def helper(name: str, path: Sequence[str] | None) -> PluginRecord | None:
    """
    The same, where its code can be followed by itself: where it is edited where it lies.

    None for what is installed for good. Never raises, as `found`.
    """
    from hotplug._discovery._territory import territory

    record = found(name, path)
    return None if record is None or territory(record).sort == "installed" else record
