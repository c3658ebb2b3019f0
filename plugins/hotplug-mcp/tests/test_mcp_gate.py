"""Who is let in over HTTP, and who is not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from types import SimpleNamespace

import pytest

from hotplug.errors import ConfigError
from hotplug_mcp import Tokens
from hotplug_mcp._gate import LARGEST, Gate, Rules, is_loopback

TOKEN = "a-long-random-text"


def ask(rules, *, closing=False, method="POST", path="/mcp", **headers):
    """One request; the status, and for whom it was served."""
    sent, served = [], []

    async def serve(user, scope, receive, send):
        served.append(user)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    given = {"host": "127.0.0.1:8000", "content-length": "2"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    raw = [
        (name.encode(), each.encode())
        for name, value in given.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Gate(rules, serve, is_closing=closing)(scope, None, send))
    return sent[0]["status"], served


@pytest.fixture
def file(tmp_path):
    """A file of tokens, and what writes it."""
    path = tmp_path / "tokens.toml"

    def write(text, mode=0o600):
        path.write_text(text)
        path.chmod(mode)
        return path

    write(f'[[principal]]\nuser = "bob"\ntoken = "{TOKEN}"\n')
    return SimpleNamespace(path=path, write=write)


LOCAL = Rules("ada")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost:80", "LOCALHOST", "[::1]:8000", "127.1.2.3"]
)
def test_this_machine_is_let_in(host):
    """
    By its own names, whatever the port: it may be forwarded.
    """
    assert ask(LOCAL, host=host) == (200, ["ada"])


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.test",
            "evil.test:8000",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "",
            None,
            "[::1",
            "::1",
        ),
        *(
            "127.0.0.1:8000:1",
            "192.0.2.7:8000",
            "127.0.0.1@evil.test",
            "2130706433",
            ["127.0.0.1", "evil.test"],
            ["evil.test", "127.0.0.1"],
        ),
    ],
)
def test_another_name_for_this_machine_is_refused(host):
    """
    A page whose name was made to lead here still says that name.
    """
    assert ask(LOCAL, host=host) == (421, [])


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.test", "null", "http://127.0.0.1:9000", "http://localhost:8000", ""),
        *("http://127.0.0.1:8000.evil.test", "http://127.0.0.1:8000/", "file://"),
    ],
)
def test_foreign_pages_are_refused(origin):
    """
    Even those of this machine, from another port.
    """
    assert ask(LOCAL, origin=origin) == (403, [])


def test_pages_that_may_come():
    """
    Its own, those that were named, and clients that are no pages at all.
    """
    rules = Rules("ada", origins=frozenset({"https://console.test"}))

    for origin in ("http://127.0.0.1:8000", "https://console.test", None):
        assert ask(rules, origin=origin) == (200, ["ada"])


def test_names_that_were_given(file):
    """
    Elsewhere than on loopback, addresses and the names that were given are right.
    """
    rules = Rules("", Tokens(file.path), local=False, hosts=frozenset({"tools.test"}))
    bearer = f"Bearer {TOKEN}"

    for host in ("tools.test", "Tools.Test.:443", "192.0.2.7:8000", "[2001:db8::1]:8000"):
        assert ask(rules, host=host, authorization=bearer) == (200, ["bob"])
    assert ask(rules, host="evil.test", authorization=bearer) == (421, [])


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer bob",
        TOKEN,
        "Bearer \udcff",
    ],
)
def test_without_the_token_nobody_comes_in(file, authorization):
    """
    The user is the token's, and of nobody who has none; it is told what is missing.
    """
    rules = Rules("ada", Tokens(file.path))
    raw = (
        None if authorization is None else authorization.encode("utf-8", "surrogateescape").decode("latin-1")
    )

    assert ask(rules, authorization=raw) == (401, [])
    assert ask(rules, authorization=f"bearer {TOKEN}") == (200, ["bob"])
    assert ask(rules, authorization=[f"Bearer {TOKEN}", "Bearer x"]) == (421, [])


def test_a_stream_ends_with_its_token(file):
    """
    What is being served to somebody whose token is withdrawn is cut off, and cleans up.
    """
    ended = []

    async def stream(user, scope, receive, send):
        file.write('[[principal]]\nuser = "bob"\ntoken = "another"\n')
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(user)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": headers}
    gate = Gate(Rules("ada", Tokens(file.path)), stream, look_again=0.01)
    asyncio.run(asyncio.wait_for(gate(scope, None, None), 20))

    assert ended == ["bob"]


def test_what_fails_behind_the_gate_is_not_hidden(file):
    """
    An error of what is served reaches the server.
    """

    async def fail(*_):
        raise LookupError

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": headers}
    with pytest.raises(LookupError):
        asyncio.run(Gate(Rules("ada", Tokens(file.path)), fail)(scope, None, None))


def test_what_is_too_large_or_elsewhere_or_too_late():
    """
    Is refused before it is read.
    """
    assert ask(LOCAL, content_length=str(LARGEST + 1)) == (413, [])
    assert ask(LOCAL, content_length=None) == (411, [])
    assert ask(LOCAL, content_length="-1") == (411, [])
    assert ask(LOCAL, content_length=None, method="GET") == (200, ["ada"])
    assert ask(LOCAL, path="/") == (404, [])
    assert ask(LOCAL, path="/mcp/") == (200, ["ada"])
    assert ask(LOCAL, closing=True) == (503, [])


def test_what_is_no_http_is_not_served():
    """
    Neither a start-up message nor a socket.
    """

    async def nobody(*_):
        raise AssertionError

    asyncio.run(Gate(LOCAL, nobody)({"type": "websocket"}, None, nobody))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("box", False),
    ],
)
def test_what_is_loopback(address, local):
    """
    Only what nobody else can reach.
    """
    assert is_loopback(address) is local


# -- tokens --------------------------------------------------------------------------------------------


def test_tokens_may_be_kept_as_hashes(file):
    """
    The file need not hold what it lets in.
    """
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    file.write(f'[[principal]]\nuser = "eve"\ntoken_sha256 = "{digest}"\n')

    assert Tokens(file.path).user_of(TOKEN) == "eve"


def test_tokens_can_be_withdrawn(file, caplog):
    """
    The file is read again when it changes; one that is wrong, or gone, lets nobody in.
    """
    caplog.set_level(logging.CRITICAL, "hotplug")
    tokens = Tokens(file.path)
    assert tokens.user_of(TOKEN) == "bob"

    file.write('[[principal]]\nuser = "bob"\ntoken = "another"\n')
    assert tokens.user_of(TOKEN) is None
    assert tokens.user_of("another") == "bob"

    for wrong in ("wrong", f"x = {'[' * 5000}"):  # the second is too deep to be read
        file.write('[[principal]]\nuser = "bob"\ntoken = "another"\n')
        assert tokens.user_of("another") == "bob"
        file.write(wrong)
        assert tokens.user_of("another") is None

    file.write(f'[[principal]]\nuser = "bob"\ntoken = "{TOKEN}"\n')
    assert tokens.user_of(TOKEN) == "bob"

    file.path.unlink()
    assert tokens.user_of(TOKEN) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"\[\[principal\]\]"),
        ("[principal]\nuser = 'a'", r"\[\[principal\]\]"),
        ("[[principal]]\nuser = 'a'", "either token"),
        ("[[principal]]\nuser = 'a'\ntoken = 'x'\ntoken_sha256 = 'y'", "either token"),
        ("[[principal]]\ntoken = 'x'", "user must be"),
        ("[[principal]]\nuser = ' '\ntoken = 'x'", "user must be"),
        ("[[principal]]\nuser = 'a'\ntoken = ''", "token must be"),
        ("[[principal]]\nuser = 'a'\ntoken_sha256 = 'zz'", "64 hex"),
        ("[[principal]]\nuser = 'a'\ntoken_sha256 = 'ab'", "64 hex"),
        ("[[principal]]\nusr = 'a'\ntoken = 'x'", "did you mean 'user'"),
        ("= 1", "cannot be read"),
    ],
)
def test_wrong_files_are_refused(file, text, why):
    """
    With what is wrong, and never with the token.
    """
    with pytest.raises(ConfigError, match=why):
        Tokens(file.write(text))


def test_a_file_that_others_can_read_is_refused(file):
    """
    What many know is no secret.
    """
    with pytest.raises(ConfigError, match="chmod 600"):
        Tokens(file.write("", mode=0o640))
