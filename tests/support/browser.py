"""A real browser, and people before it: what the page shows them, and what the browser complains of."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import threading
import time
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 20.0  # seconds that a page has to show something, on a busy machine
CUT_OFF = r"WebSocket connection to|ERR_CONNECTION_(REFUSED|RESET)|ERR_EMPTY_RESPONSE"
"""What a browser says of a server that is not there."""
STRANGER = r"status of 401"
"""What it says where a token or a cookie is not known, or not any more."""
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    "resultTypes": ["violations"],
}

FOCUS = """() => {
  const it = document.activeElement;
  if (!it || it === document.body) return null;
  const looks = (style) => [style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 &&
    style.outlineColor, style.boxShadow, style.backgroundColor, style.borderColor].join("|");
  const focused = looks(getComputedStyle(it)), place = it.getBoundingClientRect();
  const shown = {
    name: it.getAttribute("aria-label") || (it.labels?.[0] ?? it).textContent.trim().slice(0, 60),
    tag: it.tagName.toLowerCase(), id: it.id, within: it.closest("tr")?.dataset.id ?? "",
    top: place.top + scrollY, left: place.left, inView: place.bottom > 0 && place.top < innerHeight,
  };
  it.blur();
  shown.isSeen = focused !== looks(getComputedStyle(it));
  it.focus();
  return shown;
}"""


def browser_path():
    """The browser of this machine; without one, the tests that need it fail."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            f"no browser: install one of {', '.join(NAMES)} (apt-get install chromium)", pytrace=False
        )
    return found


@contextlib.contextmanager
def launched():
    """A browser. Inside, the thread counts as running an event loop: nobody can call `asyncio.run` in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def expect(what):
    """Say what *what*, a part of a page, comes to be like; patiently."""
    from playwright.sync_api import expect

    expect.set_options(PATIENCE * 1000)
    return expect(what)


class Person:
    """Somebody before a browser that nobody else uses: *page*, and what the browser complained of."""

    def __init__(self, browser, address, **options):
        options.setdefault("viewport", {"width": 1280, "height": 900})
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.address = address
        self.frames = []
        self.complaints = []
        self._expected = []
        self.page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"raised: {error}"))
        self.page.on("requestfailed", self._on_failure)
        self.page.on("request", self._on_request)
        self.page.on("dialog", self._on_dialog)
        self.page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda frame: self.frames.append(frame))
        )

    # -- what the browser complains of -------------------------------------------------------------

    def _on_console(self, message):
        if message.type in {"error", "warning", "assert"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _on_failure(self, request):
        self.complaints.append(f"failed: {request.method} {request.url} {request.failure}")

    def _on_request(self, request):
        if urlsplit(request.url).netloc != urlsplit(self.address).netloc:
            self.complaints.append(f"asked elsewhere: {request.url}")

    def _on_dialog(self, dialog):
        self.complaints.append(f"a script asked: {dialog.message}")
        dialog.dismiss()

    def expects(self, *patterns):
        """Complaints that match any of *patterns* are none, from the beginning on."""
        self._expected += patterns
        return self

    def leave(self):
        """Go; whatever the browser complained of is a failure."""
        with contextlib.suppress(Exception):
            self.page.evaluate("() => 0")  # what was said last is heard before it goes
        unexpected = self.unexpected
        self.context.close()
        assert not unexpected, "\n".join(unexpected)

    @property
    def unexpected(self):
        return [each for each in self.complaints if not any(re.search(it, each) for it in self._expected)]

    # -- coming in ---------------------------------------------------------------------------------

    def visit(self, token=None):
        """Go to the page, by a link if there is a *token*."""
        self.page.goto(self.address + (f"#token={token}" if token else ""), wait_until="load")
        return self

    def arrive(self, token):
        """Go to the page by a link; it is live."""
        self.visit(token)
        self.sees_live()
        return self

    def log_in(self, token):
        """Type *token* into the form."""
        self.page.locator("#login #token").fill(token)
        self.page.locator("#login #token").press("Enter")

    # -- what the page shows -----------------------------------------------------------------------

    def sees_live(self, state="live"):
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state)

    def row(self, name):
        return self.page.locator(f'#plugins tbody tr[data-id="{name}"]')

    def cell(self, name, field):
        return self.row(name).locator(f'[data-field="{field}"]')

    def sees(self, name, **fields):
        """The row *name* shows these texts."""
        for field, text in fields.items():
            expect(self.cell(name, field)).to_contain_text(text)

    def button(self, name, within=None):
        return (within or self.page).get_by_role("button", name=name, exact=True)

    @property
    def dialog(self):
        return self.page.locator("dialog#confirm")

    @property
    def outcome(self):
        return self.page.locator("#outcome")

    def does(self, verb, name):
        """Press the button *verb* of the row *name*, and confirm."""
        self.button(f"{verb} {name}").click()
        expect(self.dialog).to_be_visible()
        self.button(verb, self.dialog).click()
        expect(self.dialog).to_be_hidden()

    @property
    def rows(self):
        """The names of the rows that there are."""
        return self.page.locator("#plugins tbody tr[data-id]").evaluate_all(
            "all => all.map(row => row.dataset.id)"
        )

    @property
    def events(self):
        """The texts of the events that are shown, newest first."""
        return self.page.locator("#events > li[data-type]").all_text_contents()

    def until(self, condition, limit=PATIENCE):
        """Wait for *condition* while the browser goes on; what it gave."""
        deadline = time.monotonic() + limit
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not come to be"
            self.page.wait_for_timeout(10)
        return found

    # -- the keyboard and the eyes -----------------------------------------------------------------

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def focus(self):
        """Where the focus is: ``name tag id within top left inView isSeen``, or None."""
        return self.page.evaluate(FOCUS)

    def tab_to(self, name, most=200, key="Tab"):
        """Press Tab until something called *name* has the focus."""
        for _ in range(most):
            self.press(key)
            there = self.focus()
            if there and there["name"] == name:
                return there
        raise AssertionError(f"{most} times {key}, and {name!r} was not reached")

    def barriers(self):
        """What axe-core finds, as lines of text."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options=RULES).response["violations"]
        return [
            f"{each['id']} ({each['impact']}): {node['target']} {node.get('failureSummary', '')}"
            for each in found
            for node in each["nodes"][:3]
        ]


