"""A broker with real money behind it: nothing replaces it unasked, and nothing takes it away (rule 22)."""

from __future__ import annotations

import gc
import shutil
import weakref

import pytest

from hot_brokers import ADA, GRANTS, MAIN, ref, request, status, trading_world, until
from hot_venue import gateway_code
from hotplug import _discovery
from hotplug._host import _installs
from hotplug.errors import BrokerError, NotRegisteredError, PluginError
from hotplug.market import Environment

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")
LIVE = MAIN + "allow_live=true\nmode='trade'\n"


@pytest.fixture
def live(environment, monkeypatch, tmp_path):
    world = trading_world(environment, monkeypatch, tmp_path)
    world.venue.environment = Environment.LIVE
    world.install("1.0")
    return world


def test_a_live_gateway_is_not_reloaded_by_the_watcher(live):
    """It says that it waits, trades on, and follows when it is told to."""
    with live.host(LIVE + GRANTS) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        front.place_order(request("a"))
        undo = host.watch()
        live.install("2.0")
        until(lambda: status(host).reason == "reload pending", lambda: f"{host.plugins} {host.problems}")
        assert "host.reload('acme-broker')" in status(host).remedy
        front.place_order(request("b"))
        assert host.brokers.get("main") is old
        assert host.reload("acme-broker").changed == ("brokers/main",)
        assert (status(host).reason, host.brokers.info("main").version) == ("", "2.0")
        undo()
        assert [each.client_order_id for each in host.brokers.sync("main").get_open_orders()] == ["a", "b"]
    assert [release for release, _ in live.venue.places] == ["1.0", "1.0"]


@pytest.mark.parametrize("how", ["reload", "apply"])
def test_a_live_gateway_is_not_reconfigured_by_the_watcher(live, how):
    """An edit that would replace it waits, and says so, until somebody asks for it."""
    with live.host(LIVE + GRANTS) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        front.place_order(request("a"))
        undo = host.watch()
        wanted = live.configure(LIVE + "settings={size=2}\n" + GRANTS)
        until(lambda: host.problems)
        assert "brokers/main: it is live: host.reload('acme-broker')" in str(host.problems)
        assert status(host).reason == "reload pending"
        assert host.brokers.get("main") is old
        front.place_order(request("b"))
        if how == "apply":
            host.apply(wanted)
        else:
            assert host.reload("acme-broker").changed == ("brokers/main",)
        new = host.brokers.get("main")
        assert (new.size, status(host).reason, host.problems) == (2, "", ())
        assert [each.client_order_id for each in host.brokers.sync("main").get_open_orders()] == ["a", "b"]
        undo()


def test_a_configuration_that_waits_is_told_once(live, caplog):
    """However often its file is seen to be written, as it is, nothing is said anew."""
    with live.host(LIVE + GRANTS) as host:
        host.brokers.sync("main").place_order(request("a"))
        wanted = live.configure(LIVE + "settings={size=2}\n" + GRANTS)
        for _ in range(3):
            host.follow_hints([("configuration", str(wanted))])
            assert status(host).reason == "reload pending"
            assert len(host.problems) == 1
        told = [record for record in caplog.records if "stays as it was" in record.getMessage()]
        assert len(told) == 1


def test_a_configuration_that_waits_may_fail(live):
    """Asked for, it does not work: the old gateway serves, and the problem says why."""
    with live.host(LIVE + GRANTS) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        undo = host.watch()
        live.configure(LIVE + "settings={size='many'}\n" + GRANTS)
        until(lambda: status(host).reason == "reload pending")
        assert host.reload("acme-broker").failed == ("brokers/main",)
        assert "settings.size: Expected `int`" in str(host.problems)
        assert host.brokers.get("main") is old
        front.place_order(request("a"))
        live.configure(LIVE + GRANTS)
        until(lambda: not (host.problems or status(host).reason), lambda: f"{host.plugins}")
        undo()


def test_a_live_gateway_follows_what_needs_no_other_gateway(live):
    """Who may use which account is no reason to replace it: that is followed at once."""
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        live.configure(LIVE + "[brokers.main.accounts]\nada=['A1', 'A2']\n")
        until(lambda: host.brokers.get("main", ADA).accounts == ("A1", "A2"), lambda: str(host.problems))
        assert (host.brokers.get("main") is old, status(host).reason) == (True, "")
        undo()


