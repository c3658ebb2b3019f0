"""The dashboard for everybody: by keyboard, by eye in any light and on a phone, by screen reader."""

from __future__ import annotations

import re

import pytest

import hotplug
from browser import expect

pytestmark = pytest.mark.real_services

LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
    "contrast": {"color_scheme": "dark", "forced_colors": "active"},
    "chosen dark": {"color_scheme": "light"},
}


@pytest.fixture
def busy(site, environment, tool, paper):
    """A site with a bit of everything: states, problems, a halt, events, a log."""
    tool()
    environment.install(
        "acme-all",
        "2.5",
        advertises={"hotplug.tools": {"broken": "acme_all:broken", "off": "acme_all:off"}},
        files={"acme_all.py": "raise ImportError('no such thing')\n"},
    )
    info = environment.install("acme-torn", "1.0", advertises={"hotplug.tools": {"torn": "torn:torn"}})
    (info / "entry_points.txt").write_bytes(b"\xff\xfe[hotplug.tools\n")
    world = site(paper + "[plugins]\ndisable = ['tools/off']\n")
    world.host.tools.get("adder")
    with pytest.raises(hotplug.errors.PluginError):
        world.host.tools.get("broken")
    world.tell("operator", "RUN_STARTED", "CUSTOM", "RUN_FINISHED", name="mine")
    world.host.brokers.halt("the desk is on fire")
    return world


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_bars_anybody(busy, person, look):
    """
    axe-core finds nothing: on the page, in details, in a dialog, with an outcome, filtered to nothing.
    """
    ada = person(busy, **LOOKS[look]).arrive(busy.app.state.invite())
    ada.sees("tools/broken", last_error="no such thing")
    if look == "chosen dark":
        theme = ada.page.get_by_role("button", name=re.compile("^Theme"))
        ada.until(lambda: theme.click() or theme.get_attribute("data-theme") == "dark")
    found = {"page": ada.barriers()}
    ada.button("broken").click()
    expect(ada.page.locator("dialog[open]")).to_be_visible()
    found["details"] = ada.barriers()
    ada.press("Escape")

    ada.button("Reload tools/adder").click()
    expect(ada.dialog).to_be_visible()
    found["dialog"] = ada.barriers()
    ada.button("Reload", ada.dialog).click()
    expect(ada.outcome).not_to_be_empty()
    found["outcome"] = ada.barriers()
    ada.page.locator("#filter").fill("no such plugin anywhere")
    expect(ada.row("tools/adder")).to_be_hidden()
    found["nothing"] = ada.barriers()

    assert {where: lines for where, lines in found.items() if lines} == {}


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_nothing_bars_who_comes_in(site, person, look):
    """
    The form for a token has nothing that axe-core finds, and takes the focus.
    """
    world = site()
    ada = person(world, **LOOKS[look]).visit()
    expect(ada.page.locator("#login")).to_be_visible()

    assert ada.barriers() == []
    expect(ada.page.locator("#token")).to_be_focused()


def test_an_empty_dashboard_bars_nobody(site, person):
    """
    Where nothing is installed, that is said, with what to do about it, for everybody.
    """
    world = site()
    ada = person(world).arrive(world.app.state.invite())

    expect(ada.page.locator("main")).to_contain_text("pip install")
    assert ada.barriers() == []


