"""What a host needs of its registry of brokers: where they live, who watches them, how they are left."""

# What is done to gateways here is the template's own business.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from hotplug.brokers._hosting._books import Books, is_at_rest
from hotplug.brokers._hosting._brake import Brake
from hotplug.brokers._hosting._parting import Parting
from hotplug.brokers._hosting._reports import healthy_report_of
from hotplug.brokers._hosting._watch import LoopWatch, Polls
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.market import HealthState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from hotplug._lifecycle import HomeLoop
    from hotplug.brokers._contract import BrokerInfo, IBrokerGateway
    from hotplug.market import Order

__all__ = ["Keeper"]


class Keeper:
    """
    Keeps the books of a registry whose loaded gateways *loaded* gives, and watches over those. Thread-safe.

    Alone it watches nothing: `settle` gives it the loop and the folder of a host.
    """

    def __init__(self, loaded: Callable[[], Iterable[tuple[str, IBrokerGateway]]]) -> None:
        self.books: Final = Books()
        self.brake: Final = Brake(self.books, self._tradable)
        self._loaded: Final = loaded
        self._parting: Final = Parting(self.books)
        self._polls: Final = Polls(self.books.news)
        self._plugins: Callable[[], Mapping[str, str]] = dict
        self._guard: Final = threading.Lock()
        self._watch: LoopWatch | None = None
        self._is_over = False

    # -- coming ------------------------------------------------------------------------------------

    def settle(
        self,
        folder: Path,
        file_name: Callable[[str], str],
        home: HomeLoop,
        plugins: Callable[[], Mapping[str, str]],
    ) -> None:
        """
        Live at *home* from now on, and keep journals and halts in *folder*, named by *file_name*.

        *plugins* says which plugin a top-level module belongs to.
        """
        self.books.settle(folder, file_name, home)
        self.brake.keep_acks(folder / "acks")
        self._plugins = plugins

    def adopt(self, key: str, gateway: object) -> None:
        """
        Have *gateway*, which stands under *key* or will, work on that key's book.

        Its gate stays shut as long as another gateway of the book has a session. Raises `OSError` where the
        journal cannot be opened, `HostError` for one that was connected with a book of its own before.
        """
        self.books.attach(key, gateway)
        home = self.books.home
        with self._guard:
            if home is None or self._watch is not None or self._is_over:
                return
            self._watch = LoopWatch(home.loop, look=self.brake.follow, beat=self._beat, plugins=self._plugins)
            self._watch.start()

    def promote(self, gateway: object) -> None:
        """Let *gateway* have the gate of its book, if nobody with a session has it."""
        self.books.promote(gateway)

    def release(self, key: str, gateway: object) -> None:
        """*gateway* will not stand under *key* any more, or after all."""
        self.books.release(key, gateway)

    # -- how they are ------------------------------------------------------------------------------

    @property
    def is_late(self) -> bool:
        """Whether the home loop has not come round for so long that nothing is known of any gateway."""
        watch = self._watch
        return watch is not None and watch.is_late

    def is_well(self, gateway: IBrokerGateway) -> bool:
        """Ready, healthy, and heard of lately; where the home loop turns."""
        if isinstance(gateway, BrokerGateway):
            return gateway.well
        report = healthy_report_of(gateway)
        return report is not None and self._polls.health_of(gateway, report) is HealthState.HEALTHY

    def health_of(self, gateway: IBrokerGateway, report: BrokerInfo) -> HealthState:
        """How *gateway* is, by its *report*, as far as that can be believed now."""
        if self.is_late:
            return HealthState.UNKNOWN
        if not isinstance(gateway, BrokerGateway):
            return self._polls.health_of(gateway, report)
        return HealthState.UNKNOWN if report.healthy and not gateway.well else report.health

    def _beat(self) -> None:
        """On the home loop: see how those are that do not say so by themselves."""
        self._polls.look((key, each) for key, each in self._loaded() if not isinstance(each, BrokerGateway))

    # -- going -------------------------------------------------------------------------------------

    def connected(self) -> tuple[tuple[str, BrokerGateway], ...]:
        """The template gateways that have a session, whoever connected them, with their keys."""
        gateways = self.books.attached()
        return tuple((each.broker_id, each) for each in gateways if not is_at_rest(each))

    async def shut(self, gateway: IBrokerGateway, reason: str) -> bool:
        """Let *gateway* take no orders any more, on the home loop; False where it has no session to drain."""
        return isinstance(gateway, BrokerGateway) and await gateway._core.line.shut(reason)

    async def drained(self, gateway: BrokerGateway) -> None:
        """Wait until no own order is open at *gateway*, which was shut; or until it is disconnected."""
        await gateway._core.line.drain()

    def open_orders(self, gateway: BrokerGateway) -> int:
        """How many own orders are open in the book of *gateway*, or may be. From any thread."""
        return gateway._core.line.open_orders

    def draining(self) -> tuple[tuple[str, BrokerGateway, int], ...]:
        """The gateways that were shut and wait for the end of their orders: key, gateway, open orders."""
        return tuple(
            (each.broker_id, each, self.open_orders(each))
            for each in self.books.attached()
            if each._core.line.drains and each.book.owner is each
        )

    def _tradable(self) -> Iterator[tuple[str, IBrokerGateway]]:
        """What may have orders to cancel: what has the gate of a book, and whatever else stands."""
        connected: dict[str, IBrokerGateway] = {
            key: gateway for key, gateway in self.connected() if gateway.book.owner is gateway
        }
        for key, gateway in self._loaded():
            yield key, connected.pop(key, gateway)
        yield from connected.items()

    async def farewell(self, key: str, gateway: IBrokerGateway, deadline: float, *, cancel: bool) -> None:
        """
        Disconnect *gateway* within *deadline* seconds. Its open orders stay, and are remembered.

        With *cancel* own orders are cancelled first, where the configuration of *key* says so.
        """
        await self._parting.farewell(key, gateway, deadline, cancel=cancel)

    def end_watch(self) -> None:
        """Watch no more; from a thread that is not the home loop's."""
        with self._guard:
            watch, self._watch, self._is_over = self._watch, None, True
        if watch is not None:
            watch.stop()

    async def end(self) -> tuple[Order, ...]:
        """Let go of all books, on the home loop; the own orders that are left open at their venues."""
        self._polls.stop()
        left = self._parting.left_open()
        self.brake.end()
        self.books.close()
        return left
