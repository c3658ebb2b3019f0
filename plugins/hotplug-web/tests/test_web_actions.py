"""What an admin may do from afar, and what is written down of it."""

from __future__ import annotations

import json

from hotplug_web import Limits
from web_site import ADA, OPS

READER = "reader-token"
VERBS = {
    "reload": {"distribution": "acme-adder"},
    "disable": {"plugin": "tools/adder"},
    "enable": {"plugin": "tools/adder"},
    "halt": {"reason": "drill"},
    "resume": {"reason": "drill over"},
}


def journal(world):
    file = world.host.data / "web" / "actions.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_only_admins_act(site, tool, paper):
    """
    Others are refused, whatever they ask for, and nothing happens.
    """
    tool()
    world = site(paper)
    before = world.host.plugins

    for verb, body in VERBS.items():
        statuses = [
            world.post(f"/api/{verb}", body, token=token).status
            for token in (None, "forged", ADA, READER, "metrics-token")
        ]
        assert statuses == [401, 401, 403, 403, 403]
    assert world.host.plugins == before
    assert world.host.brokers.halts() == ()
    assert journal(world) == []


def test_a_reload_makes_the_next_generation(site, tool):
    """
    The code as it is now serves, and who did it is written down, before and after.
    """
    tool(answer="1")
    world = site()
    assert world.host.tools.get("adder")
    tool(answer="2", version="1.1")

    answer = world.post("/api/reload", VERBS["reload"], token=OPS)

    assert (answer.status, answer.json["outcome"], answer.json["journalled"]) == (200, "done", True)
    assert answer.json["changed"] == ["tools/adder"]
    asked, done = journal(world)
    assert asked["id"] == done["id"]
    assert (asked["event"], asked["user"], asked["address"], asked["action"], asked["asked"]) == (
        "asked",
        "ops",
        "127.0.0.1",
        "reload",
        VERBS["reload"],
    )
    assert (done["event"], done["outcome"]) == ("done", "done")
    assert (world.host.data / "web" / "actions.jsonl").stat().st_mode & 0o077 == 0


def test_a_reload_that_fails_says_so(site, tool, environment):
    """
    What cannot be loaded is in ``failed``; the old generation serves on.
    """
    tool()
    world = site()
    world.host.tools.get("adder")
    (environment.folder / "acme_adder.py").write_text("1/0\n")

    answer = world.post("/api/reload", VERBS["reload"], token=OPS)

    assert (answer.status, answer.json["outcome"], answer.json["failed"]) == (200, "failed", ["tools/adder"])
    assert journal(world)[-1]["outcome"] == "failed"
    assert world.host.tools.get("adder")


def test_what_is_not_there_is_not_acted_on(site, tool):
    """
    404, and what was tried is written down.
    """
    tool()
    world = site()

    assert world.post("/api/reload", {"distribution": "nobody"}, token=OPS).status == 404
    assert world.post("/api/disable", {"plugin": "tools/nobody"}, token=OPS).status == 404
    assert [line.get("outcome") for line in journal(world)] == [None, "refused", None, "refused"]


def test_what_is_disabled_is_withdrawn_and_comes_back(site, tool):
    """
    A disabled plugin is nobody's to get; enabled, it serves again. How to keep that is said.
    """
    tool()
    tool("other")
    world = site()

    disabled = world.post("/api/disable", VERBS["disable"], token=OPS)
    assert disabled.json["removed"] == ["tools/adder"]
    assert "[plugins] disable" in disabled.json["keep"]
    assert world.host.tools.keys() == ("other",)

    enabled = world.post("/api/enable", VERBS["enable"], token=OPS)
    assert enabled.json["added"] == ["tools/adder"]
    assert set(world.host.tools.keys()) == {"adder", "other"}


def test_a_key_of_the_configuration_is_disabled_by_its_plugin(site, environment, tool):
    """
    What stands under a table's key goes when its plugin is disabled.
    """
    tool()
    world = site('[tools.plus]\nplugin = "adder"\n')

    assert world.post("/api/disable", {"plugin": "tools/plus"}, token=OPS).json["removed"] == ["tools/plus"]
    assert world.host.tools.keys() == ()


