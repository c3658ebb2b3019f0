"""Services: started in the order in which they need each other, stopped in reverse, asked how they are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from types import SimpleNamespace

import pytest

from hotplug._records import Health, PluginRecord
from hotplug.errors import (
    DuplicateKeyError,
    HostError,
    NotRegisteredError,
    PluginError,
    PluginTimeoutError,
)
from hotplug.services import RemoteService, Service, ServiceRegistry, start_order

RECORD = PluginRecord("services", "web", "acme:Web", "hotplug.services", "acme-web", "1.0")


class Noted(Service):
    """A service that writes down what is done to it, and misbehaves where it is told to."""

    def __init__(self, diary: list[str], name: str, *requires: str, **faults: object) -> None:
        self.requires = requires
        self._diary = diary
        self._name = name
        self._faults = faults

    async def _do(self, what: str) -> object:
        self._diary.append(f"{what} {self._name}")
        fault = self._faults.get(what)
        if isinstance(fault, BaseException):
            raise fault
        if fault == "hang":
            await asyncio.Event().wait()
        return fault

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        await self._do("stop")

    async def health(self) -> Health:
        return await self._do("health") or Health("healthy")


def world(*services: tuple) -> tuple[ServiceRegistry, list[str]]:
    """A registry with a `Noted` service for each (name, *requires), the last may be a dict of faults."""
    registry, diary = ServiceRegistry(), []
    for name, *rest in services:
        faults = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        registry.register(name, Noted(diary, name, *rest, **faults))
    return registry, diary


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


# -- order -------------------------------------------------------------------------------------------


def test_each_comes_after_what_it_requires():
    """
    The order respects every requirement, and otherwise the order given.
    """
    services = {"web": Noted([], "", "db", "log"), "log": Noted([], ""), "db": Noted([], "", "log")}

    assert start_order(services) == ("log", "db", "web")


def test_circles_are_named():
    """
    Services that require each other are an error that shows the circle, and only it.
    """
    services = {"a": Noted([], "", "b"), "b": Noted([], "", "c"), "c": Noted([], "", "b")}

    with pytest.raises(HostError, match=r"in a circle: b -> c -> b$"):
        start_order(services)


def test_missing_services_are_named():
    """
    A requirement that is not there is an error naming both, and what was probably meant.
    """
    services = {"web": Noted([], "", "databse"), "database": Noted([], "")}

    with pytest.raises(
        HostError, match=r"'web' requires 'databse', which is not there \(did you mean 'database'"
    ):
        start_order(services)


# -- starting and stopping ---------------------------------------------------------------------------


def test_all_start_in_order_and_stop_in_reverse():
    """
    `start_all` and `stop_all` mirror each other; what runs already is left alone, what stopped too.
    """
    registry, diary = world(("web", "db"), ("db",))

    async def life() -> None:
        assert await registry.start_all() == {}
        assert await registry.start_all() == {}
        assert registry.running == ("db", "web")
        assert await registry.stop_all() == {}
        assert await registry.stop_all() == {}

    run(life())
    assert diary == ["start db", "start web", "stop web", "stop db"]
    assert registry.running == ()


def test_only_the_named_and_what_they_require_start():
    """
    Naming one service starts it and what it requires, and nothing else.
    """
    registry, diary = world(("other",), ("db",), ("web", "db"))

    run(registry.start_all(["web"]))

    assert diary == ["start db", "start web"]


def test_nothing_starts_if_the_order_is_impossible():
    """
    A circle, a missing requirement or an unknown name raises before anything was started.
    """
    registry, diary = world(("fine",), ("a", "b"), ("b", "a"), ("lonely", "nobody"))

    for names, text in (
        (None, "circle"),
        (["fine", "lonely"], "'nobody'"),
        (["fine", "nope"], "no service 'nope'"),
    ):
        with pytest.raises(HostError, match=text):
            run(registry.start_all(names))
    assert diary == []


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), SystemExit("no"), asyncio.CancelledError("no")], ids=repr
)
def test_a_failure_is_collected_and_the_others_start(error):
    """
    A service that raises is undone and named, what requires it is named and not started, the rest starts.
    """
    registry, diary = world(("db", {"start": error}), ("web", "db"), ("other",))

    failed = run(registry.start_all())

    assert list(failed) == ["db", "web"]
    assert failed["db"].__cause__ is error
    assert "requires 'db'" in str(failed["web"])
    assert diary == ["start db", "stop db", "start other"]
    assert registry.running == ("other",)


def test_a_start_that_hangs_is_cut_off():
    """
    A service that does not start within the deadline fails, and the others start.
    """
    registry, _ = world(("slow", {"start": "hang"}), ("other",))

    failed = run(registry.start_all(deadline=0.02))

    assert isinstance(failed["slow"], PluginTimeoutError)
    assert registry.running == ("other",)


def test_what_cannot_be_undone_is_logged(caplog):
    """
    If stopping after a failed start fails too, the first error counts, and the log has the second.
    """
    registry, _ = world(("db", {"start": RuntimeError("first"), "stop": RuntimeError("second")}))

    failed = run(registry.start_all())

    assert "first" in str(failed["db"])
    assert "second" in caplog.text


def test_failures_of_stopping_are_collected():
    """
    One that does not stop keeps no other from stopping.
    """
    registry, diary = world(("a",), ("b", {"stop": RuntimeError("no")}), ("c", {"stop": "hang"}))

    async def life():
        await registry.start_all()
        return await registry.stop_all(deadline=0.02)

    failed = run(life())

    assert diary[3:] == ["stop c", "stop b", "stop a"]
    assert list(failed) == ["c", "b"]


def test_a_service_that_does_not_load_is_named_with_its_plugin():
    """
    A load that fails is that service's failure; a `PluginError` stays the one it is.
    """
    registry, diary = world(("web", "lazy", "refused"), ("other",))
    refused = PluginError("refused", RECORD)

    def load():
        raise refused

    registry.register_lazy("lazy", lambda: 1 // 0, owner=RECORD)
    registry.register_lazy("refused", load)

    failed = run(registry.start_all(["web", "other"]))

    assert failed["lazy"].record is RECORD
    assert isinstance(failed["lazy"].__cause__, ZeroDivisionError)
    assert failed["refused"] is refused
    assert "requires 'lazy'" in str(failed["web"])
    assert diary == ["start other"]


def test_who_was_unregistered_is_still_stopped():
    """
    A service that runs is stopped though its entry is gone; its error has no plugin to name.
    """
    registry, diary = world(("gone", {"stop": RuntimeError("no")}))

    async def life():
        await registry.start_all()
        registry.unregister("gone")
        return await registry.stop_all()

    failed = run(life())

    assert diary == ["start gone", "stop gone"]
    assert failed["gone"].record is None


# -- health ------------------------------------------------------------------------------------------


def test_check_asks_the_service():
    """
    `check` passes on what the service says of itself.
    """
    registry, _ = world(("fine",), ("ill", {"health": Health("degraded", ("slow",))}))

    assert run(registry.check("fine")).status == "healthy"
    assert run(registry.check("ill")) == Health("degraded", ("slow",))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (RuntimeError("no"), "RuntimeError"),
        ("hang", "did not finish"),
        (True, "gave a bool"),
        (Health("splendid"), "makes no sense: 'splendid'"),  # type: ignore[arg-type]
        (Health("healthy", None), "makes no sense"),  # type: ignore[arg-type]
    ],
)
def test_who_cannot_say_how_it_is_is_unhealthy(fault, text):
    """
    A health check that raises, hangs or answers nonsense is an unhealthy service, not an error.
    """
    registry, _ = world(("odd", {"health": fault}))

    health = run(registry.check("odd", deadline=0.02))

    assert health.status == registry.health().status == "unhealthy"
    assert text in health.issues[0]
    assert registry.health().issues == health.issues


def test_health_is_the_worst_of_what_was_said():
    """
    The registry's health folds in the last answer of each service, and asks nobody; never asked is no fault.
    """
    registry, diary = world(
        ("fine",),
        ("slow", {"health": Health("degraded", ("slow",))}),
        ("mute", {"health": Health("unhealthy")}),
    )
    run(registry.start_all(["fine", "slow"]))
    assert (registry.health().status, dict(registry.health().details["services"])) == (
        "healthy",
        {"fine": "unknown", "slow": "unknown"},
    )

    for name in ("fine", "slow"):
        run(registry.check(name))
    asked = len(diary)
    health = registry.health()
    assert (health.status, health.issues) == ("degraded", ("services/slow: slow",))
    assert health.details["entries"] == 3
    run(registry.check("mute"))
    health = registry.health()
    assert (health.status, health.issues[1]) == ("unhealthy", "services/mute: unhealthy")
    assert dict(health.details["services"]) == {"fine": "healthy", "slow": "degraded", "mute": "unhealthy"}
    assert len(diary) == asked + 1


def test_what_was_said_goes_with_who_said_it():
    """
    Whoever was stopped, unregistered or replaced does not count in the health any more.
    """
    registry, diary = world(*((name, {"health": Health("unhealthy")}) for name in ("a", "b", "c")))
    run(registry.start_all(["a"]))
    for name in ("a", "b", "c"):
        run(registry.check(name))
    assert len(registry.health().issues) == 3

    run(registry.stop_all())
    registry.unregister("b")
    registry.replace("c", Noted(diary, "c"))

    assert (registry.health().status, registry.health().issues) == ("healthy", ())


def test_checking_an_unknown_service_is_an_error():
    """
    A name under which no service stands is `NotRegisteredError`.
    """
    with pytest.raises(NotRegisteredError):
        run(ServiceRegistry().check("nobody"))


# -- remote services ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def server(answer: bytes | None, seen: list[bytes] | None = None):
    """A loopback server that reads one request and gives *answer*; None hangs."""
    hung = asyncio.Event()

    async def handle(reader, writer) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        if answer is None:
            await hung.wait()
        else:
            writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    made = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}"
    finally:
        hung.set()
        made.close()
        await made.wait_closed()


def probe(answer: bytes | None, endpoint: str | None = "health", seen=None, **options) -> Health:
    async def life() -> Health:
        async with server(answer, seen) as url:
            service = RemoteService(url, endpoint, **options)
            await service.start()
            health = await service.health()
            await service.stop()
            return health

    return run(life())


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "healthy"),
        (b"HTTP/1.1 204\r\n\r\n", "healthy"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "unhealthy"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "unhealthy"),
        (b"HTTP/1.1 500 Oops\r\n\r\n", "unhealthy"),
        (b"HTTP/1.1 301 Moved\r\n\r\n", "unhealthy"),
    ],
    ids=lambda value: value[9:12].decode() if isinstance(value, bytes) else value,
)
def test_the_status_is_the_health(answer, status):
    """
    The HTTP status of the answer says how a remote service is.
    """
    health = probe(answer)

    assert health.status == status
    assert health.details["http_status"] == int(answer[9:12])
    assert bool(health.issues) == (status != "healthy")
    assert health.checked_at is not None


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 2000\r\n", b"x" * 20_000],
    ids=["nothing", "ssh", "odd", "endless"],
)
def test_what_is_no_http_is_unhealthy(answer):
    """
    An answer that is no HTTP is an unhealthy service, not an error.
    """
    assert probe(answer).status == "unhealthy"


def test_no_answer_in_time_is_unhealthy():
    """
    The probe ends at its deadline.
    """
    health = probe(None, deadline=0.05)

    assert health.status == "unhealthy"
    assert "no answer within 0.05 s" in health.issues[0]


def test_nobody_there_is_unhealthy():
    """
    A port on which nobody listens is an unhealthy service.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        health = run(RemoteService(f"http://127.0.0.1:{taken.getsockname()[1]}").health())

    assert health.status == "unhealthy"


