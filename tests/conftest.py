"""Worlds that more than one test file needs."""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import thorough

ADDER = "def adder(a: int, b: int) -> int:\n    return a + b\n"


def pytest_configure(config: pytest.Config) -> None:
    """What could be played for ever is played in full where the real services are."""
    thorough.in_full = config.getoption("--real-services")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: no garbage collection walks through it again, and tests do many."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """What a file of tests imported stays to the end, too."""
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns every microsecond, so that races show themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def cli(environment, monkeypatch, tmp_path):
    """The command line, looking at the pretend environment and at nothing of this machine's."""
    from click.testing import CliRunner

    from hotplug._cli._app import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTPLUG_CACHE", str(tmp_path / "cache"))
    for name in ("HOTPLUG_CONFIG", "FORCE_COLOR", "TTY_COMPATIBLE", "VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, config: str | None = None):
        if config is not None:
            (tmp_path / "hotplug.toml").write_text(config)
        return CliRunner().invoke(app, ["--path", str(environment.folder), *arguments])

    return run


@pytest.fixture
def plugin(environment):
    """Installs a plugin, a tool unless said otherwise."""

    def install(code=ADDER, *, name="adder", group="hotplug.tools", value=None, distribution="acme", **facts):
        module = f"{distribution.replace('-', '_')}_{name}"
        return environment.install(
            distribution,
            "1.0",
            advertises={group: {name: f"{module}:{value or 'adder'}"}},
            files={f"{module}.py": code},
            **facts,
        )

    return install


@pytest.fixture
def diagnose(cli):
    """The doctor's rows and exit code."""

    def run(*arguments, config=None):
        answer = cli("doctor", "--json", *arguments, config=config)
        assert answer.stderr == ""
        return json.loads(answer.stdout), answer.exit_code

    return run


@pytest.fixture
def own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own; discovery remembers nothing from before, and nothing after."""
    from hotplug import _discovery

    folder = tmp_path / "cache"
    monkeypatch.setenv("HOTPLUG_CACHE", str(folder))
    _discovery.forget()
    yield folder
    _discovery.forget()


@pytest.fixture
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery believes that whatever it looks at was done an hour ago, and trusts its stamps at once."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + 3_600_000_000_000)
    monkeypatch.setattr("hotplug._discovery._survey.time", clock)


@pytest.fixture
def brief_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts believe soon that what was uninstalled is gone: nobody is upgrading it."""
    monkeypatch.setattr("hotplug._host._installs.ABSENCE", 0.01)


@pytest.fixture
def tick(tmp_path: Path) -> Callable[[], None]:
    """Call it to wait until what changes next gets a later time than all before."""

    def wait() -> None:
        probe = tmp_path / "tick"
        probe.write_text("")
        before = probe.stat().st_ctime_ns
        deadline = time.monotonic() + 5
        while probe.stat().st_ctime_ns <= before:
            assert time.monotonic() < deadline, "the clock of the file system stands still"
            probe.write_text("")

    return wait


@pytest.fixture
def acme(environment, monkeypatch):
    """
    A small world of plugins: three kinds with one contract, and ``plugin(name, code)`` to install for them.

    Plugins import `Thing` (the contract), `log` (a list) and `gate` (an `Event`) from ``acme_contract``.
    """
    import abc
    import threading

    import hotplug

    class Thing(abc.ABC):
        """What all plugins of this world are."""

        requires: tuple[str, ...] = ()

        @abc.abstractmethod
        def do(self) -> str: ...

    contract = type(sys)("acme_contract")
    contract.Thing, contract.log, contract.gate = Thing, [], threading.Event()
    monkeypatch.setitem(sys.modules, "acme_contract", contract)
    things = hotplug.Kind("things", Thing, group="acme.things")
    views = hotplug.Kind("views", Thing, group="acme.views", scope=hotplug.Scope.USER)
    engines = hotplug.Kind("engines", Thing, group="acme.engines", up="start", down="stop")
    plain = "class Plain(Thing):\n    def do(self): return 'done'\n"

    def plugin(name, code="", *, group="acme.things", value=None, head="", **facts):
        """Install ``acme-NAME``: *code* is the rest of its class ``Plain``, *head* comes before that."""
        body = "".join(f"    {line}\n" for line in code.splitlines())
        if group == "acme.engines":
            body = "    async def start(self): ...\n    async def stop(self): ...\n" + body
        text = f"import asyncio, threading\nfrom acme_contract import *\n{head}\n{plain}{body}"
        environment.install(
            f"acme-{name}",
            facts.pop("version", "1.0"),
            advertises={group: {facts.pop("key", name): value or f"acme_{name}:Plain"}},
            files={f"acme_{name}.py": text, **facts.pop("files", {})},
            **facts,
        )

    def host(config="", **options):
        parsed = hotplug.Config.parse(config) if isinstance(config, str) else config
        options.setdefault("kinds", [things, views, engines])
        return hotplug.Host(parsed, path=environment.path, cache=False, **options)

    def state(host, name):
        [status] = [status for status in host.plugins if status.name == name]
        return status

    return SimpleNamespace(
        environment=environment,
        contract=contract,
        log=contract.log,
        gate=contract.gate,
        Thing=Thing,
        things=things,
        views=views,
        engines=engines,
        plugin=plugin,
        host=host,
        state=state,
        parse=hotplug.Config.parse,
    )


@pytest.fixture
def home():
    """The loop of a host, in a thread of its own."""
    from hotplug._lifecycle import HomeLoop

    home = HomeLoop.own("test home")
    yield home
    home.close()


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread is left when the test is over."""
    import threading

    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while left := set(threading.enumerate()) - before:
        for thread in left:
            with contextlib.suppress(RuntimeError):  # one that begins right now can be waited for next time
                thread.join(max(0.0, deadline - time.monotonic()))
        assert time.monotonic() < deadline, f"still running: {left}"
