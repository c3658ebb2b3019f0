"""Services in their registry: asked how they are again and again, and what is said of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime

import pytest

from hot import until
from hotplug._records import Health, PluginRecord
from hotplug.services import RemoteService, Service, ServiceRegistry
from hotplug.services import _checks as checks

pytestmark = pytest.mark.usefixtures("nothing_left")

RECORD = PluginRecord("services", "web", "acme:Web", "hotplug.services", "acme-web", "1.0")


FINE = Health("healthy")


class Plain(Service):
    """A service that answers what it is told to, or does what that does; and counts the questions."""

    def __init__(self, answer: object = FINE) -> None:
        self.answer = answer
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def health(self) -> Health:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if isinstance(self.answer, BaseException):
                raise self.answer
            return await self.answer() if callable(self.answer) else self.answer  # type: ignore[return-value]
        finally:
            self.at_once -= 1


async def hang() -> Health:
    await asyncio.Event().wait()
    raise AssertionError("nobody set it")


class World:
    """A registry whose services are asked on a loop of their own, every few milliseconds."""

    def __init__(self, home, **services: Service) -> None:
        self.home = home
        self.registry = ServiceRegistry()
        self.registry.check_interval, self.registry.check_deadline = 0.01, 5.0
        for name, service in services.items():
            self.registry.register(name, service)

    def begin(self, discreet=lambda _, text: text) -> None:
        def who():
            return [(name, service) for name, service, _ in self.registry.loaded()]

        self.registry.checks.begin(self.home.loop, who, discreet)

    def end(self) -> None:
        self.home.run(self.registry.checks.end())

    def of(self, name: str) -> Health:
        return self.registry.health().details["checks"][name]

    def becomes(self, name: str, status: str) -> Health:
        until(lambda: name in self.statuses and self.statuses[name] == status, f"never {status}: {name}")
        return self.of(name)

    @property
    def statuses(self) -> dict[str, str]:
        return self.registry.health().details["services"]


@pytest.fixture
def world(home, monkeypatch):
    monkeypatch.setattr(checks, "BEAT", 0.005)
    monkeypatch.setattr(checks, "GRACE", 0.05)
    made: list[World] = []

    def make(**services: Service) -> World:
        made.append(World(home, **services))
        return made[-1]

    yield make
    for each in made:
        each.end()


# -- asking ------------------------------------------------------------------------------------------


def test_what_is_said_is_kept_with_its_age(world):
    """
    Each service's last answer stands in the health, with when it came and since when it is so.
    """
    service = Plain(Health("degraded", ("slow",), details={"load": 3}))
    here = world(a=service)
    before = datetime.now(UTC)
    here.begin()

    said = here.becomes("a", "degraded")

    assert (said.issues, said.details["load"]) == (("slow",), 3)
    assert before <= said.details["since"] <= said.checked_at <= datetime.now(UTC)
    since, asked = said.details["since"], service.asked
    until(lambda: service.asked > asked + 2)
    assert here.of("a").details["since"] == since
    assert here.of("a").checked_at > said.checked_at


def test_the_health_is_the_worst_of_what_was_said(world):
    """
    One that is ill makes the registry ill, and says why; the worst of several counts.
    """
    here = world(fine=Plain(), slow=Plain(Health("degraded", ("slow",))), new=Plain(hang))
    here.begin()
    here.becomes("fine", "healthy")
    here.becomes("slow", "degraded")

    health = here.registry.health()
    assert (health.status, health.issues) == ("degraded", ("services/slow: slow",))
    assert health.details["services"] == {"fine": "healthy", "slow": "degraded", "new": "unknown"}
    assert health.details["entries"] == 3

    here.registry.register("ill", Plain(Health("unhealthy")))
    here.becomes("ill", "unhealthy")
    assert here.registry.health().status == "unhealthy"
    assert "services/ill: unhealthy" in here.registry.health().issues


def test_who_was_not_asked_yet_makes_nothing_worse(world):
    """
    Before its first answer a service is unknown, and the registry as healthy as it is without it.
    """
    here = world(new=Plain(hang))
    here.begin()
    until(lambda: here.statuses == {"new": "unknown"})

    assert (here.registry.health().status, here.registry.health().issues) == ("healthy", ())


def test_who_does_not_know_says_so(world):
    """
    A service that answers that it does not know how it is, is unknown, which is worse than healthy.
    """
    here = world(odd=Plain(Health("unknown", ("no line",))))
    here.begin()
    until(lambda: here.registry.health().issues)

    assert here.registry.health().status == "unknown"


def sync_health() -> Health:
    return Health("healthy")


def lying() -> Plain:
    service = Plain()
    service.health = sync_health  # type: ignore[assignment,method-assign]
    return service


class Rude(str):
    """A text that cannot be had."""

    def __str__(self) -> str:
        raise SystemExit("no text")


class OddHealth(Health):
    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        raise SystemExit("none of your business")


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (Plain(RuntimeError("no line")), "raised RuntimeError: no line"),
        (Plain(SystemExit("bye")), "raised SystemExit: bye"),
        (Plain(asyncio.CancelledError("me")), "raised CancelledError"),
        (Plain(KeyboardInterrupt()), "raised InterruptedError: KeyboardInterrupt"),
        (Plain(True), "gave a bool, not a Health"),
        (Plain(None), "gave a NoneType"),
        (Plain(Health("splendid")), "makes no sense: 'splendid'"),  # type: ignore[arg-type]
        (Plain(Health(["healthy"])), "makes no sense"),  # type: ignore[arg-type]
        (Plain(Health("healthy", None)), "makes no sense"),  # type: ignore[arg-type]
        (Plain(Health("healthy", "slow")), "makes no sense"),  # type: ignore[arg-type]
        (Plain(Health("healthy", (Rude(),))), "raised SystemExit: no text"),
        (Plain(Health("healthy", details=7)), "raised TypeError"),  # type: ignore[arg-type]
        (Plain(OddHealth("healthy")), "raised SystemExit"),
        (lying(), "raised TypeError"),
        (Plain(hang), "did not answer within 0.03 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_cannot_say_how_it_is_is_unhealthy(world, service, text):
    """
    A health check that raises, hangs or answers nonsense is an unhealthy service, not an error; others go on.
    """
    fine = Plain()
    here = world(odd=service, fine=fine)
    here.registry.check_deadline = 0.03
    here.begin()

    said = here.becomes("odd", "unhealthy")

    assert text in said.issues[0]
    assert said.details["last_error"] == said.issues[0]
    asked = fine.asked
    until(lambda: fine.asked > asked + 2)


def test_what_is_said_has_an_end(world):
    """
    Of an answer with a million words some are kept.
    """
    here = world(odd=Plain(Health("degraded", ("x" * 10_000,) * 1_000)))
    here.begin()

    issues = here.becomes("odd", "degraded").issues

    assert (len(issues), len(issues[0])) == (20, 500)


def test_who_is_well_again_says_what_was(world, caplog):
    """
    The last error stays with its time when all is well again; each change is one line in the log.
    """
    caplog.set_level(logging.INFO, "hotplug.services")
    service = Plain(OSError("no line"))
    here = world(a=service)
    here.begin()
    asked = here.becomes("a", "unhealthy") and service.asked
    until(lambda: service.asked > asked + 2)

    service.answer = Health("healthy")
    said = here.becomes("a", "healthy")

    assert "no line" in said.details["last_error"]
    assert said.details["last_error_at"] < said.details["since"] <= said.checked_at
    lines = [(line.levelname, line.getMessage()) for line in caplog.records]
    assert lines == [
        ("WARNING", "service a is unhealthy: health() raised OSError: no line"),
        ("INFO", "service a is healthy again"),
    ]


def test_what_an_error_tells_is_discreet(world):
    """
    What must not be told of a service is taken out of the errors of its checks.
    """
    here = world(a=Plain(OSError("bad token hunter2")))
    here.begin(lambda name, text: text.replace("hunter2", f"{name}'s secret"))

    assert here.becomes("a", "unhealthy").issues == ("health() raised OSError: bad token a's secret",)


# -- slow ones ---------------------------------------------------------------------------------------


def test_one_question_at_a_time(world):
    """
    A service that is slow to answer is not asked again meanwhile; the others are.
    """
    gate = threading.Event()

    async def slow() -> Health:
        await asyncio.to_thread(gate.wait, 20)
        return FINE

    a, b = Plain(slow), Plain()
    here = world(a=a, b=b)
    here.begin()
    until(lambda: b.asked > 3)
    assert a.asked == 1

    gate.set()
    here.becomes("a", "healthy")
    until(lambda: a.asked > 3)
    assert a.most_at_once == b.most_at_once == 1


def test_a_question_that_does_not_end_is_not_asked_twice(world):
    """
    One that goes on though it was cancelled stays unhealthy, and is asked again when it has come back.
    """
    gate = threading.Event()

    async def stubborn() -> Health:
        while not gate.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue
        return Health("healthy")

    a, b = Plain(stubborn), Plain()
    here = world(a=a, b=b)
    here.registry.check_deadline = 0.02
    here.begin()
    assert "and does not end" in here.becomes("a", "unhealthy").issues[0]
    asked = b.asked
    until(lambda: b.asked > asked + 3)
    assert a.asked == 1

    gate.set()
    here.becomes("a", "healthy")
    assert a.most_at_once == 1


def test_a_loop_that_is_blocked_is_named_and_nothing_is_believed(world, monkeypatch):
    """
    While one keeps the loop for itself, `health` answers at once: nothing is known, and who was being asked.

    Afterwards that one is degraded, and left alone for a while; the others are as they were.
    """
    monkeypatch.setattr(checks, "LAG", 0.05)
    monkeypatch.setattr(checks, "BLOCKED", 0.05)
    gate, blocks = threading.Event(), threading.Event()

    async def block() -> Health:
        blocks.set()
        gate.wait(20)
        return Health("healthy")

    bad, fine = Plain(), Plain()
    here = world(bad=bad, fine=fine)
    here.begin()
    here.becomes("fine", "healthy")
    bad.answer = block
    assert blocks.wait(10)
    until(lambda: here.registry.health().status == "unknown")
    health = here.registry.health()
    assert here.statuses == {"bad": "unknown", "fine": "unknown"}
    assert "their loop has not turned for" in health.issues[0]
    assert "being asked: bad" in health.issues[0]
    assert here.of("fine").checked_at is not None

    asked = bad.asked
    gate.set()
    assert "kept the event loop for itself" in here.becomes("bad", "degraded").issues[0]
    assert "last_error" not in here.of("fine").details
    asked_fine = fine.asked
    until(lambda: fine.asked > asked_fine + 3)
    assert bad.asked == asked


def test_one_object_under_two_names_is_asked_once_at_a_time(world):
    """
    However many names a service has, no two questions to it are under way.
    """

    async def slow() -> Health:
        await asyncio.sleep(0.002)
        return Health("healthy")

    service = Plain(slow)
    here = world(a=service, b=service)
    here.begin()
    here.becomes("a", "healthy")
    here.becomes("b", "healthy")

    assert service.most_at_once == 1


# -- coming and going --------------------------------------------------------------------------------


def test_what_was_said_goes_with_who_said_it(world):
    """
    Whoever was unregistered or replaced does not count in the health any more.
    """
    ill = Health("unhealthy")
    here = world(a=Plain(ill), b=Plain(ill))
    here.begin()
    here.becomes("a", "unhealthy")
    here.becomes("b", "unhealthy")

    here.registry.unregister("a")
    here.registry.replace("b", Plain())

    until(lambda: here.registry.health().status == "healthy")
    assert (here.registry.health().issues, here.statuses) == ((), {"b": "healthy"})
    assert "last_error" not in here.of("b").details


def test_who_is_let_go_is_asked_no_more(world):
    """
    A question under way has ended when `let_go` returns; nobody else's has.
    """
    a, b = Plain(hang), Plain(hang)
    here = world(a=a, b=b)
    here.begin()
    until(lambda: a.at_once and b.at_once)

    here.registry.unregister("a")
    here.home.run(here.registry.checks.let_go(a))

    assert (a.at_once, b.at_once) == (0, 1)
    assert here.registry.checks.inside == ("b",)


def test_what_is_only_advertised_is_not_made_to_be_asked(world):
    """
    A lazy service that nobody has got is not loaded by the checks, and one made for each user is nobody's.
    """
    here = world(a=Plain())
    here.registry.register_lazy("lazy", Plain, owner=RECORD)
    here.registry.register_factory("each", lambda _: Plain())
    here.begin()
    here.becomes("a", "healthy")
    assert here.statuses == {"a": "healthy"}

    here.registry.get("lazy")
    here.becomes("lazy", "healthy")
    assert [(name, owner) for name, _, owner in here.registry.loaded()] == [("a", None), ("lazy", RECORD)]


def test_after_the_end_nothing_is_known(world):
    """
    `end` ends every question, is harmless twice and without a beginning; then nobody is ill any more.
    """
    a = Plain(hang)
    here = world(a=a)
    here.end()
    here.begin()
    until(lambda: a.at_once)

    here.end()
    here.end()

    health = here.registry.health()
    assert (a.at_once, health.status, health.details["checks"]) == (0, "healthy", {})


def test_an_end_before_the_beginning_has_come_to_pass(home):
    """
    Who is ended while the loop has not come to begin, never begins.
    """
    registry, service, gate = ServiceRegistry(), Plain(), threading.Event()

    async def main() -> None:
        registry.checks.begin(asyncio.get_running_loop(), lambda: [("a", service)], lambda _, text: text)
        await registry.checks.end()
        home.loop.call_soon_threadsafe(gate.set)
        await asyncio.sleep(0)

    home.run(main())

    assert gate.wait(10)
    assert service.asked == 0


def test_checks_whose_loop_is_gone_can_be_ended(home):
    """
    An application that ended its loop without a word has ended the checks with it.
    """
    registry, service = ServiceRegistry(), Plain(hang)

    async def main() -> None:
        registry.checks.begin(asyncio.get_running_loop(), lambda: [("a", service)], lambda _, text: text)
        await asyncio.to_thread(until, lambda: service.at_once)

    asyncio.run(main())
    home.run(registry.checks.end())

    assert (service.at_once, registry.health().details["checks"]) == (0, {})


def test_ctrl_c_in_a_check_is_ctrl_c():
    """
    Where the services live on the main thread, an interrupt in the middle of a check is not swallowed.
    """
    registry, service = ServiceRegistry(), Plain(KeyboardInterrupt())

    async def main() -> None:
        registry.checks.begin(asyncio.get_running_loop(), lambda: [("a", service)], lambda _, text: text)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_times_are_above_nothing(seconds):
    """
    An interval or deadline that is no time is a `ValueError`, and the one before stays.
    """
    registry = ServiceRegistry()

    with pytest.raises(ValueError, match="check_interval is a number of seconds above 0"):
        registry.check_interval = seconds
    with pytest.raises(ValueError, match="check_deadline is a number of seconds above 0"):
        registry.check_deadline = seconds
    assert (registry.check_interval, registry.check_deadline) == (5.0, 5.0)


# -- threads -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_threads")
def test_reading_and_registering_while_services_are_asked(world, monkeypatch):
    """
    Threads that register, unregister and look at the health, while all are asked, see only what makes sense.
    """
    monkeypatch.setattr(checks, "LAG", 60.0)  # all those threads take their turns, too
    monkeypatch.setattr(checks, "BLOCKED", 60.0)
    here = world(**{f"s{n}": Plain(Health("degraded", (f"s{n}",))) for n in range(8)})
    here.registry.check_interval = 1e-6
    here.begin()
    here.becomes("s0", "degraded")
    wrong: list[object] = []
    new = {(f"s{n}x", "unknown", ()) for n in range(8)}
    ends = time.monotonic() + 0.5

    def look() -> None:
        while time.monotonic() < ends:
            health = here.registry.health()
            said = health.details["checks"]
            seen = {(name, each.status, each.issues) for name, each in said.items()}
            wrong.extend(seen - {(name, "degraded", (name[:2],)) for name in said} - new)
            wrong.extend({health.status} - {"degraded", "healthy"})

    def churn(n: int) -> None:
        while time.monotonic() < ends:
            undo = here.registry.register(f"s{n}x", Plain(Health("degraded", (f"s{n}",))))
            undo()

    threads = [threading.Thread(target=look) for _ in range(4)]
    threads += [threading.Thread(target=churn, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_down_and_up_again_is_seen(world):
    """
    A server that is stopped is unhealthy, and healthy once it is back, each after a question or two.
    """

    async def fine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    here = world()

    async def serve(port: int) -> asyncio.Server:
        return await asyncio.start_server(fine, "127.0.0.1", port)

    async def shut(server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()

    server = here.home.run(serve(0))
    port = server.sockets[0].getsockname()[1]
    here.registry.register_service("api", f"http://127.0.0.1:{port}")
    assert isinstance(here.registry["api"], RemoteService)
    here.begin()
    assert here.becomes("api", "healthy").details["http_status"] == 200

    here.home.run(shut(server))
    assert here.becomes("api", "unhealthy").details["last_error"]
    server = here.home.run(serve(port))
    assert here.becomes("api", "healthy").details["http_status"] == 200
    here.home.run(shut(server))
