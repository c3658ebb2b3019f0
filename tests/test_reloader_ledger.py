"""What a generation registers elsewhere: noted, found, taken back; or said, where it cannot be."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import codecs
import contextvars
import copyreg
import functools
import gc
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from generations import acmes
from hot import until
from hotplug._reloader import COLLECT_AFTER
from hotplug._reloader._ledger import Ledger
from hotplug._reloader._slots import Level
from hotplug._reloader._wires import _AtExit, drop
from racing import until_it_stands

pytestmark = pytest.mark.usefixtures("nothing_left")

SIGNAL = signal.SIGUSR2


@pytest.fixture
def dist(tmp_path):
    yield from acmes(tmp_path / "src")


@pytest.fixture(autouse=True)
def application():
    """What the application has: plugins of these tests register with it."""
    app = sys.modules["the_app"] = type(sys)("the_app")
    app.logger = logging.getLogger("the_app")
    app.logger.setLevel(logging.INFO)
    app.var = contextvars.ContextVar("the_app_var", default=0)
    app.Shared = type("Shared", (), {})

    @functools.singledispatch
    def render(thing):
        return "?"

    app.render = render
    app.held = []
    yield app
    del sys.modules["the_app"]
    app.logger.setLevel(logging.NOTSET)


def callbacks():
    """How many of the generations' exit callbacks there are; Python does not count those that are gone."""
    return sum(type(each) is _AtExit for each in gc.get_objects())


def error_handler(name):
    try:
        return codecs.lookup_error(name)("x")
    except LookupError as error:
        return str(error)


def state(app):
    """All that the plugins below may change."""
    return SimpleNamespace(
        exits=callbacks(),
        handlers=list(app.logger.handlers),
        root=list(logging.root.handlers),
        filters=list(app.logger.filters),
        level=app.logger.level,
        warnings=list(warnings.filters),
        signal=signal.getsignal(SIGNAL),
        hooks=(sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning),
        meta_path=list(sys.meta_path),
        path_hooks=list(sys.path_hooks),
        gc=list(gc.callbacks),
        reducers=dict(copyreg.dispatch_table),
        codec=error_handler("hotplug.test"),
        var=app.var.get(),
        wires=(
            atexit.register,
            logging.Logger.addHandler,
            warnings.filterwarnings,
            signal.signal,
            codecs.register,
        ),
    )


UNDONE = {
    "exit callback": "import atexit\ndef f(): ...\natexit.register(f)",
    "exit callback with arguments, as a decorator": (
        "from atexit import register\n@register\ndef f(): ...\nregister(print, 'bye')"
    ),
    "handler on a shared logger": (
        "import logging, the_app\nthe_app.logger.addHandler(logging.StreamHandler())"
    ),
    "handler of an own class": (
        "import logging, the_app\n"
        "class Own(logging.Handler):\n"
        "    def emit(self, record): ...\n"
        "the_app.logger.addHandler(Own())"
    ),
    "the same handler twice": (
        "import logging, the_app\n"
        "h = logging.NullHandler()\n"
        "the_app.logger.addHandler(h)\n"
        "the_app.logger.addHandler(h)"
    ),
    "handler put there by other means": (
        "import logging, the_app\n"
        "class Own(logging.NullHandler):\n"
        "    def filter(self, record): ...\n"
        "the_app.logger.handlers.append(Own())"
    ),
    "handler set up by logging": (
        "import logging\nlogging.basicConfig(force=False, handlers=[logging.NullHandler()])"
    ),
    "filter": (
        "import the_app\ndef f(record): return True\nthe_app.logger.addFilter(f)\nthe_app.logger.addFilter(f)"
    ),
    "filter put there by other means": (
        "import the_app\ndef f(record): return True\nthe_app.logger.filters.append(f)"
    ),
    "level": "import the_app\nthe_app.logger.setLevel('ERROR')\nthe_app.logger.setLevel('ERROR')",
    "level and back again": (
        "import the_app\nthe_app.logger.setLevel('ERROR')\nthe_app.logger.setLevel('INFO')"
    ),
    "warnings filter": "import warnings\nwarnings.filterwarnings('ignore', 'hotplug test')",
    "warnings filter for an own class": (
        "import warnings\n"
        "class Own(Warning):\n"
        "    def f(self): ...\n"
        "warnings.simplefilter('ignore', Own)\n"
        "warnings.filters.insert(0, ('ignore', None, Own, None, 0))"
    ),
    "signal handler": "import signal\ndef f(number, frame): ...\nsignal.signal(signal.SIGUSR2, f)",
    "signal handler of somebody's": "import signal\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)",
    "exception hook": "import sys\ndef f(*_): ...\nsys.excepthook = f",
    "exception hooks of threads and finalisers": (
        "import sys, threading\n"
        "class H:\n"
        "    def f(self, _): ...\n"
        "threading.excepthook = H().f\n"
        "sys.unraisablehook = H().f"
    ),
    "warnings hook": (
        "import warnings, functools\ndef f(*_): ...\nwarnings.showwarning = functools.partial(f, 1)"
    ),
    "finder": (
        "import sys\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None): ...\n"
        "sys.meta_path.append(Finder)\n"
        "sys.meta_path.append(Finder())"
    ),
    "finder without a method of its own": (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Finder(PathFinder): ...\n"
        "sys.meta_path.append(Finder)"
    ),
    "path hook": "import sys\ndef hook(path): raise ImportError\nsys.path_hooks.append(hook)",
    "collector's callback": (
        "import gc\nclass C:\n    @staticmethod\n    def f(phase, info): ...\ngc.callbacks.append(C.f)"
    ),
    "reducer for an own class": "import copyreg\nclass Own:\n    def f(self): ...\ncopyreg.pickle(Own, repr)",
    "reducer for another class": (
        "import copyreg, the_app\ndef reduce(thing): ...\ncopyreg.pickle(the_app.Shared, reduce)"
    ),
    "codec": "import codecs\ndef find(name): ...\ncodecs.register(find)",
    "codec error handler": (
        "import codecs\ndef mend(error): return ('', 0)\ncodecs.register_error('hotplug.test', mend)"
    ),
    "context variable": "import the_app\nthe_app.var.set([1])",
    "in a helper module": {
        "pkg/__init__.py": "from . import a",
        "pkg/a.py": "import atexit\natexit.register(print)",
    },
}


