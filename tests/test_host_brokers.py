"""What a host does for its brokers: side by side up, in order down, halted across restarts, handed over."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

import hotplug
from hotplug import UserExecutionContext
from hotplug._host._drains import Drains
from hotplug._host._gateways import Gateways
from hotplug._host._starting import Starting
from hotplug._lifecycle import Stuck
from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._hosting._counter import BrokerCounter
from hotplug.brokers._hosting._view import GatewayView
from hotplug.context import serving
from hotplug.errors import (
    BrokerError,
    ConfigError,
    ContextRequiredError,
    GatewayNotReady,
    GatewayReplaced,
    Halted,
    LiveRefused,
    PermissionDenied,
    PluginError,
    ToolError,
)
from hotplug.market import Bar, OrderRef, OrderRequest, OrderType, Side, TimeInForce
from hotplug.strategies import Strategy, run_strategy
from hotplug_broker_mock import MockBroker, MockVenue
from hotplug_broker_paper import PaperBroker
from strangers import StrangeGateway

pytestmark = pytest.mark.usefixtures("nothing_left", "brief_absence")
PATIENCE = 10.0
ADA, BOB = UserExecutionContext("ada"), UserExecutionContext("bob")


def request(name="x", **changes):
    facts = {
        "symbol": "X",
        "side": Side.BUY,
        "qty": Decimal(1),
        "type": OrderType.LIMIT,
        "price": Decimal(5),
        "tif": TimeInForce.GTC,
        "client_order_id": name,
    }
    return OrderRequest(**{**facts, **changes})


def until(condition):
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.001)


PLUGIN = """
import acme_world as world
from hotplug import PluginContext

class Broker(world.Base):
    def __init__(
        self, *, context: PluginContext, broker_id: str = "", size: int = 0, environment: str = "mock"
    ):
        super().__init__(**world.settings(broker_id, environment))
        self.key, self.context, self.size = broker_id, context, size
        world.made.append(self)
    {body}
"""

USES = """
import acme_world as world
import hotplug
from hotplug import BaseAgent, PluginContext, Service, Strategy

class Agent(BaseAgent):
    def __init__(self, *, context: PluginContext):
        self.context = context
    async def run(self, task, run):
        return await world.tries["agent"](self.context, run.context)

class Momentum(Strategy):
    def __init__(self, *, context: PluginContext):
        self.context = context
    def on_bar(self, bar): ...

class Runner(Service):
    autostart = True
    def __init__(self, *, context: PluginContext):
        world.services.append(context)
    async def start(self): ...
    async def stop(self): ...
    async def health(self): ...

def peek(context: PluginContext) -> hotplug.Tool:
    class Peek(hotplug.Tool):
        name, read_only, destructive = "peek", True, False
        async def call(self, arguments, caller):
            return await world.tries["tool"](context, caller)
    return Peek()
"""


@pytest.fixture
def world(environment, monkeypatch, tmp_path):
    """A host with plugins whose insides the test can reach, by way of the module ``acme_world``."""
    inside = type(sys)("acme_world")
    inside.made, inside.services, inside.tries = [], [], {}
    inside.venue = MockVenue()
    inside.Base = MockBroker
    inside.settings = lambda key, environment: {
        "venue": inside.venue,
        "broker_id": key,
        "environment": hotplug.market.Environment(environment),
        "concurrent_sessions": inside.concurrent,
        "check_interval": 0.02,
    }
    inside.concurrent = True
    inside.together = threading.Barrier(1)
    monkeypatch.setitem(sys.modules, "acme_world", inside)

    def broker(name="acme", body="", base=None):
        if base is not None:
            inside.Base = base
        code = PLUGIN.format(body=body.replace("\n", "\n    "))
        environment.install(
            f"acme-{name}",
            "1.0",
            advertises={"hotplug.brokers": {name: f"acme_{name}:Broker"}},
            files={f"acme_{name}.py": code},
        )

    def uses():
        environment.install(
            "acme-uses",
            "1.0",
            advertises={
                "hotplug.agents": {"agent": "acme_uses:Agent"},
                "hotplug.strategies": {"momentum": "acme_uses:Momentum"},
                "hotplug.services": {"runner": "acme_uses:Runner", "named": "acme_uses:Runner"},
                "hotplug.tools": {"peek": "acme_uses:peek"},
            },
            files={"acme_uses.py": USES},
        )

    def host(config="", *, drain=2, **options):
        text = f"[host]\ndata = '{tmp_path / 'data'}'\ndrain_timeout = {drain}\n{config}"
        return hotplug.Host(parse(text), path=environment.path, cache=False, **options)

    def parse(text):
        if "[host]" not in text:
            text = f"[host]\ndata = '{tmp_path / 'data'}'\ndrain_timeout = 2\n{text}"
        return hotplug.Config.parse(text, source="hotplug.toml")

    return SimpleNamespace(
        inside=inside,
        made=inside.made,
        venue=inside.venue,
        broker=broker,
        uses=uses,
        host=host,
        parse=parse,
        orders=tmp_path / "data" / "orders",
        environment=environment,
    )


def state(host, name):
    [status] = [status for status in host.plugins if status.name == name]
    return status


# -- the configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (
            "[brokers.main]\nmode = 'both'",
            5,
            "[brokers.main.mode] there is no mode 'both' (known: read, trade)",
        ),
        ("[brokers.main.limits]\nmax_qtty = 3", 5, "[brokers.main.limits.max_qtty] no such field"),
        (
            "[brokers.main]\njournal = 3\n[brokers.main.accounts]\nada = ['A', '']",
            5,
            "[brokers.main.journal] Expected `bool`, got `int`; accounts.ada[1]: an account's name is not",
        ),
    ],
)
def test_wrong_options_are_refused_with_their_line(world, text, line, why):
    """
    Options of a broker that make no sense refuse the configuration as a whole, wherever it is given.
    """
    config = f"[host]\n\ndata = 'x'\n{text}"
    with pytest.raises(ConfigError) as caught:
        hotplug.Host(hotplug.Config.parse(config, source="hotplug.toml"))
    assert caught.value.line == line
    assert why in str(caught.value)
    with world.host() as host:
        for verb in (host.plan, host.apply):
            with pytest.raises(ConfigError):
                verb(world.parse(text))


def test_a_host_without_brokers_needs_none_of_this(world):
    """
    A host of other kinds, or with a registry of its own for brokers, works as ever.
    """
    things = hotplug.Kind("brokers", StrangeGateway, group="acme.brokers")
    for kinds in ([], [things]):
        with world.host(kinds=kinds) as host:
            assert Gateways(host).registry is None
            assert host.close().open_orders == ()
    world.environment.install(
        "acme-odd", advertises={"acme.brokers": {"odd": "odd:Odd"}}, files={"odd.py": ODD}
    )
    with world.host("[brokers.odd]\ntags = ['eu']", kinds=[things]) as host:
        odd = host.registry("brokers").get("odd")
        host.apply(world.parse("[brokers.odd]\ntags = ['us']"))
        assert host.registry("brokers").get("odd") is not odd


ODD = "from strangers import StrangeGateway\nclass Odd(StrangeGateway): ..."


# -- coming up -------------------------------------------------------------------------------------------


def test_gateways_connect_side_by_side(world):
    """
    With connect = true all gateways of a host come up at once: each waits here until all have begun.
    """
    body = """
