"""The one place where the machines meet."""

from __future__ import annotations

from hotplug._host._host import CloseReport, Host
from hotplug._host._scoped import ScopedRegistry
from hotplug._host._session import Session

__all__ = ["CloseReport", "Host", "ScopedRegistry", "Session"]
