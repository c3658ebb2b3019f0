"""Reload after reload under eight threads that call: nobody fails, nobody sees a mixture, nothing stays."""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from following import ALL_KINDS, forget_packages, voice
from hotplug import Config, Host, UserExecutionContext
from hotplug.testing import Environment
from thorough import part_of

pytestmark = pytest.mark.usefixtures("nothing_left", "own_index")

ADA = UserExecutionContext("ada")
TOOL = """\
import asyncio
from hotplug.tools import Tool
import zeta
from zeta import inner

class Teller(Tool):
    name, description = "teller", "says what it is made of"
    read_only, destructive = True, False
    mark = zeta.MARK

    async def call(self, arguments, context):
        before = inner.MARK
        await asyncio.sleep(0)
        from zeta.late import LATE
        return "|".join(sorted({before, self.mark, zeta.MARK, inner.told(), LATE}))

class Twin(zeta.Zeta):
    pass
"""
ADVERTISED = {
    "story.voices": {"zeta": "zeta:Zeta", "twin": "zeta.telling:Twin"},
    "hotplug.tools": {"teller": "zeta.telling:Teller"},
}


class Reloading:
    """A host over a distribution whose code lies beside its metadata, and is written anew again and again."""

    def __init__(self, folder: Path) -> None:
        self.world = Environment(folder)
        self.number = 0
        info = self.world.install(
            "zeta-voice", "1.0", advertises=ADVERTISED, files=self.files(), record=False
        )
        (info / "INSTALLER").unlink()
        self.host = Host(Config(), kinds=ALL_KINDS, path=self.world.path, cache=False)
        self.refs: list[weakref.ref[object]] = []
        self.remembered = 0

    @property
    def mark(self) -> str:
        return f"{self.number:06}"

    def files(self) -> dict[str, str]:
        return voice(self.mark) | {"zeta/telling.py": TOOL}

    def write(self) -> None:
        """The next text of the same size, each file by itself, as a checkout does."""
        self.number += 1
        for name, text in self.files().items():
            (self.world.folder / name).write_text(text)

    def remember(self) -> None:
        """What of the present generation must be gone one day."""
        zeta = sys.modules["zeta"]
        one = self.host.registry("voices").get("zeta")
        old = (zeta, sys.modules["zeta.inner"], zeta.Zeta, zeta.inner.Part, one)
        self.refs = [ref for ref in self.refs if ref() is not None]
        self.refs += map(weakref.ref, old)
        self.remembered += len(old)

    def reload(self) -> None:
        self.remember()
        self.write()
        changes = self.host.reload("zeta-voice")
        assert sorted(changes.changed) == ["tools/teller", "voices/twin", "voices/zeta"], changes
        assert self.host.registry("voices").get("zeta").say() == self.mark

    def alive(self) -> int:
        gc.collect()
        return sum(ref() is not None for ref in self.refs)


@pytest.fixture
def reloading(tmp_path, monkeypatch):
    there = Reloading(tmp_path / "code")
    monkeypatch.syspath_prepend(str(there.world.folder))
    with there.host:
        yield there
    forget_packages(["zeta"])


class Callers:
    """Eight threads, each in one of five ways, *pause* seconds between calls; and what went wrong."""

    local = threading.local()

    def __init__(self, host: Host, pause: float) -> None:
        self.host = host
        self.pause = pause
        self.voices = host.registry("voices")
        self.over = threading.Event()
        self.wrong: list[object] = []
        self.counts = [0] * 8
        ways = [self.get, self.lease, self.tool, self.session, self.look]
        self.threads = [
            threading.Thread(target=self.run, args=(number, ways[number % len(ways)])) for number in range(8)
        ]

    def get(self) -> str:
        return self.voices.get("zeta").say()

    def lease(self) -> str:
        with self.voices.lease("twin") as leased:
            return leased.say()

    def tool(self) -> str:
        async def call() -> object:
            return await self.host.tools.call("teller", {}, ADA)

        return self.loop().run_until_complete(call())

    def session(self) -> str:
        with self.host.session(ADA) as mine:
            one, two = (mine.registry("voices").get(key).say() for key in ("zeta", "twin"))
        return one if one == two else f"{one}/{two}"

    def look(self) -> str:
        assert "zeta" in self.voices
        assert {"zeta", "twin"} <= set(self.voices.keys())
        assert len(self.voices) == 2
        return self.voices["twin"].say()

    def loop(self) -> asyncio.AbstractEventLoop:
        if not hasattr(self.local, "loop"):
            self.local.loop = asyncio.new_event_loop()
        return self.local.loop

    def run(self, number: int, way) -> None:
        last = ""
        try:
            while not self.over.is_set():
                said = way()
                if not (said.isdigit() and said >= last):
                    self.wrong.append((way.__name__, last, said))
                last = said
                self.counts[number] += 1
                if self.pause:
                    self.over.wait(self.pause)
        except BaseException as error:
            self.wrong.append((way.__name__, last, error))
        finally:
            if hasattr(self.local, "loop"):
                self.local.loop.close()

    def __enter__(self) -> Callers:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


def resident() -> int:
    """KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def reload_under_callers(reloading: Reloading, count: int, *, pause: float = 0.001) -> Callers:
    reloading.host.registry("voices").get("zeta")
    with Callers(reloading.host, pause) as callers:
        for _ in range(count):
            reloading.reload()
            assert callers.wrong == []
    assert callers.wrong == []
    assert min(callers.counts) > 0
    return callers


def test_some_reloads(reloading):
    """
    Reloads under eight threads: every call is answered by one generation, never by an older one.
    """
    reload_under_callers(reloading, part_of(100))

    assert reloading.alive() == 0
    assert reloading.host.problems == ()


@pytest.mark.usefixtures("eager_threads")
def test_some_reloads_of_eager_threads(reloading):
    """
    The same with threads that do nothing but call, and take turns every microsecond.
    """
    reload_under_callers(reloading, 5, pause=0)

    assert reloading.alive() == 0


@pytest.mark.real_services
def test_a_thousand_reloads(reloading):
    """
    A thousand reloads under eight threads: all that, and memory, threads and descriptors stay what they were.
    """
    reload_under_callers(reloading, 200)
    assert reloading.alive() == 0
    threads, files = threading.active_count(), descriptors()
    began, calls, blocks, sizes = time.perf_counter(), 0, sys.getallocatedblocks(), [resident()]
    for _ in range(10):
        calls += sum(reload_under_callers(reloading, 100).counts)
        assert reloading.alive() == 0
        sizes.append(resident())
    seconds = time.perf_counter() - began
    blocks_each = (sys.getallocatedblocks() - blocks) / 1000
    steps = [1024 * (after - before) / 100 for before, after in itertools.pairwise(sizes)]
    growth = statistics.median(steps)
    print(
        f"\n1,000 reloads, {calls} calls, {seconds:.0f} s: {growth:.0f} bytes of growth each "
        f"(bar 1024; resident KiB {sizes}), {blocks_each:.2f} blocks of memory each, none of "
        f"{reloading.remembered} old objects alive, threads {threads} -> {threading.active_count()}, "
        f"descriptors {files} -> {descriptors()}"
    )
    assert reloading.host.problems == ()
    assert (threading.active_count(), descriptors()) == (threads, files)
    assert blocks_each < 1
    # An allocator takes memory in steps now and then; what leaks, leaks all the time.
    assert growth <= 1024