def files(what):
    return what if isinstance(what, dict) else {"pkg/__init__.py": what}


@pytest.mark.parametrize("what", UNDONE.values(), ids=UNDONE)
def test_it_is_undone(dist, application, what):
    """
    After the end all is as it was, and the modules of the generation are gone.
    """
    before = state(application)
    dist.go(files(what))
    watched = [weakref.ref(module) for module in dist.now.modules.values()]

    left = dist.now.retire(collect=True)

    assert state(application) == before
    assert not left
    assert [ref() for ref in watched] == [None] * len(watched)


@pytest.mark.parametrize("what", UNDONE.values(), ids=UNDONE)
def test_it_is_undone_after_a_failure(dist, application, what):
    """
    So it is where the generation never came to be.
    """
    before = state(application)
    failing = {**files(what), "pkg/__init__.py": files(what)["pkg/__init__.py"] + "\n1 / 0"}

    with pytest.raises(ZeroDivisionError):
        dist.go(failing)

    assert state(application) == before


@pytest.mark.parametrize("what", UNDONE.values(), ids=UNDONE)
def test_the_next_generation_keeps_its_own(dist, application, what):
    """
    The end of the old one takes back nothing that the new one registered; its end takes back all.
    """
    before = state(application)
    first = dist.go(files(what))
    once = state(application)
    second = dist.go({"pkg/other.py": ""})
    first.retire()
    then = state(application)

    assert then.exits == once.exits
    assert [
        len(getattr(then, name)) for name in ("handlers", "filters", "root", "warnings", "meta_path")
    ] == [len(getattr(once, name)) for name in ("handlers", "filters", "root", "warnings", "meta_path")]
    assert then.level == once.level
    assert len(then.reducers) == len(once.reducers)
    assert then.codec == once.codec
    assert [a is b for a, b in zip(then.hooks, before.hooks, strict=True)] == [
        a is b for a, b in zip(once.hooks, before.hooks, strict=True)
    ]
    second.retire()
    assert state(application) == before


def test_an_exit_callback_is_called_and_can_be_unregistered(dist, tmp_path):
    """
    Until it is taken back a callback works as any other: it is called, and found by its function.
    """
    code = """
        import atexit
        @atexit.register
        def kept(): print("kept")
        @atexit.register
        def dropped(): print("dropped")
        atexit.register(print, "with", sep="!")
        atexit.unregister(dropped)
    """
    dist.write({"pkg/__init__.py": code})

    assert in_a_process(dist, "atexit.register(print, 'ours')\nacme.go()").split() == ["with", "kept", "ours"]


