"""Typed, thread-safe tables of what plugins and the application offer."""

from __future__ import annotations

# The renamed ones are for the rooms below, not for everybody: sessions keep to a cut and make things once,
# loads leave the loop free, a host changes several registries at once, closing waits for leases.
from hotplug.registry._cuts import Cut as Cut
from hotplug.registry._cuts import Sight as Sight
from hotplug.registry._holding import Held as Held
from hotplug.registry._holding import Stay as Stay
from hotplug.registry._making import Once as Once
from hotplug.registry._metrics import RegistryMetrics
from hotplug.registry._retirement import Retirement as Retirement
from hotplug.registry._retirement import when_released as when_released
from hotplug.registry._shelf import Change as Change
from hotplug.registry._shelf import Shelf as Shelf
from hotplug.registry._threads import run_in_thread as run_in_thread
from hotplug.registry._undo import Undo
from hotplug.registry._undo import stands as stands
from hotplug.registry._universal import UniversalRegistry

__all__ = ["RegistryMetrics", "Undo", "UniversalRegistry"]
