"""What came of a run, in letters: figures, and a curve that fits the terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.market import Fill, Liquidity, Side
from hotplug.strategies import StrategyReport
from hotplug.strategies._chart import chart, curve

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


DAY = datetime(2024, 1, 2, tzinfo=UTC)


def fill(number, side=Side.BUY, symbol="IBM"):
    return Fill(
        trade_id=f"T{number}",
        order_id=f"O{number}",
        client_order_id=f"C{number}",
        account="ada",
        symbol=symbol,
        side=side,
        qty=Decimal(2),
        price=Decimal(100),
        fee=Decimal("1.5"),
        fee_currency="USD",
        liquidity=Liquidity.TAKER,
        time=DAY + timedelta(days=number),
    )


def report_of(*equity, capital=1000, symbols=("IBM",), **facts):
    days = range(len(equity))
    return StrategyReport(
        strategy="Mine",
        account="ada",
        run="r",
        capital=Decimal(capital),
        equity=tuple(map(Decimal, equity)),
        times=tuple(DAY + timedelta(days=day) for day in days),
        symbols=tuple(symbols[day % len(symbols)] for day in days),
        closes=tuple(Decimal(100 + day) for day in days),
        **{"user": "ada", "currency": "USD", **facts},
    )


class TestSketch:
    def test_says_who_what_and_how_much(self):
        """
        Strategy, symbol, user, days, bars, trades, money, return, drawdown and fees stand above the curve.
        """
        report = report_of(1100, 880, 1200, trades=(fill(1), fill(2, Side.SELL)))

        assert report.sketch(width=80, height=2, unicode=False).splitlines()[:3] == [
            "Mine on IBM for ada",
            "2024-01-02 to 2024-01-04, 3 bars, 2 trades, 1,000 became 1,200 USD (+20.0%), max",
            "drawdown 20.0%, fees 3",
        ]

    def test_begins_with_the_capital(self):
        """
        The curve is of the equity from before the first bar, with the days at its ends.
        """
        report = report_of(2000)

        high, low, foot = report.sketch(width=80, height=2, unicode=False).splitlines()[-3:]
        assert (high[:8], low[:8], high[-1]) == ("2,000 | ", "1,000 |*", "*")
        assert foot.split() == ["2024-01-02", "2024-01-02"]

    def test_of_nothing_draws_no_curve(self):
        """
        Without a bar there is nothing to draw, and that is what it says.
        """
        report = report_of(user=None, currency="")

        assert report.curve() == ""
        assert report.sketch() == "Mine\n0 bars, 0 trades"

    def test_says_what_stopped_it(self):
        """
        The error stands at the end, in letters that no terminal obeys.
        """
        report = report_of(1000, error=ValueError("\x1b[2Jgone\nand gone"))

        assert report.sketch().splitlines()[-1] == r"stopped by ValueError: \x1b[2Jgone\nand gone"

    def test_names_five_symbols_at_most(self):
        """
        Of many symbols the first five are named, and how many more there are.
        """
        report = report_of(*[1000] * 7, symbols=tuple("ABCDEFG"))

        assert report.sketch().startswith("Mine on A, B, C, D, E and 2 more for ada")

    @pytest.mark.parametrize("width", [1, 20, 41, 80, 200])
    def test_is_never_too_wide(self, width):
        """
        No line is wider than the terminal, unless that is narrower than twenty letters.
        """
        report = report_of(*range(1000, 1100), trades=(fill(1),), error=ValueError("x" * 300))

        assert max(map(len, report.sketch(width=width).splitlines())) <= max(20, width)


def test_drawdowns_are_fractions_of_the_highest_so_far():
    """
    After each bar: how far below the highest so far, the capital included; the deepest is the maximum.
    """
    report = report_of(800, 1600, 1200, 1600, 1700)

    assert report.drawdowns == (Decimal("0.2"), 0, Decimal("0.25"), 0, 0)
    assert report.max_drawdown == Decimal("0.25")


def test_no_height_no_drawdown():
    """
    What never was above nothing has not fallen.
    """
    report = report_of(-5, -7, capital=0)

    assert report.drawdowns == (0, 0)
    assert replace(report, equity=()).max_drawdown == 0
