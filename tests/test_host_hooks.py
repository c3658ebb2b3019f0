"""Hooks that come with the environment: they are of the same generation as their distribution's plugins."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

import hotplug
from hot import hots, thing
from hotplug._host import _installs
from hotplug.errors import PluginError

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")

HOOKS = """
from acme_contract import *
from hotplug.hookspecs import hookimpl
{head}
class Hooks:
    def __init__(self): {made}
    @hookimpl
    def hotplug_changed(self, {arguments}): log.append(({mark!r}, {more}))
"""


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def hooks_code(mark, *, head="", made="...", arguments="changes", more="changes.changed"):
    """Hooks that say their *mark*, and of what they were told."""
    return HOOKS.format(mark=mark, head=head, made=made, arguments=arguments, more=more)


def files(mark, plugin="", **hooks):
    """A package with hooks and a plugin that share a module."""
    return {
        "acme_p/__init__.py": "",
        "acme_p/mark.py": f"MARK = {mark!r}\n",
        "acme_p/hooks.py": hooks_code(mark, **hooks),
        "acme_p/main.py": plugin or thing("mark.MARK", head="from acme_p import mark"),
    }


BOTH = {"hotplug.hooks": {"h": "acme_p.hooks:Hooks"}, "things": {"p": "acme_p.main:Plain"}}
ONLY = {"hotplug.hooks": {"h": "acme_p.hooks:Hooks"}}


def asked(hot, host):
    """Who is asked when something happens."""
    hot.log.clear()
    host.happened(hotplug.Changes(changed=("x",)))
    return [mark for mark, what in hot.log if what == ("x",)]


def follow(hot, host, how):
    """Have *host* follow what was just installed or edited."""
    if how == "reload":
        return host.reload("acme-p")
    if how == "refresh":
        return host.refresh()
    sort, name = ("code", "acme-p") if hot.plain_ones else ("site", str(hot.site.folder))
    host.follow_hints([(sort, name)])
    return None


@pytest.mark.parametrize("groups", [BOTH, ONLY], ids=["with plugins", "alone"])
@pytest.mark.parametrize("how", ["refresh", "watch", "reload", "again", "watch an edit"])
def test_hooks_are_of_the_newest_generation(hot, groups, how):
    """
    Hooks of a distribution that is upgraded, installed again, reloaded or edited are those of its new code,
    together with its plugins.
    """
    put = hot.plain if how == "watch an edit" else hot.install
    version = {"reload": "1.0", "again": "1.0", "watch an edit": "1.0"}.get(how, "2.0")
    put("acme-p", files=files("old"), **groups)
    with hot.host() as host:
        assert asked(hot, host) == ["old"]
        if groups is BOTH:
            assert hot.do(host, "p") == "old"
        if how == "watch an edit":
            for file, text in files("new").items():
                hot.edit("acme-p", file, text)
        else:
            put("acme-p", version=version, files=files("new"), **groups)
        follow(hot, host, "refresh" if how == "again" else how)
        assert asked(hot, host) == ["new"]
        status = hot.status(host, "hooks/h")
        assert (status.state, status.reason, status.generation) == ("loaded", "", 2)
        assert status.record.version == version
        if groups is BOTH:
            assert hot.do(host, "p") == "new"
            assert hot.status(host, "things/p").generation == 2


def test_a_reload_says_that_hooks_changed(hot):
    """
    The answer of a reload names the hooks of the distribution as well as its plugins.
    """
    hot.install("acme-p", files=files("old"), **BOTH)
    with hot.host() as host:
        assert host.reload("acme-p").changed == ("hooks/h", "things/p")


BAD = {
    "import": {"head": "import nothing_there"},
    "constructor": {"made": "raise ValueError('no')"},
    "signature": {"arguments": "changes, nonsense"},
    "plugin": {"plugin": "raise ValueError('no')"},
}


@pytest.mark.parametrize("how", ["refresh", "watch", "reload"])
@pytest.mark.parametrize("bad", BAD)
def test_hooks_that_do_not_fit_keep_their_distribution_back(hot, bad, how):
    """
    Where hooks or plugins of the next generation do not work, those of the old one are asked and serve, and
    both say why; what works comes later.
    """
    hot.install("acme-p", files=files("old"), **BOTH)
    with hot.host() as host:
        assert hot.do(host, "p") == "old"
        modules = hot.modules()
        hot.install("acme-p", "2.0", files=files("new", **BAD[bad]), **BOTH)
        changes = follow(hot, host, how)
        assert changes is None or changes.failed == ("hooks/h", "things/p")
        assert asked(hot, host) == ["old"]
        assert hot.do(host, "p") == "old"
        assert hot.modules() == modules
        for name in ("hooks/h", "things/p"):
            status = hot.status(host, name)
            assert (status.state, status.reason) == ("loaded", "2.0 refused")
            assert status.error
            assert status.remedy
        hot.install("acme-p", "3.0", files=files("newer"), **BOTH)
        follow(hot, host, how)
        assert asked(hot, host) == ["newer"]
        assert hot.do(host, "p") == "newer"
        assert {(status.reason, status.error) for status in host.plugins} == {("", "")}


def test_refused_hooks_are_tried_once(hot):
    """
    Hooks that were refused are not tried again for somebody else's sake, and forgotten when the old version
    is back.
    """
    hot.install("acme-p", files=files("old"), **ONLY)
    with hot.host() as host:
        hot.install("acme-p", "2.0", files=files("new", head="log.append('tried')\n1 / 0"), **ONLY)
        follow(hot, host, "watch")
        assert hot.log.count("tried") == 1
        hot.one("a", thing())
        follow(hot, host, "watch")
        assert hot.log.count("tried") == 1
        assert hot.status(host, "hooks/h").reason == "2.0 refused"
        host.refresh()
        assert hot.log.count("tried") == 2
        hot.install("acme-p", "1.0", files=files("old"), **ONLY)
        follow(hot, host, "watch")
        status = hot.status(host, "hooks/h")
        assert (status.state, status.reason, status.remedy, status.error) == ("loaded", "", "", "")
        assert asked(hot, host) == ["old"]
        hot.install("acme-p", "3.0", files=files("new", head="1 / 0"), **ONLY)
        follow(hot, host, "watch")
        assert hot.status(host, "hooks/h").reason == "3.0 refused"
        hot.site.uninstall("acme-p")
        follow(hot, host, "watch")
        assert asked(hot, host) == ["old"]
        host.refresh()
        assert [status.name for status in host.plugins] == ["things/a"]
        assert asked(hot, host) == []


def test_hooks_that_wait_may_be_switched_off(hot):
    """
    Hooks whose next version was refused are not asked any more as soon as the configuration says so.
    """
    hot.install("acme-p", files=files("old"), **BOTH)
    with hot.host() as host:
        assert hot.do(host, "p") == "old"
        hot.install("acme-p", "2.0", files=files("new", head="1 / 0"), **BOTH)
        host.refresh()
        assert asked(hot, host) == ["old"]
        host.apply(hotplug.Config.parse('[plugins]\ndisable = ["hooks/h"]'))
        assert asked(hot, host) == []
        host.refresh()
        assert hot.status(host, "hooks/h").state == "disabled"
        assert hot.do(host, "p") == "new"


def test_hooks_of_which_nothing_works_are_tried_again_when_they_are_edited(hot):
    """
    Hooks of a module that could not be imported at all are loaded as soon as it is edited.
    """
    groups = {"hotplug.hooks": {"h": "acme_p:Hooks", "g": "acme_p:Others", "off": "acme_p:Hooks"}}
    hot.plain("acme-p", files={"acme_p.py": "1 / 0"}, **groups)
    with hot.host('[plugins]\ndisable = ["hooks/off"]') as host:
        assert [status.state for status in host.plugins] == ["failed", "failed", "disabled"]
        hot.edit("acme-p", "acme_p.py", hooks_code("one"))
        follow(hot, host, "watch")
        assert [status.state for status in host.plugins] == ["disabled", "failed", "loaded"]
        assert asked(hot, host) == ["one"]


def test_a_wrong_edit_of_hooks_is_forgotten_when_it_is_taken_back(hot):
    """
    An edit of hooks that does not work leaves the old ones, which say why until it is taken back.
    """
    hot.plain("acme-p", files=files("old"), **ONLY)
    with hot.host() as host:
        hot.edit("acme-p", "acme_p/hooks.py", "1 / 0")
        follow(hot, host, "watch")
        assert asked(hot, host) == ["old"]
        for _ in range(2):
            assert "ZeroDivisionError" in hot.status(host, "hooks/h").error
            host.follow_hints([("site", str(hot.site.folder))])
        hot.edit("acme-p", "acme_p/hooks.py", hooks_code("old"))
        follow(hot, host, "watch")
        status = hot.status(host, "hooks/h")
        assert (status.state, status.reason, status.error, status.generation) == ("loaded", "", "", 1)


def test_hooks_that_failed_are_tried_again_when_they_are_edited(hot):
    """
    Hooks that could not be loaded are, as soon as their code is another; until then they keep nobody back.
    """
    hot.plain("acme-p", files=files("old", head="import nothing_there"), **BOTH)
    with hot.host() as host:
        assert hot.status(host, "hooks/h").state == "failed"
        hot.edit("acme-p", "acme_p/hooks.py", hooks_code("old", head="import nowhere_either"))
        follow(hot, host, "watch")
        assert "nowhere_either" in hot.status(host, "hooks/h").error
        assert hot.do(host, "p") == "old"
        hot.edit("acme-p", "acme_p/mark.py", "MARK = 'new'\n")
        follow(hot, host, "watch")
        assert hot.do(host, "p") == "new"
        assert hot.status(host, "hooks/h").state == "failed"
        hot.edit("acme-p", "acme_p/hooks.py", hooks_code("new"))
        follow(hot, host, "watch")
        assert hot.status(host, "hooks/h").state == "loaded"
        assert asked(hot, host) == ["new"]


def test_hooks_come_and_go_with_an_upgrade(hot):
    """
    An upgrade may bring the first hooks of a distribution that is in use, and take them away.
    """
    hot.install("acme-p", files=files("old"), things=BOTH["things"])
    with hot.host() as host:
        assert hot.do(host, "p") == "old"
        hot.install("acme-p", "2.0", files=files("new"), **BOTH)
        assert set(host.refresh().changed) == {"hooks/h", "things/p"}
        assert asked(hot, host) == ["new"]
        hot.install("acme-p", "3.0", files=files("newer"), things=BOTH["things"])
        changes = host.refresh()
        assert (changes.changed, changes.removed) == (("things/p",), ("hooks/h",))
        assert asked(hot, host) == []
        assert hot.do(host, "p") == "newer"


@pytest.mark.parametrize("groups", [BOTH, ONLY], ids=["with plugins", "alone"])
def test_hooks_that_are_uninstalled_are_really_gone(hot, groups):
    """
    When a distribution is uninstalled, its hooks are not asked any more, and its modules are gone.
    """
    hot.install("acme-p", files=files("old"), **groups)
    with hot.host() as host:
        if groups is BOTH:
            assert hot.do(host, "p") == "old"
        old = weakref.ref(sys.modules["acme_p.hooks"])
        hot.site.uninstall("acme-p")
        host.refresh()
        assert host.plugins == ()
        assert asked(hot, host) == []
        assert hot.modules() == {}
        gc.collect()
        assert old() is None
        hot.install("acme-p", "2.0", files=files("new"), **groups)
        host.refresh()
        assert asked(hot, host) == ["new"]


def test_plugins_go_and_hooks_stay(hot):
    """
    An upgrade may leave a distribution with nothing but hooks, which go on being followed.
    """
    hot.install("acme-p", files=files("old"), **BOTH)
    with hot.host() as host:
        assert hot.do(host, "p") == "old"
        hot.install("acme-p", "2.0", files=files("new"), **ONLY)
        host.refresh()
        assert [status.name for status in host.plugins] == ["hooks/h"]
        assert asked(hot, host) == ["new"]
        hot.install("acme-p", "3.0", files=files("newer"), **ONLY)
        host.refresh()
        assert asked(hot, host) == ["newer"]
        assert hot.status(host, "hooks/h").generation == 3


@pytest.mark.parametrize("groups", [BOTH, ONLY], ids=["with plugins", "alone"])
def test_old_hooks_are_really_gone(hot, groups):
    """
    The modules of hooks that were replaced are collected, generation by generation.
    """
    hot.plain("acme-p", files=files(0), **groups)
    with hot.host() as host:
        old = [weakref.ref(sys.modules["acme_p.hooks"])]
        for mark in range(1, 4):
            hot.edit("acme-p", "acme_p/hooks.py", hooks_code(mark))
            host.reload("acme-p")
            old.append(weakref.ref(sys.modules["acme_p.hooks"]))
        gc.collect()
        assert [module() is None for module in old] == [True, True, True, False]


def test_half_installed_hooks_are_not_imported(hot):
    """
    Hooks whose installation is not complete are not loaded; when it is, they are.
    """
    with hot.host() as host:
        hot.install("acme-p", files=files("one", head="from acme_p import mark"), **ONLY)
        (hot.site.folder / "acme_p" / "mark.py").unlink()
        assert host.follow_hints([("site", str(hot.site.folder))]) is not None
        assert host.plugins == ()
        assert hot.modules() == {}
        hot.install("acme-p", files=files("one", head="from acme_p import mark"), **ONLY)
        host.refresh()
        assert asked(hot, host) == ["one"]


def test_hooks_that_are_just_being_upgraded_are_not_touched(hot):
    """
    In the middle of an upgrade the old hooks are asked, and nothing is said against anybody.
    """
    hot.install("acme-p", files=files("old"), **ONLY)
    with hot.host() as host:
        hot.install("acme-p", "2.0", files=files("new"), **ONLY)
        (hot.site.folder / "acme_p" / "mark.py").unlink()
        follow(hot, host, "watch")
        status = hot.status(host, "hooks/h")
        assert (status.state, status.reason, status.record.version) == ("loaded", "", "1.0")
        assert asked(hot, host) == ["old"]
        hot.install("acme-p", "2.0", files=files("new"), **ONLY)
        host.refresh()
        assert asked(hot, host) == ["new"]


def test_hooks_that_never_become_complete_are_broken(hot, monkeypatch):
    """
    Hooks whose installation does not become complete in time are broken, and not imported.
    """
    monkeypatch.setattr(_installs, "PATIENCE", 0.0)
    with hot.host() as host:
        hot.install("acme-p", files=files("one"), **ONLY)
        (hot.site.folder / "acme_p" / "mark.py").unlink()
        follow(hot, host, "watch")
        status = hot.status(host, "hooks/h")
        assert (status.state, status.reason) == ("broken", "broken install")
        assert hot.modules() == {}


def test_hooks_do_not_follow_what_is_shared(hot):
    """
    Hooks that require what is shared with everybody ask for a restart when that is another one.
    """
    hot.site.install("acme-solid", "1.0", files={"acme_solid.py": ""})
    code = hooks_code("old", head="import acme_solid")
    hot.install("acme-p", files={"acme_p/hooks.py": code}, requires=["acme-solid"], **ONLY)
    with hot.host() as host:
        hot.site.install("acme-solid", "2.0", files={"acme_solid.py": ""})
        assert host.reload("acme-p").failed == ("hooks/h",)
        status = hot.status(host, "hooks/h")
        assert (status.state, status.reason) == ("loaded", "restart required")
        assert asked(hot, host) == ["old"]


def test_one_of_two_hooks_may_go(hot):
    """
    When one of two hooks of a distribution is switched off, the other is asked, of the code that it was.
    """
    text = f"{hooks_code('one')}\nclass Others(Hooks): ..."
    groups = {"hotplug.hooks": {"h": "acme_p.hooks:Hooks", "g": "acme_p.hooks:Others"}}
    hot.install("acme-p", files={"acme_p/hooks.py": text}, **groups)
    with hot.host() as host:
        assert asked(hot, host) == ["one", "one"]
        modules = hot.modules()
        host.apply(hotplug.Config.parse('[plugins]\ndisable = ["hooks/g"]'))
        assert asked(hot, host) == ["one"]
        assert hot.modules() == modules


def test_a_plugin_that_fails_is_nothing_to_the_hooks_beside_it(hot):
    """
    Where a plugin cannot be imported, the hooks of its distribution keep their modules.
    """
    hot.install("acme-p", files=files("old", plugin="1 / 0"), **BOTH)
    with hot.host() as host:
        modules = hot.modules()
        with pytest.raises(PluginError):
            hot.do(host, "p")
        assert hot.modules() == modules


def test_hooks_may_be_switched_off_and_on(hot):
    """
    A configuration may switch hooks off and on again, beside plugins of theirs that serve on.
    """
    hot.install("acme-p", files=files("old"), **BOTH)
    with hot.host() as host:
        before = host.registry("things")["p"]
        host.apply(hotplug.Config.parse('[plugins]\ndisable = ["hooks/h"]'))
        assert hot.status(host, "hooks/h").state == "disabled"
        assert asked(hot, host) == []
        host.apply(hotplug.Config())
        assert asked(hot, host) == ["old"]
        assert host.registry("things")["p"] is before


KINDS = """
from hotplug import Kind
from hotplug.hookspecs import hookimpl
from acme_contract import *
class Toy(Thing): ...
class Hooks:
    @hookimpl
    def hotplug_kinds(self): return [{kinds}]
