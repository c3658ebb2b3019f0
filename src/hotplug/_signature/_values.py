"""Plain data becomes typed values: every value checked, every misfit named by its path."""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._signature._parameters import settings_of
from hotplug._signature._secrets import Secret
from hotplug.errors import InvalidArgumentsError, SettingsError, close_match

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import EllipsisType

    from msgspec.inspect import Field, Type

    from hotplug._records import PluginRecord
    from hotplug._signature._parameters import Parameter, Signature

    Path = tuple[str | int | EllipsisType, ...]

__all__ = ["Misfit", "arguments", "convert", "dotted", "fit"]

STEP: Final = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
PLACE: Final = re.compile(r" - at (?:`key` in )?`\$(?P<steps>[^`]*)`$")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that does not fit: where it stands, and why. A step ``...`` means some key of a table."""

    path: Path
    why: str


def dotted(path: Path) -> str:
    """The path as people write it: ``limits.max_qty``, ``symbols[0]``, ``venues.*.url``."""
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f".{'*' if step is ... else step}" for step in path
    )
    return text.removeprefix(".")


def convert(
    target: Callable[..., object],
    given: Mapping[str, object],
    *,
    injectable: Mapping[type, object] | None = None,
    record: PluginRecord | None = None,
) -> dict[str, object]:
    """
    The keyword arguments to call *target* with: *given*, typed by the annotations, and what is injected.

    Values convert as TOML does it (a number is no text, a bool is no int; text becomes Decimal, datetime,
    Path, Enum …); a `Secret` is read here, and its text may become a number or bool as well. Raises
    `SettingsError` naming every setting that is unknown, missing or ill-typed, and `SchemaError` for
    annotations that are no data. The text of a secret is in no error. Thread-safe.
    """
    handed_in = injectable or {}
    signature = settings_of(target, handed_in)
    values, misfits = fit(signature, given)
    if misfits:
        first, *others = misfits
        also = "".join(f"; settings.{dotted(other.path)}: {other.why}" for other in others)
        raise SettingsError(first.why + also, record, path=dotted(first.path))
    return values | {name: handed_in[kind] for name, kind in signature.injected.items()}


def arguments(
    function: Callable[..., object],
    given: Mapping[str, object],
    injectable: Mapping[type, object] | Collection[type] = (),
) -> dict[str, object]:
    """
    The keyword arguments for a call of *function* with JSON *given*: validated, unknown names refused.

    With a mapping of *injectable* types the injected parameters are filled in; with bare types they
    are only kept out of the caller's reach. Raises `InvalidArgumentsError` naming every misfit.
    """
    signature = settings_of(function, injectable)
    values, misfits = fit(signature, given, word="argument")
    if misfits:
        raise InvalidArgumentsError("; ".join(f"{dotted(misfit.path)}: {misfit.why}" for misfit in misfits))
    if isinstance(injectable, Mapping):
        handed_in = cast("Mapping[type, object]", injectable)
        values |= {name: handed_in[kind] for name, kind in signature.injected.items()}
    return values


def fit(
    signature: Signature, given: Mapping[str, object], *, word: str = "setting"
) -> tuple[dict[str, object], list[Misfit]]:
    """The values that fit *signature*, and everything that does not; in the order *given*."""
    values: dict[str, object] = {}
    misfits: list[Misfit] = []
    for name, value in given.items():
        parameter = signature.settings.get(name, None if name in signature.injected else signature.rest)
        if parameter is None:
            hint = close_match(name, signature.settings)
            misfits.append(Misfit((name,), f"no such {word} ({hint})"))
            continue
        fitted, found = _fit_one(parameter, value)
        misfits += (Misfit((name, *misfit.path), misfit.why) for misfit in found)
        if not found:
            values[name] = fitted
    for name, parameter in signature.settings.items():
        if parameter.required and name not in given:
            expected = typename(parameter.resolved())
            misfits.append(Misfit((name,), f"missing, it needs a value ({expected})"))
    return values, misfits


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping) or type(value) in (list, tuple)


def typename(annotation: Any) -> str:
    """A type as people write it."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _fit_one(parameter: Parameter, value: object) -> tuple[object, list[Misfit]]:
    annotation = parameter.resolved()
    if type(value) is annotation and not _is_nested(value):
        return value, []
    preparation = _Preparation()
    if isinstance(value, Secret) or _is_nested(value):
        value = preparation.prepare(parameter.shape, value, ())
    if preparation.misfits or annotation is Any:
        return value, preparation.misfits
    return _typed(parameter, annotation, value, preparation.secrets)


