"""The ground on which contract suites stand: claims are inherited, and none can be left out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterator

__all__ = ["Suite", "claim", "claim_type", "refused"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Suite:
    """
    A set of tests to inherit: subclass it, say what to test, and pytest runs them all.

    Whoever redefines an inherited test would promise less than the suite does, so that is a `TypeError`
    when the class is made (and a failing test, should it happen later).
    """

    time_limit: ClassVar[float] = 30.0
    """How many seconds one test may take before what it tests counts as hanging."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name, suite, culprit in _overridden(cls):
            raise TypeError(
                f"{culprit.__name__}.{name} overrides a test of {suite.__name__}: a suite is kept whole "
                f"(add tests under other names)"
            )

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What *coroutine* returns, on an event loop of its own; `TimeoutError` after `time_limit`."""

        async def limited() -> T:
            async with asyncio.timeout(self.time_limit):
                return await coroutine

        return asyncio.run(limited())

    def test_no_inherited_test_was_replaced(self) -> None:
        """Every test of the suite is the suite's own."""
        found = [f"{culprit.__name__}.{name}" for name, _, culprit in _overridden(type(self))]
        claim(not found, f"these override tests of a suite: {', '.join(found)}")


def claim(condition: object, otherwise: str) -> None:
    """Fail with the text *otherwise* unless *condition*; unlike ``assert``, also under ``python -O``."""
    if not condition:
        raise AssertionError(otherwise)


def claim_type(value: object, kind: type, what: str) -> None:
    """Fail unless *value*, which is *what*, is a *kind*."""
    claim(isinstance(value, kind), f"{what} must be a {kind.__name__}, not a {type(value).__name__}")


async def refused(attempt: Awaitable[object], error: type[E], doing: str) -> E:
    """The *error* that *attempt* raises; fails if it raises another one, or none."""
    try:
        result = await attempt
    except error as raised:
        return raised
    except Exception as other:
        raise AssertionError(
            f"{doing} must raise {error.__name__}, not {type(other).__name__}: {other}"
        ) from other
    raise AssertionError(f"{doing} must raise {error.__name__}, but it returned {result!r}")


def _overridden(cls: type) -> Iterator[tuple[str, type, type]]:
    """Tests that do not reach *cls* from the suite that made them: name, suite, and who is in between."""
    for suite in cls.__mro__[1:]:
        if not issubclass(suite, Suite):
            continue
        for name in vars(suite):
            first = next(each for each in cls.__mro__ if name in vars(each))
            if name.startswith("test_") and first is not suite:
                yield name, suite, first