def in_a_process(dist, code):
    """What a process says that has a distribution in the same folder."""
    head = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent / 'support')!r})\n"
        "from pathlib import Path; from generations import Acme; import atexit, logging\n"
        f"acme = Acme(Path({str(dist.folder)!r}))\n"
    )
    run = [sys.executable, "-c", head + textwrap.dedent(code)]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_only_its_own_callback_is_unregistered(dist):
    """
    A function that others registered as well stays registered for them.
    """
    code = """
        atexit.register(print, "ours")
        acme.go({"pkg/__init__.py": "import atexit\\natexit.register(print, 'theirs')"})
        acme.now.retire()
    """

    assert in_a_process(dist, code) == "ours\n"


def test_what_others_register_meanwhile_is_theirs(dist, application):
    """
    Another thread's registrations during staging, and those of a foreign module's import, are left alone.
    """
    ready, go_on = threading.Event(), threading.Event()
    application.ready, application.go_on = ready, go_on
    mine = logging.NullHandler()

    before = sys.excepthook

    def other():
        ready.wait(20)
        application.logger.addHandler(mine)
        sys.excepthook = other
        go_on.set()

    thread = threading.Thread(target=other)
    thread.start()
    dist.write(
        {
            "foreign_of_pkg.py": (
                "import logging\nH = logging.NullHandler()\nlogging.getLogger('the_app').addHandler(H)"
            )
        }
    )
    sys.path.insert(0, str(dist.folder))
    dist.territory.owns_not = "foreign_of_pkg"
    owns = dist.territory.owns
    dist.territory.owns = lambda name: name != "foreign_of_pkg" and owns(name)
    sources = dist.territory.sources
    dist.territory.sources = lambda: {k: v for k, v in sources().items() if k != "foreign_of_pkg"}
    try:
        dist.go(
            {
                "pkg/__init__.py": (
                    "import the_app\nthe_app.ready.set()\nthe_app.go_on.wait(20)\nimport foreign_of_pkg"
                )
            }
        )
        theirs = sys.modules.pop("foreign_of_pkg").H
        thread.join()
        dist.now.retire()
        assert application.logger.handlers == [mine, theirs]
        assert sys.excepthook is other
    finally:
        sys.path.remove(str(dist.folder))
        sys.excepthook = before
        application.logger.handlers.clear()


def test_a_later_import_is_noted_too(dist, application):
    """
    A submodule that is imported lazily, by whomever, has its registrations taken back as well.
    """
    before = state(application)
    dist.go(
        {"pkg/__init__.py": "", "pkg/late.py": UNDONE["handler on a shared logger"] + "\nthe_app.var.set(1)"}
    )
    __import__("pkg.late")
    assert len(application.logger.handlers) == len(before.handlers) + 1
    assert application.var.get() == 0

    dist.now.retire()

    assert state(application) == before


def test_what_was_there_already_is_not_taken_away(dist, application):
    """
    A filter that the application had is only moved by a plugin that sets the same, and stays.
    """
    warnings.filterwarnings("ignore", "hotplug test")
    entry = warnings.filters[0]
    handler = logging.NullHandler()
    application.logger.addHandler(handler)
    application.handler = handler
    dist.go(
        {
            "pkg/__init__.py": (
                "import warnings, the_app\n"
                "warnings.filterwarnings('ignore', 'hotplug test')\n"
                "the_app.logger.addHandler(the_app.handler)"
            )
        }
    )

    dist.now.retire()

    assert entry in warnings.filters
    assert application.logger.handlers == [handler]
    application.logger.removeHandler(handler)
    warnings.filters.remove(entry)


def test_a_handler_that_somebody_else_has_is_not_closed(dist, application):
    """
    A handler is closed with its last logger.
    """
    application.handler = handler = logging.NullHandler()
    closed = []
    handler.close = lambda: closed.append(True)
    logging.getLogger("the_app.two").addHandler(handler)
    dist.go({"pkg/__init__.py": "import the_app\nthe_app.logger.addHandler(the_app.handler)"})

    dist.now.retire()

    assert not closed
    logging.getLogger("the_app.two").removeHandler(handler)


