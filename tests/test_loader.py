"""From a record to an object: what the wall lets through, what an entry point names."""

from __future__ import annotations

import abc
import sys
import threading
from typing import Protocol

import pytest

from hotplug import Kind, Scope
from hotplug._loader import (
    NOBODY,
    behind_wall,
    drop_modules,
    import_target,
    mentions,
    modules_of,
    prepare,
    resolve,
    traceback_of,
)
from hotplug._records import PluginRecord
from hotplug.errors import (
    CircularFactoryError,
    MissingDependencyError,
    PluginContractError,
    PluginError,
    PluginImportError,
    PluginTimeoutError,
    SettingsError,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


class Thing(abc.ABC):
    @abc.abstractmethod
    def do(self) -> str: ...


class Does(Protocol):
    def do(self) -> str: ...


THINGS = Kind("things", Thing)
DOES = Kind("does", Does)
OURS = PluginRecord("things", "hotplug.things", "one", "m:One", "acme", "1.0")
THEIRS = PluginRecord("things", "hotplug.things", "two", "m:Two", "other", "2.0")


def record(value):
    return PluginRecord("things", "hotplug.things", "one", value, "acme", "1.0", "/nowhere/acme.dist-info")


def thrower(error):
    def throw():
        raise error

    return throw


# -- the wall --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 10])
@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), GeneratorExit(), StopIteration(), MemoryError()]
)
def test_what_plugin_code_raises_is_its_error(error, limit):
    """
    Anything becomes a `PluginError` that names plugin and deed, with the cause chained.
    """
    with pytest.raises(
        PluginError, match=f"things/one from acme 1.0: cooking raised {type(error).__name__}"
    ) as caught:
        behind_wall(OURS, "cooking", thrower(error), limit)

    assert caught.value.__cause__ is error
    assert caught.value.reason == "failed cooking"


def test_ctrl_c_gets_through():
    """
    `KeyboardInterrupt` is the user's.
    """
    with pytest.raises(KeyboardInterrupt):
        behind_wall(OURS, "cooking", thrower(KeyboardInterrupt()))


def test_an_error_that_says_it_all_is_passed_on():
    """
    An error of hotplug's about this very plugin is not wrapped again; one about another plugin is.
    """
    ours, theirs = SettingsError("no", OURS, path="a"), PluginError("broken", THEIRS)

    with pytest.raises(SettingsError) as same:
        behind_wall(OURS, "cooking", thrower(ours))
    with pytest.raises(
        PluginError, match="cooking failed: PluginError: things/two from other 2.0: broken"
    ) as other:
        behind_wall(OURS, "cooking", thrower(theirs))

    assert same.value is ours
    assert (other.value.record, other.value.__cause__) == (OURS, theirs)


def test_an_error_class_of_a_plugin_is_not_believed():
    """
    A plugin's own subclass of hotplug's error, with lies for attributes, is wrapped like any other.
    """

    class LiarError(PluginError):
        def __init__(self):
            pass

        def __getattribute__(self, name):
            raise SystemExit(name)

    with pytest.raises(PluginError, match="cooking failed") as caught:
        behind_wall(OURS, "cooking", thrower(LiarError()))

    assert type(caught.value) is PluginError
    assert traceback_of(caught.value)


def test_a_circle_is_the_plugins():
    """
    Who needs itself is told so.
    """
    with pytest.raises(PluginError, match="cooking needs itself: circular factories: a -> b -> a"):
        behind_wall(OURS, "cooking", thrower(CircularFactoryError(["a", "b", "a"])))


def test_who_takes_too_long_is_named():
    """
    After the limit a timeout error names the thread that was left behind.
    """
    gate = threading.Event()

    with pytest.raises(PluginTimeoutError, match=r"cooking did not finish within 0\.01 s") as caught:
        behind_wall(OURS, "cooking", lambda: gate.wait(20), 0.01)
    gate.set()

    assert caught.value.thread == "hotplug cooking: things/one"
    assert isinstance(caught.value, TimeoutError)


