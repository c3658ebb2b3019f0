"""What came of a run, as a picture: prices with the trades, equity, drawdown."""

from __future__ import annotations

import io
import threading
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hotplug.market import Side
from hotplug.strategies._sketch import headline, printable, stopped_by, subtitle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplug.strategies._report import StrategyReport

__all__ = ["painted"]

SIZE: Final = (10.0, 7.5)  # inches
DPI: Final = 110
LEFT, RIGHT = 0.085, 0.895  # where the panels are, as fractions of the width
FINEST: Final = 2_000
"""Steps from left to right that can be told apart; of more, each step's lowest and highest are drawn."""
INK, FAINT, PALE, GRID = "#333333", "#7a7a7a", "#b8b8b8", "#e8e8e8"
BOUGHT, SOLD = "#0072b2", "#d55e00"  # told apart by the colour-blind, too
SIGNS: Final = {Side.BUY: ("^", BOUGHT, "bought"), Side.SELL: ("v", SOLD, "sold")}
_drawing: Final = threading.Lock()  # the library does not promise to draw two at once
LETTERS: Final = 12  # points that a line of writing is high
HUES: Final = ("#555555", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def painted(report: StrategyReport) -> bytes:
    """The PNG of *report*."""
    try:
        figures = import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError(
            "a picture needs matplotlib, which is not installed: pip install 'hotplug[plot]'", name=error.name
        ) from error
    png = io.BytesIO()
    with _drawing:
        figure = figures.Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        _title(figure, report)
        if report.equity:
            _Sheet(figure, report).fill()
        # Without its version in it: the same run makes the same picture.
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _title(figure: Any, report: StrategyReport) -> None:
    _say(figure, LEFT, 0.975, headline(report), size=15, weight="bold", color=INK, va="top")
    _say(figure, LEFT, 0.932, subtitle(report), size=10, color=INK, va="top")
    if report.error is not None:
        _say(figure, LEFT, 0.907, _cut(stopped_by(report.error)), size=10, color=SOLD, va="top")


def _cut(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]} …"


def _say(place: Any, x: float, y: float, text: str, **style: Any) -> None:
    """Put *text* there as it stands: a dollar is a dollar, not a formula."""
    place.text(x, y, text, parse_math=False, **style)


End: TypeAlias = tuple[float, str, str]
"""Where a line ends, its name, its color."""


class _Sheet:
    """Three panels over one axis of time."""

    def __init__(self, figure: Any, report: StrategyReport) -> None:
        self._report: Final = report
        self._times: Final = report.times
        self._ends: Final[dict[Any, list[End]]] = {}
        self._prices, self._equity, self._falls = figure.subplots(
            3,
            sharex=True,
            gridspec_kw={
                "height_ratios": (5, 4, 2),
                "hspace": 0.16,
                "left": LEFT,
                "right": RIGHT,
                "top": 0.855,
                "bottom": 0.05,
            },
        )

    def fill(self) -> None:
        """Draw everything."""
        for panel in (self._prices, self._equity, self._falls):
            _clean(panel)
        self._draw_prices()
        self._draw_equity()
        self._draw_falls()
        for panel, ends in self._ends.items():
            _name_ends(panel, self._times[-1], ends)

    def _draw_prices(self) -> None:
        report, panel = self._report, self._prices
        symbols = list(dict.fromkeys(report.symbols))
        unit = f"{report.currency or 'price'}" if len(symbols) == 1 else "first close = 100"
        _name(panel, f"Price, {unit}")
        for x, side in ((0.86, Side.BUY), (0.95, Side.SELL)):
            sign, color, word = SIGNS[side]
            panel.plot(
                x, 1.045, marker=sign, color=color, markersize=6, transform=panel.transAxes, clip_on=False
            )
            _note(panel, x + 0.01, 1.028, word, INK)
        for symbol, hue in zip(symbols, HUES, strict=False):
            self._draw_symbol(symbol, hue, whole=len(symbols) == 1)
        if len(symbols) > len(HUES):
            _note(panel, 1.01, 0, f"{len(symbols) - len(HUES)} more\nnot shown", FAINT)

    def _draw_symbol(self, symbol: str, hue: str, *, whole: bool) -> None:
        report, panel = self._report, self._prices
        places = [place for place, each in enumerate(report.symbols) if each == symbol]
        first = float(report.closes[places[0]])
        scale = 1.0 if whole or not first else 100 / first
        values = [float(report.closes[place]) * scale for place in places]
        _line(panel, [self._times[place] for place in places], values, color=hue)
        self._end(panel, values[-1], printable(symbol), hue)
        for side, (sign, color, _) in SIGNS.items():
            fills = [each for each in report.trades if each.side is side and each.symbol == symbol]
            panel.scatter(
                [each.time for each in fills],
                [float(each.price) * scale for each in fills],
                marker=sign,
                s=34,
                color=color,
                linewidths=0.5,
                edgecolors="white",
                zorder=3,
            )

    def _draw_equity(self) -> None:
        report, panel = self._report, self._equity
        capital, values = float(report.capital), [float(value) for value in report.equity]
        _name(panel, f"Equity, {report.currency}".rstrip(", "))
        _line(panel, self._times, [capital] * len(values), color=FAINT, width=0.8, dashes=(4, 3))
        self._draw_holding(capital)
        _line(panel, self._times, values, color=BOUGHT)
        self._end(panel, values[-1], f"{values[-1]:,.0f}", BOUGHT)

    def _draw_holding(self, capital: float) -> None:
        """What the capital would have become in the only symbol: what there is to be better than."""
        closes = [float(close) for close in self._report.closes]
        if len(set(self._report.symbols)) == 1 and closes[0] > 0 and capital > 0:
            held = [capital * close / closes[0] for close in closes]
            _line(self._equity, self._times, held, color=PALE, width=0.8)
            symbol = printable(self._report.symbols[0])
            self._end(self._equity, held[-1], f"{symbol} held:\n{held[-1]:,.0f}", FAINT)

    def _draw_falls(self) -> None:
        report, panel = self._report, self._falls
        falls = [-100 * float(value) for value in report.drawdowns]
        _name(panel, "Drawdown, % below the highest so far")
        places = _telling(falls)
        times, shown = [self._times[place] for place in places], [falls[place] for place in places]
        panel.fill_between(times, shown, 0, color=SOLD, alpha=0.3, linewidth=0)
        deepest = min(range(len(falls)), key=falls.__getitem__)
        panel.set_ylim(1.2 * falls[deepest] or -1, 0)
        if falls[deepest]:
            panel.plot([self._times[deepest]], [falls[deepest]], marker="o", markersize=4, color=SOLD)
            _write(panel, self._times[deepest], falls[deepest], f"{falls[deepest]:.1f} %", SOLD, rise=-3)

    def _end(self, panel: Any, value: float, text: str, color: str) -> None:
        self._ends.setdefault(panel, []).append((value, text, color))


