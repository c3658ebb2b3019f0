"""What people see: tables, curves, progress; plain text where there is no terminal."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from hotplug_demo._figures import fees_of, holdings_of, profit_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from types import TracebackType

    from hotplug import PluginStatus
    from hotplug.market import Bar, Order
    from hotplug_demo._isolation import Audit, Outcome
    from hotplug_demo._play import Performance
    from hotplug_demo._players import Player

__all__ = ["Nobody", "Stage"]

WIDTH: Final = 80
ORDERS_SHOWN: Final = 4
EVERY: Final = 50
"""Bars between two looks at the progress: drawing is dearer than trading."""

STATES: Final = {"loaded": "green", "discovered": "cyan", "disabled": "dim", "blocked": "dim"}
MONEY: Final = ",.2f"

NEXT: Final = (
    ("hotplug list", "the plugins that are installed"),
    ("hotplug doctor", "why one does not work, and what would help"),
    ("hotplug demo --users 4", "more users; --symbol AAPL for other bars"),
    ("hotplug demo --picture FILE", "a PNG of what the first user did"),
    ("hotplug demo --json", "every order, fill and figure, for programs"),
)
WRITE_ONE: Final = (
    "Write a plugin: one class and three lines of pyproject.toml. The README has a strategy to begin with; "
    "once it is installed, hotplug demo --strategy NAME runs it."
)


class Nobody:
    """An audience that looks the other way."""

    def opened(self, statuses: Sequence[PluginStatus]) -> None:
        """Ignore the plugins."""

    def bar(self, user: str) -> None:
        """Ignore a bar."""

    def heard(self, user: str, what: str) -> None:
        """Ignore what happened."""


class Stage:
    """
    Standard output, for people; an audience that shows what it sees.

    A context manager: on a terminal, progress is drawn within it, and wiped at its end.
    """

    def __init__(self, cast: Sequence[Player], bars: Sequence[Bar], console: Console | None = None) -> None:
        self._console: Final = console or _console()
        self._bars: Final = bars
        self._cast: Final = cast
        self._unicode: Final = _can_say(self._console, "⣿│…✓✗")
        self._progress: Final = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed}/{task.total} bars"),
            TextColumn("{task.fields[news]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks: Final[dict[str, TaskID]] = {}
        self._seen: Final = dict.fromkeys((player.user for player in cast), 0)

    def __enter__(self) -> Stage:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    # -- while it happens --------------------------------------------------------------------------

    def opened(self, statuses: Sequence[PluginStatus]) -> None:
        """Show what is installed, and what is about to happen."""
        self._head("Installed plugins; each is imported when it is first used")
        table = _table("kind", "name", "distribution", "version", "state")
        rows = [(status.record, _state(status)) for status in statuses]
        for record, group in groupby(rows, key=lambda row: row[0]):
            states = {state.plain: state for _, state in group}
            cells = (record.kind, record.name, record.distribution, record.version)
            table.add_row(*(Text(_safe(cell)) for cell in cells), Text(", ").join(states.values()))
        self._show(table)
        self._line()
        first, last = self._bars[0], self._bars[-1]
        users = "one user" if len(self._cast) == 1 else f"{len(self._cast)} users at once"
        self._line(
            f"{len(self._bars):,} real daily bars of {first.symbol}, {first.time.date()} to "
            f"{last.time.date()}, stream to {users}: each asks the agent and runs a strategy "
            "on the same paper broker."
        )
        for player in self._cast:
            self._tasks[player.user] = self._progress.add_task(player.user, total=len(self._bars), news="")

    def bar(self, user: str) -> None:
        """Count a bar."""
        self._seen[user] += 1
        if self._seen[user] % EVERY == 0:
            self._progress.update(self._tasks[user], completed=self._seen[user])

    def heard(self, user: str, what: str) -> None:
        """Show what just happened to a user."""
        self._progress.update(self._tasks[user], news=what)

    # -- when it is over ---------------------------------------------------------------------------

    def show(self, performance: Performance) -> None:
        """Show what came of it."""
        height = {1: 8, 2: 8, 3: 5, 4: 5}.get(len(performance.outcomes), 2)
        for outcome in performance.outcomes:
            self._user(outcome, height)
        self._results(performance)
        self._isolation(performance.audit)
        self._line(f"Done in {performance.seconds:.1f} s; the broker is disconnected, everything is closed.")
        self._next()

    def _user(self, outcome: Outcome, height: int) -> None:
        player, report = outcome.player, outcome.report
        settings = ", ".join(f"{name}={value}" for name, value in player.settings.items())
        self._head(f"{player.user}: {report.strategy}({settings})")
        question = player.question
        self._line(f"asked the agent about {question['symbol']}, {question['start']} to {question['end']}:")
        self._line(str(outcome.answer.get("text", outcome.answer)), indent=2)
        self._orders(outcome)
        curve = report.curve(width=self._console.width, height=height, unicode=self._unicode)
        color = "green" if profit_of(outcome) >= 0 else "red"
        for row in curve.splitlines():
            self._show(Text(row, color, no_wrap=True, overflow="crop"))

    def _orders(self, outcome: Outcome) -> None:
        orders = outcome.report.orders
        fills = {fill.order_id: fill for fill in outcome.report.trades}
        if not orders:
            self._line("no orders")
            return
        table = _table("day", "order", ">qty", "status", ">price", ">fee")
        earlier = len(orders) - ORDERS_SHOWN
        if earlier > 0:
            table.add_row(self._dots(), f"{earlier} earlier ones", "", "", "", "")
        for order in orders[-ORDERS_SHOWN:]:
            fill = fills.get(order.order_id)
            traded = ("", "") if fill is None else (f"{fill.price:{MONEY}}", f"{fill.fee:{MONEY}}")
            what = f"{order.side} {order.symbol}"
            table.add_row(_day(order), what, f"{order.qty:,}", order.status, *traded)
        self._show(table)

    def _results(self, performance: Performance) -> None:
        capital = performance.outcomes[0].report.capital
        self._head(f"Results: each began with {capital:,} on an own account at the same broker")
        table = _table("user", ">orders", ">fills", "holds", ">fees", ">profit", ">return", ">drawdown")
        for outcome in performance.outcomes:
            report, profit = outcome.report, profit_of(outcome)
            held = [f"{each.qty:,} {each.symbol}" for each in holdings_of(outcome, performance) if each.qty]
            table.add_row(
                outcome.player.user,
                str(len(report.orders)),
                str(len(report.trades)),
                ", ".join(held) or "nothing",
                f"{fees_of(report.trades):{MONEY}}",
                Text(_signed(profit), "green" if profit >= 0 else "red"),
                f"{report.return_:+.1%}",
                f"{report.max_drawdown:.1%}",
            )
        self._show(table)

    def _isolation(self, audit: Audit) -> None:
        looked = f"{audit.orders} orders, {audit.fills} fills, {audit.events} events"
        if audit.isolated:
            tries = f"; {audit.attempts} attempts to reach over were refused" if audit.attempts else ""
            text = f"isolated: {looked} compared with what the broker says, none is another user's{tries}."
            self._line(f"{'✓' if self._unicode else '+'} {text}", style="green")
            return
        self._line(f"{'✗' if self._unicode else 'x'} NOT isolated ({looked}):", style="red")
        for breach in audit.breaches:
            self._line(breach, indent=2)

    def _next(self) -> None:
        self._head("What to try next")
        width = max(len(command) for command, _ in NEXT)
        for command, why in NEXT:
            self._line(f"{command:<{width}}  {why}", indent=2)
        self._line(WRITE_ONE, indent=2)

    # -- in general --------------------------------------------------------------------------------

    def _head(self, text: str) -> None:
        self._show(Text(f"\n{text}", "bold"))

    def _line(self, text: str = "", *, indent: int = 0, style: str = "") -> None:
        for row in Text(_safe(text), style).wrap(self._console, max(20, self._console.width - indent)):
            row.rstrip()
            self._show(Text(" " * indent) + row)

    def _show(self, what: Table | Text) -> None:
        self._console.print(what)

    def _dots(self) -> str:
        return "…" if self._unicode else "..."


def _console() -> Console:
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _can_say(console: Console, signs: str) -> bool:
    try:
        signs.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _table(*heads: str) -> Table:
    """A table; a head that begins with > stands over figures."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        figures = head.startswith(">")
        table.add_column(head.lstrip(">"), justify="right" if figures else "left", overflow="fold")
    return table


def _state(status: PluginStatus) -> Text:
    reason = f" ({status.reason})" if status.reason not in ("", status.state) else ""
    return Text(_safe(f"{status.state}{reason}"), STATES.get(status.state, "red"))


def _safe(text: str) -> str:
    """*text* with everything escaped that a terminal would obey or hide."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _day(order: Order) -> str:
    return "" if order.created_at is None else str(order.created_at.date())


def _signed(amount: Decimal) -> str:
    return f"{amount:+{MONEY}}"
