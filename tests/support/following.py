"""A host that follows its environment by itself, and plugins for it that tell what they are made of."""

from __future__ import annotations

import abc
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hotplug import KINDS, Config, Host, Kind
from hotplug._records import PluginStatus
from hotplug.errors import HotplugError
from hotplug.testing._wheel import build_wheel
from installing import Wheel

LIMIT = 20.0
DISTRIBUTION = "zeta-voice"


class Voice(abc.ABC):
    """What the plugins of these stories are."""

    @abc.abstractmethod
    def say(self) -> str:
        """What it is made of: one mark, unless it is torn."""


class Engine(Voice):
    """A voice that is started."""

    @abc.abstractmethod
    async def start(self) -> None: ...

    @abc.abstractmethod
    async def stop(self) -> None: ...


VOICES = Kind("voices", Voice, group="story.voices")
ENGINES = Kind("engines", Engine, group="story.engines", up="start", down="stop")
ALL_KINDS = (*KINDS, VOICES, ENGINES)

PACKAGE = """\
from following import Engine, Voice
{head}
from {package} import inner
from {package}.inner import Part, told

MARK = {mark!r}


class Zeta({base}):
    mark = MARK

    def __init__(self):
        self.part = Part()
{made}
    def say(self):
        from {package}.late import LATE  # imported when it is first needed

        return "|".join(sorted({{MARK, self.mark, inner.MARK, Part.mark, self.part.mark, told(), LATE}}))
{rest}
"""
INNER = """\
MARK = {mark!r}


class Part:
    mark = MARK


def told():
    return MARK
"""
ENGINE = "    async def start(self): {start}\n    async def stop(self): ...\n"


def voice(mark: str, *, package: str = "zeta", **parts: str) -> dict[str, str]:
    """The files of a package whose `Zeta` says *mark*; *head*, *base*, *made*, *rest* are pieces of it."""
    pieces = {"head": "", "base": "Voice", "made": "", "rest": "", **parts}
    return {
        f"{package}/__init__.py": PACKAGE.format(package=package, mark=mark, **pieces),
        f"{package}/inner.py": INNER.format(mark=mark),
        f"{package}/late.py": f"LATE = {mark!r}\n",
    }


def engine(mark: str, start: str = "...") -> dict[str, str]:
    """The same, as something that is started."""
    return voice(mark, base="Engine", rest=ENGINE.format(start=start))


# -- a package that checks itself ---------------------------------------------------------------------

CHECKED = """\
import hashlib, json, os, sys
from following import Voice

MARK = {mark!r}
MANIFEST = {manifest!r}
HERE = os.path.dirname(__file__)
{imports}


def read(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def elsewhere():
    found = []
    for name, digest in MANIFEST.items():
        try:
            if read(name) != digest:
                found.append("other on disk: " + name)
        except OSError:
            found.append("not on disk: " + name)
    return found


def wrong():
    found = []
    for name in {parts!r}:
        module = sys.modules[__name__ + "." + name]
        text = module.__loader__.get_source(module.__name__)
        if hashlib.sha256(text.encode()).hexdigest() != MANIFEST[name + ".py"]:
            found.append("other than made: " + name)
        if module.MARK != MARK or module.END != MARK:
            found.append("of " + module.MARK + ": " + name)
    return found


class Zeta(Voice):
    def __init__(self):
        facts = {{"mark": MARK, "wrong": wrong(), "elsewhere": elsewhere()}}
        with open({log!r}, "a") as file:
            file.write(json.dumps(facts) + "\\n")

    def say(self):
        return MARK


END = MARK
"""


def checked(mark: str, log: Path, *, modules: int = 30) -> dict[str, str]:
    """
    The files of a package that looks at itself when it is made, and writes into *log* what it saw.

    *wrong* is what is loaded and is not as it was built; *elsewhere* is what differs on the disk by then,
    where an installer may have begun again.
    """
    parts = [f"part_{number:02}" for number in range(modules)]
    files = {f"{part}.py": f"MARK = {mark!r}\n{'#' * 400}\nEND = {mark!r}\n" for part in parts}
    files["data.txt"] = mark
    manifest = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    imports = "\n".join(f"from zeta import {part}" for part in parts)
    files["__init__.py"] = CHECKED.format(
        mark=mark, manifest=manifest, imports=imports, parts=parts, log=str(log)
    )
    return {f"zeta/{name}": text for name, text in files.items()}


def confessions(log: Path) -> list[dict[str, object]]:
    """What was written into *log*."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# -- wheels -------------------------------------------------------------------------------------------


def wheel(
    folder: Path,
    version: str,
    files: Mapping[str, str | bytes],
    *,
    distribution: str = DISTRIBUTION,
    advertises: Mapping[str, Mapping[str, str]] | None = None,
    requires: Iterable[str] = (),
) -> Wheel:
    """A wheel of its own folder, so that two may be of one version."""
    where = (
        folder / hashlib.sha256(repr((version, distribution, files, advertises)).encode()).hexdigest()[:12]
    )
    points = advertises or {"story.voices": {"zeta": "zeta:Zeta"}}
    return Wheel(build_wheel(where, distribution, version, advertises=points, files=files, requires=requires))


# -- the host -----------------------------------------------------------------------------------------


class Following:
    """A started host that watches *site*, and what one may ask of it."""

    def __init__(self, site: Path, config: str = "") -> None:
        self.site = site
        self.host = Host(Config.parse(config), kinds=ALL_KINDS, path=[str(site)], cache=False)
        self.told: list[object] = []

    @property
    def voices(self):
        return self.host.registry("voices")

    def say(self, key: str = "zeta") -> str:
        return self.voices.get(key).say()

    def says(self, mark: str, key: str = "zeta") -> Callable[[], bool]:
        """Whether it says *mark*; not being there says nothing."""

        def asked() -> bool:
            try:
                return self.say(key) == mark
            except HotplugError:
                return False

        return asked

    def statuses(self, key: str = "zeta") -> list[PluginStatus]:
        return [status for status in self.host.plugins if status.key == key]

    def status(self, key: str = "zeta") -> PluginStatus:
        [status] = self.statuses(key)
        return status

    @property
    def is_settled(self) -> bool:
        """Whether nothing is on its way any more, as far as the host has seen."""
        return self.host.lookout._watching._due is None

    def until(self, condition: Callable[[], object], limit: float = LIMIT) -> float:
        """Wait until it holds; how long that took."""
        start = time.perf_counter()
        while not condition():
            facts = self.host.plugins, self.host.problems, self.told[-5:]
            assert time.perf_counter() < start + limit, facts
            time.sleep(0.002)
        return time.perf_counter() - start


@contextmanager
def following(site: Path, config: str = "", *, packages: Iterable[str] = ("zeta",)) -> Iterator[Following]:
    """Watch *site*, which is on ``sys.path`` meanwhile; nothing of *packages* is left when it is over."""
    there = Following(site, config)
    sys.path.insert(0, str(site))
    try:
        with there.host as host:
            host.subscribe(there.told.append)
            host.watch()
            yield there
    finally:
        sys.path.remove(str(site))
        forget_packages(packages)


def forget_packages(packages: Iterable[str]) -> None:
    """A closed host leaves in place what it imported; the next story begins without."""
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]
