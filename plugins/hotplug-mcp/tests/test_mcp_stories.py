"""Real processes: the official client, and real installers beside a server that runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest
from mcp import StdioServerParameters

from hotplug.testing._wheel import build_wheel
from installing import Installer, finish
from mcp_clients import MAJOR, MODES, YES, talking, text_of

pytestmark = pytest.mark.real_services

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0

PING = """\
import hotplug

@hotplug.tool(read_only=True)
def ping() -> str:
    "Answer {0}."
    return "pong {0}"
"""
WIPE = """\
import pathlib
import hotplug

@hotplug.tool
def wipe(file: str) -> str:
    pathlib.Path(file).unlink()
    return "gone"
"""
LOUD = """\
import os, subprocess, sys
import hotplug

print("imported")
os.write(1, b"imported, lower down\\n")

@hotplug.tool(read_only=True)
def loud() -> str:
    print("called")
    sys.__stdout__.write("called, behind the back\\n")
    os.write(1, b"called, lower down\\n")
    subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
    return repr(sys.stdin.read())
"""


@pytest.fixture
def venv(tmp_path):
    """An environment of its own that has everything that this one has, and whatever is installed into it."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder), "platbase": str(folder)}))
    ours = sysconfig.get_path("purelib")
    (site / "zz_ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return folder


@pytest.fixture(params=["pip", "uv"])
def installer(request, venv, tmp_path):
    return Installer(request.param, venv, tmp_path / "uv-cache")


def wheel(folder, name, code, version="1.0"):
    advertises = {"hotplug.tools": {name: f"acme_{name}:{name}"}}
    return build_wheel(
        folder, f"acme-{name}", version, advertises=advertises, files={f"acme_{name}.py": code}
    )


def command(venv, *options):
    return [str(venv / "bin" / "python"), "-m", "hotplug", "mcp", "serve", "--user", "ada", *options]


def surroundings(tmp_path):
    (tmp_path / "hotplug.toml").write_text('[tools.wipe]\noffer = ["ada"]\n')
    return os.environ | {"HOTPLUG_CACHE": str(tmp_path / "cache"), "HOTPLUG_DATA": str(tmp_path / "data")}


@contextlib.asynccontextmanager
async def connected(transport, venv, tmp_path, **options):
    """A client of a server in a process of its own."""
    environ = surroundings(tmp_path)
    if transport == "stdio":
        words = command(venv)
        parameters = StdioServerParameters(command=words[0], args=words[1:], env=environ, cwd=str(tmp_path))
        async with talking(parameters, **options) as talk:
            yield talk
        return
    words = command(venv, "--transport", "http")
    process = await asyncio.create_subprocess_exec(
        *words, env=environ, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    try:
        url = (await process.stdout.readline()).decode().split()[-1]
        async with talking(url, **options) as talk:
            yield talk
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), PATIENCE)
    assert code == 0


def play(story):
    return asyncio.run(asyncio.wait_for(story, 2 * PATIENCE))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_what_is_installed_meanwhile_is_there(transport, mode, installer, venv, tmp_path, record_property):
    """
    A client that was there before is told of a new tool, of its next version and of its end, and calls it.
    """
    wheels = [wheel(tmp_path / "wheels", "ping", PING.format(mark), mark) for mark in ("1.0", "2.0")]

    async def follow(talk, process):
        await asyncio.to_thread(finish, process)
        done = time.perf_counter()
        await asyncio.wait_for(talk.news.get(), PATIENCE)
        waited.append(time.perf_counter() - done)
        while not talk.news.empty():
            talk.news.get_nowait()

    async def story():
        async with connected(transport, venv, tmp_path, mode=mode) as talk:
            assert "ping" not in await talk.tools()
            for mark, path in zip(("1.0", "2.0"), wheels, strict=True):
                await follow(talk, installer.install(path))
                assert (await talk.tools())["ping"]["description"] == f"Answer {mark}."
                assert text_of(await talk.call("ping")) == f"pong {mark}"
            await follow(talk, installer.uninstall("acme-ping"))
            assert "ping" not in await talk.tools()
            assert (await talk.call("ping"))["isError"]

    waited: list[float] = []
    play(story())
    record_property("seconds_until_told", waited)
    print(f"{transport} {mode} {installer.tool}: told after", [f"{each:.3f}" for each in waited])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_destruction_is_asked_for(transport, mode, venv, tmp_path):
    """
    The user reads which file; after the yes it is gone.
    """
    file = tmp_path / "old"
    file.write_text("")
    finish(Installer("pip", venv, tmp_path / "uv-cache").install(wheel(tmp_path, "wipe", WIPE)))
    asked = []

    def reply(message):
        asked.append(message)
        return YES

    async def story():
        async with connected(transport, venv, tmp_path, mode=mode, reply=reply) as talk:
            return text_of(await talk.call("wipe", file=str(file)))

    assert play(story()) == "gone"
    assert str(file) in asked[0]
    assert not file.exists()