async def _connect(self):
    world.begun.add(self.key)
    while len(world.begun) < 3:
        await world.asyncio.sleep(0)
    await super()._connect()
"""
    world.inside.begun, world.inside.asyncio = set(), asyncio
    world.broker(body=body)

    with world.host("".join(f"[brokers.b{n}]\nplugin='acme'\nconnect=true\n" for n in range(3))) as host:
        assert {gateway.broker_id for gateway in host.brokers.get_healthy()} == {"b0", "b1", "b2"}


def test_one_that_hangs_delays_no_other(world):
    """
    A gateway that does not connect in time is failed at its own deadline; the others are up.
    """
    body = """
async def _connect(self):
    if self.key == "bad":
        await world.asyncio.Event().wait()
    await super()._connect()
"""
    world.inside.asyncio = asyncio
    world.broker(body=body)
    both = "".join(f"[brokers.{key}]\nplugin='acme'\nconnect=true\n" for key in ("bad", "good"))
    config = f"load_timeout = 0.2\n{both}"

    with world.host(config) as host:
        assert [gateway.broker_id for gateway in host.brokers.get_healthy()] == ["good"]
        assert state(host, "brokers/bad").state in {"failed", "timed_out"}
        assert state(host, "brokers/good").state == "loaded"


def test_getting_never_connects(world):
    """
    Without connect = true a gateway stands there loaded, and not connected.
    """
    world.broker()
    with world.host("[brokers.main]\nplugin='acme'") as host:
        assert host.brokers.get("main").info.status == "CREATED"
        assert host.brokers.get_healthy() == ()


def test_levels_are_batches_of_one_kind():
    """
    Who waits for nobody starts together, kind by kind; who requires something comes after that.
    """

    def plugin(name, *requires):
        kind = name.partition("/")[0]
        return SimpleNamespace(
            seat=SimpleNamespace(name=name, kind=SimpleNamespace(name=kind)),
            shall_run=True,
            obtain=lambda: None,
            requires=requires,
        )

    plugins = [
        plugin("brokers/x"),
        plugin("brokers/y"),
        plugin("services/late", "services/a"),
        plugin("services/a"),
        plugin("services/b"),
    ]

    batches = Starting(plugins, plugins).batches

    assert [[each.seat.name for each in batch] for batch in batches] == [
        ["brokers/x", "brokers/y"],
        ["services/a", "services/b"],
        ["services/late"],
    ]


def test_a_journal_that_cannot_be_opened_is_that_plugins_failure(world):
    """
    A gateway whose journal cannot be opened is failed with the reason, and connects nowhere.
    """
    world.broker()
    world.orders.mkdir(parents=True)
    (world.orders / "main.jsonl").symlink_to("/dev/null")

    with world.host("[brokers.main]\nplugin='acme'\nconnect=true\nsettings={environment='sandbox'}") as host:
        status = state(host, "brokers/main")
        assert (status.state, status.reason) == ("failed", "journal")
        with pytest.raises(PluginError, match="its order journal cannot be opened"):
            host.brokers.get("main")
    assert world.venue.sessions == 0


def test_a_second_host_reads_only(world):
    """
    A second host on the same data folder is connected, read-only, and says who holds the journal.
    """
    world.broker()
    config = "[brokers.main]\nplugin='acme'\nconnect=true\nsettings={environment='sandbox'}"
    with world.host(config) as first, world.host(config) as second:
        first.brokers.sync("main").place_order(request("x"))
        with pytest.raises(LiveRefused, match="journal is held by pid"):
            second.brokers.sync("main").place_order(request("y"))
        until(lambda: second.brokers.info("main").status == "DEGRADED")
        info = second.brokers.info("main")
        assert info.health == "degraded"
        assert second.brokers.get("main").report_card.checks["journal"] == "degraded"
        assert info.last_error.startswith("read-only here: its journal is held by pid")
        assert second.brokers.get_healthy() == ()
        assert (first.brokers.info("main").status, first.brokers.info("main").last_error) == ("READY", None)


def test_the_home_of_a_gateway_is_the_hosts(world):
    """
    In `with` the owned thread, in `async with` the running loop.
    """
    world.broker()
    config = "[brokers.main]\nplugin='acme'\nconnect=true"
    with world.host(config) as host:
        assert host.brokers.get("main")._core.home is host.home.loop

    async def live():
        async with world.host(config) as host:
            assert host.brokers.get("main")._core.home is asyncio.get_running_loop()
            await host.brokers.get("main").place_order(request("x"))
            return await host.aclose()

    assert [order.client_order_id for order in asyncio.run(live()).open_orders] == ["x"]


# -- going down ------------------------------------------------------------------------------------------


def test_closing_leaves_orders_and_lists_them(world, caplog):
    """
    close() disconnects every gateway, leaves open orders at the venue, and names them in its report.
    """
    world.broker()
    with world.host("[brokers.main]\nplugin='acme'\nconnect=true\n[brokers.lazy]\nplugin='acme'") as host:
        mine, odd = MockBroker(venue=world.venue), StrangeGateway()
        host.brokers.register("mine", mine)
        host.brokers.register("odd", odd)
        for key in ("lazy", "mine", "odd"):
            host.brokers.sync(key).connect()
        for key in ("main", "lazy", "mine"):
            host.brokers.sync(key).place_order(request(key))

    report = host.close()

    assert report.errors == ()
    assert sorted(order.client_order_id for order in report.open_orders) == ["lazy", "main", "mine"]
    assert len(world.venue.open_orders) == 3
    assert world.venue.sessions == 0
    assert {gateway.info.status for gateway in (*world.made, mine)} == {"DISCONNECTED"}
    assert (
        odd.status == "READY"
    )  # what the application registered, and is not built on the template, is its own
    assert "brokers/main: order main stays open" in caplog.text


def test_closing_cancels_where_it_is_told_to(world):
    """
    With on_shutdown = "cancel" own orders are cancelled before the goodbye, and by no other change.
    """
    world.broker()
    text = "[brokers.main]\nplugin='acme'\nconnect=true\non_shutdown='cancel'\nsettings={{size={}}}"
    with world.host(text.format(1)) as host:
        host.brokers.sync("main").place_order(request("x"))
        host.apply(world.parse(text.format(2)))
        assert [order.client_order_id for order in world.venue.open_orders] == ["x"]

    assert host.close().open_orders == world.venue.open_orders == ()


def test_a_goodbye_that_hangs_ends(world, monkeypatch):
    """
    A gateway whose goodbye hangs is given up after its limit; nothing of it or the others is left.
    """
    monkeypatch.setattr("hotplug.brokers._template._line.CLEAN_UP", 0.05)
    body = """
async def _disconnect(self):
    if self.key == "bad":
        await world.asyncio.Event().wait()
    await super()._disconnect()
