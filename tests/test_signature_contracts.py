"""Differences between a candidate and a contract, seen without running the candidate."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest

from hotplug._signature import differences

T = TypeVar("T")


class Gateway(ABC):
    version = 3

    @property
    @abstractmethod
    def broker_id(self) -> str: ...

    @abstractmethod
    async def place_order(self, request: str, *, deadline: float | None = None) -> str: ...

    @abstractmethod
    def events(self, after: str | None = None) -> AsyncIterator[str]: ...

    def describe(self, words: int) -> str:
        return "x" * words

    def _private(self) -> int:
        return 1


class Fitting:
    """Everything of `Gateway`, without inheriting from it; its properties explode when read."""

    @property
    def broker_id(self) -> str:
        raise SystemExit("a property ran")

    async def place_order(self, order: str, *, deadline: float | None = None, retry: bool = False) -> str:
        return order

    async def events(self, after: str | None = None) -> AsyncIterator[str]:
        yield ""

    def describe(self, words: int) -> str:
        return ""


def candidate(**members: Any) -> type:
    """A class that fits `Gateway` but for *members*; `None` takes a member away."""
    taken = {name: member for name, member in vars(Fitting).items() if not name.startswith("__")} | members
    return type("Candidate", (), {name: member for name, member in taken.items() if member is not None})


@pytest.mark.parametrize("fitting", [Fitting, Fitting()], ids=["class", "object"])
def test_fits(fitting):
    """
    A class and an object that answer every call of the contract differ in nothing, and no property runs.
    """
    assert differences(fitting, Gateway) == ()


def test_names_every_difference():
    """
    Each member that differs gets one sentence of its own.
    """

    class Wrong:
        def broker_id(self) -> str:
            return "wrong"

        async def place_order(self) -> str:
            return ""

        async def events(self, after: str | None = None) -> list[str]:
            return []

    assert differences(Wrong, Gateway) == (
        "broker_id: is a method, the contract reads it as an attribute",
        "place_order: takes (self), the contract calls it with (request, *, deadline)",
        "events: is a coroutine function, the contract iterates over what it returns",
        "describe: is missing, the contract calls it with (words)",
    )


def test_missing_attribute_of_an_object():
    """
    An object lacks an attribute if nothing has its name; a class may set it when an instance is made.
    """
    without = candidate(broker_id=None)

    assert differences(without(), Gateway) == (
        "broker_id: is missing, the contract reads it as an attribute",
    )
    assert differences(without, Gateway) == ()


def test_attribute_set_by_init():
    """
    What an instance carries in its own dict or in a slot counts as there; an empty slot does not.
    """

    class Slotted(candidate(broker_id=None)):
        __slots__ = ("broker_id",)

    class Carrying(candidate(broker_id=None)):
        def __init__(self) -> None:
            self.broker_id = "b"

    filled, empty = Slotted(), Slotted()
    filled.broker_id = "b"

    assert () == differences(Carrying(), Gateway) == differences(filled, Gateway)
    assert differences(empty, Gateway) == ("broker_id: is missing, the contract reads it as an attribute",)


def test_object_without_a_dict():
    """
    An object that cannot carry attributes has what its class has, and that is all.
    """
    names = [difference.partition(":")[0] for difference in differences(object(), Gateway)]

    assert names == ["broker_id", "place_order", "events", "describe"]


def test_property_goes_before_the_dict():
    """
    What an instance carries under the name of a property is never seen by callers, so it does not count.
    """
    shadowed = Fitting()
    vars(shadowed)["broker_id"] = lambda: "a method"

    assert differences(shadowed, Gateway) == ()


def test_still_abstract():
    """
    A subclass that leaves something abstract is told so; what it inherits ready-made fits.
    """

    class Half(Gateway):
        @property
        def broker_id(self) -> str:
            return "half"

        def events(self, after: str | None = None) -> AsyncIterator[str]:
            raise NotImplementedError

    assert differences(Half, Gateway) == ("place_order: is still abstract",)


def test_attribute_in_the_place_of_a_method():
    """
    A value or property where the contract calls a method is a difference.
    """
    wrong = candidate(place_order=property(lambda self: 1), describe="text")

    assert differences(wrong, Gateway) == (
        "place_order: is an attribute, the contract calls it with (request, *, deadline)",
        "describe: is an attribute, the contract calls it with (words)",
    )


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (lambda self, request, *, deadline=None: "", "is a plain function, the contract awaits it"),
        (Fitting.events, "is an async generator, the contract awaits it"),
    ],
)
def test_async_expected(method, why):
    """
    What the contract awaits must be a coroutine function.
    """
    assert (f"place_order: {why}",) == differences(candidate(place_order=method), Gateway)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (Fitting.place_order, "is a coroutine function, the contract calls it without await"),
        (Fitting.events, "is an async generator, the contract calls it without iterating"),
    ],
)
def test_sync_expected(method, why):
    """
    What the contract simply calls must be neither a coroutine function nor a generator.
    """
    assert (f"describe: {why}",) == differences(candidate(describe=method), Gateway)


def test_either_way():
    """
    A contract that allows awaitables takes plain and async methods; a plain method may promise one.
    """

    class Strategy(ABC):
        @abstractmethod
        def on_bar(self, bar: int) -> Awaitable[None] | None: ...

        @abstractmethod
        def on_fill(self, fill: int) -> object: ...

        @abstractmethod
        async def on_stop(self) -> None: ...

    class Plain:
        def on_bar(self, bar: int) -> None: ...
        def on_fill(self, fill: int) -> None: ...
        def on_stop(self) -> Awaitable[None]: ...

    class Asynchronous:
        async def on_bar(self, bar: int) -> None: ...
        async def on_fill(self, fill: int) -> None: ...
        async def on_stop(self) -> None: ...

    assert () == differences(Plain, Strategy) == differences(Asynchronous, Strategy)


def test_plain_function_may_return_a_stream():
    """
    Where the contract iterates, a plain method is taken: what it returns cannot be known.
    """
    assert differences(candidate(events=lambda self, after=None: iter(())), Gateway) == ()


def test_wrapped_coroutine():
    """
    A plain wrapper around a coroutine function counts as what it wraps, or as unknown.
    """

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    assert differences(candidate(place_order=logged(Fitting.place_order)), Gateway) == ()
    plain = logged(lambda self, request, *, deadline=None: "")
    assert differences(candidate(place_order=plain), Gateway) == (
        "place_order: is a plain function, the contract awaits it",
    )


class Called(Protocol):
    def call(self, symbol: str, qty: int, note: str = "", *, deadline: float, dry: bool = False) -> None: ...


@pytest.mark.parametrize(
    "method",
    [
        lambda self, symbol, qty, note="", *, deadline, dry=False: None,
        lambda self, s, q, n=None, *, deadline, dry=None, more=1: None,
        lambda self, symbol, qty, note="", extra=0, *, deadline=0, dry=False: None,
        lambda self, *args, **kwargs: None,
        lambda *args, **kwargs: None,
        lambda self, symbol, *rest, deadline, **more: None,
        lambda self, symbol, qty, note="", deadline=0, dry=False: None,
        lambda self, symbol, qty, note="", /, *, deadline, dry=False: None,
        staticmethod(lambda symbol, qty, note="", *, deadline, dry=False: None),
        classmethod(lambda cls, symbol, qty, note="", *, deadline, dry=False: None),
        functools.partial(lambda x, symbol, qty, note="", *, deadline, dry=False: None, 1),
    ],
)
def test_call_shapes_that_fit(method):
    """
    A method fits if every call that the contract allows reaches it; positional names are its own choice.
    """
    assert differences(type("Candidate", (), {"call": method}), Called) == ()


@pytest.mark.parametrize(
    "method",
    [
        lambda: None,
        lambda self: None,
        lambda self, symbol, *, deadline, dry=False: None,  # too few
        lambda self, symbol, qty, note, *, deadline, dry=False: None,  # an optional one made required
        lambda self, symbol, qty, note="", *, deadline: None,  # a keyword missing
        lambda self, symbol, qty, note="", *, deadline, dry: None,  # an optional keyword made required
        lambda self, symbol, qty, note="", *, deadline, dry=False, more: None,  # a required extra keyword
        lambda self, symbol, qty, note, extra, *, deadline, dry=False: None,  # a required extra position
        lambda self, qty, symbol, note="", *, deadline, dry=False: None,  # swapped
        lambda self, symbol, qty, *, note="", deadline, dry=False: None,  # by keyword only
        lambda self, symbol, qty, deadline="", **more: None,  # given twice
        classmethod(lambda symbol, qty, note="", *, deadline, dry=False: None),
        staticmethod(lambda self, symbol, qty, note="", *, deadline, dry=False: None),
        functools.partial(lambda symbol, qty, note="", *, deadline, dry=False: None, 1),
    ],
)
def test_call_shapes_that_do_not_fit(method):
    """
    A method does not fit if some call that the contract allows would be a `TypeError`, or swap values.
    """
    [difference] = differences(type("Candidate", (), {"call": method}), Called)

    assert difference.startswith("call: takes (")
    assert difference.endswith("the contract calls it with (symbol, qty, note, *, deadline, dry)")


def test_method_without_self():
    """
    A method that does not take ``self`` fits no contract, not even one without parameters.
    """

    class Closing(Protocol):
        def close(self) -> None: ...

    class Wrong:
        def close() -> None: ...

    assert differences(Wrong, Closing) == ("close: takes (), the contract calls it with ()",)


def test_variable_arguments_of_a_contract():
    """
    A contract with ``*args`` or ``**kwargs`` needs a method with the same; with both it promises nothing.
    """

    class Variable(Protocol):
        def positions(self, *args: int) -> None: ...
        def names(self, **kwargs: int) -> None: ...
        def anything(self, *args: Any, **kwargs: Any) -> None: ...

    class Narrow:
        def positions(self, one: int = 0) -> None: ...
        def names(self, one: int = 0) -> None: ...
        def anything(self, one: int) -> None: ...

    assert differences(Narrow, Variable) == (
        "positions: takes (self, one), the contract calls it with (*args)",
        "names: takes (self, one), the contract calls it with (**kwargs)",
    )


def test_method_of_an_object_is_not_bound_twice():
    """
    A function in an object's own dict, or in a module, takes no ``self``.
    """

    class Namespace:
        def __init__(self, **members: Any) -> None:
            self.__dict__ |= members

    def call(symbol: str, qty: int, note: str = "", *, deadline: float, dry: bool = False) -> None: ...

    assert differences(Namespace(call=call), Called) == ()


def test_class_candidates_do_not_borrow_from_their_metaclass():
    """
    ``register`` of `ABCMeta` is no member of a class that is an ABC.
    """

    class Registering(Protocol):
        def register(self, thing: object) -> None: ...

    class Empty(ABC): ...  # noqa: B024

    assert differences(Empty, Registering) == ("register: is missing, the contract calls it with (thing)",)


@runtime_checkable
class Named(Protocol[T]):
    """A generic, checkable protocol with data."""

    __slots__ = ()
    name: str
    on_done: Callable[[T], None]
    size: int = 3

    def __len__(self) -> int: ...


class Wider(Named[int], Protocol):
    def close(self) -> None: ...


def test_protocol_members():
    """
    All members of a protocol and its bases count, data and dunder methods too, but none of Python's own.
    """

    class Empty: ...

    assert differences(Empty(), Wider) == (
        "name: is missing, the contract reads it as an attribute",
        "on_done: is missing, the contract reads it as an attribute",
        "size: is missing, the contract reads it as an attribute",
        "__len__: is missing, the contract calls it with ()",
        "close: is missing, the contract calls it with ()",
    )


def test_callable_data():
    """
    A method may stand where a protocol annotates a callable, not where it annotates text.
    """

    class Methods:
        size = 1

        def name(self) -> str:
            return ""

        def on_done(self, result: int) -> None: ...
        def __len__(self) -> int:
            return 1

    assert differences(Methods(), Named) == ("name: is a method, the contract reads it as an attribute",)


def test_only_promises_of_an_abc_count():
    """
    Of an ABC, private helpers, constants, nested classes and what `Generic` adds are no promises.
    """

    class Contract(ABC, Generic[T]):
        limit = 3
        note: str

        class Nested: ...

        @abstractmethod
        def _must(self) -> None: ...

        def _may(self) -> None: ...

        @functools.cached_property
        def lazy(self) -> int:
            return 1

    class Candidate:
        def _must(self) -> None: ...

    assert differences(Candidate(), Contract) == ("lazy: is missing, the contract reads it as an attribute",)


@pytest.mark.parametrize(
    "mock",
    [
        Mock(),
        MagicMock(spec=Gateway),
        AsyncMock(),
        create_autospec(Gateway, instance=True),
        candidate(place_order=AsyncMock(), describe=Mock())(),
        candidate(place_order=AsyncMock(), describe=create_autospec(Fitting.describe)),
    ],
)
def test_mocks_fit(mock):
    """
    Mocks answer to everything, so nothing is held against them.
    """
    assert differences(mock, Gateway) == ()


def test_dynamic_attributes_are_not_asked_for():
    """
    An object with ``__getattr__`` is taken as having what it does not show; that method does not run.
    """

    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

    assert differences(Proxy(), Gateway) == ()


class Opaque:
    """A descriptor that gives nobody knows what."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise SystemExit("a descriptor ran")


