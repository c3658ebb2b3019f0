"""What comes over the wire and is no honest request: it is refused, and holds nobody up."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import InvalidStatus

from hotplug_web import Limits, Principal, TokenAuthenticator
from hotplug_web._doors import HEADERS
from web_site import ADA, OPS

SHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.evil",
        "127.0.0.1.evil",
        "evil@localhost",
        "localhost@evil",
        "localhost:evil",
        "localhost:99999",
        "localhost:80:80",
        "localhost/evil",
        "localhost#evil",
        "localhost evil",
        "localhost.",
        "[::1",
        "::1",
        "2130706433",
        "0x7f.0.0.1",
        "127.1",
    ],
)
def test_nearly_its_name_is_not_its_name(plain, host):
    """
    What resembles a name of this machine, to one parser or another, is refused: names can be pointed here.
    """
    assert b" 400 " in plain.raw("GET /healthz HTTP/1.1", f"Host: {host}").partition(b"\r\n")[0]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8765", "[::1]", "[::1]:8765"])
def test_its_names_are(plain, host):
    """
    In any case, with any port that there is.
    """
    assert (
        b" 200 "
        in plain.raw("GET /healthz HTTP/1.1", f"Host: {host}", "Connection: close").partition(b"\r\n")[0]
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["GET / HTTP/1.1", "Host: PLACE", "Host: evil"],
        ["GET / HTTP/1.1"],
        ["POST /api/session HTTP/1.1", "Host: PLACE", "Content-Length: 3", "Content-Length: 5"],
        ["POST /api/session HTTP/1.1", "Host: PLACE", "Content-Length: -1"],
        ["POST /api/session HTTP/1.1", "Host: PLACE", "Transfer-Encoding: xchunked"],
        ["GET /\xff HTTP/1.1", "Host: PLACE"],
        ["\x16\x03\x01\x02\x00\x01"],
    ],
)
def test_what_is_no_request_is_answered_as_everything_is(plain, lines):
    """
    The server's own refusals have the same headers as the application's, and end the connection.
    """
    answer = plain.raw(*lines)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-security-policy" in answer.lower()


def test_nothing_is_smuggled_behind_a_request(plain):
    """
    A request that says twice where it ends is refused, and what stands behind it is not answered.
    """
    answer = plain.raw(
        "POST /api/session HTTP/1.1",
        "Host: PLACE",
        "Content-Type: application/json",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        body=b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_headers_have_an_end(plain):
    """
    However fast they come.
    """
    answer = plain.raw("GET / HTTP/1.1", "Host: PLACE", "Connection: close", f"X-Long: {'x' * 100_000}")

    assert answer.partition(b"\r\n")[0].split()[1] in {b"431", b"400"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/plugins/", 404),
        ("GET", "/static", 404),
        ("GET", "/static/", 404),
        ("GET", "/static/..%2f__init__.py", 404),
        ("GET", "/static/%2e%2e/__init__.py", 404),
        ("GET", "/static/../__init__.py", 404),
        ("GET", "/static/..%5c__init__.py", 404),
        ("GET", "/static//etc/hostname", 404),
        ("GET", "/static/%00", 404),
        ("GET", "/static/" + "x" * 3000, 404),
        ("GET", "//evil.example/", 404),
        ("GET", "/ws", 404),
        ("POST", "/", 405),
        ("PUT", "/api/plugins", 405),
        ("GET", "/api/halt", 405),
        ("OPTIONS", "/api/halt", 405),
        ("TRACE", "/", 405),
        ("DELETE", "/static/app.js", 405),
        ("GET", "/api/plugins", 401),
        ("GET", "/events", 401),
        ("GET", "/?token=x", 400),
    ],
)
def test_every_refusal_has_every_header(plain, method, path, status):
    """
    Whatever is asked for in whatever way: JSON, and what keeps browsers from being used.
    """
    answer = plain.ask(method, path)

    assert answer.status == status
    assert answer.json["error"]
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] is None


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/healthz", "/metrics", "/api/plugins", "/events"])
def test_a_head_has_no_body_and_ends(plain, path):
    """
    Also of what would go on forever.
    """
    answer = plain.ask("HEAD", path, token=OPS)

    assert (answer.status, answer.body) == (200, b"")


def test_a_failure_is_answered_and_not_explained(plain, monkeypatch, caplog):
    """
    500 with every header; why is in the server's log only.
    """
    monkeypatch.setattr("hotplug_web._app.metrics_of", lambda *_: 1 / 0)
    answer = plain.get("/metrics")

    assert answer.status == 500
    assert "log" in answer.json["error"]
    assert answer.headers["content-security-policy"]
    assert "ZeroDivisionError" in caplog.text


def test_there_is_one_socket(plain):
    """
    Elsewhere a handshake is refused as a request is.
    """
    with pytest.raises(InvalidStatus) as refused:
        plain.connect(path="/api/plugins")

    assert refused.value.response.status_code == 404
    assert "content-security-policy" in refused.value.response.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_strangers_page_includes_is_not_given(plain, site):
    """
    Without an Origin, a browser says by itself whose page asks: an image of elsewhere takes no stream.
    """
    cookie, _ = plain.log_in("ada", ["read"])
    fetched = {**cookie, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}

    assert plain.get("/events", headers=fetched).status == 403
    assert plain.get("/api/plugins", headers=fetched).status == 403
    assert plain.get("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status == 200
    own = {**cookie, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert plain.get("/api/plugins", headers=own).status == 200


def test_no_frame_is_compressed(plain):
    """
    Whoever offers compression is not taken at its word: memory and CPU for each client, and a way to leak.
    """
    client = plain.enter(ADA, compression="deflate")

    assert "sec-websocket-extensions" not in client.connection.response.headers


def piece(opcode, data, *, last=True, masked=True, reserved=0):
    """A frame of a message, as it is on the wire."""
    head = bytes((last << 7 | reserved << 4 | opcode, masked << 7 | 126)) + struct.pack("!H", len(data))
    if len(data) < 126:
        head = bytes((head[0], masked << 7 | len(data)))
    return head + (b"\0" * 4 if masked else b"") + data


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([piece(1, b"{}", masked=False)], 1002),
        ([piece(1, b"{}", reserved=4)], 1002),
        ([piece(3, b"{}")], 1002),
        ([piece(0, b"{}")], 1002),
        ([piece(9, b"x" * 126)], 1002),
        ([piece(9, b"x", last=False)], 1002),
        ([piece(8, b"\x03")], 1002),
        ([piece(1, b"\xff\xfe")], 1007),
        ([piece(1, b"\xc3", last=False), piece(0, b"x")], 1007),
        ([b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0"], 1009),
        ([piece(1, b"x" * 900, last=False), piece(0, b"x" * 900)], 1009),
        ([piece(1, b"", last=False), *([piece(0, b"", last=False)] * 1001)], 1009),
    ],
)
def test_frames_against_the_protocol_end_the_connection(plain, pieces, code, caplog):
    """
    With the code that says why, no traceback in any log, and everybody else served.
    """
    other = plain.enter(OPS)
    with plain.stall(ADA) as raw:
        raw.sendall(b"".join(pieces))
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while got := raw.recv(4096):
                heard += got

    assert struct.pack("!H", code) in heard[-125:]
    assert "Traceback" not in caplog.text
    plain.tell("ops", "CUSTOM")
    assert other.events(1)


def test_who_does_not_wait_to_be_let_in_is_cut_off(site, caplog):
    """
    Frames before the handshake is over: no client sends any, and the server does not stumble over them.
    """
    asked, free = threading.Event(), threading.Event()

    def slow(_knock):
        asked.set()
        free.wait(30)

    world = site(authenticate=slow, limits=Limits(auth=30))
    head = ("GET /ws HTTP/1.1", "Host: localhost", *SHAKE, "Sec-WebSocket-Protocol: bearer, any", "", "")
    with socket.create_connection(("127.0.0.1", world.port), 10) as connection:
        connection.sendall("\r\n".join(head).encode())
        assert asked.wait(10)
        connection.sendall(piece(1, b"{}", masked=False))
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(4096) == b""
    free.set()

    assert world.get("/healthz").status == 200
    assert not [record for record in caplog.records if record.exc_info]


def test_a_clock_that_is_put_back_prolongs_nothing(site, monkeypatch):
    """
    A connection lasts as long as it was given, whatever time it is said to be meanwhile.
    """
    ends = datetime.now(UTC) + timedelta(seconds=0.5)
    world = site(authenticate=TokenAuthenticator({ADA: Principal("ada", expires_at=ends)}))
    client = world.enter(ADA)
    client.say(type="ping")
    client.until("pong")  # by now it has come in

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr("hotplug_web._principal.datetime", Earlier)

    assert client.close_code() == 4401


# -- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["\ud800", "x" * 501, " "])
def test_what_cannot_be_written_down_is_not_done(site, paper, reason):
    """
    Half characters, or more than anybody reads: nothing is halted, and the dashboard goes on.
    """
    world = site(paper)
    watcher = world.enter(OPS)
    watcher.say(type="watch")
    watcher.until("board")
    body = json.dumps({"reason": reason})

    assert world.post("/api/halt", body, token=OPS).status == 400
    assert world.host.brokers.halts() == ()
    assert world.post("/api/halt", {"reason": "drill"}, token=OPS).status == 200
    assert watcher.until("board.delta")


def test_half_characters_of_plugins_harm_nobody(site, tool, monkeypatch):
    """
    A file name or an error that is no text: told as it is, in escapes, on the board, by the API, in metrics.
    """
    tool()
    world = site()
    monkeypatch.setattr("hotplug_web._rows._last_line", lambda _: "half \ud83d")
    monkeypatch.setattr("hotplug_web._metrics._escaped", lambda text: f"{text}\ud83d")
    client = world.enter(OPS)
    client.say(type="watch")

    assert client.until("board")["rows"][0]["last_error"]["text"] == "half \ud83d"
    assert world.get("/api/plugins", token=OPS).json["plugins"][0]["last_error"]["text"] == "half \ud83d"
    assert b"\\ud83d" in world.get("/metrics").body