class Raw:
    """A server process, and its bare lines."""

    def __init__(self, venv, tmp_path):
        self.process = subprocess.Popen(
            command(venv),
            env=surroundings(tmp_path),
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self.listening = threading.Thread(target=lambda: self.errors.extend(self.process.stderr))
        self.listening.start()
        self.say(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "raw", "version": "1"},
                },
            },
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
        )
        assert self.answer(1)["result"]["serverInfo"]["name"] == "hotplug"

    def say(self, *messages):
        for message in messages:
            self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def answer(self, number):
        """Every line on the way to it is of the protocol."""
        while line := self.process.stdout.readline():
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == number:
                return message
        raise EOFError("".join(self.errors))

    def end(self):
        """The exit code, and what came on standard output after the last answer."""
        code = self.process.wait(PATIENCE)
        self.listening.join(PATIENCE)
        return code, self.process.stdout.read()

    def close(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.listening.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()


@pytest.fixture
def raw(venv, tmp_path):
    """A server in whose environment there is a loud tool."""
    finish(Installer("pip", venv, tmp_path / "uv-cache").install(wheel(tmp_path, "loud", LOUD)))
    raw = Raw(venv, tmp_path)
    yield raw
    raw.close()


def test_nothing_but_the_protocol_is_written(raw):
    """
    What a plugin and its children print, at whatever level, goes to standard error; what it reads is nothing.
    """
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "loud", "arguments": {}}}
    raw.say(call)
    answer = raw.answer(2)
    raw.process.stdin.close()

    assert answer["result"]["content"][0]["text"] == "''"
    assert raw.end() == (0, "")
    printed = "".join(raw.errors)
    for text in ("imported\n", "imported, lower down", "called\n", "called, lower down", "a child"):
        assert text in printed


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "closed"])
def test_it_ends_in_order(raw, end):
    """
    By a signal, though the client stays and is in the middle of nothing; or when the client has gone.
    """
    if end == "closed":
        raw.process.stdin.close()
    else:
        raw.process.send_signal(getattr(signal, end))

    assert raw.end() == (0, "")
    assert "Traceback" not in "".join(raw.errors)


def test_a_client_that_does_not_read_does_not_keep_it(raw):
    """
    Told to end while its answers fill the line and nobody takes them, it ends all the same.
    """
    listing = {"jsonrpc": "2.0", "method": "tools/list"}
    raw.say(*(listing | {"id": number} for number in range(2, 1000)))
    raw.process.send_signal(signal.SIGTERM)

    assert raw.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", ["stdio"] if MAJOR == 1 else ["stdio", "http"])
def test_a_server_that_is_killed_is_an_error_to_its_client(transport, mode, venv, tmp_path):
    """
    In the middle of a call: it is not left waiting (but for one of 1.x over HTTP, which waits for whoever
    served it), and no process is left behind.
    """
    code = (
        "import asyncio, os, pathlib, hotplug\n"
        "@hotplug.tool(read_only=True, timeout=None)\n"
        "async def hang() -> str:\n"
        "    pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "    await asyncio.Event().wait()\n"
    )
    finish(Installer("pip", venv, tmp_path / "uv-cache").install(wheel(tmp_path, "hang", code)))
    file = tmp_path / "pid"

    async def call_and_kill(talk):
        calling = asyncio.create_task(talk.call("hang"))
        async with asyncio.timeout(PATIENCE):
            while not (file.exists() and file.read_text()):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        os.kill(int(file.read_text()), signal.SIGKILL)
        try:
            await asyncio.wait_for(calling, PATIENCE)
        except TimeoutError:
            told.append("nothing")
        except BaseException:  # some of them take down all that the client does
            told.append("an error")

    async def story():
        with contextlib.suppress(Exception):
            async with connected(transport, venv, tmp_path, mode=mode) as talk:
                await call_and_kill(talk)

    told: list[str] = []
    play(story())
    assert told == ["an error"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


@pytest.mark.skipif("HOTPLUG_MCP_OTHER" in os.environ, reason="this is the other one")
def test_the_other_major_version(tmp_path):
    """
    All that is told here of one major version of the SDK is true of the other as well.
    """
    other = "mcp>=1.20,<2" if MAJOR == 2 else "mcp>=2,<3"
    venv = tmp_path / "other"
    uv = [sys.executable, "-m", "uv"]
    environ = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(venv)], check=True, env=environ)
    here = ["-e", str(ROOT), "-e", str(ROOT / "plugins" / "hotplug-mcp")]
    python = str(venv / "bin" / "python")
    packages = ["-q", "--python", python, other, "pytest", "pytest-xdist", "pip", "uv", *here]
    subprocess.run([*uv, "pip", "install", *packages], check=True, env=environ, cwd=tmp_path)
    tests = [python, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "--real-services"]

    done = subprocess.run(
        [*tests, str(Path(__file__).parent)],
        cwd=ROOT,
        env=environ | {"HOTPLUG_MCP_OTHER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:]
