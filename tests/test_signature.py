"""Annotations become settings and arguments: which parameters count, how values convert, what errors say."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import gc
import sys
import threading
import types
import typing
import uuid
import weakref
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypedDict

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotplug._records import PluginRecord
from hotplug._signature import Parameter, Secret, arguments, convert, fit, settings_of
from hotplug.context import UserExecutionContext
from hotplug.errors import InvalidArgumentsError, SchemaError, SettingsError
from thorough import part_of

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]

    import hotplug

Money = str
RECORD = PluginRecord("brokers", "hotplug.brokers", "acme", "acme:Broker", "acme-broker", "1.2")
ADA = UserExecutionContext("ada")
INJECTABLE = {UserExecutionContext: ADA}


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Limits:
    max_qty: int
    max_price: Decimal = Decimal(100)

    def __post_init__(self) -> None:
        if self.max_qty < 0:
            raise ValueError(f"a negative limit: {self.max_qty}")
        if self.max_qty == 13:
            raise KeyError("thirteen")


class Venue(msgspec.Struct, rename="camel"):
    base_url: str
    retries: int = 3


class Circle(msgspec.Struct, tag="circle"):
    radius: int


class Square(msgspec.Struct, tag="square"):
    side: int


class Window(TypedDict):
    seconds: int
    calls: int


class Pair(typing.NamedTuple):
    left: int
    right: int


Cents = NewType("Cents", int)


def takes(annotation: Any, **default: Any) -> Any:
    """A function with one setting of this type."""

    def target(*, it): ...

    target.__annotations__["it"] = annotation
    target.__kwdefaults__ = default or None
    return target


# -- which parameters are settings -----------------------------------------------------------------


class Broker:
    def __init__(
        self,
        url: str,
        *args: int,
        cash: Decimal = Decimal(1),
        context: UserExecutionContext,
        maybe: UserExecutionContext | None = None,
        tagged: Annotated[Optional[UserExecutionContext], "x"] = None,  # noqa: UP045
        untyped=5,
    ) -> None: ...


def test_keyword_parameters_are_settings():
    """
    Parameters that can be given by name are settings, but for those of injectable types, optional or not.
    """
    signature = settings_of(Broker, INJECTABLE)

    assert list(signature.settings) == ["url", "cash", "untyped"]
    assert dict.fromkeys(["context", "maybe", "tagged"], UserExecutionContext) == signature.injected
    assert Parameter("cash", Decimal, False, Decimal(1), signature.target) == signature.settings["cash"]
    assert signature.settings["url"].required


def test_converts_and_injects():
    """
    The keyword arguments are the converted settings and the injected objects, and no defaults.
    """
    given = {"url": "x", "cash": "12.50"}

    assert {"url": "x", "cash": Decimal("12.50"), "context": ADA, "maybe": ADA, "tagged": ADA} == convert(
        Broker, given, injectable=INJECTABLE, record=RECORD
    )


def test_nothing_is_injectable_by_itself():
    """
    Without injectable types every parameter is a setting, and an object of its type is taken as it is.
    """
    assert convert(Broker, {"url": "x", "context": ADA}) == {"url": "x", "context": ADA}


def test_injected_parameters_cannot_be_set():
    """
    A setting with the name of an injected parameter is unknown, also where ``**kwargs`` takes the rest.
    """

    def target(context: UserExecutionContext, **rest: int): ...

    with pytest.raises(SettingsError, match="settings.context: no such setting"):
        convert(target, {"context": 5}, injectable=INJECTABLE)


def test_kwargs_take_any_setting():
    """
    ``**kwargs`` takes names that are no parameters, typed if it is.
    """

    def loose(**settings): ...

    def tight(*, first: str = "", **settings: Decimal): ...

    assert convert(loose, {"a": 1, "b": [2]}) == {"a": 1, "b": [2]}
    assert {"first": "x", "a": Decimal(1)} == convert(tight, {"first": "x", "a": "1"})
    with pytest.raises(SettingsError, match=r"settings.a: Invalid decimal string"):
        convert(tight, {"a": "one"})


class Callable_:  # noqa: N801
    def __call__(self, *, cash: Decimal) -> None: ...

    def method(self, *, cash: Decimal) -> None: ...

    @classmethod
    def make(cls, *, cash: Decimal) -> None: ...


class ByNew:
    def __new__(cls, *, cash: Decimal) -> ByNew:
        return super().__new__(cls)


class ByMeta(type):
    def __setattr__(cls, name: str, value: object) -> None:
        raise SystemExit("a metaclass ran")


class Odd(metaclass=ByMeta):
    def __init__(self, *, cash: Decimal) -> None: ...


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@wrapped
def decorated(*, cash: Decimal) -> None: ...


@dataclasses.dataclass(kw_only=True)
class Data:
    cash: Decimal


class Inherited(Data): ...


class Record(msgspec.Struct, kw_only=True):
    cash: Decimal


@pytest.mark.parametrize(
    "target",
    [
        Callable_(),
        Callable_().method,
        Callable_.make,
        ByNew,
        Odd,
        decorated,
        Data,
        Inherited,
        Record,
        functools.partial(decorated),
        functools.partial(Callable_().method),
        functools.partial(Inherited),
    ],
)
def test_every_sort_of_target(target):
    """
    Classes, functions, methods, callable objects, partials and generated constructors are all read.
    """
    assert {"cash": Decimal(5)} == convert(target, {"cash": 5})


def test_class_without_a_signature():
    """
    A class whose constructor is written in C takes no settings.
    """
    assert settings_of(dt.date).settings == {}
    assert settings_of(type("Plain", (int,), {})).settings == {}
    assert settings_of(type("Empty", (), {})).settings == {}


def test_function_without_a_signature():
    """
    A callable whose parameters cannot be read is no schema.
    """
    with pytest.raises(SchemaError, match=r"builtins.max has no readable signature"):
        settings_of(max)


def test_positional_only():
    """
    A required parameter without a name for callers is refused, an optional one is left alone.
    """

    def optional(a=1, /, *, b: int = 2): ...

    def required(a, /): ...

    assert list(settings_of(optional).settings) == ["b"]
    with pytest.raises(SchemaError, match="required: 'a' can only be given by position"):
        settings_of(required)


# -- annotations that are texts --------------------------------------------------------------------


class TypeCheckingOnly:
    def __init__(self, *, context: hotplug.UserExecutionContext, missing: Missing = None) -> None: ...  # type: ignore[assignment]


def test_injectable_types_may_be_imported_for_checkers_only():
    """
    An injectable type is recognised by its name where the module imports it (or hotplug) under TYPE_CHECKING.
    """
    source = (
        "from __future__ import annotations\ndef make(*, context: UserExecutionContext | None = None): ..."
    )
    scope: dict[str, Any] = {"__name__": "somewhere"}
    exec(source, scope)

    assert convert(scope["make"], {}, injectable=INJECTABLE) == {"context": ADA}
    assert convert(TypeCheckingOnly, {}, injectable=INJECTABLE) == {"context": ADA}


def test_unresolvable_name_is_named():
    """
    A setting whose annotation names nothing known cannot be given; the others, and its default, work.
    """
    with pytest.raises(
        SchemaError, match=r"TypeCheckingOnly: .*'missing' names 'Missing'.*TYPE_CHECKING only"
    ):
        convert(TypeCheckingOnly, {"missing": 1}, injectable=INJECTABLE)


def test_required_and_unresolvable():
    """
    A required setting of an unknown type is an error of the annotation, not of who sets nothing.
    """

    def target(*, it: Nowhere): ...  # noqa: F821

    with pytest.raises(SchemaError, match="'it' names 'Nowhere'"):
        convert(target, {})


def test_annotation_that_raises():
    """
    An annotation that cannot be evaluated spoils its own parameter only, and the error says how.
    """
    target = takes("1 / 0", it=None)

    assert convert(target, {}) == {}
    with pytest.raises(SchemaError, match="'it' cannot be evaluated: ZeroDivisionError: division by zero"):
        convert(target, {"it": 1})


class Nesting:
    class Inner(TypedDict):
        size: int

    def __init__(self, *, inner: Inner, again: list[Nesting.Inner] | None = None) -> None: ...


def test_names_of_the_class_itself():
    """
    Annotations may name classes nested in the class whose constructor is read.
    """
    assert convert(Nesting, {"inner": {"size": 1}, "again": [{"size": 2}]}) == {
        "inner": {"size": 1},
        "again": [{"size": 2}],
    }


def test_fields_declared_in_another_module():
    """
    A dataclass's inherited fields are read with the names of the module that declared them.
    """
    module = types.ModuleType("elsewhere")
    source = """