def test_what_adopted_modules_left_is_found(dist, application, monkeypatch):
    """
    What was imported before hotplug came is taken back where it can be told that it is the generation's own.
    """
    before = state(application)
    dist.write(
        {
            "pkg/__init__.py": """
                import sys, signal, logging, the_app
                def f(*_): ...
                class Own(logging.NullHandler):
                    def handle(self, record): ...
                sys.excepthook = f
                signal.signal(signal.SIGUSR2, f)
                the_app.logger.addHandler(Own())
            """
        }
    )
    monkeypatch.syspath_prepend(str(dist.folder))
    import pkg

    dist.go()
    watched = weakref.ref(dist.now.modules["pkg"])
    dist.now.retire(collect=True)

    assert sys.excepthook is sys.__excepthook__
    sys.excepthook = before.hooks[0]
    assert state(application).handlers == before.handlers
    assert signal.getsignal(SIGNAL) == signal.SIG_DFL
    del pkg
    gc.collect()
    assert watched() is None


def test_a_newer_value_stands(dist, application):
    """
    What somebody set later is not set back.
    """
    dist.go({"pkg/__init__.py": "import the_app\nthe_app.logger.setLevel('ERROR')"})
    application.logger.setLevel("DEBUG")

    dist.now.retire()

    assert application.logger.level == logging.DEBUG


def test_settings_of_several_places_do_not_mix(application):
    """
    Only what was set into the same place later has an older past when something is set back.
    """
    one, two = Ledger(None), Ledger(None)
    other = logging.getLogger("the_app.other")
    for ledger, logger, level in [
        (one, application.logger, 41),
        (two, other, 42),
        (two, application.logger, 43),
    ]:
        before = logger.level
        logger.level = level
        ledger.was_set(Level(logger), before)
    owner = SimpleNamespace(is_own=lambda thing: False)
    one._owner = two._owner = owner

    assert one.undo() == ()
    assert (application.logger.level, other.level) == (43, 42)
    assert two.undo() == ()
    assert (application.logger.level, other.level) == (logging.INFO, logging.NOTSET)


# -- what cannot be undone -------------------------------------------------------------------------


def test_a_signal_handler_off_the_main_thread(dist):
    """
    Signal handlers can be set on the main thread only: elsewhere it is said that one is left.
    """
    before = signal.getsignal(SIGNAL)
    dist.go({"pkg/__init__.py": UNDONE["signal handler"]})
    left = []
    thread = threading.Thread(target=lambda: left.append(dist.now.retire()))
    thread.start()
    thread.join()
    signal.signal(SIGNAL, before)

    assert left[0].registrations
    assert "the handler of SIGUSR2: ValueError: signal only works in main thread" in str(left[0])


def test_what_python_cannot_take_back(dist):
    """
    A function to be called at a fork is named.
    """
    dist.go({"pkg/__init__.py": "import os\ndef refresh(): ...\nos.register_at_fork(after_in_child=refresh)"})

    left = dist.now.retire()

    assert list(left) == ["os.register_at_fork(refresh): Python cannot take it back"]


def test_a_handler_that_does_not_want_to_go(dist, application):
    """
    What raises when it is taken back is named, and keeps nothing else from being taken back.
    """
    code = """
        import atexit, logging, the_app
        class Own(logging.NullHandler):
            def close(self): raise ValueError("never")
        the_app.logger.addHandler(Own())
        atexit.register(print)
    """
    exits = callbacks()
    dist.go({"pkg/__init__.py": code})

    left = dist.now.retire()

    assert left.registrations == ("a handler of logger 'the_app': ValueError: never",)
    assert callbacks() == exits
    logging._handlers.clear()


def test_somebody_wraps_what_is_watched(dist, monkeypatch):
    """
    Who wraps a watched function for good while a generation is staged keeps the wrapper, and it works.
    """
    original = atexit.register
    try:
        dist.go(
            {"pkg/__init__.py": "import atexit\nold = atexit.register\natexit.register = lambda f: old(f)"}
        )
        assert atexit.register(repr) is repr
        assert atexit.register is not original
        assert callbacks() == 0
    finally:
        atexit.register = original
        atexit.unregister(repr)


# -- what goes on ----------------------------------------------------------------------------------


def test_a_running_thread_is_named(dist):
    """
    A thread that still runs code of a retired generation is named, with file and line; it goes on.
    """
    code = """
        import threading
        gate = threading.Event()
        def work():
            inner()
        def inner():
            gate.wait(20)
        thread = threading.Thread(target=work, name="poller")
        thread.start()
    """
    dist.go({"pkg/__init__.py": code})
    pkg = dist.now.modules["pkg"]
    until_it_stands(pkg.thread)
    first = dist.now
    dist.go({"pkg/__init__.py": "#"})

    left = first.retire()

    place = f"{dist.folder / 'pkg' / '__init__.py'}:7 (inner)"
    assert left.threads == (f"thread 'poller' at {place}",)
    assert bool(left)
    assert not left.threads[0].is_over
    pkg.gate.set()
    pkg.thread.join()
    assert left.threads[0].is_over