@pytest.mark.parametrize(
    ("path", "endpoint", "asked"),
    [
        ("", "/health?deep=1", b"GET /health?deep=1 HTTP/1.1"),
        ("", None, b"GET / HTTP/1.1"),
        ("/api", "health", b"GET /api/health HTTP/1.1"),
        ("/api", None, b"GET /api HTTP/1.1"),
    ],
)
def test_the_endpoint_is_relative_to_the_url(path, endpoint, asked):
    """
    What is asked for is the health endpoint, or the URL itself without one.
    """
    seen: list[bytes] = []

    async def life() -> None:
        async with server(b"HTTP/1.1 200 OK\r\n\r\n", seen) as url:
            await RemoteService(url + path, endpoint).health()

    run(life())
    assert seen[0].startswith(asked + b"\r\nHost: 127.0.0.1:")


def test_https_is_encrypted(monkeypatch):
    """
    An https URL is asked through TLS, with certificates checked, on port 443 by default.
    """
    asked = []

    async def connect(host, port, **options):
        asked.append((host, port, options["ssl"]))
        raise ConnectionRefusedError

    monkeypatch.setattr("hotplug.services._remote.asyncio.open_connection", connect)
    health = run(RemoteService("https://localhost/health").health())

    [(host, port, encryption)] = asked
    assert health.status == "unhealthy"
    assert (host, port) == ("localhost", 443)
    assert encryption.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("ftp://localhost", None),
        ("localhost:80", None),
        ("http://", None),
        ("http://user:pass@localhost", None),
        ("http://localhost:99999", None),
        ("http://localhost", "/a b"),
        ("http://localhost", "/\r\nX-Evil: 1"),
        ("http://localhost", "file:///etc/passwd"),
        ("http://lücal", None),
    ],
)
def test_other_urls_are_refused(url, endpoint):
    """
    What is no plain http(s) URL is refused when it is registered; nothing can be smuggled into the request.
    """
    with pytest.raises(ValueError):  # noqa: PT011 - the texts differ, some are the standard library's
        ServiceRegistry().register_service("x", url, endpoint)


