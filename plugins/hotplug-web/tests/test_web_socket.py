"""WebSockets: who gets in, what they hear, how they part."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hotplug import UserExecutionContext
from hotplug_web import Limits, Principal, TokenAuthenticator
from web_site import ADA, BOB, OPS, until


def test_the_pair_of_subprotocols_lets_in_and_only_its_label_comes_back(plain):
    """
    A token may come beside the label "bearer"; the answer names the label alone.
    """
    client = plain.enter(ADA)

    assert client.connection.subprotocol == "bearer"
    assert client.hello["user"] == "ada"


def test_the_first_message_lets_in(plain):
    """
    Who comes with nothing says who it is in the first message.
    """
    client = plain.connect()
    client.say(type="auth", token=ADA)

    assert client.hear()["user"] == "ada"


def test_authorization_lets_in(plain):
    """
    Programs may send the header that they send everywhere.
    """
    client = plain.connect(additional_headers={"Authorization": f"Bearer {ADA}"})

    assert client.hear()["user"] == "ada"


@pytest.mark.parametrize(
    "first",
    [
        {"type": "auth", "token": "forged"},
        {"type": "auth", "token": ""},
        {"type": "auth"},
        {"type": "auth", "token": {"user": "ada"}},
        {"type": "auth", "user": "ada", "user_id": "ada"},
        {"type": "hello", "token": ADA},
        {"user_id": "ada"},
    ],
)
def test_nothing_but_a_known_token_lets_in(plain, first):
    """
    A forged token, or a user's name instead of one, is closed with 4401.
    """
    client = plain.connect()
    client.say(**first)

    assert client.close_code() == 4401


def test_a_forged_token_in_the_pair_is_refused_with_a_code(plain):
    """
    A browser reads why: the connection is accepted first, then closed with 4401.
    """
    client = plain.connect("forged")

    assert client.close_code() == 4401


def test_who_says_nothing_is_closed(site):
    """
    Nobody stays without having said who it is: 4408.
    """
    client = site(limits=Limits(auth=0.05)).connect()

    assert client.close_code() == 4408


def test_two_users_never_see_each_others_events(plain):
    """
    Each hears its own events, all of them, in order.
    """
    world = plain
    ada, bob = world.enter(ADA), world.enter(BOB)
    for number in range(50):
        world.tell("ada", "CUSTOM", number=number)
        world.tell("bob", "CUSTOM", number=-number)

    heard = {"ada": ada.events(50), "bob": bob.events(50)}

    for user, sign in (("ada", 1), ("bob", -1)):
        assert {event["user_id"] for event in heard[user]} == {user}
        assert [event["payload"]["number"] for event in heard[user]] == [sign * n for n in range(50)]


def test_a_forged_user_in_a_frame_changes_nothing(plain):
    """
    Whatever a client claims later on, its events stay its own.
    """
    world = plain
    client = world.enter(ADA)
    client.say(type="auth", token=ADA, user="bob", user_id="bob")
    client.until("auth")
    world.tell("bob", "CUSTOM")
    world.tell("ada", "CUSTOM")

    assert client.events(1)[0]["user_id"] == "ada"


def test_becoming_another_user_ends_the_connection(plain):
    """
    A connection belongs to one user for good.
    """
    client = plain.enter(ADA)
    client.say(type="auth", token=BOB)

    assert client.close_code() == 4403


def test_an_event_is_told_with_everything_that_belongs_to_it(plain):
    """
    Type, payload, thread, run, time and cursor are those of the event.
    """
    world = plain
    client = world.enter(ADA)
    context = UserExecutionContext("ada", thread_id="t1", run_id="r1")
    cursor = world.host.events.emit(context, "CUSTOM", {"deep": [1, {"näme": None}]})

    [event] = client.events(1)

    assert datetime.fromisoformat(event.pop("time")).tzinfo is not None
    assert event == {
        "type": "CUSTOM",
        "cursor": cursor,
        "user_id": "ada",
        "thread_id": "t1",
        "run_id": "r1",
        "payload": {"deep": [1, {"näme": None}]},
    }


def test_a_killed_client_resumes_without_gap_or_duplicate(plain):
    """
    What happened while it was away comes first, once, in order.
    """
    world = plain
    first = world.enter(ADA)
    world.tell("ada", *["CUSTOM"] * 10)
    seen = [event["cursor"] for event in first.events(7)]
    first.connection.socket.shutdown(socket.SHUT_RDWR)
    emitted = world.tell("ada", *["CUSTOM"] * 10)

    again = world.enter(ADA, query=f"?after={seen[-1]}")
    more = world.tell("ada", *["CUSTOM"] * 5)
    events = again.events(18)

    assert "GAP" not in {event["type"] for event in events}
    places = [int(cursor.partition(":")[2]) for cursor in (*seen, *(event["cursor"] for event in events))]
    assert places == list(range(places[0], places[0] + 25))
    assert events[-1]["cursor"] == more[-1] != emitted[-1]


def test_the_place_to_resume_may_come_with_the_first_message(plain):
    """
    Who says who it is in a message says there as well where it was.
    """
    world = plain
    [before] = world.tell("ada", "CUSTOM")
    [after] = world.tell("ada", "CUSTOM")

    client = world.connect()
    client.say(type="auth", token=ADA, after=before)

    assert client.events(1)[0]["cursor"] == after


def test_what_is_lost_is_told_once(site):
    """
    Who was away for too long hears one GAP, then what is left.
    """
    world = site()
    world.host.events._core.max_events = 8
    [before] = world.tell("ada", "CUSTOM")
    world.tell("ada", *["CUSTOM"] * 30)

    client = world.enter(ADA, query=f"?after={before}")
    events = client.events(9)

    assert [event["type"] for event in events] == ["GAP", *["CUSTOM"] * 8]
    assert events[0]["payload"] == {"missed": 22, "reason": "evicted"}


def test_a_cursor_of_another_process_is_told_so(site):
    """
    After a restart, the cursor of before leads to a GAP, and what there is.
    """
    world = site()
    world.tell("ada", "CUSTOM")
    client = world.enter(ADA, query="?after=0123456789ab:7")

    assert [event["type"] for event in client.events(2)] == ["GAP", "CUSTOM"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [("x" * 2000, 1009), (b"bytes", 1003), ("{", 1007), ("[1]", 1007), ("[" * 900, 1007), ("null", 1007)],
    ids=["oversized", "binary", "broken", "no object", "deep", "null"],
)
def test_malformed_messages_end_the_connection(plain, raw, code):
    """
    What is no message is answered with the code that says why.
    """
    client = plain.enter(ADA)
    client.connection.send(raw)

    assert client.close_code() == code


@pytest.mark.parametrize(("raw", "code"), [("x" * 2000, 1009), (b"b", 4401), ("{", 4401)])
def test_a_malformed_first_message_ends_the_connection(plain, raw, code):
    """
    So is it before anybody said who it is.
    """
    client = plain.connect()
    client.connection.send(raw)

    assert client.close_code() == code


def test_a_server_that_takes_longer_messages_changes_nothing(site):
    """
    Mounted behind somebody else's server, the limit is this application's.
    """
    client = site(limits=Limits(message=100), server_limits=Limits()).enter(ADA)
    client.say(type="ping", text="x" * 200)

    assert client.close_code() == 1009


def test_unknown_messages_are_answered(plain):
    """
    A client that speaks a later dialect is told, not cut off.
    """
    client = plain.enter(ADA)
    client.say(type="dance")
    client.say(type=["x"])
    client.say(type="pong")
    client.say(type="ping")

    assert [client.hear()["type"] for _ in range(3)] == ["error", "error", "pong"]


def test_a_flood_of_messages_ends_the_connection(site):
    """
    More messages than allowed: 4429.
    """
    client = site(limits=Limits(calls=0.001, burst=5)).enter(ADA)
    for _ in range(6):
        client.say(type="ping")

    assert client.close_code() == 4429


def test_the_eleventh_connection_is_refused(site):
    """
    Ten connections of a user are allowed; when one goes, the next may come. Others are not concerned.
    """
    world = site()
    clients = [world.enter(ADA) for _ in range(10)]

    assert world.connect(ADA).close_code() == 4429
    world.enter(BOB)
    clients[0].connection.close()
    until(lambda: len(world.app.state.manager) == 10)
    world.enter(ADA)


def test_an_address_has_its_limit_before_anybody_says_who_it_is(site):
    """
    Connections that say nothing count, too.
    """
    world = site(limits=Limits(per_address=2))
    silent = [world.connect() for _ in range(2)]

    assert world.connect(ADA).close_code() == 4429
    assert len(silent) == 2


def test_an_expired_token_is_refused(plain):
    """
    A principal that is over is nobody.
    """
    assert plain.connect("late-token").close_code() == 4401


def test_expiry_ends_a_live_connection(site):
    """
    When a principal ends, so does its connection: 4401.
    """
    soon = Principal("ada", expires_at=datetime.now(UTC) + timedelta(seconds=0.6))
    world = site(authenticate=TokenAuthenticator({ADA: soon}))
    client = world.enter(ADA)

    assert client.close_code() == 4401
    assert soon.has_expired


def test_a_newer_token_prolongs_a_connection(site):
    """
    Who says again who it is stays for as long as that one holds.
    """
    soon = Principal("ada", expires_at=datetime.now(UTC) + timedelta(seconds=0.8))
    world = site(authenticate=TokenAuthenticator({"short": soon, "long": Principal("ada")}))
    client = world.enter("short")
    client.say(type="auth", token="long")

    assert client.until("auth")["expires_at"] is None
    until(lambda: soon.has_expired)
    client.say(type="ping")
    client.until("pong")


def test_disconnect_revokes_at_once(site):
    """
    All connections of a user are closed with 4401, those of others go on, and its token is good no more.
    """
    world = site()
    mine, theirs = [world.enter(ADA), world.enter(ADA)], world.enter(BOB)

    assert world.app.state.disconnect("ada") == 2

    assert [client.close_code() for client in mine] == [4401, 4401]
    assert world.connect(ADA).close_code() == 4401
    theirs.say(type="ping")
    theirs.until("pong")


def test_who_is_revoked_while_it_comes_in_does_not_stay(site):
    """
    Between being recognised and being connected nobody slips through.
    """
    authenticator = TokenAuthenticator({ADA: Principal("ada")})

    async def authenticate(knock):
        found = await authenticator(knock)
        authenticator.revoke("ada")
        return found

    authenticate.knows = authenticator.knows

    client = site(authenticate=authenticate).connect(ADA)
    with pytest.raises(ConnectionClosed):
        client.hear()

    assert client.connection.close_code == 4401


def test_a_token_that_is_withdrawn_ends_its_connections(site):
    """
    Who is not known any more is found by the next heartbeat.
    """
    authenticator = TokenAuthenticator({ADA: Principal("ada")})
    client = site(authenticate=authenticator, limits=Limits(heartbeat=0.05)).enter(ADA)
    authenticator.revoke("ada")

    assert client.close_code() == 4401


def test_there_are_signs_of_life(site):
    """
    A client that waits hears a ping now and then.
    """
    client = site(limits=Limits(heartbeat=0.05)).enter(ADA)

    assert client.hear()["type"] == "ping"
    assert client.hear()["type"] == "ping"


def test_who_reads_nothing_is_closed_and_delays_nobody(site):
    """
    Another connection of the same user, and other users, hear everything meanwhile; memory is bounded.
    """
    world = site(limits=Limits(send=0.5, heartbeat=0.2))
    world.stall(ADA)
    ada, bob = world.enter(ADA), world.enter(BOB)
    heard = {}
    readers = [
        threading.Thread(target=lambda: heard.update(ada=ada.events(300))),
        threading.Thread(target=lambda: heard.update(bob=bob.events(300))),
    ]
    for reader in readers:
        reader.start()
    for _ in range(300):
        world.tell("ada", "CUSTOM", text="x" * 8000)
        world.tell("bob", "CUSTOM")
    for reader in readers:
        reader.join(20)

    assert {user: len(events) for user, events in heard.items()} == {"ada": 300, "bob": 300}
    until(lambda: world.app.state.manager.stats().get("closed_4408") == 1)
    until(lambda: len(world.app.state.manager) == 2)


def rest_of(raw):
    """What comes until the connection ends, one way or the other."""
    read = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := raw.recv(65536):
            read += chunk
    return read


def test_who_is_only_slow_reads_why_it_was_closed(site):
    """
    Who begins to read when it is too late finds what was sent before, then 4408.
    """
    world = site(limits=Limits(send=0.4, heartbeat=0.2))
    raw = world.stall(ADA)
    for _ in range(100):
        world.tell("ada", "CUSTOM", text="x" * 8000)
    until(lambda: world.app.state.manager.stats().get("closed_4408") == 1)
    until(lambda: len(world.app.state.manager) == 0)

    read = rest_of(raw)

    assert read.endswith((4408).to_bytes(2, "big") + b"too slow")
    assert len(read) < 400_000  # of the 800,000 that happened, the server held no more than this


def test_who_takes_nothing_even_then_is_cut_off(site, monkeypatch):
    """
    What was sent to it does not wait for it for ever.
    """
    monkeypatch.setattr("hotplug_web._server.GRACE", 0.0)
    world = site(limits=Limits(send=0.2, heartbeat=0.1))
    raw = world.stall(ADA)
    for _ in range(100):
        world.tell("ada", "CUSTOM", text="x" * 8000)
    until(lambda: world.app.state.manager.stats().get("closed_4408") == 1)
    until(lambda: len(world.app.state.manager) == 0)
    assert world.get("/healthz").status == 200

    assert b"too slow" not in rest_of(raw)


def test_who_reads_again_in_time_hears_all_of_it_once(site):
    """
    A client that paused is served from where it was: nothing is lost, nothing comes twice.
    """
    world = site()
    raw = world.stall(ADA)
    for number in range(100):
        world.tell("ada", "CUSTOM", number=number, text="x" * 8000)
    quick = world.enter(ADA, query="?after=start")
    quick.events(100)

    read = bytearray()
    while b'"number":99,' not in read:
        read += raw.recv(65536)

    assert [int(found) for found in re.findall(rb'"number":(\d+),', read)] == list(range(100))


def test_who_does_not_even_take_a_ping_is_closed(site, monkeypatch):
    """
    The last thing that fits may be one's own sign of life: it is too slow all the same.
    """
    monkeypatch.setattr("hotplug_web._socket.PING", json.dumps({"type": "ping", "text": "x" * 30_000}))
    world = site(limits=Limits(send=0.2, heartbeat=0.01))
    world.stall(ADA)
    until(lambda: world.app.state.manager.stats().get("closed_4408") == 1, 20)


def stock(app, _limits):
    """A server as others start it."""
    return uvicorn.Server(
        uvicorn.Config(app, ws="websockets-sansio", log_config=None, ws_per_message_deflate=False)
    )


def test_under_somebody_elses_server_who_takes_nothing_keeps_its_place(site):
    """
    A server that cannot cut a client off has no room for more of them: its place is free when it is gone.
    """
    world = site(make=stock, limits=Limits(send=0.2, heartbeat=0.1, per_user=1))
    raw = world.stall(ADA)
    for _ in range(100):
        world.tell("ada", "CUSTOM", text="x" * 8000)
    until(lambda: world.app.state.manager.stats().get("closed_4408") == 1)
    assert world.connect(ADA).close_code() == 4429

    raw.close()
    until(lambda: len(world.app.state.manager) == 0)
    world.enter(ADA)


def test_the_end_of_the_host_is_told(site):
    """
    When the host closes, readers hear what was left, and that it goes away: 1001.
    """
    world = site()
    client = world.enter(ADA)
    world.tell("ada", "CUSTOM")
    world.host.close()

    assert len(client.events(1)) == 1
    assert client.close_code() == 1001


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_pages_of_others_are_refused(plain, origin):
    """
    A page from elsewhere gets nowhere, even with a token: 4403.
    """
    assert plain.connect(ADA, origin=origin).close_code() == 4403


def test_pages_of_its_own_and_of_friends_may_connect(site):
    """
    The origin that the page was served from is fine, and what is allowed by name.
    """
    world = site(allowed_origins=["https://friend.example"])

    world.enter(ADA, origin=f"http://127.0.0.1:{world.port}")
    world.enter(ADA, origin="https://friend.example")


def test_a_cookie_counts_only_with_an_origin(plain):
    """
    A browser with a cookie comes in from the page itself, and not without saying which page that is.
    """
    world = plain
    cookie, _ = world.log_in()

    client = world.connect(additional_headers=cookie, origin=f"http://127.0.0.1:{world.port}")
    assert client.hear()["user"] == "operator"
    assert world.connect(additional_headers=cookie).close_code() == 4403


def test_a_stranger_name_of_the_server_is_refused(plain):
    """
    A name that somebody else's name server points here opens nothing.
    """
    world = plain
    with pytest.raises(InvalidStatus) as refused:
        world.connect(ADA, additional_headers={"Host": "rebound.example"})

    assert refused.value.response.status_code == 400


@pytest.mark.parametrize("query", [f"?token={ADA}", f"?access_token={ADA}", f"?after={ADA}", f"?{ADA}"])
def test_a_token_in_the_address_is_refused_and_not_logged(plain, query, caplog):
    """
    It is refused with 400 even if it is right, and appears in no log.
    """
    caplog.set_level("INFO")
    world = plain
    with pytest.raises(InvalidStatus) as refused:
        world.connect(query=query)

    assert refused.value.response.status_code == 400
    assert ADA not in caplog.text


def test_no_token_is_ever_logged(plain, caplog):
    """
    Whatever way it comes, right or wrong, no log has it.
    """
    caplog.set_level("INFO")
    world = plain
    world.enter(ADA)
    world.connect("forged-token").close_code()
    client = world.connect()
    client.say(type="auth", token="forged-message")
    client.close_code()
    world.get("/api/plugins", token="forged-header")
    cookie, csrf = world.log_in()
    world.post("/api/session", {"token": "forged-link"})

    secrets = (ADA, "forged-", csrf, cookie["Cookie"].partition("=")[2])
    assert caplog.records
    assert not [secret for secret in secrets if secret in caplog.text]


def test_frames_are_made_once_for_all_readers(plain, monkeypatch):
    """
    Five readers of an event cost one frame.
    """
    from hotplug_web import _frames

    made = []
    original = _frames._frame_of
    monkeypatch.setattr(_frames, "_frame_of", lambda *facts: made.append(1) or original(*facts))
    world = plain
    clients = [world.enter(OPS) for _ in range(5)]
    world.tell("ops", *["CUSTOM"] * 4)

    assert {json.dumps(client.events(4)) for client in clients}.__len__() == 1
    assert len(made) == 4


def test_an_authenticator_may_be_any_function(site):
    """
    A sync function that looks at the request is enough; what it raises lets nobody in.
    """

    def authenticate(knock):
        return Principal(knock.headers["x-user"])

    world = site(authenticate=authenticate)

    client = world.connect(additional_headers={"X-User": "ada", "Authorization": "Custom"})
    assert client.hear()["user"] == "ada"
    client = world.connect()
    client.say(type="auth", token="x")
    assert client.close_code() == 4401