"""


def test_a_kind_of_another_contract_asks_for_a_restart(hot):
    """
    Hooks whose next generation would give a kind that there is another contract are not followed.
    """
    code = KINDS.format(kinds='Kind("toys", Toy, group="acme.toys")')
    hot.install("acme-p", files={**files("old"), "acme_p/hooks.py": code}, **BOTH)
    with hot.host() as host:
        assert hot.do(host, "p") == "old"
        hot.install("acme-p", "2.0", files={**files("new"), "acme_p/hooks.py": code}, **BOTH)
        assert host.refresh().failed == ("hooks/h", "things/p")
        for name in ("hooks/h", "things/p"):
            assert hot.status(host, name).reason == "restart required"
            assert "two kinds are called 'toys'" in hot.status(host, name).error
        assert hot.do(host, "p") == "old"


def test_a_kind_that_new_hooks_bring_is_there(hot):
    """
    Hooks whose next generation contributes one kind more bring its registry, and the plugins of that kind.
    """
    one = 'Kind("games", Thing, group="acme.games")'
    more = f'{one}, Kind("toys", Thing, group="acme.toys")'
    code = KINDS.format(kinds=one)
    groups = {**BOTH, "acme.toys": {"t": "acme_p.main:Plain"}}
    hot.install("acme-p", files={**files("old"), "acme_p/hooks.py": code}, **groups)
    with hot.host() as host:
        assert "toys" not in host.registries
        code = KINDS.format(kinds=more)
        hot.install("acme-p", "2.0", files={**files("new"), "acme_p/hooks.py": code}, **groups)
        assert "toys/t" in host.refresh().added
        assert hot.do(host, "t", "toys") == "new"


def test_hooks_that_may_not_come_leave_the_old_ones(hot):
    """
    Hooks whose next version is refused before its import leave the old ones asked, and ask for a restart.
    """
    hot.install("acme-p", files=files("old"), **ONLY)
    with hot.host() as host:
        hot.install("acme-p", "2.0", files=files("new"), requires=["hotplug<0.0.1"], **ONLY)
        host.refresh()
        assert hot.status(host, "hooks/h").reason == "restart required"
        assert asked(hot, host) == ["old"]


def test_hooks_that_hang_are_not_tried_for_somebody_elses_sake(hot):
    """
    Hooks that did not come back in time are left alone until somebody asks for them to be tried again.
    """
    hot.install("acme-p", files=files("old", made="log.append('made'); gate.wait(20)"), **ONLY)
    with hot.host("[host]\nload_timeout = 0.3") as host:
        assert hot.status(host, "hooks/h").state == "timed_out"
        follow(hot, host, "watch")
        assert hot.log == ["made"]
        hot.acme.gate.set()
        host.refresh()
        assert hot.status(host, "hooks/h").state == "loaded"


def test_hooks_follow_what_they_require(hot):
    """
    Hooks are renewed with the plugins' distribution whose code they require.
    """
    hot.install("acme-base", things={"base": "acme_base:Plain"}, files={"acme_base.py": base("old")})
    code = hooks_code("hooks", head="import acme_base", more="changes.changed, acme_base.MARK")
    hot.install("acme-p", files={**files("x"), "acme_p/hooks.py": code}, requires=["acme-base"], **ONLY)
    with hot.host() as host:
        assert hot.do(host, "base") == "old"
        hot.install(
            "acme-base", "2.0", things={"base": "acme_base:Plain"}, files={"acme_base.py": base("new")}
        )
        changes = host.refresh()
        assert set(changes.changed) == {"hooks/h", "things/base"}
        hot.log.clear()
        host.happened(hotplug.Changes(changed=("x",)))
        assert hot.log == [("hooks", ("x",), "new")]


def base(mark):
    return thing("MARK", head=f"MARK = {mark!r}")


def test_plugins_of_hooks_that_failed_can_be_used(hot):
    """
    Where hooks cannot be imported, plugins of their distribution that do not need them can.
    """
    hot.install("acme-p", files=files("old", head="1 / 0"), **BOTH)
    with hot.host() as host:
        assert hot.status(host, "hooks/h").state == "failed"
        assert hot.do(host, "p") == "old"
        hot.install("acme-p", "2.0", files=files("new", plugin="1 / 0"), **BOTH)
        host.refresh()
        assert hot.do(host, "p") == "old"
        hot.install("acme-p", "3.0", files=files("newer"), **BOTH)
        host.refresh()
        assert hot.do(host, "p") == "newer"
        assert asked(hot, host) == ["newer"]
