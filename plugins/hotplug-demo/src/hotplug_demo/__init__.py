"""The hotplug demo: installed plugins at work on real market data."""

from __future__ import annotations

from hotplug_demo._command import demo

__all__ = ["demo"]