from __future__ import annotations
import dataclasses
from decimal import Decimal as Money
@dataclasses.dataclass
class Base:
    cash: Money
"""
    sys.modules["elsewhere"] = module
    try:
        exec(source, vars(module))

        @dataclasses.dataclass
        class Derived(module.Base):  # type: ignore[misc, name-defined]
            more: Money = "here, money is text"

        assert convert(Derived, {"cash": "1", "more": "3"}) == {"cash": Decimal(1), "more": "3"}
    finally:
        del sys.modules["elsewhere"]


def test_base_from_a_module_that_is_gone():
    """
    A class whose module has left `sys.modules` is still read, by its functions' own globals.
    """
    scope: dict[str, Any] = {"__name__": "vanished", "Decimal": Decimal}
    exec("class Made:\n  def __init__(self, *, cash: 'Decimal'): ...", scope)

    assert {"cash": Decimal(1)} == convert(scope["Made"], {"cash": "1"})


# -- what is kept, and what is let go ---------------------------------------------------------------


def test_signatures_are_read_once():
    """
    The same target and injectable types give the same signature, and other types another one.
    """
    assert settings_of(Broker, INJECTABLE) is settings_of(Broker, [UserExecutionContext])
    assert settings_of(Broker, INJECTABLE) is not settings_of(Broker)


def test_subclasses_and_wrappers_have_signatures_of_their_own():
    """
    What is kept on a target is not taken for that of a class that inherits it or a function that copies it.
    """

    class Derived(Broker):
        def __init__(self, *, other: int) -> None: ...

    settings_of(Broker)
    settings_of(decorated)
    copied = wrapped(decorated)
    copied.__signature__ = settings_and = __import__("inspect").Signature()

    assert list(settings_of(Derived).settings) == ["other"]
    assert {} == settings_of(copied).settings == dict(settings_and.parameters)


def test_nothing_keeps_a_class_alive():
    """
    A class whose settings name a class of its own module is collected as soon as nobody else holds it.
    """
    source = """
