"""Between grpc and the verbs: who calls, what is raised, how a call ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

from hotplug.errors import BrokerError, InvalidRequest, Outcome
from hotplug_broker_grpc._calls import REQUEST_ID
from hotplug_broker_grpc._codec import BadMessageError
from hotplug_broker_grpc._errors import status_of
from hotplug_broker_grpc._wire import StatusCode, grpc, reflection
from hotplug_broker_grpc.stubs.broker_pb2_grpc import METHODS, SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hotplug_broker_grpc._calls import Call, Counter
    from hotplug_broker_grpc._verbs import Verbs
    from hotplug_broker_grpc._wire import Context
    from hotplug_broker_grpc.stubs.broker_pb2_grpc import Method

__all__ = ["Reflection", "handlers"]

_log = logging.getLogger("hotplug.brokers.grpc")


def handlers(verbs: Verbs, counter: Counter) -> Any:
    """The service, for ``server.add_generic_rpc_handlers``."""
    return grpc.method_handlers_generic_handler(
        SERVICE, {name: _handler(name, method, verbs, counter) for name, method in METHODS.items()}
    )


def _handler(name: str, method: Method, verbs: Verbs, counter: Counter) -> Any:
    verb = getattr(verbs, _lowered(name))
    make = grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
    border = _Border(name, verb, counter)
    return make(
        border.many if method.streams else border.one,
        request_deserializer=method.asked.FromString,
        response_serializer=method.answer.SerializeToString,
    )


def _lowered(name: str) -> str:
    """``PlaceOrder`` → ``place_order``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class _Border:
    """One method as grpc calls it; what the gateway raises ends the call, with all that it says."""

    def __init__(self, name: str, verb: Any, counter: Counter) -> None:
        self._name: Final = name
        self._verb: Final = verb
        self._counter: Final = counter

    async def one(self, request: Any, context: Context) -> Any:
        """Answer once."""
        call: Call | None = None
        try:
            call = self._counter.call(request, context)
            answer = await self._verb(call, request)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the border to the gateway
            return await self._end(error, call, context)
        if call.given_id is not None:
            context.set_trailing_metadata(_trailers(call))
        return answer

    async def many(self, request: Any, context: Context) -> None:
        """Answer as often as there is something."""
        call: Call | None = None
        try:
            call = self._counter.call(request, context)
            answers = await self._verb(call, request)
            await _write_all(answers, context)
        except _GoneError:
            return
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the border to the gateway
            await self._end(error, call, context)
            return
        if call.given_id is not None:
            context.set_trailing_metadata(_trailers(call))

    async def _end(self, error: BaseException, call: Call | None, context: Context) -> None:
        trailers = () if call is None else _trailers(call)
        if isinstance(error, BadMessageError):
            error = InvalidRequest(str(error), code="bad_message", outcome=Outcome.NOT_SENT)
        if isinstance(error, BrokerError):
            code, text, details = status_of(error)
            await context.abort(code, text, (*trailers, *details))
        # Whether anything was sent is not known, so nothing is said of it; nor is what went wrong in here.
        _log.error("%s failed", self._name, exc_info=error)
        await context.abort(StatusCode.INTERNAL, f"{self._name} failed unexpectedly", trailers)


class _GoneError(Exception):
    """Who asked is not there any more."""


async def _write_all(answers: Any, context: Context) -> None:
    """Write what a list or a stream gives."""
    if not isinstance(answers, AsyncGenerator):
        for answer in answers:
            await _write(answer, context)
        return
    stream = cast("AsyncGenerator[Any]", answers)
    async with aclosing(stream):
        async for answer in stream:
            await _write(answer, context)


async def _write(answer: Any, context: Context) -> None:
    try:
        await context.write(answer)
    except Exception as error:
        # grpc has no name for it: the line broke, or was hung up, while this was being sent.
        raise _GoneError from error


def _trailers(call: Call) -> tuple[tuple[str, str | bytes], ...]:
    return ((REQUEST_ID, call.request_id), *call.trailers)


# -- services that are not ours --------------------------------------------------------------------


_Servicer: Any = reflection.aio.ReflectionServicer


class Reflection(_Servicer):  # type: ignore[misc]
    """Tells what can be asked to those who may ask."""

    def __init__(self, names: Sequence[str], pool: Any, counter: Counter) -> None:
        _Servicer.__init__(self, names, pool=pool)
        self._counter: Final = counter

    async def ServerReflectionInfo(  # noqa: N802 - grpc's name
        self, request_iterator: Any, context: Context
    ) -> AsyncIterator[Any]:
        """Answer each question."""
        try:
            self._counter.caller(context.invocation_metadata() or ())
        except BrokerError as error:
            await context.abort(*status_of(error))
        async for answer in _Servicer.ServerReflectionInfo(self, request_iterator, context):
            yield answer
