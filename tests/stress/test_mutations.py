"""
The claims of `test_registry_races.py` against copies of the registry that were broken on purpose.

A claim that holds for a broken registry claims nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hotplug.registry
from hotplug.errors import HotplugError

SOURCE = Path(hotplug.registry.__file__).parent
numbers = itertools.count()


def load_claims() -> ModuleType:
    path = Path(__file__).with_name("test_registry_races.py")
    spec = importlib.util.spec_from_file_location("registry_claims", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


claims = load_claims()

LOOKED_UP = "record = self._at(key) if cut is None else cut.find(self, key)\n"
MUTATIONS = {
    "register takes no lock": (
        "_table.py",
        "        with self._writing:\n            if self._frozen:",
        "        if True:\n            if self._frozen:",
        claims.claim_no_write_lands_after_freeze,
    ),
    "register checks freeze before the lock": (
        "_table.py",
        (
            "        with self._writing:\n            if self._frozen:\n"
            '                raise FrozenRegistryError(self._name, f"register {key!r}")\n'
        ),
        (
            "        if self._frozen:\n"
            '            raise FrozenRegistryError(self._name, f"register {key!r}")\n'
            "        with self._writing:\n"
        ),
        claims.claim_no_write_lands_after_freeze,
    ),
    "replace does not check freeze under the lock": (
        "_universal.py",
        '            self._refuse_if_frozen("replace", key)\n            record',
        "            record",
        claims.claim_no_replacement_lands_after_freeze,
    ),
    "undo removes whatever stands there": (
        "_table.py",
        "            if self._at(key) is not record:\n                return\n",
        "            if key not in self._table:\n                return\n",
        claims.claim_undo_removes_nothing_newer,
    ),
    "undo brings back the old entry": (
        "_table.py",
        "            if self._at(key) is not record:\n                return\n",
        (
            "            if self._at(key) is not record:\n"
            "                self._table[key] = record\n                return\n"
        ),
        claims.claim_undo_removes_nothing_newer,
    ),
    "everybody loads": (
        "_making.py",
        "            if self._attempt is None:\n                self._attempt = mine\n",
        "            self._attempt = mine\n",
        claims.claim_one_load,
    ),
    "made is not looked at again when claiming": (
        "_making.py",
        "            if self._made:\n                return None\n",
        "",
        claims.claim_one_value_when_late,
    ),
    "changes are told under the lock": (
        "_table.py",
        '                self._queue("registered", key, record)\n',
        '                self._queue("registered", key, record)\n                self._announcer.deliver()\n',
        claims.claim_no_code_under_the_lock,
    ),
    "validators run under the lock": (
        "_universal.py",
        "        self._gate.check(key, item)\n        old: T = ABSENT\n        with self._writing:\n",
        "        old: T = ABSENT\n        with self._writing:\n            self._gate.check(key, item)\n",
        claims.claim_no_code_under_the_lock,
    ),
    "keys waits for writers": (
        "_universal.py",
        "        moves, keys = self._moves, tuple(self._table.copy())\n",
        "        with self._writing:\n            moves, keys = self._moves, tuple(self._table)\n",
        claims.claim_reads_take_no_lock,
    ),
    "the first hit waits for writers": (
        "_table.py",
        "            next(hits)\n            next(self._found)\n",
        "            with self._writing:\n                next(hits)\n                next(self._found)\n",
        claims.claim_reads_take_no_lock,
    ),
    "unregister lets go under the lock": (
        "_universal.py",
        "                self._remove(key, record)\n",
        "                self._remove(key, record)\n                record.item = None\n",
        claims.claim_no_finaliser_under_the_lock,
    ),
    "a listener's change is told at once": (
        "_changes.py",
        "self._delivering = threading.Lock()",
        "self._delivering = threading.RLock()",
        claims.claim_changes_come_in_order,
    ),
    "leases hold nothing": (
        "_leases.py",
        "        if record not in self._counts:\n",
        "        if True:\n",
        claims.claim_leased_is_not_released,
    ),
    "a lease looks up before the lock": (
        "_standing.py",
        f"        with self._writing:\n            {LOOKED_UP}",
        f"        {LOOKED_UP}        with self._writing:\n",
        claims.claim_no_lease_begins_after_the_undo,
    ),
    "a lease by a cut looks up before the lock": (
        "_standing.py",
        f"        with self._writing:\n            {LOOKED_UP}",
        f"        {LOOKED_UP}        with self._writing:\n",
        claims.claim_no_lease_begins_after_the_retirement,
    ),
    "places show before they are published": (
        "_standing.py",
        "(held := _seen_at(now, record)) is not None",
        "(held := _seen_at(now, record) or record) is not None",
        claims.claim_a_change_is_seen_at_once,
    ),
    "a key is there as soon as its place is": (
        "_universal.py",
        "key in self._table and (",
        "key in self._table or (",
        claims.claim_a_change_is_seen_at_once,
    ),
    "the length is that of the table": (
        "_universal.py",
        "len(self._snapshot()) if moves % 2 or moves != self._moves else count",
        "count",
        claims.claim_a_change_is_seen_at_once,
    ),
    "the keys are those of the table": (
        "_universal.py",
        "tuple(self._snapshot()) if moves % 2 or moves != self._moves else keys",
        "keys",
        claims.claim_a_change_is_seen_at_once,
    ),
    "the keys are not looked at again": (
        "_universal.py",
        "tuple(self._snapshot()) if moves % 2 or moves != self._moves else keys",
        "tuple(self._snapshot()) if moves % 2 else keys",
        claims.claim_a_view_is_of_one_instant,
    ),
    "the length is not counted again": (
        "_universal.py",
        "moves % 2 or moves != self._moves else count",
        "moves % 2 else count",
        claims.claim_a_length_is_of_one_instant,
    ),
    "what goes leaves its table first": (
        "_shelf.py",
        "                self._show(now)\n",
        (
            "                for place, held in moves.items():\n                    if held is None:\n"
            "                        del table_of(place)._table[place.key]\n                self._show(now)\n"
        ),
        claims.claim_a_change_is_seen_at_once,
    ),
    "places are published one by one": (
        "_shelf.py",
        "                self._show(now)\n",
        (
            "                for place, held in moves.items():\n"
            "                    held is not None and self._show({**self.now, place: held})\n"
            "                self._show(now)\n"
        ),
        claims.claim_a_change_is_seen_at_once,
    ),
    "a view does not look twice": (
        "_standing.py",
        "            if self._now() is not now:\n                continue\n",
        "",
        claims.claim_a_view_is_of_one_instant,
    ),
    "a change does what it can": (
        "_shelf.py",
        "                elif strict:\n                    raise error\n",
        "                elif strict:\n                    failed = error\n",
        claims.claim_a_refused_change_is_none,
    ),
    "a change does not ask who is frozen": (
        "_shelf.py",
        "        if table._frozen and (",
        "        if False and (",
        claims.claim_no_change_lands_after_freeze,
    ),
    "a change takes no locks": (
        "_shelf.py",
        "        with locked(table._writing for table in tables):\n",
        "        if True:\n",
        claims.claim_no_change_lands_after_freeze,
    ),
    "locks are taken as they come": (
        "_leases.py",
        "sorted(set(locks), key=id)",
        "locks",
        claims.claim_two_changes_make_way_for_each_other,
    ),
    "the shelf takes no lock of its own": (
        "_shelf.py",
        "        with self._guard:\n            merged = {",
        "        if True:\n            merged = {",
        claims.claim_changes_of_other_registries_stay,
    ),
    "a cut follows": (
        "_cuts.py",
        "        return table._at(key) if own.is_over else own\n",
        "        return table._at(key)\n",
        claims.claim_a_cut_is_kept,
    ),
    "what is retired is found": (
        "_places.py",
        "        self.retired = True\n",
        "",
        claims.claim_a_cut_is_kept,
    ),
    "each retires alone": (
        "_retirement.py",
        "        return not any(\n",
        "        return not all(\n",
        claims.claim_a_cut_is_kept,
    ),
    "what is retired is let go of under the lock": (
        "_retirement.py",
        "            kept = [withdrawal.record.retire() for withdrawal in self._withdrawals]\n",
        (
            "            for withdrawal in self._withdrawals:\n"
            "                withdrawal.record.retire()\n            kept = []\n"
        ),
        claims.claim_no_finaliser_under_the_lock,
    ),
    "factories do not look for circles": (
        "_table.py",
        "                    refuse_circle(subject, name, key)\n",
        "                    pass\n",
        claims.claim_circles_end,
    ),
    "factories do not say that they run": (
        "_table.py",
        "                begin_making(frame)\n",
        "",
        claims.claim_circles_end,
    ),
    "products are trusted after the first": (
        "_table.py",
        "if type(product) is not accepted or gate.validators:",
        "if accepted is None or gate.validators:",
        claims.claim_products_are_checked,
    ),
    "loads are trusted": (
        "_table.py",
        "            item = maker.load()\n            self._gate.check(key, item)\n",
        "            item = maker.load()\n",
        claims.claim_products_are_checked,
    ),
}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that imports a copy of the registry package, with one edit."""
    name = f"registry_copy_{next(numbers)}"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def copy(file: str = "", before: str = "", after: str = "") -> ModuleType:
        folder = tmp_path / name
        folder.mkdir()
        for path in SOURCE.glob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path.name == file:
                assert text.count(before) == 1, "the edit does not fit the source any more"
                text = text.replace(before, after)
            text = text.replace("hotplug.registry.", f"{name}.")
            (folder / path.name).write_text(text, encoding="utf-8")
        return importlib.import_module(name)

    yield copy
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.__name__)
def test_copy_is_faithful(claim, copied):
    """
    An unedited copy keeps every claim: what fails below fails for the edit.
    """
    claim(copied())


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutant_is_caught(mutation, copied):
    """
    A registry broken in this way fails the claim that is about it, and leaves no thread behind.
    """
    file, before, after, claim = MUTATIONS[mutation]
    threads = set(threading.enumerate())
    mutant = copied(file, before, after)

    with pytest.raises((AssertionError, AttributeError, HotplugError, RecursionError, pytest.fail.Exception)):
        claim(mutant)

    for thread in set(threading.enumerate()) - threads:
        thread.join(claims.DEADLINE)
        assert not thread.is_alive()


def test_every_claim_has_a_mutant():
    """
    There is no claim that was never seen to fail.
    """
    assert {claim for *_, claim in MUTATIONS.values()} == set(claims.CLAIMS)
