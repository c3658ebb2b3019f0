"""A host in a process that was forked from its own: lookups go on, verbs are refused, nothing hangs."""

from __future__ import annotations

import multiprocessing
import warnings

import pytest

from hot import ADA, hots, thing
from hotplug.errors import HostError

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"),
]


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def in_a_child(act):
    """What *act* answers in a process forked from this one."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def child():
        try:
            theirs.send(act())
        except HostError as error:
            theirs.send(f"HostError: {error}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tested: a fork beside threads
        process = context.Process(target=child)
        process.start()
    try:
        assert mine.poll(20), "it hangs"
        return mine.recv()
    finally:
        process.kill()
        process.join()
        mine.close()
        theirs.close()
        process.close()


@pytest.fixture
def host(hot):
    """One that watches."""
    hot.one("a", thing())
    with hot.host() as made:
        made.watch()
        assert hot.do(made, "a") == "one"
        yield made


def test_it_is_told_by_the_process(hot, monkeypatch):
    """
    In a process other than the one that started it, verbs are refused by name, and closing is nothing.
    """
    hot.one("a", thing())
    with hot.host() as host:
        here = host._process
        monkeypatch.setattr(host, "_process", -1)
        with pytest.raises(
            HostError, match=r"reload\(\): the host lives in process -1, .*: make a Host here"
        ):
            host.reload("acme-a")
        assert not host.close()
        monkeypatch.setattr(host, "_process", here)
        assert host.reload("acme-a").changed == ("things/a",)


def test_lookups_go_on(hot, host):
    """
    What was made before the fork is found, and works.
    """
    assert in_a_child(lambda: hot.do(host, "a")) == "one"


@pytest.mark.parametrize(
    "verb",
    [
        lambda host: host.reload("acme-a"),
        lambda host: host.refresh(),
        lambda host: host.watch(),
        lambda host: host.plan(host.config),
        lambda host: host.apply(host.config),
        lambda host: host.start(),
        lambda host: host.session(ADA),
    ],
    ids=["reload", "refresh", "watch", "plan", "apply", "start", "session"],
)
def test_verbs_are_refused(host, verb):
    """
    Its threads are in the other process: what would need them says so, and does not wait for them.
    """
    said = in_a_child(lambda: verb(host))
    assert "of which this one was forked: make a Host here" in said


def test_close_has_nothing_to_close(hot, host):
    """
    To close it in the child, as the end of ``with`` does, ends at once and touches nothing of the parent's.
    """
    assert in_a_child(lambda: (bool(host.close()), hot.do(host, "a"))) == (False, "one")
    assert hot.do(host, "a") == "one"
    hot.one("a", thing("'two'"))
    host.reload("acme-a")
    assert hot.do(host, "a") == "two"


def test_nobody_runs_what_needs_the_loop(host):
    """
    What would have to run on the parent's loop is refused, not waited for.
    """

    def act():
        async def work():
            return 1

        return host.home.run(work())

    assert "event loop runs in the process of which this one was forked" in in_a_child(act)


def test_a_host_of_its_own(hot, host):
    """
    The child may make one, and close it.
    """

    def act():
        with hot.host() as mine:
            said = hot.do(mine, "a")
        return said, bool(mine.close())

    assert in_a_child(act) == ("one", False)


def test_one_that_is_started_after_the_fork(hot):
    """
    Made before the fork and started in the child, as servers with workers do, it lives in the child.
    """
    hot.one("a", thing())
    host = hot.host()

    def act():
        with host:
            return hot.do(host, "a")

    assert in_a_child(act) == "one"