class CallableObject:
    def __call__(self, words: int) -> str:
        return ""


class AsyncCallable:
    async def __call__(self, words: int) -> str:
        return ""


class BadSignature:
    """A callable that knows nothing about its parameters."""

    __call__ = print


@pytest.mark.parametrize(
    "member",
    [
        Opaque(),
        CallableObject(),
        BadSignature(),
        functools.partialmethod(Fitting.describe, 1),
        functools.partial(max),
        dict.update,
        str.zfill,
        max,
        lambda *args: "",
    ],
)
def test_unknowable_members_fit(member):
    """
    Builtins, partials, descriptors and callable objects fit if nothing known speaks against them.
    """
    assert differences(candidate(describe=member), Gateway) == ()


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (AsyncCallable(), "is a coroutine function, the contract calls it without await"),
        (
            functools.partialmethod(Fitting.place_order, "x"),
            "is a coroutine function, the contract calls it without await",
        ),
        (str.splitlines, None),
        (str.isdigit, "takes (self, /), the contract calls it with (words)"),
    ],
)
def test_knowable_callables(member, why):
    """
    Async callables are recognised inside partials and objects, C methods by their signatures.
    """
    expected = () if why is None else (f"describe: {why}",)

    assert expected == differences(candidate(describe=member), Gateway)


def test_bound_method_as_member():
    """
    A bound method kept as a value is compared as callers see it.
    """

    class Carrying(candidate(describe=None)):
        def __init__(self) -> None:
            self.describe = Fitting().describe

    assert differences(Carrying(), Gateway) == ()


def test_contract_without_a_readable_signature():
    """
    A contract whose own shape cannot be known asks for the member only.
    """

    class Contract(Protocol):
        measure = max

    class Nothing: ...

    class Something:
        def measure(self) -> None: ...

    assert differences(Nothing(), Contract) == ("measure: is missing, the contract calls it",)
    assert differences(Something(), Contract) == ()


def test_foreign_dict():
    """
    An object whose ``__dict__`` is not a dict of its own is looked up in its class alone.
    """

    class Strange(Fitting):
        __dict__ = 5  # type: ignore[assignment]

    assert differences(Strange(), Gateway) == ()
