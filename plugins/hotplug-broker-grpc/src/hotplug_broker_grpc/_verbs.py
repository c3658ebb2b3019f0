"""What a server does for each method: the message in, the gateway's verb, the message out."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from hotplug.errors import BrokerError, BrokerUnavailable, OrderNotFound
from hotplug.market import CancelScope, Capability, OrderType, TimeInForce
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc._batches import Batches
from hotplug_broker_grpc._codec import from_micros, to_micros
from hotplug_broker_grpc._errors import detail_of
from hotplug_broker_grpc._fences import Fences
from hotplug_broker_grpc._principals import Role
from hotplug_broker_grpc.stubs import broker_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence

    from hotplug.brokers import IBrokerGateway
    from hotplug.market import BrokerEvent, Order, OrderAck, Quote, RateLimit
    from hotplug_broker_grpc._calls import Call, Counter
    from hotplug_broker_grpc._codec import Codec
    from hotplug_broker_grpc._wire import Metadata

__all__ = ["LASTING", "Verbs"]

T = TypeVar("T")
LASTING: Final = "journal:"
"""What the name of a memory begins with that outlives the server's process."""
MOST_EVENTS: Final = 256
MOST_QUOTES: Final = 1024
HEARTBEATS: Final = (0.05, 1.0, 60.0)
"""The shortest, the usual and the longest pause between two heartbeats, in seconds."""


