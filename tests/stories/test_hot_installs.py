"""Real pip and real uv beside a running host that watches: it follows, at once, wholly, or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import hotplug
from following import (
    DISTRIBUTION,
    Following,
    checked,
    confessions,
    engine,
    following,
    forget_packages,
    voice,
    wheel,
)
from hotplug.errors import HotplugError, NotRegisteredError
from installing import (
    Installer,
    Wheel,
    copy_environment,
    fetch_backends,
    finish,
    kill_while_writing,
    names_in,
)

pytestmark = [pytest.mark.real_services, pytest.mark.usefixtures("own_index", "nothing_left")]

TOOLS = ["pip", "uv hardlink"]


@pytest.fixture(params=TOOLS)
def installer(request, pattern, tmp_path):
    """Each installer, with an environment of its own."""
    return Installer(request.param, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")


@pytest.fixture
def pip(pattern, tmp_path):
    """An installer, where it is all the same which."""
    return Installer("pip", copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")


@pytest.fixture
def wheels(tmp_path):
    """Makes wheels of the voice."""

    def make(version, files=None, **facts):
        return wheel(tmp_path / "wheels", version, files or voice(version), **facts).path

    return make


# -- one after the other ------------------------------------------------------------------------------


def test_the_life_of_an_installation(installer, wheels):
    """
    Installed, upgraded, downgraded, installed again with other contents, removed: what runs is what is there.
    """
    steps = [wheels("1.0"), wheels("2.0"), wheels("1.0"), wheels("1.0", voice("1.0 again")), wheels("1.0")]
    marks = ["1.0", "2.0", "1.0", "1.0 again", "1.0"]
    with following(installer.site) as here:
        for step, mark in zip(steps, marks, strict=True):
            finish(installer.install(step, again=True))
            here.until(here.says(mark))
            assert here.status().state == "loaded"
            assert here.status().record.version == mark[:3]
            assert here.status().reason == here.status().error == ""
        assert here.status().generation == len(steps)
        voice_of_old = here.voices.get("zeta")
        finish(installer.uninstall(DISTRIBUTION))
        here.until(lambda: "zeta" not in here.voices)
        with pytest.raises(NotRegisteredError):
            here.say()
        here.until(lambda: not [name for name in sys.modules if name.partition(".")[0] == "zeta"])
        assert here.statuses() == []
        assert voice_of_old.say() == "1.0"
        assert here.host.problems == ()


def test_again_within_a_second(installer, wheels):
    """
    The same version with other contents of the same size, right after the first: what runs is what is there.
    """
    builds = {mark: wheels("1.0", voice(mark)) for mark in ("one", "two", "six")}
    with following(installer.site) as here:
        for mark in ("one", "two", "six", "one"):
            finish(installer.install(builds[mark], again=True))
            here.until(here.says(mark))


def test_an_upgrade_to_the_same(installer, wheels):
    """
    What is installed again as it was goes on to serve, whether it is made anew or not.
    """
    same = wheels("1.0")
    with following(installer.site) as here:
        finish(installer.install(same))
        here.until(here.says("1.0"))
        wrong = []
        process = installer.install(same, again=True)
        while process.poll() is None:
            if here.say() != "1.0":
                wrong.append(here.say())
        finish(process)
        here.until(lambda: here.status().state == "loaded")
        assert wrong == []
        assert here.say() == "1.0"
        assert (here.status().reason, here.status().error) == ("", "")


BUSY = """
    def say(self):
        import following_gate
        following_gate.inside.set()
        assert following_gate.open.wait(30)
        from zeta.late import LATE
        return LATE + MARK
    def close(self):
        import following_gate
        following_gate.closed.append(MARK)
