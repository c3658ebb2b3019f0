"""What every service promises, as tests to inherit."""

from __future__ import annotations

from hotplug._records import Health
from hotplug._signature import differences
from hotplug.services import Service
from hotplug.testing._suite import Suite, claim, claim_type

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

        health = self.run(life())
        claim_type(health, Health, "health()")
        claim(health.status != "unhealthy", f"started, it is {health.status}: {', '.join(health.issues)}")

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
            claim_type(health, Health, "health()")