def test_the_traceback_of_an_error_that_lies():
    """
    Where an error cannot even be shown, its name is; Ctrl-C gets through here too.
    """

    class LiarError(Exception):
        def __getattribute__(self, name):
            raise SystemExit(name)

    class InterruptedHere(Exception):  # noqa: N818 - it is what it is
        def __getattribute__(self, name):
            raise KeyboardInterrupt

    assert "LiarError" in traceback_of(LiarError())
    with pytest.raises(KeyboardInterrupt):
        traceback_of(InterruptedHere())


# -- entry points ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "!", "a b:c", ":x", "a:b:c", "a;b", "a:b [x"])
def test_a_value_that_is_none(value):
    """
    What is not of the form ``module:attribute`` is refused with a remedy, and nothing is imported.
    """
    with pytest.raises(PluginImportError, match="not of the form") as caught:
        resolve(record(value), 10)

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("value", "found"),
    [("json", "json"), ("json:loads", "loads"), ("json : loads [fast]", "loads"), ("os:path.join", "join")],
)
def test_what_a_value_names(value, found):
    """
    A module, or an attribute of one, however deep.
    """
    assert resolve(record(value), 10).__name__ == found


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("acme_absent:One", PluginImportError, "its module 'acme_absent' is not there"),
        ("json.absent.deep:One", PluginImportError, "its module 'json.absent' is not there"),
        ("json:lodas", PluginImportError, r"json has no attribute 'lodas' \(did you mean 'loads'\?\)"),
        ("json:loads.absent", PluginImportError, "loads has no attribute 'absent'"),
        ("sys:maxsize.absent", PluginImportError, r"int has no attribute 'absent' \(known: none\)"),
        (".json:loads", PluginImportError, "import raised TypeError"),
    ],
)
def test_what_a_value_does_not_name(value, error, text):
    """
    What is not there is named, with what was probably meant.
    """
    with pytest.raises(error, match=text):
        resolve(record(value), 10)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (("a.py", 3), "import raised SyntaxError at a.py:3: odd"),
        (("a.py", None), "import raised SyntaxError at a.py: odd"),
        ((None, None), "import raised SyntaxError: odd"),
    ],
)
def test_a_syntax_error_is_placed_as_far_as_it_is_known(where, text):
    """
    File and line are named where Python knows them, and nothing is made up where it does not.
    """
    error = SyntaxError("odd")
    error.filename, error.lineno = where

    with pytest.raises(PluginImportError) as caught:
        import_target(record("m:One"), lambda _: thrower(error)())

    assert text in str(caught.value)
    assert "None" not in str(caught.value)


def test_a_missing_dependency_is_somebody_elses(environment):
    """
    A module that the plugin needs and that is not installed is named, with who needs it.
    """
    environment.install("acme", files={"acme_needs.py": "import no.such.thing"})

    with pytest.raises(MissingDependencyError, match="'no'") as caught:
        resolve(record("acme_needs:One"), 10)

    assert caught.value.module == "no"
    assert "acme needs it" in caught.value.remedy


# -- blueprints ------------------------------------------------------------------------------------


def prepared(kind, target, environment, *, settings=None, **facts):
    environment.install("acme", files={"acme_target.py": ""})
    import acme_target

    acme_target.target = target
    return prepare(
        kind, record("acme_target:target"), settings or {}, key="one", limit=10, injectable={}, **facts
    )


class One(Thing):
    def do(self):
        return "one"


@pytest.mark.parametrize("target", [One, One(), lambda: One()], ids=["class", "object", "callable"])
@pytest.mark.parametrize("kind", [THINGS, DOES], ids=["ABC", "Protocol"])
def test_a_blueprint_makes_what_fits(environment, kind, target):
    """
    A class, an object or a callable of an ABC or a Protocol comes to an object of it.
    """
    assert prepared(kind, target, environment).make({}).do() == "one"


class Wrong:
    def do(self, more):
        return more