def _typed(
    parameter: Parameter, annotation: Any, value: object, secrets: Mapping[Path, tuple[Secret, str]]
) -> tuple[object, list[Misfit]]:
    typed, text = _attempt(annotation, value)
    if not text:
        return typed, []
    _ = parameter.shape  # raises if the annotation is to blame
    return value, [_misfit(text, _pinned(annotation, value, _place(text)), secrets)]


def _attempt(annotation: Any, value: object) -> tuple[object, str]:
    """The value as *annotation* has it, or the text of what is wrong (no error, lest a secret is chained)."""
    import msgspec

    try:
        return msgspec.convert(value, annotation, dec_hook=_custom), ""
    except msgspec.ValidationError as error:
        return None, str(error) or "the value is not accepted"
    except Exception as error:  # noqa: BLE001 - constructors of settings are plugin code
        return None, f"{type(error).__name__}: {error}"


def _pinned(annotation: Any, value: object, path: Path) -> Path:
    """The path with the keys of tables, which msgspec does not tell: those without which all is well."""
    if ... not in path:
        return path
    at = path.index(...)
    table: Any = value
    for step in path[:at]:
        table = table[step]
    wrong = (key for key in table if _attempt(annotation, _with_only(value, path[:at], key))[1])
    key = next(wrong, None)
    return path if key is None else _pinned(annotation, value, (*path[:at], key, *path[at + 1 :]))


def _with_only(value: Any, path: Path, key: object) -> Any:
    """A copy of *value* in which the table at *path* holds nothing but *key*."""
    if not path:
        return {key: value[key]}
    inner = _with_only(value[path[0]], path[1:], key)
    if isinstance(value, list):
        return [inner if place == path[0] else item for place, item in enumerate(cast("list[object]", value))]
    return {**value, path[0]: inner}


def _place(text: str) -> Path:
    place = PLACE.search(text)
    return _steps(place["steps"]) if place else ()


def _misfit(text: str, path: Path, secrets: Mapping[Path, tuple[Secret, str]]) -> Misfit:
    why = PLACE.sub("", text)
    about = [secret for at, (secret, _) in secrets.items() if _meets(path, at)]
    leaks = any(shown and shown in why for _, shown in secrets.values())
    if leaks or (about and not why.startswith("Expected `")):
        why = "the value is not accepted"
    if about:
        why += f" (from the secret {', '.join(secret.reference for secret in about)})"
    return Misfit(path, why)


def _steps(text: str) -> Path:
    return tuple(_step(match) for match in STEP.finditer(text))


def _step(match: re.Match[str]) -> str | int | EllipsisType:
    if name := match["name"]:
        return name
    return int(index) if (index := match["index"]) else ...


def _meets(path: Path, leaf: Path) -> bool:
    """Whether what went wrong at *path* went wrong with the value at *leaf*, or with something around it."""
    return len(path) <= len(leaf) and all(
        here is ... or here == there for here, there in zip(path, leaf, strict=False)
    )


def _custom(kind: Any, value: Any) -> Any:
    """What msgspec does not know itself: paths, models of pydantic's sort, and objects as they are."""
    base = typing.get_origin(kind) or kind
    if isinstance(value, base):
        return value
    if isinstance(value, str) and issubclass(base, PurePath):
        return base(value)
    validate = getattr(kind, "model_validate", None)
    return value if validate is None else validate(value)