"""
    world.inside.asyncio = asyncio
    world.broker(body=body)
    host = world.host(
        "[brokers.bad]\nplugin='acme'\nconnect=true\n[brokers.good]\nplugin='acme'\nconnect=true", drain=0.3
    )
    host.start()

    report = host.close()

    assert {gateway.info.status for gateway in world.made} == {"DISCONNECTED"}
    assert report.threads == ()


def test_what_cannot_be_left_is_in_the_report(world):
    """
    An application's gateway that raises at its goodbye is an error of the report.
    """
    with world.host() as host:
        mine = MockBroker()
        host.brokers.register("mine", mine)
        host.brokers.sync("mine").connect()

        async def fail(*_, **__):
            raise BrokerError("stuck")

        mine._core.line.disconnect = fail
        report = host.close()
    assert "disconnecting brokers/mine failed: stuck" in str(report.errors[0])
    del mine._core.line.disconnect


# -- halts -----------------------------------------------------------------------------------------------


def test_a_halt_survives_reload_and_restart(world):
    """
    Only resume() lifts a halt: not apply(), not refresh(), not the next host on the same data.
    """
    world.broker()
    text = "[brokers.main]\nplugin='acme'\nconnect=true\nsettings={{size={}}}"

    def is_halted(host):
        try:
            host.brokers.sync("main").place_order(request(f"o{len(world.venue.orders)}"))
        except Halted:
            return True
        return False

    with world.host(text.format(1)) as host:
        host.brokers.halt("storm")
        assert is_halted(host)
        host.apply(world.parse(text.format(2)))
        assert is_halted(host)
        host.refresh()
        assert is_halted(host)
    with world.host(text.format(1)) as host:
        assert is_halted(host)
        host.brokers.resume("calm")
        assert not is_halted(host)


# -- users -----------------------------------------------------------------------------------------------


def test_sessions_give_views(world):
    """
    A session's brokers are its user's views, the same one each time; who has no account is refused.
    """
    world.broker()
    config = "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A1'], bob=['B1']}"
    with world.host(config) as host, host.session(ADA) as ada, host.session(BOB) as bob:
        view = ada.brokers.get("main")
        assert isinstance(view, GatewayView)
        assert view is ada.brokers.get("main") is asyncio.run(ada.brokers.aget("main"))
        assert bob.brokers["main"].accounts == ("B1",)
        assert host.brokers.get("main") is world.made[0]
        with host.session(UserExecutionContext("eve")) as eve, pytest.raises(PermissionDenied):
            eve.brokers.get("main")


def test_grants_follow_the_configuration_without_a_new_gateway(world):
    """
    apply() with other accounts and limits reaches the running gateway and the views that are out.
    """
    world.broker()
    text = (
        "[brokers.main]\nplugin='acme'\nconnect=true\n"
        "accounts={{ada=['{}']}}\nlimits={{max_qty={}}}\ntags=['{}']"
    )
    with world.host(text.format("A1", 5, "eu")) as host:
        gateway, view = host.brokers.get("main"), host.brokers.get("main", ADA)
        host.brokers.sync("main", ADA).place_order(request("a", qty=Decimal(5)))

        changes = host.apply(world.parse(text.format("A2", 6, "us")))

        assert changes.changed == ("brokers/main",)
        assert host.brokers.get("main") is gateway
        assert gateway.info.status == "READY"
        assert (view.accounts, host.brokers.list_by_tag("us")) == (("A2",), ("main",))
        host.brokers.sync("main", ADA).place_order(request("b", qty=Decimal(6)))
        assert host.apply(world.parse(text.format("A2", 6, "us"))).changed == ()
        host.apply(
            world.parse(text.format("A2", 6, "us").replace("plugin='acme'", "plugin='acme'\nrequired=true"))
        )
        assert host.brokers.get("main") is not gateway
    assert len(world.made) == 2


def test_a_change_that_fails_takes_grants_back(world):
    """
    If anything of a new configuration fails, accounts and limits are as they were.
    """
    world.broker()
    one = "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A1']}"
    other = (
        "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A2']}\n[brokers.second]\nplugin='acme'"
    )
    with world.host(one) as host:
        view = host.brokers.get("main", ADA)
        host.brokers.register("second", StrangeGateway())

        with pytest.raises(hotplug.DuplicateKeyError):
            host.apply(world.parse(other))

        assert view.accounts == ("A1",)


async def all_ways(context, caller):
    """Everything that code may try to come to the operator's gateway, and what it got."""
    counter = context.registries["brokers"]
    assert serving.get() == caller
    got = [type(counter)]
    for attempt in (
        lambda: counter.get("main"),
        lambda: counter["main"],
        lambda: context.registries.get("brokers")["main"],
        lambda: dict(context.registries.items())["brokers"].get("main"),
    ):
        with pytest.raises(ContextRequiredError):
            attempt()
    other = UserExecutionContext("bob" if caller.user_id == "ada" else "ada")
    with pytest.raises(PermissionDenied):
        counter.get("main", other)
    view = counter.get("main", caller)
    got.append((type(view), view.accounts))
    got.append([type(each) for each in counter.get_healthy()])
    for value in vars(type(context.registries)).values():
        assert not isinstance(value, hotplug.BrokerRegistry)
    assert not hasattr(context.registries, "__dict__")
    for registry, asks in (("tools", "offer_of"), ("agents", "resident"), ("tools", "explain")):
        way = getattr(context.registries[registry], asks)
        for name in ("__self__", "__closure__", "__dict__", "__wrapped__", "__func__"):
            assert not hasattr(way, name)
    return [str(each) for each in got]


@pytest.mark.parametrize("user", ["ada", "bob"])
def test_code_that_works_for_users_gets_views_only(world, user):
    """
    Tools and agents get views for the user they serve, and nobody else's; the operator's gateway by no way.
    """
    world.broker()
    world.uses()
    world.inside.tries = {"tool": all_ways, "agent": all_ways}
    context = UserExecutionContext(user)
    account = {"ada": "A1", "bob": "B1"}[user]

    async def live():
        config = "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A1'], bob=['B1']}"
        async with world.host(config) as host:
            by_tool = await host.tools.call("peek", {}, context)
            by_agent = await host.agents.run("agent", None, context)
            return by_tool, by_agent

    for got in asyncio.run(live()):
        assert got == [str(BrokerCounter), f"({GatewayView!r}, ('{account}',))", f"[{GatewayView!r}]"]


def test_who_is_bound_to_a_user_serves_that_user(world):
    """
    An agent or strategy of ada's session gets ada's views, in a run or not; a tool none outside of a call.
    """
    world.broker()
    world.uses()
    config = (
        "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A1'], bob=['B1']}\n[services.named]\n"
    )
    kept = []

    async def keep(context, caller):
        kept.append(context)

    world.inside.tries = {"tool": keep}
    with world.host(config) as host, host.session(ADA) as session:
        for thing in (session.agents.get("agent"), session.strategies.get("momentum")):
            counter = thing.context.registries["brokers"]
            assert counter.get("main", ADA).accounts == ("A1",)
            with pytest.raises(PermissionDenied):
                counter.get("main", BOB)
        asyncio.run(host.tools.call("peek", {}, ADA))
        with pytest.raises(PermissionDenied, match="serves a user's call"):
            kept[0].registries["brokers"].get("main", ADA)
        with pytest.raises(PermissionDenied):
            world.made[0].context.registries["brokers"].get("main", ADA)