def test_what_a_pattern_disables_stays_so(site, tool):
    """
    The configuration's own words are changed there, not here: 409.
    """
    tool()
    world = site('[plugins]\ndisable = ["tools/a*"]\n')

    assert world.post("/api/enable", VERBS["enable"], token=OPS).status == 409


def test_a_halt_holds_until_it_is_resumed(site, paper):
    """
    The brake of the brokers, with its reason, for everybody or one user.
    """
    world = site(paper)

    answer = world.post("/api/halt", {"reason": "drill", "user": "ada"}, token=OPS)

    assert (answer.status, answer.json["outcome"], answer.json["orders"]) == (200, "done", 0)
    [halt] = world.host.brokers.halts()
    assert (halt.reason, halt.user, halt.key) == ("drill", "ada", None)
    assert world.get("/api/brokers", token=OPS).json["halts"][0]["reason"] == "drill"
    assert world.post("/api/resume", {"reason": "over", "user": "ada"}, token=OPS).json["halts"] == []


def test_what_makes_no_sense_is_refused(site, paper):
    """
    A slip of the pen halts and reloads nothing.
    """
    world = site(paper)
    slips = [
        ("halt", {}, 400),
        ("halt", {"reason": " "}, 400),
        ("halt", {"reason": "x", "key": "nobody"}, 404),
        ("halt", {"reason": "x", "cancel": "yes"}, 400),
        ("halt", {"reason": "x", "users": "ada"}, 400),
        ("reload", {}, 400),
        ("reload", {"distribution": 1}, 400),
        ("reload", {"distribution": ""}, 400),
        ("disable", {"plugin": ["tools/adder"]}, 400),
    ]

    for verb, body, status in slips:
        assert world.post(f"/api/{verb}", body, token=OPS).status == status, (verb, body)
    assert world.host.brokers.halts() == ()


def test_without_a_journal_only_the_brake_works(site, paper, tool):
    """
    What cannot be written down is not done, but that trade is halted waits for no disk.
    """
    tool()
    world = site(paper)
    (world.host.data / "web" / "actions.jsonl").mkdir(parents=True)

    assert world.post("/api/reload", VERBS["reload"], token=OPS).status == 503
    halted = world.post("/api/halt", VERBS["halt"], token=OPS)

    assert (halted.status, halted.json["journalled"]) == (200, False)
    assert len(world.host.brokers.halts()) == 1


def test_calls_are_limited(site, paper):
    """
    Who calls too often is told to wait.
    """
    world = site(paper, limits=Limits(calls=0.001, burst=2))

    statuses = [world.post("/api/resume", {"reason": "x"}, token=OPS).status for _ in range(3)]

    assert statuses == [200, 200, 429]


def test_a_slow_reload_stops_nobody_else(site, tool, environment):
    """
    While a plugin is loaded, pages, events and the brake answer.
    """
    import threading

    environment.install(
        "acme-slow",
        "1.0",
        advertises={"hotplug.tools": {"slow": "acme_slow:slow"}},
        files={
            "acme_slow.py": "import web_gate\nweb_gate.entered.set()\nassert web_gate.gate.wait(25)\n"
            "def slow() -> int:\n    return 1\n"
        },
    )
    import sys
    import types

    gate = types.ModuleType("web_gate")
    gate.entered, gate.gate = threading.Event(), threading.Event()
    gate.gate.set()
    sys.modules["web_gate"] = gate
    try:
        world = site("")
        world.host.tools.get("slow")
        gate.gate.clear()
        gate.entered.clear()
        reloading = threading.Thread(
            target=lambda: world.post("/api/reload", {"distribution": "acme-slow"}, token=OPS)
        )
        reloading.start()
        assert gate.entered.wait(10)

        assert world.get("/healthz").status == 200
        client = world.enter(ADA)
        world.tell("ada", "CUSTOM")
        assert client.events(1)
        assert world.post("/api/halt", VERBS["halt"], token=OPS).status == 200

        gate.gate.set()
        reloading.join(10)
        assert not reloading.is_alive()
    finally:
        gate.gate.set()
        del sys.modules["web_gate"]
