"""Who stands where, from records and configuration alone."""

from __future__ import annotations

import itertools

import pytest

from hotplug import Changes, Config, Kind
from hotplug._host._policy import allot, api_mismatch, normal_name, plan
from hotplug._records import PluginRecord

THINGS = Kind("things", object)
OTHERS = Kind("others", object)


def record(name, distribution="acme", kind="things", **facts):
    return PluginRecord(kind, f"hotplug.{kind}", name, f"m:{name}", distribution, "1.0", **facts)


def seats_of(records, config="", kinds=(THINGS,), **facts):
    return allot(kinds, records, Config.parse(config), version="0.1.0", **facts)


def told(seats):
    return [(seat.name, seat.status.record.name, seat.status.state, seat.status.reason) for seat in seats]


@pytest.fixture
def requires(monkeypatch):
    """Sets what distributions require."""
    known = {}
    monkeypatch.setattr("hotplug._discovery.requirements", lambda r: known.get(r.distribution, ()))
    monkeypatch.setattr("hotplug._discovery.stamp", lambda r: (r.distribution,))
    return known


def test_seats_are_sorted_by_kind_and_key(requires):
    """
    The order is that of the kinds, then of the keys, whatever the order of the records.
    """
    records = [record("b"), record("a"), record("z", kind="others")]
    wanted = [
        ("others/z", "z", "discovered", ""),
        ("things/a", "a", "discovered", ""),
        ("things/b", "b", "discovered", ""),
    ]

    for order in itertools.permutations(records):
        assert told(seats_of(order, kinds=(OTHERS, THINGS))) == wanted


def test_a_conflict_is_the_same_in_any_order(requires):
    """
    Three distributions with one name: all in conflict, the same words for each order of installation.
    """
    records = [record("a", who) for who in ("one", "two", "three")]

    outcomes = {tuple(seat.status for seat in seats_of(order)) for order in itertools.permutations(records)}

    [statuses] = outcomes
    assert {status.state for status in statuses} == {"conflict"}
    assert all("one 1.0 and three 1.0 and two 1.0" in status.remedy for status in statuses)


def test_who_may_not_load_is_no_rival(requires):
    """
    A name is not in conflict where policy leaves one of those that advertise it.
    """
    seats = seats_of([record("a", "one"), record("a", "two")], '[plugins]\nallow = ["two"]')

    assert told(seats) == [("things/a", "a", "refused", "not allowed"), ("things/a", "a", "discovered", "")]


def test_the_first_reason_stands(requires):
    """
    Disabled goes before not allowed, that before the wrong hotplug, that before a veto.
    """
    requires["acme"] = ("hotplug>=9",)
    vetoes = {record("a"): "no"}
    configs = ['[plugins]\ndisable = ["things/a"]\nallow = []', "[plugins]\nallow = []", ""]

    reasons = [seats_of([record("a")], config, vetoes=vetoes)[0].status.reason for config in configs]
    requires.clear()
    reasons.append(seats_of([record("a")], vetoes=vetoes)[0].status.reason)

    assert reasons == ["disabled", "not allowed", "API mismatch", "vetoed"]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ((), None),
        (("numpy",), None),
        (("hotplug",), None),
        (("hotplug>=0.1,<0.2",), None),
        (("hotplug >=9",), "hotplug>=9"),
        (("HotPlug>=9",), "hotplug>=9"),
        (("hotplug-extra>=9",), None),
        (("hotplug[cli]>=9",), "hotplug>=9"),
        (("hotplug>=9; python_version < '3'",), None),
        (("hotplug>=9; extra == 'dev'",), None),
        (("hotplug>=9; os_name ~= 'x.y'",), None),
        (("hotplug >= is not",), None),
        (("hotplug (>=9",), None),
        (("hotplug>=0.0.1", "hotplug<0.1"), "hotplug<0.1"),
    ],
)
def test_requirements_of_hotplug(requires, lines, wanted):
    """
    Only requirements of hotplug itself that hold here count; what cannot be read is no statement.
    """
    requires["acme"] = lines

    assert api_mismatch(record("a"), "0.1.0") == wanted


def test_metadata_is_read_once_for_each_distribution(requires, monkeypatch):
    """
    A hundred plugins of one distribution cost one look at its requirements; another one is looked at too.
    """
    asked = []
    monkeypatch.setattr("hotplug._discovery.requirements", lambda r: asked.append(r.distribution) or ())

    seats_of([*(record(f"p{i}") for i in range(100)), record("other", "other")])

    assert sorted(asked) == ["acme", "other"]


def test_a_table_takes_its_plugin_away_from_its_own_name(requires):
    """
    A plugin that tables name stands under their keys only; whose key was given away is told so.
    """
    seats = seats_of([record("a"), record("b")], '[things.x]\nplugin = "a"\n[things.b]\nplugin = "a"')

    assert told(seats) == [
        ("things/b", "a", "discovered", ""),
        ("things/b", "b", "conflict", "conflict"),
        ("things/x", "a", "discovered", ""),
    ]
    assert 'plugin = "b"' in seats[1].status.remedy


def test_who_is_crowded_out_and_disabled_is_disabled(requires):
    """
    A plugin that would not stand anyhow keeps its own reason.
    """
    seats = seats_of(
        [record("a"), record("b")], '[plugins]\ndisable = ["things/b"]\n[things.b]\nplugin = "a"'
    )

    assert ("things/b", "b", "disabled", "disabled") in told(seats)


def test_a_plan_says_what_differs(requires):
    """
    A plan names what comes, changes, goes and stays; who is newly refused has failed, unless by choice.
    """
    before = seats_of(
        [record("same"), record("gone"), record("changed"), record("off"), record("refused", "other")]
    )
    after = seats_of(
        [record("same"), record("changed"), record("new"), record("off"), record("refused", "other")],
        '[plugins]\nallow = ["acme"]\ndisable = ["things/off"]\n[things.changed]\ntags = ["x"]',
    )

    assert plan(before, after) == Changes(
        added=("things/new",),
        changed=("things/changed",),
        removed=("things/gone", "things/off", "things/refused"),
        unchanged=("things/same",),
        failed=("things/refused",),
    )
    assert not plan(after, after)


def test_types_of_settings_make_a_difference(requires):
    """
    ``1`` and ``true`` are equal in Python and are not the same setting.
    """
    config = "[things.a]\nsettings = {{ x = {} }}".format
    one, true = seats_of([record("a")], config("1")), seats_of([record("a")], config("true"))

    assert plan(one, true).changed == ("things/a",)
    assert not plan(one, seats_of([record("a")], config("1")))


def test_names_of_distributions():
    """
    Case, dots, dashes and underscores do not tell distributions apart.
    """
    assert {normal_name(name) for name in ("Acme.One", "acme-one", "ACME__one", "acme-_.one")} == {"acme-one"}
