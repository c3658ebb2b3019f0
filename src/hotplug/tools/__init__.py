"""
Tools: typed functions that agents (and whoever acts for a user) may call.

A tool is a `Tool`, or any typed function: its annotations are the schema of its arguments. The
`ToolRegistry` decides who may call what, walls the call, and tells the caller no more than is safe.
"""

from __future__ import annotations

from hotplug.tools._approvals import Approval
from hotplug.tools._export import Export
from hotplug.tools._functions import FunctionTool, as_tool, tool
from hotplug.tools._plain import plain
from hotplug.tools._registry import ToolRegistry
from hotplug.tools._tool import Tool

__all__ = ["Approval", "Export", "FunctionTool", "Tool", "ToolRegistry", "as_tool", "plain", "tool"]
