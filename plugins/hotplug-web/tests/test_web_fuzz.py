"""Whatever is sent, in whatever order: an answer, one of those that the contract has, and never a failure."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hotplug
from hotplug_web import Limits, TokenAuthenticator, create_app
from hotplug_web._doors import HEADERS
from web_site import ADA, OPS, tokens

PATHS = ["/", "/ws", "/events", "/static/app.js", "/metrics", "/healthz", "/nothing"] + [
    f"/api/{name}"
    for name in ("session", "plugins", "brokers", "reload", "disable", "enable", "halt", "resume", "x")
]
FIELDS = ["token", "type", "after", "distribution", "plugin", "reason", "key", "user", "cancel"]
ALLOWED = {200, 204, 206, 304, 400, 401, 403, 404, 405, 409, 413, 415, 416, 429, 431}
CODES = {1000, 1003, 1007, 1009, 4401, 4403, 4408, 4429}

text = st.text(st.characters(exclude_categories=()), max_size=20)  # half characters as well
EXAMPLES = int(os.environ.get("WEB_FUZZ", "40"))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from(FIELDS) | text, text | anything, max_size=4)
bodies = st.binary(max_size=200) | (objects | anything).map(lambda data: json.dumps(data).encode())
names = st.sampled_from(
    ["authorization", "cookie", "origin", "content-type", "x-csrf-token", "last-event-id", "range", "accept",
     "sec-fetch-site", "sec-fetch-mode", "if-none-match", "x-forwarded-for", "content-length", "expect"]
)  # fmt: skip
values = st.sampled_from(
    [f"Bearer {OPS}", f"Bearer {ADA}", "Bearer", "Basic eDp5", "application/json", "http://localhost",
     "null", "bytes=0-", "bytes=5-1,,", "hotplug_session_http=x; =; ;;", "cross-site", "navigate", "*/*"]
) | st.text(st.characters(max_codepoint=255), max_size=40)  # fmt: skip
headers = st.lists(st.tuples(names, values), max_size=5)
queries = st.sampled_from([b"", b"", b"", b"after=start", b"after=0123456789ab:5"]) | st.binary(max_size=30)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs coroutines on one loop, with an application of which nothing may fail."""
    data = tmp_path_factory.mktemp("data")
    config = hotplug.Config.parse(f"[host]\ndata = '{data}'\n")
    with hotplug.Host(config, path=[], cache=False) as host, asyncio.Runner() as runner:
        limits = Limits(calls=1e6, logins=1e6, burst=10**6, message=2000, auth=0.05)
        app = create_app(host, authenticate=TokenAuthenticator(tokens()), limits=limits)
        yield lambda call, *arguments: runner.run(call(app, host, *arguments))


@pytest.fixture(autouse=True)
def no_failures(caplog):
    """Nothing is logged as a failure."""
    yield
    assert not [record for record in caplog.records if record.exc_info]


def often(function):
    return settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )(function)


async def answered(app, _host, method, path, query, given_headers, body):
    """The status, the headers and the body that come back."""
    told, sent = [], [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(message):
        told.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": method, "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "replace"),
        "query_string": query, "root_path": "", "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        "headers": [(b"host", b"localhost")]
        + [(name.encode(), value.encode("latin-1")) for name, value in given_headers],
    }  # fmt: skip
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    start, *rest = told
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], found, b"".join(each.get("body", b"") for each in rest)


@often
@given(
    st.sampled_from(["GET", "POST", "HEAD", "DELETE", "PUT", "OPTIONS", "TRACE", "FOO"]),
    st.sampled_from(PATHS) | st.text(max_size=20).map(lambda text: f"/{text}"),
    queries,
    headers,
    bodies,
)
def test_every_request_is_answered_by_the_contract(run, method, path, query, given_headers, body):
    """
    A status that is known, the headers that protect, and JSON where it is a refusal.
    """
    status, found, text = run(answered, method, path, query, given_headers, body)

    assert status in ALLOWED
    assert {name: found[name.lower()] for name in HEADERS} == HEADERS
    if status >= 400 and "range" not in dict(
        given_headers
    ):  # files answer nonsense of that sort in plain text
        assert json.loads(text)["error"]


@often
@given(st.sampled_from(["reload", "disable", "enable", "halt", "resume"]), objects)
def test_admins_are_told_what_they_did_wrong(run, verb, body):
    """
    Whatever an admin asks for is done, or refused with a sentence; never half, never 500.
    """
    status, _, text = run(
        answered,
        "POST",
        f"/api/{verb}",
        b"",
        [("authorization", f"Bearer {OPS}"), ("content-type", "application/json")],
        json.dumps(body).encode(),
    )

    assert status in {200, 400, 404, 409, 413}
    answer = json.loads(text)
    assert answer.get("error") or answer["outcome"] == "done"


async def talked(app, host, first, messages):
    """What a socket that says all this hears, and how it is closed."""
    told = []
    says = [{"type": "websocket.connect"}, *first, *messages, {"type": "websocket.disconnect", "code": 1001}]

    async def receive():
        await asyncio.sleep(0)
        if len(says) == 1:  # it is heard out before it goes
            for _ in range(5):
                await asyncio.sleep(0)
        return says.pop(0) if says else await asyncio.Event().wait()

    async def send(message):
        told.append(message)

    scope = {
        "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "scheme": "ws", "path": "/ws", "raw_path": b"/ws", "query_string": b"", "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("localhost", 80), "subprotocols": [],
        "headers": [(b"host", b"localhost")], "extensions": {},
    }  # fmt: skip
    host.events.emit(hotplug.UserExecutionContext("bob"), "CUSTOM", {"secret": "of bob"})
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    return told


texts = (objects | anything).map(json.dumps) | st.text(max_size=50)
types = st.sampled_from(["auth", "ping", "pong", "watch", "unwatch", "hello", None, 1])
frames = st.builds(lambda type_, rest: json.dumps({**rest, "type": type_}), types, objects)
messages = st.lists(
    (frames | texts).map(lambda text: {"type": "websocket.receive", "text": text})
    | st.binary(max_size=20).map(lambda data: {"type": "websocket.receive", "bytes": data}),
    max_size=6,
)
entry = [{"type": "websocket.receive", "text": json.dumps({"type": "auth", "token": ADA})}]


@often
@given(st.sampled_from([[], entry]), messages)
def test_every_message_is_answered_by_the_contract(run, first, messages):
    """
    Frames of known types, nothing of others, and a code of the contract at the end.
    """
    told = run(talked, first, messages)
    heard = [json.loads(each["text"]) for each in told if each["type"] == "websocket.send"]

    assert not first or heard[0]["user"] == "ada"
    assert "of bob" not in json.dumps(heard)
    assert {each["type"] for each in heard} <= {"hello", "ping", "pong", "auth", "error"}
    assert {each["code"] for each in told if each["type"] == "websocket.close"} <= CODES
