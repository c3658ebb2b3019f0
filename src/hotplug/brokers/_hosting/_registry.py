"""Where gateways stand, and what is known of them without asking anybody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, overload

from hotplug._records import FrozenDict
from hotplug.brokers._contract import BrokerInfo, IBrokerGateway, IBrokerRegistry
from hotplug.brokers._hosting._books import is_at_rest
from hotplug.brokers._hosting._facade import front_of, refuse_on
from hotplug.brokers._hosting._halts import Halt
from hotplug.brokers._hosting._keeper import Keeper
from hotplug.brokers._hosting._options import checked_settings
from hotplug.brokers._hosting._reports import as_registered, complaint_of, report_of
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.errors import ContractError, HostError
from hotplug.market import GatewayStatus, HealthState
from hotplug.registry import UniversalRegistry, run_in_thread
from hotplug.registry._entries import ABSENT, Factory, facts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hotplug._records import Health, PluginRecord
    from hotplug.brokers._hosting._facade import SyncGateway
    from hotplug.brokers._hosting._news import StatusListener
    from hotplug.brokers._orders._book import Book
    from hotplug.brokers._settings import BookSettings
    from hotplug.context import UserExecutionContext
    from hotplug.errors import BrokerError
    from hotplug.market import Order
    from hotplug.registry import Undo
    from hotplug.registry._entries import Facts, Record
    from hotplug.registry._places import Holder

__all__ = ["BrokerRegistry"]

D = TypeVar("D")

AT_REST: Final = frozenset({GatewayStatus.CREATED, GatewayStatus.DISCONNECTED})
"""Where a gateway is that nobody wants connected: that it is not healthy is nobody's worry."""


