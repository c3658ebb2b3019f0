"""The dashboard of a large host: two thousand rows, and it can be worked with."""

from __future__ import annotations

import time

import pytest

import hotplug
from browser import expect

pytestmark = pytest.mark.real_services

MANY = 2000
FIRST_PAINT = """() => new Promise((resolve) => {
  const look = () => document.querySelector('#plugins tr[data-id="tools/t0000"]')
    ? requestAnimationFrame(() => setTimeout(() => resolve(performance.now()), 0))
    : requestAnimationFrame(look);
  look();
})"""
LONG_TASKS = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((each) => each.duration)))
    .observe({ type: "longtask" });
}"""


@pytest.fixture
def large(site, environment):
    """A host with many tools."""
    names = [f"t{number:04}" for number in range(MANY)]
    environment.install(
        "acme-many",
        "1.0",
        advertises={"hotplug.tools": {name: f"acme_many:{name}" for name in names}},
        files={"acme_many.py": "\n".join(f"def {name}() -> int: return 1" for name in names)},
    )
    return site()


def test_two_thousand_rows_can_be_worked_with(large, person):
    """
    All are there; the filter finds one, scrolling shows the last, a change is shown, a button works.
    """
    ada = person(large).visit(large.app.state.invite())
    painted = ada.page.evaluate(FIRST_PAINT)
    ada.sees_live()
    expect(ada.row("tools/t0000")).to_be_visible()
    ada.page.evaluate(LONG_TASKS)

    last = f"tools/t{MANY - 1:04}"
    ada.row(last).scroll_into_view_if_needed()
    expect(ada.row(last)).to_be_in_viewport()
    large.host.tools.get(f"t{MANY - 1:04}")
    ada.sees(last, status="loaded")

    ada.page.locator("#filter").fill("t1234")
    expect(ada.row("tools/t0000")).to_be_hidden()
    expect(ada.row("tools/t1234")).to_be_visible()
    ada.does("Disable", "tools/t1234")
    ada.sees("tools/t1234", status="disabled")
    ada.page.locator("#filter").fill("")
    expect(ada.row("tools/t0000")).to_be_visible()

    assert len(ada.rows) == len(set(ada.rows)) == MANY
    print(f"first paint of {MANY} rows {painted:.0f} ms; long tasks {ada.page.evaluate('tasks')} ms")


def test_a_change_costs_what_changed(large, person):
    """
    One row's change touches that row and no other: what is told anew is not built anew.
    """
    ada = person(large).arrive(large.app.state.invite())
    expect(ada.page.locator("#plugins tr[data-id]")).to_have_count(MANY)
    ada.page.evaluate(
        """() => {
          window.touched = new Set();
          window.kept = document.querySelector('#plugins tr[data-id="tools/t0007"]');
          new MutationObserver((records) => records.forEach((record) => {
            const it = record.target.closest ? record.target : record.target.parentElement;
            touched.add(it?.closest("tr[data-id]")?.dataset.id ?? record.target.nodeName);
          })).observe(document.querySelector("#plugins"),
            { subtree: true, childList: true, characterData: true });
        }"""
    )

    large.host.tools.get("t0007")
    ada.sees("tools/t0007", status="loaded")

    assert ada.page.evaluate("[...touched]") == ["tools/t0007"]
    assert ada.page.evaluate("kept.isConnected")


def test_a_change_of_fifty_is_shown_soon(large, person):
    """
    Fifty rows of two thousand are told and shown as quickly as one is, as people count.
    """
    ada = person(large).arrive(large.app.state.invite())
    expect(ada.page.locator("#plugins tr[data-id]")).to_have_count(MANY)
    ada.page.evaluate(
        """() => {
          const disabled = () => [...document.querySelectorAll("#plugins [data-field=status]")]
            .filter((cell) => cell.textContent.includes("isabled")).length;
          new MutationObserver(() => { if (disabled() === 50) window.shown ??= Date.now() / 1000; })
            .observe(document.querySelector("#plugins"), { subtree: true, childList: true });
        }"""
    )
    names = [f"tools/t{number:04}" for number in range(0, MANY, MANY // 50)]
    config = hotplug.Config.parse(f"[plugins]\ndisable = {names}\n")
    begun = time.time()
    large.host.apply(config)
    applied = time.time()

    shown = ada.until(lambda: ada.page.evaluate("window.shown"))

    print(f"50 of {MANY} rows: done in {applied - begun:.3f} s, shown {shown - applied:.3f} s after that")
    assert len(ada.rows) == MANY


def test_a_change_of_everything_is_one_change(large, person):
    """
    All rows told anew are all shown anew, and the page answers meanwhile.
    """
    ada = person(large).arrive(large.app.state.invite())
    expect(ada.row("tools/t0000")).to_be_visible()
    ada.page.evaluate(LONG_TASKS)

    large.host.apply(hotplug.Config.parse("[plugins]\ndisable = ['tools/*']\n"))
    ada.sees("tools/t0000", status="disabled")
    ada.sees(f"tools/t{MANY - 1:04}", status="disabled")
    expect(ada.page.locator("#plugins [data-field=status]").get_by_text("disabled")).to_have_count(MANY)
    print(f"long tasks of a delta of {MANY} rows: {ada.page.evaluate('tasks')} ms")
