"""An agent for hotplug that answers questions about a symbol with figures."""

from __future__ import annotations

from hotplug_agent_analyst._agent import Analyst
from hotplug_agent_analyst._figures import Day, Figures, figures_of

__all__ = ["Analyst", "Day", "Figures", "figures_of"]
