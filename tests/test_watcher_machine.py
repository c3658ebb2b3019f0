"""The parts of the watcher, one by one: whom to poll, when to look, when it is quiet."""

from __future__ import annotations

import shutil
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest

from hotplug._watcher import _rounds
from hotplug._watcher._arming import Arming
from hotplug._watcher._ears import Ears
from hotplug._watcher._marks import News
from hotplug._watcher._mounts import reason_to_poll
from hotplug._watcher._rounds import Rounds
from hotplug._watcher._tree import Tree
from hotplug._watcher._unrest import CREDIT, PATIENCE, Unrest
from hotplug._watcher._ward import Warm
from hotplug._watcher._watch import Board, Pace, Watch
from watching import write

# -- mounts ----------------------------------------------------------------------------------------


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Call it with mount points and types: a table as the kernel writes it."""
    monkeypatch.delenv("HOTPLUG_FORCE_POLLING", raising=False)

    def table(*mounted):
        lines = [
            f"{number} 1 0:{number} / {point} rw,relatime shared:{number} - {system} source rw"
            for number, (point, system) in enumerate(mounted)
        ]
        return str(write(tmp_path / "mountinfo", "\n".join(["", "nonsense", *lines])))

    return table


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/srv/x", ""),
        ("/srv/share", "file system nfs4"),
        ("/srv/share/deep/x", "file system nfs4"),
        ("/srv/shared", ""),
        ("/srv/share/local/x", ""),
        ("/my files/x", "file system fuse.sshfs"),
        ("/twice/x", "file system 9p"),
    ],
)
def test_a_file_system_that_others_change_is_polled(mounts, path, reason):
    """
    The mount point nearest to a path decides, and of two on one point the last; spaces are written as octals.
    """
    table = mounts(
        *(("/", "ext4"), ("/srv/share", "nfs4"), ("/srv/share/local", "xfs")),
        *(("/my\\040files", "fuse.sshfs"), ("/twice", "ext4"), ("/twice", "9p")),
    )

    assert reason_to_poll(path, mounts=table) == reason


def test_where_the_system_does_not_say_events_are_believed(mounts, tmp_path):
    """
    Without a table of mounts nothing is polled.
    """
    assert reason_to_poll("/srv", mounts=str(tmp_path / "missing")) == ""


@pytest.mark.parametrize(("value", "reason"), [("1", "HOTPLUG_FORCE_POLLING is set"), ("0", ""), ("", "")])
def test_polling_can_be_asked_for(mounts, monkeypatch, value, reason):
    """
    The environment may say that events are not to be believed.
    """
    monkeypatch.setenv("HOTPLUG_FORCE_POLLING", value)

    assert reason_to_poll("/srv", mounts=mounts(("/", "ext4"))) == reason


# -- arming ----------------------------------------------------------------------------------------


class Refusing:
    """Ears of a system that does not let one listen to more than *limit* folders, or to some at all."""

    def __init__(self, limit=1000, errors=()):
        self.are_open = False
        self.limit = limit
        self.errors = list(errors)
        self.armed = []

    def arm(self, directories):
        if self.errors:
            raise self.errors.pop(0)
        if len(directories) > self.limit - (len(self.armed) if self.are_open else 0):
            raise OSError("OS file watch limit reached")
        self.are_open, self.armed = True, list(directories)

    def close(self):
        self.are_open, self.armed = False, []


@pytest.fixture
def wards(tmp_path, monkeypatch):
    """Call it with names and sizes: trees of so many folders."""
    monkeypatch.delenv("HOTPLUG_FORCE_POLLING", raising=False)

    def made(**sizes):
        for name, size in sizes.items():
            for number in range(size):
                write(tmp_path / name / "/".join(map(str, range(number))) / "a.py")
        return [Tree(str(tmp_path / name)) for name in sizes]

    return made


def test_what_is_too_much_is_polled_largest_first(wards):
    """
    Where the system grants no more watches, the largest roots are polled until the rest is granted.
    """
    small, large, middle = wards(small=1, large=4, middle=2)
    arming = Arming(Refusing(limit=3))

    assert arming.arm([small, large, middle])
    assert dict(arming.polled) == {large: "OSError: OS file watch limit reached"}
    assert arming.watches == 3
    assert time.monotonic() < arming.again_at < time.monotonic() + 61


def test_what_was_refused_is_asked_for_again_ever_less_often(wards):
    """
    A limit may be lifted; until then it is tried after twice the time, and once lifted never again.
    """
    [ward] = wards(ward=2)
    ears = Refusing(limit=1)
    arming = Arming(ears)
    arming.arm([ward])
    arming.arm([ward])
    assert arming.again_at > time.monotonic() + 60

    ears.limit = 2
    arming.arm([ward])
    assert not arming.polled
    assert arming.again_at == float("inf")


def test_two_listeners_at_once_may_be_too_much(wards):
    """
    Where the old and the new ears do not fit beside each other, the old ones go first, and that is said.
    """
    [ward] = wards(ward=2)
    arming = Arming(Refusing(limit=3))
    assert arming.arm([ward])

    assert not arming.arm([ward]), "for a moment nobody listened"
    assert not arming.polled


def test_a_folder_that_vanishes_while_it_is_armed_is_left_out(wards):
    """
    Folders that are deleted at that moment are no reason to poll, unless it never ends.
    """
    [ward] = wards(ward=2)
    arming = Arming(Refusing(errors=[FileNotFoundError("gone")] * 3))
    assert arming.arm([ward])
    assert not arming.polled

    arming = Arming(Refusing(errors=[FileNotFoundError("gone")] * 11))
    arming.arm([ward])
    assert dict(arming.polled) == {ward: "FileNotFoundError: gone"}
    assert arming.watches == 0


def test_what_vanishes_just_before_is_left_out(wards):
    """
    A folder that is gone when its turn comes is not armed; the next look finds that it is gone.
    """
    [ward] = wards(ward=2)
    ears = Refusing()
    shutil.rmtree(f"{ward.path}/0")
    Arming(ears).arm([ward])

    assert ears.armed == [ward.path]


def test_who_may_not_be_listened_to_is_polled(wards, monkeypatch):
    """
    A folder that may not be read makes its own root polled, and no other.
    """
    open_, closed = wards(open=3, closed=1)
    monkeypatch.setattr("os.access", lambda path, mode: path != closed.path)
    arming = Arming(Refusing(errors=[PermissionError("no")]))
    arming.arm([open_, closed])

    assert dict(arming.polled) == {closed: "PermissionError: no"}


def test_two_paths_of_one_folder_are_armed_once(wards, tmp_path):
    """
    The system tells of one path only; all roots that know the folder hear of it, by their own names.
    """
    [ward] = wards(ward=2)
    (tmp_path / "link").symlink_to("ward")
    linked = Tree(str(tmp_path / "link"))
    arming = Arming(Refusing())
    arming.arm([ward, linked])

    assert arming.watches == 3, "two folders, and the one that the link is in"
    assert set(arming.whom([f"{ward.path}/0/x.py"])) == {
        (ward, f"{ward.path}/0", "x.py"),
        (linked, f"{linked.path}/0", "x.py"),
    }
    assert set(arming.whom([f"{ward.path}/0"])) == {
        (ward, ward.path, "0"),
        (ward, f"{ward.path}/0", ""),
        (linked, linked.path, "0"),
        (linked, f"{linked.path}/0", ""),
    }
    assert list(arming.whom(["/elsewhere/x.py"])) == []


def test_what_was_heard_while_arming_is_part_of_what_is_reported(wards, monkeypatch):
    """
    Whoever listens anew hears what came meanwhile before anything is reported.
    """
    [ward] = wards(ward=1)
    late = f"{ward.path}/a.py"
    board, calls, coming = Board(), [], []
    board.wanted = {ward: frozenset({"code"})}
    monkeypatch.setattr(Ears, "arm", lambda ears, directories: coming.append({late}))
    monkeypatch.setattr(Ears, "listen", lambda ears, otherwise, pause: coming.pop(0) if coming else set())
    watch = Watch(board, Pace(0.0, 3600.0, 3600.0), calls.append)
    for _ in range(3):
        watch._beat()
    assert calls == [{"code"}]

    coming.append({late})
    board.wanted = {ward: frozenset({"other"})}
    for _ in range(4):
        watch._beat()
    assert calls == [{"code"}, {"other"}]
    watch._ears.close()


# -- rounds ----------------------------------------------------------------------------------------


class Clock(SimpleNamespace):
    """Time that passes only when somebody lets it."""

    now = 100.0

    def monotonic(self):
        return self.now

    thread_time = monotonic


class Costly:
    """A root that takes *cost* seconds to be looked at, in *steps*."""

    def __init__(self, clock, cost, steps=1):
        self.clock, self.cost, self.steps = clock, cost, steps
        self.looks = []

    def deep(self):
        for _ in range(self.steps):
            self.clock.now += self.cost / self.steps
            yield
        self.looks.append(self.clock.now)

    def shallow(self):
        return iter(())


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_rounds, "time", clock)
    return clock


def go_round(rounds, clock, seconds):
    """Go around as the thread would; how much of the time that took."""
    until, began, spent = clock.now + seconds, clock.now, 0.0
    while clock.now < until:
        before = clock.now
        rounds.go_on(clock.now)
        spent += clock.now - before
        clock.now += 0.01
    return spent / (clock.now - began)


def pauses(ward):
    return [later - earlier for earlier, later in pairwise(ward.looks)]


def test_a_small_root_is_looked_at_every_tick(clock):
    """
    What costs next to nothing is looked at as often as asked for.
    """
    rounds, ward = Rounds(1.0, 0.25), Costly(clock, 1e-5)
    rounds.follow([ward], [], clock.now)
    go_round(rounds, clock, 20)

    assert all(1.0 <= pause < 1.05 for pause in pauses(ward))
    assert rounds.count >= 2 * len(ward.looks) > 30


def test_large_roots_are_looked_at_less_often_and_small_ones_go_on(clock):
    """
    The looks of all roots stay within the budget, and a small root does not wait for a large one.
    """
    rounds, small, large = Rounds(1.0, 0.25), Costly(clock, 1e-4), Costly(clock, 0.04, steps=400)
    rounds.follow([small, large], [], clock.now)
    go_round(rounds, clock, 100)
    share = go_round(rounds, clock, 600)

    assert share < 1.3 * _rounds.BUDGET
    assert max(pauses(small)[5:]) < 5
    assert 30 < max(pauses(large)) < 60


def test_a_slice_is_short(clock):
    """
    A large root is looked at in slices; between two of them others are heard.
    """
    rounds, large = Rounds(1.0, 0.25), Costly(clock, 0.04, steps=400)
    rounds.follow([large], [], clock.now - 2)
    before = clock.now
    assert rounds.go_on(clock.now)

    assert clock.now - before < 0.003
    assert not large.looks
    assert rounds.next_at <= clock.now, "the next slice is due at once"
    rounds.follow([large, Costly(clock, 1e-5)], [], clock.now)
    assert rounds.next_at <= clock.now, "also when others come"


def test_polled_roots_have_a_pace_and_a_budget_of_their_own(clock):
    """
    Without events the clock is all there is: looked at more often, and for more of a core.
    """
    rounds, polled, heard = Rounds(1.0, 0.25), Costly(clock, 1e-4), Costly(clock, 1e-4)
    rounds.follow([polled, heard], [polled], clock.now)
    go_round(rounds, clock, 20)

    assert all(0.25 <= pause < 0.3 for pause in pauses(polled))
    assert all(1.0 <= pause < 1.05 for pause in pauses(heard))


def test_many_roots_are_looked_at_together(clock):
    """
    Roots that come one after the other end up in a few passes a second, each of them in time.
    """
    rounds, wards, passes = Rounds(1.0, 0.25), [Costly(clock, 1e-6) for _ in range(20)], 0
    for number in range(20):
        rounds.follow(wards[: number + 1], [], clock.now)
        clock.now += 0.045
        rounds.go_on(clock.now)
    for _ in range(1000):
        passes += rounds.go_on(clock.now)
        clock.now += 0.01

    assert passes <= 7 * 10
    assert all(1.0 <= pause < 1.2 for ward in wards for pause in pauses(ward)[2:])


def test_rounds_go_on_when_others_are_followed(clock):
    """
    Who stays keeps its turn, who is new gets one, who is gone has none.
    """
    rounds = Rounds(1.0, 0.25)
    assert not rounds.go_on(clock.now)
    stays, goes, comes = (Costly(clock, 1e-5) for _ in range(3))
    rounds.follow([stays, goes], [], clock.now)
    clock.now += 0.9
    rounds.follow([stays, comes], [], clock.now)
    clock.now += 0.2
    rounds.go_on(clock.now)

    assert (len(stays.looks), len(goes.looks), len(comes.looks)) == (1, 0, 0)


# -- warm places -----------------------------------------------------------------------------------


def test_a_warm_place_cools_down():
    """
    A place is looked at after a hundredth of the time since it changed, and in the end no more.
    """
    warm = Warm()
    warm.put("place", 0.0)
    looks = [hundredth / 100 for hundredth in range(20_000) if warm.due(hundredth / 100)]

    assert looks[:5] == [0.01, 0.02, 0.03, 0.04, 0.05]
    gaps = [(later - earlier, earlier) for earlier, later in pairwise(looks)]
    assert all(gap < max(0.025, earlier / 50) for gap, earlier in gaps)
    assert len(looks) < 1000
    assert 100 < looks[-1] < 105
    assert not warm


def test_a_place_that_changes_again_is_warm_again():
    """
    Each change begins anew.
    """
    warm = Warm()
    warm.put("place", 0.0)
    assert warm.due(90.0)
    warm.put("place", 90.0)

    assert warm.due(90.01) == ["place"]


def test_a_mass_of_warm_places_costs_no_more_than_a_few():
    """
    Of thousands the last changed are kept; a few are looked at together, and each gets its turn.
    """
    warm = Warm()
    for number in range(1000):
        warm.put(str(number), number / 1000)
    assert len(warm) == 128

    looks = [warm.due(1.1 + beat / 100) for beat in range(16)]
    assert {len(places) for places in looks} == {8}
    assert {place for places in looks for place in places} == set(map(str, range(872, 1000)))


def test_a_crowd_of_warm_places_is_looked_at_less_often():
    """
    Who has many warm places looks at each of them as much less often as there are more.
    """
    looks = {}
    for count in (8, 64):
        warm = Warm()
        for number in range(count):
            warm.put(str(number), 0.0)
        looks[count] = sum(len(warm.due(hundredth / 100)) for hundredth in range(1, 1000))

    assert looks[64] < 1.5 * looks[8]


def test_it_is_known_when_a_warm_place_is_due():
    """
    Nobody needs to ask before, and for no place ever.
    """
    warm = Warm()
    assert warm.next_at == float("inf")
    warm.put("place", 5.0)
    assert warm.due(warm.next_at - 0.001) == []
    assert warm.due(warm.next_at) == ["place"]
    assert 5.0 < warm.next_at < float("inf")


# -- unrest ----------------------------------------------------------------------------------------

SETTLE = 0.025


def code(path="a.py", age=0.0):
    return News(path, time.time_ns() - int(age * 1e9), must_rest=True)


def data(path="a.log"):
    return News(path, time.time_ns(), must_rest=False)


def test_code_may_hold_its_root_back_for_ever():
    """
    As long as code is being written, its root is not quiet.
    """
    unrest = Unrest(0.0)
    for tenth in range(100):
        unrest.note([code()], tenth / 10, local=True)
        assert unrest.due(SETTLE) == pytest.approx(tenth / 10 + SETTLE, abs=0.02)


def test_what_nobody_executes_holds_its_root_back_for_a_moment_only():
    """
    A log file in a package does not keep its code from being reloaded.
    """
    unrest = Unrest(0.0)
    unrest.note([code()], 0.0, local=True)
    for tenth in range(1, 100):
        unrest.note([data()], tenth / 10, local=True)

    assert unrest.due(SETTLE) == PATIENCE


def test_only_code_and_only_for_a_moment_is_waited_for():
    """
    Others of a burst are told together; a log, and who writes for ever, hold up nobody.
    """
    code_, log = Unrest(0.0), Unrest(0.0)
    code_.note([code()], 0.0, local=True)
    log.note([data()], 0.0, local=True)

    assert code_.is_a_burst(PATIENCE / 2)
    assert not code_.is_a_burst(PATIENCE)
    assert not log.is_a_burst(0.0)


def test_news_are_as_old_as_the_file_says():
    """
    The window counts from the write, not from when it was heard of; an old time is not believed.
    """
    for age, credit in [(0.01, 0.01), (3600.0, CREDIT), (-3600.0, 0.0)]:
        unrest = Unrest(0.0)
        unrest.note([code(age=age)], 1.0, local=True)
        assert unrest.due(SETTLE) == pytest.approx(1.0 + SETTLE - credit, abs=0.005)


def test_the_clock_of_another_machine_does_not_count():
    """
    On a file system of others the window counts from when the change was seen.
    """
    unrest = Unrest(0.0)
    unrest.note([code(age=0.02)], 1.0, local=False)

    assert unrest.due(SETTLE) == 1.0 + SETTLE
