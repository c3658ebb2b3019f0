"""Tools as other protocols describe them."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import DuplicateKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hotplug.tools._tool import Tool

__all__ = ["exported"]

Description = dict[str, Any]


def exported(tools: Iterable[Tool], format: str) -> list[Description]:  # noqa: A002 - the name is the contract's
    """The descriptions; `DuplicateKeyError` where two names fall together in *format*."""
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; known: {', '.join(sorted(FORMATS))}")
    forbidden, longest, describe = FORMATS[format]
    owners: dict[str, str] = {}
    descriptions: list[Description] = []
    for tool in tools:
        name = _legal(tool.name, forbidden, longest)
        if name in owners:
            raise DuplicateKeyError(
                f"the {format} export", name, f"tool {owners[name]!r}", f"tool {tool.name!r}"
            )
        owners[name] = tool.name
        descriptions.append(describe(name, tool))
    return descriptions


def _legal(name: str, forbidden: re.Pattern[str], longest: int) -> str:
    """The name with nothing *forbidden* in it; a long one is cut, its end replaced by its hash."""
    legal = forbidden.sub("_", name)
    if len(legal) <= longest:
        return legal
    return f"{legal[: longest - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _openai(name: str, tool: Tool) -> Description:
    function = {"name": name, "description": tool.description, "parameters": _plain(tool.input_schema)}
    return {"type": "function", "function": function}


def _mcp(name: str, tool: Tool) -> Description:
    description: Description = {
        "name": name,
        "description": tool.description,
        "inputSchema": _plain(tool.input_schema),
        "annotations": {
            "readOnlyHint": tool.read_only,
            "destructiveHint": tool.destructive,
            "idempotentHint": tool.idempotent,
        },
    }
    if tool.output_schema is not None:
        description["outputSchema"] = _as_object(_plain(tool.output_schema))
    return description


def _as_object(schema: Description) -> Description:
    """MCP knows structured results only: what is no object stands under ``result``."""
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name:
        schema = definitions["$defs"][name]
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    if inner.get("type") != "object":
        inner = {"type": "object", "properties": {"result": inner}, "required": ["result"]}
    return inner | definitions


def _plain(schema: Mapping[str, Any]) -> Description:
    return dict(schema)


FORMATS: Final[Mapping[str, tuple[re.Pattern[str], int, Callable[[str, Tool], Description]]]] = {
    "openai": (re.compile(r"[^A-Za-z0-9_-]"), 64, _openai),
    "mcp": (re.compile(r"[^A-Za-z0-9._-]"), 128, _mcp),
}
