"""
Services: what runs beside the application, here (`Service`) or elsewhere (`RemoteService`).

They start in the order in which they require each other, and stop in reverse.
"""

from __future__ import annotations

from hotplug.services._base import Service
from hotplug.services._order import start_order
from hotplug.services._registry import ServiceRegistry
from hotplug.services._remote import RemoteService

__all__ = ["RemoteService", "Service", "ServiceRegistry", "start_order"]
