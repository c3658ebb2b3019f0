"""Reports of what was followed: their words, and from what they are made."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from hotplug import Changes, PluginRecord, PluginStatus, Problem
from hotplug._host._reports import (
    Attempt,
    Report,
    Reports,
    edits_of,
    of_failure,
    of_success,
    reports_of,
)
from hotplug.errors import PluginError


def status(name="adder", state="discovered", *, distribution="acme", version="1.0", **facts):
    record = PluginRecord("tools", "hotplug.tools", name, "m:f", distribution, version)
    return PluginStatus(record, name, state, **facts)


def error_at(line, why="it broke"):
    """A `PluginError` that was caused on a line of a file."""
    code = compile("\n" * (line - 1) + "1 / 0", "/plugins/acme.py", "exec")
    try:
        try:
            exec(code, {})
        except ZeroDivisionError as cause:
            raise PluginError(why, status().record) from cause
    except PluginError as error:
        return error


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"event": "installed", "distribution": "acme", "version": "1.0"}, "installed: acme 1.0"),
        ({"event": "removed", "distribution": "acme", "was": "1.0"}, "removed: acme 1.0"),
        ({"event": "updated", "distribution": "acme", "was": "1.0", "version": "1.0"}, "updated: acme 1.0"),
        (
            {
                "event": "reloaded",
                "distribution": "acme",
                "was": "1.0",
                "version": "2.0",
                "generation": 2,
                "seconds": 0.0123,
                "changes": Changes(added=("tools/a",), changed=("tools/b",), removed=("tools/c",)),
                "files": ("/x/acme/a.py", "/x/acme/b.py", "/x/c.py", "/x/d.py", "/x/e.py"),
            },
            (
                "reloaded: acme 1.0 → 2.0: + tools/a, ~ tools/b, - tools/c; generation 2; 12 ms; "
                "acme/a.py, acme/b.py, x/c.py and 2 more"
            ),
        ),
        (
            {"event": "refused", "distribution": "acme", "was": "1.0", "version": "2.0", "error": "why"},
            "refused: acme 1.0 → 2.0: why; 1.0 serves on",
        ),
        (
            {"event": "failed", "distribution": "acme", "error": "why", "where": "a.py:3", "remedy": "mend"},
            "failed: acme: why (a.py:3); mend",
        ),
        (
            {"event": "failed", "distribution": "acme", "error": "at a.py:3: no", "where": "a.py:3"},
            "failed: acme: at a.py:3: no",
        ),
        (
            {"event": "misconfigured", "error": "h.toml:3: no", "where": "h.toml:3"},
            "misconfigured: h.toml:3: no",
        ),
        ({"event": "configured", "changes": Changes(removed=("tools/a",))}, "configured: - tools/a"),
        ({"event": "configured"}, "configured: "),
    ],
)
def test_a_report_is_one_line(facts, text):
    """
    Who, from which version to which, what of it, how long, what trouble, and what would help.
    """
    assert str(Report(**facts)) == text


# -- telling ---------------------------------------------------------------------------------------


def test_reports_are_logged_and_handed_on(caplog):
    """
    A report is on `hotplug.watch` at INFO, with the record itself, and goes to each listener until its undo.
    """
    caplog.set_level("INFO", "hotplug.watch")
    reports, heard, also = Reports(), [], []
    undo = reports.subscribe(heard.append)
    reports.subscribe(also.append)
    one, two = Report(event="removed", distribution="a"), Report(event="removed", distribution="b")

    reports.tell(one)
    undo()
    undo()
    reports.tell(two)

    assert (heard, also) == ([one], [one, two])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "removed: a"),
        (logging.INFO, "removed: b"),
    ]
    assert caplog.records[0].report is one


def test_a_listener_that_raises_is_logged(caplog):
    """
    The others hear of the report all the same.
    """
    reports, heard = Reports(), []
    reports.subscribe(lambda _: 1 / 0)
    reports.subscribe(heard.append)

    reports.tell(Report(event="removed"))

    assert len(heard) == 1
    assert "ZeroDivisionError" in caplog.text


def test_only_new_problems_are_told():
    """
    What was broken before is no news.
    """
    reports, heard = Reports(), []
    reports.subscribe(heard.append)
    old, new = Problem("/a", 1, "old"), Problem("/b", 2, "new\nand more", "acme")

    reports.tell_of_new([old, new], [old])

    [report] = heard
    assert (report.event, report.distribution, report.error) == ("problem", "acme", "/b:2: new")


def test_a_configuration_says_what_of_it_does_not_work():
    """
    The first that failed is named with its reason, each failure once; what is disabled is no failure.
    """
    reports, heard = Reports(), []
    reports.subscribe(heard.append)
    wrong = status("b", "conflict", reason="conflict", remedy="choose")

    reports.tell_configured(
        "h.toml", Changes(added=("tools/a",), failed=("tools/b", "tools/b")), [status("a"), wrong], 0.5
    )
    reports.tell_configured("h.toml", Changes(removed=("tools/a",)), [status("a", "disabled")], 0.5)

    first, second = heard
    assert (first.error, first.remedy, first.changes.failed) == ("tools/b: conflict", "choose", ("tools/b",))
    assert (first.where, first.seconds) == ("h.toml", 0.5)
    assert (second.error, second.changes.removed) == ("", ("tools/a",))


# -- a look at the environment ---------------------------------------------------------------------


def test_each_distribution_has_its_report():
    """
    What came, changed and went, by distribution, names compared as installers do.
    """
    before = [status("a", distribution="Acme.One"), status("b", distribution="two")]
    after = [status("a", distribution="acme-one", version="2.0"), status("c", distribution="three")]
    changes = Changes(added=("tools/c",), changed=("tools/a",), removed=("tools/b",))

    told = {(r.event, r.was, r.version): r.changes for r in reports_of(before, after, changes)}

    assert told[("updated", "1.0", "2.0")].changed == ("tools/a",)
    assert told[("removed", "1.0", "")].removed == ("tools/b",)
    assert told[("installed", "", "1.0")].added == ("tools/c",)


def test_what_stays_as_it_is_has_no_report():
    """
    Neither what works nor what was known to be wrong is told again.
    """
    same = [status("a"), status("b", "conflict", reason="conflict", remedy="r"), status("c", "disabled")]

    assert list(reports_of(same, same, Changes(unchanged=("tools/a",)))) == []


@pytest.mark.parametrize(
    "now",
    [
        status("a", "broken", reason="broken install", remedy="install acme again"),
        status("a", "loaded", reason="restart required", remedy="install acme again"),
    ],
)
def test_what_cannot_be_followed_is_refused(now):
    """
    A new reason not to work, or not to follow, is told with its remedy; the version that was, too.
    """
    [report] = reports_of([status("a", "loaded")], [now], Changes())

    assert (report.event, report.was, report.error) == ("refused", "1.0", now.reason)
    assert (report.remedy, report.changes.failed) == ("install acme again", ("tools/a",))


# -- reloads ---------------------------------------------------------------------------------------


def renewal(*codes, **files):
    return SimpleNamespace(codes=codes, files=files)


def code(distribution, version="2.0", number=2):
    record = status(distribution=distribution, version=version).record
    return SimpleNamespace(name=distribution, record=record, number=number)


def test_a_reload_tells_of_each_distribution_that_has_a_new_generation():
    """
    A helper without plugins as well; what is merely concerned and did not change is left out.
    """
    attempt = Attempt([status("a")])
    attempt.renewal = renewal(
        code("acme"), code("helper"), code("idle"), acme=("/acme.py",), helper=("/helper.py",)
    )

    acme, helper = attempt.succeeded([status("a", version="2.0")], Changes(changed=("tools/a",)))

    assert (acme.event, acme.was, acme.version, acme.generation) == ("reloaded", "1.0", "2.0", 2)
    assert (acme.changes.changed, acme.files) == (("tools/a",), ("/acme.py",))
    assert acme.seconds == helper.seconds
    assert (helper.distribution, helper.changes, helper.files) == ("helper", Changes(), ("/helper.py",))


def test_a_renewal_of_what_nobody_imported_is_an_update():
    """
    There is no generation to speak of.
    """
    attempt = Attempt([status("a")])
    attempt.renewal = renewal(code("acme"))

    [report] = attempt.succeeded([status("a", version="2.0")], Changes(changed=("tools/a",)))

    assert (report.event, report.generation) == ("updated", 0)


def test_a_refusal_blames_who_is_to_blame():
    """
    Each distribution of the transaction is told; those that only depend on the culprit say who it was.
    """
    attempt = Attempt([status("a"), status("b", distribution="follower")])
    attempt.renewal = renewal(code("acme"), code("follower"), acme=("/acme.py",))

    acme, follower = attempt.failed(error_at(7), ["acme", "follower"], {"acme": "2.0"})

    assert (acme.event, acme.was, acme.version, acme.error) == ("refused", "1.0", "2.0", "it broke")
    assert (acme.where, acme.files, acme.changes.failed) == (
        "/plugins/acme.py:7",
        ("/acme.py",),
        ("tools/a",),
    )
    assert acme.remedy.startswith("see the error")
    assert (follower.error, follower.version) == ("tools/adder from acme 1.0: it broke", "")


def test_a_reload_that_never_began_is_told():
    """
    What fails before there is a next generation changed no files.
    """
    [report] = Attempt([status("a")]).failed(PluginError("why\nand more", remedy="help"), ["acme"], {})

    assert (report.error, report.files, report.where, report.remedy) == ("why", (), "", "help")
    assert list(Attempt([]).succeeded([], Changes())) == []


def test_what_is_pending_is_told_once_a_distribution():
    """
    With what would have it reloaded.
    """
    told = list(Attempt([status("a"), status("b"), status("c", distribution="two")]).pending("ask"))

    assert [(r.event, r.distribution, r.remedy) for r in told] == [
        ("pending", "acme", "ask"),
        ("pending", "two", "ask"),
    ]


# -- one plugin ------------------------------------------------------------------------------------


def test_the_place_of_a_syntax_error_is_its_own():
    """
    Not the line that imported it; and an error that causes itself ends the search.
    """
    error = PluginError("no")
    error.__cause__ = SyntaxError("bad", ("/plugins/acme.py", 4, 0, ""))
    circle = PluginError("no")
    circle.__cause__ = RuntimeError()
    circle.__cause__.__cause__ = circle

    assert of_failure(status(), error).where == "/plugins/acme.py:4"
    assert of_failure(status(), circle).where == ""


def test_what_works_again_says_so():
    """
    With its generation, and how long it took.
    """
    report = of_success(status(state="loaded", generation=3, load_seconds=0.25))

    assert str(report) == "loaded: acme 1.0: ~ tools/adder; generation 3; 250 ms"


def test_edits_name_whom_they_concern():
    """
    A plugin's distribution by its own name and version, a helper by what is known of it; no files, no edit.
    """
    told = list(edits_of({"acme": ("/a.py",), "helper": ("/h.py",), "two": ()}, [status()]))

    assert [(r.distribution, r.version, r.files) for r in told] == [
        ("acme", "1.0", ("/a.py",)),
        ("helper", "", ("/h.py",)),
    ]
