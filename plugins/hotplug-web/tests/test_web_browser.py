"""The dashboard in a real browser: what it shows, and what its buttons do."""

from __future__ import annotations

import json
import statistics
import time

import pytest

import hotplug
from browser import expect
from web_site import OPS

pytestmark = pytest.mark.real_services

MARKUP = "<b>bold</b><script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"

WATCH = """name => {
  const table = document.querySelector("#plugins");
  window.seen = [];
  const look = () => {
    const row = [...table.querySelectorAll("tr[data-id]")].find((row) => row.dataset.id === name);
    const word = row?.querySelector("[data-field=status]").textContent.trim() ?? "";
    if (word !== seen.at(-1)?.word) seen.push({ word, at: Date.now() / 1000 });
  };
  new MutationObserver(look).observe(table, { subtree: true, childList: true, characterData: true });
  look();
}"""


def shown(page):
    """What the table says, by row: all texts that stand in its cells."""
    return page.locator("#plugins tbody tr[data-id]").evaluate_all(
        """all => Object.fromEntries(all.map((row) => [row.dataset.id, Object.fromEntries(
          [...row.querySelectorAll("td[data-field], th[data-field]")]
            .map((cell) => [cell.dataset.field, cell.textContent.trim()]))]))"""
    )


def spelled(word):
    """*word* as people may write it."""
    return word.replace("_", " ").lower()


def test_everything_that_is_installed_is_listed(site, person, environment, tool, paper):
    """
    Each plugin that the host knows of has one row with its facts, and nothing else has one.
    """
    tool()
    environment.install(
        "acme-all",
        "2.5",
        advertises={
            "hotplug.agents": {"echo": "acme_all:Echo"},
            "hotplug.services": {"clock": "acme_all:Clock"},
            "hotplug.strategies": {"buy": "acme_all:Buy"},
            "hotplug.tools": {"broken": "acme_all:broken", "off": "acme_all:off"},
        },
        files={"acme_all.py": "raise ImportError('no such thing')\n"},
    )
    world = site(paper + "[plugins]\ndisable = ['tools/off']\n")
    world.host.tools.get("adder")
    with pytest.raises(hotplug.errors.PluginError):
        world.host.tools.get("broken")
    world.host.tools.register("own", world.host.tools.get("adder"))
    ada = person(world).arrive(world.app.state.invite())

    expect(ada.row("tools/own")).to_be_visible()
    found = shown(ada.page)

    assert sorted(found) == sorted([*(status.name for status in world.host.plugins), "tools/own"])
    for row in world.get("/api/plugins", token=OPS).json["plugins"]:
        texts = found[row["id"]]
        assert spelled(row["status"]) in spelled(texts["status"])
        assert row["health"] in texts["health"].lower()
        for field in ("key", "kind", "type", "version", "distribution"):
            assert row[field] in texts[field]
        assert str(row["generation"] or "") in texts["generation"]
        assert (row["last_error"] or {"text": ""})["text"] in texts["last_error"]


def test_a_change_of_status_is_seen_within_half_a_second(site, person, tool):
    """
    The page shows it that soon after the host did it, without being asked, and shows each one.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    ada.sees("tools/adder", status="discovered")
    ada.page.evaluate(WATCH, "tools/adder")
    done = []
    for number in range(20):
        word = ("disabled", "discovered")[number % 2]
        done.append((word, time.time()))
        world.host.apply(hotplug.Config.parse("" if number % 2 else "[plugins]\ndisable = ['tools/*']\n"))
        ada.until(lambda word=word: ada.page.evaluate("seen.at(-1).word").lower().endswith(word))

    seen = ada.page.evaluate("seen")[1:]
    delays = sorted(there["at"] - at for there, (_, at) in zip(seen, done, strict=True))
    middle = statistics.median(delays)
    print(f"change → shown: p50 {middle:.3f} s, p95 {delays[18]:.3f} s, max {delays[-1]:.3f} s")
    # Half a second is the promise; that it is kept half of the time can be asked of a machine as busy as any.
    assert middle < 0.5


def test_a_brokers_life_is_seen(site, person, paper):
    """
    What becomes of a connection is shown as it happens, in words, beside its rate limit.
    """
    world = site(paper)
    ada = person(world).arrive(world.app.state.invite())
    broker = world.host.brokers.get("paper")
    ada.sees("brokers/paper", status="ready", type="paper")

    world.host.home.run(broker.disconnect())

    ada.sees("brokers/paper", status="disconnected")
    expect(ada.page.locator("#log")).to_contain_text("disconnected")


def test_a_plugin_is_reloaded_by_its_button(site, person, tool):
    """
    The dialog says what will happen, the next generation stands there without anything else to do.
    """
    tool()
    world = site()
    world.host.tools.get("adder")
    ada = person(world).arrive(world.app.state.invite())
    ada.sees("tools/adder", generation="1", version="1.0")
    tool(version="2.0")

    ada.button("Reload tools/adder").click()
    expect(ada.dialog).to_contain_text("acme-adder")
    ada.button("Reload", ada.dialog).click()

    ada.sees("tools/adder", generation="2", version="2.0")
    expect(ada.outcome).not_to_be_empty()


def test_a_reload_that_fails_is_said_with_its_cause(site, person, tool):
    """
    The old generation serves on; the error stands in the row, and the outcome says that it failed.
    """
    tool()
    world = site()
    world.host.tools.get("adder")
    ada = person(world).arrive(world.app.state.invite())
    tool(answer="1 +", version="2.0")
    ada.does("Reload", "tools/adder")

    ada.sees("tools/adder", generation="1", last_error="SyntaxError")
    expect(ada.outcome).to_contain_text("Failed", ignore_case=True)
    assert world.host.tools["adder"] is not None


def test_a_plugin_is_disabled_and_enabled_by_buttons(site, person, tool):
    """
    The buttons follow what may be done; Cancel does nothing.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    ada.button("Disable tools/adder").click()
    ada.button("Cancel", ada.dialog).click()
    expect(ada.dialog).to_be_hidden()
    ada.sees("tools/adder", status="discovered")

    ada.does("Disable", "tools/adder")
    ada.sees("tools/adder", status="disabled")
    expect(ada.button("Disable tools/adder")).to_have_count(0)
    assert [status.state for status in world.host.plugins] == ["disabled"]

    ada.does("Enable", "tools/adder")
    ada.sees("tools/adder", status="discovered")
    expect(ada.button("Enable tools/adder")).to_have_count(0)
    assert [status.state for status in world.host.plugins] == ["discovered"]