class BrokerRegistry(UniversalRegistry[IBrokerGateway], IBrokerRegistry):
    """
    Gateways by broker id.

    What it says of them comes from the reports that they published last: no I/O, no lock, nothing is
    loaded or connected for it, so it answers at once however a venue is.
    """

    _default_name: ClassVar[str] = "brokers"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.brokers:IBrokerGateway"

    def __init__(
        self,
        name: str | None = None,
        contract: type[IBrokerGateway] | str | None = None,
        *,
        metrics: bool = True,
    ) -> None:
        super().__init__(name, contract, metrics=metrics)
        self._keeper: Final = Keeper(self.loaded)
        self._books: Final = self._keeper.books
        self._brake: Final = self._keeper.brake

    @overload
    def register(
        self,
        gateway: IBrokerGateway,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo: ...
    @overload
    def register(
        self,
        key: str,
        gateway: IBrokerGateway,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo: ...

    def register(
        self,
        key: str | IBrokerGateway,
        gateway: IBrokerGateway | None = None,
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """
        Stand *gateway* under *key*, or without one under its own ``broker_id``; the undo takes it away.

        Raises `ContractError`, `DuplicateKeyError` or `FrozenRegistryError`; nothing is registered then.
        """
        if gateway is None:
            key, gateway = self._named_by_itself(key)
        if not isinstance(key, str) or key in self:  # refused before it gets the book of another
            return super().register(key, gateway, tags=tags, metadata=metadata, owner=owner)  # type: ignore[arg-type]
        settings = self._settings(key, metadata)
        self._books.tell(key, settings)
        self._keeper.adopt(key, gateway)
        try:
            return super().register(key, gateway, tags=tags, metadata=metadata, owner=owner)
        except BaseException:
            self._books.release(key, gateway)
            raise

    @overload
    def get(self, key: str, context: UserExecutionContext | None = None) -> IBrokerGateway: ...
    @overload
    def get(
        self, key: str, context: UserExecutionContext | None = None, *, default: D
    ) -> IBrokerGateway | D: ...
    @overload
    def get(self, *, broker_id: str) -> IBrokerGateway: ...
    @overload
    def get(self, *, broker_id: str, default: D) -> IBrokerGateway | D: ...

    def get(
        self,
        key: str = ABSENT,
        context: UserExecutionContext | None = None,
        *,
        default: Any = ABSENT,
        broker_id: str = ABSENT,
    ) -> Any:
        """The gateway under *key*, which may be called *broker_id* as well; as `UniversalRegistry.get`."""
        if broker_id is ABSENT and context is None:
            # The base's own short way once more: one call less, on a path where each counts.
            try:
                record = self._table[key]
                item = record.item
                next(record.hits)
            except (KeyError, AttributeError):
                pass
            else:
                next(self._found)
                return item
        return super().get(_one_of(key, broker_id), context, default=default)

    def unregister(self, key: str = ABSENT, *, broker_id: str = ABSENT) -> None:
        """Take away what stands under *key*, which may be called *broker_id* as well."""
        super().unregister(_one_of(key, broker_id))

    def health(self) -> Health:
        """
        ``degraded`` while a gateway that was to be connected is not ready and well, or one drains.

        Asks nobody. *details* has ``brokers``: the status of each gateway that is loaded.
        """
        own = super().health()
        infos = {
            key: self._info(key, record)
            for key, record in self._snapshot().items()
            if hasattr(record, "item")
        }
        ill = [info for info in infos.values() if not (info.healthy or info.status in AT_REST)]
        draining = [
            f"{key}: {gateway.status}, withdrawn with {count} open order{'s' if count != 1 else ''}"
            for key, gateway, count in self._keeper.draining()
            if getattr(self._at(key), "item", None) is not gateway
        ]
        statuses = {key: str(info.status) for key, info in infos.items()}
        details = {**own.details, "brokers": FrozenDict(statuses)}
        return replace(
            own,
            status="degraded" if ill or draining else own.status,
            issues=(
                *own.issues,
                *(f"{self.name}/{complaint_of(info)}" for info in ill),
                *(f"{self.name}/{each}" for each in draining),
            ),
            details=FrozenDict(details),
        )

    def list_all(self, *, type: str | None = None, healthy: bool | None = None) -> tuple[BrokerInfo, ...]:  # noqa: A002
        """
        What is known of each gateway, in order of registration.

        With *type*, of those of that type; with *healthy*, of those which are so, or which are not.
        """
        infos = (self._info(key, record) for key, record in self._snapshot().items())
        return tuple(
            info
            for info in infos
            if (type is None or info.type == type) and (healthy is None or info.healthy is healthy)
        )

    def get_healthy(self) -> tuple[IBrokerGateway, ...]:
        """The gateways that are ready and well, by reports that are not too old."""
        if self._keeper.is_late:
            return ()
        is_well = self._keeper.is_well
        records = self._snapshot().values()
        found = (getattr(record, "item", None) for record in records)
        return tuple([gateway for gateway in found if gateway is not None and is_well(gateway)])

    def get_by_type(self, type: str) -> tuple[IBrokerGateway, ...]:  # noqa: A002 - the contract's word
        """The gateways of a type, of those that are loaded."""
        return tuple(gateway for _, gateway in self.loaded() if report_of(gateway).type == type)

    def info(self, broker_id: str) -> BrokerInfo:
        """What is known of the gateway under *broker_id*; `NotRegisteredError`."""
        record = self._at(broker_id)
        if record is None:
            raise self._unfit(broker_id)
        return self._info(broker_id, record)

    def book(self, broker_id: str) -> Book | None:
        """The order book of *broker_id*, for operators; ``None`` while no gateway has needed one."""
        return self._books.book(broker_id)

    def subscribe_status(self, listener: StatusListener) -> Undo:
        """
        Tell *listener* (key, change) of every change of a gateway's status from now on.

        In order, one at a time, in the thread of who changed it: mostly the home loop's, so it must not
        block. What it raises is logged.
        """
        return self._books.news.subscribe(listener)

    # -- halts -------------------------------------------------------------------------------------

    def halt(
        self, reason: str, *, key: str | None = None, user: str | None = None, cancel: bool = True
    ) -> tuple[Order | BrokerError, ...]:
        """
        Let nobody trade: at the broker *key* (without one: anywhere), for *user* (without one: anybody).

        No order is sent after this returned. Own open orders are cancelled then (unless *cancel* is false),
        and each has its result here: the order, or the error. It holds in all processes that share the
        data folder, survives reload and restart, and ends with `resume` only. On the loop that the gateways
        live on, gates are shut and `SyncCallOnLoop` is raised: `ahalt` is the one to use.
        """
        return self._brake.halt(self._checked(Halt.now(reason, key=key, user=user, cancel=cancel)))

    async def ahalt(
        self, reason: str, *, key: str | None = None, user: str | None = None, cancel: bool = True
    ) -> tuple[Order | BrokerError, ...]:
        """`halt`, from any event loop."""
        return await self._brake.ahalt(self._checked(Halt.now(reason, key=key, user=user, cancel=cancel)))

    def resume(self, reason: str, *, key: str | None = None, user: str | None = None) -> tuple[Halt, ...]:
        """
        End the halts of *user* (without one: those that are for everybody) at *key* (without one: anywhere).

        The answer is what is halted still. `OSError` where that cannot be kept in the data folder: nothing
        was lifted then.
        """
        return self._brake.resume(reason, key, user)

    async def aresume(
        self, reason: str, *, key: str | None = None, user: str | None = None
    ) -> tuple[Halt, ...]:
        """`resume`, without blocking the loop."""
        return await run_in_thread(self.resume, reason, key=key, user=user)

    def halts(self) -> tuple[Halt, ...]:
        """What is halted, oldest first."""
        return self._books.halts.in_force()

    def _checked(self, halt: Halt) -> Halt:
        """A halt of a broker that nobody knows would halt nothing: it is a slip of the pen."""
        if halt.key is not None and halt.key not in self and self._books.book(halt.key) is None:
            raise self._unfit(halt.key)
        return halt

    # -- for who cannot await ----------------------------------------------------------------------

    def sync(self, key: str, context: UserExecutionContext | None = None) -> SyncGateway:
        """
        The gateway under *key* (with a context: that user's view of it) for code that cannot await.

        Each call blocks until it is answered, or its deadline has passed. On the thread of the loop that
        the gateways live on, it raises `SyncCallOnLoop`, and so do its calls. `HostError` without a host.
        """
        home = self._books.home
        if home is None:
            raise HostError("sync() needs the loop of a host: use it on host.brokers")
        refuse_on(home, "sync")
        return front_of(self.get(key, context), home)

    # -- for the host ------------------------------------------------------------------------------

    @property
    def keeper(self) -> Keeper:
        """Who keeps the books and watches the gateways; the host tells it where it lives."""
        return self._keeper

    def loaded(self) -> Iterator[tuple[str, IBrokerGateway]]:
        """Key and gateway of each that is loaded."""
        for key, record in self._snapshot().items():
            gateway = getattr(record, "item", None)
            if gateway is not None:
                yield key, gateway

    def retune(self, key: str, owner: PluginRecord, facts: Mapping[str, Any]) -> None:
        """Give the entry of *owner* under *key* other *facts*; its gateway stays as it is."""
        with self._writing:
            record = self._at(key)
            if record is not None and record.facts.owner == owner:
                generation = record.facts.generation
                record.facts = facts_of(facts["tags"], facts["metadata"], owner, generation)
        self._books.tell(key, self._settings(key, facts["metadata"]))

    # -- machine room ------------------------------------------------------------------------------

    def register_lazy(
        self,
        key: str,
        load: Callable[[], IBrokerGateway],
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """As `UniversalRegistry.register_lazy`; what is loaded works on the book of *key*."""
        settings = self._settings(key, metadata)
        undo = super().register_lazy(
            key, self._adopting(key, load), tags=tags, metadata=metadata, owner=owner
        )
        self._books.tell(key, settings)
        return undo

    def _fill(
        self,
        holder: Holder[IBrokerGateway],
        key: str,
        *,
        item: IBrokerGateway,
        load: Callable[[], IBrokerGateway] | None,
        factory: Callable[[UserExecutionContext], IBrokerGateway] | None,
    ) -> None:
        """As the base's; what is loaded works on the book of *key*."""
        self._settings(key, holder.facts.metadata)
        if load is not None:
            load = self._adopting(key, load)
        if item is not ABSENT:
            self._keeper.adopt(key, item)
        super()._fill(holder, key, item=item, load=load, factory=factory)

    def _stands(self, key: str, facts: Facts) -> None:
        """The book of *key* stays, and hears of new settings."""
        self._books.tell(key, self._settings(key, facts.metadata))

    def replace(self, key: str, item: IBrokerGateway, /) -> IBrokerGateway:
        """
        Swap the gateway under *key*; as `UniversalRegistry.replace`.

        Raises `HostError` while the old one has a session and both work on one book: two sessions must not
        trade on one. Disconnect it first.
        """
        old = getattr(self._at(key), "item", None)
        if isinstance(old, BrokerGateway) and isinstance(item, BrokerGateway) and not is_at_rest(old):
            raise HostError(f"brokers/{key} is {old.status}: disconnect it first, then replace it")
        self._keeper.adopt(key, item)
        replaced = super().replace(key, item)
        self._books.promote(item)
        return replaced

    def _adopting(self, key: str, load: Callable[[], IBrokerGateway]) -> Callable[[], IBrokerGateway]:
        if not callable(load):
            return load

        def adopted() -> IBrokerGateway:
            gateway = load()
            self._keeper.adopt(key, gateway)
            return gateway

        return adopted

    def _settings(self, key: str, metadata: Mapping[str, object] | None) -> BookSettings:
        return checked_settings(metadata or {}, f"{self.name}/{key}")

    def _obtain(
        self, key: str, record: Record[IBrokerGateway], context: UserExecutionContext | None
    ) -> IBrokerGateway:
        gateway = super()._obtain(key, record, context)
        if context is None or isinstance(record.maker, Factory):  # what was made for a user is that user's
            return gateway
        return self._books.view(key, gateway, context, record.facts.generation)

    def _info(self, key: str, record: Record[IBrokerGateway]) -> BrokerInfo:
        """The gateway's report, with what the registry knows better: key, owner, generation, age."""
        gateway = getattr(record, "item", None)
        if gateway is None:
            return as_registered(key, record, BrokerInfo(broker_id=key, type=""), HealthState.UNKNOWN)
        report = report_of(gateway)
        return as_registered(key, record, report, self._keeper.health_of(gateway, report))

    def _named_by_itself(self, gateway: object) -> tuple[str, IBrokerGateway]:
        if isinstance(gateway, IBrokerGateway):
            return gateway.broker_id, gateway
        why = f"register takes a gateway, or a key and a gateway, not just {gateway!r}"
        raise ContractError(self.name, str(gateway), why)


def _one_of(key: str, broker_id: str) -> str:
    if (key is ABSENT) is (broker_id is ABSENT):
        raise TypeError("which gateway? one key, please (or the same as broker_id=…)")
    return broker_id if key is ABSENT else key
