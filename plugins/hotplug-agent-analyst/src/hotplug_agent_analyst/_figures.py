"""The figures: plain arithmetic on a series of closing prices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from decimal import Decimal

__all__ = ["Day", "Figures", "figures_of"]

TRADING_DAYS: Final = 252
JUMP: Final = 0.35  # unadjusted data: a bigger move overnight is more likely a split than a market


@dataclass(frozen=True, slots=True)
class Day:
    """A trading day and what it closed at."""

    date: date
    close: Decimal


@dataclass(frozen=True, slots=True)
class Move:
    """How far a day's close was from the one before, as a fraction."""

    date: date
    change: float


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall from a peak, as a fraction of it (0 if there was none)."""

    depth: float
    peak: date
    trough: date


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What a period looked like. Fractions are of 1: 0.25 is 25 %.

    *volatility* is the sample standard deviation of the daily log returns times the square root of 252
    (the usual estimator: J. C. Hull, Options, Futures, and Other Derivatives, "Estimating volatility from
    historical data"); None with fewer than two returns. *fast* and *slow* are moving averages of the last
    closes, None where there are not enough; *trend* compares them.
    """

    first: Day
    last: Day
    days: int
    change: float
    volatility: float | None
    drawdown: Drawdown
    best: Move | None
    worst: Move | None
    fast: float | None
    slow: float | None
    trend: str
    jumps: tuple[Move, ...]


def figures_of(days: Sequence[Day], *, fast: int = 20, slow: int = 50) -> Figures:
    """The figures of *days*, oldest first. Raises `ValueError` if there is none."""
    if not days:
        raise ValueError("no days, no figures")
    closes = [float(day.close) for day in days]
    moves = [
        Move(day.date, close / before - 1)
        for day, (before, close) in zip(days[1:], pairwise(closes), strict=True)
    ]
    averages = _average(closes, fast), _average(closes, slow)
    return Figures(
        first=days[0],
        last=days[-1],
        days=len(days),
        change=closes[-1] / closes[0] - 1,
        volatility=_volatility(closes),
        drawdown=_drawdown(days),
        best=max(moves, key=lambda move: move.change, default=None),
        worst=min(moves, key=lambda move: move.change, default=None),
        fast=averages[0],
        slow=averages[1],
        trend=_trend(*averages),
        jumps=tuple(move for move in moves if abs(move.change) > JUMP),
    )


def _volatility(closes: Sequence[float]) -> float | None:
    returns = [math.log(after / before) for before, after in pairwise(closes)]
    return stdev(returns) * math.sqrt(TRADING_DAYS) if len(returns) > 1 else None


def _drawdown(days: Sequence[Day]) -> Drawdown:
    peak = days[0]
    deepest = Drawdown(0.0, peak.date, peak.date)
    for day in days:
        if day.close > peak.close:
            peak = day
        depth = float(1 - day.close / peak.close)
        if depth > deepest.depth:
            deepest = Drawdown(depth, peak.date, day.date)
    return deepest


def _average(closes: Sequence[float], length: int) -> float | None:
    return fmean(closes[-length:]) if len(closes) >= length else None


def _trend(fast: float | None, slow: float | None) -> str:
    if fast is None or slow is None:
        return "unknown"
    if fast == slow:
        return "flat"
    return "up" if fast > slow else "down"
