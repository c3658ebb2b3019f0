"""Handing over in the middle of a run: what the old object exports, and a new one imports."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from hotplug._lifecycle import name_and_text
from hotplug._records import exported_state
from hotplug.registry import run_in_thread
from hotplug.strategies._contract import Strategy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hotplug._lifecycle import Outcome
    from hotplug.strategies._contract import Trader

__all__ = ["Handover", "HandoverError", "missing_for_handover"]

NEEDED: Final = ("export_state", "import_state")


class HandoverError(RuntimeError):
    """The run did not go on with the offered object; it never leaves the machine room."""


class Stateful(Protocol):
    """What a strategy has besides that can hand over to its successor."""

    def export_state(self) -> tuple[int, Any] | Awaitable[tuple[int, Any]]: ...
    def import_state(self, version: int, data: Any) -> Awaitable[None] | None: ...


def missing_for_handover(strategy: Strategy) -> tuple[str, ...]:
    """The methods that *strategy* lacks in order to hand over. Runs none of its code."""
    return tuple(name for name in NEEDED if not callable(getattr(type(strategy), name, None)))


class Handover:
    """
    One attempt to put a successor in the place of *old*, who stays as it is.

    All plugin code is called here, by `successor`; `call_off` keeps it from going on.
    """

    def __init__(
        self,
        old: Strategy,
        make: Callable[[], Strategy],
        trader: Trader,
        claim: Callable[[Strategy], Callable[[], None]],
    ) -> None:
        self._old: Final = old
        self._make: Final = make
        self._trader: Final = trader
        self._claim: Final = claim
        self._doing = ""
        self._called_off = False
        self.release: Callable[[], None] = _nothing_claimed
        """Takes back the claim on the new object."""

    async def successor(self) -> Strategy:
        """
        An object made by *make*, with the state of the old one and the *trader*.

        It is claimed before it is touched. Plain methods are called on the loop, as all callbacks are;
        *make* in a thread of its own, as a constructor may take long.
        """
        version, data = await self._export()
        new = await self._made()
        self._begin(f"claiming the new {type(new).__name__}")
        self.release = self._claim(new)
        self._begin(f"giving the new {type(new).__name__} its trader")
        new.trader = self._trader
        self._begin(f"import_state() of the new {type(new).__name__}")
        await _answer(cast("Stateful", new).import_state(version, data))
        return new

    async def _export(self) -> tuple[int, Any]:
        name = type(self._old).__name__
        self._begin(f"export_state() of the old {name}")
        answer = await _answer(cast("Stateful", self._old).export_state())
        try:
            return exported_state(answer, f"the state of {name}")
        except TypeError as error:
            raise HandoverError(str(error)) from None

    async def _made(self) -> Strategy:
        self._begin(f"making the new {type(self._old).__name__}")
        new = await run_in_thread(self._make)
        if not isinstance(new, Strategy):  # pyright: ignore[reportUnnecessaryIsInstance] - it is not ours
            raise HandoverError(f"what was made is no strategy, but a {type(new).__name__}")
        if missing := missing_for_handover(new):
            raise HandoverError(f"the new {type(new).__name__} has no {' and no '.join(missing)}")
        return new

    def _begin(self, step: str) -> None:
        if self._called_off:
            raise HandoverError("called off")
        self._doing = step

    def call_off(self) -> None:
        """Let go of what was made, and begin nothing more even if plugin code that was cancelled goes on."""
        self._called_off = True
        self.release()

    def failure(self, outcome: Outcome[Strategy], limit: float) -> HandoverError:
        """Why there is no successor; what a plugin raised is the cause."""
        if outcome.state != "failed":
            stuck = " and does not stop" if outcome.left_behind else ""
            return HandoverError(f"{self._doing} took more than {limit:g} s{stuck}")
        if isinstance(outcome.error, HandoverError):
            return outcome.error
        error = HandoverError(f"{self._doing} raised {name_and_text(outcome.error)}")
        error.__cause__ = outcome.error
        return error


async def _answer(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


def _nothing_claimed() -> None:
    """What there is to take back before anything was claimed."""