def test_a_refused_action_is_said(site, person, tool):
    """
    What the server says against it is said to the person, in its own words.
    """
    tool()
    world = site("[plugins]\ndisable = ['tools/*']\n")
    ada = person(world).expects(r"status of 409").arrive(world.app.state.invite())
    why = world.post("/api/enable", {"plugin": "tools/adder"}, token=OPS).json["error"]

    ada.does("Enable", "tools/adder")

    expect(ada.outcome).to_contain_text(why)
    ada.sees("tools/adder", status="disabled")


def test_what_comes_and_goes_comes_and_goes_on_the_page(site, person, environment, tool):
    """
    A plugin that is installed gets a row, one that is uninstalled loses it, without a reload of the page.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    expect(ada.row("tools/adder")).to_be_visible()

    tool("other")
    world.host.refresh()
    expect(ada.row("tools/other")).to_be_visible()

    environment.uninstall("acme-adder")
    world.host.refresh()
    expect(ada.row("tools/adder")).to_have_count(0)
    assert ada.page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_names_errors_and_payloads_are_text(site, person, environment):
    """
    Markup in whatever strangers may name, raise or send is read as it was written, and never runs.
    """
    environment.install(
        "acme-evil",
        "1.0",
        advertises={
            "hotplug.tools": {MARKUP: "acme_evil:x", "'\"&amp;": "acme_evil:x", "bad": "acme_evil:x"}
        },
        files={"acme_evil.py": f"raise ValueError({IMAGE!r})\n"},
    )
    world = site()
    with pytest.raises(hotplug.errors.PluginError):
        world.host.tools.get("bad")
    ada = person(world).arrive(world.app.state.invite())
    world.tell("operator", "CUSTOM", name=MARKUP, value=IMAGE)
    world.post("/api/halt", {"reason": IMAGE}, token=OPS)

    ada.sees("tools/bad", last_error=IMAGE)
    expect(ada.page.locator("#events")).to_contain_text("CUSTOM")
    for text in (MARKUP, "'\"&amp;"):
        expect(ada.page.locator("#plugins")).to_contain_text(text)
    expect(ada.page.locator("#log")).to_contain_text(IMAGE)
    assert (
        ada.page.locator(
            ":is(#plugins, #events, #log, #problems, #outcome, #confirm, #halts) :is(script, img)"
        ).count()
        == 0
    )
    ada.button(f"Disable tools/{MARKUP}").click()
    expect(ada.dialog).to_contain_text(MARKUP)
    ada.press("Escape")
    ada.does("Disable", "tools/bad")
    ada.sees("tools/bad", status="disabled")


def test_events_of_the_user_are_shown_newest_first(site, person, tool):
    """
    What the user's runs do is seen as it happens, by its type and with what it says.
    """
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    world.tell("operator", "RUN_STARTED", "TEXT_MESSAGE_CONTENT", "RUN_FINISHED", name="a run of mine")

    expect(ada.page.locator("#events > li[data-type]")).to_have_count(3)
    types = ada.page.locator("#events > li").evaluate_all("all => all.map(each => each.dataset.type)")

    assert types == ["RUN_FINISHED", "TEXT_MESSAGE_CONTENT", "RUN_STARTED"]
    assert all("a run of mine" in text for text in ada.events)


def test_problems_and_halts_are_shown(site, person, environment, paper):
    """
    What is wrong in the environment is listed; that nobody may trade is said where it cannot be overlooked.
    """
    info = environment.install("acme-torn", "1.0", advertises={"hotplug.tools": {"torn": "torn:torn"}})
    (info / "entry_points.txt").write_bytes(b"\xff\xfe[hotplug.tools\n")
    world = site(paper)
    ada = person(world).arrive(world.app.state.invite())
    assert world.host.problems
    for problem in world.host.problems:
        expect(ada.page.locator("#problems")).to_contain_text(problem.reason)

    world.post("/api/halt", {"reason": "the desk is on fire"}, token=OPS)

    expect(ada.page.get_by_text("the desk is on fire").first).to_be_visible()
    assert json.loads(world.get("/api/brokers", token=OPS).body)["halts"]


def test_mounted_into_another_application_it_works_there(site, person, tool):
    """
    Under any path of a FastAPI application the page, its socket, its cookie and its actions are there.
    """
    fastapi = pytest.importorskip("fastapi")

    def around(app):
        outer = fastapi.FastAPI()
        outer.mount("/ops", app)
        return outer

    tool()
    world = site(around=around)
    ada = person(world, "/ops/").arrive(world.app.state.invite())
    ada.does("Disable", "tools/adder")
    ada.sees("tools/adder", status="disabled")
    ada.page.reload()
    ada.sees_live()

    assert [cookie["path"] for cookie in ada.context.cookies()] == ["/ops/"]
