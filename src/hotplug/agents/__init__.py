"""
Agents: each run is made for one user, calls tools as that user, and tells what it does in events.

Whatever an agent does, its run's events are complete: ``RUN_STARTED`` first, tool calls paired, and
``RUN_FINISHED`` or ``RUN_ERROR`` last.
"""

from __future__ import annotations

from hotplug.agents._base import BaseAgent, OfferedTool, ToolCaller
from hotplug.agents._registry import AgentRegistry
from hotplug.agents._run import AgentRun

__all__ = ["AgentRegistry", "AgentRun", "BaseAgent", "OfferedTool", "ToolCaller"]