def test_a_thread_that_python_does_not_know_is_named(dist):
    """
    A thread that was begun without `threading` goes by its number, and is over when it is not seen any more.
    """
    code = """
        import threading
        started, gate = threading.Event(), threading.Event()
        def work():
            started.set()
            gate.wait(20)
    """
    dist.go({"pkg/__init__.py": code})
    first, pkg = dist.now, dist.now.modules["pkg"]
    dist.go({"pkg/__init__.py": "#"})
    ident = _thread.start_new_thread(pkg.work, ())
    pkg.started.wait(20)

    [left] = first.retire().threads

    assert left.startswith(f"thread {ident} at ")
    assert not left.is_over
    pkg.gate.set()
    until(lambda: left.is_over)


def test_waiting_tasks_are_named(dist):
    """
    A task that waits inside code of a retired generation is named, whichever thread's loop it is on.
    """
    code = """
        import asyncio
        async def work(gate):
            await inner(gate)
        async def inner(gate):
            await gate.wait()
    """
    dist.go({"pkg/__init__.py": code})
    first, pkg = dist.now, dist.now.modules["pkg"]
    dist.go({"pkg/__init__.py": "#"})
    started, gate, loops = threading.Event(), [], []

    async def main():
        gate.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        tasks = [asyncio.create_task(pkg.work(gate[0]), name="watcher"), asyncio.create_task(gate[0].wait())]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        started.set()
        await asyncio.gather(*tasks)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait(20)

    left = first.retire()

    assert left.tasks == (f"task 'watcher' at {dist.folder / 'pkg' / '__init__.py'}:6 (inner)",)
    assert not left.tasks[0].is_over
    loops[0].call_soon_threadsafe(gate[0].set)
    thread.join()
    assert left.tasks[0].is_over


def test_tasks_that_run_right_now_are_named(dist):
    """
    A task that another thread is in the middle of is named with the innermost place in old code.
    """
    code = """
        async def work(*events):
            await inner(*events)
        async def inner(started, gate):
            started.set()
            gate.wait()
    """
    dist.go({"pkg/__init__.py": code})
    first, pkg = dist.now, dist.now.modules["pkg"]
    dist.go({"pkg/__init__.py": "#"})
    started, gate = threading.Event(), threading.Event()

    async def main():
        await asyncio.create_task(pkg.work(started, gate), name="busy")

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait(20)

    left = first.retire()

    assert left.tasks == (f"task 'busy' at {dist.folder / 'pkg' / '__init__.py'}:6 (inner)",)
    gate.set()
    thread.join()


def test_tasks_on_a_loop_that_stands(dist):
    """
    The tasks of a loop that does not run right now are found where it is given; generators count as well.
    """
    code = """
        import types
        @types.coroutine
        def old_style():
            yield
        async def work():
            await old_style()
    """
    dist.go({"pkg/__init__.py": code})
    loop = asyncio.new_event_loop()
    task = loop.create_task(dist.now.modules["pkg"].work(), name="old")
    loop.call_soon(loop.stop)
    loop.run_forever()

    left = dist.now.retire(loops=[loop])

    assert left.tasks == (f"task 'old' at {dist.folder / 'pkg' / '__init__.py'}:5 (old_style)",)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


def test_tasks_that_cannot_be_counted(dist, monkeypatch):
    """
    A loop whose tasks come and go too fast to be looked at hides nothing else.
    """

    def too_fast(loop):
        raise RuntimeError("set changed size during iteration")

    monkeypatch.setattr(asyncio, "all_tasks", too_fast)
    dist.go({"pkg/__init__.py": UNDONE["exit callback"]})
    before = callbacks()

    class Other:
        """Something else that runs for ever."""

        def run_forever(self):
            return dist.now.retire(loops=[self])

    assert not Other().run_forever()
    assert callbacks() == before - 1


