"""A candidate beside a contract: what differs, member by member, without running any of it."""

from __future__ import annotations

import functools
import inspect
import re
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, cast, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["differences"]

Sort = Literal["method", "attribute", "unknown"]
Calling = Literal["plain", "coroutine", "stream", "unknown"]
Parameters = tuple[inspect.Parameter, ...]
T = TypeVar("T")

VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
KEYWORD_ONLY: Final = inspect.Parameter.KEYWORD_ONLY
POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
EMPTY: Final = inspect.Parameter.empty

PROPERTIES: Final = (property, functools.cached_property)
WRAPPED: Final = (classmethod, staticmethod)
SLOTS: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)
SIGNED: Final = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    functools.partial,
    type,
)
BINDING: Final = (types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


@runtime_checkable
class _Bare(Protocol[T]):  # pyright: ignore[reportInvalidTypeVarUse]
    """A protocol that promises nothing: what it has, Python put there."""

    __slots__ = ()
    promised: T


MACHINERY: Final = frozenset(vars(_Bare)) | {
    "__class_getitem__",
    "__dict__",
    "__init__",
    "__init_subclass__",
    "__match_args__",
    "__new__",
    "__weakref__",
}


def differences(candidate: object, contract: type) -> tuple[str, ...]:
    """
    How *candidate*, a class or an object, differs from *contract*; empty when it fits.

    One sentence for each member that is missing or still abstract, that cannot be called as the
    contract calls it, that is async where the contract is not (or the reverse), or that is a method
    where the contract reads an attribute (or the reverse). Of an ABC the abstract and the public
    members count, of a Protocol all. Members are looked up statically: no property and no
    ``__getattr__`` of the candidate runs. What cannot be known that way is taken as fitting.
    """
    promised = {name: _Member(raw, bound=True) for name, raw in _promises(contract).items()}
    compared = ((name, _compare(candidate, name, member)) for name, member in promised.items())
    return tuple(f"{name}: {why}" for name, why in compared if why)


# -- what a contract promises ----------------------------------------------------------------------


class _Annotated:
    """A member that is only annotated: ``name: str``."""

    def __init__(self, annotation: object) -> None:
        self.text: Final = annotation if isinstance(annotation, str) else repr(annotation)


def _promises(contract: type) -> dict[str, object]:
    protocol = bool(getattr(contract, "_is_protocol", False))
    members: dict[str, object] = {}
    for base in reversed(contract.__mro__):
        if base.__module__ in ("builtins", "typing", "typing_extensions", "abc"):
            continue
        if protocol:
            annotations: Mapping[str, object] = vars(base).get("__annotations__", {})
            members |= {name: _Annotated(annotation) for name, annotation in annotations.items()}
        members |= {name: raw for name, raw in vars(base).items() if protocol or _counts(name, raw)}
    return {name: raw for name, raw in members.items() if name not in MACHINERY and raw is not None}


def _counts(name: str, raw: object) -> bool:
    if _is_abstract(raw):
        return True
    public = not name.startswith("_")
    return public and not isinstance(raw, type) and (isinstance(raw, PROPERTIES) or _sort(raw) == "method")


def _is_abstract(raw: object) -> bool:
    # Asked of Python's own sorts only: a mock would answer yes to anything.
    own = (types.FunctionType, *PROPERTIES, *WRAPPED)
    return issubclass(type(raw), own) and bool(getattr(raw, "__isabstractmethod__", False))


def _sort(raw: object) -> Sort:
    sort = type(raw)
    if issubclass(sort, (*PROPERTIES, *SLOTS, _Annotated)):
        return "attribute"
    if issubclass(sort, (*WRAPPED, functools.partialmethod)) or callable(raw):
        return "method"
    return "unknown" if hasattr(sort, "__get__") else "attribute"


# -- what a candidate has --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Member:
    """A member as it stands in a namespace; *bound*: callers do not give its first parameter."""

    raw: object
    bound: bool

    @property
    def function(self) -> Any:
        """What is called in the end."""
        function = cast("Any", self.raw)
        return function.__func__ if issubclass(type(function), WRAPPED) else function

    def parameters(self) -> Parameters | None:
        """What callers give; None if that cannot be known."""
        everything = self.all_parameters()
        drops_first = self._drops_first() and everything and everything[0].kind in POSITIONAL
        return everything[1:] if everything and drops_first else everything

    def cannot_be_called(self) -> bool:
        """Whether it is a method that does not even take ``self``."""
        everything = self.all_parameters()
        takes_first = everything and everything[0].kind in (*POSITIONAL, VAR_POSITIONAL)
        return self._drops_first() and everything is not None and not takes_first

    def all_parameters(self) -> Parameters | None:
        """What the definition says, ``self`` included; None if that cannot be known."""
        if issubclass(type(self.function), SIGNED):
            return _signature(self.function)
        call = _in_class(type(self.function), "__call__")
        if call is None or not issubclass(type(call.raw), types.FunctionType):
            return None
        return _Member(call.raw, bound=True).parameters()

    def _drops_first(self) -> bool:
        if issubclass(type(self.raw), classmethod):
            return True
        return self.bound and issubclass(type(self.raw), BINDING)


def _signature(function: Any) -> Parameters | None:
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (ValueError, TypeError, NameError):
        return None


def _find(candidate: object, name: str) -> _Member | None:
    if issubclass(type(candidate), type):
        return _in_class(candidate, name)
    shared = _in_class(type(candidate), name)
    if shared is not None and issubclass(type(shared.raw), property):
        return shared
    if shared is not None and issubclass(type(shared.raw), types.MemberDescriptorType):
        return _in_slot(shared.raw, candidate)
    own = _own(candidate)
    return _Member(own[name], bound=False) if name in own else shared


def _in_class(kind: Any, name: str) -> _Member | None:
    for base in cast("tuple[type, ...]", kind.__mro__):
        if name in vars(base):
            return _Member(vars(base)[name], bound=True)
    return None


def _in_slot(slot: Any, candidate: object) -> _Member | None:
    try:
        return _Member(slot.__get__(candidate), bound=False)
    except AttributeError:
        return None


def _own(candidate: object) -> Mapping[str, object]:
    try:
        own = object.__getattribute__(candidate, "__dict__")
    except AttributeError:
        return {}
    return cast("Mapping[str, object]", own) if isinstance(own, dict) else {}


def _answers_to_anything(candidate: object) -> bool:
    return not issubclass(type(candidate), type) and _find(candidate, "__getattr__") is not None


# -- one member beside the other -------------------------------------------------------------------


def _compare(candidate: object, name: str, promised: _Member) -> str:
    found = _find(candidate, name)
    if found is None:
        return _missing(candidate, promised)
    if _is_abstract(found.raw):
        return "is still abstract"
    if found.raw is promised.raw:
        return ""
    sorts = _sort(promised.raw), _sort(found.raw)
    if sorts == ("method", "attribute"):
        return f"is an attribute, the contract calls it{_with(promised)}"
    if sorts == ("attribute", "method"):
        return "" if _may_be_called(promised.raw) else "is a method, the contract reads it as an attribute"
    return _called_otherwise(found, promised) if sorts == ("method", "method") else ""


def _missing(candidate: object, promised: _Member) -> str:
    if _answers_to_anything(candidate):
        return ""
    if _sort(promised.raw) == "method":
        return f"is missing, the contract calls it{_with(promised)}"
    # A class may well set its attributes when an instance is made.
    return "" if issubclass(type(candidate), type) else "is missing, the contract reads it as an attribute"


def _may_be_called(raw: object) -> bool:
    """Whether an attribute may be a function: ``on_done: Callable[[], None]``, ``value: Any``."""
    return isinstance(raw, _Annotated) and bool(re.search(r"\bCallable\b|\bAny\b|\bobject\b", raw.text))


def _called_otherwise(found: _Member, promised: _Member) -> str:
    why = _awaited_otherwise(_calling(found.function), _calling(promised.function))
    if why:
        return why
    taken, called = found.parameters(), promised.parameters()
    if taken is None or called is None:
        return ""
    if not found.cannot_be_called() and _accepts(_Shape(taken), _Shape(called)):
        return ""
    return f"takes {_shape(found.all_parameters())}, the contract calls it{_with(promised)}"


def _with(promised: _Member) -> str:
    parameters = promised.parameters()
    return "" if parameters is None else f" with {_shape(parameters)}"


def _shape(parameters: Parameters | None) -> str:
    bare = [each.replace(annotation=EMPTY, default=EMPTY) for each in parameters or ()]
    return str(inspect.Signature(bare))


# -- sync or async ---------------------------------------------------------------------------------

ASYNC_RESULT: Final = re.compile(r"\b(Awaitable|Coroutine|Future|Task)\b")
STREAM_RESULT: Final = re.compile(r"\bAsync(Iterator|Iterable|Generator)\b")
OTHERWISE: Final[Mapping[tuple[Calling, Calling], str]] = {
    ("plain", "coroutine"): "is a plain function, the contract awaits it",
    ("stream", "coroutine"): "is an async generator, the contract awaits it",
    ("coroutine", "plain"): "is a coroutine function, the contract calls it without await",
    ("stream", "plain"): "is an async generator, the contract calls it without iterating",
    ("coroutine", "stream"): "is a coroutine function, the contract iterates over what it returns",
}


def _awaited_otherwise(found: Calling, promised: Calling) -> str:
    # A plain function in the place of a stream may well return one.
    return OTHERWISE.get((found, promised), "")


def _calling(function: Any) -> Calling:
    function = _underneath(function)
    # By type, not by isinstance: a mock of a function pretends to be one, and a coroutine function too.
    if not issubclass(type(function), types.FunctionType):
        call = _in_class(type(function), "__call__")
        return "coroutine" if call is not None and inspect.iscoroutinefunction(call.raw) else "unknown"
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    if inspect.isasyncgenfunction(function):
        return "stream"
    if "__wrapped__" in vars(function) and _calling(function.__wrapped__) != "plain":
        return "unknown"
    return _said(function.__annotations__.get("return"))


def _underneath(function: Any) -> Any:
    while issubclass(type(function), (functools.partial, functools.partialmethod)):
        function = function.func
    return function.__func__ if issubclass(type(function), types.MethodType) else function


def _said(returns: object) -> Calling:
    """What the return annotation of a plain function says about how it is called."""
    text = returns if isinstance(returns, str) else repr(returns)
    if STREAM_RESULT.search(text):
        return "stream"
    either = returns is object or returns is Any or text in ("object", "Any", "typing.Any")
    return "unknown" if either or ASYNC_RESULT.search(text) else "plain"


# -- call shapes -----------------------------------------------------------------------------------


class _Shape:
    """Parameters, sorted by how they are given."""

    def __init__(self, parameters: Parameters) -> None:
        self.positional: Final = [each for each in parameters if each.kind in POSITIONAL]
        self.keywords: Final = {each.name: each for each in parameters if each.kind is KEYWORD_ONLY}
        self.any_positional: Final = any(each.kind is VAR_POSITIONAL for each in parameters)
        self.any_keywords: Final = any(each.kind is VAR_KEYWORD for each in parameters)


def _accepts(taken: _Shape, called: _Shape) -> bool:
    """Whether every call that fits *called* fits *taken*; positional parameters may have other names."""
    if called.any_positional and called.any_keywords:
        return True  # "any arguments", as typing understands it
    return _takes_positions(taken, called) and _takes_names(taken, called)


def _takes_positions(taken: _Shape, called: _Shape) -> bool:
    too_many = called.any_positional or len(called.positional) > len(taken.positional)
    if too_many and not taken.any_positional:
        return False
    places = {each.name: place for place, each in enumerate(called.positional)}
    if any(places.get(each.name, place) != place for place, each in enumerate(taken.positional)):
        return False  # the same names in another order would swap values
    pairs = zip(taken.positional, called.positional, strict=False)
    return all(mine.default is not EMPTY for mine, theirs in pairs if theirs.default is not EMPTY)


def _takes_names(taken: _Shape, called: _Shape) -> bool:
    filled = taken.positional[: len(called.positional)]
    if any(each.name in called.keywords for each in filled):
        return False  # given twice
    left = {each.name: each for each in taken.positional[len(filled) :]} | taken.keywords
    if (called.any_keywords or not called.keywords.keys() <= left.keys()) and not taken.any_keywords:
        return False
    always = {name for name, each in called.keywords.items() if each.default is EMPTY}
    return {name for name, each in left.items() if each.default is EMPTY} <= always
