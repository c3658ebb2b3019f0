"""Who takes its time, comes in crowds, or stays when it should have gone."""

from __future__ import annotations

import contextlib
import http.client
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotplug_web import Limits
from web_site import ADA, OPS, until


@pytest.mark.parametrize(
    "lines",
    [
        [""],
        ["GET / HTTP/1.1", "Host: PLACE"],
        [
            "POST /api/session HTTP/1.1",
            "Host: PLACE",
            "Content-Type: application/json",
            "Content-Length: 9",
            "",
            "{",
        ],
        ["POST /api/reload HTTP/1.1", "Host: PLACE", "Transfer-Encoding: chunked", "", "5", "{"],
    ],
)
def test_who_does_not_come_to_an_end_is_cut_off(plain, monkeypatch, lines, caplog):
    """
    Nobody holds a connection by saying nothing, half a head, or half a body; and no log is filled by it.
    """
    monkeypatch.setattr("hotplug_web._server.PATIENCE", 0.05)
    plain.raw(*lines, half=True)

    assert plain.get("/healthz").status == 200
    assert "Traceback" not in caplog.text


def test_who_comes_back_is_not_cut_off(plain, monkeypatch):
    """
    The time is that of a request, not of a connection.
    """
    monkeypatch.setattr("hotplug_web._server.PATIENCE", 0.5)
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=10)
    until_then = time.monotonic() + 0.7
    with contextlib.closing(connection):
        while time.monotonic() < until_then:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            connection.auto_open = 0  # it is this very connection that goes on


def test_pings_that_are_not_read_do_not_pile_up(plain):
    """
    Who sends and never reads gets no more answers than fit, and costs no memory.
    """
    reads_nothing = plain.stall(ADA)
    [protocol] = until(lambda: plain.app.state.manager._all())  # it has come in
    ping = bytes((0x89, 0x80 | 125, 0, 0, 0, 0)) + b"x" * 125
    reads_nothing.settimeout(0.5)
    sent = 0
    try:
        while sent < 3_000_000:
            reads_nothing.sendall(ping * 1000)
            sent += 1000 * len(ping)
    except TimeoutError:
        pass

    assert protocol.user == "ada"
    transport = protocol._websocket.scope["extensions"]["hotplug.write"]["call"].__self__.transport
    assert transport.get_write_buffer_size() < 1_000_000


def test_many_attempts_at_once_are_slowed(site):
    """
    A flood of forged tokens from one address is answered, 401 and then 429; a right one still comes in.
    """
    world = site(limits=Limits(burst=5, logins=0.001))
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda n: world.post("/api/session", {"token": f"t{n}"}).status, range(200)))

    assert statuses.count(401) == 15  # three bursts
    assert statuses.count(429) == 185
    assert world.post("/api/session", {"token": OPS}).status == 200


def test_a_link_is_won_by_one(plain):
    """
    Of many who use it at the same time, one comes in.
    """
    token = plain.app.state.invite()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: plain.post("/api/session", {"token": token}).status, range(8)))

    assert sorted(statuses) == [200] + [401] * 7


def test_a_session_is_not_chosen_by_who_comes(plain):
    """
    A cookie that somebody brought along is not what the log-in stands for, whose it was or was not.
    """
    brought = {"Cookie": f"hotplug_session_{plain.port}=chosen"}
    token = plain.app.state.invite()
    login = plain.post("/api/session", {"token": token}, headers=brought)

    assert "chosen" not in login.cookie
    assert plain.get("/api/session", headers=brought).status == 401
    assert plain.get("/api/session", headers={"Cookie": login.cookie}).status == 200


def test_who_logs_out_leaves_everywhere(plain):
    """
    What came in with the cookie ends with it; what came in with another one stays.
    """
    (cookie, csrf), (other, _) = plain.log_in("ada"), plain.log_in("ada")
    origin = f"http://127.0.0.1:{plain.port}"
    leaving, staying = (plain.connect(additional_headers=each, origin=origin) for each in (cookie, other))
    assert [each.hear()["type"] for each in (leaving, staying)] == ["hello", "hello"]
    gone = plain.ask("DELETE", "/api/session", headers={**cookie, "X-CSRF-Token": csrf})

    assert gone.status == 204
    assert leaving.close_code() == 4401
    plain.tell("ada", "CUSTOM")
    assert staying.events(1)
