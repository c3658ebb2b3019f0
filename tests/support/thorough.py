"""How much is played of what could be played for ever: all where real services are on, a share elsewhere."""

from __future__ import annotations

from typing import Final

SHARE: Final = 4

in_full = True
"""``tests/conftest.py`` turns it off where ``--real-services`` is not given, before any test is imported."""


def part_of(whole: int) -> int:
    """*whole* where all is to be played, else the share of it that is played each time."""
    return whole if in_full else -(-whole // SHARE)
