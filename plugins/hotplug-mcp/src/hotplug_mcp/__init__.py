"""Offers the tools of hotplug to MCP clients, and tells them of those that are installed meanwhile."""

from __future__ import annotations

from hotplug_mcp._http import serve_http
from hotplug_mcp._stdio import serve_stdio
from hotplug_mcp._tokens import Tokens

__all__ = ["Tokens", "serve_http", "serve_stdio"]
