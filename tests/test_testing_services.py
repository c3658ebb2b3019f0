"""The suite for services: a good service passes it, and each broken promise fails the claim that names it."""

from __future__ import annotations

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
    ],
)
def test_a_broken_service_fails_the_claim(claim, service):
    """
    A service that breaks one promise fails the test that makes it.
    """

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
