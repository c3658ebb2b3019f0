"""What came of a run, as a picture: that it is one, that it shows what it should, that nothing breaks it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.market import Fill, Liquidity, Side
from hotplug.strategies import StrategyReport, _picture
from hotplug.strategies._picture import FINEST, HUES, _telling

DAY = datetime(2024, 1, 2, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n"


def report_of(equity, *, symbols=("IBM",), trades=(), error=None, capital=1000, closes=None):
    days = range(len(equity))
    return StrategyReport(
        strategy="Mine",
        user="ada",
        account="ada",
        run="r",
        capital=Decimal(capital),
        currency="USD",
        equity=tuple(map(Decimal, equity)),
        times=tuple(DAY + timedelta(days=day) for day in days),
        symbols=tuple(symbols[day % len(symbols)] for day in days),
        closes=tuple(map(Decimal, closes or (100 + day % 7 for day in days))),
        trades=trades,
        error=error,
    )


def fill(day, side, symbol="IBM"):
    return Fill(
        trade_id=f"{day}{side}",
        order_id=f"O{day}{side}",
        client_order_id=f"C{day}{side}",
        account="ada",
        symbol=symbol,
        side=side,
        qty=Decimal(2),
        price=Decimal(101),
        fee=Decimal(1),
        fee_currency="USD",
        liquidity=Liquidity.TAKER,
        time=DAY + timedelta(days=day),
    )


TRADES = (fill(1, Side.BUY), fill(3, Side.SELL))


@pytest.fixture
def drawn(monkeypatch):
    """The figure that the last picture was made of."""
    figure = pytest.importorskip("matplotlib.figure")
    made = []

    class Kept(figure.Figure):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(figure, "Figure", Kept)
    monkeypatch.setattr(_picture, "DPI", 20)  # coarse, and soon done
    return made


def texts(figure):
    said = [each.get_text() for each in figure.findobj(match=lambda each: hasattr(each, "get_text"))]
    return [each for each in said if each]


def test_it_is_a_png_with_three_panels(drawn):
    """
    Prices with both sorts of trades, equity and drawdown, each named with its unit.
    """
    png = report_of(range(1000, 990, -1), trades=TRADES).picture()

    [figure] = drawn
    assert png.startswith(PNG)
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "Price, USD",
        "Equity, USD",
        "Drawdown, % below the highest so far",
    ]
    assert {"Mine on IBM for ada", "bought", "sold", "IBM", "991", "-0.9 %"} <= set(texts(figure))


def test_trades_stand_where_they_were_made(drawn):
    """
    What was bought and sold is marked at its price; another symbol's trades are not marked on this one's.
    """
    pytest.importorskip("matplotlib.dates")
    from matplotlib.dates import date2num

    report_of(range(1000, 1010), trades=(*TRADES, fill(2, Side.BUY, "MSFT"))).picture()

    marks = [points.get_offsets().tolist() for points in drawn[0].axes[0].collections]
    assert marks == [[[date2num(DAY) + 1, 101]], [[date2num(DAY) + 3, 101]]]


def test_the_same_run_makes_the_same_picture(drawn):
    """
    Nothing of the time or of the library's version is in it, whatever else is drawn at the same time.
    """
    report, other = report_of(range(1000, 1010), trades=TRADES), report_of([1000, 900])

    with ThreadPoolExecutor(2) as pool:
        first, different = pool.map(StrategyReport.picture, [report, other])

    assert report.picture() == first != different


def test_several_symbols_begin_at_a_hundred(drawn):
    """
    Prices of several symbols are told in percent of their first, of more than five only the first five.
    """
    names = [f"S{number}" for number in range(len(HUES) + 2)]
    report_of([1000] * 21, symbols=names).picture()

    prices = drawn[0].axes[0]
    assert prices.get_title(loc="left") == "Price, first close = 100"
    assert {line.get_ydata()[0] for line in prices.lines if len(line.get_ydata()) == 3} == {100}
    assert {*names[:5], "2 more\nnot shown"} <= set(texts(drawn[0]))


def test_names_of_lines_do_not_touch(drawn):
    """
    Lines that end at the same height are named one above the other.
    """
    report_of([1000] * 6, symbols=("A", "B", "C"), closes=[1, 10, 100] * 2).picture()

    heights = sorted(text.xyann[1] for text in drawn[0].axes[0].texts if text.get_text() in {"A", "B", "C"})
    assert heights == pytest.approx([0, 12, 24])


@pytest.mark.parametrize(
    "report",
    [
        report_of([]),
        report_of([1000]),
        report_of([0, 0], capital=0, closes=[0, 0]),
        report_of([-5, -9], capital=0),
        report_of([1000] * 4, symbols=("A", "B"), closes=[0, 0, 0, 0]),
        report_of([10**30, 10**29], capital=10**30),
        report_of([1000, 900], symbols=("$\\frac{1}$\x1b[2J\n",), error=ValueError("$\\bad$\n" * 99)),
    ],
    ids=["nothing", "one bar", "no money", "debts", "no prices", "riches", "formulas"],
)
def test_whatever_came_of_it_can_be_drawn(drawn, report):
    """
    No bars, one bar, no money, and names that look like formulas or commands: it is a picture.
    """
    assert report.picture().startswith(PNG)
    assert not any(sign in text for text in texts(drawn[0]) for sign in "\x1b\0")


@pytest.mark.parametrize("count", [1, 2, FINEST * 2, FINEST * 2 + 1, FINEST * 7 + 3])
def test_what_is_left_out_changes_no_line(count):
    """
    However many values: few enough are drawn, the ends, the lowest and the highest among them, in order.
    """
    values = [(place * 7919) % 104_729 for place in range(count)]

    places = list(_telling(values))

    assert len(places) <= 2 * FINEST + 2
    assert places == sorted(set(places))
    assert {places[0], places[-1]} == {0, count - 1}
    drawn = [values[place] for place in places]
    assert (min(drawn), max(drawn)) == (min(values), max(values))


def test_without_the_library_it_says_what_to_install(monkeypatch):
    """
    Where matplotlib is missing, the error names the remedy.
    """
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ImportError, match=r"pip install 'hotplug\[plot\]'"):
        report_of([1000]).picture()


def test_it_is_imported_by_the_first_picture_only():
    """
    Who draws nothing does not import matplotlib.
    """
    code = "import sys, hotplug.strategies; print('matplotlib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
