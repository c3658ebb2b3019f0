"""
Says which root changed, and is quiet now; what that means is for others to say.

Events are hints of where to look. What is compared are snapshots of stats, one of each root, so that
lost events, recreated folders and file systems without events cost time and never a change.
"""

from __future__ import annotations

from hotplug._watcher._forecast import forecast
from hotplug._watcher._records import Root, Sort, WatchReport
from hotplug._watcher._watcher import Watcher

__all__ = ["Root", "Sort", "WatchReport", "Watcher", "forecast"]
