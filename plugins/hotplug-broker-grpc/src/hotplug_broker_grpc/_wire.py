"""The libraries on which this stands: the one place that imports them, and types for what they lack."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence

__all__ = [
    "CallError",
    "Channel",
    "Context",
    "DecodeError",
    "Metadata",
    "Reading",
    "Server",
    "StatusCode",
    "Streamed",
    "Unary",
    "aio",
    "descriptor_pool",
    "error_details_pb2",
    "grpc",
    "health",
    "health_pb2",
    "health_pb2_grpc",
    "reflection",
    "reflection_pb2",
    "reflection_pb2_grpc",
    "status_pb2",
]


def _untyped(name: str) -> Any:
    # They say nothing of their types; an import statement would let every checker complain of every use.
    return import_module(name)


grpc: Final = _untyped("grpc")
aio: Final = _untyped("grpc.aio")
health: Final = _untyped("grpc_health.v1.health")
health_pb2: Final = _untyped("grpc_health.v1.health_pb2")
health_pb2_grpc: Final = _untyped("grpc_health.v1.health_pb2_grpc")
reflection: Final = _untyped("grpc_reflection.v1alpha.reflection")
reflection_pb2: Final = _untyped("grpc_reflection.v1alpha.reflection_pb2")
reflection_pb2_grpc: Final = _untyped("grpc_reflection.v1alpha.reflection_pb2_grpc")
descriptor_pool: Final = _untyped("google.protobuf.descriptor_pool")
status_pb2: Final = _untyped("google.rpc.status_pb2")
error_details_pb2: Final = _untyped("google.rpc.error_details_pb2")

StatusCode: Final = grpc.StatusCode
CallError: Final = aio.AioRpcError
"""What a call raises that ended with any status but OK."""
DecodeError: Final = _untyped("google.protobuf.message").DecodeError
"""What is raised for bytes that are no message."""

Metadata = tuple[tuple[str, str | bytes], ...]

Asked = TypeVar("Asked", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Call(Protocol):
    """One call under way."""

    def cancel(self) -> bool: ...
    async def code(self) -> Any: ...
    async def trailing_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...


class Answering(Call, Protocol[Answer]):
    """A call with one answer."""

    def __await__(self) -> Generator[Any, None, Answer]: ...


class Reading(Call, Protocol[Answer]):
    """A call with many answers."""

    def __aiter__(self) -> AsyncIterator[Answer]: ...
    async def read(self) -> Answer: ...


class Unary(Protocol[Asked, Answer]):
    """A method with one answer."""

    def __call__(
        self, request: Asked, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Answering[Answer]: ...


class Streamed(Protocol[Asked, Answer]):
    """A method with many answers."""

    def __call__(
        self, request: Asked, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Reading[Answer]: ...


class Channel(Protocol):
    """A line to a server."""

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
    ) -> Any: ...
    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
    ) -> Any: ...
    async def close(self, grace: float | None = None) -> None: ...


class Context(Protocol):
    """What a handler knows of its call."""

    async def abort(self, code: Any, details: str = "", trailing_metadata: Metadata = ()) -> Any: ...
    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...
    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None: ...
    def time_remaining(self) -> float | None: ...
    async def write(self, message: Any) -> None: ...


class Server(Protocol):
    """A server."""

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None: ...
    def add_insecure_port(self, address: str) -> int: ...
    def add_secure_port(self, address: str, credentials: Any) -> int: ...
    def start(self) -> Awaitable[None]: ...
    def stop(self, grace: float | None) -> Awaitable[None]: ...
