"""Worlds of the tests of hotplug-web."""

from __future__ import annotations

import contextlib

import pytest

import hotplug
from hotplug_web import Limits, TokenAuthenticator, create_app
from hotplug_web._server import server_of
from web_site import Site, served, tokens, until

PAPER = {"hotplug.brokers": {"paper": "hotplug_broker_paper:PaperBroker"}}


@contextlib.contextmanager
def world_of(host, *, limits=None, server_limits=None, around=None, make=server_of, **options):
    """*host*, served."""
    limits = limits or Limits()
    options.setdefault("authenticate", TokenAuthenticator(tokens()))
    app = create_app(host, limits=limits, **options)
    with served(app if around is None else around(app), server_limits or limits, make) as port:
        made = Site(host, app, port)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def only_host(tmp_path_factory):
    """A served host without plugins, for all tests of a file that only knock at it."""
    data = tmp_path_factory.mktemp("data")
    config = hotplug.Config.parse(f"[host]\ndata = '{data}'\n")
    with (
        hotplug.Host(config, path=[], cache=False) as host,
        world_of(host, limits=Limits(message=1000), allowed_hosts=["ops.example"]) as made,
    ):
        yield made


@pytest.fixture
def plain(only_host):
    """The served host of the file; who came to it leaves after each test."""
    yield only_host
    only_host.close()
    until(lambda: not len(only_host.app.state.manager))


@pytest.fixture
def site(environment, tmp_path, monkeypatch):
    """Call it to serve a host; options are those of `create_app`, and *around* makes an app of that app."""
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    monkeypatch.syspath_prepend(str(environment.folder))
    with contextlib.ExitStack() as stack:

        def begin(config="", **options):
            parsed = hotplug.Config.parse(config)
            host = stack.enter_context(hotplug.Host(parsed, path=environment.path, cache=False))
            return stack.enter_context(world_of(host, **options))

        yield begin


@pytest.fixture
def tool(environment):
    """Installs a tool; *answer* is what it gives."""

    def install(name="adder", answer="1", version="1.0"):
        environment.install(
            f"acme-{name}",
            version,
            advertises={"hotplug.tools": {name: f"acme_{name}:{name}"}},
            files={f"acme_{name}.py": f"def {name}() -> int:\n    return {answer}\n"},
        )

    return install


@pytest.fixture
def paper(environment):
    """Installs the paper broker."""
    environment.install("hotplug-broker-paper", "0.1.0", advertises=PAPER)
    return "[brokers.paper]\nconnect = true\n"


@pytest.fixture(scope="module")
def chromium():
    """A browser."""
    from browser import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def person(chromium, site):
    """Call it for somebody with a browser of their own; what that complains of in the end is a failure."""
    from browser import Person

    with contextlib.ExitStack() as stack:

        def come(place, path="/", **options):
            made = Person(chromium, f"http://127.0.0.1:{place.port}{path}", **options)
            stack.callback(made.leave)
            return made

        yield come
