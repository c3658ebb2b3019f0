"""What people see: curves, progress on a terminal, names that cannot take the screen over."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from rich.console import Console

import hotplug
from hotplug_demo._chart import chart, curve
from hotplug_demo._players import players
from hotplug_demo._stage import Stage
from hotplug_tools_market import bars

BRAILLE = range(0x2801, 0x2900)


def decimals(*values: int) -> list[Decimal]:
    return [Decimal(value) for value in values]


class TestCurve:
    def test_rises_from_the_lower_left_to_the_upper_right(self):
        """
        What rises is drawn rising.
        """
        assert curve(decimals(1, 2, 3), width=3, height=3, unicode=False) == ["  *", " **", "** "]

    def test_has_no_holes(self):
        """
        A jump is drawn as a stroke from where the line was.
        """
        assert curve(decimals(0, 9), width=2, height=3, unicode=False) == [" *", " *", "**"]

    def test_shows_the_peak_of_every_column(self):
        """
        A peak of one value among many is seen, however narrow the drawing.
        """
        spiky = decimals(*([0] * 500), 100, *([0] * 500))
        rows = curve(spiky, width=10, height=4, unicode=False)
        assert "*" in rows[0]

    def test_is_drawn_with_braille_dots(self):
        """
        With Unicode, a cell has two columns of four dots.
        """
        assert curve(decimals(0, 1, 2, 3), width=2, height=1, unicode=True) == ["⣠⠞"]

    def test_leaves_blanks_where_there_is_nothing(self):
        """
        Cells without dots are spaces, which every program knows how to trim.
        """
        rows = curve(decimals(0, 0, 0, 9), width=4, height=2, unicode=True)
        assert rows[0].startswith("   ")
        assert all(sign == " " or ord(sign) in BRAILLE for row in rows for sign in row)

    def test_of_one_value_is_a_line(self):
        """
        What never changes, and what is one value only, is a straight line.
        """
        assert curve(decimals(5), width=3, height=2, unicode=False) == ["***", "   "]
        assert curve(decimals(5, 5, 5, 5), width=3, height=2, unicode=False) == ["***", "   "]


class TestChart:
    def test_has_its_limits_at_the_side_and_its_ends_below(self):
        """
        The highest and lowest value stand beside the curve, the ends of time under it.
        """
        rows = chart(decimals(1000, 2000), width=20, height=2, unicode=False, first="then", last="now")
        assert rows == [
            "2,000 |       ******",
            "1,000 |********",
            "       then      now",
        ]

    @pytest.mark.parametrize("height", [1, 2, 5])
    def test_has_the_height_and_width_that_were_asked_for(self, height):
        """
        A chart is as many rows as asked for and a foot, none wider than it may be.
        """
        rows = chart(decimals(*range(100)), width=40, height=height, unicode=True, first="a", last="z")
        assert len(rows) == height + 1
        assert max(map(len, rows)) <= 40


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