"""


@pytest.fixture
def gate(monkeypatch):
    """What plugins wait for while they are called."""
    module = type(sys)("following_gate")
    module.inside, module.open, module.closed = threading.Event(), threading.Event(), []
    monkeypatch.setitem(sys.modules, "following_gate", module)
    yield module
    module.open.set()


@pytest.mark.parametrize("farewell", ["uninstall", "upgrade"])
def test_with_calls_in_flight(installer, wheels, gate, farewell):
    """
    A call that is in the middle when its distribution is removed or upgraded ends as it began, and only then
    is the old one closed.
    """
    said = []
    with following(installer.site) as here:
        finish(installer.install(wheels("1.0", voice("1.0", rest=BUSY))))
        here.until(lambda: "zeta" in here.voices)

        def call():
            with here.voices.lease("zeta") as leased:
                said.append(leased.say())

        caller = threading.Thread(target=call)
        caller.start()
        assert gate.inside.wait(20)
        if farewell == "uninstall":
            finish(installer.uninstall(DISTRIBUTION))
            here.until(lambda: "zeta" not in here.voices)
        else:
            finish(installer.install(wheels("2.0")))
            here.until(lambda: here.status().record.version == "2.0")
            assert here.say() == "2.0"
        assert gate.closed == []
        gate.open.set()
        caller.join(20)
        here.until(lambda: gate.closed == ["1.0"])
    assert said == ["1.01.0"]


# -- those that do not work ---------------------------------------------------------------------------

WORSE = {
    "its import fails": (voice("2.0", head="import nothing_of_this_name"), "nothing_of_this_name"),
    "its submodule's import fails": (
        voice("2.0") | {"zeta/inner.py": "MARK = 2 / 0\n"},
        "ZeroDivisionError",
    ),
    "its syntax is wrong": (voice("2.0") | {"zeta/inner.py": "def told(:\n"}, "inner.py:1"),
    "it leaves the process": (voice("2.0", head="raise SystemExit('bye')"), "SystemExit"),
    "it is no voice": (voice("2.0", base="object"), "Voice"),
    "its constructor raises": (voice("2.0", made="        raise OSError('not today')"), "not today"),
    "its class is gone": ({"zeta/__init__.py": "MARK = 2\n"}, "Zeta"),
    "its import does not return": (
        voice("2.0", head="import following_gate\nfollowing_gate.open.wait(30)"),
        "1 s",
    ),
}


@pytest.mark.parametrize("what", WORSE)
def test_a_broken_upgrade(pip, wheels, gate, what):
    """
    An upgrade that does not work leaves the old one serving, complete, and says why; a good one replaces it.
    """
    files, said = WORSE[what]
    with following(pip.site, "[host]\nload_timeout = 1") as here:
        finish(pip.install(wheels("1.0")))
        here.until(here.says("1.0"))
        old, modules = here.voices.get("zeta"), (sys.modules["zeta"], sys.modules["zeta.inner"])
        finish(pip.install(wheels("2.0", files)))
        here.until(lambda: here.status().error)
        status = here.status()
        assert (status.state, status.reason) == ("loaded", "2.0 refused")
        assert said in status.error
        assert status.remedy
        assert here.voices.get("zeta") is old
        assert (sys.modules["zeta"], sys.modules["zeta.inner"]) == modules
        assert here.say() == "1.0"
        gate.open.set()
        finish(pip.install(wheels("3.0")))
        here.until(here.says("3.0"))
        assert (here.status().state, here.status().reason, here.status().error) == ("loaded", "", "")
        assert here.status().record.version == "3.0"


def test_a_broken_one_that_comes_first(pip, wheels):
    """
    One that never worked is not there; the next that works is, without anybody asking for it.
    """
    with following(pip.site) as here:
        finish(pip.install(wheels("1.0", WORSE["its syntax is wrong"][0])))
        here.until(lambda: here.statuses())
        with pytest.raises(Exception, match=r"inner.py:1"):
            here.say()
        assert here.status().state == "failed"
        finish(pip.install(wheels("2.0")))
        here.until(here.says("2.0"))
        assert (here.status().state, here.status().error) == ("loaded", "")


@pytest.mark.parametrize("start", ["await __import__('asyncio').sleep(60)", "raise OSError('no line')"])
def test_one_that_does_not_start(pip, wheels, start):
    """
    An upgrade whose start fails, or never ends, leaves the old one running.
    """
    points = {"story.engines": {"zeta": "zeta:Zeta"}}
    config = "[host]\nload_timeout = 1\n[engines.zeta]\n"
    with following(pip.site, config) as here:
        engines = here.host.registry("engines")
        finish(pip.install(wheels("1.0", engine("1.0"), advertises=points)))
        here.until(lambda: "zeta" in engines and here.status().state == "loaded")
        old = engines.get("zeta")
        finish(pip.install(wheels("2.0", engine("2.0", start), advertises=points)))
        here.until(lambda: here.status().error)
        assert here.status().reason == "2.0 refused"
        assert engines.get("zeta") is old
        finish(pip.install(wheels("3.0", engine("3.0"), advertises=points)))
        here.until(lambda: engines.get("zeta").say() == "3.0")
        assert (here.status().reason, here.status().error) == ("", "")


# -- those that may not -------------------------------------------------------------------------------


def test_a_second_that_claims_the_name(pip, wheels):
    """
    Who serves a name goes on when another distribution claims it too, and the other one is told to be there.
    """
    other = voice("other", package="eta")
    with following(pip.site, packages=("zeta", "eta")) as here:
        finish(pip.install(wheels("1.0")))
        here.until(here.says("1.0"))
        finish(
            pip.install(
                wheels(
                    "1.0",
                    other,
                    distribution="eta-voice",
                    advertises={"story.voices": {"zeta": "eta:Zeta"}},
                )
            )
        )
        here.until(lambda: len(here.statuses()) == 2)
        assert here.say() == "1.0"
        by_name = {status.record.distribution: status for status in here.statuses()}
        assert by_name["eta-voice"].state == "conflict"
        assert "zeta-voice" in by_name["eta-voice"].remedy
        assert by_name["zeta-voice"].state == "loaded"
        assert "eta" not in sys.modules
        finish(pip.uninstall(DISTRIBUTION))
        here.until(here.says("other"))


def test_one_that_policy_does_not_allow(pip, wheels):
    """
    What the configuration does not allow is shown and never imported.
    """
    with following(pip.site, '[plugins]\nallow = ["eta-*"]') as here:
        finish(pip.install(wheels("1.0")))
        here.until(lambda: here.statuses())
        assert (here.status().state, here.status().reason) == ("refused", "not allowed")
        assert "zeta" not in here.voices
        assert "zeta" not in sys.modules


def test_one_that_wants_another_hotplug(pip, wheels):
    """
    An upgrade that requires another hotplug is refused with the remedy; the old one serves.
    """
    with following(pip.site) as here:
        finish(pip.install(wheels("1.0")))
        here.until(here.says("1.0"))
        finish(pip.install(wheels("2.0", requires=["hotplug>=99"])))
        here.until(lambda: here.status().reason)
        status = here.status()
        assert (status.state, status.reason) == ("loaded", "restart required")
        assert "hotplug" in status.remedy
        assert ">=99" in status.remedy
        assert here.say() == "1.0"
        finish(pip.install(wheels("3.0")))
        here.until(here.says("3.0"))
        assert (here.status().state, here.status().reason) == ("loaded", "")


# -- native code --------------------------------------------------------------------------------------

NATIVE = """
#include <Python.h>
static PyObject *mark(PyObject *self, PyObject *none) {{ return PyUnicode_FromString("{mark}"); }}
static PyMethodDef methods[] = {{{{"mark", mark, METH_NOARGS, ""}}, {{0, 0, 0, 0}}}};
static struct PyModuleDef def = {{PyModuleDef_HEAD_INIT, "native", "", -1, methods}};
PyMODINIT_FUNC PyInit_native(void) {{ return PyModule_Create(&def); }}
"""


@pytest.fixture
def native(tmp_path):
    """Compiles an extension module that says its mark."""
    compiler = shutil.which("cc")
    if compiler is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("no compiler, or no headers of Python")

    def build(mark):
        source = tmp_path / f"{mark}.c"
        source.write_text(NATIVE.format(mark=mark))
        made = tmp_path / f"{mark}.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-I", sysconfig.get_path("include"), source, "-o", made],
            check=True,
        )
        return made.read_bytes()

    return build


def test_native_code(installer, wheels, native):
    """
    An upgrade follows as long as its extension module stays what it is; one that changes takes a restart.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")

    def files(mark, code):
        rest = "    def say(self):\n        return MARK + native.mark()"
        return voice(mark, head="from zeta import native", rest=rest) | {f"zeta/native{suffix}": code}

    code = native("a")
    with following(installer.site) as here:
        finish(installer.install(wheels("1.0", files("1.0", code))))
        here.until(here.says("1.0a"))
        finish(installer.install(wheels("2.0", files("2.0", code))))
        here.until(here.says("2.0a"))
        assert here.status().reason == ""
        finish(installer.install(wheels("3.0", files("3.0", native("b")))))
        here.until(lambda: here.status().reason)
        status = here.status()
        assert (status.state, status.reason) == ("loaded", "restart required")
        assert f"native{suffix}" in status.remedy
        assert here.say() == "2.0a"
        finish(installer.install(wheels("4.0", files("4.0", code))))
        here.until(here.says("4.0a"))
        assert here.status().reason == ""