def _clean(panel: Any) -> None:
    """Nothing but a light grid, and figures with thousands apart."""
    ticker: Any = import_module("matplotlib.ticker")
    for spine in panel.spines.values():
        spine.set_visible(False)
    panel.grid(axis="y", color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.set_xmargin(0.01)
    panel.tick_params(length=0, labelsize=9, labelcolor=INK)
    panel.yaxis.set_major_locator(ticker.MaxNLocator(5))
    panel.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.10g}"))


def _name(panel: Any, text: str) -> None:
    panel.set_title(printable(text), loc="left", fontsize=10, color=INK, pad=5, parse_math=False)


def _note(panel: Any, x: float, y: float, text: str, color: str) -> None:
    _say(panel, x, y, text, transform=panel.transAxes, size=9, color=color)


def _line(
    panel: Any, times: Sequence[Any], values: Sequence[float], *, color: str, width: float = 1.1, **style: Any
) -> None:
    places = _telling(values)
    panel.plot(
        [times[place] for place in places],
        [values[place] for place in places],
        color=color,
        linewidth=width,
        marker="o" if len(places) == 1 else "",
        markersize=4,
        **style,
    )


def _name_ends(panel: Any, time: Any, ends: Sequence[End]) -> None:
    """Name lines where they end, the lowest first; those that would touch are moved up."""
    low, high = panel.get_ylim()
    point = (high - low) / (panel.get_position().height * SIZE[1] * 72)
    free = float("-inf")
    for value, text, color in sorted(ends):
        half = (1 + text.count("\n")) * LETTERS * point / 2
        center = max(value, free + half)
        free = center + half
        _write(panel, time, value, text, color, rise=(center - value) / point)


def _write(panel: Any, time: Any, value: float, text: str, color: str, *, rise: float) -> None:
    panel.annotate(
        text,
        (time, value),
        xytext=(6, rise),
        textcoords="offset points",
        parse_math=False,
        va="center",
        linespacing=1.1,
        fontsize=9,
        color=color,
        annotation_clip=False,
    )


def _telling(values: Sequence[float]) -> Sequence[int]:
    """The places of the values that a line needs: all, or each step's lowest and highest, and the ends."""
    count = len(values)
    if count <= 2 * FINEST:
        return range(count)
    borders = [step * count // FINEST for step in range(FINEST + 1)]
    chosen = {0, count - 1}
    for begin, end in pairwise(borders):
        chosen |= {
            min(range(begin, end), key=values.__getitem__),
            max(range(begin, end), key=values.__getitem__),
        }
    return sorted(chosen)
