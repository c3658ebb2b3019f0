"""The runs of agents that are under way, until all of them end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hotplug.agents._run import PARENT, AgentRun
from hotplug.context import serving
from hotplug.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from hotplug._lifecycle import WalledCall
    from hotplug.context import UserExecutionContext

__all__ = ["Order", "Runs"]

GRACE: Final = 6.0  # seconds that cancelled runs have to end: a little more than plugin code has to clean up


@dataclass(frozen=True, slots=True)
class Order:
    """What an agent is asked for: *asking* is the context that was given, *context* the run's own."""

    task: object
    asking: UserExecutionContext
    context: UserExecutionContext
    timeout: float | None


@dataclass(frozen=True, slots=True)
class _Going:
    run: AgentRun
    call: WalledCall[object]
    asking: UserExecutionContext
    loop: asyncio.AbstractEventLoop


class Runs:
    """The runs under way, by their ids. Thread-safe."""

    def __init__(self) -> None:
        self._going: dict[str, _Going] = {}
        self._changed: Final = threading.Condition()
        self._ended = False

    @contextlib.contextmanager
    def going_on(self, run: AgentRun, call: WalledCall[Any], asking: UserExecutionContext) -> Generator[None]:
        """*run* goes on; `HostError` where no run may begin any more, unless it is inside another one."""
        with self._changed:
            if self._ended and run.context.metadata.get(PARENT) not in self._going:
                raise HostError(f"agent {run.agent!r} cannot run: the host is closed")
            self._going[run.run_id] = _Going(run, call, asking, asyncio.get_running_loop())
        try:
            yield
        finally:
            with self._changed:
                del self._going[run.run_id]
                self._changed.notify_all()

    def __iter__(self) -> Generator[str]:
        yield from tuple(self._going)

    def context_of(self, run_id: str) -> UserExecutionContext | None:
        """The context of a run that goes on."""
        going = self._going.get(run_id)
        return None if going is None else going.run.context

    def asking_of(self, run_id: str) -> UserExecutionContext | None:
        """The context that a run was asked for with."""
        going = self._going.get(run_id)
        return None if going is None else going.asking

    def cancel(self, run_id: str) -> bool:
        """Ask a run to end; false if there is none."""
        going = self._going.get(run_id)
        if going is None:
            return False
        going.call.cancel()
        return True

    def end(self, patience: float) -> None:
        """Let none begin; wait for the others, cancel them, and end in their stead those that do not."""
        with self._changed:
            self._ended = True
        own = self._own()
        self._wait(own, patience)
        late = tuple(self._going.values())
        for going in late:
            going.call.cancel()
        if late:
            self._wait(own, GRACE)
        for going in tuple(self._going.values()):
            going.run.failed("the host was closed", "closed")

    def _wait(self, own: Iterable[str], limit: float) -> None:
        """Until all but *own* have ended, *limit* seconds at most."""
        deadline = time.monotonic() + limit
        with self._changed:
            while not self._going.keys() <= set(own) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _own(self) -> set[str]:
        """Those that the caller is inside of, or that live on the loop that it blocks."""
        here = asyncio._get_running_loop()  # noqa: SLF001 - None where there is none, without an exception
        found = {run_id for run_id, going in tuple(self._going.items()) if going.loop is here}
        context = serving.get()
        while context is not None:
            found.add(context.run_id)
            context = self.context_of(context.metadata.get(PARENT, ""))
        return found
