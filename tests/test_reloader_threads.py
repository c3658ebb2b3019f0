"""Generations under threads: who waits for whom, and that nobody ever sees a gap or a mixture."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from types import SimpleNamespace

import pytest

from generations import Acme, acmes
from hotplug._reloader._making import Making
from racing import DEADLINE, in_threads, until_it_stands
from thorough import part_of

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENT = "import the_gate\nthe_gate.reached.set()\nassert the_gate.open.wait(20)\n"


@pytest.fixture
def dist(tmp_path):
    yield from acmes(tmp_path / "src")


@pytest.fixture
def gate():
    """Where plugin code stops: ``reached`` says that it did, ``open`` lets it go on."""
    gate = sys.modules["the_gate"] = SimpleNamespace(
        reached=threading.Event(), open=threading.Event(), log=[]
    )
    yield gate
    gate.open.set()
    del sys.modules["the_gate"]


class Call(threading.Thread):
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.outcome = call, args, None
        self.start()

    def run(self):
        try:
            self.outcome = self.call(*self.args)
        except BaseException as error:
            self.outcome = error

    def result(self):
        self.join(DEADLINE)
        assert not self.is_alive(), "a thread hangs"
        return self.outcome


# -- 200 swaps -------------------------------------------------------------------------------------

PACKAGE = {
    "pkg/__init__.py": """
        import importlib
        from . import one, two
        V = 0
        def together():
            from .one import V as first
            from . import lazy
            other = importlib.import_module("pkg.far.deep")
            import pkg.two as second
            return V, first, second.V, lazy.V, lazy.two.V, other.V
        def kept():
            return {V, one.V, two.V, one.two.V}
    """,
    "pkg/one.py": "from . import two\nV = 0",
    "pkg/two.py": "V = 0",
    "pkg/lazy.py": "from . import two\nfrom .far import deep\nV = 0",
    "pkg/far/__init__.py": "",
    "pkg/far/deep.py": "V = 0",
}


def numbered(number):
    return {name: text.replace("V = 0", f"V = {number}") for name, text in PACKAGE.items()}


def test_nobody_sees_a_gap_or_a_mixture(dist, eager_threads):  # noqa: C901 - four readers and a writer
    """
    Over many swaps no key is missing, and whatever is reached from one module is of one generation.
    """
    dist.go(PACKAGE)
    importlib.import_module("pkg.lazy")
    names, count = ["pkg", "pkg.one", "pkg.two", "pkg.lazy", "pkg.far.deep"], part_of(200)
    over, failures, looks = threading.Event(), [], dict.fromkeys(("keys", "import", "deep", "old"), 0)

    def reading(what, look):
        def run():
            try:
                while not over.is_set():
                    look()
                    looks[what] += 1
            except BaseException as error:
                failures.append((what, error))
                raise

        return run

    def keys():
        for name in names:
            assert sys.modules[name] is not None

    def imports():
        import pkg

        assert len(pkg.kept()) == 1

    def deep():
        import pkg.far.deep
        import pkg.lazy

        assert pkg.lazy.V == pkg.lazy.two.V
        here = pkg
        assert {here.far.deep.V, here.two.V, here.lazy.V, here.one.two.V} == {here.V}

    kept = []

    def old():
        import pkg

        kept.append(pkg.together)
        del kept[:-3]
        for together in kept:
            assert len(set(together())) == 1

    trees = []
    for number in range(4):  # files take longer than all the rest
        tree = Acme(dist.folder / f"tree{number}")
        tree.write(numbered(number))
        tree.territory.sources = functools.partial(dict, tree.territory.sources())
        trees.append(tree.territory)

    def swaps():
        try:
            for number in range(1, count + 1):
                before, dist.territory = dist.now, trees[number % 4]
                dist.go()
                del dist.all[0]
                before.retire()
                if failures:
                    return
        finally:
            over.set()

    outcomes = in_threads(
        swaps, reading("keys", keys), reading("import", imports), reading("deep", deep), reading("old", old)
    )

    assert (outcomes, failures) == ([None] * 5, [])
    assert count % 4 == sys.modules["pkg"].V
    assert min(looks.values()) > count, looks


def test_what_is_begun_between_two_looks_is_waited_for(dist):
    """
    Who looks for a module at the instant in which another thread begins it gets it whole.
    """
    gate = sys.modules["the_gate"] = SimpleNamespace(begun=threading.Event(), open=threading.Event())
    dist.go(
        {
            "pkg/__init__.py": "",
            "pkg/lazy.py": "import the_gate\nthe_gate.begun.set()\nthe_gate.open.wait(20)\nV = 1",
        }
    )
    generation, answers = dist.now, []
    maker = threading.Thread(target=lambda: generation.import_module("pkg.lazy"))

    class JustBefore(dict):
        """Begins the module after it was looked whether somebody makes it."""

        def get(self, name, default=None):
            found = super().get(name, default)
            if name == "pkg.lazy" and threading.current_thread() is asker and not maker.ident:
                maker.start()
                gate.begun.wait(20)
            return found

    asker = threading.Thread(target=lambda: answers.append(generation.import_module("pkg.lazy").V))
    generation.world._making = JustBefore()
    try:
        asker.start()
        assert gate.begun.wait(20)
        until_it_stands(asker)
        assert answers == []
        gate.open.set()
        asker.join()
        maker.join()
        assert answers == [1]
    finally:
        gate.open.set()
        del sys.modules["the_gate"]


def test_failures_in_between_show_nowhere(dist, eager_threads):
    """
    Where every second staging fails, calls that began with the published generation never notice.
    """
    dist.go(PACKAGE)
    over = threading.Event()
    old = sys.modules["pkg"]
    expected = old.together()

    def calls():
        while not over.is_set():
            assert old.together() == expected

    def keys():
        while not over.is_set():
            assert sys.modules["pkg"] and sys.modules["pkg.one"] and sys.modules["pkg.two"]

    def failing():
        try:
            for number in range(1, part_of(40) + 1):
                dist.write({**numbered(number), "pkg/two.py": f"V = {number}\n1 / 0"})
                with pytest.raises(ZeroDivisionError):
                    dist.next().stage(["pkg"])
                assert sys.modules["pkg"] is old
        finally:
            over.set()

    assert in_threads(failing, calls, keys, keys) == [None] * 4


# -- waiting ---------------------------------------------------------------------------------------


def test_others_wait_for_a_module_in_the_making(dist, gate):
    """
    An import statement of another thread's gives a module that is whole.
    """
    dist.go({"pkg/__init__.py": "V = 1"})
    dist.write({"pkg/__init__.py": PATIENT + "V = 2"})
    staged = dist.next()
    staging = Call(staged.stage, ["pkg"])
    assert gate.reached.wait(20)

    def ask():
        import pkg

        return pkg.V

    asking = [Call(ask), Call(lambda: importlib.import_module("pkg").V)]
    for each in asking:
        until_it_stands(each)
    assert all(each.is_alive() for each in asking)
    gate.open.set()

    assert [each.result() for each in asking] == [2, 2]
    assert staging.result() is None
    staged.discard()
    assert sys.modules["pkg"].V == 1


def test_who_waits_is_let_go_when_it_is_given_up(dist, gate):
    """
    A staging that takes too long, and is given up, holds up nobody; what it still imports is refused.
    """
    dist.go({"pkg/__init__.py": "V = 1"})
    dist.write(
        {
            "pkg/__init__.py": PATIENT + "from . import more",
            "pkg/more.py": "import the_gate\nthe_gate.log.append(1)",
        }
    )
    staged = dist.next()
    staging = Call(staged.stage, ["pkg"])
    assert gate.reached.wait(20)
    world = staged.world
    own = Call(world.import_module, "pkg")
    foreign = Call(importlib.import_module, "pkg")
    for each in (own, foreign):
        until_it_stands(each)

    staged.discard()
    assert sys.modules["pkg"].V == 1
    assert foreign.result().__name__ == "pkg"
    assert isinstance(own.result(), ImportError)
    gate.open.set()

    assert isinstance(staging.result(), ImportError)
    assert "was given up" in str(staging.outcome)
    assert not gate.log
    assert sys.modules["pkg"].V == 1


def test_a_module_is_made_once(dist, gate):
    """
    Threads that import one module at once get the same, run once; a failed one is tried again by the next.
    """
    dist.go(
        {
            "pkg/__init__.py": "def ask():\n    from . import slow\n    return slow",
            "pkg/slow.py": "import the_gate\nthe_gate.log.append(1)\n" + PATIENT,
        }
    )
    ask = sys.modules["pkg"].ask
    asking = [Call(ask) for _ in range(3)]
    assert gate.reached.wait(20)
    for each in asking:
        until_it_stands(each)
    gate.open.set()

    assert len({id(each.result()) for each in asking}) == 1
    assert gate.log == [1]


def test_a_parent_that_makes_what_is_asked_for(dist):
    """
    A submodule that its package imports anyway is made once, also for who asked for it alone.
    """
    dist.go({"pkg/__init__.py": "from . import a", "pkg/a.py": "V = []"}, entry=["pkg.a"])

    assert dist.now.import_module("pkg.a") is sys.modules["pkg.a"] is sys.modules["pkg"].a


def test_two_that_ask_while_the_parent_is_made(dist, gate):
    """
    Who asked first, but was busy with the package, gets what the other one made.
    """
    gate.second = threading.Event()
    dist.write(
        {
            "pkg/__init__.py": PATIENT,
            "pkg/a.py": ("import the_gate\nthe_gate.log.append(1)\nthe_gate.second.wait(20)"),
        }
    )
    generation = dist.next()
    first = Call(generation.stage, ["pkg.a"])
    assert gate.reached.wait(20)
    second = Call(generation.import_module, "pkg.a")
    until_it_stands(second)
    gate.open.set()
    until_it_stands(first)
    gate.second.set()

    assert first.result() is None
    assert second.result() is generation.modules["pkg.a"]
    assert gate.log == [1]
    generation.discard()


def test_what_is_found_too_late(dist, gate):
    """
    A module that was found just when its generation was given up is not imported.
    """

    class Slow:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "pkg.slow":
                gate.reached.set()
                gate.open.wait(20)
                return importlib.util.spec_from_loader(name, None, is_package=True)
            return None

    dist.write({"pkg/__init__.py": ""})
    generation = dist.next()
    generation.stage(["pkg"])
    sys.meta_path.insert(0, Slow)
    try:
        asking = Call(generation.import_module, "pkg.slow")
        assert gate.reached.wait(20)
        generation.discard()
        gate.open.set()
        assert "its generation was given up" in str(asking.result())
    finally:
        sys.meta_path.remove(Slow)
    assert not [name for name in sys.modules if name.partition(".")[0] == "pkg"]


def test_two_threads_that_need_one_another(dist, gate):
    """
    Where two modules import one another in two threads, each gets the other as far as it is.
    """
    meet = threading.Barrier(2)
    gate.meet = meet.wait
    dist.go(
        {
            "pkg/__init__.py": "def ask(name):\n    return __import__(name, globals(), None, ('V',), 1)",
            "pkg/a.py": "import the_gate\nV = 1\nthe_gate.meet()\nfrom . import b\nW = b.V",
            "pkg/b.py": "import the_gate\nV = 2\nthe_gate.meet()\nfrom . import a\nW = a.V",
        }
    )
    ask = sys.modules["pkg"].ask

    a, b = in_threads(lambda: ask("a"), lambda: ask("b"))

    assert (a.W, b.W) == (2, 1)


def test_an_ordinary_import_and_ours_that_need_one_another(dist, gate, tmp_path, monkeypatch):
    """
    Where another's module imports ours while ours imports it, in two threads, nobody waits for ever.
    """
    meet = threading.Barrier(2)
    gate.meet = meet.wait
    (tmp_path / "foreign_in_a_circle.py").write_text(
        "import the_gate\nthe_gate.meet()\nfrom pkg.late import V"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    dist.go(
        {
            "pkg/__init__.py": "def ask():\n    from . import late\n    return late.W",
            "pkg/late.py": (
                "import the_gate\n"
                "V = 1\n"
                "the_gate.meet()\n"
                "import foreign_in_a_circle as it\n"
                "W = getattr(it, 'V', V)"
            ),
        }
    )

    ours, theirs = in_threads(
        sys.modules["pkg"].ask, lambda: importlib.import_module("foreign_in_a_circle").V
    )

    assert (ours, theirs) == (1, 1)
    del sys.modules["foreign_in_a_circle"]


def test_who_looks_at_a_package_in_the_making(dist, gate):
    """
    While a package is staged, others find in it the submodules that the old one had; its own code does not.
    """
    dist.go({"pkg/__init__.py": "", "pkg/sub.py": "V = 1", "pkg/last.py": ""})
    for name in ("pkg.sub", "pkg.last"):
        importlib.import_module(name)
    code = (
        "import pkg\n"
        "assert not hasattr(pkg, 'sub')\n"
        "try:\n"
        "    pkg.nothing\n"
        "except AttributeError as error:\n"
        "    WHY = str(error)\n"
    )
    dist.write({"pkg/__init__.py": code, "pkg/sub.py": "V = 2", "pkg/last.py": PATIENT})
    staged = dist.next()
    staging = Call(staged.stage, ["pkg.last"])
    assert gate.reached.wait(20)
    pkg = sys.modules["pkg"]

    assert pkg.sub.V == 2
    assert pkg.WHY.startswith("partially initialized module 'pkg' ")
    with pytest.raises(AttributeError, match=r"^module 'pkg' has no attribute 'nothing'$"):
        pkg.nothing  # noqa: B018
    gate.open.set()
    assert staging.result() is None
    staged.publish()
    dist.all.append(staged)
    assert type(pkg) is type(sys)
    assert sys.modules["pkg"].sub is pkg.sub


def test_lazy_attributes_of_a_package_in_the_making(dist, gate):
    """
    A package's own ``__getattr__`` has the first and the last word.
    """
    dist.go({"pkg/__init__.py": "", "pkg/last.py": ""})
    importlib.import_module("pkg.last")
    code = (
        "def __getattr__(name):\n"
        "    if name == 'lazy': return 1\n"
        "    raise AttributeError('none called ' + name)"
    )
    dist.write({"pkg/__init__.py": code, "pkg/last.py": PATIENT})
    staged = dist.next()
    staging = Call(staged.stage, ["pkg.last"])
    assert gate.reached.wait(20)
    pkg = sys.modules["pkg"]

    assert pkg.lazy == 1
    with pytest.raises(AttributeError, match="^none called x$"):
        pkg.x  # noqa: B018
    gate.open.set()
    assert staging.result() is None
    staged.discard()


LATE = {
    "quietly": ("", lambda late: late.V == 1),
    "replacing itself": (
        "import sys\nclass It:\n    V = 1\nsys.modules[__name__] = It()",
        lambda late: type(late).__name__ == "It",
    ),
    "removing itself": ("import sys\nsys.modules.pop(__name__, None)", lambda late: late.V == 1),
    "failing": ("1 / 0", lambda late: isinstance(late, ZeroDivisionError)),
    "as a dataclass": (
        "import dataclasses, typing\n@dataclasses.dataclass\nclass D:\n    x: 'int' = 1\nassert D().x == 1",
        lambda late: late.V == 1,
    ),
}


@pytest.mark.parametrize(("code", "fits"), LATE.values(), ids=LATE)
@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("when", ["after the swap", "during the swap"])
def test_old_code_that_imports_late(dist, gate, code, fits, present, when):
    """
    What an old module does while it is imported late changes nothing of what stands there for all.
    """
    dist.go(
        {
            "pkg/__init__.py": "def ask():\n    from . import late\n    return late",
            "pkg/late.py": PATIENT + "V = 1\n" + code,
        }
    )
    old = sys.modules["pkg"]
    if when == "during the swap":
        asking = Call(old.ask)
        assert gate.reached.wait(20)
    dist.write({"pkg/__init__.py": "V = 2", "pkg/late.py": "V = 2"})
    if not present:
        dist.remove("pkg/late.py")
    dist.go()
    if present:
        importlib.import_module("pkg.late")
    rightful = sys.modules["pkg.late"] if present else None
    gate.open.set()
    if when == "after the swap":
        asking = Call(old.ask)
    late = asking.result()

    assert fits(late)
    assert sys.modules.get("pkg.late") is rightful
    assert getattr(sys.modules["pkg"], "late", None) is rightful
    if not isinstance(late, Exception):
        assert old.ask() is late is old.late
    else:
        assert not hasattr(old, "late")


def test_old_code_that_fails_late(dist, gate):
    """
    What a failing module did to its parent is its own doing; that it was there is not left.
    """
    dist.go(
        {
            "pkg/__init__.py": ("def ask():\n    from . import late"),
            "pkg/late.py": "import pkg\npkg.late = 5\n1 / 0",
        }
    )
    old = sys.modules["pkg"]
    dist.go({"pkg/__init__.py": "V = 2"})

    with pytest.raises(ZeroDivisionError):
        old.ask()

    assert old.late == 5
    assert not hasattr(sys.modules["pkg"], "late")


@pytest.mark.parametrize("when", ["after the swap", "during the swap"])
def test_old_code_that_looks_itself_up(dist, gate, when):
    """
    An old module that is made late is found under its name if no other is, dataclasses need it.
    """
    code = (
        "import dataclasses, typing\n"
        "@dataclasses.dataclass\n"
        "class D:\n"
        "    x: 'typing.ClassVar[int]' = 1\n"
        "assert not dataclasses.fields(D)"
    )
    dist.go(
        {
            "pkg/__init__.py": "def ask():\n    from . import late\n    return late",
            "pkg/late.py": PATIENT + code,
        }
    )
    old = sys.modules["pkg"]
    if when == "during the swap":
        asking = Call(old.ask)
        assert gate.reached.wait(20)
    dist.remove("pkg/late.py")
    dist.go({"pkg/__init__.py": "V = 2"})
    gate.open.set()
    if when == "after the swap":
        asking = Call(old.ask)

    assert asking.result().D.x == 1
    assert "pkg.late" not in sys.modules


def test_the_new_one_arrives_while_the_old_one_is_lent_the_place(dist, gate):
    """
    What the new generation imports under a key takes it over from an old module that only borrowed it.
    """
    dist.go(
        {
            "pkg/__init__.py": "def ask():\n    from . import late\n    return late",
            "pkg/late.py": "import sys\nassert __name__ in sys.modules\n" + PATIENT + "V = 1",
        }
    )
    old = sys.modules["pkg"]
    dist.go({"pkg/__init__.py": "V = 2", "pkg/late.py": "V = 2"})
    asking = Call(old.ask)
    assert gate.reached.wait(20)
    assert sys.modules["pkg"].__builtins__["__import__"]("pkg.late", fromlist=("V",)).V == 2
    gate.open.set()

    assert asking.result().V == 1
    assert sys.modules["pkg.late"].V == 2
    assert old.late.V == 1


def test_making_sees_a_circle_of_three():
    """
    A chain of threads that wait for one another is followed to its end; one that bites its own tail as well.
    """
    from hotplug._reloader import _making

    one, two, three = Making(), Making(), Making()
    for making, thread in ((one, -1), (two, -2), (three, -3)):
        making.thread = thread
    _making._waiting.update({-1: two, -2: three, -3: two})
    try:
        assert one._leads_to(-3)
        assert not one._leads_to(-9)
    finally:
        for thread in (-1, -2, -3):
            del _making._waiting[thread]


def test_no_key_is_missing_at_any_instant(dist):
    """
    At every call and return on the way of a swap, of a failure and of an end, all keys are there.
    """
    dist.go(PACKAGE)
    gaps, names = [], {"pkg", "pkg.one", "pkg.two"}

    def look(frame, event, arg):
        if not names <= sys.modules.keys():
            gaps.append((frame.f_code.co_qualname, frame.f_lineno, event))

    first = dist.now
    dist.write({**numbered(1), "pkg/two.py": "V = 1\n1 / 0"})
    sys.setprofile(look)
    try:
        with pytest.raises(ZeroDivisionError):
            dist.next().stage(["pkg"])
        dist.go(numbered(2))
        first.retire()
    finally:
        sys.setprofile(None)

    assert gaps == []
    assert sys.modules["pkg"].together() == (2,) * 6
