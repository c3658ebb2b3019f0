"""Typed, thread-safe tables of what plugins and the application offer."""

from __future__ import annotations

# The renamed ones are for the rooms below, not for everybody: sessions make things once, loads leave
# the loop free, closing waits for leases.
from hotplug.registry._making import Once as Once
from hotplug.registry._metrics import RegistryMetrics
from hotplug.registry._threads import run_in_thread as run_in_thread
from hotplug.registry._undo import Undo
from hotplug.registry._undo import when_released as when_released
from hotplug.registry._universal import UniversalRegistry

__all__ = ["RegistryMetrics", "Undo", "UniversalRegistry"]