class Verbs:
    """The methods by name. Lives on the server's loop."""

    def __init__(self, counter: Counter) -> None:
        self._counter: Final = counter
        self._fences: Final = Fences()
        self._memory: Final = uuid4().hex
        self._sends: Final[set[asyncio.Task[Any]]] = set()
        self._streams: Final[set[Batches[Any]]] = set()
        self._stopping = False

    # -- itself ------------------------------------------------------------------------------------

    async def get_info(self, call: Call, request: pb.InfoRequest) -> pb.Info:  # noqa: ARG002
        """How the gateway is, and what may be asked of it."""
        gateway, info = call.gateway, call.gateway.info
        capabilities = info.capabilities - {Capability.SIMULATED}
        return pb.Info(
            broker_id=call.broker_id,
            type=info.type,
            environment=0 if info.environment is None else convert.ENVIRONMENTS.encode(info.environment),
            status=convert.GATEWAY_STATES.encode(info.status),
            health=convert.HEALTH_STATES.encode(info.health),
            rate_limit_usage=info.rate_limit_usage,
            generation=info.generation,
            distribution=info.distribution,
            version=info.version,
            capabilities=sorted(map(convert.CAPABILITIES.encode, capabilities)),
            masked_accounts=info.accounts if call.accounts is None else (),
            since=None if info.since is None else to_micros(info.since),
            last_error=info.last_error if call.accounts is None else None,
            accounts=sorted(call.accounts or ()),
            all_accounts=call.accounts is None,
            **self._terms(gateway),
        )

    def _terms(self, gateway: IBrokerGateway) -> dict[str, Any]:
        """What its orders may be; all that there is, where the gateway does not say."""
        types = getattr(gateway, "order_types", frozenset(OrderType))
        tifs = getattr(gateway, "tifs", frozenset(TimeInForce))
        return {
            "order_types": sorted(map(convert.ORDER_TYPES.encode, types)),
            "tifs": sorted(map(convert.TIFS.encode, tifs)),
            "max_client_id_length": getattr(gateway, "max_client_id_length", 0),
            "client_id_alphabet": getattr(gateway, "client_id_alphabet", None),
            "default_account": _default_account(gateway),
            "memory": self._memory_of(gateway),
        }

    def _memory_of(self, gateway: IBrokerGateway) -> str:
        # A journal in a file outlives us; what is only in memory is gone with this process.
        log = getattr(getattr(gateway, "book", None), "log", None)
        path = getattr(getattr(log, "journal", None), "path", None)
        return self._memory if path is None else f"{LASTING}{path.name}"

    async def get_health(self, call: Call, request: pb.HealthRequest) -> pb.HealthReport:  # noqa: ARG002
        """How the gateway is, looked at now."""
        return convert.HEALTH.encode(await call.gateway.health(deadline=call.deadline))

    async def get_rate_limits(self, call: Call, request: pb.RateLimitsRequest) -> pb.RateLimits:  # noqa: ARG002
        """How full its windows are."""
        limits = await call.gateway.rate_limits(deadline=call.deadline)
        return pb.RateLimits(items=map(convert.RATE_LIMIT.encode, limits))

    # -- orders ------------------------------------------------------------------------------------

    async def place_order(self, call: Call, request: pb.PlaceOrderRequest) -> pb.OrderAck:
        """Place an order."""
        call.needs(Role.TRADE)
        wanted = convert.REQUEST.decode(request.request)
        name = (call.broker_id, call.principal.user, wanted.client_order_id)

        async def send() -> OrderAck:
            with self._fences.sending(name, request.session, request.call):
                return await call.desk.place_for(call.seat, wanted, call.deadline)

        return convert.ACK.encode(await self._sent(call, send()))

    async def cancel_order(self, call: Call, request: pb.CancelOrderRequest) -> pb.Order:
        """Cancel an order."""
        call.needs(Role.TRADE)
        ref = convert.REF.decode(request.ref)
        return convert.ORDER.encode(
            await self._sent(call, call.desk.cancel_for(call.seat, ref, call.deadline))
        )

    async def modify_order(self, call: Call, request: pb.ModifyOrderRequest) -> pb.Order:
        """Change an order."""
        call.needs(Role.TRADE)
        ref, change = convert.REF.decode(request.ref), convert.CHANGE.decode(request.change)
        name = (call.broker_id, call.principal.user, ref.client_order_id or "")

        async def send() -> Order:
            with self._fences.sending(name, request.session, request.call):
                return await call.desk.modify_for(call.seat, ref, change, call.deadline)

        return convert.ORDER.encode(await self._sent(call, send()))

    async def cancel_all(self, call: Call, request: pb.CancelAllRequest) -> pb.CancelResults:
        """Cancel what is open."""
        scope = convert.CANCEL_SCOPES.decode(request.scope)
        call.needs(Role.TRADE if scope is CancelScope.OWN else Role.ADMIN)
        results = await self._sent(call, call.desk.cancel_all_for(call.seat, scope, call.deadline))
        return pb.CancelResults(items=map(_result, results))

    async def get_order(self, call: Call, request: pb.GetOrderRequest) -> pb.Order:
        """Tell how an order stands."""
        ref = convert.REF.decode(request.ref)
        name = (call.broker_id, call.principal.user, ref.client_order_id or "")
        if request.session and ref.client_order_id:
            self._fences.ask(name, request.session, request.call)
        try:
            order = await call.desk.get_order_for(call.seat, ref, call.deadline)
        except OrderNotFound:
            # What got through before the fence may make it yet.
            if not await self._fences.landed(name):
                raise
            order = await call.desk.get_order_for(call.seat, ref, call.deadline)
        return convert.ORDER.encode(order)

    async def _sent(self, call: Call, send: Coroutine[Any, Any, T]) -> T:
        """
        Do *send* to its end, also where who asked hangs up.

        A gateway on the template sees to that itself.
        """
        try:
            if call.is_detached:
                return await send
            task = asyncio.get_running_loop().create_task(send)
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)
            return await asyncio.shield(task)
        finally:
            call.trailers = await _usage(call)

    def stop(self) -> None:
        """End the streams: they would not end by themselves."""
        self._stopping = True
        for stream in self._streams:
            stream.stop()

    async def finish(self, grace: float) -> None:
        """Wait for what has been sent to gateways."""
        if self._sends:
            await asyncio.wait(set(self._sends), timeout=grace)

    # -- lists -------------------------------------------------------------------------------------

    async def list_open_orders(self, call: Call, request: pb.ListRequest) -> Iterator[pb.Orders]:  # noqa: ARG002
        """Every open order."""
        orders = await call.desk.open_orders_for(call.seat, call.deadline)
        return _listed(orders, convert.ORDER, pb.Orders)

    async def list_fills(self, call: Call, request: pb.ListFillsRequest) -> Iterator[pb.Fills]:
        """What was traded."""
        since = from_micros(request.since) if request.HasField("since") else None
        return _listed(await call.desk.fills_for(call.seat, since, call.deadline), convert.FILL, pb.Fills)

    async def list_positions(self, call: Call, request: pb.ListRequest) -> Iterator[pb.Positions]:  # noqa: ARG002
        """What is held."""
        positions = await call.desk.positions_for(call.seat, call.deadline)
        return _listed(positions, convert.POSITION, pb.Positions)

    async def list_balances(self, call: Call, request: pb.ListRequest) -> Iterator[pb.Balances]:  # noqa: ARG002
        """The money."""
        balances = await call.desk.balances_for(call.seat, call.deadline)
        return _listed(balances, convert.BALANCE, pb.Balances)

    async def get_snapshot(self, call: Call, request: pb.ListRequest) -> Iterator[pb.Snapshot]:  # noqa: ARG002
        """Everything at one instant."""
        return convert.snapshot_parts(await call.desk.snapshot_for(call.seat, call.deadline))

    # -- the market --------------------------------------------------------------------------------

    async def get_instrument(self, call: Call, request: pb.SymbolRequest) -> pb.Instrument:
        """How a symbol is traded."""
        found = await call.gateway.get_instrument(request.symbol, deadline=call.deadline)
        return convert.INSTRUMENT.encode(found)

    async def get_quote(self, call: Call, request: pb.SymbolRequest) -> pb.Quote:
        """The best bid and ask."""
        return convert.QUOTE.encode(await call.gateway.get_quote(request.symbol, deadline=call.deadline))

    async def list_bars(self, call: Call, request: pb.ListBarsRequest) -> Iterator[pb.Bars]:
        """Bars of the past."""
        bars = await call.gateway.get_bars(
            request.symbol,
            from_micros(request.start),
            from_micros(request.end),
            timedelta(microseconds=request.step),
            deadline=call.deadline,
        )
        return _listed(bars, convert.BAR, pb.Bars)

    # -- streams -----------------------------------------------------------------------------------

    async def stream_events(
        self, call: Call, request: pb.StreamEventsRequest
    ) -> AsyncIterator[pb.EventBatch]:
        """What happens, in batches; at first where it begins."""
        after = request.after if request.HasField("after") else None
        source = call.desk.events_for(call.seat, after)
        return self._events(self._batches(call, source, MOST_EVENTS, request.heartbeat), source, after)

    async def _events(
        self, batches: AsyncGenerator[Sequence[BrokerEvent]], source: object, after: str | None
    ) -> AsyncIterator[pb.EventBatch]:
        async with aclosing(batches):
            cursor: str | None = getattr(source, "cursor", after)
            yield pb.EventBatch(cursor=cursor)
            async for batch in batches:
                # The stream itself may be farther: what it left out was for others.
                cursor = getattr(source, "cursor", batch[-1].cursor if batch else cursor)
                messages = [message for event in batch for message in convert.encode_event(event)]
                *early, last = convert.in_parts(messages, MOST_EVENTS)
                for part in early:
                    yield pb.EventBatch(events=part)
                yield pb.EventBatch(events=last, cursor=cursor)

    async def stream_quotes(
        self, call: Call, request: pb.StreamQuotesRequest
    ) -> AsyncIterator[pb.QuoteBatch]:
        """The newest quotes, in batches."""
        source = call.gateway.stream_quotes(tuple(request.symbols))
        return self._quotes(self._batches(call, source, MOST_QUOTES, request.heartbeat))

    async def _quotes(self, batches: AsyncGenerator[Sequence[Quote]]) -> AsyncIterator[pb.QuoteBatch]:
        async with aclosing(batches):
            yield pb.QuoteBatch()
            async for batch in batches:
                yield convert.encode_quotes(batch)

    async def _batches(
        self, call: Call, source: AsyncIterator[T], most: int, heartbeat: float
    ) -> AsyncGenerator[Sequence[T]]:
        """Batches of *source*, empty ones as heartbeats; until it ends, or we do, or the caller's rights."""
        pause = _pause(heartbeat)
        batches = Batches(source, most)
        self._streams.add(batches)
        try:
            while (batch := await batches.next(pause, time.monotonic)) is not None:
                self._counter.look_again(call)
                yield batch
        finally:
            self._streams.discard(batches)
            await batches.close()
        if self._stopping:
            raise BrokerUnavailable("the server is stopping", code="stopping", retryable=True)