# -- at once ------------------------------------------------------------------------------------------


def test_two_different_ones_at_once(pattern, tmp_path, wheels):
    """
    Two installers that put two distributions there at once: both are served.
    """
    venv = copy_environment(pattern, tmp_path / "venv")
    tools = [Installer(tool, venv, tmp_path / "uv-cache") for tool in TOOLS]
    eta = {"story.voices": {"eta": "eta:Zeta"}}
    with following(tools[0].site, packages=("zeta", "eta")) as here:
        for version in ("1.0", "2.0"):
            processes = [
                tools[0].install(wheels(version)),
                tools[1].install(
                    wheels(version, voice(version, package="eta"), distribution="eta-voice", advertises=eta)
                ),
            ]
            for process in processes:
                finish(process)
            here.until(here.says(version))
            here.until(here.says(version, "eta"))
            assert here.status().state == here.status("eta").state == "loaded"


@pytest.mark.parametrize("tool", TOOLS)
def test_two_of_one_project_at_once(pattern, tmp_path, wheels, tool):
    """
    Two installers that put two versions of one project there at once: what is served is one of them, whole;
    what cannot be is shown with the file that is wrong, and the next installation repairs it.
    """
    both = [wheels("1.0"), wheels("2.0")]
    seen = Counter()
    for turn in range(4):
        venv = copy_environment(pattern, tmp_path / f"venv{turn}")
        tools = [Installer(tool, venv, tmp_path / "uv-cache") for _ in range(2)]
        with following(tools[0].site) as here:
            processes = [each.install(path) for each, path in zip(tools, both, strict=True)]
            for process in processes:
                process.communicate(timeout=60)
            here.until(lambda: here.statuses() and here.is_settled)
            statuses = here.statuses()
            if "zeta" in here.voices:
                served = here.say()
                here.until(lambda served=served: here.status().record.version == served)
                assert find_wrong(both, served, here.site) == []
            else:
                served = None
                assert {status.state for status in statuses} == {"broken"}
            seen.update(
                f"{served}: {status.record.version} {status.state} {status.reason}" for status in statuses
            )
            finish(tools[0].install(wheels("3.0"), again=True))
            here.until(here.says("3.0"))
    print(f"\n{tool} twice at once: {dict(seen)}")


