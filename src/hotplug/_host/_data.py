"""Where plugins keep files that outlive them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotplug._config import Config
    from hotplug._records import PluginStatus

__all__ = ["data_root", "file_name", "folder_of", "orders_folder"]


def folder_of(status: PluginStatus, config: Config) -> Path:
    """The folder of one plugin under one key; not made yet."""
    record = status.record
    mine = f"{record.kind}.{file_name(status.key)}"
    return data_root(config) / "plugins" / file_name(record.distribution) / mine


def orders_folder(config: Config) -> Path:
    """The folder of order journals and halts; not made yet."""
    return data_root(config) / "orders"


def file_name(name: str) -> str:
    """*name* as a file can be called; different names stay different, and none leads elsewhere."""
    return re.sub(r"^\.|[^\w.-]", lambda odd: f"%{ord(odd[0]):02x}", name)


def data_root(config: Config) -> Path:
    """``[host] data``, else ``HOTPLUG_DATA``, else the user's data folder."""
    if (named := config.host.data or os.environ.get("HOTPLUG_DATA")) is not None:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("hotplug", appauthor=False))