def test_a_service_that_is_named_has_the_operators_registry(world):
    """
    Services that the configuration names get the registry itself; one that starts itself does not.
    """
    world.broker()
    world.uses()
    with world.host("[services.named]\nplugin='runner'\n[brokers.main]\nplugin='acme'") as host:
        [named] = world.inside.services
        assert named.registries["brokers"] is host.brokers
        assert named.registries is host.registries
    world.inside.services.clear()
    with world.host() as host:
        itself = world.inside.services[0]
        assert type(itself.registries["brokers"]) is BrokerCounter
        assert set(itself.registries) == set(host.registries)
        assert len(itself.registries) == len(host.registries)
        assert itself.registries["tools"] is host.tools
        assert itself.registries == itself.registries
        assert itself.registries != host.registries
        assert hash(itself.registries) == hash(itself.registries)


def test_what_a_tool_says_of_a_refusal_is_safe(world):
    """
    A tool that reaches for another's account fails as a tool, and nothing was sent.
    """
    world.broker()
    world.uses()

    async def reach(context, caller):
        await context.registries["brokers"].get("main", caller).place_order(request("x", account="B1"))

    world.inside.tries = {"tool": reach}
    config = "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A1'], bob=['B1']}"
    with world.host(config) as host, pytest.raises(ToolError):
        asyncio.run(host.tools.call("peek", {}, ADA))
    assert world.venue.calls("place") == ()


class Buyer(Strategy):
    """Buys on the first bar."""

    async def on_bar(self, bar):
        if bar.time.day == 2:
            await self.trader.place(OrderRequest(symbol="X", side=Side.BUY, qty=Decimal(1)))


def test_a_strategy_runs_on_its_users_view(world):
    """
    A run on a view trades on the view's only account, and its orders say for whom, by what and in which run.
    """
    bars = [
        Bar(
            symbol="X",
            time=datetime(2024, 1, day, tzinfo=UTC),
            open=Decimal(1),
            high=Decimal(1),
            low=Decimal(1),
            close=Decimal(1),
            volume=Decimal(100),
        )
        for day in (2, 3)
    ]

    async def live():
        async with world.host() as host:
            grants = {"accounts": {"ada": ["A1"], "cleo": ["C1", "C2"]}}
            host.brokers.register("paper", PaperBroker(), metadata=grants)
            await host.brokers.get("paper").connect()
            view = host.brokers.get("paper", ADA)
            report = await run_strategy(Buyer(), view, bars, context=ADA)
            several = host.brokers.get("paper", UserExecutionContext("cleo"))
            other = await run_strategy(Buyer(), several, bars, account="C2")
            with pytest.raises(PermissionDenied):
                await run_strategy(Buyer(), several, bars, context=UserExecutionContext("cleo"))
            return report, other

    report, other = asyncio.run(live())

    [order] = report.orders
    assert (report.error, report.account, order.status) == (None, "A1", "FILLED")
    said = order.attribution
    assert (said.user, said.account, said.strategy, said.run) == ("ada", "A1", "Buyer", ADA.run_id)
    [order] = other.orders
    assert (other.account, order.attribution.user, order.attribution.run) == ("C2", "cleo", other.run)


# -- changing places -------------------------------------------------------------------------------------

SWAP = "[brokers.main]\nplugin='acme'\nconnect=true\nsettings={{size={}}}\n{}"


def test_orders_go_over_to_the_next_gateway(world):
    """
    A changed setting makes a new gateway on the same book: open orders, ids and streams go on.
    """
    world.broker()
    with world.host(SWAP.format(1, "")) as host:
        old = host.brokers.get("main")
        front = host.brokers.sync("main")
        front.place_order(request("x"))
        with front.events(deadline=PATIENCE) as stream:
            host.apply(world.parse(SWAP.format(2, "")))
            new = host.brokers.get("main")
            until(lambda: old.info.status == "DISCONNECTED")
            host.brokers.sync("main").place_order(request("y"))
            told = [next(stream) for _ in range(7)]

        assert (new is not old, new.size, new.info.status, new.generation) == (True, 2, "READY", 2)
        assert host.brokers.info("main").generation == 2
        assert new.book is old.book
        assert [o.client_order_id for o in host.brokers.sync("main").get_open_orders()] == ["x", "y"]
        assert host.brokers.sync("main").place_order(request("x")).client_order_id == "x"
        assert [call.client_order_id for call in world.venue.calls("place")] == ["x", "y"]
        assert {event.generation for event in told} >= {1, 2}
        with pytest.raises(GatewayReplaced):
            front.place_order(request("z"))


def test_the_new_gate_is_open_although_the_old_gateway_is_leased(world):
    """
    After a hand-over orders go through the new gateway at once; who leases the old one may look and cancel.
    """
    world.broker()
    with world.host(SWAP.format(1, "")) as host:
        host.brokers.sync("main").place_order(request("x"))
        with host.brokers.lease("main") as old:
            host.apply(world.parse(SWAP.format(2, "")))

            host.brokers.sync("main").place_order(request("y"))
            with pytest.raises(GatewayReplaced):
                host.home.run(old.place_order(request("z")))
            assert old.info.status == "READY"
            cancelled = host.home.run(old.cancel_order(OrderRef(client_order_id="x")))
        assert cancelled.status == "CANCELED"
    assert [call.client_order_id for call in world.venue.calls("place")] == ["x", "y"]


def test_two_sessions_are_never_open_where_the_venue_has_one(world):
    """
    Without concurrent sessions the old gateway disconnects before the new one connects.
    """
    body = """
async def _connect(self):
    world.seen.append(world.venue.sessions)
    await super()._connect()
"""
    world.inside.seen, world.inside.concurrent = [], False
    world.broker(body=body)
    with world.host(SWAP.format(1, "")) as host:
        host.brokers.sync("main").place_order(request("x"))
        host.apply(world.parse(SWAP.format(2, "")))
        host.brokers.sync("main").place_order(request("y"))

    assert world.inside.seen == [0, 0]
    assert [gateway._core.has_gate for gateway in world.made] == [False, True]


@pytest.mark.parametrize("concurrent", [True, False])
def test_a_hand_over_that_fails_changes_nothing(world, concurrent):
    """
    If the new gateway does not come up, the old one serves on, its gate open, and apply() raises.
    """
    body = """
async def _connect(self):
    if self.size == 2:
        raise world.BrokerUnavailable("no line")
    await super()._connect()
"""
    world.inside.BrokerUnavailable, world.inside.concurrent = hotplug.BrokerUnavailable, concurrent
    world.broker(body=body)
    with world.host(SWAP.format(1, "")) as host:
        old = host.brokers.get("main")
        host.brokers.sync("main").place_order(request("x"))

        with pytest.raises(PluginError, match="the hand-over to it failed: no line"):
            host.apply(world.parse(SWAP.format(2, "")))

        assert host.brokers.get("main") is old
        assert (old.info.status, old._core.has_gate) == ("READY", True)
        host.brokers.sync("main").place_order(request("y"))
        assert state(host, "brokers/main").state == "loaded"
        host.apply(world.parse(SWAP.format(3, "")))
        assert host.brokers.get("main").size == 3


def test_a_change_that_fails_later_hands_back(world):
    """
    If something else of the change fails after the hand-over began, the old gateway's gate opens again.
    """
    world.broker()
    with world.host(SWAP.format(1, "")) as host:
        old = host.brokers.get("main")
        host.brokers.register("second", StrangeGateway())

        with pytest.raises(hotplug.DuplicateKeyError):
            host.apply(world.parse(SWAP.format(2, "[brokers.second]\nplugin='acme'")))

        assert (host.brokers.get("main"), old._core.has_gate, old.info.status) == (old, True, "READY")
        host.brokers.sync("main").place_order(request("x"))
        assert [gateway.info.status for gateway in world.made] == ["READY", "DISCONNECTED"]


