"""The figures in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hotplug_agent_analyst._figures import Day, Figures

__all__ = ["text_of"]

TRENDS: Final = {
    "up": "The trend is up: the short average is above the long one",
    "down": "The trend is down: the short average is below the long one",
    "flat": "There is no trend: both averages are equal",
    "unknown": "The period is too short for a trend",
}


def text_of(symbol: str, figures: Figures, newest: Day) -> str:
    """A paragraph about *symbol*; *newest* is the last close there is, inside the period or after it."""
    sentences = [
        _journey(symbol, figures),
        _risk(figures),
        _extremes(figures),
        _trend(figures),
        "" if newest == figures.last else f"It last closed at {newest.close} on {newest.date}.",
        _warning(figures),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _journey(symbol: str, figures: Figures) -> str:
    first, last = figures.first, figures.last
    return (
        f"{symbol} went from {first.close} ({first.date}) to {last.close} ({last.date}), "
        f"{figures.change:+.1%} in {figures.days} trading days."
    )


def _risk(figures: Figures) -> str:
    fall = figures.drawdown
    deepest = (
        f"its deepest fall was {fall.depth:.1%} ({fall.peak} to {fall.trough})"
        if fall.depth
        else "it never fell"
    )
    if figures.volatility is None:
        return f"{deepest[0].upper()}{deepest[1:]}."
    return f"Its volatility was {figures.volatility:.1%} a year, {deepest}."


def _extremes(figures: Figures) -> str:
    if figures.best is None or figures.worst is None:
        return ""
    return (
        f"Its best day was {figures.best.date} ({figures.best.change:+.1%}), "
        f"its worst {figures.worst.date} ({figures.worst.change:+.1%})."
    )


def _trend(figures: Figures) -> str:
    averages = (
        "" if figures.fast is None or figures.slow is None else f" ({figures.fast:.2f}, {figures.slow:.2f})"
    )
    return f"{TRENDS[figures.trend]}{averages}."


def _warning(figures: Figures) -> str:
    if not figures.jumps:
        return ""
    days = ", ".join(str(jump.date) for jump in figures.jumps)
    return f"Careful: the jump on {days} looks like a split, prices are not adjusted."
