"""The dashboard's news: what is told, when, to whom."""

from __future__ import annotations

import re
import time
from pathlib import Path

from hotplug import UserExecutionContext
from web_site import ADA, OPS, until

READER = "reader-token"


def apply(rows, frame):
    """*rows* as the page has them after *frame*."""
    if frame["type"] == "board":
        rows.clear()
    rows.update({row["id"]: row for row in frame["rows"]})
    for name in frame.get("gone", ()):
        del rows[name]
    return rows


def watching(world, token=OPS):
    client = world.enter(token)
    client.say(type="watch")
    client.rows = apply({}, client.until("board"))
    return client


def test_a_watcher_sees_everything_then_what_changes(site, tool):
    """
    A snapshot first, then rows that differ, with the log beside them.
    """
    tool()
    world = site()
    client = watching(world)
    assert client.rows["tools/adder"]["state"] == "discovered"

    world.host.tools.get("adder")
    frame = client.until("board.delta")

    assert [row["id"] for row in frame["rows"]] == ["tools/adder"]
    assert apply(client.rows, frame)["tools/adder"]["state"] == "loaded"


def test_a_change_is_seen_within_half_a_second(site, tool):
    """
    Even one that nobody tells of; measured from the change to the frame, with room for a busy machine.
    """
    tool()
    world = site()
    client = watching(world)
    delays = []
    for name in ("first", "second", "third"):
        begun = time.monotonic()
        undo = world.host.tools.register(name, world.host.tools.get("adder"))
        while name not in {row["key"] for row in client.until("board.delta")["rows"]}:
            pass
        delays.append(time.monotonic() - begun)
        undo()

    assert min(delays) < 0.5


def test_who_goes_is_told(site, tool):
    """
    An uninstalled plugin's row goes, a new one's comes.
    """
    tool()
    world = site()
    client = watching(world)
    world.post("/api/disable", {"plugin": "tools/adder"}, token=OPS)

    until(lambda: apply(client.rows, client.until("board.delta"))["tools/adder"]["state"] == "disabled")

    tool("other")
    world.host.refresh()
    until(lambda: "tools/other" in apply(client.rows, client.until("board.delta")))


def test_readers_watch_and_users_do_not(site, tool):
    """
    The board needs a scope; who has none is told so and stays connected.
    """
    tool()
    world = site()
    watching(world, READER)
    client = world.enter(ADA)
    client.say(type="watch")

    assert "scope" in client.until("error")["why"]
    client.say(type="ping")
    client.until("pong")


def test_nothing_is_looked_at_while_nobody_watches(site, tool):
    """
    The first watcher begins it, the last one ends it.
    """
    tool()
    world = site()
    board = world.app.state.board
    world.host.tools.get("adder")
    assert board.looks == 0

    client = watching(world)
    other = watching(world)
    assert board.watchers == 2
    client.say(type="unwatch")
    other.connection.close()
    until(lambda: board.watchers == 0 and not board._view._listeners)
    looks = board.looks
    world.host.reload("acme-adder")
    client.say(type="ping")
    client.until("pong")

    assert board.looks == looks
    client.say(type="watch")
    assert client.until("board")["rows"][0]["generation"] == 2


def test_a_board_is_made_once_for_all_who_watch(site, tool, monkeypatch):
    """
    Ten watchers of a change cost one look and one text.
    """
    tool()
    world = site()
    clients = [watching(world) for _ in range(8)]
    from hotplug_web import _board

    made = []
    original = _board.frame
    monkeypatch.setattr(_board, "frame", lambda *a, **k: made.append(a) or original(*a, **k))
    world.host.tools.get("adder")
    for client in clients:
        client.until("board.delta")

    assert len(made) == 1