def find_wrong(paths, version, site):
    """What of the wheel of *version* is missing or other in *site*."""
    [right] = [wheel for wheel in map(Wheel, paths) if wheel.version == version]
    return right.wrong_in(site)


def test_what_came_before_anybody_watched(pip, wheels):
    """
    What is installed after the start and before `watch` is followed all the same.
    """
    there = Following(pip.site)
    sys.path.insert(0, str(pip.site))
    try:
        with there.host as host:
            finish(pip.install(wheels("1.0")))
            host.watch()
            there.until(there.says("1.0"))
    finally:
        sys.path.remove(str(pip.site))
        forget_packages(["zeta"])


# -- editable -----------------------------------------------------------------------------------------

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
PROJECT = """
[project]
name = "zeta-voice"
version = "1.0"
[project.entry-points."story.voices"]
zeta = "zeta:Zeta"
"""
STYLES = {
    "setuptools src": (SETUPTOOLS + PROJECT, "src"),
    "setuptools flat": (SETUPTOOLS + PROJECT + '[tool.setuptools]\npackages = ["zeta"]\n', "."),
    "hatchling src": (
        HATCHLING + PROJECT + '[tool.hatch.build.targets.wheel]\npackages = ["src/zeta"]\n',
        "src",
    ),
    "hatchling flat": (
        HATCHLING + PROJECT + '[tool.hatch.build.targets.wheel]\npackages = ["zeta"]\n',
        ".",
    ),
}


