"""Real pip and real uv, watched at every instant: nothing half-done is ever taken for an installation."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import hotplug
from hotplug._discovery import _installation, backups, discover, installation, territory
from installing import (
    DISTRIBUTION,
    Installer,
    copy_environment,
    fetch_backends,
    finish,
    kill_while_writing,
    make_wheel,
    names_in,
    states,
)
from linking import write

pytestmark = [pytest.mark.real_services, pytest.mark.usefixtures("own_index")]

GROUPS = {"hotplug.brokers": "brokers"}
KILLS = int(os.environ.get("HOTPLUG_KILLS", "20"))
SOUND = ("complete", "unconfirmed")
TOOLS = ["pip", "pip alone", "uv hardlink", "uv copy"]
MOMENT = 2.0


@pytest.fixture(params=TOOLS)
def installer(request, pattern, tmp_path):
    """Each installer in each of its ways, with an environment of its own."""
    return Installer(request.param, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Two builds of version 1.0, and one of 2.0 with its metadata before its code."""
    folder = tmp_path_factory.mktemp("wheels")
    return {
        "1.0": make_wheel(folder, "1.0"),
        "1.0 again": make_wheel(folder, "1.0", build=1),
        "2.0": make_wheel(folder, "2.0").with_info_first(),
    }


@pytest.fixture(params=["young", "old"])
def age(request, monkeypatch):
    """What is complete is remembered at once, or not while it is young."""
    if request.param == "old":
        monkeypatch.setattr(_installation, "YOUNG_NS", 0)


def version_of(name: str) -> str:
    return name.removesuffix(".dist-info").rpartition("-")[2]


class Observer:
    """Looks at a site folder over and over; whatever is called sound must be just that."""

    def __init__(self, site: Path, wheels) -> None:
        self.site = site
        self.wheels = list(wheels)
        self.seen: Counter[str] = Counter()
        self.lies: list[object] = []

    def look(self, *, strict_only: bool = False) -> None:
        for strict in [True] if strict_only else [False, True]:
            for name, found in states(self.site, partial(installation, strict=strict)).items():
                self.seen[found.state] += 1
                if found.state in SOUND and self._is_wrong(name):
                    self._ask_again(name, found, strict)

    def _ask_again(self, name: str, found, strict: bool) -> None:
        """It may have changed between the two looks; if it is said to be the same, one was wrong."""
        again = installation(str(self.site / name), strict=strict)
        if again == found and (wrong := self._is_wrong(name)):
            self.lies.append((name, found, wrong))

    def _is_wrong(self, name: str) -> list[str]:
        """What is wrong with it, seen as whichever wheel fits best."""
        return min((w.wrong_in(self.site) for w in self.wheels if w.version == version_of(name)), key=len)

    def wait_for(self, *states_awaited: str) -> float:
        """How long it takes until that is all there is."""
        start = time.perf_counter()
        while sorted(found.state for found in states(self.site, installation).values()) != sorted(
            states_awaited
        ):
            assert time.perf_counter() < start + MOMENT, states(self.site, installation)
        return time.perf_counter() - start


def test_every_step_is_seen_as_it_is(installer, wheels, age):
    """
    Installed, upgraded, downgraded, reinstalled and removed, polled throughout: sound only if it is.
    """
    observer = Observer(installer.site, wheels.values())
    digests = []
    for name in ("1.0", "2.0", "1.0", "1.0 again", "1.0"):
        finish(installer.install(wheels[name].path, again=True), observer.look)
        observer.wait_for("complete")
        assert wheels[name].wrong_in(installer.site) == []
        [found] = states(installer.site, installation).values()
        digests.append(found.digest)
    finish(installer.uninstall(), observer.look)
    observer.wait_for()

    assert observer.lies == []
    assert observer.seen["complete"] > 0
    assert all(one != other for one, other in itertools.pairwise(digests))


@pytest.mark.parametrize("tool", ["pip", "pip alone"])
def test_an_upgrade_is_no_removal(pattern, tmp_path, wheels, tool):
    """
    Whenever there is no dist-info while pip upgrades, what it set aside says that the project comes back.
    """
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "cache")
    finish(installer.install(wheels["1.0"].path))
    gaps = Counter[bool]()

    def look() -> None:
        if not _has_info(installer.site):
            is_aside = bool(backups(str(installer.site), DISTRIBUTION))
            if not _has_info(installer.site):
                gaps[is_aside] += 1

    for name in itertools.islice(itertools.cycle(["2.0", "1.0"]), 20):
        finish(installer.install(wheels[name].path), look)
        if gaps:
            break  # the gap is a few milliseconds, and may be missed

    assert set(gaps) == {True}
    assert backups(str(installer.site), DISTRIBUTION) == ()