TWO = SWAP.format(1, "[brokers.second]\nplugin='acme'\nconnect=true")


@pytest.mark.parametrize("change", ["a setting", "a new table", "another key", "away and back"])
def test_what_a_change_connects_is_known_at_once(world, change):
    """
    A gateway that was connected by `apply` is in the registry and healthy before anybody asks for it.
    """
    world.broker()
    texts = {
        "a setting": ("main", [SWAP.format(2, "")]),
        "a new table": ("second", [TWO]),
        "another key": ("other", [SWAP.format(1, "").replace("main", "other")]),
        "away and back": ("main", ["", SWAP.format(1, "")]),
    }
    key, steps = texts[change]
    with world.host(SWAP.format(1, "")) as host:
        host.brokers.sync("main").place_order(request("x"))
        for text in steps:
            host.apply(world.parse(text))

        assert host.brokers.info(key).status == "READY"
        assert key in [gateway.broker_id for gateway in host.brokers.get_healthy()]
        assert [order.client_order_id for order in host.brokers.halt("storm")] == ["x"]
        assert [o.status for o in world.venue.orders] == ["CANCELED"]


def test_a_change_that_is_taken_back_leaves_the_old_one_known(world):
    """
    Where `apply` fails, the gateway that stood there before is in the registry, healthy, and halted as ever.
    """
    world.broker()
    with world.host(SWAP.format(1, "")) as host:
        host.brokers.register("second", StrangeGateway())
        host.brokers.sync("main").place_order(request("x"))
        with pytest.raises(hotplug.DuplicateKeyError):
            host.apply(world.parse(SWAP.format(2, "[brokers.second]\nplugin='acme'")))

        assert host.brokers.info("main").status == "READY"
        assert host.brokers.halt("storm", key="main")[0].client_order_id == "x"


def test_a_halt_reaches_what_is_connected_and_registered_nowhere(world):
    """
    A gateway that was taken out of the registry while it has a session is halted with all others.
    """
    world.broker()
    with world.host() as host:
        gateway = MockBroker(venue=world.venue)
        undo = host.brokers.register("mine", gateway)
        front = host.brokers.sync("mine")
        front.connect()
        front.place_order(request("x"))
        undo()

        assert [order.status for order in host.brokers.halt("storm")] == ["CANCELED"]


def test_a_roll_back_that_fails_is_told(world, monkeypatch, caplog):
    """
    Where even the way back fails, the log says so, and the change is refused with its own reason.
    """
    world.broker()

    async def fail(self):
        raise BrokerError("no way back")

    monkeypatch.setattr("hotplug.brokers._template._handover.Handover.roll_back", fail)
    with world.host(SWAP.format(1, "")) as host:
        host.brokers.register("second", StrangeGateway())
        with pytest.raises(hotplug.DuplicateKeyError):
            host.apply(world.parse(SWAP.format(2, "[brokers.second]\nplugin='acme'")))
    assert "taking back a hand-over" in caplog.text
    assert "no way back" in caplog.text


def test_a_loop_that_is_blocked_hands_nothing_over(world, monkeypatch):
    """
    Where the home loop does not turn, a hand-over fails at its limit and says who blocks it.
    """
    world.broker()
    with world.host(SWAP.format(1, "")) as host:
        old, run = host.brokers.get("main"), host.home.run

        def stuck(work, patience=30.0):
            if work.__qualname__ == "Handover.begin":
                work.close()
                raise Stuck("hotplug home", 1.0)
            return run(work, patience)

        monkeypatch.setattr(host.home, "run", stuck)
        with pytest.raises(PluginError, match="blocks the event loop of 'hotplug home'"):
            host.apply(world.parse(SWAP.format(2, "")))
        assert host.brokers.get("main") is old
        host.brokers.sync("main").place_order(request("x"))


def test_a_failed_change_of_what_is_idle(world):
    """
    Gateways that nobody had loaded yet are as they were when a change fails.
    """
    world.broker()
    idle = "[brokers.main]\nplugin='acme'\nsettings={{size={}}}\n{}"
    with world.host(idle.format(1, "")) as host:
        host.brokers.register("second", StrangeGateway())
        with pytest.raises(hotplug.DuplicateKeyError):
            host.apply(world.parse(idle.format(2, "[brokers.second]\nplugin='acme'")))
        assert host.brokers.get("main").size == 1


def test_policies_decide_about_open_orders(world):
    """
    With policy REFUSE_IF_OPEN a gateway with open orders is not replaced; without any, it is.
    """
    world.broker()
    refuse = "policy='refuse_if_open'"
    text = "[brokers.main]\nplugin='acme'\nconnect=true\n{}\nsettings={{size={}}}"
    with world.host(text.format(refuse, 1)) as host:
        front = host.brokers.sync("main")
        front.place_order(request("x"))
        with pytest.raises(PluginError, match="1 orders are open"):
            host.apply(world.parse(text.format(refuse, 2)))
        front.cancel_all()
        host.apply(world.parse(text.format(refuse, 2)))
        assert host.brokers.get("main").size == 2


def test_a_change_waits_for_a_drain_as_long_as_the_host_says(world, monkeypatch):
    """
    With policy DRAIN the host waits `drain_timeout`, and says what drains; without success nothing changed.
    """
    world.broker()
    text = "[brokers.main]\nplugin='acme'\nconnect=true\npolicy='drain'\nsettings={{size={}}}"
    with world.host(text.format(1), drain=0.1) as host:
        old = host.brokers.get("main")
        host.brokers.sync("main").place_order(request("x"))
        with pytest.raises(PluginError, match=r"draining was not finished within 0.1 s"):
            host.apply(world.parse(text.format(2)))
        assert (host.brokers.get("main"), host.brokers.info("main").status) == (old, "READY")
        assert host.brokers.get_healthy() == (old,)
        host.brokers.sync("main").place_order(request("y"))
    with world.host(text.format(1), drain=90) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        front.place_order(request("z"))
        front.cancel_order(OrderRef(client_order_id="x"))
        front.cancel_order(OrderRef(client_order_id="y"))
        run, limits = host.home.run, []

        def noted(work, patience=30.0):
            limits.extend([patience] if work.__qualname__ == "Handover.begin" else [])
            return run(work, patience)

        monkeypatch.setattr(host.home, "run", noted)
        changing = threading.Thread(target=host.apply, args=[world.parse(text.format(2))])
        changing.start()
        until(lambda: old.info.status == "DRAINING")
        issues = host.health().issues
        assert (host.brokers.get_healthy(), host.brokers.get("main")) == ((), old)
        assert front.cancel_order(OrderRef(client_order_id="z")).status == "CANCELED"
        changing.join(PATIENCE)
        assert (host.brokers.get("main").size, host.brokers.info("main").status) == (2, "READY")
    assert len(limits) == 1
    assert limits[0] > 90
    [issue] = [each for each in issues if "DRAINING" in each]
    assert "withdrawn" not in issue