class Wire:
    """Between browsers and a server, the port *target*: passes on what comes, until it is cut; then anew."""

    def __init__(self, target=None):
        self.port = 0
        self.target = target
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._ends = set()
        self._tasks = set()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        self.open_door()
        return self

    def __exit__(self, *_):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self):
        """Break off all that goes through, in the middle of whatever it is; how many ends there were."""
        return self._call(self._cut())

    def close_door(self):
        """From now on nobody is there, as far as browsers can tell."""
        self._loop.call_soon_threadsafe(self._server.close)
        self.cut()

    def open_door(self):
        """Somebody is there, at the same port as before."""
        self._server = self._call(asyncio.start_server(self._carry, "127.0.0.1", self.port))
        self.port = self._server.sockets[0].getsockname()[1]

    def freeze(self):
        """Keep all lines, and pass nothing on."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def thaw(self):
        """Pass on what came meanwhile, and what comes."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _cut(self):
        ends, self._ends = self._ends, set()
        for end in ends:
            end.transport.abort()
        return len(ends)

    async def _close(self):
        self._server.close()
        self._flows.set()
        while self._tasks:
            await self._cut()
            await asyncio.wait(self._tasks, timeout=0.1)

    async def _carry(self, reader, near):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError):
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
            self._ends |= {near, far}
            await asyncio.wait(
                {asyncio.ensure_future(self._pass_on(*way)) for way in ((reader, far), (far_reader, near))}
            )

    async def _pass_on(self, reader, writer):
        with contextlib.suppress(OSError):
            while got := await reader.read(65536):
                await self._flows.wait()
                writer.write(got)
                await writer.drain()
        writer.transport.close()
