"""The registry of brokers: gateways by id, and what is known of them without asking anybody."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

import hotplug.brokers
from hotplug._records import PluginRecord
from hotplug.brokers import BrokerInfo, BrokerRegistry, IBrokerGateway, IBrokerRegistry, mask_account
from hotplug.brokers._hosting._view import GatewayView
from hotplug.context import UserExecutionContext
from hotplug.errors import ContractError, DuplicateKeyError, FrozenRegistryError, NotRegisteredError
from hotplug.market import Capability, Environment, GatewayStatus, HealthState
from hotplug.registry import UniversalRegistry
from hotplug_broker_paper import PaperBroker
from strangers import StrangeGateway

RECORD = PluginRecord(
    kind="brokers",
    group="hotplug.brokers",
    name="acme",
    value="acme:Broker",
    distribution="acme-broker",
    version="2.1",
)


class Reporting(StrangeGateway):
    """A gateway that reports what it is told to."""

    def __init__(self, report):
        super().__init__(broker_id="reporting")
        self.report = report

    @property
    def info(self):
        report = self.report
        return report() if callable(report) else report


def connected(**settings):
    """A paper broker that is ready."""
    broker = PaperBroker(**settings)
    asyncio.run(broker.connect())
    return broker


def raising(error):
    def raise_it():
        raise error

    return raise_it


# -- registering -----------------------------------------------------------------------------------


def test_a_gateway_stands_under_its_own_id():
    """
    Registered alone, a gateway is found under its broker id; the undo takes it away.
    """
    registry, broker = BrokerRegistry(), PaperBroker(broker_id="desk")

    undo = registry.register(broker)

    assert registry.get("desk") is broker
    undo()
    assert "desk" not in registry


def test_a_key_goes_before_the_id():
    """
    Registered with a key, a gateway stands there only, with tags, metadata and owner.
    """
    registry, broker = BrokerRegistry(), PaperBroker(broker_id="desk")

    registry.register("main", broker, tags=["eu"], metadata={"room": 7}, owner=RECORD)

    [entry] = registry.entries()
    assert (entry.key, entry.tags, entry.metadata["room"], entry.owner) == ("main", ("eu",), 7, RECORD)
    assert registry["main"] is broker


@pytest.mark.parametrize("arguments", [("main",), (object(),), ("main", object()), (None,)])
def test_nothing_else_is_registered(arguments):
    """
    A key without a gateway, or what is no gateway, is a ContractError, and nothing stands anywhere.
    """
    registry = BrokerRegistry()

    with pytest.raises(ContractError):
        registry.register(*arguments)
    assert len(registry) == 0


def test_an_id_is_taken_once():
    """
    A second gateway under an id is refused, whichever way it is registered.
    """
    registry = BrokerRegistry()
    registry.register(PaperBroker())

    with pytest.raises(DuplicateKeyError):
        registry.register(PaperBroker())
    with pytest.raises(DuplicateKeyError):
        registry.register("paper", PaperBroker())
    registry.freeze()
    with pytest.raises(FrozenRegistryError):
        registry.register(PaperBroker(broker_id="other"))


def test_it_is_both_registries():
    """
    The registry is a UniversalRegistry and an IBrokerRegistry, with nothing left abstract.
    """
    registry = BrokerRegistry()

    assert isinstance(registry, UniversalRegistry)
    assert isinstance(registry, IBrokerRegistry)
    assert not BrokerRegistry.__abstractmethods__
    assert registry.name == "brokers"


def test_it_serves_who_knows_only_the_small_contract():
    """
    Through IBrokerRegistry alone: register, get, list, unregister.
    """
    registry: IBrokerRegistry = BrokerRegistry()
    broker = PaperBroker()

    registry.register(broker)

    assert registry.get("paper") is broker
    assert [each.broker_id for each in registry.list_all()] == ["paper"]
    registry.unregister("paper")
    with pytest.raises(NotRegisteredError):
        registry.get("paper")


@pytest.mark.parametrize("contract", [IBrokerGateway, IBrokerRegistry])
def test_the_contracts_are_abstract_and_stateless(contract):
    """
    The contracts cannot be made into objects, and bring no state and no behaviour.
    """
    with pytest.raises(TypeError, match="abstract"):
        contract()
    assert vars(contract)["__slots__"] == ()
    public = {name for name in vars(contract) if not name.startswith("_")}
    assert public == set(contract.__abstractmethods__)


# -- what is known ---------------------------------------------------------------------------------


def test_info_is_the_gateways_own_with_what_the_registry_knows_better():
    """
    Key, distribution, version and generation come from the registry, the rest from the gateway.
    """
    registry, broker = BrokerRegistry(), connected(broker_id="inside")
    registry.register("outside", broker, owner=RECORD, metadata={"room": 7})

    info = registry.info("outside")

    assert info == replace(
        broker.info,
        broker_id="outside",
        distribution="acme-broker",
        version="2.1",
        generation=1,
        metadata={"room": 7},
    )
    assert (info.type, info.environment, info.status) == ("paper", Environment.PAPER, GatewayStatus.READY)


def test_info_of_a_stranger_suggests_a_friend():
    """
    Asking for an id that is not there names the nearest one.
    """
    registry = BrokerRegistry()
    registry.register(PaperBroker())

    with pytest.raises(NotRegisteredError, match="did you mean 'paper'"):
        registry.info("papr")


def test_asking_never_loads():
    """
    A lazy entry is told as CREATED and UNKNOWN, with its entry point's name as type, and stays unloaded.
    """
    registry = BrokerRegistry()
    registry.register_lazy("main", raising(AssertionError("loaded")), owner=RECORD)
    registry.register_factory("each", raising(AssertionError("made")))

    lazy, factory = registry.list_all()

    assert (lazy.broker_id, lazy.type, lazy.distribution) == ("main", "acme", "acme-broker")
    assert {lazy.status, factory.status} == {GatewayStatus.CREATED}
    assert {lazy.health, factory.health} == {HealthState.UNKNOWN}
    assert factory.type == "each"
    assert registry.get_healthy() == registry.get_by_type("acme") == ()


def test_a_loaded_lazy_entry_is_known():
    """
    Once somebody got it, a lazy gateway reports like any other.
    """
    registry, broker = BrokerRegistry(), connected()
    registry.register_lazy("main", lambda: broker, owner=RECORD)
    registry.get("main")

    assert registry.get_healthy() == (broker,)
    assert registry.get_by_type("paper") == (broker,)
    assert registry.info("main").status is GatewayStatus.READY


def test_lists_are_chosen_by_type_and_health():
    """
    list_all narrows by type, by health, and by both; the order is that of registration.
    """
    registry, well = BrokerRegistry(), connected(broker_id="well")
    registry.register(well)
    registry.register(PaperBroker(broker_id="idle"))
    registry.register_lazy("unloaded", raising(AssertionError("loaded")), owner=RECORD)

    def ids(**chosen):
        return [each.broker_id for each in registry.list_all(**chosen)]

    assert ids() == ["well", "idle", "unloaded"]
    assert ids(type="paper") == ["well", "idle"]
    assert ids(healthy=True) == ["well"]
    assert ids(healthy=False) == ["idle", "unloaded"]
    assert ids(type="paper", healthy=False) == ["idle"]
    assert ids(type="acme") == ["unloaded"]
    assert registry.get_by_type("paper") == (well, registry["idle"])


@pytest.mark.parametrize(
    "changes",
    [
        {"status": GatewayStatus.DEGRADED},
        {"status": GatewayStatus.RECONNECTING},
        {"health": HealthState.DEGRADED},
        {"health": HealthState.UNKNOWN},
    ],
)
def test_healthy_is_ready_and_well(changes):
    """
    A gateway that is not READY, or not HEALTHY, is not among the healthy ones.
    """
    registry, broker = BrokerRegistry(), Reporting(connected().info)
    registry.register(broker)
    assert registry.get_healthy() == (broker,)

    broker.report = replace(broker.report, **changes)

    assert registry.get_healthy() == ()
    assert [each.broker_id for each in registry.list_all(healthy=False)] == ["reporting"]


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (raising(RuntimeError("no line")), "info raised RuntimeError: no line"),
        (raising(SystemExit("bye")), "info raised SystemExit: bye"),
        ({"status": "READY"}, "is a dict"),
    ],
)
def test_a_gateway_that_cannot_report_harms_nobody(report, text):
    """
    A gateway whose info raises, or is something else, is FAILED and unhealthy; the others are listed as ever.
    """
    registry, well = BrokerRegistry(), connected()
    registry.register("ill", Reporting(report), owner=RECORD)
    registry.register(well)

    assert registry.get_healthy() == registry.get_by_type("paper") == (well,)
    ill, _ = registry.list_all()
    assert (ill.status, ill.health, ill.type) == (GatewayStatus.FAILED, HealthState.UNHEALTHY, "acme")
    assert text in ill.last_error
    assert text in registry.info("ill").last_error


def test_ctrl_c_in_a_report_is_the_callers():
    """
    `KeyboardInterrupt` from a gateway's info is passed on.
    """
    registry = BrokerRegistry()
    registry.register("ill", Reporting(raising(KeyboardInterrupt())))

    for ask in (registry.list_all, registry.get_healthy):
        with pytest.raises(KeyboardInterrupt):
            ask()


def test_health_is_that_of_gateways_that_should_be_connected():
    """
    A gateway that is neither at rest nor well makes the registry degraded, by reports alone; loading nothing.
    """
    registry, resting, gone, well = BrokerRegistry(), PaperBroker(), PaperBroker(), connected()

    async def come_and_go():
        await gone.connect()
        await gone.disconnect()

    asyncio.run(come_and_go())
    for key, broker in (("resting", resting), ("gone", gone), ("well", well)):
        registry.register(key, broker)
    registry.register_lazy("asleep", lambda: pytest.fail("loaded"))

    assert registry.health().status == "healthy"
    assert registry.health().details["entries"] == 4
    assert dict(registry.health().details["brokers"]) == {
        "resting": "CREATED",
        "gone": "DISCONNECTED",
        "well": "READY",
    }

    registry.register("slow", Reporting(replace(well.info, status=GatewayStatus.RECONNECTING)))
    registry.register("ill", Reporting(raising(OSError("no line"))))
    health = registry.health()

    assert health.status == "degraded"
    assert health.issues == (
        "brokers/slow: RECONNECTING, healthy",
        "brokers/ill: FAILED, unhealthy (info raised OSError: no line)",
    )


@pytest.mark.parametrize("metrics", [True, False], ids=["counting", "quiet"])
def test_a_key_may_be_called_broker_id(metrics):
    """
    `get` and `unregister` take the key by the contract's word too, but not two keys, nor none.
    """
    registry, broker = BrokerRegistry(metrics=metrics), PaperBroker()
    registry.register(broker)

    assert registry.get(broker_id="paper") is registry.get("paper") is broker
    assert registry.get(broker_id="other", default=None) is None
    assert isinstance(registry.get("paper", UserExecutionContext("ada")), GatewayView)
    with pytest.raises(NotRegisteredError, match="paper"):
        registry.get("papr")
    for wrong in ({}, {"key": "paper", "broker_id": "paper"}):
        with pytest.raises(TypeError, match="one key"):
            registry.get(**wrong)
        with pytest.raises(TypeError, match="one key"):
            registry.unregister(**wrong)
    assert registry.metrics().lookups == (5 if metrics else 0)
    registry.unregister(broker_id="paper")
    assert len(registry) == 0


def test_asking_takes_no_lock():
    """
    While another thread holds the registry's lock, everything that asks goes on.
    """
    registry, broker = BrokerRegistry(), connected()
    registry.register(broker)
    answers = []

    def ask():
        answers.extend((registry.get_healthy(), registry.get_by_type("paper"), registry.info("paper").status))
        answers.append(len(registry.list_all()))

    with registry._writing:
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(5)

    assert answers == [(broker,), (broker,), GatewayStatus.READY, 1]


# -- info as a record ------------------------------------------------------------------------------


def test_info_is_a_value():
    """
    Info is hashable, keeps its own copy of its metadata, and knows nothing by default.
    """
    said = {"room": 7}
    info = BrokerInfo(broker_id="x", type="acme", metadata=said)
    said["room"] = 8

    assert info.metadata == {"room": 7}
    assert hash(info) == hash(replace(info, metadata={}))
    assert (info.environment, info.status, info.health) == (None, GatewayStatus.CREATED, HealthState.UNKNOWN)
    assert not info.healthy
    with pytest.raises(TypeError):
        info.metadata["room"] = 9  # type: ignore[index]


@pytest.mark.parametrize(
    ("account", "shown"), [("DU1234567", "…67"), ("ABCDE", "…DE"), ("1234", "…"), ("", "…")]
)
def test_accounts_are_masked(account, shown):
    """
    Two characters of a long account may be seen, none of a short one.
    """
    assert mask_account(account) == shown


def test_the_room_shows_its_names():
    """
    Every public name of the room is there, and the list is sorted.
    """
    assert sorted(hotplug.brokers.__all__) == hotplug.brokers.__all__
    assert all(hasattr(hotplug.brokers, name) for name in hotplug.brokers.__all__)


def test_the_paper_broker_reports_what_it_can():
    """
    A real gateway's capabilities and masked accounts reach the registry's info.
    """
    registry = BrokerRegistry()
    registry.register(connected(cash=Decimal(5)))

    info = registry.info("paper")

    assert {Capability.SIMULATED, Capability.STREAM} <= info.capabilities
    assert info.accounts == ("…lt",)
