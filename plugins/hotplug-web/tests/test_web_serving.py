"""``hotplug serve`` as a process: started, looked at, told to end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from websockets.sync.client import connect

from web_site import until

HANGING = """
import asyncio
from hotplug.services import Service

class Hanging(Service):
    async def start(self): ...
    async def stop(self):
        await asyncio.Event().wait()
    async def health(self):
        from hotplug import Health
        return Health("healthy")
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing of this machine is looked at, or written to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HOTPLUG_CONFIG", raising=False)


@pytest.fixture
def process(tmp_path):
    """Starts ``hotplug serve``; what it said is in *lines*."""
    running = []

    def start(*arguments, folder=""):
        child = subprocess.Popen(
            [sys.executable, "-m", "hotplug", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": folder,
                "HOTPLUG_CACHE": str(tmp_path / "cache"),
            },
        )
        running.append(child)
        lines = []
        # One line at a time, as they come.
        reader = threading.Thread(target=lambda: [lines.append(line) for line in child.stdout])
        reader.start()
        link = until(lambda: next((line for line in lines if "  open  " in line), None), 60)
        found = re.search(r"http://([^/]*):(\d+)/(?:#token=(\S+))?", link)
        return SimpleNamespace(
            child=child, lines=lines, reader=reader, port=int(found[2]), token=found[3], link=link
        )

    yield start
    for child in running:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        method, path, body and json.dumps(body), {"Content-Type": "application/json", **headers}
    )
    response = connection.getresponse()
    answer = SimpleNamespace(status=response.status, headers=response.headers, body=response.read())
    connection.close()
    return answer


@pytest.mark.real_services
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_and_ends_in_order(process, number):
    """
    Without any configuration it shows what is installed; a signal tells clients, closes all, and is success.
    """
    site = process()
    login = ask(site.port, "POST", "/api/session", {"token": site.token})
    assert login.status == 200
    cookie = login.headers["set-cookie"].partition(";")[0]
    plugins = json.loads(ask(site.port, "GET", "/api/plugins", Cookie=cookie).body)["plugins"]
    assert "brokers/paper" in {row["id"] for row in plugins}
    until(lambda: any("another browser" in line for line in site.lines))
    origin = f"http://127.0.0.1:{site.port}"
    with connect(
        f"ws://127.0.0.1:{site.port}/ws",
        additional_headers={"Cookie": cookie},
        origin=origin,
        compression=None,
    ) as client:
        client.recv()
        site.child.send_signal(number)
        with pytest.raises(Exception, match="1001"):
            while True:
                client.recv(10)

    assert site.child.wait(20) == 0
    site.reader.join(10)
    assert "stopped: everything is closed\n" in site.lines
    assert site.child.stderr.read() == ""


@pytest.mark.real_services
def test_a_second_signal_forces(process, environment, tmp_path):
    """
    A plugin that does not end cannot keep it from ending.
    """
    environment.install(
        "acme-hanging",
        "1.0",
        advertises={"hotplug.services": {"hanging": "acme_hanging:Hanging"}},
        files={"acme_hanging.py": HANGING},
    )
    config = tmp_path / "hanging.toml"
    config.write_text("[host]\ndrain_timeout = 600\n[services.hanging]\n")
    site = process("--config", str(config), folder=str(environment.folder))
    site.child.send_signal(signal.SIGTERM)
    until(lambda: any(line.startswith("stopping") for line in site.lines))
    assert site.child.poll() is None
    site.child.send_signal(signal.SIGTERM)

    assert site.child.wait(20) == 128 + signal.SIGTERM
    assert "forced" in site.child.stderr.read()


@pytest.mark.real_services
def test_elsewhere_tokens_let_in(process, tmp_path):
    """
    With a token file it may be reached from anywhere; no link is printed, and nothing is open but a word.
    """
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[principal]]\nuser = "ada"\ntoken = "secret"\nscopes = ["admin"]\n')
    tokens.chmod(0o600)
    site = process("--host", "0.0.0.0", "--token-file", str(tokens))

    assert site.token is None
    assert ask(site.port, "GET", "/api/plugins").status == 401
    assert ask(site.port, "GET", "/api/plugins", Authorization="Bearer secret").status == 200
    assert ask(site.port, "GET", "/healthz", Host="rebound.example").status == 400
    site.child.send_signal(signal.SIGTERM)
    assert site.child.wait(20) == 0
    assert "secret" not in site.child.stderr.read() + "".join(site.lines)


@pytest.mark.real_services
def test_its_own_name_is_answered_where_it_listens_everywhere(process, tmp_path):
    """
    The address that it prints is one that works.
    """
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[principal]]\nuser = "ada"\ntoken = "secret"\nscopes = ["admin"]\n')
    tokens.chmod(0o600)
    site = process("--host", "0.0.0.0", "--token-file", str(tokens))
    name = re.search("http://([^/]*)/", site.link)[1]

    assert ask(site.port, "GET", "/healthz", Host=name).status == 200


@pytest.mark.real_services
def test_the_demo_moves(process):
    """
    Without any configuration strategies trade on paper, an agent answers, and both are seen on the page.
    """
    site = process()
    assert any("--no-demo" in line for line in until(lambda: len(site.lines) > 8 and site.lines))
    login = ask(site.port, "POST", "/api/session", {"token": site.token})
    cookie = login.headers["set-cookie"].partition(";")[0]
    with connect(
        f"ws://127.0.0.1:{site.port}/ws?after=start",
        additional_headers={"Cookie": cookie},
        origin=f"http://127.0.0.1:{site.port}",
        compression=None,
    ) as client:
        client.send('{"type": "watch"}')
        equity, types = set(), set()
        while len(equity) < 5 or "RUN_FINISHED" not in types:
            frame = json.loads(client.recv(30))
            types.add(frame["type"])
            equity |= {str(run["equity"][-1:]) for run in frame.get("runs", ())}
    site.child.send_signal(signal.SIGINT)

    assert site.child.wait(20) == 0
    assert site.child.stderr.read() == ""


@pytest.mark.real_services
def test_who_started_it_may_stop_listening(tmp_path):
    """
    With nobody at the other end of its output it serves on, and a signal ends it in order.
    """
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    child = subprocess.Popen(
        [sys.executable, "-m", "hotplug", "serve", "--no-demo", "--port", str(port)],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "HOTPLUG_CACHE": str(tmp_path / "cache"), "TERM": "dumb"},
    )
    try:
        child.stdout.close()

        def answers():
            try:
                return ask(port, "GET", "/healthz").status == 200
            except OSError:
                return False

        until(answers, 60)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.real_services
def test_a_signal_while_plugins_start_ends_it(environment, tmp_path):
    """
    Who changes their mind need not wait for a plugin that takes its time.
    """
    environment.install(
        "acme-slow",
        "1.0",
        advertises={"hotplug.services": {"slow": "acme_slow:Slow"}},
        files={"acme_slow.py": "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n"},
    )
    (tmp_path / "hotplug.toml").write_text("[services.slow]\n")
    child = subprocess.Popen(
        [sys.executable, "-m", "hotplug", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "HOTPLUG_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(environment.folder),
        },
    )
    try:
        until((tmp_path / "begun").exists, 60)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()

    assert (child.returncode, err) == (0, "")
    assert "stopped" in out
