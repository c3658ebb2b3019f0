"""Faults of plugins, one by one: each is its own, and everything else works."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref

import pytest

import hotplug
from hotplug import Host, UserExecutionContext
from hotplug.errors import PluginError, PluginImportError, PluginTimeoutError, StartError

ADA = UserExecutionContext("ada")

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")


def fault(head="", code="", value=None, reason="failed import"):
    return {"head": head, "code": code, "value": value, "reason": reason}


LIAR = """
class Liar:
    def __getattribute__(self, name): raise SystemExit(name)
"""

FAULTS = {
    "exits while it is imported": fault("raise SystemExit(3)"),
    "is cancelled while it is imported": fault("raise asyncio.CancelledError"),
    "recurses while it is imported": fault("def f(): f()\nf()"),
    "has no text": fault("class E(Exception):\n  def __str__(self): raise SystemExit\nraise E"),
    "has a text that is none": fault("class E(Exception):\n  def __str__(self): return 42\nraise E"),
    "is a syntax error that lies": fault("raise SyntaxError('x', ('f', 1, 'a', 'text'))"),
    "says itself what it lacks": fault("raise ModuleNotFoundError('no driver')"),
    "claims to be hotplug": fault(
        "import hotplug\nclass E(hotplug.PluginError):\n  def __init__(self): pass\nraise E"
    ),
    "a module that answers nothing": fault(
        "def __getattr__(name): raise RuntimeError(name)", value="acme_bad:absent"
    ),
    "a module that exits when asked": fault(
        "def __getattr__(name): raise SystemExit(name)", value="acme_bad:absent"
    ),
    "a module that is no module": fault(
        f"import sys\n{LIAR}\nsys.modules[__name__] = Liar()", value="acme_bad:Plain"
    ),
    "an attribute of an attribute": fault(f"{LIAR}\nliar = Liar()", value="acme_bad:liar.more"),
    "the module itself": fault(value="acme_bad", reason="contract mismatch"),
    "a lambda that gives nothing": fault(
        "make = lambda: None", value="acme_bad:make", reason="contract mismatch"
    ),
    "a class that lies about its class": fault(
        "class Odd:\n  @property\n  def __class__(self): raise SystemExit\nodd = Odd()",
        value="acme_bad:odd",
        reason="failed contract check",
    ),
    "an object that claims to be a class": fault(
        "class Odd:\n  __class__ = type\nodd = Odd()", value="acme_bad:odd", reason="failed contract check"
    ),
    "a metaclass that raises": fault(
        "class Meta(type):\n  def __getattribute__(cls, name): raise SystemExit(name)\n"
        "class Odd(metaclass=Meta): pass",
        value="acme_bad:Odd",
        reason="failed contract check",
    ),
    "a constructor that exits": fault(
        code="def __init__(self): raise SystemExit", reason="failed construction"
    ),
    "a constructor that recurses": fault(
        code="def __init__(self): self.__init__()", reason="failed construction"
    ),
    "a constructor that gives somebody else": fault(
        code="def __new__(cls): return 42", reason="contract mismatch"
    ),
    "a product that lies about its class": fault(
        "class Odd:\n  @property\n  def __class__(self): raise SystemExit\ndef make(): return Odd()",
        value="acme_bad:make",
        reason="failed construction",
    ),
    "settings that exit": fault(
        "from dataclasses import dataclass\n@dataclass\nclass Width:\n  value: int = 1\n"
        "  def __post_init__(self): raise SystemExit",
        code="def __init__(self, *, width: Width): ...",
        reason="failed settings",
    ),
    "a signature that raises": fault(
        code="class Sig:\n  def __get__(self, *_): raise SystemExit\n__signature__ = Sig()",
        reason="failed settings",
    ),
}


@pytest.mark.parametrize("kind", ["things", "views"])
@pytest.mark.parametrize("name", FAULTS)
def test_any_fault_is_the_plugins_own(acme, name, kind):
    """
    Whatever is wrong with one plugin, it gets a `PluginError` with a reason, and its neighbour works.
    """
    told = FAULTS[name]
    group = f"acme.{kind}"
    acme.plugin("bad", told["code"], head=told["head"], value=told["value"], group=group)
    acme.plugin("good", group=group)
    config = (
        '[{0}.bad]\nplugin = "bad"\nsettings = {{ width = {{ value = 1 }} }}' if "settings" in name else ""
    )

    with acme.host(config.format(kind)) as host:
        registry = host.registry(kind)
        with pytest.raises(PluginError, match=rf"^{kind}/bad from acme-bad 1\.0: ") as caught:
            registry.get("bad", ADA)
        status = acme.state(host, f"{kind}/bad")

        assert registry.get("good", ADA).do() == "done"
        assert caught.value.reason == status.reason == told["reason"]
        assert status.error
        assert host.refresh() == hotplug.Changes(unchanged=(f"{kind}/bad", f"{kind}/good"))
        sys.modules.pop("acme_bad", None)  # what it put there may be no module at all


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("import functools\nmake = functools.partial(lambda cls: cls(), cls=None)", "acme_odd:make"),
        ("", "acme_odd : Plain"),
        ("", "acme_odd:Plain [extra, other]"),
        ("", "acme_odd:Plain[extra]"),
        ("lots = lambda: Plain()", "acme_odd:lots"),
        ("class Box: pass", "acme_odd:Box.inner.most"),
    ],
    ids=["partial", "spaces", "extras", "tight extras", "lambda", "deep"],
)
def test_odd_but_right_entry_points(acme, head, value):
    """
    Partials, lambdas, spaces, extras and nested names are as good as a plain class.
    """
    tail = "\nmake.keywords['cls'] = Plain" if "make" in value else ""
    tail += "\nBox.inner = Box\nBox.most = Plain" if "Box" in value else ""
    acme.plugin("odd", head=head, value=value)
    file = acme.environment.folder / "acme_odd.py"
    file.write_text(file.read_text() + tail + "\n")

    with acme.host() as host:
        assert host.registry("things")["odd"].do() == "done"


@pytest.mark.parametrize("name", ["dots.and.more", "größe", "日本", "a b", "a-b_c", "Ω/../../etc"])
def test_odd_names(acme, name):
    """
    Whatever a plugin is called, it is found under that name, and its data stays in its own folder.
    """
    acme.plugin(
        "odd",
        "def __init__(self, me: PluginContext): self.me = me",
        head="from hotplug import PluginContext",
        key=name,
    )
    root = acme.environment.folder.parent / "data"

    with acme.host(f"[host]\ndata = '{root}'") as host:
        folder = host.registry("things")[name].me.data_folder

        assert folder.resolve().parent == (root / "plugins" / "acme-odd").resolve()
        assert folder.is_dir()


def test_a_folder_is_never_somebody_elses(acme):
    """
    Two keys never share a folder, and a distribution called like the way up has one below the root.
    """
    from hotplug._host._data import folder_of
    from hotplug._records import PluginRecord, PluginStatus

    config = hotplug.Config.parse("[host]\ndata = '/data'")
    places = {
        str(folder_of(PluginStatus(PluginRecord("things", "g", "n", "v", name, "1"), key, "loaded"), config))
        for name in ("..", ".", "%2e.", "a/b")
        for key in ("x", "../x", "%2e./x", "a/b", "a%2fb")
    }

    assert len(places) == 20
    assert all(place.startswith("/data/plugins/") and "/../" not in place for place in places)


def test_the_data_folder_is_the_users_by_default(monkeypatch, tmp_path):
    """
    Without a word in the configuration it is ``HOTPLUG_DATA``, or the platform's place.
    """
    from hotplug._host._data import folder_of
    from hotplug._records import PluginRecord, PluginStatus

    status = PluginStatus(PluginRecord("things", "g", "n", "v", "acme", "1"), "key", "loaded")
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path))
    named = folder_of(status, hotplug.Config())
    data = hotplug.Host().data
    monkeypatch.delenv("HOTPLUG_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))

    assert named == tmp_path / "plugins" / "acme" / "things.key"
    assert data == tmp_path
    assert "hotplug" in str(folder_of(status, hotplug.Config()))


def test_a_plugin_cannot_take_the_registries_away(acme):
    """
    The mapping that plugins are given is read-only.
    """
    acme.plugin(
        "thief",
        "def __init__(self, me: PluginContext): me.registries.clear()",
        head="from hotplug import PluginContext",
    )

    with acme.host() as host:
        with pytest.raises(PluginError, match="AttributeError"):
            host.registry("things")["thief"]

        assert "thief" in host.registry("things")


def test_a_plugin_may_register_more_while_it_loads(acme):
    """
    What a plugin puts into the registries itself while it is loaded is there afterwards.
    """
    acme.plugin(
        "maker",
        "def __init__(self, me: PluginContext):\n"
        "    me.registries['things'].register('extra', Plain.__new__(Plain))",
        head="from hotplug import PluginContext",
    )

    with acme.host() as host:
        things = host.registry("things")
        things.get("maker")

        assert things["extra"].do() == "done"
        assert things.keys() == ("maker", "extra")


def test_objects_that_cannot_be_compared(acme):
    """
    An object whose comparison, truth and hash raise is held, found and closed like any other.
    """
    acme.plugin(
        "odd",
        "def __eq__(self, other): raise SystemExit\n"
        "def __bool__(self): raise SystemExit\n"
        "def __hash__(self): raise SystemExit\n"
        "def close(self): log.append('closed')",
    )
    acme.plugin(
        "odd_view",
        "def __eq__(self, other): raise SystemExit\n__hash__ = None\n"
        "def __bool__(self): raise SystemExit\ndef close(self): log.append('view')",
        group="acme.views",
    )

    with acme.host() as host:
        host.registry("things").get("odd")
        with host.session(ADA) as session:
            session.registry("things").get("odd")
            session.registry("views").get("odd_view")

    assert acme.log == ["view", "closed"]
    assert not host.close()


CLOSINGS = {
    "raises": ("def close(self): raise SystemExit(1)", "close raised SystemExit: 1"),
    "presses Ctrl-C": ("def close(self): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "presses Ctrl-C later": ("async def aclose(self): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "cancels itself": ("async def aclose(self): raise asyncio.CancelledError", "CancelledError"),
    "hangs": ("async def aclose(self): await asyncio.Event().wait()", "did not finish within 0.3 s"),
    "hides": ("@property\ndef close(self): raise SystemExit('hidden')", "hidden"),
    "hides everything": ("def __getattr__(self, name): raise RuntimeError(name)", "aclose"),
    "gives something to await": (
        "def close(self):\n    async def late(): raise OSError('late')\n    return late()",
        "late",
    ),
}


@pytest.mark.parametrize("name", CLOSINGS)
def test_what_does_not_close_holds_up_nobody(acme, name):
    """
    However one plugin refuses to be closed, it is in the report, and the others are closed.
    """
    code, text = CLOSINGS[name]
    acme.plugin("bad", code)
    for good in ("first", "last"):
        acme.plugin(good, "def close(self): log.append(type(self).__module__)")

    with acme.host("[host]\ndrain_timeout = 0.3") as host:
        for key in ("first", "bad", "last"):
            host.registry("things").get(key)
    report = host.close()

    assert acme.log == ["acme_last", "acme_first"]
    assert [error.record.name for error in report.errors] == ["bad"]
    assert text in str(report.errors[0])


def test_a_close_that_cannot_be_called_is_none(acme):
    """
    An attribute ``close`` that is no method closes nothing and is no error.
    """
    acme.plugin("plain", "close = 42\naclose = None")

    with acme.host() as host:
        host.registry("things").get("plain")

    assert not host.close()


def test_a_thread_stuck_in_close_is_named(acme):
    """
    A plain close that hangs is left behind in a daemon thread, which the report names.
    """
    acme.plugin("bad", "def close(self): gate.wait(20)")

    with acme.host("[host]\ndrain_timeout = 0.3") as host:
        host.registry("things").get("bad")
    report = host.close()
    stuck = [thread for thread in threading.enumerate() if thread.name in report.threads]
    acme.gate.set()

    assert report.threads == ("hotplug close: things/bad",)
    assert [thread.daemon for thread in stuck] == [True]
    assert isinstance(report.errors[0], PluginTimeoutError)


def test_a_thread_stuck_in_an_import_is_named_until_it_ends(acme):
    """
    What a timed-out plugin left behind is in the close report, even if it was removed meanwhile.
    """
    acme.plugin("slow", head="gate.wait(20)")

    with acme.host("[host]\nload_timeout = 0.3") as host:
        with pytest.raises(PluginTimeoutError):
            host.registry("things").get("slow")
        acme.environment.uninstall("acme-slow")
        host.refresh()
    report = host.close()
    acme.gate.set()

    assert report.threads == ("hotplug import: things/slow",)


def test_a_constructor_that_hangs_is_not_tried_again(acme):
    """
    One thread is lost to a constructor that does not return, not one for each get; a refresh allows one more.
    """
    acme.plugin("slow", "def __init__(self):\n    log.append('tried')\n    gate.wait(20)")

    with acme.host("[host]\nload_timeout = 0.3") as host:
        for _ in range(3):
            with pytest.raises(PluginTimeoutError, match="construction did not finish"):
                host.registry("things").get("slow")
        tried_at_first = list(acme.log)
        acme.gate.set()
        host.refresh()

        assert tried_at_first == ["tried"]
        assert host.registry("things").get("slow").do() == "done"


def test_a_stuck_plugins_error_does_not_grow(acme):
    """
    Asking a stuck plugin again and again gives a fresh error each time: none collects the others' frames.
    """
    acme.plugin("slow", head="gate.wait(20)")

    def depth(error):
        trace, count = error.__traceback__, 0
        while trace is not None:
            trace, count = trace.tb_next, count + 1
        return count

    depths, errors = [], set()
    with acme.host("[host]\nload_timeout = 0.3") as host:
        for _ in range(6):
            with pytest.raises(PluginTimeoutError) as caught:
                host.registry("things").get("slow")
            depths.append(depth(caught.value))
            errors.add(caught.value)
    acme.gate.set()

    assert len(set(depths[1:])) == 1
    assert len(errors) == 6


def test_settings_that_hang_are_given_up(acme):
    """
    Converting settings runs plugin code too, and is part of what has a limit.
    """
    acme.plugin(
        "slow",
        "def __init__(self, *, width: Width): ...",
        head="from dataclasses import dataclass\n@dataclass\nclass Width:\n  value: int\n"
        "  def __post_init__(self): gate.wait(20)",
    )

    with acme.host("[host]\nload_timeout = 0.3\n[things.slow]\nsettings = { width = { value = 1 } }") as host:
        with pytest.raises(PluginTimeoutError):
            host.registry("things").get("slow")
        acme.gate.set()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("@property\ndef requires(self): raise SystemExit('mine')", "mine"),
        ("requires = 5", "TypeError"),
        ("requires = 'good'", "a tuple of keys"),
        ("requires = (1, 2)", "a tuple of keys"),
        ("@property\ndef start(self): raise SystemExit('mine')", "mine"),
        ("start = 5", "TypeError"),
        ("def start(self): raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("async def start(self): raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("async def start(self): raise SystemExit(3)", "SystemExit"),
        ("async def start(self): asyncio.get_running_loop().stop(); raise OSError('stopped')", "stopped"),
    ],
)
def test_what_cannot_be_started_is_failed(acme, code, text):
    """
    Whatever an engine does instead of starting, it is its own failure; the others start, and stop.
    """
    acme.plugin("bad", code, group="acme.engines")
    acme.plugin(
        "good",
        "async def start(self): log.append('up')\nasync def stop(self): log.append('down')",
        group="acme.engines",
    )

    with acme.host("[engines.bad]\n[engines.good]") as host:
        status = acme.state(host, "engines/bad")
        assert status.state == "failed"
        assert text in status.error
        assert acme.state(host, "engines/good").state == "loaded"
    assert not host.close().threads

    assert acme.log == ["up", "down"]


@pytest.mark.parametrize(
    "head",
    [
        "class Meta(type(Thing)):\n  @property\n  def autostart(cls): raise OSError('no')",
        "class Odd:\n  def __bool__(self): raise OSError('no')\nclass Meta(type(Thing)): autostart = Odd()",
    ],
)
def test_an_autostart_that_raises_is_failed(acme, head):
    """
    Asking a class whether it starts itself runs its code, behind the wall.
    """
    acme.plugin("bad", group="acme.engines", head=head + "\nclass Base(Thing, metaclass=Meta): pass")
    file = acme.environment.folder / "acme_bad.py"
    file.write_text(file.read_text().replace("class Plain(Thing)", "class Plain(Base)"))

    with acme.host() as host:
        assert acme.state(host, "engines/bad").state == "failed"
        assert "Error: no" in acme.state(host, "engines/bad").error


def test_what_cannot_be_imported_does_not_start_itself(acme):
    """
    An engine that nobody named is imported to see whether it starts itself; if that fails, it is failed.
    """
    acme.plugin("bad", group="acme.engines", head="autostart = True\nraise OSError")

    with acme.host() as host:
        assert acme.state(host, "engines/bad").reason == "failed import"


def test_what_does_not_speak_of_starting_is_not_imported(acme):
    """
    An engine whose source does not mention `autostart` stays unimported until somebody wants it.
    """
    acme.plugin("idle", group="acme.engines", head="raise OSError")

    with acme.host() as host:
        assert acme.state(host, "engines/idle").state == "discovered"


@pytest.mark.parametrize("stop", ["@property\ndef stop(self): raise OSError('no stop')", "stop = 5"])
def test_what_cannot_be_stopped_is_reported(acme, stop):
    """
    A way to stop that is not there when it is needed is in the report; everything else is stopped and closed.
    """
    acme.plugin("bad", f"{stop}\ndef close(self): log.append('closed')", group="acme.engines")

    with acme.host("[engines.bad]") as host:
        assert acme.state(host, "engines/bad").state == "loaded"

    assert [error.reason for error in host.close().errors] == ["failed stop"]
    assert acme.log == ["closed"]


@pytest.mark.parametrize("raised", ["SystemExit(7)", "KeyboardInterrupt()"])
def test_a_task_that_exits_does_not_end_the_home_loop(acme, raised):
    """
    A background task of one plugin that raises what would end a loop leaves the loop to the others.
    """
    acme.plugin(
        "bad",
        f"async def boom(self): raise {raised}\n"
        "async def start(self): self.task = asyncio.create_task(self.boom())",
        group="acme.engines",
    )
    acme.plugin("good", "async def stop(self): log.append('down')", group="acme.engines")

    with acme.host("[engines.bad]\n[engines.good]") as host:
        deadline = threading.Event()
        while not host.registry("engines")["bad"].task.done():
            assert not deadline.wait(0)
        host.registry("engines")["bad"].task.exception()
    assert not host.close()

    assert acme.log == ["down"]


def test_a_plugin_that_blocks_the_home_loop_is_given_up(acme, monkeypatch):
    """
    A coroutine that never awaits blocks the loop of all: it is timed out and named, and the host closes.
    """
    monkeypatch.setattr("hotplug._host._running.TURN", 0.1)
    acme.plugin("bad", "async def start(self): gate.wait(20)", group="acme.engines")

    with acme.host("[host]\nload_timeout = 0.3\ndrain_timeout = 0.1\n[engines.bad]") as host:
        status = acme.state(host, "engines/bad")
        home = host.home
        monkeypatch.setattr(home, "close", lambda: type(home).close(home, 0.2))
    report = host.close()
    acme.gate.set()

    assert (status.state, status.reason) == ("timed_out", "timed out")
    assert "blocks the event loop of 'hotplug home'" in status.remedy
    assert report.threads == ("hotplug home",)


def test_a_status_keeps_no_frames_alive(acme):
    """
    What a failing plugin had on its stack is gone once its error is: the status keeps text.
    """
    acme.plugin(
        "bad",
        "def __init__(self):\n    heavy = Heavy()\n    log.append(weakref.ref(heavy))\n    raise OSError",
        head="import weakref\nclass Heavy: pass",
    )

    with acme.host() as host:
        with pytest.raises(PluginError):
            host.registry("things").get("bad")
        gc.collect()

        assert "OSError" in acme.state(host, "things/bad").error
        assert acme.log[0]() is None


def test_a_host_keeps_nothing_alive(acme):
    """
    Hundreds of hosts that came and went leave no object of a plugin and no thread.
    """
    acme.plugin("plain", "async def start(self): self.me = asyncio.current_task()", group="acme.engines")
    acme.plugin("view", group="acme.views")
    made = []
    threads = threading.active_count()

    for _ in range(60):
        with acme.host("[engines.plain]") as host:
            made.append(weakref.ref(host.registry("engines")["plain"]))
            with host.session(ADA) as session:
                made.append(weakref.ref(session.registry("views").get("view")))
        made.append(weakref.ref(host))
        del host, session
    gc.collect()

    assert not [thing for thing in made if thing() is not None]
    assert threading.active_count() == threads


def test_broken_requirements_are_no_statement(acme):
    """
    A requirement of hotplug that cannot be read or evaluated stops neither the plugin nor the host.
    """
    acme.plugin(
        "odd", requires=["hotplug >= x y", "hotplug>=99; os_name ~= 'x.y'", "hotplugs", "Hotplug[x]>=0.0.1"]
    )

    with acme.host() as host:
        assert host.registry("things")["odd"].do() == "done"


def test_a_validator_of_the_application_is_no_end(acme):
    """
    An engine that the application's own validator refuses is failed; the host starts.
    """
    acme.plugin("bad", group="acme.engines")
    host = acme.host("[engines.bad]")
    host.registry("engines").add_validator(lambda key, thing: 1 // 0)

    with host:
        status = acme.state(host, "engines/bad")

        assert status.state == "failed"
        assert "ZeroDivisionError" in status.error


def test_strict_is_strict_about_starting_too(acme):
    """
    With `strict`, an engine that nobody required and that does not start is a start-up error.
    """
    acme.plugin("bad", "async def start(self): raise OSError('no port')", group="acme.engines")

    with pytest.raises(StartError, match="engines/bad.*no port"):
        acme.host("[engines.bad]", strict=True).start()


def test_a_module_of_others_is_never_dropped(acme):
    """
    An entry point that names the standard library or hotplug cannot have their modules dropped.
    """
    from hotplug._loader import drop_modules, modules_of
    from hotplug._records import PluginRecord

    before = set(sys.modules)
    for value in ("json:loads", "os.path:join", "hotplug.tools:Tool", "hotplug", "", ":"):
        record = PluginRecord("things", "g", "n", value, "acme", "1")
        drop_modules(record)
        assert modules_of(record) == []

    assert set(sys.modules) >= before


def test_two_plugins_of_a_distribution_share_its_modules(acme):
    """
    Mending one plugin by configuration does not import the code of its working sibling a second time.
    """
    acme.environment.install(
        "acme-pair",
        advertises={"acme.things": {"a": "acme_pair:A", "b": "acme_pair:B"}},
        files={
            "acme_pair.py": "from acme_contract import *\nlog.append('imported')\n"
            "class A(Thing):\n  def do(self): return 'a'\n"
            "class B(A):\n  def __init__(self, *, width: int): ...\n"
        },
    )

    with acme.host() as host:
        things = host.registry("things")
        a = things.get("a")
        with pytest.raises(hotplug.SettingsError):
            things.get("b")
        host.apply(acme.parse("[things.b]\nsettings = { width = 1 }"))

        assert isinstance(things["b"], type(a))
        assert acme.log == ["imported"]


def test_a_namespace_that_lies_is_looked_at_safely(acme):
    """
    What a plugin puts into ``sys.modules`` is looked at behind a wall, also when its code changes.
    """
    acme.plugin(
        "odd",
        head="import sys\nclass Odd:\n  def __getattr__(self, name): raise OSError(name)\n"
        "sys.modules['acme_odd.child'] = Odd()\nsys.modules['acme_odd.empty'] = None",
    )

    try:
        with acme.host() as host:
            host.registry("things").get("odd")
            acme.environment.uninstall("acme-odd")

            assert host.refresh().removed == ("things/odd",)
            assert "acme_odd" not in sys.modules
            assert "acme_odd.child" not in sys.modules
    finally:
        for name in ("acme_odd", "acme_odd.child", "acme_odd.empty"):
            sys.modules.pop(name, None)


def test_an_unknown_kind_in_the_configuration_starts_nothing(acme):
    """
    A table of no kind is a configuration error: the host is closed, and leaves no thread.
    """
    acme.plugin("plain", "async def start(self): log.append('up')", group="acme.engines")
    host = acme.host("[engines.plain]\n[engine.oops]")

    with pytest.raises(hotplug.ConfigError, match="did you mean 'engines'"):
        host.start()

    assert acme.log == []
    assert not host.close()
    with pytest.raises(hotplug.HostError, match="does not start again"):
        host.start()


def test_the_wrong_registry_class_is_the_applications(acme):
    """
    A kind whose registry class cannot be imported fails when the host is made, not later.
    """
    with pytest.raises(AttributeError):
        Host(kinds=[hotplug.Kind("odd", acme.Thing, registry="hotplug.registry:Nothing")])


def test_import_error_of_a_name(acme):
    """
    An import that lacks a name of another module is a failed import that says so.
    """
    acme.plugin("bad", head="from os import nothing_like_it")

    with acme.host() as host, pytest.raises(PluginImportError, match="nothing_like_it"):
        host.registry("things")["bad"]


def test_a_loop_runs_on_while_a_plugin_loads(acme):
    """
    `aget` of a slow plugin leaves the application's loop free.
    """
    acme.plugin("slow", head="assert gate.wait(20)")

    async def main():
        async with acme.host() as host:
            getting = asyncio.create_task(host.registry("things").aget("slow"))
            await asyncio.sleep(0)
            acme.gate.set()
            return (await getting).do()

    assert asyncio.run(main()) == "done"
