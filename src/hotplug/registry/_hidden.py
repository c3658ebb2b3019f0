"""What an object holds and nobody reads by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["hide"]


def hide(cls: type[Any], slot: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any], None]]:
    """
    Take *slot* out of *cls*: from now on only the two functions returned read and write it.

    Objects hold it as any other, so that it lives and goes with them. But no attribute leads to it: who is
    handed such an object can pass it on, print it and look into it without coming to what is not theirs.
    (Python has no walls: code that means harm gets through, and belongs into another process.)
    """
    member: Any = vars(cls)[slot]
    delattr(cls, slot)
    return member.__get__, member.__set__
