"""
The next generation of a distribution's modules, beside the one that serves.

    Generation(territory, n + 1, before) ── stage ──▶ publish ─────▶ … ──▶ retire ──▶ Leftovers
                                               └────▶ discard: all is as it was

Works on modules; knows no plugin, no registry and no host.
"""

from __future__ import annotations

from hotplug._reloader._generation import Generation
from hotplug._reloader._leftovers import Left, Leftovers
from hotplug._reloader._retired import COLLECT_AFTER
from hotplug._reloader._tracebacks import say_what_ran

__all__ = ["COLLECT_AFTER", "Generation", "Left", "Leftovers", "say_what_ran"]
