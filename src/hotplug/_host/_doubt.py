"""A configuration file that is empty, cut off or gone may be in the middle of being written."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Doubt", "MOMENT"]

MOMENT: Final = 0.5
"""Seconds that it has to stay so before it is believed."""


class Doubt:
    """How long a file has been in a state in which editors leave it for an instant. One look at a time."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def left(self) -> float | None:
        """In how many seconds it is to be looked at again; None where there is no doubt."""
        return None if self._since is None else max(0.0, self._since + MOMENT - time.monotonic())

    def lasts(self) -> bool:
        """The file is in such a state; whether it is too early to believe it."""
        if self._since is None:
            self._since = time.monotonic()
        if not self.left:
            self._since = None
            return False
        return True

    def is_over(self) -> None:
        """The file is as somebody wants it."""
        self._since = None
