"""Who is started, and when what could not be started is tried again."""

from __future__ import annotations

import pytest

import hotplug
from hot import hots, thing
from hotplug.errors import PluginError

pytestmark = pytest.mark.usefixtures("nothing_left")

GOOD = "async def start(self): log.append({0!r})\nasync def stop(self): ..."
BAD = "async def start(self):\n    log.append({0!r})\n    raise OSError('no')\nasync def stop(self): ..."


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


def engine(hot, name, body=GOOD, version="1.0", *, head="", requires=()):
    """A distribution with one engine, which says in the log that it was tried."""
    text = f"requires = {tuple(requires)!r}\n{body.format(name)}"
    hot.install(
        f"acme-{name}",
        version,
        engines={name: f"acme_{name}:Plain"},
        files={f"acme_{name}.py": thing(head=head, body=text)},
    )


def hint(hot, host):
    """What the watcher says when something in the site folder has changed."""
    host.follow_hints([("site", str(hot.site.folder))])


def config(*names):
    return "".join(f"[engines.{name}]\n" for name in names)


WAYS = {
    "import": {"head": "log.append('a')\nraise OSError('no')"},
    "constructor": {
        "body": "def __init__(self): log.append('a'); raise OSError('no')\n"
        "async def start(self): ...\nasync def stop(self): ..."
    },
    "start": {"body": BAD},
    "requires": {"requires": ["ghost"], "head": "log.append('a')"},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_failed_is_not_tried_again_for_somebody_elses_sake(hot, way):
    """
    What could not be started is not tried again because something else changed; who refreshes tries it.
    """
    engine(hot, "a", **WAYS[way])
    with hot.host(config("a")) as host:
        assert hot.log == ["a"]
        before = hot.status(host, "engines/a")
        assert before.state == "failed"
        engine(hot, "b")
        hint(hot, host)
        host.follow_hints([("code", "acme-b"), ("configuration", "")])
        assert hot.log == ["a"]
        assert hot.status(host, "engines/a") == before
        assert "b" in host.registry("engines")
        host.refresh()
        assert hot.log == (["a"] if way == "requires" else ["a", "a"])


def test_what_would_start_itself_is_not_imported_over_and_over(hot):
    """
    One that says in its code that it starts itself, and whose import fails, is not imported for each hint.
    """
    engine(hot, "a", head="log.append('a')\nautostart = nothing_such")
    with hot.host() as host:
        assert hot.log == ["a"]
        for _ in range(3):
            hint(hot, host)
        assert hot.log == ["a"]
        host.refresh()
        assert hot.log == ["a", "a"]


def test_what_hung_is_not_tried_again_for_somebody_elses_sake(hot):
    """
    What did not come back within its limit is left alone until somebody asks for it to be tried again.
    """
    body = "def __init__(self): log.append('a'); gate.wait(20)\n"
    engine(hot, "a", body + "async def start(self): ...\nasync def stop(self): ...")
    with hot.host(f"[host]\nload_timeout = 0.3\n{config('a')}") as host:
        assert hot.status(host, "engines/a").state == "timed_out"
        engine(hot, "b")
        hint(hot, host)
        assert hot.status(host, "engines/a").state == "timed_out"
        assert hot.log == ["a"]
        hot.acme.gate.set()
        host.refresh()
        assert hot.status(host, "engines/a").state == "loaded"


@pytest.mark.parametrize("way", WAYS)
def test_what_failed_is_tried_again_when_its_distribution_is_another(hot, way):
    """
    What could not be started is tried as soon as another version of its distribution is installed.
    """
    engine(hot, "a", **WAYS[way])
    with hot.host(config("a")) as host:
        hot.log.clear()
        engine(hot, "a", version="2.0")
        hint(hot, host)
        assert hot.log == ["a"]
        status = hot.status(host, "engines/a")
        assert (status.state, status.error) == ("loaded", "")


@pytest.mark.parametrize("way", ["import", "constructor", "start"])
def test_what_failed_is_tried_again_when_it_is_edited(hot, way):
    """
    What could not be started is tried as soon as its code is edited where it lies.
    """
    facts = {"head": "", "body": GOOD, **WAYS[way]}
    bad = thing(head=facts["head"], body=facts["body"].format("a"))
    hot.plain("acme-a", engines={"a": "acme_a:Plain"}, files={"acme_a.py": bad})
    with hot.host(config("a")) as host:
        assert hot.status(host, "engines/a").state == "failed"
        hot.log.clear()
        hot.edit("acme-a", "acme_a.py", thing(body=GOOD.format("a")))
        host.follow_hints([("code", "acme-a")])
        assert hot.log == ["a"]
        status = hot.status(host, "engines/a")
        assert (status.state, status.error) == ("loaded", "")


def test_what_failed_is_tried_again_when_its_configuration_is_another(hot, tmp_path):
    """
    What could not be started is tried with other settings as soon as the configuration has them.
    """
    body = (
        "def __init__(self, *, port: int = 0): self.port = port\n"
        "async def start(self):\n    log.append(self.port)\n    if not self.port: raise OSError('no port')\n"
        "async def stop(self): ..."
    )
    hot.install("acme-a", engines={"a": "acme_a:Plain"}, files={"acme_a.py": thing(body=body)})
    file = tmp_path / "hotplug.toml"
    file.write_text(config("a"))
    with hot.host(hotplug.Config.load(str(file))) as host:
        assert hot.status(host, "engines/a").state == "failed"
        file.write_text("[engines.a]\nsettings = { port = 1 }\n")
        host.follow_hints([("configuration", str(file))])
        assert hot.log == [0, 1]
        assert hot.status(host, "engines/a").state == "loaded"


def test_what_failed_is_tried_again_when_what_it_requires_comes(hot):
    """
    One that lacked what it requires runs as soon as that is there, and so does who required it.
    """
    engine(hot, "far", requires=["mid"])
    engine(hot, "mid", requires=["base"])
    with hot.host(config("far", "mid")) as host:
        assert hot.log == []
        engine(hot, "base")
        hint(hot, host)
        assert hot.log == ["base", "mid", "far"]
        assert {status.state for status in host.plugins} == {"loaded"}


def test_what_failed_is_tried_again_when_what_it_requires_is_mended(hot):
    """
    Those that could not run because one of them failed all run when that is mended; the others stay as they
    are.
    """
    engine(hot, "far", requires=["mid"])
    engine(hot, "mid", requires=["base"])
    engine(hot, "base", BAD)
    engine(hot, "other", BAD)
    with hot.host(config("far", "mid", "base", "other")) as host:
        assert sorted(hot.log) == ["base", "other"]
        hot.log.clear()
        engine(hot, "base", version="2.0")
        hint(hot, host)
        assert hot.log == ["base", "mid", "far"]
        assert hot.status(host, "engines/other").state == "failed"


def test_what_failed_is_tried_again_when_what_it_requires_works_by_then(hot):
    """
    One that lacked what failed before it runs when somebody's get has made that work meanwhile.
    """
    engine(hot, "a", requires=["base"])
    once = "import acme_contract\nif not acme_contract.gate.is_set(): raise OSError('not yet')"
    engine(hot, "base", head=once)
    with hot.host(config("a", "base")) as host:
        with pytest.raises(PluginError):
            hot.do(host, "base", "engines")
        hint(hot, host)
        assert hot.log == []
        hot.acme.gate.set()
        assert hot.do(host, "base", "engines") == "one"
        hint(hot, host)
        assert hot.log == ["base", "a"]


def test_what_runs_is_left_alone(hot):
    """
    What runs is neither started again nor asked what it requires when something else changes.
    """
    body = "@property\ndef requires(self): log.append('asked'); return ()\n" + GOOD.format("a")
    hot.install("acme-a", engines={"a": "acme_a:Plain"}, files={"acme_a.py": thing(body=body)})
    with hot.host(config("a")) as host:
        assert hot.log == ["asked", "a"]
        engine(hot, "b")
        hint(hot, host)
        assert hot.log == ["asked", "a"]


def test_what_failed_is_tried_again_when_what_it_requires_is_another(hot):
    """
    One that failed is tried again when one that it requires is replaced by its next generation.
    """
    check = "    if log.count('base') < 2: raise OSError('too old')\n"
    body = f"async def start(self):\n{check}    log.append('a')\nasync def stop(self): ..."
    engine(hot, "a", body, requires=["base"])
    engine(hot, "base")
    with hot.host(config("a", "base")) as host:
        assert hot.status(host, "engines/a").state == "failed"
        engine(hot, "base", version="2.0")
        hint(hot, host)
        assert hot.status(host, "engines/base").record.version == "2.0"
        assert hot.log == ["base", "base", "a"]
        assert hot.status(host, "engines/a").state == "loaded"
