"""Lines that break: servers that go and come, and what the page makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest

from browser import CUT_OFF, Wire, expect
from hotplug import UserExecutionContext
from hotplug.events import EventHub
from hotplug_web import Limits, create_app
from web_site import served, until

pytestmark = pytest.mark.real_services

COUNTS = 60
RING = 50  # events that a user's ring holds


@pytest.fixture
def wire():
    """Call it to put a wire before a site."""
    with contextlib.ExitStack() as stack:
        yield lambda place: stack.enter_context(Wire(place.port))


@pytest.fixture
def serve(tmp_path, environment):
    """Starts ``hotplug serve`` on a port, in a process of its own."""
    running = []

    def start(port=0):
        child = subprocess.Popen(
            [sys.executable, "-m", "hotplug", "serve", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": str(environment.folder),
                "HOTPLUG_DATA": str(tmp_path / "data"),
                "HOTPLUG_CACHE": str(tmp_path / "cache"),
            },
        )
        running.append(child)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(child.stdout.readline, "")))
        threads.append(reader)
        reader.start()
        link = until(lambda: re.search(r"http://[^/]*:(\d+)/#token=(\S+)", "".join(lines)), 60)
        return SimpleNamespace(child=child, port=int(link[1]), token=link[2])

    threads = []
    yield start
    for child in running:
        child.kill()
        child.wait()
    for thread in threads:
        thread.join(10)
    for child in running:
        child.stdout.close()


def test_a_server_that_was_killed_is_live_again(serve, person, tool):
    """
    Killed and started on the same port: the page says offline, then is live by itself and shows what is new.
    """
    tool()
    first = serve()
    ada = person(first).expects(CUT_OFF).arrive(first.token)
    expect(ada.row("tools/adder")).to_be_visible()
    ada.page.evaluate("window.same = true")

    first.child.send_signal(signal.SIGKILL)
    first.child.wait()
    expect(ada.page.locator("#connection")).not_to_have_attribute("data-state", "live")
    tool("newer")
    serve(first.port)

    ada.sees_live()
    expect(ada.row("tools/newer")).to_be_visible()
    ada.does("Disable", "tools/newer")
    ada.sees("tools/newer", status="disabled")
    assert ada.page.evaluate("window.same")
    assert len(ada.rows) == len(set(ada.rows))


def test_nothing_is_lost_or_twice_where_lines_are_cut(site, person, wire):
    """
    Cut again and again while eight threads emit, the page has each event once, in the order of its cursors.
    """
    world = site()
    line = wire(world)
    ada = person(line).expects(CUT_OFF).arrive(world.app.state.invite())
    for each in range(3):
        threads = [threading.Thread(target=tell, args=(world, f"{each}-{thread}")) for thread in range(8)]
        for thread in threads:
            thread.start()
        assert line.cut()
        for thread in threads:
            thread.join()
        ada.until(lambda each=each: len(told_in(ada.frames)) == (each + 1) * COUNTS)
        ada.sees_live()

    cursors = [
        (event["cursor"].partition(":")[0], int(event["cursor"].partition(":")[2]))
        for event in events_in(ada.frames)
    ]
    told = told_in(ada.frames)
    shown = [re.search(r"\d-\d-\d\d", text)[0] for text in ada.events]

    assert len(set(told)) == len(told) == 3 * COUNTS
    assert cursors == sorted(set(cursors))
    assert not any(event["type"] == "GAP" for event in events_in(ada.frames))
    assert shown == told[::-1][: len(shown)]
    assert len(shown) >= COUNTS


def tell(world, who):
    """A part of the events that are told between two cuts."""
    number = int(who[-1])
    for count in range(number, COUNTS, 8):
        world.tell("operator", "CUSTOM", name=f"{who}-{count:02}")


def events_in(frames):
    """The events among *frames*, in order."""
    return [found for found in map(json.loads, frames) if "cursor" in found]


def told_in(frames):
    """The names of the events among *frames*."""
    return [event["payload"]["name"] for event in events_in(frames) if event["type"] == "CUSTOM"]


def test_events_outlive_an_orderly_restart_of_the_server(site, person, tmp_path):
    """
    The host goes on, what serves it goes and comes: nobody logs in anew, nothing is lost or comes twice.
    """
    host = site().host

    def tell_ten(name):
        for number in range(10):
            host.events.emit(UserExecutionContext("ada"), "CUSTOM", {"name": f"{name} {number}"})

    first, second = (create_app(host, data=tmp_path / "web") for _ in range(2))
    with Wire() as line:
        with served(first, Limits()) as line.target:
            ada = person(line).expects(CUT_OFF).arrive(first.state.invite("ada"))
            tell_ten("before")
            ada.until(lambda: len(told_in(ada.frames)) == 10)
        tell_ten("meanwhile")
        with served(second, Limits()) as line.target:
            ada.until(lambda: len(told_in(ada.frames)) >= 20)
            ada.sees_live()
            tell_ten("after")
            ada.until(lambda: len(told_in(ada.frames)) >= 30)
            expect(ada.page.locator("#events > li")).to_have_count(30)

    wanted = [f"{name} {number}" for name in ("before", "meanwhile", "after") for number in range(10)]
    assert told_in(ada.frames) == wanted
    assert all(text.endswith(name) for text, name in zip(ada.events, reversed(wanted), strict=True))


def test_a_line_that_is_cut_is_said_and_mended(site, person, wire, tool):
    """
    While there is no server, the page says so, and keeps what it showed; afterwards it shows what is true.
    """
    tool()
    world = site()
    line = wire(world)
    ada = person(line).expects(CUT_OFF).arrive(world.app.state.invite())
    ada.sees("tools/adder", status="discovered")

    line.close_door()
    expect(ada.page.locator("#connection")).not_to_have_attribute("data-state", "live")
    expect(ada.row("tools/adder")).to_be_visible()
    world.host.tools.get("adder")
    line.open_door()

    ada.sees("tools/adder", status="loaded")
    ada.sees_live()


def test_a_server_that_says_nothing_is_not_believed_to_be_there(site, person, wire):
    """
    A line on which not even signs of life come is given up; when they come again, all that was told is there.
    """
    world = site(limits=Limits(heartbeat=0.3))
    line = wire(world)
    ada = person(line).expects(CUT_OFF).arrive(world.app.state.invite())
    line.freeze()
    world.tell("operator", "CUSTOM", name="meanwhile")
    expect(ada.page.locator("#connection")).not_to_have_attribute("data-state", "live")
    assert told_in(ada.frames) == []
    line.thaw()

    ada.sees_live()
    expect(ada.page.locator("#events > li")).to_have_count(1)
    expect(ada.page.locator("#events > li")).to_contain_text("meanwhile")


def test_a_gap_is_said(site, person, wire, monkeypatch):
    """
    What was lost for good, because the ring is bounded, is shown as a gap, once.
    """
    monkeypatch.setattr("hotplug._host._host.EventHub", partial(EventHub, max_events=RING))
    world = site()
    line = wire(world)
    ada = person(line).expects(CUT_OFF).arrive(world.app.state.invite())
    world.tell("operator", "CUSTOM", name="0-0-00")
    ada.until(lambda: told_in(ada.frames))
    line.close_door()
    for count in range(2 * RING):
        world.tell("operator", "CUSTOM", name=f"1-0-{count:02}")
    line.open_door()

    expect(ada.page.locator("#events > li[data-type=GAP]")).to_have_count(1)
    expect(ada.page.locator("#events > li").first).to_contain_text(f"1-0-{2 * RING - 1:02}")
