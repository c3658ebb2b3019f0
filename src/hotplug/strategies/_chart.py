"""A curve drawn with characters: braille dots, or stars where the terminal knows no braille."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

__all__ = ["chart", "curve"]

BRAILLE: Final = 0x2800
# What each dot of a cell adds, from the top: the left column, the right one.
DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def chart(
    values: Sequence[Decimal], *, width: int, height: int, unicode: bool, first: str = "", last: str = ""
) -> list[str]:
    """
    *values* as lines at most *width* wide: a curve of *height* rows with its limits, and a foot.

    *first* and *last* stand under the ends of the curve, if there is room for them.
    """
    limits = [f"{limit:,.0f}" for limit in (max(values), min(values))]
    margin = max(map(len, limits))
    inner = max(8, width - margin - 2)
    rows = curve(values, width=inner, height=height, unicode=unicode)
    labels = [limits[0], *[""] * (height - 2), limits[1]] if height > 1 else [limits[0]]
    side = "│" if unicode else "|"
    foot = " " * (margin + 2) + (first + last.rjust(inner - len(first)) if len(first + last) < inner else "")
    return [
        *(f"{label:>{margin}} {side}{row}".rstrip() for label, row in zip(labels, rows, strict=True)),
        foot.rstrip(),
    ]


def curve(values: Sequence[Decimal], *, width: int, height: int, unicode: bool) -> list[str]:
    """*values* from left to right as *height* rows of *width* characters."""
    across, down = (2, 4) if unicode else (1, 1)
    strokes = list(_strokes(values, width * across, height * down))
    if unicode:
        return [_braille_row(strokes, row) for row in range(height)]
    return ["".join("*" if low <= row <= high else " " for low, high in strokes) for row in range(height)]


def _strokes(values: Sequence[Decimal], columns: int, levels: int) -> Iterator[tuple[int, int]]:
    """For each column the first and the last level (from the top) that the curve covers there."""
    top, bottom = max(values), min(values)
    steps = [int((top - value) * (levels - 1) / (top - bottom)) if top > bottom else 0 for value in values]
    before = steps[0]
    for column in range(columns):
        start = column * len(steps) // columns
        bucket = steps[start : max(start + 1, (column + 1) * len(steps) // columns)]
        # From where the last column ended, so that the line has no holes.
        yield min(before, *bucket), max(before, *bucket)
        before = bucket[-1]


def _braille_row(strokes: Sequence[tuple[int, int]], row: int) -> str:
    cells: list[str] = []
    for pair in zip(strokes[::2], strokes[1::2], strict=True):
        dots = sum(
            dot
            for column, (low, high) in zip(DOTS, pair, strict=True)
            for place, dot in enumerate(column)
            if low <= row * 4 + place <= high
        )
        cells.append(chr(BRAILLE + dots) if dots else " ")
    return "".join(cells)
