"""Within other applications, under other servers: FastAPI, several hosts, plain uvicorn with all its logs."""

from __future__ import annotations

import contextlib
import logging

import pytest
import uvicorn
from fastapi import Depends, FastAPI
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

import hotplug
from hotplug_web import TokenAuthenticator, create_app
from hotplug_web._server import server_of
from web_site import ADA, OPS, Site, served, tokens, until


def in_fastapi(app, **options):
    """*app* under /ops of a FastAPI application that has a page, a dependency and a lifespan of its own."""
    parent = FastAPI(**options)

    def needed():
        return "its own"

    @parent.get("/hello")
    def hello(what: str = Depends(needed)):
        return {"hello": what}

    parent.mount("/ops", app)
    return parent


def check_all_of(world, at):
    """Everything works *at* a path."""
    assert b"static/app.js" in world.get(f"{at}/").body
    assert world.get(f"{at}/static/app.css").status == 200
    login = world.post(f"{at}/api/session", {"token": world.app.state.invite()})
    assert f"Path={at}/;" in login.headers["set-cookie"] + ";"
    cookie, csrf = {"Cookie": login.cookie}, {"X-CSRF-Token": login.json["csrf"]}
    assert world.get(f"{at}/api/plugins", headers=cookie).json["plugins"][0]["id"] == "tools/adder"
    done = world.post(f"{at}/api/reload", {"distribution": "acme-adder"}, headers=cookie | csrf)
    assert done.json["outcome"] == "done"
    client = world.enter(ADA, path=f"{at}/ws")
    [cursor] = world.tell("ada", "CUSTOM")
    assert client.events(1)[0]["cursor"] == cursor
    assert world.get(f"{at}/api/nothing").headers["content-security-policy"]
    assert list(text_string_to_metric_families(world.get(f"{at}/metrics").body.decode()))
    assert world.app.state.disconnect("ada") == 1
    assert client.close_code() == 4401


@pytest.mark.parametrize("own_lifespan", [True, False])
def test_it_is_at_home_in_fastapi(site, tool, own_lifespan):
    """
    Under a prefix, whether or not the parent has a lifespan: pages, log-in, sockets, actions, metrics.
    """
    tool()
    happened = []

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        happened.append("begun")
        yield
        happened.append("over")

    world = site(around=lambda app: in_fastapi(app, **({"lifespan": lifespan} if own_lifespan else {})))

    assert world.get("/hello").json == {"hello": "its own"}
    check_all_of(world, "/ops")
    assert happened == (["begun"] if own_lifespan else [])


def test_a_failure_is_no_page_of_the_parents(site, monkeypatch):
    """
    An application in debugging mode shows the insides of what fails in it; not those of what is mounted.
    """
    monkeypatch.setattr("hotplug_web._app.metrics_of", lambda *_: 1 / 0)
    world = site(around=lambda app: in_fastapi(app, debug=True))
    answer = world.get("/ops/metrics", headers={"Accept": "text/html"})

    assert answer.status == 500
    assert b"metrics_of" not in answer.body


def test_two_hosts_of_one_process_are_two(environment, tool, tmp_path):
    """
    Who is logged in to one is nobody at the other; one browser may be logged in to both, whatever the paths.
    """
    tool()
    with contextlib.ExitStack() as stack:
        hosts = [
            stack.enter_context(
                hotplug.Host(
                    hotplug.Config.parse(f"[host]\ndata = '{tmp_path / name}'\n"),
                    path=environment.path,
                    cache=False,
                )
            )
            for name in "ab"
        ]
        apps = [create_app(host, authenticate=TokenAuthenticator(tokens())) for host in hosts]
        apps[0].mount("/inner", apps[1])
        port = stack.enter_context(served(apps[0], apps[0].state.manager.limits))
        world = Site(hosts[0], apps[0], port)
        stack.callback(world.close)
        outer = world.post("/api/session", {"token": apps[0].state.invite("ada", ["read"])})
        wrong = world.post("/inner/api/session", {"token": apps[0].state.invite("ada", ["read"])})
        inner = world.post("/inner/api/session", {"token": apps[1].state.invite("bob", ["read"])})
        both = {"Cookie": f"{inner.cookie}; {outer.cookie}"}

        assert (outer.status, wrong.status, inner.status) == (200, 401, 200)
        assert world.get("/api/session", headers=both).json["user"] == "ada"
        assert world.get("/inner/api/session", headers=both).json["user"] == "bob"
        assert world.get("/inner/api/session", headers={"Cookie": outer.cookie}).json["user"] is None
        clients = [world.enter(ADA, path=path) for path in ("/ws", "/inner/ws")]
        hosts[1].events.emit(hotplug.UserExecutionContext("ada"), "CUSTOM", {"host": "b"})
        hosts[0].events.emit(hotplug.UserExecutionContext("ada"), "CUSTOM", {"host": "a"})
        assert [client.events(1)[0]["payload"]["host"] for client in clients] == ["a", "b"]