@pytest.mark.parametrize(("url", "endpoint"), [(5, None), (None, None), ("http://localhost", 7)], ids=str)
def test_a_url_is_a_str(url, endpoint):
    """
    A URL or endpoint that is no str is a `TypeError`, and nothing is registered.
    """
    registry = ServiceRegistry()

    with pytest.raises(TypeError, match="is a str, not a"):
        registry.register_service("x", url, endpoint)
    assert len(registry) == 0


def test_register_service():
    """
    A remote service stands under its name with its metadata; the undo takes it away; names are taken once.
    """
    registry = ServiceRegistry()

    undo = registry.register_service("api", "http://127.0.0.1:1", "/health", team="desk")

    entry = registry.entry("api")
    assert dict(entry.metadata) == {"team": "desk", "url": "http://127.0.0.1:1", "health_endpoint": "/health"}
    assert repr(registry["api"]) == "RemoteService('http://127.0.0.1:1/health')"
    with pytest.raises(DuplicateKeyError):
        registry.register_service("api", "http://127.0.0.1:2")
    undo()
    assert "api" not in registry


def test_credentials_are_not_shown():
    """
    The refusal of a URL with credentials in it does not repeat them.
    """
    with pytest.raises(ValueError, match="no credentials") as caught:
        RemoteService("ftp://user:hunter2@localhost")
    assert "hunter2" not in str(caught.value)


def test_a_connection_that_breaks_when_closed_is_no_error(monkeypatch):
    """
    What happens to the connection after the answer does not matter.
    """

    async def broken() -> None:
        raise ConnectionResetError

    async def nothing() -> None: ...

    async def line() -> bytes:
        return b"HTTP/1.1 200 OK\r\n"

    async def connect(host, port, **options):
        reader = SimpleNamespace(readline=line)
        writer = SimpleNamespace(
            write=lambda data: None, drain=nothing, close=lambda: None, wait_closed=broken
        )
        return reader, writer

    monkeypatch.setattr("hotplug.services._remote.asyncio.open_connection", connect)

    assert run(RemoteService("http://localhost").health()).status == "healthy"
