"""
The registry beside its peers, in one run: lookups, registration, memory, factories, threads.

    pytest tests/benchmarks/bench_registry.py -o python_files='bench_*.py' -s

Cases take turns, round by round, in thread CPU time; only the ratios mean anything. They are printed
and stand in ``extra_info``. No time is asserted: the bars of DESIGN 6 stand beside what was measured.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import catalogue
import pluggy
import pytest
import svcs
from dependency_injector import providers
from stevedore.extension import Extension, ExtensionManager

from hotplug.context import UserExecutionContext
from hotplug.registry import Shelf, UniversalRegistry

KEYS = [f"key{number}" for number in range(1000)]
ITEMS = [object() for _ in KEYS]
ADA = UserExecutionContext("ada")
Case = Callable[[], object]


class Product(ABC):
    @abstractmethod
    def work(self) -> None: ...


class Made(Product):
    __slots__ = ("context", "notes", "parts")

    def __init__(self, context: object) -> None:
        self.context = context
        self.parts = [context, 1]
        self.notes = {}

    def work(self) -> None:
        pass


class LockedRegistry:
    """The usual registry: a lock for every call, a record for every entry, counters."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._records: dict[str, dict[str, Any]] = {}
        self._lookups = 0

    def register(self, key: str, item: object) -> None:
        with self._lock:
            if key in self._records:
                raise ValueError(key)
            self._records[key] = {"item": item, "factory": None, "tags": set(), "metadata": {}, "hits": 0}

    def register_factory(self, key: str, factory: Callable[[Any], object]) -> None:
        self.register(key, None)
        self._records[key]["factory"] = factory

    def get(self, key: str, context: object = None) -> object:
        with self._lock:
            self._lookups += 1
            record = self._records[key]
            record["hits"] += 1
            return record["item"] if record["factory"] is None else record["factory"](context)


# -- measuring -------------------------------------------------------------------------------------


def interleaved(cases: dict[str, Case], rounds: int) -> dict[str, float]:
    """The median thread CPU time of each case, in nanoseconds; every round runs all of them."""
    samples: dict[str, list[int]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds + 2):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.thread_time_ns()
            cases[name]()
            taken = time.thread_time_ns() - started
            if number >= 2:
                samples[name].append(taken)
    return {name: statistics.median(taken) for name, taken in samples.items()}


def show(benchmark: Any, title: str, numbers: dict[str, float], unit: str, bars: dict[str, float]) -> None:
    """Print the table and keep it with the benchmark."""
    print(f"\n{title}")
    for name, number in sorted(numbers.items(), key=lambda pair: pair[1]):
        bar = f"   bar {bars[name]:g}" if name in bars else ""
        print(f"  {name:<44} {number:>10.2f} {unit}{bar}")
    benchmark.extra_info.update({f"{title}: {name}": round(number, 3) for name, number in numbers.items()})


def ratios(times: dict[str, float], base: str) -> dict[str, float]:
    return {name: taken / times[base] for name, taken in times.items()}


def filled(*, metrics: bool) -> UniversalRegistry[object]:
    registry: UniversalRegistry[object] = UniversalRegistry("things", metrics=metrics)
    for key, item in zip(KEYS, ITEMS, strict=True):
        registry.register(key, item)
    return registry


# -- lookups ---------------------------------------------------------------------------------------


