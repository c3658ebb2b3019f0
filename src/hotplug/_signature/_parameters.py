"""Signatures, read once: which parameters are settings, which are handed in."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
import typing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from msgspec.inspect import Type

__all__ = ["Parameter", "Signature", "settings_of", "strip", "title_of"]

AWAITABLES: Final = (collections.abc.Awaitable, collections.abc.Coroutine)
KEPT_AS: Final = "__hotplug_signatures__"
POSITIONAL_ONLY: Final = inspect.Parameter.POSITIONAL_ONLY
VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
EMPTY: Final = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One setting or argument: its type, and its default unless it is *required*."""

    name: str
    annotation: Any = Any
    required: bool = False
    default: Any = None
    target: str = ""
    unresolved: str = ""

    def resolved(self) -> Any:
        """The annotation; `SchemaError` if a name in it means nothing at run time."""
        if self.unresolved:
            raise SchemaError(
                f"{self.target}: the annotation of {self.name!r} {self.unresolved} "
                "(is it imported under TYPE_CHECKING only, or local to a function?)"
            )
        return self.annotation

    @functools.cached_property
    def shape(self) -> Type:
        """The annotation as msgspec sees it; `SchemaError` if it is no type of data."""
        from msgspec.inspect import type_info

        annotation = self.resolved()
        try:
            return type_info(annotation)
        except Exception as error:  # the annotation is the plugin's: anything may hide in it
            raise self.unfit(error) from error

    def unfit(self, error: Exception) -> SchemaError:
        """The error that says that values of this type cannot be made from data."""
        return SchemaError(f"{self.target}: {self.name!r} cannot be made from plain data: {error}")


@dataclass(frozen=True)
class Signature:
    """
    What a target takes: *settings* by keyword, *injected* parameters with the type asked for.

    *rest* stands for ``**kwargs``: if there, names that are no settings are taken as well. *returns* is
    the result, of coroutines the awaited one.
    """

    target: str
    settings: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    injected: Mapping[str, type] = field(default_factory=dict[str, type])
    rest: Parameter | None = None
    returns: Parameter = field(default_factory=lambda: Parameter("return"))


def settings_of(target: Callable[..., object], injectable: Collection[type] = ()) -> Signature:
    """
    The signature of a class (its constructor's) or function, split into settings and injected.

    A parameter annotated with one of the *injectable* types, or an ``Optional`` of one, is injected.
    The result is kept on the target itself: a global table, even a weak one, would hold every class
    whose settings mention a class of its own module. Thread-safe. Raises `SchemaError` for a
    required parameter that has no name to callers, and for a function without a readable signature.
    """
    wanted = frozenset(injectable)
    kept = _kept(target)
    if kept is None:
        return _read(target, wanted)
    signature = kept.get(wanted)
    if signature is None:
        signature = kept[wanted] = _read(target, wanted)
    return signature


class _Kept(dict[frozenset[type], Signature]):
    """The signatures of one target; *owner* unmasks copies that subclassing or wrapping made."""

    def __init__(self, owner: object) -> None:
        super().__init__()
        self.owner: Final = owner


def _kept(target: object) -> _Kept | None:
    # Not setattr(): a metaclass may define that, and this is none of its business.
    if isinstance(target, type):
        keep: Any = type.__setattr__
    elif isinstance(target, types.FunctionType):
        keep = object.__setattr__
    else:
        return None
    kept = vars(target).get(KEPT_AS)
    if isinstance(kept, _Kept) and kept.owner is target:
        return kept
    kept = _Kept(target)
    try:
        keep(target, KEPT_AS, kept)
    except TypeError:
        return None
    return kept


def _read(target: Callable[..., object], injectable: frozenset[type]) -> Signature:
    title = title_of(target)
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError, NameError) as error:
        if isinstance(target, type) and not isinstance(error, NameError):
            return Signature(title)  # a constructor written in C
        raise SchemaError(f"{title} has no readable signature: {error}") from error
    reader = _Reader(target, title, injectable)
    settings: dict[str, Parameter] = {}
    injected: dict[str, type] = {}
    rest: Parameter | None = None
    for parameter in _by_keyword(signature, title):
        read = reader.read(parameter.name, parameter.annotation, parameter.default)
        asked_for = None if read.unresolved else _asked_for(read.annotation, injectable)
        if asked_for is not None:
            injected[parameter.name] = asked_for
        elif parameter.kind is VAR_KEYWORD:
            rest = read
        else:
            settings[parameter.name] = read
    returns = reader.read("return", signature.return_annotation, EMPTY)
    return Signature(
        title, settings, injected, rest, replace(returns, annotation=_awaited(returns.annotation))
    )


