"""What a host does for its brokers beyond what it does for everything: books, hand-overs, goodbyes."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug._host._closing import blocked, finished
from hotplug._host._data import file_name, orders_folder
from hotplug._host._drains import Drains
from hotplug._kinds import Scope
from hotplug._lifecycle import Stuck, WalledCall
from hotplug._signature import dotted
from hotplug.errors import BrokerError, ConfigError, GatewayNotReady, HostError, PluginError
from hotplug.registry._hidden import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hotplug._config import Config
    from hotplug._host._host import Host
    from hotplug._host._plugin import Plugin
    from hotplug._host._policy import Seat
    from hotplug.brokers import BrokerRegistry, IBrokerGateway
    from hotplug.brokers._template._handover import Handover
    from hotplug.context import UserExecutionContext
    from hotplug.market import Order
    from hotplug.registry import UniversalRegistry

__all__ = ["Exchange", "Gateways", "check_options"]

_log = logging.getLogger("hotplug.host")

TURN: Final = 2.0  # seconds above any limit that the home loop has to come round
LOOK_AGAIN: Final = 0.05  # seconds between two looks whether the last order has ended
KIND: Final = "brokers"


def check_options(config: Config) -> None:
    """Raise `ConfigError`, with the line, where the options of a broker make no sense."""
    for (kind, key), entry in config.entries.items():
        if kind != KIND or not entry.options:
            continue
        from hotplug.brokers._hosting._options import settings_from

        _, misfits = settings_from(entry.options)
        if misfits:
            first, *others = misfits
            also = "".join(f"; {dotted(other.path)}: {other.why}" for other in others)
            path = (kind, key, *(step for step in first.path if step is not ...))
            line = config.line_of(path)
            raise ConfigError(first.why + also, source=config.source, line=line, where=dotted(path))


class Gateways:
    """The brokers of a host, where it has any: `registry` is None in a host without that kind."""

    def __init__(self, host: Host) -> None:
        self._host: Final = host
        self.drains: Final = Drains(host)

    @property
    def registry(self) -> BrokerRegistry | None:
        """The registry of brokers."""
        found = self._host.registries.get(KIND)
        return cast("BrokerRegistry", found) if hasattr(found, "keeper") else None

    def settle(self, config: Config) -> None:
        """The host lives: tell the registry where, and where to keep what must outlive it."""
        if (registry := self.registry) is not None:
            registry.keeper.settle(orders_folder(config), file_name, self._host.home, self._owners)

    def _owners(self) -> dict[str, str]:
        """Which plugin each top-level module belongs to."""
        records = [status.record for status in self._host.plugins]
        return {record.value.partition(":")[0].partition(".")[0]: str(record) for record in records}

    # -- coming ------------------------------------------------------------------------------------

    def adopt(self, plugin: Plugin) -> None:
        """Give what *plugin* made the book of its key. Raises `PluginError`."""
        registry, record = self.registry, plugin.seat.status.record
        if registry is None or plugin.seat.kind.name != KIND:
            return
        try:
            registry.keeper.adopt(plugin.seat.status.key, plugin.product)
        except (OSError, HostError) as error:
            remedy = "see that the folder of [host] data can be written, and is used by no other host"
            why = f"its order journal cannot be opened: {error}"
            raise PluginError(why, record, remedy=remedy, reason="journal") from error

    def registries_for(
        self, seat: Seat, context: UserExecutionContext | None
    ) -> Mapping[str, UniversalRegistry[Any]]:
        """The registries as the plugin at *seat* may have them: the operator's brokers for named services."""
        whole = self._host.registries
        registry = self.registry
        if registry is None or (seat.kind.name == "services" and seat.entry is not None):
            return whole
        from hotplug.brokers._hosting._counter import counter_of

        own = context if seat.kind.scope is Scope.USER else None
        return _without_operator(whole, counter_of(registry, own))

    def way_up(self, plugin: Plugin, limit: float) -> Callable[[], Any] | None:
        """How *plugin*'s gateway is connected, within *limit* seconds; None for what is no gateway."""
        if self.registry is None or plugin.seat.kind.name != KIND:
            return None
        drained = self.drains.of(plugin.seat.name)
        if drained is None:
            return functools.partial(cast("Any", plugin.product).connect, limit)
        return functools.partial(self._take_over, drained, plugin, limit)

    async def _take_over(self, drained: Plugin, plugin: Plugin, limit: float) -> None:
        """Connect *plugin* in the place of one that drains: at no instant are two gates open."""
        if not self.drains.hold(drained):
            await cast("Any", plugin.product).connect(limit)
            return
        try:
            handover = handover_between(drained, plugin, limit * 0.9)
            await handover.begin()
        except BaseException:
            self.drains.go_on(drained)
            raise
        handover.commit()
        self.drains.finish(drained)

    # -- going -------------------------------------------------------------------------------------

    def is_connected(self, plugin: Plugin) -> bool:
        """Whether *plugin*'s gateway has a session, whoever opened it."""
        if self.registry is None or plugin.seat.kind.name != KIND or plugin.product is None:
            return False
        from hotplug.brokers._hosting._brake import is_idle

        return not is_idle(cast("Any", plugin.product))

    def is_live(self, plugin: Plugin) -> bool:
        """Whether real money is behind *plugin*'s gateway, as far as it was made."""
        if self.registry is None or plugin.seat.kind.name != KIND or plugin.product is None:
            return False
        from hotplug.market import Environment

        return getattr(plugin.product, "environment", None) is Environment.LIVE

    def way_down(self, plugin: Plugin, limit: float) -> Callable[[], Any] | None:
        """How *plugin*'s gateway is left, within *limit* seconds; None for what is no gateway."""
        registry = self.registry
        if registry is None or plugin.seat.kind.name != KIND:
            return None
        gateway: Any = plugin.product
        key = plugin.seat.status.key
        closing = self._host.is_closed
        return functools.partial(registry.keeper.farewell, key, gateway, limit * 0.9, cancel=closing)

    def shut(self, plugin: Plugin) -> None:
        """*plugin* was withdrawn: its gateway takes no orders any more. Not on the home loop."""
        registry = self.registry
        if registry is not None and plugin.seat.kind.name == KIND and plugin.product is not None:
            self.drains.shut(plugin, registry.keeper, self._host.drain_timeout + TURN)

    def retired(self, plugin: Plugin, standing: Sequence[Plugin]) -> None:
        """*plugin* has gone: the gate of its book is free for who stands in its place."""
        registry = self.registry
        if registry is None or plugin.seat.kind.name != KIND:
            return
        registry.keeper.release(plugin.seat.status.key, plugin.product)
        for each in standing:
            if each.seat.name == plugin.seat.name:
                registry.keeper.promote(each.product)

    def promote(self, plugins: Sequence[Plugin]) -> None:
        """*plugins* stand now: theirs is the gate of who has ended meanwhile, and looked for them in vain."""
        registry = self.registry
        if registry is not None:
            for plugin in plugins:
                registry.keeper.promote(plugin.product)

    def end(self) -> tuple[list[PluginError], tuple[Order, ...]]:
        """Leave the gateways that the application registered; what went wrong, and which orders stay open."""
        registry = self.registry
        if registry is None:
            return [], ()
        registry.keeper.end_watch()
        limit, left = self._host.drain_timeout, list[tuple["Order", ...]]()

        async def work() -> list[PluginError]:
            errors: list[PluginError] = []
            for key, gateway in registry.keeper.connected():
                try:
                    await registry.keeper.farewell(key, gateway, limit, cancel=True)
                except BrokerError as error:
                    failure = PluginError(f"disconnecting brokers/{key} failed: {error}")
                    failure.__cause__ = error
                    errors.append(failure)
            left.append(await registry.keeper.end())
            return errors

        errors = finished(self._host.home, work(), limit + TURN)
        return errors, left[0] if left else ()

    # -- changing places ---------------------------------------------------------------------------

    def exchange(self, swaps: Sequence[tuple[Plugin, Plugin]], added: Sequence[Plugin]) -> Exchange:
        """The gateways among *swaps* that change places, and those of *added* that follow one that drains."""
        drained = ((self.drains.of(new.seat.name), new) for new in added)
        pairs = [*swaps, *((old, new) for old, new in drained if old is not None)]
        return Exchange(self._host, [pair for pair in pairs if pair[0].seat.kind.name == KIND])


