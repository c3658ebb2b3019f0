"""The next generation: what it must show, what it takes over at once, and what is left when it fails."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import pluggy
import pytest

import hotplug
from hot import HEAD, hots, thing, until
from hotplug.errors import HostError, NotRegisteredError, PluginError

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")

hookimpl = pluggy.HookimplMarker("hotplug")
PAIR = {"one": "acme_pair.one:One", "two": "acme_pair.two:Two"}


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def pair(mark, version="1.0"):
    return {
        "acme_pair/__init__.py": f"MARK = {mark!r}\n",
        "acme_pair/one.py": thing("acme_pair.MARK", head="import acme_pair", name="One"),
        "acme_pair/two.py": thing("acme_pair.MARK", head="import acme_pair", name="Two"),
    }


# -- what is reloaded ------------------------------------------------------------------------------


def test_a_changed_distribution_is_served_anew(hot):
    """
    A reload serves the code as it is now, in the next generation, and closes the object of the old one.
    """
    hot.one("a", thing("'one'", body="def close(self): log.append('closed')"))
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        hot.one("a", thing("'two'"))
        changes = host.reload("acme-a")

        assert changes == hotplug.Changes(changed=("things/a",))
        assert hot.do(host, "a") == "two"
        assert hot.status(host, "things/a").generation == 2
        assert hot.status(host, "things/a").state == "loaded"
        assert hot.log == ["closed"]


def test_an_unchanged_distribution_is_renewed_all_the_same(hot):
    """
    A reload of code that nobody touched makes a new object of a new class in a new generation.
    """
    hot.one("a", thing())
    with hot.host() as host:
        before = host.registry("things")["a"]
        assert host.reload("Acme_A").changed == ("things/a",)
        after = host.registry("things")["a"]

        assert type(after) is not type(before)
        assert sys.modules["acme_a"].Plain is type(after)
        assert hot.status(host, "things/a").generation == 2


def test_what_was_never_used_is_not_imported_by_a_reload(hot):
    """
    A reload of a distribution that nobody used imports nothing: its first user gets what is there then.
    """
    hot.one("a", "raise SystemExit\n")
    with hot.host() as host:
        hot.one("a", thing("'second'"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert "acme_a" not in sys.modules
        assert hot.do(host, "a") == "second"
        assert hot.status(host, "things/a").generation == 1


def test_what_comes_with_what_was_never_used_is_not_imported_by_a_reload(hot):
    """
    Nor is a plugin that its upgrade brings.
    """
    hot.one("a", "raise SystemExit\n")
    with hot.host() as host:
        points = {"a": "acme_a:Plain", "b": "acme_a:Plain"}
        hot.install("acme-a", "2.0", things=points, files={"acme_a.py": thing("'second'")})
        assert host.reload("acme-a").added == ("things/b",)
        assert "acme_a" not in sys.modules
        assert hot.do(host, "b") == "second"


@pytest.mark.parametrize("which", ["view", "newcomer"])
def test_what_nobody_has_made_yet_is_checked_as_well(hot, which):
    """
    Where a distribution is used, a wrong class for users, or of a newcomer, refuses all of it.
    """
    wrong = {"acme_a/wrong.py": "class Plain: ..."}
    good = {"acme_a/__init__.py": thing("1"), "acme_a/wrong.py": thing("1")}
    things, views = {"a": "acme_a:Plain"}, {"v": "acme_a.wrong:Plain"}
    hot.install("acme-a", things=things, views=views if which == "view" else {}, files=good)
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        more = {} if which == "view" else {"b": "acme_a.wrong:Plain"}
        hot.install(
            "acme-a", "2.0", things=things | more, views=views if which == "view" else {}, files=good | wrong
        )
        assert "things/a" in host.reload("acme-a").failed
        assert hot.status(host, "things/a").reason == "2.0 refused"
        assert hot.do(host, "a") == 1


def test_what_had_failed_is_tried_again(hot):
    """
    A reload of what did not import clears the failure, and the next user gets the mended code.
    """
    hot.one("a", "import nothing_there\n")
    with hot.host() as host:
        with pytest.raises(PluginError):
            hot.do(host, "a")
        hot.one("a", thing("'mended'"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.status(host, "things/a").error == ""
        assert hot.do(host, "a") == "mended"


@pytest.mark.parametrize("name", ["acme-b", "", "things/a"])
def test_an_unknown_distribution_is_named(hot, name):
    """
    A reload of what no plugin comes from is a `HostError` with close matches, also where a table lacks one.
    """
    hot.one("a", thing())
    with hot.host("[things.ghost]\nplugin = 'ghost'") as host, pytest.raises(HostError, match="acme-a"):
        host.reload(name)


def test_a_reload_sees_what_was_installed_meanwhile(hot):
    """
    A distribution that came while nobody looked is known to a reload, and so is one that went.
    """
    with hot.host() as host:
        hot.one("a", thing())
        assert host.reload("acme-a").added == ("things/a",)
        assert hot.do(host, "a") == "one"
        hot.site.uninstall("acme-a")
        assert host.reload("acme-a").removed == ("things/a",)
        assert host.plugins == ()
        with pytest.raises(NotRegisteredError):
            hot.do(host, "a")


# -- all at once -----------------------------------------------------------------------------------


def test_an_upgrade_adds_and_removes_entries(hot):
    """
    What an upgrade advertises no longer goes, what it advertises first comes, in the same change.
    """
    hot.install("acme-pair", things={"one": PAIR["one"]}, files=pair("old"))
    with hot.host() as host:
        assert hot.do(host, "one") == "old"
        hot.install("acme-pair", "2.0", things={"two": PAIR["two"]}, files=pair("new"))
        changes = host.refresh()

        assert (changes.added, changes.removed) == (("things/two",), ("things/one",))
        assert host.registry("things").keys() == ("two",)
        assert hot.do(host, "two") == "new"


def test_all_kinds_of_a_distribution_swap_at_one_instant(hot, eager_threads):
    """
    Who reads two keys of one distribution, in whatever registries, never gets the older one second.
    """
    facts = {"things": {"one": PAIR["one"]}, "views": {"two": PAIR["two"]}}
    hot.install("acme-pair", **facts, files=pair(0))
    with hot.host() as host:
        assert hot.do(host, "one") == hot.do(host, "two", "views") == 0
        done, torn, seen = threading.Event(), [], set()

        def read():
            while not done.is_set():
                first = hot.do(host, "one")
                second = hot.do(host, "two", "views")
                seen.add(second)
                if second < first:
                    torn.append((first, second))

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for mark in range(1, 6):
            hot.install("acme-pair", **facts, files=pair(mark))
            assert host.reload("acme-pair").failed == ()
            until(lambda mark=mark: mark in seen)
        done.set()
        for reader in readers:
            reader.join()

        assert torn == []


@pytest.mark.parametrize("order", [("acme-a", "acme-b"), ("acme-b", "acme-a")])
def test_a_key_moves_between_distributions(hot, order):
    """
    One look at two upgrades, of which one gives up a key that the other takes, moves the key.
    """
    giver, taker = order

    def put(name, version, keys):
        module = name.replace("-", "_")
        hot.install(
            name,
            version,
            things=dict.fromkeys(keys, f"{module}:Plain"),
            files={f"{module}.py": thing(repr(f"{name} {version}"))},
        )

    put(giver, "1.0", ["x", "own"])
    put(taker, "1.0", ["other"])
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("x", "own", "other")]
        put(giver, "2.0", ["own"])
        put(taker, "2.0", ["x", "other"])
        changes = host.refresh()

        assert changes.failed == ()
        assert hot.do(host, "x") == f"{taker} 2.0"
        assert hot.do(host, "own") == f"{giver} 2.0"


# -- failures --------------------------------------------------------------------------------------

FAULTS = {
    "a syntax error": ("def broken(:\n", "SyntaxError"),
    "an import error": ("import nothing_there\n", "nothing_there"),
    "an exit": ("raise SystemExit(3)\n", "SystemExit"),
    "a base exception": ("raise BaseException('base')\n", "base"),
    "a lost class": (HEAD, "Plain"),
    "another contract": ("class Plain: pass\n", "do"),
    "a constructor": (thing(body="def __init__(self): raise ValueError('built')"), "built"),
    "an exit of a constructor": (thing(body="def __init__(self): raise SystemExit('built')"), "built"),
    "settings": (thing(body="def __init__(self, *, width: int): ..."), "width"),
    "an export": (thing(body="def import_state(self, version, state): ..."), "exported"),
    "an import of state": (
        thing(body="def import_state(self, version, state): raise ValueError('imported')"),
        "imported",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["reload", "refresh"])
def test_a_failure_leaves_the_old_one_complete(hot, fault, verb):
    """
    Whatever the next generation does wrong, the old object, modules and status serve on, and say why.
    """
    code, why = FAULTS[fault]
    state = "def export_state(self): return 1, {}"
    if fault == "an export":
        state = "def export_state(self): raise ValueError('exported')"
    hot.install(
        "acme-a",
        things={"a": "acme_a:Plain"},
        files={"acme_a.py": thing(head="import acme_a_part", body=state), "acme_a_part.py": "X = 1\n"},
    )
    with hot.host() as host:
        before = host.registry("things")["a"]
        modules = hot.modules()
        hot.install(
            "acme-a",
            "2.0",
            things={"a": "acme_a:Plain"},
            files={"acme_a.py": code, "acme_a_part.py": "X = 2\n"},
        )
        for _ in range(2):
            changes = host.reload("acme-a") if verb == "reload" else host.refresh()
            status = hot.status(host, "things/a")

            assert changes == hotplug.Changes(failed=("things/a",))
            assert host.registry("things")["a"] is before
            assert hot.modules() == modules
            assert (status.state, status.reason, status.generation) == ("loaded", "2.0 refused", 1)
            assert why in status.error
            assert status.remedy
        hot.install(
            "acme-a",
            "3.0",
            things={"a": "acme_a:Plain"},
            files={
                "acme_a.py": thing("acme_a_part.X", head="import acme_a_part"),
                "acme_a_part.py": "X = 3\n",
            },
        )
        assert host.refresh().changed == ("things/a",)
        assert hot.do(host, "a") == 3
        status = hot.status(host, "things/a")
        assert (status.state, status.reason, status.error, status.remedy) == ("loaded", "", "", "")


def test_back_to_the_old_version_clears_the_refusal(hot):
    """
    A refused upgrade that is taken back leaves the old one as it was, and nothing to say of it.
    """
    hot.one("a", thing())
    with hot.host() as host:
        before = host.registry("things")["a"]
        hot.one("a", "raise SystemExit\n", "2.0")
        assert host.refresh().failed == ("things/a",)
        hot.one("a", thing())
        host.refresh()
        status = hot.status(host, "things/a")

        assert hot.do(host, "a") == "one"
        assert (status.state, status.reason, status.error, status.remedy) == ("loaded", "", "", "")
        assert type(host.registry("things")["a"]) is type(before) or status.generation == 2


def test_one_fault_refuses_the_whole_distribution(hot):
    """
    Where one plugin of a distribution does not come to be, none of it changes.
    """
    hot.install("acme-pair", things=PAIR, files=pair("old"))
    with hot.host() as host:
        before = [host.registry("things")[key] for key in PAIR]
        files = pair("new") | {"acme_pair/two.py": "raise ValueError('two')\n"}
        hot.install("acme-pair", things=PAIR, files=files)
        assert host.reload("acme-pair").failed == ("things/one", "things/two")

        assert [host.registry("things")[key] for key in PAIR] == before
        assert [each.do() for each in before] == ["old", "old"]
        for name in ("things/one", "things/two"):
            assert "two" in hot.status(host, name).error


def test_who_does_not_stand_is_not_blamed(hot):
    """
    A plugin that somebody disabled stays disabled when its distribution cannot be renewed.
    """
    hot.install("acme-pair", things=PAIR, files=pair("old"))
    with hot.host("[plugins]\ndisable = ['things/two']") as host:
        assert hot.do(host, "one") == "old"
        hot.install("acme-pair", things=PAIR, files=pair("new") | {"acme_pair/one.py": "oops("})
        assert host.reload("acme-pair").failed == ("things/one",)
        status = hot.status(host, "things/two")
        assert (status.state, status.error) == ("disabled", "")


def test_a_service_that_does_not_start_is_refused(hot):
    """
    A service whose next generation does not start goes on running; the next that starts takes over from it.
    """

    def engine(mark, start="log.append(('start', MARK))"):
        return (
            f"{HEAD}MARK = {mark!r}\nclass Plain(Thing):\n    def do(self): return MARK\n"
            f"    async def start(self): {start}\n    async def stop(self): log.append(('stop', MARK))\n"
        )

    def put(mark, **facts):
        hot.install("acme-e", engines={"e": "acme_e:Plain"}, files={"acme_e.py": engine(mark, **facts)})

    put(1)
    with hot.host("[engines.e]") as host:
        before = host.registry("engines")["e"]
        put(2, start="raise OSError('no port')")
        assert host.reload("acme-e").failed == ("engines/e",)
        assert host.registry("engines")["e"] is before
        assert "no port" in hot.status(host, "engines/e").error
        assert hot.log == [("start", 1), ("stop", 2)]  # what it may have begun is undone
        put(3)
        assert host.reload("acme-e").changed == ("engines/e",)
        assert hot.log[2:] == [("start", 3), ("stop", 1)]
    assert hot.log[-1] == ("stop", 3)


def test_what_had_failed_and_is_not_renewed_stays_failed(hot):
    """
    Where nothing serves, a reload that fails says how it failed, and not that something was refused.
    """
    hot.one("a", thing(body="def __init__(self): 1 / 0"))
    with hot.host() as host:
        with pytest.raises(PluginError, match="ZeroDivisionError"):
            hot.do(host, "a")
        hot.one("a", "import nowhere_at_all")

        assert host.reload("acme-a").failed == ("things/a",)

        status = hot.status(host, "things/a")
        assert (status.state, status.reason) == ("failed", "missing dependency")
        assert "nowhere_at_all" in status.error


def test_nothing_is_renewed_of_who_is_not_concerned(hot):
    """
    A renewal knows its own distributions only; a plugin that waits for nothing stays as it is.
    """
    hot.one("a", thing())
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        assert host.codes.renewal(["acme-a"]).next_of("acme-b") is None
        before = hot.status(host, "things/a")
        host.follower.standing[0].waits_no_more()
        assert hot.status(host, "things/a") == before


def test_an_import_that_hangs_is_left_behind(hot):
    """
    A next generation that does not come in time is refused, and what its thread does later touches nothing.
    """
    hot.one("a", thing())
    with hot.host("[host]\nload_timeout = 0.2") as host:
        before = host.registry("things")["a"]
        hot.install(
            "acme-a",
            things={"a": "acme_a:Plain"},
            files={
                "acme_a.py": thing("'late'", head="gate.wait()\nimport acme_a_late"),
                "acme_a_late.py": "",
            },
        )
        modules = hot.modules()
        assert host.reload("acme-a").failed == ("things/a",)
        status = hot.status(host, "things/a")
        assert (status.state, status.reason) == ("loaded", "1.0 refused")
        assert "0.2 s" in status.error
        hot.acme.gate.set()
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("hotplug import")])
        assert host.registry("things")["a"] is before
        assert hot.modules() == modules
        hot.one("a", thing("'in time'"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.do(host, "a") == "in time"


CTRL_C = "import signal\nsignal.pthread_kill(threading.main_thread().ident, signal.SIGINT)\n"


@pytest.mark.parametrize("left_by", ["an interrupt", "the end of its time"])
def test_a_reload_that_nobody_waits_for_stages_nothing_more(hot, left_by):
    """
    What a plugin needs is left in the middle of its import: the plugin is not staged when that comes back
    after all, and the next reload of both works.
    """
    hot.plain("acme-base", files={"acme_base.py": "V = 'one'\n"})
    hot.one("a", thing("acme_base.V", head="import acme_base"), requires=["acme-base"])
    with hot.host(f"[host]\nload_timeout = {30 if left_by == 'an interrupt' else 0.2}") as host:
        assert hot.do(host, "a") == "one"
        waits = f"{HEAD}{CTRL_C if left_by == 'an interrupt' else ''}gate.wait()\n"
        hot.edit("acme-base", "acme_base.py", waits)
        if left_by == "an interrupt":
            with pytest.raises(KeyboardInterrupt):
                host.reload("acme-base")
        else:
            assert host.reload("acme-base").failed == ("things/a",)
        hot.acme.gate.set()
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("hotplug reload")])

        hot.edit("acme-base", "acme_base.py", "V = 'two'\n")
        assert host.reload("acme-base") == hotplug.Changes(changed=("things/a",))
        assert hot.do(host, "a") == "two"


def test_an_interrupt_is_raised_and_nothing_has_happened(hot):
    """
    Ctrl-C while the next generation is imported ends the reload, and the old one serves on.
    """
    hot.one("a", thing())
    with hot.host() as host:
        before, modules = host.registry("things")["a"], hot.modules()
        hot.one("a", "raise KeyboardInterrupt\n")
        with pytest.raises(KeyboardInterrupt):
            host.reload("acme-a")
        assert host.registry("things")["a"] is before
        assert hot.modules() == modules
        hot.one("a", thing("'later'"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.do(host, "a") == "later"


# -- what may not follow ---------------------------------------------------------------------------

REQUIRED = "restart required"


def upgraded(hot, host, **facts):
    hot.one("a", thing("'new'"), "2.0", **facts)
    changes = host.refresh()
    [status] = [each for each in host.plugins if each.record.distribution == "acme-a"]
    return changes, status


def test_a_frozen_registry_asks_for_a_restart(hot):
    """
    What would change a frozen registry is not followed: the old one serves, and asks for a restart.
    """
    hot.one("a", thing())
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        host.registry("things").freeze()
        changes, status = upgraded(hot, host)
        assert changes.failed == ("things/a",)
        assert (status.state, status.reason) == ("loaded", REQUIRED)
        assert "frozen" in status.remedy
        assert hot.do(host, "a") == "one"
        assert host.reload("acme-a").failed == ("things/a",)
        assert hot.do(host, "a") == "one"


def follow(hot, host, how):
    """Have *host* follow what was just installed or edited."""
    if how in ("reload", "reload what lies there"):
        host.reload("acme-pair")
    elif how == "refresh":
        host.refresh()
    else:
        host.follow_hints([("site", str(hot.site.folder)), ("code", "acme-pair")])


@pytest.mark.parametrize("how", ["reload", "refresh", "watch", "reload what lies there", "watch an edit"])
def test_a_key_that_the_application_took_is_its_own(hot, how):
    """
    What the application put under a plugin's key stays there, whatever else of that distribution is
    followed; the plugin ends, and comes again when it gets its key back.
    """
    put = hot.plain if how in ("reload what lies there", "watch an edit") else hot.install
    put("acme-pair", things=PAIR, files=pair("old"))
    with hot.host() as host:
        assert hot.do(host, "two") == hot.do(host, "one") == "old"
        things = host.registry("things")
        mine = things.get("two")
        ended = weakref.ref(things.get("one"))
        things.unregister("one")
        things.register("one", mine)
        for mark, version in (("new", "2.0"), ("newer", "3.0")):
            if put == hot.plain:
                hot.edit("acme-pair", "acme_pair/__init__.py", f"MARK = {mark!r}\n")
            else:
                put("acme-pair", version, things=PAIR, files=pair(mark))
            follow(hot, host, how)
            assert things["one"] is mine
            assert hot.do(host, "two") == mark
            status = hot.status(host, "things/one")
            assert (status.state, status.reason, status.error) == ("conflict", "conflict", "")
            assert status.record.version == hot.status(host, "things/two").record.version
            assert "the application" in status.remedy
        gc.collect()
        assert ended() is None
        things.unregister("one")
        host.refresh()
        assert hot.do(host, "one") == hot.do(host, "two") == "newer"


def test_a_key_that_the_application_took_need_not_be_advertised_any_more(hot):
    """
    A plugin whose key the application took, and that its distribution has no more, is not listed any more.
    """
    hot.install("acme-pair", things=PAIR, files=pair("old"))
    with hot.host() as host:
        assert hot.do(host, "two") == hot.do(host, "one") == "old"
        things = host.registry("things")
        mine = things.get("two")
        things.unregister("one")
        things.register("one", mine)
        hot.install("acme-pair", "2.0", things={"two": PAIR["two"]}, files=pair("new"))
        host.refresh()
        assert [status.name for status in host.plugins] == ["things/two"]
        assert things["one"] is mine


def test_who_took_a_key_is_told_when_the_rest_cannot_follow(hot):
    """
    Where the next generation does not come to be, a plugin that lost its key before is as it was.
    """
    hot.install("acme-pair", things=PAIR, files=pair("old"))
    with hot.host() as host:
        assert hot.do(host, "two") == hot.do(host, "one") == "old"
        things = host.registry("things")
        mine = things.get("two")
        things.unregister("one")
        things.register("one", mine)
        hot.install("acme-pair", "2.0", things=PAIR, files={"acme_pair.py": "import nothing_there"})
        assert set(host.refresh().failed) == {"things/one", "things/two"}
        assert things["one"] is mine
        assert {status.reason for status in host.plugins} == {"2.0 refused"}
        hot.install("acme-pair", "3.0", things=PAIR, files=pair("new"))
        assert host.refresh().failed == ("things/one",)
        assert hot.do(host, "two") == "new"


def test_what_never_got_its_key_does_not_keep_the_others_back(hot):
    """
    A plugin whose key was taken before it came stays a conflict; what else its distribution has is renewed.
    """
    hot.one("z", thing())
    with hot.host() as host:
        things = host.registry("things")
        mine = hot.do(host, "z") and things["z"]
        things.register("one", mine)
        hot.install("acme-pair", things=PAIR, files=pair("old"))
        host.refresh()
        assert hot.status(host, "things/one").state == "conflict"
        assert hot.do(host, "two") == "old"
        hot.install("acme-pair", things=PAIR, files=pair("new"))
        host.reload("acme-pair")
        assert hot.do(host, "two") == "new"
        assert things["one"] is mine
        assert hot.status(host, "things/one").state == "conflict"


@pytest.mark.parametrize("why", ["api", "veto", "conflict"])
def test_an_upgrade_that_may_not_come_asks_for_a_restart(hot, why):
    """
    What its requirement of hotplug, a hook or a rival keeps out does not end what serves.
    """
    hot.one("a", thing())
    host = hot.host()
    if why == "veto":

        class Veto:
            @hookimpl
            def hotplug_discovered(self, records):
                return {record: "not this one" for record in records if record.version == "2.0"}

        host.hooks.register(Veto())
    with host:
        assert hot.do(host, "a") == "one"
        if why == "api":
            changes, status = upgraded(hot, host, requires=["hotplug>=99"])
        elif why == "conflict":
            hot.install("acme-rival", things={"a": "acme_rival:Plain"}, files={"acme_rival.py": thing()})
            changes, status = upgraded(hot, host)
        else:
            changes, status = upgraded(hot, host)

        assert changes.failed[:1] == ("things/a",)
        assert (status.state, status.reason) == ("loaded", REQUIRED)
        assert status.remedy
        assert hot.do(host, "a") == "one"
        assert host.refresh().changed == ()


def test_an_edit_is_followed_while_a_rival_claims_the_name(hot):
    """
    Who serves a name that a newcomer claims as well can still be renewed as it is.
    """
    hot.one("a", thing())
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        hot.install("acme-rival", things={"a": "acme_rival:Plain"}, files={"acme_rival.py": thing("'r'")})
        host.refresh()
        assert hot.do(host, "a") == "one"
        (hot.site.folder / "acme_a.py").write_text(thing("'edited'"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.do(host, "a") == "edited"


# -- state -----------------------------------------------------------------------------------------

COUNTER = """
def __init__(self): self.count = 0
def export_state(self): return 1, {"count": self.count}
def import_state(self, version, state):
    assert version == 1
    self.count = state["count"]
