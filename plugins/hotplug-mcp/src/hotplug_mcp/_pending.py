"""Questions that were put to a client which comes back with the answer in another request."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hotplug_mcp._answers import Question

__all__ = ["Pending"]

MOST: Final = 64
LIFETIME: Final = 300.0  # seconds, as the approval itself


class Pending:
    """Questions by what the client must bring back: each is taken once, old ones give way to new ones."""

    def __init__(self, most: int = MOST, lifetime: float = LIFETIME) -> None:
        self._most = most
        self._lifetime = lifetime
        self._asked: dict[str, tuple[float, str, Question]] = {}

    def keep(self, name: str, question: Question) -> str:
        """Remember that *question* was asked about a call of *name*; what to bring back."""
        while len(self._asked) >= self._most:
            del self._asked[next(iter(self._asked))]
        state = secrets.token_urlsafe(24)
        self._asked[state] = (time.monotonic() + self._lifetime, name, question)
        return state

    def take(self, name: str, state: str) -> Question | None:
        """The question that *state* stands for, if it was about *name* and is not too old."""
        deadline, asked, question = self._asked.pop(state, (0.0, "", None))
        return question if asked == name and time.monotonic() < deadline else None