@pytest.mark.parametrize(
    "target", [Wrong, Wrong(), lambda: Wrong(), 42], ids=["class", "object", "product", "int"]
)
@pytest.mark.parametrize("kind", [THINGS, DOES], ids=["ABC", "Protocol"])
def test_what_does_not_fit_is_refused_with_the_differences(environment, kind, target):
    """
    Whatever is not of the contract is refused, member by member.
    """
    with pytest.raises(PluginContractError) as caught:
        prepared(kind, target, environment).make({})

    assert any("do:" in difference for difference in caught.value.differences)
    assert (kind.contract.__qualname__) in str(caught.value)


def test_one_object_cannot_be_everybodys(environment):
    """
    A kind made for each user refuses a ready object.
    """
    with pytest.raises(PluginContractError, match="made for each user"):
        prepared(Kind("views", Thing, scope=Scope.USER), One(), environment)


def test_a_ready_object_takes_no_settings(environment):
    """
    Settings for an object that is there already are an error that names them.
    """
    with pytest.raises(SettingsError, match="'a', 'b' cannot be set"):
        prepared(THINGS, One(), environment, settings={"a": 1, "b": 2})


def test_a_contract_named_as_text(environment):
    """
    A kind's contract may be text; if it cannot be imported, the load says so.
    """
    sys.modules["acme_words"] = type(sys)("acme_words")
    sys.modules["acme_words"].Thing = Thing
    try:
        assert prepared(Kind("things", "acme_words:Thing"), One, environment).make({}).do() == "one"
        with pytest.raises(PluginError, match="contract check raised AttributeError"):
            prepared(Kind("things", "acme_words:Absent"), One, environment)
    finally:
        del sys.modules["acme_words"]


def test_a_contract_may_adopt(environment):
    """
    A contract that knows how makes plain things its own.
    """

    class Adopting(Thing):
        @classmethod
        def _adopt(cls, target):
            return One() if target == "plain" else None

    assert prepared(Kind("things", Adopting), "plain", environment).make({}).do() == "one"
    with pytest.raises(PluginContractError):
        prepared(Kind("things", Adopting), "other", environment)


def test_nobody_is_everybodys_user():
    """
    The user of what is shared is a value of its own, not None: a falsy context is a context.
    """
    assert NOBODY is not None
    assert NOBODY


# -- modules ---------------------------------------------------------------------------------------


def test_the_modules_of_a_plugin(environment):
    """
    Its package with all that is imported of it; below a namespace only its own part.
    """
    environment.install(
        "acme",
        files={
            "acme_pack/__init__.py": "",
            "acme_pack/deep/__init__.py": "",
            "acme_space/left.py": "",
            "acme_space/right.py": "",
        },
    )
    import acme_pack.deep  # noqa: F401
    import acme_space.left
    import acme_space.right  # noqa: F401

    assert modules_of(record("acme_pack.deep:One")) == ["acme_pack", "acme_pack.deep"]
    assert modules_of(record("acme_space.left:One")) == ["acme_space.left"]
    assert modules_of(record("acme_absent:One")) == []

    drop_modules(record("acme_space.left"))
    assert "acme_space.left" not in sys.modules
    assert "acme_space.right" in sys.modules


def test_modules_that_lie_are_found(monkeypatch):
    """
    What a plugin put into ``sys.modules`` under its name is its own, whatever it raises when looked at.
    """

    class Liar:
        def __getattr__(self, name):
            raise ValueError(name)

    monkeypatch.setitem(sys.modules, "acme_liar", Liar())
    monkeypatch.setitem(sys.modules, "acme_liar.child", Liar())

    assert modules_of(record("acme_liar.child:One")) == ["acme_liar.child"]
    assert set(modules_of(record("acme_liar:One"))) == {"acme_liar", "acme_liar.child"}


def test_what_a_module_mentions(environment):
    """
    A word is looked for in the source, of a module or a package, without importing it; no source means yes.
    """
    environment.install(
        "acme", files={"acme_words.py": "autostart = True", "acme_pack/__init__.py": "raise SystemExit"}
    )

    assert mentions(record("acme_words:One"), "autostart")
    assert not mentions(record("acme_words:One"), "absent")
    assert not mentions(record("acme_pack:One"), "autostart")
    assert mentions(record("acme_nowhere:One"), "autostart")
    assert not {"acme_words", "acme_pack"} & set(sys.modules)
