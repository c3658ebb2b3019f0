"""
Take the pictures of the dashboard for the README: ``python plugins/hotplug-web/docs/screenshots.py``.

Everything on them is real: installed plugins, strategies that trade on a paper broker, an agent that answers,
one plugin that cannot be imported. Needs playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import math
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from playwright.async_api import async_playwright

import hotplug
from hotplug.testing import Environment
from hotplug_tools_market import bars
from hotplug_web import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from playwright.async_api import Browser, Page

    from hotplug.market import Bar

HERE: Final = Path(__file__).parent
WHO: Final = "operator"
CONFIG: Final = """
[host]
data = '{data}'

[plugins]
disable = ["commands/*"]

[brokers.paper]
connect = true
settings = {{ fee_rate = "0.0005" }}

[brokers.desk]
plugin = "mock"
connect = true

[brokers.north]
connect = true

[strategies.swift]
plugin = "crossover"
settings = {{ fast = 8, slow = 21 }}

[strategies.steady]
plugin = "crossover"
settings = {{ fast = 20, slow = 50 }}
"""
PICTURES: Final[dict[str, dict[str, Any]]] = {
    "dashboard-light": {"width": 1280, "height": 1120, "scheme": "light"},
    "dashboard-dark": {"width": 1280, "height": 1120, "scheme": "dark"},
    "dashboard-phone": {"width": 390, "height": 844, "scheme": "light", "scale": 2},
}
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)
BAR: Final = 0.04  # seconds between two days of trade
DAYS: Final = 260
NORTH: Final = """
from hotplug.brokers import RateWindow
from hotplug_broker_mock import MockBroker


class North(MockBroker):
    rate_windows = (RateWindow("calls", 60, 10.0),)
"""
PATIENCE: Final = 60.0  # seconds
SAMPLE: Final = 1.0  # seconds between two points of those curves
CURVE: Final = 20  # points that a rate limit's curve has to have
POINTS: Final = '(document.querySelector("#plugins .stroke")?.getAttribute("d") ?? "").split("L").length'


def main() -> None:
    """Take them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PICTURES)} (default: all)")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser"))
    parser.add_argument("--to", type=Path, default=HERE, help="the folder that they are put into")
    asked = parser.parse_args()
    asyncio.run(_take(asked.names or list(PICTURES), asked.chromium, asked.to))


async def _take(names: Iterable[str], chromium: str | None, folder: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        host = await stack.enter_async_context(_world(place))
        app, address = await stack.enter_async_context(_served(host))
        work = asyncio.create_task(_work(host))
        stack.callback(work.cancel)
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        stack.push_async_callback(browser.close)
        for name in names:
            link = f"{address}#token={app.state.invite(WHO)}"
            await _picture(browser, link, folder / f"{name}.png", **PICTURES[name])


@contextlib.asynccontextmanager
async def _world(place: Path) -> AsyncGenerator[hotplug.Host]:
    """A host with all that is installed, and one plugin beside that does not work."""
    environment = Environment(place / "site-packages")
    environment.install(
        "acme-fix-gateway",
        "2.3.0",
        advertises={"hotplug.brokers": {"acme": "acme_fix:Gateway"}},
        files={"acme_fix.py": "import quickfix\n"},
    )
    environment.install(
        "acme-north",
        "1.4.0",
        advertises={"hotplug.brokers": {"north": "acme_north:North"}},
        files={"acme_north.py": NORTH},
    )
    sys.path.append(str(environment.folder))
    config = hotplug.Config.parse(CONFIG.format(data=place / "data"))
    async with hotplug.Host(config, path=[*sys.path]) as host:
        with contextlib.suppress(hotplug.HotplugError):
            await host.brokers.aget("acme")
        yield host


@contextlib.asynccontextmanager
async def _served(host: hotplug.Host) -> AsyncGenerator[tuple[Any, str]]:
    app = create_app(host)
    settings = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", ws_per_message_deflate=False)
    server = uvicorn.Server(settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield app, f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await serving


async def _work(host: hotplug.Host) -> None:
    """Two users' strategies trade for as long as it takes, and an agent answers questions."""
    async with asyncio.TaskGroup() as group:
        for user, key, symbol in ((WHO, "steady", "IBM"), ("ada", "swift", "MSFT")):
            group.create_task(_trade(host, hotplug.UserExecutionContext(user), key, symbol))
        group.create_task(_keep_busy(host.brokers.get("north")))
        group.create_task(_ask(host, hotplug.UserExecutionContext(WHO, thread_id="morning report")))


async def _trade(host: hotplug.Host, context: hotplug.UserExecutionContext, key: str, symbol: str) -> None:
    async with host.session(context) as session:
        strategy = await session.strategies.aget(key)
        broker = await session.brokers.aget("paper")
        await hotplug.run_strategy(strategy, broker, _streamed(bars(symbol)), context=context)


async def _streamed(market: Iterable[Bar]) -> AsyncIterator[Bar]:
    for number, bar in enumerate(market):
        yield bar
        # The first year goes by at once: the averages need it.
        await asyncio.sleep(BAR if number > DAYS else 0)


async def _keep_busy(broker: hotplug.IBrokerGateway) -> None:
    """Ask a venue that limits calls, now more, now less often."""
    for number in itertools.count():
        with contextlib.suppress(hotplug.HotplugError):
            await broker.get_positions()
        await asyncio.sleep(0.22 + 0.16 * math.sin(number / 9))


async def _ask(host: hotplug.Host, context: hotplug.UserExecutionContext) -> None:
    for question in ("How did IBM do?", "How did MSFT do?"):
        await host.agents.run("analyst", question, context)


async def _picture(
    browser: Browser, link: str, file: Path, *, width: int, height: int, scheme: Any, scale: float = 1
) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale
    )
    page = await context.new_page()
    try:
        await page.goto(link)
        await _reload(page)
        await page.locator("#runs .change:not(:empty)").nth(1).wait_for()
        await _let_curves_grow(page)
        picture = await page.screenshot(path=file)
        sys.stdout.write(f"{file.name}: {len(picture) // 1024} KB\n")
    finally:
        await context.close()


async def _let_curves_grow(page: Page) -> None:
    """Wait until the rate limits have been sampled for a while."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while await page.evaluate(POINTS) < CURVE:
        if asyncio.get_running_loop().time() > until:
            raise TimeoutError("the rate limits' curves do not grow")
        await asyncio.sleep(SAMPLE)


async def _reload(page: Page) -> None:
    """Do what an admin does, so that the log has something to tell."""
    await page.get_by_role("button", name="Reload tools/history").click()
    await page.locator("#confirm").get_by_role("button", name="Reload").click()
    await page.get_by_text("Reloaded hotplug-tools-market").wait_for()
    await page.get_by_role("button", name="Dismiss").click()
    await page.mouse.move(0, 0)
    await page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
