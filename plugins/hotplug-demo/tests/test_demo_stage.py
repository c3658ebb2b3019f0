"""What people see: progress on a terminal, names that cannot take the screen over."""

from __future__ import annotations

import io

from rich.console import Console

import hotplug
from hotplug_demo._players import players
from hotplug_demo._stage import Stage
from hotplug_tools_market import bars


def stage_on(console: Console) -> Stage:
    market = bars("FB")
    return Stage(players(2, "crossover", market), market, console)


def status(**facts: str) -> hotplug.PluginStatus:
    known = {"kind": "agents", "group": "hotplug.agents", "name": "x", "value": "x:y"} | {
        "distribution": "acme",
        "version": "1",
    }
    record = hotplug.PluginRecord(**{**known, **facts})
    return hotplug.PluginStatus(record=record, key=record.name, state="discovered")


class TestStage:
    def test_shows_progress_on_a_terminal(self):
        """
        Bars are counted and the newest event is shown while it happens, then wiped.
        """
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=100, color_system=None)
        with stage_on(console) as stage:
            stage.opened([status()])
            for _ in range(50):
                stage.bar("ada")
            stage.heard("ada", "BUY 3 at 20")
            stage._progress.refresh()
        assert "50/196 bars BUY 3 at 20" in screen.getvalue()
        assert "\x1b[2K" in screen.getvalue()

    def test_draws_no_progress_elsewhere(self):
        """
        In a file or a pipe there is no progress, only what stays.
        """
        screen = io.StringIO()
        with stage_on(Console(file=screen, width=100)) as stage:
            stage.opened([status()])
            for _ in range(50):
                stage.bar("ada")
            stage.heard("ada", "BUY 3 at 20")
        assert "bars BUY" not in screen.getvalue()
        assert "\x1b" not in screen.getvalue()

    def test_names_cannot_take_the_screen_over(self):
        """
        Control characters and markup in names are shown, not obeyed.
        """
        screen = io.StringIO()
        stage = stage_on(Console(file=screen, width=100))
        stage.opened([status(name="\x1b[31mred", distribution="[red]acme\u202e")])
        assert "\\x1b[31mred" in screen.getvalue()
        assert "[red]acme\\u202e" in screen.getvalue()
        assert "\x1b" not in screen.getvalue()

    def test_one_plugin_is_one_row(self):
        """
        A plugin that stands under several keys is shown once, with the states that it has.
        """
        screen = io.StringIO()
        one = status(name="twice")
        failed = hotplug.PluginStatus(record=one.record, key="b", state="failed", reason="settings")
        stage_on(Console(file=screen, width=100)).opened([one, failed])
        [row] = [line for line in screen.getvalue().splitlines() if "twice" in line]
        assert "discovered, failed (settings)" in row
