"""Where things stand in a TOML text: ``tomllib`` gives values, not lines."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Steps", "lines_of"]

Steps = tuple[str | int, ...]

BLANK: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
SPACES: Final = re.compile(r"[ \t]*")
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
SCALAR: Final = re.compile(r"[^,\]}#\n]*")
# The longer quotes first: an opening """ is not an empty string.
STRINGS: Final = {
    '"""': re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{1,2}(?!"))?', re.DOTALL),
    "'''": re.compile(r"'''.*?'''(?:'{1,2}(?!'))?", re.DOTALL),
    '"': re.compile(r'"(?:\\.|[^"\\])*"'),
    "'": re.compile(r"'[^']*'"),
}


def lines_of(text: str) -> Mapping[Steps, int]:
    """
    The line (from 1) on which each key of a valid TOML *text* stands, by its path from the root.

    Tables are where their header is, array items where they begin; a path's numbers are indexes.
    A table without a header is where the first key inside it is. *text* must be what `tomllib` accepts.
    """
    walk = _Walk(text.replace("\r\n", "\n"))
    walk.document()
    return walk.lines


class _Walk:
    """One pass over a text that is known to be sound, so that nothing needs checking."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Steps, int] = {}
        self._text: Final = text
        self._at = 0
        self._line = 1
        self._sizes: dict[Steps, int] = {}

    def document(self) -> None:
        table: Steps = ()
        while self._skip(BLANK) and self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Steps:
        array = self._text.startswith("[[", self._at)
        self._take("[[" if array else "[")
        line = self._line
        path: Steps = ()
        keys = self._dotted_key()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            self._stands(path, line)
            if array and number == len(keys):
                self._sizes[path] = self._sizes.get(path, 0) + 1
            if path in self._sizes:  # the latest item of an array of tables
                path = (*path, self._sizes[path] - 1)
                self._stands(path, line)
        if not array:
            self.lines[path] = line  # so far only tables inside it may have been seen
        self._take("]]" if array else "]")
        return path

    def _pair(self, table: Steps) -> None:
        line = self._line
        path = table
        for key in self._dotted_key():
            path = (*path, key)
            self._stands(path, line)
        self._take("=")
        self._skip(SPACES)
        self._value(path)

    def _value(self, path: Steps) -> None:
        if self._text.startswith("[", self._at):
            self._array(path)
        elif self._text.startswith("{", self._at):
            self._inline_table(path)
        elif (string := self._string()) is not None:
            self._skip(string)
        else:
            self._skip(SCALAR)

    def _array(self, path: Steps) -> None:
        self._take("[")
        index = 0
        while self._skip(BLANK) and not self._took("]"):
            self._stands((*path, index), self._line)
            self._value((*path, index))
            self._skip(BLANK)
            self._took(",")
            index += 1

    def _inline_table(self, path: Steps) -> None:
        self._take("{")
        # Later versions of TOML allow line breaks here; they cost nothing.
        while self._skip(BLANK) and not self._took("}"):
            self._pair(path)
            self._skip(BLANK)
            self._took(",")

    def _dotted_key(self) -> list[str]:
        keys = [self._key()]
        while self._took("."):
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._skip(SPACES)
        begin = self._at
        self._skip(self._string() or BARE_KEY)
        key = self._text[begin : self._at]
        self._skip(SPACES)
        return _unquoted(key) if key[0] in "\"'" else key

    # -- the smallest steps ------------------------------------------------------------------------

    def _stands(self, path: Steps, line: int) -> None:
        self.lines.setdefault(path, line)

    def _string(self) -> re.Pattern[str] | None:
        return next((STRINGS[quote] for quote in STRINGS if self._text.startswith(quote, self._at)), None)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Go past what *pattern* matches; always true, so that it may lead a condition."""
        match: Any = pattern.match(self._text, self._at)
        self._line += match[0].count("\n")
        self._at = match.end()
        return True

    def _took(self, sign: str) -> bool:
        here = self._text.startswith(sign, self._at)
        self._at += len(sign) if here else 0
        return here

    def _take(self, sign: str) -> None:
        self._skip(SPACES)
        self._at += len(sign)


def _unquoted(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0")))
