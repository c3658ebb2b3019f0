"""The page's own files: what they may not do, and what its words and its board come to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hotplug_web

STATIC = Path(hotplug_web.__file__).with_name("static")
FILES = sorted(path.name for path in STATIC.iterdir())
MODULES = [name for name in FILES if name.endswith(".js")]
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
SINKS = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.style"

ROW = {
    "id": "brokers/paper",
    "kind": "brokers",
    "key": "paper",
    "type": "paper",
    "state": "loaded",
    "status": "ready",
    "health": "healthy",
    "rate_limit": 0.5,
    "distribution": "acme",
    "version": "1.0",
    "reason": "",
    "remedy": "",
    "last_error": None,
    "tags": [],
}


def row(name, **facts):
    kind, _, key = name.partition("/")
    return {**ROW, "id": name, "kind": kind, "key": key, **facts}


def board(*rows, serial=1, **facts):
    return {"type": "board", "serial": serial, "rows": rows, "log": [], **facts}


def delta(*rows, serial, **facts):
    return {"type": "board.delta", "serial": serial, "rows": rows, "gone": [], "log": [], **facts}


@pytest.mark.parametrize("name", MODULES)
def test_what_comes_from_elsewhere_is_never_markup(name):
    """
    No module has a way from a text to markup, to code or to a style attribute.
    """
    assert not re.search(SINKS, (STATIC / name).read_text("utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_everything_comes_from_beside_it(name):
    """
    Wherever the page is mounted, it finds its parts, and asks nobody else for any.
    """
    text = (STATIC / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"https?://|wss?://|url\(|@import", text)
    assert not re.search(r"""(?:src|href|from|fetch\(|ask\()\s*=?\s*["'`]/""", text)


def test_all_modules_are_asked_for_at_once():
    """
    The page names each module: none waits until another that imports it has come.
    """
    page = (STATIC / "index.html").read_text("utf-8")
    named = re.findall(r'(?:modulepreload" href|module" src)="static/(\w+\.js)"', page)

    assert sorted(named) == MODULES


@pytest.mark.parametrize("name", FILES)
def test_files_are_served_as_what_they_are(plain, name):
    """
    Browsers run no module of another type; who may frame or sniff is said with each.
    """
    answer = plain.get(f"/static/{name}")

    assert answer.headers["content-type"].partition(";")[0] == TYPES[Path(name).suffix]
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")


# -- in a browser ------------------------------------------------------------------------------------


@pytest.fixture
def run(only_host, person):
    """Runs the body of a function of *m*, a module of the page, and *given*."""
    ada = person(only_host).visit()

    def run(module, body, given=None):
        code = f"async (given) => {{ const m = await import('./static/{module}.js'); {body} }}"
        return ada.page.evaluate(code, given)

    return run


@pytest.mark.real_services
def test_ages_read_as_people_say_them(run):
    """
    Just now, seconds, minutes, hours, days; a clock that is behind makes nothing negative.
    """
    seconds = [-5, 0, 4, 5, 59, 60, 3599, 3600, 86399, 86400, 200000]
    said = run("words", "return given.map((age) => m.age(0, age * 1000))", seconds)

    assert said == [
        *("just now", "just now", "just now", "5 s ago", "59 s ago", "1 min ago", "59 min ago"),
        *("1 h ago", "23 h ago", "1 d ago", "2 d ago"),
    ]


@pytest.mark.real_services
def test_an_error_is_shown_without_what_stands_beside_it(run):
    """
    Module, plugin and distribution are apart; nothing is lost, whatever the error is.
    """
    texts = [
        "hotplug.errors.PluginImportError: brokers/paper from acme 1.0: import raised X",
        "acme.errors.Boom: it broke: really",
        "ValueError: no: brokers/paper from acme 1.0: told by somebody else",
        "nothing of that sort",
        "",
    ]
    rows = [row("brokers/paper", last_error={"text": text, "at": ""}) for text in texts]
    shown = run("words", "return given.map(m.errorInTwo)", rows)

    assert [what for _, what in shown] == ["import raised X", "Boom: it broke: really", *texts[2:]]
    assert ["".join(each) for each in shown] == texts


@pytest.mark.real_services
def test_outcomes_say_what_was_done_and_what_was_not(run):
    """
    Done, kept how, refused and why; an answer without a reason is no success.
    """
    given = [
        ["reload", "acme", {"outcome": "done", "changed": ["tools/a"], "added": []}],
        ["disable", "tools/a", {"outcome": "done", "keep": "put it there"}],
        ["enable", "tools/a", {"outcome": "refused", "error": "a pattern disables it"}],
        ["reload", "acme", {"outcome": "failed", "failed": ["tools/a"]}],
        ["halt", "every broker", {"outcome": "done", "orders": 2, "journalled": False}],
        ["resume", "every broker", {}],
    ]

    assert run("words", "return given.map((each) => m.outcomeOf(...each))", given) == [
        "Reloaded acme. Changed: tools/a.",
        "Disabled tools/a. Put it there.",
        "Could not enable tools/a: A pattern disables it.",
        "Could not reload acme: Failed: tools/a.",
        "Halted every broker. 2 open orders cancelled. It could not be journalled.",
        "Could not resume every broker: The server did not say why.",
    ]


@pytest.mark.real_services
def test_a_board_is_what_its_frames_say(run):
    """
    A delta changes what it names, a lost one is noticed, a whole board forgets what it does not name.
    """
    body = """
      const board = new m.Board();
      const statuses = () => [...board.rows.values()].map((row) => row.status);
      return given.map((frame) => [board.take(frame)?.gone ?? null, statuses()]);
    """
    frames = [
        board(row("tools/a"), row("tools/b")),
        delta(row("tools/a", status="failed"), serial=2, gone=["tools/b"]),
        delta(row("tools/a", status="lost"), serial=4),
        board(row("tools/c", status="new"), serial=9),
        delta(row("tools/c", status="newer"), serial=10),
    ]

    assert run("board", body, frames) == [
        [[], ["ready", "ready"]],
        [["tools/b"], ["failed"]],
        [None, ["failed"]],
        [["tools/a"], ["new"]],
        [[], ["newer"]],
    ]


@pytest.mark.real_services
def test_rows_stand_in_the_order_of_kinds_then_keys(run):
    """
    Brokers first, kinds that nobody knows last; keys by their signs.
    """
    names = ["zebras/a", "tools/b", "brokers/b", "tools/a", "brokers/B", "agents/x", "aliens/a"]
    sorted_ = run("board", "return given.sort(m.compare).map((row) => row.id)", [row(name) for name in names])

    assert sorted_ == [
        *("brokers/B", "brokers/b", "agents/x", "tools/a", "tools/b", "aliens/a", "zebras/a"),
    ]


@pytest.mark.real_services
def test_only_what_needs_somebody_is_a_problem(run):
    """
    Problems of the environment, failures, bad health and refused upgrades; not what somebody disabled.
    """
    rows = [
        row("tools/fine"),
        row("tools/off", state="disabled", status="disabled", health="unknown", reason="disabled"),
        row("tools/dead", state="failed", status="failed", reason="failed import", remedy="mend it"),
        row("brokers/ill", health="degraded"),
        row("tools/kept", reason="refused upgrade", remedy="allow it"),
    ]
    problem = {"path": "x.dist-info", "line": 3, "reason": "no group", "distribution": "acme"}
    body = """
      const board = new m.Board();
      board.take(given);
      return board.troubles().map((each) => [each.title, each.text, each.remedy, each.tone]);
    """

    assert run("board", body, board(*rows, problems=[problem])) == [
        ["acme", "no group", "x.dist-info, line 3", "warn"],
        ["tools/dead", "failed import", "mend it", "bad"],
        ["brokers/ill", "ready, degraded", "", "warn"],
        ["tools/kept", "refused upgrade", "allow it", "warn"],
    ]


@pytest.mark.real_services
def test_no_name_looks_like_another(run):
    """
    What turns or hides the text around it is shown as what it is; letters of any script stay as they are.
    """
    names = ["\u202elive", "pa\u200bper", "a\u0007b", "\u2066x\u2069", "שלום", "a\tb\n", "naïve 🏦"]
    shown = run("words", "return given.map(m.plainly)", names)

    assert shown == [r"\u202elive", r"pa\u200bper", r"a\u0007b", r"\u2066x\u2069", *names[4:]]
