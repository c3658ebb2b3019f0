"""JSON Schemas (draft 2020-12) of functions, from their annotations and docstrings."""

from __future__ import annotations

import inspect
import itertools
import re
import textwrap
import typing
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._signature._parameters import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from msgspec.inspect import Type

    from hotplug._signature._parameters import Parameter

__all__ = ["describe", "json_schema", "output_schema"]

Schema = dict[str, Any]

GOOGLE_ITEM: Final = re.compile(r"(?P<names>\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")
NUMPY_ITEM: Final = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?(?P<text>)$")
SPHINX_ITEM: Final = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword)\s[^:]*?\*{0,2}(?P<name>\w+)\s*:\s*(?P<text>.*)"
)
UNDERLINE: Final = re.compile(r"\s*-{3,}\s*$")
ARGUMENT_SECTIONS: Final = frozenset(
    {"args", "arguments", "parameters", "keyword args", "keyword arguments", "other parameters"}
)


def json_schema(function: Callable[..., object], injectable: Collection[type] = ()) -> Schema:
    """
    The schema of the arguments of *function*; parameters of *injectable* types are not among them.

    Unknown names are not allowed, neither in the arguments nor in the records among them. Raises
    `SchemaError` naming the parameter whose annotation is no type of data.
    """
    signature = settings_of(function, injectable)
    texts = _documented(function)
    parameters = list(signature.settings.values())
    schemas, components = _schemas_of(parameters)
    properties: dict[str, Schema] = {}
    for parameter, schema in zip(parameters, schemas, strict=True):
        if text := texts.get(parameter.name):
            schema.setdefault("description", text)
        if not parameter.required:
            schema.update(_default(parameter))
        properties[parameter.name] = schema
    result: Schema = {
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in parameters if parameter.required],
        "additionalProperties": signature.rest is not None,
    }
    return result | ({"$defs": components} if components else {})


def output_schema(function: Callable[..., object]) -> Schema | None:
    """The schema of what *function* returns (or resolves to); None where its annotation promises nothing."""
    returns = settings_of(function).returns
    annotation = returns.resolved()
    if annotation is Any or annotation is object:
        return None
    [schema], components = _schemas_of([returns])
    return schema | ({"$defs": components} if components else {})


def describe(function: Callable[..., object]) -> str:
    """The first paragraph of the docstring, on one line; empty without a docstring."""
    paragraph = (inspect.getdoc(function) or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.split())


def _schemas_of(parameters: Sequence[Parameter]) -> tuple[list[Schema], dict[str, Schema]]:
    from msgspec import json

    custom = _Custom()
    for parameter in parameters:
        # One by one first: the error then names its parameter.
        try:
            json.schema_components([parameter.resolved()], schema_hook=custom)
        except TypeError as error:
            raise parameter.unfit(error) from error
    schemas, components = json.schema_components([each.annotation for each in parameters], schema_hook=custom)
    for component in components.values():
        if "properties" in component:
            component["additionalProperties"] = False
    finish = _Dates(components)
    for parameter, schema in zip(parameters, schemas, strict=True):
        finish(parameter.shape, schema)
    return list(schemas), components | custom.definitions


