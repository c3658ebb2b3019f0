"""People before the dashboard: who comes in, who sees what, and how it ends."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest

import hotplug
from browser import STRANGER, expect
from hotplug_web import Limits, Principal
from web_site import ADA, BOB, OPS

pytestmark = pytest.mark.real_services

ECHO = """
from hotplug.agents import BaseAgent

class Echo(BaseAgent):
    name = description = "echo"

    async def run(self, task, run):
        run.emit("CUSTOM", {"name": "said", "value": task})
        return task
"""
CALL = """async ([verb, facts]) => {
  const who = await (await fetch("api/session")).json();
  const answer = await fetch(`api/${verb}`, { method: "POST", body: JSON.stringify(facts),
    headers: { "Content-Type": "application/json", "X-CSRF-Token": who.csrf } });
  return answer.status;
}"""


def test_the_links_token_vanishes_and_works_once(site, person):
    """
    It is gone from the address bar and from the history; who comes with it again is asked for another.
    """
    world = site()
    token = world.app.state.invite()
    ada = person(world).arrive(token)

    assert ada.page.url == ada.address
    assert token not in ada.page.content()
    assert not any(
        token in str(store) for store in ada.page.evaluate("[{...localStorage}, {...sessionStorage}]")
    )

    eve = person(world).expects(STRANGER).visit(token)
    expect(eve.page.locator("#login")).to_be_visible()
    assert token not in eve.page.url
    assert eve.rows == []


def test_a_cookie_lets_in_until_one_logs_out(site, person, tool):
    """
    The page can be loaded again; logged out, each window shows nothing any more and asks for a token.
    """
    tool()
    world = site(limits=Limits(heartbeat=0.3))
    ada = person(world).arrive(world.app.state.invite())
    ada.page.reload()
    ada.sees_live()
    expect(ada.row("tools/adder")).to_be_visible()
    other = ada.context.new_page()
    other.goto(ada.address)
    expect(other.locator("#connection")).to_have_attribute("data-state", "live")

    ada.page.get_by_role("button", name=re.compile("log ?out", re.IGNORECASE)).click()

    expect(ada.page.locator("#login")).to_be_visible()
    expect(other.locator("#login")).to_be_visible()
    for page in (ada.page, other):
        assert "tools/adder" not in page.content()
    assert ada.context.cookies() == []
    ada.page.reload()
    expect(ada.page.locator("#login")).to_be_visible()


def test_a_link_opened_where_the_page_is_open_already_counts(site, person):
    """
    The same window becomes another user's: the token vanishes, and nothing of who was there before is left.
    """
    world = site()
    ada = person(world).arrive(world.app.state.invite("ada"))
    world.tell("ada", "CUSTOM", name="for ada alone")
    expect(ada.page.locator("#events")).to_contain_text("for ada alone")
    token = world.app.state.invite("bob")

    ada.visit(token)

    expect(ada.page.locator("header")).to_contain_text("bob")
    ada.sees_live()
    world.tell("bob", "CUSTOM", name="for bob")
    expect(ada.page.locator("#events")).to_contain_text("for bob")
    assert "for ada" not in ada.page.content()
    assert token not in ada.page.url


def test_who_comes_after_another_sees_nothing_of_them(site, person, tool):
    """
    Logged out and in as somebody who may do less, the window shows nothing that was shown before.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite("ada"))
    world.tell("ada", "CUSTOM", name="for ada alone")
    expect(ada.page.locator("#events")).to_contain_text("for ada alone")
    expect(ada.row("tools/adder")).to_be_visible()
    ada.page.get_by_role("button", name="Log out").click()
    ada.log_in(BOB)
    ada.sees_live()

    assert "for ada" not in ada.page.content()
    assert "adder" not in ada.page.content()


def test_a_token_is_typed_in(site, person, tool):
    """
    A wrong one is said to be wrong, the right one lets in; neither stands in the address.
    """
    tool()
    world = site()
    ada = person(world).expects(STRANGER).visit()
    expect(ada.page.locator("#login")).to_be_visible()

    ada.log_in("no such token")
    expect(ada.page.locator("#login")).to_be_visible()
    expect(ada.page.locator("body")).to_contain_text(re.compile("not known|unknown|wrong", re.IGNORECASE))
    ada.log_in(OPS)
    ada.sees_live()

    expect(ada.row("tools/adder")).to_be_visible()
    expect(ada.page.locator("#login")).to_be_hidden()
    assert ada.page.url == ada.address
    expect(ada.page.locator("header")).to_contain_text("ops")