HELD = {
    "in the application's list": (
        "import the_app\nclass Own:\n    def f(self): ...\nthe_app.held.append(Own())",
        "module the_app",
    ),
    "in an overloaded function": (
        (
            "import the_app\n"
            "class Own:\n"
            "    def f(self): ...\n"
            "@the_app.render.register\n"
            "def _(thing: Own): return 'own'"
        ),
        "application.<locals>.render",
    ),
    "in a class": (
        "import the_app\ndef f(self): ...\nthe_app.Shared.method = f",
        "test_reloader_ledger.Shared",
    ),
}


def test_who_keeps_it_cannot_always_be_found(dist, application, monkeypatch):
    """
    Deep in others' containers, or among objects that lie, the search ends; that it lives is said anyway.
    """
    for number in (1, 2, 3):
        code = (
            "import the_app\n"
            "keep = lambda: 1\n"
            "for _ in range(20):\n"
            "    keep = [keep]\n"
            "the_app.held.append(keep)"
        )
        dist.go({"pkg/__init__.py": code if number < 3 else "#"})
    first, second = dist.all[:2]

    [said] = first.retire(collect=True).held
    monkeypatch.setattr("hotplug._reloader._retired.holders_of", lambda world: 1 / 0)
    [also] = second.retire(collect=True).held

    assert said == "<generation 1 of acme> is still alive, kept by somebody who cannot be found"
    assert also.endswith("is still alive, kept by somebody who cannot be found: ZeroDivisionError")


def test_pieces(capsys):
    """
    An exit callback calls its function; what is not in a list is not missed.
    """
    _AtExit(print)("called", end="!")
    drop(table := [1], 2)

    assert capsys.readouterr().out == "called!"
    assert table == [1]


@pytest.mark.parametrize(("code", "holder"), HELD.values(), ids=HELD)
def test_who_keeps_it_is_named(dist, code, holder):
    """
    When garbage was collected and a retired generation is still there, it is said once who keeps it.
    """
    dist.go({"pkg/__init__.py": code})
    first = dist.now
    dist.go({"pkg/__init__.py": "#"})

    left = first.retire(collect=True)

    [said] = left.held
    assert said.startswith("<generation 1 of acme> is still alive, kept by ")
    assert holder in said
    assert not first.retire(collect=True).held, "said once"


def test_what_is_held_may_go_later(dist, application):
    """
    A generation that was said to be alive is over when whoever kept it lets go.
    """
    dist.go({"pkg/__init__.py": HELD["in the application's list"][0]})
    first = dist.now
    dist.go({"pkg/__init__.py": "#"})
    [said] = first.retire(collect=True).held
    assert not said.is_over

    application.held.clear()
    gc.collect()

    assert said.is_over


def test_what_typing_remembers_is_forgotten(dist):
    """
    `Optional[C]` and the like are remembered by Python, and keep no generation alive.
    """
    code = "import typing\nclass C: ...\nMaybe = typing.Optional[C]\nMany = typing.Callable[[C], C]"
    dist.go({"pkg/__init__.py": code})
    first, watched = dist.now, weakref.ref(dist.now.modules["pkg"].C)
    dist.go({"pkg/__init__.py": "#"})

    assert not first.retire(collect=True).held
    assert watched() is None


def test_generations_are_told_to_their_own(dist, application):
    """
    Of generations that live on hears who retired them, and nobody else.
    """
    dist.go({"pkg/__init__.py": HELD["in the application's list"][0]})
    first = dist.now
    dist.go({"pkg/__init__.py": "#"})
    second = dist.now
    dist.go({"pkg/__init__.py": "##"})

    ours, theirs = object(), object()
    assert len(first.retire(owner=ours).held) == 0
    assert not second.retire(owner=theirs, collect=True).held
    assert len(first.retire(owner=ours, collect=True).held) == 1


def test_garbage_is_collected_in_time(dist, monkeypatch):
    """
    Python's collector is called when so many retired generations are alive, not each time.
    """
    gc.disable()
    try:
        collected = []
        monkeypatch.setattr("hotplug._reloader._retired._retired", [])
        monkeypatch.setattr(
            "hotplug._reloader._retired.gc", SimpleNamespace(collect=lambda: collected.append(gc.collect()))
        )
        files = {"pkg/__init__.py": "V = 1\ndef f(): ..."}
        watched = []
        for _ in range(2 * COLLECT_AFTER):
            before = dist.now
            dist.go(files)
            watched.append(weakref.ref(dist.now.modules["pkg"]))
            if before is not None:
                before.retire()
        assert len(collected) == 1
        assert sum(ref() is not None for ref in watched) == COLLECT_AFTER
    finally:
        gc.enable()
