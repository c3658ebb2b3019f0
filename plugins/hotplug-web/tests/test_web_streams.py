"""Server-sent events: resumed, counted, cut off, and ended as sockets are."""

from __future__ import annotations

import http.client
import json
import socket

from hotplug_web import Limits, Principal, TokenAuthenticator
from web_site import ADA, BOB, until


class Lines:
    """A stream of server-sent events."""

    def __init__(self, world, **headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=10)
        self.connection.request("GET", "/events", headers=headers)
        self.response = self.connection.getresponse()

    def block(self):
        """The next one, as a dict."""
        found = {}
        while line := self.response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            found[name] = value
        return found

    def events(self, count):
        found = []
        while len(found) < count:
            if "data" in (block := self.block()):
                found.append({**json.loads(block["data"]), "id": block["id"]})
        return found


def test_a_stream_resumes_where_it_broke(site):
    """
    Last-Event-ID is the cursor: nothing is lost, nothing comes twice, and nothing of others.
    """
    world = site()
    first = Lines(world, Authorization=f"Bearer {ADA}")
    assert "id" in first.block()
    cursors = world.tell("ada", *["CUSTOM"] * 3)
    world.tell("bob", "CUSTOM")
    events = first.events(2)
    assert [event["id"] for event in events] == cursors[:2] == [event["cursor"] for event in events]
    first.connection.close()

    again = Lines(world, Authorization=f"Bearer {ADA}", **{"Last-Event-ID": events[-1]["id"]})
    later = world.tell("ada", "CUSTOM")

    assert [event["id"] for event in again.events(2)] == [cursors[2], *later]
    again.connection.close()


def test_a_stream_counts_as_a_connection(site):
    """
    WebSockets and streams together are limited; the next one is 429.
    """
    world = site(limits=Limits(per_user=2))
    world.enter(ADA)
    stream = Lines(world, Authorization=f"Bearer {ADA}")
    assert stream.response.status == 200

    assert world.get("/events", token=ADA).status == 429
    stream.connection.close()
    until(lambda: len(world.app.state.manager) == 1)


def test_a_stream_ends_when_its_user_is_revoked(site):
    """
    So it does with the host, and with who came.
    """
    world = site()
    streams = [Lines(world, Authorization=f"Bearer {token}") for token in (ADA, BOB)]
    world.app.state.disconnect("ada")
    assert streams[0].response.read().endswith(b"\n")
    world.host.close()
    assert streams[1].response.read().endswith(b"\n")
    for stream in streams:
        stream.connection.close()


def test_a_stream_shows_signs_of_life(site):
    """
    Comments keep what lies between from closing it.
    """
    stream = Lines(site(limits=Limits(heartbeat=0.05)), Authorization=f"Bearer {ADA}")
    stream.block()

    assert stream.block() == {"": "ping"}
    stream.connection.close()


def test_a_stream_that_nobody_reads_is_cut_off(site):
    """
    It keeps no place and no memory, and what ends for its user ends for it.
    """
    world = site(limits=Limits(send=0.2, per_user=1))
    stalled = socket.create_connection(("127.0.0.1", world.port), 10)
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(
        f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADA}\r\n\r\n".encode()
    )
    manager = world.app.state.manager
    until(lambda: len(manager))
    for _ in range(400):
        world.tell("ada", "CUSTOM", text="x" * 10_000)

    until(lambda: not len(manager))
    world.enter(ADA)
    stalled.close()


def test_a_busy_stream_of_somebody_who_is_not_known_any_more_ends(site):
    """
    Also while there is always something new to tell.
    """
    known = TokenAuthenticator({ADA: Principal("ada")})
    world = site(authenticate=known, limits=Limits(heartbeat=0.05))
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=10)
    connection.request("GET", "/events", headers={"Authorization": f"Bearer {ADA}"})
    response = connection.getresponse()
    known.revoke("ada")
    while response.readline():
        world.tell("ada", "CUSTOM")

    assert response.isclosed() or response.read() == b""
    connection.close()
