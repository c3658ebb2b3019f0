"""Quotes as they come from a server; whatever ends their stream, it is opened again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NoReturn

from hotplug.errors import BrokerError
from hotplug_broker_grpc._codec import BadMessageError
from hotplug_broker_grpc._convert import decode_quotes, in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hotplug.market import Quote
    from hotplug_broker_grpc._line import Line, Stream
    from hotplug_broker_grpc.stubs import broker_pb2 as pb

__all__ = ["follow_quotes"]

_log = logging.getLogger("hotplug.brokers.grpc")
PAUSES: Final = (0.2, 30.0)
"""The first and the longest pause before it is opened again."""
AT_ONCE: Final = 64
"""Then readers get their turn: what they have not read by then is replaced by what comes next."""


async def follow_quotes(
    line: Line, request: pb.StreamQuotesRequest, silence: float, hear: Callable[[Sequence[Quote]], None]
) -> None:
    """Let *hear* have the quotes that *request* asks for, until this is cancelled or the line closed."""
    pause, longest = PAUSES
    while True:
        stream = line.follow(line.stub.StreamQuotes, request, "following quotes", silence)
        try:
            await _pass_on(await stream.next(), hear)
            pause = PAUSES[0]
            await _pass_on_all(stream, hear)
        except (BrokerError, BadMessageError) as error:
            if not stream.closed:
                _log.warning("%s; trying again in %.1f s", error, pause)
        finally:
            stream.close()
        if await line.is_over(within=pause):
            return
        pause = min(2 * pause, longest)


async def _pass_on_all(stream: Stream[pb.QuoteBatch], hear: Callable[[Sequence[Quote]], None]) -> NoReturn:
    while True:
        await _pass_on(await stream.next(), hear)


async def _pass_on(batch: pb.QuoteBatch, hear: Callable[[Sequence[Quote]], None]) -> None:
    for quotes in in_parts(decode_quotes(batch), AT_ONCE):
        hear(quotes)
        await asyncio.sleep(0)
