"""Requests: who is let in with what, sessions, pages, health, metrics, being mounted."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from hotplug import UserExecutionContext
from hotplug.agents import AgentRegistry
from hotplug.events import EventHub
from web_site import ADA, OPS, until

READER = "reader-token"
DATA = ["/api/plugins", "/api/brokers"]


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/static/app.css"])
def test_the_page_needs_nobody_and_obeys_nobody(plain, path):
    """
    The page and its parts are open, hold no data, and let nothing of others in.
    """
    answer = plain.get(path)

    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"


def test_the_page_has_nothing_inline_and_only_relative_links(plain):
    """
    The policy forbids inline code, and a mounted page finds its parts.
    """
    page = plain.get("/").body.decode()

    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page)
    assert not re.search(r"""(?:src|href)=["'](?:/|http)""", page)


def test_a_first_visit_is_answered(plain):
    """
    Who brings nothing, and asks who that is, is told: nobody. Of a refusal browsers would complain.
    """
    answer = plain.get("/api/session")

    assert (answer.status, answer.json) == (200, {"user": None})


@pytest.mark.parametrize(
    ("path", "token"),
    [
        *((path, token) for path in (*DATA, "/events") for token in (None, "forged", "late-token")),
        *(("/api/session", token) for token in ("forged", "late-token")),
    ],
)
def test_nobody_is_told_nothing(plain, path, token):
    """
    Without a token, with a forged or an expired one: 401.
    """
    answer = plain.get(path, token=token)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize("path", DATA)
def test_the_dashboard_needs_a_scope(plain, path):
    """
    A user sees its own events and nothing else; readers and admins see what there is.
    """
    world = plain

    assert [world.get(path, token=token).status for token in (ADA, READER, OPS)] == [403, 200, 200]


def test_the_user_is_the_tokens_and_no_other(plain):
    """
    No header, no cookie and no parameter makes one user another.
    """
    world = plain
    forged = {"X-User": "bob", "X-Forwarded-User": "bob", "Cookie": "user=bob; hotplug_session=bob"}

    assert world.get("/api/session", token=ADA, headers=forged).json["user"] == "ada"
    assert world.get("/api/session?user=bob", token=ADA).status == 400


@pytest.mark.parametrize("host", ["rebound.example", "", "127.0.0.1.rebound.example", "[::1", "10.0.0.1"])
def test_a_stranger_name_of_the_server_is_refused(plain, host):
    """
    Only names that it is known by are answered.
    """
    assert plain.get("/healthz", headers={"Host": host}).status == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8765", "ops.example:443", "OPS.example"])
def test_its_own_names_are_answered(plain, host):
    """
    Those of this machine, and those that are allowed, on whatever port they were forwarded from.
    """
    assert plain.get("/healthz", headers={"Host": host}).status == 200


def test_any_address_is_answered_where_any_is_bound(site):
    """
    An address cannot be rebound, so that all are fine where the server listens on all; names are not.
    """
    world = site(allowed_hosts=["0.0.0.0"])

    assert world.get("/healthz", headers={"Host": "192.0.2.1:80"}).status == 200
    assert world.get("/healthz", headers={"Host": "rebound.example"}).status == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"])
def test_pages_of_others_may_not_call(plain, origin):
    """
    What a page from elsewhere sends is refused, whatever it holds.
    """
    world = plain
    answer = world.post("/api/reload", {"distribution": "x"}, token=OPS, headers={"Origin": origin})

    assert answer.status == 403
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize("query", ["?token=", "?access_token=", "?x=1&auth=", "?after="])
@pytest.mark.parametrize("path", ["/", "/events", "/api/plugins", "/metrics"])
def test_a_token_in_the_address_is_refused(plain, path, query, caplog):
    """
    400 even for the right one, everywhere, and no log has it.
    """
    caplog.set_level("INFO")
    answer = plain.get(f"{path}{query}{OPS}")

    assert answer.status == 400
    assert OPS not in caplog.text


# -- what there is ---------------------------------------------------------------------------------


def test_plugins_are_listed_with_what_is_known_of_them(site, tool, environment):
    """
    Each with its place, state, version, and what would help where it does not work.
    """
    tool()
    environment.install("acme-bad", "2.0", advertises={"hotplug.tools": {"bad": "acme_bad:bad"}}, files={})
    world = site()
    with pytest.raises(Exception, match="acme_bad"):
        world.host.tools.get("bad")
    world.host.tools.get("adder")

    found = {each["id"]: each for each in world.get("/api/plugins", token=READER).json["plugins"]}

    good, bad = found["tools/adder"], found["tools/bad"]
    assert (good["state"], good["health"], good["version"], good["distribution"], good["generation"]) == (
        "loaded",
        "healthy",
        "1.0",
        "acme-adder",
        1,
    )
    assert (bad["state"], bad["health"]) == ("failed", "unhealthy")
    assert bad["remedy"]
    assert "acme_bad" in bad["last_error"]["text"]
    assert (
        bad["last_error"]["at"]
        == world.get("/api/plugins", token=READER).json["plugins"][list(found).index("tools/bad")][
            "last_error"
        ]["at"]
    )


