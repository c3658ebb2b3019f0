"""What came of a run, in letters: its figures, and a curve of its equity."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from hotplug.strategies._chart import chart

if TYPE_CHECKING:
    from hotplug.strategies._report import StrategyReport

__all__ = ["curved", "headline", "printable", "sketched", "stopped_by", "subtitle"]


def sketched(report: StrategyReport, *, width: int, height: int, unicode: bool) -> str:
    """Headline, figures and curve, none wider than *width* (20 at the least)."""
    width = max(20, width)
    lines = [*wrap(headline(report), width), *wrap(subtitle(report), width)]
    lines += curved(report, width=width, height=height, unicode=unicode)
    if report.error is not None:
        lines += wrap(stopped_by(report.error), width)
    return "\n".join(lines)


def curved(report: StrategyReport, *, width: int, height: int, unicode: bool) -> list[str]:
    """The curve of the equity, from the capital on."""
    if not report.equity:
        return []
    first, last = (str(time.date()) for time in (report.times[0], report.times[-1]))
    values = [report.capital, *report.equity]
    return chart(values, width=width, height=height, unicode=unicode, first=first, last=last)


def headline(report: StrategyReport) -> str:
    """Who traded what."""
    symbols = dict.fromkeys(report.symbols)
    what = ", ".join(list(symbols)[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
    who = f" for {report.user}" if report.user else ""
    return printable(f"{report.strategy}{f' on {what}' if what else ''}{who}")


def subtitle(report: StrategyReport) -> str:
    """What came of it, in figures."""
    days = dict.fromkeys(str(time.date()) for time in (*report.times[:1], *report.times[-1:]))
    figures = [" to ".join(days), _counted(len(report.equity), "bar"), _counted(len(report.trades), "trade")]
    if report.equity:
        currency = f" {report.currency}" if report.currency else ""
        figures += [
            f"{report.capital:,.0f} became {report.equity[-1]:,.0f}{currency} ({report.return_:+.1%})",
            f"max drawdown {report.max_drawdown:.1%}",
            f"fees {report.fees:,.0f}",
        ]
    return printable(", ".join(filter(None, figures)))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def stopped_by(error: BaseException) -> str:
    """What ended the run before its time."""
    return printable(f"stopped by {type(error).__name__}: {error}")


def printable(text: str) -> str:
    """*text* with everything escaped that a screen would obey or hide."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
