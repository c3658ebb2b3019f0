"""The gateway: a server's broker, as if it were here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path  # noqa: TC003 - settings are converted by these annotations
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import uuid4

from hotplug.brokers import BrokerGateway
from hotplug.errors import BrokerError, BrokerUnavailable, OrderNotFound
from hotplug.market import (
    Capability,
    ConnectionLost,
    Environment,
    GatewayStatus,
    Heartbeat,
    Order,
    OrderRef,
    OrderStatus,
    Snapshot,
    StatusChange,
)
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc._codec import BadMessageError, to_micros
from hotplug_broker_grpc._line import Credentials, Line, Stream
from hotplug_broker_grpc._quotes import follow_quotes
from hotplug_broker_grpc._remembering import Remembering, name_of
from hotplug_broker_grpc.stubs import broker_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hotplug.market import (
        Balance,
        Bar,
        BrokerEvent,
        Instrument,
        OrderChange,
        OrderRequest,
        Position,
        Quote,
    )
    from hotplug_broker_grpc._remembering import Name
    from hotplug_broker_grpc._wire import Streamed

__all__ = ["GrpcBroker"]

SILENCE: Final = 2.5
"""Heartbeats that may be missing before the line counts as dead."""
UP: Final = frozenset({GatewayStatus.READY, GatewayStatus.DEGRADED})
GONE: Final = frozenset({GatewayStatus.RECONNECTING, GatewayStatus.DISCONNECTED, GatewayStatus.FAILED})
UNSETTLED: Final = frozenset({OrderStatus.REJECTED, OrderStatus.UNKNOWN})
SHORTEST: Final = 1.0
"""Seconds that an order's call may take, however little time its sender has."""
Answer = TypeVar("Answer")


