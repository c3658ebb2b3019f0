"""``hotplug serve``: what it refuses, what it says, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import hotplug
from hotplug_web import TokenAuthenticator, create_app
from hotplug_web._command import serve
from hotplug_web._demo import DEMO
from hotplug_web._serve import Stop
from hotplug_web._server import server_of
from hotplug_web._welcome import said_of
from web_site import OPS, Site, served, tokens


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing of this machine is looked at, or written to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HOTPLUG_CONFIG", raising=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "ops.example"])
def test_others_are_served_only_with_tokens(address):
    """
    Where others could come, a token file is asked for.
    """
    answer = CliRunner().invoke(serve, ["--host", address])

    assert answer.exit_code == 2
    assert "--token-file" in answer.output


def test_a_port_that_is_taken_is_said_to_be():
    """
    Before any plugin is started.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = CliRunner().invoke(serve, ["--port", str(taken.getsockname()[1])])

    assert answer.exit_code == 1
    assert "in use" in answer.output


def test_a_wrong_token_file_is_said_to_be(tmp_path):
    """
    So is one that others can read.
    """
    (tmp_path / "tokens.toml").write_text("")
    answer = CliRunner().invoke(serve, ["--token-file", "tokens.toml"])

    assert answer.exit_code == 2
    assert "tokens.toml" in answer.output


def test_a_signal_before_it_has_begun_ends_it():
    """
    Who changes their mind while plugins are loaded need not wait.
    """
    stop, reached = Stop(), []
    before = signal.getsignal(signal.SIGTERM)
    with stop.heeded():
        signal.raise_signal(signal.SIGTERM)
        reached.append("after")

    assert reached == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_signal_is_told():
    """
    Once it has begun, a signal asks for the end and interrupts nothing.
    """
    stop, told = Stop(), []
    with stop.heeded():
        stop.on(lambda: told.append("told"))
        signal.raise_signal(signal.SIGINT)
        told.append("after")

    assert told == ["told", "after"]


def test_the_screen_says_what_is_wrong_and_obeys_nobody(environment):
    """
    Plugins by kind, those that need attention with what would help; control characters are shown, not sent.
    """
    environment.install("acme-a", "1.0", advertises={"hotplug.tools": {"red\x1b[31m": "a:a"}}, files={})
    environment.install("acme-b", "1.0", advertises={"hotplug.tools": {"same": "b:b"}}, files={})
    environment.install("acme-c", "1.0", advertises={"hotplug.tools": {"same": "c:c"}}, files={})
    with hotplug.Host(path=environment.path, cache=False) as host:
        text = said_of(host, "http://127.0.0.1:1/", "http://127.0.0.1:1/#token=x")

    assert "need" in text
    assert "conflict" in text
    assert "\x1b" not in text
    assert "http://127.0.0.1:1/#token=x" in text
    assert "Ctrl-C" in text


@pytest.mark.parametrize(
    ("missing", "arguments", "plays"),
    [
        (None, [], True),
        (None, ["--no-demo"], False),
        ("hotplug-tools-market", [], False),
        ("hotplug-tools-market", ["--demo"], True),
    ],
)
def test_something_plays_where_nothing_is_configured(environment, monkeypatch, missing, arguments, plays):
    """
    If all the plugins of the demo are there, and nobody said no.
    """
    wishes = []
    monkeypatch.setattr(
        "hotplug_web._serve.serve_until_told", lambda host, at, wish, stop: wishes.append(wish)
    )
    for (kind, name), whose in DEMO.items():
        if whose != missing:
            environment.install(whose, "1.0", advertises={f"hotplug.{kind}": {name: "nowhere:nothing"}})
    scene = SimpleNamespace(path=environment.path, config_file=None)
    answer = CliRunner().invoke(serve, ["--port", "0", *arguments], obj=scene)

    assert answer.exit_code == 0, answer.output
    assert [wish.demo for wish in wishes] == [plays]


def test_nothing_plays_where_something_is_configured(environment, monkeypatch, tmp_path):
    """
    Whose plugins they are decides what they do.
    """
    wishes = []
    monkeypatch.setattr(
        "hotplug_web._serve.serve_until_told", lambda host, at, wish, stop: wishes.append(wish)
    )
    for (kind, name), whose in DEMO.items():
        environment.install(whose, "1.0", advertises={f"hotplug.{kind}": {name: "nowhere:nothing"}})
    (tmp_path / "hotplug.toml").write_text("")
    scene = SimpleNamespace(path=environment.path, config_file=None)
    CliRunner().invoke(serve, ["--port", "0", "--proxy", "192.0.2.1"], obj=scene)

    assert [(wish.demo, wish.proxies) for wish in wishes] == [(False, ("192.0.2.1",))]


def test_a_proxy_is_believed_and_nobody_else(environment, tmp_path, monkeypatch):
    """
    Behind one that was named, limits and the journal go by who is behind it, cookies by how that one came.
    """
    make = {
        "believed": lambda app, limits: server_of(app, limits, ["127.0.0.1"]),
        "not": lambda app, limits: server_of(app, limits, ["192.0.2.1"]),
    }
    forwarded = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
    seen = {}
    with hotplug.Host(path=[], cache=False) as host:
        for name, maker in make.items():
            app = create_app(host, authenticate=TokenAuthenticator(tokens()), data=tmp_path / name)
            with served(app, app.state.manager.limits, maker) as port:
                world = Site(host, app, port)
                login = world.post("/api/session", {"token": OPS}, headers=forwarded)
                world.post("/api/reload", {"distribution": "none"}, token=OPS, headers=forwarded)
                journal = (tmp_path / name / "actions.jsonl").read_text().splitlines()
                seen[name] = "Secure" in login.headers["set-cookie"], json.loads(journal[0])["address"]

    assert seen == {"believed": (True, "198.51.100.7"), "not": (False, "127.0.0.1")}


def test_the_help_has_every_option():
    """
    With what it is for, and what it is without.
    """
    text = CliRunner().invoke(serve, ["--help"]).output

    for option in (
        "--host",
        "--port",
        "--token-file",
        "--allow-host",
        "--proxy",
        "--open",
        "--no-demo",
        "--config",
    ):
        assert option in text
    assert "127.0.0.1" in text
    assert "SIGTERM" in text


def test_no_server_is_imported_to_list(tmp_path):
    """
    Who lists plugins does not wait for a web server, though it is installed.
    """
    script = (
        "import sys, runpy\n"
        "sys.argv = ['hotplug', 'list']\n"
        "try:\n    runpy.run_module('hotplug', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'starlette', 'uvicorn', 'websockets'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)

    assert done.stderr.splitlines()[-1] == "[]"
