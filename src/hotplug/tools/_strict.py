"""The strict form of a schema: everything is required, what may be left out may be null instead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["UnstrictError", "strict", "without_nulls"]

Schema = dict[str, Any]

# What strict schemas may say. What only narrows a value is left out of them: the call checks it anyway.
KEPT: Final = (
    *("type", "title", "description", "enum", "const", "$ref", "pattern", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
)
FORMATS: Final = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)
# What changes the shape of a value, and has no strict form.
SHAPES: Final = (
    *("prefixItems", "patternProperties", "allOf", "not", "if", "dependentRequired", "dependentSchemas"),
    "unevaluatedProperties",
)
TYPES: Final[Mapping[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
NO_SCHEMA: Final[Mapping[str, Any]] = {}
NULL: Final[Mapping[str, Any]] = {"type": "null"}


class UnstrictError(ValueError):
    """A schema has no strict form; the text says where, and why."""


def strict(schema: Mapping[str, Any]) -> Schema:
    """
    The strict form of the *schema* of a tool's arguments. Raises `UnstrictError` where there is none.

    All properties are required and no others allowed; those that were optional may be null, which
    `without_nulls` takes back.
    """
    form = _Strict(schema)
    made = form.made(schema, "arguments")
    if "$defs" in schema:
        made["$defs"] = {name: form.made(each, name) for name, each in schema["$defs"].items()}
    return made


def without_nulls(schema: Mapping[str, Any], arguments: object) -> Any:
    """*arguments* to the strict form of *schema*, as *schema* itself has them: an odd null means absent."""
    return _Lenient(schema).value(schema, arguments)


class _Rooted:
    """What both ways need: a schema whose references are understood."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Mapping[str, Any]] = root.get("$defs", {})

    def followed(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema that *schema* refers to, or itself."""
        for _ in range(len(self._definitions) + 1):
            if "$ref" not in schema:
                return schema
            schema = self._definitions.get(str(schema["$ref"]).removeprefix("#/$defs/"), NO_SCHEMA)
        raise UnstrictError("references lead nowhere")

    def allows_null(self, schema: Mapping[str, Any]) -> bool:
        """Whether null is a value."""
        schema = self.followed(schema)
        if options := _options(schema):
            return any(map(self.allows_null, options))
        if "enum" in schema:
            return None in schema["enum"]
        return "null" in _types(schema)


class _Strict(_Rooted):
    """One schema on its way to the strict form."""

    def made(self, schema: Mapping[str, Any], where: str) -> Schema:
        """The strict form of a part that stands at *where*."""
        for word in SHAPES:
            if word in schema:
                raise UnstrictError(f"{where}: strict schemas do not know {word!r}")
        kept = {word: schema[word] for word in KEPT if word in schema}
        if schema.get("format") in FORMATS:
            kept["format"] = schema["format"]
        if options := _options(schema):
            kept["anyOf"] = [self.made(each, where) for each in options]
        if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
            kept.setdefault("type", _types_of(values))
        if not kept.keys() & {"type", "anyOf", "$ref"}:
            raise UnstrictError(f"{where}: anything may be given")
        types = _types(schema)
        if "array" in types:
            kept["items"] = self.made(schema.get("items") or {}, f"{where}[]")
        if "object" in types:
            kept |= self._object(schema, where)
        return kept

    def _object(self, schema: Mapping[str, Any], where: str) -> Schema:
        if schema.get("additionalProperties") is not False:
            raise UnstrictError(f"{where}: names may be given that the schema does not know")
        required = schema.get("required", ())
        properties = {
            name: self._property(each, f"{where}.{name}", optional=name not in required)
            for name, each in schema.get("properties", {}).items()
        }
        return {"properties": properties, "required": list(properties), "additionalProperties": False}

    def _property(self, schema: Mapping[str, Any], where: str, *, optional: bool) -> Schema:
        made = self.made(schema, where)
        text = made.pop("description", "")
        if optional and not self.allows_null(schema):
            made = {"anyOf": [made, dict(NULL)]}
            text = f"{text} ({_meaning(schema)})".strip()
        if text and "$ref" in made:  # nothing may stand beside a reference
            made = {"anyOf": [made]}
        return made | ({"description": text} if text else {})


def _meaning(schema: Mapping[str, Any]) -> str:
    """What it means to leave it out, for who cannot."""
    default = schema.get("default")
    return "null: as if not given" if default is None else f"null: {json.dumps(default)}"


class _Lenient(_Rooted):
    """Arguments on their way back."""

    def value(self, schema: Mapping[str, Any], value: object) -> object:
        """*value* without the nulls that *schema* does not know."""
        if isinstance(value, dict):
            return self._object(self._part(schema, cast("Schema", value)), cast("Schema", value))
        if isinstance(value, list):
            items = self._items(schema)
            return [self.value(items, each) for each in cast("list[object]", value)]
        return value

    def _object(self, schema: Mapping[str, Any], value: Schema) -> Schema:
        parts = schema.get("properties", {})
        required = schema.get("required", ())
        return {
            name: self.value(parts.get(name, {}), each)
            for name, each in value.items()
            if each is not None or name in required or self.allows_null(parts.get(name, NULL))
        }

    def _part(self, schema: Mapping[str, Any], value: Schema) -> Mapping[str, Any]:
        """The object among the alternatives that *value* is most probably meant to be."""
        objects = [each for each in self._alternatives(schema) if "object" in _types(each)]
        fitting = (each for each in objects if self._may_be(each, value))
        return next(fitting, objects[0] if objects else NO_SCHEMA)

    def _may_be(self, schema: Mapping[str, Any], value: Schema) -> bool:
        parts: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        return parts.keys() >= value.keys() and all(
            value[name] in parts[name].get("enum", (value[name],)) for name in value
        )

    def _items(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for each in self._alternatives(schema):
            if "array" in _types(each):
                return each.get("items") or NO_SCHEMA
        return NO_SCHEMA

    def _alternatives(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        schema = self.followed(schema)
        options = _options(schema)
        for each in options:
            yield from self._alternatives(each)
        if not options:
            yield schema


def _options(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return schema.get("anyOf") or schema.get("oneOf") or ()


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else types


def _types_of(values: Sequence[Any]) -> str | list[str]:
    """The ``type`` of constants, which strict schemas ask for."""
    names = list(dict.fromkeys(TYPES[type(value)] for value in values))
    return names[0] if len(names) == 1 else names