@pytest.mark.parametrize("what", ["uninstalled", "unconfigured"])
def test_a_live_gateway_that_is_taken_away_drains(live, what):
    """With open orders it takes no new ones, and goes when the last has ended."""
    with live.host(LIVE + GRANTS) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        front.place_order(request("a"))
        undo = host.watch()
        if what == "uninstalled":
            live.environment.uninstall("acme-broker")
        else:
            live.configure("[plugins]\ndisable=['brokers/acme']\n")
        until(lambda: old.info.status == "DRAINING", lambda: f"{host.plugins} {host.problems}")
        with pytest.raises(NotRegisteredError):
            host.brokers.get("main")
        with pytest.raises(BrokerError):
            front.place_order(request("b"))
        assert front.cancel_order(ref("a")).status == "CANCELED"
        until(lambda: old.info.status == "DISCONNECTED")
        undo()
    assert live.venue.places == [("1.0", "a")]


def test_a_live_gateway_without_orders_just_goes(live):
    """Uninstalled with nothing open, it is disconnected."""
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        live.environment.uninstall("acme-broker")
        until(lambda: old.info.status == "DISCONNECTED")
        undo()
        assert "main" not in host.brokers


# -- what waits, and waits no more ---------------------------------------------------------------------

RESIZED = LIVE + "settings={size=2}\n" + GRANTS


def test_an_edit_that_is_taken_back_waits_no_more(live):
    """The file says again what is in force: nothing is pending, and a reload changes the code only."""
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        live.configure(RESIZED)
        until(lambda: status(host).reason == "reload pending")
        live.configure(LIVE + GRANTS)
        until(lambda: status(host).reason == "", lambda: f"{host.plugins} {host.problems}")
        undo()
        assert (host.problems, status(host).remedy, host.brokers.get("main")) == ((), "", old)


def test_an_upgrade_that_is_taken_back_waits_no_more(live):
    """What is installed is again what serves."""
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        live.install("2.0")
        until(lambda: status(host).reason == "reload pending")
        live.install("1.0")
        until(lambda: status(host).reason == "", lambda: f"{host.plugins} {host.problems}")
        undo()
        assert (status(host).remedy, host.brokers.get("main")) == ("", old)


@pytest.mark.parametrize("first", ["edit", "upgrade"])
def test_taking_back_one_of_two_leaves_the_other(live, first):
    """An upgrade and an edit both wait: each goes by itself, and the last one takes the word with it."""
    back = {"edit": lambda: live.configure(LIVE + GRANTS), "upgrade": lambda: live.install("1.0")}
    with live.host(LIVE + GRANTS) as host:
        undo = host.watch()
        live.install("2.0")
        until(lambda: status(host).reason == "reload pending")
        live.configure(RESIZED)
        until(lambda: "it is live" in str(host.problems))
        back.pop(first)()
        host.lookout.settle()
        until(lambda: bool(host.problems) is (first == "upgrade"))
        assert status(host).reason == "reload pending"
        [second] = back.values()
        second()
        until(lambda: status(host).reason == "", lambda: f"{host.plugins} {host.problems}")
        undo()
        assert not host.problems


@pytest.mark.parametrize("other", ["text", "version"])
def test_what_only_looks_the_same_waits(live, other):
    """The same version of another text waits, and so does another version of the same text."""
    with live.host(LIVE + GRANTS) as host:
        undo = host.watch()
        code = gateway_code("1.0") + ("# again\n" if other == "text" else "")
        live.install("1.0" if other == "text" else "2.0", code=code)
        until(lambda: status(host).reason == "reload pending", lambda: f"{host.plugins} {host.problems}")
        live.install("1.0")
        until(lambda: status(host).reason == "")
        [plugin] = host.follower.standing
        until(lambda: plugin.seat.stamp == _discovery.stamp(plugin.seat.status.record))
        undo()
        assert not host.refresh()
        assert len(live.venue.made) == 1


