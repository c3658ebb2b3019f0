"""What is written for people: tables on a terminal, plain lines in a pipe, nothing that a terminal obeys."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Screen", "safe", "write_json"]

# Control, format (bidi overrides among them), surrogate, private, unassigned; line and paragraph ends.
UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
GAP: Final = "  "

# State: icon, icon where the stream cannot show it, style. The word always stands beside the icon.
ICONS: Final[dict[str, tuple[str, str, str]]] = {
    "discovered": ("○", "o", "cyan"),
    "loaded": ("✓", "+", "green"),
    "disabled": ("-", "-", "dim"),
    "shadowed": ("-", "-", "dim"),
    "blocked": ("-", "-", "dim"),
    "removed": ("-", "-", "dim"),
    "refused": ("⊘", "/", "yellow"),
    "conflict": ("≠", "=", "red"),
    "quarantined": ("⊘", "/", "red"),
    "timed_out": ("⧖", "~", "red"),
    "broken": ("✗", "x", "red"),
    "failed": ("✗", "x", "red"),
}


def safe(text: str, *, lines: bool = False) -> str:
    """*text* with everything escaped that a terminal would obey or hide; with *lines*, line ends stay."""
    kept = "\n" if lines else ""
    return "".join(sign if _is_plain(sign) or sign in kept else _escaped(sign) for sign in text)


def _is_plain(sign: str) -> bool:
    return unicodedata.category(sign) not in UNSEEN


def _escaped(sign: str) -> str:
    return repr(sign)[1:-1] if sign < "\x80" else sign.encode("unicode_escape").decode()


def write_json(answer: object) -> None:
    """Write *answer* for programs: ASCII only, whatever is in it."""
    click.echo(json.dumps(answer, indent=2, default=str))


class Screen:
    """
    Standard output (or *console*), for people.

    On a terminal tables fit its width; elsewhere a row is one whole line, so that ``grep`` works.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console: Final = console or Console(
            file=sys.stdout, markup=False, highlight=False, emoji=False, soft_wrap=False
        )

    def state(self, word: str) -> Text:
        """Icon and word of a state; colour only adds to them."""
        icon, plain_icon, style = ICONS.get(word, ("?", "?", ""))
        return Text(f"{icon if self.shows(icon) else plain_icon} {safe(word)}", style)

    def line(self, text: str | Text = "", *, indent: int = 0) -> None:
        """One line; on a terminal, folded at its width."""
        content = text if isinstance(text, Text) else Text(safe(text))
        if not self._console.is_terminal:
            click.echo(" " * indent + content.plain, file=self._console.file)
            return
        for row in content.wrap(self._console, max(20, self._console.width - indent)) or [Text()]:
            self._console.print(Text(" " * indent) + row)

    def block(self, text: str, *, indent: int = 0) -> None:
        """Some lines, each as `line` has it."""
        for each in safe(text, lines=True).splitlines():
            self.line(Text(each), indent=indent)

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """A table under *heads*."""
        cells = [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row] for row in rows]
        if self._console.is_terminal:
            self._console.print(_rich_table(heads, cells))
            return
        widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*cells, strict=True)]
        for row in cells:
            parts = (_padded(cell.plain, width) for cell, width in zip(row, widths, strict=True))
            click.echo(GAP.join(parts).rstrip(), file=self._console.file)

    def shows(self, icon: str) -> bool:
        """Whether the stream can encode *icon*."""
        try:
            icon.encode(getattr(self._console.file, "encoding", None) or "ascii")
        except (UnicodeEncodeError, LookupError):
            return False
        return True


def _rich_table(heads: Sequence[str], cells: list[list[Text]]) -> Table:
    options: dict[str, Any] = {"overflow": "fold"}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        # The state is the one column that must be read at a glance; the others may fold.
        table.add_column(head, no_wrap=place == 0, **options)
    for row in cells:
        table.add_row(*row)
    return table


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