def lookups() -> dict[str, Case]:  # noqa: C901 - a loop of its own for each, as a call more would count
    pairs = list(zip(KEYS, ITEMS, strict=True))
    plain = dict(pairs)
    counting, quiet, locked = filled(metrics=True), filled(metrics=False), LockedRegistry()
    peers = catalogue.create("hotplug_bench", "lookups")
    plugins = pluggy.PluginManager("hotplug_bench")
    manager = ExtensionManager.make_test_instance([Extension(k, None, None, i) for k, i in pairs])
    services = svcs.Registry()
    types = [type(key, (), {}) for key in KEYS]
    singletons = {key: providers.Object(item) for key, item in zip(KEYS, ITEMS, strict=True)}
    for key, item, kind in zip(KEYS, ITEMS, types, strict=True):
        locked.register(key, item)
        peers.register(key, func=item)
        plugins.register(type(key, (), {})(), key)
        services.register_value(kind, item)
    container = svcs.Container(services)
    for kind in types:
        container.get(kind)

    def by_dict() -> None:
        for key in KEYS:
            plain[key]

    def by_quiet_item() -> None:
        for key in KEYS:
            quiet[key]

    def by_quiet_get() -> None:
        for key in KEYS:
            quiet.get(key)

    def by_counting_item() -> None:
        for key in KEYS:
            counting[key]

    def by_counting_get() -> None:
        for key in KEYS:
            counting.get(key)

    def by_locked() -> None:
        for key in KEYS:
            locked.get(key)

    def by_pluggy() -> None:
        for key in KEYS:
            plugins.get_plugin(key)

    def by_catalogue() -> None:
        for key in KEYS:
            peers.get(key)

    def by_stevedore() -> None:
        for key in KEYS:
            manager[key].obj  # noqa: B018

    def by_svcs() -> None:
        for kind in types:
            container.get(kind)

    def by_injector() -> None:
        for key in KEYS:
            singletons[key]()

    return {
        "dict[k]": by_dict,
        "registry[k], no metrics": by_quiet_item,
        "registry.get(k), no metrics": by_quiet_get,
        "registry[k]": by_counting_item,
        "registry.get(k)": by_counting_get,
        "a registry that locks on read": by_locked,
        "pluggy get_plugin": by_pluggy,
        "catalogue get": by_catalogue,
        "stevedore manager[k].obj": by_stevedore,
        "svcs container.get": by_svcs,
        "dependency-injector object": by_injector,
    }


def test_lookup(benchmark):
    """
    Getting one of a thousand items, as a multiple of dict[k].
    """
    cases = lookups()
    bars = {
        "registry[k], no metrics": 2.6,
        "registry.get(k), no metrics": 4.0,
        "registry[k]": 6.5,
        "registry.get(k)": 6.5,
    }
    benchmark.pedantic(cases["registry.get(k)"], rounds=20)
    show(benchmark, "lookup", ratios(interleaved(cases, 120), "dict[k]"), "x dict[k]", bars)


def test_lookup_does_not_grow(benchmark):
    """
    A hundred thousand entries are no slower than ten, beyond what a dict of that size is.
    """

    def reader(entries: int) -> tuple[Case, Case]:
        registry: UniversalRegistry[int] = UniversalRegistry("things", metrics=False)
        plain = {}
        for number in range(entries):
            registry.register(f"key{number}", number)
            plain[f"key{number}"] = number
        keys = [f"key{number}" for number in range(10)] * 100

        def by_registry() -> None:
            for key in keys:
                registry[key]

        def by_dict() -> None:
            for key in keys:
                plain[key]

        return by_registry, by_dict

    small, small_dict = reader(10)
    large, large_dict = reader(100_000)
    cases = {"10": small, "100,000": large, "dict of 10": small_dict, "dict of 100,000": large_dict}
    benchmark.pedantic(large, rounds=20)
    show(benchmark, "size", ratios(interleaved(cases, 80), "10"), "x ten entries", {"100,000": 1.0})


def test_threads(benchmark):
    """
    What eight threads read together, as a share of what one reads alone.
    """
    counting, quiet, locked = filled(metrics=True), filled(metrics=False), LockedRegistry()
    for key, item in zip(KEYS, ITEMS, strict=True):
        locked.register(key, item)

    def throughput(get: Callable[[str], object], threads: int) -> float:
        done = [0] * threads
        stop = threading.Event()

        def read(place: int) -> None:
            while not stop.is_set():
                for key in KEYS:
                    get(key)
                done[place] += 1

        workers = [threading.Thread(target=read, args=(place,)) for place in range(threads)]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        stop.wait(0.4)
        stop.set()
        for worker in workers:
            worker.join()
        return sum(done) / (time.perf_counter() - started)

    cases = {
        "registry.get(k), no metrics": quiet.get,
        "registry.get(k)": counting.get,
        "a registry that locks on read": locked.get,
    }
    kept = {
        name: statistics.median(throughput(get, 8) / throughput(get, 1) for _ in range(3))
        for name, get in cases.items()
    }
    benchmark.pedantic(lambda: [counting.get(key) for key in KEYS], rounds=20)
    show(benchmark, "eight threads", kept, "of one thread's throughput", dict.fromkeys(list(cases)[:2], 0.8))