def test_brokers_are_listed(site, paper):
    """
    What the registry knows of each gateway, accounts masked.
    """
    world = site(paper)

    [broker] = world.get("/api/brokers", token=READER).json["brokers"]

    assert (broker["key"], broker["status"], broker["healthy"]) == ("paper", "READY", True)


def test_health_is_a_word(site, environment):
    """
    Anybody may ask, and learns nothing but ok or degraded.
    """
    world = site()
    assert world.get("/healthz").json == {"status": "ok"}

    environment.install("acme-bad", "2.0", advertises={"hotplug.tools": {"bad": "acme_bad:bad"}}, files={})
    world.host.refresh()
    with pytest.raises(Exception, match="acme_bad"):
        world.host.tools.get("bad")

    answer = until(lambda: (got := world.get("/healthz")).json["status"] != "ok" and got)
    assert (answer.status, answer.json) == (200, {"status": "degraded"})
    world.host.close()
    assert world.get("/healthz").status == 503


SAMPLE = re.compile(
    r'[a-z_]+(?:\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*\})? -?[0-9.e+-]+'
)


def test_metrics_are_what_prometheus_reads(site, tool, paper):
    """
    Every line is a comment or a sample, every family has its type once, counters are exact.
    """
    tool()
    world = site(paper)
    world.host.tools.get("adder")
    world.tell("ada", "CUSTOM", "CUSTOM")
    text = world.get("/metrics").body.decode()

    lines = text.splitlines()
    assert [line for line in lines if not line.startswith("# ") and not SAMPLE.fullmatch(line)] == []
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert "hotplug_events_emitted_total 2" in lines
    assert 'hotplug_registry_entries{registry="tools"} 1' in lines
    assert 'hotplug_broker_healthy{broker="paper"} 1' in lines
    assert 'hotplug_plugins{kind="tools",state="loaded"} 1' in lines


@pytest.mark.parametrize("options", [{"open_metrics": False}, {}])
def test_metrics_need_a_scope_from_elsewhere(site, options):
    """
    Who does not come from this machine, or comes through something that forwards, needs the scope.
    """
    world = site(**options)
    far = {} if options else {"X-Forwarded-For": "192.0.2.7"}

    statuses = [
        world.get("/metrics", token=token, headers=far).status for token in (None, ADA, "metrics-token", OPS)
    ]

    assert statuses == [401, 403, 200, 200]


# -- together with others --------------------------------------------------------------------------


def test_it_can_be_mounted_anywhere(site, tool):
    """
    Under a path of another application, without its own lifespan, everything is where the page looks for it.
    """
    tool()

    def around(app):
        async def home(_request):
            return PlainTextResponse("home")

        return Starlette(routes=[Route("/", home), Mount("/ops", app)])

    world = site(around=around)
    assert world.get("/").body == b"home"
    assert b"static/app.js" in world.get("/ops/").body
    assert world.get("/ops/static/app.js").status == 200
    login = world.post("/ops/api/session", {"token": world.app.state.invite()})
    assert "Path=/ops/" in login.headers["set-cookie"]
    cookie = {"Cookie": login.cookie}
    assert world.get("/ops/api/plugins", headers=cookie).status == 200
    client = world.connect(path="/ops/ws", additional_headers=cookie, origin=f"http://127.0.0.1:{world.port}")
    assert client.hear()["type"] == "hello"
    client.say(type="watch")
    assert client.until("board")["rows"][0]["id"] == "tools/adder"


def test_the_manager_tells_events_of_other_hubs(site):
    """
    A registry of agents without a host is heard as well; what the host's own hub has is not told twice.
    """
    world = site()
    manager, context = world.app.state.manager, UserExecutionContext("ada", "t1")
    AgentRegistry().set_websocket_manager(manager)
    client = world.enter(ADA)

    manager.publish(world.host.events.emit_event(context, "CUSTOM", {"number": 1}))
    manager.publish(EventHub().emit_event(context, "CUSTOM", {"number": 2}))

    events = client.events(2)
    assert [event["payload"]["number"] for event in events] == [1, 2]
    assert {event["run_id"] for event in events} == {context.run_id}
