"""Never run: mypy and pyright read what callers of a registry see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Protocol, assert_type

from hotplug._records import Entry, Health, RegistryChange
from hotplug._report import MroReport, mro_report
from hotplug.context import UserExecutionContext
from hotplug.registry import Once, RegistryMetrics, Undo, UniversalRegistry, run_in_thread


class Greeter(ABC):
    @abstractmethod
    def greet(self) -> str: ...


class Polite(Greeter):
    def greet(self) -> str:
        return "Good day"


class Greets(Protocol):
    def greet(self) -> str: ...


class GreeterRegistry(UniversalRegistry[Greeter]):
    _default_name = "greeters"
    _default_contract = Greeter


def make(context: UserExecutionContext) -> Polite:
    return Polite()


def reading(registry: UniversalRegistry[Greeter], ada: UserExecutionContext) -> None:
    assert_type(registry.get("a"), Greeter)
    assert_type(registry["a"], Greeter)
    assert_type(registry.get("a", ada), Greeter)
    assert_type(registry.get("a", default=None), Greeter | None)
    assert_type(registry.get("a", ada, default=7), Greeter | int)
    assert_type(registry.create_instance("a", ada), Greeter)
    with registry.lease("a", ada) as leased:
        assert_type(leased, Greeter)
    lease: AbstractContextManager[Greeter] = registry.lease("a")
    lease.__enter__().greet()
    assert_type(registry.keys(), tuple[str, ...])
    assert_type(registry.entries(), tuple[Entry, ...])
    assert_type(registry.entry("a"), Entry)
    assert_type(registry.list_by_tag("t"), tuple[str, ...])
    assert_type(list(registry), list[str])
    assert_type(registry.metrics(), RegistryMetrics)
    assert_type(registry.health(), Health)


async def reading_later(registry: UniversalRegistry[Greeter], ada: UserExecutionContext) -> None:
    assert_type(await registry.aget("a", ada), Greeter)
    assert_type(await registry.aget("a", default=None), Greeter | None)
    assert_type(await run_in_thread(make, ada), Polite)


def writing(registry: UniversalRegistry[Greeter]) -> None:
    assert_type(registry.register("a", Polite()), Undo)
    assert_type(registry.register_factory("b", make), Undo)
    assert_type(registry.register_lazy("c", Polite, tags=["x"], metadata={"key": 1}), Undo)
    assert_type(registry.replace("a", Polite()), Greeter)
    registry.replace_factory("b", make)
    registry.unregister("a")

    def hear(change: RegistryChange) -> None:
        assert_type(change.entry, Entry)

    assert_type(registry.subscribe(hear), Undo)
    assert_type(registry.add_validator(lambda key, item: bool(item.greet())), Undo)


def mistakes(registry: UniversalRegistry[Greeter]) -> None:
    registry.register("a", "no greeter")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.register(1, Polite())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.register_lazy("a", list)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.register_factory("a", Polite)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.replace("a", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    registry.get("a", "ada")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    registry.create_instance("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def making() -> None:
    assert_type(UniversalRegistry("greeters", Polite), UniversalRegistry[Polite])
    assert_type(UniversalRegistry("greeters", Polite, metrics=False).get("a"), Polite)
    assert_type(UniversalRegistry[Greets]("greeters", "module:Greets").get("a"), Greets)
    assert_type(GreeterRegistry().get("a"), Greeter)
    assert_type(GreeterRegistry("more", metrics=False).get("a", default=0), Greeter | int)
    assert_type(UniversalRegistry("greeters", Greeter), UniversalRegistry[Greeter])
    assert_type(UniversalRegistry("greeters", Greets), UniversalRegistry[Greets])


def making_once() -> None:
    assert_type(Once[Polite]("greeters", "a").get(Polite), Polite)
    assert_type(mro_report(GreeterRegistry, bases={Polite: (Greeter,)}), MroReport)
