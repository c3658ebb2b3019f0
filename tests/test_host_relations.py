"""Who depends on whom, and what that means when one of them changes."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import types
import weakref

import pytest

import hotplug
from hot import hots, thing, until, watching
from hotplug._host import _code
from hotplug._host._relations import Relations
from hotplug._records import PluginRecord
from hotplug.errors import PluginError

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def base(hot, mark, version="1.0", **facts):
    """``acme-base``: a thing, and what others import of it."""
    code = f"MARK = {mark!r}\nlog.append(('base', MARK))"
    hot.install(
        "acme-base",
        version,
        things={"base": "acme_base:Plain"},
        files={"acme_base/__init__.py": thing("MARK", head=code), "acme_base/late.py": f"MARK = {mark!r}\n"},
        **facts,
    )


def user(hot, name="user", *, requires=("acme-base",), code=None, version="1.0"):
    """Somebody who imports ``acme_base``."""
    head = f"import acme_base\nlog.append(({name!r}, acme_base.MARK))"
    body = "def late(self):\n    from acme_base import late\n    return late.MARK"
    hot.install(
        f"acme-{name}",
        version,
        things={name: f"acme_{name}:Plain"},
        files={f"acme_{name}.py": code or thing("acme_base.MARK", head=head, body=body)},
        requires=requires,
    )


def asked_at_once(hot, host, *keys):
    """
    What each answers that is begun first, each by a thread of its own, at the same moment.

    All are there before one is called: who imports in a circle may see the half of a module, as in Python.
    """
    start, begun, answers = threading.Barrier(len(keys)), threading.Barrier(len(keys)), []

    def ask(key):
        start.wait(20)
        host.registry("things").get(key)
        begun.wait(20)
        answers.append(hot.do(host, key))

    threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_who_requires_it_follows_in_order(hot):
    """
    With a distribution all that require it are renewed, after it, and work with its new code at once.
    """
    base(hot, "old")
    user(hot, "mid")
    user(hot, "far", requires=["acme-mid"], code=thing("acme_mid.acme_base.MARK", head="import acme_mid"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("far", "mid", "base")] == ["old"] * 3
        hot.log.clear()
        base(hot, "new")
        changes = host.refresh()

        assert set(changes.changed) == {"things/base", "things/mid", "things/far"}
        assert hot.log == [("base", "new"), ("mid", "new")]
        assert [hot.do(host, key) for key in ("far", "mid", "base")] == ["new"] * 3
        assert {status.generation for status in host.plugins} == {2}


def test_all_of_them_or_none(hot):
    """
    Where one that follows cannot be renewed, the one it requires is not, either, and both say why.
    """
    base(hot, "old")
    code = thing(
        "acme_base.MARK", head="import acme_base\nif acme_base.MARK == 'new': raise ValueError('too new')"
    )
    user(hot, code=code)
    with hot.host() as host:
        before = [host.registry("things")[key] for key in ("base", "user")]
        modules = hot.modules()
        base(hot, "new")
        changes = host.refresh()

        assert set(changes.failed) == {"things/base", "things/user"}
        assert changes.changed == ()
        assert [host.registry("things")[key] for key in ("base", "user")] == before
        assert [each.do() for each in before] == ["old", "old"]
        assert hot.modules() == modules
        assert "too new" in hot.status(host, "things/base").error
        assert "too new" in hot.status(host, "things/user").error


def test_a_follower_that_nobody_used_stays_so(hot):
    """
    Who was never imported is not imported because what it requires is renewed, and then gets the new code.
    """
    base(hot, "old")
    user(hot)
    with hot.host() as host:
        assert hot.do(host, "base") == "old"
        base(hot, "new")
        host.refresh()
        assert "acme_user" not in sys.modules
        assert hot.do(host, "user") == "new"


def test_an_old_user_goes_on_with_the_old_code(hot):
    """
    Who is in use goes on importing what belongs to its own generation, of what it requires as well.
    """
    base(hot, "old")
    user(hot)
    with hot.host() as host:
        old = host.registry("things")["user"]
        base(hot, "new")
        host.refresh()
        assert host.registry("things")["user"].late() == "new"
        assert old.late() == "old"


@pytest.mark.parametrize("verb", ["acme-base", "acme-user"])
def test_a_later_generation_goes_on_with_its_own_code(hot, verb):
    """
    Who came by a reload, of itself or of what it requires, imports what belonged to it then, as long as it is
    in use.
    """
    base(hot, "old")
    user(hot)
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("user", "base")] == ["old", "old"]
        if verb == "acme-base":
            base(hot, "new")
        host.reload(verb)
        second = host.registry("things")["user"]
        expected = second.do()
        base(hot, "newest")
        host.reload("acme-base")
        assert hot.do(host, "user") == "newest"
        assert second.late() == expected == ("new" if verb == "acme-base" else "old")


def test_who_requires_two_that_changed_is_renewed_once(hot):
    """
    Where two distributions change at once, what requires both of them is made anew once, of both.
    """
    for name in ("left", "right"):
        hot.one(name, thing("1", head="MARK = 'old'"))
    code = thing("acme_left.MARK, acme_right.MARK", head="import acme_left, acme_right")
    user(hot, requires=["acme-left", "acme-right"], code=code)
    with hot.host() as host:
        assert hot.do(host, "user") == ("old", "old")
        assert [hot.do(host, key) for key in ("left", "right")] == [1, 1]
        for name in ("left", "right"):
            hot.one(name, thing("2", head="MARK = 'new'"), "2.0")
        host.refresh()
        assert hot.do(host, "user") == ("new", "new")
        assert hot.status(host, "things/user").generation == 2


def test_a_helper_is_put_back_with_those_who_refuse(hot):
    """
    Where who requires a helper cannot be renewed, the helper's modules are again those that were there.
    """
    hot.plain("acme-help", files={"acme_help.py": "MARK = 'old'\n"})
    user(hot, requires=["acme-help"], code=thing("acme_help.MARK", head="import acme_help"))
    with hot.host() as host:
        assert hot.do(host, "user") == "old"
        before = sys.modules["acme_help"]
        hot.edit("acme-help", "acme_help.py", "MARK = 'new'\n")
        code = thing("acme_help.MARK", head="import acme_help", body="def __init__(self): raise ValueError")
        user(hot, requires=["acme-help"], code=code)
        assert host.reload("acme-help").failed == ("things/user",)
        assert sys.modules["acme_help"] is before
        assert hot.do(host, "user") == "old"
        user(hot, requires=["acme-help"], code=thing("acme_help.MARK", head="import acme_help"))
        assert host.reload("acme-help").changed == ("things/user",)
        assert hot.do(host, "user") == "new"


def test_who_is_in_a_circle_follows_as_one(hot):
    """
    Distributions that require each other are used, and renewed, together.
    """
    base(hot, "old", requires=["acme-user"])
    user(hot)
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("user", "base")] == ["old", "old"]
        base(hot, "new", requires=["acme-user"])
        assert set(host.refresh().changed) == {"things/base", "things/user"}
        assert [hot.do(host, key) for key in ("user", "base")] == ["new", "new"]
        assert set(host.reload("acme-user").changed) == {"things/base", "things/user"}


def test_circles_are_begun_by_two_threads_at_once(hot):
    """
    Two threads that begin a circle at its two ends both get what they asked for.
    """
    base(hot, "old", requires=["acme-user"])
    user(hot)
    with hot.host() as host:
        assert asked_at_once(hot, host, "user", "base") == ["old", "old"]


# -- what is not required


def test_what_is_seen_to_be_imported_counts(hot):
    """
    Who imports another plugin's distribution without requiring it follows it, too.
    """
    base(hot, "old")
    user(hot, requires=())
    with hot.host() as host:
        assert hot.do(host, "user") == "old"
        base(hot, "new")
        host.reload("acme-base")
        assert hot.do(host, "user") == "new"


def test_an_edit_of_what_is_seen_to_be_imported_is_followed(hot):
    """
    Who imports another plugin's module in the middle of a call follows its edits from then on.
    """
    hot.plain("acme-base", things={"base": "acme_base:Plain"}, files={"acme_base.py": marked("old")})
    user(hot, requires=(), code=thing("__import__('acme_base').MARK"))
    with hot.host() as host:
        before = host.registry("things")["user"]
        hot.edit("acme-base", "acme_base.py", marked("new"))
        host.follow_hints([("code", "acme-base")])
        assert hot.status(host, "things/user").generation == 1
        assert before.do() == "new"
        hot.edit("acme-base", "acme_base.py", marked("newer"))
        host.follow_hints([("code", "acme-base")])
        assert hot.status(host, "things/user").generation == 2
        assert hot.do(host, "user") == "newer"
        assert before.do() == "new"


def test_what_nobody_imports_is_not_begun(hot):
    """
    A plugin's distribution that nobody imports from is not begun because others import.
    """
    base(hot, "old")
    user(hot, requires=(), code=thing("json.dumps(1)", head="import json, acme_contract"))
    with hot.host() as host:
        assert hot.do(host, "user") == "1"
        assert not host.codes.is_loaded("acme-base")
        assert host.codes.present("acme-base").generation is None


def test_an_old_user_that_required_nothing_goes_on_with_the_old_code(hot):
    """
    Who was seen to import another one goes on importing from its old generation as long as it is in use.
    """
    base(hot, "old")
    user(hot, requires=())
    with hot.host() as host:
        old = host.registry("things")["user"]
        base(hot, "new")
        host.reload("acme-base")
        assert host.registry("things")["user"].late() == "new"
        assert old.late() == "old"


def test_who_imports_each_other_is_begun_by_two_threads_at_once(hot):
    """
    Distributions that import each other without saying so are used from two ends at once, and renewed as one.
    """
    code = thing("acme_user.acme_base.late.MARK", head="from acme_base import late\nimport acme_user")
    files = {"acme_base/__init__.py": code, "acme_base/late.py": "MARK = 'old'\n"}
    hot.install("acme-base", things={"base": "acme_base:Plain"}, files=files)
    user(hot, requires=(), code=thing("acme_base.late.MARK", head="import acme_base"))
    with hot.host() as host:
        assert asked_at_once(hot, host, "user", "base") == ["old", "old"]
        files = {"acme_base/__init__.py": code, "acme_base/late.py": "MARK = 'new'\n"}
        hot.install("acme-base", "2.0", things={"base": "acme_base:Plain"}, files=files)
        assert set(host.refresh().changed) == {"things/base", "things/user"}
        assert [hot.do(host, key) for key in ("user", "base")] == ["new", "new"]


def test_what_the_application_imported_is_the_applications(hot, monkeypatch):
    """
    A module of the application that is called as a plugin's is what plugins get that import that name.
    """
    mine = types.ModuleType("acme_base")
    mine.MARK, mine.__file__ = "mine", "/elsewhere/acme_base.py"
    monkeypatch.setitem(sys.modules, "acme_base", mine)
    base(hot, "old")
    user(hot, requires=())
    with hot.host() as host:
        assert hot.do(host, "user") == "mine"
        assert host.codes.followers(["acme-base"]) == ("acme-base",)


def test_what_the_application_imported_meanwhile_is_the_applications(hot, monkeypatch):
    """
    The same holds where the application has such a module while the plugin's distribution is in use.
    """
    files = {"acme_base.py": marked("old"), "acme_extra.py": "MARK = 'theirs'\n"}
    hot.plain("acme-base", things={"base": "acme_base:Plain"}, files=files)
    user(hot, requires=(), code=thing("acme_extra.MARK", head="import acme_extra"))
    with hot.host() as host:
        assert hot.do(host, "base") == "old"
        mine = types.ModuleType("acme_extra")
        mine.MARK, mine.__file__ = "mine", "/elsewhere/acme_extra.py"
        monkeypatch.setitem(sys.modules, "acme_extra", mine)
        assert hot.do(host, "user") == "mine"


def test_who_is_begun_may_import_who_imports_it(hot):
    """
    What comes again while its old generation is in use may import a newcomer that imports it.
    """
    hot.one("base", thing("1"))
    user(hot, requires=(), code=thing("acme_base.MARK", head="import acme_base"))
    with hot.host() as host, host.registry("things").lease("base") as old:
        hot.site.uninstall("acme-base")
        host.refresh()
        hot.one("base", thing("MARK", head="MARK = 2\nimport acme_user"), "2.0")
        host.refresh()
        assert [old.do(), hot.do(host, "base"), hot.do(host, "user")] == [1, 2, 2]


def test_who_hides_that_the_other_one_fails_is_not_renewed(hot):
    """
    Of distributions that import each other none is renewed where one fails, though the other one hides that.
    """
    head = "try: import acme_user\nexcept Exception: pass"
    files = {"acme_base.py": thing("MARK", head=f"MARK = 'old'\n{head}")}
    hot.install("acme-base", things={"base": "acme_base:Plain"}, files=files)
    user(hot, requires=(), code=strict("new"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]
        files = {"acme_base.py": thing("MARK", head=f"MARK = 'new'\n{head}")}
        hot.install("acme-base", "2.0", things={"base": "acme_base:Plain"}, files=files)
        assert set(host.refresh().failed) == {"things/base", "things/user"}
        assert "too new" in hot.status(host, "things/base").error
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]


def test_a_module_that_two_claim_is_imported_as_ever(hot):
    """
    Of a module that lies in two plugins' distributions it is not guessed which one is meant.
    """
    for name in ("a", "b"):
        files = {f"acme_{name}.py": thing(), "acme_both.py": f"MARK = {name!r}\n"}
        hot.plain(f"acme-{name}", things={name: f"acme_{name}:Plain"}, files=files)
    user(hot, requires=(), code=thing("acme_both.MARK", head="import acme_both"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("a", "b")] == ["one", "one"]
        assert hot.do(host, "user") in ("a", "b")
        assert "acme-user" not in host.codes.followers(["acme-a"])
        assert "acme-user" not in host.codes.followers(["acme-b"])


def test_what_is_just_being_installed_is_not_there_yet(hot, monkeypatch):
    """
    Who can do without another plugin's distribution does so while that is being installed.
    """
    monkeypatch.setattr(_code, "MOMENT", 0.05)
    base(hot, "old")
    head = "try: import acme_base\nexcept ImportError as error: acme_base = error"
    user(hot, requires=(), code=thing("acme_base", head=head))
    with hot.host() as host:
        (hot.site.folder / "acme_base" / "late.py").unlink()
        assert "right now" in str(hot.do(host, "user"))
        assert "acme_base" not in sys.modules


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_what_was_imported_keeps_no_closed_host(hot, is_reloaded):
    """
    Modules that outlive their host do not keep it alive, and import others as ever.
    """
    base(hot, "old")
    user(hot, requires=(), code=thing(body="def late(self): return __import__('acme_base').MARK"))
    host = hot.host()
    with host:
        alive = host.registry("things")["user"]
        if is_reloaded:
            host.reload("acme-user")
            alive = host.registry("things")["user"]
    gone = weakref.ref(host)
    del host
    gc.collect()
    assert gone() is None
    sys.path.insert(0, str(hot.site.folder))
    try:
        assert alive.late() == "old"
    finally:
        sys.path.remove(str(hot.site.folder))


@pytest.mark.parametrize("requires", [["acme-base"], []])
def test_who_failed_because_of_another_works_when_that_is_mended(hot, requires):
    """
    A plugin that could not be imported because of another one's code is tried again when that is edited.
    """
    hot.plain("acme-base", things={"base": "acme_base:Plain"}, files={"acme_base.py": "1 / 0\n"})
    user(hot, requires=requires)
    with hot.host() as host:
        with pytest.raises(PluginError):
            hot.do(host, "user")
        hot.edit("acme-base", "acme_base.py", marked("mended"))
        host.follow_hints([("code", "acme-base")])
        if requires:
            assert hot.status(host, "things/user").state == "loaded"
        assert hot.do(host, "user") == "mended"


# -- what is refused together ----------------------------------------------------------------------


def strict(bad):
    """Code of a follower that does not work with a certain ``acme_base``."""
    check = f"if acme_base.MARK == {bad!r}: raise ValueError('too new')"
    return thing("acme_base.MARK", head=f"import acme_base\n{check}")


def hint(hot, host):
    """What the watcher says when something in the site folder has changed."""
    host.follow_hints([("site", str(hot.site.folder))])


def clean(host):
    """Whether nothing is said against anybody."""
    return all((s.state, s.reason, s.error) == ("loaded", "", "") for s in host.plugins)


def test_what_a_follower_kept_back_comes_when_that_is_upgraded(hot):
    """
    An upgrade that was refused since a follower broke on it comes with the upgrade that mends the follower.
    """
    base(hot, "old")
    user(hot, code=strict("new"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]
        base(hot, "new", "2.0")
        hint(hot, host)
        assert hot.status(host, "things/base").reason == "2.0 refused"
        user(hot, version="1.1")
        hint(hot, host)
        assert [hot.do(host, key) for key in ("base", "user")] == ["new", "new"]
        assert hot.status(host, "things/base").record.version == "2.0"
        assert clean(host)


def test_what_a_follower_kept_back_comes_when_that_is_edited(hot):
    """
    An upgrade that was refused since a follower broke on it comes with the edit that mends the follower.
    """
    base(hot, "old")
    hot.plain(
        "acme-user",
        things={"user": "acme_user:Plain"},
        files={"acme_user.py": strict("new")},
        requires=["acme-base"],
    )
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]
        base(hot, "new", "2.0")
        hint(hot, host)
        assert hot.status(host, "things/base").reason == "2.0 refused"
        hot.edit("acme-user", "acme_user.py", strict("newer"))
        host.follow_hints([("code", "acme-user")])
        assert [hot.do(host, key) for key in ("base", "user")] == ["new", "new"]
        assert clean(host)


def test_an_edit_that_a_follower_kept_back_comes_when_that_is_upgraded(hot):
    """
    An edit that was refused since a follower broke on it is followed when the follower is upgraded.
    """
    hot.plain("acme-base", things={"base": "acme_base:Plain"}, files={"acme_base.py": marked("old")})
    user(hot, code=strict("new"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]
        hot.edit("acme-base", "acme_base.py", marked("new"))
        host.follow_hints([("code", "acme-base")])
        assert hot.status(host, "things/base").reason == "1.0 refused"
        user(hot, version="1.1")
        hint(hot, host)
        assert [hot.do(host, key) for key in ("base", "user")] == ["new", "new"]
        assert clean(host)


def marked(mark):
    return thing("MARK", head=f"MARK = {mark!r}")


@pytest.mark.parametrize("how", ["installed", "edited"])
def test_what_is_taken_back_is_held_against_nobody(hot, how):
    """
    When what a follower broke on is as it was, nothing is said against either of the two any more.
    """
    files = {"acme_base.py": marked("old")}
    if how == "installed":
        hot.install("acme-base", things={"base": "acme_base:Plain"}, files=files)
    else:
        hot.plain("acme-base", things={"base": "acme_base:Plain"}, files=files)
    user(hot, code=strict("new"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]
        for mark, version in (("new", "2.0"), ("old", "1.0")):
            files = {"acme_base.py": marked(mark)}
            if how == "installed":
                hot.install("acme-base", version, things={"base": "acme_base:Plain"}, files=files)
                hint(hot, host)
            else:
                hot.edit("acme-base", "acme_base.py", marked(mark))
                host.follow_hints([("code", "acme-base")])
            assert clean(host) == (mark == "old")
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]


def test_what_was_refused_is_not_tried_again_for_somebody_elses_sake(hot):
    """
    A refused group is not tried again because something that has nothing to do with it is installed.
    """
    base(hot, "old")
    user(hot, code=strict("new"))
    with hot.host() as host:
        assert [hot.do(host, key) for key in ("base", "user")] == ["old", "old"]
        base(hot, "new", "2.0")
        hint(hot, host)
        hot.log.clear()
        hot.one("b", thing())
        hint(hot, host)
        assert "b" in host.registry("things")
        assert hot.log == []
        assert hot.status(host, "things/user").reason == "1.0 refused"


# -- helpers ---------------------------------------------------------------------------------------


def helper(hot, mark):
    hot.plain("acme-help", files={"acme_help.py": f"import atexit\nMARK = {mark!r}\n"}, top="acme_help")


def helped(hot, requires=("acme-help",)):
    hot.one("a", thing("acme_help.MARK", head="import acme_help"), requires=requires)


def test_a_helper_without_plugins_is_followed(hot):
    """
    A distribution that lies beside its code and has no plugins is renewed with those who require it.
    """
    helper(hot, "old")
    helped(hot)
    with hot.host() as host:
        assert hot.do(host, "a") == "old"
        helper(hot, "new")
        assert host.reload("acme-help").changed == ("things/a",)
        assert hot.do(host, "a") == "new"


def test_a_helper_that_is_seen_to_be_imported_is_followed(hot):
    """
    Who imports a helper that another plugin requires is renewed with it, too, whoever was first.
    """
    helper(hot, "old")
    helped(hot)
    hot.one("b", thing("acme_help.MARK", head="import acme_help"))
    with hot.host() as host:
        assert hot.do(host, "b") == "old"
        helper(hot, "new")
        assert host.reload("acme-help").changed == ("things/a", "things/b")
        assert [hot.do(host, key) for key in ("a", "b")] == ["new", "new"]


def test_an_edited_helper_is_followed_by_itself(hot):
    """
    While a host watches, an edit of a helper reaches those who require it.
    """
    helper(hot, "old")
    helped(hot)
    with hot.host() as host, watching(host):
        assert hot.do(host, "a") == "old"
        hot.edit("acme-help", "acme_help.py", "MARK = 'new'\n")
        until(lambda: hot.do(host, "a") == "new")


@pytest.mark.parametrize("mended", ["the follower", "the helper"])
def test_what_a_follower_kept_back_of_a_helper(hot, mended):
    """
    An edit of a helper that was refused since a follower broke on it comes with the edit that mends the
    follower; when it is taken back, nothing is said against anybody any more.
    """

    def works_with(word):
        return thing(f"acme_help.{word}", head=f"import acme_help\nacme_help.{word}")

    hot.plain("acme-help", files={"acme_help.py": "MARK = 1\n"}, top="acme_help")
    files = {"acme_a.py": works_with("MARK")}
    hot.plain("acme-a", things={"a": "acme_a:Plain"}, files=files, requires=["acme-help"])
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        hot.edit("acme-help", "acme_help.py", "WORD = 2\n")
        host.follow_hints([("code", "acme-help")])
        assert (hot.do(host, "a"), hot.status(host, "things/a").reason) == (1, "1.0 refused")
        if mended == "the follower":
            hot.edit("acme-a", "acme_a.py", works_with("WORD"))
            host.follow_hints([("code", "acme-a")])
        else:
            hot.edit("acme-help", "acme_help.py", "MARK = 1\n")
            host.follow_hints([("code", "acme-help")])
        assert hot.do(host, "a") == (2 if mended == "the follower" else 1)
        assert clean(host)


def test_an_old_helper_is_really_gone(hot):
    """
    The old generations of a helper are let go of, as its users' are.
    """
    helper(hot, 0)
    helped(hot)
    with hot.host() as host:
        assert hot.do(host, "a") == 0
        old = [weakref.ref(sys.modules["acme_help"])]
        for mark in range(1, 4):
            helper(hot, mark)
            host.reload("acme-help")
            old.append(weakref.ref(sys.modules["acme_help"]))
        gc.collect()
        assert [module() is None for module in old] == [True, True, True, False]


def test_an_old_helper_takes_back_what_it_registered(hot):
    """
    What the old generation of a helper did at its import is undone when its users have gone over.
    """
    import logging

    name = "acme.helped"
    code = (
        "import logging\nclass H(logging.Handler): ...\n"
        "logging.getLogger('acme.helped').addHandler(H())\nMARK = {}\n"
    )
    hot.plain("acme-help", files={"acme_help.py": code.format(1)}, top="acme_help")
    helped(hot)
    try:
        with hot.host() as host:
            assert hot.do(host, "a") == 1
            hot.plain("acme-help", files={"acme_help.py": code.format(2)}, top="acme_help")
            host.reload("acme-help")
            assert hot.do(host, "a") == 2
            assert len(logging.getLogger(name).handlers) == 1
    finally:
        logging.getLogger(name).handlers.clear()


def test_an_old_helper_of_nobody_is_over_at_once(hot):
    """
    Where all who used a helper are gone, and who else requires it is disabled, old code ends with a reload.
    """
    head = "import logging\nlogging.getLogger('acme').addHandler(logging.NullHandler())\n"
    hot.plain("acme-help", files={"acme_help.py": f"{head}MARK = 'old'\n"})
    for name in ("user", "idle"):
        user(hot, name, requires=["acme-help"], code=thing("acme_help.MARK", head="import acme_help"))
    with hot.host("[plugins]\ndisable = ['things/idle']") as host:
        assert hot.do(host, "user") == "old"
        hot.site.uninstall("acme-user")
        host.refresh()
        assert len(logging.getLogger("acme").handlers) == 1
        hot.edit("acme-help", "acme_help.py", "MARK = 'new'\n")
        host.reload("acme-help")
        assert logging.getLogger("acme").handlers == []


def test_a_helper_that_is_required_by_a_helper(hot):
    """
    What is below a helper is followed as well, through any number of distributions.
    """
    hot.plain("acme-deep", files={"acme_deep.py": "MARK = 1\n"}, top="acme_deep")
    hot.plain(
        "acme-help",
        files={"acme_help.py": "from acme_deep import MARK\n"},
        top="acme_help",
        requires=["acme-deep ; python_version > '3'", "acme-extra ; extra == 'more'", "?? nonsense"],
    )
    helped(hot)
    with hot.host() as host:
        assert hot.do(host, "a") == 1
        hot.edit("acme-deep", "acme_deep.py", "MARK = 2\n")
        assert host.reload("acme-deep").changed == ("things/a",)
        assert hot.do(host, "a") == 2


def test_hotplug_is_nobodys_helper(hot):
    """
    The framework itself is never renewed, however it is installed: plugins would be of another contract.
    """
    hot.one("a", thing(), requires=["hotplug"])
    world = hot.plain("hotplug", files={"hotplug_stand_in.py": ""}, top="hotplug")
    world.install("hotplug", "99.0", record=False, files={"hotplug_stand_in.py": ""})
    with hot.host() as host:
        assert hot.do(host, "a") == "one"
        assert host.codes.present("hotplug") is None
        assert [record.distribution for record in host.codes.relations.needs("acme-a")] == []


# -- the book of relations -------------------------------------------------------------------------


def record(distribution, path=""):
    return PluginRecord("things", "acme.things", "x", "x:X", distribution, "1.0", path, editable=False)


def test_relations_are_forgotten_when_the_environment_is_seen_anew(hot):
    """
    What a distribution requires is asked of what lies there now, whenever somebody looked.
    """
    base(hot, 1)
    user(hot)
    relations = Relations()
    found = hotplug.discover(hot.path, kinds=[hot.acme.things], fresh=True).records
    relations.know(found, hot.path)
    assert [each.distribution for each in relations.needs("ACME_user")] == ["acme-base"]
    assert relations.needs("acme-base") == ()
    user(hot, requires=())
    assert [each.distribution for each in relations.needs("acme-user")] == ["acme-base"]
    relations.know(found, hot.path)
    assert relations.needs("acme-user") == ()


def test_nothing_is_needed_by_who_is_unknown():
    """
    Of a distribution that is not there nobody can say what it needs; it is its own follower all the same.
    """
    relations = Relations()
    assert relations.needs("ghost") == ()
    assert relations.followers(["Ghost_"], {}) == ("ghost-",)
    relations.know([record("acme-a", "/nowhere/acme_a-1.0.dist-info")], [])
    assert relations.followers(["ghost"], {"acme-a": ["GHOST"]}) == ("ghost", "acme-a")


def test_followers_come_after_what_they_need(hot):
    """
    Whoever is concerned comes after all that it needs; those of a circle come by name.
    """
    for name, requires in {
        "a": ["acme-c"],
        "b": ["acme-a"],
        "c": [],
        "d": ["acme-e"],
        "e": ["acme-d"],
    }.items():
        hot.one(name, thing(), requires=requires)
    relations = Relations()
    relations.know(hotplug.discover(hot.path, kinds=[hot.acme.things], fresh=True).records, hot.path)
    assert relations.followers(["acme-c"], {}) == ("acme-c", "acme-a", "acme-b")
    assert relations.followers(["acme-e"], {}) == ("acme-d", "acme-e")
    assert relations.followers(["acme-e"], {"acme-c": ["acme-e"]}) == (
        "acme-d",
        "acme-e",
        "acme-c",
        "acme-a",
        "acme-b",
    )


@pytest.mark.parametrize("name", ["hotplug", "acme-other"])
def test_hotplug_itself_is_never_renewed(hot, name):
    """
    What is required and lies where it is edited is followed, but not what hosts and plugins have in common.
    """
    hot.plain(name, files={"acme_other.py": ""})
    user(hot, requires=[name], code=thing("1"))
    with hot.host(path=None) as host:
        assert hot.do(host, "user") == 1
        needed = {record.distribution for record in host.codes.relations.needs("acme-user")}
    assert needed == {name} - {"hotplug"}