@pytest.fixture(scope="session")
def backends(tmp_path_factory):
    """Real build backends, from what uv has kept of them."""
    folder = tmp_path_factory.mktemp("backends")
    if missing := fetch_backends(folder):
        pytest.skip(f"no build backends without a network: {missing}")
    return folder


@pytest.mark.parametrize("style", STYLES)
def test_editable(installer, backends, tmp_path, style):
    """
    Installed editable, it is there; each save is followed, of a submodule too; and removed, it is gone.
    """
    pyproject, where = STYLES[style]
    project = tmp_path / "project"
    source = project / where
    (installer.site / "editables.pth").write_text(f"{backends}\n")
    write(project, {"pyproject.toml": pyproject})
    write(source, voice("one"))
    with following(installer.site) as here:
        finish(installer.install("--editable", project, backends=backends))
        here.until(here.says("one"))
        assert here.status().record.editable
        write(source, voice("two"))
        here.until(here.says("two"))
        write(source, voice("six"))  # of the same size, and perhaps within a second
        here.until(here.says("six"))
        torn = voice("ten")["zeta/inner.py"]
        (source / "zeta" / "inner.py").write_text(torn)
        here.until(here.says("six|ten"))
        generation = here.status().generation
        (source / "zeta" / "inner.py").write_text("def told(:\n")
        here.until(lambda: here.status().error)
        assert "inner.py:1" in here.status().error
        assert here.say() == "six|ten"
        replace_file(source / "zeta" / "__init__.py", voice("ten")["zeta/__init__.py"])
        replace_file(source / "zeta" / "late.py", voice("ten")["zeta/late.py"])
        replace_file(source / "zeta" / "inner.py", torn)
        here.until(here.says("ten"))
        assert (here.status().state, here.status().reason, here.status().error) == ("loaded", "", "")
        assert here.status().generation > generation
        finish(installer.uninstall(DISTRIBUTION))
        here.until(lambda: "zeta" not in here.voices)
        here.until(lambda: "zeta" not in sys.modules)
        assert str(source) not in sys.path


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def replace_file(path, text):
    """As careful editors save."""
    other = path.with_name(f".{path.name}.tmp")
    other.write_text(text)
    other.replace(path)


# -- polled and killed --------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [*TOOLS, "uv copy"])
def test_an_upgrade_polled_throughout(pattern, tmp_path, wheels, tool):
    """
    Eight threads that call throughout get the old or the new, whole, never an error, and never old after new.
    """
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")
    marks = [f"{number}.0" for number in range(1, 6)]
    heard = [[] for _ in range(8)]
    with following(installer.site) as here:
        finish(installer.install(wheels(marks[0])))
        here.until(here.says(marks[0]))
        over = threading.Event()

        def poll(mine):
            while not over.is_set():
                try:
                    said = here.say()
                except BaseException as error:
                    mine.append(repr(error))
                    return
                if not mine or mine[-1] != said:
                    mine.append(said)

        pollers = [threading.Thread(target=poll, args=(mine,)) for mine in heard]
        for poller in pollers:
            poller.start()
        try:
            for mark in marks[1:]:
                finish(installer.install(wheels(mark)))
                here.until(here.says(mark))
            here.until(lambda: all(mine[-1] == marks[-1] for mine in heard))
        finally:
            over.set()
            for poller in pollers:
                poller.join(20)
    assert heard == [marks] * 8