def test_actions_and_broker_news_are_in_the_log(site, paper):
    """
    Who did what, and what gateways came into, stands in the log of whoever watches, later on as well.
    """
    world = site(paper)
    client = watching(world)
    world.post("/api/halt", {"reason": "drill"}, token=OPS)
    texts = []
    until(
        lambda: (
            texts.extend(line["text"] for line in client.until("board.delta")["log"])
            or "halt by ops: done" in texts
        )
    )
    late = world.enter(READER)
    late.say(type="watch")
    frame = late.until("board")

    assert "halt by ops: reason drill" in [line["text"] for line in frame["log"]]
    assert frame["halts"][0]["reason"] == "drill"
    numbers = [line["number"] for line in frame["log"]]
    assert numbers == sorted(set(numbers))


def test_a_broker_is_shown_with_its_gauge(site, paper):
    """
    Status, health and how full its fullest window is.
    """
    row = watching(site(paper)).rows["brokers/paper"]

    assert (row["status"], row["health"], row["type"]) == ("ready", "healthy", "paper")
    assert 0 <= row["rate_limit"] <= 1


def test_problems_are_shown_with_where_they_are(site, environment):
    """
    A broken dist-info is on the board.
    """
    environment.install("acme-torn", "1.0", advertises={"hotplug.tools": {"torn": "torn:torn"}}, files={})
    [folder] = environment.folder.glob("acme_torn*.dist-info")
    (folder / "entry_points.txt").write_bytes(b"\xff\xfe[")
    world = site()
    client = world.enter(OPS)
    client.say(type="watch")

    [problem] = client.until("board")["problems"]

    assert "entry_points.txt" in problem["path"]


def test_names_are_told_as_they_are(site, environment):
    """
    Markup in a name is text in JSON, for the page to show as text.
    """
    name = "<img src=x onerror=alert(1)>"
    world = site()
    world.host.tools.register(name, _tool(environment, world))
    row = watching(world).rows[f"tools/{name}"]

    assert (row["key"], row["source"], row["can"]) == (name, "application", [])


def _tool(environment, world):
    environment.install(
        "acme-x",
        "1.0",
        advertises={"hotplug.tools": {"x": "acme_x:x"}},
        files={"acme_x.py": "def x() -> int:\n    return 1\n"},
    )
    world.host.refresh()
    return world.host.tools.get("x")


def test_own_events_come_between_the_news(site, tool):
    """
    Who watches hears its own events as before.
    """
    tool()
    world = site()
    client = watching(world)
    world.host.events.emit(UserExecutionContext("ops"), "CUSTOM")

    assert client.events(1)[0]["user_id"] == "ops"


def test_who_falls_behind_gets_a_snapshot(site):
    """
    More changes than are kept lead to everything once more, not to a gap.
    """
    import asyncio

    from hotplug_web._board import DELTAS, Board
    from hotplug_web._rows import Picture, View

    world = site()
    board = Board(View(world.host))
    pictures = iter(Picture({"a": {"n": n}}, [], [], [], {}) for n in range(1000))

    async def play():
        frames = board.frames()
        board._look = asyncio.Event().wait
        board._compare(next(pictures))
        first = await anext(frames)
        for _ in range(3):
            board._compare(next(pictures))
        few = [await anext(frames) for _ in range(3)]
        for _ in range(DELTAS + 5):
            board._compare(next(pictures))
        many = await anext(frames)
        await frames.aclose()
        return first, few, many

    first, few, many = asyncio.run(play())

    assert '"type":"board"' in first
    assert all("board.delta" in each for each in few)
    assert '"type":"board"' in many
    assert f'"n":{DELTAS + 8}' in many


def test_the_contract_has_every_field_of_a_row(site, paper):
    """
    What the page may rely on is written down, and is all there is.
    """
    text = (Path(__file__).parents[1] / "CONTRACT.md").read_text()
    table = text.partition("A row (")[2].partition("`problems`")[0]
    named = [
        name for line in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", line)
    ]

    world = site(paper)
    for row in world.get("/api/plugins", token=OPS).json["plugins"]:
        assert sorted(row) == sorted(named)
