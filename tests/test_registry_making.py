"""Factories, lazy loads, and circles of both."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
import weakref
from abc import ABC, abstractmethod

import pytest

from hotplug.context import UserExecutionContext
from hotplug.errors import CircularFactoryError, ContractError, NotRegisteredError
from hotplug.registry import UniversalRegistry
from racing import DEADLINE, asleep, in_threads

ADA = UserExecutionContext("ada")


class Greeter(ABC):
    @abstractmethod
    def greet(self) -> str: ...


class Polite(Greeter):
    def greet(self) -> str:
        return "Good day"


@pytest.fixture
def registry() -> UniversalRegistry[object]:
    return UniversalRegistry("things")


# -- factories -------------------------------------------------------------------------------------


def test_each_get_makes_one(registry):
    """
    A factory is called once per get, with the caller's context, and its product is new each time.
    """
    seen = []

    def make(context: UserExecutionContext) -> object:
        seen.append(context)
        return object()

    registry.register_factory("a", make)

    products = [registry.get("a", ADA), registry.create_instance("a", ADA), registry.get("a", ADA)]
    assert seen == [ADA] * 3
    assert len(set(map(id, products))) == 3


@pytest.mark.parametrize("context", [0, "", {}, ()])
def test_falsy_contexts_are_contexts(registry, context):
    """
    Only None is no context.
    """
    registry.register_factory("a", lambda given: [given])

    assert registry.get("a", context) == [context]


def test_create_instance_needs_a_factory(registry):
    """
    create_instance does not hand out what is shared.
    """
    registry.register("item", 1)
    registry.register_lazy("lazy", list)

    for key in ("item", "lazy"):
        with pytest.raises(NotRegisteredError, match="use get"):
            registry.create_instance(key, ADA)
    with pytest.raises(NotRegisteredError, match="known: item, lazy"):
        registry.create_instance("absent", ADA)


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("y"), SystemExit(3), StopIteration()])
def test_errors_of_factories_pass(registry, error):
    """
    What a factory raises reaches the caller as it is, caused by nothing of ours, after one call.
    """
    calls = []

    def fail(context: object) -> object:
        calls.append(context)
        raise error

    registry.register_factory("a", fail)

    with pytest.raises(type(error)) as caught:
        registry.get("a", ADA, default="not this")
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert calls == [ADA]
    assert registry.metrics().creations == 0
    assert registry.metrics().failures == 1


def test_products_are_checked():
    """
    A product that does not fulfil the contract never comes out, whatever came out before.
    """
    registry = UniversalRegistry("greeters", Greeter)
    products = [Polite(), "rude", Polite(), Polite()]
    registry.register_factory("a", lambda context: products.pop(0))

    assert isinstance(registry.get("a", ADA), Polite)
    with pytest.raises(ContractError, match="is no Greeter"):
        registry.get("a", ADA)
    assert isinstance(registry.get("a", ADA), Polite)
    registry.add_validator(lambda key, product: False)
    with pytest.raises(ContractError, match="refused"):
        registry.get("a", ADA)


async def coroutine_function(*context: object) -> object:
    raise AssertionError


class CalledAsync:
    async def __call__(self, *context: object) -> object:
        raise AssertionError


@pytest.mark.parametrize(
    "maker",
    [coroutine_function, CalledAsync(), functools.partial(coroutine_function, 1)],
    ids=["function", "object", "partial"],
)
def test_async_makers_are_refused(registry, maker):
    """
    What would make a coroutine instead of an object is refused when it is registered.
    """
    for register in (registry.register_factory, registry.register_lazy):
        with pytest.raises(ContractError, match="is async"):
            register("a", maker)
    assert "a" not in registry


def test_makers_can_be_called(registry):
    """
    What cannot be called can make nothing.
    """
    for register in (registry.register_factory, registry.register_lazy):
        with pytest.raises(ContractError, match="cannot be called"):
            register("a", 42)


def test_factories_run_beside_each_other(registry):
    """
    Two factories, or the same one twice, run at the same time; unrelated reads and writes go on.
    """
    both = threading.Barrier(3, timeout=DEADLINE)

    def make(context: object) -> object:
        both.wait()
        return context

    registry.register_factory("a", make)
    registry.register_factory("b", make)

    def meanwhile() -> object:
        registry.register("c", 3)
        both.wait()
        return registry["c"]

    calls = (lambda: registry.get("a", 1), lambda: registry.get("b", 2), meanwhile)
    assert in_threads(*calls) == [1, 2, 3]


# -- lazy entries ----------------------------------------------------------------------------------


def test_lazy_loads_once(registry):
    """
    A lazy entry is loaded on the first get, not before, and never again.
    """
    loads = []
    registry.register_lazy("a", lambda: loads.append(1) or object())
    assert "a" in registry
    assert registry.entry("a").sort == "lazy"
    assert registry.health().status == "healthy"
    assert loads == []

    assert registry.get("a") is registry["a"]
    assert loads == [1]


def test_a_hundred_threads_load_once(registry):
    """
    A hundred threads on one lazy key cause one load and get the same object.
    """
    start = threading.Barrier(100, timeout=DEADLINE)
    loads = []
    registry.register_lazy("a", lambda: loads.append(1) or object())

    def get() -> object:
        start.wait()
        return registry.get("a")

    assert len(set(in_threads(*[get] * 100))) == 1
    assert loads == [1]
    assert registry.metrics().lookups == 100


def test_waiters_share_the_error(registry):
    """
    When a load fails everyone who waited gets that error; the next get tries again.
    """
    failure = OSError("disk")
    threads: list[threading.Thread] = []
    outcomes: list[object] = []

    def get() -> None:
        try:
            registry.get("a")
        except OSError as error:
            outcomes.append(error)

    def load() -> object:
        if threads:
            return "well"
        for _ in range(3):
            threads.append(threading.Thread(target=get, daemon=True))
            threads[-1].start()
        while not all(map(asleep, threads)):
            pass
        raise failure

    registry.register_lazy("a", load)
    get()
    for thread in threads:
        thread.join(DEADLINE)

    assert outcomes == [failure] * 4
    assert registry.get("a") == "well"
    assert registry.metrics().failures == 1
    assert registry.metrics().creations == 1


def test_loads_are_checked():
    """
    A load that gives the wrong thing is a ContractError, and is tried again.
    """
    registry = UniversalRegistry("greeters", Greeter)
    given = ["rude", Polite()]
    registry.register_lazy("a", lambda: given.pop(0))

    with pytest.raises(ContractError):
        registry.get("a")
    assert isinstance(registry.get("a"), Polite)


def test_loads_are_let_go(registry):
    """
    After the load nothing keeps the loading function alive.
    """

    class Loader:
        def __call__(self) -> object:
            return 1

    loader = Loader()
    seen = weakref.ref(loader)
    registry.register_lazy("a", loader)
    del loader
    registry.get("a")

    gc.collect()
    assert seen() is None


def test_an_unregistered_load_still_answers(registry):
    """
    Whoever was already loading an entry that is taken away gets its object.
    """

    def load() -> object:
        registry.unregister("a")
        return "loaded"

    registry.register_lazy("a", load)

    assert registry.get("a") == "loaded"
    assert "a" not in registry


# -- circles ---------------------------------------------------------------------------------------


def test_factory_asking_for_itself(registry):
    """
    A factory that needs its own product is told at once, and how it came to that.
    """
    registry.register_factory("a", lambda context: registry.get("b", context))
    registry.register_factory("b", lambda context: registry.get("a", context))

    with pytest.raises(CircularFactoryError) as caught:
        registry.get("a", ADA)
    assert caught.value.chain == ("things/a", "things/b", "things/a")
    assert isinstance(caught.value, RuntimeError)
    assert registry.health().status == "degraded"


def test_lazy_asking_for_itself(registry):
    """
    So is a load, also through another registry and a factory.
    """
    others = UniversalRegistry("others")
    registry.register_lazy("a", lambda: others.get("b", ADA))
    others.register_factory("b", lambda context: registry.get("a"))

    with pytest.raises(CircularFactoryError) as caught:
        registry.get("a")
    assert caught.value.chain == ("things/a", "others/b", "things/a")


def test_circle_through_a_thread(registry):
    """
    A load that moves to a worker thread in a copied context is still inside itself there.
    """

    def load() -> object:
        context = contextvars.copy_context()
        [outcome] = in_threads(lambda: context.run(registry.get, "a"))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    registry.register_lazy("a", load)

    with pytest.raises(CircularFactoryError):
        registry.get("a")


def test_circle_of_two_threads(registry):
    """
    Two loads in two threads that need each other end with an error in one of them, not in a deadlock.
    """
    both = threading.Barrier(2, timeout=DEADLINE)
    attempts = {"a": 0, "b": 0}
    chains: list[tuple[str, ...]] = []

    def load(key: str, needed: str) -> object:
        attempts[key] += 1
        if attempts[key] == 1:
            both.wait()
        try:
            return f"{key} with {registry.get(needed)}"
        except CircularFactoryError as error:
            chains.append(error.chain)
            return f"{key} alone"

    registry.register_lazy("a", lambda: load("a", "b"))
    registry.register_lazy("b", lambda: load("b", "a"))

    outcomes = in_threads(lambda: registry.get("a"), lambda: registry.get("b"))
    assert outcomes in (["a alone", "b with a alone"], ["a with b alone", "b alone"])
    assert chains in (
        [("things/a", "things/b", "things/a")],
        [("things/b", "things/a", "things/b")],
    )


def test_circle_of_three_threads(registry):
    """
    A longer way round is found as well: a needs b, b needs c, c needs a, each in its own thread.
    """
    all_of_them = threading.Barrier(3, timeout=DEADLINE)
    loading: set[str] = set()
    circles = []

    def load(key: str, needed: str) -> object:
        if key not in loading:
            loading.add(key)
            all_of_them.wait()
        try:
            return registry.get(needed)
        except CircularFactoryError as error:
            circles.append(error.chain)
            return key

    for key, needed in ("ab", "bc", "ca"):
        registry.register_lazy(key, functools.partial(load, key, needed))

    outcomes = in_threads(*(functools.partial(registry.get, key) for key in "abc"))
    assert len(circles) == 1
    assert len(circles[0]) == 4
    assert outcomes == [circles[0][0].removeprefix("things/")] * 3


def test_diamond_is_no_circle(registry):
    """
    Needing the same thing twice, or from two threads, is no circle.
    """
    registry.register_lazy("base", object)
    registry.register_factory("left", lambda context: registry["base"])
    registry.register_factory("right", lambda context: registry["base"])
    registry.register_factory("top", lambda context: (registry.get("left", 1), registry.get("right", 1)))

    left, right = registry.get("top", ADA)
    assert left is right


def test_task_outliving_its_factory(registry):
    """
    A task that a factory started is not inside that factory any more once it returned.
    """

    async def main() -> object:
        async def later() -> object:
            return registry.get("a", "second"), registry.get("lazy")

        def make(context: object) -> object:
            return asyncio.ensure_future(later()) if context == "first" else context

        registry.register_factory("a", make)
        return await registry.get("a", "first")

    registry.register_lazy("lazy", lambda: "loaded")
    assert asyncio.run(main()) == ("second", "loaded")


def test_factory_after_a_circle(registry):
    """
    Having run into a circle leaves no trace: the next call is judged anew.
    """
    circular = [True]
    registry.register_factory("a", lambda context: registry.get("a", context) if circular else "fine")
    with pytest.raises(CircularFactoryError):
        registry.get("a", ADA)
    circular.clear()

    assert registry.get("a", ADA) == "fine"
    assert registry.health().status == "healthy"