"""


def test_state_is_carried_over(hot):
    """
    What the old object exports, as plain data, the new one imports before anybody gets it.
    """
    hot.one("a", thing("self.count", body=COUNTER))
    with hot.host() as host:
        host.registry("things")["a"].count = 7
        hot.one("a", thing("self.count * 10", body=COUNTER))
        host.reload("acme-a")
        assert hot.do(host, "a") == 70


@pytest.mark.parametrize(
    ("exported", "why"),
    [
        ("1", "export_state"),
        ("1, object()", "plain"),
        ("1, {'x': self}", "plain"),
        ("'one', {}", "version"),
    ],
)
def test_state_is_plain_or_refused(hot, exported, why):
    """
    What is not a version and plain data is not handed over: the old one serves on and says so.
    """
    hot.one("a", thing(body=f"def export_state(self): return {exported}"))
    with hot.host() as host:
        before = host.registry("things")["a"]
        hot.one("a", thing(body="def import_state(self, version, state): log.append(state)"))
        assert host.reload("acme-a").failed == ("things/a",)
        assert host.registry("things")["a"] is before
        assert hot.log == []
        assert hot.status(host, "things/a").error


def test_an_attribute_that_raises_is_the_plugins_own_fault(hot):
    """
    A plugin whose ``export_state`` is a property that raises refuses its next generation, no more.
    """
    hot.one("a", thing(body="@property\ndef export_state(self): raise SystemExit('asked')"))
    with hot.host() as host:
        before = host.registry("things")["a"]
        hot.one("a", thing(body="def import_state(self, version, state): ..."))
        assert host.reload("acme-a").failed == ("things/a",)
        assert host.registry("things")["a"] is before
        assert "asked" in hot.status(host, "things/a").error


EXPORT, IMPORT = "def export_state(self): {}", "def import_state(self, version, state): {}"


@pytest.mark.parametrize(
    ("exporting", "importing", "said"),
    [("gate.wait(10)", "...", "0.2 s"), ("return 1, {}", "gate.wait(10)", "import of its state")],
)
def test_state_that_hangs_is_left_behind(hot, exporting, importing, said):
    """
    State that is not exported, or not imported, within ``load_timeout`` refuses the next generation.
    """
    hot.one("a", thing(body=EXPORT.format(exporting)))
    with hot.host("[host]\nload_timeout = 0.2") as host:
        before = host.registry("things")["a"]
        hot.one("a", thing(body=IMPORT.format(importing)))
        assert host.reload("acme-a").failed == ("things/a",)
        assert said in hot.status(host, "things/a").error
        assert host.registry("things")["a"] is before
        hot.acme.gate.set()


def test_what_only_looks_like_state_is_none(hot):
    """
    An attribute of that name which nobody can call hands nothing over, and stands in nobody's way.
    """
    hot.one("a", thing(body="export_state = import_state = 'none'"))
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        assert host.reload("acme-a").changed == ("things/a",)


def test_state_of_half_a_pair_stays(hot):
    """
    Where only one of both sides knows of state, none is handed over, and the reload is as any other.
    """
    hot.one("a", thing(body="def export_state(self): log.append('asked')"))
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        hot.one("a", thing("'two'"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert hot.log == []
        hot.one("a", thing("'three'", body="def import_state(self, version, state): log.append(state)"))
        assert host.reload("acme-a").changed == ("things/a",)
        assert (hot.do(host, "a"), hot.log) == ("three", [])


# -- what belongs to it ----------------------------------------------------------------------------


def test_a_module_that_came_with_the_same_version_is_its_own(hot):
    """
    A module that a re-installation of the same version brought belongs to the generation, as all others.
    """
    late = thing("acme_a_late.MARK", head="import acme_a_late")
    hot.one("a", thing())
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        for mark in (1, 2):
            files = {"acme_a.py": late, "acme_a_late.py": f"MARK = {mark}\n"}
            hot.install("acme-a", things={"a": "acme_a:Plain"}, files=files)
            assert host.reload("acme-a").changed == ("things/a",)
            assert hot.do(host, "a") == mark
