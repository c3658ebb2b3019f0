"""The client's line to a server: how it is opened, how calls are made on it, how its death is noticed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakSet

from hotplug.errors import AuthenticationError, BrokerUnavailable, ConfigError
from hotplug_broker_grpc._calls import REQUEST_ID
from hotplug_broker_grpc._errors import error_from
from hotplug_broker_grpc._places import Place
from hotplug_broker_grpc._wire import CallError, aio, grpc
from hotplug_broker_grpc.stubs.broker_pb2_grpc import Stub

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hotplug_broker_grpc._wire import Channel, Metadata, Reading, Streamed, Unary

__all__ = ["Credentials", "Line", "Stream"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST_CALLS: Final = 500
"""Calls at once; what is more waits here. A server with its usual settings cancels some above 1000."""
PARTING: Final = 1.0
OPTIONS: Final = (
    # A server that hangs answers no ping. Without the last of these, grpc notices after a minute.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Nothing is sent twice by anybody but us, and a service config cannot say otherwise.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # A connection of our own: that of another gateway may be closing.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Orders do not go through a proxy that happens to be in the environment.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows, and what it demands: files are in PEM."""

    token: str | None = None
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    @property
    def metadata(self) -> Metadata | None:
        """What goes with each call."""
        return None if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def channel(self, target: str) -> Channel:
        """A channel to *target*; `AuthenticationError` where others could read the token on its way."""
        options = list(OPTIONS)
        if not self.tls:
            if self.token is not None and not _is_private(target):
                raise AuthenticationError(
                    f"the token is not sent to {target} in the clear: set tls = true", code="clear_text"
                )
            channel: Channel = aio.insecure_channel(target, options=options)
            return channel
        if self.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.server_name))  # type: ignore[arg-type]
        files = [None if file is None else _read(file) for file in (self.ca, self.key, self.cert)]
        secure: Channel = aio.secure_channel(target, grpc.ssl_channel_credentials(*files), options=options)
        return secure


def _is_private(target: str) -> bool:
    try:
        place = Place.of(target)
    except ConfigError:
        return False
    return place.path is not None or place.loopback


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AuthenticationError(f"{file} cannot be read: {error.strerror}", code="tls_file") from error


class Line:
    """An open channel. It belongs to the loop on which it was made; close it there."""

    def __init__(self, target: str, credentials: Credentials, patience: float) -> None:
        self.target: Final = target
        self._channel: Final = credentials.channel(target)
        self._metadata: Final = credentials.metadata
        self._patience: Final = patience
        self._room: Final = asyncio.Semaphore(MOST_CALLS)
        self._over: Final = asyncio.Event()
        self._streams: Final[WeakSet[Stream[Any]]] = WeakSet()
        self.stub: Final = Stub(self._channel)

    async def ask(
        self,
        method: Unary[Asked, Answer],
        request: Asked,
        doing: str,
        *,
        patience: float | None = None,
        call_id: str | None = None,
    ) -> Answer:
        """One answer, within *patience* seconds; the `BrokerError` that the call's end means."""
        limit = self._patience if patience is None else patience
        async with self._room:
            try:
                return await method(request, timeout=limit, metadata=self._with(call_id))
            except CallError as failure:
                raise error_from(failure, doing) from failure

    async def read(self, method: Streamed[Asked, Answer], request: Asked, doing: str) -> list[Answer]:
        """All answers of a list that comes in parts."""
        async with self._room:
            try:
                call = method(request, timeout=self._patience, metadata=self._with(None))
                return [part async for part in call]
            except CallError as failure:
                raise error_from(failure, doing) from failure

    def follow(
        self, method: Streamed[Asked, Answer], request: Asked, doing: str, silence: float
    ) -> Stream[Answer]:
        """A stream without an end, which says something every *silence* seconds at least."""
        stream = Stream(method(request, metadata=self._with(None)), doing, silence)
        self._streams.add(stream)
        return stream

    def _with(self, call_id: str | None) -> Metadata | None:
        if call_id is None:
            return self._metadata
        return (*(self._metadata or ()), (REQUEST_ID, call_id))

    async def close(self, readers: Iterable[asyncio.Task[Any]] = ()) -> None:
        """
        Hang up; calls under way end, and *readers* of streams with them.

        These are not cancelled but left to hear the end of their streams: grpc tells it from a thread of its
        own, and where nobody is there any more to hear it, other event loops stumble over it.
        """
        self._over.set()
        for stream in tuple(self._streams):
            stream.close()
        reading = [task for task in readers if task is not asyncio.current_task()]
        try:
            if reading:
                await asyncio.wait(reading, timeout=PARTING)
        finally:
            for task in reading:
                task.cancel()
            await self._channel.close(None)

    async def is_over(self, within: float) -> bool:
        """Whether it is closed, or will be *within* so many seconds, which this waits for."""
        try:
            async with asyncio.timeout(within):
                return await self._over.wait()
        except TimeoutError:
            return False


class Stream(Generic[Answer]):
    """Answers that go on; whatever ends them is an error."""

    def __init__(self, call: Reading[Answer], doing: str, silence: float) -> None:
        self._call: Final = call
        self._doing: Final = doing
        self._silence: Final = silence
        self.closed = False

    async def next(self) -> Answer:
        """The next answer; the `BrokerError` that the end means, or that nothing was heard for too long."""
        try:
            async with asyncio.timeout(self._silence):
                answer = await self._call.read()
        except asyncio.CancelledError:
            if self.closed and not _is_cancelled():
                raise BrokerUnavailable(f"{self._doing}: it was closed", code="closed") from None
            raise
        except TimeoutError as error:
            why = f"{self._doing}: nothing was heard for {self._silence:g} s"
            raise BrokerUnavailable(why, code="silent", retryable=True) from error
        except CallError as failure:
            raise error_from(failure, self._doing) from failure
        if answer is aio.EOF:
            raise BrokerUnavailable(f"{self._doing}: the server ended it", code="ended", retryable=True)
        return answer

    def close(self) -> None:
        """Hear no more; who waits for the next answer is told so."""
        self.closed = True
        self._call.cancel()


def _is_cancelled() -> bool:
    """Whether it is the running task that was cancelled; grpc raises the same for a call that was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
