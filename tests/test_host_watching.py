"""The thread that follows: hints come, it is called with them, and again when it asked for that."""

from __future__ import annotations

import logging
import threading

import pytest

from hot import until
from hotplug._host import _watching
from hotplug._host._watching import Watching
from hotplug._watcher import Root, Sort

pytestmark = pytest.mark.usefixtures("nothing_left")


class Follower:
    """Remembers what it was called with after the beginning; answers, or raises, what it was told to."""

    def __init__(self, *answers):
        self.beginning = None
        self.calls = []
        self.answers = list(answers)

    def __call__(self, hints):
        if self.beginning is None:
            self.beginning = hints
            return None
        self.calls.append(hints)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    return path


@pytest.fixture
def watch(file):
    """Begins a `Watching` of one file for a follower; it ends with the test."""
    begun = []

    def begin(follow):
        watching = Watching(follow, lambda: [Root(str(file), Sort.FILE, "file")])
        begun.append(watching)
        watching.begin()
        watching.look_now()
        if isinstance(follow, Follower):
            until(lambda: follow.beginning is not None)
        return watching

    yield begin
    for watching in begun:
        assert watching.end() is None


def test_a_hint_is_followed(watch, file):
    """
    What changed is handed over by its key, once.
    """
    follow = Follower()
    watching = watch(follow)
    file.write_text("22")
    until(lambda: follow.calls)
    assert follow.calls == [frozenset({"file"})]
    assert watching.report().roots == 1
    assert not watching.is_here


def test_it_begins_with_all_there_is(watch):
    """
    What changed before anybody watched counts: the first call is with the keys of all roots.
    """
    follow = Follower()
    watch(follow)
    assert follow.beginning == {"file"}
    assert follow.calls == []


def test_it_is_called_again_without_a_hint_when_it_asked_for_that(watch, file):
    """
    Who answers with seconds is called after them, with nothing, until the answer is none.
    """
    follow = Follower(0.0, 0.01, None)
    watch(follow)
    file.write_text("22")
    until(lambda: len(follow.calls) == 3)
    assert follow.calls == [frozenset({"file"}), frozenset(), frozenset()]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt("wrong"), SystemExit("wrong")])
def test_following_goes_on_after_whatever_is_raised(watch, file, error, caplog):
    """
    What following raises is logged, and the next hint is followed as ever.
    """
    follow = Follower(error)
    watch(follow)
    with caplog.at_level(logging.ERROR, "hotplug.watch"):
        file.write_text("22")
        until(lambda: follow.calls)
        file.write_text("333")
        until(lambda: follow.calls.count(frozenset({"file"})) == 2)
    assert "following a change failed" in caplog.text
    assert "wrong" in caplog.text


def test_who_follows_may_end_it(file):
    """
    The end may come from the thread that follows, which then ends by itself.
    """
    ended = []

    def follow(_):
        ended.append((watching.is_here, watching.end()))

    watching = Watching(follow, lambda: [Root(str(file), Sort.FILE, "file")])
    watching.begin()
    until(lambda: ended)
    assert ended == [(True, None)]


def test_what_hangs_is_named_at_the_end(watch, monkeypatch):
    """
    A thread that does not come back from following is named, and left.
    """
    monkeypatch.setattr(_watching, "END_LIMIT", 0.05)
    entered, gate = threading.Event(), threading.Event()

    def follow(_):
        entered.set()
        gate.wait(20)

    watching = watch(follow)
    assert entered.wait(20)
    assert watching.end() == "hotplug follower"
    gate.set()
    until(lambda: watching.end() is None)


def test_what_was_never_begun_ends_at_once(file):
    """
    The end of what never began is nothing, however often it is asked for.
    """
    watching = Watching(Follower(), list)
    assert watching.end() is None
    assert watching.end() is None


def test_who_is_ended_before_he_begins_never_follows(file):
    """
    A thread that comes to its beginning when all is over looks at nothing.
    """
    follow = Follower()
    watching = Watching(follow, lambda: [Root(str(file), Sort.FILE, "file")])
    watching.end()
    watching.begin()
    watching.look_now()
    assert watching.end() is None
    assert (follow.beginning, watching.report().mode) == (None, "off")


def test_to_begin_waits_for_nothing(file):
    """
    Who asks for watching goes on while the folders are looked at, however many there are.
    """
    gate, follow = threading.Event(), Follower()

    def roots():
        assert gate.wait(20)
        return [Root(str(file), Sort.FILE, "file")]

    watching = Watching(follow, roots)
    watching.begin()
    assert follow.beginning is None
    file.write_text("22")
    gate.set()
    watching.look_now()
    until(lambda: follow.beginning == {"file"})
    watching.end()


def test_a_beginning_that_fails_is_logged_and_made_up_for(file, caplog):
    """
    What goes wrong at the beginning is logged; who rearms later watches, and everything counts as changed.
    """
    roots, follow = [ValueError("no roots")], Follower()

    def wanted():
        if isinstance(roots[0], ValueError):
            raise roots[0]
        return roots

    watching = Watching(follow, wanted)
    with caplog.at_level(logging.ERROR, "hotplug.watch"):
        watching.begin()
        watching.look_now()
    assert "watching could not begin: ValueError: no roots" in caplog.text
    roots[:] = [Root(str(file), Sort.FILE, "file")]
    watching.rearm()
    until(lambda: follow.beginning == {"file"})
    file.write_text("22")
    until(lambda: follow.calls)
    watching.end()


def test_what_is_watched_may_be_another_by_now(tmp_path, file):
    """
    After `rearm` other roots count, and those before do not; that one came counts as a change.
    """
    other, roots, follow = tmp_path / "other", [Root(str(file), Sort.FILE, "file")], Follower()
    other.write_text("1")
    watching = Watching(follow, lambda: roots)
    watching.begin()
    until(lambda: follow.beginning is not None)
    try:
        roots[:] = [Root(str(other), Sort.FILE, "other")]
        watching.rearm()
        until(lambda: set().union(*follow.calls) >= {"other"})
        follow.calls.clear()
        watching.look_now()
        file.write_text("22")
        other.write_text("22")
        until(lambda: follow.calls)
        assert set().union(*follow.calls) == {"other"}
    finally:
        watching.end()
