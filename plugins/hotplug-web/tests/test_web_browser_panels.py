"""What stands around the table: halts, rate limits, running strategies, streams, details."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

import hotplug
from browser import expect
from hotplug.market import Bar, OrderRequest, Side
from hotplug.strategies import Strategy, run_strategy

pytestmark = pytest.mark.real_services

MOCK = {"hotplug.brokers": {"mock": "hotplug_broker_mock:MockBroker"}}
NUMBER = re.compile(r"(\d+)\s*%")


@pytest.fixture
def mock(environment):
    """Installs a broker that takes ten calls an hour."""
    environment.install("hotplug-broker-mock", "0.1.0", advertises=MOCK)
    return "[brokers.mock]\nconnect = true\nsettings = {max_calls = 10, per = 3600.0}\n"


def bar(number, price):
    return Bar(
        symbol="A",
        time=datetime(2024, 1, 2, tzinfo=UTC) + timedelta(days=number),
        open=Decimal(price),
        high=Decimal(price),
        low=Decimal(price),
        close=Decimal(price),
        volume=1000,
    )


class Holds(Strategy):
    """Buys one at the first bar, and keeps it."""

    async def on_bar(self, bar):
        if not self.trader.position("A").qty:
            await self.trader.place(OrderRequest(symbol="A", side=Side.BUY, qty=1))


def test_trade_is_halted_and_goes_on_by_buttons(site, person, paper):
    """
    A reason is demanded; what is halted, since when and why stands there until somebody resumes it.
    """
    world = site(paper)
    ada = person(world).arrive(world.app.state.invite())
    ada.button("Halt trading").click()
    expect(ada.dialog).to_be_visible()
    ada.button("Halt", ada.dialog).click()
    expect(ada.dialog).to_be_visible()
    assert world.host.brokers.halts() == ()

    ada.dialog.get_by_label("Reason").fill("the desk is on fire")
    ada.button("Halt", ada.dialog).click()
    expect(ada.page.locator("#halts")).to_contain_text("the desk is on fire")
    assert [halt.reason for halt in world.host.brokers.halts()] == ["the desk is on fire"]

    ada.page.get_by_role("button", name=re.compile("^Resume")).click()
    ada.dialog.get_by_label("Reason").fill("it is out")
    ada.button("Resume", ada.dialog).click()
    expect(ada.page.locator("#halts")).to_be_hidden()
    assert world.host.brokers.halts() == ()


def test_how_full_a_rate_limit_is_is_drawn_and_said(site, person, mock):
    """
    The gauge moves with what the broker is asked, as a picture, as a number and for who only hears it.
    """
    world = site(mock)
    ada = person(world).arrive(world.app.state.invite())
    ada.sees("brokers/mock", status="ready")
    gauge = ada.cell("brokers/mock", "rate_limit")

    def used():
        return int(NUMBER.search(gauge.text_content())[1])

    def meter():
        return int(gauge.get_by_role("meter").get_attribute("aria-valuenow"))

    before = ada.until(lambda: used() + 1) - 1
    broker = world.host.brokers.get("mock")
    for number in range(5):
        request = OrderRequest(client_order_id=f"o{number}", symbol="A", side=Side.BUY, qty=1)
        world.host.home.run(broker.place_order(request))

    assert ada.until(lambda: used() > before and used()) == meter() >= 50
    expect(gauge.locator("svg.sparkline, canvas.sparkline")).to_have_count(1)


def test_a_strategy_that_plays_is_drawn(site, person):
    """
    While it runs it has a card with its equity, which moves bar by bar, and a picture with words.
    """
    from hotplug_broker_paper import PaperBroker

    world = site()
    ada = person(world).arrive(world.app.state.invite())
    more, left = threading.Semaphore(0), iter(range(100))

    def bars():
        for number in left:
            assert more.acquire(timeout=30)
            if number == 9:
                return
            yield bar(number, 100 + 10 * number)

    async def play():
        broker = PaperBroker()
        await broker.connect()
        return await run_strategy(Holds(), broker, feed(bars()), cash=Decimal(1000))

    player = threading.Thread(target=lambda: asyncio.run(play()))
    player.start()
    try:
        for _ in range(5):
            more.release()
        runs = ada.page.locator("#runs")
        expect(runs).to_contain_text("Holds")
        picture = runs.locator("svg.sparkline, canvas.sparkline")
        expect(picture).to_have_count(1)
        ada.until(lambda: "1,030" in runs.inner_text())
        more.release()
        ada.until(lambda: "1,040" in runs.inner_text())
        assert "1,040" in picture.get_attribute("aria-label")
    finally:
        for _ in range(10):
            more.release()
        player.join(30)

    expect(ada.page.locator("#runs")).to_be_hidden()


async def feed(bars):
    """*bars*, each of which may take its time, as a stream."""
    while (each := await asyncio.to_thread(next, bars, None)) is not None:
        yield each


def test_a_stream_of_events_stays_short_and_whole_at_its_top(site, person):
    """
    However many come, the newest stand on top in order, and the page keeps a bounded number.
    """
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    for number in range(3000):
        world.tell("operator", "CUSTOM", name=f"number {number:04}")
    expect(ada.page.locator("#events > li").first).to_contain_text("number 2999")

    numbers = [int(re.search(r"number (\d+)", text)[1]) for text in ada.events]

    assert numbers == list(range(2999, 2999 - len(numbers), -1))
    assert 50 <= len(numbers) <= 1000


def test_a_stream_can_be_paused_and_sifted(site, person):
    """
    Paused it stands still and loses nothing; sifted it shows what has the words.
    """
    world = site()
    ada = person(world).arrive(world.app.state.invite())
    world.tell("operator", "CUSTOM", name="first")
    expect(ada.page.locator("#events > li")).to_have_count(1)
    panel = ada.page.locator("#events-panel")
    panel.get_by_role("button", name=re.compile("^Pause")).click()
    world.tell("operator", "CUSTOM", name="second")
    world.tell("operator", "RUN_STARTED", name="third")
    expect(panel.get_by_role("button", pressed=True)).to_contain_text("2 new")
    expect(ada.page.locator("#events > li")).to_have_count(1)

    panel.get_by_role("button", pressed=True).click()
    expect(ada.page.locator("#events > li")).to_have_count(3)
    panel.get_by_role("searchbox").fill("run_started")
    expect(panel.get_by_text("third")).to_be_visible()
    expect(panel.get_by_text("second")).to_be_hidden()


def test_details_of_a_plugin_are_a_key_away(site, person, environment):
    """
    Enter on its name opens what is known of it, the remedy included; Escape leads back to where one was.
    """
    environment.install(
        "acme-bad",
        "1.0",
        advertises={"hotplug.tools": {"bad": "acme_bad:x"}},
        files={"acme_bad.py": "raise ImportError('no such thing')\n"},
    )
    world = site()
    with pytest.raises(hotplug.errors.PluginError):
        world.host.tools.get("bad")
    [status] = world.host.plugins
    ada = person(world).arrive(world.app.state.invite())
    ada.sees("tools/bad", status=status.state)
    ada.tab_to("bad")
    ada.press("Enter")

    drawer = ada.page.locator("dialog[open]")
    expect(drawer).to_contain_text("acme-bad")
    expect(drawer).to_contain_text(status.remedy)
    ada.press("Escape")
    expect(drawer).to_have_count(0)
    assert ada.focus()["name"] == "bad"
