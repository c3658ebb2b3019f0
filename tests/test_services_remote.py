"""Services that run elsewhere: what a probe makes of every answer, and what it never tells."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from certificates import certificates
from hotplug._records import Health
from hotplug.errors import DuplicateKeyError
from hotplug.services import RemoteService, ServiceRegistry

FINE = b"HTTP/1.1 200 OK\r\n\r\n"
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

pytestmark = pytest.mark.usefixtures("nothing_left")


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


@contextlib.asynccontextmanager
async def server(
    behave: Behaviour, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A loopback server that behaves so once it was asked; its URL."""
    tasks: set[asyncio.Task[object]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await behave(reader, writer)
        writer.transport.abort()

    made = await asyncio.start_server(handle, host, 0, ssl=tls)
    try:
        scheme, where = "https" if tls else "http", f"[{host}]" if ":" in host else host
        yield f"{scheme}://{where}:{made.sockets[0].getsockname()[1]}"
    finally:
        for task in tasks:
            task.cancel()
        made.close()
        await made.wait_closed()


def answering(answer: bytes, seen: list[bytes] | None = None) -> Behaviour:
    """Reads the request, gives *answer*, and ends the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    return behave


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and never says a word."""
    await asyncio.Event().wait()


async def byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never comes to the end of a line."""
    while True:
        writer.write(b"X")
        await writer.drain()
        await asyncio.sleep(0.001)


async def ever_interim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Has always something to say before the answer."""
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is well, and its body never ends."""
    writer.write(FINE)
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def half_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is well, and never ends the connection."""
    writer.write(FINE)
    await asyncio.Event().wait()


def probe(behave: Behaviour, endpoint: str | None = "health", **options) -> Health:
    async def life() -> Health:
        async with server(behave) as url:
            service = RemoteService(url, endpoint, **options)
            await service.start()
            health = await service.health()
            await service.stop()
            return health

    return run(life())


# -- what comes back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (FINE, "healthy"),
        (b"HTTP/1.1 204\r\n\r\n", "healthy"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "healthy"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "unhealthy"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "unhealthy"),
        (b"HTTP/1.1 500 Oops\r\n\r\n", "unhealthy"),
    ],
    ids=lambda value: value[:12].decode() if isinstance(value, bytes) else value,
)
def test_the_status_is_the_health(answer, status):
    """
    The HTTP status of the answer says how a remote service is; it is kept, with how long the answer took.
    """
    health = probe(answering(answer))

    assert health.status == status
    assert health.details["http_status"] == int(answer[9:12])
    assert health.details["seconds"] > 0
    assert bool(health.issues) == (status != "healthy")
    assert health.checked_at is not None


def test_a_redirect_is_not_followed():
    """
    Who is sent elsewhere does not go there, and says so: what is asked is what was registered.
    """
    seen: list[bytes] = []

    async def life() -> Health:
        async with server(answering(FINE, seen)) as elsewhere:
            moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\n\r\n".encode()
            async with server(answering(moved)) as url:
                return await RemoteService(url).health()

    health = run(life())

    assert health.status == "unhealthy"
    assert health.issues[0].endswith("HTTP 302 (redirects are not followed)")
    assert seen == []


def test_what_comes_before_the_answer_is_not_the_answer():
    """
    Interim answers (1xx) are passed over, with their headers.
    """
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + FINE

    assert probe(answering(answer)).details["http_status"] == 200


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-x\r\n", "no HTTP answer: b'SSH"),
        (b"HTTP/1.1 2000\r\n", "no HTTP answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed without an answer"),
        (b"x" * 20_000, "ValueError"),
        (b"\x00\xff" * 50 + b"\n", "no HTTP answer"),
    ],
    ids=["nothing", "ssh", "odd", "interim only", "endless line", "garbage"],
)
def test_what_is_no_http_is_unhealthy(answer, why):
    """
    An answer that is no HTTP is an unhealthy service, not an error.
    """
    health = probe(answering(answer))

    assert health.status == "unhealthy"
    assert why in health.issues[0]


@pytest.mark.parametrize("behave", [mute, byte_by_byte, ever_interim])
def test_no_answer_in_time_is_unhealthy(behave):
    """
    The probe ends at its deadline, whatever trickles in.
    """
    health = probe(behave, deadline=0.05)

    assert health.status == "unhealthy"
    assert "no answer within 0.05 s" in health.issues[0]