class _Preparation:
    """
    One walk over a value beside its type: secrets are read, unknown fields found, copies made.

    msgspec ignores unknown fields of dataclasses and typed dicts; a mistyped limit must not pass.
    """

    def __init__(self) -> None:
        self.misfits: list[Misfit] = []
        self.secrets: dict[Path, tuple[Secret, str]] = {}

    def prepare(self, shape: Type | None, value: object, path: Path) -> object:
        options = list(_options(shape))
        if isinstance(value, Secret):
            return self._revealed(options, value, path)
        if isinstance(value, Mapping):
            return self._table(options, cast("Mapping[str, object]", value), path)
        if type(value) in (list, tuple):
            inner = list(_inner_of_arrays(options, len(cast("list[object]", value))))
            return [
                self.prepare(shape, item, (*path, index))
                for index, (shape, item) in enumerate(zip(inner, cast("list[object]", value), strict=True))
            ]
        return value

    def _revealed(self, options: list[Type], secret: Secret, path: Path) -> object:
        try:
            text = secret.reveal()
        except SettingsError as error:
            self.misfits.append(Misfit(path, error.why.removeprefix("settings: ")))
            return secret
        self.secrets[path] = (secret, text)
        return _read_as_text(options, text)

    def _table(self, options: list[Type], value: Mapping[str, object], path: Path) -> object:
        fields = _fields(options)
        if fields is None:
            inner = _inner_of_tables(options)
            return {key: self.prepare(inner, item, (*path, key)) for key, item in value.items()}
        self.misfits += (
            Misfit((*path, key), f"no such field ({close_match(str(key), fields)})")
            for key in value
            if key not in fields
        )
        return {key: self.prepare(fields.get(key), item, (*path, key)) for key, item in value.items()}


def _options(shape: Type | None) -> Iterator[Type]:
    """The types that a value may have, `None` and metadata taken off."""
    from msgspec import inspect

    while isinstance(shape, inspect.Metadata):
        shape = shape.type
    if isinstance(shape, inspect.UnionType):
        for part in shape.types:
            yield from _options(part)
    elif shape is not None and not isinstance(shape, inspect.NoneType):
        yield shape


def _fields(options: Iterable[Type]) -> dict[str, Type | None] | None:
    """The fields of the only record type among *options*, or None where any key may stand."""
    from msgspec import inspect

    records = (inspect.DataclassType, inspect.TypedDictType, inspect.StructType)
    tables = [option for option in options if isinstance(option, (*records, inspect.DictType))]
    if len(tables) != 1 or not isinstance(tables[0], records):
        return None
    declared: tuple[Field, ...] = tables[0].fields
    fields: dict[str, Type | None] = {each.encode_name: each.type for each in declared}
    if isinstance(tables[0], inspect.StructType) and tables[0].tag_field is not None:
        fields[tables[0].tag_field] = None
    return fields


def _inner_of_tables(options: Iterable[Type]) -> Type | None:
    from msgspec import inspect

    inner = [option.value_type for option in options if isinstance(option, inspect.DictType)]
    return inner[0] if len(inner) == 1 else None


def _inner_of_arrays(options: Iterable[Type], length: int) -> Iterator[Type | None]:
    from msgspec import inspect

    arrays = [option for option in options if isinstance(option, (inspect.CollectionType, inspect.TupleType))]
    if len(arrays) == 1 and isinstance(arrays[0], inspect.CollectionType):
        return iter([arrays[0].item_type] * length)
    if len(arrays) == 1 and isinstance(arrays[0], inspect.TupleType) and len(arrays[0].item_types) == length:
        return iter(arrays[0].item_types)
    return iter([None] * length)


def _read_as_text(options: Iterable[Type], text: str) -> object:
    """What the text of a secret means where no text may stand: a number, a bool, a duration in seconds."""
    import msgspec
    from msgspec import inspect

    meanings: dict[type[Type], type[object]] = {
        inspect.IntType: int,
        inspect.FloatType: float,
        inspect.BoolType: bool,
        inspect.TimeDeltaType: dt.timedelta,
    }
    offered = [type(option) for option in options]
    if inspect.StrType in offered:
        return text
    for sort, meaning in meanings.items():
        if sort in offered:
            try:
                return msgspec.convert(text, meaning, strict=False)
            except msgspec.ValidationError:
                continue
    return text