def _has_info(site: Path) -> bool:
    return any(name.startswith("zeta_") and name.endswith(".dist-info") for name in names_in(site))


@pytest.mark.parametrize("tool", ["pip", "pip alone", "uv hardlink", "uv copy"])
def test_killed_at_any_moment(pattern, tmp_path, wheels, tool):
    """
    Whatever a killed pip or uv leaves is never called sound unless it is, and the next one repairs it.
    """
    chance = random.Random(7)
    seen: Counter[str] = Counter()
    venv = copy_environment(pattern, tmp_path / "venv")
    burst = _burst(Installer(tool, venv, tmp_path / "cache"), wheels)
    killed = 0
    for turn in itertools.count():
        if killed >= KILLS // 4 or turn > KILLS * 3:
            break
        shutil.rmtree(venv)
        installer = Installer(tool, copy_environment(pattern, venv), tmp_path / "cache")
        action = chance.choice(["install", "upgrade", "downgrade", "again", "uninstall"])
        before, after = _plan(action)
        if before:
            finish(installer.install(wheels[before].path))
        process = installer.install(wheels[after].path, again=True) if after else installer.uninstall()
        if not kill_while_writing(process, installer.site, burst, chance):
            continue  # it was faster
        killed += 1
        observer = Observer(installer.site, wheels.values())
        observer.look()
        left = states(installer.site, installation).values()
        seen.update(f"{action}: {each.state}" for each in left)
        assert observer.lies == [], action
    _report(tool, killed, seen)

    assert killed >= KILLS // 4
    assert not [key for key in seen if "foreign" in key]


def _plan(action: str) -> tuple[str, str]:
    """What is installed before, and what is being installed (nothing: removed) when the kill comes."""
    return {
        "install": ("", "2.0"),
        "upgrade": ("1.0", "2.0"),
        "downgrade": ("2.0", "1.0"),
        "again": ("1.0", "1.0 again"),
        "uninstall": ("1.0", ""),
    }[action]


def _burst(installer: Installer, wheels) -> float:
    """For how long an upgrade writes."""
    finish(installer.install(wheels["1.0"].path))
    changes: list[float] = []
    looks = [names_in(installer.site)]

    def look() -> None:
        looks.append([*names_in(installer.site), *states(installer.site, installation).values()])
        if looks[-1] != looks.pop(0):
            changes.append(time.perf_counter())

    finish(installer.install(wheels["2.0"].path), look)
    return changes[-1] - changes[1]


def _report(tool: str, killed: int, seen: Counter[str]) -> None:
    print(f"\n{tool}: {killed} killed; left: {json.dumps(dict(sorted(seen.items())))}")


@pytest.mark.parametrize("tool", ["pip", "uv copy"])
def test_two_at_once(pattern, tmp_path, wheels, tool):
    """
    Two installers at once may leave two dist-infos, or mixed code: contents tell which of them is true.
    """
    told = Counter[str]()
    for turn in range(4):
        venv = copy_environment(pattern, tmp_path / f"venv{turn}")
        installers = [Installer(tool, venv, tmp_path / "cache") for _ in range(2)]
        observer = Observer(installers[0].site, wheels.values())
        processes = [
            each.install(wheels[name].path) for each, name in zip(installers, ("1.0", "2.0"), strict=True)
        ]
        while any(process.poll() is None for process in processes):
            observer.look(strict_only=True)
        for process in processes:
            process.communicate(timeout=60)
        found = states(observer.site, partial(installation, strict=True))
        for name, each in found.items():
            is_right = wheels[version_of(name)].wrong_in(observer.site) == []
            assert (each.state == "complete") == is_right, (name, each)
        told[
            f"{len(found)} dist-infos, {sum(each.state == 'complete' for each in found.values())} right"
        ] += 1
        assert observer.lies == []
    print(f"\n{tool} twice at once: {json.dumps(told)}")


# -- editable -----------------------------------------------------------------------------------------


SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
PROJECT = """
[project]
name = "acme"
version = "1.0"
[project.entry-points."hotplug.brokers"]
acme = "acme:Broker"
"""
CODE = {"acme/__init__.py": "Broker = 1\n", "acme/deep/__init__.py": "", "acme/deep/two.py": ""}
IN_SRC = {f"src/{name}": text for name, text in CODE.items()}
STYLES = {
    "setuptools src": (SETUPTOOLS + PROJECT, IN_SRC, []),
    "setuptools flat": (SETUPTOOLS + PROJECT, CODE, []),
    "setuptools flat with a namespace": (
        SETUPTOOLS + PROJECT + '[tool.setuptools]\npackages = ["acme", "acme.deep", "space.part"]\n',
        CODE | {"space/part/__init__.py": ""},
        [],
    ),
    "setuptools single module": (
        SETUPTOOLS + PROJECT + '[tool.setuptools]\npy-modules = ["acme"]\n',
        {"acme.py": "Broker = 1\n"},
        [],
    ),
    "setuptools strict": (SETUPTOOLS + PROJECT, IN_SRC, ["--config-settings", "editable_mode=strict"]),
    "hatchling src": (HATCHLING + PROJECT, IN_SRC, []),
    "hatchling flat": (HATCHLING + PROJECT, CODE, []),
    "hatchling exact": (HATCHLING + PROJECT + "[tool.hatch.build]\ndev-mode-exact = true\n", IN_SRC, []),
}


@pytest.fixture(scope="session")
def backends(tmp_path_factory):
    """Real build backends, from what uv has kept of them."""
    folder = tmp_path_factory.mktemp("backends")
    if missing := fetch_backends(folder):
        pytest.skip(f"no build backends without a network: {missing}")
    return folder


RUNNING = """\
import importlib.util, json, sys
sys.path.insert(0, sys.argv[1])
from hotplug._discovery import activate, discover
def answer(**facts):
    print(json.dumps(facts), flush=True)
def where(name):
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(name)
    return spec and spec.origin
answer(ready=where("acme"))
input()
[record] = discover({"hotplug.brokers": "brokers"}, [sys.argv[2]], cache=False).records
before = where("acme")
undo = activate(record)
import acme
answer(before=before, after=where("acme"), broker=acme.Broker, problems=list(map(str, undo.problems)))
input()
undo()
del sys.modules["acme"]
answer(gone=where("acme"))
"""


@pytest.mark.parametrize("tool", ["pip", "uv hardlink"])
@pytest.mark.parametrize("style", STYLES)
def test_editable(pattern, tmp_path, backends, style, tool):
    """
    Installed editable in any style, its code is known, importable in a running process, and gone after all.
    """
    pyproject, files, options = STYLES[style]
    project = write(tmp_path / "project", files | {"pyproject.toml": pyproject, "README.md": ""})
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")
    (installer.site / "editables.pth").write_text(f"{backends}\n")  # what `editables` needs at run time
    states_seen = Counter[str]()

    def look() -> None:
        states_seen.update(found.state for found in states(installer.site, installation).values())

    with _running(installer) as running:
        assert running.ask()["ready"] is None
        finish(installer.install("--editable", project, *options, backends=backends), look)
        [found] = states(installer.site, installation).values()
        assert found.state == "complete", found
        running.go_on()
        answer = running.ask()
        [record] = discover(GROUPS, [str(installer.site)]).records
        ground = territory(record)
        _assert_as_the_environment(installer, ground, project)
        finish(installer.uninstall("acme"))
        running.go_on()
        gone = running.ask()

    assert answer["before"] is None
    assert (answer["broker"], answer["problems"]) == (1, [])
    assert os.path.realpath(answer["after"]).startswith(str(project))
    assert gone == {"gone": None}
    assert states(installer.site, installation) == {}


def _assert_as_the_environment(installer: Installer, ground, project: Path) -> None:
    """The territory says of each module what a fresh interpreter of that environment does."""
    names = [*ground.sources(), "acme_nothing"]
    code = (
        "import importlib.util, json, sys\n"
        "specs = {name: importlib.util.find_spec(name) for name in sys.argv[1:]}\n"
        "print(json.dumps({name: spec and spec.origin for name, spec in specs.items()}))\n"
    )
    done = subprocess.run(
        [str(installer.python), "-I", "-c", code, *names], capture_output=True, text=True, check=True
    )
    found = {name: place and place.path for name in names for place in [ground.find(name)]}

    assert ground.sort == "editable"
    assert found == json.loads(done.stdout)
    assert "acme" in ground.sources()
    real = {os.path.realpath(path) for path in ground.sources().values()}
    assert {path for path in real if path.startswith(str(project))} == real
    assert str(project) not in ground.roots
    assert all(any(path.startswith(root) for root in ground.roots) for path in real)


class _running:  # noqa: N801 - used as a function
    """A process of the environment that runs since before anything was installed."""

    def __init__(self, installer: Installer) -> None:
        place = Path(hotplug.__file__).parents[1]
        self.process = subprocess.Popen(
            [str(installer.python), "-c", RUNNING, str(place), str(installer.site)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self):
        return json.loads(self.process.stdout.readline())

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
