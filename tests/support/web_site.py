"""A host, served on a loopback port by hotplug-web, and people who come to it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from websockets.sync.client import connect

from hotplug import UserExecutionContext
from hotplug_web import Principal
from hotplug_web._server import server_of

ADA, BOB, OPS = "ada-token", "bob-token", "ops-token"


def tokens():
    return {
        ADA: Principal("ada"),
        BOB: Principal("bob"),
        OPS: Principal("ops", {"admin"}),
        "reader-token": Principal("rita", {"read"}),
        "metrics-token": Principal("prometheus", {"metrics"}),
        "late-token": Principal("lena", expires_at=datetime.now(UTC) - timedelta(seconds=1)),
    }


def until(condition, limit=10.0):
    """Wait for *condition*; what it gave."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.005)
    return found


class Answer:
    """An HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def cookie(self):
        return self.headers["set-cookie"].partition(";")[0]


class Client:
    """A WebSocket client that has its frames as dicts."""

    def __init__(self, connection):
        self.connection = connection

    def say(self, **frame):
        self.connection.send(json.dumps(frame))

    def hear(self, limit=10.0):
        return json.loads(self.connection.recv(limit))

    def until(self, type_, limit=10.0):
        """The next frame of a type."""
        while (frame := self.hear(limit))["type"] != type_:
            pass
        return frame

    def events(self, count):
        """The next events."""
        found = []
        while len(found) < count:
            if "cursor" in (frame := self.hear()):
                found.append(frame)
        return found

    def close_code(self, limit=10.0):
        """How it is closed."""
        from websockets.exceptions import ConnectionClosed

        with pytest.raises(ConnectionClosed):
            while True:
                self.connection.recv(limit)
        return self.connection.close_code


class Site:
    """A served host."""

    def __init__(self, host, app, port):
        self.host = host
        self.app = app
        self.port = port
        self._open = contextlib.ExitStack()

    def ask(self, method, path, *, token=None, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        if isinstance(body, dict):
            body = json.dumps(body)
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **facts):
        return self.ask("GET", path, **facts)

    def post(self, path, body, **facts):
        return self.ask("POST", path, body=body, **facts)

    def log_in(self, user="operator", scopes=("admin",)):
        """Headers of a browser that used a link, and its CSRF token apart."""
        answer = self.post("/api/session", {"token": self.app.state.invite(user, scopes)})
        assert answer.status == 200
        return {"Cookie": answer.cookie}, answer.json["csrf"]

    def connect(self, token=None, *, query="", path="/ws", **options):
        """A client that has come in, as far as it is let."""
        if token is not None:
            options["subprotocols"] = ["bearer", token]
        options.setdefault("compression", None)
        address = f"ws://127.0.0.1:{self.port}{path}{query}"
        return Client(self._open.enter_context(connect(address, **options)))

    def enter(self, token, **options):
        """A client that was greeted."""
        client = self.connect(token, **options)
        client.hello = client.hear()
        assert client.hello["type"] == "hello"
        return client

    def stall(self, token):
        """A connection that was let in, and reads nothing from then on."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", self.port))
        self._open.callback(raw.close)
        head = (
            "GET /ws HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            f"Sec-WebSocket-Protocol: bearer, {token}",
        )
        raw.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        greeted = b""
        while b'"hello"' not in greeted:
            greeted += (got := raw.recv(4096))
            assert got, greeted
        # By the time that this is answered, it has begun to follow what happens.
        assert self.get("/healthz").status == 200
        return raw

    def raw(self, *lines, body=b"", half=False):
        """What comes back to these very bytes, until the server has no more to say to them."""
        asked = "\r\n".join(line.replace("PLACE", f"127.0.0.1:{self.port}") for line in lines).encode(
            "latin-1"
        )
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(asked if half else asked + b"\r\n\r\n" + body)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while got := connection.recv(65536):
                    answer += got
            return answer

    def tell(self, user, *types, **payload):
        """Emit events for a user."""
        return [self.host.events.emit(UserExecutionContext(user), type_, payload) for type_ in types]

    def close(self):
        self._open.close()


@contextlib.contextmanager
def served(app, limits, make=server_of):
    """*app* behind a real server in a thread, which *make* makes; the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    # Who reads nothing is found out by what does not fit into the system's buffers: let them be small.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    server = make(app, limits)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        until(lambda: server.started)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()
