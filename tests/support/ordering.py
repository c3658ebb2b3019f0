"""A tool whose arguments are of all sorts, and its exports."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict

import msgspec

import hotplug
from hotplug.tools import ToolRegistry, tool

ADA = hotplug.UserExecutionContext("ada")
reading = tool(read_only=True)


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


@dataclass
class Leg:
    symbol: str
    qty: int = 1
    then: Leg | None = None


class Limit(msgspec.Struct, tag="limit"):
    price: Decimal
    hidden: bool = False


class Market(msgspec.Struct, tag="market"):
    slippage: float = 0.5


class Note(TypedDict):
    text: str
    author: NotRequired[str]


@reading
def order(
    legs: list[Leg],
    kind: Limit | Market = Market(),  # noqa: B008
    side: Side = Side.BUY,
    on: date | None = None,
    note: Note | None = None,
    tag: Literal["a", 1] = "a",
    share: Annotated[int, msgspec.Meta(ge=1, le=100, description="Of what there is.")] = 100,
    file: Path = Path("x"),
    run: uuid.UUID | None = None,
    tags: frozenset[str] = frozenset(),
    limit: int | str | None = 3,
) -> str:
    """
    Order it.

    Args:
        legs: What.
        side: Which way.
    """
    return repr((legs, kind, side, on, note, tag, share, file, run, sorted(tags), limit))


@reading
def ping() -> str:
    return "pong"


def registry(**tools):
    made = ToolRegistry()
    for key, each in tools.items():
        made.register(key, each, metadata={"offer": True})
    return made


def strictly(**tools):
    export = registry(**tools).exported("openai", ADA, strict=True)
    return export, {each["function"]["name"]: each["function"] for each in export.descriptions}