class Exchange:
    """
    Gateways of one book that change places in one publication: at no instant are two gates open.

        begin (new ones up, gates shut) ──▶ publish ──▶ commit (the new gates open)
          └──────── fails ────────┴──▶ take_back (the old gates open again)
    """

    def __init__(self, host: Host, pairs: Sequence[tuple[Plugin, Plugin]]) -> None:
        self._host: Final = host
        self._pairs: Final = pairs
        self.incoming: Final = [new for old, new in pairs if _has_a_session(old) and _goes_on(old, new)]
        self._begun: list[tuple[Plugin, Handover]] = []
        self._held: list[Plugin] = []

    def begin(self) -> list[Plugin]:
        """Connect the new gateways, their gates shut, and shut the old ones; those that are up now."""
        drains = self._host.gateways.drains
        for old, new in self._pairs:
            if new not in self.incoming:
                self._drain(old, new)
                continue
            new.obtain()
            if not old.stands:
                if not drains.hold(old):
                    continue  # it has ended by now: the new one is connected like any other
                self._held.append(old)
            host = self._host
            handover = handover_between(old, new, host.load_timeout, host.drain_timeout)
            self._run(new, handover.begin(), handover.patience)
            self._begun.append((new, handover))
        return self.taking_over

    def _drain(self, old: Plugin, new: Plugin) -> None:
        """What is not built on the template has no gate to shut: nothing may be open at it."""
        if self._host.gateways.is_connected(old) and not _has_a_session(old):
            limit = self._host.drain_timeout
            self._run(new, _drained(cast("IBrokerGateway", old.product), limit), limit)

    @property
    def taking_over(self) -> list[Plugin]:
        """The new ones that have taken over all there is of their forerunners, its state as well."""
        return [new for new, _ in self._begun]

    def commit(self) -> None:
        """They stand: let orders go through them."""

        async def commit(handover: Handover) -> None:
            handover.commit()

        for new, handover in self._begun:
            self._run(new, commit(handover))
        for old in self._held:
            self._host.gateways.drains.finish(old)

    def take_back(self) -> None:
        """Everything is as before."""
        begun, self._begun = self._begun, []
        for new, handover in reversed(begun):
            try:
                self._run(new, handover.roll_back())
            except PluginError as error:
                _log.error("taking back a hand-over: %s", error)
        for old in self._held:
            self._host.gateways.drains.go_on(old)
        registry = self._host.gateways.registry
        for old, new in self._pairs:
            if registry is not None and new.product is not None:
                registry.keeper.release(new.seat.status.key, new.product)
                registry.keeper.promote(old.product)

    def _run(self, plugin: Plugin, work: Any, limit: float | None = None) -> None:
        record = plugin.seat.status.record
        limit = self._host.load_timeout if limit is None else limit
        try:
            self._host.home.run(work, limit + TURN)
        except Stuck as stuck:
            raise blocked("hand-over", stuck, record) from stuck
        except BrokerError as error:
            failure = PluginError(f"the hand-over to it failed: {error}", record, reason="hand-over")
            plugin.failed(failure)
            raise failure from error


