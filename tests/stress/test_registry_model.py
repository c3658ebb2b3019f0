"""A plain dict plays against the registry: whatever is done in whatever order, they agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from hotplug.errors import (
    ContextRequiredError,
    DuplicateKeyError,
    FrozenRegistryError,
    NotRegisteredError,
)
from hotplug.registry import UniversalRegistry
from thorough import part_of

keys = st.sampled_from("abcd")
tags = st.lists(st.sampled_from("xy"), max_size=2)


class RegistryAgainstDict(RuleBasedStateMachine):
    """The model: key -> [sort, value, tags, hits, loaded]."""

    undos = Bundle("undos")

    @initialize(metrics=st.booleans())
    def begin(self, metrics: bool) -> None:
        self.metrics = metrics
        self.registry: UniversalRegistry[Any] = UniversalRegistry("things", metrics=metrics)
        self.model: dict[str, list[Any]] = {}
        self.frozen = False
        self.fresh = 0
        self.lookups = self.misses = self.creations = self.registrations = 0
        self.told: list[tuple[str, str]] = []
        self.heard: list[tuple[str, str]] = []
        self.registry.subscribe(lambda change: self.heard.append((change.action, change.key)))

    def value(self) -> int:
        self.fresh += 1
        return self.fresh

    @rule(target=undos, key=keys, sort=st.sampled_from(["item", "factory", "lazy"]), tags=tags)
    def register(self, key: str, sort: str, tags: list[str]) -> Any:
        value = self.value()
        call = {
            "item": lambda: self.registry.register(key, value, tags=tags),
            "factory": lambda: self.registry.register_factory(
                key, lambda context: (value, context), tags=tags
            ),
            "lazy": lambda: self.registry.register_lazy(key, lambda: value, tags=tags),
        }[sort]
        if self.frozen:
            with pytest.raises(FrozenRegistryError):
                call()
        elif key in self.model:
            with pytest.raises(DuplicateKeyError):
                call()
        else:
            entry = self.model[key] = [sort, value, tuple(dict.fromkeys(tags)), 0, sort == "item"]
            self.registrations += 1
            self.told.append(("registered", key))
            return (call(), key, entry)
        return (None, key, None)

    @rule(undo=undos)
    def undo(self, undo: Any) -> None:
        self.take_back(*undo)

    @rule(undo=consumes(undos))
    def undo_for_the_last_time(self, undo: Any) -> None:
        self.take_back(*undo)

    def take_back(self, call: Any, key: str, entry: Any) -> None:
        if call is None:
            return
        if self.model.get(key) is not entry:
            call()
        elif self.frozen:
            with pytest.raises(FrozenRegistryError):
                call()
        else:
            call()
            del self.model[key]
            self.told.append(("unregistered", key))

    @rule(key=keys)
    def unregister(self, key: str) -> None:
        if self.frozen:
            with pytest.raises(FrozenRegistryError):
                self.registry.unregister(key)
        elif key not in self.model:
            with pytest.raises(NotRegisteredError):
                self.registry.unregister(key)
        else:
            self.registry.unregister(key)
            del self.model[key]
            self.told.append(("unregistered", key))

    @rule(key=keys)
    def replace(self, key: str) -> None:
        value = self.value()
        entry = self.model.get(key)
        if self.frozen:
            with pytest.raises(FrozenRegistryError):
                self.registry.replace(key, value)
        elif entry is None or not entry[4]:
            with pytest.raises(NotRegisteredError):
                self.registry.replace(key, value)
        else:
            assert self.registry.replace(key, value) == entry[1]
            self.model[key] = [entry[0], value, *entry[2:]]  # a newer one: the old undo does not know it
            self.told.append(("replaced", key))

    @rule(key=keys)
    def replace_factory(self, key: str) -> None:
        value = self.value()
        entry = self.model.get(key)

        def make(context: object) -> object:
            return value, context

        if self.frozen:
            with pytest.raises(FrozenRegistryError):
                self.registry.replace_factory(key, make)
        elif entry is None or entry[0] != "factory":
            with pytest.raises(NotRegisteredError):
                self.registry.replace_factory(key, make)
        else:
            self.registry.replace_factory(key, make)
            self.model[key] = [entry[0], value, *entry[2:]]
            self.told.append(("replaced", key))

    @rule(
        key=keys,
        way=st.sampled_from(["get", "[]", "lease", "default"]),
        context=st.sampled_from([None, 0, "ada"]),
    )
    def read(self, key: str, way: str, context: object) -> None:
        def call() -> Any:
            if way == "[]":
                return self.registry[key]
            if way == "lease":
                with self.registry.lease(key, context) as leased:
                    return leased
            return self.registry.get(key, context, **({"default": "none"} if way == "default" else {}))

        if way == "[]":
            context = None
        self.lookups += 1
        entry = self.model.get(key)
        if entry is None:
            self.misses += 1
            if way == "default":
                assert call() == "none"
            else:
                with pytest.raises(NotRegisteredError):
                    call()
            return
        entry[3] += 1
        if entry[0] == "factory" and context is None:
            with pytest.raises(ContextRequiredError):
                call()
        elif entry[0] == "factory":
            self.creations += 1
            assert call() == (entry[1], context)
        else:
            assert call() == entry[1]
            self.creations += not entry[4]
            entry[4] = True

    @rule(key=keys)
    def create_instance(self, key: str) -> None:
        self.lookups += 1
        entry = self.model.get(key)
        if entry is None or entry[0] != "factory":
            self.misses += 1
            with pytest.raises(NotRegisteredError):
                self.registry.create_instance(key, "ada")
        else:
            entry[3] += 1
            self.creations += 1
            assert self.registry.create_instance(key, "ada") == (entry[1], "ada")

    @precondition(lambda self: len(self.told) > 12)
    @rule()
    def freeze(self) -> None:
        self.registry.freeze()
        self.frozen = True

    @invariant()
    def agrees(self) -> None:
        registry, model = self.registry, self.model
        assert registry.keys() == tuple(registry) == tuple(model)
        assert len(registry) == len(model)
        assert [key in registry for key in "abcd"] == [key in model for key in "abcd"]
        assert [(e.sort, e.tags) for e in registry.entries()] == [(e[0], e[2]) for e in model.values()]
        assert registry.list_by_tag("x") == tuple(key for key, entry in model.items() if "x" in entry[2])
        assert registry.frozen == self.frozen
        assert self.heard == self.told

    @invariant()
    def counts(self) -> None:
        seen = self.registry.metrics()
        assert seen.entries == len(self.model)
        on = int(self.metrics)
        assert seen.lookups == self.lookups * on
        assert seen.misses == self.misses * on
        assert seen.creations == self.creations * on
        assert seen.registrations == self.registrations * on
        assert seen.hits == ({key: entry[3] for key, entry in self.model.items()} if on else {})


RegistryAgainstDict.TestCase.settings = settings(
    max_examples=part_of(60),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRegistryAgainstDict = RegistryAgainstDict.TestCase