from __future__ import annotations
import dataclasses
@dataclasses.dataclass
class Limits:
    size: int
class Broker:
    def __init__(self, *, limits: Limits, next: Broker = None): ...
"""
    module = types.ModuleType("generation_1")
    sys.modules["generation_1"] = module
    exec(source, vars(module))
    del sys.modules["generation_1"]
    assert module.Limits(size=1) == convert(module.Broker, {"limits": {"size": 1}}, record=RECORD)["limits"]
    dead = weakref.ref(module.Broker), weakref.ref(module.Limits)

    del module
    gc.collect()

    assert (dead[0](), dead[1]()) == (None, None)


def test_reading_in_many_threads(eager_threads):
    """
    Threads that read a new class at the same time all get its whole signature.
    """
    fresh = [type(f"Fresh{number}", (Broker,), {}) for number in range(20)]
    found: list[int] = []
    start = threading.Barrier(4)

    def read() -> None:
        start.wait()
        found.extend(len(settings_of(kind, INJECTABLE).settings) for kind in fresh)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [3] * 80


# -- values -----------------------------------------------------------------------------------------

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Decimal, "1.50", Decimal("1.50")),
        (Decimal, 3, Decimal(3)),
        (Decimal, 0.1, Decimal("0.1")),
        (float, 1, 1.0),
        (dt.datetime, "2024-05-01T12:00:00Z", NOON),
        (dt.datetime, NOON, NOON),
        (dt.date, "2024-05-01", dt.date(2024, 5, 1)),
        (dt.date, dt.date(2024, 5, 1), dt.date(2024, 5, 1)),
        (dt.time, dt.time(9, 30), dt.time(9, 30)),
        (dt.timedelta, "PT90S", dt.timedelta(seconds=90)),
        (Path, "data/x", Path("data/x")),
        (Path, Path("x"), Path("x")),
        (list[Path], ["a", "b"], [Path("a"), Path("b")]),
        (uuid.UUID, "12345678123456781234567812345678", uuid.UUID("12345678123456781234567812345678")),
        (Side, "buy", Side.BUY),
        (Level, 2, Level.HIGH),
        (Literal["a", "b"], "b", "b"),
        (Decimal | None, "1", Decimal(1)),
        (Decimal | None, None, None),
        (list[Decimal], ["1", 2], [Decimal(1), Decimal(2)]),
        (list[Decimal], ("1", 2), [Decimal(1), Decimal(2)]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[Decimal, ...], ["1"], (Decimal(1),)),
        (set[str], ["a", "a"], {"a"}),
        (frozenset[int], [1], frozenset({1})),
        (Sequence[int], [1], [1]),
        (Mapping[str, Decimal], {"a": "1"}, {"a": Decimal(1)}),
        (dict[str, list[Limits]], {"a": [{"max_qty": 1}]}, {"a": [Limits(1)]}),
        (Limits, {"max_qty": 1, "max_price": "2.5"}, Limits(1, Decimal("2.5"))),
        (Limits, types.MappingProxyType({"max_qty": 1}), Limits(1)),
        (Limits, Limits(1), Limits(1)),
        (Venue, {"baseUrl": "x"}, Venue("x")),
        (Circle | Square, {"type": "square", "side": 2}, Square(2)),
        (Circle, {"type": "circle", "radius": 2}, Circle(2)),
        (Window, {"seconds": 1, "calls": 2}, {"seconds": 1, "calls": 2}),
        (Pair, [1, 2], Pair(1, 2)),
        (Cents, 5, 5),
        (Annotated[int, msgspec.Meta(gt=0)], 1, 1),
        (Annotated[Limits, msgspec.Meta(description="x")], {"max_qty": 1}, Limits(1)),
        (Any, {"a": [1]}, {"a": [1]}),
        (object, "x", "x"),
        (UserExecutionContext, ADA, ADA),
        (dict[str, Any] | list[int], [1], [1]),
        (list[Limits] | None, [{"max_qty": 1}], [Limits(1)]),
        (Limits | dict[str, int], {"anything": 1}, None),
    ],
)
def test_converts(annotation, value, expected):
    """
    Values become what the annotation says, from what TOML and JSON can say and from ready objects.
    """
    if expected is None and value is not None:
        with pytest.raises(SchemaError, match="'it' cannot be made from plain data: Type unions"):
            convert(takes(annotation), {"it": value})
        return
    assert {"it": expected} == convert(takes(annotation), {"it": value})


@pytest.mark.parametrize(
    ("annotation", "value", "path", "why"),
    [
        (int, True, "it", "Expected `int`, got `bool`"),
        (int, "5", "it", "Expected `int`, got `str`"),
        (int, 1.5, "it", "Expected `int`, got `float`"),
        (bool, 1, "it", "Expected `bool`, got `int`"),
        (str, 5, "it", "Expected `str`, got `int`"),
        (Decimal, True, "it", "Expected `decimal`, got `bool`"),
        (Decimal, "much", "it", "Invalid decimal string"),
        (Side, "hold", "it", "Invalid enum value 'hold'"),
        (list[str], "abc", "it", "Expected `array`, got `str`"),
        (Path, 5, "it", "Expected `Path`, got `int`"),
        (Annotated[int, msgspec.Meta(gt=0)], 0, "it", "Expected `int` >= 1"),
        (Broker, "ada", "it", "Expected `Broker`, got `str`"),
        (Limits, {}, "it", "Object missing required field `max_qty`"),
        (Limits, {"max_qty": "1"}, "it.max_qty", "Expected `int`, got `str`"),
        (Limits, {"max_qty": 1, "max_qtty": 2}, "it.max_qtty", "no such field (did you mean 'max_qty'?)"),
        (Limits, {"max_qty": -1}, "it", "a negative limit: -1"),
        (Limits, {"max_qty": 13}, "it", "KeyError: 'thirteen'"),
        (list[Limits], [{"max_qty": 1}, {"max_qty": "1"}], "it[1].max_qty", "Expected `int`, got `str`"),
        (
            list[Limits],
            [{"max_qty": 1}, {"burst": 1}],
            "it[1].burst",
            "no such field (known: max_price, max_qty)",
        ),
        (tuple[int, Limits], [1, {"burst": 1}], "it[1].burst", "no such field (known: max_price, max_qty)"),
        (
            dict[str, Limits],
            {"a": {"max_qty": 1}, "b": {"max_qty": "1"}},
            "it.b.max_qty",
            "Expected `int`, got `str`",
        ),
        (dict[str, Limits], {"a": {"burst": 1}}, "it.a.burst", "no such field (known: max_price, max_qty)"),
        (
            list[dict[str, dict[str, int]]],
            [{}, {"a": {}, "b": {"c": 1, "d": "2"}}],
            "it[1].b.d",
            "Expected `int`, got `str`",
        ),
        (dict[int, str], {"a": "b"}, "it", "Expected `int`, got `str`"),
        (Limits | None, {"burst": 1}, "it.burst", "no such field (known: max_price, max_qty)"),
        (Venue, {"base_url": "x"}, "it.base_url", "no such field (did you mean 'baseUrl'?)"),
        (Circle, {"type": "circle", "r": 1}, "it.r", "no such field (known: radius, type)"),
        (Window, {"seconds": 1, "calls": 2, "per": 3}, "it.per", "no such field (known: calls, seconds)"),
    ],
)
def test_refuses(annotation, value, path, why):
    """
    A value of another type is refused with its path and the reason: numbers are no text, bools no numbers.
    """
    with pytest.raises(SettingsError) as caught:
        convert(takes(annotation), {"it": value}, record=RECORD)

    assert path == caught.value.path
    assert f"brokers/acme from acme-broker 1.2: settings.{path}: {why}" == str(caught.value)
    assert RECORD is caught.value.record


def test_names_every_misfit():
    """
    Unknown, ill-typed and missing settings are reported together, with close matches.
    """
    with pytest.raises(SettingsError) as caught:
        convert(Broker, {"ulr": "x", "cash": []}, injectable=INJECTABLE)

    assert str(caught.value) == (
        "settings.ulr: no such setting (did you mean 'url'?); "
        "settings.cash: Expected `decimal`, got `array`; settings.url: missing, it needs a value (str)"
    )


@dataclasses.dataclass
class Hollow:
    it: Missing


def test_unresolvable_name_inside_a_record():
    """
    A dataclass among the settings whose fields name nothing known is an error of the signature.
    """
    for value in ({"it": 1}, "text"):
        with pytest.raises(
            SchemaError, match="'it' cannot be made from plain data: name 'Missing' is not defined"
        ):
            convert(takes(Hollow), {"it": value})


class Clock(typing.Protocol):
    def now(self) -> float: ...


@pytest.mark.parametrize("annotation", [list[int] | set[int], Literal[1.5], dict[str, list[int] | set[int]]])
def test_types_that_are_no_data(annotation):
    """
    A type that no data can become is an error of the plugin's signature, naming the parameter.
    """
    value = {"a": 1} if typing.get_origin(annotation) is dict else 1

    with pytest.raises(SchemaError, match="'it' cannot be made from plain data"):
        convert(takes(annotation), {"it": value})


def test_protocols_cannot_be_checked():
    """
    A value for a parameter that takes any object with certain methods is refused, its default works.
    """
    assert convert(takes(Clock, it=None), {}) == {}
    with pytest.raises(SettingsError, match="settings.it: .*protocols"):
        convert(takes(Clock), {"it": 5})


class Model:
    """What pydantic's models look like from outside."""

    def __init__(self, **fields: object) -> None:
        self.fields = fields

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        if not isinstance(value, dict) or "size" not in value:
            raise ValueError(f"size: field required, input {value!r}")
        return cls(**value)