@pytest.mark.parametrize("behave", [endless, half_open])
def test_an_answer_counts_whatever_follows(behave, monkeypatch):
    """
    Who says 200 is healthy: neither a body without end nor a connection that stays open changes that.
    """
    monkeypatch.setattr("hotplug.services._remote.GOODBYE", 0.05)

    assert probe(behave, deadline=5.0).status == "healthy"


def test_an_answer_is_heard_to_its_end():
    """
    A server is not cut off in the middle of a short answer: it would note an error each time.
    """
    ends: list[object] = []
    over = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for part in (FINE, b"I am ", b"fine"):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            writer.write_eof()
            ends.append(await reader.read())
        except OSError as error:
            ends.append(error)
        over.set()

    async def life() -> Health:
        async with server(slowly) as url:
            health = await RemoteService(url).health()
            await over.wait()
            return health

    assert run(life()).status == "healthy"
    assert ends == [b""]


def test_nobody_there_is_unhealthy():
    """
    A port on which nobody listens is an unhealthy service.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        health = run(RemoteService(f"http://127.0.0.1:{taken.getsockname()[1]}").health())

    assert health.status == "unhealthy"


# -- where it is -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "endpoint", "asked"),
    [
        ("", "/health?deep=1", b"GET /health?deep=1 HTTP/1.1"),
        ("", None, b"GET / HTTP/1.1"),
        ("/api", "health", b"GET /api/health HTTP/1.1"),
        ("/api?key=1", "health", b"GET /api/health HTTP/1.1"),
        ("/api?key=1", None, b"GET /api?key=1 HTTP/1.1"),
        ("/api", None, b"GET /api HTTP/1.1"),
    ],
)
def test_the_endpoint_is_relative_to_the_url(path, endpoint, asked):
    """
    What is asked for is the health endpoint, or the URL itself without one.
    """
    seen: list[bytes] = []

    async def life() -> None:
        async with server(answering(FINE, seen)) as url:
            await RemoteService(url + path, endpoint).health()

    run(life())
    assert seen[0].startswith(asked + b"\r\nHost: 127.0.0.1:")


def test_six_is_a_version_too():
    """
    A URL with an IPv6 address is asked there, under that name.
    """
    seen: list[bytes] = []

    async def life() -> Health:
        async with server(answering(FINE, seen), "::1") as url:
            return await RemoteService(url).health()

    assert run(life()).status == "healthy"
    assert b"\r\nHost: [::1]:" in seen[0]


def test_every_address_of_a_name_is_tried(monkeypatch):
    """
    A name with a dead address and a good one is reached at the good one.
    """
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr("hotplug.services._remote.socket.getaddrinfo", lambda *_, **__: found)

    async def life() -> Health:
        async with server(answering(FINE)) as url:
            return await RemoteService(url.replace("127.0.0.1", "two.test")).health()

    assert run(life()).status == "healthy"


def test_a_name_nobody_knows_is_unhealthy(monkeypatch):
    """
    A look-up that fails is an unhealthy service.
    """

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "nobody knows")

    monkeypatch.setattr("hotplug.services._remote.socket.getaddrinfo", unknown)

    assert "nobody knows" in run(RemoteService("http://nowhere.test").health()).issues[0]


def test_a_look_up_that_hangs_ends_at_the_deadline(monkeypatch):
    """
    It takes no thread of anybody's pool, and few of its own: no more begin while those hang.
    """
    gate, begun = threading.Event(), []

    def hang(*_, **__):
        begun.append(threading.current_thread())
        gate.wait(20)
        raise OSError("late")

    monkeypatch.setattr("hotplug.services._remote.socket.getaddrinfo", hang)
    service = RemoteService("http://slow.test", deadline=0.02)

    async def life() -> list[str]:
        return [(await service.health()).issues[0] for _ in range(6)]

    try:
        said = run(life())
    finally:
        gate.set()

    assert ["no answer within" in text for text in said] == [True] * 3 + [False] * 3
    assert "has not come back" in said[-1]
    assert len(begun) == 3
    for thread in begun:
        thread.join(10)
    assert "late" in run(service.health()).issues[0]


# -- https -------------------------------------------------------------------------------------------


@pytest.fixture
def tls():
    folder = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def test_https_is_asked_through_tls(tls, monkeypatch):
    """
    Who has a certificate of an authority that the system trusts is asked through TLS, again and again.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates() / "ca.pem"))
    seen: list[bytes] = []

    async def life() -> list[str]:
        async with server(answering(FINE, seen), tls=tls) as url:
            service = RemoteService(url, "/health")
            return [(await service.health()).status for _ in range(2)]

    assert run(life()) == ["healthy", "healthy"]
    assert seen[0].startswith(b"GET /health ")