def _by_keyword(signature: inspect.Signature, title: str) -> Iterator[inspect.Parameter]:
    for parameter in signature.parameters.values():
        if parameter.kind is VAR_POSITIONAL:
            continue
        if parameter.kind is not POSITIONAL_ONLY:
            yield parameter
        elif parameter.default is EMPTY:
            raise SchemaError(
                f"{title}: {parameter.name!r} can only be given by position, settings have names"
            )


def title_of(target: object) -> str:
    """``module.Name`` of a class, function or callable, for error texts."""
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}".lstrip(".")


def strip(annotation: Any) -> Any:
    """The annotation without ``Annotated`` and without ``| None``."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        some = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(some) == 1:
            return strip(some[0])
    return annotation


def _awaited(annotation: Any) -> Any:
    """What comes out in the end: of a coroutine its result."""
    return typing.get_args(annotation)[-1] if typing.get_origin(annotation) in AWAITABLES else annotation


def _asked_for(annotation: Any, injectable: frozenset[type]) -> type | None:
    wanted = strip(annotation)
    return next((kind for kind in injectable if kind is wanted), None)


class _Reader:
    """Resolves the annotations of one target, each on its own: one bad name spoils no other."""

    def __init__(self, target: Callable[..., object], title: str, injectable: frozenset[type]) -> None:
        while isinstance(target, functools.partial):
            target = cast("functools.partial[object]", target).func
        self._title = title
        self._bases = target.__mro__ if isinstance(target, type) else ()
        self._functions = list(_functions_of(target))
        self._fallback = _names_of(injectable)

    def read(self, name: str, annotation: Any, default: Any) -> Parameter:
        required = default is EMPTY
        if annotation is EMPTY:
            return Parameter(name, Any, required, default, self._title)
        why = ""
        for names, local in self._namespaces(name, annotation):
            try:
                found = _evaluate(annotation, names, {**self._fallback_beside(names), **local})
            except NameError as error:
                why = why or f"names {error.name!r}, which is not defined there"
            except Exception as error:  # noqa: BLE001 - an annotation is an expression of the plugin's
                why = why or f"cannot be evaluated: {type(error).__name__}: {error}"
            else:
                return Parameter(name, found, required, default, self._title)
        return Parameter(name, Any, required, default, self._title, why)

    def _fallback_beside(self, names: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self._fallback.items() if name not in names}

    def _namespaces(self, name: str, annotation: Any) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
        # A generated constructor repeats the annotations of fields that other modules may have declared.
        for base in self._bases:
            if vars(base).get("__annotations__", {}).get(name) == annotation:
                yield _globals_of(base), vars(base)
        for function, local in self._functions:
            yield function.__globals__, local
        for base in self._bases:
            yield _globals_of(base), vars(base)
        yield {}, {}


def _names_of(injectable: frozenset[type]) -> dict[str, Any]:
    """The injectable types under the names by which ``if TYPE_CHECKING:`` imports make them known."""
    packages = {kind.__module__.partition(".")[0] for kind in injectable}
    known: dict[str, Any] = {name: sys.modules[name] for name in packages if name in sys.modules}
    return known | {kind.__name__: kind for kind in injectable}


def _functions_of(target: Callable[..., object]) -> Iterator[tuple[types.FunctionType, Mapping[str, Any]]]:
    if isinstance(target, type):
        for base in target.__mro__:
            for name in ("__init__", "__new__"):
                function = vars(base).get(name)
                function = function.__func__ if isinstance(function, staticmethod) else function
                yield from _unwrapped(function, vars(base))
        return
    function = cast("Any", target)
    if not inspect.isroutine(function):
        function = type(function).__call__
    yield from _unwrapped(getattr(function, "__func__", function), {})


def _unwrapped(
    function: Any, local: Mapping[str, Any]
) -> Iterator[tuple[types.FunctionType, Mapping[str, Any]]]:
    function = inspect.unwrap(function) if callable(function) else function
    if isinstance(function, types.FunctionType):
        yield function, local


def _globals_of(kind: type) -> dict[str, Any]:
    module = sys.modules.get(kind.__module__)
    return vars(module) if module is not None else {}


def _evaluate(annotation: Any, names: dict[str, Any], local: Mapping[str, Any]) -> Any:
    carrier = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(carrier, names, dict(local), include_extras=True)["it"]
