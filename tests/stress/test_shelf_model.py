"""Plain dicts play against two registries on one shelf: changes of any parts, strict or not, and all else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotplug.errors import DuplicateKeyError, FrozenRegistryError, NotRegisteredError
from hotplug.registry import Shelf, UniversalRegistry, when_released
from thorough import part_of

KEYS = "abc"
sides = st.sampled_from([0, 1])
keys = st.sampled_from(KEYS)
sorts = st.sampled_from(["item", "factory", "lazy", "loaded"])
Entry = dict[str, Any]


class Draft:
    """The parts of a change, done to a copy of the model one after the other."""

    def __init__(self, model: list[dict[str, Entry]], frozen: list[bool]) -> None:
        self.before, self.frozen = model, frozen
        self.after = [dict(side) for side in model]
        self.order = [list(side) for side in model]
        self.told: list[list[tuple[str, str]]] = [[], []]
        self.refused: list[tuple[Any, type[Exception]]] = []

    def take(self, undo: Any, side: int, key: str, entry: Entry | None, going: Entry | None) -> None:
        standing = self.after[side].get(key)
        is_ours = going is not None and standing is going
        if self.frozen[side] and (entry is not None or is_ours):
            self.refused.append((undo, FrozenRegistryError))
        elif entry is not None and standing is not None and not is_ours:
            self.refused.append((undo, DuplicateKeyError))
        elif entry is not None:
            self.told[side].append(("registered" if standing is None else "replaced", key))
            if key in self.before[side]:  # a place counts on
                entry["hits"] = self.before[side][key]["hits"]
            self.after[side][key] = entry
            self.order[side].append(key)
        elif is_ours:
            self.told[side].append(("unregistered", key))
            del self.after[side][key]

    def outcome(self) -> list[dict[str, Entry]]:
        """A key that stood before keeps its place; the others come in the order in which they were named."""
        return [
            {key: after[key] for key in dict.fromkeys(order) if key in after}
            for after, order in zip(self.after, self.order, strict=True)
        ]


class ShelfAgainstDicts(RuleBasedStateMachine):
    """The model: for each registry key -> entry; an entry is what one registration made."""

    undos = Bundle("undos")

    @initialize(metrics=st.booleans())
    def begin(self, metrics: bool) -> None:
        self.registries = [
            UniversalRegistry[Any]("left", metrics=metrics),
            UniversalRegistry[Any]("right", metrics=metrics),
        ]
        self.metrics = metrics
        self.shelf = Shelf()
        self.model: list[dict[str, Entry]] = [{}, {}]
        self.frozen = [False, False]
        self.fresh = 0
        self.told: list[list[tuple[str, str]]] = [[], []]
        self.heard: list[list[tuple[str, str]]] = [[], []]
        self.cuts: list[tuple[Any, list[dict[str, Entry]]]] = []
        for registry, heard in zip(self.registries, self.heard, strict=True):
            registry.subscribe(lambda change, heard=heard: heard.append((change.action, change.key)))

    def entry(self, side: int, key: str, sort: str, *, on_shelf: bool) -> tuple[Entry, dict[str, Any]]:
        """A new entry, and what makes it."""
        self.fresh += 1
        value = self.fresh
        made: Entry = {
            "side": side,
            "key": key,
            "sort": "lazy" if sort == "loaded" else sort,
            "value": value,
            "loaded": sort in ("item", "loaded"),
            "generation": value if on_shelf else 0,
            "hits": [0],
            "shelf": on_shelf,
            "over": False,
        }
        makes: dict[str, dict[str, Any]] = {
            "item": {"item": value},
            "factory": {"factory": lambda context: (value, context)},
            "lazy": {"load": lambda: value},
            "loaded": {"load": lambda: 1 / 0, "item": value},
        }
        return made, makes[sort]

    # -- changes -----------------------------------------------------------------------------------

    @rule(
        target=undos,
        steps=st.lists(st.tuples(st.sampled_from(["put", "swap", "remove"]), sides, keys, sorts), max_size=5),
        old=st.lists(undos, min_size=5, max_size=5),
        strict=st.booleans(),
    )
    def publish(self, steps: list[tuple[str, int, str, str]], old: list[Any], strict: bool) -> Any:
        change, draft = self.shelf.change(), Draft(self.model, self.frozen)
        made: list[Any] = []
        for (what, side, key, sort), (before, going) in zip(steps, old, strict=False):
            if what == "put" or going is None:
                entry, makes = self.entry(side, key, sort, on_shelf=True)
                undo = change.put(self.registries[side], key, **makes, generation=entry["generation"])
                draft.take(undo, side, key, entry, None)
                made.append((undo, entry))
            elif not going["shelf"]:
                with pytest.raises(TypeError, match="on no shelf"):
                    change.swap(before, item=1) if what == "swap" else change.remove(before)
            elif what == "swap":
                entry, makes = self.entry(going["side"], going["key"], sort, on_shelf=True)
                undo = change.swap(before, **makes, generation=entry["generation"])
                draft.take(undo, going["side"], going["key"], entry, going)
                made.append((undo, entry))
            else:
                change.remove(before)
                draft.take(before, going["side"], going["key"], None, going)
        if strict and draft.refused:
            with pytest.raises(draft.refused[0][1]):
                change.publish()
        else:
            answer = change.publish(strict=strict)
            assert [(each.undo, type(each.error)) for each in answer] == draft.refused
            self.model = draft.outcome()
            self.told = [[*told, *more] for told, more in zip(self.told, draft.told, strict=True)]
        assert change.is_out is not (strict and bool(draft.refused))
        return made[0] if made else (lambda: None, None)

    # -- the application's own ---------------------------------------------------------------------

    @rule(target=undos, side=sides, key=keys)
    def register(self, side: int, key: str) -> Any:
        entry, makes = self.entry(side, key, "item", on_shelf=False)
        if self.frozen[side] or key in self.model[side]:
            with pytest.raises(FrozenRegistryError if self.frozen[side] else DuplicateKeyError):
                self.registries[side].register(key, makes["item"])
            return (lambda: None, None)
        undo = self.registries[side].register(key, makes["item"])
        self.model[side][key] = entry
        self.told[side].append(("registered", key))
        return (undo, entry)

    @rule(undo=undos)
    def undo(self, undo: Any) -> None:
        call, entry = undo
        if entry is None or self.model[entry["side"]].get(entry["key"]) is not entry:
            call()
        elif self.frozen[entry["side"]]:
            with pytest.raises(FrozenRegistryError):
                call()
        else:
            call()
            del self.model[entry["side"]][entry["key"]]
            self.told[entry["side"]].append(("unregistered", entry["key"]))

    @rule(undo=undos)
    def retire(self, undo: Any) -> None:
        call, entry = undo
        if entry is None:
            return
        released: list[int] = []
        when_released(call, lambda: released.append(1))
        assert released == [1]
        if entry["shelf"] and self.model[entry["side"]].get(entry["key"]) is not entry:
            entry["over"] = True

    @rule(side=sides, key=keys)
    def unregister(self, side: int, key: str) -> None:
        if self.frozen[side] or key not in self.model[side]:
            with pytest.raises(FrozenRegistryError if self.frozen[side] else NotRegisteredError):
                self.registries[side].unregister(key)
        else:
            self.registries[side].unregister(key)
            del self.model[side][key]
            self.told[side].append(("unregistered", key))

    @rule(side=sides, key=keys)
    def replace(self, side: int, key: str) -> None:
        registry, standing = self.registries[side], self.model[side].get(key)
        if self.frozen[side] or standing is None or not (standing["loaded"] or standing["sort"] == "factory"):
            with pytest.raises((FrozenRegistryError, NotRegisteredError)):
                registry.replace(key, 0)
            return
        self.fresh += 1
        value = self.fresh
        if standing["sort"] == "factory":
            registry.replace_factory(key, lambda context: (value, context))
        else:
            assert registry.replace(key, value) == standing["value"]
        self.model[side][key] = {**standing, "value": value}  # a newer one: the old undo does not know it
        self.told[side].append(("replaced", key))

    @precondition(lambda self: sum(map(len, self.told)) > 12)
    @rule(side=sides)
    def freeze(self, side: int) -> None:
        self.registries[side].freeze()
        self.frozen[side] = True

    # -- reading -----------------------------------------------------------------------------------

    @rule(side=sides, key=keys, way=st.sampled_from(["get", "[]", "lease", "hold", "create"]))
    def read(self, side: int, key: str, way: str) -> None:
        registry, entry = self.registries[side], self.model[side].get(key)
        if entry is None or (way == "create") != (entry["sort"] == "factory"):
            if entry is None or way == "create":
                with pytest.raises(NotRegisteredError):
                    registry.create_instance(key, 1) if way == "create" else registry.get(key, 1)
            return
        if way == "get":
            got = registry.get(key)
        elif way == "[]":
            got = registry[key]
        elif way == "lease":
            with registry.lease(key) as got:
                pass
        elif way == "hold":
            with registry.hold(key) as held:
                got = held.obtain()
                assert held.entry.generation == entry["generation"]
        else:
            got = registry.create_instance(key, 1)
        assert got == ((entry["value"], 1) if way == "create" else entry["value"])
        entry["hits"][0] += 1
        entry["loaded"] = entry["sort"] != "factory"

    @precondition(lambda self: len(self.cuts) < 4)
    @rule()
    def keep_a_cut(self) -> None:
        self.cuts.append((self.shelf.cut(), [dict(side) for side in self.model]))

    @invariant()
    def agrees(self) -> None:
        for registry, model, frozen in zip(self.registries, self.model, self.frozen, strict=True):
            assert registry.keys() == tuple(registry) == tuple(model)
            assert len(registry) == len(model) == registry.metrics().entries
            assert [key in registry for key in KEYS] == [key in model for key in KEYS]
            entries = [(e.key, e.sort, e.generation, e.hits) for e in registry.entries()]
            on = int(self.metrics)
            assert entries == [(k, e["sort"], e["generation"], e["hits"][0] * on) for k, e in model.items()]
            assert registry.frozen is frozen
        assert self.heard == self.told

    @invariant()
    def cuts_are_kept(self) -> None:
        for cut, then in self.cuts:
            for side, registry in enumerate(self.registries):
                sight, now = registry.at(cut), self.model[side]
                expected = {key: entry for key, entry in now.items() if not entry["shelf"]}
                for key, entry in then[side].items():
                    if entry["shelf"]:
                        expected.pop(key, None)
                        standing = now.get(key) if entry["over"] else entry
                        if standing is not None:
                            expected[key] = standing
                assert set(sight.keys()) == set(sight) == set(expected)
                assert len(sight) == len(expected)
                for key in KEYS:
                    assert (key in sight) is (key in expected)
                    if key in expected:
                        with sight.hold(key) as held:
                            assert held.entry.generation == expected[key]["generation"]
                kept = [key for key, entry in then[side].items() if entry["shelf"] and key in expected]
                assert [key for key in sight.keys() if key in kept] == kept  # noqa: SIM118


ShelfAgainstDicts.TestCase.settings = settings(
    max_examples=part_of(60),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestShelfAgainstDicts = ShelfAgainstDicts.TestCase