def on_shelf(*, metrics: bool) -> UniversalRegistry[object]:
    registry: UniversalRegistry[object] = UniversalRegistry("things", metrics=metrics)
    change = Shelf().change()
    for key, item in zip(KEYS, ITEMS, strict=True):
        change.put(registry, key, item=item)
    change.publish()
    return registry


def reading(registry: UniversalRegistry[object]) -> dict[str, Case]:
    """Each way to read a registry, a thousand times."""

    def by_item() -> None:
        for key in KEYS:
            registry[key]

    def by_get() -> None:
        for key in KEYS:
            registry.get(key)

    def by_in() -> None:
        for key in KEYS:
            key in registry  # noqa: B015

    def by_lease() -> None:
        for key in KEYS:
            with registry.lease(key):
                pass

    return {
        "[k]": by_item,
        "get(k)": by_get,
        "in": by_in,
        "lease(k)": by_lease,
        "entries()": registry.entries,
    }


@pytest.mark.parametrize("metrics", [True, False], ids=["counting", "quiet"])
def test_shelf(benchmark, metrics):
    """
    Reading what is published from a shelf, as a multiple of reading what was registered.
    """
    ordinary, shelved = reading(filled(metrics=metrics)), reading(on_shelf(metrics=metrics))
    cases = {**ordinary, **{f"{name}, shelf": case for name, case in shelved.items()}}
    times = interleaved(cases, 80)
    benchmark.pedantic(shelved["get(k)"], rounds=20)
    numbers = {name: times[f"{name}, shelf"] / times[name] for name in ordinary}
    show(benchmark, "shelf", numbers, "x the same of a registered one", {"[k]": 2, "get(k)": 2})


def test_publishing(benchmark):
    """
    What a change costs: all of 10, 100 and 1,000 entries swapped, and one among them.
    """
    numbers = {}
    for count in (10, 100, 1000):
        registry: UniversalRegistry[object] = UniversalRegistry("things")
        shelf = Shelf()
        change = shelf.change()
        undos = [change.put(registry, key, item=1) for key in KEYS[:count]]
        change.publish()
        for name, swapped in (("all", count), ("one", 1)):
            taken = []
            for _ in range(40):
                change = shelf.change()
                undos[:swapped] = [change.swap(undo, item=1) for undo in undos[:swapped]]
                started = time.thread_time_ns()
                change.publish()
                taken.append(time.thread_time_ns() - started)
            numbers[f"{name} of {count}"] = statistics.median(taken) / 1000
    benchmark.pedantic(lambda: shelf.change().publish(), rounds=20)
    show(benchmark, "publishing", numbers, "us", {})


# -- registration ----------------------------------------------------------------------------------


def registrations(count: int) -> dict[str, Callable[[], object]]:
    keys = [f"key{number}" for number in range(count)]
    items = [object() for _ in keys]

    def by_dict() -> object:
        table = {}
        for key, item in zip(keys, items, strict=True):
            table[key] = item  # noqa: PERF403 - one by one is what is compared
        return table

    def by_registry(*, metrics: bool) -> object:
        registry: UniversalRegistry[object] = UniversalRegistry("things", metrics=metrics)
        for key, item in zip(keys, items, strict=True):
            registry.register(key, item)
        return registry

    def by_locked() -> object:
        locked = LockedRegistry()
        for key, item in zip(keys, items, strict=True):
            locked.register(key, item)
        return locked

    return {
        "dict": by_dict,
        "registry, no metrics": lambda: by_registry(metrics=False),
        "registry": lambda: by_registry(metrics=True),
        "a registry that locks on read": by_locked,
    }


def test_registration(benchmark):
    """
    Registering 100,000 items one by one, as a multiple of a dict.
    """
    cases = registrations(100_000)
    times = interleaved(cases, 3)
    benchmark.pedantic(registrations(10_000)["registry"], rounds=3)
    show(
        benchmark, "registration", ratios(times, "dict"), "x dict", {"registry, no metrics": 8, "registry": 8}
    )


