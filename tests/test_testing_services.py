"""The suite for services: a good service passes it, and each broken promise fails the claim that names it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from hotplug._records import Health
from hotplug.services import Service
from hotplug.testing import ServiceContract


class Good(Service):
    """A service that does as it should."""

    requires = ("db",)

    def __init__(self) -> None:
        self.running = False

    async def start(self) -> None:
        assert not self.running
        self.running = True

    async def stop(self) -> None:
        self.running = False

    async def health(self) -> Health:
        return Health("healthy" if self.running else "unhealthy")


class TestGood(ServiceContract):
    """A good service keeps the promises."""

    def make_service(self) -> Service:
        return Good()


class NotAsync(Good):
    def stop(self) -> None:  # type: ignore[override]
        self.running = False


class OneName(Good):
    requires = "db"  # type: ignore[assignment]


class OddNames(Good):
    requires = (1,)  # type: ignore[assignment]


class Ill(Good):
    async def health(self) -> Health:
        return Health("unhealthy", ("always",))


class Vague(Good):
    async def health(self) -> Health:
        return "fine"  # type: ignore[return-value]


class VagueAtRest(Good):
    async def health(self) -> Health:
        return Health("healthy") if self.running else None  # type: ignore[return-value]


class StopsOnce(Good):
    async def stop(self) -> None:
        assert self.running
        self.running = False


class Senseless(Good):
    async def health(self) -> Health:
        return Health("splendid")  # type: ignore[arg-type]


class Blocks(Good):
    async def health(self) -> Health:
        time.sleep(0.1)  # noqa: ASYNC251
        return Health("healthy")


class Hangs(Good):
    async def health(self) -> Health:
        await asyncio.Event().wait()
        return Health("healthy")


class LeavesATask(Good):
    async def start(self) -> None:
        self.task = asyncio.create_task(asyncio.Event().wait())


class LeavesAThread(Good):
    async def start(self) -> None:
        threading.Thread(target=threading.Event().wait, args=(0.5,)).start()

    async def health(self) -> Health:
        return Health("healthy")


class StopsWhatStarted(Good):
    async def start(self) -> None:
        self.task = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        await super().start()

    async def stop(self) -> None:
        if self.running:
            self.task.cancel()
            await asyncio.wait({self.task})
        await super().stop()


class TakesThePlace(Good):
    taken = False

    async def start(self) -> None:
        assert not TakesThePlace.taken, "the port is taken"
        TakesThePlace.taken = True

    async def stop(self) -> None:
        TakesThePlace.taken = False


class StartsOnce(Good):
    async def start(self) -> None:
        assert not self.running
        self.running = True

    async def stop(self) -> None:
        pass


@pytest.mark.parametrize(
    ("claim", "service"),
    [
        ("test_it_is_a_service", object),
        ("test_it_is_a_service", NotAsync),
        ("test_it_names_what_it_requires", OneName),
        ("test_it_names_what_it_requires", OddNames),
        ("test_it_starts_and_stops", Ill),
        ("test_it_starts_and_stops", Vague),
        ("test_stopping_is_harmless", StopsOnce),
        ("test_it_starts_again", StartsOnce),
        ("test_its_health_can_always_be_asked", VagueAtRest),
        ("test_its_health_can_always_be_asked", Senseless),
        ("test_it_starts_and_stops", Senseless),
        ("test_its_health_is_quick_and_lets_others_go_on", Blocks),
        ("test_its_health_is_quick_and_lets_others_go_on", Hangs),
        ("test_it_leaves_nothing_behind", LeavesATask),
        ("test_it_leaves_nothing_behind", LeavesAThread),
        ("test_what_began_to_start_can_be_stopped", StopsWhatStarted),
        ("test_the_next_one_starts_beside_it", TakesThePlace),
    ],
)
def test_a_broken_service_fails_the_claim(claim, service, monkeypatch):
    """
    A service that breaks one promise fails the test that makes it.
    """
    monkeypatch.setattr("hotplug.testing._services.BLOCKED", 0.05)
    monkeypatch.setattr("hotplug.testing._services.DEADLINE", 0.2)

    class Broken(TestGood):
        __test__ = False

        def make_service(self) -> Service:
            return service()

    with pytest.raises(AssertionError):
        getattr(Broken(), claim)()


def test_the_suite_asks_for_what_it_needs():
    """
    Without a service the suite says what to define.
    """
    with pytest.raises(NotImplementedError, match="make_service"):
        ServiceContract().make_service()