def test_models_validate_themselves():
    """
    A class with ``model_validate`` makes itself from a table, and its complaint becomes the reason.
    """
    made = convert(takes(list[Model]), {"it": [{"size": 3}]})["it"]

    assert [model.fields for model in made] == [{"size": 3}]
    with pytest.raises(SettingsError, match=r"settings.it\[0\]: size: field required"):
        convert(takes(list[Model]), {"it": [{}]})


class Container(typing.Generic[typing.TypeVar("T")]):
    """A generic class of nobody's business."""


def test_generic_classes_are_checked_by_their_origin():
    """
    A parameter of a generic class takes its objects and refuses others.
    """
    ready = Container[int]()

    assert {"it": ready} == convert(takes(Container[int]), {"it": ready})
    with pytest.raises(SettingsError, match="settings.it: Expected `Container`, got `int`"):
        convert(takes(Container[int]), {"it": 5})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key not in ("env", "file")), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=part_of(100), deadline=None)
@given(PLAIN)
def test_untyped_settings_pass_unchanged(value):
    """
    Whatever plain data an unannotated parameter is given, it gets.
    """

    def target(*, it): ...

    assert {"it": value} == convert(target, {"it": value})


@dataclasses.dataclass
class Everything:
    amount: Decimal
    when: dt.datetime
    day: dt.date
    span: dt.timedelta
    side: Side
    names: tuple[str, ...]
    windows: dict[str, list[Window]]
    limits: Limits | None = None