def test_code_that_is_edited_back_waits_no_more(live):
    """Of what lies beside its dist-info the text is followed, and taken back, without any installation."""
    info = live.install("1.0", record=False)
    (info / "INSTALLER").unlink()
    file = info.parent / "acme_broker" / "__init__.py"
    text = file.read_text()
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        file.write_text(text + "# more\n")
        until(lambda: status(host).reason == "reload pending", lambda: f"{host.plugins} {host.problems}")
        file.write_text(text)
        until(lambda: status(host).reason == "")
        undo()
        assert host.brokers.get("main") is old


def test_it_is_told_once_that_something_waits(live):
    """However often somebody looks at what waits, there is one report of it."""
    told = []
    with live.host(LIVE + GRANTS) as host:
        host.reports.subscribe(lambda report: told.append(report.event))
        undo = host.watch()
        for release in ("2.0", "3.0"):
            live.install(release)
            live.environment.install(
                f"acme-{release}", advertises={"hotplug.tools": {f"t{release[0]}": "x:y"}}
            )
            until(lambda r=release: any(each.name == f"tools/t{r[0]}" for each in host.plugins))
            until(lambda: status(host).reason == "reload pending")
        undo()
    assert told.count("pending") == 1


def test_an_edit_may_wait_for_another_broker(live):
    """The next edit spares the first one, and concerns a second: who waits is said as it is now."""
    tables = [LIVE, LIVE.replace("main", "side")]
    texts = [tables[0] + "settings={size=2}\n" + tables[1], tables[0] + tables[1] + "settings={size=2}\n"]
    with live.host("".join(tables)) as host:
        undo = host.watch()
        for text, waits, rests in zip(texts, ["main", "side"], ["side", "main"], strict=True):
            live.configure(text)
            until(lambda name=waits: status(host, f"brokers/{name}").reason == "reload pending")
            assert status(host, f"brokers/{rests}").reason == ""
        undo()


def test_another_configuration_ends_the_waiting(live):
    """Whoever applies one by hand has decided: what the file says besides does not wait any more."""
    with live.host(LIVE + GRANTS) as host:
        old, config = host.brokers.get("main"), host.config
        undo = host.watch()
        live.configure(RESIZED)
        until(lambda: status(host).reason == "reload pending")
        host.apply(config)
        undo()
        assert (status(host).reason, host.brokers.get("main")) == ("", old)


def test_what_waited_and_came_leaves_nothing_behind(live):
    """The gateway that was replaced is forgotten, and all its code with it."""
    with live.host(LIVE + GRANTS) as host:
        old = weakref.ref(host.brokers.get("main"))
        undo = host.watch()
        live.install("2.0")
        until(lambda: status(host).reason == "reload pending")
        live.configure(RESIZED)
        until(lambda: "it is live" in str(host.problems))
        host.reload("acme-broker")
        undo()
        live.venue.made.clear()
        gc.collect()
        assert old() is None


def test_all_that_waits_comes_or_nothing(live):
    """Another table of the file that waits makes no sense: the reload fails, and says so."""
    second = "[brokers.second]\nplugin='other'\nsettings={size='many'}\n"
    point = {"hotplug.brokers": {"other": "other_broker:Broker"}}
    live.environment.install("other-broker", advertises=point, files={"other_broker.py": gateway_code("1.0")})
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        live.configure(RESIZED + second)
        until(lambda: status(host).reason == "reload pending")
        assert host.reload("acme-broker").failed == ("brokers/main",)
        assert "brokers/second" not in {each.name for each in host.plugins}
        assert "settings.size: Expected `int`" in str(host.problems)
        assert host.brokers.get("main") is old
        live.configure(RESIZED)
        until(lambda: status(host).reason == "reload pending")
        assert host.reload("acme-broker").changed == ("brokers/main",)
        undo()
        assert host.brokers.get("main").size == 2