def test_on_a_phone_nothing_is_cut_off(busy, person):
    """
    At 390 pixels nothing sticks out to the side, and what can be pressed can be hit with a finger.
    """
    ada = person(busy, **LOOKS["phone"]).arrive(busy.app.state.invite())
    ada.sees("tools/broken", last_error="no such thing")

    assert ada.page.evaluate("document.documentElement.scrollWidth") <= 390
    small = ada.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary")]
          .filter((it) => it.checkVisibility() && !it.disabled)
          .map((it) => [it.textContent.trim() || it.id, it.getBoundingClientRect()])
          .filter(([, box]) => box.height < 24 || box.width < 24 || box.right > 391 || box.left < -1)
          .map(([name, box]) => [name, box.width, box.height, box.left])"""
    )
    assert small == []


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_long_stays_inside(site, person, environment, width):
    """
    Names, errors and payloads without an end or a space push nothing off the page, and are there to be read.
    """
    name, text = "n" * 120, "e" * 2000
    environment.install(
        "acme-" + "d" * 90,
        "1.0",
        advertises={"hotplug.tools": {name: "acme_long:x"}},
        files={"acme_long.py": f"raise ValueError({text!r})\n"},
    )
    world = site()
    with pytest.raises(hotplug.errors.PluginError):
        world.host.tools.get(name)
    ada = person(world, viewport={"width": width, "height": 844}).arrive(world.app.state.invite())
    world.tell("operator", "CUSTOM", name=text * 5)
    expect(ada.page.locator("#events > li")).to_have_count(1)
    expect(ada.page.locator("#plugins")).to_contain_text(name)

    assert ada.page.evaluate("document.documentElement.scrollWidth") <= width
    ada.button(f"Disable tools/{name}").click()
    expect(ada.button("Cancel", ada.dialog)).to_be_in_viewport()
    box = ada.dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_the_page_keeps_its_size_at_twice_the_text(busy, person):
    """
    Text at 200 % is text still: nothing sticks out.
    """
    ada = person(busy, viewport={"width": 640, "height": 900}, device_scale_factor=2).arrive(
        busy.app.state.invite()
    )
    ada.sees("tools/broken", last_error="no such thing")

    assert ada.page.evaluate("document.documentElement.scrollWidth") <= 640


def test_who_wants_no_motion_gets_none(busy, person):
    """
    Nothing moves by itself where that was asked for, also while something is under way.
    """
    ada = person(busy, reduced_motion="reduce").arrive(busy.app.state.invite())
    ada.sees("tools/broken", last_error="no such thing")
    ada.page.evaluate(
        """() => {
          window.moving = 0;
          const lasts = (animation) => animation.effect.getComputedTiming().duration > 20;
          const look = () => {
            moving = Math.max(moving, document.getAnimations().filter(lasts).length);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    ada.does("Reload", "tools/adder")
    expect(ada.outcome).to_contain_text("acme-adder")

    assert ada.page.evaluate("moving") == 0


def test_a_plugin_is_reloaded_by_keyboard_alone(site, person, tool):
    """
    Tab to its button, Enter, Enter; the focus comes back to where it was.
    """
    tool()
    world = site()
    world.host.tools.get("adder")
    ada = person(world).arrive(world.app.state.invite())
    ada.sees("tools/adder", generation="1")
    tool(version="2.0")

    ada.tab_to("Reload tools/adder")
    ada.press("Enter")
    expect(ada.dialog).to_be_visible()
    assert ada.page.evaluate("document.activeElement.closest('dialog')?.id") == "confirm"
    if ada.focus()["name"] != "Reload":
        ada.tab_to("Reload", most=5)
    ada.press("Enter")

    ada.sees("tools/adder", generation="2", version="2.0")
    expect(ada.dialog).to_be_hidden()
    ada.until(lambda: (ada.focus() or {}).get("name") == "Reload tools/adder")


def test_escape_leaves_the_dialog_and_nothing_is_done(site, person, tool):
    """
    The focus stays inside while it is open, and comes back when it is left.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    expect(ada.row("tools/adder")).to_be_visible()
    ada.tab_to("Disable tools/adder")
    ada.press("Space")
    expect(ada.dialog).to_be_visible()
    for _ in range(8):
        ada.press("Tab")
        assert ada.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('#confirm')"
        )

    ada.press("Escape")

    expect(ada.dialog).to_be_hidden()
    assert ada.focus()["name"] == "Disable tools/adder"
    assert [status.state for status in world.host.plugins] == ["discovered"]


def test_the_focus_is_seen_and_goes_as_one_reads(busy, person):
    """
    Each stop of Tab looks different with the focus than without, lies in view, and rows come in their order.
    """
    ada = person(busy).arrive(busy.app.state.invite())
    ada.sees("tools/broken", last_error="no such thing")
    stops = []
    for _ in range(200):
        ada.press("Tab")
        there = ada.focus()
        if there is None or (
            stops
            and (there["name"], there["within"], there["id"])
            == (stops[0]["name"], stops[0]["within"], stops[0]["id"])
        ):
            break
        stops.append(there)

    assert len(stops) >= 8
    assert [stop for stop in stops if not stop["isSeen"]] == []
    assert [stop for stop in stops[1:] if not stop["inView"]] == []
    within = [stop["within"] for stop in stops if stop["within"]]
    assert sorted(set(within), key=within.index) == [row for row in ada.rows if row in within]
    first = next(stop for stop in stops if stop["within"])
    assert {stop["id"] for stop in stops[: stops.index(first)]} >= {"filter"}
    reachable = set(
        ada.page.get_by_role("button").evaluate_all(
            "all => all.filter((it) => it.checkVisibility() && !it.disabled && it.tabIndex >= 0)"
            ".map((it) => it.getAttribute('aria-label') || it.textContent.trim().slice(0, 60))"
        )
    )
    assert reachable <= {stop["name"] for stop in stops}


def test_a_row_that_changes_does_not_take_the_focus(site, person, tool):
    """
    Whoever stands on a button stands there still when its row is told anew.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    expect(ada.row("tools/adder")).to_be_visible()
    ada.tab_to("Disable tools/adder")

    world.host.tools.get("adder")
    ada.sees("tools/adder", status="loaded")

    assert ada.focus()["name"] == "Disable tools/adder"


def test_what_was_done_by_keyboard_can_be_undone_by_keyboard(site, person, tool):
    """
    Where the button that was pressed is there no more, the focus is on the one that came in its place.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    expect(ada.row("tools/adder")).to_be_visible()
    ada.tab_to("Disable tools/adder")
    ada.press("Enter")
    ada.tab_to("Disable", most=5)
    ada.press("Enter")
    ada.sees("tools/adder", status="disabled")

    ada.until(lambda: (ada.focus() or {}).get("name") == "Enable tools/adder")


def test_the_slash_finds_the_filter(site, person, tool):
    """
    ``/`` leads to the filter, which hides what does not match; Escape empties or leaves it.
    """
    tool()
    tool("other")
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    expect(ada.row("tools/other")).to_be_visible()
    ada.press("/")
    expect(ada.page.locator("#filter")).to_be_focused()
    ada.page.keyboard.type("othe")

    expect(ada.row("tools/adder")).to_be_hidden()
    expect(ada.row("tools/other")).to_be_visible()


def test_what_is_done_is_said_to_who_does_not_see_it(site, person, tool):
    """
    The outcome stands in a live region that was there before; the connection has a word; a table is a table.
    """
    tool()
    world = site()
    ada = person(world, viewport={"width": 390, "height": 844}).arrive(world.app.state.invite())
    live = ada.page.get_by_role("status").and_(ada.outcome)
    expect(live).to_have_count(1)
    ada.does("Disable", "tools/adder")

    expect(live).to_contain_text("tools/adder")
    expect(ada.page.locator("#connection")).to_contain_text("live", ignore_case=True)
    table = ada.page.get_by_role("table").and_(ada.page.locator("#plugins"))
    expect(table).to_have_count(1)
    expect(table.get_by_role("row").filter(has_text="adder")).to_have_count(1)
    assert ada.page.locator("[data-field=status] :is(svg, .icon):not([aria-hidden=true])").count() == 0