FRESH = """
import sys, time
from hotplug.registry import UniversalRegistry
keys = [f"key{number}" for number in range(100_000)]
items = [object() for _ in keys]
started = time.thread_time_ns()
if sys.argv[1] == "dict":
    table = {}
    for key, item in zip(keys, items):
        table[key] = item
else:
    registry = UniversalRegistry("things", metrics=sys.argv[1] == "registry")
    for key, item in zip(keys, items):
        registry.register(key, item)
print(time.thread_time_ns() - started)
"""


def test_registration_in_a_fresh_process(benchmark):
    """
    The same where memory is new and nothing else is loaded, as when an application starts.
    """
    times: dict[str, list[int]] = {"dict": [], "registry, no metrics": [], "registry": []}
    for _ in range(7):
        for name, taken in times.items():
            command = [sys.executable, "-c", FRESH, name]
            taken.append(int(subprocess.run(command, capture_output=True, check=True).stdout))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    benchmark.pedantic(registrations(1000)["registry"], rounds=3)
    bars = {"registry, no metrics": 8, "registry": 8}
    show(benchmark, "registration, fresh process", ratios(medians, "dict"), "x dict", bars)


def test_memory(benchmark):
    """
    Bytes per entry, above the keys and items themselves.
    """
    sizes = {}
    for name, case in registrations(100_000).items():
        gc.collect()
        tracemalloc.start()
        kept = case()
        gc.collect()
        sizes[name] = tracemalloc.get_traced_memory()[0] / 100_000
        tracemalloc.stop()
        del kept
    benchmark.pedantic(registrations(1000)["registry"], rounds=3)
    show(benchmark, "memory", sizes, "B an entry", {"registry, no metrics": 110, "registry": 190})


# -- factories -------------------------------------------------------------------------------------


def test_factories(benchmark):
    """
    One new object for one user, as a multiple of calling the factory.
    """
    counting = UniversalRegistry("things", Product)
    quiet = UniversalRegistry("things", Product, metrics=False)
    locked = LockedRegistry()
    for registry in (counting, quiet, locked):
        registry.register_factory("made", Made)
    injected = providers.Factory(Made)
    table = {"made": Made}

    def repeat(call: Case) -> Case:
        def run() -> None:
            for _ in range(500):
                call()

        return run

    def with_svcs() -> object:
        services = svcs.Registry()
        services.register_factory(Made, lambda: Made(ADA))
        return lambda: svcs.Container(services).get(Made)

    cases = {
        "the factory": repeat(lambda: Made(ADA)),
        "dict[k](context)": repeat(lambda: table["made"](ADA)),
        "create_instance, no metrics": repeat(lambda: quiet.create_instance("made", ADA)),
        "create_instance": repeat(lambda: counting.create_instance("made", ADA)),
        "get(k, context)": repeat(lambda: counting.get("made", ADA)),
        "a registry that locks on read": repeat(lambda: locked.get("made", ADA)),
        "dependency-injector factory": repeat(lambda: injected(ADA)),
        "svcs, a container each": repeat(with_svcs()),
    }
    benchmark.pedantic(cases["create_instance"], rounds=20)
    bars = {"create_instance, no metrics": 2.5, "create_instance": 2.5}
    show(benchmark, "factories", ratios(interleaved(cases, 100), "the factory"), "x the factory", bars)


@pytest.mark.parametrize("sort", ["registry", "a registry that locks on read"])
def test_slow_factory_delays_nobody(benchmark, sort):
    """
    How long an unrelated get takes while four threads sit in factories of 50 ms.
    """
    registry: Any = UniversalRegistry("things") if sort == "registry" else LockedRegistry()
    inside = threading.Event()

    def slow(context: object) -> object:
        inside.set()
        threading.Event().wait(0.05)
        return context

    registry.register_factory("slow", slow)
    registry.register("item", 1)
    delays = []
    for _ in range(10):
        inside.clear()
        threads = [threading.Thread(target=registry.get, args=("slow", ADA)) for _ in range(4)]
        for thread in threads:
            thread.start()
        inside.wait()
        started = time.perf_counter()
        registry.get("item")
        delays.append((time.perf_counter() - started) * 1000)
        for thread in threads:
            thread.join()
    benchmark.pedantic(registry.get, args=("item",), rounds=20)
    numbers = {f"{sort}, median": statistics.median(delays), f"{sort}, worst": max(delays)}
    show(benchmark, "unrelated get", numbers, "ms", {"registry, median": 0.5})