def talkative(app, limits):
    """A server that somebody else set up, with every log there is."""
    config = uvicorn.Config(
        app, log_config=None, log_level="debug", access_log=True, ws="websockets-sansio", lifespan="off"
    )
    return uvicorn.Server(config)


@pytest.mark.parametrize("around", [None, in_fastapi], ids=["by itself", "in FastAPI"])
def test_a_token_in_the_address_is_in_nobodys_log(site, around, caplog):
    """
    Under a plain uvicorn with its access log, by itself or mounted: refused, and not written down.
    """
    caplog.set_level("INFO")
    logging.getLogger("uvicorn.access").addHandler(caplog.handler)
    try:
        world = site(make=talkative, around=around)
        at = "" if around is None else "/ops"
        assert world.get(f"{at}/api/plugins?token={OPS}").status == 400
        assert world.get(f"{at}/?after=1&access_token={OPS}").status == 400
        with pytest.raises(InvalidStatus):
            world.connect(path=f"{at}/ws", query=f"?token={OPS}")
        until(lambda: "400" in caplog.text)
    finally:
        logging.getLogger("uvicorn.access").removeHandler(caplog.handler)

    assert "/ws" in caplog.text
    assert OPS not in caplog.text


def test_no_token_is_in_any_log_of_ours_at_any_level(site, tool, caplog, capfd):
    """
    Ours, uvicorn's and websockets', down to DEBUG, the journal and what is printed.
    """
    tool()
    caplog.set_level(1)
    world = site(make=server_of)
    world.enter(ADA)
    first = world.connect()
    first.say(type="auth", token=ADA)
    first.hear()
    first.say(type="auth", token="forged-token")
    first.close_code()
    cookie, csrf = world.log_in("ops")
    world.post("/api/reload", {"distribution": "acme-adder"}, headers={**cookie, "X-CSRF-Token": csrf})
    world.post("/api/session", {"token": "forged-link"})
    world.raw("GET /x HTTP/1.1", "Host: PLACE", f"Authorization: Bearer {OPS}\x00")
    journal = "".join(file.read_text() for file in (world.host.data / "web").iterdir())
    printed = "".join(capfd.readouterr())

    # What the tests' own client logs is no matter of the server's.
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name != "websockets.client")
    for secret in (ADA, OPS, "forged-", csrf, cookie["Cookie"].partition("=")[2]):
        assert secret not in ours
        assert secret not in journal
        assert secret not in printed


def test_metrics_are_read_by_prometheus_whatever_things_are_called(site, environment, paper):
    """
    Quotes, line ends, backslashes and all of Unicode in names: one sample each, with its name.
    """
    names = ['quo"te', "back\\slash\\n", "ünïcode 🚀", "brace}{", "a,b=c"]
    environment.install(
        "acme-odd",
        "1.0",
        advertises={"hotplug.tools": dict.fromkeys(names, "acme_odd:odd")},
        files={"acme_odd.py": "def odd() -> int:\n    return 1\n"},
    )
    world = site(paper)
    answer = world.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    known = {status.name for status in world.host.plugins}
    assert {sample.labels["plugin"] for sample in families["hotplug_plugin_generation"].samples} == known
    assert families["hotplug_registry_registrations"].type == "counter"
    [usage] = families["hotplug_broker_rate_limit_usage"].samples
    assert (usage.labels, 0 <= usage.value <= 1) == ({"broker": "paper"}, True)