def test_what_is_at_rest_just_changes(world):
    """
    A gateway without a session gives way at once, and the next one has the gate, connected beside or later.
    """
    world.broker()
    idle = "[brokers.main]\nplugin='acme'\nsettings={{size={}}}"
    with world.host(idle.format(1)) as host:
        host.brokers.get("main")
        host.apply(world.parse(SWAP.format(2, "")))
        host.brokers.sync("main").place_order(request("x"))
        second = host.brokers.get("main")
        host.apply(world.parse(idle.format(3)))
        until(lambda: second.info.status == "DISCONNECTED")
        host.brokers.sync("main").connect()
        host.brokers.sync("main").place_order(request("y"))
        assert host.brokers.get("main").size == 3


def test_the_next_one_waits_for_who_is_leased(world):
    """
    While the old gateway is leased it keeps its gate and session; the next one has it when that is over.
    """
    world.broker()
    idle = "[brokers.main]\nplugin='acme'\nsettings={size=3}"
    with world.host(SWAP.format(2, "")) as host:
        with host.brokers.lease("main") as old:
            host.apply(world.parse(idle))
            front = host.brokers.sync("main")
            front.connect()
            with pytest.raises(GatewayReplaced):
                front.place_order(request("x"))
            host.home.run(old.place_order(request("y")))
        until(lambda: old.info.status == "DISCONNECTED")
        front.place_order(request("z"))
    assert [call.client_order_id for call in world.venue.calls("place")] == ["y", "z"]


def test_one_that_is_no_template_cannot_take_over(world):
    """
    A gateway not built on the template does not replace a connected one that is: the change is refused.
    """
    world.broker()
    world.environment.install(
        "acme-odd", advertises={"hotplug.brokers": {"odd": "odd_gateway:Odd"}}, files={"odd_gateway.py": ODD}
    )
    with world.host(SWAP.format(1, "")) as host:
        old = host.brokers.get("main")
        with pytest.raises(PluginError, match="cannot take over the orders"):
            host.apply(world.parse("[brokers.main]\nplugin='odd'\nconnect=true"))
        host.brokers.sync("main").place_order(request("x"))
        assert host.brokers.get("main") is old


def test_a_gateway_that_goes_is_disconnected(world):
    """
    A gateway whose configuration is removed is disconnected, whoever connected it, if no order is open.
    """
    world.broker()
    with world.host("[brokers.main]\nplugin='acme'") as host:
        host.brokers.sync("main").connect()
        host.brokers.sync("main").place_order(request("x"))
        host.brokers.sync("main").cancel_all()
        host.apply(world.parse(""))
        assert world.made[0].info.status == "DISCONNECTED"
        assert host.health().status == "healthy"


def test_a_gateway_that_was_never_connected_just_goes(world):
    """
    A gateway that is loaded and has no session is withdrawn and closed at once: there is nothing to drain.
    """
    world.broker(body="def close(self): world.closed.append(self.key)")
    world.inside.closed = []
    with world.host("[brokers.main]\nplugin='acme'") as host:
        host.brokers.get("main")
        host.apply(world.parse(""))
        assert world.inside.closed == ["main"]
        assert host.health().status == "healthy"


# -- draining --------------------------------------------------------------------------------------------

MAIN = "[brokers.main]\nplugin='acme'\nconnect=true\n"


def away(how, world, host):
    """The broker's configuration or distribution vanishes."""
    if how == "configuration":
        host.apply(world.parse("[plugins]\ndisable=['brokers/acme']"))
    else:
        world.environment.uninstall("acme-acme")
        host.refresh()
    assert "brokers/main" not in [status.name for status in host.plugins if status.state == "loaded"]
    assert "main" not in host.brokers


@pytest.mark.parametrize("how", ["configuration", "distribution"])
def test_what_has_open_orders_drains_before_it_goes(world, how):
    """
    Withdrawn with open orders a gateway takes no more, but cancels, answers and reports until they ended.

    The host's health names it meanwhile, and orders of others do not hold it up.
    """
    world.broker(body="def close(self): world.closed.append(self.key)")
    world.inside.closed = []
    with world.host(MAIN) as host:
        front, gateway = host.brokers.sync("main"), host.brokers.get("main")
        for name in ("x", "y"):
            front.place_order(request(name))
        world.venue.external_order("X", Side.BUY, Decimal(1), price=Decimal(4))
        with front.events(deadline=PATIENCE) as stream:
            away(how, world, host)

            assert gateway.info.status == "DRAINING"
            with pytest.raises(GatewayNotReady) as refused:
                front.place_order(request("z"))
            assert refused.value.outcome == "NOT_SENT"
            assert host.brokers.health().status == host.health().status == "degraded"
            assert "brokers/main: DRAINING, withdrawn with 2 open orders" in " ".join(host.health().issues)
            assert len(front.snapshot().orders) == 3
            world.venue.fill("x")
            until(lambda: "with 1 open order" in " ".join(host.health().issues))
            assert (gateway.info.status, world.inside.closed) == ("DRAINING", [])
            front.cancel_order(OrderRef(client_order_id="y"))
            told = [getattr(event.payload, "status", "") for event in stream]
        until(lambda: world.inside.closed == ["main"])
        assert (gateway.info.status, world.venue.sessions) == ("DISCONNECTED", 0)
        assert {"FILLED", "CANCELED"} <= set(told)
        assert "withdrawn" not in " ".join(host.health().issues)
        assert host.close().open_orders == ()
    assert [call.client_order_id for call in world.venue.calls("place")] == ["x", "y"]


def test_what_nobody_knows_is_found_out_while_it_drains(world):
    """
    An UNKNOWN order counts as open: the gateway drains, goes on asking, and goes when it knows.
    """
    world.broker()
    with world.host(MAIN, drain=0.2) as host:
        front, gateway = host.brokers.sync("main"), host.brokers.get("main")
        world.venue.mute()
        world.venue.on("place", fault="timeout_after")
        silent = world.venue.on("query", raises=hotplug.BrokerUnavailable("no answer"))
        with pytest.raises(BrokerError):
            front.place_order(request("x"), deadline=0.05)
        away("configuration", world, host)
        assert gateway.info.status == "DRAINING"
        assert [order.status for order in front.get_open_orders()] == ["UNKNOWN"]

        world.venue.cancel("x")
        silent()
        until(lambda: not list(gateway.book.open()))
        world.venue.resume()  # the send, which hung until now, and is waited for
        until(lambda: gateway.info.status == "DISCONNECTED")
    assert host.close().open_orders == ()


def test_a_drain_finds_its_line_again(world):
    """
    A line that is lost while a gateway drains is found again, and it drains on: it never becomes READY.
    """
    world.broker()
    changes = []
    with world.host(MAIN) as host:
        front, gateway = host.brokers.sync("main"), host.brokers.get("main")
        gateway.reconnect_delays = (0.0, 0.01)
        front.place_order(request("x"))
        away("configuration", world, host)
        host.brokers.subscribe_status(lambda key, change: changes.append(change.new))
        world.venue.disconnect_all()
        until(lambda: changes[-1:] == ["DRAINING"])
        with pytest.raises(GatewayNotReady):
            front.place_order(request("y"))
        with pytest.raises(GatewayNotReady, match="nobody connects it anew"):
            front.connect()
        world.venue.cancel("x")
        until(lambda: gateway.info.status == "DISCONNECTED")
    assert changes == ["RECONNECTING", "SYNCING", "DRAINING", "DISCONNECTED"]