AWARE = st.datetimes(timezones=st.just(dt.UTC), min_value=dt.datetime(1, 1, 2))  # noqa: DTZ001 - hypothesis adds UTC
WINDOWS = st.fixed_dictionaries({"seconds": st.integers(), "calls": st.integers()})
MONEY = st.decimals(allow_nan=False, allow_infinity=False)
EVERYTHING = st.builds(
    Everything,
    amount=MONEY,
    when=AWARE,
    day=st.dates(),
    span=st.timedeltas(dt.timedelta(days=-999), dt.timedelta(days=999)),
    side=st.sampled_from(Side),
    names=st.lists(st.text()).map(tuple),
    windows=st.dictionaries(st.text(), st.lists(WINDOWS)),
    limits=st.none() | st.builds(Limits, max_qty=st.integers(20, 99), max_price=MONEY),
)


@settings(max_examples=part_of(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVERYTHING)
def test_round_trip(thing):
    """
    A dataclass of everything that settings may be survives becoming plain data and coming back.
    """
    assert {"it": thing} == convert(takes(Everything), {"it": msgspec.to_builtins(thing)})


# -- secrets among the values -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (str, "5", "5"),
        (int, "5", 5),
        (float, "1e3", 1000.0),
        (bool, "true", True),
        (bool, "0", False),
        (int | bool, "true", True),
        (dt.timedelta, "5", dt.timedelta(seconds=5)),
        (int | None, "5", 5),
        (int | str, "5", "5"),
        (Decimal, "1.5", Decimal("1.5")),
        (Path, "/run/x", Path("/run/x")),
        (Side, "buy", Side.BUY),
        (Annotated[int, msgspec.Meta(ge=5)], "5", 5),
        (Any, "5", "5"),
    ],
)
def test_secrets_are_read_as_their_type(monkeypatch, annotation, text, expected):
    """
    The text of a secret becomes a number or bool where one is asked for, at any depth; other text does not.
    """
    monkeypatch.setenv("IT", text)
    secret = Secret("env", "IT")

    assert {"it": expected} == convert(takes(annotation), {"it": secret})
    assert {"it": {"a": [expected]}} == convert(takes(dict[str, list[annotation]]), {"it": {"a": [secret]}})