class GrpcBroker(BrokerGateway):
    """
    The broker *broker* (the only one, if left out) of the hotplug server at *target*.

    *token* says who we are, *accounts* narrows what that may use. *tls* makes the line private, checked by
    *ca* (else by the system's authorities); *cert* and *key* are shown to servers that ask, *server_name* is
    who the server must be if not *target*. *heartbeat* is how often, in seconds, it says that it is alive,
    *timeout* how long one call may take.

    What it may do and how real it is, is the server's to say; until it has said so, it counts as live.
    """

    broker_type = "grpc"
    environment = Environment.LIVE
    capabilities = frozenset({Capability.STREAM})
    # The server promises that what it does not know when it is asked will not arrive any more.
    not_found_final_after = 0.0

    def __init__(
        self,
        *,
        target: str,
        broker: str = "",
        token: str | None = None,
        accounts: tuple[str, ...] = (),
        tls: bool = False,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        server_name: str | None = None,
        heartbeat: float = 1.0,
        timeout: float = 10.0,
        broker_id: str | None = None,
    ) -> None:
        super().__init__(broker_id=broker_id)
        self.default_deadline = timeout
        self.stale_after = 5 * heartbeat
        self._target: Final = target
        self._remote: Final = broker
        self._asked_accounts: Final = accounts
        self._credentials: Final = Credentials(
            token=token, tls=tls, ca=ca, cert=cert, key=key, server_name=server_name
        )
        self._heartbeat: Final = heartbeat
        self._line_up: Line | None = None
        self._following: asyncio.Task[None] | None = None
        self._quoting: asyncio.Task[None] | None = None
        self._cursor: str | None = None
        # Which calls are older than which, and what the server knew when they were made: see `_query`.
        self._session: Final = uuid4().hex
        self._calls = 0
        self._memory: Final = Remembering()
        self._unanswered: Final[dict[Name, Order | None]] = {}

    # -- life --------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        line = self._line_up = Line(self._target, self._credentials, self.default_deadline)
        info = await line.ask(line.stub.GetInfo, pb.InfoRequest(**self._scope()), "connecting")
        status = convert.GATEWAY_STATES.decode(info.status)
        if status not in UP:
            raise BrokerUnavailable(f"{info.broker_id} is {status} over there", code="remote", retryable=True)
        self._adopt(info)
        events, joiner = self._events(line), convert.Joiner()
        # The first batch says that nothing is missed from here on.
        self._hear_batch(await events.next(), joiner)
        self._following = asyncio.create_task(self._follow(events, joiner), name=f"{self.broker_id}: events")

    def _adopt(self, info: pb.Info) -> None:
        """Be what the server says that its broker is."""
        self.environment = convert.ENVIRONMENTS.decode(info.environment)
        self.capabilities = frozenset(map(convert.CAPABILITIES.decode, info.capabilities))
        self.order_types = frozenset(map(convert.ORDER_TYPES.decode, info.order_types))
        self.tifs = frozenset(map(convert.TIFS.decode, info.tifs))
        self.accounts = tuple(info.accounts)
        if info.max_client_id_length:
            self.max_client_id_length = info.max_client_id_length
        self.client_id_alphabet = info.client_id_alphabet if info.HasField("client_id_alphabet") else None
        if len(info.accounts) == 1:
            [self.default_account] = info.accounts
        elif info.HasField("default_account"):
            self.default_account = info.default_account
        self._memory.now = info.memory

    async def _disconnect(self) -> None:
        line, self._line_up = self._line_up, None
        tasks = [task for task in (self._following, self._quoting) if task is not None]
        self._following = self._quoting = None
        if line is not None:
            await line.close(tasks)

    @property
    def _line_(self) -> Line:
        line = self._line_up
        if line is None:
            raise BrokerUnavailable(
                f"{self.broker_id} is not connected", code="not_connected", outcome="NOT_SENT"
            )
        return line

    def _scope(self, account: str | None = None) -> dict[str, Any]:
        """What each request says of broker and accounts."""
        accounts = self._asked_accounts if account is None else (account,)
        return {"broker_id": self._remote, "accounts": accounts}

    def _numbered(self) -> dict[str, Any]:
        self._calls += 1
        return {"session": self._session, "call": self._calls}

    # -- orders ------------------------------------------------------------------------------------

    async def _place(self, order: Order) -> str | None:
        line, name = self._line_, name_of(order)
        request = pb.PlaceOrderRequest(
            # An order has all fields of the request that it was.
            request=convert.REQUEST.encode(cast("OrderRequest", order)),
            **self._scope(),
            **self._numbered(),
        )
        self._memory.sending(order)
        self._unanswered[name] = None
        try:
            ack = await line.ask(
                line.stub.PlaceOrder,
                request,
                f"placing {name[1]!r}",
                patience=self._patience(order),
                call_id=order.attribution.request or uuid4().hex,
            )
        except BrokerError as error:
            if error.is_explicit:
                self._memory.answered(order)
            raise
        finally:
            if (later := self._unanswered.pop(name, None)) is not None:
                asyncio.get_running_loop().call_soon(self.report, later)
        self._memory.answered(order)
        return ack.order_id if ack.HasField("order_id") else None

    def _patience(self, order: Order) -> float:
        """
        How long the call that places *order* may take.

        As long as who placed it waits: the sooner it is given up, the sooner it is asked for. But who waits
        for a moment only does not cut short what is on its way.
        """
        held = self.book.get(order.account or self.default_account, order.client_order_id or "")
        wanted = self.default_deadline if held is None else held.until - time.monotonic()
        return max(wanted, min(SHORTEST, self.default_deadline))

    async def _cancel(self, order: Order) -> None:
        line = self._line_
        request = pb.CancelOrderRequest(ref=convert.REF.encode(order.ref), **self._scope(order.account))
        self._hear_order(
            convert.ORDER.decode(
                await line.ask(line.stub.CancelOrder, request, f"cancelling {order.client_order_id!r}")
            )
        )

    async def _modify(self, order: Order, change: OrderChange) -> str | None:
        line = self._line_
        request = pb.ModifyOrderRequest(
            ref=convert.REF.encode(order.ref),
            change=convert.CHANGE.encode(change),
            **self._scope(order.account),
            **self._numbered(),
        )
        changed = await line.ask(line.stub.ModifyOrder, request, f"changing {order.client_order_id!r}")
        return changed.order_id if changed.HasField("order_id") else None

    async def _query(self, ref: OrderRef) -> Order:
        line, mine = self._line_, self._own(ref.client_order_id)
        scope = self._scope(mine[0].account if len(mine) == 1 else None)
        request = pb.GetOrderRequest(ref=convert.REF.encode(ref), **scope, **self._numbered())
        try:
            order = convert.ORDER.decode(await line.ask(line.stub.GetOrder, request, f"asking for {ref}"))
        except OrderNotFound:
            if any(map(self._memory.may_lack, mine)):
                why = f"{self.broker_id}: the server knows no {ref}, but it may have forgotten it"
                raise BrokerUnavailable(why, code="forgotten") from None
            raise
        if order.status is OrderStatus.DENIED:
            # Refused over there before it was sent: for us that is as if it had never arrived.
            raise OrderNotFound(f"{ref} was refused: {order.reason}", code="denied", outcome="REJECTED")
        if order.status is OrderStatus.PENDING_NEW:
            return replace(order, status=OrderStatus.UNKNOWN)  # they do not know yet either
        return order

    def _own(self, name: str | None) -> list[Order]:
        """The open orders of ours that are called *name*; several accounts may have one."""
        found = [] if name is None else self.book.named(name, None)
        return [held.order for held in found if held.is_own and held.is_open]

    # -- accounts ----------------------------------------------------------------------------------

    async def _snapshot(self) -> Snapshot:
        joiner = convert.Joiner()
        for part in await self._listed(self._line_.stub.GetSnapshot, "taking a snapshot"):
            if (snapshot := joiner.add(part)) is not None:
                orders = None if snapshot.orders is None else tuple(filter(self._is_news, snapshot.orders))
                return replace(snapshot, orders=orders)
        raise BrokerUnavailable(f"{self.broker_id}: the snapshot was cut off", code="bad_message")

    async def _positions(self) -> tuple[Position, ...]:
        parts = await self._listed(self._line_.stub.ListPositions, "asking for positions")
        return tuple(convert.POSITION.decode(each) for part in parts for each in part.items)

    async def _balances(self) -> tuple[Balance, ...]:
        parts = await self._listed(self._line_.stub.ListBalances, "asking for balances")
        return tuple(convert.BALANCE.decode(each) for part in parts for each in part.items)

    async def _listed(self, method: Streamed[pb.ListRequest, Answer], doing: str) -> list[Answer]:
        return await self._line_.read(method, pb.ListRequest(**self._scope()), doing)

    # -- the market --------------------------------------------------------------------------------

    async def _instrument(self, symbol: str) -> Instrument:
        line = self._line_
        request = pb.SymbolRequest(broker_id=self._remote, symbol=symbol)
        return convert.INSTRUMENT.decode(
            await line.ask(line.stub.GetInstrument, request, f"asking for {symbol!r}")
        )

    async def _quote(self, symbol: str) -> Quote:
        line = self._line_
        request = pb.SymbolRequest(broker_id=self._remote, symbol=symbol)
        return convert.QUOTE.decode(await line.ask(line.stub.GetQuote, request, f"a quote of {symbol!r}"))

    async def _bars(self, symbol: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Bar]:
        line = self._line_
        request = pb.ListBarsRequest(
            broker_id=self._remote,
            symbol=symbol,
            start=to_micros(start),
            end=to_micros(end),
            step=step // timedelta(microseconds=1),
        )
        parts = await line.read(line.stub.ListBars, request, f"asking for bars of {symbol!r}")
        return [convert.BAR.decode(each) for part in parts for each in part.items]

    async def _subscribe(self, symbols: frozenset[str]) -> None:
        line, before = self._line_, self._quoting
        self._quoting = None
        await _ended([] if before is None else [before])
        if symbols:
            request = pb.StreamQuotesRequest(
                broker_id=self._remote, symbols=sorted(symbols), heartbeat=self._heartbeat
            )
            work = follow_quotes(line, request, SILENCE * self._heartbeat, self._hear_quotes)
            self._quoting = asyncio.create_task(work, name=f"{self.broker_id}: quotes")

    def _hear_quotes(self, quotes: Sequence[Quote]) -> None:
        # What `report` does with a quote, but once for all of them: it is heard from, and each is put up.
        put = self.book.quotes.put
        for quote in quotes[:-1]:
            put(quote)
        for quote in quotes[-1:]:
            self.report(quote)

    # -- streams -----------------------------------------------------------------------------------

    def _events(self, line: Line) -> Stream[pb.EventBatch]:
        request = pb.StreamEventsRequest(after=self._cursor, heartbeat=self._heartbeat, **self._scope())
        return line.follow(line.stub.StreamEvents, request, "following events", SILENCE * self._heartbeat)

    async def _follow(self, events: Stream[pb.EventBatch], joiner: convert.Joiner) -> None:
        try:
            while True:
                self._hear_batch(await events.next(), joiner)
        except (BrokerError, BadMessageError) as error:
            if not events.closed:
                self.report(ConnectionLost(reason=str(error)))
        finally:
            events.close()

    def _hear_batch(self, batch: pb.EventBatch, joiner: convert.Joiner) -> None:
        if not batch.events:
            self.report(Heartbeat())
        for message in batch.events:
            event = convert.decode_event(message, joiner)
            if event is not None:
                self._hear_event(event)
        if batch.HasField("cursor"):
            self._cursor = batch.cursor

    def _hear_event(self, event: BrokerEvent) -> None:
        payload = event.payload
        match payload:
            case Order():
                self._hear_order(payload)
            case StatusChange():
                if payload.new in GONE:
                    why = f"over there it is {payload.new}: {payload.reason}"
                    self.report(ConnectionLost(reason=why))
            case Snapshot():
                pass  # it follows a gap, after which the template asks for one anyway
            case _:
                self.report(payload)

    def _is_news(self, order: Order) -> bool:
        """Whether it tells more than is known here."""
        if order.status is OrderStatus.PENDING_NEW:
            # That it is being sent over there settles no doubt of ours.
            return not any(mine.status is OrderStatus.UNKNOWN for mine in self._own(order.client_order_id))
        # What was denied never left the server; who placed it is told so.
        return order.status is not OrderStatus.DENIED

    def _hear_order(self, order: Order) -> None:
        name = name_of(order)
        if not self._is_news(order):
            return
        if name in self._unanswered and order.status in UNSETTLED:
            # The answer to the call says it better; only if there is none, this will do.
            self._unanswered[name] = order
            return
        self.report(order)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel *tasks* and see them end, but for the one that asks."""
    others = [task for task in tasks if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)
