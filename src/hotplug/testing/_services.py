"""What every service promises, as tests to inherit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from hotplug._records import Health
from hotplug._signature import differences
from hotplug.services import Service
from hotplug.services._checks import BLOCKED, DEADLINE, Steps, sound
from hotplug.testing._suite import Suite, claim, claim_type

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["ServiceContract"]


class ServiceContract(Suite):
    """
    The promises of `Service`. Subclass it and say how to make one that can start here:

        class TestMine(ServiceContract):
            def make_service(self) -> MyService:
                return MyService(port=0)
    """

    def make_service(self) -> Service:
        """A new service, not started."""
        raise NotImplementedError(f"{type(self).__name__} must define make_service()")

    def test_it_is_a_service(self) -> None:
        """The service is a `Service`, and can be called as the contract calls it."""
        service = self.make_service()
        claim_type(service, Service, "a service")
        found = differences(service, Service)
        claim(not found, "it differs from Service:\n  " + "\n  ".join(found))

    def test_it_names_what_it_requires(self) -> None:
        """What it requires is a tuple of names."""
        requires: object = self.make_service().requires
        claim_type(requires, tuple, "what it requires")
        for name in self.make_service().requires:
            claim_type(name, str, "the name of a service that it requires")

    def test_it_starts_and_stops(self) -> None:
        """It starts, says how it is, and stops."""

        async def life() -> Health:
            service = self.make_service()
            await service.start()
            try:
                return await service.health()
            finally:
                await service.stop()

        _claim_well(self.run(life()), "started, it")

    def test_stopping_is_harmless(self) -> None:
        """Stopping what never started, or was stopped already, does nothing."""

        async def life() -> None:
            service = self.make_service()
            await service.stop()
            await service.start()
            await service.stop()
            await service.stop()

        self.run(life())

    def test_it_starts_again(self) -> None:
        """A service that was stopped can be started again."""

        async def life() -> None:
            service = self.make_service()
            for _ in range(2):
                await service.start()
                await service.stop()

        self.run(life())

    def test_its_health_can_always_be_asked(self) -> None:
        """Before it starts and after it stopped, `health` answers as well."""

        async def life() -> tuple[Health, Health]:
            service = self.make_service()
            before = await service.health()
            await service.start()
            await service.stop()
            return before, await service.health()

        for health in self.run(life()):
            _claim_sound(health)

    def test_its_health_is_quick_and_lets_others_go_on(self) -> None:
        """It says how it is within the time that a host gives it, and does not block the event loop."""

        async def life() -> Steps:
            service = self.make_service()
            await service.start()
            steps = Steps(service.health)
            try:
                async with asyncio.timeout(DEADLINE):
                    await steps
            except TimeoutError:
                raise AssertionError(f"health() did not answer within {DEADLINE:g} s") from None
            finally:
                await service.stop()
            return steps

        longest = self.run(life()).longest
        claim(
            longest <= BLOCKED, f"health() blocked the event loop for {longest:.1f} s: await, or use a thread"
        )

    def test_it_leaves_nothing_behind(self) -> None:
        """When it was stopped, none of its tasks goes on, and no thread keeps the process alive."""

        async def life() -> list[str]:
            service = self.make_service()
            await service.start()
            await service.health()
            await service.stop()
            return _tasks()

        self._claim_nothing_left(life)

    def test_what_began_to_start_can_be_stopped(self) -> None:
        """A start that is cancelled half-way is undone by `stop`; then it can be started again."""

        async def life() -> list[str]:
            service = self.make_service()
            starting = asyncio.ensure_future(service.start())
            await asyncio.sleep(0)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            await service.stop()
            left = _tasks()
            await service.start()
            await service.stop()
            return left

        self._claim_nothing_left(life)

    def test_the_next_one_starts_beside_it(self) -> None:
        """Another starts while it runs, as in a hot reload, and is well when it has ended."""

        async def life() -> Health:
            first, second = self.make_service(), self.make_service()
            await first.start()
            try:
                await second.start()
            finally:
                await first.stop()
            try:
                return await second.health()
            finally:
                await second.stop()

        _claim_well(self.run(life()), "when the one before it has ended, it")

    def _claim_nothing_left(self, life: Callable[[], Coroutine[Any, Any, list[str]]]) -> None:
        before = set(threading.enumerate())
        tasks = self.run(life())
        claim(not tasks, f"these tasks go on: {', '.join(tasks)}")
        left = [each.name for each in threading.enumerate() if each not in before and not each.daemon]
        claim(not left, f"these threads go on: {', '.join(left)}")


def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]


def _claim_sound(health: object) -> Health:
    claim_type(health, Health, "health()")
    try:
        return sound(health)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"health(): {error}") from None


def _claim_well(health: object, who: str) -> None:
    said = _claim_sound(health)
    claim(said.status != "unhealthy", f"{who} is {said.status}: {', '.join(said.issues)}")