def test_only_secrets_are_lax(monkeypatch):
    """
    A secret beside it does not make plain text a number.
    """
    monkeypatch.setenv("IT", "5")

    with pytest.raises(SettingsError, match=r"settings.it\[1\]: Expected `int`, got `str`$"):
        convert(takes(list[int]), {"it": [Secret("env", "IT"), "5"]})


class Naming:
    """A model whose complaints repeat the value, wherever they come from."""

    @classmethod
    def model_validate(cls, value: Any) -> Any:
        raise ValueError(f"Expected `better` than {value}")


@dataclasses.dataclass
class Login:
    token: str
    level: int = 0

    def __post_init__(self) -> None:
        raise RuntimeError(f"bad token {self.token}")


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (Side, Secret("env", "TOKEN"), "it"),
        (Naming, Secret("env", "TOKEN"), "it"),
        (Login, {"token": Secret("env", "TOKEN")}, "it"),
        (list[Login], [{"token": Secret("env", "TOKEN")}], "it"),
        (Decimal, Secret("env", "TOKEN"), "it"),
        (dict[str, Side], {"a": Secret("env", "TOKEN")}, "it.a"),
        (list[Naming], [{"deep": Secret("env", "TOKEN")}], "it[0]"),
    ],
)
def test_no_error_shows_a_secret(monkeypatch, annotation, value, path):
    """
    Whatever a type or constructor says about a secret, the error names the reference and nothing else of it.
    """
    monkeypatch.setenv("TOKEN", "hunter2")

    with pytest.raises(SettingsError) as caught:
        convert(takes(annotation), {"it": value}, record=RECORD)

    assert path == caught.value.path
    assert f"settings.{path}: the value is not accepted (from the secret env TOKEN)" in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_error_of_a_secret_keeps_what_helps(monkeypatch):
    """
    A type error says what was expected as long as that does not repeat the secret.
    """
    monkeypatch.setenv("PORT", "http")

    with pytest.raises(SettingsError, match=r"Expected `int`, got `str` \(from the secret env PORT\)"):
        convert(takes(int), {"it": Secret("env", "PORT")})