def _default_account(gateway: IBrokerGateway) -> str | None:
    """The account of orders that name none: what the gateway says, or the only one of a view."""
    accounts: Sequence[str] = getattr(gateway, "accounts", ())
    only = accounts[0] if len(accounts) == 1 else None
    default: str | None = getattr(gateway, "default_account", only)
    return default


def _pause(asked: float) -> float:
    """Between two heartbeats."""
    shortest, usual, longest = HEARTBEATS
    return min(max(asked, shortest), longest) if asked > 0 else usual


def _listed(records: Sequence[Any], codec: Codec[Any, Any], message: Any) -> Iterator[Any]:
    for part in convert.in_parts(records):
        yield message(items=map(codec.encode, part))


def _result(result: Any) -> pb.CancelResult:
    if isinstance(result, BrokerError):
        return pb.CancelResult(error=detail_of(result))
    return pb.CancelResult(order=convert.ORDER.encode(result))


async def _usage(call: Call) -> Metadata:
    """The fullest window of the gateway, as headers that others use as well."""
    if not call.is_detached:
        return ()  # who knows what asking it costs
    limits: Sequence[RateLimit] = await call.gateway.rate_limits()
    fullest = max(limits, key=_fullness, default=None)
    if fullest is None:
        return ()
    return (
        ("x-ratelimit-name", fullest.name),
        ("x-ratelimit-limit", str(fullest.limit)),
        ("x-ratelimit-remaining", str(fullest.remaining)),
        ("x-ratelimit-reset", f"{fullest.window:g}"),
    )


def _fullness(limit: RateLimit) -> float:
    return limit.used / limit.limit if limit.limit else 1.0