@pytest.mark.parametrize(("on_shutdown", "left"), [("leave", ["x"]), ("cancel", [])])
@pytest.mark.parametrize("lives", ["thread", "loop"])
def test_closing_ends_a_drain(world, on_shutdown, left, lives):
    """
    The end of the host is the end of a drain: on_shutdown holds, and what stays open is in the report.
    """
    world.broker()
    config = f"{MAIN}on_shutdown='{on_shutdown}'"

    async def live():
        host = world.host(config)
        async with host:
            await host.brokers.get("main").place_order(request("x"))
            await host.aapply(world.parse("[plugins]\ndisable=['brokers/acme']"))
            assert world.made[0].info.status == "DRAINING"
        return await host.aclose()

    if lives == "loop":
        report = asyncio.run(live())
    else:
        with world.host(config) as host:
            host.brokers.sync("main").place_order(request("x"))
            away("configuration", world, host)
        report = host.close()
    assert not report
    assert [order.client_order_id for order in report.open_orders] == left
    assert world.made[0].info.status == "DISCONNECTED"


@pytest.mark.parametrize("concurrent", [True, False])
@pytest.mark.parametrize("how", ["configuration", "distribution"])
def test_who_comes_back_takes_over(world, how, concurrent):
    """
    If its key comes back while a gateway drains, the new one takes over its orders; no two gates are open.
    """
    body = """
async def _connect(self):
    world.seen.append((world.venue.sessions, [each._core.has_gate for each in world.made]))
    await super()._connect()
"""
    world.inside.seen, world.inside.concurrent = [], concurrent
    world.broker(body=body)
    with world.host(MAIN) as host:
        host.brokers.sync("main").place_order(request("x"))
        old = host.brokers.get("main")
        away(how, world, host)
        world.inside.seen.clear()
        if how == "configuration":
            host.apply(world.parse(MAIN))
        else:
            world.broker(body=f"{body}\nversion = 2\n")
            host.refresh()
        new = host.brokers.get("main")
        assert (new is not old, new.book is old.book, new.info.status) == (True, True, "READY")
        assert hasattr(new, "version") is (how == "distribution")
        until(lambda: old.info.status == "DISCONNECTED")
        front = host.brokers.sync("main")
        front.place_order(request("y"))
        assert [order.client_order_id for order in front.get_open_orders()] == ["x", "y"]
        assert [old._core.has_gate, new._core.has_gate] == [False, True]
        assert host.health().status == "healthy"
        until(lambda: old not in [plugin.product for plugin in host.follower.running._made])
    assert world.inside.seen[0][0] == (1 if concurrent else 0)


@pytest.mark.parametrize("concurrent", [True, False])
@pytest.mark.parametrize("how", ["configuration", "distribution", "later"])
def test_a_take_over_that_fails_leaves_it_draining(world, how, concurrent):
    """
    If the new gateway does not come up, or the change fails later, the old one drains on as before.
    """
    body = """
async def _connect(self):
    if self.size == 2:
        raise world.BrokerUnavailable("no line")
    await super()._connect()
"""
    world.inside.BrokerUnavailable, world.inside.concurrent = hotplug.BrokerUnavailable, concurrent
    world.broker(body=body)
    size = 3 if how == "later" else 2
    with world.host(MAIN) as host:
        front, old = host.brokers.sync("main"), host.brokers.get("main")
        front.place_order(request("x"))
        if how == "distribution":
            away(how, world, host)
            world.broker(body=body.replace("self.size == 2", "self is not world.made[0]"))
            host.refresh()
            assert state(host, "brokers/main").state == "failed"
        else:
            away("configuration", world, host)
            host.brokers.register("second", StrangeGateway())
            second = "[brokers.second]\nplugin='acme'" if how == "later" else ""
            with pytest.raises((PluginError, hotplug.DuplicateKeyError)):
                host.apply(world.parse(SWAP.format(size, second)))
            assert "main" not in host.brokers
        assert (old.info.status, old.book.owner) == ("DRAINING", old)
        with pytest.raises(GatewayNotReady):
            front.place_order(request("y"))
        front.cancel_order(OrderRef(client_order_id="x"))
        until(lambda: old.info.status == "DISCONNECTED")
        until(lambda: old not in [plugin.product for plugin in host.follower.running._made])


def test_one_that_is_no_template_cannot_follow_a_drain(world):
    """
    A gateway not built on the template does not take over from one that drains.
    """
    world.broker()
    with world.host(MAIN) as host:
        host.brokers.sync("main").place_order(request("x"))
        away("distribution", world, host)
        world.environment.install(
            "acme-acme",
            advertises={"hotplug.brokers": {"acme": "odd_gateway:Odd"}},
            files={"odd_gateway.py": ODD},
        )
        host.refresh()
        assert "cannot take over the orders" in state(host, "brokers/main").error
        assert world.made[0].info.status == "DRAINING"


def test_a_drain_waits_for_who_leases_it(world):
    """
    Who leases a gateway that is withdrawn may cancel, but not place; it is ended when the lease is.
    """
    world.broker()
    with world.host(MAIN) as host:
        front = host.brokers.sync("main")
        with host.brokers.lease("main") as gateway:
            away("configuration", world, host)
            with pytest.raises(GatewayNotReady):
                front.place_order(request("x"))
            assert gateway.info.status == "DRAINING"
        until(lambda: gateway.info.status == "DISCONNECTED")


@pytest.mark.parametrize("comes", [True, False])
def test_a_leased_drain_is_taken_over_or_not(world, comes):
    """
    A gateway that drains and is leased is left to who leases it, whether another takes over or fails to.
    """
    world.broker()
    with world.host(MAIN) as host:
        front = host.brokers.sync("main")
        front.place_order(request("x"))
        with host.brokers.lease("main") as old:
            away("configuration", world, host)
            if comes:
                host.apply(world.parse(MAIN))
            else:
                host.brokers.register("second", StrangeGateway())
                with pytest.raises(hotplug.DuplicateKeyError):
                    host.apply(world.parse(f"{MAIN}[brokers.second]\nplugin='acme'"))
            assert old.info.status == "DRAINING"
            assert old._core.has_gate is not comes
        if not comes:
            front.cancel_all()
        until(lambda: old.info.status == "DISCONNECTED")


def test_what_nobody_leases_any_more_is_not_ended_while_another_takes_over(world):
    """
    A drained gateway whose lease ends in the midst of a take-over that fails is ended after that, not in it.
    """
    body = """
async def _connect(self):
    if self.size == 2:
        world.leases.pop().__exit__(None, None, None)
        for _ in range(200):
            await world.asyncio.sleep(0)
        world.seen.append(world.made[0].info.status)
        raise world.BrokerUnavailable("no line")
    await super()._connect()
"""
    world.inside.BrokerUnavailable, world.inside.asyncio = hotplug.BrokerUnavailable, asyncio
    world.inside.leases, world.inside.seen = [], []
    world.broker(body=body)
    with world.host(MAIN) as host:
        world.inside.leases.append(host.brokers.lease("main"))
        gateway = world.inside.leases[0].__enter__()
        away("configuration", world, host)
        with pytest.raises(PluginError):
            host.apply(world.parse(SWAP.format(2, "")))
        until(lambda: gateway.info.status == "DISCONNECTED")
    assert world.inside.seen == ["DRAINING"]