def test_error_beside_a_secret():
    """
    What is wrong beside a secret is said as it is.
    """
    given = {"it": {"token": Secret("env", "PATH"), "level": "high"}}

    with pytest.raises(SettingsError, match=r"settings.it.level: Expected `int`, got `str`$"):
        convert(takes(Login), given)


def test_missing_secret(monkeypatch):
    """
    A secret that cannot be read is a misfit of its setting.
    """
    monkeypatch.delenv("GONE", raising=False)

    with pytest.raises(SettingsError, match=r"settings.it.token: the secret env GONE is not set") as caught:
        convert(takes(Login), {"it": {"token": Secret("env", "GONE")}}, record=RECORD)

    assert caught.value.path == "it.token"


# -- arguments of tools ------------------------------------------------------------------------------


def quote(symbol: str, context: UserExecutionContext, days: int = 1) -> str:
    return symbol * days


def test_arguments():
    """
    Arguments are validated and the injected ones filled in, or left to the caller if only types are given.
    """
    assert arguments(quote, {"symbol": "A", "days": 2}, INJECTABLE) == {
        "symbol": "A",
        "days": 2,
        "context": ADA,
    }
    assert arguments(quote, {"symbol": "A"}, {UserExecutionContext}) == {"symbol": "A"}


def test_wrong_arguments():
    """
    Unknown, ill-typed and missing arguments are refused together, injected ones count as unknown.
    """
    with pytest.raises(InvalidArgumentsError) as caught:
        arguments(quote, {"smybol": "A", "days": "2", "context": {"user_id": "eve"}}, INJECTABLE)

    assert str(caught.value) == (
        "smybol: no such argument (did you mean 'symbol'?); days: Expected `int`, got `str`; "
        "context: no such argument (known: days, symbol); symbol: missing, it needs a value (str)"
    )


def test_fit_keeps_only_what_fits():
    """
    Values beside a misfit are still converted; the misfits are left out.
    """
    values, misfits = fit(settings_of(quote, INJECTABLE), {"symbol": "A", "days": "x"})

    assert values == {"symbol": "A"}
    assert [misfit.path for misfit in misfits] == [("days",)]