KILLS = int(os.environ.get("HOTPLUG_KILLS", "20"))
TURNS = max(4, KILLS // 10)


@pytest.mark.parametrize("tool", ["pip", "pip alone", "uv hardlink", "uv copy"])
def test_killed_at_any_moment(pattern, tmp_path, tool):
    """
    Whatever a killed pip or uv leaves behind, nothing partial is loaded, and the next one repairs it.
    """
    log = tmp_path / "log"
    builds = {
        name: wheel(tmp_path / "wheels", name[:3], checked(name, log)) for name in ("1.0", "1.0 again", "2.0")
    }
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")
    chance = random.Random(11)
    killed, seen = 0, Counter()
    with following(installer.site) as here:
        now = "1.0"
        finish(installer.install(builds[now].path))
        here.until(here.says(now))
        burst = how_long_it_writes(installer, builds["2.0"].path)
        now = "2.0"
        here.until(here.says(now))
        for turn in itertools.count():
            if killed >= max(1, KILLS // 4) or turn > KILLS * 3:
                break
            after = chance.choice([*builds, ""])
            process = (
                installer.install(builds[after].path, again=True)
                if after
                else installer.uninstall(DISTRIBUTION)
            )
            was_killed = kill_while_writing(process, installer.site, burst, chance)
            killed += was_killed
            look_a_while(here, chance)
            wrong = [each for each in confessions(log) if each["wrong"]]
            assert wrong == [], (after or "uninstall", wrong)
            seen.update([what_is_shown(here) if was_killed else "was done before"])
            now = chance.choice(list(builds))
            repair(installer, builds[now])
            here.until(here.says(now), 40)
            # Who asks first may be answered a moment before it is known of which version that was.
            here.until(lambda now=now: here.status().record.version == now[:3])
            status = here.status()
            assert (status.state, status.reason, status.error) == ("loaded", "", "")
    assert [each for each in confessions(log) if each["wrong"]] == []
    print(f"\n{tool}: {killed} killed, {len(confessions(log))} loaded, none of them partial: {dict(seen)}")
    assert killed >= max(1, KILLS // 4)


@pytest.mark.parametrize("tool", ["pip", "uv copy"])
def test_first_used_in_the_middle(pattern, tmp_path, tool):
    """
    What was only seen so far, and is first asked for while it is being upgraded, is not imported half old.
    """
    log = tmp_path / "log"
    builds = [wheel(tmp_path / "wheels", version, checked(version, log)) for version in ("1.0", "2.0")]
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")
    finish(installer.install(builds[0].path))
    burst = how_long_it_writes(installer, builds[1].path)
    finish(installer.uninstall(DISTRIBUTION))
    chance = random.Random(5)
    answers = Counter()
    with following(installer.site) as here:
        for _ in range(TURNS):
            finish(installer.install(builds[0].path))
            here.until(lambda: "zeta" in here.voices)
            before = names_in(installer.site)
            process = installer.install(builds[1].path)
            while process.poll() is None and names_in(installer.site) == before:
                pass
            moment = time.perf_counter() + chance.uniform(0, burst)
            while time.perf_counter() < moment:
                pass
            try:
                answers[here.say()] += 1
            except HotplugError as error:
                answers[type(error).__name__] += 1
            finish(process)
            here.until(here.says("2.0"))
            here.until(lambda: here.status().record.version == "2.0")
            assert (here.status().state, here.status().error) == ("loaded", "")
            assert [each for each in confessions(log) if each["wrong"]] == []
            finish(installer.uninstall(DISTRIBUTION))
            here.until(lambda: "zeta" not in here.voices)
    print(f"\n{tool}: asked in the middle: {dict(answers)}")


def look_a_while(here, chance):
    """Ask for it, as an application would, while the host makes up its mind."""
    deadline = time.monotonic() + chance.choice([0.1, 0.4, 0.8])
    while time.monotonic() < deadline:
        with contextlib.suppress(HotplugError):
            here.say()
        time.sleep(0.005)


def what_is_shown(here):
    return ", ".join(f"{status.state} {status.reason}".strip() for status in here.statuses()) or "nothing"


def repair(installer, build):
    """As one would by hand: install it again, and if the installer cannot, clear the ruins away."""
    process = installer.install(build.path, again=True)
    process.communicate(timeout=120)
    infos = [name for name in names_in(installer.site) if name.endswith(".dist-info") and "zeta" in name]
    if process.returncode or len(infos) > 1 or build.wrong_in(installer.site):
        for name in names_in(installer.site):
            if "eta" in name.lower():
                shutil.rmtree(installer.site / name)
        finish(installer.install(build.path, again=True))
    assert build.wrong_in(installer.site) == []


def how_long_it_writes(installer, path):
    """Seconds from the first to the last change that an installation makes to the site folder."""
    changes, looks = [], [names_in(installer.site)]

    def look():
        looks.append(names_in(installer.site))
        if looks[-1] != looks.pop(0):
            changes.append(time.perf_counter())

    finish(installer.install(path), look)
    return changes[-1] - changes[0] + 0.02


# -- how long it takes --------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_how_long_it_takes(pattern, tmp_path, wheels, tool):
    """
    From the end of pip or uv until the new one answers: printed beside the bars; each of them is followed.
    """
    installer = Installer(tool, copy_environment(pattern, tmp_path / "venv"), tmp_path / "uv-cache")
    times = {"install": [], "upgrade": []}
    modules = {f"zeta/more_{number:02}.py": "VALUE = 1\n" * 20 for number in range(47)}
    with following(installer.site) as here:
        for number in range(TURNS):
            for what in ("install", "upgrade"):
                mark = f"{number}.{what == 'upgrade':d}"
                process = installer.install(wheels(mark, modules | voice(mark)))
                process.communicate(timeout=120)
                ended = time.perf_counter()
                here.until(here.says(mark))
                times[what].append(1e3 * (time.perf_counter() - ended))
            finish(installer.uninstall(DISTRIBUTION))
            here.until(lambda: "zeta" not in here.voices)
    for what, each in times.items():
        ordered = sorted(each)
        print(
            f"\n{tool} exit to usable, {what}: p50 {statistics.median(each):.0f} ms (bar 100), "
            f"p99 {ordered[-1]:.0f} ms (bar 500), of {len(each)}"
        )
    assert len(times["install"]) == len(times["upgrade"]) == TURNS


# -- an application of its own ------------------------------------------------------------------------

APPLICATION = """\
import sys, time
from following import ALL_KINDS
from hotplug import Config, Host
with Host(Config.parse("[host]\\nwatch = true"), kinds=ALL_KINDS) as host:
    voices = host.registry("voices")
    before = "ready"
    print(before, flush=True)
    deadline = time.monotonic() + 120
    while before != "9.0" and time.monotonic() < deadline:
        voice = voices.get("zeta", default=None)
        said = "nothing" if voice is None else voice.say()
        if said != before:
            print(said, flush=True)
            before = said
        time.sleep(0.002)
"""


def test_an_application_of_the_environment(installer, wheels):
    """
    A process of the environment itself, which was told nothing but to watch, follows its own environment.
    """
    places = [str(Path(hotplug.__file__).parents[1]), str(Path(__file__).parents[1] / "support")]
    stranger = sysconfig.get_path("purelib")  # what hotplug itself needs
    application = subprocess.Popen(
        [str(installer.python), "-c", APPLICATION],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*places, stranger])},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert [application.stdout.readline().strip() for _ in range(2)] == ["ready", "nothing"]
        for version in ("1.0", "2.0", "1.0"):
            finish(installer.install(wheels(version)))
            assert application.stdout.readline().strip() == version
        finish(installer.uninstall(DISTRIBUTION))
        assert application.stdout.readline().strip() == "nothing"
        finish(installer.install(wheels("9.0")))
        assert application.stdout.readline().strip() == "9.0"
        assert application.wait(30) == 0
    finally:
        application.kill()
        application.communicate()
