"""Who comes in, whatever an ``authenticate`` does, and who is out, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import threading

import pytest

import hotplug_web._sessions
from hotplug_web import Limits, Principal, TokenAuthenticator
from hotplug_web._guests import neighbourhood_of
from hotplug_web._journal import Journal
from hotplug_web._sessions import Sessions
from web_site import ADA, BOB, OPS


def raising(error):
    def authenticate(_knock):
        raise error

    return authenticate


async def of_its_own(_knock):
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "authenticate",
    [
        raising(ValueError("secret-token")),
        raising(SystemExit("secret-token")),
        raising(GeneratorExit()),
        of_its_own,
        lambda _knock: "ada",
        lambda _knock: {"user": "ada"},
        lambda _knock: Principal,
        lambda _knock: Principal(""),
        lambda _knock: Principal("ada", "admin"),
        lambda _knock: Principal("ada", expires_at=float("inf")),
    ],
)
def test_what_authenticate_does_wrong_lets_nobody_in(site, authenticate, caplog):
    """
    Whatever it raises or answers: not known, no word of it to anybody, and the server goes on.
    """
    world = site(authenticate=authenticate)

    assert world.get("/api/session", token="any").status == 401
    assert world.connect("any").close_code() == 4401
    first = world.connect()
    first.say(type="auth", token="any")
    assert first.close_code() == 4401
    assert "authenticate" in caplog.text
    assert "secret-token" not in caplog.text
    assert world.get("/healthz").status == 200


@pytest.mark.parametrize("sort", ["sync", "async"])
def test_who_cannot_be_recognised_in_time_is_refused(site, sort):
    """
    An authenticate that hangs costs its callers their time, and nobody else: 503, or closed as such.
    """
    free = threading.Event()

    async def hanging(knock):
        await asyncio.Event().wait()

    def blocking(knock):
        free.wait(60)

    world = site(authenticate=hanging if sort == "async" else blocking, limits=Limits(auth=0.1))
    try:
        assert world.get("/api/session", token="any").status == 503
        assert world.connect("any").close_code() == 1013
        assert world.get("/healthz").status == 200
    finally:
        free.set()


def test_who_hangs_takes_no_more_threads_than_there_are(site, monkeypatch):
    """
    However many knock at an authenticate that never returns, so many are asked about at once, and no more.
    """
    monkeypatch.setattr("hotplug_web._guests.AT_ONCE", 3)
    free, asked = threading.Event(), []

    def blocking(knock):
        asked.append(knock)
        free.wait(60)

    world = site(authenticate=blocking, limits=Limits(auth=0.05))
    try:
        assert [world.get("/api/session", token="any").status for _ in range(10)] == [503] * 10
        assert len(asked) == 3
    finally:
        free.set()


class Careless:
    """Knows everybody, and raises when it is asked for anything else."""

    async def __call__(self, knock):
        return Principal("ada", {"admin"})

    def knows(self, principal):
        return True

    def revoke(self, user):
        raise OSError("no space left")


def test_a_revocation_that_fails_ends_the_connections_all_the_same(site):
    """
    The application hears of the failure; who was revoked hears 4401, and its cookies and links are void.
    """
    world = site(authenticate=Careless())
    cookie, _ = world.log_in("ada")
    link = world.app.state.invite("ada")
    client = world.connect("any")
    client.hear()
    with pytest.raises(OSError, match="no space"):
        world.app.state.disconnect("ada")

    assert client.close_code() == 4401
    assert world.app.state.manager.stats()["closed_4401"] == 1
    assert not world.app.state.invite.__self__.guests.sessions.of(cookie["Cookie"].partition("=")[2])
    assert world.app.state.invite.__self__.guests.links.exchange(link) is None


def test_who_cannot_be_asked_about_any_more_is_not_known(site):
    """
    An application's ``knows`` that raises ends what came in before.
    """

    class Broken(Careless):
        well = True

        def knows(self, principal):
            return self.well or 1 / 0

    world = site(authenticate=Broken(), limits=Limits(heartbeat=0.05))
    client = world.connect("any")
    client.hear()
    Broken.well = False

    assert client.close_code() == 4401


def test_a_full_disk_keeps_nobody_out_and_lets_nobody_back_in(site, monkeypatch, caplog):
    """
    Sessions that cannot be written hold while the process lasts; what was ended is not in a file from before.
    """

    def full(_path, _text):
        raise OSError(28, "No space left on device")

    world = site()
    before, csrf = world.log_in("ada")
    monkeypatch.setattr(hotplug_web._sessions, "_write_private", full)
    meanwhile, _ = world.log_in("bob")

    assert world.get("/api/session", headers=meanwhile).json["user"] == "bob"
    assert world.get("/api/session", headers=before).json["user"] == "ada"
    gone = world.ask("DELETE", "/api/session", headers={**before, "X-CSRF-Token": csrf})
    assert gone.status == 204
    assert world.get("/api/session", headers=before).status == 401
    assert world.get("/api/session", headers=meanwhile).status == 200
    again = Sessions(world.host.data / "web" / "sessions.json", 100)
    assert again.of(before["Cookie"].partition("=")[2]) is None
    assert "will not outlive" in caplog.text


def test_a_user_has_so_many_sessions(monkeypatch):
    """
    Logging in over and over makes nothing grow: the oldest session of that user ends, no one else's.
    """
    monkeypatch.setattr(hotplug_web._sessions, "MOST", 2)
    sessions = Sessions(None, 100)
    other = sessions.open(Principal("bob"), by_token=False)
    mine = [sessions.open(Principal("ada"), by_token=False) for _ in range(4)]

    assert [sessions.of(each) is not None for each in mine] == [False, False, True, True]
    assert sessions.of(other) is not None


@pytest.mark.parametrize("expires", ["inf", "nan", "1e30", "-1e30", "99999999999999999999"])
def test_a_time_that_cannot_be_lets_nobody_in(tmp_path, expires, caplog):
    """
    A file that is changed to hold one is refused as a whole; nobody comes in by what it held before.
    """
    file = tmp_path / "tokens.toml"
    good = '[[principal]]\nuser = "ada"\ntoken = "a"\n'
    file.write_text(good)
    file.chmod(0o600)
    known = TokenAuthenticator(file=file)
    assert known.of("a")
    file.write_text(f"{good}expires_at = {expires}\n")

    assert known.of("a") is None
    assert known.of("a") is None
    assert "nobody can come in" in caplog.text


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_an_address_is_what_somebody_has_to_choose_from(address, counted):
    """
    Of IPv6 everybody has as many addresses as there are: a network counts as one.
    """
    assert neighbourhood_of(address) == counted


def test_who_forwards_is_not_believed(site):
    """
    Another address in a header is no other address: limits count those that connect.
    """
    world = site(limits=Limits(per_address=1))
    world.enter(ADA)
    forged = {"X-Forwarded-For": "192.0.2.9", "X-Real-IP": "192.0.2.9", "Forwarded": "for=192.0.2.9"}

    assert world.connect(BOB, additional_headers=forged).close_code() == 4429


# -- actions ---------------------------------------------------------------------------------------


def test_what_fails_in_an_unknown_way_is_journalled_too(site, tool, monkeypatch, caplog):
    """
    A hook or a plugin may raise anything: 500 without its words, and the journal says that it failed.
    """
    tool()
    world = site()

    async def failing(_name):
        raise AssertionError("secret-words")

    monkeypatch.setattr(world.host, "areload", failing)
    answer = world.post("/api/reload", {"distribution": "acme-adder"}, token=OPS)

    assert answer.status == 500
    assert answer.json["outcome"] == "failed"
    assert "secret-words" not in answer.body.decode()
    assert "secret-words" in caplog.text
    lines = (world.host.data / "web" / "actions.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["asked", "done"]


def test_two_admins_reload_one_after_the_other(site, tool):
    """
    Each has its generation, its answer, and its lines in the journal.
    """
    tool()
    world = site()
    world.host.tools.get("adder")
    answers = []

    def reload(token):
        answers.append(world.post("/api/reload", {"distribution": "acme-adder"}, token=token))

    admins = [threading.Thread(target=reload, args=(OPS,)) for _ in range(4)]
    for each in admins:
        each.start()
    for each in admins:
        each.join(20)

    assert [answer.json["outcome"] for answer in answers] == ["done"] * 4
    [status] = world.host.plugins
    assert status.generation == 5
    lines = (world.host.data / "web" / "actions.jsonl").read_text().splitlines()
    asked = [json.loads(line) for line in lines]
    assert len({line["id"] for line in asked}) == 4
    done = [line["event"] for line in asked]
    assert done.count("asked") == done.count("done") == 4


def test_a_line_that_was_torn_spoils_no_other(tmp_path, monkeypatch):
    """
    A disk that is full in the middle of a line: the next line is one of its own.
    """
    journal = Journal(tmp_path / "actions.jsonl")
    journal.asked("ada", "::1", "halt", {})
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(OSError, match="space"):
            journal.asked("ada", "::1", "halt", {})
    journal.asked("bob", "::1", "halt", {})
    lines = journal.path.read_text().splitlines()

    assert [json.loads(lines[0])["user"], json.loads(lines[2])["user"]] == ["ada", "bob"]
    assert len(lines) == 3