def test_an_edit_and_an_upgrade_are_one_hand_over(live):
    """Both wait; whoever reloads gets the new code with the new settings, by one exchange."""
    with live.host(LIVE + GRANTS) as host:
        front = host.brokers.sync("main")
        front.place_order(request("a"))
        undo = host.watch()
        live.install("2.0")
        until(lambda: status(host).reason == "reload pending")
        live.configure(RESIZED)
        until(lambda: "it is live" in str(host.problems))
        assert host.reload("acme-broker").changed == ("brokers/main",)
        undo()
        new = host.brokers.get("main")
        assert (new.release, new.size, new.generation, host.problems) == ("2.0", 2, 2, ())
        assert len(live.venue.made) == 2
        assert host.config == live.configure(RESIZED)
        assert [each.client_order_id for each in host.brokers.sync("main").get_open_orders()] == ["a"]


# -- half taken away -----------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    """What is not complete is given up within a moment."""
    monkeypatch.setattr(_installs, "PATIENCE", 0.3)


def halve(live):
    """Somebody removed the metadata, and left the code."""
    [info] = live.environment.folder.glob("acme_broker-*.dist-info")
    (info / "METADATA").unlink()
    return info


@pytest.mark.parametrize("end", ["repaired", "upgraded", "gone"])
def test_a_half_removed_broker_serves_on(live, impatient, end):
    """It is said to be broken while it trades as ever, and comes to rest when that is over."""
    with live.host(LIVE + GRANTS) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        front.place_order(request("a"))
        undo = host.watch()
        info = halve(live)
        until(lambda: status(host).reason == "broken install", lambda: f"{host.plugins} {host.problems}")
        assert host.brokers.get("main") is old
        front.place_order(request("b"))
        assert "METADATA" in status(host).remedy
        assert status(host).state == "loaded"
        if end == "gone":
            shutil.rmtree(info)
            until(lambda: old.info.status == "DRAINING", lambda: f"{host.plugins}")
            for name in "ab":
                front.cancel_order(ref(name))
            until(lambda: old.info.status == "DISCONNECTED")
        else:
            live.install("1.0" if end == "repaired" else "2.0")
            said = "" if end == "repaired" else "reload pending"
            until(lambda: status(host).reason == said, lambda: f"{host.plugins} {host.problems}")
            assert host.brokers.get("main") is old
            assert host.reload("acme-broker").changed == ("brokers/main",)
            assert (status(host).state, status(host).reason) == ("loaded", "")
        undo()
    assert [name for _, name in live.venue.places] == ["a", "b"]


def test_half_an_upgrade_is_nothing_to_wait_for(live, impatient):
    """What will never be complete is said to be broken: nobody is asked to reload it."""
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        live.install("2.0")
        (live.environment.folder / "acme_broker" / "__init__.py").unlink()
        until(lambda: status(host).reason == "broken install", lambda: f"{host.plugins} {host.problems}")
        undo()
        assert "__init__.py" in status(host).remedy
        assert (host.brokers.get("main"), status(host).state) == (old, "loaded")


@pytest.mark.parametrize("what", ["settings", "grants", "nothing of it", "gone"])
def test_a_configuration_may_not_change_a_half_removed_broker(live, impatient, what):
    """What would make it anew from half an installation is refused; all else is followed."""
    texts = {
        "settings": LIVE + "settings={size=2}\n" + GRANTS,
        "grants": LIVE + "[brokers.main.accounts]\nada=['A1', 'A2']\n",
        "nothing of it": LIVE + GRANTS + "[tools.later]\nplugin='later'\n",
        "gone": "[plugins]\ndisable=['brokers/acme']\n",
    }
    with live.host(LIVE + GRANTS) as host:
        old = host.brokers.get("main")
        undo = host.watch()
        halve(live)
        until(lambda: status(host).reason == "broken install")
        undo()
        wanted = live.configure(texts[what])
        if what in ("settings", "grants"):
            with pytest.raises(PluginError, match="cannot be made anew: its installation is broken"):
                host.apply(wanted)
            assert host.brokers.get("main", ADA).accounts == ("A1",)
        else:
            host.apply(wanted)
        assert ("main" in host.brokers) is (what != "gone")
        assert old.info.status == ("DISCONNECTED" if what == "gone" else "READY")
        if what != "gone":
            assert host.reload("acme-broker").failed == ("brokers/main",)
            assert "is broken (broken install)" in status(host).error
            assert (host.brokers.get("main"), status(host).state) == (old, "loaded")
