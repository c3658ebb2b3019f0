"""The server of a desk, whichever major version of the SDK is installed."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import hotplug

if TYPE_CHECKING:
    from hotplug_mcp._desk import Desk

__all__ = ["server_of"]

INSTRUCTIONS: Final = (
    "The tools that are installed and offered to this user. The list follows installations: "
    "fetch it again when you are told that it changed."
)


def server_of(desk: Desk) -> Any:
    """A low-level server of the SDK's, for one desk and any number of connections."""
    if version("mcp").partition(".")[0] == "1":
        from hotplug_mcp._one import make_server
    else:
        from hotplug_mcp._two import make_server
    return make_server(desk, "hotplug", hotplug.__version__, INSTRUCTIONS)