def test_who_is_expired_is_asked_again(site, person, tool):
    """
    When a token ends, the page says so and asks for another, with which it goes on where it is.
    """
    tool()

    async def authenticate(knock):
        seconds = {"short": 2, "long": 1000}.get(knock.get("token") if isinstance(knock, dict) else None)
        return seconds and Principal("ops", {"admin"}, datetime.now(UTC) + timedelta(seconds=seconds))

    world = site(authenticate=authenticate)
    ada = person(world).expects(STRANGER).visit()
    ada.log_in("short")
    ada.until(lambda: any('"board"' in frame for frame in ada.frames))

    expect(ada.page.locator("#login")).to_be_visible()
    expect(ada.page.locator("#connection")).not_to_have_attribute("data-state", "live")
    expect(ada.row("tools/adder")).to_have_count(0)
    ada.log_in("long")

    ada.sees_live()
    expect(ada.row("tools/adder")).to_be_visible()
    expect(ada.page.locator("#login")).to_be_hidden()


def test_who_is_revoked_is_out_at_once(site, person, tool):
    """
    In all windows; what was shown is shown no more.
    """
    tool()
    world = site()
    windows = [person(world).expects(STRANGER).arrive(world.app.state.invite("ada")) for _ in range(2)]
    world.app.state.disconnect("ada")

    for window in windows:
        expect(window.page.locator("#login")).to_be_visible()
        expect(window.row("tools/adder")).to_be_hidden()


def test_a_reader_looks_and_does_nothing(site, person, tool):
    """
    Whoever may only read sees everything, has no button that would do something, and is refused besides.
    """
    tool()
    world = site()
    rita = person(world).expects("status of 403").arrive(world.app.state.invite("rita", {"read"}))
    rita.sees("tools/adder", status="discovered")
    verbs = rita.page.get_by_role(
        "button", name=re.compile("^(Reload|Disable|Enable|Halt|Resume)"), disabled=False
    )

    assert verbs.count() == 0
    for verb, facts in (
        ("disable", {"plugin": "tools/adder"}),
        ("reload", {"distribution": "acme-adder"}),
        ("halt", {"reason": "because"}),
    ):
        assert rita.page.evaluate(CALL, [verb, facts]) == 403
    rita.sees("tools/adder", status="discovered")


def test_a_user_without_scopes_sees_own_events_and_no_plugins(site, person, tool):
    """
    That the dashboard is not for them is said; their own runs are shown.
    """
    tool()
    world = site()
    ada = person(world).arrive(world.app.state.invite("ada", ()))
    world.tell("ada", "RUN_STARTED")

    expect(ada.page.locator("#events > li[data-type=RUN_STARTED]")).to_have_count(1)
    assert ada.rows == []


def test_each_of_two_users_sees_only_their_own_runs(site, person, environment):
    """
    A hundred runs of the same agent by two users at once: all of one's own, and none of the other's.
    """
    environment.install(
        "acme-echo",
        "1.0",
        advertises={"hotplug.agents": {"echo": "acme_echo:Echo"}},
        files={"acme_echo.py": ECHO},
    )
    world = site()
    people = {}
    for user, token in (("ada", ADA), ("bob", BOB)):
        people[user] = person(world).visit()
        people[user].log_in(token)
        people[user].sees_live()

    async def all_runs():
        runs = (
            world.host.agents.run("echo", f"{user} asks {number:02}", hotplug.UserExecutionContext(user))
            for number in range(50)
            for user in people
        )
        await asyncio.gather(*runs)

    runner = threading.Thread(target=lambda: asyncio.run(all_runs()))  # this thread is the browser's
    runner.start()
    runner.join(30)

    for user, other in (("ada", "bob"), ("bob", "ada")):
        them = people[user]
        wanted = {f"{user} asks {number:02}" for number in range(50)}
        them.until(lambda them=them, wanted=wanted: wanted <= said_in(them.frames))
        assert said_in(them.frames) == wanted
        assert not any(f"{other} asks" in frame for frame in them.frames)
        expect(them.page.locator("#events > li")).to_have_count(3 * 50)
        shown = them.page.locator("#events > li").evaluate_all(
            "all => all.map(each => [each.dataset.run, each.dataset.type])"
        )
        runs = {run: [type_ for each, type_ in reversed(shown) if each == run] for run, _ in shown}
        assert len(runs) == 50
        assert set(map(tuple, runs.values())) == {("RUN_STARTED", "CUSTOM", "RUN_FINISHED")}
        assert f"{other} asks" not in them.page.content()


def said_in(frames):
    """What was said in the events among *frames*."""
    return {found for frame in frames for found in re.findall(r"\w+ asks \d\d", frame)}
