"""Distributions that change while a host runs: some installed, some lying beside their dist-info."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hotplug
from hotplug import Host, UserExecutionContext
from hotplug.testing import Environment

ADA = UserExecutionContext("ada")
LIMIT = 20.0
HEAD = "import asyncio, threading, time\nfrom acme_contract import *\n"


def until(condition: Callable[[], object], what: str = "it never happened") -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def thing(answer: str = "'one'", *, head: str = "", body: str = "", name: str = "Plain") -> str:
    """The source of a `Thing` that answers the expression *answer*."""
    rest = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{HEAD}{head}\nclass {name}(Thing):\n    def do(self): return {answer}\n{rest}"


class Hot:
    """A folder of installed distributions, folders of plain ones, and hosts that look at all of them."""

    def __init__(self, acme: Any, folder: Path) -> None:
        self.acme = acme
        self.site: Environment = acme.environment
        self.folder = folder
        self.plain_ones: dict[str, Environment] = {}

    @property
    def path(self) -> list[str]:
        return [str(self.site.folder), *(str(each.folder) for each in self.plain_ones.values())]

    @property
    def log(self) -> list[object]:
        return self.acme.log

    # -- distributions -------------------------------------------------------------------------------

    def install(
        self,
        name: str,
        version: str = "1.0",
        *,
        things: Mapping[str, str] = {},
        views: Mapping[str, str] = {},
        engines: Mapping[str, str] = {},
        files: Mapping[str, str] = {},
        requires: Iterable[str] = (),
        **groups: Mapping[str, str],
    ) -> Path:
        """As pip leaves it; *things*, *views* and *engines* are names to values."""
        advertises = _groups(things=things, views=views, engines=engines, **groups)
        return self.site.install(name, version, advertises=advertises, files=files, requires=requires)

    def one(self, name: str, code: str, version: str = "1.0", **facts: Any) -> Path:
        """A distribution ``acme-NAME`` with one thing *name* and one module ``acme_NAME``."""
        return self.install(
            f"acme-{name}",
            version,
            things={name: f"acme_{name}:Plain"},
            files={f"acme_{name}.py": code},
            **facts,
        )

    def plain(
        self,
        name: str,
        *,
        files: Mapping[str, str],
        version: str = "1.0",
        requires: Iterable[str] = (),
        top: str = "",
        **kinds: Mapping[str, str],
    ) -> Environment:
        """A dist-info beside its code, in a folder of its own on ``sys.path``: code that is followed."""
        world = self.plain_ones.get(name)
        if world is None:
            world = self.plain_ones[name] = Environment(self.folder / f"work-{name}")
            sys.path.insert(0, str(world.folder))
        info = world.install(
            name, version, advertises=_groups(**kinds), files=files, requires=requires, record=False
        )
        (info / "INSTALLER").unlink()
        if top:
            (info / "top_level.txt").write_text(f"{top}\n")
        return world

    def edit(self, name: str, file: str, text: str) -> None:
        """Save a file of a plain distribution, as editors do: beside, then over it."""
        path = self.plain_ones[name].folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(text)
        aside.replace(path)

    # -- hosts ---------------------------------------------------------------------------------------

    def host(self, config: object = "", **options: Any) -> Host:
        acme = self.acme
        options.setdefault("kinds", [acme.things, acme.views, acme.engines])
        options.setdefault("path", self.path)
        parsed = hotplug.Config.parse(config) if isinstance(config, str) else config
        return Host(parsed, cache=False, **options)

    def status(self, host: Host, name: str) -> hotplug.PluginStatus:
        found = [status for status in host.plugins if status.name == name]
        assert len(found) == 1, host.plugins
        return found[0]

    def do(self, host: Host, key: str, kind: str = "things") -> str:
        return host.registry(kind).get(key, ADA).do()

    def modules(self) -> dict[str, object]:
        """What stands in ``sys.modules`` of all that belongs to this world."""
        return {
            name: module
            for name, module in sys.modules.items()
            if (getattr(module, "__file__", None) or "").startswith(str(self.folder))
        }

    def end(self) -> None:
        for world in self.plain_ones.values():
            sys.path.remove(str(world.folder))
        for name in self.modules():
            sys.modules.pop(name, None)


def hots(acme: Any, folder: Path) -> Iterator[Hot]:
    """A world; when it is over, neither path, modules nor finders of it are left."""
    before = _finders()
    world = Hot(acme, folder)
    yield world
    world.end()
    assert _finders() == before


def _finders() -> list[object]:
    return [finder for finder in sys.meta_path if type(finder).__module__.startswith("hotplug")]


def _groups(**kinds: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    return {(kind if "." in kind else f"acme.{kind}"): points for kind, points in kinds.items() if points}


@contextmanager
def watching(host: Host) -> Iterator[None]:
    """Within the block *host* follows by itself."""
    undo = host.watch()
    try:
        yield
    finally:
        undo()


def call(host: Host, tool: str, **arguments: object) -> object:
    """What the tool answers to Ada."""
    return asyncio.run(host.tools.get(tool).call(arguments, ADA))
