"""
A venue that lives in its gateway goes over to the next: ``export_state`` tells it, ``import_state`` hears.

    old: no cancel, no change under way ─▶ calls of it wait, what it says is kept ─▶ export ─▶ import
      commit:    what the old one is asked for, the new one does; what the old one says is not heard any more
      take_back: the old one does it itself, and what it said meanwhile happens
"""

# What is done to gateways here is the template's own business.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug._records import exported_state
from hotplug.brokers._template._ear import Ear
from hotplug.errors import GatewayNotReady, GatewayReplaced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hotplug.brokers._template._core import Core
    from hotplug.brokers._template._gateway import BrokerGateway

__all__ = ["Move"]

OWN: Final = frozenset({"_connect", "_disconnect"})
"""The hooks that stay its own: opening and closing a line. All others ask the venue."""


class Move:
    """
    The way of one gateway's state into the next, which is not connected yet. Lives on their home loop.

    Once it is told, the state is the new one's: were the old one asked for anything after that, or heard,
    there were two venues. So its hooks wait until `commit` or `take_back` decides whose they are; what drives
    a simulated market goes by ``_invoke``, as hooks do, and so to the one venue there is.
    """

    def __init__(self, old: BrokerGateway, new: BrokerGateway) -> None:
        self._old: Final = old
        self._new: Final = new
        self._serving: BrokerGateway = old
        self._is_decided: Final = asyncio.Event()
        self._invoke: Final[Callable[..., Awaitable[Any]]] = old._invoke
        self._ear: Final = old._core.ear
        self._aside: Final = _Aside(old._core)

    @classmethod
    def between(cls, old: BrokerGateway, new: BrokerGateway) -> Move | None:
        """That from *old* to *new*, where both have what it takes."""
        both = callable(getattr(old, "export_state", None)) and callable(getattr(new, "import_state", None))
        return cls(old, new) if both else None

    async def carry(self, until: float) -> None:
        """Take the state over, until *until*. Raises `GatewayNotReady`, and `take_back` is due then."""
        await self._quiet(until)
        self._put_aside()
        answer = await self._ask(self._old, "export_state", until)
        try:
            version, state = exported_state(answer, "what its export_state told")
        except TypeError as error:
            raise self._refusal(str(error)) from error
        await self._ask(self._new, "import_state", until, version, state)

    def commit(self) -> None:
        """From now on the new one is the old one's venue."""
        self._decide(self._new)
        self._aside.said = None

    def take_back(self) -> None:
        """The old one goes on as if nothing had been."""
        self._decide(self._old)
        core = self._old._core
        if core.ear is self._aside:
            del vars(self._old)["_invoke"]
            core.ear = self._ear
            self._ear.replay(self._aside.said or ())

    # -- steps -------------------------------------------------------------------------------------

    async def _quiet(self, until: float) -> None:
        """Wait for cancels and changes that are under way: the venue that is told of must know of them."""
        core = self._old._core
        while busy := _under_way(core):
            _, pending = await asyncio.wait(busy, timeout=max(0.0, until - time.monotonic()))
            if pending:
                raise self._refusal("cancels or changes of orders are under way still")

    def _put_aside(self) -> None:
        old = self._old
        old._core.ear = self._aside
        vars(old)["_invoke"] = self._instead

    async def _instead(self, hook: Callable[..., Any], *arguments: object) -> Any:
        """``_invoke`` of the old one."""
        name = getattr(hook, "__name__", "")
        serving = self._old
        if name not in OWN:
            await self._is_decided.wait()
            serving = self._serving
        if serving is self._old:
            return await self._invoke(hook, *arguments)
        if not hasattr(serving, name):
            why = f"{serving.broker_id}: a newer generation serves now; get it from the registry"
            raise GatewayReplaced(why, code="replaced", outcome="NOT_SENT")
        return await serving._invoke(getattr(serving, name), *arguments)

    def _decide(self, serving: BrokerGateway) -> None:
        self._serving = serving
        self._is_decided.set()

    async def _ask(self, gateway: BrokerGateway, verb: str, until: float, *arguments: object) -> Any:
        """What the plugin answers, whose verb may be a coroutine, or block where its hooks do."""
        invoke = self._invoke if gateway is self._old else gateway._invoke
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                answer: Any = invoke(getattr(gateway, verb), *arguments)
                while inspect.isawaitable(answer):
                    answer = await answer
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except TimeoutError as error:
            raise self._refusal(f"its {verb} was not finished in time") from error
        except BaseException as error:
            raise self._refusal(f"its {verb} raised {name_and_text(error)}") from error
        return answer

    def _refusal(self, why: str) -> GatewayNotReady:
        return GatewayNotReady(
            f"{self._old.broker_id} is not replaced: {why}", code="not_replaced", outcome="NOT_SENT"
        )


class _Aside(Ear):
    """Keeps what the old one says until it is decided whether that counts."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.said: list[object] | None = []

    def hear(self, said: object) -> None:
        """Keep it, or forget it."""
        if self.said is not None:
            self.said.append(said)


def _under_way(core: Core) -> set[asyncio.Future[Any]]:
    changes = (held.changing for held in core.book.open())
    return {*core.cancels.under_way, *(each for each in changes if each is not None)}
