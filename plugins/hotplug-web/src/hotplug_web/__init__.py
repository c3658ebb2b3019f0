"""hotplug in the browser: live events, a dashboard over all registries, a JSON API, and ``hotplug serve``."""

from __future__ import annotations

from hotplug_web._app import create_app
from hotplug_web._limits import Limits
from hotplug_web._manager import WebSocketManager
from hotplug_web._principal import Authenticate, Knock, Principal
from hotplug_web._tokens import TokenAuthenticator

__all__ = [
    "Authenticate",
    "Knock",
    "Limits",
    "Principal",
    "TokenAuthenticator",
    "WebSocketManager",
    "create_app",
]