def handover_between(old: Plugin, new: Plugin, limit: float, drain_limit: float | None = None) -> Handover:
    """The hand-over from *old*, which has a session, to *new*; `PluginError` where that cannot be."""
    from hotplug.brokers import BrokerGateway
    from hotplug.brokers._hosting._options import settings_from
    from hotplug.brokers._template._handover import Handover

    before, after = old.product, new.product
    assert isinstance(before, BrokerGateway)  # noqa: S101 - what has a session here is one
    if not isinstance(after, BrokerGateway):
        raise PluginError("cannot take over the orders of the gateway it replaces", new.seat.status.record)
    settings, _ = settings_from(new.seat.entry.options if new.seat.entry else {})
    return Handover(before, after, settings.policy, limit, drain_limit)


async def _drained(gateway: IBrokerGateway, limit: float) -> None:
    """Wait, for *limit* seconds at most, until no own order is open. Raises `GatewayNotReady`."""
    until = time.monotonic() + limit
    while count := await _open_at(gateway, until):
        if time.monotonic() >= until:
            why = f"{count} orders are open: without a gate to shut it is replaced when none is"
            raise GatewayNotReady(why, code="not_replaced", outcome="NOT_SENT")
        await asyncio.sleep(LOOK_AGAIN)


async def _open_at(gateway: IBrokerGateway, until: float) -> int:
    from hotplug.market import Origin

    asked = await WalledCall(gateway.get_open_orders).outcome(max(until - time.monotonic(), LOOK_AGAIN))
    if asked.state != "done":
        why = f"nobody knows what is open: get_open_orders {asked.state}"
        raise GatewayNotReady(why, code="not_replaced", outcome="NOT_SENT") from asked.error
    return sum(order.origin is Origin.OWN for order in asked.value or ())


def _has_a_session(plugin: Plugin) -> bool:
    from hotplug.brokers import BrokerGateway
    from hotplug.brokers._hosting._books import is_at_rest

    return isinstance(plugin.product, BrokerGateway) and not is_at_rest(plugin.product)


def _goes_on(old: Plugin, new: Plugin) -> bool:
    """Whether the session of *old* is one for *new*: it shall run, or the application had connected it."""
    return new.shall_run or not old.shall_run


# -- registries for plugins ------------------------------------------------------------------------


class _Registries(Mapping[str, "UniversalRegistry[Any]"]):
    """A host's registries, as they come; that of brokers as a counter. Leads to no other."""

    __slots__ = ("__weakref__", "_behind")

    def __getitem__(self, name: str) -> UniversalRegistry[Any]:
        whole, counter = _behind(self)
        return cast("UniversalRegistry[Any]", counter) if name == KIND else whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_behind(self)[0])

    def __len__(self) -> int:
        return len(_behind(self)[0])

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


_behind: Callable[[_Registries], tuple[Mapping[str, Any], object]]
_behind, _set_behind = hide(_Registries, "_behind")


def _without_operator(whole: Mapping[str, Any], counter: object) -> _Registries:
    registries = _Registries()
    _set_behind(registries, (whole, counter))
    return registries
