"""Reads RECORD, the list of what an installer wrote; malformed ones are said to be so."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from hotplug._discovery._distribution import READ_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LIMIT", "MalformedRecord", "Row", "is_outside", "read_record", "rows_of"]

LIMIT: Final = 1 << 26
FIELDS: Final = 3

Row = tuple[str, str, int | None]
"""Path (as written, with ``/``), hash (``algorithm=digest``, may be empty) and size (None: not said)."""


class MalformedRecord(ValueError):  # noqa: N818 - it is what it says
    """This is no RECORD; its text says why."""


def read_record(path: str) -> bytes:
    """The bytes of RECORD. Raises OSError, or MalformedRecord where it is no file, or no sensible one."""
    file = os.open(path, READ_FLAGS)
    try:
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode):
            raise MalformedRecord("is no regular file")
        if seen.st_size > LIMIT:
            raise MalformedRecord(f"is longer than {LIMIT} bytes")
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read(LIMIT)
    finally:
        os.close(file)


def rows_of(data: bytes) -> list[Row]:
    """The rows, in their order. Raises MalformedRecord at the first line that is none."""
    if not data.endswith(b"\n"):
        raise MalformedRecord("does not end with a newline: it is being written" if data else "is empty")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedRecord("is not UTF-8 text") from error
    if "\0" in text:
        raise MalformedRecord("holds a NUL character")
    rows = _quoted_fields(text) if '"' in text else (line.split(",") for line in _lines(text))
    return [_row(fields) for fields in rows if fields and fields != [""]]


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


def _quoted_fields(text: str) -> Iterable[list[str]]:
    import csv

    try:
        return list(csv.reader(_lines(text), strict=True))
    except csv.Error as error:
        raise MalformedRecord(f"is no table: {error}") from error


def _row(fields: list[str]) -> Row:
    if len(fields) != FIELDS:
        raise MalformedRecord(f"has {len(fields)} fields instead of {FIELDS} in {','.join(fields)!r:.80}")
    path, digest, size = fields
    if not path:
        raise MalformedRecord("has a row without a path")
    if size and not (size.isascii() and size.isdigit()):
        raise MalformedRecord(f"gives {path!r} the size {size!r:.40}")
    return path.replace("\\", "/") if os.sep == "\\" else path, digest, int(size) if size else None


def is_outside(path: str) -> bool:
    """Whether a row's *path* leads, or may lead, out of the folder that the distribution lies in."""
    return (".." in path and ".." in path.split("/")) or os.path.isabs(path)  # noqa: PTH117 - no object for each row
