"""Tools as other protocols describe them, and the way back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import msgspec

from hotplug._lifecycle import name_and_text
from hotplug.errors import DuplicateKeyError, InvalidArgumentsError, NotRegisteredError
from hotplug.tools._plain import plain
from hotplug.tools._strict import UnstrictError, strict, without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hotplug.tools._tool import Tool

__all__ = ["Export", "Format", "exported"]

Description = dict[str, Any]
Format: TypeAlias = Literal["openai", "mcp"]


@dataclass(frozen=True, slots=True)
class Export:
    """
    Tools as *format* describes them, under names that are legal there; `read` is the way back.

    *tools* are they, by those names. Where two names would become one, both differ from it, and
    *clashes* says so; *problems* says in words what is not as it was asked for, clashes included.
    """

    format: Format
    descriptions: tuple[Description, ...]
    tools: Mapping[str, Tool]
    clashes: tuple[DuplicateKeyError, ...] = ()
    problems: tuple[str, ...] = ()

    def read(self, name: str, arguments: str | bytes | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """
        What ``ToolRegistry.call`` wants to know of a call of *name* with *arguments*: key and arguments.

        Raises `NotRegisteredError` for a name that is not among these, `InvalidArgumentsError` for
        arguments that are no JSON object.
        """
        tool = self.tools.get(name)
        if tool is None:
            raise NotRegisteredError("tools", name, self.tools)
        given = arguments if isinstance(arguments, Mapping) else _object_in(tool.name, arguments)
        if self._is_strict(name):
            given = without_nulls(tool.input_schema, dict(given))
        return tool.name, dict(given)

    def _is_strict(self, name: str) -> bool:
        functions = (each["function"] for each in self.descriptions if self.format == "openai")
        return any(each["name"] == name and each.get("strict") for each in functions)

    def structured(self, name: str, result: object) -> dict[str, Any] | None:
        """
        What the tool *name* returned as an object of its exported output schema; None where it has none.

        What is no object stands under ``result``. Raises `TypeError` for what JSON cannot say, and for what
        is no object though it was promised to be one.
        """
        schema = self.tools[name].output_schema
        if schema is None:
            return None
        # As a reader will have it: JSON knows no tuple, for example.
        told = msgspec.json.decode(msgspec.json.encode(plain(result)))
        if not _is_object(_resolved(schema)):
            return {"result": told}
        if not isinstance(told, dict):
            raise TypeError(f"{name} promised an object, not {type(told).__name__}")
        return cast("dict[str, Any]", told)


def _object_in(name: str, text: str | bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidArgumentsError(f"the arguments of {name!r} are not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidArgumentsError(
            f"the arguments of {name!r} are a JSON object, not {type(found).__name__}"
        )
    return cast("dict[str, Any]", found)


def exported(
    tools: Iterable[Tool],
    format: Format,  # noqa: A002 - the name is the contract's
    *,
    strict: bool = False,
    owner_of: Callable[[str], str] = "tool {!r}".format,
) -> Export:
    """The descriptions of *tools*, whose names are their keys; *owner_of* says whose a key is."""
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; known: {', '.join(sorted(FORMATS))}")
    if strict and format != "openai":
        raise ValueError(f"there is no strict form of {format}")
    style = FORMATS[format]
    known = {tool.name: tool for tool in tools}
    names, clashes = style.names(tuple(known), owner_of)
    problems = [f"{clash}; they were given other names" for clash in clashes]
    by_name: dict[str, Tool] = {}
    descriptions: list[Description] = []
    for key, tool in known.items():
        why, description = _description(style, names.get(key, ""), tool, strict=strict)
        problems += [f"{owner_of(key)} {why}"] if why else []
        if description is not None:
            by_name[names[key]] = tool
            descriptions.append(description)
    return Export(format, tuple(descriptions), by_name, tuple(clashes), tuple(problems))


def _description(style: _Style, name: str, tool: Tool, *, strict: bool) -> tuple[str, Description | None]:
    """What is wrong with the description of *tool*, and the description as far as there is one."""
    if not name:
        return "has no name left", None
    try:
        description = style.describe(name, tool)
        return (_make_strict(description["function"], tool) if strict else ""), description
    except Exception as error:  # noqa: BLE001 - the border to plugin code: one that fails hides no other
        return f"cannot be described: {name_and_text(error)}", None


def _make_strict(function: Description, tool: Tool) -> str:
    """Make the description of a *function* strict; why it cannot be, else."""
    try:
        function["parameters"] = strict(tool.input_schema)
    except UnstrictError as error:
        function["strict"] = False
        return f"has no strict form: {error}"
    function["strict"] = True
    return ""


# -- formats ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Style:
    """How a format names and describes tools."""

    title: str
    forbidden: re.Pattern[str]
    longest: int
    describe: Callable[[str, Tool], Description]

    def names(
        self, keys: Sequence[str], owner_of: Callable[[str], str]
    ) -> tuple[dict[str, str], list[DuplicateKeyError]]:
        """
        The names of *keys*, the same in any order of these, and which of them wanted the same one.

        A key that is legal as it is keeps its name; others that want it, or want one together, get their
        hash at the end. Who finds even that name taken has none.
        """
        wanted: dict[str, list[str]] = {}
        for key in keys:
            wanted.setdefault(self._legal(key), []).append(key)
        names = {rivals[0]: name for name, rivals in wanted.items() if len(rivals) == 1}
        taken = set(wanted)
        clashes: list[DuplicateKeyError] = []
        for name, rivals in wanted.items():
            first, *others = map(owner_of, rivals)
            clashes += [DuplicateKeyError(f"the {self.title} export", name, first, other) for other in others]
            for key in sorted(rivals) if others else ():
                own = name if key == name else self._with_hash(key)
                if key == name or own not in taken:
                    names[key] = own
                    taken.add(own)
        return names, clashes

    def _legal(self, key: str) -> str:
        """The key with nothing *forbidden* in it; a long one is cut, its end replaced by its hash."""
        legal = self.forbidden.sub("_", key)
        return legal if len(legal) <= self.longest else self._with_hash(key)

    def _with_hash(self, key: str) -> str:
        legal = self.forbidden.sub("_", key)
        return f"{legal[: self.longest - 9]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _openai(name: str, tool: Tool) -> Description:
    function = {"name": name, "description": tool.description, "parameters": _copy(tool.input_schema)}
    return {"type": "function", "function": function}


def _mcp(name: str, tool: Tool) -> Description:
    description: Description = {
        "name": name,
        "description": tool.description,
        "inputSchema": _copy(tool.input_schema),
        "annotations": {
            "readOnlyHint": tool.read_only,
            "destructiveHint": tool.destructive,
            "idempotentHint": tool.idempotent,
        },
    }
    if tool.output_schema is not None:
        description["outputSchema"] = _as_object(_copy(tool.output_schema))
    return description


def _as_object(schema: Description) -> Description:
    """MCP knows structured results only: what is no object stands under ``result``."""
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    inner = {key: value for key, value in _resolved(schema).items() if key != "$defs"}
    if not _is_object(inner):
        inner = {"type": "object", "properties": {"result": inner}, "required": ["result"]}
    return inner | definitions


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a *schema* that is a reference, as that of a record is, refers to."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    return schema["$defs"][name] if name else schema


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object"


def _copy(value: Any) -> Any:
    """The same, all the way down: what is exported belongs to who asked for it."""
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_copy(each) for each in cast("list[Any]", value)]
    return value


FORMATS: Final[Mapping[str, _Style]] = {
    "openai": _Style("openai", re.compile(r"[^A-Za-z0-9_-]"), 64, _openai),
    "mcp": _Style("mcp", re.compile(r"[^A-Za-z0-9._-]"), 128, _mcp),
}
