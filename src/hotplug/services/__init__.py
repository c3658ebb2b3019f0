"""
Services: what runs beside the application, here (`Service`) or elsewhere (`RemoteService`).

A host starts them in the order in which they require each other, asks them how they are, and stops them in
reverse.
"""

from __future__ import annotations

from hotplug.services._base import Service
from hotplug.services._registry import ServiceRegistry
from hotplug.services._remote import RemoteService

__all__ = ["RemoteService", "Service", "ServiceRegistry"]
