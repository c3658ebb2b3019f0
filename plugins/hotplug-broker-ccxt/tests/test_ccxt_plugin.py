"""The distribution as a host finds it, and what its README shows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
from pathlib import Path

from spot_exchange import SpotExchange

import hotplug
from hotplug.market import GatewayStatus

README = Path(__file__).parents[1] / "README.md"
CONFIG = """
[brokers.main]
plugin = "ccxt"
connect = true
journal = false
[brokers.main.settings]
exchange = "binance"
api_key = "key"
secret = "secret"
sandbox = true
url = "{url}"
symbols = ["BTC/USDT"]
options = {{ recvWindow = 5000 }}
"""


def test_a_host_connects_it(tmp_path, monkeypatch):
    """
    Configured under a key of its own, it is loaded, connected and closed by the host.
    """
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path))

    async def story():
        async with SpotExchange() as venue:
            venue.quote("BTCUSDT", "99", "101")
            config = hotplug.Config.parse(CONFIG.format(url=venue.url))
            async with hotplug.Host(config) as host:
                info = host.brokers.info("main")
                assert (info.type, info.status) == ("ccxt", GatewayStatus.READY)
                assert info.distribution == "hotplug-broker-ccxt"
                assert venue.received[-1].params["recvWindow"] == "5000"

    asyncio.run(story())


def test_the_example_prints_what_the_readme_says():
    """
    The example runs against the loopback exchange as it stands, and prints what stands below it.
    """
    text = README.read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [printed] = re.findall(r"prints\n\n```\n(.*?)```", text, re.DOTALL)

    async def story() -> str:
        async with SpotExchange() as venue:
            venue.quote("BTCUSDT", "64999.99", "65000.01")
            namespace = {"__name__": "example", "URL": venue.url}
            exec(compile(example, str(README), "exec"), namespace)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                await namespace["main"](venue.url)
            return out.getvalue()

    assert asyncio.run(story()) == printed


def test_no_key_is_in_any_log(caplog):
    """
    Even at DEBUG, neither keys nor signatures are logged.
    """

    async def story():
        from ccxt_world import limit, trading

        async with trading() as (venue, broker):
            venue.fail("POST /api/v3/order", status=503)
            with contextlib.suppress(hotplug.BrokerError):
                await broker.place_order(limit())

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())

    assert caplog.records
    assert "signature" not in caplog.text
    assert "APIKEY" not in caplog.text
