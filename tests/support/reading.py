"""What tests of streams share: reading them, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from racing import DEADLINE

T = TypeVar("T")


async def read(stream: AsyncIterator[T], count: int) -> list[T]:
    """The next so many."""
    async with asyncio.timeout(DEADLINE):
        return [await anext(stream) for _ in range(count)]


async def read_all(stream: AsyncIterator[T]) -> list[T]:
    """All until it ends."""
    async with asyncio.timeout(DEADLINE):
        return [each async for each in stream]
