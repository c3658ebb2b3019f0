"""A desk with a few tools, and what plays at it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace

import hotplug
from hotplug.errors import ToolError
from hotplug.tools import ToolRegistry, tool
from hotplug_mcp._desk import Desk
from hotplug_mcp._server import server_of
from mcp_clients import SOON

ADA = hotplug.UserExecutionContext("ada")
SECRET = "sk-live-0123456789"


@dataclass
class Price:
    symbol: str
    close: Decimal
    note: str | None = None


reading = tool(read_only=True)


@reading
def price(symbol: str, times: int = 1) -> Price:
    """
    Tell a price.

    Args:
        symbol: What of.
        times: How often.
    """
    return Price(symbol, Decimal("1.50") * times)


@reading
def prices(symbols: list[str]) -> list[Price]:
    """Tell several."""
    return [Price(symbol, Decimal(1)) for symbol in symbols]


@reading
def leak() -> str:
    raise RuntimeError(f"password={SECRET}")


@reading
def leave() -> str:
    sys.exit(f"password={SECRET}")


@reading
def unlucky() -> str:
    raise ToolError("no luck today")


@reading
async def wrong() -> int:
    return SECRET


wiped: list[str] = []


@tool
def wipe(what: str) -> str:
    """Wipe it."""
    wiped.append(what)
    return f"wiped {what}"


def world(*tools, user="ada", offer=True, **named):
    registry = ToolRegistry()
    for each in tools:
        registry.register(each.name, each, metadata={"offer": offer})
    for key, each in named.items():
        registry.register(key, each, metadata={"offer": offer})
    desk = Desk(registry, user)
    return SimpleNamespace(tools=registry, desk=desk, server=server_of(desk))


def play(story, *, seconds=SOON):
    return asyncio.run(asyncio.wait_for(story, seconds))