class _Custom:
    """The schemas of types that msgspec does not know; the counterpart of what `convert` makes of them."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def __call__(self, kind: type) -> Schema:
        base: Any = typing.get_origin(kind) or kind
        if base is object:
            return {"type": ["null", "boolean", "number", "string", "array", "object"]}
        if issubclass(base, PurePath):
            return {"type": "string", "format": "path"}
        if not hasattr(kind, "model_json_schema"):
            raise NotImplementedError
        schema: Schema = dict(cast("Any", kind).model_json_schema())
        # Its references start at the root of the whole schema.
        self.definitions |= schema.pop("$defs", {})
        return schema


def _default(parameter: Parameter) -> Schema:
    import msgspec

    try:
        return {"default": msgspec.to_builtins(parameter.default, str_keys=True, enc_hook=_path_as_text)}
    except (TypeError, ValueError):
        # A default that JSON cannot say (an object, a marker) is the function's own business.
        return {}


def _path_as_text(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError


class _Dates:
    """Marks times as ``date-time``, which msgspec does only where an offset is demanded."""

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components: Final = components
        self._seen: set[str] = set()

    def __call__(self, shape: Type, schema: Schema) -> None:
        from msgspec import inspect as shapes

        while isinstance(shape, shapes.Metadata):
            shape = shape.type
        if isinstance(shape, shapes.DateTimeType) and schema.get("type") == "string":
            schema["format"] = "date-time"
        for inner, part in self._parts(shape, self._dereferenced(schema)):
            self(inner, part)

    def _dereferenced(self, schema: Schema) -> Schema:
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        if not name:
            return schema
        seen = name in self._seen
        self._seen.add(name)
        return {} if seen else self._components.get(name, {})

    def _parts(self, shape: Type, schema: Schema) -> Iterator[tuple[Type, Schema]]:
        from msgspec import inspect as shapes

        if isinstance(shape, shapes.CollectionType) and "items" in schema:
            yield shape.item_type, schema["items"]
        elif isinstance(shape, shapes.TupleType):
            yield from zip(shape.item_types, schema.get("prefixItems", ()), strict=False)
        elif isinstance(shape, shapes.DictType) and "additionalProperties" in schema:
            yield shape.value_type, schema["additionalProperties"]
        elif isinstance(shape, shapes.UnionType):
            yield from _members(shape, schema)
        else:
            properties: Mapping[str, Schema] = schema.get("properties", {})
            for each in getattr(shape, "fields", ()):
                if each.encode_name in properties:
                    yield each.type, properties[each.encode_name]


def _members(shape: Any, schema: Schema) -> Iterator[tuple[Type, Schema]]:
    """The members of a union beside their schemas: msgspec lists structs after the others, null last."""
    from msgspec import inspect as shapes

    order = (shapes.StructType, shapes.NoneType)
    types: tuple[Type, ...] = shape.types
    members = sorted(types, key=lambda member: [isinstance(member, late) for late in reversed(order)])
    options: list[Schema] = []
    for option in schema.get("anyOf", ()):
        options += option["anyOf"] if "discriminator" in option else [option]
    yield from zip(members, options, strict=False)


# -- docstrings ------------------------------------------------------------------------------------


def _documented(function: Callable[..., object]) -> dict[str, str]:
    """The descriptions of the parameters, in the styles of Google, NumPy and Sphinx."""
    lines = (inspect.getdoc(function) or "").splitlines()
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        following = lines[number + 1 :]
        if match := SPHINX_ITEM.match(line.strip()):
            found[match["name"]] = _joined(match["text"], _deeper(following, _indent(line)))
        elif line.strip().rstrip(":").lower() in ARGUMENT_SECTIONS:
            found |= _section(line, following)
    return found


def _section(title: str, following: list[str]) -> dict[str, str]:
    """The items under a title: ``Args:`` and what is indented below, or ``Parameters`` underlined."""
    if title.rstrip().endswith(":"):
        return dict(_items(_deeper(following, _indent(title), blanks=True), GOOGLE_ITEM))
    if following and UNDERLINE.match(following[0]):
        return dict(_items(list(_until_underlined(following[1:])), NUMPY_ITEM))
    return {}


def _items(block: list[str], item: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    lines = textwrap.dedent("\n".join(block)).splitlines()
    for number, line in enumerate(lines):
        if match := item.match(line):
            text = _joined(match["text"] or "", _deeper(lines[number + 1 :], 0, blanks=True))
            for name in match["names"].split(","):
                yield name.strip().lstrip("*"), text


def _deeper(lines: list[str], indent: int, *, blanks: bool = False) -> list[str]:
    """The lines up to the first that is not indented more; a blank one ends them too, unless *blanks*."""
    return list(
        itertools.takewhile(lambda line: _indent(line) > indent or (blanks and not line.strip()), lines)
    )


def _until_underlined(lines: list[str]) -> Iterator[str]:
    for line, below in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        if UNDERLINE.match(below):
            return
        yield line


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _joined(text: str, more: list[str]) -> str:
    return " ".join(" ".join([text, *more]).split())
