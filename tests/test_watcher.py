"""The watcher as others see it: its thread, its promises, its end."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import pytest

from hotplug._watcher import Root, Sort, Watcher, _watch
from hotplug._watcher._ears import Ears
from watching import Listener, file, site, tree, watching, write

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def code(tmp_path):
    """A package of two modules."""
    write(tmp_path / "code" / "a.py")
    write(tmp_path / "code" / "b.py")
    return tmp_path / "code"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def inotifies() -> int:
    """How many listeners the system keeps for this process: those of before may go a moment later."""
    links = Path("/proc/self/fd").iterdir()
    return sum(link.is_symlink() and str(link.readlink()) == "anon_inode:inotify" for link in links)


# -- following -------------------------------------------------------------------------------------


def test_a_save_is_reported(code):
    """
    Who follows a folder hears of a save in it, by the key it gave.
    """
    with watching(tree(code, ("any", "key"))) as there:
        write(code / "a.py", "x = 22\n")

        there.heard.hears(("any", "key"))


def test_what_changes_before_the_start_is_reported(code):
    """
    A root is known from when it is followed, whenever the watching begins.
    """
    heard = Listener()
    watcher = Watcher(heard)
    watcher.follow([tree(code)])
    write(code / "a.py", "x = 22\n")
    watcher.start()

    heard.hears("code")
    watcher.close()


def test_who_is_not_followed_any_more_is_not_reported(code, tmp_path):
    """
    What is left out of the next list is silent from then on; what is new in it is not.
    """
    other = write(tmp_path / "other" / "c.py")
    with watching(tree(code)) as there:
        there.watcher.follow([tree(other.parent, "other")])
        write(code / "a.py", "x = 22\n")
        there.then_touch(other, "other")

        assert there.heard.count("code") == 0
        assert there.watcher.report().watches == 1


def test_a_change_while_the_roots_are_exchanged_is_not_lost(code, tmp_path):
    """
    A root that stays is compared with what was known of it, however often the others change.
    """
    others = [tree(write(tmp_path / str(number) / "c.py").parent, number) for number in range(5)]
    with watching(tree(code), tick=3600.0) as there:
        for number in range(1, 12):
            write(code / "a.py", "x" * number)
            there.watcher.follow([tree(code), *others[: number % 5]])
            there.heard.wait(lambda number=number: there.heard.count("code") >= number)


def test_a_change_of_a_new_root_is_not_lost(code, tmp_path):
    """
    From the moment `follow` returns every change of a new root counts, listened to already or not.
    """
    with watching(tree(code), tick=3600.0) as there:
        for number in range(10):
            path = write(tmp_path / str(number) / "c.py")
            there.watcher.follow([tree(code), tree(path.parent, number)])
            write(path, "x = 22\n")
            there.heard.hears(number)


def test_a_root_may_have_several_keys_and_a_new_one(code):
    """
    Who asks twice for one root is told of both keys; a new key takes the place of the old one.
    """
    with watching(tree(code, 1), tree(f"{code}/.", 2), file(code / "a.py", 3)) as there:
        write(code / "a.py", "x = 22\n")
        there.heard.wait(lambda: frozenset({1, 2, 3}) in there.heard.calls)

        there.watcher.follow([tree(code, 4)])
        there.then_touch(code / "a.py", 4)
        assert there.heard.calls[-1] == {4}


def test_roots_may_be_in_each_other(code, tmp_path):
    """
    A file, its folder and the folder above are three roots; each is told what concerns it.
    """
    write(code / "sub" / "c.py")
    with watching(tree(code), tree(code / "sub", "sub"), file(code / "sub" / "c.py"), site(code)) as there:
        assert there.watcher.report().watches == 2
        write(code / "sub" / "c.py", "x = 22\n")

        there.heard.wait(lambda: frozenset({"code", "sub", "file"}) in there.heard.calls)
        assert there.heard.count("site") == 0


def test_who_is_given_up_at_the_last_moment_is_not_reported(code, monkeypatch):
    """
    Once `follow` has returned no key is reported that it did not name, however far its root had come.
    """
    has_rested = _watch.Watch._has_rested

    def give_up(watch, ward, now):
        there.watcher.follow([])
        return has_rested(watch, ward, now)

    monkeypatch.setattr(_watch.Watch, "_has_rested", give_up)
    with watching(tree(code)) as there:
        write(code / "a.py", "x = 22\n")
        there.heard.wait(lambda: there.watcher.report().roots == 0)
        there.is_armed()

        assert not there.heard.calls


def test_changed_may_follow_others(code, tmp_path):
    """
    Whoever is told may say what to follow from now on.
    """
    other = write(tmp_path / "other" / "c.py")

    followed = threading.Event()

    def follow_the_other(keys):
        if keys == {"code"}:
            there.watcher.follow([tree(other.parent, "other")])
            followed.set()

    with watching(tree(code), then=follow_the_other) as there:
        there.then_touch(code / "a.py", "code")
        assert followed.wait(20)
        there.then_touch(other, "other")


# -- looking now -----------------------------------------------------------------------------------


def test_a_look_now_says_what_it_reported(code):
    """
    Who asks for a look gets what differs, after it was reported; if nothing differs, nothing.
    """
    with watching(tree(code)) as there:
        assert there.watcher.look_now() == frozenset()

        write(code / "a.py", "x = 22\n")
        asked = there.watcher.look_now()
        assert asked == {"code"} or there.heard.calls == [{"code"}], "an event may have been quicker"
        assert there.heard.calls[0] == {"code"}


def hears_nothing(ears, otherwise, pause):
    otherwise.wait(pause)
    return set()


def test_a_look_now_needs_no_event(code, monkeypatch):
    """
    A look finds what changes even where nothing is ever heard.
    """
    monkeypatch.setattr(Ears, "listen", hears_nothing)
    with watching(tree(code), tick=3600.0) as there:
        write(code / "a.py", "x = 22\n")

        assert there.watcher.look_now() == {"code"}


class Writer(threading.Thread):
    """Somebody who writes a file anew, all the time."""

    def __init__(self, path):
        super().__init__()
        self.path, self.over = path, threading.Event()

    def run(self):
        while not self.over.is_set():
            write(self.path, f"{time.monotonic_ns()}\n")

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.over.set()
        self.join()


@pytest.mark.parametrize("deaf", [True, False])
def test_a_look_now_does_not_wait_for_who_never_rests(code, monkeypatch, deaf):
    """
    What is being written all the time is reported when it rests, and no look waits for that: looks differ.
    """
    if deaf:
        monkeypatch.setattr(Ears, "listen", hears_nothing)
    monkeypatch.setattr(_watch, "LOOK_LIMIT", 0.3)
    with watching(tree(code), settle=0.25, tick=3600.0) as there:
        write(code / "a.py", "x = 22\n")
        with Writer(code / "a.py"):
            assert there.watcher.look_now() == frozenset()
            assert not there.heard.calls
        there.heard.hears("code")


def test_a_look_now_says_only_what_it_has_found(code):
    """
    What happens to others while a look waits is reported, and not said to be of the look.
    """
    other = write(code.parent / "other" / "c.py")
    answers = []
    with watching(tree(code), tree(other.parent, "other"), settle=0.1) as there:
        asker = threading.Thread(target=lambda: answers.append(there.watcher.look_now()))
        with Writer(code / "a.py"):
            write(code / "b.py", "x = 22\n")
            there.heard.wait(lambda: there.watcher._watch._unrest)
            asker.start()
            there.heard.wait(lambda: there.watcher._watch._waiting)
            there.then_touch(other, "other")
        asker.join()

    assert answers in ([{"code"}], [frozenset()])


def test_a_look_now_from_within_changed_comes_after_it(code):
    """
    Whoever is told may ask for a look; it comes when he is done, and finds what he changed.
    """

    def look(keys):
        if len(there.heard.calls) == 1:
            write(code / "b.py", "x = 22\n")
            assert there.watcher.look_now() == frozenset()

    with watching(tree(code), then=look) as there:
        write(code / "a.py", "x = 22\n")
        there.heard.wait(lambda: len(there.heard.calls) >= 2)


def test_a_look_now_of_who_does_not_run_is_nothing(code):
    """
    Not begun or already closed, a watcher does not look, and nobody waits.
    """
    heard = Listener()
    watcher = Watcher(heard)
    watcher.follow([tree(code)])
    write(code / "a.py", "x = 22\n")
    assert watcher.look_now() == frozenset()

    watcher.start()
    watcher.close()
    assert watcher.look_now() == frozenset()


@pytest.mark.parametrize(("limit", "waits"), [(0.01, 3), (3600.0, 1)])
def test_who_waits_for_a_look_is_let_go_at_the_end(code, monkeypatch, limit, waits):
    """
    A look that was asked for and never comes ends with the watcher.
    """
    monkeypatch.setattr("hotplug._watcher._watcher.END_LIMIT", limit)
    inside, go_on, waited = threading.Event(), threading.Event(), []

    class Done(threading.Event):
        def wait(self, timeout=None):
            waited.append(timeout)
            return super().wait(timeout)

    class Asked(_watch.Request):
        def __init__(self):
            super().__init__()
            self.done = Done()

    def block(keys):
        inside.set()
        go_on.wait(20)

    with watching(tree(code), then=block) as there:
        write(code / "a.py", "x = 22\n")
        assert inside.wait(20)
        monkeypatch.setattr("hotplug._watcher._watcher.Request", Asked)
        asker = threading.Thread(target=there.watcher.look_now)
        asker.start()
        there.heard.wait(lambda: len(waited) >= waits)
        there.watcher._board.closing = True
        go_on.set()
        asker.join(20)
        assert not asker.is_alive()


# -- beginning and end -----------------------------------------------------------------------------


def test_it_begins_once_and_ends_once(code):
    """
    A second start and a second close do nothing; a closed watcher stays closed.
    """
    before = threading.active_count()
    with watching(tree(code)) as there:
        there.watcher.start()
        assert threading.active_count() == before + 1
        [thread] = [thread for thread in threading.enumerate() if thread.name == "hotplug watcher"]
        assert thread.daemon
        there.watcher.close()
        assert not thread.is_alive()
        there.watcher.close()
        with pytest.raises(RuntimeError, match="closed watcher"):
            there.watcher.start()


def test_who_never_began_can_be_closed(code):
    """
    Closing what never ran is nothing.
    """
    watcher = Watcher(Listener())
    watcher.follow([tree(code)])
    watcher.close()

    assert watcher.report().mode == "off"
    assert watcher.report().roots == 1


def test_changed_may_close(code, caplog):
    """
    Whoever is told may end the watching; he does not wait for himself, and nothing comes after him.
    """

    def close(keys):
        write(code / "b.py", "x = 22\n")
        there.watcher.close()

    with watching(tree(code), then=close) as there:
        write(code / "a.py", "x = 22\n")
        there.heard.wait(lambda: there.watcher.report().mode == "off")
        assert len(there.heard.calls) == 1
    assert not caplog.records


def test_a_close_does_not_wait_for_who_is_told(code, monkeypatch):
    """
    Where `changed` does not come back, closing does; the thread ends when it is let.
    """
    monkeypatch.setattr("hotplug._watcher._watcher.END_LIMIT", 0.05)
    inside, go_on = threading.Event(), threading.Event()

    def block(keys):
        inside.set()
        go_on.wait(20)

    with watching(tree(code), then=block) as there:
        write(code / "a.py", "x = 22\n")
        assert inside.wait(20)
        there.watcher.close()
        assert not go_on.is_set()
        go_on.set()


def test_nothing_is_left_behind(code):
    """
    No file stays open, no filter stays with a logger, no exit is waited for, nothing is kept in memory.
    """
    logger = logging.getLogger("watchfiles.main")
    with watching(tree(code)):
        pass
    before, filters = open_files(), len(logger.filters)
    for _ in range(5):
        with watching(tree(code)) as there:
            there.heard.wait(lambda: inotifies() == 1)
            write(code / "new" / "c.py", "x = 22\n")
            there.heard.hears("code")
    watcher = weakref.ref(there.watcher)
    del there
    gc.collect()

    there_may_be = Listener()
    there_may_be.wait(lambda: open_files() <= before)
    assert len(logger.filters) == filters
    assert watcher() is None


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run *script* in a process of its own, with this room and its helpers on the path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_a_process_may_end_while_its_watcher_runs(code):
    """
    Who forgets to close still ends without a sound: the thread is over before the interpreter is.
    """
    script = """
        import atexit, sys, threading
        from watching import Watching, tree
        atexit.register(lambda: print("hotplug watcher" in [thread.name for thread in threading.enumerate()]))
        there = Watching(tree(sys.argv[1]))
    """
    ended = python(script, code)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "False\n", "")


def test_a_child_has_a_watcher_that_was_not_started(code):
    """
    After a fork the child may close, follow and start; the parent's watching goes on undisturbed.
    """
    script = """
        import os, sys, threading, warnings
        from pathlib import Path
        from watching import LIMIT, Watching, tree, write
        warnings.simplefilter("ignore")  # a fork beside threads is what this is about
        code = Path(sys.argv[1])
        there = Watching(tree(code))
        held, free = threading.Event(), threading.Event()

        def hold():
            with there.watcher._lock:
                held.set()
                free.wait(60)

        for how in ("close", "start"):
            held.clear(), free.clear()
            holder = threading.Thread(target=hold)
            holder.start()
            held.wait(20)
            child = os.fork()
            if not child:
                threading.Timer(30, os._exit, [3]).start()
                assert there.watcher.report().mode == "off"
                assert there.watcher.look_now() == frozenset()
                if how == "start":
                    there.watcher.start()
                    there.then_touch(code / "a.py", "code")
                there.watcher.follow([tree(code / "sub")])
                there.watcher.close()
                os._exit(0)
            free.set()
            holder.join()
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        there.is_armed()
        there.then_touch(code / "b.py", "code")
        print(there.watcher.report().mode)
        there.watcher.close()
    """
    ended = python(script, code)

    assert (ended.stdout.split(), ended.stderr) == (["0", "0", "events"], "")


def test_in_a_child_every_watcher_is_as_new(code, monkeypatch):
    """
    What a fork leaves behind is forgotten: the thread, the lock in use, the end; what is followed is not.
    """
    from hotplug._watcher import _watcher

    callbacks = []
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: callbacks.append(after_in_child))
    monkeypatch.setattr(_watcher, "_left_behind", [])
    watchers = _watcher._forget_in_children.__wrapped__()
    watcher = Watcher(Listener())
    watchers.add(watcher)
    watcher.follow([tree(code)])
    watcher.close()
    [forget] = callbacks
    forget()

    watcher.start()
    assert watcher.look_now() == frozenset()
    assert watcher.report().watches == 1
    watcher.close()


def test_where_nothing_forks_nothing_is_registered(monkeypatch):
    """
    A system without fork is none the worse.
    """
    from hotplug._watcher import _watcher

    monkeypatch.delattr(os, "register_at_fork")
    _watcher._forget_in_children.__wrapped__()


def test_importing_it_imports_no_third_party_module():
    """
    What watches is imported when somebody watches.
    """
    ended = python("import sys, hotplug._watcher; print('watchfiles' in sys.modules)")

    assert ended.stdout.strip() == "False"


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_changed_raises_is_logged_and_the_watching_goes_on(code, caplog, error):
    """
    Nothing that is raised by whoever is told ends the thread.
    """

    def fail(keys):
        if len(there.heard.calls) == 1:
            raise error("oh")

    with watching(tree(code), then=fail) as there:
        write(code / "a.py", "x = 22\n")
        there.heard.hears("code")
        there.then_touch(code / "a.py", "code")

    [record] = [record for record in caplog.records if record.name == "hotplug.watcher"]
    assert "'code' raised" in record.getMessage()
    assert record.exc_info[0] is error


def test_an_error_of_our_own_is_logged_and_everything_looked_at_again(code, caplog, monkeypatch):
    """
    Whatever goes wrong inside, the thread goes on, listens anew, and finds what changed meanwhile.
    """
    monkeypatch.setattr(_watch, "RECOVERY", 0.01)
    listen = Ears.listen

    def stumble(ears, otherwise, pause):
        if wanted.is_set():
            wanted.clear()
            write(code / "a.py", "x = 22\n")
            raise RuntimeError("the queue is broken")
        return listen(ears, otherwise, pause)

    wanted = threading.Event()
    monkeypatch.setattr(Ears, "listen", stumble)
    with watching(tree(code), tick=3600.0) as there:
        wanted.set()
        there.heard.hears("code")
        there.then_touch(code / "b.py", "code")
        assert there.watcher.report().rearmed >= 1

    assert "watching stumbled" in caplog.text
    assert "the queue is broken" in caplog.text


def test_an_error_at_the_end_delays_nothing(code, caplog, monkeypatch):
    """
    Who is being closed does not recover first.
    """
    monkeypatch.setattr(_watch, "RECOVERY", 3600.0)

    def fail(watch):
        watch._board.closing = True
        raise RuntimeError("at the last moment")

    with watching(tree(code)) as there:
        monkeypatch.setattr(_watch.Watch, "_beat", fail)
        there.heard.wait(lambda: there.watcher.report().mode == "off")

    assert "at the last moment" in caplog.text


def test_ears_lose_nothing_while_they_are_exchanged(code, tmp_path):
    """
    Whoever listens to more folders hears what happened meanwhile in those from before.
    """
    ears, nobody = Ears(), threading.Event()
    heard = set()
    ears.arm([str(code)])
    for number in range(5):
        write(code / f"{number}.py")
        ears.arm([str(code), str(tmp_path)])
        heard |= ears.listen(nobody, 0.0)
    ears.close()

    assert {f"{code}/{number}.py" for number in range(5)} <= heard


def test_who_is_interrupted_forgets_nothing(code):
    """
    Whoever listens is interrupted at once by who wants something, and is told later what was heard.
    """
    ears, wanted = Ears(), threading.Event()
    ears.arm([str(code)])
    wanted.set()
    write(code / "new.py")
    heard = {path for _ in range(5) for path in ears.listen(wanted, 3600.0)}
    wanted.clear()
    deadline = time.monotonic() + 20
    while f"{code}/new.py" not in heard:
        assert time.monotonic() < deadline
        heard |= ears.listen(wanted, 0.01)
    ears.close()


def test_where_nothing_is_to_be_done_it_sleeps(code, tmp_path, monkeypatch):
    """
    With nothing heard, wanted or due, it comes back once a second only.
    """
    pauses, listen = [], Ears.listen

    def noting(ears, otherwise, pause):
        pauses.append(pause)
        return listen(ears, otherwise, pause)

    monkeypatch.setattr(Ears, "listen", noting)
    with watching(tree(code), site(tmp_path), tick=3600.0) as there:
        there.heard.wait(lambda: pauses[-1] == 1.0)
        there.then_touch(code / "a.py", "code")
        there.heard.wait(lambda: pauses[-1] == 1.0)


def test_who_was_deaf_is_listened_to_anew(code, monkeypatch):
    """
    What a look finds that no event had told has the folders armed again, without waiting for the next look.
    """
    monkeypatch.setattr(Ears, "listen", hears_nothing)
    with watching(tree(code), tick=3600.0) as there:
        write(code / "a.py", "x = 22\n")
        assert there.watcher.look_now() == {"code"}
        there.heard.wait(lambda: there.watcher.report().rearmed > 0)
        assert there.watcher.report().missed == 1


def test_a_batch_is_no_line_in_the_log(code, caplog):
    """
    Nothing is logged for what is heard: a log in a watched folder would feed itself.
    """
    caplog.set_level(logging.DEBUG)
    with watching(tree(code)) as there:
        there.then_touch(code / "a.py", "code")

    assert caplog.records == []


# -- reports ---------------------------------------------------------------------------------------


def test_it_says_how_it_goes(code, tmp_path):
    """
    The report counts roots, folders listened to, and looks by the clock.
    """
    write(code / "sub" / "c.py")
    before = time.time()
    with watching(tree(code), site(tmp_path), tick=0.05) as there:
        there.heard.wait(lambda: there.watcher.report().ticks > 3)
        report = there.watcher.report()

        assert (report.mode, report.polled, report.roots, report.watches) == ("events", {}, 2, 3)
        assert (report.rearmed, report.missed) == (0, 0)
        assert before <= report.last_look <= time.time()
    assert there.watcher.report().mode == "off"


def test_nothing_to_follow_is_nothing_to_do(tmp_path):
    """
    A watcher without roots listens to nothing, and begins when it gets some.
    """
    path = write(tmp_path / "code" / "a.py")
    with watching() as there:
        assert there.watcher.report().watches == 0
        there.heard.wait(lambda: inotifies() == 0)

        there.watcher.follow([Root(str(path.parent), Sort.TREE, "code")])
        there.then_touch(path, "code")
        there.watcher.follow([])
        there.heard.wait(lambda: inotifies() == 0 and not there.watcher._board.wake.is_set())