def test_a_halt_reaches_what_drains(world):
    """
    A halt cancels the orders of gateways that were withdrawn and drain, too.
    """
    world.broker()
    with world.host(MAIN) as host:
        gateway = host.brokers.get("main")
        host.brokers.sync("main").place_order(request("x"))
        away("configuration", world, host)
        [result] = host.brokers.halt("storm", key="main")
        assert (result.client_order_id, result.status) == ("x", "CANCELED")
        until(lambda: gateway.info.status == "DISCONNECTED")


def test_a_line_that_is_lost_for_good_is_shown(world):
    """
    A drain whose key was revoked cannot go on; it is shown with its orders until the host closes.
    """
    body = """
async def _connect(self):
    if world.revoked:
        raise world.AuthenticationError("revoked")
    await super()._connect()
"""
    world.inside.revoked, world.inside.AuthenticationError = False, hotplug.AuthenticationError
    world.broker(body=body)
    with world.host(MAIN) as host:
        gateway = host.brokers.get("main")
        gateway.reconnect_delays = (0.0, 0.01)
        host.brokers.sync("main").place_order(request("x"))
        away("configuration", world, host)
        world.inside.revoked = True
        world.venue.disconnect_all()
        until(lambda: "brokers/main: FAILED, withdrawn with 1 open order" in " ".join(host.health().issues))
        world.inside.revoked = False
        host.apply(world.parse(MAIN))
        host.brokers.sync("main").place_order(request("y"))
        until(lambda: gateway.info.status == "DISCONNECTED")
    assert len(host.close().open_orders) == 2


def test_a_gate_that_cannot_be_shut_is_told(world, monkeypatch, caplog):
    """
    Where the home loop does not turn, a withdrawn gateway cannot be shut: the log says so, and it is ended.
    """
    world.broker()
    with world.host(MAIN) as host:
        run = host.home.run

        def stuck(work, patience=30.0):
            if work.__qualname__ == "Keeper.shut":
                work.close()
                raise Stuck("hotplug home", 1.0)
            return run(work, patience)

        monkeypatch.setattr(host.home, "run", stuck)
        host.apply(world.parse(""))
        assert world.made[0].info.status == "DISCONNECTED"
    assert "brokers/main was withdrawn, and its gate could not be shut" in caplog.text


@pytest.mark.parametrize("how", ["configuration", "distribution"])
def test_what_ends_at_the_last_moment_need_not_be_taken_over(world, monkeypatch, how):
    """
    A drain that ends just before the next gateway takes over is over: the next one connects like any other.
    """
    world.broker()
    hold = Drains.hold

    def late_hold(drains, plugin):
        world.venue.cancel("x")
        until(lambda: not drains._drains)
        return hold(drains, plugin)

    with world.host(MAIN) as host:
        host.brokers.sync("main").place_order(request("x"))
        away(how, world, host)
        if how == "configuration":
            monkeypatch.setattr(Drains, "hold", late_hold)
            host.apply(world.parse(MAIN))
        else:
            world.broker()
            taken = host.gateways.drains.of("brokers/main")
            world.venue.cancel("x")
            until(lambda: host.gateways.drains.of("brokers/main") is None)
            monkeypatch.setattr(Drains, "of", lambda drains, name: taken)
            host.refresh()
        until(lambda: [gateway.info.status for gateway in world.made] == ["DISCONNECTED", "READY"])
        until(lambda: world.made[1]._core.has_gate)
        host.brokers.sync("main").place_order(request("y"))
    assert [call.client_order_id for call in world.venue.calls("place")] == ["x", "y"]


def test_what_was_ended_is_left_alone(world, monkeypatch, caplog):
    """
    A take-over that is over after the host has closed finds nothing to finish; a loop that stands is told.
    """
    world.broker()
    with world.host(MAIN) as host:
        host.brokers.sync("main").place_order(request("x"))
        away("configuration", world, host)
        drains, run = host.gateways.drains, host.home.run
        [plugin] = drains._drains

        def stuck(work, patience=30.0):
            if work.__qualname__.startswith("Drains.end"):
                work.close()
                raise Stuck("hotplug home", 1.0)
            return run(work, patience)

        monkeypatch.setattr(host.home, "run", stuck)
        report = host.close()
        drains.finish(plugin)
        drains.go_on(plugin)
        assert not drains.hold(plugin)
    assert [order.client_order_id for order in report.open_orders] == ["x"]
    assert world.made[0].info.status == "DISCONNECTED"
    assert "closing: " in caplog.text


def test_a_host_with_brokers_keeps_nothing_alive(world):
    """
    Hosts that came and went leave no gateway, no view, no façade and no plugin behind.
    """
    world.broker()
    world.uses()
    config = "[brokers.main]\nplugin='acme'\nconnect=true\naccounts={ada=['A1']}"
    left = []
    for _ in range(5):
        with world.host(config) as host, host.session(ADA) as session:
            view, front = session.brokers.get("main"), host.brokers.sync("main", ADA)
            front.place_order(request(f"x{len(left)}"))
            host.brokers.subscribe_status(lambda key, change, kept=(view, front): None)
            agent = session.agents.get("agent")
            left += map(weakref.ref, (host, view, front, agent, world.made.pop(), host.brokers.book("main")))
        del host, session, view, front, agent
        world.inside.services.clear()
    gc.collect()

    assert [thing() for thing in left if thing() is not None] == []


# -- the watch -------------------------------------------------------------------------------------------


def test_the_plugin_that_blocks_the_loop_is_named(world, monkeypatch, caplog):
    """
    Plugin code that blocks the host's loop is named with its plugin, file and line; the host recovers.
    """
    monkeypatch.setattr("hotplug.brokers._hosting._watch.TICK", 0.005)
    monkeypatch.setattr("hotplug.brokers._hosting._watch.LAG_LIMIT", 0.05)
    body = """
async def _place(self, order):
    world.entered.set()
    world.let_go.wait(20)
    return await super()._place(order)
"""
    world.inside.entered, world.inside.let_go = threading.Event(), threading.Event()
    world.broker(body=body)
    with world.host("[brokers.main]\nplugin='acme'\nconnect=true") as host:
        worker = threading.Thread(target=lambda: host.brokers.sync("main").place_order(request("x")))
        worker.start()
        assert world.inside.entered.wait(PATIENCE)
        until(lambda: host.brokers.get_healthy() == () and "blocked by" in caplog.text)
        assert host.brokers.info("main").health == "unknown"
        world.inside.let_go.set()
        worker.join(PATIENCE)
        until(lambda: len(host.brokers.get_healthy()) == 1)

    assert "blocked by brokers/acme from acme-acme 1.0 at " in caplog.text
    assert "acme_acme.py:" in caplog.text


def test_a_journal_told_the_story(world):
    """
    After everything, the journal has the orders, and is free for the next host.
    """
    world.broker()
    with world.host("[brokers.main]\nplugin='acme'\nconnect=true\njournal=true") as host:
        host.brokers.sync("main").place_order(request("x"))
    journal = FileJournal(world.orders / "main.jsonl")
    assert journal.holder is None
    assert "Order" in [line["event"] for line in journal.read()]
    journal.close()