def test_a_certificate_that_nobody_vouches_for_is_unhealthy(tls):
    """
    Certificates are checked: who cannot prove what it is, is not asked.
    """
    seen: list[bytes] = []

    async def life() -> Health:
        async with server(answering(FINE, seen), tls=tls) as url:
            return await RemoteService(url).health()

    health = run(life())
    assert health.status == "unhealthy"
    assert "certificate verify failed" in health.issues[0].lower()
    assert seen == []


def test_https_that_shakes_no_hands_ends_at_the_deadline():
    """
    A server that accepts and says nothing of TLS is late like any other.
    """

    async def life() -> Health:
        async with server(mute) as url:
            return await RemoteService(url.replace("http:", "https:"), deadline=0.2).health()

    assert "no answer within 0.2 s" in run(life()).issues[0]


# -- registering -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("ftp://localhost", None),
        ("localhost:80", None),
        ("http://", None),
        ("http://user:pass@localhost", None),
        ("http://localhost:99999", None),
        ("http://localhost:0", None),
        ("http://[::1", None),
        ("http://[::1", "health"),
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
    with pytest.raises(ValueError, match=r"URL"):
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


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("ftp://user:hunter2@localhost", None),
        ("http://user:hunter2@localhost", "/health"),
        ("http://user:hunter2@local host", None),
        ("http:/user:hunter2@localhost", None),
        ("http://user:hunter2@localhost:port", None),
        ("http://user:hunter2@[::1", "x"),
        ("http://user:hunter2@lücal", None),
        ("http://localhost", "ftp://user:hunter2@localhost/"),
        ("http://local host?token=hunter2", None),
        ("ftp://localhost#hunter2", None),
        (["hunter2"], None),
    ],
    ids=str,
)
def test_no_refusal_tells_a_secret(url, endpoint):
    """
    However wrong a URL is, the error does not repeat what may be secret in it.
    """
    with pytest.raises((TypeError, ValueError)) as caught:
        RemoteService(url, endpoint)
    told = caught.value
    while told is not None:
        assert "hunter2" not in str(told) + repr(told)
        told = told.__cause__


def test_what_is_shown_of_a_url_has_no_secret():
    """
    A token in the query is sent to the service, and stands nowhere else: not in repr, metadata or health.
    """
    seen: list[bytes] = []

    async def life() -> str:
        registry = ServiceRegistry()
        async with server(answering(b"HTTP/1.1 500 Oops\r\n\r\n", seen)) as url:
            registry.register_service("api", f"{url}/?key=hunter2", "/health?token=hunter3")
            registry.register_service("bare", f"{url}/?key=hunter2#x")
            said = [await registry[name].health() for name in registry]
        return repr((registry.entries(), registry["api"], registry["bare"], said, registry.health()))

    told = run(life())
    assert [request.split()[1] for request in seen] == [b"/health?token=hunter3", b"/?key=hunter2"]
    assert "hunter" not in told
    assert "/health?***" in told


def test_probes_from_many_threads_do_not_mix(eager_threads):
    """
    Probes of two services by many threads and loops at once each tell of their own service.
    """
    wrong: list[object] = []

    def ask(url: str, status: int, until: float) -> None:
        service = RemoteService(url)
        while time.monotonic() < until:
            health = asyncio.run(service.health())
            if health.details.get("http_status") != status:
                wrong.append(health)

    async def life() -> None:
        async with (
            server(answering(FINE)) as fine,
            server(answering(b"HTTP/1.1 503 Busy\r\n\r\n")) as busy,
        ):
            until = time.monotonic() + 0.4
            asks = [(fine, 200, until), (busy, 503, until)] * 3
            await asyncio.gather(*(asyncio.to_thread(ask, *each) for each in asks))

    run(life())
    assert wrong == []
